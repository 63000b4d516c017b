/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/names-records.h"

WIRE_NAMES_TABLE(WIRE_DESCRIBE_FIELDS)

static const struct wire_record records[] = { WIRE_NAMES_TABLE(WIRE_DESCRIBE_RECORD) };

const struct wire_channel wire_names_channel = {
	.name = "names",
	.ends = { "sluiced", "sluice-names" },
	.records = records,
	.n_records = ARRAY_SIZE(records),
};
