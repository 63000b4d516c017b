/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "handshake.h"
#include "http-connect.h"
#include "socks5.h"

static void begin_socks5(struct handshake *handshake)
{
	socks5_begin(handshake, SOCKS5_CONNECT);
}

static const struct protocol {
	void (*begin)(struct handshake *handshake);
	void (*take)(struct handshake *handshake, uint8_t byte);
	enum handshake_wait (*waits_for)(const struct handshake *handshake);
} protocols[_UPSTREAM_N] = {
	[UPSTREAM_SOCKS5] = { begin_socks5, socks5_take, socks5_waits_for },
	[UPSTREAM_SOCKS5H] = { begin_socks5, socks5_take, socks5_waits_for },
	[UPSTREAM_HTTP] = { http_connect_begin, http_connect_take, http_connect_waits_for },
	[UPSTREAM_HTTPS] = { http_connect_begin, http_connect_take, http_connect_waits_for },
};

void handshake_begin(struct handshake *handshake, const struct upstream *upstream,
		     const struct destination *destination)
{
	*handshake = (struct handshake){ .upstream = upstream, .destination = destination };
	protocols[upstream->scheme].begin(handshake);
}

void handshake_associate(struct handshake *handshake, const struct upstream *upstream)
{
	/* RFC 1928 6: zeros, as nobody knows yet where our datagrams come from */
	static const struct destination any = { .address = { [10] = 0xff, [11] = 0xff } };

	*handshake = (struct handshake){ .upstream = upstream, .destination = &any };
	socks5_begin(handshake, SOCKS5_ASSOCIATE);
}

const uint8_t *handshake_output(const struct handshake *handshake, size_t *ret_n)
{
	*ret_n = handshake->n_output - handshake->n_sent;
	return handshake->output + handshake->n_sent;
}

void handshake_sent(struct handshake *handshake, size_t n)
{
	handshake->n_sent += n;
}

size_t handshake_feed(struct handshake *handshake, const uint8_t *bytes, size_t n)
{
	const struct protocol *protocol = &protocols[handshake->upstream->scheme];
	size_t used = 0;

	while (used < n && handshake->state == HANDSHAKE_GOES_ON)
		protocol->take(handshake, bytes[used++]);
	return used;
}

enum handshake_wait handshake_waits_for(const struct handshake *handshake)
{
	if (handshake->n_sent < handshake->n_output)
		return HANDSHAKE_WAITS_FOR_PROXY;
	return protocols[handshake->upstream->scheme].waits_for(handshake);
}

void handshake_cut(struct handshake *handshake)
{
	if (handshake->state == HANDSHAKE_GOES_ON)
		handshake_end(handshake, HANDSHAKE_FAILED, -ECONNREFUSED,
			      "ended the connection before it had answered");
}

/* all of it fits: the longest output is made of bounded parts, and each is said once */
void handshake_say(struct handshake *handshake, const void *bytes, size_t n)
{
	if (n > HANDSHAKE_OUTPUT_BYTES - handshake->n_output) {
		handshake_end(handshake, HANDSHAKE_FAILED, -ECONNREFUSED,
			      "would have to be told too much");
		return;
	}
	memcpy(handshake->output + handshake->n_output, bytes, n);
	handshake->n_output += n;
}

void handshake_end(struct handshake *handshake, enum handshake_state state, int error,
		   const char *fmt, ...)
{
	va_list args;

	handshake->state = state;
	handshake->error = error;
	va_start(args, fmt);
	(void)vsnprintf(handshake->reason, sizeof(handshake->reason), fmt, args);
	va_end(args);
}
