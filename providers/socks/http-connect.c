/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http-connect.h"

#define SECRETS_BYTES (2U * UPSTREAM_SECRET_BYTES) /* USER:PASSWORD */
#define BASE64_BYTES ((SECRETS_BYTES + 2U) / 3U * 4U + 1U)
#define AUTHORITY_BYTES (DESTINATION_HOST_BYTES + 9U) /* [HOST]:PORT */
#define VERSION "HTTP/1."

enum step {
	STEP_VERSION, /* "HTTP/1.", a digit, a space */
	STEP_STATUS,  /* three digits */
	STEP_BEHIND,  /* a space, or the end of the line */
	STEP_TEXT,    /* to the end of the line: what is for people, or a field's value */
	STEP_END,     /* behind CR */
	STEP_LINE,    /* at the beginning of a line */
	STEP_NAME,    /* of a field */
	STEP_LAST,    /* behind CR in an empty line */
};

/* ---- what is said ---- */

/* Return: characters, without the NUL */
static size_t base64(const char *bytes, size_t n, char text[BASE64_BYTES])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t at = 0;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t three = (uint32_t)(uint8_t)bytes[i] << 16;

		if (i + 1 < n)
			three |= (uint32_t)(uint8_t)bytes[i + 1] << 8;
		if (i + 2 < n)
			three |= (uint8_t)bytes[i + 2];
		text[at++] = digits[three >> 18];
		text[at++] = digits[three >> 12 & 63];
		text[at++] = i + 1 < n ? digits[three >> 6 & 63] : '=';
		text[at++] = i + 2 < n ? digits[three & 63] : '=';
	}
	text[at] = '\0';
	return at;
}

static void write_authority(const struct destination *destination, char text[AUTHORITY_BYTES])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_ipv4 = !memcmp(destination->address, mapped, sizeof(mapped));
	char address[INET6_ADDRSTRLEN];
	const char *host = destination->host;

	if (!*host)
		host = inet_ntop(is_ipv4 ? AF_INET : AF_INET6,
				 destination->address + (is_ipv4 ? 12 : 0), address,
				 sizeof(address));
	(void)snprintf(text, AUTHORITY_BYTES, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
		       destination->port);
}

/* RFC 7617 */
static void say_user(struct handshake *handshake)
{
	static const char before[] = "Proxy-Authorization: Basic ";
	char both[SECRETS_BYTES], text[BASE64_BYTES];
	int n = snprintf(both, sizeof(both), "%s:%s", handshake->upstream->user,
			 handshake->upstream->password);
	size_t n_text = base64(both, (size_t)n, text);

	handshake_say(handshake, before, strlen(before));
	handshake_say(handshake, text, n_text);
	handshake_say(handshake, "\r\n", 2);
	explicit_bzero(both, sizeof(both));
	explicit_bzero(text, sizeof(text));
}

void http_connect_begin(struct handshake *handshake)
{
	char authority[AUTHORITY_BYTES], lines[2 * AUTHORITY_BYTES + 64];
	int n;

	write_authority(handshake->destination, authority);
	n = snprintf(lines, sizeof(lines), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", authority,
		     authority);
	handshake_say(handshake, lines, (size_t)n);
	if (handshake->upstream->has_user)
		say_user(handshake);
	handshake_say(handshake, "\r\n", 2);
}

/* ---- what is answered ---- */

/* RFC 9110 5.6.2 */
static bool is_token(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static void fail(struct handshake *handshake, const char *reason)
{
	handshake_end(handshake, HANDSHAKE_FAILED, -ECONNREFUSED, "%s", reason);
}

static void go(struct handshake *handshake, enum step step)
{
	handshake->http.step = step;
}

static void refuse(struct handshake *handshake, unsigned int status)
{
	static const struct status {
		unsigned int number;
		enum handshake_state state;
		int error;
		const char *reason;
	} statuses[] = {
		{ 400, HANDSHAKE_FAILED, -ECONNREFUSED, "it does not understand CONNECT" },
		{ 401, HANDSHAKE_FAILED, -EACCES, "it wants a user and a password" },
		{ 403, HANDSHAKE_REFUSED, -EACCES, "it does not allow this destination" },
		{ 404, HANDSHAKE_REFUSED, -EHOSTUNREACH, "it does not find the destination" },
		{ 405, HANDSHAKE_FAILED, -ECONNREFUSED, "it allows no CONNECT" },
		{ 407, HANDSHAKE_FAILED, -EACCES, "it wants a user and a password" },
		{ 408, HANDSHAKE_REFUSED, -ETIMEDOUT, "no answer in time" },
		{ 429, HANDSHAKE_FAILED, -ECONNREFUSED, "too many requests" },
		{ 501, HANDSHAKE_FAILED, -ECONNREFUSED, "it has no CONNECT" },
		{ 502, HANDSHAKE_REFUSED, -EHOSTUNREACH, "it does not reach the destination" },
		{ 504, HANDSHAKE_REFUSED, -ETIMEDOUT, "the destination gave no answer in time" },
		{ 0, HANDSHAKE_REFUSED, -ECONNREFUSED, "it did not connect" },
	};
	const struct status *found = statuses;
	const char *reason;

	while (found->number && found->number != status)
		found++;
	reason = found->reason;
	if ((status == 401 || status == 407) && handshake->upstream->has_user)
		reason = "it does not take this user and password";
	handshake_end(handshake, found->state, found->error, "answered %u: %s", status, reason);
}

/* the head is whole */
static void judge(struct handshake *handshake)
{
	unsigned int status = handshake->http.status;
	size_t n = handshake->http.n;

	if (status >= 200 && status <= 299) {
		handshake->state = HANDSHAKE_DONE;
	} else if (status >= 100 && status <= 199 && status != 101) {
		/* another one follows */
		memset(&handshake->http, 0, sizeof(handshake->http));
		handshake->http.n = n;
	} else {
		refuse(handshake, status);
	}
}

static void take_version(struct handshake *handshake, uint8_t c)
{
	unsigned int n = handshake->http.n_matched++;

	if (n < strlen(VERSION) ? c != (uint8_t)VERSION[n]
				: (n == strlen(VERSION) ? !is_digit(c) : c != ' '))
		fail(handshake, "does not speak HTTP/1");
	else if (n > strlen(VERSION))
		go(handshake, STEP_STATUS);
}

static void take_status(struct handshake *handshake, uint8_t c)
{
	handshake->http.status = handshake->http.status * 10 + (c - '0');
	if (!is_digit(c))
		fail(handshake, "answered with garbage in the place of a status");
	else if (++handshake->http.n_digits == 3)
		go(handshake, STEP_BEHIND);
}

static void take_text(struct handshake *handshake, uint8_t c)
{
	if (c == '\r')
		go(handshake, STEP_END);
	else if (c == '\n')
		go(handshake, STEP_LINE);
	else if ((c < ' ' && c != '\t') || c == 0x7f)
		fail(handshake, "answered with a control character");
}

static void take_behind(struct handshake *handshake, uint8_t c)
{
	if (c == ' ')
		go(handshake, STEP_TEXT);
	else if (c == '\r' || c == '\n')
		take_text(handshake, c);
	else
		fail(handshake, "answered with garbage in the place of a status");
}

static void take_end(struct handshake *handshake, uint8_t c)
{
	if (c == '\n')
		go(handshake, STEP_LINE);
	else
		fail(handshake, "answered with a control character");
}

static void take_line(struct handshake *handshake, uint8_t c)
{
	if (c == '\n')
		judge(handshake);
	else if (c == '\r')
		go(handshake, STEP_LAST);
	else if ((c == ' ' || c == '\t') && handshake->http.has_field)
		go(handshake, STEP_TEXT); /* the last one goes on: RFC 9112 5.2 */
	else if (is_token(c))
		go(handshake, STEP_NAME);
	else
		fail(handshake, "answered with garbage in the place of a field");
}

static void take_name(struct handshake *handshake, uint8_t c)
{
	if (c == ':') {
		handshake->http.has_field = true;
		go(handshake, STEP_TEXT);
	} else if (!is_token(c)) {
		fail(handshake, "answered with garbage in the place of a field");
	}
}

static void take_last(struct handshake *handshake, uint8_t c)
{
	if (c == '\n')
		judge(handshake);
	else
		fail(handshake, "answered with a control character");
}

void http_connect_take(struct handshake *handshake, uint8_t byte)
{
	static void (*const steps[])(struct handshake * handshake, uint8_t c) = {
		[STEP_VERSION] = take_version, [STEP_STATUS] = take_status,
		[STEP_BEHIND] = take_behind,   [STEP_TEXT] = take_text,
		[STEP_END] = take_end,	       [STEP_LINE] = take_line,
		[STEP_NAME] = take_name,       [STEP_LAST] = take_last,
	};

	if (++handshake->http.n > HANDSHAKE_ANSWER_MAX)
		fail(handshake, "answered with more than 16 KB");
	else
		steps[handshake->http.step](handshake, byte);
}

enum handshake_wait http_connect_waits_for(const struct handshake *handshake)
{
	return handshake->http.n ? HANDSHAKE_WAITS_FOR_PROXY : HANDSHAKE_WAITS_FOR_EITHER;
}
