/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

#include "filter-lab.h"

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct seen *seen = data;

	seen->n_options++;
	snprintf(seen->key, sizeof(seen->key), "%s", key);
	snprintf(seen->value, sizeof(seen->value), "%s", value);
	seen->option_fd = fd;
	seen->option_fd_open = fd >= 0 && fcntl(fd, F_GETFD) >= 0;
	if (seen->fail_text && seen->option_returns)
		return sluice_filter_fail(filter, seen->option_returns, "%s", seen->fail_text);
	return seen->option_returns;
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct seen *seen = data;

	seen->n_starts++;
	for (int i = 0; seen->is_logging_at_start && i < 20000; i++)
		sluice_filter_log(filter, LOG_INFO, "line %d", i);
	if (seen->fail_text && seen->start_returns)
		return sluice_filter_fail(filter, seen->start_returns, "%s", seen->fail_text);
	return seen->start_returns;
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	struct seen *seen = data;

	seen->n_flows++;
	seen->flow = *flow;
	snprintf(seen->host, sizeof(seen->host), "%s", flow->host);
	snprintf(seen->exe, sizeof(seen->exe), "%s", flow->exe);
	snprintf(seen->kind, sizeof(seen->kind), "%s", flow->interface_kind);
	if (seen->is_answering)
		seen->answer_returned |=
			sluice_filter_answer(filter, flow->id, SLUICE_ALLOW, "because");
}

static void on_closed(struct sluice_filter *filter, uint64_t id, uint64_t bytes_in,
		      uint64_t bytes_out, void *data)
{
	struct seen *seen = data;

	seen->n_closed++;
	seen->closed_id = id;
	seen->bytes_in = bytes_in;
	seen->bytes_out = bytes_out;
}

static void on_stop(struct sluice_filter *filter, void *data)
{
	struct seen *seen = data;

	seen->n_stops++;
	seen->answer_returned = sluice_filter_answer(filter, 1, SLUICE_DROP, NULL);
}

const struct sluice_filter_ops filter_full_ops = {
	.size = sizeof(filter_full_ops),
	.name = "test-filter",
	.option = on_option,
	.start = on_start,
	.new_flow = on_flow,
	.flow_closed = on_closed,
	.stop = on_stop,
};

const struct sluice_filter_ops filter_small_ops = {
	.size = sizeof(filter_small_ops),
	.name = "small",
	.new_flow = on_flow,
};

int filter_set_up(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	int peer;

	*state = seen;
	if (channel_pair(&seen->daemon, &peer) < 0 || peer == CHANNEL_FD)
		return -1;
	/* dup2 would close our own end if that had become 3 */
	seen->daemon = fcntl(seen->daemon, F_DUPFD_CLOEXEC, 100);
	if (dup2(peer, CHANNEL_FD) < 0)
		return -1;
	close_fd(peer);
	return 0;
}

int filter_tear_down(void **state)
{
	struct seen *seen = *state;

	sluice_filter_free(seen->filter);
	close_fd(CHANNEL_FD);
	close_fd(seen->daemon);
	free(seen);
	return 0;
}

int filter_send_with(struct seen *seen, uint16_t type, const void *body, int fd)
{
	return channel_send(seen->daemon, &wire_provider_channel, type, body, NULL, 0, fd);
}

void filter_send_record(struct seen *seen, uint16_t type, const void *body)
{
	assert_int_equal(filter_send_with(seen, type, body, -1), 0);
}

int filter_receive(struct seen *seen)
{
	int fd = -1;
	int r = channel_recv(seen->daemon, &wire_provider_channel, 1, seen->buffer, &seen->message,
			     NULL, &fd);

	close_fd(fd);
	return r;
}

const void *filter_expect(struct seen *seen, uint16_t type)
{
	assert_int_equal(filter_receive(seen), 0);
	assert_int_equal(seen->message.record->type, type);
	return seen->message.body.bytes;
}

int filter_process(struct seen *seen)
{
	return sluice_filter_process(seen->filter);
}

void filter_begin(struct seen *seen, const struct sluice_filter_ops *ops)
{
	const struct wire_hello *hello;

	assert_int_equal(sluice_filter_new(ops, seen, &seen->filter), 0);
	hello = filter_expect(seen, WIRE_HELLO);
	assert_int_equal(hello->version, WIRE_PROVIDER_VERSION);
	assert_int_equal(hello->kind, 1);
	assert_string_equal(hello->name, ops->name);
}

void filter_send_welcome(struct seen *seen)
{
	struct wire_welcome welcome = { .version = WIRE_PROVIDER_VERSION, .session = 9 };

	filter_send_record(seen, WIRE_WELCOME, &welcome);
}

void filter_send_option(struct seen *seen, const char *key, const char *value, int fd)
{
	struct wire_option option = { 0 };

	snprintf(option.key, sizeof(option.key), "%s", key);
	snprintf(option.value, sizeof(option.value), "%s", value);
	assert_int_equal(filter_send_with(seen, WIRE_OPTION, &option, fd), 0);
}

void filter_send_start(struct seen *seen)
{
	filter_send_record(seen, WIRE_START, &(struct wire_start){ 0 });
}

void filter_send_stop(struct seen *seen)
{
	filter_send_record(seen, WIRE_STOP, &(struct wire_stop){ .reason = 1 });
}

int filter_send_flow(struct seen *seen, uint64_t id)
{
	struct wire_flow_new flow = { .id = id, .protocol = 6 };

	return filter_send_with(seen, WIRE_FLOW_NEW, &flow, -1);
}

const struct wire_ready *filter_ready(struct seen *seen, const struct sluice_filter_ops *ops)
{
	filter_begin(seen, ops);
	filter_send_welcome(seen);
	filter_send_start(seen);
	assert_int_equal(filter_process(seen), 0);
	return filter_expect(seen, WIRE_READY);
}

void filter_start(struct seen *seen, const struct sluice_filter_ops *ops)
{
	const struct wire_ready *ready = filter_ready(seen, ops);

	assert_int_equal(ready->error, 0);
	assert_string_equal(ready->text, "");
}

uint64_t filter_fill_channel(struct seen *seen)
{
	uint64_t n = 0;

	while (!(sluice_filter_get_events(seen->filter) & POLLOUT))
		assert_int_equal(sluice_filter_answer(seen->filter, n++, SLUICE_ALLOW, ""), 0);
	return n - 1; /* the last one waits */
}
