/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Tails of PACKETS and PACKET_RULES
 *
 * PACKETS: one packet behind the other, each 64 bytes and then its own, filled up
 * with zeroes to a multiple of 8.
 *
 *	0  u64 number		28 u32 uid		42 u8  flags
 *	8  u64 flow		32 u32 ifindex		43 five zeroes
 *	16 u64 cookie		36 u32 length		48 interface, 16 bytes
 *	24 u32 pid		40 u16 bytes shown	64 bytes from the IP header on
 *
 * PACKET_RULES: rules of 48 bytes.
 *
 *	0  remote, 16 bytes	32 u16 rport, rport_last, lport, lport_last
 *	16 interface, 16 bytes	40 u8 action, direction, protocol, family, bits, 0, 0, 0
 *
 * Numbers are little-endian. Pure, as wire.h.
 */

#include "wire/wire.h"

#define WIRE_PACKETS_MAX 64U /* in one record */
#define WIRE_PACKET_HEAD 64U
#define WIRE_PACKET_RULES_MAX 512U /* of one provider */
#define WIRE_PACKET_RULE 48U
_Static_assert(WIRE_PACKET_RULES_MAX *WIRE_PACKET_RULE <= WIRE_TAIL_MAX, "a set is one record");

enum wire_packet_flags {
	WIRE_PACKET_INBOUND = 1 << 0,
	WIRE_PACKET_SEGMENTED =
		1 << 1, /* the kernel will cut it into several, or has joined them */
	_WIRE_PACKET_FLAGS = (1 << 2) - 1,
};

struct wire_packet {
	uint64_t id, flow, cookie;
	uint32_t pid, uid;
	uint32_t ifindex;
	uint32_t length;
	uint16_t n_bytes;
	uint8_t flags;
	char interface[16];
	const uint8_t *bytes;
};

/** packets_room() - bytes of the tail that a packet takes, of which @n_bytes are shown */
static inline size_t packets_room(size_t n_bytes)
{
	return WIRE_PACKET_HEAD + ((n_bytes + 7) & ~(size_t)7);
}

/** packets_put() - @to has packets_room() bytes. Return: so many */
size_t packets_put(uint8_t *to, const struct wire_packet *packet);

/**
 * packets_get() - the packet at @at of a tail
 * @ret_packet: its bytes point into the tail; on 0 only
 * @ret_next:   where the next one is
 *
 * Return: 0, WIRE_E_SHORT, WIRE_E_STRING or WIRE_E_RANGE.
 */
int packets_get(const uint8_t *tail, size_t n_tail, size_t at, struct wire_packet *ret_packet,
		size_t *ret_next);

struct wire_packet_rule {
	uint8_t remote[16];
	char interface[16];
	uint16_t rport, rport_last, lport, lport_last;
	uint8_t action, direction, protocol, family, bits;
};

void packet_rule_put(uint8_t to[WIRE_PACKET_RULE], const struct wire_packet_rule *rule);

/** packet_rule_get() - Return: 0, WIRE_E_STRING or WIRE_E_RANGE: such a rule cannot be */
int packet_rule_get(const uint8_t from[WIRE_PACKET_RULE], struct wire_packet_rule *ret_rule);
