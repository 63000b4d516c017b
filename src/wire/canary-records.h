/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Canary channel: sluiced (end 0) and sluice-canary (end 1), on fd 3
 *
 * sluice-canary opens its sockets and says what it will do: one PROBE for each
 * of enum canary_kind. sluiced knows the sockets by their cookies from then
 * on, and says SEND. sluice-canary answers with one PROBED for each probe that
 * is tried, and ends. Nothing else is sent.
 */

#include "wire/table.h"

#define CANARY_WAIT_MS 900U /* for an error; a SYN would be sent again after a second */

enum canary_kind { CANARY_TCP4, CANARY_UDP4, CANARY_TCP6, CANARY_UDP6, _CANARY_PROBE_N };

/* clang-format off */
#define WIRE_FIELDS_PROBE(F, S) \
	F(S, u8,   probe,      3,   "0 TCP and 1 UDP over IPv4, 2 TCP and 3 UDP over IPv6") \
	F(S, u8,   is_tried,   1,   "0: there is no route off this machine, nothing is sent") \
	F(S, u64,  cookie,     0,   "of its socket") \
	F(S, addr, address,    0,   "where it goes; the port is 9, discard")

#define WIRE_FIELDS_SEND(F, S) \
	F(S, u8,   unused,     1,   "0")

#define WIRE_FIELDS_PROBED(F, S) \
	F(S, u8,   probe,      3,   "which one") \
	F(S, u32,  error,      4095, "the errno it got; 0: it was connected") \
	F(S, u32,  took_us,    0,   "microseconds until then") \
	F(S, u8,   is_disturbed, 1, "1: a link or an address changed meanwhile, so an error proves little")

#define WIRE_CANARY_TABLE(R) \
	R(PROBE,  wire_probe,  WIRE_FIELDS_PROBE,  1, 1, 0, "a socket that will send, and where to") \
	R(SEND,   wire_send,   WIRE_FIELDS_SEND,   2, 0, 0, "the sockets are known: send") \
	R(PROBED, wire_probed, WIRE_FIELDS_PROBED, 3, 1, 0, "what became of one")
/* clang-format on */

enum wire_canary_type { WIRE_CANARY_TABLE(WIRE_ENUM) };
WIRE_CANARY_TABLE(WIRE_DECLARE)
