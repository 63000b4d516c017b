/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/provider-records.h"

WIRE_PROVIDER_TABLE(WIRE_DESCRIBE_FIELDS)

static const struct wire_record records[] = { WIRE_PROVIDER_TABLE(WIRE_DESCRIBE_RECORD) };

const struct wire_channel wire_provider_channel = {
	.name = "provider",
	.ends = { "sluiced", "provider" },
	.records = records,
	.n_records = ARRAY_SIZE(records),
};
