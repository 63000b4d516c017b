/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: SOCKS5, as a client, with servers that are well and others that are not
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "providers/socks/socks5-udp.h"
#include "providers/socks/socks5.h"
#include "socks-lab.h"

#define BYTES(text) (text), sizeof(text) - 1
#define BOUND "\x01\x0a\x00\x00\x01\x04\x38" /* 10.0.0.1:1080 */
#define OK_REPLY "\x05\x00\x00" BOUND

static struct lab_outcome talk(const char *url, const char *host, const char *address,
			       const void *bytes, size_t n)
{
	/* the outcome keeps pointers to them */
	static struct upstream upstream;
	static struct destination destination;

	upstream = lab_url(url);
	destination = lab_to(host, address, 443);
	return lab_talk(&upstream, &destination, bytes, n);
}

static void test_address(void **state)
{
	struct lab_outcome outcome =
		talk("socks5://h:1", NULL, "192.0.2.7", BYTES("\x05\x00" OK_REPLY));

	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	lab_expect_said(&outcome, BYTES("\x05\x01\x00"
					"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"));
	outcome = talk("socks5://h:1", NULL, "2001:db8::7", BYTES("\x05\x00" OK_REPLY));
	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	lab_expect_said(
		&outcome,
		BYTES("\x05\x01\x00"
		      "\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x01\xbb"));
}

static void test_name(void **state)
{
	struct lab_outcome outcome =
		talk("socks5h://h:1", "example.com", "192.0.2.7", BYTES("\x05\x00" OK_REPLY));
	char longest[256] = { 0 };

	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	lab_expect_said(&outcome, BYTES("\x05\x01\x00"
					"\x05\x01\x00\x03\x0b"
					"example.com\x01\xbb"));
	memset(longest, 'x', 255);
	outcome = talk("socks5h://h:1", longest, NULL, BYTES("\x05\x00" OK_REPLY));
	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	assert_int_equal(outcome.said.n, 3 + 5 + 255 + 2);
	assert_int_equal(outcome.said.bytes[3 + 4], 255);
}

static void test_user(void **state)
{
	struct lab_outcome outcome = talk("socks5://alice:se%25cret@h:1", NULL, "192.0.2.7",
					  BYTES("\x05\x02"
						"\x01\x00" OK_REPLY));

	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	lab_expect_said(&outcome, BYTES("\x05\x02\x00\x02"
					"\x01\x05"
					"alice\x07se%cret"
					"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"));
	/* it need not be asked for */
	outcome = talk("socks5://alice:secret@h:1", NULL, "192.0.2.7", BYTES("\x05\x00" OK_REPLY));
	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	lab_expect_said(&outcome, BYTES("\x05\x02\x00\x02"
					"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"));
	/* servers that have the version wrong */
	outcome = talk("socks5://alice@h:1", NULL, "192.0.2.7",
		       BYTES("\x05\x02"
			     "\x05\x00" OK_REPLY));
	lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
	assert_memory_equal(outcome.said.bytes + 4,
			    "\x01\x05"
			    "alice\x00",
			    8);
}

static void test_user_refused(void **state)
{
	struct lab_outcome outcome = talk("socks5://alice:secret@h:1", NULL, "192.0.2.7",
					  BYTES("\x05\x02"
						"\x01\x01"));

	lab_expect(&outcome, HANDSHAKE_FAILED, -EACCES, "does not take this user and password");
	assert_int_equal(outcome.said.n, 4 + 3 + 5 + 6); /* no request */
	outcome = talk("socks5://alice:secret@h:1", NULL, "192.0.2.7", BYTES("\x05\xff"));
	lab_expect(&outcome, HANDSHAKE_FAILED, -EACCES, "takes neither no password nor one");
	outcome = talk("socks5://h:1", NULL, "192.0.2.7", BYTES("\x05\xff"));
	lab_expect(&outcome, HANDSHAKE_FAILED, -EACCES,
		   "wants a user and a password, or nobody from here");
}

/* nobody is told who we are that was not meant to be */
static void test_method_not_offered(void **state)
{
	for (unsigned int method = 1; method < 0xff; method++) {
		const uint8_t answer[] = { 5, (uint8_t)method, 1, 0 };
		struct lab_outcome outcome =
			talk("socks5://h:1", NULL, "192.0.2.7", answer, sizeof(answer));

		lab_expect(&outcome, HANDSHAKE_FAILED, -ECONNREFUSED,
			   "chose a way to authenticate that was not offered");
		assert_int_equal(outcome.said.n, 3);
	}
}

static void test_replies(void **state)
{
	static const struct {
		int error;
		enum handshake_state state;
		const char *reason;
	} replies[] = {
		[1] = { -ECONNREFUSED, HANDSHAKE_REFUSED, "says: general failure" },
		[2] = { -EACCES, HANDSHAKE_REFUSED, "says: not allowed by its rules" },
		[3] = { -ENETUNREACH, HANDSHAKE_REFUSED, "says: network unreachable" },
		[4] = { -EHOSTUNREACH, HANDSHAKE_REFUSED, "says: host unreachable" },
		[5] = { -ECONNREFUSED, HANDSHAKE_REFUSED, "says: connection refused" },
		[6] = { -ETIMEDOUT, HANDSHAKE_REFUSED, "says: no answer in time (TTL expired)" },
		[7] = { -ECONNREFUSED, HANDSHAKE_FAILED, "says: command not supported" },
		[8] = { -ENETUNREACH, HANDSHAKE_REFUSED, "says: type of address not supported" },
		[9] = { -ECONNREFUSED, HANDSHAKE_REFUSED, "says: failure number 9" },
	};

	for (unsigned int i = 1; i < ARRAY_SIZE(replies); i++) {
		const uint8_t answer[] = { 5, 0, 5, (uint8_t)i, 0, 1, 0, 0, 0, 0, 0, 0 };
		/* whole, and from a server that ends it there and then */
		const size_t sizes[] = { sizeof(answer), 4 };

		for (unsigned int j = 0; j < 2; j++) {
			struct lab_outcome outcome =
				talk("socks5://h:1", NULL, "192.0.2.7", answer, sizes[j]);

			lab_expect(&outcome, replies[i].state, replies[i].error, replies[i].reason);
		}
	}
}

static void test_payload_behind(void **state)
{
	static const struct {
		const char *bytes;
		size_t n, n_answer;
	} answers[] = {
		{ BYTES("\x05\x00" OK_REPLY "SSH-2.0-x\r\n"), 12 },
		{ BYTES("\x05\x00" OK_REPLY "\x05\x01\x00"), 12 },
		{ BYTES("\x05\x00\x05\x00\x00\x03\x01"
			"h\0\0"
			"\0"),
		  10 },
		{ BYTES("\x05\x00\x05\x00\x00\x03\x00"
			"\0\0"
			"\x05"),
		  9 },
		{ BYTES("\x05\x00\x05\x00\xff\x04"
			"0123456789abcdef"
			"\0\0"
			"xyz"),
		  24 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct lab_outcome outcome =
			talk("socks5://h:1", NULL, "192.0.2.7", answers[i].bytes, answers[i].n);

		lab_expect(&outcome, HANDSHAKE_DONE, 0, NULL);
		assert_int_equal(outcome.n_used, answers[i].n_answer);
	}
}

static void test_garbage(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *reason;
	} answers[] = {
		{ BYTES("\x04\x5a"), "does not speak SOCKS5" },
		{ BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak SOCKS5" },
		{ BYTES("\x00"), "does not speak SOCKS5" },
		{ BYTES("\x05\x00\x04\x00\x00" BOUND), "does not speak SOCKS5" },
		{ BYTES("\x05\x00\x05\x00\x00\x00\x0a"), "answered with garbage" },
		{ BYTES("\x05\x00\x05\x00\x00\x02\x0a"), "answered with garbage" },
		{ BYTES("\x05\x00\x05\x00\x00\xff\x0a"), "answered with garbage" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct lab_outcome outcome =
			talk("socks5://h:1", NULL, "192.0.2.7", answers[i].bytes, answers[i].n);

		lab_expect(&outcome, HANDSHAKE_FAILED, -ECONNREFUSED, answers[i].reason);
	}
}

/* every beginning of a good conversation is one, and ends as a failure of the proxy */
static void test_half(void **state)
{
	static const char whole[] = "\x05\x02\x01\x00" OK_REPLY;

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		struct lab_outcome outcome =
			talk("socks5://alice:secret@h:1", NULL, "192.0.2.7", whole, n);

		lab_expect(&outcome, HANDSHAKE_GOES_ON, 0, NULL);
		handshake_cut(&outcome.handshake);
		lab_expect(&outcome, HANDSHAKE_FAILED, -ECONNREFUSED,
			   "ended the connection before it had answered");
	}
}

/* it speaks before it is spoken to, so that everything there is to say waits at once */
static void test_says_all_at_once(void **state)
{
	static const char answer[] = "\x05\x02\x01\x00" OK_REPLY;
	char url[1024], user[256] = { 0 }, name[256] = { 0 };
	struct handshake handshake;
	struct destination to;
	struct upstream upstream;
	size_t n;

	memset(user, 'u', 255);
	memset(name, 'n', 255);
	snprintf(url, sizeof(url), "socks5h://%s:%s@h:1", user, user);
	upstream = lab_url(url);
	to = lab_to(name, NULL, 443);
	handshake_begin(&handshake, &upstream, &to);
	handshake_feed(&handshake, (const uint8_t *)answer, sizeof(answer) - 1);
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
	handshake_output(&handshake, &n);
	assert_int_equal(n, 4 + (1 + 256 + 256) + (5 + 255 + 2));
}

static void test_associate(void **state)
{
	struct upstream upstream = lab_url("socks5://h:1");
	struct destination any = { 0 }, bound;
	struct handshake handshake = { .upstream = &upstream, .destination = &any };
	static const char answer[] = "\x05\x00" OK_REPLY;
	uint8_t address[16] = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 1 };
	const uint8_t *output;
	size_t n;

	socks5_begin(&handshake, SOCKS5_ASSOCIATE);
	assert_int_equal(handshake_feed(&handshake, (const uint8_t *)answer, sizeof(answer) - 1),
			 12);
	assert_int_equal(handshake.state, HANDSHAKE_DONE);
	output = handshake_output(&handshake, &n);
	assert_int_equal(n, 3 + 22);
	assert_memory_equal(output + 3, "\x05\x03\x00\x04", 4);
	assert_int_equal(socks5_bound(&handshake, &bound), 0);
	assert_memory_equal(bound.address, address, 16);
	assert_int_equal(bound.port, 1080);
	assert_string_equal(bound.host, "");
}

static void test_datagrams(void **state)
{
	const struct destination all[] = { lab_to(NULL, "192.0.2.7", 53),
					   lab_to(NULL, "2001:db8::7", 65535),
					   lab_to("a.example", NULL, 1) };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uint8_t datagram[SOCKS5_UDP_HEAD_MAX + 1], *exact;
		struct destination source = { 0 }, untouched = lab_to("x", NULL, 9);
		size_t n = socks5_udp_head(&all[i], datagram);

		assert_int_equal(socks5_udp_read(datagram, n, &source), n);
		assert_memory_equal(&source, &all[i], sizeof(source));
		datagram[n] = 'x';
		assert_int_equal(socks5_udp_read(datagram, n + 1, &source), n);
		for (size_t cut = 0; cut < n; cut++) {
			exact = malloc(cut ? cut : 1);
			assert_non_null(exact);
			memcpy(exact, datagram, cut);
			source = untouched;
			assert_int_equal(socks5_udp_read(exact, cut, &source), -EBADMSG);
			assert_memory_equal(&source, &untouched, sizeof(source));
			free(exact);
		}
		for (size_t j = 0; j < 3; j++) { /* reserved; a fragment */
			datagram[j] = 1;
			assert_int_equal(socks5_udp_read(datagram, n, &source), -EBADMSG);
			datagram[j] = 0;
		}
	}
}

static void test_datagrams_wrong(void **state)
{
	struct destination source;

	assert_int_equal(
		socks5_udp_read((const uint8_t *)BYTES("\0\0\0\x02\1\2\3\4\0\x35x"), &source),
		-EBADMSG);
	assert_int_equal(socks5_udp_read((const uint8_t *)BYTES("\0\0\0\x03\x00\0\x35x"), &source),
			 -EBADMSG);
	assert_int_equal(socks5_udp_read((const uint8_t *)BYTES("\0\0\0\x03\x02"
								"a\0"
								"\0\x35x"),
					 &source),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_user_refused),
		cmocka_unit_test(test_method_not_offered),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_payload_behind),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_half),
		cmocka_unit_test(test_says_all_at_once),
		cmocka_unit_test(test_associate),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_datagrams_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
