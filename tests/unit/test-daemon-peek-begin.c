/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Where the bytes of a connection begin: handshakes that come to nothing, and lies about them */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "peek-lab.h"

#define FIRST 5000U /* of the first handshake's first byte */
#define OTHER (FIRST + (1U << 29))

static struct lab_packet syn(uint32_t first)
{
	return peek_in(SYN, first - 1, NULL);
}

static struct lab_packet bytes(uint32_t seq, const char *text)
{
	return peek_in(ACK, seq, text);
}

static enum fate fate_of(struct lab *lab, struct lab_packet packet)
{
	return lab_fate(lab, lab_put(lab, &packet));
}

/* a connection that came in, and both of whose directions are looked at. Return: its id */
static uint64_t looked_at(struct lab *lab)
{
	const struct lab_packet first = syn(FIRST);
	unsigned int packet = lab_put(lab, &first);
	uint64_t id = lab_take_flow(lab, 0);

	peek_at(lab, 0, id, true, 2);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	return id;
}

static void connect_in(struct lab *lab, uint32_t seq)
{
	const struct lab_packet first = syn(FIRST);

	peek_connect(lab, &first, seq);
}

/* they are shown from offset 0, and go when they are passed */
static void expect_begin(struct lab *lab, uint64_t id, uint32_t seq)
{
	const struct lab_packet first = bytes(seq, "ab"), next = bytes(seq + 2, "cd");
	unsigned int packet = lab_put(lab, &first);

	peek_expect(lab, 0, 0, "ab");
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek_answer(lab, 0, id, 1, 2, 2);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	packet = lab_put(lab, &next);
	peek_expect(lab, 0, 2, "cd");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* while it is asked about: the kernel keeps the first one */
static void test_a_second_syn_is_too_early(void **state)
{
	struct lab_packet first = syn(FIRST);
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &first);
	uint64_t id = lab_take_flow(lab, 0);

	assert_int_equal(fate_of(lab, syn(OTHER)), FATE_SILENT);
	assert_int_equal(fate_of(lab, syn(FIRST)), FATE_HELD);
	peek_at(lab, 0, id, true, 2);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	expect_begin(lab, id, FIRST);
}

static void test_the_last_handshake_counts(void **state)
{
	const struct lab_packet first = syn(FIRST);
	struct lab *lab = *state;
	uint64_t id = looked_at(lab);
	struct lab_packet held = bytes(FIRST + 5, "of before");
	unsigned int packet = lab_put(lab, &held);

	assert_int_equal(lab_flow(lab, &first)->base[SL_DIR_IN], FIRST);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(fate_of(lab, syn(OTHER)), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &first)->base[SL_DIR_IN], OTHER);
	expect_begin(lab, id, OTHER); /* with the end of the handshake */
}

static void test_tcp_knows_better(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab);

	assert_int_equal(fate_of(lab, syn(OTHER)), FATE_ALLOWED);
	connect_in(lab, FIRST);
	expect_begin(lab, id, FIRST);
}

static void test_a_syn_in_the_midst_moves_nothing(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab);

	connect_in(lab, FIRST);
	assert_int_equal(fate_of(lab, syn(OTHER)), FATE_ALLOWED);
	expect_begin(lab, id, FIRST);
}

/* TCP refuses what is shown, and then takes what would be behind it */
static void test_what_is_not_read_was_shown(void **state)
{
	const struct lab_packet shown = bytes(FIRST, "ab"), read = bytes(FIRST + 2, "cd");
	const struct lab_packet first = syn(FIRST);
	struct lab *lab = *state;
	uint64_t id = looked_at(lab);
	unsigned int packet = lab_put(lab, &shown);

	peek_expect(lab, 0, 0, "ab");
	peek_answer(lab, 0, id, 1, 2, 2);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	connect_in(lab, FIRST + 2);
	assert_int_equal(fate_of(lab, read), FATE_SILENT);
	peek_expect_nothing(lab, 0);
	assert_int_equal(lab_flow(lab, &first)->verdict, SL_REJECT);
	assert_non_null(fake_get(lab->kernel, FAKE_ENDED, &lab_flow(lab, &first)->tuple));
}

/* TCP gives up a handshake by it, from either side, and the next one is a connection */
static void test_a_reset_before_the_connection_is_no_end(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab);
	struct lab_packet ours = syn(0);

	ours.is_inbound = false;
	ours.flags = RST;
	assert_int_equal(fate_of(lab, ours), FATE_ALLOWED);
	assert_int_equal(fate_of(lab, peek_in(RST, FIRST, NULL)), FATE_ALLOWED);
	assert_int_equal(fate_of(lab, peek_in(RST, FIRST, "xx")), FATE_SILENT);
	peek_expect_nothing(lab, 0);
	assert_int_equal(fate_of(lab, syn(OTHER)), FATE_ALLOWED);
	connect_in(lab, OTHER);
	expect_begin(lab, id, OTHER);
}

/* our own: nothing of the other side counts before its answer was taken, whatever answers */
static void test_nobody_answers_for_the_other_side(void **state)
{
	struct lab_packet answer = peek_in(SYN | ACK, OTHER - 1, NULL);
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, true, 2);

	assert_int_equal(fate_of(lab, answer), FATE_ALLOWED); /* TCP judges it */
	answer.text = "xx";
	assert_int_equal(fate_of(lab, answer), FATE_SILENT);
	assert_int_equal(fate_of(lab, bytes(OTHER, "xx")), FATE_SILENT);
	assert_int_equal(fate_of(lab, peek_in(SYN, OTHER - 1, NULL)), FATE_ALLOWED);
	peek_connect(lab, &peek_syn, FIRST);
	assert_int_equal(fate_of(lab, bytes(FIRST - 10, "x")), FATE_SILENT);
	expect_begin(lab, id, FIRST);
}

/* a raw socket: there is no connection in the kernel, and what answers is all there is */
static void test_a_tcp_of_its_own(void **state)
{
	struct lab *lab = *state;
	const uint64_t cookie = LAB_COOKIE;
	struct sl_sock sock = *(const struct sl_sock *)fake_get(lab->kernel, FAKE_SOCKS, &cookie);
	uint64_t id;

	sock.flags &= ~(uint32_t)SL_SOCK_STREAM;
	fake_put(lab->kernel, FAKE_SOCKS, &cookie, &sock);
	id = peek_looked_at(lab, true, 2);
	assert_int_equal(fate_of(lab, peek_in(SYN | ACK, FIRST - 1, NULL)), FATE_ALLOWED);
	expect_begin(lab, id, FIRST);
}

/* the same ends, and another socket by now: it is not this flow's to say that nobody looks */
static void test_the_ends_of_another(void **state)
{
	const struct lab_packet first = syn(FIRST);
	const struct sl_peek other = { .cookie = LAB_COOKIE + 1 };
	struct lab *lab = *state;
	struct sl_tuple tuple;

	looked_at(lab);
	tuple = lab_flow(lab, &first)->tuple;
	fake_put(lab->kernel, FAKE_PEEKS, &tuple, &other);
	lab_end_socket(lab, &first);
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 1);
	fake_delete(lab->kernel, FAKE_PEEKS, &tuple);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, peek_one_closed, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_second_syn_is_too_early),
		TEST(test_the_last_handshake_counts),
		TEST(test_tcp_knows_better),
		TEST(test_a_syn_in_the_midst_moves_nothing),
		TEST(test_what_is_not_read_was_shown),
		TEST(test_a_reset_before_the_connection_is_no_end),
		TEST(test_nobody_answers_for_the_other_side),
		TEST(test_a_tcp_of_its_own),
		TEST(test_the_ends_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
