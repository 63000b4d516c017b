/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/canary-records.h"

WIRE_CANARY_TABLE(WIRE_DESCRIBE_FIELDS)

static const struct wire_record records[] = { WIRE_CANARY_TABLE(WIRE_DESCRIBE_RECORD) };

const struct wire_channel wire_canary_channel = {
	.name = "canary",
	.ends = { "sluiced", "sluice-canary" },
	.records = records,
	.n_records = ARRAY_SIZE(records),
};
