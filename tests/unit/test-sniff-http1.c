/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The host of an HTTP/1 request
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "sniff-lab.h"

struct example {
	const char *request;
	enum sniff_reason reason;
	const char *name;
};

static void expect_all(const struct example *examples, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct example *example = &examples[i];
		struct sniff sniff =
			lab_read((const uint8_t *)example->request, strlen(example->request));

		if (sniff.reason != example->reason)
			print_message("%s\n", example->request);
		lab_expect(&sniff, example->reason, example->name);
		if (sniff.answer != SNIFF_MORE)
			assert_int_equal(sniff.protocol, sniff.reason == SNIFF_E_UNKNOWN
								 ? SNIFF_UNKNOWN
								 : SNIFF_HTTP1);
	}
}

#define HEAD "GET / HTTP/1.1\r\n"

static void test_host(void **state)
{
	static const struct example examples[] = {
		{ HEAD "Host: www.example.org\r\n\r\n", SNIFF_NAMED, "www.example.org" },
		{ HEAD "Host: www.example.org:8080\r\n\r\n", SNIFF_NAMED, "www.example.org" },
		{ HEAD "Host: www.example.org:\r\n\r\n", SNIFF_NAMED, "www.example.org" },
		{ HEAD "Host:www.example.org.\r\n\r\nGET /", SNIFF_NAMED, "www.example.org" },
		{ HEAD "hOsT: \t WWW.Example.ORG \t\r\n\r\n", SNIFF_NAMED, "www.example.org" },
		{ HEAD "Accept: */*\r\nHost: a.example\r\nX:\r\n\r\n", SNIFF_NAMED, "a.example" },
		{ "GET / HTTP/1.0\nHost: a.example\n\n", SNIFF_NAMED, "a.example" },
		{ "\r\n\r\n" HEAD "Host: a.example\r\n\r\n", SNIFF_NAMED, "a.example" },
		{ "POST /?q=a:b@c HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_NAMED, "a.example" },
		{ "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_NAMED, "a.example" },
		{ "UPDATEREDIRECTREF / HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_NAMED,
		  "a.example" },
		{ "VERSION-CONTROL / HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_NAMED,
		  "a.example" },
		{ "MY_OWN / HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_NAMED, "a.example" },
		{ HEAD "X-Host: b.example\r\nHost: a.example\r\nHostile: c\r\n\r\n", SNIFF_NAMED,
		  "a.example" },
		{ HEAD "Host: a.example\r\nX: \xc3\xbc\r\n\r\n", SNIFF_NAMED, "a.example" },
	};

	expect_all(examples, ARRAY_SIZE(examples));
}

static void test_target_wins(void **state)
{
	static const struct example examples[] = {
		{ "GET http://a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n", SNIFF_NAMED,
		  "a.example" },
		{ "GET HTTP://A.example:80?q HTTP/1.1\r\n\r\n", SNIFF_NAMED, "a.example" },
		{ "GET ftp://a.example HTTP/1.0\r\n\r\n", SNIFF_NAMED, "a.example" },
		{ "GET http://a.example#f HTTP/1.1\r\nHost:\r\n\r\n", SNIFF_NAMED, "a.example" },
		{ "GET http://192.0.2.1/ HTTP/1.1\r\nHost: b.example\r\n\r\n", SNIFF_E_ADDRESS },
		{ "GET http://[2001:db8::1]:80/ HTTP/1.1\r\nHost: b\r\n\r\n", SNIFF_E_ADDRESS },
		{ "CONNECT a.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n", SNIFF_NAMED,
		  "a.example" },
		{ "CONNECT [::1]:443 HTTP/1.1\r\nHost: b.example\r\n\r\n", SNIFF_E_ADDRESS },
		{ "CONNECT a.example HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "CONNECT a.example: HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "CONNECT :443 HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET http:///x HTTP/1.1\r\nHost: b.example\r\n\r\n", SNIFF_E_BAD_NAME },
		{ "GET http://u@a.example/ HTTP/1.1\r\n\r\n", SNIFF_E_BAD_NAME },
		{ "GET http://a.example\\@b.example/ HTTP/1.1\r\n\r\n", SNIFF_E_BAD_NAME },
		{ "GET http://a.example/ HTTP/1.1\r\nHost: b c\r\n\r\n", SNIFF_E_BAD_NAME },
		{ "GET http:/a.example/ HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET a/b://a.example/ HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
	};

	expect_all(examples, ARRAY_SIZE(examples));
}

static void test_no_name(void **state)
{
	static const struct example examples[] = {
		{ "GET / HTTP/1.0\r\n\r\n", SNIFF_E_NO_NAME },
		{ HEAD "Host: \r\n\r\n", SNIFF_E_NO_NAME },
		{ HEAD "Host: 192.0.2.1:80\r\n\r\n", SNIFF_E_ADDRESS },
		{ HEAD "Host: [2001:db8::1]\r\n\r\n", SNIFF_E_ADDRESS },
		{ HEAD "Host: [2001:db8::1]:80\r\n\r\n", SNIFF_E_ADDRESS },
		{ HEAD "Host: 0x7f.1\r\n\r\n", SNIFF_E_ADDRESS },
	};

	expect_all(examples, ARRAY_SIZE(examples));
}

static void test_broken(void **state)
{
	static const struct example examples[] = {
		{ HEAD "Host: a.example\r\nHost: a.example\r\n\r\n", SNIFF_E_TWO_NAMES },
		{ HEAD "Host: a.example\r\nX: y\r\nhost: b.example\r\n\r\n", SNIFF_E_TWO_NAMES },
		{ "GET http://a.example/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		  SNIFF_E_TWO_NAMES },
		{ HEAD "Host: a.example, b.example\r\n\r\n", SNIFF_E_BAD_NAME },
		{ HEAD "Host: a.example:http\r\n\r\n", SNIFF_E_BAD_NAME },
		{ HEAD "Host: [::1\r\n\r\n", SNIFF_E_BAD_NAME },
		{ HEAD "Host: []\r\n\r\n", SNIFF_E_BAD_NAME },
		{ HEAD "Host: [::1]a.example\r\n\r\n", SNIFF_E_BAD_NAME },
		{ HEAD "Host: u@a.example\r\n\r\n", SNIFF_E_BAD_NAME },
		{ HEAD "Host: a.example/b\r\n\r\n", SNIFF_E_BAD_NAME },
		{ HEAD "Host : a.example\r\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD " Host: a.example\r\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD "X: y\r\n\tHost: a.example\r\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD "Host:\r\n a.example\r\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD "Host: a.example\rX: y\r\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD "Host: a.example\nX: y\r\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD "Host: a.example\r\n\nHost: b.example\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET / HTTP/1.1\nHost: a.example\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD "Host: a.example\r\r\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD "Host\r\n\r\n", SNIFF_E_MESSAGE },
		{ HEAD ": a\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET  / HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET / HTTP/1.1 \r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET\t/\tHTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET / x HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET  HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET / HTTP/1.10\r\n\r\n", SNIFF_E_MESSAGE },
		{ "GET x HTTP/1.1\r\n\r\n", SNIFF_E_MESSAGE },
	};

	expect_all(examples, ARRAY_SIZE(examples));
}

static void test_other_protocols(void **state)
{
	static const struct example examples[] = {
		{ "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", SNIFF_E_UNKNOWN },
		{ "EHLO mail.example\r\n", SNIFF_E_UNKNOWN },
		{ "GET /\r\n", SNIFF_E_UNKNOWN },
		{ "GET / HTTP/2.0\r\n\r\n", SNIFF_E_UNKNOWN },
		{ "HTTP/1.1 200 OK\r\n\r\n", SNIFF_E_UNKNOWN },
		{ "OPTIONS rtsp://a.example/ RTSP/1.0\r\n", SNIFF_E_UNKNOWN },
		{ "*1\r\n$4\r\nPING\r\n", SNIFF_E_UNKNOWN },
		{ "\x01", SNIFF_E_UNKNOWN },
		{ "e", SNIFF_E_UNKNOWN }, /* not waited for: so no method begins */
		{ "G3", SNIFF_E_UNKNOWN },
		{ "get / HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_E_UNKNOWN },
		{ "GE\x01", SNIFF_E_UNKNOWN },
		{ "GET /\x7f", SNIFF_E_UNKNOWN },
		{ "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", SNIFF_E_UNKNOWN },
		{ "GET", SNIFF_E_MORE },
		{ "GET /", SNIFF_E_MORE },
		{ HEAD "Host: a.example\r\n", SNIFF_E_MORE },
		{ "PR", SNIFF_E_MORE },
	};

	expect_all(examples, ARRAY_SIZE(examples));
}

static void test_nul(void **state)
{
	static const char request[] = HEAD "Host: a.example\0.b.example\r\n\r\n";
	struct sniff sniff = lab_read((const uint8_t *)request, sizeof(request) - 1);

	lab_expect(&sniff, SNIFF_E_MESSAGE, NULL);
}

static void test_limit(void **state)
{
	static struct buffer buffer;
	struct sniff sniff;

	put_text(&buffer, HEAD "Host: a.example\r\nCookie: ");
	put_fill(&buffer, 'c', SNIFF_TCP_MAX - 4 - buffer.n);
	put_text(&buffer, "\r\n\r\n");
	sniff = lab_read_whole(buffer.bytes, buffer.n);
	lab_expect(&sniff, SNIFF_NAMED, "a.example");
	buffer.n -= 4;
	put_text(&buffer, "c\r\n\r\n");
	sniff = lab_read_whole(buffer.bytes, buffer.n);
	lab_expect(&sniff, SNIFF_E_TOO_LARGE, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),	cmocka_unit_test(test_target_wins),
		cmocka_unit_test(test_no_name), cmocka_unit_test(test_broken),
		cmocka_unit_test(test_nul),	cmocka_unit_test(test_other_protocols),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
