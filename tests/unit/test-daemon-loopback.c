/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Loopback, of which nothing is judged that no rule names
 *
 * What of it meets the queue follows the rules of all filters, and of a predecessor until they are
 * known; what is on it is judged by rules that name it alone.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rules-lab.h"

#define LOCAL4(action_, last_, ...)                                                                \
	ALL(.action = (action_), .family = 4, .bits = 128,                                         \
	    .remote = { [10] = 0xff, 0xff, 127, 0, 0, (last_) }, __VA_ARGS__)

static const struct lab_packet web = {
	.proto = IPPROTO_TCP, .is_local = true, .lport = 40000, .rport = 80, .last = 9
};
static const struct lab_packet name = {
	.proto = IPPROTO_UDP, .is_local = true, .lport = 40001, .rport = 53, .last = 53
};
static const struct lab_packet six = {
	.proto = IPPROTO_UDP, .is_v6 = true, .is_local = true, .lport = 40001, .rport = 7
};
/* the same ends by another interface */
static const uint8_t local_address[16] = { [10] = 0xff, 0xff, 127, 0, 0, 9 };

static void check_judged(const struct lab *lab, uint32_t network, uint32_t mask, bool has_ipv6)
{
	const struct sl_loopback *judged = fake_judged_loopback(lab->kernel);

	assert_int_equal(judged->network, network);
	assert_int_equal(judged->mask, mask);
	assert_int_equal(judged->has_ipv6, has_ipv6);
}

static void check(struct lab *lab, const struct lab_packet *packet, enum fate fate,
		  const char *reason)
{
	assert_int_equal(lab_fate(lab, memory_connect(lab, packet)), fate);
	rules_lab_reason(lab, packet, reason);
	assert_int_equal(lab_flow(lab, packet)->tuple.lo, SL_LO_IS);
	lab_end_socket(lab, packet);
	assert_null(lab_flow(lab, packet));
}

static void test_rules_that_do_not_name_it_do_not_reach_it(void **state)
{
	static const char free_[] = "on loopback, where no rule forbids it";
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_DROP, ALL(.action = RULES_DROP, .lport = 40000),
	     ALL(.action = RULES_ASK, .exe = "/bin/other"), LOCAL4(RULES_DROP, 9, .rport = 81));
	check_judged(lab, 0x7f000009, 0xffffffff, false);
	check(lab, &web, FATE_ALLOWED, free_);
	check(lab, &name, FATE_ALLOWED, free_);
	check(lab, &six, FATE_ALLOWED, free_);
	assert_int_equal(lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_take_flow(lab, 1), 0); /* which has no rules */
	assert_false(memory_is_in_force(lab, &web));
}

static void test_a_rule_that_names_it_decides(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	unsigned int held;

	GIVE(lab, 0, RULES_ALLOW, LOCAL4(RULES_ALLOW, 53), LOCAL4(RULES_ASK, 9));
	GIVE(lab, 1, RULES_ASK,
	     ALL(.action = RULES_DROP_SILENT, .family = 6, .bits = 128, .remote = { [15] = 1 }));
	check_judged(lab, 0x7f000009, 0xffffffff, true);
	check(lab, &six, FATE_SILENT, "rule 1");
	held = memory_connect(lab, &web);
	id = lab_take_flow(lab, 0);
	assert_int_not_equal(id, 0);
	lab_judge_for(lab, 0, id, 0, MEMORY_ADDRESS);
	assert_int_equal(lab_fate(lab, held), FATE_ALLOWED);
	lab_end_socket(lab, &web);
	(void)memory_connect(lab, &web); /* no promise holds there */
	assert_int_not_equal(lab_take_flow(lab, 0), 0);
}

/* deny beats allow, whichever filter says so */
static void test_each_filter_may_deny(void **state)
{
	struct lab *lab = *state;

	GIVE(lab, 0, RULES_ALLOW, LOCAL4(RULES_ALLOW, 9));
	check_judged(lab, 0, 0, false); /* that changes nothing */
	GIVE(lab, 1, RULES_ALLOW, LOCAL4(RULES_DROP, 9));
	check_judged(lab, 0x7f000009, 0xffffffff, false);
	check(lab, &web, FATE_REJECTED, "rule 1");
}

/* what is allowed over lo is another conversation than the same ends by another interface */
static void test_the_interface_counts(void **state)
{
	struct lab *lab = *state;
	struct queue_packet packet = { .ifindex = LOOPBACK_IFINDEX };
	struct sl_tuple tuple = { .proto = IPPROTO_UDP };

	memcpy(tuple.raddr, local_address, sizeof(tuple.raddr));
	judge_place(&packet, &tuple);
	assert_int_equal(tuple.lo, SL_LO_IS);
	packet.ifindex = 2;
	judge_place(&packet, &tuple);
	assert_int_equal(tuple.lo, SL_LO_NOT);
	tuple.raddr[12] = 10; /* one of the machine's own */
	packet.ifindex = LOOPBACK_IFINDEX;
	judge_place(&packet, &tuple);
	assert_int_equal(tuple.lo, SL_LO_NOT);
	GIVE(lab, 0, RULES_DROP, LOCAL4(RULES_DROP, 53));
	check(lab, &web, FATE_ALLOWED, "on loopback, where no rule forbids it");
	rules_lab_check(lab, &tcp, FATE_REJECTED);
}

static void test_rules_are_replaced(void **state)
{
	struct lab *lab = *state;
	unsigned int held;

	GIVE(lab, 0, RULES_ASK, LOCAL4(RULES_ASK, 9), LOCAL4(RULES_DROP, 53));
	held = memory_connect(lab, &web);
	(void)memory_connect(lab, &name);
	assert_int_not_equal(lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_fate(lab, held), FATE_HELD);
	assert_int_equal(lab_flow(lab, &name)->verdict, SL_REJECT);
	GIVE(lab, 0, RULES_DROP, rules_lab_drop_a); /* which names nothing there */
	check_judged(lab, 0, 0, false);
	rules_lab_walk(lab);
	assert_int_equal(lab_fate(lab, held), FATE_ALLOWED);
	assert_null(lab_flow(lab, &name)); /* its denial holds no more */
	GIVE(lab, 0, RULES_DROP, LOCAL4(RULES_DROP, 9));
	rules_lab_walk(lab);
	assert_int_equal(lab_flow(lab, &web)->verdict, SL_REJECT); /* and this one is cut */
}

/* until every filter has started nobody knows what they name: that of before holds, and waits */
static void test_a_successor_keeps_what_is_judged(void **state)
{
	struct lab *lab = *state;
	unsigned int held;

	GIVE(lab, 1, RULES_ASK, LOCAL4(RULES_DROP, 9));
	lab_crash(lab);
	assert_int_equal(lab_start(lab), 0);
	check_judged(lab, 0x7f000009, 0xffffffff, false);
	lab_run_filter(lab, 0);
	check_judged(lab, 0x7f000009, 0xffffffff, false);
	held = memory_connect(lab, &web);
	assert_int_equal(lab_fate(lab, held), FATE_HELD);
	lab_run_filter(lab, 1); /* without rules now */
	check_judged(lab, 0, 0, false);
	assert_int_equal(lab_fate(lab, held), FATE_ALLOWED);
}

/* the kernel does not take it: it is told again */
static void test_the_kernel_does_not_listen(void **state)
{
	struct lab *lab = *state;
	unsigned int n_repairs = fake_n_calls(lab->kernel, FAKE_REPAIR);

	fake_fail(lab->kernel, FAKE_LOOPBACK, 1, ENOMEM);
	GIVE(lab, 0, RULES_ASK, LOCAL4(RULES_DROP, 9));
	assert_true(fake_has_failed(lab->kernel));
	check_judged(lab, 0, 0, false);
	lab_pass(lab, TICK_US);
	/* a namespace may not have taken it */
	assert_true(fake_n_calls(lab->kernel, FAKE_REPAIR) > n_repairs);
	check_judged(lab, 0x7f000009, 0xffffffff, false);
	fake_fail(lab->kernel, FAKE_LOOPBACK, 1, ENOMEM);
	GIVE(lab, 0, RULES_ASK, rules_lab_drop_a);
	check_judged(lab, 0x7f000009, 0xffffffff, false);
	check(lab, &web, FATE_ALLOWED, "on loopback, where no rule forbids it");
	lab_pass(lab, TICK_US);
	check_judged(lab, 0, 0, false);
}

/* its process is given up: what its rules decide holds, what was to be asked fails */
static void check_given_up(struct lab *lab, enum fate asked)
{
	GIVE(lab, 0, RULES_ASK, LOCAL4(RULES_DROP, 53), LOCAL4(RULES_ASK, 9));
	lab->daemon->filters[0].session.state = SESSION_FAILED;
	assert_int_equal(lab_fate(lab, memory_connect(lab, &name)), FATE_REJECTED);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &web)), asked);
	assert_int_equal(lab_fate(lab, memory_connect(lab, &six)), FATE_ALLOWED);
	lab->daemon->filters[0].session.state = SESSION_RUNNING;
}

static void test_it_fails_closed(void **state)
{
	check_given_up(*state, FATE_REJECTED);
}

static void test_it_fails_open(void **state)
{
	check_given_up(*state, FATE_ALLOWED);
}

#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rules_that_do_not_name_it_do_not_reach_it, running_two),
		TEST(test_a_rule_that_names_it_decides, running_two),
		TEST(test_each_filter_may_deny, running_two),
		TEST(test_the_interface_counts, running_one),
		TEST(test_rules_are_replaced, running_one),
		TEST(test_a_successor_keeps_what_is_judged, running_two),
		TEST(test_the_kernel_does_not_listen, running_one),
		TEST(test_it_fails_closed, running_one),
		TEST(test_it_fails_open, running_one_open),
	};

	return cmocka_run_group_tests_name("daemon-loopback", tests, NULL, NULL);
}
