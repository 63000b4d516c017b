/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every call of the kernel fails once while rules decide
 *
 * As test-daemon-failure.c: rules are given, what follows from them is put into the
 * kernel, a name takes it out, rules are replaced while their process dies. Whatever
 * fails: what rules deny does not go out, what they say no more is withdrawn within
 * two ticks, and what was allowed by it is cut.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab-memory.h"
#include "story.h"

static const struct wire_rule drop_name = { .action = RULES_DROP,
					    .host_kind = 1,
					    .host = "a.example" };
static const struct wire_rule drop_udp = { .action = RULES_DROP, .protocol = IPPROTO_UDP };

/* @action: for what no other rule drops */
static void give_rules(struct lab *lab, uint8_t action)
{
	lab_say(lab, 0, WIRE_RULES_BEGIN, &(struct wire_rules_begin){ .set = 1 });
	lab_say(lab, 0, WIRE_RULE, &drop_udp);
	lab_say(lab, 0, WIRE_RULE, &drop_name);
	lab_say(lab, 0, WIRE_RULES_COMMIT, &(struct wire_rules_commit){ .otherwise = action });
}

static unsigned int put(struct lab *lab, const struct lab_packet *packet)
{
	uint64_t id;

	unsigned int index = memory_connect(lab, packet);

	while ((id = lab_take_flow(lab, 0))) /* names that differ: it is asked, and agrees */
		lab_judge(lab, 0, id, packet->proto == IPPROTO_UDP);
	return index;
}

/* not at once: the kernel is told again when it did not listen */
static void pass(struct lab *lab)
{
	for (unsigned int i = 0; i < 4; i++)
		lab_pass(lab, TICK_US);
}

/* Return: is it known now? */
static bool resolve(struct lab *lab, const char *name)
{
	const struct wire_look *look;
	uint64_t token;

	(void)lab_put(lab, &dns_answer);
	pass(lab);
	look = lab_take_look(lab);
	if (!look)
		return false;
	token = look->token;
	lab_name(lab, token, name, tcp.last);
	lab_done(lab, token);
	return true;
}

static void check_cut(struct lab *lab, const struct lab_packet *packet)
{
	if (lab_flow(lab, packet)) /* what is not there is judged anew */
		assert_int_equal(lab_flow(lab, packet)->verdict, SL_REJECT);
	assert_false(memory_is_in_force(lab, packet));
}

static void tell(struct lab *lab, unsigned int nth)
{
	unsigned int no[4], n = 0;

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	fake_fail(lab->kernel, FAKE_ANY, nth, ENOMEM);
	give_rules(lab, RULES_ALLOW);
	(void)put(lab, &tcp);
	no[n++] = put(lab, &udp);
	if (resolve(lab, "a.example")) {
		pass(lab);
		assert_false(memory_is_in_force(lab, &tcp));
		no[n++] = put(lab, &tcp_again);
	}
	give_rules(lab, RULES_DROP);
	lab_end_filter(lab, 0);
	pass(lab);
	check_cut(lab, &tcp);
	no[n++] = put(lab, &tcp);
	no[n++] = put(lab, &udp);
	lab_pass(lab, FLOW_DEADLINE_US);
	pass(lab);
	for (unsigned int i = 0; i < fake_n_packets(lab->kernel); i++)
		assert_int_not_equal(lab_fate(lab, i), FATE_HELD);
	for (unsigned int i = 0; i < n; i++)
		assert_int_not_equal(lab_fate(lab, no[i]), FATE_ALLOWED);
}

static void test_rules_of_a_filter_that_fails_closed(void **state)
{
	story_tell_each(tell, true, 50);
}

static void test_rules_of_a_filter_that_fails_open(void **state)
{
	story_tell_each(tell, false, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_of_a_filter_that_fails_closed),
		cmocka_unit_test(test_rules_of_a_filter_that_fails_open),
	};

	return cmocka_run_group_tests_name("daemon-rules-failure", tests, NULL, NULL);
}
