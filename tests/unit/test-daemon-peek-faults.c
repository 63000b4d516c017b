/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Filters that look and do not answer, pause, or die; a sluiced that does; a kernel that refuses */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "peek-lab.h"
#include "story.h"

static void test_no_answer_fails_closed(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	peek_looked_at(lab, false, 1);
	packet = peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "h");
	lab_pass(lab, FLOW_DEADLINE_US - TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, 2 * TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
}

static void test_no_answer_fails_open(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	peek_looked_at(lab, true, 1);
	packet = peek_put_text(lab, 0, "hello");
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 1);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 0);
}

static void test_more_that_never_comes_is_late(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 1);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	peek_expect(lab, 0, 0, "h");
	peek_answer(lab, 0, id, 0, 0, 100);
	lab_pass(lab, PEEK_IDLE_US + TICK_US);
	peek_expect(lab, 0, 0, "hello");
	peek_answer(lab, 0, id, 0, 0, 100);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_a_pause(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 1);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	peek_expect(lab, 0, 0, "h");
	peek_pause_flow(lab, id, 1);
	peek_answer(lab, 0, id, 0, 5, 1); /* not while it is paused */
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
	peek_pause_flow(lab, id, 1);
	assert_int_equal(lab->daemon->filters[0].n_late, 2);
	lab_pass(lab, 100 * FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek_pause_flow(lab, id, 0);
	peek_answer(lab, 0, id, 0, 5, 1);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	peek_pause_flow(lab, id, 0);
	assert_int_equal(lab->daemon->filters[0].n_late, 3);
}

static void test_a_new_flow_is_paused(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_syn), other;
	uint64_t id = lab_take_flow(lab, 0);

	peek_pause_flow(lab, id, 1);
	other = lab_put(lab, &peek_datagram);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, other), FATE_REJECTED); /* late as ever */
	lab_pass(lab, DEADLINE / 4);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek_pause_flow(lab, id, 0);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_datagrams_are_not_paused_for_long(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_datagram);
	uint64_t id = lab_take_flow(lab, 0);

	peek_pause_flow(lab, id, 1);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, DEADLINE);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_another_process_looks_again(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 1);
	unsigned int packet = peek_put_text(lab, 0, "hello");
	const struct wire_flow_new *again;

	peek_expect(lab, 0, 0, "h");
	lab_end_filter(lab, 0);
	lab_pass(lab, 1000000);
	lab_run_filter(lab, 0);
	again = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(again);
	assert_int_equal(again->id, id);
	assert_int_equal(again->again, 1);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek_at(lab, 0, id, false, 3);
	peek_expect(lab, 0, 0, "hel");
	peek_answer(lab, 0, id, 0, UINT64_MAX, 0);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
}

static void test_a_process_that_does_not_come_back(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	peek_looked_at(lab, false, 1);
	packet = peek_put_text(lab, 0, "hello");
	lab_end_filter(lab, 0);
	for (int i = 0; i < 10; i++)
		lab_pass(lab, DEADLINE / 5);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_a_successor_goes_on(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, true, 5);
	unsigned int packet;
	const struct wire_flow_new *again;

	peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "hello");
	peek_answer(lab, 0, id, 0, 5, 5);
	packet = peek_put_text(lab, 5, "world");
	lab_crash(lab);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	again = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(again);
	assert_int_equal(again->id, id);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek_at(lab, 0, id, true, 5);
	peek_expect(lab, 0, 5, "world"); /* not what was passed */
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_true(peek_is_destroyed(lab));
}

static void test_a_successor_denies(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, true, 5);

	peek_put_text(lab, 0, "hello");
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_int_equal(lab_take_flow(lab, 0), id);
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
	assert_true(peek_is_destroyed(lab));
}

/* the one that went before a filter was asked left everything as it was */
static void test_a_successor_of_a_successor(void **state)
{
	struct lab *lab = *state;

	peek_looked_at(lab, true, 5);
	lab_crash(lab);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(lab_start(lab), 0);
		assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 1);
		assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_PEEK);
		lab_crash(lab);
	}
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 1);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	lab_judge(lab, 0, lab_take_flow(lab, 0), DROP);
	assert_true(peek_is_destroyed(lab));
}

static const struct lab_packet query = {
	.proto = IPPROTO_UDP, .lport = 40002, .rport = 53, .last = 53, .text = "query"
};

/* an answer of a name server, which sluice-names has read. Return: what became of it */
static enum fate fate_of_answer(struct lab *lab)
{
	const struct lab_packet answer = { .proto = IPPROTO_UDP,
					   .is_inbound = true,
					   .is_answer = true,
					   .lport = query.lport,
					   .rport = query.rport,
					   .last = query.last };
	unsigned int packet = lab_put(lab, &answer);
	const struct wire_look *look = lab_take_look(lab);

	assert_non_null(look);
	lab_done(lab, look->token);
	return lab_fate(lab, packet);
}

/* a flow with a name server whose answers are shown or not, of a predecessor; nobody is asked yet */
static void restore_query(struct lab *lab, bool has_in)
{
	uint64_t id;

	lab_put(lab, &query);
	id = lab_take_flow(lab, 0);
	peek_at(lab, 0, id, has_in, 100);
	peek_expect(lab, 0, 0, "query");
	peek_answer(lab, 0, id, 0, 5, 100);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	lab_settle(lab);
}

/* the kernel would give it to us again and again, until filters have been asked */
static void test_an_answer_that_is_not_shown_does_not_circle(void **state)
{
	struct lab *lab = *state;

	restore_query(lab, false);
	assert_int_equal(fate_of_answer(lab), FATE_ALLOWED);
}

static void test_an_answer_that_is_to_be_shown_is_held(void **state)
{
	struct lab *lab = *state;

	restore_query(lab, true);
	assert_int_equal(fate_of_answer(lab), FATE_HELD);
}

static void test_an_answer_to_what_has_not_left_is_dropped(void **state)
{
	struct lab *lab = *state;

	lab_put(lab, &query);
	peek_at(lab, 0, lab_take_flow(lab, 0), true, 100);
	assert_int_equal(fate_of_answer(lab), FATE_SILENT);
}

static void test_only_who_said_so_may_look(void **state)
{
	struct lab_config config = { .n_filters = 1 };
	struct lab *lab = lab_new(&config);
	struct wire_flow_peek record = { .outbound = 1 };

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_false(fake_is_peeking(lab->kernel));
	lab_put(lab, &peek_syn);
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
		struct lab *lab = peek_start(1, true);
		unsigned int packet = lab_put(lab, &peek_syn);

		fake_fail(lab->kernel, ops[i], 1, ENOMEM);
		peek_at(lab, 0, lab_take_flow(lab, 0), true, 5);
		assert_true(fake_has_failed(lab->kernel));
		assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
		lab_stop(lab);
		lab_free(lab);
	}
}

static void test_a_kernel_that_refuses_later(void **state)
{
	struct lab *lab = *state;
	uint64_t id = peek_looked_at(lab, false, 5);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	peek_expect(lab, 0, 0, "hello");
	fake_fail(lab->kernel, FAKE_SET_FLOW, 1, ENOMEM);
	peek_answer(lab, 0, id, 0, 5,
		    5); /* not before the kernel knows; it is told a little later */
	assert_true(fake_has_failed(lab->kernel));
	lab_pass(lab, 2 * TICK_US);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->passed[SL_DIR_OUT], 5);
}

/* two connections and a datagram; what the filter denies is "deny" */
static void tell(struct lab *lab, unsigned int nth)
{
	const struct lab_packet incoming = peek_in(ACK, 5001, "deny"), first = peek_out(0, "fine"),
				second = peek_out(4, "deny");
	unsigned int held[3], n_shown = 0;
	uint64_t id;

	lab->config.looks[0] = true;
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
	lab_put(lab, &peek_syn);
	id = lab_take_flow(lab, 0);
	if (id)
		peek_at(lab, 0, id, true, 4);
	peek_connect(lab, &peek_syn, 5001);
	lab_put(lab, &first);
	held[0] = lab_put(lab, &second);
	if (lab_take(lab, 0, WIRE_FLOW_DATA)) {
		n_shown++;
		peek_answer(lab, 0, id, 0, 4, 4);
	}
	held[1] = lab_put(lab, &incoming);
	held[2] = lab_put(lab, &peek_datagram);
	while ((id = lab_take_flow(lab, 0)))
		peek_at(lab, 0, id, true, 0);
	for (unsigned int i = 0; i < 4; i++)
		lab_pass(lab, PEEK_IDLE_US);
	for (unsigned int i = 0; i < ARRAY_SIZE(held); i++)
		if (lab_fate(lab, held[i]) == FATE_ALLOWED)
			fail_msg("call %u: packet %u is allowed", nth, i);
	for (unsigned int i = 0; i < 3; i++) /* nobody says anything: it fails closed */
		lab_pass(lab, DEADLINE / 2);
	for (unsigned int i = 0; i < ARRAY_SIZE(held); i++)
		if (lab_fate(lab, held[i]) == FATE_ALLOWED)
			fail_msg("call %u: packet %u is allowed", nth, i);
	assert_true(n_shown > 0 || fake_has_failed(lab->kernel));
	lab_stop(lab);
}

static void test_every_call_fails_once(void **state)
{
	story_tell_each(tell, true, 20);
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_answer_fails_closed, peek_one_closed),
		TEST(test_no_answer_fails_open, peek_one_open),
		TEST(test_more_that_never_comes_is_late, peek_one_closed),
		TEST(test_a_pause, peek_one_closed),
		TEST(test_a_new_flow_is_paused, peek_one_closed),
		TEST(test_datagrams_are_not_paused_for_long, peek_one_closed),
		TEST(test_another_process_looks_again, peek_one_closed),
		TEST(test_a_process_that_does_not_come_back, peek_one_closed),
		TEST(test_a_successor_goes_on, peek_one_closed),
		TEST(test_a_successor_denies, peek_one_closed),
		TEST(test_a_successor_of_a_successor, peek_one_closed),
		TEST(test_an_answer_that_is_not_shown_does_not_circle, peek_one_closed),
		TEST(test_an_answer_that_is_to_be_shown_is_held, peek_one_closed),
		TEST(test_an_answer_to_what_has_not_left_is_dropped, peek_two_closed),
		cmocka_unit_test_teardown(test_only_who_said_so_may_look, peek_tear_down),
		cmocka_unit_test(test_a_kernel_that_refuses),
		TEST(test_a_kernel_that_refuses_later, peek_one_closed),
		cmocka_unit_test(test_every_call_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
