/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy-lab.h"

#define FDS_MAX 256

static int on_start(struct sluice_proxy *proxy, void *data)
{
	struct proxied *proxied = data;

	if (proxied->on_start)
		proxied->on_start(proxied);
	if (proxied->start_returns)
		return sluice_proxy_fail(proxy, proxied->start_returns, "no %s", "upstream");
	return 0;
}

static enum sluice_proxy_choice on_flow(struct sluice_proxy *proxy, const struct sluice_flow *flow,
					void *data)
{
	struct proxied *proxied = data;

	proxied->n_flows++;
	proxied->flow = flow->id;
	if (proxied->opens)
		proxied->returned = sluice_proxy_open(proxy, flow->id, proxied->error, "at once");
	if (proxied->upstream >= 0)
		proxied->returned = sluice_proxy_forward(proxy, flow->id, proxied->upstream);
	proxied->upstream = -1;
	return proxied->choice;
}

static void on_opened(struct sluice_proxy *proxy, uint64_t id, int fd, void *data)
{
	struct proxied *proxied = data;

	proxied->n_opened++;
	proxied->opened = id;
	close_fd(proxied->fd);
	proxied->fd = fd;
}

static void on_cancelled(struct sluice_proxy *proxy, uint64_t id, void *data)
{
	struct proxied *proxied = data;

	proxied->n_cancelled++;
	proxied->cancelled = id;
}

static void on_ended(struct sluice_proxy *proxy, uint64_t id, enum sluice_proxy_end end, void *data)
{
	struct proxied *proxied = data;

	proxied->n_ended++;
	proxied->ended = id;
	proxied->end = end;
}

static void on_rules_done(struct sluice_proxy *proxy, int error, uint32_t number, void *data)
{
	struct proxied *proxied = data;

	proxied->n_done++;
	proxied->done_error = error;
	proxied->done_number = number;
}

static void on_stop(struct sluice_proxy *proxy, void *data)
{
	struct proxied *proxied = data;

	proxied->n_stops++;
	proxied->returned = sluice_proxy_open(proxy, 1, 0, NULL);
}

const struct sluice_proxy_ops proxy_full_ops = { .size = sizeof(proxy_full_ops),
						 .name = "test-proxy",
						 .start = on_start,
						 .new_flow = on_flow,
						 .flow_opened = on_opened,
						 .flow_cancelled = on_cancelled,
						 .flow_ended = on_ended,
						 .stop = on_stop,
						 .rules_done = on_rules_done };
const struct sluice_proxy_ops proxy_app_ops = { .size = sizeof(proxy_app_ops),
						.name = "test-app",
						.kind = SLUICE_PROXY_APP,
						.new_flow = on_flow };
const struct sluice_proxy_ops proxy_small_ops = { .size = sizeof(proxy_small_ops),
						  .name = "small",
						  .new_flow = on_flow };

int proxy_set_up(void **state)
{
	struct proxied *proxied = calloc(1, sizeof(*proxied));
	void *seen;

	if (!proxied || filter_set_up(&seen) < 0)
		return -1;
	proxied->seen = seen;
	proxied->upstream = proxied->fd = -1;
	proxied->choice = SLUICE_PROXY_TAKE;
	*state = proxied;
	return 0;
}

int proxy_tear_down(void **state)
{
	struct proxied *proxied = *state;
	void *seen = proxied->seen;

	proxied->proxy = sluice_proxy_free(proxied->proxy);
	close_fd(proxied->fd);
	filter_tear_down(&seen);
	free(proxied);
	return 0;
}

int proxy_process(struct proxied *proxied)
{
	return sluice_proxy_process(proxied->proxy);
}

void proxy_begin(struct proxied *proxied, const struct sluice_proxy_ops *ops)
{
	const struct wire_hello *hello;

	assert_int_equal(sluice_proxy_new(ops, proxied, &proxied->proxy), 0);
	hello = filter_expect(proxied->seen, WIRE_HELLO);
	assert_int_equal(hello->version, WIRE_PROVIDER_VERSION);
	assert_int_equal(hello->kind,
			 ops->kind == SLUICE_PROXY_APP ? HELLO_APP_PROXY : HELLO_PROXY);
	assert_string_equal(hello->name, ops->name);
}

void proxy_start(struct proxied *proxied, const struct sluice_proxy_ops *ops)
{
	const struct wire_ready *ready;

	proxy_begin(proxied, ops);
	filter_send_welcome(proxied->seen);
	filter_send_start(proxied->seen);
	assert_int_equal(proxy_process(proxied), 0);
	ready = filter_expect(proxied->seen, WIRE_READY);
	assert_int_equal(ready->error, 0);
	assert_int_equal(ready->closed + ready->data + ready->packets, 0);
}

void proxy_ask(struct proxied *proxied, uint64_t id)
{
	assert_int_equal(filter_send_flow(proxied->seen, id), 0);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->flow, id);
}

void proxy_expect_take(struct proxied *proxied, uint64_t id)
{
	const struct wire_flow_take *take = filter_expect(proxied->seen, WIRE_FLOW_TAKE);

	assert_int_equal(take->id, id);
}

void proxy_ask_to_take(struct proxied *proxied, uint64_t id)
{
	proxy_ask(proxied, id);
	proxy_expect_take(proxied, id);
	proxy_expect_nothing(proxied);
}

void proxy_expect_opened(struct proxied *proxied, uint64_t id, uint32_t error)
{
	const struct wire_flow_opened *opened = filter_expect(proxied->seen, WIRE_FLOW_OPENED);

	assert_int_equal(opened->id, id);
	assert_int_equal(opened->error, error);
}

void proxy_expect_nothing(struct proxied *proxied)
{
	assert_int_equal(filter_receive(proxied->seen), -EAGAIN);
}

void proxy_send_socket(struct proxied *proxied, uint64_t id, int fd)
{
	const struct linger reset = { .l_onoff = 1 }; /* as the daemon's listeners have */
	struct wire_flow_socket record = { .id = id };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	assert_int_equal(filter_send_with(proxied->seen, WIRE_FLOW_SOCKET, &record, fd), 0);
}

void proxy_send_cancel(struct proxied *proxied, uint64_t id)
{
	filter_send_record(proxied->seen, WIRE_FLOW_CANCEL, &(struct wire_flow_cancel){ .id = id });
}

void proxy_send_end(struct proxied *proxied, uint64_t id, bool full)
{
	struct wire_flow_end record = { .id = id, .full = full };

	filter_send_record(proxied->seen, WIRE_FLOW_END, &record);
}

bool proxy_is_readable(const struct proxied *proxied)
{
	struct pollfd pollfd = { .fd = sluice_proxy_get_fd(proxied->proxy), .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1;
}

unsigned int proxy_n_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- the other side ---- */

int proxy_listen(int backlog, uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

int proxy_connect(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

void proxy_tcp_pair(int ret_fds[2])
{
	uint16_t port;
	int listener = proxy_listen(1, &port);

	ret_fds[0] = proxy_connect(port);
	ret_fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(ret_fds[1] >= 0);
	close(listener);
}
