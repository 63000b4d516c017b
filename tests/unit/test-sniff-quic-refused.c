/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: QUIC datagrams that name nothing: of others, dropped by servers, refused
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "quic-lab.h"

static void test_versions(void **state)
{
	static const char *const starts[] = {
		"c000000000 08 8394c8f03e515708 00 00000001", /* version negotiation */
		"c01a2a3a4a 08 8394c8f03e515708 00 00",
		"c0ff00001d 08 8394c8f03e515708 00 00",
	};

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		sniff_quic_start(&lab.quic);
		lab.datagram.n = 0;
		put_hex(&lab.datagram, starts[i]);
		put_fill(&lab.datagram, 0, 1200 - lab.datagram.n);
		lab_expect_quic(lab_push(), SNIFF_E_VERSION, NULL);
	}
}

static void test_not_quic(void **state)
{
	static const char *const starts[] = { "", "00", "16fefd", "4048", "80", "c0000000" };

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		struct sniff sniff;

		sniff_quic_start(&lab.quic);
		lab.datagram.n = 0;
		put_hex(&lab.datagram, starts[i]);
		sniff = lab_push();
		lab_expect_quic(sniff, SNIFF_E_UNKNOWN, NULL);
		assert_int_equal(sniff.protocol, SNIFF_UNKNOWN);
	}
}

/* the first datagram cut at each place: never a name, and the rest of it cannot help */
static void test_cut_datagram(void **state)
{
	lab_hello("whole.example", 0);
	lab.frames.n = 0;
	put_crypto(&lab.frames, &lab.hello, 0, lab.hello.n);
	lab.datagram.n = 0;
	put_packet(&lab.datagram, &(struct lab_packet){ 0 }, &lab.frames);
	for (size_t n = lab.datagram.n; n-- > 0;) {
		lab.datagram.n = n;
		sniff_quic_start(&lab.quic);
		lab_expect_quic(lab_push(), n < 5 ? SNIFF_E_UNKNOWN : SNIFF_E_FRAMING, NULL);
	}
}

/* each byte of the datagram is another one: it cannot be read, and names nothing */
static void test_changed_datagram(void **state)
{
	lab_hello("whole.example", 0);
	lab.frames.n = 0;
	put_crypto(&lab.frames, &lab.hello, 0, lab.hello.n);
	lab.datagram.n = 0;
	put_packet(&lab.datagram, &(struct lab_packet){ 0 }, &lab.frames);
	for (size_t i = 0; i < lab.datagram.n; i++) {
		struct sniff sniff;

		lab.datagram.bytes[i] ^= 0x04;
		sniff_quic_start(&lab.quic);
		sniff = lab_push();
		assert_true(sniff.answer == SNIFF_NONE || sniff.answer == SNIFF_BROKEN);
		lab.datagram.bytes[i] ^= 0x04;
	}
}

/* what the server drops changes nothing */
static void test_dropped(void **state)
{
	struct lab_packet wrong = { .dcid = "0011223344556677", .key_dcid = "ff" };
	struct lab_packet short_id = { .dcid = "00112233" };

	lab_hello("dropped.example", 0);
	sniff_quic_start(&lab.quic);
	lab_expect_quic(lab_push_piece(&(struct lab_packet){ 0 }, 0, 40), SNIFF_E_MORE, NULL);
	lab_expect_quic(lab_push_piece(&wrong, 0, lab.hello.n), SNIFF_E_MORE, NULL);
	lab_expect_quic(lab_push_piece(&short_id, 0, lab.hello.n), SNIFF_E_MORE, NULL);
	lab.datagram.n = 0;
	put_hex(&lab.datagram, "4011223344");
	lab_expect_quic(lab_push(), SNIFF_E_MORE, NULL);
	lab.datagram.n = 0;
	put_hex(&lab.datagram, "c000000001ff");
	lab_expect_quic(lab_push(), SNIFF_E_MORE, NULL);
	lab_expect_quic(lab_push_piece(&(struct lab_packet){ .number = 1 }, 40, lab.hello.n - 40),
			SNIFF_NAMED, "dropped.example");
	sniff_quic_start(&lab.quic);
	lab_expect_quic(lab_push_piece(&wrong, 0, lab.hello.n), SNIFF_E_UNREADABLE, NULL);
	sniff_quic_start(&lab.quic);
	lab_expect_quic(lab_push_piece(&short_id, 0, lab.hello.n), SNIFF_E_UNREADABLE, NULL);
}

/* what can be read and may not be sent */
static void test_refused(void **state)
{
	static const struct lab_packet packets[] = {
		{ .n_datagram = 1199 },
		{ .flip = 0x40 },
		{ .flip = 0x04 },
		{ .flip = 0x08 },
	};

	lab_hello("refused.example", 0);
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		sniff_quic_start(&lab.quic);
		lab_expect_quic(lab_push_piece(&packets[i], 0, lab.hello.n), SNIFF_E_FRAMING, NULL);
	}
	sniff_quic_start(&lab.quic); /* a server's token says that it may: RFC 9287 */
	lab_expect_quic(
		lab_push_piece(&(struct lab_packet){ .flip = 0x40, .token = "00" }, 0, lab.hello.n),
		SNIFF_NAMED, "refused.example");
}

static struct sniff push_hex_frames(const char *hex)
{
	sniff_quic_start(&lab.quic);
	lab.frames.n = 0;
	put_hex(&lab.frames, hex);
	return lab_push_frames(&(struct lab_packet){ 0 });
}

static void test_frames(void **state)
{
	static const char *const good[] = {
		"",
		"01",
		"0200000000",
		"02 01 00 01 00 00 00",
		"03 01 00 00 00 3f 3f 3f",
		"1c 0a 00 03 626164",
		"1c 4001 06 00",
		"0600 00",
	};
	static const char *const broken[] = {
		"04",
		"0800",
		"1d00",
		"1e",
		"30",
		"7fffffffffffffff",
		"02 00 00 ffffffffffffffff 00",
		"1c 00 00 7fff",
		"06 00 7fff",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		lab_expect_quic(push_hex_frames(good[i]), SNIFF_E_MORE, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
		lab_expect_quic(push_hex_frames(broken[i]), SNIFF_E_FRAMING, NULL);
	lab_expect_quic(push_hex_frames("06 00 01 02"), SNIFF_E_MESSAGE, NULL);
	lab_expect_quic(push_hex_frames("06 00 04 01004001"), SNIFF_E_TOO_LARGE, NULL);
	lab_expect_quic(push_hex_frames("06 80004004 01 00"), SNIFF_E_TOO_LARGE, NULL);
	lab_expect_quic(push_hex_frames("06 ffffffffffffffff 01 00"), SNIFF_E_TOO_LARGE, NULL);
	lab_expect_quic(push_hex_frames("06 00 04 01000000"), SNIFF_E_MESSAGE, NULL);
	lab_expect_quic(push_hex_frames("06 05 02 aabb 06 06 01 bb 06 06 01 ba"), SNIFF_E_CONFLICT,
			NULL);
}

static void test_too_many(void **state)
{
	lab_hello("many.example", 0);
	sniff_quic_start(&lab.quic);
	for (unsigned int i = 1; i < SNIFF_QUIC_DATAGRAMS_MAX; i++)
		lab_expect_quic(lab_push_piece(&(struct lab_packet){ .number = i }, 0, 10),
				SNIFF_E_MORE, NULL);
	lab_expect_quic(lab_push_piece(&(struct lab_packet){ .number = 200 }, 0, 10),
			SNIFF_E_TOO_LARGE, NULL);
	lab_expect_quic(lab_push_piece(&(struct lab_packet){ .number = 201 }, 0, lab.hello.n),
			SNIFF_E_TOO_LARGE, NULL);
	sniff_quic_start(&lab.quic);
	lab.datagram.n = 0;
	for (unsigned int i = 0; i < 65; i++)
		put_long_packet(&lab.datagram, QUIC_V1, 1, 30);
	lab_expect_quic(lab_push(), SNIFF_E_FRAMING, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),     cmocka_unit_test(test_not_quic),
		cmocka_unit_test(test_cut_datagram), cmocka_unit_test(test_changed_datagram),
		cmocka_unit_test(test_dropped),	     cmocka_unit_test(test_refused),
		cmocka_unit_test(test_frames),	     cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
