/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: libsluice: every allocation fails once while a proxy forwards a flow
 *
 * Whatever fails: the proxy hears -ENOMEM and its flow is refused, or both sides are reset; nothing
 * is left open.
 */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "proxy-lab.h"

#define FLOW 7U
#define TELLINGS_MAX 100 /* a story with more of them does not end */

int __real_sluice_proxy_new(const struct sluice_proxy_ops *ops, void *data,
			    struct sluice_proxy **ret_proxy);
int __wrap_sluice_proxy_new(const struct sluice_proxy_ops *ops, void *data,
			    struct sluice_proxy **ret_proxy);
int __real_sluice_proxy_process(struct sluice_proxy *proxy);
int __wrap_sluice_proxy_process(struct sluice_proxy *proxy);

int __wrap_sluice_proxy_new(const struct sluice_proxy_ops *ops, void *data,
			    struct sluice_proxy **ret_proxy)
{
	int r;

	alloc_enter();
	r = __real_sluice_proxy_new(ops, data, ret_proxy);
	alloc_leave();
	return r;
}

int __wrap_sluice_proxy_process(struct sluice_proxy *proxy)
{
	int r;

	alloc_enter();
	r = __real_sluice_proxy_process(proxy);
	alloc_leave();
	return r;
}

/* until it is said that upstream is reached */
static void await_opened(struct proxied *proxied)
{
	struct pollfd pollfd = { .fd = sluice_proxy_get_fd(proxied->proxy), .events = POLLIN };

	while (filter_receive(proxied->seen) < 0) {
		assert_int_equal(poll(&pollfd, 1, 20000), 1);
		assert_int_equal(proxy_process(proxied), 0);
	}
	assert_int_equal(proxied->seen->message.record->type, WIRE_FLOW_OPENED);
	assert_int_equal(WIRE_BODY(&proxied->seen->message, struct wire_flow_opened)->error, 0);
}

/* all of it, or a reset if there was no memory */
static void check_carries(struct proxied *proxied, int program, int upstream)
{
	char bytes[8] = "";
	ssize_t n = -1;

	(void)!send(program, "hello", 5, MSG_NOSIGNAL);
	for (errno = EAGAIN; n < 0 && errno == EAGAIN;) {
		assert_int_equal(proxy_process(proxied), 0);
		n = recv(upstream, bytes, sizeof(bytes), MSG_DONTWAIT);
	}
	if (n < 0)
		assert_true(errno == ECONNRESET && alloc_has_failed());
	else
		assert_string_equal(bytes, "hello");
}

static void forward(struct proxied *proxied, int listener)
{
	int pair[2], upstream;

	upstream = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	await_opened(proxied);
	proxy_tcp_pair(pair);
	proxy_send_socket(proxied, FLOW, pair[0]);
	close(pair[0]);
	assert_int_equal(proxy_process(proxied), 0);
	alloc_forgive();
	check_carries(proxied, pair[1], upstream);
	close(pair[1]);
	close(upstream);
}

static void tell_life(struct proxied *proxied)
{
	uint16_t port;
	int listener = proxy_listen(1, &port);

	filter_expect(proxied->seen, WIRE_HELLO);
	filter_send_welcome(proxied->seen);
	filter_send_start(proxied->seen);
	assert_int_equal(proxy_process(proxied), 0);
	filter_expect(proxied->seen, WIRE_READY);
	proxied->upstream = proxy_connect(port);
	proxy_ask(proxied, FLOW);
	if (proxied->returned < 0) {
		assert_true(proxied->returned == -ENOMEM && alloc_has_failed());
		proxy_expect_opened(proxied, FLOW, ENOMEM);
	} else {
		forward(proxied, listener);
	}
	close(listener);
}

static bool tell(unsigned int nth, bool is_always, void *data)
{
	unsigned int n_fds = proxy_n_fds();
	struct proxied *proxied;
	bool has_failed;
	void *state;
	int r;

	alloc_forgive();
	assert_int_equal(proxy_set_up(&state), 0);
	proxied = state;
	alloc_fail(nth, is_always);
	r = sluice_proxy_new(&proxy_full_ops, proxied, &proxied->proxy);
	assert_true(r == 0 || (r == -ENOMEM && alloc_has_failed() && !proxied->proxy));
	if (r == 0)
		tell_life(proxied);
	has_failed = alloc_has_failed();
	alloc_forgive();
	proxy_tear_down(&state);
	assert_int_equal(proxy_n_fds(), n_fds);
	return has_failed;
}

static void test_one_fails(void **state)
{
	alloc_tell_each(tell, NULL, false, 1, 4, TELLINGS_MAX);
}

static void test_all_fail_from_one_on(void **state)
{
	alloc_tell_each(tell, NULL, true, 1, 4, TELLINGS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail_from_one_on),
	};

	return cmocka_run_group_tests_name("proxy-memory-out", tests, NULL, NULL);
}
