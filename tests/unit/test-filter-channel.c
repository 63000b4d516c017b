/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: a full channel, records out of turn, lines for the log */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

#include "filter-lab.h"

static void test_answers_wait_for_a_full_channel(void **state)
{
	struct seen *seen = *state;
	uint64_t n_sent, n_all, n = 0;
	int r = 0;

	filter_start(seen, &filter_full_ops);
	n_sent = filter_fill_channel(seen);
	for (n_all = n_sent + 1; r == 0; n_all++)
		r = sluice_filter_answer(seen->filter, n_all, SLUICE_ALLOW, "");
	n_all--;
	assert_int_equal(r, -ENOBUFS);
	assert_int_equal(n_all - n_sent, 4096);
	/* nothing more is read before there is a place for answers */
	assert_int_equal(sluice_filter_get_events(seen->filter), POLLOUT);

	while (n < n_all) {
		while (filter_receive(seen) == 0)
			assert_int_equal(WIRE_BODY(&seen->message, struct wire_flow_verdict)->id,
					 n++);
		assert_int_equal(filter_process(seen), 0);
	}
	assert_int_equal(filter_receive(seen), -EAGAIN);
	assert_int_equal(sluice_filter_get_events(seen->filter), POLLIN);
}

/* a daemon that does not read: the filter stops taking flows, and loses none */
static void test_answering_in_the_callback_never_overflows(void **state)
{
	struct seen *seen = *state;
	uint64_t n_sent = 0, n = 0;

	seen->is_answering = true;
	filter_start(seen, &filter_full_ops);
	while (n_sent < 20000 && sluice_filter_get_events(seen->filter) & POLLIN) {
		while (filter_send_flow(seen, n_sent) == 0)
			n_sent++;
		assert_int_equal(filter_process(seen), 0);
	}
	assert_false(sluice_filter_get_events(seen->filter) & POLLIN);
	while (n < n_sent) {
		while (filter_receive(seen) == 0)
			assert_int_equal(WIRE_BODY(&seen->message, struct wire_flow_verdict)->id,
					 n++);
		assert_int_equal(filter_process(seen), 0);
	}
	assert_int_equal(seen->n_flows, n_sent);
	assert_int_equal(seen->answer_returned, 0);
}

/* READY may not be overtaken by verdicts, however many lines the filter logs */
static void test_ready_waits_its_turn(void **state)
{
	struct seen *seen = *state;
	unsigned int n_logs = 0;

	seen->is_logging_at_start = true;
	filter_begin(seen, &filter_full_ops);
	filter_send_welcome(seen);
	filter_send_start(seen);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(sluice_filter_answer(seen->filter, 1, SLUICE_DROP, NULL), 0);
	while (filter_receive(seen) == 0) {
		assert_int_equal(seen->message.record->type, WIRE_LOG);
		n_logs++;
	}
	assert_in_range(n_logs, 10, 19999);
	assert_int_equal(filter_process(seen), 0);
	filter_expect(seen, WIRE_READY);
	filter_expect(seen, WIRE_FLOW_VERDICT);
}

static void expect_eproto(struct seen *seen, const char *text)
{
	assert_int_equal(filter_process(seen), -EPROTO);
	assert_string_equal(sluice_filter_error(seen->filter), text);
	assert_int_equal(filter_process(seen), -EPROTO);
}

static void test_a_flow_before_the_start_is_eproto(void **state)
{
	struct seen *seen = *state;

	filter_begin(seen, &filter_full_ops);
	filter_send_welcome(seen);
	assert_int_equal(filter_send_flow(seen, 1), 0);
	expect_eproto(seen, "the daemon broke the protocol: FLOW_NEW: not expected now");
	assert_int_equal(seen->n_flows, 0);
}

static void test_a_second_start_is_eproto(void **state)
{
	struct seen *seen = *state;

	filter_start(seen, &filter_full_ops);
	filter_send_start(seen);
	expect_eproto(seen, "the daemon broke the protocol: START: not expected now");
	assert_int_equal(seen->n_starts, 1);
}

static void test_another_version_is_eproto(void **state)
{
	struct wire_welcome welcome = { .version = 2 };
	struct seen *seen = *state;

	filter_begin(seen, &filter_full_ops);
	filter_send_record(seen, WIRE_WELCOME, &welcome);
	expect_eproto(seen, "the daemon broke the protocol: WELCOME: a version that this library "
			    "cannot speak");
}

static void test_a_malformed_record_is_eproto(void **state)
{
	uint8_t bytes[8] = { 0xff, 0xff };
	struct seen *seen = *state;

	filter_begin(seen, &filter_full_ops);
	assert_int_equal(channel_send_raw(seen->daemon, bytes, sizeof(bytes), -1), 0);
	expect_eproto(seen, "the daemon broke the protocol: a record: type unknown or not for "
			    "this direction");
}

static void test_a_record_of_a_provider_is_eproto(void **state)
{
	struct seen *seen = *state;

	filter_begin(seen, &filter_full_ops);
	filter_send_record(seen, WIRE_PONG, &(struct wire_pong){ .token = 1 });
	assert_int_equal(filter_process(seen), -EPROTO);
}

static void test_log_lines_are_sent_and_cut(void **state)
{
	const struct wire_log *line;
	struct seen *seen = *state;
	char text[600];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	filter_begin(seen, &filter_full_ops);
	sluice_filter_log(seen->filter, LOG_NOTICE, "%d names", 3);
	line = filter_expect(seen, WIRE_LOG);
	assert_int_equal(line->level, LOG_NOTICE);
	assert_string_equal(line->text, "3 names");
	sluice_filter_log(seen->filter, 99, "%s", text);
	line = filter_expect(seen, WIRE_LOG);
	assert_int_equal(line->level, LOG_DEBUG);
	assert_int_equal(strlen(line->text), 511);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, filter_set_up, filter_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answers_wait_for_a_full_channel),
		TEST(test_answering_in_the_callback_never_overflows),
		TEST(test_ready_waits_its_turn),
		TEST(test_a_flow_before_the_start_is_eproto),
		TEST(test_a_second_start_is_eproto),
		TEST(test_another_version_is_eproto),
		TEST(test_a_malformed_record_is_eproto),
		TEST(test_a_record_of_a_provider_is_eproto),
		TEST(test_log_lines_are_sent_and_cut),
	};

	return cmocka_run_group_tests_name("filter-channel", tests, NULL, NULL);
}
