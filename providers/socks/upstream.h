/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Where an upstream proxy is, and how it is spoken to
 *
 *	socks5://[USER:PASSWORD@]HOST:PORT	names are looked up here
 *	socks5h://…				names go to the proxy
 *	http://…				CONNECT; names go to the proxy
 *	https://…				the same, inside of TLS
 *
 * In USER and PASSWORD %XX is the byte of that number. HOST is a name, an address, or one of
 * IPv6 in brackets. What is wrong is said in words that hold nothing of what was given but
 * its scheme: where a password was written wrongly, any part may be one.
 */

#include <stdbool.h>
#include <stdint.h>

#define UPSTREAM_HOST_BYTES 254U
#define UPSTREAM_SECRET_BYTES 256U /* 255 is what RFC 1929 has room for */
#define UPSTREAM_ERROR_BYTES 256U
#define UPSTREAM_TEXT_BYTES (UPSTREAM_HOST_BYTES + 20U)

enum upstream_scheme {
	UPSTREAM_SOCKS5,
	UPSTREAM_SOCKS5H,
	UPSTREAM_HTTP,
	UPSTREAM_HTTPS,
	_UPSTREAM_N,
};

struct upstream {
	enum upstream_scheme scheme;
	char host[UPSTREAM_HOST_BYTES]; /* without brackets */
	uint16_t port;
	bool has_user;
	char user[UPSTREAM_SECRET_BYTES], password[UPSTREAM_SECRET_BYTES];
};

/**
 * upstream_parse() - read what a person has typed
 * @error: out, on failure: what is wrong, and what to do
 *
 * Return: 0, or -EINVAL, and *@ret_upstream is as it was.
 */
int upstream_parse(const char *url, struct upstream *ret_upstream,
		   char error[UPSTREAM_ERROR_BYTES]);

/** upstream_text() - for people: without user and password. Return: @text */
const char *upstream_text(const struct upstream *upstream, char text[UPSTREAM_TEXT_BYTES]);
