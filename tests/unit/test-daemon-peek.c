/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced shows filters what flows carry: what is held, let go, cut */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "peek-lab.h"

static void test_what_is_shown_goes_when_it_is_passed(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);
	unsigned int packet = peek_put_text(lab, 0, "hello"), next;

	assert_int_equal(lab_flow(lab, &peek_syn)->peek, SL_PEEK_OUT | SL_PEEK_BASE_OUT);
	assert_int_equal(lab_flow(lab, &peek_syn)->base[SL_DIR_OUT], SEQ);
	assert_int_equal(lab_flow(lab, &peek_syn)->passed[SL_DIR_OUT], 0);
	assert_int_equal(lab_flow(lab, &peek_syn)->ifindex, LAB_IFINDEX); /* for a successor */
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_false(peek_expect(lab, 0, 0, "hello"));
	peek_answer(lab, 0, id, 0, 5, 3);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->passed[SL_DIR_OUT], 5);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 0, "hello")),
			 FATE_ALLOWED); /* once more */
	next = peek_put_text(lab, 5, "world");
	peek_expect(lab, 0, 5, "wor");
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, next), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 10, "!")), FATE_ALLOWED);
	peek_expect_nothing(lab, 0);
}

static void test_what_is_denied_never_goes(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	peek_expect(lab, 0, 0, "hello");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
	assert_true(peek_is_destroyed(lab));
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 0, "hello")), FATE_REJECTED);
}

static void test_less_is_shown_after_a_while(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 1000);

	peek_put_text(lab, 0, "hello");
	peek_expect_nothing(lab, 0);
	lab_pass(lab, PEEK_IDLE_US);
	peek_expect(lab, 0, 0, "hello");
	peek_answer(lab, 0, id, 0, 0, 1000); /* more */
	peek_put_text(lab, 5, " world");
	lab_pass(lab, PEEK_IDLE_US);
	peek_expect(lab, 0, 0, "hello world");
}

static void test_order_is_that_of_the_bytes(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 6);
	unsigned int second = peek_put_text(lab, 3, "def"), first;

	peek_expect_nothing(lab, 0);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 3, "xyz")),
			 FATE_SILENT); /* another copy */
	first = peek_put_text(lab, 0, "abc");
	peek_expect(lab, 0, 0, "abcdef");
	peek_answer(lab, 0, id, 0, 3, 1);
	assert_int_equal(lab_fate(lab, first), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, second), FATE_HELD);
	peek_expect(lab, 0, 3, "d");
}

static void test_every_filter_has_its_say(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	peek_expect(lab, 0, 0, "hello");
	peek_expect(lab, 1, 0, "hello"); /* at the same time */
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 1, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_true(peek_is_destroyed(lab));
}

static void test_a_later_filter_denies_at_once(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_syn);
	uint64_t id = lab_take_flow(lab, 0);

	peek_at(lab, 0, id, true, 1);
	assert_int_equal(lab_take_flow(lab, 1), id);
	lab_judge(lab, 1, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
}

/* whose it is was forgotten: no fail class may let it pass unseen, or end the connection */
static void test_bytes_of_nobody_are_to_be_sent_again(void **state)
{
	struct lab_packet lost = peek_in(ACK, 5001, "ab");
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, true, 2);
	struct sl_tuple tuple = flow_tuple(flow_table_find_id(lab->daemon->flows, id));
	unsigned int packet;

	peek_connect(lab, &peek_syn, 5001);
	lost.is_foreign = true;
	fake_delete(lab->kernel, FAKE_HELD, &tuple);
	assert_int_equal(lab_fate(lab, lab_put(lab, &lost)), FATE_SILENT);
	lost.is_foreign = false;
	packet = lab_put(lab, &lost);
	peek_expect(lab, 0, 0, "ab");
	peek_answer(lab, 0, id, 1, 2, 2);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

/* it would be held, sent through the rules, and held again, for ever */
static void test_a_start_with_bytes_is_dropped(void **state)
{
	struct lab_packet start = peek_syn;
	struct lab *lab = *state;

	peek_looked_at(lab, true, 2);
	start.text = "fast";
	assert_int_equal(lab_fate(lab, lab_put(lab, &start)), FATE_SILENT);
	start = peek_in(SYN | FIN, 5000, NULL);
	assert_int_equal(lab_fate(lab, lab_put(lab, &start)), FATE_SILENT);
}

static void test_what_is_held_at_the_end_is_charged_no_more(void **state)
{
	const struct lab_packet packet = {
		.proto = IPPROTO_TCP, .lport = 40009, .rport = 81, .last = 9
	};
	struct lab *lab = *state;
	const struct flow *other;

	peek_looked_at(lab, false, 5);
	lab_put(lab, &packet); /* of the same user, who would be forgotten without it */
	other = flow_table_find_id(lab->daemon->flows, lab_take_flow(lab, 0));
	assert_true(flow_charged(other) > 0); /* what it takes to look */
	assert_int_equal(flow_queued(other), 0);
	peek_put_text(lab, 3, "behind a gap");
	assert_int_equal(flow_queued(other), 1);
	lab_end_socket(lab, &peek_syn);
	assert_int_equal(flow_charged(other), 0);
	assert_int_equal(flow_queued(other), 0);
}

/* what its user holds in other flows: of memory, a flow that holds nothing may add one packet */
static void test_a_user_does_not_fill_memory_or_the_queue(void **state)
{
	struct lab *lab = *state;
	struct flow *flow =
		flow_table_find_id(lab->daemon->flows, peek_looked_at(lab, false, 1000));

	flow_charge(flow, 0, PEEKING_USER_PACKETS);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 0, "a")), FATE_SILENT);
	flow_charge(flow, PEEKING_USER_BYTES, -1);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 0, "a")), FATE_HELD);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 1, "b")), FATE_SILENT);
	flow_charge(flow, 0, -1);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 1, "b")), FATE_SILENT);
	flow_charge(flow, -(ssize_t)PEEKING_USER_BYTES, 0);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 1, "b")), FATE_HELD);
}

/* or what comes next would go unseen */
static void test_one_that_has_no_place_any_more_is_cut(void **state)
{
	struct lab_packet packet = peek_datagram;
	struct lab *lab = *state;

	peek_looked_at(lab, true, 5);
	for (size_t i = 0; i <= FLOW_USER_OPEN(LAB_FLOWS_MAX); i++, packet.rport++) {
		lab_put(lab, &packet);
		lab_judge(lab, 0, lab_take_flow(lab, 0), ALLOW);
	}
	assert_true(peek_is_destroyed(lab));
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
}

/* nobody knows where it is by now: what comes next would be behind a gap for ever */
static void test_what_was_let_go_is_not_looked_at_again(void **state)
{
	const struct lab_packet first = peek_in(ACK, 5001, "ab"), late = peek_in(ACK, 9001, "cd");
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, true, 2);

	peek_connect(lab, &peek_syn, 5001);
	lab_put(lab, &first);
	peek_expect(lab, 0, 0, "ab");
	peek_answer(lab, 0, id, 1, UINT64_MAX, 0);
	assert_int_equal(lab_flow(lab, &peek_syn)->peek & (SL_PEEK_OUT | SL_PEEK_IN), SL_PEEK_OUT);
	lab_end_filter(lab, 0);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	assert_int_equal(lab_take_flow(lab, 0), id);
	peek_at(lab, 0, id, true, 2);
	assert_int_equal(lab_flow(lab, &peek_syn)->peek & (SL_PEEK_OUT | SL_PEEK_IN), SL_PEEK_OUT);
	assert_int_equal(lab_fate(lab, lab_put(lab, &late)), FATE_ALLOWED);
	peek_put_text(lab, 0, "ab");
	peek_expect(lab, 0, 0, "ab"); /* the other direction is */
}

/* there is no socket for it, and no flow: the kernel says what it says to such */
static void test_what_comes_behind_the_end(void **state)
{
	const struct lab_packet late = peek_in(ACK, 5001, "ab");
	struct lab *lab = *state;

	(void)peek_looked_at(lab, true, 2);
	peek_connect(lab, &peek_syn, 5001);
	lab_end_socket(lab, &peek_syn);
	assert_null(lab_flow(lab, &peek_syn));
	assert_int_equal(lab_fate(lab, lab_put(lab, &late)), FATE_ALLOWED);
}

/* its sender repeats it, and nobody's memory is used up for what never comes */
static void test_what_is_behind_a_gap_is_not_held_for_ever(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	peek_looked_at(lab, false, 5);
	packet = peek_put_text(lab, 3, "lo");
	lab_pass(lab, FLOW_DEADLINE_US - TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, 2 * TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	peek_put_text(lab, 0, "hel");
	packet = peek_put_text(lab, 3, "lo");
	peek_expect(lab, 0, 0, "hello");
}

static void test_what_comes_in(void **state)
{
	const struct lab_packet late = peek_in(ACK, 5003, "cd"), first = peek_in(ACK, 5001, "ab"),
				fin = peek_in(FIN | ACK, 5005, NULL);
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, true, 4);
	unsigned int packets[3];

	peek_connect(lab, &peek_syn, 5001);
	packets[0] = lab_put(lab, &late); /* TCP has said what is before it */
	peek_expect_nothing(lab, 0);
	packets[1] = lab_put(lab, &first);
	assert_false(peek_expect(lab, 0, 0, "abcd"));
	packets[2] = lab_put(lab, &fin);
	peek_answer(lab, 0, id, 1, 4, 4);
	assert_int_equal(lab_fate(lab, packets[0]), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, packets[1]), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, packets[2]), FATE_HELD);
	assert_true(peek_expect(lab, 0, 4, "")); /* the end alone */
	peek_answer(lab, 0, id, 1, 0, 0);
	assert_int_equal(lab_fate(lab, packets[2]), FATE_ALLOWED);
	lab_end_socket(lab, &peek_syn);
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 0);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
}

static void test_what_is_held_ends_with_its_connection(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	peek_looked_at(lab, true, 100);
	packet = peek_put_text(lab, 0, "hello");
	lab_end_socket(lab, &peek_syn);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab->daemon->peekings.n, 0);
}

/* SOCK_DESTROY has TCP say it; by then the flow may be over, and what is over begins nothing */
static void test_the_reset_of_one_that_was_cut_is_no_new_one(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);
	struct lab_packet reset = peek_out(5, NULL);

	peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "hello");
	lab_judge(lab, 0, id, DROP);
	lab_end_socket(lab, &peek_syn);
	reset.flags = RST | ACK;
	assert_int_equal(lab_fate(lab, lab_put(lab, &reset)), FATE_SILENT);
	peek_expect_nothing(lab, 0);
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 0);
	assert_int_equal(flow_table_n_held(lab->daemon->flows), 0);
}

/* one that ends otherwise, as by connect(2) to nobody: the other side is to hear of it */
static void test_the_reset_of_one_that_was_not_cut_is_not_lost(void **state)
{
	struct lab *lab = *state;
	struct lab_packet reset = peek_out(5, NULL);

	peek_looked_at(lab, false, 5);
	lab_end_socket(lab, &peek_syn);
	reset.flags = RST | ACK;
	assert_int_equal(lab_fate(lab, lab_put(lab, &reset)), FATE_HELD);
	assert_int_not_equal(lab_take_flow(lab, 0), 0);
}

static void test_datagrams(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_datagram), second;
	uint64_t id = lab_take_flow(lab, 0);

	peek_at(lab, 0, id, true, 1000);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD); /* and was queued once more */
	peek_expect(lab, 0, 0, "hello");		    /* no more is waited for */
	second = lab_put(lab, &peek_datagram);
	peek_expect_nothing(lab, 0);
	peek_answer(lab, 0, id, 0, 5, 1000);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	peek_expect(lab, 0, 5, "hello");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, second), FATE_SILENT);
}

static void test_a_first_datagram_that_is_denied(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_datagram);
	uint64_t id = lab_take_flow(lab, 0);

	peek_at(lab, 0, id, false, 0);
	peek_expect(lab, 0, 0, "hello");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED); /* as if it had been at once */
	assert_int_equal(lab_flow(lab, &peek_datagram)->verdict, SL_REJECT);
}

/* another socket with these ends is not known before they are forgotten */
static void test_ends_of_a_closed_socket(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_datagram);
	uint64_t id = lab_take_flow(lab, 0);
	struct sl_tuple ends;

	peek_at(lab, 0, id, false, 1000);
	peek_expect(lab, 0, 0, "hello");
	ends = lab_flow(lab, &peek_datagram)->tuple;
	lab_end_socket(lab, &peek_datagram);
	lab_pass(lab, 10 * TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD); /* it is still looked at */
	assert_non_null(fake_get(lab->kernel, FAKE_HELD, &ends));
	peek_answer(lab, 0, id, 0, 5, 1000);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	for (unsigned int i = 0; i < 4; i++)
		lab_pass(lab, TICK_US);
	assert_null(lab_flow(lab, &peek_datagram));
	assert_null(fake_get(lab->kernel, FAKE_HELD, &ends));
}

/* which was closed before the verdict: what meets the rules again is read first */
static void test_a_socket_that_closes_while_it_is_held(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_datagram);
	uint64_t id = lab_take_flow(lab, 0);

	lab_end_socket(lab, &peek_datagram);
	lab_pass(lab, 10 * TICK_US);
	peek_at(lab, 0, id, false, 1000);
	lab_pass(lab, 10 * TICK_US);
	peek_expect(lab, 0, 0, "hello");
	peek_answer(lab, 0, id, 0, UINT64_MAX, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_an_update(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 100);
	struct wire_flow_update update = { .id = id, .verdict = DROP, .reason = "later" };
	unsigned int packet = peek_put_text(lab, 0, "hello");

	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update); /* before it was shown */
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_true(peek_is_destroyed(lab));
}

static void test_too_large_a_peek_is_told(void **state)
{
	struct lab *lab = *state;
	const struct wire_flow_data *data;

	peek_looked_at(lab, false, UINT64_MAX);
	peek_put_text(lab, 0, "hello");
	lab_pass(lab, PEEK_IDLE_US);
	data = lab_take(lab, 0, WIRE_FLOW_DATA);
	assert_non_null(data);
	assert_int_equal(data->most, PEEK_BYTES_MAX);
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_shown_goes_when_it_is_passed, peek_one_closed),
		TEST(test_what_is_denied_never_goes, peek_one_closed),
		TEST(test_less_is_shown_after_a_while, peek_one_closed),
		TEST(test_order_is_that_of_the_bytes, peek_one_closed),
		TEST(test_every_filter_has_its_say, peek_two_closed),
		TEST(test_a_later_filter_denies_at_once, peek_two_closed),
		TEST(test_bytes_of_nobody_are_to_be_sent_again, peek_one_closed),
		TEST(test_bytes_of_nobody_are_to_be_sent_again, peek_one_open),
		TEST(test_a_start_with_bytes_is_dropped, peek_one_closed),
		TEST(test_what_is_held_at_the_end_is_charged_no_more, peek_one_closed),
		TEST(test_a_user_does_not_fill_memory_or_the_queue, peek_one_closed),
		TEST(test_one_that_has_no_place_any_more_is_cut, peek_one_closed),
		TEST(test_what_was_let_go_is_not_looked_at_again, peek_one_closed),
		TEST(test_what_comes_behind_the_end, peek_one_closed),
		TEST(test_what_is_behind_a_gap_is_not_held_for_ever, peek_one_closed),
		TEST(test_what_comes_in, peek_one_closed),
		TEST(test_what_is_held_ends_with_its_connection, peek_one_closed),
		TEST(test_the_reset_of_one_that_was_cut_is_no_new_one, peek_one_closed),
		TEST(test_the_reset_of_one_that_was_not_cut_is_not_lost, peek_one_closed),
		TEST(test_datagrams, peek_one_closed),
		TEST(test_a_first_datagram_that_is_denied, peek_one_closed),
		TEST(test_ends_of_a_closed_socket, peek_one_closed),
		TEST(test_a_socket_that_closes_while_it_is_held, peek_one_closed),
		TEST(test_an_update, peek_one_closed),
		TEST(test_too_large_a_peek_is_told, peek_one_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
