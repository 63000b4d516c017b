/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Names channel: sluiced (end 0) and sluice-names (end 1), on fd 3
 *
 * sluiced forwards payload unread; sluice-names answers each LOOK with the same
 * token, and sends nothing else.
 *
 * Kind 1, an answer of a name server: zero or more NAME and exactly one DONE.
 * TCP: `stream` names one direction of one connection, `seq` is the TCP
 * sequence number of the first byte of the tail; sluice-names puts the bytes
 * in order. FORGET drops a stream. A tail longer than WIRE_TAIL_MAX is sent
 * as several LOOKs of a stream; a UDP payload never is that long.
 *
 * Kind 2, what a client has sent from its first byte on: one HOST. Asked again
 * with more, it is read from the beginning. Kind 3, a datagram of a client: one
 * HOST, of all from the one with `seq` 0 to this. They come one after the other
 * with no LOOK of kind 3 for another client between, so nothing is kept but the last.
 */

#include "wire/table.h"

/* clang-format off */
#define WIRE_FIELDS_LOOK(F, S) \
	F(S, u64,  token,      0,   "returned in the answers") \
	F(S, u64,  stream,     0,   "0: a datagram; else the connection") \
	F(S, u32,  seq,        0,   "TCP sequence number of the first byte; kind 3: number of the datagram, 0: the first") \
	F(S, u8,   kind,       3,   "1 DNS, 2 first bytes of a connection, 3 datagram of a client")

#define WIRE_FIELDS_FORGET(F, S) \
	F(S, u64,  stream,     0,   "connection that has ended")

#define WIRE_FIELDS_NAME(F, S) \
	F(S, u64,  token,      0,   "of the LOOK") \
	F(S, addr, address,    0,   "address the name leads to") \
	F(S, u32,  ttl_s,      0,   "seconds: the smallest TTL on the way from the name to the address") \
	F(S, str,  name,       256, "the question's name: lower case, no final dot")

#define WIRE_FIELDS_DONE(F, S) \
	F(S, u64,  token,      0,   "of the LOOK") \
	F(S, u8,   status,     3,   "0 read, 1 more bytes needed, 2 not an answer, 3 malformed")

#define WIRE_FIELDS_HOST(F, S) \
	F(S, u64,  token,      0,   "of the LOOK") \
	F(S, u32,  needs,      0,   "answer 2, kind 2: with fewer bytes it stays so") \
	F(S, u8,   answer,     3,   "0 name, 1 none, 2 more bytes needed, 3 refused: readers would differ") \
	F(S, u8,   source,     7,   "answer 0: as host_source of FLOW_NEW") \
	F(S, str,  name,       256, "answer 0: lower case, no final dot")

#define WIRE_NAMES_TABLE(R) \
	R(LOOK,   wire_look,   WIRE_FIELDS_LOOK,   1, 0, 1, "read this payload") \
	R(FORGET, wire_forget, WIRE_FIELDS_FORGET, 2, 0, 0, "drop what is kept of a stream") \
	R(NAME,   wire_name,   WIRE_FIELDS_NAME,   3, 1, 0, "a name and one of its addresses") \
	R(DONE,   wire_done,   WIRE_FIELDS_DONE,   4, 1, 0, "end of the answer to a LOOK of kind 1") \
	R(HOST,   wire_host,   WIRE_FIELDS_HOST,   5, 1, 0, "which host first bytes name")
/* clang-format on */

/** enum names_look - kind of LOOK */
enum names_look { LOOK_DNS = 1, LOOK_CONNECTION, LOOK_DATAGRAM };
/** enum names_host - answer of HOST */
enum names_host { HOST_NAMED, HOST_NONE, HOST_MORE, HOST_REFUSED };

enum wire_names_type { WIRE_NAMES_TABLE(WIRE_ENUM) };
WIRE_NAMES_TABLE(WIRE_DECLARE)
