/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: HTTP CONNECT, as a client, with proxies that are well and others that are not
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "socks-lab.h"

static struct lab_outcome talk(const char *url, const char *host, const char *address,
			       const char *answer)
{
	/* the outcome keeps pointers to them */
	static struct upstream upstream;
	static struct destination destination;

	upstream = lab_url(url);
	destination = lab_to(host, address, 443);
	return lab_talk(&upstream, &destination, answer, strlen(answer));
}

static void expect_said(const struct lab_outcome *outcome, const char *text)
{
	lab_expect_said(outcome, text, strlen(text));
}

static void test_request(void **state)
{
	struct lab_outcome outcome = talk("http://h:1", NULL, "192.0.2.7", "");

	expect_said(&outcome, "CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\r\n");
	outcome = talk("http://h:1", NULL, "2001:db8::7", "");
	expect_said(&outcome,
		    "CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\n\r\n");
	outcome = talk("https://h:1", "a.example", "192.0.2.7", "");
	expect_said(&outcome, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
}

/* the examples of RFC 7617 2 and RFC 4648 10 */
static void test_user(void **state)
{
	static const char *const users[][2] = {
		{ "Aladdin:open%20sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
		{ "test:123%c2%a3", "dGVzdDoxMjPCow==" },
		{ "fo", "Zm86" },
		{ "f:o", "Zjpv" },
		{ "f:oo", "Zjpvbw==" },
		{ "f:ooo", "Zjpvb28=" },
		{ "%ff:%ff%fb", "/zr/+w==" },
	};
	char url[128], said[256];

	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		struct lab_outcome outcome;

		snprintf(url, sizeof(url), "http://%s@h:1", users[i][0]);
		snprintf(said, sizeof(said),
			 "CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n"
			 "Proxy-Authorization: Basic %s\r\n\r\n",
			 users[i][1]);
		outcome = talk(url, NULL, "192.0.2.7", "");
		expect_said(&outcome, said);
	}
}

static void test_longest_request(void **state)
{
	char url[1024], user[256] = { 0 }, name[256] = { 0 };
	struct lab_outcome outcome;

	memset(user, 'u', 255);
	memset(name, 'n', 255);
	snprintf(url, sizeof(url), "http://%s:%s@h:1", user, user);
	outcome = talk(url, name, NULL, "HTTP/1.1 200 OK\r\n\r\n");
	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	assert_int_equal(outcome.said.n, 8 + 259 + 11 + 6 + 259 + 2 + 27 + 684 + 2 + 2);
	assert_memory_equal(outcome.said.bytes + outcome.said.n - 4, "\r\n\r\n", 4);
}

static void test_tunnel(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.0 200 Connection established\r\n\r\n",
		"HTTP/1.1 200\r\n\r\n",
		"HTTP/1.1 200 \r\n\r\n",
		"HTTP/1.1 299 x\r\nVia: 1.1 proxy\r\nX:\r\n\r\n",
		"HTTP/1.1 200 OK\n\n",
		"HTTP/1.1 200\nA: b\n\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\tagain\r\nC: d\r\n\r\n",
		"HTTP/1.1 200 \xc3\xbc\r\nX: \xff\x80\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 102 z\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		/* RFC 9110 9.3.6: they are to be ignored */
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	static const char *const behind[] = { "", "SSH-2.0-x\r\n", "HTTP/1.1 407 x\r\n\r\n",
					      "\r\n" };
	char answer[512];

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		for (size_t j = 0; j < ARRAY_SIZE(behind); j++) {
			struct lab_outcome outcome;

			snprintf(answer, sizeof(answer), "%s%s", answers[i], behind[j]);
			outcome = talk("http://h:1", NULL, "192.0.2.7", answer);
			lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
			assert_int_equal(outcome.n_used, strlen(answers[i]));
		}
}

static void test_statuses(void **state)
{
	static const struct {
		unsigned int status;
		enum handshake_state state;
		int error;
		const char *reason;
	} statuses[] = {
		{ 101, HANDSHAKE_REFUSED, -ECONNREFUSED, "answered 101: it did not connect" },
		{ 302, HANDSHAKE_REFUSED, -ECONNREFUSED, "answered 302: it did not connect" },
		{ 400, HANDSHAKE_FAILED, -ECONNREFUSED,
		  "answered 400: it does not understand CONNECT" },
		{ 401, HANDSHAKE_FAILED, -EACCES, "answered 401: it wants a user and a password" },
		{ 403, HANDSHAKE_REFUSED, -EACCES,
		  "answered 403: it does not allow this destination" },
		{ 404, HANDSHAKE_REFUSED, -EHOSTUNREACH,
		  "answered 404: it does not find the destination" },
		{ 405, HANDSHAKE_FAILED, -ECONNREFUSED, "answered 405: it allows no CONNECT" },
		{ 407, HANDSHAKE_FAILED, -EACCES, "answered 407: it wants a user and a password" },
		{ 408, HANDSHAKE_REFUSED, -ETIMEDOUT, "answered 408: no answer in time" },
		{ 429, HANDSHAKE_FAILED, -ECONNREFUSED, "answered 429: too many requests" },
		{ 500, HANDSHAKE_REFUSED, -ECONNREFUSED, "answered 500: it did not connect" },
		{ 501, HANDSHAKE_FAILED, -ECONNREFUSED, "answered 501: it has no CONNECT" },
		{ 502, HANDSHAKE_REFUSED, -EHOSTUNREACH,
		  "answered 502: it does not reach the destination" },
		{ 503, HANDSHAKE_REFUSED, -ECONNREFUSED, "answered 503: it did not connect" },
		{ 504, HANDSHAKE_REFUSED, -ETIMEDOUT,
		  "answered 504: the destination gave no answer in time" },
		{ 999, HANDSHAKE_REFUSED, -ECONNREFUSED, "answered 999: it did not connect" },
		{ 0, HANDSHAKE_REFUSED, -ECONNREFUSED, "answered 0: it did not connect" },
	};
	char answer[128];

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct lab_outcome outcome;

		snprintf(answer, sizeof(answer), "HTTP/1.1 %03u x\r\nContent-Length: 1\r\n\r\nx",
			 statuses[i].status);
		outcome = talk("http://h:1", NULL, "192.0.2.7", answer);
		lab_expect(&outcome, statuses[i].state, statuses[i].error, statuses[i].reason);
	}
}

static void test_user_refused(void **state)
{
	struct lab_outcome outcome = talk("http://alice:secret@h:1", NULL, "192.0.2.7",
					  "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n");

	lab_expect(&outcome, HANDSHAKE_FAILED, -EACCES,
		   "answered 407: it does not take this user and password");
}

static void test_garbage(void **state)
{
	static const struct {
		const char *answer, *reason;
	} answers[] = {
		{ "\x05\xff", "does not speak HTTP/1" },
		{ "SSH-2.0-OpenSSH\r\n", "does not speak HTTP/1" },
		{ "HTTP/2 200 OK\r\n\r\n", "does not speak HTTP/1" },
		{ "http/1.1 200 OK\r\n\r\n", "does not speak HTTP/1" },
		{ "HTTP/1.x 200 OK\r\n\r\n", "does not speak HTTP/1" },
		{ "HTTP/1.11 200 OK\r\n\r\n", "does not speak HTTP/1" },
		{ "\r\nHTTP/1.1 200 OK\r\n\r\n", "does not speak HTTP/1" },
		{ "HTTP/1.1  200 OK\r\n\r\n", "answered with garbage in the place of a status" },
		{ "HTTP/1.1 2x0 OK\r\n\r\n", "answered with garbage in the place of a status" },
		{ "HTTP/1.1 20 OK\r\n\r\n", "answered with garbage in the place of a status" },
		{ "HTTP/1.1 2000 OK\r\n\r\n", "answered with garbage in the place of a status" },
		{ "HTTP/1.1 -20 OK\r\n\r\n", "answered with garbage in the place of a status" },
		{ "HTTP/1.1 200 O\x01K\r\n\r\n", "answered with a control character" },
		{ "HTTP/1.1 200 O\rK\r\n\r\n", "answered with a control character" },
		{ "HTTP/1.1 200 O\x7f", "answered with a control character" },
		{ "HTTP/1.1 200 OK\r\n\rX", "answered with a control character" },
		{ "HTTP/1.1 200 OK\r\nA: \x1b[0m\r\n\r\n", "answered with a control character" },
		{ "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
		  "answered with garbage in the place of a field" },
		{ "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		  "answered with garbage in the place of a field" },
		{ "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
		  "answered with garbage in the place of a field" },
		{ "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		  "answered with garbage in the place of a field" },
		{ "HTTP/1.1 200 OK\r\nA\r\n\r\n", "answered with garbage in the place of a field" },
		{ "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 x",
		  "answered with garbage in the place of a status" },
		{ "HTTP/1.1 100 x\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n folded",
		  "answered with garbage in the place of a field" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct lab_outcome outcome =
			talk("http://h:1", NULL, "192.0.2.7", answers[i].answer);

		lab_expect(&outcome, HANDSHAKE_FAILED, -ECONNREFUSED, answers[i].reason);
	}
}

static void test_zero_byte(void **state)
{
	static const char answers[][32] = { "\0", "HTTP/1.1 200 \0", "HTTP/1.1 200 OK\r\n\0",
					    "HTTP/1.1 200 OK\r\nA\0" };
	static const size_t sizes[] = { 1, 14, 18, 19 };
	struct upstream upstream = lab_url("http://h:1");
	struct destination destination = lab_to(NULL, "192.0.2.7", 443);

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct lab_outcome outcome =
			lab_talk(&upstream, &destination, answers[i], sizes[i]);

		assert_int_equal(outcome.handshake.state, HANDSHAKE_FAILED);
	}
}

/* one that fits, one byte more, and one that never ends, whatever it is made of */
static void test_size(void **state)
{
	static const char before[] = "HTTP/1.1 200 OK\r\nA: ", between[] = "HTTP/1.1 100 x\r\n\r\n";
	struct upstream upstream = lab_url("http://h:1");
	struct destination destination = lab_to(NULL, "192.0.2.7", 443);
	char *answer = malloc(4 * HANDSHAKE_ANSWER_MAX);
	struct lab_outcome outcome;

	assert_non_null(answer);
	memset(answer, 'x', 4UL * HANDSHAKE_ANSWER_MAX);
	memcpy(answer, before, sizeof(before) - 1);
	memcpy(answer + HANDSHAKE_ANSWER_MAX - 4, "\r\n\r\nx", 5);
	outcome = lab_talk(&upstream, &destination, answer, HANDSHAKE_ANSWER_MAX + 1);
	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	assert_int_equal(outcome.n_used, HANDSHAKE_ANSWER_MAX);

	memcpy(answer + HANDSHAKE_ANSWER_MAX - 4, "x\r\n\r\n", 5);
	outcome = lab_talk(&upstream, &destination, answer, HANDSHAKE_ANSWER_MAX + 1);
	lab_expect(&outcome, HANDSHAKE_FAILED, -ECONNREFUSED, "answered with more than 16 KB");

	for (size_t at = 0; at < 2UL * HANDSHAKE_ANSWER_MAX; at += sizeof(between) - 1)
		memcpy(answer + at, between, sizeof(between) - 1);
	outcome = lab_talk(&upstream, &destination, answer, 2UL * HANDSHAKE_ANSWER_MAX);
	lab_expect(&outcome, HANDSHAKE_FAILED, -ECONNREFUSED, "answered with more than 16 KB");
	free(answer);
}

static void test_half(void **state)
{
	static const char whole[] = "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n";
	char part[sizeof(whole)];

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		struct lab_outcome outcome;

		memcpy(part, whole, n);
		part[n] = '\0';
		outcome = talk("http://h:1", NULL, "192.0.2.7", part);
		lab_expect(&outcome, HANDSHAKE_GOES_ON, 0, NULL);
		handshake_cut(&outcome.handshake);
		lab_expect(&outcome, HANDSHAKE_FAILED, -ECONNREFUSED,
			   "ended the connection before it had answered");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_longest_request),
		cmocka_unit_test(test_tunnel),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_user_refused),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_zero_byte),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
