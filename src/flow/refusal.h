/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The ICMP error that a refused IPv4 datagram becomes
 *
 * The kernel sends at most icmp_msgs_per_sec (1000) ICMP errors a second for a
 * whole network namespace, also to programs of its own, and forgets the rest.
 * So the error is not asked of it: the held datagram is replaced by its own
 * error and let go. It finds its way back to the socket over loopback, as an
 * error of a router would. docs/decisions/0006.
 *
 * IPv6 has no such limit on loopback, and TCP resets have none at all.
 *
 * Below the limit the kernel is asked all the same: a firewall knows its error to
 * be related to the datagram (conntrack), and lets it pass where it would drop
 * ours.
 *
 * Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

#define REFUSAL_QUOTE 8U /* of the datagram's payload: RFC 792 */
#define REFUSAL_BYTES (20U + 8U + 20U + REFUSAL_QUOTE)

/**
 * refusal_write() - "port unreachable", from the machine to itself
 * @tuple: of the refused datagram, which was going out; IPv4 in IPv6 form
 * @quote: the first bytes behind its IP header
 * @to:    the whole packet, from its IP header
 */
void refusal_write(const struct sl_tuple *tuple, const uint8_t quote[REFUSAL_QUOTE],
		   uint8_t to[REFUSAL_BYTES]);

#define REFUSAL_CREDIT 20U	       /* of icmp_msgs_burst (50) */
#define REFUSAL_CREDIT_EARNED_US 2000U /* 500 a second, of icmp_msgs_per_sec */

/** struct refusal_credit - errors that the kernel may be asked for; zero it to begin */
struct refusal_credit {
	uint64_t earned_us; /* they are counted from here */
};

/** refusal_spend() - Return: true when the kernel may be asked for one more */
bool refusal_spend(struct refusal_credit *credit, uint64_t now_us);
