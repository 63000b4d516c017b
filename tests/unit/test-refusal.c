/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packet is read back with the kernel's structures and a checksum of another make. */
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "flow/packet.h"
#include "flow/refusal.h"

static const struct sl_tuple tuple = {
	.laddr = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
	.raddr = { [10] = 0xff, 0xff, 198, 51, 100, 255 },
	.lport = 0xfffe,
	.rport = 53,
	.proto = IPPROTO_UDP,
};
static const uint8_t quote[REFUSAL_QUOTE] = { 0xff, 0xfe, 0, 53, 0x12, 0x34, 0xab, 0xcd };

/* RFC 1071, in the machine's own byte order: the sum over a right packet is all ones */
static uint16_t sum_of(const uint8_t *bytes, size_t n)
{
	uint64_t sum = 0;
	uint16_t word;

	for (size_t i = 0; i < n; i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		sum += word;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void its_checksums_are_right(void **state)
{
	uint8_t packet[REFUSAL_BYTES];
	struct sl_tuple varied = tuple;

	for (unsigned int i = 0; i < 65536; i += 251) { /* carries of all kinds */
		varied.laddr[12] = (uint8_t)i;
		varied.raddr[15] = (uint8_t)(i >> 8);
		refusal_write(&varied, quote, packet);
		assert_int_equal(sum_of(packet, 20), 0xffff);
		assert_int_equal(sum_of(packet + 20, REFUSAL_BYTES - 20), 0xffff);
		assert_int_equal(sum_of(packet + 28, 20), 0xffff);
	}
}

static void it_goes_from_the_machine_to_itself(void **state)
{
	uint8_t packet[REFUSAL_BYTES];
	struct ip ip;

	refusal_write(&tuple, quote, packet);
	memcpy(&ip, packet, sizeof(ip));
	assert_int_equal(ip.ip_v, 4);
	assert_int_equal(ip.ip_hl, 5);
	assert_int_equal(ntohs(ip.ip_len), REFUSAL_BYTES);
	assert_int_equal(ip.ip_p, IPPROTO_ICMP);
	assert_int_equal(ntohl(ip.ip_src.s_addr), 0xc0000201);
	assert_int_equal(ntohl(ip.ip_dst.s_addr), 0xc0000201);
	assert_true(ip.ip_ttl > 0);
	assert_int_equal(packet[20], ICMP_DEST_UNREACH);
	assert_int_equal(packet[21], ICMP_PORT_UNREACH);
}

static void it_quotes_the_refused_datagram(void **state)
{
	uint8_t packet[REFUSAL_BYTES];
	struct packet_view view;

	refusal_write(&tuple, quote, packet);
	assert_int_equal(packet_parse(packet + 28, REFUSAL_BYTES - 28, false, &view), 0);
	assert_true(view.is_ipv4);
	assert_memory_equal(&view.tuple, &tuple, sizeof(tuple));
	assert_memory_equal(packet + 48, quote, sizeof(quote));
}

/* bursts and a steady rate, both below the kernel's: more than it would send is never asked of it */
static void the_kernel_is_asked_below_its_limit(void **state)
{
	struct refusal_credit credit = { 0 };
	uint64_t now_us = 3600000000;
	unsigned int n = 0;

	while (refusal_spend(&credit, now_us))
		n++;
	assert_int_equal(n, REFUSAL_CREDIT);
	for (unsigned int ms = 0; ms < 1000; ms++) /* as fast as it can for a second */
		n += refusal_spend(&credit, now_us += 1000);
	assert_in_range(n, 500, 500 + REFUSAL_CREDIT);
	now_us += 3600000000; /* an idle hour earns no more than a burst */
	for (n = 0; refusal_spend(&credit, now_us); n++)
		;
	assert_int_equal(n, REFUSAL_CREDIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_checksums_are_right),
		cmocka_unit_test(it_goes_from_the_machine_to_itself),
		cmocka_unit_test(it_quotes_the_refused_datagram),
		cmocka_unit_test(the_kernel_is_asked_below_its_limit),
	};

	return cmocka_run_group_tests_name("refusal", tests, NULL, NULL);
}
