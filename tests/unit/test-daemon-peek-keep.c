/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: What a filter was shown of what comes in cannot be changed before our TCP has it */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "peek-lab.h"

#define THEIRS 5001U /* of the first byte that comes in */
#define URG 0x20U

static unsigned int put_in(struct lab *lab, uint8_t flags, uint32_t at, const char *text)
{
	const struct lab_packet packet = peek_in(ACK | flags, THEIRS + at, text);

	return lab_put(lab, &packet);
}

/* as sl_out_held does: our TCP has everything before it, and a while later sluiced knows */
static void acknowledge(struct lab *lab, const struct flow *flow, uint32_t at)
{
	struct sl_peek peek = { .cookie = flow->key.cookie,
				.acked = THEIRS + at,
				.has_acked = 1,
				.begin = SL_PEEK_BEGUN | THEIRS };
	const struct sl_tuple tuple = flow_tuple(flow);

	fake_put(lab->kernel, FAKE_PEEKS, &tuple, &peek);
	for (int i = 0; i < 12; i++)
		lab_pass(lab, TICK_US);
}

static const struct sl_flow *entry_of(const struct lab *lab)
{
	return lab_flow(lab, &peek_syn);
}

/* a connection whose first five bytes were shown and passed. Return: its flow */
static struct flow *shown(struct lab *lab, uint64_t pass, uint64_t wanted)
{
	uint64_t id = peek_looked_at(lab, true, 5);
	unsigned int packet;

	peek_connect(lab, &peek_syn, THEIRS);
	packet = put_in(lab, 0, 0, "hello");
	peek_expect(lab, 0, 0, "hello");
	peek_answer(lab, 0, id, SL_DIR_IN, pass, wanted);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	return flow_table_find_id(lab->daemon->flows, id);
}

static void check_copies(struct lab *lab)
{
	uint64_t before = lab->daemon->peekings.n_lies;

	assert_int_equal(lab_fate(lab, put_in(lab, 0, 0, "hullo")), FATE_SILENT);
	assert_int_equal(lab_fate(lab, put_in(lab, 0, 4, "u")), FATE_SILENT);
	assert_int_equal(lab_fate(lab, put_in(lab, 0, 2, "llx and more")), FATE_SILENT);
	assert_int_equal(lab_fate(lab, put_in(lab, FIN, 3, NULL)), FATE_SILENT); /* not the end */
	assert_int_equal(lab_fate(lab, put_in(lab, FIN, 0, "hel")), FATE_SILENT);
	assert_int_equal(lab->daemon->peekings.n_lies, before + 5);
	assert_int_equal(lab_fate(lab, put_in(lab, 0, 0, "hel")), FATE_ALLOWED);
	assert_int_equal(lab_fate(lab, put_in(lab, 0, 0, "hello")), FATE_ALLOWED);
}

static void test_while_a_filter_looks(void **state)
{
	struct lab *lab = *state;
	struct flow *flow = shown(lab, 5, 5);

	check_copies(lab);
	acknowledge(lab, flow, 2);
	assert_int_equal(lab_fate(lab, put_in(lab, 0, 0, "xxllu")), FATE_SILENT);
	acknowledge(lab, flow, 5); /* it is there, and no other copy is taken */
	assert_int_equal(lab_fate(lab, put_in(lab, 0, 0, "xxxxx")), FATE_ALLOWED);
}

/* a copy with more behind it: the rest is held and shown as if it had come alone */
static void test_a_copy_that_brings_more(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	shown(lab, 5, 5);
	assert_int_equal(lab_fate(lab, put_in(lab, 0, 3, "lx world")), FATE_SILENT);
	packet = put_in(lab, 0, 3, "lo world");
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek_expect(lab, 0, 5, " worl");
}

static void test_when_nobody_looks_any_more(void **state)
{
	struct lab *lab = *state;
	struct flow *flow = shown(lab, UINT64_MAX, 0);
	uint64_t id = flow->id;

	assert_int_equal(entry_of(lab)->peek & (SL_PEEK_IN | SL_PEEK_GUARD), SL_PEEK_GUARD);
	assert_int_equal(entry_of(lab)->shown, THEIRS + 5);
	peek_put_text(lab, 0, "askme");
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(flow->verdict, SL_ALLOW); /* for people */
	assert_int_equal(entry_of(lab)->verdict, SL_PEEK);
	assert_int_equal(entry_of(lab)->peek & (SL_PEEK_OUT | SL_PEEK_IN), 0);
	check_copies(lab);
	assert_int_equal(lab_fate(lab, put_in(lab, 0, 5, " world")), FATE_ALLOWED);
	acknowledge(lab, flow, 4);
	assert_int_equal(lab_fate(lab, put_in(lab, FIN, 4, NULL)), FATE_SILENT);
	acknowledge(lab, flow, 5);
	assert_int_equal(entry_of(lab)->verdict, SL_ALLOW);
	assert_int_equal(fake_n(lab->kernel, FAKE_PEEKS), 0);
	assert_int_equal(lab->daemon->peekings.n, 0);
}

static void test_the_other_direction_is_looked_at(void **state)
{
	struct lab *lab = *state;
	struct flow *flow = shown(lab, UINT64_MAX, 0);

	acknowledge(lab, flow, 5);
	assert_int_equal(entry_of(lab)->verdict, SL_PEEK);
	assert_int_equal(entry_of(lab)->peek & (SL_PEEK_IN | SL_PEEK_OUT | SL_PEEK_GUARD),
			 SL_PEEK_OUT);
}

/* whatever of it goes, what it brings is not read where it was shown */
static void test_urgent(void **state)
{
	struct lab *lab = *state;

	shown(lab, 5, 5);
	assert_int_equal(lab_fate(lab, put_in(lab, URG, 0, "hello")), FATE_SILENT);
	assert_int_equal(lab_fate(lab, put_in(lab, URG, 5, "world")), FATE_SILENT);
	assert_int_equal(lab_fate(lab, put_in(lab, URG, 5, NULL)), FATE_SILENT);
}

static void test_it_is_charged(void **state)
{
	struct lab *lab = *state;
	struct flow *flow = shown(lab, 5, 5);
	size_t own = sizeof(*flow->peeking) + peek_size(flow->peeking->core);

	assert_int_equal(flow_charged(flow), own + 5 + PEEKING_PACKET_BYTES);
	assert_int_equal(flow_queued(flow), 0);
	acknowledge(lab, flow, 5);
	assert_int_equal(flow_charged(flow), own);
}

/* nobody knows what the predecessor has shown: what is not there yet is shown again */
static void test_a_successor(void **state)
{
	struct lab *lab = *state;
	struct flow *flow = shown(lab, 5, 5);
	uint64_t id = flow->id;
	unsigned int packet;

	acknowledge(lab, flow, 2);
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_int_equal(lab_take_flow(lab, 0), id);
	peek_at(lab, 0, id, true, 3);
	packet = put_in(lab, 0, 0, "hexxo");
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	peek_expect(lab, 0, 2, "xxo");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

/* it was there, and acknowledged late: the other side goes on behind it */
static void test_a_successor_that_need_not(void **state)
{
	struct lab *lab = *state;
	struct flow *flow = shown(lab, UINT64_MAX, 0);
	uint64_t id = flow->id;
	unsigned int packet;

	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_int_equal(lab_take_flow(lab, 0), id);
	peek_at(lab, 0, id, true, 3);
	packet = put_in(lab, 0, 5, " world");
	peek_expect_nothing(lab, 0);
	acknowledge(lab, flow_table_find_id(lab->daemon->flows, id), 5);
	peek_expect(lab, 0, 5, " wo");
	peek_answer(lab, 0, id, SL_DIR_IN, 6, 3);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, peek_one_closed, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_while_a_filter_looks),
		TEST(test_a_copy_that_brings_more),
		TEST(test_when_nobody_looks_any_more),
		TEST(test_the_other_direction_is_looked_at),
		TEST(test_urgent),
		TEST(test_it_is_charged),
		TEST(test_a_successor),
		TEST(test_a_successor_that_need_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
