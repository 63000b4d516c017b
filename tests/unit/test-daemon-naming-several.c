/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Filters that change their mind or their rules, or judge again, while a name is read
 *
 * Whoever is told that the first bytes can be read is taken at its word when it wants
 * that; an answer that a filter gave before it waits for the name is none.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "naming-lab.h"
#include "rules-lab.h"

static bool has_no_memory;

struct peek *__real_peek_new(bool is_stream);
struct peek *__wrap_peek_new(bool is_stream);

struct peek *__wrap_peek_new(bool is_stream)
{
	return has_no_memory ? NULL : __real_peek_new(is_stream);
}

/* the filter judges again. Return: the flow that it is asked about, of which this is known */
static uint64_t rejudge(struct lab *lab, unsigned int filter, enum flow_reading reading)
{
	struct wire_flow_forget record = { .again = 1 };
	const struct wire_flow_new *flow;

	lab_say(lab, filter, WIRE_FLOW_FORGET, &record);
	lab_pass(lab, TICK_US);
	flow = lab_take(lab, filter, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->again, 1);
	assert_int_equal(flow->host_reading, reading);
	return flow->id;
}

/* the first filter has allowed it. Return: its id */
static uint64_t held_at_the_second(struct lab *lab)
{
	uint64_t id;

	id = naming_come(lab);
	lab_judge(lab, 0, id, ALLOW);
	naming_told(lab, 1);
	return id;
}

/* ---- judged again ---- */

static void test_a_flow_held_elsewhere_is_read_for_who_judges_again(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id;

	id = held_at_the_second(lab);
	assert_int_equal(rejudge(lab, 0, FLOW_READABLE), id);
	naming_wish(lab, 0, id);
	assert_int_equal(lab->daemon->filters[0].n_late, 0);
	lab_judge(lab, 1, id, ALLOW);
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* it allowed, or wanted to look; now it wants to look. Nothing has gone yet */
static void test_a_flow_held_elsewhere_is_shown_to_who_judges_again(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	for (int i = 0; i < 2; i++) {
		id = naming_come(lab);
		if (i == 0)
			lab_judge(lab, 0, id, ALLOW);
		else
			peek_at(lab, 0, id, false, 1);
		naming_told(lab, 1);
		rejudge(lab, 0, FLOW_READABLE);
		peek_at(lab, 0, id, false, 5);
		lab_judge(lab, 1, id, ALLOW);
		peek_put_text(lab, 0, "hello");
		peek_expect(lab, 0, 0, "hello");
		lab_end_socket(lab, &peek_syn);
	}
}

static void test_an_open_flow_is_read_while_its_bytes_are_held(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id;

	id = held_at_the_second(lab);
	peek_at(lab, 1, id, false, 1);
	packet = peek_put_text(lab, 0, "hello");
	assert_int_equal(rejudge(lab, 0, FLOW_READABLE), id);
	naming_wish(lab, 0, id);
	lab_judge(lab, 1, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	naming_tell(lab, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* it is let go between question and answer: then the filter is asked once more, without */
static void test_a_wish_that_comes_too_late_is_told(void **state)
{
	struct lab *lab = *state;
	const struct wire_flow_new *flow;
	uint64_t id;

	id = held_at_the_second(lab);
	rejudge(lab, 0, FLOW_READABLE);
	lab_judge(lab, 1, id, ALLOW);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
	naming_wish(lab, 0, id);
	flow = lab_take(lab, 0, WIRE_FLOW_NEW);
	assert_non_null(flow);
	assert_int_equal(flow->again, 1);
	assert_int_equal(flow->host_reading, FLOW_UNREADABLE);
	naming_wish(lab, 0, id); /* it does not listen */
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
}

static void test_who_has_no_memory_to_wait_fails(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_syn);
	uint64_t id = naming_told(lab, 0);

	lab_judge(lab, 0, id, ALLOW);
	naming_told(lab, 1);
	has_no_memory = true;
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	lab_pass(lab, TICK_US);
	has_no_memory = false;
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	rules_lab_reason(lab, &peek_syn, "filter0 does not run: fails closed");
}

/* ---- who is named ---- */

static void test_a_reason_has_its_provider(void **state)
{
	struct lab *lab = *state;
	const struct flow *flow;
	uint64_t id;

	id = naming_come(lab);
	naming_wish(lab, 0, id);
	lab_judge(lab, 1, naming_told(lab, 1), ALLOW);
	peek_put_text(lab, 0, "hello");
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_b);
	naming_tell(lab, "a.example");
	flow = flow_table_find_id(lab->daemon->flows, id);
	assert_non_null(flow);
	assert_int_equal(flow->verdict, SL_ALLOW);
	assert_string_equal(flow->reason, "no rule matches");
	assert_int_equal(flow->provider, 0);
}

/* ---- an answer of before ---- */

static void test_an_answer_of_before_does_not_allow(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id;

	id = naming_come(lab);
	lab_judge(lab, 0, id, ALLOW);
	naming_wish(lab, 1, naming_told(lab, 1));
	assert_int_equal(rejudge(lab, 0, FLOW_READABLE), id);
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	lab_pass(lab, TICK_US);
	lab_judge(lab, 0, id, ALLOW); /* of before its rules */
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
}

static void test_a_denial_of_before_counts(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id;

	id = naming_come(lab);
	lab_judge(lab, 0, id, ALLOW);
	naming_wish(lab, 1, naming_told(lab, 1));
	rejudge(lab, 0, FLOW_READABLE);
	GIVE(lab, 0, RULES_ALLOW, rules_lab_drop_a);
	lab_pass(lab, TICK_US);
	packet = peek_put_text(lab, 0, "hello");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* FLOW_UPDATE is its last word, held or not; who else waits goes on waiting */
static void test_a_change_of_mind_is_the_last_word(void **state)
{
	struct wire_flow_update update = { .verdict = 0, .reason = "anyway" };
	struct lab *lab = *state;
	unsigned int packet;

	update.id = naming_come(lab);
	naming_wish(lab, 0, update.id);
	naming_told(lab, 1);
	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update); /* while it is held at the other */
	naming_wish(lab, 1, update.id);
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	naming_ask(lab, 1, FLOW_READ, FLOW_HOST_TLS, "a.example");
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 1, update.id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* the one for which it was read says its last word, and more bytes are wanted: for the other */
static void test_the_reader_leaves_while_it_is_read(void **state)
{
	struct wire_flow_update update = { .verdict = 0, .reason = "anyway" };
	struct wire_host more = { .answer = HOST_MORE, .needs = 10 };
	struct lab *lab = *state;
	unsigned int packet;

	update.id = naming_begin(lab);
	packet = peek_put_text(lab, 0, "hello");
	more.token = naming_look(lab, 2, 0, "hello");
	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update);
	lab_host(lab, &more);
	assert_null(lab_take(lab, 1, WIRE_FLOW_NEW));
	peek_put_text(lab, 5, " world");
	for (int i = 0; i < 2; i++) { /* it is told what there is, and then more */
		const struct wire_look *look = lab_take_look(lab);

		assert_non_null(look);
		if (lab->message.n_tail == 11)
			naming_say(lab, look->token, HOST_NAMED, FLOW_HOST_TLS, "a.example");
		else
			lab_host(lab, &more);
		if (lab->message.n_tail == 11)
			break;
	}
	naming_ask(lab, 1, FLOW_READ, FLOW_HOST_TLS, "a.example");
	lab_judge(lab, 1, update.id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* filter 0 comes to wait for what filter 1 had asked: the question is still the one of then */
static void test_another_one_waits_while_it_is_read(void **state)
{
	struct wire_host more = { .answer = HOST_MORE, .needs = 10 };
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t id;

	id = naming_come(lab);
	lab_judge(lab, 0, id, ALLOW);
	naming_wish(lab, 1, naming_told(lab, 1));
	packet = peek_put_text(lab, 0, "hello");
	more.token = naming_look(lab, 2, 0, "hello");
	rejudge(lab, 0, FLOW_READABLE);
	naming_wish(lab, 0, id);
	lab_host(lab, &more);
	assert_null(lab_take(lab, 1, WIRE_FLOW_NEW));
	peek_put_text(lab, 5, " world");
	naming_say(lab, naming_look(lab, 2, 0, "hello world"), HOST_NAMED, FLOW_HOST_TLS,
		   "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
	naming_ask(lab, 1, FLOW_READ, FLOW_HOST_TLS, "a.example");
	lab_judge(lab, 1, id, ALLOW);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

#define TEST(fn, setup) cmocka_unit_test_setup_teardown(fn, setup, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_flow_held_elsewhere_is_read_for_who_judges_again, naming_two_closed),
		TEST(test_a_flow_held_elsewhere_is_shown_to_who_judges_again, naming_two_closed),
		TEST(test_an_open_flow_is_read_while_its_bytes_are_held, naming_two_closed),
		TEST(test_a_wish_that_comes_too_late_is_told, naming_two_closed),
		TEST(test_who_has_no_memory_to_wait_fails, naming_two_closed),
		TEST(test_a_reason_has_its_provider, naming_two_closed),
		TEST(test_an_answer_of_before_does_not_allow, naming_two_closed),
		TEST(test_a_denial_of_before_counts, naming_two_closed),
		TEST(test_a_change_of_mind_is_the_last_word, naming_two_closed),
		TEST(test_the_reader_leaves_while_it_is_read, naming_two_closed),
		TEST(test_another_one_waits_while_it_is_read, naming_two_closed),
	};

	return cmocka_run_group_tests_name("daemon-naming-several", tests, NULL, NULL);
}
