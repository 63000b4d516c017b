/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and packet filters: asked, answered, late, lost; rules; failures of the kernel */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "packets-lab.h"
#include "story.h"

enum { RULE_ASK, RULE_ALLOW, RULE_DROP };

static void say_rules(struct lab *lab, unsigned int filter, unsigned int n, uint16_t port,
		      uint8_t action, uint8_t otherwise)
{
	struct wire_packet_rules body = { .n = n, .otherwise = otherwise };
	struct wire_packet_rule rule = { .rport = port, .action = action };
	uint8_t tail[WIRE_PACKET_RULES_MAX * WIRE_PACKET_RULE];

	for (unsigned int i = 0; i < n; i++)
		packet_rule_put(tail + i * WIRE_PACKET_RULE, &rule);
	assert_int_equal(channel_send(lab->filters[filter].sock, &wire_provider_channel,
				      WIRE_PACKET_RULES, &body, tail, n * WIRE_PACKET_RULE, -1),
			 0);
	lab_settle(lab);
}

static int two_closed(void **state)
{
	*state = packets_lab(2, true);
	return 0;
}

static void test_shown_and_answered(void **state)
{
	struct lab *lab = *state;
	struct sl_tuple tuple = packets_tuple();
	struct sl_packet whose = { .cookie = 5, .owner = 5, .pid = 6, .uid = 7 };
	struct wire_packet shown;
	unsigned int out, in;

	assert_int_equal(fake_packets(lab->kernel), SL_PACKETS_CLOSED);
	assert_int_equal(fake_packet_rules(lab->kernel)->asks, 1);
	fake_put(lab->kernel, FAKE_SHOWN, &tuple, &whose);
	out = packets_come(lab, false);
	assert_int_equal(packets_fate(lab, out), FAKE_DELIVERED);
	assert_int_equal(lab_answered_ago_ms(lab), -1);
	packets_answer(lab, 0, packets_take(lab, 0, &shown), ALLOW);
	assert_int_equal(packets_fate(lab, out), FAKE_ACCEPTED);
	lab_pass(lab, 200000);
	packets_answer(lab, 0, shown.id, ALLOW); /* a second one is none */
	assert_int_equal(lab_answered_ago_ms(lab), 200);
	assert_int_equal(shown.length, sizeof(packets_udp));
	assert_int_equal(shown.n_bytes, 200);
	assert_memory_equal(shown.bytes, packets_udp, 200);
	assert_int_equal(shown.flags, 0);
	assert_int_equal(shown.cookie, 5);
	assert_int_equal(shown.pid, 6);
	assert_int_equal(shown.uid, 7);
	in = packets_come(lab, true);
	packets_answer(lab, 0, packets_take(lab, 0, &shown), DROP);
	assert_int_equal(packets_fate(lab, in), FAKE_DROPPED);
	assert_int_equal(shown.flags, WIRE_PACKET_INBOUND);
	assert_int_equal(shown.cookie, 0); /* other ends */
	assert_int_equal(lab->daemon->filters[0].packets.n_asked, 2);
	assert_int_equal(lab->daemon->filters[0].packets.n_dropped, 1);
}

/* of another user, and to another port */
static unsigned int put_other(struct lab *lab, struct sl_tuple *tuple)
{
	uint8_t bytes[sizeof(packets_udp)];
	struct sl_packet whose = { .cookie = 6, .owner = 6, .pid = 8, .uid = 1002 };
	unsigned int packet;

	memcpy(bytes, packets_udp, sizeof(bytes));
	bytes[23] = 54;
	tuple->rport = 54;
	fake_put(lab->kernel, FAKE_SHOWN, tuple, &whose);
	packet = fake_ask_packet(lab->kernel, FAKE_HOME, bytes, sizeof(bytes), false);
	lab_settle(lab);
	return packet;
}

/* nobody answers: who floods has half of the places, and then fails */
static void test_one_user_floods(void **state)
{
	struct lab *lab = *state;
	struct sl_tuple tuple = packets_tuple();
	struct sl_packet whose = { .cookie = 5, .owner = 5, .pid = 6, .uid = 1001 };
	unsigned int packet = 0;

	fake_put(lab->kernel, FAKE_SHOWN, &tuple, &whose);
	for (unsigned int i = 0; i < ASKED_MAX / 2 / PACKETS_BATCH; i++) {
		for (unsigned int j = 0; j < PACKETS_BATCH; j++)
			packet = fake_ask_packet(lab->kernel, FAKE_HOME, packets_udp,
						 sizeof(packets_udp), false);
		lab_settle(lab);
		while (lab_take(lab, 0, WIRE_PACKETS))
			;
	}
	assert_int_equal(packets_fate(lab, packet), FAKE_DELIVERED);
	packet = packets_come(lab, false);
	assert_int_equal(packets_fate(lab, packet), FAKE_DROPPED);
	packet = put_other(lab, &tuple);
	assert_int_equal(packets_fate(lab, packet), FAKE_DELIVERED);
	packets_answer(lab, 0, packets_take(lab, 0, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
	assert_int_equal(lab->daemon->filters[0].packets.n_failed, 1);
}

static void check_late(struct lab *lab, enum fake_state wanted)
{
	unsigned int packet = packets_come(lab, false), next;
	uint64_t id = packets_take(lab, 0, NULL);

	lab_pass(lab, ASKED_DEADLINE_US - 50000);
	assert_int_equal(packets_fate(lab, packet), FAKE_DELIVERED);
	lab_pass(lab, 100000);
	assert_int_equal(packets_fate(lab, packet), wanted);
	next = packets_come(lab, false); /* at once, and not told */
	assert_int_equal(packets_fate(lab, next), wanted);
	assert_int_equal(packets_take(lab, 0, NULL), 0);
	packets_answer(lab, 0, id, ALLOW); /* it is back */
	next = packets_come(lab, false);
	assert_int_equal(packets_fate(lab, next), FAKE_DELIVERED);
	packets_answer(lab, 0, packets_take(lab, 0, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, next), FAKE_ACCEPTED);
	assert_int_equal(lab->daemon->filters[0].packets.n_failed, 2);
	assert_int_equal(lab->daemon->filters[0].packets.n_late, 1);
}

static void test_late_open(void **state)
{
	check_late(*state, FAKE_ACCEPTED);
}

static void test_late_closed(void **state)
{
	check_late(*state, FAKE_DROPPED);
}

/* it reads, and answers nothing of the last: one packet at a time waits to see whether it answers again */
static void test_who_passed_over_the_last_is_back(void **state)
{
	struct lab *lab = *state;
	unsigned int first = packets_come(lab, false), trial, other;

	assert_int_not_equal(packets_take(lab, 0, NULL), 0);
	lab_pass(lab, ASKED_DEADLINE_US + 50000);
	assert_int_equal(packets_fate(lab, first), FAKE_DROPPED);
	other = packets_come(lab, false);
	assert_int_equal(packets_fate(lab, other), FAKE_DROPPED); /* no sign of life yet */
	lab_live(lab, SESSION_PING_US);
	trial = fake_ask_packet(lab->kernel, FAKE_HOME, packets_udp, sizeof(packets_udp), false);
	other = packets_come(lab, false);
	assert_int_equal(packets_fate(lab, trial), FAKE_DELIVERED);
	assert_int_equal(packets_fate(lab, other), FAKE_DROPPED);
	packets_answer(lab, 0, packets_take(lab, 0, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, trial), FAKE_ACCEPTED);
	other = packets_come(lab, false);
	packets_answer(lab, 0, packets_take(lab, 0, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, other), FAKE_ACCEPTED);
}

static void test_both_are_asked(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = packets_come(lab, false);
	uint64_t id = packets_take(lab, 0, NULL);

	assert_int_equal(packets_take(lab, 1, NULL), id);
	packets_answer(lab, 1, id, ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_DELIVERED);
	packets_answer(lab, 0, id, ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
}

/* of several filters the kernel cannot say who is to be asked: sluiced looks at the rules */
static void test_rules_of_two(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	say_rules(lab, 0, 1, 53, RULE_ALLOW, 0);
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 1);
	packet = packets_come(lab, false);
	assert_int_equal(packets_take(lab, 0, NULL), 0);
	packets_answer(lab, 1, packets_take(lab, 1, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
	say_rules(lab, 0, 1, 53, RULE_DROP, 0);
	packet = packets_come(lab, false);
	assert_int_equal(packets_fate(lab, packet), FAKE_DROPPED);
	assert_int_equal(packets_take(lab, 1, NULL), 0);
}

/* 488 bytes of options stand before its ports: no rule is known not to be about it */
static void test_what_cannot_be_read_is_asked_about(void **state)
{
	uint8_t bytes[128] = { 0x60, 0, 0, 0, 2, 0, IPPROTO_DSTOPTS, 64 };
	struct lab *lab = *state;
	unsigned int packet;

	bytes[40] = IPPROTO_UDP;
	bytes[41] = 60;
	say_rules(lab, 0, 1, 53, RULE_ASK, RULE_ALLOW);
	say_rules(lab, 1, 1, 53, RULE_ALLOW, RULE_ALLOW);
	packet = fake_ask_packet(lab->kernel, FAKE_HOME, bytes, sizeof(bytes), true);
	lab_settle(lab);
	packets_answer(lab, 0, packets_take(lab, 0, NULL), DROP);
	assert_int_equal(packets_fate(lab, packet), FAKE_DROPPED);
	say_rules(lab, 1, 1, 53, RULE_DROP, RULE_ALLOW);
	packet = fake_ask_packet(lab->kernel, FAKE_HOME, bytes, sizeof(bytes), true);
	lab_settle(lab);
	assert_int_equal(packets_take(lab, 0, NULL), 0);
	assert_int_equal(packets_fate(lab, packet), FAKE_DROPPED);
}

static void test_more_rules_than_the_kernel_takes(void **state)
{
	struct lab_config config = { .n_filters = 3 };
	struct lab *lab = lab_new(&config);
	unsigned int packet;

	assert_int_equal(lab_start(lab), 0);
	for (unsigned int i = 0; i < 3; i++) {
		packets_start(lab, i);
		say_rules(lab, i, WIRE_PACKET_RULES_MAX, (uint16_t)(100 + i), RULE_DROP, 1);
		packets_say_ready(lab, i);
	}
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 0);
	assert_int_equal(fake_packet_rules(lab->kernel)->asks, 7);
	packet = packets_come(lab, false); /* no rule matches, and all say allow then */
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
	lab_free(lab);
}

static void test_rules_wait_for_ready(void **state)
{
	struct lab_config config = { .n_filters = 1 };
	struct lab *lab = lab_new(&config);

	assert_int_equal(lab_start(lab), 0);
	packets_start(lab, 0);
	say_rules(lab, 0, 2, 53, RULE_DROP, 1);
	assert_null(fake_packet_rules(lab->kernel));
	assert_int_equal(fake_packets(lab->kernel), SL_PACKETS_NONE);
	packets_say_ready(lab, 0);
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 2);
	assert_int_equal(fake_packet_rules(lab->kernel)->asks, 0);
	assert_int_equal(fake_packets(lab->kernel), SL_PACKETS_OPEN);
	lab_end_filter(lab, 0);
	packets_wait_for_start(lab);
	packets_start(lab, 0); /* gives none this time */
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 2);
	packets_say_ready(lab, 0);
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 0);
	assert_int_equal(fake_packet_rules(lab->kernel)->asks, 1);
	lab_free(lab);
}

static void test_what_is_no_rule_ends_the_session(void **state)
{
	struct lab *lab = *state;
	struct wire_packet_rules body = { .n = 2 };
	unsigned int n_killed = lab->n_killed;

	assert_int_equal(channel_send(lab->filters[0].sock, &wire_provider_channel,
				      WIRE_PACKET_RULES, &body, packets_udp, 48, -1),
			 0);
	lab_settle(lab);
	assert_int_equal(lab->n_killed, n_killed + 1);
}

static void test_who_filters_no_packets_says_nothing_of_them(void **state)
{
	struct wire_packet_verdict record = { .first = 1, .n = 1 };
	struct lab *lab = running_lab(1, true);
	unsigned int n_killed = lab->n_killed;

	lab_say(lab, 0, WIRE_PACKET_VERDICT, &record);
	assert_int_equal(lab->n_killed, n_killed + 1);
	lab_free(lab);
}

static void check_successor(bool is_closed, enum fake_state wanted)
{
	struct lab *lab = packets_lab(1, is_closed);
	unsigned int packet;

	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	packets_start(lab, 0);
	packet = packets_come(lab, false);
	if (packets_fate(lab, packet) != FAKE_QUEUED) /* nobody has spoken for the filter yet */
		assert_int_equal(packets_fate(lab, packet), wanted);
	packets_say_ready(lab, 0);
	if (packets_fate(lab, packet) == FAKE_DELIVERED)
		packets_answer(lab, 0, packets_take(lab, 0, NULL), ALLOW);
	packet = packets_come(lab, false);
	packets_answer(lab, 0, packets_take(lab, 0, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
	lab_free(lab);
}

static void test_successor(void **state)
{
	check_successor(true, FAKE_DROPPED);
	check_successor(false, FAKE_ACCEPTED);
}

/* what both have left is in force until both are there */
static void test_successor_of_two(void **state)
{
	struct lab_config config = { .n_filters = 2, .is_closed = { false, true } };
	struct lab *lab = lab_new(&config);
	unsigned int packet;

	assert_int_equal(lab_start(lab), 0);
	for (unsigned int i = 0; i < 2; i++)
		packets_start(lab, i);
	say_rules(lab, 1, 1, 53, RULE_DROP, RULE_ASK);
	for (unsigned int i = 0; i < 2; i++)
		packets_say_ready(lab, i);
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 1);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	for (unsigned int i = 0; i < 2; i++)
		packets_start(lab, i);
	packets_say_ready(lab, 0); /* which fails open */
	assert_int_equal(fake_packets(lab->kernel), SL_PACKETS_CLOSED);
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 1);
	packet = packets_come(lab, false);
	assert_int_equal(packets_fate(lab, packet), FAKE_DROPPED);
	packets_say_ready(lab, 1); /* without a rule, now */
	lab_pass(lab, 20000);
	assert_int_equal(fake_packet_rules(lab->kernel)->n_rules, 0);
	packet = packets_come(lab, false);
	for (unsigned int i = 0; i < 2; i++)
		packets_answer(lab, i, packets_take(lab, i, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
	lab_free(lab);
}

/* one that does not start, and fails open, has nothing to say of packets */
static void test_successor_beside_one_that_does_not_start(void **state)
{
	struct lab_config config = { .n_filters = 2, .is_closed = { false, true } };
	struct wire_ready failed = { .error = ENOENT };
	struct lab *lab = lab_new(&config);
	unsigned int packet;

	assert_int_equal(lab_start(lab), 0);
	packets_start(lab, 1);
	packets_say_ready(lab, 1);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	for (unsigned int i = 0; i < 2; i++)
		packets_start(lab, i);
	lab_say(lab, 0, WIRE_READY, &failed);
	assert_int_equal(lab->daemon->filters[0].session.state, SESSION_FAILED);
	packets_say_ready(lab, 1);
	packet = packets_come(lab, false);
	packets_answer(lab, 1, packets_take(lab, 1, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
	lab_free(lab);
}

/* ---- whatever the kernel does not do: nothing passes a closed filter unasked, and it goes on ---- */

static void tell(struct lab *lab, unsigned int nth)
{
	unsigned int packets[4], n = 0;
	uint64_t id;

	assert_int_equal(lab_start(lab), 0);
	packets_start(lab, 0);
	fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
	packets_say_ready(lab, 0);
	for (; n < 4; n++) {
		packets[n] = packets_come(lab, n % 2);
		id = lab->filters[0].sock >= 0 ? packets_take(lab, 0, NULL) : 0;
		if (id)
			packets_answer(lab, 0, id, DROP);
		lab_pass(lab, 20000);
	}
	for (unsigned int i = 0; i < 100; i++)
		lab_pass(lab, 20000);
	for (unsigned int i = 0; i < n; i++)
		assert_int_not_equal(packets_fate(lab, packets[i]), FAKE_ACCEPTED);
}

static void test_each_call_fails_once(void **state)
{
	story_tell_each(tell, true, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shown_and_answered, packets_one_closed,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_one_user_floods, packets_one_closed,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_late_open, packets_one_open,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_late_closed, packets_one_closed,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_who_passed_over_the_last_is_back,
						packets_one_closed, packets_tear_down),
		cmocka_unit_test_setup_teardown(test_both_are_asked, two_closed, packets_tear_down),
		cmocka_unit_test_setup_teardown(test_rules_of_two, two_closed, packets_tear_down),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_asked_about, two_closed,
						packets_tear_down),
		cmocka_unit_test(test_more_rules_than_the_kernel_takes),
		cmocka_unit_test(test_rules_wait_for_ready),
		cmocka_unit_test_setup_teardown(test_what_is_no_rule_ends_the_session,
						packets_one_closed, packets_tear_down),
		cmocka_unit_test(test_who_filters_no_packets_says_nothing_of_them),
		cmocka_unit_test(test_successor),
		cmocka_unit_test(test_successor_of_two),
		cmocka_unit_test(test_successor_beside_one_that_does_not_start),
		cmocka_unit_test(test_each_call_fails_once),
	};

	return cmocka_run_group_tests_name("daemon-packets", tests, NULL, NULL);
}
