/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced reports on flows that filters watch */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/macros.h"
#include "peek-lab.h"
#include "running-lab.h"

#define N_MANY 300U

static void watch(struct lab *lab, unsigned int filter, uint64_t id, uint8_t rate)
{
	const struct wire_flow_watch record = { .id = id, .rate = rate };

	lab_say(lab, filter, WIRE_FLOW_WATCH, &record);
}

/* a flow that the first filter watches and allows. Return: its id */
static uint64_t watched(struct lab *lab, const struct lab_packet *packet, uint8_t rate)
{
	uint64_t id;

	lab_put(lab, packet);
	id = lab_take_flow(lab, 0);
	watch(lab, 0, id, rate);
	lab_judge(lab, 0, id, ALLOW);
	return id;
}

static void set_counts(struct lab *lab, const struct lab_packet *packet, uint64_t in, uint64_t out)
{
	const struct plane_count count = { .bytes_in = in, .bytes_out = out };
	const struct sl_tuple tuple = lab_flow(lab, packet)->tuple;

	fake_put(lab->kernel, FAKE_COUNTS, &tuple, &count);
}

static const struct wire_flow_report *take(struct lab *lab, unsigned int filter)
{
	return lab_take(lab, filter, WIRE_FLOW_REPORT);
}

static void expect(struct lab *lab, unsigned int filter, enum report_event event, uint64_t in,
		   uint64_t out)
{
	const struct wire_flow_report *report = take(lab, filter);

	assert_non_null(report);
	assert_int_equal(report->event, event);
	assert_int_equal(report->bytes_in, in);
	assert_int_equal(report->bytes_out, out);
}

static void test_a_flow_that_is_watched_is_told_from_its_verdict_to_its_end(void **state)
{
	const struct wire_flow_report *report;
	struct lab *lab = *state;
	uint64_t id = watched(lab, &tcp, WATCH_MEDIUM);

	lab_pass(lab, TICK_US);
	report = take(lab, 0);
	assert_non_null(report);
	assert_int_equal(report->id, id);
	assert_int_equal(report->event, REPORT_NEW);
	assert_int_equal(report->verdict, 0);
	set_counts(lab, &tcp, 10, 5);
	lab_pass(lab, WATCH_MEDIUM_US - 2 * TICK_US);
	assert_null(take(lab, 0)); /* never more often */
	lab_pass(lab, TICK_US);
	report = take(lab, 0);
	assert_non_null(report);
	assert_int_equal(report->event, REPORT_STATISTICS);
	assert_int_equal(report->bytes_in, 10);
	assert_int_equal(report->bytes_out, 5);
	assert_int_equal(report->age, WATCH_MEDIUM_US);
	set_counts(lab, &tcp, 100, 50);
	lab_pass(lab, WATCH_MEDIUM_US);
	expect(lab, 0, REPORT_STATISTICS, 100, 50);
	lab_end_socket(lab, &tcp);
	expect(lab, 0, REPORT_CLOSED, 300, 200);
	lab_pass(lab, 2 * WATCH_MEDIUM_US);
	assert_null(take(lab, 0));
	assert_int_equal(lab->daemon->watches.n, 0);
}

static void test_nobody_asks_nobody_is_told_and_nothing_is_looked_up(void **state)
{
	struct lab *lab = *state;

	lab_put(lab, &tcp);
	lab_judge(lab, 0, lab_take_flow(lab, 0), ALLOW);
	lab_judge(lab, 1, lab_take_flow(lab, 1), ALLOW);
	lab_live(lab, 20 * WATCH_LOW_US);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_COUNT), 0);
	lab_end_socket(lab, &tcp);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_CLOSED)); /* it takes what is before that, too */
	assert_null(take(lab, 1));
}

static void test_each_filter_has_its_own_rate(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	lab_put(lab, &tcp);
	id = lab_take_flow(lab, 0);
	watch(lab, 0, id, WATCH_HIGH);
	lab_judge(lab, 0, id, ALLOW);
	watch(lab, 1, id + 1, WATCH_HIGH); /* of no flow */
	assert_int_equal(lab_take_flow(lab, 1), id);
	watch(lab, 1, id, WATCH_EVENTS);
	lab_judge(lab, 1, id, DROP);
	lab_pass(lab, TICK_US);
	for (unsigned int i = 0; i < 2; i++) {
		const struct wire_flow_report *report = take(lab, i);

		assert_non_null(report); /* of both filters together */
		assert_int_equal(report->verdict, 1);
	}
	lab_pass(lab, WATCH_LOW_US);
	assert_null(take(lab, 0)); /* it carries nothing */
	watch(lab, 0, id, WATCH_HIGH);
	assert_int_equal(lab->daemon->watches.n, 0);
}

static void test_what_is_not_tcp_is_counted_by_the_kernel_side(void **state)
{
	struct lab *lab = *state;
	struct sl_flow entry;
	struct sl_flow_key key = lab_key(&udp);

	watched(lab, &udp, WATCH_LOW);
	lab_pass(lab, TICK_US);
	expect(lab, 0, REPORT_NEW, 0, 0);
	entry = *lab_flow(lab, &udp);
	entry.bytes_in = 70;
	entry.bytes_out = 40;
	fake_put(lab->kernel, FAKE_FLOWS, &key, &entry);
	lab_pass(lab, WATCH_LOW_US);
	expect(lab, 0, REPORT_STATISTICS, 70, 40);
	lab_end_socket(lab, &udp);
	expect(lab, 0, REPORT_CLOSED, 70, 40);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_COUNT), 0);
}

/* its end is on its way: what was counted before stands */
static void test_a_socket_that_cannot_be_looked_up(void **state)
{
	struct lab *lab = *state;

	watched(lab, &tcp, WATCH_HIGH);
	set_counts(lab, &tcp, 10, 5);
	lab_pass(lab, WATCH_HIGH_US);
	expect(lab, 0, REPORT_NEW, 0, 0);
	expect(lab, 0, REPORT_STATISTICS, 10, 5);
	fake_fail(lab->kernel, FAKE_COUNT, 1, ENOMEM);
	lab_pass(lab, WATCH_HIGH_US);
	expect(lab, 0, REPORT_STATISTICS, 10, 5);
}

/* ends_close() without an event of its end: the last report is no less than the one before */
static void test_a_flow_that_ends_without_its_socket_keeps_its_counts(void **state)
{
	struct lab *lab = *state;

	watched(lab, &tcp, WATCH_HIGH);
	set_counts(lab, &tcp, 10, 5);
	lab_stop(lab);
	expect(lab, 0, REPORT_NEW, 0, 0);
	expect(lab, 0, REPORT_CLOSED, 10, 5);
}

static void test_bytes_that_were_seen_decide(void **state)
{
	const struct wire_flow_report *report;
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);

	watch(lab, 0, id, WATCH_EVENTS);
	peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "hello");
	set_counts(lab, &peek_syn, 0, 5);
	lab_judge(lab, 0, id, DROP);
	lab_pass(lab, TICK_US);
	report = take(lab, 0);
	assert_non_null(report);
	assert_int_equal(report->event, REPORT_DATA);
	assert_int_equal(report->verdict, 1);
	assert_int_equal(report->bytes_out, 5);
	lab_end_socket(lab, &peek_syn);
	expect(lab, 0, REPORT_CLOSED, 300, 200); /* its connection was made */
}

static void test_another_verdict_comes_with_what_was_carried_until_then(void **state)
{
	struct wire_flow_update update = { .verdict = 1 };
	const struct wire_flow_report *report;
	struct lab *lab = *state;

	update.id = watched(lab, &tcp, WATCH_EVENTS);
	lab_pass(lab, TICK_US);
	expect(lab, 0, REPORT_NEW, 0, 0);
	set_counts(lab, &tcp, 30, 20);
	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update);
	lab_pass(lab, TICK_US);
	report = take(lab, 0);
	assert_non_null(report);
	assert_int_equal(report->event, REPORT_DATA);
	assert_int_equal(report->verdict, 1);
	assert_int_equal(report->bytes_in, 30);
	assert_int_equal(report->bytes_out, 20);
	lab_end_socket(lab, &tcp);
	expect(lab, 0, REPORT_CLOSED, 300, 200);
}

static void test_a_flow_that_is_looked_at_says_so(void **state)
{
	const struct wire_flow_report *report;
	struct lab *lab = *state;
	uint64_t id;

	lab_put(lab, &peek_syn);
	id = lab_take_flow(lab, 0);
	watch(lab, 0, id, WATCH_EVENTS);
	peek_at(lab, 0, id, false, 1);
	lab_pass(lab, TICK_US);
	report = take(lab, 0);
	assert_non_null(report);
	assert_int_equal(report->event, REPORT_NEW);
	assert_true(report->looked_at);
	peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "h");
	lab_judge(lab, 0, id, ALLOW);
	lab_pass(lab, TICK_US);
	report = take(lab, 0);
	assert_non_null(report);
	assert_int_equal(report->event, REPORT_DATA);
	assert_false(report->looked_at);
}

/* its channel is full of what it has not read */
static void test_who_does_not_read_loses_statistics_and_keeps_the_ends(void **state)
{
	struct lab_packet packet = tcp;
	struct lab *lab = *state;
	const struct wire_flow_report *report;
	unsigned int n_closed = 0;

	for (unsigned int i = 0; i < N_MANY; i++, packet.lport++, packet.rport++)
		watched(lab, &packet, WATCH_HIGH);
	for (int i = 0; i < 200; i++)
		lab_live(lab, WATCH_HIGH_US);
	packet = tcp;
	for (unsigned int i = 0; i < N_MANY; i++, packet.lport++, packet.rport++) {
		lab_end_socket(lab, &packet);
		lab_live(lab, TICK_US);
	}
	assert_true(lab->daemon->filters[0].n_reports_lost > 100 * N_MANY);
	assert_true(lab->daemon->n_notes > 0);
	assert_int_equal(lab->daemon->watches.n, 0);
	for (int i = 0; i < 100; i++) { /* it reads again, and nothing was kept waiting */
		while ((report = take(lab, 0))) {
			size_t n = lab->message.n_tail /
				   (WIRE_HEADER_BYTES + lab->message.record->body_bytes);

			n_closed += report->event == REPORT_CLOSED ? 1 + (unsigned int)n : 0;
		}
		lab_live(lab, TICK_US);
	}
	assert_int_equal(n_closed, N_MANY);
	assert_int_equal(lab->daemon->n_notes, 0);
}

/* half of the places each: what waits for the one is not in the way of the other */
static void test_who_does_not_read_loses_only_its_own(void **state)
{
	struct lab *lab = *state;
	struct filter *filters = lab->daemon->filters;
	const struct flow_bytes none = { 0 };
	struct flow flow = { .told = 1 };

	filters[0].wants_ends = filters[1].wants_ends = filters[0].wants_write = true;
	for (unsigned int i = 0; i < NOTES_MAX + N_MANY; i++)
		reports_ended(lab->daemon, &flow, none);
	assert_int_equal(filters[0].n_reports_lost, NOTES_MAX / 2 + N_MANY);
	flow.told = 3;
	for (unsigned int i = 0; i < 10; i++)
		reports_ended(lab->daemon, &flow, none);
	reports_flush(lab->daemon);
	for (unsigned int i = 0; i < 10; i++)
		assert_non_null(lab_take(lab, 1, WIRE_FLOW_CLOSED));
	assert_int_equal(filters[1].n_reports_lost, 0);
	assert_int_equal(filters[0].n_reports_lost, NOTES_MAX / 2 + N_MANY + 10);
	reports_forget(lab->daemon, 0);
	reports_flush(lab->daemon);
	assert_int_equal(lab->daemon->n_notes + filters[0].n_notes, 0);
}

static void test_a_new_process_is_told_nothing_of_what_the_old_one_watched(void **state)
{
	struct lab *lab = *state;

	watched(lab, &tcp, WATCH_HIGH);
	lab_end_filter(lab, 0);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	assert_int_equal(lab->daemon->watches.n, 0);
	lab_pass(lab, WATCH_LOW_US);
	lab_end_socket(lab, &tcp);
	assert_null(take(lab, 0));
}

/* one question to the kernel for 64 of them */
static void test_many_are_looked_up_together(void **state)
{
	struct lab_packet packet = tcp;
	struct lab *lab = *state;

	for (unsigned int i = 0; i < N_MANY; i++, packet.lport++, packet.rport++)
		watched(lab, &packet, WATCH_LOW);
	lab_pass(lab, WATCH_LOW_US);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_COUNT),
			 (N_MANY + PLANE_COUNTS_MAX - 1) / PLANE_COUNTS_MAX);
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_flow_that_is_watched_is_told_from_its_verdict_to_its_end, running_one),
		TEST(test_nobody_asks_nobody_is_told_and_nothing_is_looked_up, running_two),
		TEST(test_each_filter_has_its_own_rate, running_two),
		TEST(test_what_is_not_tcp_is_counted_by_the_kernel_side, running_one),
		TEST(test_a_socket_that_cannot_be_looked_up, running_one),
		TEST(test_a_flow_that_ends_without_its_socket_keeps_its_counts, running_one),
		TEST(test_bytes_that_were_seen_decide, peek_one_closed),
		TEST(test_another_verdict_comes_with_what_was_carried_until_then, running_one),
		TEST(test_a_flow_that_is_looked_at_says_so, peek_one_closed),
		TEST(test_who_does_not_read_loses_statistics_and_keeps_the_ends, running_one),
		TEST(test_who_does_not_read_loses_only_its_own, running_two),
		TEST(test_a_new_process_is_told_nothing_of_what_the_old_one_watched, running_one),
		TEST(test_many_are_looked_up_together, running_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
