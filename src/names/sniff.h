/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The host a flow wants, from its first bytes
 *
 * Given what a client has sent, from the first byte on, these functions say
 * which host it names: TLS server_name, HTTP/1 target or Host, HTTP/2 without
 * TLS :authority, QUIC version 1 and 2 server_name. The bytes are hostile
 * until proven otherwise. A name is only given when the peer that receives
 * these bytes must understand the same one; where readers differ, the answer
 * is BROKEN and never a guess.
 *
 *	sniff_tcp(prefix) ──▶ MORE ── more bytes ──▶ sniff_tcp(longer prefix) …
 *	                  └─▶ NAME, NONE or BROKEN: more bytes change nothing
 *
 *	sniff_quic_push(datagram) ──▶ MORE ──▶ sniff_quic_push(next datagram) …
 *	                          └─▶ NAME, NONE or BROKEN: it stays
 *
 * MORE is no reason to wait for ever: `needs` says from which length on asking
 * again makes sense, `limit` at which one the answer is something else. Who
 * cannot have more bytes (the client waits, or has ended) has no name.
 *
 * What is not read: what follows the first hello or request of a connection,
 * so a later request of a kept connection that names another host; a second
 * QUIC connection between the same two ports; what is inside of encryption.
 *
 * This module is pure: no descriptor, no clock, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNIFF_NAME_BYTES 254U	      /* 253 and its NUL: RFC 1035 2.3.4 */
#define SNIFF_TCP_MAX 32768U	      /* of a prefix; what has not named a host by then is BROKEN */
#define SNIFF_UDP_MAX 65535U	      /* of a datagram */
#define SNIFF_QUIC_DATAGRAMS_MAX 128U /* a hello of 16 KB in small datagrams, each sent thrice */

#define SNIFF_HELLO_MAX (16384U + 4U) /* a ClientHello and its header */
#define SNIFF_CID_MAX 20U	      /* a connection ID of QUIC: RFC 9000 17.2 */

enum sniff_answer {
	SNIFF_NAME,
	SNIFF_NONE,   /* no protocol that is read, or it names no host */
	SNIFF_MORE,   /* the bytes so far are a beginning */
	SNIFF_BROKEN, /* not what a client sends, or readers would differ about the name */
};

enum sniff_protocol {
	SNIFF_UNKNOWN,
	SNIFF_TLS,
	SNIFF_HTTP1,
	SNIFF_H2C,
	SNIFF_QUIC,
};

/* reason, its number for ever, the answer it makes, its word */
/* clang-format off */
#define SNIFF_REASONS(R) \
	R(SNIFF_NAMED,        0,  SNIFF_NAME,   "named") \
	R(SNIFF_E_MORE,       1,  SNIFF_MORE,   "more")        /* a beginning */ \
	R(SNIFF_E_UNKNOWN,    2,  SNIFF_NONE,   "unknown")     /* no protocol that is read */ \
	R(SNIFF_E_NO_NAME,    3,  SNIFF_NONE,   "no-name")     /* all is there but a name */ \
	R(SNIFF_E_ADDRESS,    4,  SNIFF_NONE,   "address")     /* an address in the name's place */ \
	R(SNIFF_E_VERSION,    5,  SNIFF_NONE,   "version")     /* a version of QUIC not read */ \
	R(SNIFF_E_FRAMING,    6,  SNIFF_BROKEN, "framing")     /* record, frame or packet */ \
	R(SNIFF_E_MESSAGE,    7,  SNIFF_BROKEN, "message")     /* ClientHello or request */ \
	R(SNIFF_E_BAD_NAME,   8,  SNIFF_BROKEN, "bad-name")    /* cannot be a host name */ \
	R(SNIFF_E_TWO_NAMES,  9,  SNIFF_BROKEN, "two-names")   /* a reader may take either */ \
	R(SNIFF_E_TOO_LARGE,  10, SNIFF_BROKEN, "too-large")   /* beyond what is read */ \
	R(SNIFF_E_COMPRESSED, 11, SNIFF_BROKEN, "compression") /* HPACK */ \
	R(SNIFF_E_UNREADABLE, 12, SNIFF_BROKEN, "unreadable")  /* QUIC, and its key does not fit */ \
	R(SNIFF_E_CONFLICT,   13, SNIFF_BROKEN, "conflict")    /* QUIC: a byte came again as another */
/* clang-format on */

#define SNIFF_REASON_ENUM(name, number, answer, text) name = number,
enum sniff_reason { SNIFF_REASONS(SNIFF_REASON_ENUM) };
#undef SNIFF_REASON_ENUM

/**
 * struct sniff - an answer
 * @protocol: of the bytes, as far as it is known
 * @is_outer: the hello has an encrypted inner one, or pretends to: the host
 *            that is really meant may be another one than @name
 * @needs:    MORE of TCP: with fewer bytes than this the answer stays MORE
 * @limit:    MORE of TCP: with this many bytes it is not MORE any longer;
 *            of QUIC: after this many datagrams
 * @name:     NAME: lower case, no final dot, of a-z 0-9 - _ and dots
 */
struct sniff {
	enum sniff_answer answer;
	enum sniff_reason reason;
	enum sniff_protocol protocol;
	bool is_outer;
	uint32_t needs;
	uint32_t limit;
	char name[SNIFF_NAME_BYTES];
};

/**
 * struct sniff_quic - what is kept of a QUIC client between two datagrams
 *
 * The connection ID that its keys come from, and the handshake bytes seen so
 * far with a bit each: any number of pieces in any order costs the same.
 */
struct sniff_quic {
	struct sniff answer; /* the last one */
	uint32_t n_datagrams;
	bool is_readable; /* a packet was: the connection ID is right */
	uint8_t n_dcid;
	uint8_t dcid[SNIFF_CID_MAX];
	uint64_t next_number; /* of a packet: RFC 9000 A.3 */
	uint32_t n_prefix;    /* handshake bytes without a gap */
	uint8_t is_known[SNIFF_HELLO_MAX / 8 + 1];
	uint8_t handshake[SNIFF_HELLO_MAX];
};

/**
 * sniff_tcp() - read the first bytes of one direction of a connection
 * @bytes: from the first one the client has sent, without gaps
 */
void sniff_tcp(const uint8_t *bytes, size_t n_bytes, struct sniff *ret_sniff);

/** sniff_quic_start() - before the first datagram of a client */
void sniff_quic_start(struct sniff_quic *quic);

/**
 * sniff_quic_push() - one datagram of the client's; the order does not matter
 *
 * Several datagrams in one buffer (UDP_SEGMENT) are read as one, which works
 * as long as each is filled by its packets.
 */
void sniff_quic_push(struct sniff_quic *quic, const uint8_t *datagram, size_t n_bytes,
		     struct sniff *ret_sniff);

/** sniff_reason_text() - the word for a reason, for people and for records */
const char *sniff_reason_text(enum sniff_reason reason);
