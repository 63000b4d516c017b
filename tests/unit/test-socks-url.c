/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: URLs of upstream proxies
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "socks-lab.h"

static void test_right(void **state)
{
	static const struct {
		const char *url, *host;
		enum upstream_scheme scheme;
		unsigned int port;
		const char *user, *password, *text;
	} urls[] = {
		{ "socks5://192.0.2.1:1080", "192.0.2.1", UPSTREAM_SOCKS5, 1080, NULL, NULL,
		  "socks5://192.0.2.1:1080" },
		{ "SOCKS5H://Proxy.Example:1/", "Proxy.Example", UPSTREAM_SOCKS5H, 1, NULL, NULL,
		  "socks5h://Proxy.Example:1" },
		{ "http://a.example.:65535", "a.example.", UPSTREAM_HTTP, 65535, NULL, NULL,
		  "http://a.example.:65535" },
		{ "https://[2001:db8::1]:443", "2001:db8::1", UPSTREAM_HTTPS, 443, NULL, NULL,
		  "https://[2001:db8::1]:443" },
		{ "socks5://alice:secret@[::1]:1080", "::1", UPSTREAM_SOCKS5, 1080, "alice",
		  "secret", "socks5://[::1]:1080" },
		{ "socks5://alice@h:1", "h", UPSTREAM_SOCKS5, 1, "alice", "", "socks5://h:1" },
		{ "socks5://alice:@h:1", "h", UPSTREAM_SOCKS5, 1, "alice", "", "socks5://h:1" },
		{ "http://al%69ce:s%3a%40%2F%25:x@h:1", "h", UPSTREAM_HTTP, 1, "alice", "s:@/%:x",
		  "http://h:1" },
		{ "socks5://a%3Ab:c@h:1", "h", UPSTREAM_SOCKS5, 1, "a:b", "c", "socks5://h:1" },
		{ "socks5://a:b@c@h:1", "h", UPSTREAM_SOCKS5, 1, "a", "b@c", "socks5://h:1" },
		{ "socks5://\xc3\xbc:%c3%bc@h:1", "h", UPSTREAM_SOCKS5, 1, "\xc3\xbc", "\xc3\xbc",
		  "socks5://h:1" },
		{ "socks5://h_1-2.example:00080", "h_1-2.example", UPSTREAM_SOCKS5, 80, NULL, NULL,
		  "socks5://h_1-2.example:80" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		struct upstream upstream = lab_url(urls[i].url);
		char text[UPSTREAM_TEXT_BYTES];

		assert_int_equal(upstream.scheme, urls[i].scheme);
		assert_string_equal(upstream.host, urls[i].host);
		assert_int_equal(upstream.port, urls[i].port);
		assert_int_equal(upstream.has_user, urls[i].user != NULL);
		assert_string_equal(upstream.user, urls[i].user ? urls[i].user : "");
		assert_string_equal(upstream.password, urls[i].password ? urls[i].password : "");
		assert_string_equal(upstream_text(&upstream, text), urls[i].text);
	}
}

static void expect_wrong(const char *url, const char *part)
{
	struct upstream upstream, before;
	char error[UPSTREAM_ERROR_BYTES] = "";

	memset(&upstream, 0x5a, sizeof(upstream));
	before = upstream;
	assert_int_equal(upstream_parse(url, &upstream, error), -EINVAL);
	assert_memory_equal(&upstream, &before, sizeof(before));
	if (!strstr(error, part))
		fail_msg("%s: \"%s\" has no \"%s\"", url, error, part);
	assert_true(strlen(error) < UPSTREAM_ERROR_BYTES - 1);
	assert_null(strstr(error, "secret"));
}

static void test_wrong(void **state)
{
	static const char *const urls[][2] = {
		{ "", "no scheme" },
		{ "192.0.2.1:1080", "no scheme" },
		{ "alice:secret@192.0.2.1:1080", "no scheme" },
		{ "alice:secret://192.0.2.1:1080", "no scheme" },
		{ "://h:1", "no scheme" },
		{ "socks4://h:1", "\"socks4://\" is not known: use socks5://" },
		{ "socks5h", "no scheme" },
		{ "socks5:/h:1", "no scheme" },
		{ "socks5://", "no host" },
		{ "socks5://:1080", "no host" },
		{ "socks5://h", "no port: write HOST:PORT, as in socks5://192.0.2.1:1080" },
		{ "http://h/", "as in http://" },
		{ "socks5://h:", "no port" },
		{ "socks5://h:0", "from 1 to 65535" },
		{ "socks5://h:65536", "from 1 to 65535" },
		{ "socks5://h:99999999999999999999999", "from 1 to 65535" },
		{ "socks5://h:+80", "from 1 to 65535" },
		{ "socks5://h:80 ", "from 1 to 65535" },
		{ "socks5://h:secret", "from 1 to 65535" },
		{ "socks5://alice:secret#1@h:1080", "%23" },
		{ "socks5://alice:se/secret@h:1080", "%2F" },
		{ "socks5://h:1/path", "goes on behind HOST:PORT" },
		{ "socks5://h:1?x", "goes on behind HOST:PORT" },
		{ "socks5://h:1//", "goes on behind HOST:PORT" },
		{ "socks5://@h:1", "no user before it" },
		{ "socks5://:secret@h:1", "no user before it" },
		{ "socks5://a:secret%@h:1", "write %25" },
		{ "socks5://a:secret%4@h:1", "write %25" },
		{ "socks5://a:secret%4g@h:1", "write %25" },
		{ "socks5://a%g4:secret@h:1", "in the user" },
		{ "socks5://a:secret%00@h:1", "control character" },
		{ "socks5://a:secret%0d%0a@h:1", "the password has a control character" },
		{ "socks5://a:secret\x7f@h:1", "control character" },
		{ "http://a%3ab:secret@h:1", "colon" },
		{ "socks5://2001:db8::1:1080", "several colons" },
		{ "socks5://[2001:db8::1:1080", "not closed" },
		{ "socks5://[2001:db8::1]", "no port" },
		{ "socks5://[2001:db8::1]1080", "behind the bracket" },
		{ "socks5://[2001:db8::1]x:1080", "behind the bracket" },
		{ "socks5://[fe80::1%25eth0]:1080", "no address of IPv6" },
		{ "socks5://[192.0.2.1]:1080", "no address of IPv6" },
		{ "socks5://[]:1080", "no address of IPv6" },
		{ "socks5://a b:1080", "no host name" },
		{ "socks5://b\xc3\xbc.example:1080", "xn--" },
		{ "socks5://192.0.2:1080", "neither an address nor a host name" },
		{ "socks5://192.0.2.256:1080", "neither an address nor a host name" },
		{ "socks5://a..b:1080", "neither an address nor a host name" },
		{ "socks5://.:1080", "neither an address nor a host name" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
		expect_wrong(urls[i][0], urls[i][1]);
}

/* @n characters of @what; where they stand is %s of @form */
static const char *long_url(const char *form, char what, size_t n)
{
	static char url[2048];
	char text[1024];

	memset(text, what, n);
	text[n] = '\0';
	assert_true((size_t)snprintf(url, sizeof(url), form, text) < sizeof(url));
	return url;
}

static void test_long(void **state)
{
	assert_int_equal(strlen(lab_url(long_url("socks5://%s@h:1", 'u', 255)).user), 255);
	assert_int_equal(strlen(lab_url(long_url("socks5://u:%s@h:1", 'p', 255)).password), 255);
	assert_int_equal(strlen(lab_url(long_url("socks5://%s:1", 'h', 63)).host), 63);
	expect_wrong(long_url("socks5://%s@h:1", 'u', 256), "the user is longer than 255 bytes");
	expect_wrong(long_url("socks5://u:%s@h:1", 'p', 256), "the password is longer than 255");
	expect_wrong(long_url("socks5://%s:1", 'h', 64), "neither an address nor a host name");
	expect_wrong(long_url("socks5://%s:1", 'h', 253), "neither an address nor a host name");
	expect_wrong(long_url("socks5://%s:1", 'h', 254), "longer than 253");
	expect_wrong(long_url("%s://h:1", 's', 17), "no scheme");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
