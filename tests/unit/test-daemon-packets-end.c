/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Packets whose filter ends, or whose sluiced does: asked again of the next, or the fail class */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "packets-lab.h"

/* what it has not answered waits for the next one, which is asked; what comes meanwhile does not */
static void check_lost(struct lab *lab, enum fake_state wanted)
{
	unsigned int packet = packets_come(lab, false), delayed, next;

	delayed = packet;
	packets_answer(lab, 0, packets_take(lab, 0, NULL), DELAY);
	packet = packets_come(lab, false);
	lab_end_filter(lab, 0);
	next = packets_come(lab, false);
	assert_int_equal(packets_fate(lab, next), wanted);
	packets_wait_for_start(lab);
	assert_int_equal(packets_fate(lab, packet), FAKE_DELIVERED);
	assert_int_equal(packets_fate(lab, delayed), FAKE_DELIVERED);
	packets_start(lab, 0);
	packets_say_ready(lab, 0);
	lab_settle(lab);
	packets_answer_all(lab, 0, 2, ALLOW);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
	assert_int_equal(packets_fate(lab, delayed), FAKE_ACCEPTED);
	assert_int_equal(fake_n_stale(lab->kernel), 0);
	next = packets_come(lab, false);
	packets_answer(lab, 0, packets_take(lab, 0, NULL), ALLOW);
	assert_int_equal(packets_fate(lab, next), FAKE_ACCEPTED);
}

static void test_lost_open(void **state)
{
	check_lost(*state, FAKE_ACCEPTED);
}

static void test_lost_closed(void **state)
{
	check_lost(*state, FAKE_DROPPED);
}

/* no successor in time */
static void check_lost_for_long(struct lab *lab, enum fake_state wanted)
{
	unsigned int packet = packets_come(lab, false);

	lab_end_filter(lab, 0);
	assert_int_equal(packets_fate(lab, packet), FAKE_DELIVERED);
	lab_pass(lab, ASKED_DEADLINE_US + 100000);
	assert_int_equal(packets_fate(lab, packet), wanted);
	assert_int_equal(lab->daemon->filters[0].packets.n_failed, 1);
}

static void test_lost_for_long_open(void **state)
{
	check_lost_for_long(*state, FAKE_ACCEPTED);
}

static void test_lost_for_long_closed(void **state)
{
	check_lost_for_long(*state, FAKE_DROPPED);
}

static void answer_last(void *data)
{
	struct lab *lab = data;
	struct wire_packet_verdict record = { .first = packets_take(lab, 0, NULL), .n = 1 };

	assert_int_equal(channel_send(lab->filters[0].sock, &wire_provider_channel,
				      WIRE_PACKET_VERDICT, &record, NULL, 0, -1),
			 0);
}

/* the last program sends, and ends before its filter has answered */
static void test_the_end_waits_for_the_last_answer(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = packets_come(lab, false);

	lab_when_it_sleeps(answer_last, lab);
	lab_stop(lab);
	assert_int_equal(packets_fate(lab, packet), FAKE_ACCEPTED);
}

static void check_end(struct lab *lab, enum fake_state wanted)
{
	unsigned int delayed = packets_come(lab, false), asked, unread;

	packets_answer(lab, 0, packets_take(lab, 0, NULL), DELAY);
	asked = packets_come(lab, false);
	unread = fake_ask_packet(lab->kernel, FAKE_HOME, packets_udp, sizeof(packets_udp), false);
	lab_stop(lab);
	assert_int_equal(packets_fate(lab, delayed), wanted);
	assert_int_equal(packets_fate(lab, asked), wanted);
	assert_int_equal(packets_fate(lab, unread), wanted);
}

static void test_the_end_open(void **state)
{
	check_end(*state, FAKE_ACCEPTED);
}

static void test_the_end_closed(void **state)
{
	check_end(*state, FAKE_DROPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lost_open, packets_one_open,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_lost_closed, packets_one_closed,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_lost_for_long_open, packets_one_open,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_lost_for_long_closed, packets_one_closed,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_the_end_waits_for_the_last_answer,
						packets_one_closed, packets_tear_down),
		cmocka_unit_test_setup_teardown(test_the_end_open, packets_one_open,
						packets_tear_down),
		cmocka_unit_test_setup_teardown(test_the_end_closed, packets_one_closed,
						packets_tear_down),
	};

	return cmocka_run_group_tests_name("daemon-packets-end", tests, NULL, NULL);
}
