/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "upstream.h"

#define DIGITS "0123456789"
#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "-_."
#define SCHEME_MAX 16U /* of one that is shown */
#define LABEL_MAX 63U

static const char *const schemes[_UPSTREAM_N] = {
	[UPSTREAM_SOCKS5] = "socks5",
	[UPSTREAM_SOCKS5H] = "socks5h",
	[UPSTREAM_HTTP] = "http",
	[UPSTREAM_HTTPS] = "https",
};

/* a part of the URL */
struct piece {
	const char *text;
	size_t n;
};

__attribute__((format(printf, 2, 3))) static int fail(char error[UPSTREAM_ERROR_BYTES],
						      const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(error, UPSTREAM_ERROR_BYTES, fmt, args);
	va_end(args);
	return -EINVAL;
}

static int parse_scheme(const char **url, struct upstream *upstream, char *error)
{
	const char *end = strstr(*url, "://");
	size_t n = end ? (size_t)(end - *url) : 0;

	for (unsigned int i = 0; end && i < _UPSTREAM_N; i++)
		if (strlen(schemes[i]) == n && !strncasecmp(schemes[i], *url, n)) {
			upstream->scheme = i;
			*url = end + 3;
			return 0;
		}
	if (n == 0 || n > SCHEME_MAX || strspn(*url, HOST_CHARACTERS) < n)
		return fail(error, "it has no scheme: begin with socks5://, socks5h://, http:// or "
				   "https://");
	return fail(error,
		    "\"%.*s://\" is not known: use socks5://, socks5h://, http:// or "
		    "https://",
		    (int)n, *url);
}

static int hex_digit(char c)
{
	const char digits[] = "0123456789abcdef0123456789ABCDEF",
		   *at = c ? strchr(digits, c) : NULL;

	return at ? (int)((at - digits) % 16) : -1;
}

/* @what: "user" or "password" */
static int decode(const struct piece *piece, const char *what, char secret[UPSTREAM_SECRET_BYTES],
		  char *error)
{
	size_t n = 0;

	for (size_t i = 0; i < piece->n; i++) {
		int c = (unsigned char)piece->text[i];

		if (c == '%') {
			int high = i + 2 < piece->n ? hex_digit(piece->text[i + 1]) : -1;
			int low = high < 0 ? -1 : hex_digit(piece->text[i + 2]);

			if (low < 0)
				return fail(error,
					    "a %% in the %s has no two hexadecimal digits "
					    "behind it: write %%25 for a %%",
					    what);
			c = high * 16 + low;
			i += 2;
		}
		if (c < ' ' || c == 0x7f)
			return fail(error,
				    "the %s has a control character, which proxies do not "
				    "take",
				    what);
		if (n == UPSTREAM_SECRET_BYTES - 1)
			return fail(error,
				    "the %s is longer than 255 bytes, which is the most "
				    "that proxies take",
				    what);
		secret[n++] = (char)c;
	}
	secret[n] = '\0';
	return 0;
}

static int parse_user(const struct piece *both, struct upstream *upstream, char *error)
{
	const char *colon = memchr(both->text, ':', both->n);
	struct piece user = { both->text, colon ? (size_t)(colon - both->text) : both->n };
	struct piece password = { user.text + user.n, 0 };
	int r;

	if (colon)
		password = (struct piece){ colon + 1, both->n - user.n - 1 };
	r = decode(&user, "user", upstream->user, error);
	if (r == 0)
		r = decode(&password, "password", upstream->password, error);
	if (r < 0)
		return r;
	if (!upstream->user[0])
		return fail(error, "there is an \"@\", but no user before it: write "
				   "USER:PASSWORD@HOST:PORT or HOST:PORT");
	/* RFC 7617 2: the first colon ends the user */
	if (upstream->scheme >= UPSTREAM_HTTP && strchr(upstream->user, ':'))
		return fail(error, "the user has a colon, which HTTP proxies cannot tell from the "
				   "password");
	upstream->has_user = true;
	return 0;
}

static int parse_port(const struct piece *piece, struct upstream *upstream, char *error)
{
	unsigned long port = 0;

	if (piece->n == 0)
		return fail(error, "it has no port: write HOST:PORT, as in %s://192.0.2.1:1080",
			    schemes[upstream->scheme]);
	if (strspn(piece->text, DIGITS) >= piece->n)
		for (size_t i = 0; i < piece->n && port <= UINT16_MAX; i++)
			port = port * 10 + (unsigned long)(piece->text[i] - '0');
	if (port == 0 || port > UINT16_MAX)
		return fail(error, "what stands behind the host is no port: give a number from 1 "
				   "to 65535; in user and password write @, /, ? and # as %%40, "
				   "%%2F, %%3F and %%23");
	upstream->port = (uint16_t)port;
	return 0;
}

static bool is_name(const char *host)
{
	const char *label = host;

	for (;;) {
		size_t n = strcspn(label, ".");

		if (n == 0 || n > LABEL_MAX)
			return false;
		label += n;
		if (!*label || !label[1]) /* a dot may end it */
			return true;
		label++;
	}
}

/* a name whose last label is a number is meant as an address */
static bool is_numeric(const char *host)
{
	const char *last = strrchr(host, '.');

	last = last ? last + 1 : host;
	return *last && last[strspn(last, DIGITS)] == '\0';
}

static int check_host(const char *host, bool has_brackets, char *error)
{
	uint8_t address[16];

	if (has_brackets)
		return inet_pton(AF_INET6, host, address) == 1
			       ? 0
			       : fail(error, "what stands in brackets is no address of IPv6: write "
					     "one without a zone, as in [2001:db8::1]");
	if (!*host)
		return fail(error, "it has no host: write HOST:PORT");
	if (host[strspn(host, HOST_CHARACTERS)])
		return fail(error,
			    "its host is no host name: use letters, digits, \"-\" and \".\", "
			    "a name of another script as xn--…");
	if (is_numeric(host) ? inet_pton(AF_INET, host, address) != 1 : !is_name(host))
		return fail(error, "its host is neither an address nor a host name");
	return 0;
}

static int parse_host(const struct piece *piece, bool has_brackets, struct upstream *upstream,
		      char *error)
{
	if (piece->n >= sizeof(upstream->host))
		return fail(error, "its host is longer than 253 bytes, which no name is");
	memcpy(upstream->host, piece->text, piece->n);
	upstream->host[piece->n] = '\0';
	return check_host(upstream->host, has_brackets, error);
}

static int parse_place(const struct piece *place, struct upstream *upstream, char *error)
{
	bool has_brackets = place->n && place->text[0] == '[';
	const char *end = place->text + place->n, *close, *colon;
	struct piece host = *place, port = { end, 0 };
	int r;

	close = has_brackets ? memchr(place->text, ']', place->n) : place->text;
	if (!close)
		return fail(error, "a bracket is not closed: write [ADDRESS]:PORT");
	colon = memchr(close, ':', (size_t)(end - close));
	if (!has_brackets && colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
		return fail(error, "there are several colons: write an address of IPv6 as "
				   "[ADDRESS]:PORT, and a colon in user or password as %%3A");
	if (has_brackets && close + 1 != (colon ? colon : end))
		return fail(error, "behind the bracket there must be :PORT");
	if (colon)
		port = (struct piece){ colon + 1, (size_t)(end - colon - 1) };
	host.n = (size_t)((colon ? colon : end) - host.text);
	if (has_brackets)
		host = (struct piece){ place->text + 1, (size_t)(close - place->text - 1) };
	r = parse_host(&host, has_brackets, upstream, error);
	return r < 0 ? r : parse_port(&port, upstream, error);
}

int upstream_parse(const char *url, struct upstream *ret_upstream, char error[UPSTREAM_ERROR_BYTES])
{
	struct upstream upstream = { 0 };
	struct piece place;
	const char *at;
	int r;

	r = parse_scheme(&url, &upstream, error);
	if (r < 0)
		return r;
	place = (struct piece){ url, strcspn(url, "/?#") };
	if (url[place.n] && strcmp(url + place.n, "/") != 0)
		return fail(error, "it goes on behind HOST:PORT: leave that out; in user and "
				   "password write /, ? and # as %%2F, %%3F and %%23");
	/* the last one: what is before it may have some, too */
	at = memrchr(place.text, '@', place.n);
	if (at) {
		r = parse_user(&(struct piece){ url, (size_t)(at - url) }, &upstream, error);
		place = (struct piece){ at + 1, (size_t)(place.text + place.n - at - 1) };
	}
	if (r == 0)
		r = parse_place(&place, &upstream, error);
	if (r == 0)
		*ret_upstream = upstream;
	explicit_bzero(&upstream, sizeof(upstream));
	return r;
}

const char *upstream_text(const struct upstream *upstream, char text[UPSTREAM_TEXT_BYTES])
{
	const char *form = strchr(upstream->host, ':') ? "%s://[%s]:%u" : "%s://%s:%u";

	(void)snprintf(text, UPSTREAM_TEXT_BYTES, form, schemes[upstream->scheme], upstream->host,
		       upstream->port);
	return text;
}
