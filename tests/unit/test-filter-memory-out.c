/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: libsluice: every allocation fails once
 *
 * The life of a filter that gives rules is told again and again, and in its nth telling the nth
 * allocation fails, until a telling has fewer; then again with all behind the nth failing as
 * well. Whatever fails: the filter hears -ENOMEM, the daemon never gets a part of a set
 * for a whole one, and what was in force before stays in force.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "alloc.h"
#include "filter-lab.h"

#define RULES 1000U	/* several times as much memory as at the beginning */
#define TELLINGS_MAX 50 /* a story with more of them does not end */

static unsigned int n_rules = RULES;

struct story {
	struct seen *seen;
	int given; /* what give() returned last */
};

static int try_rules(struct sluice_filter *filter)
{
	struct sluice_rule rule = { .size = sizeof(rule),
				    .domain = "example.",
				    .remote_address = "192.0.2.0/24",
				    .reason = "because",
				    .has_uid = true };
	int r = sluice_filter_rules_begin(filter);

	for (; rule.uid < n_rules && r == 0; rule.uid++)
		r = sluice_filter_rule(filter, &rule);
	/* whether the filter looks at what it was told or not */
	assert_int_equal(sluice_filter_rules_commit(filter, SLUICE_RULE_DROP), r);
	return r;
}

static int give(struct sluice_filter *filter)
{
	int r;

	alloc_enter();
	r = try_rules(filter);
	alloc_leave();
	if (r < 0) {
		assert_int_equal(r, -ENOMEM);
		assert_true(alloc_has_failed());
		assert_non_null(strstr(sluice_filter_error(filter), "no memory"));
	}
	return r;
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct story *story = data;

	story->given = give(filter);
	return story->given;
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	assert_int_equal(sluice_filter_answer(filter, flow->id, SLUICE_DROP, "no"), 0);
}

static const struct sluice_filter_ops ops = {
	.size = sizeof(ops), .name = "rules", .start = on_start, .new_flow = on_flow
};

static int process(struct seen *seen)
{
	int r;

	alloc_enter();
	r = filter_process(seen);
	alloc_leave();
	return r;
}

static uint16_t next(struct seen *seen)
{
	while (filter_receive(seen) == -EAGAIN)
		assert_int_equal(process(seen), 0);
	return seen->message.record->type;
}

static void expect_set(struct seen *seen)
{
	assert_int_equal(next(seen), WIRE_RULES_BEGIN);
	for (unsigned int i = 0; i < n_rules; i++) {
		assert_int_equal(next(seen), WIRE_RULE);
		assert_int_equal(WIRE_BODY(&seen->message, struct wire_rule)->uid, i);
	}
	assert_int_equal(next(seen), WIRE_RULES_COMMIT);
}

/* Return: does it run? */
static bool tell_start(struct story *story)
{
	struct seen *seen = story->seen;
	const struct wire_ready *ready;

	filter_send_welcome(seen);
	filter_send_start(seen);
	assert_int_equal(process(seen), 0);
	if (story->given == 0)
		expect_set(seen);
	assert_int_equal(next(seen), WIRE_READY);
	ready = WIRE_BODY(&seen->message, struct wire_ready);
	assert_int_equal(ready->error, -story->given);
	if (story->given < 0)
		assert_non_null(strstr(ready->text, "no memory"));
	return story->given == 0;
}

/* a set that cannot be made is not sent, nor any part of it; the next one is */
static void tell_more(struct story *story)
{
	struct seen *seen = story->seen;

	if (give(seen->filter) < 0) {
		assert_int_equal(process(seen), 0);
		assert_int_equal(filter_receive(seen), -EAGAIN);
		alloc_forgive();
		assert_int_equal(give(seen->filter), 0);
	}
	expect_set(seen);
	assert_int_equal(filter_receive(seen), -EAGAIN);
}

static void tell_end(struct story *story)
{
	struct seen *seen = story->seen;

	filter_send_stop(seen);
	assert_int_equal(process(seen), -ESHUTDOWN);
	assert_int_equal(next(seen), WIRE_STOPPED);
}

/* Return: has an allocation failed? */
static bool tell(unsigned int nth, bool is_always, void *data)
{
	struct story story;
	void *state;
	int r;

	alloc_forgive();
	assert_int_equal(filter_set_up(&state), 0);
	story = (struct story){ .seen = state };
	alloc_fail(nth, is_always);
	alloc_enter();
	r = sluice_filter_new(&ops, &story, &story.seen->filter);
	alloc_leave();
	if (r < 0) {
		assert_int_equal(r, -ENOMEM);
		assert_null(story.seen->filter);
	} else {
		assert_int_equal(next(story.seen), WIRE_HELLO);
		if (tell_start(&story))
			tell_more(&story);
		tell_end(&story);
	}
	alloc_forgive();
	filter_tear_down(&state);
	return alloc_has_failed();
}

static void test_one_fails(void **state)
{
	alloc_tell_each(tell, NULL, false, 1, 9, TELLINGS_MAX);
}

static void test_all_fail(void **state)
{
	alloc_tell_each(tell, NULL, true, 1, 9, TELLINGS_MAX);
}

/* ---- the kernel's memory ---- */

static unsigned int sends_left; /* 1: the next one fails */

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (fd != CHANNEL_FD || !sends_left || --sends_left)
		return __real_sendmsg(fd, message, flags);
	errno = ENOBUFS;
	return -1;
}

static void expect_verdict(struct seen *seen, uint64_t id)
{
	assert_int_equal(next(seen), WIRE_FLOW_VERDICT);
	assert_int_equal(WIRE_BODY(&seen->message, struct wire_flow_verdict)->id, id);
}

/* whatever is sent: it leaves a little later, whole and in order */
static void test_the_kernel_has_no_memory(void **state)
{
	n_rules = 30;
	for (unsigned int nth = 1; nth < n_rules + 10; nth++) {
		struct story story;
		void *seen;

		alloc_forgive();
		sends_left = 0;
		assert_int_equal(filter_set_up(&seen), 0);
		story = (struct story){ .seen = seen };
		assert_int_equal(sluice_filter_new(&ops, &story, &story.seen->filter), 0);
		assert_int_equal(next(seen), WIRE_HELLO);
		sends_left = nth;
		assert_true(tell_start(&story));
		assert_int_equal(filter_send_flow(seen, 7), 0);
		assert_int_equal(filter_send_flow(seen, 8), 0);
		expect_verdict(seen, 7);
		expect_verdict(seen, 8);
		tell_end(&story);
		filter_tear_down(&seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail),
		cmocka_unit_test(test_the_kernel_has_no_memory),
	};

	return cmocka_run_group_tests_name("filter-memory-out", tests, NULL, NULL);
}
