/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The name in a TLS ClientHello
 *
 * However records and segments cut it; what names nothing; what is refused.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "sniff-lab.h"

/* the tests are one after the other, and these are large */
static struct buffer message, stream;

static struct sniff read_hello(const struct lab_hello *hello, size_t n_fragment)
{
	message.n = stream.n = 0;
	put_hello(&message, hello);
	put_records(&stream, &message, n_fragment);
	return lab_read(stream.bytes, stream.n);
}

static void expect_hello(const struct lab_hello *hello, enum sniff_reason reason, const char *name)
{
	struct sniff sniff = read_hello(hello, 16384);

	lab_expect(&sniff, reason, name);
	assert_int_equal(sniff.protocol, SNIFF_TLS);
	assert_false(sniff.is_outer);
}

static void test_name(void **state)
{
	expect_hello(&(struct lab_hello){ .name = "www.example.org" }, SNIFF_NAMED,
		     "www.example.org");
	expect_hello(&(struct lab_hello){ .name = "Www.EXAMPLE.org." }, SNIFF_NAMED,
		     "www.example.org");
	expect_hello(&(struct lab_hello){ .name = "a_b.x-1.test", .is_greased = true }, SNIFF_NAMED,
		     "a_b.x-1.test");
	expect_hello(&(struct lab_hello){ .name = "localhost", .n_padding = 500 }, SNIFF_NAMED,
		     "localhost");
}

static void test_any_record_size(void **state)
{
	struct lab_hello hello = { .name = "split.example", .n_padding = 20 };

	for (size_t n_fragment = 1; n_fragment < 200; n_fragment++) {
		struct sniff sniff = read_hello(&hello, n_fragment);

		lab_expect(&sniff, SNIFF_NAMED, "split.example");
	}
}

static void test_bytes_behind(void **state)
{
	struct sniff sniff;

	message.n = stream.n = 0;
	put_hello(&message, &(struct lab_hello){ .name = "first.example" });
	put_hello(&message, &(struct lab_hello){ .name = "second.example" });
	put_records(&stream, &message, 300);
	put_fill(&stream, 0xff, 20);
	sniff = lab_read(stream.bytes, stream.n);
	lab_expect(&sniff, SNIFF_NAMED, "first.example");
}

static void test_no_name(void **state)
{
	expect_hello(&(struct lab_hello){ 0 }, SNIFF_E_NO_NAME, NULL);
	expect_hello(&(struct lab_hello){ .is_greased = true }, SNIFF_E_NO_NAME, NULL);
	expect_hello(&(struct lab_hello){ .has_no_extensions = true }, SNIFF_E_NO_NAME, NULL);
}

static void test_addresses(void **state)
{
	static const char *const addresses[] = { "192.0.2.1",	 "2001:db8::1", "::ffff:192.0.2.1",
						 "fe80::1%eth0", "3221225985",	"0xc0.0.2.1",
						 "192.0.513",	 "192.0.2.1." };

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		expect_hello(&(struct lab_hello){ .name = addresses[i] }, SNIFF_E_ADDRESS, NULL);
}

static void test_bad_names(void **state)
{
	static const char *const names[] = {
		"",
		".",
		"..",
		"a..b",
		".a",
		"a b.example",
		"a/b.example",
		"a@b.example",
		"b\xc3\xbc.example",
		"a%62.example",
		"[::1]",
		"a:443",
		"*.example.org",
		"a,b",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		expect_hello(&(struct lab_hello){ .name = names[i] }, SNIFF_E_BAD_NAME, NULL);
}

static void test_long_names(void **state)
{
	char name[300];

	memset(name, 'a', sizeof(name));
	for (size_t i = 50; i < sizeof(name); i += 51)
		name[i] = '.';
	name[253] = '\0';
	expect_hello(&(struct lab_hello){ .name = name }, SNIFF_NAMED, name);
	memcpy(name + 253, "a", 2);
	expect_hello(&(struct lab_hello){ .name = name }, SNIFF_E_BAD_NAME, NULL);
	memset(name, 'b', 64);
	memcpy(name + 63, ".example", 9);
	expect_hello(&(struct lab_hello){ .name = name }, SNIFF_NAMED, name);
	memcpy(name + 63, "b.example", 10);
	expect_hello(&(struct lab_hello){ .name = name }, SNIFF_E_BAD_NAME, NULL);
}

static void test_two_names(void **state)
{
	expect_hello(&(struct lab_hello){ .name = "a.example", .second_name = "b.example" },
		     SNIFF_E_TWO_NAMES, NULL);
	expect_hello(&(struct lab_hello){ .name = "a.example", .is_name_twice = true },
		     SNIFF_E_TWO_NAMES, NULL);
	expect_hello(&(struct lab_hello){ .name = "a.example", .name_type = 1 }, SNIFF_E_MESSAGE,
		     NULL);
}

static void test_ech(void **state)
{
	struct lab_hello hello = { .name = "public.example", .ech = "0000010001aa00200000" };
	struct sniff sniff = read_hello(&hello, 60);

	lab_expect(&sniff, SNIFF_NAMED, "public.example");
	assert_true(sniff.is_outer);
	hello.ech = "01"; /* the inner one, behind the server that has opened it */
	expect_hello(&hello, SNIFF_NAMED, "public.example");
	hello.ech = "02";
	expect_hello(&hello, SNIFF_E_MESSAGE, NULL);
	hello.ech = "";
	expect_hello(&hello, SNIFF_E_MESSAGE, NULL);
	hello = (struct lab_hello){ .ech = "00" };
	expect_hello(&hello, SNIFF_E_NO_NAME, NULL);
	hello = (struct lab_hello){ .name = "a.example", .ech = "00", .extra = "fe0d000101" };
	expect_hello(&hello, SNIFF_E_TWO_NAMES, NULL);
}

static void test_broken_messages(void **state)
{
	static const char *const extras[] = { "00", "000f", "000f00", "000f0001", "fe0d0001" };

	for (size_t i = 0; i < ARRAY_SIZE(extras); i++)
		expect_hello(&(struct lab_hello){ .name = "a.example", .extra = extras[i] },
			     SNIFF_E_MESSAGE, NULL);
}

/* one byte of a good hello is another one: never a crash, never a name that was not there */
static void test_each_byte_changed(void **state)
{
	struct lab_hello hello = { .name = "a.example" };

	message.n = stream.n = 0;
	put_hello(&message, &hello);
	put_records(&stream, &message, 16384);
	for (size_t i = 0; i < stream.n; i++) {
		for (unsigned int change = 1; change < 256; change <<= 1) {
			struct sniff sniff;

			stream.bytes[i] ^= (uint8_t)change;
			sniff = lab_read_whole(stream.bytes, stream.n);
			stream.bytes[i] ^= (uint8_t)change;
			if (sniff.answer == SNIFF_NAME)
				assert_int_equal(strlen(sniff.name), strlen("a.example"));
		}
	}
}

static void expect_hex(const char *hex, enum sniff_reason reason)
{
	struct sniff sniff;

	stream.n = 0;
	put_hex(&stream, hex);
	sniff = lab_read(stream.bytes, stream.n);
	lab_expect(&sniff, reason, NULL);
}

static void test_records(void **state)
{
	expect_hex("16", SNIFF_E_MORE);
	expect_hex("1603", SNIFF_E_MORE);
	expect_hex("1602010005", SNIFF_E_UNKNOWN);
	expect_hex("1603010000", SNIFF_E_FRAMING);
	expect_hex("1603014001", SNIFF_E_FRAMING);
	expect_hex("160301000102", SNIFF_E_MESSAGE);	/* ServerHello */
	expect_hex("160301000101 15", SNIFF_E_FRAMING); /* an alert in its middle */
	expect_hex("160301000101 1601", SNIFF_E_FRAMING);
	expect_hex("1603010004 01004001", SNIFF_E_TOO_LARGE);
	expect_hex("1603010004 01000000", SNIFF_E_MESSAGE);
	expect_hex("802e0103010015000000100100800300800700c00600400200800400800000",
		   SNIFF_E_UNKNOWN);
	expect_hex("1703030005", SNIFF_E_UNKNOWN);
	expect_hex("00", SNIFF_E_UNKNOWN);
}

/* the largest hello in records that just fit, and in ones that do not */
static void test_limits(void **state)
{
	struct lab_hello hello = { .name = "large.example", .n_padding = 1 };
	struct sniff sniff;

	message.n = stream.n = 0;
	put_hello(&message, &hello);
	hello.n_padding += 16384 + 4 - message.n;
	message.n = 0;
	put_hello(&message, &hello);
	assert_int_equal(message.n, SNIFF_HELLO_MAX);
	put_records(&stream, &message, 16384);
	sniff = lab_read_whole(stream.bytes, stream.n);
	lab_expect(&sniff, SNIFF_NAMED, "large.example");
	sniff = lab_read_whole(stream.bytes, stream.n - 1);
	lab_expect(&sniff, SNIFF_E_MORE, NULL);
	assert_int_equal(sniff.needs, stream.n);
	stream.n = 0;
	put_records(&stream, &message, 5);
	assert_true(stream.n > SNIFF_TCP_MAX);
	sniff = lab_read_whole(stream.bytes, stream.n);
	lab_expect(&sniff, SNIFF_E_TOO_LARGE, NULL);
	sniff = lab_read_whole(stream.bytes, SNIFF_TCP_MAX);
	lab_expect(&sniff, SNIFF_E_TOO_LARGE, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name),	     cmocka_unit_test(test_any_record_size),
		cmocka_unit_test(test_bytes_behind), cmocka_unit_test(test_no_name),
		cmocka_unit_test(test_addresses),    cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_long_names),   cmocka_unit_test(test_two_names),
		cmocka_unit_test(test_ech),	     cmocka_unit_test(test_broken_messages),
		cmocka_unit_test(test_records),	     cmocka_unit_test(test_each_byte_changed),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
