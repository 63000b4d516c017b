/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: the end of a session, and sluice_filter_main() */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "filter-lab.h"

static void test_a_stop_ends_the_session(void **state)
{
	struct seen *seen = *state;

	filter_start(seen, &filter_full_ops);
	filter_send_stop(seen);
	assert_int_equal(filter_process(seen), -ESHUTDOWN);
	assert_int_equal(seen->n_stops, 1);
	assert_int_equal(seen->answer_returned, -ESHUTDOWN);
	assert_int_equal(((const struct wire_stopped *)filter_expect(seen, WIRE_STOPPED))->error,
			 0);
	assert_int_equal(filter_process(seen), -ESHUTDOWN);
	assert_int_equal(sluice_filter_answer(seen->filter, 1, SLUICE_DROP, NULL), -ESHUTDOWN);
	assert_int_equal(filter_receive(seen), -EAGAIN);
}

static void test_a_stop_drops_answers_and_waits_for_its_own(void **state)
{
	struct seen *seen = *state;
	uint64_t n_sent;

	filter_start(seen, &filter_full_ops);
	n_sent = filter_fill_channel(seen);
	filter_send_stop(seen);
	assert_int_equal(filter_process(seen), 0); /* STOPPED has not left yet */
	assert_int_equal(seen->n_stops, 1);
	for (uint64_t i = 0; i < n_sent; i++)
		filter_expect(seen, WIRE_FLOW_VERDICT);
	assert_int_equal(filter_process(seen), -ESHUTDOWN);
	filter_expect(seen, WIRE_STOPPED);
}

static void test_a_vanished_daemon_is_epipe(void **state)
{
	struct seen *seen = *state;

	filter_start(seen, &filter_full_ops);
	seen->daemon = close_fd(seen->daemon);
	assert_int_equal(sluice_filter_answer(seen->filter, 1, SLUICE_ALLOW, NULL), 0);
	assert_int_equal(filter_process(seen), -EPIPE);
	assert_string_equal(sluice_filter_error(seen->filter), "the daemon went away");
	assert_int_equal(filter_process(seen), -EPIPE);
}

static void test_a_stop_counts_though_the_daemon_has_gone(void **state)
{
	struct seen *seen = *state;

	filter_start(seen, &filter_full_ops);
	filter_send_stop(seen);
	seen->daemon = close_fd(seen->daemon);
	assert_int_equal(sluice_filter_answer(seen->filter, 1, SLUICE_ALLOW, NULL), 0);
	assert_int_equal(filter_process(seen), -ESHUTDOWN);
}

/* runs sluice_filter_main() on descriptor 3 as it is. Return: exit status; @text: its stderr */
static int run_main(struct seen *seen, char *text, size_t n_text)
{
	int pipe_fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close_fd(seen->daemon);
		dup2(pipe_fds[1], STDERR_FILENO);
		_exit(sluice_filter_main(&filter_full_ops, seen));
	}
	close(pipe_fds[1]);
	close(CHANNEL_FD);
	n = read(pipe_fds[0], text, n_text - 1);
	text[n > 0 ? n : 0] = '\0';
	close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_main_ends_well_after_a_stop(void **state)
{
	struct seen *seen = *state;
	char text[512];

	filter_send_welcome(seen);
	filter_send_start(seen);
	filter_send_stop(seen);
	assert_int_equal(run_main(seen, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	filter_expect(seen, WIRE_HELLO);
	filter_expect(seen, WIRE_READY);
	filter_expect(seen, WIRE_STOPPED);
}

static void test_main_says_how_to_run_it(void **state)
{
	struct seen *seen = *state;
	char text[512];

	/* not closed, or run_main()'s pipe would lie there */
	assert_int_equal(dup2(STDIN_FILENO, CHANNEL_FD), CHANNEL_FD);
	assert_int_equal(run_main(seen, text, sizeof(text)), 1);
	assert_non_null(strstr(text, "test-filter: not started by Sluice: run it with `sluice run "
				     "--filter "));
	assert_non_null(strstr(text, " -- COMMAND`\n"));
}

static void test_main_says_that_the_daemon_went(void **state)
{
	struct seen *seen = *state;
	char text[512];

	seen->daemon = close_fd(seen->daemon);
	assert_int_equal(run_main(seen, text, sizeof(text)), 1);
	assert_string_equal(text, "test-filter: the daemon went away\n");
}

static void test_main_leaves_a_refusal_to_the_daemon(void **state)
{
	struct seen *seen = *state;
	char text[512];

	seen->start_returns = -EINVAL;
	filter_send_welcome(seen);
	filter_send_start(seen);
	filter_send_stop(seen);
	assert_int_equal(run_main(seen, text, sizeof(text)), 1);
	assert_string_equal(text, "");
	filter_expect(seen, WIRE_HELLO);
	assert_int_equal(((const struct wire_ready *)filter_expect(seen, WIRE_READY))->error,
			 EINVAL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, filter_set_up, filter_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_stop_ends_the_session),
		TEST(test_a_stop_drops_answers_and_waits_for_its_own),
		TEST(test_a_vanished_daemon_is_epipe),
		TEST(test_a_stop_counts_though_the_daemon_has_gone),
		TEST(test_main_ends_well_after_a_stop),
		TEST(test_main_says_how_to_run_it),
		TEST(test_main_says_that_the_daemon_went),
		TEST(test_main_leaves_a_refusal_to_the_daemon),
	};

	return cmocka_run_group_tests_name("filter-end", tests, NULL, NULL);
}
