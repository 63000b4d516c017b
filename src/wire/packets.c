/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <string.h>

#include "wire/packets.h"

static void put16(uint8_t *to, uint16_t value)
{
	value = htole16(value);
	memcpy(to, &value, sizeof(value));
}

static void put32(uint8_t *to, uint32_t value)
{
	value = htole32(value);
	memcpy(to, &value, sizeof(value));
}

static void put64(uint8_t *to, uint64_t value)
{
	value = htole64(value);
	memcpy(to, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *from)
{
	uint16_t value;

	memcpy(&value, from, sizeof(value));
	return le16toh(value);
}

static uint32_t get32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return le32toh(value);
}

static uint64_t get64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return le64toh(value);
}

/* ended, and with zeroes behind its end */
static bool is_name(const char name[16])
{
	size_t n = strnlen(name, 16);

	for (size_t i = n; i < 16; i++)
		if (name[i])
			return false;
	return n < 16;
}

size_t packets_put(uint8_t *to, const struct wire_packet *packet)
{
	size_t n = packets_room(packet->n_bytes);

	memset(to, 0, WIRE_PACKET_HEAD);
	memset(to + n - 8, 0, 8);
	put64(to, packet->id);
	put64(to + 8, packet->flow);
	put64(to + 16, packet->cookie);
	put32(to + 24, packet->pid);
	put32(to + 28, packet->uid);
	put32(to + 32, packet->ifindex);
	put32(to + 36, packet->length);
	put16(to + 40, packet->n_bytes);
	to[42] = packet->flags;
	memcpy(to + 48, packet->interface, strnlen(packet->interface, 15));
	if (packet->n_bytes)
		memcpy(to + WIRE_PACKET_HEAD, packet->bytes, packet->n_bytes);
	return n;
}

int packets_get(const uint8_t *tail, size_t n_tail, size_t at, struct wire_packet *ret_packet,
		size_t *ret_next)
{
	struct wire_packet packet;
	const uint8_t *from;

	if (at > n_tail || n_tail - at < WIRE_PACKET_HEAD)
		return WIRE_E_SHORT;
	from = tail + at;
	packet.id = get64(from);
	packet.flow = get64(from + 8);
	packet.cookie = get64(from + 16);
	packet.pid = get32(from + 24);
	packet.uid = get32(from + 28);
	packet.ifindex = get32(from + 32);
	packet.length = get32(from + 36);
	packet.n_bytes = get16(from + 40);
	packet.flags = from[42];
	memcpy(packet.interface, from + 48, sizeof(packet.interface));
	packet.bytes = from + WIRE_PACKET_HEAD;
	if (packets_room(packet.n_bytes) > n_tail - at)
		return WIRE_E_SHORT;
	if (packet.flags & ~_WIRE_PACKET_FLAGS || packet.n_bytes > packet.length)
		return WIRE_E_RANGE;
	if (!is_name(packet.interface))
		return WIRE_E_STRING;
	*ret_next = at + packets_room(packet.n_bytes);
	*ret_packet = packet;
	return 0;
}

void packet_rule_put(uint8_t to[WIRE_PACKET_RULE], const struct wire_packet_rule *rule)
{
	memset(to, 0, WIRE_PACKET_RULE);
	memcpy(to, rule->remote, 16);
	memcpy(to + 16, rule->interface, strnlen(rule->interface, 15));
	put16(to + 32, rule->rport);
	put16(to + 34, rule->rport_last);
	put16(to + 36, rule->lport);
	put16(to + 38, rule->lport_last);
	to[40] = rule->action;
	to[41] = rule->direction;
	to[42] = rule->protocol;
	to[43] = rule->family;
	to[44] = rule->bits;
}

static bool is_range(uint16_t first, uint16_t last)
{
	return last == 0 || (first != 0 && last >= first);
}

static bool has_bits_only(const uint8_t addr[16], unsigned int bits)
{
	for (unsigned int i = bits; i < 128; i++)
		if (addr[i / 8] & 0x80U >> i % 8)
			return false;
	return true;
}

int packet_rule_get(const uint8_t from[WIRE_PACKET_RULE], struct wire_packet_rule *ret_rule)
{
	struct wire_packet_rule rule = { .rport = get16(from + 32),
					 .rport_last = get16(from + 34),
					 .lport = get16(from + 36),
					 .lport_last = get16(from + 38),
					 .action = from[40],
					 .direction = from[41],
					 .protocol = from[42],
					 .family = from[43],
					 .bits = from[44] };

	memcpy(rule.remote, from, 16);
	memcpy(rule.interface, from + 16, 16);
	if (!is_name(rule.interface))
		return WIRE_E_STRING;
	if (rule.action > 2 || rule.direction > 2 || rule.bits > 128 || from[45] || from[46] ||
	    from[47] || (rule.family != 0 && rule.family != 4 && rule.family != 6) ||
	    !is_range(rule.rport, rule.rport_last) || !is_range(rule.lport, rule.lport_last) ||
	    !has_bits_only(rule.remote, rule.bits))
		return WIRE_E_RANGE;
	*ret_rule = rule;
	return 0;
}
