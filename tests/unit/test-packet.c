/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: The headers of IPv4 and IPv6 packets, whole, cut short and strange. */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/packet.h"

#define PAYLOAD 5U
#define SEQ 0xfffffffeU
#define SYN 0x02
#define ACK 0x10

static const uint8_t v4_src[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t v4_dst[16] = { [10] = 0xff, 0xff, 10, 0, 0, 1 };
static const uint8_t v6_src[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
static const uint8_t v6_dst[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 };

struct made {
	uint8_t bytes[512];
	size_t n, transport;
};

static void put16(uint8_t *to, size_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static void add_transport(struct made *made, uint8_t proto)
{
	uint8_t *p = made->bytes + made->n;
	size_t header = proto == IPPROTO_TCP ? 20 : 8;

	made->transport = made->n;
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		put16(p + 4, 77);
	} else {
		put16(p, 4000);
		put16(p + 2, 5000);
	}
	if (proto == IPPROTO_TCP) {
		put16(p + 4, SEQ >> 16);
		put16(p + 6, SEQ & 0xffff);
		p[12] = 5 << 4;
		p[13] = ACK;
	}
	made->n += header + PAYLOAD;
}

static struct made make4(uint8_t proto, size_t n_options)
{
	struct made made = { .n = 20 + n_options };

	made.bytes[0] = (uint8_t)(0x45 + n_options / 4);
	made.bytes[9] = proto;
	memcpy(made.bytes + 12, v4_src + 12, 4);
	memcpy(made.bytes + 16, v4_dst + 12, 4);
	add_transport(&made, proto);
	put16(made.bytes + 2, made.n);
	return made;
}

static struct made make6(uint8_t proto, const uint8_t *kinds, size_t n_kinds)
{
	struct made made = { .n = 40 };
	uint8_t *next = made.bytes + 6;

	made.bytes[0] = 0x60;
	memcpy(made.bytes + 8, v6_src, 16);
	memcpy(made.bytes + 24, v6_dst, 16);
	for (size_t i = 0; i < n_kinds; i++) {
		*next = kinds[i];
		next = made.bytes + made.n;
		next[1] = (uint8_t)(i % 3); /* 8, 16, 24 bytes */
		made.n += 8 * (1 + i % 3);
	}
	*next = proto;
	add_transport(&made, proto);
	put16(made.bytes + 4, made.n - 40);
	return made;
}

/* on exactly so much memory, so that a byte too far is seen; a failure may not write the view */
static int parse_cut(const struct made *made, size_t n, bool is_inbound, struct packet_view *view)
{
	struct packet_view untouched;
	_cleanup_free_ uint8_t *bytes = malloc(n ? n : 1);
	int r;

	assert_non_null(bytes);
	memcpy(bytes, made->bytes, n);
	memset(&untouched, 0xa5, sizeof(untouched));
	*view = untouched;
	r = packet_parse(bytes, n, is_inbound, view);
	if (r)
		assert_memory_equal(view, &untouched, sizeof(untouched));
	else if (view->payload) /* valid after the memory is gone: told from the original's start */
		view->payload = made->bytes + (view->payload - bytes);
	return r;
}

static int parse(const struct made *made, struct packet_view *view)
{
	return parse_cut(made, made->n, false, view);
}

static void assert_ports(const struct packet_view *view, uint8_t proto, uint16_t lport,
			 uint16_t rport)
{
	assert_int_equal(view->tuple.proto, proto);
	assert_int_equal(view->tuple.lport, lport);
	assert_int_equal(view->tuple.rport, rport);
}

static void assert_ends(const struct made *made, uint8_t proto, const uint8_t *src,
			const uint8_t *dst)
{
	struct packet_view view;
	bool has_ports = proto == IPPROTO_TCP || proto == IPPROTO_UDP;

	assert_int_equal(parse(made, &view), 0);
	assert_ports(&view, proto, has_ports ? 4000 : 77, has_ports ? 5000 : 0);
	assert_memory_equal(view.tuple.laddr, src, 16);
	assert_memory_equal(view.tuple.raddr, dst, 16);
	assert_int_equal(view.n_payload, PAYLOAD);
	assert_ptr_equal(view.payload, made->bytes + made->n - PAYLOAD);
	assert_int_equal(parse_cut(made, made->n, true, &view), 0);
	assert_ports(&view, proto, has_ports ? 5000 : 77, has_ports ? 4000 : 0);
	assert_memory_equal(view.tuple.laddr, dst, 16);
	assert_memory_equal(view.tuple.raddr, src, 16);
}

static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6 };

static void both_ends_are_found_in_both_directions(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		struct made v4 = make4(protocols[i], 0), v6 = make6(protocols[i], NULL, 0);

		assert_ends(&v4, protocols[i], v4_src, v4_dst);
		assert_ends(&v6, protocols[i], v6_src, v6_dst);
	}
}

static void stations_are_seen(void **state)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS };
	struct made made = make6(IPPROTO_UDP, kinds, ARRAY_SIZE(kinds));
	static const uint8_t routes[] = { 131, 137 };

	assert_true(packet_has_route(made.bytes));
	made = make6(IPPROTO_UDP, kinds, 1);
	assert_false(packet_has_route(made.bytes));
	made = make4(IPPROTO_UDP, 12);
	assert_false(packet_has_route(made.bytes)); /* the end at once */
	memset(made.bytes + 20, 1, 12);
	assert_false(packet_has_route(made.bytes));
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		made.bytes[21] = routes[i];
		assert_true(packet_has_route(made.bytes));
	}
	memcpy(made.bytes + 20, (uint8_t[]){ 7, 4, 131, 131, 0, 131 }, 6);
	assert_false(packet_has_route(made.bytes)); /* within another option, and behind the end */
	made.bytes[21] = 1;			    /* shorter than itself */
	assert_true(packet_has_route(made.bytes));
	memset(made.bytes + 20, 1, 11);
	made.bytes[31] = 7; /* its length would be behind the header */
	assert_true(packet_has_route(made.bytes));
}

static void options_and_extension_headers_are_passed_over(void **state)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
					 IPPROTO_DSTOPTS, IPPROTO_DSTOPTS, IPPROTO_DSTOPTS };

	for (size_t n = 0; n <= 40; n += 4) {
		struct made made = make4(IPPROTO_UDP, n);

		assert_ends(&made, IPPROTO_UDP, v4_src, v4_dst);
	}
	for (size_t n = 0; n <= ARRAY_SIZE(kinds); n++) {
		struct made made = make6(IPPROTO_TCP, kinds, n);

		assert_ends(&made, IPPROTO_TCP, v6_src, v6_dst);
	}
}

/* what may be cut off without an error is payload, and then only that is missing */
static void assert_every_cut(const struct made *made, size_t n_transport)
{
	struct packet_view view, whole;
	int r;

	assert_int_equal(parse(made, &whole), 0);
	for (size_t n = 0; n < made->n; n++) {
		r = parse_cut(made, n, false, &view);
		if (n < made->transport + n_transport) {
			assert_true(r == PACKET_E_SHORT || r == PACKET_E_SHAPE);
			continue;
		}
		assert_int_equal(r, 0);
		assert_memory_equal(&view.tuple, &whole.tuple, sizeof(view.tuple));
		assert_int_equal(view.n_payload, n - made->transport - n_transport);
	}
}

static void a_packet_may_be_cut_anywhere(void **state)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS };

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		size_t n_transport = protocols[i] == IPPROTO_TCP ? 20 : 8;
		struct made made = make4(protocols[i], 0);

		assert_every_cut(&made, n_transport);
		made = make4(protocols[i], 40);
		assert_every_cut(&made, n_transport);
		made = make6(protocols[i], NULL, 0);
		assert_every_cut(&made, n_transport);
		made = make6(protocols[i], kinds, ARRAY_SIZE(kinds));
		assert_every_cut(&made, n_transport);
	}
}

static void only_ip_of_versions_4_and_6_is_read(void **state)
{
	struct made made = make4(IPPROTO_UDP, 0);
	struct packet_view view;

	for (unsigned int version = 0; version < 16; version++) {
		made.bytes[0] = (uint8_t)(version << 4 | 5);
		if (version != 4 && version != 6)
			assert_int_equal(parse(&made, &view), PACKET_E_VERSION);
	}
	assert_int_equal(parse_cut(&made, 0, false, &view), PACKET_E_SHORT);
}

static void an_ipv4_header_cannot_be_shorter_than_it_is(void **state)
{
	struct made made = make4(IPPROTO_UDP, 0);
	struct packet_view view;

	for (uint8_t words = 0; words < 5; words++) {
		made.bytes[0] = 0x40 | words;
		assert_int_equal(parse(&made, &view), PACKET_E_SHAPE);
	}
	made.bytes[0] = 0x4f; /* longer than the packet */
	assert_int_equal(parse(&made, &view), PACKET_E_SHAPE);
}

static void the_total_length_of_ipv4_ends_the_payload(void **state)
{
	struct made made = make4(IPPROTO_UDP, 0);
	struct packet_view view;

	put16(made.bytes + 2, made.n - 2); /* padding of a short Ethernet frame */
	assert_int_equal(parse(&made, &view), 0);
	assert_int_equal(view.n_payload, PAYLOAD - 2);
	put16(made.bytes + 2, 19);
	assert_int_equal(parse(&made, &view), PACKET_E_SHAPE);
	put16(made.bytes + 2, 27);
	assert_int_equal(parse(&made, &view), PACKET_E_SHORT);
	put16(made.bytes + 2, 0); /* more than 16 bits can say */
	assert_int_equal(parse(&made, &view), 0);
	assert_int_equal(view.n_payload, PAYLOAD);
	put16(made.bytes + 2, 0xffff);
	assert_int_equal(parse(&made, &view), 0);
	assert_int_equal(view.n_payload, PAYLOAD);
}

static void only_the_first_fragment_has_ends(void **state)
{
	struct made made = make4(IPPROTO_UDP, 0);
	struct packet_view view;

	put16(made.bytes + 6, 0x2000); /* more follow */
	assert_int_equal(parse(&made, &view), 0);
	put16(made.bytes + 6, 0x4000); /* may not be fragmented */
	assert_int_equal(parse(&made, &view), 0);
	put16(made.bytes + 6, 0x2001);
	assert_int_equal(parse(&made, &view), PACKET_E_SHAPE);
	put16(made.bytes + 6, 0x1fff);
	assert_int_equal(parse(&made, &view), PACKET_E_SHAPE);
}

/* the same as read_packet6() of bpf/lib/packet.h, or a held packet is not found */
static void only_the_first_fragment_of_ipv6_has_ports(void **state)
{
	static const uint8_t fragment[] = { IPPROTO_FRAGMENT };
	struct made made = make6(IPPROTO_UDP, fragment, 1);
	struct packet_view view;

	made.bytes[40 + 2] = 0;
	made.bytes[40 + 3] = 1; /* offset 0, more to come */
	assert_int_equal(parse(&made, &view), 0);
	assert_int_equal(view.tuple.proto, IPPROTO_UDP);
	made.bytes[40 + 3] = 8;
	assert_int_equal(parse(&made, &view), PACKET_E_SHAPE);
}

static void a_chain_of_headers_without_end_is_refused(void **state)
{
	static const uint8_t many[16] = { [0 ... 15] = IPPROTO_DSTOPTS };
	struct made made = make6(IPPROTO_UDP, many, 7);
	struct packet_view view;

	assert_int_equal(parse(&made, &view), 0);
	assert_int_equal(view.tuple.proto, IPPROTO_UDP);
	made = make6(IPPROTO_UDP, many, 16);
	assert_int_equal(parse(&made, &view), PACKET_E_SHAPE);
}

static void a_tcp_data_offset_may_lie(void **state)
{
	struct made made = make4(IPPROTO_TCP, 0);
	struct packet_view view;

	for (unsigned int words = 0; words < 16; words++) {
		made.bytes[made.transport + 12] = (uint8_t)(words << 4 | 15);
		assert_int_equal(parse(&made, &view),
				 words == 5 || words == 6 ? 0 : PACKET_E_SHAPE);
	}
	made.bytes[made.transport + 12] = 6 << 4;
	assert_int_equal(parse(&made, &view), 0);
	assert_int_equal(view.n_payload, PAYLOAD - 4);
}

static void a_syn_takes_a_sequence_number(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t seq;
		bool is_start;
	} cases[] = {
		{ ACK, SEQ, false },
		{ SYN, SEQ + 1, true },
		{ SYN | ACK, SEQ + 1, false },
		{ SYN | 0xc0, SEQ + 1, true },
		{ 0, SEQ, false },
	};
	struct made made = make6(IPPROTO_TCP, NULL, 0);
	struct packet_view view;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		made.bytes[made.transport + 13] = cases[i].flags;
		assert_int_equal(parse(&made, &view), 0);
		assert_int_equal(view.tcp_seq, cases[i].seq);
		assert_int_equal(view.is_tcp_start, cases[i].is_start);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_are_found_in_both_directions),
		cmocka_unit_test(stations_are_seen),
		cmocka_unit_test(options_and_extension_headers_are_passed_over),
		cmocka_unit_test(a_packet_may_be_cut_anywhere),
		cmocka_unit_test(only_ip_of_versions_4_and_6_is_read),
		cmocka_unit_test(an_ipv4_header_cannot_be_shorter_than_it_is),
		cmocka_unit_test(the_total_length_of_ipv4_ends_the_payload),
		cmocka_unit_test(only_the_first_fragment_has_ends),
		cmocka_unit_test(only_the_first_fragment_of_ipv6_has_ports),
		cmocka_unit_test(a_chain_of_headers_without_end_is_refused),
		cmocka_unit_test(a_tcp_data_offset_may_lie),
		cmocka_unit_test(a_syn_takes_a_sequence_number),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
