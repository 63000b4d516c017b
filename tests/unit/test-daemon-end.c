/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: How flows and sluiced end
 *
 * Flows end with their socket, when idle, or with the instance. sluiced ends
 * at the keeper's word, or is gone at once and has a successor.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "running-lab.h"

static uint64_t judged(struct lab *lab, const struct lab_packet *packet, uint8_t verdict)
{
	uint64_t id;

	lab_put(lab, packet);
	id = lab_take_flow(lab, 0);
	assert_int_not_equal(id, 0);
	lab_judge(lab, 0, id, verdict);
	return id;
}

/* Return: its id, 0: none was told */
static uint64_t take_closed(struct lab *lab)
{
	const struct wire_flow_closed *closed;

	lab_pass(lab, 0);
	closed = lab_take(lab, 0, WIRE_FLOW_CLOSED);
	return closed ? closed->id : 0;
}

static void test_tcp_ends_with_its_byte_counts(void **state)
{
	struct lab *lab = *state;
	uint64_t id = judged(lab, &tcp, 0);
	const struct wire_flow_closed *closed;

	lab_end_socket(lab, &tcp);
	closed = lab_take(lab, 0, WIRE_FLOW_CLOSED);
	assert_non_null(closed);
	assert_int_equal(closed->id, id);
	assert_int_equal(closed->bytes_in, 300);
	assert_int_equal(closed->bytes_out, 200);
	assert_null(lab_flow(lab, &tcp));
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 0);
}

/* a program connects, and closes at once: we hear of that before we read its SYN */
static void test_tcp_ends_before_it_is_asked_about(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = tcp;
	uint64_t id;

	lab_close_socket(lab, &tcp);
	id = judged(lab, &tcp, 0);
	assert_int_equal(take_closed(lab), id);
	assert_null(lab_flow(lab, &tcp));
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 0);

	/* of one whose descriptor lives there may be another connection, and of another socket */
	other.uid++;
	lab_end_socket(lab, &other);
	judged(lab, &other, 0);
	assert_int_equal(take_closed(lab), 0);
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 1);
}

static void test_a_filter_that_does_not_want_to_know_is_not_told(void **state)
{
	struct lab *lab = *state;

	lab->daemon->filters[0].wants_ends = false;
	judged(lab, &tcp, 0);
	lab_end_socket(lab, &tcp);
	assert_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 0);
}

static void test_udp_ends_with_its_socket(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = udp;
	const struct wire_flow_closed *closed;

	other.rport = 124;
	judged(lab, &udp, 0);
	judged(lab, &other, 1);
	lab_end_socket(lab, &udp);
	closed = lab_take(lab, 0, WIRE_FLOW_CLOSED);
	assert_non_null(closed);
	assert_int_equal(closed->bytes_out, 4);
	assert_null(lab_take(lab, 0, WIRE_FLOW_CLOSED)); /* not for what it denied */
	assert_int_equal(fake_n(lab->kernel, FAKE_FLOWS), 0);
}

static void test_a_flow_whose_socket_is_gone_ends_when_it_is_judged(void **state)
{
	const struct lab_packet *kinds[] = { &tcp, &udp };
	struct lab *lab = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		unsigned int packet = lab_put(lab, kinds[i]);
		uint64_t id = lab_take_flow(lab, 0);

		lab_end_socket(lab, kinds[i]);
		assert_int_equal(lab_fate(lab, packet), FATE_HELD);
		lab_judge(lab, 0, id, 0);
		assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
		lab_pass(lab, 0);
		assert_non_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
		assert_null(lab_flow(lab, kinds[i]));
	}
}

static void test_an_event_of_nobody_is_ignored(void **state)
{
	struct lab *lab = *state;

	lab_end_socket(lab, &tcp);
	lab_end_socket(lab, &udp);
	assert_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
}

static void test_more_events_than_a_round_takes(void **state)
{
	struct lab *lab = *state;
	struct sl_event event = { .cookie = 1, .kind = SL_EV_TCP_CLOSED };

	for (unsigned int i = 0; i <= PLANE_EVENTS_A_ROUND; i++)
		fake_put_event(lab->kernel, &event);
	assert_true(daemon_tick(lab->daemon));
	assert_false(daemon_tick(lab->daemon));
}

static void test_idle_udp_ends_and_busy_udp_does_not(void **state)
{
	struct sl_flow_key key = lab_key(&udp);
	struct lab *lab = *state;
	struct sl_flow entry;

	judged(lab, &udp, 0);
	judged(lab, &tcp, 0);
	lab_pass(lab, IDLE_UDP_US);
	entry = *lab_flow(lab, &udp);
	entry.last_ns = daemon_now_us() * 1000; /* as the kernel writes it at each packet */
	fake_put(lab->kernel, FAKE_FLOWS, &key, &entry);
	lab_pass(lab, IDLE_UDP_US);
	assert_non_null(lab_flow(lab, &udp));
	lab_pass(lab, IDLE_UDP_US / 5);
	assert_null(lab_flow(lab, &udp));
	assert_non_null(lab_flow(lab, &tcp)); /* the kernel tells the end of TCP */
}

static void test_a_denial_is_forgotten_when_idle(void **state)
{
	struct lab *lab = *state;

	judged(lab, &tcp, 1);
	lab_pass(lab, IDLE_UDP_US + IDLE_UDP_US / 5);
	assert_null(lab_flow(lab, &tcp));
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 0);
}

static void test_the_end_answers_everything(void **state)
{
	struct lab *lab = *state;
	unsigned int held, answer;

	judged(lab, &udp, 0);
	held = lab_put(lab, &tcp);
	answer = lab_put(lab, &dns_answer);
	lab_stop(lab);
	assert_int_equal(lab_fate(lab, held), FATE_REJECTED);
	assert_int_equal(lab_fate(lab, answer), FATE_ALLOWED);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_CLOSED));
	assert_non_null(lab_take(lab, 0, WIRE_STOP));
	assert_false(fake_is_installed(lab->kernel));
	assert_int_equal(fake_n(lab->kernel, FAKE_FLOWS), 0);
}

static void allow_last(void *data)
{
	struct lab *lab = data;
	struct wire_flow_verdict record = { .id = lab_take_flow(lab, 0), .reason = "unit" };

	assert_int_equal(channel_send(lab->filters[0].sock, &wire_provider_channel,
				      WIRE_FLOW_VERDICT, &record, NULL, 0, -1),
			 0);
}

/* the last program sends, and ends before its filter has answered */
static void test_the_end_waits_for_the_last_answer(void **state)
{
	struct lab *lab = *state;
	unsigned int held = lab_put(lab, &udp);

	lab_when_it_sleeps(allow_last, lab);
	lab_stop(lab);
	assert_int_equal(lab_fate(lab, held), FATE_ALLOWED);
}

static void hang_up(void *data)
{
	struct lab *lab = data;

	lab->filters[0].sock = close_fd(lab->filters[0].sock);
}

/* and then it does what it has to do at the end */
static void say_stopped(void *data)
{
	struct wire_log line = { .level = 6, .text = "so long" };
	struct wire_stopped stopped = { 0 };
	struct lab *lab = data;

	assert_non_null(lab_take(lab, 0, WIRE_STOP));
	assert_int_equal(channel_send(lab->filters[0].sock, &wire_provider_channel, WIRE_LOG, &line,
				      NULL, 0, -1),
			 0);
	assert_int_equal(channel_send(lab->filters[0].sock, &wire_provider_channel, WIRE_STOPPED,
				      &stopped, NULL, 0, -1),
			 0);
	lab_when_it_sleeps(hang_up, lab);
}

/* Return: how long the end took, in microseconds */
static uint64_t end_us(struct lab *lab)
{
	uint64_t began_us = daemon_now_us();

	lab_stop(lab);
	return daemon_now_us() - began_us;
}

static void test_the_end_waits_until_a_filter_has_stopped(void **state)
{
	struct lab *lab = *state;
	uint64_t took_us;

	lab_when_it_sleeps(say_stopped, lab);
	took_us = end_us(lab);
	assert_true(took_us > 0 && took_us < 10000);
	assert_int_equal(lab->filters[0].sock, -1); /* its process had time to end by itself */
}

static void test_a_filter_that_is_gone_is_not_waited_for(void **state)
{
	struct lab *lab = *state;

	lab_when_it_sleeps(hang_up, lab);
	assert_true(end_us(lab) < 10000);
}

static void test_a_filter_that_does_not_stop_is_waited_for_a_second(void **state)
{
	uint64_t took_us = end_us(*state);

	assert_true(took_us >= 1000000 && took_us < 1010000);
}

static void take_all(void *data)
{
	struct lab *lab = data;

	assert_null(lab_take(lab, 0, WIRE_RULES_DONE)); /* and everything else */
	lab_when_it_sleeps(say_stopped, lab);
}

/* STOP itself must not be lost */
static void test_a_full_channel_is_told_to_stop_when_it_has_place(void **state)
{
	struct wire_ping ping = { 0 };
	struct lab *lab = *state;

	while (providers_say(&lab->daemon->filters[0], WIRE_PING, &ping, -1) == 0)
		;
	lab_when_it_sleeps(take_all, lab);
	assert_true(end_us(lab) < 10000);
}

static void test_a_successor_knows_what_was_decided_and_asks_the_rest(void **state)
{
	struct lab *lab = *state;
	uint64_t decided = judged(lab, &udp, 0), id;
	unsigned int packet = lab_put(lab, &tcp);
	struct flow *flow;

	lab_crash(lab);
	assert_true(fake_is_installed(lab->kernel));
	assert_int_equal(lab_start(lab), 0);
	assert_true(lab->is_told);
	flow = flow_table_find_id(lab->daemon->flows, decided);
	assert_non_null(flow);
	assert_int_equal(flow->verdict, SL_ALLOW);
	assert_non_null(flow->side->identity);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_run_all(lab);
	id = lab_take_flow(lab, 0);
	assert_true(id > decided);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_REQUEUE), 1);
}

static void test_a_successor_keeps_denials(void **state)
{
	struct lab *lab = *state;

	judged(lab, &tcp, 1);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp)), FATE_REJECTED);
}

static void test_an_undecided_entry_is_not_restored(void **state)
{
	struct sl_flow_key key = lab_key(&tcp);
	struct sl_flow entry = { .id = 1 };
	struct lab *lab = *state;

	lab_crash(lab);
	fake_put(lab->kernel, FAKE_FLOWS, &key, &entry);
	assert_int_equal(lab_start(lab), 0);
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 0);
}

/* it was written for a program that had given up by then */
static void test_a_verdict_of_no_socket_ends_with_the_predecessor(void **state)
{
	struct sl_flow_key key = lab_key(&tcp), other = lab_key(&tcp);
	struct sl_flow entry = { .id = 1, .verdict = SL_ALLOW, .dir = SL_DIR_OUT };
	struct lab *lab = *state;

	judged(lab, &tcp, 0);
	lab_crash(lab);
	other.cookie += 1000; /* nobody's */
	entry.tuple = lab_tuple(&tcp);
	fake_put(lab->kernel, FAKE_FLOWS, &other, &entry);
	assert_int_equal(lab_start(lab), 0);
	assert_null(fake_get(lab->kernel, FAKE_FLOWS, &other));
	assert_non_null(fake_get(lab->kernel, FAKE_FLOWS, &key));
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 1);
}

static void test_a_keeper_that_breaks_the_protocol_is_not_the_end(void **state)
{
	const uint8_t bytes[8] = { 0xff, 0xff };
	struct lab *lab = *state;
	unsigned int held;

	judged(lab, &udp, 1);
	held = lab_put(lab, &tcp);
	assert_int_equal(channel_send_raw(lab->keeper, bytes, sizeof(bytes), -1), 0);
	assert_true(daemon_run(lab->daemon) < 0);
	lab_crash(lab);
	assert_true(fake_is_installed(lab->kernel));
	assert_int_equal(lab_fate(lab, held), FATE_HELD);
	assert_int_equal(lab_flow(lab, &udp)->verdict, SL_REJECT);
	assert_int_equal(lab_start(lab), 0);
}

static void test_a_child_that_cannot_be_started(void **state)
{
	struct wire_k_child none = { .slot = 1, .error = 2 };
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	lab_end_filter(lab, 0);
	lab->daemon->filters[0].session.deaths = SESSION_DEATHS_MAX - 1;
	lab_pass(lab, TICK_US); /* spawned: as if the keeper had no process for it */
	lab->filters[0].sock = close_fd(lab->filters[0].sock);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(channel_send(lab->keeper, &wire_keeper_channel, WIRE_K_CHILD,
					      &none, NULL, 0, -1),
				 0);
	lab_settle(lab);
	lab_pass(lab, FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, running_one, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tcp_ends_with_its_byte_counts),
		TEST(test_tcp_ends_before_it_is_asked_about),
		TEST(test_a_filter_that_does_not_want_to_know_is_not_told),
		TEST(test_udp_ends_with_its_socket),
		TEST(test_a_flow_whose_socket_is_gone_ends_when_it_is_judged),
		TEST(test_an_event_of_nobody_is_ignored),
		TEST(test_more_events_than_a_round_takes),
		TEST(test_idle_udp_ends_and_busy_udp_does_not),
		TEST(test_a_denial_is_forgotten_when_idle),
		TEST(test_the_end_answers_everything),
		TEST(test_the_end_waits_for_the_last_answer),
		TEST(test_the_end_waits_until_a_filter_has_stopped),
		TEST(test_a_filter_that_is_gone_is_not_waited_for),
		TEST(test_a_filter_that_does_not_stop_is_waited_for_a_second),
		TEST(test_a_full_channel_is_told_to_stop_when_it_has_place),
		TEST(test_a_successor_knows_what_was_decided_and_asks_the_rest),
		TEST(test_a_successor_keeps_denials),
		TEST(test_an_undecided_entry_is_not_restored),
		TEST(test_a_verdict_of_no_socket_ends_with_the_predecessor),
		TEST(test_a_keeper_that_breaks_the_protocol_is_not_the_end),
		TEST(test_a_child_that_cannot_be_started),
	};

	return cmocka_run_group_tests_name("daemon-end", tests, NULL, NULL);
}
