/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Random records, for tests that walk a channel's table
 *
 * The same seed gives the same records everywhere, so that a failure can be
 * run again.
 */

#include <stdint.h>
#include <string.h>

#include "wire/wire.h"

static inline uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

static inline void random_number(uint64_t *state, const struct wire_field *field, uint8_t *dst)
{
	uint64_t v = random_next(state);

	if (field->limit)
		v %= (uint64_t)field->limit + 1;
	switch ((enum wire_kind)field->kind) {
	case WIRE_U8:
		*dst = (uint8_t)v;
		break;
	case WIRE_U16:
		memcpy(dst, &(uint16_t){ (uint16_t)v }, sizeof(uint16_t));
		break;
	case WIRE_U32:
		memcpy(dst, &(uint32_t){ (uint32_t)v }, sizeof(uint32_t));
		break;
	case WIRE_U64:
		memcpy(dst, &v, sizeof(v));
		break;
	case WIRE_ADDR:
	case WIRE_STR:
		break;
	}
}

/** random_body() - fill a record's C struct with values that the table allows */
static inline void random_body(uint64_t *state, const struct wire_record *record, uint8_t *body)
{
	memset(body, 0, record->struct_bytes);
	for (size_t i = 0; i < record->n_fields; i++) {
		const struct wire_field *field = &record->fields[i];
		uint8_t *dst = body + field->offset;
		size_t n = 0;

		if (field->kind == WIRE_ADDR)
			n = field->bytes;
		else if (field->kind == WIRE_STR)
			n = random_next(state) % field->bytes;
		else
			random_number(state, field, dst);
		while (n--)
			*dst++ = (uint8_t)(random_next(state) % 255 + 1);
	}
}
