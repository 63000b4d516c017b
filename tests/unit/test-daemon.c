/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced judges
 *
 * Which answer each held packet gets: from filters that allow, deny, die or
 * say nothing. See daemon-lab.h for what is real here and what is not.
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

static const struct lab_packet tcp = {
	.proto = IPPROTO_TCP, .lport = 40000, .rport = 443, .last = 9
};
static const struct lab_packet tcp6 = {
	.proto = IPPROTO_TCP, .is_v6 = true, .lport = 40000, .rport = 443, .last = 9
};
static const struct lab_packet tcp_in = {
	.proto = IPPROTO_TCP, .is_inbound = true, .lport = 22, .rport = 50000, .last = 9
};
static const struct lab_packet udp = {
	.proto = IPPROTO_UDP, .lport = 40001, .rport = 123, .last = 9
};

static struct lab *running(unsigned int n_filters, bool is_closed)
{
	struct lab_config config = { .n_filters = n_filters };
	struct lab *lab;

	for (unsigned int i = 0; i < n_filters; i++)
		config.is_closed[i] = is_closed;
	lab = lab_new(&config);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_true(lab->is_told);
	assert_int_equal(lab->state.error, 0);
	return lab;
}

static int set_up_one(void **state)
{
	*state = running(1, true);
	return 0;
}

static int set_up_one_open(void **state)
{
	*state = running(1, false);
	return 0;
}

static int set_up_two(void **state)
{
	*state = running(2, true);
	return 0;
}

static int set_up_none(void **state)
{
	*state = running(0, false);
	return 0;
}

static int tear_down(void **state)
{
	*state = lab_free(*state);
	return 0;
}

/* ---- verdicts ---- */

static void test_a_flow_is_asked_and_allowed(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	const struct wire_flow_new *flow = lab_take(lab, 0, WIRE_FLOW_NEW);

	assert_non_null(flow);
	assert_int_equal(flow->pid, LAB_PID);
	assert_int_equal(flow->cookie, LAB_COOKIE);
	assert_int_equal(flow->dport, 443);
	assert_string_equal(flow->exe, "/bin/curl");
	assert_string_equal(flow->command, "curl url");
	assert_string_equal(flow->unit, "app.service");
	assert_string_equal(flow->interface, "wan");
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 0, flow->id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_ALLOW);
}

static void test_every_kind_of_packet_is_asked(void **state)
{
	const struct lab_packet *kinds[] = { &tcp, &tcp6, &tcp_in, &udp };
	struct lab *lab = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		unsigned int packet = lab_put(lab, kinds[i]);
		const struct wire_flow_new *flow = lab_take(lab, 0, WIRE_FLOW_NEW);

		assert_non_null(flow);
		assert_int_equal(flow->direction, kinds[i]->is_inbound);
		assert_int_equal(flow->protocol, kinds[i]->proto);
		assert_int_equal(flow->sport, kinds[i]->lport);
		assert_int_equal(flow->dst[15], 9);
		lab_judge(lab, 0, flow->id, 0);
		assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	}
}

static void test_a_denied_flow_is_rejected(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	lab_judge(lab, 0, lab_take_flow(lab, 0), 1);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
}

static void test_a_silent_drop_is_silent(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	lab_judge(lab, 0, lab_take_flow(lab, 0), 2);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_SILENT);
}

static void test_a_denial_is_remembered_until_the_kernel_forgets_it(void **state)
{
	struct lab *lab = *state;
	struct sl_flow_key key = lab_key(&tcp);
	unsigned int packet;

	lab_put(lab, &tcp);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 1);
	packet = lab_put(lab, &tcp);
	assert_int_equal(lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	fake_delete(lab->kernel, FAKE_FLOWS, &key);
	packet = lab_put(lab, &tcp);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_not_equal(lab_take_flow(lab, 0), 0);
}

static void test_all_packets_of_a_flow_wait_and_go_together(void **state)
{
	unsigned int packets[FLOW_PACKETS_MAX + 1];
	struct lab *lab = *state;
	uint64_t id;

	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		packets[i] = lab_put(lab, &udp);
	id = lab_take_flow(lab, 0);
	assert_int_equal(lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, packets[FLOW_PACKETS_MAX]), FATE_SILENT);
	lab_judge(lab, 0, id, 0);
	for (size_t i = 0; i < FLOW_PACKETS_MAX; i++)
		assert_int_equal(lab_fate(lab, packets[i]), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &udp)->bytes_out, FLOW_PACKETS_MAX * 4);
}

static void test_every_filter_must_allow(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	assert_int_equal(lab_take_flow(lab, 1), 0);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(lab_take_flow(lab, 1), id);
	lab_judge(lab, 1, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_the_first_filter_that_drops_decides(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	lab_judge(lab, 0, lab_take_flow(lab, 0), 2);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_take_flow(lab, 1), 0);
}

static void test_without_filters_everything_is_allowed(void **state)
{
	struct lab *lab = *state;

	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp)), FATE_ALLOWED);
}

/* ---- who may answer ---- */

static void test_answers_that_nobody_asked_for_are_counted(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_judge(lab, 0, id + 1000, 1);
	lab_judge(lab, 1, id, 1); /* not its turn */
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 0, id, 0);
	lab_judge(lab, 0, id, 1); /* a second one */
	lab_judge(lab, 1, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab->daemon->filters[0].n_late, 2);
	assert_int_equal(lab->daemon->filters[1].n_late, 1);
	assert_int_equal(lab->daemon->filters[0].session.restarts, 0);
}

static void test_the_deadline_wins(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_pass(lab, FLOW_DEADLINE_US - 1);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, 1);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
	assert_int_equal(lab->daemon->n_deadlines, 1);
}

static void test_the_deadline_fails_open(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	lab_pass(lab, FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_a_filter_that_is_back_is_asked_anew(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_end_filter(lab, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	assert_int_equal(lab_take_flow(lab, 0), id);
	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_what_a_filter_said_last_counts(void **state)
{
	struct wire_flow_verdict record = { .verdict = 1 };
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	record.id = lab_take_flow(lab, 0);
	assert_int_equal(channel_send(lab->filters[0].sock, &wire_provider_channel,
				      WIRE_FLOW_VERDICT, &record, NULL, 0, -1),
			 0);
	lab_end_filter(lab, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

static void test_a_filter_that_breaks_the_protocol_is_replaced(void **state)
{
	struct wire_hello hello = { .version = 1, .kind = 1 };
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp), n_spawned = lab->n_spawned;

	lab_say(lab, 0, WIRE_HELLO, &hello);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab->n_killed, 1);
	assert_int_equal(lab->n_spawned, n_spawned + 1);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_run_filter(lab, 0);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_a_filter_that_dies_too_often_fails(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);

	for (unsigned int i = 0; i <= SESSION_DEATHS_MAX; i++) {
		assert_true(lab->filters[0].sock >= 0);
		lab_end_filter(lab, 0);
		if (i < SESSION_DEATHS_MAX && lab->filters[0].sock < 0) {
			lab->daemon->filters[0].session.spawn_us = daemon_now_us();
			lab_pass(lab, TICK_US);
		}
	}
	assert_int_equal(lab->daemon->filters[0].session.state, SESSION_FAILED);
	assert_string_equal(lab->daemon->filters[0].message,
			    "exited with status 0, 9 times in a row: given up, every flow fails "
			    "closed: put the filter right, then start the instance again");
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp6)), FATE_REJECTED);
}

static void test_a_full_channel_holds_flows_until_it_is_read(void **state)
{
	static unsigned int packets[LAB_FLOWS_MAX];
	struct lab_packet packet = udp;
	struct lab *lab = *state;
	size_t n = 0;
	uint64_t id;

	while (n < ARRAY_SIZE(packets) && !lab->daemon->filters[0].wants_write) {
		packet.rport = (uint16_t)(1000 + n);
		packets[n++] = lab_put(lab, &packet);
	}
	assert_true(lab->daemon->filters[0].wants_write);
	id = lab_take_flow(lab, 0);
	lab_judge(lab, 0, id + n - 1, 0); /* the last one: it was not asked about that yet */
	assert_int_equal(lab_fate(lab, packets[n - 1]), FATE_HELD);
	lab_judge(lab, 0, id, 0);
	for (size_t i = 1; i < n; i++) {
		id = lab_take_flow(lab, 0);
		assert_int_not_equal(id, 0);
		lab_judge(lab, 0, id, 0);
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(lab_fate(lab, packets[i]), FATE_ALLOWED);
}

/* ---- packets that no filter sees ---- */

static void test_a_user_with_too_many_held_flows_meets_the_fail_class(void **state)
{
	struct lab_packet packet = udp;
	struct lab *lab = *state;
	unsigned int last;

	for (unsigned int i = 0; i <= LAB_FLOWS_MAX; i++) {
		packet.rport = (uint16_t)(1000 + i);
		last = lab_put(lab, &packet);
		while (lab_take_flow(lab, 0))
			;
	}
	assert_int_equal(flow_table_n_held(lab->daemon->flows), FLOW_USER_HELD(LAB_FLOWS_MAX));
	assert_int_equal(lab_fate(lab, last), FATE_FAIL_CLASS);
	lab_pass(lab, FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, lab_put(lab, &tcp)), FATE_HELD); /* there is room again */
}

static void test_a_packet_nobody_owns_meets_the_fail_class(void **state)
{
	struct lab_packet foreign = tcp;
	struct lab *lab = *state;

	foreign.is_foreign = true;
	assert_int_equal(lab_fate(lab, lab_put(lab, &foreign)), FATE_FAIL_CLASS);
	assert_int_equal(lab_take_flow(lab, 0), 0);
}

static void test_an_unreadable_packet_is_dropped(void **state)
{
	static const uint8_t bytes[] = { 0x45, 0, 0 };
	uint32_t mark = (uint32_t)SL_MARK_HELD << SL_MARK_SHIFT | 5;
	struct lab *lab = *state;

	for (size_t n = 0; n <= sizeof(bytes); n++) {
		unsigned int packet = fake_put_packet(lab->kernel, FAKE_HOME, bytes, n, false, mark);

		lab_settle(lab);
		assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	}
	assert_int_equal(lab->daemon->n_bad_packets, sizeof(bytes) + 1);
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_flow_is_asked_and_allowed, set_up_one),
		TEST(test_every_kind_of_packet_is_asked, set_up_one),
		TEST(test_a_denied_flow_is_rejected, set_up_one),
		TEST(test_a_silent_drop_is_silent, set_up_one),
		TEST(test_a_denial_is_remembered_until_the_kernel_forgets_it, set_up_one),
		TEST(test_all_packets_of_a_flow_wait_and_go_together, set_up_one),
		TEST(test_every_filter_must_allow, set_up_two),
		TEST(test_the_first_filter_that_drops_decides, set_up_two),
		TEST(test_without_filters_everything_is_allowed, set_up_none),
		TEST(test_answers_that_nobody_asked_for_are_counted, set_up_two),
		TEST(test_the_deadline_wins, set_up_one),
		TEST(test_the_deadline_fails_open, set_up_one_open),
		TEST(test_a_filter_that_is_back_is_asked_anew, set_up_one),
		TEST(test_what_a_filter_said_last_counts, set_up_one),
		TEST(test_a_filter_that_breaks_the_protocol_is_replaced, set_up_one),
		TEST(test_a_filter_that_dies_too_often_fails, set_up_one),
		TEST(test_a_full_channel_holds_flows_until_it_is_read, set_up_one),
		TEST(test_a_user_with_too_many_held_flows_meets_the_fail_class, set_up_one_open),
		TEST(test_a_packet_nobody_owns_meets_the_fail_class, set_up_one),
		TEST(test_an_unreadable_packet_is_dropped, set_up_one),
	};

	return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
