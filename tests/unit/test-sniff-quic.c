/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The name in a QUIC client's Initial packets
 *
 * The examples of RFC 9001 and RFC 9369; pieces in any order; a client that
 * begins again.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "names/quic-keys.h"
#include "quic-lab.h"

/* RFC 9001 A.2 and RFC 9369 A.2: the same frames; what protection has to make of them */
static const char rfc_frames[] =
	"060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c"
	"00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006"
	"001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa4"
	"7fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305"
	"0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ff"
	"ff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";

static const struct {
	uint32_t version;
	const char *key, *iv, *hp, *begin, *tag;
} rfc_examples[] = {
	{ QUIC_V1, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
	  "9f50449e04a0e810283a1e9933adedd2",
	  "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
	  "e221af44860018ab0856972e194cd934" },
	{ QUIC_V2, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
	  "45b95e15235d6f45a6b19cbcb0294ba9",
	  "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
	  "a18b2faa745b6fe189cf772a9f84cbfc" },
};

static void assert_hex(const uint8_t *bytes, size_t n, const char *hex)
{
	static struct buffer expected;

	expected.n = 0;
	put_hex(&expected, hex);
	assert_int_equal(expected.n, n);
	assert_memory_equal(bytes, expected.bytes, n);
}

static void test_rfc_keys(void **state)
{
	static const uint8_t dcid[] = { 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08 };

	for (size_t i = 0; i < ARRAY_SIZE(rfc_examples); i++) {
		struct quic_keys keys;

		quic_client_keys(quic_version_find(rfc_examples[i].version), dcid, sizeof(dcid),
				 &keys);
		assert_hex(keys.key, sizeof(keys.key), rfc_examples[i].key);
		assert_hex(keys.iv, sizeof(keys.iv), rfc_examples[i].iv);
		assert_hex(keys.hp, sizeof(keys.hp), rfc_examples[i].hp);
	}
}

/* the tag stands for all the bytes before it */
static void test_rfc_packets(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rfc_examples); i++) {
		struct lab_packet packet = { .version = rfc_examples[i].version, .number = 2 };
		struct sniff sniff;

		sniff_quic_start(&lab.quic);
		lab.frames.n = 0;
		put_hex(&lab.frames, rfc_frames);
		sniff = lab_push_frames(&packet);
		assert_int_equal(lab.datagram.n, 1200);
		assert_hex(lab.datagram.bytes, 32, rfc_examples[i].begin);
		assert_hex(lab.datagram.bytes + 1184, 16, rfc_examples[i].tag);
		lab_expect_quic(sniff, SNIFF_NAMED, "example.com");
		/* it stays, whatever comes */
		lab.datagram.n = 3;
		lab_expect_quic(lab_push(), SNIFF_NAMED, "example.com");
	}
}

static void test_every_cut(void **state)
{
	struct lab_packet first = { .n_number = 1 }, second = { .number = 1, .n_number = 2 };

	lab_hello("cut.example", 100);
	for (size_t cut = 0; cut <= lab.hello.n; cut++) {
		sniff_quic_start(&lab.quic);
		lab_expect_quic(lab_push_piece(&first, 0, cut),
				cut == lab.hello.n ? SNIFF_NAMED : SNIFF_E_MORE,
				cut == lab.hello.n ? "cut.example" : NULL);
		lab_expect_quic(lab_push_piece(&second, cut, lab.hello.n - cut), SNIFF_NAMED,
				"cut.example");
		sniff_quic_start(&lab.quic);
		if (cut > 0)
			lab_expect_quic(lab_push_piece(&second, cut, lab.hello.n - cut),
					SNIFF_E_MORE, NULL);
		lab_expect_quic(lab_push_piece(&first, 0, cut ? cut : lab.hello.n), SNIFF_NAMED,
				"cut.example");
	}
}

static void test_byte_by_byte(void **state)
{
	lab_hello("bytes.example", 0);
	sniff_quic_start(&lab.quic);
	lab.frames.n = 0;
	for (size_t i = lab.hello.n; i-- > 0;) {
		put_crypto(&lab.frames, &lab.hello, i, 1);
		put_uint(&lab.frames, 1, i % 2); /* PADDING, PING */
		if (i % 50 && lab.frames.n < 900)
			continue;
		lab_expect_quic(lab_push_frames(&(struct lab_packet){ .number = lab.hello.n - i }),
				i ? SNIFF_E_MORE : SNIFF_NAMED, i ? NULL : "bytes.example");
		lab.frames.n = 0;
	}
}

/* four pieces, some overlapping, in each of 24 orders, each twice */
static void test_orders_and_duplicates(void **state)
{
	static const size_t from[] = { 0, 500, 900, 1400 };

	lab_hello("orders.example", 1800);
	for (unsigned int order = 0; order < 256; order++) {
		unsigned int seen = 0;

		sniff_quic_start(&lab.quic);
		for (unsigned int i = 0; i < 8; i++) {
			unsigned int piece = order >> i / 2 * 2 & 3;
			size_t n = piece == 3 ? lab.hello.n - from[3] : 700;
			struct sniff sniff =
				lab_push_piece(&(struct lab_packet){ .number = i }, from[piece], n);

			seen |= 1U << piece;
			lab_expect_quic(sniff, seen == 15 ? SNIFF_NAMED : SNIFF_E_MORE,
					seen == 15 ? "orders.example" : NULL);
		}
	}
}

static void test_coalesced(void **state)
{
	lab_hello("coalesced.example", 300);
	sniff_quic_start(&lab.quic);
	lab.datagram.n = 0;
	lab.frames.n = 0;
	put_crypto(&lab.frames, &lab.hello, 200, lab.hello.n - 200);
	put_packet(&lab.datagram, &(struct lab_packet){ .n_datagram = 1 }, &lab.frames);
	put_long_packet(&lab.datagram, QUIC_V1, 1, 100);
	lab.frames.n = 0;
	put_crypto(&lab.frames, &lab.hello, 0, 200);
	put_packet(&lab.datagram, &(struct lab_packet){ .number = 1, .n_datagram = 1 },
		   &lab.frames);
	put_long_packet(&lab.datagram, QUIC_V1, 2, 100);
	put_fill(&lab.datagram, 0x41, 700); /* a short header */
	lab_expect_quic(lab_push(), SNIFF_NAMED, "coalesced.example");
}

/* 0-RTT overtakes the Initial; then a datagram of 0-RTT and Initial */
static void test_0rtt_first(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint32_t version = i ? QUIC_V2 : QUIC_V1;

		lab_hello("early.example", 0);
		sniff_quic_start(&lab.quic);
		lab.datagram.n = 0;
		put_long_packet(&lab.datagram, version, (uint8_t)(1 + i), 300);
		lab_expect_quic(lab_push(), SNIFF_E_MORE, NULL);
		lab.frames.n = 0;
		put_crypto(&lab.frames, &lab.hello, 0, lab.hello.n);
		put_packet(&lab.datagram, &(struct lab_packet){ .version = version }, &lab.frames);
		lab_expect_quic(lab_push(), SNIFF_NAMED, "early.example");
	}
}

/* the server's answer gives packets another connection ID; their keys stay */
static void test_server_connection_id(void **state)
{
	struct lab_packet later = {
		.dcid = "0102", .key_dcid = "8394c8f03e515708", .number = 300, .n_number = 2
	};

	lab_hello("later.example", 0);
	sniff_quic_start(&lab.quic);
	lab_expect_quic(lab_push_piece(&(struct lab_packet){ 0 }, 0, 50), SNIFF_E_MORE, NULL);
	later.number = 30;
	lab_expect_quic(lab_push_piece(&later, 50, 20), SNIFF_E_MORE, NULL);
	later.version = QUIC_V2; /* chosen by the server among those offered: RFC 9368 */
	later.number = 31;
	lab_expect_quic(lab_push_piece(&later, 70, lab.hello.n - 70), SNIFF_NAMED, "later.example");
}

static void test_retry(void **state)
{
	struct lab_packet again = { .dcid = "f067a5502a4262b5",
				    .token = "746f6b656e",
				    .number = 1 };

	lab_hello("retry.example", 2000);
	sniff_quic_start(&lab.quic);
	lab_expect_quic(lab_push_piece(&(struct lab_packet){ 0 }, 0, 1100), SNIFF_E_MORE, NULL);
	/* the server knows nothing of the first packet, so neither do we */
	lab_expect_quic(lab_push_piece(&again, 1100, lab.hello.n - 1100), SNIFF_E_MORE, NULL);
	again.number = 2;
	lab_expect_quic(lab_push_piece(&again, 0, 1100), SNIFF_NAMED, "retry.example");
	/* the flow was first seen after the Retry, which may give any connection ID */
	sniff_quic_start(&lab.quic);
	again.dcid = "";
	lab_expect_quic(lab_push_piece(&again, 0, lab.hello.n), SNIFF_NAMED, "retry.example");
}

static void test_no_name_and_outer(void **state)
{
	struct lab_hello outer = { .name = "public.example", .ech = "00aabb" };
	struct sniff sniff;

	lab_hello(NULL, 0);
	sniff_quic_start(&lab.quic);
	lab_expect_quic(lab_push_piece(&(struct lab_packet){ 0 }, 0, lab.hello.n), SNIFF_E_NO_NAME,
			NULL);
	lab.hello.n = 0;
	put_hello(&lab.hello, &outer);
	sniff_quic_start(&lab.quic);
	sniff = lab_push_piece(&(struct lab_packet){ 0 }, 0, lab.hello.n);
	lab_expect_quic(sniff, SNIFF_NAMED, "public.example");
	assert_true(sniff.is_outer);
}

/* another connection between the same ports counts its packets from 0 */
static void test_new_connection(void **state)
{
	struct lab_packet packet = { .dcid = "f067a5502a4262b5", .n_number = 1 };

	lab_hello("new.example", 0);
	sniff_quic_start(&lab.quic);
	for (uint64_t number = 1000; number < 1002; number++)
		lab_expect_quic(lab_push_piece(&(struct lab_packet){ .number = number }, 0, 100),
				SNIFF_E_MORE, NULL);
	lab_expect_quic(lab_push_piece(&packet, 0, 50), SNIFF_E_MORE, NULL);
	packet.number = 1;
	lab_expect_quic(lab_push_piece(&packet, 50, lab.hello.n - 50), SNIFF_NAMED, "new.example");
}

static void test_largest_hello(void **state)
{
	lab_hello("large.example", 1);
	lab_hello("large.example", 1 + SNIFF_HELLO_MAX - lab.hello.n);
	assert_int_equal(lab.hello.n, SNIFF_HELLO_MAX);
	sniff_quic_start(&lab.quic);
	for (size_t from = 0, i = 0; from < lab.hello.n; from += 1100, i++)
		lab_expect_quic(lab_push_piece(&(struct lab_packet){ .number = i, .n_number = 1 },
					       from, MIN(1100, lab.hello.n - from)),
				lab.hello.n - from > 1100 ? SNIFF_E_MORE : SNIFF_NAMED,
				lab.hello.n - from > 1100 ? NULL : "large.example");
}

/* RFC 9000 A.3, and numbers beyond what their bytes hold */
static void test_packet_numbers(void **state)
{
	lab_hello("numbers.example", 0);
	sniff_quic_start(&lab.quic);
	for (uint64_t number = 0; number < 90 * 100; number += 100)
		lab_expect_quic(
			lab_push_piece(&(struct lab_packet){ .number = number, .n_number = 1 },
				       number / 100, 1),
			SNIFF_E_MORE, NULL);
	lab_expect_quic(lab_push_piece(&(struct lab_packet){ .number = 8950, .n_number = 1 }, 0,
				       lab.hello.n),
			SNIFF_NAMED, "numbers.example");
}

/* datagrams that were sent as one buffer, as UDP_SEGMENT does it */
static void test_segments(void **state)
{
	lab_hello("segments.example", 3000);
	sniff_quic_start(&lab.quic);
	lab.datagram.n = 0;
	for (size_t from = 0, i = 0; from < lab.hello.n; from += 1100, i++) {
		lab.frames.n = 0;
		put_crypto(&lab.frames, &lab.hello, from, MIN(1100, lab.hello.n - from));
		put_packet(&lab.datagram,
			   &(struct lab_packet){ .number = i, .n_datagram = 1200 * (i + 1) },
			   &lab.frames);
	}
	assert_int_equal(lab.datagram.n, 3600);
	lab_expect_quic(lab_push(), SNIFF_NAMED, "segments.example");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_keys),
		cmocka_unit_test(test_rfc_packets),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_orders_and_duplicates),
		cmocka_unit_test(test_coalesced),
		cmocka_unit_test(test_0rtt_first),
		cmocka_unit_test(test_server_connection_id),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_no_name_and_outer),
		cmocka_unit_test(test_new_connection),
		cmocka_unit_test(test_largest_hello),
		cmocka_unit_test(test_packet_numbers),
		cmocka_unit_test(test_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
