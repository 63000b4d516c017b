/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced judges
 *
 * Which answer each held packet gets, by what the filters say; and packets that no
 * filter sees. See daemon-lab.h for what is real here and what is not.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "running-lab.h"

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

/* until the queue has been found empty: no verdict of TCP, and no denial, has anybody wait */
static void test_what_follows_a_datagram_does_not_overtake_it(void **state)
{
	const struct lab_packet *kinds[] = { &tcp, &udp, &udp };
	const int verdicts[] = { 0, 1, 0 };
	struct lab *lab = *state;
	const struct sl_order *order = fake_order(lab->kernel);
	struct lab_packet packet = udp;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		packet = *kinds[i];
		packet.rport = (uint16_t)(packet.rport + i);
		lab_put(lab, &packet);
		fake_fail_always(lab->kernel, FAKE_READ, ENOBUFS);
		lab_judge(lab, 0, lab_take_flow(lab, 0), (uint32_t)verdicts[i]);
		assert_int_equal(order->n_held - order->n_read, i == 2);
		assert_int_equal(lab_flow(lab, &packet)->flags, i == 2 ? SL_FLOW_BEHIND : 0);
		fake_fail(lab->kernel, FAKE_READ, 0, 0);
	}
	assert_int_equal(lab_flow(lab, &packet)->behind, 0);
	lab_put(lab, &packet);
	assert_int_equal(order->n_read, order->n_held);
}

/* it may be in the queue without having been read, and would be nobody's */
static void test_ends_with_which_somebody_was_held_since_are_not_forgotten(void **state)
{
	struct lab *lab = *state;
	const struct sl_held *known;
	struct sl_tuple ends;
	struct sl_held held;

	lab_put(lab, &udp);
	fake_fail_always(lab->kernel, FAKE_READ, ENOBUFS);
	lab_judge(lab, 0, lab_take_flow(lab, 0), 0);
	fake_fail(lab->kernel, FAKE_READ, 0, 0);
	ends = lab_flow(lab, &udp)->tuple;
	known = fake_get(lab->kernel, FAKE_HELD, &ends);
	assert_non_null(known);
	held = *known;
	held.since_ns = (daemon_now_us() + 1) * 1000;
	fake_put(lab->kernel, FAKE_HELD, &ends, &held);
	lab_put(lab, &tcp); /* the queue is read to its end */
	assert_non_null(fake_get(lab->kernel, FAKE_HELD, &ends));
	lab_pass(lab, 2 * TICK_US);
	assert_null(fake_get(lab->kernel, FAKE_HELD, &ends));
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
		unsigned int packet =
			fake_put_packet(lab->kernel, FAKE_HOME, bytes, n, false, mark);

		lab_settle(lab);
		assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	}
	assert_int_equal(lab->daemon->n_bad_packets, sizeof(bytes) + 1);
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_flow_is_asked_and_allowed, running_one),
		TEST(test_every_kind_of_packet_is_asked, running_one),
		TEST(test_a_denied_flow_is_rejected, running_one),
		TEST(test_a_silent_drop_is_silent, running_one),
		TEST(test_a_denial_is_remembered_until_the_kernel_forgets_it, running_one),
		TEST(test_all_packets_of_a_flow_wait_and_go_together, running_one),
		TEST(test_what_follows_a_datagram_does_not_overtake_it, running_one),
		TEST(test_ends_with_which_somebody_was_held_since_are_not_forgotten, running_one),
		TEST(test_every_filter_must_allow, running_two),
		TEST(test_the_first_filter_that_drops_decides, running_two),
		TEST(test_without_filters_everything_is_allowed, running_none),
		TEST(test_a_user_with_too_many_held_flows_meets_the_fail_class, running_one_open),
		TEST(test_a_packet_nobody_owns_meets_the_fail_class, running_one),
		TEST(test_an_unreadable_packet_is_dropped, running_one),
	};

	return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
