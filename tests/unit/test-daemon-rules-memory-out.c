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

#include "alloc.h"
#include "base/macros.h"
#include "daemon-lab-memory.h"

#define N_RULES 150U /* enough for each of its arrays to grow */
#define ALLOCATIONS_MAX 5000U
#define ROUNDS 400U /* more than any back-off */

/* ---- what is tested begins and ends here: -Wl,--wrap ---- */

int __real_sd_event_run(sd_event *event, uint64_t us);
int __wrap_sd_event_run(sd_event *event, uint64_t us);
int __wrap_sd_event_run(sd_event *event, uint64_t us)
{
	int r;

	alloc_enter();
	r = __real_sd_event_run(event, us);
	alloc_leave();
	return r;
}

/* one that is not heard has been cut off, and will be started again */
static bool say(struct lab *lab, uint16_t type, const void *body)
{
	bool is_said = lab->filters[0].sock >= 0 &&
		       channel_send(lab->filters[0].sock, &wire_provider_channel, type, body, NULL,
				    0, -1) == 0;

	lab_settle(lab);
	return is_said;
}

/* drops all but TCP to port 443; long texts first, which are no flow's */
static void give(struct lab *lab, uint32_t n)
{
	struct wire_rule web = { .action = RULES_ALLOW, .protocol = IPPROTO_TCP, .rport = 443 };

	(void)say(lab, WIRE_RULES_BEGIN, &(struct wire_rules_begin){ .set = n });
	for (uint32_t i = 0; i < n; i++) {
		struct wire_rule rule = { .action = RULES_DROP, .rport = (uint16_t)(1000 + i) };

		snprintf(rule.reason, sizeof(rule.reason), "the reason of rule %u", i);
		(void)say(lab, WIRE_RULE, &rule);
	}
	(void)say(lab, WIRE_RULE, &web);
	(void)say(lab, WIRE_RULES_COMMIT, &(struct wire_rules_commit){ .otherwise = RULES_DROP });
}

/* Return: with how many rules before it was the set in force given? */
static uint32_t given(struct lab *lab)
{
	const struct rules *rules = lab->daemon->filters[0].ruling.in_force;

	return rules ? rules_count(rules) - 1 : UINT32_MAX;
}

static void bring_back(struct lab *lab)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = 1 };
	const struct session *session;

	alloc_forgive();
	if (lab->loop_error) {
		lab_crash(lab);
		assert_int_equal(lab_start(lab), 0);
	}
	session = &lab->daemon->filters[0].session;
	for (unsigned int i = 0; i < ROUNDS && session->state != SESSION_RUNNING; i++) {
		lab_pass(lab, TICK_US);
		if (session->state == SESSION_CALLED && say(lab, WIRE_HELLO, &hello))
			(void)say(lab, WIRE_READY, &(struct wire_ready){ 0 });
	}
	assert_int_equal(session->state, SESSION_RUNNING);
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
	bring_back(lab);
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
