/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: A program whose TCP sends no more of its first bytes while some of them are held */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/daemon.h"
#include "naming-lab.h"

static void set_unsent(struct lab *lab, uint32_t n_unsent)
{
	const struct plane_count count = { .n_unsent = n_unsent };
	const struct sl_tuple tuple = lab_flow(lab, &peek_syn)->tuple;

	fake_put(lab->kernel, FAKE_COUNTS, &tuple, &count);
}

/* a connection whose first bytes are a beginning. Return: their packet */
static unsigned int begin(struct lab *lab, uint64_t *ret_id)
{
	struct wire_host more = { .answer = HOST_MORE, .needs = 10 };
	unsigned int packet;

	*ret_id = naming_begin(lab);
	peek_connect(lab, &peek_syn, 5000);
	packet = peek_put_text(lab, 0, "hello");
	more.token = naming_look(lab, 2, 0, "hello");
	lab_host(lab, &more);
	return packet;
}

static void judge(struct lab *lab, uint64_t id, uint8_t verdict)
{
	naming_say(lab, naming_look(lab, 2, 0, "hello world"), HOST_NAMED, FLOW_HOST_TLS,
		   "a.example");
	assert_int_equal(naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example"), id);
	lab_judge(lab, 0, id, verdict);
}

static void test_what_its_tcp_waits_for_is_not_held(void **state)
{
	struct lab *lab = *state;
	unsigned int packets[3];
	uint64_t id;

	packets[0] = begin(lab, &id);
	set_unsent(lab, 6);
	assert_int_equal(lab_fate(lab, packets[0]), FATE_HELD);
	lab_pass(lab, PEEK_IDLE_US + TICK_US);
	assert_int_equal(lab_fate(lab, packets[0]), FATE_SILENT);
	packets[1] = peek_put_text(lab, 5, " world");
	packets[2] = peek_put_text(lab, 0, "hello");
	assert_int_equal(lab_fate(lab, packets[2]), FATE_HELD);
	judge(lab, id, ALLOW);
	assert_int_equal(lab_fate(lab, packets[1]), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, packets[2]), FATE_ALLOWED);
}

/* a copy is memory of its user, who has too much of it elsewhere; it may come again all the same */
static void test_a_user_does_not_fill_memory_with_copies(void **state)
{
	struct lab *lab = *state;
	unsigned int packets[2];
	struct flow *flow;
	uint64_t id;

	begin(lab, &id);
	set_unsent(lab, 6);
	lab_pass(lab, PEEK_IDLE_US + TICK_US);
	flow = flow_table_find_id(lab->daemon->flows, id);
	flow_charge(flow, PEEKING_USER_BYTES, 0);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 5, " world")), FATE_SILENT);
	packets[0] = peek_put_text(lab, 0, "hello");
	assert_int_equal(lab_fate(lab, packets[0]), FATE_HELD);
	flow_charge(flow, -(ssize_t)PEEKING_USER_BYTES, 0);
	packets[1] = peek_put_text(lab, 5, " world");
	assert_int_equal(lab_fate(lab, packets[1]), FATE_HELD);
	judge(lab, id, ALLOW);
	assert_int_equal(lab_fate(lab, packets[0]), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, packets[1]), FATE_ALLOWED);
}

/* its second piece is there, the first one was dropped. Return: the packet with it */
static unsigned int begin_in_pieces(struct lab *lab, uint64_t *ret_id)
{
	begin(lab, ret_id);
	set_unsent(lab, 6);
	lab_pass(lab, PEEK_IDLE_US + TICK_US);
	return peek_put_text(lab, 5, " world");
}

/* what was read is what leaves: it is compared when it comes again, though nobody looks any more */
static void test_what_was_read_comes_again(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int packet = begin_in_pieces(lab, &id);

	judge(lab, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_PEEK);
	assert_true(lab_flow(lab, &peek_syn)->peek & SL_PEEK_OUT);
	assert_true(lab_flow(lab, &peek_syn)->passed[SL_DIR_OUT] > 1000);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 0, "other")), FATE_SILENT);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 11, "more")), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 0, "hello")), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
}

static void test_a_denied_one_leaves_nothing(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int packet = begin_in_pieces(lab, &id);

	judge(lab, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &peek_syn)->passed[SL_DIR_OUT], 0);
	assert_true(peek_is_destroyed(lab));
}

/* dropping would cost a repetition, and bring nothing */
static void test_a_client_that_has_said_all_keeps_it(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int packet = begin(lab, &id);

	set_unsent(lab, 0);
	lab_pass(lab, NAMING_MORE_US / 2);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_pass(lab, NAMING_MORE_US / 2);
	naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, "");
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

/* nobody can say: it waits as long as before */
static void test_a_kernel_that_does_not_say(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int packet = begin(lab, &id);

	lab_pass(lab, NAMING_MORE_US);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, "");
}

/* a SYN that carries bytes would come again after a second, without them */
static void test_a_handshake_is_not_dropped(void **state)
{
	struct wire_host more = { .answer = HOST_MORE, .needs = 10 };
	struct lab *lab = *state;
	unsigned int packet;

	naming_begin(lab);
	packet = peek_put_text(lab, 0, "hello");
	set_unsent(lab, 6);
	more.token = naming_look(lab, 2, 0, "hello");
	lab_host(lab, &more);
	lab_pass(lab, NAMING_MORE_US / 2);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, naming_one_closed, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_what_its_tcp_waits_for_is_not_held),
		CASE(test_a_user_does_not_fill_memory_with_copies),
		CASE(test_what_was_read_comes_again),
		CASE(test_a_denied_one_leaves_nothing),
		CASE(test_a_client_that_has_said_all_keeps_it),
		CASE(test_a_kernel_that_does_not_say),
		CASE(test_a_handshake_is_not_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
