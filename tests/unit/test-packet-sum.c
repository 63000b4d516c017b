/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Checksums of TCP and UDP, of packets that another program has made */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/packet.h"

#define UDP_SUM (40 + 6)

static const uint8_t tcp4[] = {
	0x45, 0x00, 0x00, 0x2d, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0x4e, 0x8d, 0xc6, 0x33, 0x64,
	0x09, 0xc0, 0x00, 0x02, 0x01, 0x00, 0x50, 0x0f, 0xa0, 0xff, 0xff, 0xff, 0xfe, 0x00, 0x00,
	0x00, 0x4d, 0x50, 0x18, 0xea, 0x60, 0x85, 0x1a, 0x00, 0x00, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
};
static const uint8_t udp6[] = {
	0x60, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x11, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x20, 0x01,
	0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x01, 0x01, 0xbb, 0x0f, 0xa1, 0x00, 0x0c, 0xba, 0x3b, 0x64, 0x61, 0x74, 0x61,
};

static bool has_sum(const uint8_t *bytes, size_t n)
{
	struct packet_view view;

	assert_int_equal(packet_parse(bytes, n, true, &view), 0);
	return packet_has_sum(&view);
}

static void every_changed_bit_is_seen(void **state)
{
	uint8_t bytes[sizeof(tcp4)];

	assert_true(has_sum(tcp4, sizeof(tcp4)));
	memcpy(bytes, tcp4, sizeof(bytes));
	for (size_t bit = 8 * 12; bit < 8 * sizeof(bytes); bit++) {
		if (bit / 8 == 20 + 12) /* where its header ends: another test's */
			continue;
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(has_sum(bytes, sizeof(bytes)));
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	assert_true(has_sum(bytes, sizeof(bytes)));
}

static void a_datagram_may_have_none(void **state)
{
	uint8_t bytes[sizeof(udp6) + 3];
	struct packet_view view;

	memset(bytes, 0xff, sizeof(bytes));
	memcpy(bytes, udp6, sizeof(udp6));
	assert_true(has_sum(bytes, sizeof(udp6)));
	assert_true(has_sum(bytes, sizeof(bytes))); /* what is behind it is not of it */
	assert_int_equal(packet_parse(bytes, sizeof(bytes), true, &view), 0);
	assert_int_equal(view.n_payload, 4); /* and no program gets it */
	assert_int_equal(packet_parse(bytes, sizeof(bytes), false, &view), 0);
	assert_int_equal(view.n_payload, 7); /* but it would leave */
	bytes[UDP_SUM] ^= 1;
	assert_false(has_sum(bytes, sizeof(udp6)));
	bytes[UDP_SUM] = bytes[UDP_SUM + 1] = 0;
	assert_true(has_sum(bytes, sizeof(udp6)));
}

static void others_are_not_known(void **state)
{
	uint8_t bytes[sizeof(udp6)];

	memcpy(bytes, udp6, sizeof(bytes));
	bytes[6] = IPPROTO_SCTP;
	assert_true(has_sum(bytes, sizeof(bytes)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_changed_bit_is_seen),
		cmocka_unit_test(a_datagram_may_have_none),
		cmocka_unit_test(others_are_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
