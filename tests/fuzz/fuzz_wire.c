/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The encoder, given structs that nobody checked
 *
 * Input: channel, index of a record, room (2 bytes), then the C struct as it
 * lies in memory. What is encoded must decode, and encode to the same bytes.
 */

#include "record-target.h"

static const struct wire_channel *const channels[] = {
	&wire_provider_channel,
	&wire_names_channel,
	&wire_keeper_channel,
	&wire_canary_channel,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t body[WIRE_BODY_MAX], bytes[WIRE_RECORD_MAX], input[WIRE_RECORD_MAX + 1];
	const struct wire_channel *channel;
	const struct wire_record *record;
	struct wire_message message;
	size_t n, room;
	uint8_t *exact;
	int r;

	if (size < 4)
		return 0;
	channel = channels[data[0] % (sizeof(channels) / sizeof(channels[0]))];
	record = &channel->records[data[1] % channel->n_records];
	room = (size_t)(data[2] | data[3] << 8);
	data += 4;
	size -= 4;
	memset(body, 0, sizeof(body));
	memcpy(body, data, size < record->struct_bytes ? size : record->struct_bytes);

	/* room of the input's choice, exact for the sanitizer */
	exact = malloc(room ? room : 1);
	require(exact != NULL);
	r = wire_encode(channel, record->type, body, exact, room, &n);
	free(exact);
	require((r == WIRE_E_SPACE) == (room < WIRE_HEADER_BYTES + record->body_bytes));

	if (wire_encode(channel, record->type, body, bytes, sizeof(bytes), &n) != 0)
		return 0;
	require(n == WIRE_HEADER_BYTES + record->body_bytes);
	require(wire_decode(channel, record->from, bytes, n, &message) == 0);
	require(wire_decode(channel, !record->from, bytes, n, &message) == WIRE_E_TYPE);
	input[0] = WIRE_FROM_ANY;
	memcpy(input + 1, bytes, n);
	return check_record(channel, input, n + 1);
}
