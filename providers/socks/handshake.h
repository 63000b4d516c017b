/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What is said to a proxy before it carries a flow: the client's side
 *
 *	handshake_begin() ──▶ send output ──▶ handshake_feed() what comes ──┐
 *	                          ▲                  GOES_ON                │
 *	                          └─────────────────────────────────────────┤
 *	                                       DONE, REFUSED or FAILED ◀────┘
 *
 * The bytes are hostile until proven otherwise. None is taken that belongs to the flow: what
 * stands behind the last one of the proxy's answer is not consumed. Neither what is sent nor
 * the outcome depends on how the bytes come in pieces.
 *
 * No descriptor, no clock, no allocation: whoever waits says when it has been too long.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "upstream.h"

#define DESTINATION_HOST_BYTES 256U  /* the largest that SOCKS5 can name, and its NUL */
#define HANDSHAKE_OUTPUT_BYTES 2048U /* all that is ever said, at once */
#define HANDSHAKE_ANSWER_MAX 16384U  /* bytes of HTTP */
#define HANDSHAKE_REASON_BYTES 96U
#define SOCKS5_ANSWER_MAX (4U + 1U + 255U + 2U)

/** struct destination - where a flow is to go; @host empty: @address */
struct destination {
	char host[DESTINATION_HOST_BYTES];
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
};

enum handshake_state {
	HANDSHAKE_GOES_ON,
	HANDSHAKE_DONE,	   /* what follows in either direction is the flow's */
	HANDSHAKE_REFUSED, /* the proxy is well, and says that the destination is not reached */
	HANDSHAKE_FAILED,  /* the proxy itself is of no use for us; another one may be */
};

/**
 * struct handshake - of one connection to a proxy
 * @error:  REFUSED, FAILED: a negative errno, what a direct connection would have given
 * @reason: REFUSED, FAILED: for people, what the proxy did: "answered with garbage"
 */
struct handshake {
	enum handshake_state state;
	int error;
	char reason[HANDSHAKE_REASON_BYTES];
	/* neither is copied */
	const struct upstream *upstream;
	const struct destination *destination;
	size_t n_output, n_sent;
	uint8_t output[HANDSHAKE_OUTPUT_BYTES];
	union {
		struct {
			unsigned int step;
			uint8_t command;
			size_t n;
			uint8_t answer[SOCKS5_ANSWER_MAX];
		} socks5;
		struct {
			unsigned int step;
			size_t n; /* bytes so far, of all answers */
			unsigned int n_matched, n_digits;
			unsigned int status;
			bool has_field;
		} http;
	};
};

/** handshake_begin() - @upstream, @destination: must outlive it */
void handshake_begin(struct handshake *handshake, const struct upstream *upstream,
		     const struct destination *destination);

/** handshake_associate() - the same with an upstream of SOCKS5, which is to carry datagrams; when
 *  it is DONE socks5_bound() says where they go */
void handshake_associate(struct handshake *handshake, const struct upstream *upstream);

/** handshake_output() - what is to be sent now; 0 bytes: nothing. Return: the first of them */
const uint8_t *handshake_output(const struct handshake *handshake, size_t *ret_n);

/** handshake_sent() - the first @n of them are */
void handshake_sent(struct handshake *handshake, size_t n);

/**
 * handshake_feed() - what has come from the proxy
 *
 * Return: how many bytes of it were the proxy's words; less than @n only in the end.
 */
size_t handshake_feed(struct handshake *handshake, const uint8_t *bytes, size_t n);

/** enum handshake_wait - what is waited for, of a proxy that says nothing */
enum handshake_wait {
	HANDSHAKE_WAITS_FOR_PROXY,	 /* for what it can say by itself, or for the rest of it */
	HANDSHAKE_WAITS_FOR_DESTINATION, /* it is well, and has been asked to connect */
	HANDSHAKE_WAITS_FOR_EITHER,	 /* it has been asked, and never said a word */
};

enum handshake_wait handshake_waits_for(const struct handshake *handshake);

/** handshake_cut() - the proxy has ended the connection */
void handshake_cut(struct handshake *handshake);

/* ---- for the protocols ---- */

/** handshake_say() - more output */
void handshake_say(struct handshake *handshake, const void *bytes, size_t n);

/** handshake_end() - not as we would have it; @state: REFUSED or FAILED, @error: negative */
void handshake_end(struct handshake *handshake, enum handshake_state state, int error,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
