/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every allocation fails once while rules are given
 *
 * As test-daemon-memory-out.c: a set is in force, a longer one comes, is replaced, is
 * given again. Whatever fails: nothing leaks, no packet is held for ever, the set in
 * force is one that was committed, whole, and when there is memory again the next one
 * is taken.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alloc-lab.h"
#include "base/macros.h"
#include "daemon-lab-memory.h"

#define N_RULES 150U /* enough for each of its arrays to grow */
#define ALLOCATIONS_MAX 5000U

/* drops all but TCP to port 443; long texts first, which are no flow's */
static void give(struct lab *lab, uint32_t n)
{
	struct wire_rule web = { .action = RULES_ALLOW, .protocol = IPPROTO_TCP, .rport = 443 };

	(void)alloc_say(lab, WIRE_RULES_BEGIN, &(struct wire_rules_begin){ .set = n }, NULL, 0);
	for (uint32_t i = 0; i < n; i++) {
		struct wire_rule rule = { .action = RULES_DROP, .rport = (uint16_t)(1000 + i) };

		snprintf(rule.reason, sizeof(rule.reason), "the reason of rule %u", i);
		(void)alloc_say(lab, WIRE_RULE, &rule, NULL, 0);
	}
	(void)alloc_say(lab, WIRE_RULE, &web, NULL, 0);
	(void)alloc_say(lab, WIRE_RULES_COMMIT,
			&(struct wire_rules_commit){ .otherwise = RULES_DROP }, NULL, 0);
}

/* Return: with how many rules before it was the set in force given? */
static uint32_t given(struct lab *lab)
{
	const struct rules *rules = lab->daemon->filters[0].ruling.in_force;

	return rules ? rules_count(rules) - 1 : UINT32_MAX;
}

static void begin(struct lab *lab)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = 1 };

	if (alloc_say(lab, WIRE_HELLO, &hello, NULL, 0))
		(void)alloc_say(lab, WIRE_READY, &(struct wire_ready){ 0 }, NULL, 0);
}

static void check_normal(struct lab *lab)
{
	give(lab, N_RULES);
	assert_int_equal(given(lab), N_RULES);
	lab_pass(lab, TICK_US); /* what waited meets them */
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &tcp)), FATE_ALLOWED);
	assert_true(memory_is_in_force(lab, &tcp));
	assert_int_equal(lab_fate(lab, memory_connect(lab, &udp)), FATE_REJECTED);
	lab_pass(lab, FLOW_DEADLINE_US);
	for (unsigned int i = 0; i < fake_n_packets(lab->kernel); i++)
		assert_int_not_equal(lab_fate(lab, i), FATE_HELD);
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	struct lab *lab = running_lab(1, true);
	unsigned int no;

	alloc_fail(nth, is_always);
	give(lab, 1);
	(void)memory_connect(lab, &tcp);
	give(lab, N_RULES);
	no = memory_connect(lab, &udp);
	give(lab, 2);
	assert_true(given(lab) <= 2 || given(lab) == N_RULES || given(lab) == UINT32_MAX);
	lab_pass(lab, TICK_US);
	alloc_bring_back(lab, begin);
	check_normal(lab);
	assert_int_not_equal(lab_fate(lab, no), FATE_ALLOWED);
	lab_free(lab);
	return alloc_has_failed();
}

static void test_one_fails(void **state)
{
	alloc_tell_each(tell, NULL, false, 1, 19, ALLOCATIONS_MAX);
}

static void test_all_fail_from_one_on(void **state)
{
	alloc_tell_each(tell, NULL, true, 1, 19, ALLOCATIONS_MAX);
}

static void test_no_memory_for_a_set_leaves_the_one_of_before(void **state)
{
	struct lab *lab = running_lab(1, true);

	give(lab, 1);
	alloc_fail(1, true);
	give(lab, N_RULES);
	assert_true(alloc_has_failed());
	alloc_forgive();
	assert_int_equal(lab->n_killed, 0);
	assert_int_equal(given(lab), 1);
	check_normal(lab);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail_from_one_on),
		cmocka_unit_test(test_no_memory_for_a_set_leaves_the_one_of_before),
	};

	return cmocka_run_group_tests_name("daemon-rules-memory-out", tests, NULL, NULL);
}
