/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Lists that filters tell of, and their hits
 *
 * Judged by the filter or from memory: what flow records show is what is counted.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "control/json-message.h"
#include "daemon-lab-memory.h"

static void tell(struct lab *lab, uint16_t number, const char *name, const char *reason,
		 uint32_t names)
{
	struct wire_list list = { .number = number, .names = names, .loaded = 1700000000 };

	strncpy(list.name, name, sizeof(list.name) - 1);
	strncpy(list.reason, reason, sizeof(list.reason) - 1);
	lab_say(lab, 0, WIRE_LIST, &list);
}

/* Return: the flow */
static uint64_t judge(struct lab *lab, const struct lab_packet *packet, uint8_t verdict,
		      uint8_t scope, const char *reason)
{
	struct wire_flow_verdict answer = { .verdict = verdict, .scope = scope };

	lab_put(lab, packet);
	answer.id = lab_take_flow(lab, 0);
	assert_int_not_equal(answer.id, 0);
	strncpy(answer.reason, reason, sizeof(answer.reason) - 1);
	lab_say(lab, 0, WIRE_FLOW_VERDICT, &answer);
	return answer.id;
}

static struct json_object *lists_of(struct lab *lab)
{
	struct json_object *lists = NULL;

	assert_int_equal(lists_get(lab->daemon, &lists), 0);
	return lists;
}

/* @place: among those that are known */
static int64_t number_of(struct lab *lab, size_t place, const char *key)
{
	_cleanup_json_ struct json_object *lists = lists_of(lab);
	struct json_object *list = json_object_array_get_idx(lists, place);

	return json_object_get_int64(json_object_object_get(list, key));
}

static void test_hits_are_reasons(void **state)
{
	struct lab *lab = *state;

	tell(lab, 0, "/a", "list /a", 1);
	tell(lab, 1, "/ab", "list /ab", 2);
	judge(lab, &tcp, 1, 0, "list /ab line 3: ads.example");
	assert_int_equal(number_of(lab, 0, "hits"), 0);
	assert_int_equal(number_of(lab, 1, "hits"), 1);
	judge(lab, &udp, 0, 0, "list /a line 3: exception ads.example");
	assert_int_equal(number_of(lab, 0, "hits"), 1);
	judge(lab, &tcp6, 0, 0, "list /abc line 3: ads.example");
	assert_int_equal(number_of(lab, 0, "hits"), 1);
	assert_int_equal(number_of(lab, 1, "hits"), 1);
}

static void test_a_flow_that_is_cut_is_a_hit(void **state)
{
	struct wire_flow_update update = { .verdict = 1, .reason = "list /a line 3: ads.example" };
	struct lab *lab = *state;

	tell(lab, 0, "/a", "list /a", 1);
	update.id = judge(lab, &tcp, 0, 0, "not listed");
	assert_int_equal(number_of(lab, 0, "hits"), 0);
	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update);
	assert_int_equal(number_of(lab, 0, "hits"), 1);
}

static void test_a_reason_may_begin_as_another_does(void **state)
{
	struct lab *lab = *state;

	tell(lab, 0, "a", "list a", 1);
	tell(lab, 1, "a b", "list a b", 1);
	judge(lab, &tcp, 1, 0, "list a b line 3: ads.example");
	assert_int_equal(number_of(lab, 0, "hits"), 0);
	assert_int_equal(number_of(lab, 1, "hits"), 1);
}

static void test_what_memory_answers_is_a_hit(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	tell(lab, 0, "/a", "list /a", 1);
	judge(lab, &tcp, 1, MEMORY_ADDRESS, "list /a line 3: ads.example");
	packet = memory_connect(lab, &tcp_again);
	assert_int_equal(lab_take_flow(lab, 0), 0); /* it is not asked */
	assert_int_not_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(number_of(lab, 0, "hits"), 2);
}

static void test_a_new_version_keeps_its_hits(void **state)
{
	struct lab *lab = *state;

	tell(lab, 0, "/a", "list /a", 1);
	judge(lab, &tcp, 1, 0, "list /a line 3: ads.example");
	tell(lab, 0, "/a", "list /a", 5);
	assert_int_equal(number_of(lab, 0, "names"), 5);
	assert_int_equal(number_of(lab, 0, "hits"), 1);
	/* another list by the same number has none */
	tell(lab, 0, "/b", "list /b", 5);
	assert_int_equal(number_of(lab, 0, "hits"), 0);
}

static void test_numbers_may_leave_gaps(void **state)
{
	struct lab *lab = *state;
	_cleanup_json_ struct json_object *lists = NULL;

	tell(lab, 255, "/last", "list /last", 1);
	tell(lab, 3, "/three", "", 1);
	lists = lists_of(lab);
	assert_int_equal(json_object_array_length(lists), 2);
	judge(lab, &tcp, 1, 0, " of nothing"); /* begins as an empty reason does */
	assert_int_equal(number_of(lab, 0, "hits"), 0);
	assert_int_equal(number_of(lab, 1, "hits"), 0);
}

static void test_only_kinds_that_are_there_are_shown(void **state)
{
	struct lab *lab = *state;
	struct wire_list list = { .name = "/a",
				  .reason = "list /a",
				  .unusable = 7,
				  .character = 1,
				  .cosmetic = 4,
				  .zone = 2 };
	_cleanup_json_ struct json_object *lists = NULL;
	struct json_object *kinds;

	lab_say(lab, 0, WIRE_LIST, &list);
	lists = lists_of(lab);
	kinds = json_object_object_get(json_object_array_get_idx(lists, 0), "kinds");
	assert_string_equal(json_object_to_json_string_ext(kinds, JSON_C_TO_STRING_PLAIN),
			    "{\"character\":1,\"cosmetic\":4,\"zone\":2}");
}

static void restart(struct lab *lab)
{
	lab_end_filter(lab, 0);
	while (lab->filters[0].sock < 0)
		lab_pass(lab, TICK_US);
	lab_run_filter(lab, 0);
	lab_pass(lab, TICK_US);
	lab_pass(lab, TICK_US);
}

/* nobody knows whether it read another version at its start */
static void test_a_filter_with_lists_judges_again_after_its_death(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	tell(lab, 0, "/a", "list /a", 1);
	id = judge(lab, &tcp, 0, 0, "not listed");
	restart(lab);
	assert_int_equal(lab_take_flow(lab, 0), id);
	lab_judge(lab, 0, id, 1);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
}

static void test_one_without_lists_does_not(void **state)
{
	struct lab *lab = *state;

	judge(lab, &tcp, 0, 0, "fine");
	restart(lab);
	assert_int_equal(lab_take_flow(lab, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hits_are_reasons, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_flow_that_is_cut_is_a_hit, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_reason_may_begin_as_another_does,
						running_one, running_tear_down),
		cmocka_unit_test_setup_teardown(test_what_memory_answers_is_a_hit, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_new_version_keeps_its_hits, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_numbers_may_leave_gaps, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_only_kinds_that_are_there_are_shown,
						running_one, running_tear_down),
		cmocka_unit_test_setup_teardown(
			test_a_filter_with_lists_judges_again_after_its_death, running_one,
			running_tear_down),
		cmocka_unit_test_setup_teardown(test_one_without_lists_does_not, running_one,
						running_tear_down),
	};

	return cmocka_run_group_tests_name("daemon-lists", tests, NULL, NULL);
}
