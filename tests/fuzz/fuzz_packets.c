/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tails of PACKETS (first byte even) and PACKET_RULES: what is accepted comes out as it went in */
#include <stdlib.h>
#include <string.h>

#include "wire/packets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void read_packets(const uint8_t *data, size_t size)
{
	static uint8_t again[WIRE_TAIL_MAX + 65536 + 256];
	struct wire_packet packet, same;
	size_t at = 0, next, end;

	while (packets_get(data, size, at, &packet, &next) == 0) {
		require(next > at && next <= size && packet.n_bytes <= packet.length);
		require(packets_put(again, &packet) == next - at);
		require(packets_get(again, next - at, 0, &same, &end) == 0 && end == next - at);
		require(same.id == packet.id && same.n_bytes == packet.n_bytes &&
			memcmp(same.bytes, packet.bytes, packet.n_bytes) == 0);
		at = next;
	}
}

static void read_rules(const uint8_t *data, size_t size)
{
	uint8_t again[WIRE_PACKET_RULE];
	struct wire_packet_rule rule;

	for (; size >= WIRE_PACKET_RULE; data += WIRE_PACKET_RULE, size -= WIRE_PACKET_RULE)
		if (packet_rule_get(data, &rule) == 0) {
			packet_rule_put(again, &rule);
			require(memcmp(again, data, sizeof(again)) == 0);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 2)
		read_rules(data + 1, size - 1);
	else
		read_packets(data + 1, size - 1);
	return 0;
}
