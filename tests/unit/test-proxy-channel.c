/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: a proxy's channel: full, gone, and records that must not come */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy-lab.h"

static void expect_eproto(struct proxied *proxied, const char *text)
{
	assert_int_equal(proxy_process(proxied), -EPROTO);
	assert_string_equal(sluice_proxy_error(proxied->proxy), text);
	assert_int_equal(proxy_process(proxied), -EPROTO);
	assert_int_equal(proxied->n_opened + proxied->n_cancelled + proxied->n_ended, 0);
}

/* ---- out of turn ---- */

/* there was no descriptor left for it: the others go on */
static void test_a_connection_that_did_not_come_along(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	proxy_send_socket(proxied, 7, -1);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_opened, 0);
	assert_int_equal(proxied->n_cancelled, 1);
	assert_int_equal(proxied->cancelled, 7);
}

static void test_before_the_start(void **state)
{
	struct proxied *proxied = *state;

	proxy_begin(proxied, &proxy_full_ops);
	filter_send_welcome(proxied->seen);
	proxy_send_cancel(proxied, 7);
	expect_eproto(proxied, "the daemon broke the protocol: FLOW_CANCEL: not expected now");
}

static void test_an_end_before_the_start(void **state)
{
	struct proxied *proxied = *state;

	proxy_begin(proxied, &proxy_full_ops);
	proxy_send_end(proxied, 7, true);
	expect_eproto(proxied, "the daemon broke the protocol: FLOW_END: not expected now");
}

static void test_records_that_are_none(void **state)
{
	uint8_t bytes[8] = { 0xff, 0xff };
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(channel_send_raw(proxied->seen->daemon, bytes, sizeof(bytes), -1), 0);
	expect_eproto(proxied, "the daemon broke the protocol: a record: type unknown or not for "
			       "this direction");
}

static void test_a_record_of_its_own(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(filter_send_with(proxied->seen, WIRE_FLOW_TAKE,
					  &(struct wire_flow_take){ .id = 1 }, -1),
			 0);
	expect_eproto(proxied, "the daemon broke the protocol: a record: type unknown or not for "
			       "this direction");
}

/* a filter gets none of them */
static void check_filter(struct proxied *proxied, uint16_t type, const void *body, int fd,
			 const char *text)
{
	struct seen *seen = proxied->seen;
	unsigned int n_fds;

	filter_start(seen, &filter_full_ops);
	n_fds = proxy_n_fds();
	assert_int_equal(filter_send_with(seen, type, body, fd), 0);
	assert_int_equal(filter_process(seen), -EPROTO);
	assert_string_equal(sluice_filter_error(seen->filter), text);
	assert_int_equal(proxy_n_fds(), n_fds);
}

static void test_a_filter_has_no_connection(void **state)
{
	check_filter(*state, WIRE_FLOW_SOCKET, &(struct wire_flow_socket){ .id = 1 }, 1,
		     "the daemon broke the protocol: FLOW_SOCKET: nobody has asked for it");
}

static void test_a_filter_is_not_cancelled(void **state)
{
	check_filter(*state, WIRE_FLOW_CANCEL, &(struct wire_flow_cancel){ .id = 1 }, -1,
		     "the daemon broke the protocol: FLOW_CANCEL: not for a filter");
}

static void test_a_filter_hears_of_no_end(void **state)
{
	check_filter(*state, WIRE_FLOW_END, &(struct wire_flow_end){ .id = 1 }, -1,
		     "the daemon broke the protocol: FLOW_END: not for a filter");
}

static void test_the_daemon_goes_away(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_false(proxy_is_readable(proxied));
	proxied->seen->daemon = close_fd(proxied->seen->daemon);
	assert_true(proxy_is_readable(proxied));
	assert_int_equal(proxy_process(proxied), -EPIPE);
	assert_string_equal(sluice_proxy_error(proxied->proxy), "the daemon went away");
}

/* ---- full ---- */

/* Return: how many questions about ends wait in the session and its channel */
static uint64_t fill(struct proxied *proxied)
{
	uint64_t n = 0;

	while (sluice_proxy_ask_end(proxied->proxy, n) == 0)
		n++;
	return n;
}

/* everything comes, in order, while the daemon reads and the descriptor says when to go on */
static void test_what_waits_leaves_by_itself(void **state)
{
	struct proxied *proxied = *state;
	uint64_t n, at = 0;

	proxy_start(proxied, &proxy_full_ops);
	n = fill(proxied);
	assert_true(n > 4096);
	assert_int_equal(sluice_proxy_open(proxied->proxy, 1, 0, NULL), -ENOBUFS);
	assert_false(proxy_is_readable(proxied)); /* there is no place */
	while (at < n) {
		assert_int_equal(filter_receive(proxied->seen), 0);
		assert_int_equal(WIRE_BODY(&proxied->seen->message, struct wire_flow_ask_end)->id,
				 at++);
		if (proxy_is_readable(proxied))
			assert_int_equal(proxy_process(proxied), 0);
	}
	proxy_expect_nothing(proxied);
	assert_false(proxy_is_readable(proxied));
}

/* the daemon does not read: a proxy that answers in new_flow sees no -ENOBUFS, nor blocks */
static void test_answering_in_the_callback_never_overflows(void **state)
{
	struct proxied *proxied = *state;
	uint64_t n_sent = 0, n = 0;

	proxied->opens = true;
	proxy_start(proxied, &proxy_full_ops);
	while (n_sent < 20000 && filter_send_flow(proxied->seen, n_sent + 1) == 0) {
		n_sent++;
		assert_int_equal(proxy_process(proxied), 0);
		assert_int_equal(proxied->returned, 0);
	}
	while (n < n_sent) {
		if (filter_receive(proxied->seen) == 0) {
			assert_int_equal(proxied->seen->message.record->type, WIRE_FLOW_OPENED);
			assert_int_equal(
				WIRE_BODY(&proxied->seen->message, struct wire_flow_opened)->id,
				++n);
			continue;
		}
		assert_int_equal(proxy_process(proxied), 0);
		assert_int_equal(proxied->returned, 0);
	}
	assert_int_equal(proxied->n_flows, n_sent);
}

/* ---- no descriptors ---- */

static void test_no_place_for_its_descriptor(void **state)
{
	struct proxied *proxied = *state;
	struct rlimit old, now;
	int pair[2];
	char byte;

	proxy_start(proxied, &proxy_full_ops);
	proxy_tcp_pair(pair);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	now = old;
	proxy_send_socket(proxied, 7, pair[0]);
	close(pair[0]);
	now.rlim_cur = (rlim_t)dup(0);
	close((int)now.rlim_cur);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(proxied->n_opened, 0);
	assert_int_equal(proxied->n_cancelled, 1);
	assert_int_equal(proxied->cancelled, 7);
	assert_int_equal(recv(pair[1], &byte, 1, 0), -1); /* a reset */
	close(pair[1]);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, proxy_set_up, proxy_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_connection_that_did_not_come_along),
		TEST(test_before_the_start),
		TEST(test_an_end_before_the_start),
		TEST(test_records_that_are_none),
		TEST(test_a_record_of_its_own),
		TEST(test_a_filter_has_no_connection),
		TEST(test_a_filter_is_not_cancelled),
		TEST(test_a_filter_hears_of_no_end),
		TEST(test_the_daemon_goes_away),
		TEST(test_what_waits_leaves_by_itself),
		TEST(test_answering_in_the_callback_never_overflows),
		TEST(test_no_place_for_its_descriptor),
	};

	return cmocka_run_group_tests_name("proxy-channel", tests, NULL, NULL);
}
