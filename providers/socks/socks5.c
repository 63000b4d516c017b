/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "socks5.h"

#define VERSION 5
#define METHOD_NONE 0
#define METHOD_USER 2
#define METHOD_NO_OTHER 0xff
#define HEAD_BYTES 4U /* of an answer: version, reply, reserved, type of address */
#define ADDRESS_MAX (1U + 1U + 255U + 2U)
#define UDP_BEFORE_BYTES 3U /* reserved, fragment */

enum step { STEP_METHOD, STEP_USER, STEP_REPLY };
enum address_type { TYPE_IPV4 = 1, TYPE_NAME = 3, TYPE_IPV6 = 4 };

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

/* ---- addresses ---- */

/* type, address, port. Return: bytes of it */
static size_t write_address(const struct destination *destination, uint8_t out[ADDRESS_MAX])
{
	bool is_ipv4 = !memcmp(destination->address, mapped, sizeof(mapped));
	size_t n = strlen(destination->host), at = 1;

	if (n) {
		out[0] = TYPE_NAME;
		out[at++] = (uint8_t)n;
		memcpy(out + at, destination->host, n);
	} else {
		out[0] = is_ipv4 ? TYPE_IPV4 : TYPE_IPV6;
		n = is_ipv4 ? 4 : 16;
		memcpy(out + at, destination->address + 16 - n, n);
	}
	at += n;
	out[at++] = (uint8_t)(destination->port >> 8);
	out[at++] = (uint8_t)destination->port;
	return at;
}

/* type, address, port. Return: bytes of the whole; 0: more than @n are needed to say; -EBADMSG */
static int measure_address(const uint8_t *bytes, size_t n)
{
	if (n == 0)
		return 0;
	switch (bytes[0]) {
	case TYPE_IPV4:
		return 1 + 4 + 2;
	case TYPE_IPV6:
		return 1 + 16 + 2;
	case TYPE_NAME:
		return n < 2 ? 0 : 1 + 1 + bytes[1] + 2;
	default:
		return -EBADMSG;
	}
}

/* as measure_address(), of all of it */
static int read_address(const uint8_t *bytes, size_t n, struct destination *ret_address)
{
	struct destination address = { 0 };
	int n_whole = measure_address(bytes, n);

	if (n_whole <= 0 || n < (size_t)n_whole)
		return n_whole < 0 ? n_whole : 0;
	if (bytes[0] == TYPE_NAME) {
		if (bytes[1] == 0 || memchr(bytes + 2, '\0', bytes[1]))
			return -EBADMSG;
		memcpy(address.host, bytes + 2, bytes[1]);
	} else {
		size_t n_address = (size_t)n_whole - 3;

		memcpy(address.address, mapped, sizeof(mapped));
		memcpy(address.address + 16 - n_address, bytes + 1, n_address);
	}
	address.port = (uint16_t)(bytes[n_whole - 2] << 8 | bytes[n_whole - 1]);
	*ret_address = address;
	return n_whole;
}

/* ---- what is said ---- */

void socks5_begin(struct handshake *handshake, enum socks5_command command)
{
	static const uint8_t both[] = { VERSION, 2, METHOD_NONE, METHOD_USER };
	static const uint8_t none[] = { VERSION, 1, METHOD_NONE };

	handshake->socks5.command = (uint8_t)command;
	handshake->socks5.step = STEP_METHOD;
	if (handshake->upstream->has_user)
		handshake_say(handshake, both, sizeof(both));
	else
		handshake_say(handshake, none, sizeof(none));
}

static void expect(struct handshake *handshake, enum step step)
{
	handshake->socks5.step = step;
	handshake->socks5.n = 0;
}

static void say_request(struct handshake *handshake)
{
	uint8_t request[3 + ADDRESS_MAX] = { VERSION, handshake->socks5.command, 0 };
	size_t n = 3 + write_address(handshake->destination, request + 3);

	handshake_say(handshake, request, n);
	expect(handshake, STEP_REPLY);
}

/* RFC 1929 */
static void say_user(struct handshake *handshake)
{
	const struct upstream *upstream = handshake->upstream;
	const char *const secrets[] = { upstream->user, upstream->password };

	handshake_say(handshake, &(uint8_t){ 1 }, 1);
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t n = (uint8_t)strlen(secrets[i]);

		handshake_say(handshake, &n, 1);
		handshake_say(handshake, secrets[i], n);
	}
	expect(handshake, STEP_USER);
}

/* ---- what is answered ---- */

static void fail(struct handshake *handshake, const char *reason)
{
	handshake_end(handshake, HANDSHAKE_FAILED, -ECONNREFUSED, "%s", reason);
}

static bool has_version(struct handshake *handshake)
{
	if (handshake->socks5.answer[0] == VERSION)
		return true;
	fail(handshake, "does not speak SOCKS5");
	return false;
}

static void take_method(struct handshake *handshake)
{
	const uint8_t *answer = handshake->socks5.answer;

	if (!has_version(handshake) || handshake->socks5.n < 2)
		return;
	if (answer[1] == METHOD_NONE)
		say_request(handshake);
	else if (answer[1] == METHOD_USER && handshake->upstream->has_user)
		say_user(handshake);
	else if (answer[1] == METHOD_NO_OTHER)
		handshake_end(handshake, HANDSHAKE_FAILED, -EACCES, "%s",
			      handshake->upstream->has_user
				      ? "takes neither no password nor one"
				      : "wants a user and a password, or nobody from here");
	else
		fail(handshake, "chose a way to authenticate that was not offered");
}

/* the first byte is the version, and there are servers that say 5 here: it is not looked at */
static void take_user(struct handshake *handshake)
{
	if (handshake->socks5.n < 2)
		return;
	if (handshake->socks5.answer[1] == 0)
		say_request(handshake);
	else
		handshake_end(handshake, HANDSHAKE_FAILED, -EACCES,
			      "does not take this user and password");
}

static void refuse(struct handshake *handshake, uint8_t reply)
{
	static const struct {
		enum handshake_state state;
		int error;
		const char *reason;
	} replies[] = {
		[1] = { HANDSHAKE_REFUSED, -ECONNREFUSED, "general failure" },
		[2] = { HANDSHAKE_REFUSED, -EACCES, "not allowed by its rules" },
		[3] = { HANDSHAKE_REFUSED, -ENETUNREACH, "network unreachable" },
		[4] = { HANDSHAKE_REFUSED, -EHOSTUNREACH, "host unreachable" },
		[5] = { HANDSHAKE_REFUSED, -ECONNREFUSED, "connection refused" },
		[6] = { HANDSHAKE_REFUSED, -ETIMEDOUT, "no answer in time (TTL expired)" },
		[7] = { HANDSHAKE_FAILED, -ECONNREFUSED, "command not supported" },
		[8] = { HANDSHAKE_REFUSED, -ENETUNREACH, "type of address not supported" },
	};

	if (reply < sizeof(replies) / sizeof(replies[0]))
		handshake_end(handshake, replies[reply].state, replies[reply].error, "says: %s",
			      replies[reply].reason);
	else
		handshake_end(handshake, HANDSHAKE_REFUSED, -ECONNREFUSED,
			      "says: failure number %u", reply);
}

static void take_reply(struct handshake *handshake)
{
	const uint8_t *answer = handshake->socks5.answer;
	size_t n = handshake->socks5.n;
	int n_address;

	if (!has_version(handshake) || n < 2)
		return;
	if (answer[1]) {
		refuse(handshake, answer[1]);
		return;
	}
	n_address = n < HEAD_BYTES ? 0 : measure_address(answer + 3, n - 3);
	if (n_address < 0)
		fail(handshake, "answered with garbage");
	else if (n_address > 0 && n == 3 + (size_t)n_address)
		handshake->state = HANDSHAKE_DONE;
}

void socks5_take(struct handshake *handshake, uint8_t byte)
{
	static void (*const steps[])(struct handshake * handshake) = {
		[STEP_METHOD] = take_method,
		[STEP_USER] = take_user,
		[STEP_REPLY] = take_reply,
	};

	handshake->socks5.answer[handshake->socks5.n++] = byte;
	steps[handshake->socks5.step](handshake);
}

enum handshake_wait socks5_waits_for(const struct handshake *handshake)
{
	bool is_asked = handshake->socks5.step == STEP_REPLY && handshake->socks5.n == 0;

	return is_asked ? HANDSHAKE_WAITS_FOR_DESTINATION : HANDSHAKE_WAITS_FOR_PROXY;
}

int socks5_bound(const struct handshake *handshake, struct destination *ret_bound)
{
	int r = read_address(handshake->socks5.answer + 3, handshake->socks5.n - 3, ret_bound);

	return r > 0 ? 0 : -EBADMSG;
}

/* ---- datagrams: RFC 1928 7 ---- */

size_t socks5_udp_head(const struct destination *destination, uint8_t head[SOCKS5_UDP_HEAD_MAX])
{
	memset(head, 0, UDP_BEFORE_BYTES);
	return UDP_BEFORE_BYTES + write_address(destination, head + UDP_BEFORE_BYTES);
}

int socks5_udp_read(const uint8_t *datagram, size_t n, struct destination *ret_source)
{
	int n_address;

	if (n < UDP_BEFORE_BYTES || datagram[2]) /* a fragment; who cannot join them drops them */
		return -EBADMSG;
	n_address = read_address(datagram + UDP_BEFORE_BYTES, n - UDP_BEFORE_BYTES, ret_source);
	return n_address > 0 ? (int)UDP_BEFORE_BYTES + n_address : -EBADMSG;
}
