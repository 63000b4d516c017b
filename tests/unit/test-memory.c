/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verdict memory against its oracle: asking every filter again. See memory-world.h. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/memory.h"
#include "tests/unit/memory-world.h"

#define STEPS 10000000U
#define S 1000000ULL

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void remembered_is_what_asking_again_gives(void **state)
{
	struct world *world = world_new();
	uint64_t seed = 0x51011ce, word;
	struct world_counts counts;

	assert_non_null(world);
	for (unsigned int i = 0; i < STEPS; i++) {
		uint8_t event[WORLD_EVENT_BYTES];
		const char *problem;

		word = next_random(&seed) * 0x2545f4914f6cdd1dULL;
		memcpy(event, &word, sizeof(event));
		problem = world_step(world, event);
		if (problem)
			fail_msg("step %u: %s", i, problem);
	}
	counts = world_counts(world);
	print_message("%" PRIu64 " flows: %" PRIu64 " by the kernel's map, %" PRIu64
		      " answers remembered, %" PRIu64 " by rules, %" PRIu64
		      " asked; rules agreed %" PRIu64 " times, names disagreed %" PRIu64 " times\n",
		      counts.n_flows, counts.n_by_kernel, counts.n_by_answers, counts.n_by_rules,
		      counts.n_asked, counts.n_concluded_by_rules, counts.n_disagreeing);
	/* the test is about something */
	assert_true(counts.n_by_kernel > STEPS / 100);
	assert_true(counts.n_by_answers > STEPS / 100);
	assert_true(counts.n_by_rules > STEPS / 100);
	assert_true(counts.n_concluded_by_rules > STEPS / 100);
	assert_true(counts.n_disagreeing > STEPS / 200);
	world_free(world);
}

/* ---- single rules, in words ---- */

static const struct sl_memory_key to = { .raddr = { [15] = 1 }, .rport = 443, .proto = 6 };
static unsigned int n_withdrawn, n_renewed;

static void on_withdraw(const struct sl_memory_key *key, void *data)
{
	n_withdrawn++;
}

static void on_renew(uint32_t generation, void *data)
{
	n_renewed++;
}

static const struct memory_ops ops = { on_withdraw, on_renew };

static int set_up(void **state)
{
	const struct memory_limits limits = { 8, 8, 1 };
	struct memory *memory;

	n_withdrawn = n_renewed = 0;
	if (memory_new(&limits, 5, &ops, NULL, &memory))
		return -1;
	*state = memory;
	return 0;
}

static int tear_down(void **state)
{
	memory_free(*state);
	return 0;
}

static void a_verdict_for_the_flow_is_not_remembered(void **state)
{
	const struct memory_question question = { .to = to };
	struct memory_answer answer;

	memory_learn(*state, 0, &question, "a", MEMORY_FLOW, SL_ALLOW, "");
	assert_int_equal(memory_find(*state, 0, &question, &answer), MEMORY_E_ASK);
	/* for a name, and there was none */
	memory_learn(*state, 0, &question, "", MEMORY_NAME, SL_ALLOW, "");
	assert_int_equal(memory_find(*state, 0, &question, &answer), MEMORY_E_ASK);
	assert_int_equal(memory_count_answers(*state), 0);
}

static void an_address_with_a_listed_and_an_unlisted_name_is_asked(void **state)
{
	struct names_name names[] = { { "listed", 10 * S }, { "other", 20 * S } };
	struct memory_question question = { .to = to, .names = names, .n_names = 1 };
	struct memory_answer answer;

	memory_learn(*state, 0, &question, "listed", MEMORY_NAME, SL_REJECT, "on a list");
	assert_int_equal(memory_conclude(*state, 1, &question, &answer), 0);
	assert_int_equal(answer.verdict, SL_REJECT);
	assert_int_equal(answer.expiry_us, 10 * S);
	assert_string_equal(answer.reason, "on a list");
	memory_names_changed(*state, &to.app, to.raddr);
	assert_int_equal(n_withdrawn, 1);
	question.n_names = 2;
	assert_int_equal(memory_conclude(*state, 1, &question, &answer), MEMORY_E_ASK);
	memory_learn(*state, 0, &question, "other", MEMORY_NAME, SL_ALLOW, "");
	assert_int_equal(memory_find(*state, 0, &question, &answer), MEMORY_E_ASK);
	assert_int_equal(memory_conclude(*state, 1, &question, &answer), MEMORY_E_ASK);
}

/* it went by the address once and by the name another time: who knows what it does next */
static void an_address_and_its_name_with_different_answers_are_asked(void **state)
{
	struct names_name names[] = { { "a", 10 * S }, { "b", 20 * S } };
	struct memory_question question = { .to = to, .names = names, .n_names = 2 };
	struct memory_answer answer;

	memory_learn(*state, 0, &question, "a", MEMORY_ADDRESS, SL_ALLOW, "");
	assert_int_equal(memory_find(*state, 0, &question, &answer), 0);
	memory_learn(*state, 0, &question, "b", MEMORY_NAME, SL_REJECT, "");
	assert_int_equal(memory_find(*state, 0, &question, &answer), MEMORY_E_ASK);
}

/* a file written anew, or another one on its inode; the same program in another network */
static void another_application_is_asked(void **state)
{
	const struct memory_question question = { .to = to };
	struct memory_question written = question, elsewhere = question;
	struct memory_answer answer;

	written.to.app.exe_ctime_ns++;
	elsewhere.to.app.netns++;
	memory_learn(*state, 0, &question, "", MEMORY_ADDRESS, SL_ALLOW, "");
	assert_int_equal(memory_find(*state, 0, &question, &answer), 0);
	assert_int_equal(memory_find(*state, 0, &written, &answer), MEMORY_E_ASK);
	assert_int_equal(memory_find(*state, 0, &elsewhere, &answer), MEMORY_E_ASK);
}

static void every_filter_must_have_answered(void **state)
{
	const struct memory_question question = { .to = to };
	struct memory_answer answer;

	memory_learn(*state, 0, &question, "", MEMORY_ADDRESS, SL_ALLOW, "first");
	assert_int_equal(memory_conclude(*state, 2, &question, &answer), MEMORY_E_ASK);
	memory_learn(*state, 1, &question, "", MEMORY_ADDRESS, SL_SILENT, "second");
	assert_int_equal(memory_conclude(*state, 2, &question, &answer), 0);
	assert_int_equal(answer.verdict, SL_SILENT);
	assert_int_equal(answer.filter, 1);
	assert_int_equal(answer.expiry_us, MEMORY_NEVER);
}

static void a_filter_that_changes_its_mind_is_asked_anew(void **state)
{
	const struct memory_question question = { .to = to };
	struct memory_question elsewhere = question;
	struct memory_answer answer;

	elsewhere.to.rport = 80;
	memory_learn(*state, 0, &elsewhere, "", MEMORY_ADDRESS, SL_ALLOW, "");
	memory_learn(*state, 0, &question, "", MEMORY_ADDRESS, SL_ALLOW, "");
	memory_learn(*state, 0, &question, "", MEMORY_ADDRESS, SL_REJECT, "");
	assert_int_equal(n_renewed, 1);
	assert_int_equal(memory_generation(*state), 6);
	assert_int_equal(memory_find(*state, 0, &elsewhere, &answer), MEMORY_E_ASK);
	assert_int_equal(memory_find(*state, 0, &question, &answer), 0);
	assert_int_equal(answer.verdict, SL_REJECT);
}

static void another_filters_answers_stay(void **state)
{
	const struct memory_question question = { .to = to };
	struct memory_answer answer;

	memory_learn(*state, 0, &question, "", MEMORY_ADDRESS, SL_ALLOW, "");
	memory_learn(*state, 1, &question, "", MEMORY_ADDRESS, SL_ALLOW, "");
	memory_forget(*state, 0);
	assert_int_equal(memory_find(*state, 0, &question, &answer), MEMORY_E_ASK);
	assert_int_equal(memory_find(*state, 1, &question, &answer), 0);
}

static void conclusions_that_find_no_place_are_withdrawn(void **state)
{
	struct memory_question question = { .to = to };
	struct memory_answer answer;

	for (uint16_t port = 1; port <= 6; port++) {
		question.to.rport = port;
		memory_learn(*state, 0, &question, "", MEMORY_ADDRESS, SL_ALLOW, "");
		assert_int_equal(memory_conclude(*state, 1, &question, &answer), 0);
	}
	/* one user has half of the places */
	assert_int_equal(memory_count_conclusions(*state), 4);
	assert_int_equal(memory_count_answers(*state), 4);
	assert_int_equal(n_withdrawn, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remembered_is_what_asking_again_gives),
		TEST(a_verdict_for_the_flow_is_not_remembered),
		TEST(an_address_with_a_listed_and_an_unlisted_name_is_asked),
		TEST(an_address_and_its_name_with_different_answers_are_asked),
		TEST(another_application_is_asked),
		TEST(every_filter_must_have_answered),
		TEST(a_filter_that_changes_its_mind_is_asked_anew),
		TEST(another_filters_answers_stay),
		TEST(conclusions_that_find_no_place_are_withdrawn),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
