/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What must hold for any bytes on a channel
 *
 * The first byte of an input says which end sends (0, 1, other: relayed); the
 * rest is one record. A record that is accepted must encode to the very same
 * bytes: nothing may be hidden in it that decoding does not see.
 */

#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(int condition)
{
	if (!condition)
		abort();
}

static inline void check_strings(const struct wire_message *message)
{
	for (size_t i = 0; i < message->record->n_fields; i++) {
		const struct wire_field *field = &message->record->fields[i];
		const char *text = (const char *)message->body.bytes + field->offset;

		if (field->kind == WIRE_STR)
			require(strnlen(text, field->bytes) < field->bytes);
	}
}

static inline int check_record(const struct wire_channel *channel, const uint8_t *data, size_t size)
{
	static uint8_t again[WIRE_RECORD_MAX];
	struct wire_message message;
	unsigned int from;
	size_t n;

	if (size == 0)
		return 0;
	from = data[0] < WIRE_FROM_ANY ? data[0] : WIRE_FROM_ANY;
	data++;
	size--;
	if (wire_decode(channel, from, data, size, &message) != 0)
		return 0;
	require(from == WIRE_FROM_ANY || message.record->from == from);
	require(message.n_tail <= WIRE_TAIL_MAX && (message.record->has_tail || !message.n_tail));
	check_strings(&message);
	require(wire_encode(channel, message.record->type, message.body.bytes, again, sizeof(again),
			    &n) == 0);
	require(n + message.n_tail == size && message.tail == data + n);
	require(memcmp(again, data, n) == 0);
	return 0;
}
