/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced shows filters what flows carry
 *
 * What is held and let go, what the kernel is told before, and what becomes of it when
 * somebody does not answer, dies, or denies.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab.h"
#include "flow/peek.h"

#define SEQ 1000U
#define ACK 0x10U
#define FIN 0x01U
#define SYN 0x02U
#define DEADLINE (FLOW_DEADLINE_US + TICK_US)

enum { ALLOW, DROP, SILENT };

static const struct lab_packet syn = {
	.proto = IPPROTO_TCP, .lport = 40000, .rport = 80, .last = 9, .seq = SEQ - 1
};
static const struct lab_packet datagram = {
	.proto = IPPROTO_UDP, .lport = 40001, .rport = 443, .last = 9, .text = "hello"
};

static struct lab_packet out(uint32_t at, const char *text)
{
	struct lab_packet packet = syn;

	packet.seq = SEQ + at;
	packet.flags = ACK;
	packet.text = text;
	return packet;
}

static struct lab_packet in(uint8_t flags, uint32_t seq, const char *text)
{
	struct lab_packet packet = syn;

	packet.is_inbound = true;
	packet.seq = seq;
	packet.flags = flags;
	packet.text = text;
	return packet;
}

static struct lab *start(unsigned int n_filters, bool is_closed)
{
	struct lab_config config = { .n_filters = n_filters };
	struct lab *lab;

	for (unsigned int i = 0; i < n_filters; i++) {
		config.is_closed[i] = is_closed;
		config.looks[i] = true;
	}
	lab = lab_new(&config);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	return lab;
}

static int one_closed(void **state)
{
	*state = start(1, true);
	return 0;
}

static int one_open(void **state)
{
	*state = start(1, false);
	return 0;
}

static int two_closed(void **state)
{
	*state = start(2, true);
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	if (lab->daemon)
		lab_stop(lab);
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 0);
	lab_free(lab);
	return 0;
}

static void peek(struct lab *lab, unsigned int filter, uint64_t id, bool has_in, uint64_t bytes)
{
	struct wire_flow_peek record = { .id = id,
					 .outbound = 1,
					 .inbound = has_in,
					 .peek_out = bytes,
					 .peek_in = bytes,
					 .reason = "looks" };

	lab_say(lab, filter, WIRE_FLOW_PEEK, &record);
}

static void pass(struct lab *lab, unsigned int filter, uint64_t id, uint8_t direction, uint64_t n,
		 uint64_t more)
{
	struct wire_flow_pass record = {
		.id = id, .direction = direction, .pass = n, .peek = more
	};

	lab_say(lab, filter, WIRE_FLOW_PASS, &record);
}

static void pause_flow(struct lab *lab, uint64_t id, uint8_t is_pause)
{
	struct wire_flow_pause record = { .id = id, .pause = is_pause };

	lab_say(lab, 0, WIRE_FLOW_PAUSE, &record);
}

/* a filter is shown exactly this. Return: is it the end? */
static bool expect_data(struct lab *lab, unsigned int filter, uint64_t offset, const char *text)
{
	const struct wire_flow_data *data = lab_take(lab, filter, WIRE_FLOW_DATA);

	assert_non_null(data);
	assert_int_equal(data->offset, offset);
	assert_int_equal(lab->message.n_tail, strlen(text));
	assert_memory_equal(lab->message.tail, text, strlen(text));
	return data->end;
}

static void expect_nothing(struct lab *lab, unsigned int filter)
{
	assert_null(lab_take(lab, filter, WIRE_FLOW_DATA));
}

/* a connection that every filter looks at. Return: its id */
static uint64_t looked_at(struct lab *lab, bool has_in, uint64_t bytes)
{
	unsigned int packet = lab_put(lab, &syn);
	uint64_t id = 0;

	for (unsigned int i = 0; i < lab->config.n_filters; i++) {
		assert_int_equal(lab_fate(lab, packet), FATE_HELD);
		id = lab_take_flow(lab, i);
		assert_true(id > 0);
		peek(lab, i, id, has_in, bytes);
	}
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED); /* it carries nothing */
	assert_int_equal(lab_flow(lab, &syn)->verdict, SL_PEEK);
	return id;
}

static unsigned int put_text(struct lab *lab, uint32_t at, const char *text)
{
	const struct lab_packet packet = out(at, text);

	return lab_put(lab, &packet);
}

static bool is_destroyed(struct lab *lab)
{
	const struct sl_flow *flow = lab_flow(lab, &syn);

	return flow && fake_get(lab->kernel, FAKE_ENDED, &flow->tuple);
}

static void test_what_is_shown_goes_when_it_is_passed(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 5);
	unsigned int packet = put_text(lab, 0, "hello"), next;

	assert_int_equal(lab_flow(lab, &syn)->peek, SL_PEEK_OUT | SL_PEEK_BASE_OUT);
	assert_int_equal(lab_flow(lab, &syn)->base[SL_DIR_OUT], SEQ);
	assert_int_equal(lab_flow(lab, &syn)->passed[SL_DIR_OUT], 0);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_false(expect_data(lab, 0, 0, "hello"));
	pass(lab, 0, id, 0, 5, 3);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &syn)->passed[SL_DIR_OUT], 5);
	assert_int_equal(lab_fate(lab, put_text(lab, 0, "hello")), FATE_ALLOWED); /* once more */
	next = put_text(lab, 5, "world");
	expect_data(lab, 0, 5, "wor");
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, next), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &syn)->verdict, SL_ALLOW);
	assert_int_equal(lab_fate(lab, put_text(lab, 10, "!")), FATE_ALLOWED);
	expect_nothing(lab, 0);
}

static void test_what_is_denied_never_goes(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 5);
	unsigned int packet = put_text(lab, 0, "hello");

	expect_data(lab, 0, 0, "hello");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &syn)->verdict, SL_REJECT);
	assert_true(is_destroyed(lab));
	assert_int_equal(lab_fate(lab, put_text(lab, 0, "hello")), FATE_REJECTED);
}

static void test_less_is_shown_after_a_while(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 1000);

	put_text(lab, 0, "hello");
	expect_nothing(lab, 0);
	lab_pass(lab, PEEK_IDLE_US);
	expect_data(lab, 0, 0, "hello");
	pass(lab, 0, id, 0, 0, 1000); /* more */
	put_text(lab, 5, " world");
	lab_pass(lab, PEEK_IDLE_US);
	expect_data(lab, 0, 0, "hello world");
}

static void test_order_is_that_of_the_bytes(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 6);
	unsigned int second = put_text(lab, 3, "def"), first;

	expect_nothing(lab, 0);
	assert_int_equal(lab_fate(lab, put_text(lab, 3, "xyz")), FATE_SILENT); /* another copy */
	first = put_text(lab, 0, "abc");
	expect_data(lab, 0, 0, "abcdef");
	pass(lab, 0, id, 0, 3, 1);
	assert_int_equal(lab_fate(lab, first), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, second), FATE_HELD);
	expect_data(lab, 0, 3, "d");
}

static void test_no_answer_fails_closed(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	looked_at(lab, false, 1);
	packet = put_text(lab, 0, "hello");
	expect_data(lab, 0, 0, "h");
	lab_pass(lab, FLOW_DEADLINE_US - TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, 2 * TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &syn)->verdict, SL_REJECT);
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
}

static void test_no_answer_fails_open(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	looked_at(lab, true, 1);
	packet = put_text(lab, 0, "hello");
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 1);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &syn)->verdict, SL_ALLOW);
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 0);
}

static void test_more_that_never_comes_is_late(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 1);
	unsigned int packet = put_text(lab, 0, "hello");

	expect_data(lab, 0, 0, "h");
	pass(lab, 0, id, 0, 0, 100);
	lab_pass(lab, PEEK_IDLE_US + TICK_US);
	expect_data(lab, 0, 0, "hello");
	pass(lab, 0, id, 0, 0, 100);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_every_filter_has_its_say(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 5);
	unsigned int packet = put_text(lab, 0, "hello");

	expect_data(lab, 0, 0, "hello");
	expect_data(lab, 1, 0, "hello"); /* at the same time */
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 1, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_true(is_destroyed(lab));
}

static void test_a_later_filter_denies_at_once(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &syn);
	uint64_t id = lab_take_flow(lab, 0);

	peek(lab, 0, id, true, 1);
	assert_int_equal(lab_take_flow(lab, 1), id);
	lab_judge(lab, 1, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	assert_int_equal(lab_flow(lab, &syn)->verdict, SL_REJECT);
}

static void test_what_comes_in(void **state)
{
	const struct lab_packet answer = in(SYN | ACK, 5000, NULL), late = in(ACK, 5003, "cd"),
				first = in(ACK, 5001, "ab"), fin = in(FIN | ACK, 5005, NULL);
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, true, 4);
	unsigned int packets[3];

	assert_int_equal(lab_fate(lab, lab_put(lab, &answer)), FATE_ALLOWED);
	packets[0] = lab_put(lab, &late); /* the answer has said what is before it */
	expect_nothing(lab, 0);
	packets[1] = lab_put(lab, &first);
	assert_false(expect_data(lab, 0, 0, "abcd"));
	packets[2] = lab_put(lab, &fin);
	pass(lab, 0, id, 1, 4, 4);
	assert_int_equal(lab_fate(lab, packets[0]), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, packets[1]), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, packets[2]), FATE_HELD);
	assert_true(expect_data(lab, 0, 4, "")); /* the end alone */
	pass(lab, 0, id, 1, 0, 0);
	assert_int_equal(lab_fate(lab, packets[2]), FATE_ALLOWED);
	lab_end_socket(lab, &syn);
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 0);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
}

static void test_what_is_held_ends_with_its_connection(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	looked_at(lab, true, 100);
	packet = put_text(lab, 0, "hello");
	lab_end_socket(lab, &syn);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab->daemon->peekings.n, 0);
}

static void test_datagrams(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &datagram), second;
	uint64_t id = lab_take_flow(lab, 0);

	peek(lab, 0, id, true, 1000);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD); /* and was queued once more */
	expect_data(lab, 0, 0, "hello");		    /* no more is waited for */
	second = lab_put(lab, &datagram);
	expect_nothing(lab, 0);
	pass(lab, 0, id, 0, 5, 1000);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	expect_data(lab, 0, 5, "hello");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, second), FATE_SILENT);
}

static void test_a_first_datagram_that_is_denied(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &datagram);
	uint64_t id = lab_take_flow(lab, 0);

	peek(lab, 0, id, false, 0);
	expect_data(lab, 0, 0, "hello");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED); /* as if it had been at once */
	assert_int_equal(lab_flow(lab, &datagram)->verdict, SL_REJECT);
}

static void test_a_pause(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 1);
	unsigned int packet = put_text(lab, 0, "hello");

	expect_data(lab, 0, 0, "h");
	pause_flow(lab, id, 1);
	pass(lab, 0, id, 0, 5, 1); /* not while it is paused */
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
	pause_flow(lab, id, 1);
	assert_int_equal(lab->daemon->filters[0].n_late, 2);
	lab_pass(lab, 100 * FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	pause_flow(lab, id, 0);
	pass(lab, 0, id, 0, 5, 1);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	pause_flow(lab, id, 0);
	assert_int_equal(lab->daemon->filters[0].n_late, 3);
}

static void test_a_new_flow_is_paused(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &syn), other;
	uint64_t id = lab_take_flow(lab, 0);

	pause_flow(lab, id, 1);
	other = lab_put(lab, &datagram);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, other), FATE_REJECTED); /* late as ever */
	lab_pass(lab, DEADLINE / 4);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	pause_flow(lab, id, 0);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_datagrams_are_not_paused_for_long(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &datagram);
	uint64_t id = lab_take_flow(lab, 0);

	pause_flow(lab, id, 1);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_another_process_looks_again(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 1);
	unsigned int packet = put_text(lab, 0, "hello");
	const struct wire_flow_new *again;

	expect_data(lab, 0, 0, "h");
	lab_end_filter(lab, 0);
	lab_pass(lab, 1000000);
	lab_run_filter(lab, 0);
	again = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(again);
	assert_int_equal(again->id, id);
	assert_int_equal(again->again, 1);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek(lab, 0, id, false, 3);
	expect_data(lab, 0, 0, "hel");
	pass(lab, 0, id, 0, UINT64_MAX, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &syn)->verdict, SL_ALLOW);
}

static void test_a_process_that_does_not_come_back(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	looked_at(lab, false, 1);
	packet = put_text(lab, 0, "hello");
	lab_end_filter(lab, 0);
	for (int i = 0; i < 10; i++)
		lab_pass(lab, DEADLINE / 5);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_a_successor_goes_on(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, true, 5);
	unsigned int packet;
	const struct wire_flow_new *again;

	put_text(lab, 0, "hello");
	expect_data(lab, 0, 0, "hello");
	pass(lab, 0, id, 0, 5, 5);
	packet = put_text(lab, 5, "world");
	lab_crash(lab);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	again = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(again);
	assert_int_equal(again->id, id);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek(lab, 0, id, true, 5);
	expect_data(lab, 0, 5, "world"); /* not what was passed */
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_true(is_destroyed(lab));
}

static void test_a_successor_denies(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, true, 5);

	put_text(lab, 0, "hello");
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_int_equal(lab_take_flow(lab, 0), id);
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_flow(lab, &syn)->verdict, SL_REJECT);
	assert_true(is_destroyed(lab));
}

static void test_an_update(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 100);
	struct wire_flow_update update = { .id = id, .verdict = DROP, .reason = "later" };
	unsigned int packet = put_text(lab, 0, "hello");

	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update); /* before it was shown */
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_true(is_destroyed(lab));
}

static void test_too_large_a_peek_is_told(void **state)
{
	struct lab *lab = *state;
	const struct wire_flow_data *data;

	looked_at(lab, false, UINT64_MAX);
	put_text(lab, 0, "hello");
	lab_pass(lab, PEEK_IDLE_US);
	data = lab_take(lab, 0, WIRE_FLOW_DATA);
	assert_non_null(data);
	assert_int_equal(data->most, PEEK_BYTES_MAX);
}

static void test_only_who_said_so_may_look(void **state)
{
	struct lab_config config = { .n_filters = 1 };
	struct lab *lab = lab_new(&config);
	struct wire_flow_peek record = { .outbound = 1 };

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_false(fake_is_peeking(lab->kernel));
	lab_put(lab, &syn);
	record.id = lab_take_flow(lab, 0);
	lab_say(lab, 0, WIRE_FLOW_PEEK, &record);
	assert_int_equal(lab->n_killed, 1);
	*state = lab;
}

/* whatever the kernel refuses: nothing goes that nobody has seen */
static void test_a_kernel_that_refuses(void **state)
{
	static const enum fake_op ops[] = { FAKE_SET_FLOW, FAKE_SET_PEEK };

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct lab *lab = start(1, true);
		unsigned int packet = lab_put(lab, &syn);

		fake_fail(lab->kernel, ops[i], 1, ENOMEM);
		peek(lab, 0, lab_take_flow(lab, 0), true, 5);
		assert_true(fake_has_failed(lab->kernel));
		assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
		lab_stop(lab);
		lab_free(lab);
	}
}

static void test_a_kernel_that_refuses_later(void **state)
{
	struct lab *lab = *state;
	uint64_t id = looked_at(lab, false, 5);
	unsigned int packet = put_text(lab, 0, "hello");

	expect_data(lab, 0, 0, "hello");
	fake_fail(lab->kernel, FAKE_SET_FLOW, 1, ENOMEM);
	pass(lab, 0, id, 0, 5, 5); /* not before the kernel knows; it is told a little later */
	assert_true(fake_has_failed(lab->kernel));
	lab_pass(lab, 2 * TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &syn)->passed[SL_DIR_OUT], 5);
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_shown_goes_when_it_is_passed, one_closed),
		TEST(test_what_is_denied_never_goes, one_closed),
		TEST(test_less_is_shown_after_a_while, one_closed),
		TEST(test_order_is_that_of_the_bytes, one_closed),
		TEST(test_no_answer_fails_closed, one_closed),
		TEST(test_no_answer_fails_open, one_open),
		TEST(test_more_that_never_comes_is_late, one_closed),
		TEST(test_every_filter_has_its_say, two_closed),
		TEST(test_a_later_filter_denies_at_once, two_closed),
		TEST(test_what_comes_in, one_closed),
		TEST(test_what_is_held_ends_with_its_connection, one_closed),
		TEST(test_datagrams, one_closed),
		TEST(test_a_first_datagram_that_is_denied, one_closed),
		TEST(test_a_pause, one_closed),
		TEST(test_a_new_flow_is_paused, one_closed),
		TEST(test_datagrams_are_not_paused_for_long, one_closed),
		TEST(test_another_process_looks_again, one_closed),
		TEST(test_a_process_that_does_not_come_back, one_closed),
		TEST(test_a_successor_goes_on, one_closed),
		TEST(test_a_successor_denies, one_closed),
		TEST(test_an_update, one_closed),
		TEST(test_too_large_a_peek_is_told, one_closed),
		cmocka_unit_test_teardown(test_only_who_said_so_may_look, tear_down),
		cmocka_unit_test(test_a_kernel_that_refuses),
		TEST(test_a_kernel_that_refuses_later, one_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
