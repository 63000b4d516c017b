/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every allocation fails once while a proxy has flows
 *
 * As test-daemon-memory-out.c. Whatever fails: nothing leaks, nothing goes out that must not, of each
 * flow that it takes the proxy hears in the end, and when there is memory again it is asked as ever.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc-lab.h"
#include "base/macros.h"
#include "divert-story.h"
#include "running-lab.h"

#define ALLOCATIONS_MAX 5000U

static void begin(struct lab *lab)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = HELLO_PROXY };

	if (alloc_say(lab, WIRE_HELLO, &hello, NULL, 0))
		(void)alloc_say(lab, WIRE_READY, &(struct wire_ready){ 0 }, NULL, 0);
}

static void check_normal(struct lab *lab)
{
	struct lab_packet packet = tcp6;
	int program;

	packet.uid = 77;
	divert_open_flow(lab, 0, &packet);
	program = divert_connect(lab, &packet);
	assert_non_null(lab_take(lab, 0, WIRE_FLOW_SOCKET));
	close(program);
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	struct lab *lab = divert_story_lab();
	struct divert_story story = { .lab = lab, .say = alloc_say };

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	alloc_fail(nth, is_always);
	divert_story_tell(&story);
	alloc_bring_back(lab, begin);
	divert_story_check(&story);
	check_normal(lab);
	lab_free(lab);
	return alloc_has_failed();
}

static void test_one_fails(void **state)
{
	alloc_tell_each(tell, NULL, false, 1, 10, ALLOCATIONS_MAX);
}

static void test_all_fail_from_one_on(void **state)
{
	alloc_tell_each(tell, NULL, true, 1, 10, ALLOCATIONS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail_from_one_on),
	};

	return cmocka_run_group_tests_name("daemon-divert-memory-out", tests, NULL, NULL);
}
