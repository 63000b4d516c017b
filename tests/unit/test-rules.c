/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Static rules against their oracle (rules-world.h), and lists at and beyond their limits. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "policy/rules.h"
#include "tests/unit/rules-world.h"

#define N_STEPS 1000000U

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void test_random_lists_say_what_the_oracle_says(void **state)
{
	struct rules_world *world = rules_world_new();
	struct rules_world_counts counts;
	uint64_t random = 1;

	assert_non_null(world);
	for (unsigned int i = 0; i < N_STEPS; i++) {
		uint64_t event[RULES_WORLD_EVENT_BYTES / 8] = { next_random(&random),
								next_random(&random),
								next_random(&random) };
		const char *problem = rules_world_step(world, (const uint8_t *)event);

		if (problem)
			fail_msg("step %u: %s", i, problem);
	}
	counts = rules_world_counts(world);
	print_message(
		"%lu rules, %lu refused; %lu decided, %lu asked, %lu varying; %lu with less known\n",
		counts.n_rules, counts.n_refused, counts.n_decided, counts.n_asked,
		counts.n_varying, counts.n_partly_decided);
	assert_true(counts.n_rules > N_STEPS / 10 && counts.n_refused > N_STEPS / 1000);
	assert_true(counts.n_decided > N_STEPS / 10 && counts.n_asked > N_STEPS / 100 &&
		    counts.n_varying > N_STEPS / 100 && counts.n_partly_decided > N_STEPS / 10);
	rules_world_free(world);
}

/* ---- loopback ---- */

static struct rules_loopback judged(const struct wire_rule *rules, size_t n)
{
	struct rules_loopback loopback;
	struct rules *list;
	const char *problem;

	assert_int_equal(rules_new(1, &list), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rules_add(list, &rules[i], &problem), 0);
	loopback = rules_loopback(list);
	rules_free(list);
	return loopback;
}

static struct wire_rule to4(uint8_t action, uint8_t third, uint8_t last, uint8_t bits)
{
	struct wire_rule rule = { .action = action,
				  .family = 4,
				  .bits = (uint8_t)(96 + bits),
				  .remote = { [10] = 0xff, 0xff, 127, 0, third, last } };

	return rule;
}

static void check_judged(const struct wire_rule *rules, size_t n, uint32_t network, uint32_t mask,
			 uint32_t has_ipv6)
{
	struct rules_loopback loopback = judged(rules, n);

	assert_int_equal(loopback.network, network);
	assert_int_equal(loopback.mask, mask);
	assert_int_equal(loopback.has_ipv6, has_ipv6);
}

/* the smallest networks that hold what is named, and what changes nothing names nothing */
static void test_what_of_loopback_is_judged(void **state)
{
	const struct wire_rule inbound = { .action = RULES_DROP,
					   .direction = 2,
					   .family = 6,
					   .bits = 128,
					   .remote = { [15] = 1 } };
	const struct wire_rule six = {
		.action = RULES_ASK, .family = 6, .bits = 128, .remote = { [15] = 1 }
	};
	const struct wire_rule wide6 = { .action = RULES_DROP, .family = 6, .bits = 127 };
	const struct wire_rule wide4 = {
		.action = RULES_DROP, .family = 4, .bits = 103, .remote = { [10] = 0xff, 0xff, 126 }
	};
	const struct wire_rule nothing[] = {
		to4(RULES_ALLOW, 0, 1, 32), inbound, wide6, wide4, { .action = RULES_DROP }
	};
	const struct wire_rule one[] = { to4(RULES_DROP, 0, 1, 32) };
	const struct wire_rule two[] = { to4(RULES_DROP, 0, 1, 32), to4(RULES_ASK, 0, 53, 32),
					 six };
	const struct wire_rule all[] = { to4(RULES_DROP, 1, 0, 24), to4(RULES_DROP, 0, 0, 8) };

	check_judged(nothing, ARRAY_SIZE(nothing), 0, 0, 0);
	check_judged(one, ARRAY_SIZE(one), 0x7f000001, 0xffffffff, 0);
	check_judged(two, ARRAY_SIZE(two), 0x7f000000, 0xffffffc0, 1);
	check_judged(all, ARRAY_SIZE(all), 0x7f000000, 0xff000000, 0);
}

/* ---- limits ---- */

static struct wire_rule to_address(uint32_t i)
{
	struct wire_rule rule = { .action = RULES_DROP, .family = 4, .bits = 128 };
	const uint8_t address[16] = { [10] = 0xff,	 0xff,	    10, (uint8_t)(i >> 16),
				      (uint8_t)(i >> 8), (uint8_t)i };

	memcpy(rule.remote, address, sizeof(address));
	return rule;
}

static int find_address(const struct rules *rules, uint32_t i, struct rules_answer *ret_answer)
{
	struct wire_rule rule = to_address(i);
	struct rules_question question = { .exe = "/bin/a", .remote_port = 443 };

	memcpy(question.remote, rule.remote, sizeof(question.remote));
	return rules_find(rules, &question, ret_answer);
}

static void test_as_many_rules_as_may_be(void **state)
{
	struct rules_answer answer;
	struct rules *rules;
	const char *problem;
	struct wire_rule rule;

	assert_int_equal(rules_new(1, &rules), 0);
	for (uint32_t i = 0; i < WIRE_RULES_MAX; i++) {
		rule = to_address(i);
		assert_int_equal(rules_add(rules, &rule, &problem), 0);
	}
	rule = to_address(WIRE_RULES_MAX);
	assert_int_equal(rules_add(rules, &rule, &problem), -E2BIG);
	assert_string_equal(problem, "more than 65536 rules");
	for (uint32_t i = 0; i < WIRE_RULES_MAX; i += 101) {
		assert_int_equal(find_address(rules, i, &answer), 0);
		assert_int_equal(answer.number, i + 1);
	}
	assert_int_equal(find_address(rules, WIRE_RULES_MAX, &answer), RULES_E_ASK);
	rules_free(rules);
}

static void test_as_much_text_as_may_be(void **state)
{
	struct wire_rule rule = { .action = RULES_ALLOW, .exe = "/" };
	struct rules *rules;
	const char *problem;
	uint32_t n = 0;
	int r;

	assert_int_equal(rules_new(1, &rules), 0);
	memset(rule.exe + 1, 'x', sizeof(rule.exe) - 2);
	do {
		snprintf(rule.exe + 1, 9, "%08u", n++);
		rule.exe[9] = 'x';
		r = rules_add(rules, &rule, &problem);
	} while (r == 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(rules_count(rules), n - 1);
	snprintf(rule.exe, sizeof(rule.exe), "/b"); /* what is short still fits */
	assert_int_equal(rules_add(rules, &rule, &problem), 0);
	rules_free(rules);
}

/* ---- what cannot be ---- */

#define PART_16 "0123456789abcdef"
#define PART_64 PART_16 PART_16 PART_16 PART_16

static void check_problem(struct wire_rule rule, const char *text)
{
	const char *problem;
	struct rules *rules;

	assert_int_equal(rules_new(1, &rules), 0);
	assert_int_equal(rules_add(rules, &rule, &problem), -EINVAL);
	assert_non_null(strstr(problem, text));
	assert_int_equal(rules_count(rules), 0);
	rules_free(rules);
}

static void test_bad_rules(void **state)
{
	struct wire_rule rule = to_address(1);

	rule.bits = 120;
	check_problem(rule, "behind its prefix");
	rule = to_address(1);
	rule.family = 6;
	check_problem(rule, "not of IPv6");
	rule.family = 5;
	check_problem(rule, "neither 4 nor 6");
	rule.family = 0;
	check_problem(rule, "without its family");
	check_problem((struct wire_rule){ .family = 4 }, "not of IPv4");
	check_problem((struct wire_rule){ .rport_last = 5 }, "begins at 1");
	check_problem((struct wire_rule){ .lport = 5, .lport_last = 4 }, "ends before");
	check_problem((struct wire_rule){ .host_kind = 1 }, "empty");
	check_problem((struct wire_rule){ .host = "a" }, "not to be matched");
	check_problem((struct wire_rule){ .host_kind = 2, .host = ".a" }, "part that is empty");
	check_problem((struct wire_rule){ .host_kind = 2, .host = "a..b" }, "part that is empty");
	check_problem((struct wire_rule){ .host_kind = 1, .host = "\xc3\xa4.de" }, "punycode");
	check_problem((struct wire_rule){ .host_kind = 2, .host = "*.a" }, "all below it");
	check_problem((struct wire_rule){ .host_kind = 1, .host = "a:443" }, "no name has");
	check_problem((struct wire_rule){ .host_kind = 1, .host = "192.0.2.1" }, "an address");
	check_problem((struct wire_rule){ .host_kind = 1, .host = PART_64 ".a" }, "63 bytes");
	check_problem((struct wire_rule){ .exe = "curl" }, "does not begin with /");
}

/* ---- equality ---- */

static struct rules *two_rules(uint64_t seed, const char *reason)
{
	struct wire_rule rule = to_address(1);
	struct rules *rules;
	const char *problem;

	assert_int_equal(rules_new(seed, &rules), 0);
	assert_int_equal(rules_add(rules, &rule, &problem), 0);
	snprintf(rule.reason, sizeof(rule.reason), "%s", reason);
	assert_int_equal(rules_add(rules, &rule, &problem), 0);
	return rules;
}

/* what is asked for is what was given */
static void test_rules_are_read_back(void **state)
{
	static const struct wire_rule given = { .action = RULES_DROP_SILENT,
						.direction = 2,
						.protocol = 17,
						.family = 4,
						.bits = 120,
						.remote = { [10] = 0xff, 0xff, 192, 0, 2 },
						.host_kind = 2,
						.has_uid = 1,
						.uid = 7,
						.rport = 1,
						.rport_last = 9,
						.lport = 53,
						.lport_last = 53,
						.lfamily = 6,
						.lbits = 128,
						.local = { 0x20, 1, [15] = 1 },
						.host = "ads.example",
						.exe = "/bin/a",
						.interface = "eth0",
						.cgroup = "/a",
						.reason = "why" };
	const struct wire_rule any = { .action = RULES_ALLOW };
	struct wire_rule got;
	struct rules *rules;
	const char *problem;

	assert_int_equal(rules_new(1, &rules), 0);
	assert_false(rules_get(NULL, 1, &got));
	assert_int_equal(rules_otherwise(NULL), RULES_ASK);
	assert_int_equal(rules_add(rules, &any, &problem), 0);
	assert_int_equal(rules_add(rules, &given, &problem), 0);
	rules_set_otherwise(rules, RULES_DROP);
	assert_int_equal(rules_otherwise(rules), RULES_DROP);
	assert_false(rules_get(rules, 0, &got));
	assert_false(rules_get(rules, 3, &got));
	assert_true(rules_get(rules, 1, &got));
	assert_memory_equal(&got, &any, sizeof(got));
	assert_true(rules_get(rules, 2, &got));
	assert_memory_equal(&got, &given, sizeof(got));
	rules_free(rules);
}

static void test_equal_lists(void **state)
{
	struct rules *a = two_rules(1, "x"), *b = two_rules(2, "x"), *c = two_rules(1, "y");

	assert_true(rules_are_equal(a, b));
	assert_false(rules_are_equal(a, c));
	assert_false(rules_are_equal(a, NULL));
	rules_set_otherwise(b, RULES_DROP);
	assert_false(rules_are_equal(a, b));
	rules_free(a);
	rules_free(b);
	rules_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_of_loopback_is_judged),
		cmocka_unit_test(test_random_lists_say_what_the_oracle_says),
		cmocka_unit_test(test_as_many_rules_as_may_be),
		cmocka_unit_test(test_as_much_text_as_may_be),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_rules_are_read_back),
		cmocka_unit_test(test_equal_lists),
	};

	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
