/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/keeper-records.h"

WIRE_KEEPER_TABLE(WIRE_DESCRIBE_FIELDS)

static const struct wire_record records[] = { WIRE_KEEPER_TABLE(WIRE_DESCRIBE_RECORD) };

const struct wire_channel wire_keeper_channel = {
	.name = "keeper",
	.ends = { "sluice-keeper", "sluiced or run" },
	.records = records,
	.n_records = ARRAY_SIZE(records),
};
