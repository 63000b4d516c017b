/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: a proxy's flow connected with another socket, over 127.0.0.1 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy-lab.h"

#define FLOW 7U

/* one whose connection stands on both sides: the ends that program and upstream have */
struct ends {
	int program, upstream, listener;
};

/* until its descriptor has said so, once. Nothing is awaited that does not come */
static void work(struct proxied *proxied)
{
	struct pollfd pollfd = { .fd = sluice_proxy_get_fd(proxied->proxy), .events = POLLIN };

	assert_int_equal(poll(&pollfd, 1, 20000), 1);
	assert_int_equal(proxy_process(proxied), 0);
}

static int accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Return: the listener that a flow is forwarded to. It is near: that is said at once, and no TAKE */
static int forward_to_listener(struct proxied *proxied)
{
	uint16_t port;
	int listener = proxy_listen(8, &port);

	proxied->upstream = proxy_connect(port);
	proxy_ask(proxied, FLOW);
	return listener;
}

static void expect_reached(struct proxied *proxied)
{
	proxy_expect_opened(proxied, FLOW, 0);
	assert_string_equal(WIRE_BODY(&proxied->seen->message, struct wire_flow_opened)->reason,
			    "forwarded");
}

static struct ends forward(struct proxied *proxied)
{
	struct ends ends;
	int pair[2];

	proxy_start(proxied, &proxy_full_ops);
	ends.listener = forward_to_listener(proxied);
	ends.upstream = accept_one(ends.listener);
	expect_reached(proxied);
	proxy_tcp_pair(pair);
	proxy_send_socket(proxied, FLOW, pair[0]);
	close(pair[0]);
	ends.program = pair[1];
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_opened, 0);
	return ends;
}

static void close_ends(struct ends *ends)
{
	close_fd(ends->program);
	close_fd(ends->upstream);
	close_fd(ends->listener);
}

/* Return: the bytes, 0 at an end, or a negative errno */
static int receive(struct proxied *proxied, int fd, char *bytes, size_t n)
{
	int r = -EAGAIN;

	while (r == -EAGAIN) {
		r = (int)recv(fd, bytes, n, MSG_DONTWAIT);
		r = r < 0 ? -errno : r;
		if (r == -EAGAIN)
			work(proxied);
	}
	return r;
}

static void check_carries(struct proxied *proxied, int from, int to)
{
	char bytes[8] = "";

	assert_int_equal(send(from, "hello", 5, MSG_NOSIGNAL), 5);
	assert_int_equal(receive(proxied, to, bytes, sizeof(bytes)), 5);
	assert_string_equal(bytes, "hello");
}

/* ---- it is reached ---- */

static void test_bytes_go_both_ways(void **state)
{
	struct proxied *proxied = *state;
	struct ends ends = forward(proxied);

	check_carries(proxied, ends.program, ends.upstream);
	check_carries(proxied, ends.upstream, ends.program);
	close_ends(&ends);
}

/* the program ends what it sends */
static struct ends forward_half(struct proxied *proxied)
{
	struct ends ends = forward(proxied);
	char byte;

	assert_int_equal(shutdown(ends.program, SHUT_WR), 0);
	assert_int_equal(receive(proxied, ends.upstream, &byte, 1), 0);
	return ends;
}

static void test_a_half_close_is_half(void **state)
{
	struct proxied *proxied = *state;
	struct ends ends = forward_half(proxied);
	char byte;

	check_carries(proxied, ends.upstream, ends.program);
	close(TAKE_FD(ends.upstream));
	assert_int_equal(receive(proxied, ends.program, &byte, 1), 0);
	close_ends(&ends);
	assert_int_equal(proxied->n_ended, 0);
}

static void expect_asked(struct proxied *proxied)
{
	const struct wire_flow_ask_end *asked;

	while (filter_receive(proxied->seen) < 0)
		work(proxied);
	assert_int_equal(proxied->seen->message.record->type, WIRE_FLOW_ASK_END);
	asked = WIRE_BODY(&proxied->seen->message, struct wire_flow_ask_end);
	assert_int_equal(asked->id, FLOW);
}

/* and is asked about, when upstream does not follow: it reads on */
static struct ends forward_asked(struct proxied *proxied)
{
	struct ends ends = forward_half(proxied);

	proxy_expect_nothing(proxied);
	expect_asked(proxied);
	proxy_send_end(proxied, FLOW, false);
	assert_int_equal(proxy_process(proxied), 0);
	return ends;
}

/* the end of a program is asked about once */
static void test_an_end_is_asked_about(void **state)
{
	struct proxied *proxied = *state;
	struct ends ends = forward_asked(proxied);

	check_carries(proxied, ends.upstream, ends.program);
	usleep(20000);
	assert_int_equal(proxy_process(proxied), 0);
	proxy_expect_nothing(proxied);
	close_ends(&ends);
}

/* the program's full close comes behind the half one, and behind the relay: as <sluice/proxy.h> says */
static void test_an_end_of_what_has_ended(void **state)
{
	struct proxied *proxied = *state;
	struct ends ends = forward_asked(proxied);
	char byte;

	close(TAKE_FD(ends.upstream));
	assert_int_equal(receive(proxied, ends.program, &byte, 1), 0);
	assert_int_equal(proxied->n_ended, 0);
	proxy_send_end(proxied, FLOW, true);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_ended, 1);
	assert_int_equal(proxied->end, SLUICE_PROXY_FULL);
	close_ends(&ends);
}

/* and also while upstream reads nothing, so that the end is not read either */
static void test_an_end_behind_what_nobody_reads(void **state)
{
	struct proxied *proxied = *state;
	struct ends ends = forward(proxied);
	char bytes[65536] = "";
	int n_queued = 1;

	while (send(ends.program, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0 ||
	       proxy_is_readable(proxied))
		assert_int_equal(proxy_process(proxied), 0);
	while (n_queued) { /* all of it has reached us, and then its end does */
		(void)!recv(ends.upstream, bytes, sizeof(bytes), MSG_DONTWAIT);
		assert_int_equal(proxy_process(proxied), 0);
		assert_int_equal(ioctl(ends.program, SIOCOUTQ, &n_queued), 0);
	}
	close(TAKE_FD(ends.program));
	expect_asked(proxied);
	close_ends(&ends);
}

/* a program that has closed would let upstream wait for ever, if nobody said so */
static void test_a_full_close_ends_upstream(void **state)
{
	struct proxied *proxied = *state;
	unsigned int n_fds = proxy_n_fds();
	struct ends ends = forward(proxied);
	char byte;

	check_carries(proxied, ends.program, ends.upstream);
	close(TAKE_FD(ends.program));
	assert_int_equal(receive(proxied, ends.upstream, &byte, 1), 0);
	proxy_send_end(proxied, FLOW, true);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_ended, 0); /* it is ours to handle */
	while (send(ends.upstream, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
		if (proxy_is_readable(proxied)) /* nobody is there to read it */
			assert_int_equal(proxy_process(proxied), 0);
	assert_true(errno == EPIPE || errno == ECONNRESET);
	close_ends(&ends);
	proxied->proxy = sluice_proxy_free(proxied->proxy);
	assert_true(proxy_n_fds() <= n_fds);
}

static void check_reset(struct proxied *proxied, int from, int to)
{
	struct linger reset = { .l_onoff = 1 };
	char byte;

	check_carries(proxied, from, to);
	assert_int_equal(setsockopt(from, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(from);
	assert_int_equal(receive(proxied, to, &byte, 1), -ECONNRESET);
}

static void test_a_reset_of_the_program(void **state)
{
	struct ends ends = forward(*state);

	check_reset(*state, ends.program, ends.upstream);
	ends.program = -1;
	close_ends(&ends);
}

static void test_a_reset_of_upstream(void **state)
{
	struct ends ends = forward(*state);

	check_reset(*state, ends.upstream, ends.program);
	ends.upstream = -1;
	close_ends(&ends);
}

/* upstream was connected, and is reset before anybody has looked: connect(2) was no failure. @n: bytes that
 * came before; @has_ended: and their end. Return: what the program is told behind them */
static int reset_at_once(struct proxied *proxied, size_t n, bool has_ended)
{
	struct linger reset = { .l_onoff = 1 };
	char bytes[16] = "";
	int listener, fd, pair[2], r;
	uint16_t port;

	proxy_start(proxied, &proxy_full_ops);
	listener = proxy_listen(8, &port);
	proxied->upstream = proxy_connect(port);
	fd = accept_one(listener);
	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
	if (has_ended)
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(fd);
	proxy_ask(proxied, FLOW);
	expect_reached(proxied);
	proxy_tcp_pair(pair);
	proxy_send_socket(proxied, FLOW, pair[0]);
	close(pair[0]);
	if (n)
		assert_int_equal(receive(proxied, pair[1], bytes, sizeof(bytes)), n);
	r = receive(proxied, pair[1], bytes, sizeof(bytes));
	close(pair[1]);
	close(listener);
	return r;
}

static void test_upstream_is_reset_at_once(void **state)
{
	assert_int_equal(reset_at_once(*state, 0, false), -ECONNRESET);
}

static void test_upstream_is_reset_behind_its_first_bytes(void **state)
{
	assert_int_equal(reset_at_once(*state, 10, false), -ECONNRESET);
}

static void test_upstream_has_ended_and_is_reset(void **state)
{
	assert_int_equal(reset_at_once(*state, 10, true), 0);
}

/* it dies with what it has open: resets, which no program takes for an end */
static void test_the_session_is_freed(void **state)
{
	struct proxied *proxied = *state;
	struct ends ends = forward(proxied);
	char byte;

	check_carries(proxied, ends.program, ends.upstream);
	proxied->proxy = sluice_proxy_free(proxied->proxy);
	assert_int_equal(recv(ends.program, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(recv(ends.upstream, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close_ends(&ends);
}

/* ---- it is not ---- */

static void test_upstream_refuses(void **state)
{
	struct proxied *proxied = *state;
	unsigned int n_fds;
	uint16_t port;

	proxy_start(proxied, &proxy_full_ops);
	n_fds = proxy_n_fds();
	close(proxy_listen(1, &port));
	proxied->upstream = proxy_connect(port);
	proxy_ask(proxied, FLOW);
	proxy_expect_opened(proxied, FLOW, ECONNREFUSED);
	assert_string_equal(WIRE_BODY(&proxied->seen->message, struct wire_flow_opened)->reason,
			    "");
	assert_in_range(proxy_n_fds(), n_fds, n_fds + 3); /* the relays', but not upstream's */
	assert_false(proxy_is_readable(proxied));
}

/* the backlog is full: our SYN is not answered. Return: the listener; @ret_taken: who filled it */
static int begin_slow(struct proxied *proxied, int ret_taken[2])
{
	uint16_t port;
	int listener = proxy_listen(0, &port);

	for (unsigned int i = 0; i < 2; i++)
		ret_taken[i] = proxy_connect(port);
	proxied->upstream = proxy_connect(port);
	proxy_ask_to_take(proxied, FLOW);
	assert_false(proxy_is_readable(proxied));
	return listener;
}

static void test_upstream_is_slow(void **state)
{
	struct proxied *proxied = *state;
	int taken[2], listener;

	proxy_start(proxied, &proxy_full_ops);
	listener = begin_slow(proxied, taken);
	assert_int_equal(proxy_process(proxied), 0); /* which does not wait for it */
	proxy_expect_nothing(proxied);
	for (unsigned int i = 0; i < 2; i++) {
		close(accept_one(listener));
		close(taken[i]);
	}
	work(proxied); /* its SYN is sent again, a second later */
	expect_reached(proxied);
	close(listener);
}

/* ---- it is cancelled ---- */

static void check_cancelled(struct proxied *proxied, unsigned int n_fds)
{
	proxy_send_cancel(proxied, FLOW);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_cancelled, 1);
	assert_int_equal(proxied->cancelled, FLOW);
	assert_int_equal(proxy_n_fds(), n_fds);
	assert_false(proxy_is_readable(proxied));
	proxy_expect_nothing(proxied);
}

static void test_cancelled_while_it_connects(void **state)
{
	struct proxied *proxied = *state;
	int taken[2], listener;

	proxy_start(proxied, &proxy_full_ops);
	listener = begin_slow(proxied, taken);
	check_cancelled(proxied, proxy_n_fds() - 1);
	for (unsigned int i = 0; i < 2; i++)
		close(taken[i]);
	close(listener);
}

static void test_cancelled_when_it_is_reached(void **state)
{
	struct proxied *proxied = *state;
	int listener, upstream;
	char byte;

	proxy_start(proxied, &proxy_full_ops);
	listener = forward_to_listener(proxied);
	upstream = accept_one(listener);
	expect_reached(proxied);
	check_cancelled(proxied, proxy_n_fds() - 1);
	assert_int_equal(recv(upstream, &byte, 1, 0), 0);
	close(upstream);
	close(listener);
}

/* somebody else has the same socket: what the kernel says of it is of no flow */
static void test_cancelled_and_not_closed(void **state)
{
	struct proxied *proxied = *state;
	int taken[2], listener, others;
	unsigned int n_fds;

	proxy_start(proxied, &proxy_full_ops);
	listener = begin_slow(proxied, taken);
	others = dup(taken[1] + 1); /* the one that was made next */
	n_fds = proxy_n_fds();
	check_cancelled(proxied, n_fds - 1);
	assert_int_equal(shutdown(others, SHUT_RDWR), 0);
	assert_false(proxy_is_readable(proxied));
	assert_int_equal(proxy_process(proxied), 0);
	close(others);
	for (unsigned int i = 0; i < 2; i++)
		close(taken[i]);
	close(listener);
}

/* ---- what must not be ---- */

static void expect_eproto(struct proxied *proxied, const char *text)
{
	assert_int_equal(proxy_process(proxied), -EPROTO);
	assert_string_equal(sluice_proxy_error(proxied->proxy), text);
}

static void send_one_more(struct proxied *proxied)
{
	int pair[2];

	proxy_tcp_pair(pair);
	proxy_send_socket(proxied, FLOW, pair[0]);
	close(pair[0]);
	close(pair[1]);
}

static void test_a_second_connection(void **state)
{
	struct proxied *proxied = *state;
	struct ends ends = forward(proxied);

	send_one_more(proxied);
	expect_eproto(proxied,
		      "the daemon broke the protocol: FLOW_SOCKET: nobody has asked for it");
	close_ends(&ends);
}

static void test_a_connection_before_it_is_opened(void **state)
{
	struct proxied *proxied = *state;
	int taken[2], listener;

	proxy_start(proxied, &proxy_full_ops);
	listener = begin_slow(proxied, taken);
	send_one_more(proxied);
	expect_eproto(proxied,
		      "the daemon broke the protocol: FLOW_SOCKET: nobody has asked for it");
	for (unsigned int i = 0; i < 2; i++)
		close(taken[i]);
	close(listener);
}

/* its connection is there: it ends as connections do */
static void test_cancelled_too_late(void **state)
{
	struct proxied *proxied = *state;
	struct ends ends = forward(proxied);

	proxy_send_cancel(proxied, FLOW);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_cancelled, 0);
	check_carries(proxied, ends.program, ends.upstream);
	close_ends(&ends);
}

static void test_ends_of_what_is_not_connected(void **state)
{
	struct proxied *proxied = *state;
	int listener;

	proxy_start(proxied, &proxy_full_ops);
	listener = forward_to_listener(proxied);
	proxy_send_end(proxied, FLOW, true);
	proxy_send_end(proxied, FLOW, false);
	work(proxied);
	assert_int_equal(proxied->n_ended, 0);
	expect_reached(proxied);
	close(listener);
}

static void test_forwarded_twice(void **state)
{
	struct proxied *proxied = *state;
	unsigned int n_fds;
	uint16_t port;
	int listener;

	proxy_start(proxied, &proxy_full_ops);
	listener = forward_to_listener(proxied);
	n_fds = proxy_n_fds();
	close(proxy_listen(1, &port));
	assert_int_equal(
		sluice_proxy_forward(proxied->proxy, FLOW, socket(AF_INET, SOCK_STREAM, 0)),
		-EALREADY);
	assert_int_equal(proxy_n_fds(), n_fds); /* consumed */
	expect_reached(proxied);		/* the first one is not disturbed */
	proxy_expect_nothing(proxied);
	close(listener);
}

static void test_to_what_is_no_socket(void **state)
{
	struct proxied *proxied = *state;

	proxied->upstream = open("/dev/null", O_RDWR | O_CLOEXEC);
	proxy_start(proxied, &proxy_full_ops);
	proxy_ask(proxied, FLOW);
	assert_int_equal(proxied->returned, -ENOTSOCK);
	proxy_expect_opened(proxied, FLOW, ENOMEM);
	proxy_expect_nothing(proxied);
}

static void check_out_of_time(struct proxied *proxied, int wanted)
{
	unsigned int n_fds = proxy_n_fds();
	int upstream = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(sluice_proxy_forward(proxied->proxy, FLOW, upstream), wanted);
	assert_int_equal(proxy_n_fds(), n_fds);
	assert_false(proxy_is_readable(proxied));
}

static void test_before_the_start_and_after_the_end(void **state)
{
	struct proxied *proxied = *state;

	proxy_begin(proxied, &proxy_full_ops);
	check_out_of_time(proxied, -EINVAL);
	filter_send_stop(proxied->seen);
	assert_int_equal(proxy_process(proxied), -ESHUTDOWN);
	check_out_of_time(proxied, -ESHUTDOWN);
}

/* so much waits that nothing more can: it is said when there is room, or a program would wait for ever */
static void test_it_is_reached_while_the_channel_is_full(void **state)
{
	struct proxied *proxied = *state;
	unsigned int n_opened = 0;
	uint16_t port;
	int listener;

	proxy_start(proxied, &proxy_full_ops);
	while (sluice_proxy_ask_end(proxied->proxy, 1) == 0)
		;
	listener = proxy_listen(1, &port);
	assert_int_equal(sluice_proxy_forward(proxied->proxy, FLOW, proxy_connect(port)), 0);
	close(listener);
	assert_int_equal(sluice_proxy_forward(proxied->proxy, FLOW + 1, proxy_connect(port)), 0);
	assert_int_equal(proxy_process(proxied), 0);
	assert_false(proxy_is_readable(proxied));
	while (n_opened < 2) {
		if (filter_receive(proxied->seen) < 0)
			work(proxied);
		else if (proxied->seen->message.record->type == WIRE_FLOW_OPENED)
			n_opened++;
	}
	proxy_expect_nothing(proxied);
}

/* many at once, of which some are cancelled, and all have their own */
static void test_many(void **state)
{
	struct proxied *proxied = *state;
	int programs[20], upstreams[20], pair[2], listener;
	unsigned int n_opened = 0;
	uint16_t port;

	proxy_start(proxied, &proxy_full_ops);
	listener = proxy_listen(40, &port);
	for (unsigned int i = 0; i < 20; i++) {
		proxied->upstream = proxy_connect(port);
		proxy_ask(proxied, 100 + i);
		upstreams[i] = accept_one(listener);
	}
	while (n_opened < 20) {
		if (filter_receive(proxied->seen) < 0)
			work(proxied);
		else
			n_opened += proxied->seen->message.record->type == WIRE_FLOW_OPENED;
	}
	for (unsigned int i = 0; i < 20; i += 2) {
		proxy_tcp_pair(pair);
		proxy_send_socket(proxied, 100 + i, pair[0]);
		proxy_send_cancel(proxied, 101 + i);
		close(pair[0]);
		programs[i] = pair[1];
	}
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_cancelled, 10);
	for (unsigned int i = 0; i < 20; i += 2) {
		check_carries(proxied, programs[i], upstreams[i]);
		check_carries(proxied, upstreams[i], programs[i]);
		close(programs[i]);
	}
	for (unsigned int i = 0; i < 20; i++)
		close(upstreams[i]);
	close(listener);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, proxy_set_up, proxy_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_bytes_go_both_ways),
		TEST(test_a_half_close_is_half),
		TEST(test_an_end_is_asked_about),
		TEST(test_an_end_of_what_has_ended),
		TEST(test_an_end_behind_what_nobody_reads),
		TEST(test_a_full_close_ends_upstream),
		TEST(test_a_reset_of_the_program),
		TEST(test_a_reset_of_upstream),
		TEST(test_the_session_is_freed),
		TEST(test_upstream_is_reset_at_once),
		TEST(test_upstream_is_reset_behind_its_first_bytes),
		TEST(test_upstream_has_ended_and_is_reset),
		TEST(test_upstream_refuses),
		TEST(test_upstream_is_slow),
		TEST(test_cancelled_while_it_connects),
		TEST(test_cancelled_when_it_is_reached),
		TEST(test_cancelled_and_not_closed),
		TEST(test_a_second_connection),
		TEST(test_a_connection_before_it_is_opened),
		TEST(test_cancelled_too_late),
		TEST(test_ends_of_what_is_not_connected),
		TEST(test_forwarded_twice),
		TEST(test_to_what_is_no_socket),
		TEST(test_before_the_start_and_after_the_end),
		TEST(test_it_is_reached_while_the_channel_is_full),
		TEST(test_many),
	};

	return cmocka_run_group_tests_name("proxy-forward", tests, NULL, NULL);
}
