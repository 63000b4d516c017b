/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What is read from a DNS answer
 *
 * The addresses that the question's name leads to, and what is no answer or broken.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "dns-packet.h"

/* consumes the packet; the copy has no byte to spare, so that a sanitizer sees the end */
static int read_packet(struct dns_packet *packet, struct dns_answer *answer)
{
	uint8_t *bytes = malloc(packet->n ? packet->n : 1);
	int r;

	assert_non_null(bytes);
	memcpy(bytes, packet->bytes, packet->n);
	r = dns_read_answer(bytes, packet->n, answer);
	free(bytes);
	free(packet);
	return r;
}

static void assert_address(const struct dns_answer *answer, size_t i, uint8_t last, uint32_t ttl_s)
{
	uint8_t address[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, last };

	assert_true(i < answer->n_addresses);
	assert_memory_equal(answer->addresses[i].address, address, sizeof(address));
	assert_int_equal(answer->addresses[i].ttl_s, ttl_s);
}

static void test_addresses(void **state)
{
	struct dns_packet *packet = dns_begin(2, "WWW.Example.org", A);
	struct dns_answer answer;

	dns_put_a(packet, "@12", 300, 1);
	dns_put_a(packet, "www.example.ORG", 60, 2);
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_string_equal(answer.name, "www.example.org");
	assert_int_equal(answer.n_addresses, 2);
	assert_address(&answer, 0, 1, 300);
	assert_address(&answer, 1, 2, 60);
	assert_false(answer.is_cut);
}

static void test_ipv6(void **state)
{
	static const uint8_t address[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 };
	struct dns_packet *packet = dns_begin(2, "example.org", AAAA);
	struct dns_answer answer;

	dns_put_record(packet, "@12", AAAA, 5, address, sizeof(address));
	dns_put_a(packet, "@12", 300, 1); /* not asked for */
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_int_equal(answer.n_addresses, 1);
	assert_memory_equal(answer.addresses[0].address, address, sizeof(address));
	assert_int_equal(answer.addresses[0].ttl_s, 5);
}

static void test_any(void **state)
{
	struct dns_packet *packet = dns_begin(2, "example.org", ANY);
	struct dns_answer answer;

	dns_put_a(packet, "@12", 300, 1);
	dns_put_record(packet, "@12", AAAA, 1, "0123456789abcdef", 16);
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_int_equal(answer.n_addresses, 2);
}

/* the chain leads from the question, in whatever order; its smallest TTL counts */
static void test_chain(void **state)
{
	struct dns_packet *packet = dns_begin(5, "www.example.org", A);
	struct dns_answer answer;

	dns_put_a(packet, "cdn.example.net", 300, 1);
	dns_put_cname(packet, "a.example.com", 20, "cdn.example.net");
	dns_put_a(packet, "other.example.com", 300, 9); /* nobody leads there */
	dns_put_cname(packet, "@12", 100, "a.example.com");
	dns_put_cname(packet, "stray.example.com", 1, "cdn.example.net");
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_string_equal(answer.name, "www.example.org");
	assert_int_equal(answer.n_addresses, 1);
	assert_address(&answer, 0, 1, 20);
}

static void test_dname(void **state)
{
	struct dns_packet *packet = dns_begin(3, "www.old.example", A);
	struct dns_answer answer;

	dns_put_record(packet, "old.example", DNAME, 300, "\3new\7example", 13);
	dns_put_cname(packet, "@12", 0, "www.new.example");
	dns_put_a(packet, "www.new.example", 300, 1);
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_int_equal(answer.n_addresses, 1);
	assert_address(&answer, 0, 1, 0);
}

static void test_cname_loop(void **state)
{
	struct dns_packet *packet = dns_begin(4, "a.example", A);
	struct dns_answer answer;

	dns_put_cname(packet, "a.example", 9, "b.example");
	dns_put_cname(packet, "b.example", 9, "c.example");
	dns_put_cname(packet, "c.example", 9, "A.EXAMPLE");
	dns_put_a(packet, "c.example", 9, 1);
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_int_equal(answer.n_addresses, 1);
	packet = dns_begin(1, "a.example", A);
	dns_put_cname(packet, "@12", 9, "@12");
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_int_equal(answer.n_addresses, 0);
}

static void chain_of(unsigned int n, struct dns_answer *answer)
{
	struct dns_packet *packet = dns_begin(n + 1, "n0.example", A);
	char owner[32], target[32];

	for (unsigned int i = 0; i < n; i++) {
		snprintf(owner, sizeof(owner), "n%u.example", i);
		snprintf(target, sizeof(target), "n%u.example", i + 1);
		dns_put_cname(packet, owner, 60, target);
	}
	snprintf(owner, sizeof(owner), "n%u.example", n);
	dns_put_a(packet, owner, 60, 1);
	assert_int_equal(read_packet(packet, answer), 0);
}

static void test_chain_limit(void **state)
{
	struct dns_answer answer;

	chain_of(DNS_CHAIN_MAX, &answer);
	assert_int_equal(answer.n_addresses, 1);
	chain_of(DNS_CHAIN_MAX + 1, &answer);
	assert_int_equal(answer.n_addresses, 0);
}

static void test_address_limit(void **state)
{
	struct dns_packet *packet = dns_begin(DNS_ADDRESSES_MAX + 1, "example.org", A);
	struct dns_answer answer;

	for (size_t i = 0; i <= DNS_ADDRESSES_MAX; i++)
		dns_put_a(packet, "@12", 60, (uint8_t)i);
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_int_equal(answer.n_addresses, DNS_ADDRESSES_MAX);
	assert_true(answer.is_cut);
}

static void test_hints(void **state)
{
	/* priority 1, target ".", alpn h2, two IPv4 hints, one IPv6 hint */
	static const uint8_t data[] = { 0,   1,	   0, 0, 1,   0, 3, 2, 'h', '2', 0, 4,	0,    8,
					192, 0,	   2, 1, 192, 0, 2, 2, 0,   6,	 0, 16, 0x20, 1,
					0xd, 0xb8, 0, 0, 0,   0, 0, 0, 0,   0,	 0, 0,	0,    1 };
	struct dns_packet *packet = dns_begin(1, "example.org", HTTPS);
	struct dns_answer answer;

	dns_put_record(packet, "@12", HTTPS, 33, data, sizeof(data));
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_int_equal(answer.n_addresses, 3);
	assert_address(&answer, 0, 1, 33);
	assert_address(&answer, 1, 2, 33);
	assert_int_equal(answer.addresses[2].address[15], 1);
	packet = dns_begin(1, "example.org", HTTPS);
	dns_put_record(packet, "@12", HTTPS, 33, data, sizeof(data) - 1);
	assert_int_equal(read_packet(packet, &answer), DNS_E_MALFORMED);
}

static void test_ttl(void **state)
{
	struct dns_packet *packet = dns_begin(1, "example.org", A);
	struct dns_answer answer;

	dns_put_a(packet, "@12", 0x80000001, 1);
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_address(&answer, 0, 1, 0);
}

static void test_no_data(void **state)
{
	struct dns_answer answer;

	assert_int_equal(read_packet(dns_begin(0, "example.org", A), &answer), 0);
	assert_int_equal(answer.n_addresses, 0);
}

static void test_not_answer(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {
		{ 2, 0x01 }, /* a query */
		{ 2, 0xa9 }, /* opcode update */
		{ 3, 0x83 }, /* no such name */
		{ 5, 0 },    /* no question */
		{ 5, 2 },    /* two */
		{ 28, 3 },   /* class chaos */
	};
	struct dns_answer answer = { .n_addresses = 77 };

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct dns_packet *packet = dns_begin(1, "example.org", A);

		dns_put_a(packet, "@12", 1, 1);
		packet->bytes[changes[i].at] = changes[i].value;
		assert_int_equal(read_packet(packet, &answer), DNS_E_NOT_ANSWER);
	}
	assert_int_equal(answer.n_addresses, 77);
	assert_int_equal(read_packet(dns_begin(0, "", A), &answer), DNS_E_NOT_ANSWER);
}

/* whatever is cut off at the end, the rest is malformed and nothing is read behind it */
static void test_short(void **state)
{
	struct dns_answer answer;
	size_t whole;

	for (size_t n = 0, is_done = 0; !is_done; n++) {
		struct dns_packet *packet = dns_begin(2, "www.example.org", A);

		dns_put_cname(packet, "@12", 60, "example@24");
		dns_put_a(packet, "example@24", 60, 1);
		whole = packet->n;
		packet->n = n;
		is_done = n == whole;
		assert_int_equal(read_packet(packet, &answer), is_done ? 0 : DNS_E_MALFORMED);
	}
}

static void test_truncated(void **state)
{
	struct dns_packet *packet = dns_begin(2, "example.org", A);
	struct dns_answer answer;

	dns_put_a(packet, "@12", 60, 1);
	dns_put_a(packet, "@12", 60, 2);
	packet->bytes[2] |= 0x02;
	packet->n -= 2;
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_int_equal(answer.n_addresses, 1);
}

static void assert_bad_owner(const void *owner, size_t n)
{
	struct dns_packet *packet = dns_begin(1, "example.org", A);
	struct dns_answer answer;

	dns_put(packet, owner, n);
	dns_put(packet, "\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", 14);
	assert_int_equal(read_packet(packet, &answer), DNS_E_MALFORMED);
}

static void test_bad_names(void **state)
{
	/* the first answer's owner stands at 29 */
	assert_bad_owner("\xc0\x1d", 2);    /* to itself */
	assert_bad_owner("\1a\xc0\x1d", 4); /* into the same name */
	assert_bad_owner("\xc0\x1f", 2);    /* forward */
	assert_bad_owner("\xc0\x00", 2);    /* into the header */
	assert_bad_owner("\xff\xff", 2);    /* outside */
	assert_bad_owner("\x40"
			 "a\0",
			 3); /* label types nobody uses */
	assert_bad_owner("\x80"
			 "a\0",
			 3);
}

static void test_bad_data(void **state)
{
	struct dns_packet *packet = dns_begin(1, "example.org", A);
	struct dns_answer answer;

	dns_put_record(packet, "@12", A, 60, "12345", 5);
	assert_int_equal(read_packet(packet, &answer), DNS_E_MALFORMED);
	packet = dns_begin(1, "example.org", AAAA);
	dns_put_record(packet, "@12", AAAA, 60, "1234", 4);
	assert_int_equal(read_packet(packet, &answer), DNS_E_MALFORMED);
	packet = dns_begin(1, "example.org", A);
	dns_put_record(packet, "@12", CNAME, 60, "\1a\0x", 4);
	assert_int_equal(read_packet(packet, &answer), DNS_E_MALFORMED);
}

static void test_escapes(void **state)
{
	/* a dot inside a label, a line end, a quote: none may look like something else */
	struct dns_packet *packet = dns_begin(0, "a", A);
	struct dns_answer answer;

	packet->n = HEADER;
	dns_put(packet, "\7a.b\n\"\\\xc3\3_X-\0\0\1\0\1", 17);
	assert_int_equal(read_packet(packet, &answer), 0);
	assert_string_equal(answer.name, "a\\046b\\010\\034\\092\\195._x-");
}

/* three labels of 63 and one of @last; 61 gives the longest name there is */
static int read_long_name(size_t last, char filler, struct dns_answer *answer)
{
	struct dns_packet *packet = dns_begin(0, "a", A);
	uint8_t label[64];

	packet->n = HEADER;
	for (size_t i = 0; i < 4; i++) {
		label[0] = (uint8_t)(i < 3 ? 63 : last);
		memset(label + 1, filler, 63);
		dns_put(packet, label, 1U + label[0]);
	}
	dns_put(packet, "\0\0\1\0\1", 5);
	return read_packet(packet, answer);
}

static void test_long_names(void **state)
{
	struct dns_answer answer;

	assert_int_equal(read_long_name(61, 'a', &answer), 0);
	assert_int_equal(strlen(answer.name), 253);
	assert_int_equal(read_long_name(62, 'a', &answer), DNS_E_MALFORMED);
	assert_int_equal(read_long_name(61, ' ', &answer), DNS_E_NOT_ANSWER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),   cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_any),	    cmocka_unit_test(test_chain),
		cmocka_unit_test(test_dname),	    cmocka_unit_test(test_cname_loop),
		cmocka_unit_test(test_chain_limit), cmocka_unit_test(test_address_limit),
		cmocka_unit_test(test_hints),	    cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_no_data),	    cmocka_unit_test(test_not_answer),
		cmocka_unit_test(test_short),	    cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_bad_names),   cmocka_unit_test(test_bad_data),
		cmocka_unit_test(test_escapes),	    cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
