/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "socks5-address.h"
#include "socks5.h"

#define VERSION 5
#define METHOD_NONE 0
#define METHOD_USER 2
#define METHOD_NO_OTHER 0xff
#define HEAD_BYTES 4U /* of an answer: version, reply, reserved, type of address */

#define REPLY_NOT_ALLOWED 2U
#define REPLY_NO_COMMAND 7U

enum step { STEP_METHOD, STEP_USER, STEP_REPLY };

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
	uint8_t request[3 + SOCKS5_ADDRESS_MAX] = { VERSION, handshake->socks5.command, 0 };
	size_t n = 3 + socks5_address_write(handshake->destination, request + 3);

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

/* no destination was named: it is about the proxy, which is well and may take connections */
static void refuse_datagrams(struct handshake *handshake, uint8_t reply, const char *reason)
{
	bool is_policy = reply == REPLY_NOT_ALLOWED || reply == REPLY_NO_COMMAND;

	handshake_end(handshake, HANDSHAKE_REFUSED, is_policy ? -EACCES : -ECONNREFUSED,
		      "carries no UDP for us: failure number %u%s%s", reply, *reason ? ", " : "",
		      reason);
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
	const size_t n_replies = sizeof(replies) / sizeof(replies[0]);

	if (handshake->socks5.command == SOCKS5_ASSOCIATE)
		refuse_datagrams(handshake, reply, reply < n_replies ? replies[reply].reason : "");
	else if (reply < n_replies)
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
	n_address = n < HEAD_BYTES ? 0 : socks5_address_size(answer + 3, n - 3);
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
	/* an association of UDP has nothing to wait for */
	bool is_asked = handshake->socks5.step == STEP_REPLY && handshake->socks5.n == 0 &&
			handshake->socks5.command == SOCKS5_CONNECT;

	return is_asked ? HANDSHAKE_WAITS_FOR_DESTINATION : HANDSHAKE_WAITS_FOR_PROXY;
}

int socks5_bound(const struct handshake *handshake, struct destination *ret_bound)
{
	int r = socks5_address_read(handshake->socks5.answer + 3, handshake->socks5.n - 3,
				    ret_bound);

	return r > 0 ? 0 : -EBADMSG;
}
