/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: libsluice, with this test playing the daemon
 *
 * Both ends of the channel are in this process: the filter's end is put on
 * descriptor 3, where the library looks for it. Nothing ever blocks, so every
 * step is the test's own. Only sluice_filter_main() runs in a child.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>

#include <cmocka.h>

#include <sluice/filter.h>

#include "base/macros.h"
#include "wire/channel.h"
#include "wire/provider-records.h"

#define CHANNEL_FD 3

/* what the callbacks saw, and what they are to do */
struct seen {
	int daemon; /* our end */
	struct sluice_filter *filter;
	uint8_t buffer[WIRE_RECORD_MAX];
	struct wire_message message;

	int option_returns, start_returns;
	const char *fail_text;
	bool is_answering, is_logging_at_start;

	unsigned int n_options, n_starts, n_flows, n_closed, n_stops;
	char key[64], value[300];
	int option_fd, option_fd_open;
	struct sluice_flow flow;
	char host[256], exe[512], kind[16];
	uint64_t closed_id, bytes_in, bytes_out;
	int answer_returned;
};

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

static const struct sluice_filter_ops full_ops = {
	.size = sizeof(full_ops),
	.name = "test-filter",
	.option = on_option,
	.start = on_start,
	.new_flow = on_flow,
	.flow_closed = on_closed,
	.stop = on_stop,
};

static const struct sluice_filter_ops small_ops = {
	.size = sizeof(small_ops),
	.name = "small",
	.new_flow = on_flow,
};

static int setup(void **state)
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

static int teardown(void **state)
{
	struct seen *seen = *state;

	sluice_filter_free(seen->filter);
	close_fd(CHANNEL_FD);
	close_fd(seen->daemon);
	free(seen);
	return 0;
}

static int send_with(struct seen *seen, uint16_t type, const void *body, int fd)
{
	return channel_send(seen->daemon, &wire_provider_channel, type, body, NULL, 0, fd);
}

static void send_record(struct seen *seen, uint16_t type, const void *body)
{
	assert_int_equal(send_with(seen, type, body, -1), 0);
}

/* Return: 0 and the record in seen->message, or -EAGAIN */
static int receive(struct seen *seen)
{
	int fd = -1;
	int r = channel_recv(seen->daemon, &wire_provider_channel, 1, seen->buffer, &seen->message,
			     NULL, &fd);

	close_fd(fd);
	return r;
}

static const void *expect(struct seen *seen, uint16_t type)
{
	assert_int_equal(receive(seen), 0);
	assert_int_equal(seen->message.record->type, type);
	return seen->message.body.bytes;
}

static int process(struct seen *seen)
{
	return sluice_filter_process(seen->filter);
}

static void begin(struct seen *seen, const struct sluice_filter_ops *ops)
{
	const struct wire_hello *hello;

	assert_int_equal(sluice_filter_new(ops, seen, &seen->filter), 0);
	hello = expect(seen, WIRE_HELLO);
	assert_int_equal(hello->version, WIRE_PROVIDER_VERSION);
	assert_int_equal(hello->kind, 1);
	assert_string_equal(hello->name, ops->name);
}

static void send_welcome(struct seen *seen)
{
	struct wire_welcome welcome = { .version = WIRE_PROVIDER_VERSION, .session = 9 };

	send_record(seen, WIRE_WELCOME, &welcome);
}

static void send_option(struct seen *seen, const char *key, const char *value, int fd)
{
	struct wire_option option = { 0 };

	snprintf(option.key, sizeof(option.key), "%s", key);
	snprintf(option.value, sizeof(option.value), "%s", value);
	assert_int_equal(send_with(seen, WIRE_OPTION, &option, fd), 0);
}

static void send_start(struct seen *seen)
{
	send_record(seen, WIRE_START, &(struct wire_start){ 0 });
}

static void send_stop(struct seen *seen)
{
	send_record(seen, WIRE_STOP, &(struct wire_stop){ .reason = 1 });
}

static int send_flow(struct seen *seen, uint64_t id)
{
	struct wire_flow_new flow = { .id = id, .protocol = 6 };

	return send_with(seen, WIRE_FLOW_NEW, &flow, -1);
}

static void start(struct seen *seen, const struct sluice_filter_ops *ops)
{
	const struct wire_ready *ready;

	begin(seen, ops);
	send_welcome(seen);
	send_start(seen);
	assert_int_equal(process(seen), 0);
	ready = expect(seen, WIRE_READY);
	assert_int_equal(ready->error, 0);
	assert_string_equal(ready->text, "");
}

static void test_no_channel_is_enotconn(void **state)
{
	struct sluice_filter *filter = NULL;
	int pair[2];

	close(CHANNEL_FD);
	assert_int_equal(sluice_filter_new(&full_ops, NULL, &filter), -ENOTCONN);
	assert_int_equal(dup2(open("/dev/null", O_RDWR | O_CLOEXEC), CHANNEL_FD), CHANNEL_FD);
	assert_int_equal(sluice_filter_new(&full_ops, NULL, &filter), -ENOTCONN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dup2(pair[0], CHANNEL_FD), CHANNEL_FD);
	assert_int_equal(sluice_filter_new(&full_ops, NULL, &filter), -ENOTCONN);
	close(pair[0]);
	close(pair[1]);
	pair[0] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(dup2(pair[0], CHANNEL_FD), CHANNEL_FD);
	assert_int_equal(sluice_filter_new(&full_ops, NULL, &filter), -ENOTCONN);
	close(pair[0]);
	assert_null(filter);
}

static void test_bad_ops_are_einval(void **state)
{
	struct sluice_filter_ops ops = full_ops;
	struct sluice_filter *filter = NULL;

	assert_int_equal(sluice_filter_new(NULL, NULL, &filter), -EINVAL);
	ops.size = 0;
	assert_int_equal(sluice_filter_new(&ops, NULL, &filter), -EINVAL);
	ops = full_ops;
	ops.name = "a-name-that-is-one-byte-too-long";
	assert_int_equal(sluice_filter_new(&ops, NULL, &filter), -EINVAL);
	ops.name = "";
	assert_int_equal(sluice_filter_new(&ops, NULL, &filter), -EINVAL);
	ops = full_ops;
	ops.new_flow = NULL;
	assert_int_equal(sluice_filter_new(&ops, NULL, &filter), -EINVAL);
	assert_null(filter);
}

static void test_options_arrive_with_their_files(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct seen *seen = *state;

	begin(seen, &full_ops);
	send_welcome(seen);
	send_option(seen, "list", "ads.hosts", null);
	assert_int_equal(process(seen), 0);
	assert_int_equal(seen->n_options, 1);
	assert_string_equal(seen->key, "list");
	assert_string_equal(seen->value, "ads.hosts");
	assert_true(seen->option_fd_open);
	/* the library's, and closed by it */
	assert_int_equal(fcntl(seen->option_fd, F_GETFD), -1);
	send_option(seen, "host", "x.example", -1);
	send_start(seen);
	assert_int_equal(process(seen), 0);
	assert_int_equal(seen->option_fd, -1);
	assert_int_equal(seen->n_starts, 1);
	assert_int_equal(((const struct wire_ready *)expect(seen, WIRE_READY))->error, 0);
}

static void expect_refusal(struct seen *seen, int error, const char *text)
{
	const struct wire_ready *ready;

	send_start(seen);
	assert_int_equal(process(seen), 0);
	ready = expect(seen, WIRE_READY);
	assert_int_equal(ready->error, error);
	assert_string_equal(ready->text, text);
	assert_string_equal(sluice_filter_error(seen->filter), text);
	/* it waits for its end, politely */
	send_record(seen, WIRE_PING, &(struct wire_ping){ .token = 4 });
	assert_int_equal(process(seen), 0);
	expect(seen, WIRE_PONG);
	send_stop(seen);
	assert_int_equal(process(seen), -ESHUTDOWN);
	expect(seen, WIRE_STOPPED);
	assert_int_equal(seen->n_stops, 0);
}

static void test_a_refused_option_keeps_the_filter_from_starting(void **state)
{
	struct seen *seen = *state;

	seen->option_returns = -ENOENT;
	seen->fail_text = "list a: not there: make it";
	begin(seen, &full_ops);
	send_welcome(seen);
	send_option(seen, "list", "a", -1);
	/* the first refusal is told, not what follows from it */
	send_option(seen, "list", "b", -1);
	expect_refusal(seen, ENOENT, "list a: not there: make it");
	assert_int_equal(seen->n_options, 1);
	assert_int_equal(seen->n_starts, 0);
}

static void test_a_refusal_without_words_gets_the_errno(void **state)
{
	struct seen *seen = *state;

	seen->option_returns = -ENOENT;
	begin(seen, &full_ops);
	send_welcome(seen);
	send_option(seen, "list", "a", -1);
	expect_refusal(seen, ENOENT, "option list: No such file or directory");
}

static void test_a_refused_start_says_why(void **state)
{
	struct seen *seen = *state;

	seen->start_returns = -EINVAL;
	seen->fail_text = "no list given: add one";
	begin(seen, &full_ops);
	send_welcome(seen);
	expect_refusal(seen, EINVAL, "no list given: add one");
	assert_int_equal(seen->n_starts, 1);
}

static void test_a_filter_without_options_refuses_any(void **state)
{
	struct seen *seen = *state;

	begin(seen, &small_ops);
	send_welcome(seen);
	send_option(seen, "colour", "blue", -1);
	expect_refusal(seen, EINVAL, "small takes no options: leave out \"colour\"");
}

static void test_a_flow_arrives_whole(void **state)
{
	struct wire_flow_new sent = {
		.id = 77,
		.exe_inode = 5,
		.exe_device = 6,
		.pid = 100,
		.owner_pid = 101,
		.uid = 7,
		.gid = 8,
		.owner_uid = 9,
		.ifindex = 3,
		.direction = 1,
		.protocol = 17,
		.host_source = 1,
		.interface_kind = 3,
		.is_cut = 1,
		.again = 1,
		.sport = 4000,
		.dport = 53,
		.interface = "wlan0",
		.unit = "a.service",
		.container = "c",
		.host = "x.example",
		.exe = "/usr/bin/x",
		.command = "x -y",
		.cgroup = "/a",
	};
	struct seen *seen = *state;
	const struct sluice_flow *flow = &seen->flow;

	memset(sent.src, 1, 16);
	memset(sent.dst, 2, 16);
	start(seen, &full_ops);
	send_record(seen, WIRE_FLOW_NEW, &sent);
	assert_int_equal(process(seen), 0);
	assert_int_equal(seen->n_flows, 1);
	assert_int_equal(flow->size, sizeof(*flow));
	assert_int_equal(flow->id, 77);
	assert_int_equal(flow->direction, SLUICE_INBOUND);
	assert_int_equal(flow->protocol, 17);
	assert_memory_equal(flow->local_address, sent.src, 16);
	assert_memory_equal(flow->remote_address, sent.dst, 16);
	assert_int_equal(flow->local_port, 4000);
	assert_int_equal(flow->remote_port, 53);
	assert_int_equal(flow->host_source, SLUICE_HOST_DNS);
	assert_int_equal(flow->pid, 100);
	assert_int_equal(flow->owner_pid, 101);
	assert_int_equal(flow->uid, 7);
	assert_int_equal(flow->gid, 8);
	assert_int_equal(flow->owner_uid, 9);
	assert_int_equal(flow->exe_inode, 5);
	assert_int_equal(flow->exe_device, 6);
	assert_true(flow->is_cut);
	assert_true(flow->is_again);
	assert_int_equal(flow->ifindex, 3);
	assert_string_equal(seen->host, "x.example");
	assert_string_equal(seen->exe, "/usr/bin/x");
	assert_string_equal(seen->kind, "wifi");
}

static void test_an_answer_is_sent(void **state)
{
	const struct wire_flow_verdict *verdict;
	char reason[300];
	struct seen *seen = *state;

	memset(reason, 'r', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	start(seen, &full_ops);
	assert_int_equal(sluice_filter_answer(seen->filter, 5, SLUICE_DROP_SILENT, reason), 0);
	verdict = expect(seen, WIRE_FLOW_VERDICT);
	assert_int_equal(verdict->id, 5);
	assert_int_equal(verdict->verdict, 2);
	assert_int_equal(verdict->scope, 0);
	assert_int_equal(strlen(verdict->reason), 127);
	assert_int_equal(sluice_filter_answer(seen->filter, 6, SLUICE_ALLOW, NULL), 0);
	verdict = expect(seen, WIRE_FLOW_VERDICT);
	assert_string_equal(verdict->reason, "");
}

static void test_updates_are_sent(void **state)
{
	const struct wire_flow_update *update;
	struct seen *seen = *state;

	start(seen, &full_ops);
	assert_int_equal(sluice_filter_update(seen->filter, 5, SLUICE_DROP, "why"), 0);
	update = expect(seen, WIRE_FLOW_UPDATE);
	assert_int_equal(update->id, 5);
	assert_int_equal(update->verdict, 1);
	assert_string_equal(update->reason, "why");
	assert_int_equal(sluice_filter_update(seen->filter, 5, (enum sluice_verdict)3, NULL),
			 -EINVAL);
	assert_int_equal(sluice_filter_forget(seen->filter), 0);
	assert_int_equal(
		((const struct wire_flow_forget *)expect(seen, WIRE_FLOW_FORGET))->again, 0);
	assert_int_equal(sluice_filter_rejudge(seen->filter), 0);
	assert_int_equal(
		((const struct wire_flow_forget *)expect(seen, WIRE_FLOW_FORGET))->again, 1);
}

static void test_bad_answers_are_refused(void **state)
{
	struct seen *seen = *state;

	begin(seen, &full_ops);
	assert_int_equal(sluice_filter_answer(seen->filter, 5, SLUICE_ALLOW, NULL), -EINVAL);
	send_welcome(seen);
	send_start(seen);
	assert_int_equal(process(seen), 0);
	expect(seen, WIRE_READY);
	assert_int_equal(sluice_filter_answer(seen->filter, 5, (enum sluice_verdict)3, NULL),
			 -EINVAL);
	assert_int_equal(sluice_filter_answer(seen->filter, 5, (enum sluice_verdict)(-1), NULL),
			 -EINVAL);
	assert_int_equal(receive(seen), -EAGAIN);
}

static void test_a_closed_flow_brings_its_counts(void **state)
{
	struct wire_flow_closed closed = { .id = 3, .bytes_in = 1ULL << 40, .bytes_out = 2 };
	struct seen *seen = *state;

	start(seen, &full_ops);
	send_record(seen, WIRE_FLOW_CLOSED, &closed);
	assert_int_equal(process(seen), 0);
	assert_int_equal(seen->n_closed, 1);
	assert_int_equal(seen->closed_id, 3);
	assert_true(seen->bytes_in == 1ULL << 40);
	assert_int_equal(seen->bytes_out, 2);
}

/* a program built against an older header has shorter ops: nothing behind them is read */
static void test_older_ops_are_fine(void **state)
{
	struct sluice_filter_ops ops = full_ops;
	struct wire_flow_closed closed = { .id = 3 };
	struct seen *seen = *state;

	ops.size = offsetof(struct sluice_filter_ops, flow_closed);
	start(seen, &ops);
	send_record(seen, WIRE_FLOW_CLOSED, &closed);
	assert_int_equal(process(seen), 0);
	assert_int_equal(seen->n_closed, 0);
	send_stop(seen);
	assert_int_equal(process(seen), -ESHUTDOWN);
	assert_int_equal(seen->n_stops, 0);
}

static void test_a_ping_is_answered(void **state)
{
	struct seen *seen = *state;

	begin(seen, &full_ops);
	send_welcome(seen);
	send_record(seen, WIRE_PING, &(struct wire_ping){ .token = 1 });
	send_start(seen);
	send_record(seen, WIRE_PING, &(struct wire_ping){ .token = UINT64_MAX });
	assert_int_equal(process(seen), 0);
	assert_int_equal(((const struct wire_pong *)expect(seen, WIRE_PONG))->token, 1);
	expect(seen, WIRE_READY);
	assert_true(((const struct wire_pong *)expect(seen, WIRE_PONG))->token == UINT64_MAX);
}

/* Return: how many answers the channel itself took */
static uint64_t fill_channel(struct seen *seen)
{
	uint64_t n = 0;

	while (!(sluice_filter_get_events(seen->filter) & POLLOUT))
		assert_int_equal(sluice_filter_answer(seen->filter, n++, SLUICE_ALLOW, ""), 0);
	return n - 1; /* the last one waits */
}

static void test_answers_wait_for_a_full_channel(void **state)
{
	struct seen *seen = *state;
	uint64_t n_sent, n_all, n = 0;
	int r = 0;

	start(seen, &full_ops);
	n_sent = fill_channel(seen);
	for (n_all = n_sent + 1; r == 0; n_all++)
		r = sluice_filter_answer(seen->filter, n_all, SLUICE_ALLOW, "");
	n_all--;
	assert_int_equal(r, -ENOBUFS);
	assert_int_equal(n_all - n_sent, 4096);
	/* nothing more is read before there is a place for answers */
	assert_int_equal(sluice_filter_get_events(seen->filter), POLLOUT);

	while (n < n_all) {
		while (receive(seen) == 0)
			assert_int_equal(WIRE_BODY(&seen->message, struct wire_flow_verdict)->id,
					 n++);
		assert_int_equal(process(seen), 0);
	}
	assert_int_equal(receive(seen), -EAGAIN);
	assert_int_equal(sluice_filter_get_events(seen->filter), POLLIN);
}

/* a daemon that does not read: the filter stops taking flows, and loses none */
static void test_answering_in_the_callback_never_overflows(void **state)
{
	struct seen *seen = *state;
	uint64_t n_sent = 0, n = 0;

	seen->is_answering = true;
	start(seen, &full_ops);
	while (n_sent < 20000 && sluice_filter_get_events(seen->filter) & POLLIN) {
		while (send_flow(seen, n_sent) == 0)
			n_sent++;
		assert_int_equal(process(seen), 0);
	}
	assert_false(sluice_filter_get_events(seen->filter) & POLLIN);
	while (n < n_sent) {
		while (receive(seen) == 0)
			assert_int_equal(WIRE_BODY(&seen->message, struct wire_flow_verdict)->id,
					 n++);
		assert_int_equal(process(seen), 0);
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
	begin(seen, &full_ops);
	send_welcome(seen);
	send_start(seen);
	assert_int_equal(process(seen), 0);
	assert_int_equal(sluice_filter_answer(seen->filter, 1, SLUICE_DROP, NULL), 0);
	while (receive(seen) == 0) {
		assert_int_equal(seen->message.record->type, WIRE_LOG);
		n_logs++;
	}
	assert_in_range(n_logs, 10, 19999);
	assert_int_equal(process(seen), 0);
	expect(seen, WIRE_READY);
	expect(seen, WIRE_FLOW_VERDICT);
}

static void test_a_stop_ends_the_session(void **state)
{
	struct seen *seen = *state;

	start(seen, &full_ops);
	send_stop(seen);
	assert_int_equal(process(seen), -ESHUTDOWN);
	assert_int_equal(seen->n_stops, 1);
	assert_int_equal(seen->answer_returned, -ESHUTDOWN);
	assert_int_equal(((const struct wire_stopped *)expect(seen, WIRE_STOPPED))->error, 0);
	assert_int_equal(process(seen), -ESHUTDOWN);
	assert_int_equal(sluice_filter_answer(seen->filter, 1, SLUICE_DROP, NULL), -ESHUTDOWN);
	assert_int_equal(receive(seen), -EAGAIN);
}

static void test_a_stop_drops_answers_and_waits_for_its_own(void **state)
{
	struct seen *seen = *state;
	uint64_t n_sent;

	start(seen, &full_ops);
	n_sent = fill_channel(seen);
	send_stop(seen);
	assert_int_equal(process(seen), 0); /* STOPPED has not left yet */
	assert_int_equal(seen->n_stops, 1);
	for (uint64_t i = 0; i < n_sent; i++)
		expect(seen, WIRE_FLOW_VERDICT);
	assert_int_equal(process(seen), -ESHUTDOWN);
	expect(seen, WIRE_STOPPED);
}

static void test_a_vanished_daemon_is_epipe(void **state)
{
	struct seen *seen = *state;

	start(seen, &full_ops);
	seen->daemon = close_fd(seen->daemon);
	assert_int_equal(sluice_filter_answer(seen->filter, 1, SLUICE_ALLOW, NULL), 0);
	assert_int_equal(process(seen), -EPIPE);
	assert_string_equal(sluice_filter_error(seen->filter), "the daemon went away");
	assert_int_equal(process(seen), -EPIPE);
}

static void test_a_stop_counts_though_the_daemon_has_gone(void **state)
{
	struct seen *seen = *state;

	start(seen, &full_ops);
	send_stop(seen);
	seen->daemon = close_fd(seen->daemon);
	assert_int_equal(sluice_filter_answer(seen->filter, 1, SLUICE_ALLOW, NULL), 0);
	assert_int_equal(process(seen), -ESHUTDOWN);
}

static void expect_eproto(struct seen *seen, const char *text)
{
	assert_int_equal(process(seen), -EPROTO);
	assert_string_equal(sluice_filter_error(seen->filter), text);
	assert_int_equal(process(seen), -EPROTO);
}

static void test_a_flow_before_the_start_is_eproto(void **state)
{
	struct seen *seen = *state;

	begin(seen, &full_ops);
	send_welcome(seen);
	assert_int_equal(send_flow(seen, 1), 0);
	expect_eproto(seen, "the daemon broke the protocol: FLOW_NEW: not expected now");
	assert_int_equal(seen->n_flows, 0);
}

static void test_a_second_start_is_eproto(void **state)
{
	struct seen *seen = *state;

	start(seen, &full_ops);
	send_start(seen);
	expect_eproto(seen, "the daemon broke the protocol: START: not expected now");
	assert_int_equal(seen->n_starts, 1);
}

static void test_another_version_is_eproto(void **state)
{
	struct wire_welcome welcome = { .version = 2 };
	struct seen *seen = *state;

	begin(seen, &full_ops);
	send_record(seen, WIRE_WELCOME, &welcome);
	expect_eproto(seen, "the daemon broke the protocol: WELCOME: a version that this library "
			    "cannot speak");
}

static void test_a_malformed_record_is_eproto(void **state)
{
	uint8_t bytes[8] = { 0xff, 0xff };
	struct seen *seen = *state;

	begin(seen, &full_ops);
	assert_int_equal(channel_send_raw(seen->daemon, bytes, sizeof(bytes), -1), 0);
	expect_eproto(seen, "the daemon broke the protocol: a record: type unknown or not for "
			    "this direction");
}

static void test_a_record_of_a_provider_is_eproto(void **state)
{
	struct seen *seen = *state;

	begin(seen, &full_ops);
	send_record(seen, WIRE_PONG, &(struct wire_pong){ .token = 1 });
	assert_int_equal(process(seen), -EPROTO);
}

static void test_log_lines_are_sent_and_cut(void **state)
{
	const struct wire_log *line;
	struct seen *seen = *state;
	char text[600];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	begin(seen, &full_ops);
	sluice_filter_log(seen->filter, LOG_NOTICE, "%d names", 3);
	line = expect(seen, WIRE_LOG);
	assert_int_equal(line->level, LOG_NOTICE);
	assert_string_equal(line->text, "3 names");
	sluice_filter_log(seen->filter, 99, "%s", text);
	line = expect(seen, WIRE_LOG);
	assert_int_equal(line->level, LOG_DEBUG);
	assert_int_equal(strlen(line->text), 511);
}

static void test_addresses_read_well(void **state)
{
	static const struct {
		uint8_t address[16];
		const char *text;
	} cases[] = {
		{ { [10] = 0xff, 0xff, 192, 0, 2, 1 }, "192.0.2.1" },
		{ { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, "2001:db8::1" },
		{ { 0 }, "::" },
	};
	char text[46];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(sluice_address_to_text(cases[i].address, text, sizeof(text)),
				    cases[i].text);
	assert_string_equal(sluice_address_to_text(cases[0].address, text, 4), "");
}

static void test_free_closes_and_takes_null(void **state)
{
	struct seen *seen = *state;

	assert_null(sluice_filter_free(NULL));
	begin(seen, &full_ops);
	assert_int_equal(sluice_filter_get_fd(seen->filter), CHANNEL_FD);
	assert_true(fcntl(CHANNEL_FD, F_GETFD) & FD_CLOEXEC);
	seen->filter = sluice_filter_free(seen->filter);
	assert_null(seen->filter);
	assert_int_equal(receive(seen), -EPIPE);
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
		_exit(sluice_filter_main(&full_ops, seen));
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

	send_welcome(seen);
	send_start(seen);
	send_stop(seen);
	assert_int_equal(run_main(seen, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	expect(seen, WIRE_HELLO);
	expect(seen, WIRE_READY);
	expect(seen, WIRE_STOPPED);
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
	send_welcome(seen);
	send_start(seen);
	send_stop(seen);
	assert_int_equal(run_main(seen, text, sizeof(text)), 1);
	assert_string_equal(text, "");
	expect(seen, WIRE_HELLO);
	assert_int_equal(((const struct wire_ready *)expect(seen, WIRE_READY))->error, EINVAL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_channel_is_enotconn),
		TEST(test_bad_ops_are_einval),
		TEST(test_options_arrive_with_their_files),
		TEST(test_a_refused_option_keeps_the_filter_from_starting),
		TEST(test_a_refusal_without_words_gets_the_errno),
		TEST(test_a_refused_start_says_why),
		TEST(test_a_filter_without_options_refuses_any),
		TEST(test_a_flow_arrives_whole),
		TEST(test_an_answer_is_sent),
		TEST(test_updates_are_sent),
		TEST(test_bad_answers_are_refused),
		TEST(test_a_closed_flow_brings_its_counts),
		TEST(test_older_ops_are_fine),
		TEST(test_a_ping_is_answered),
		TEST(test_answers_wait_for_a_full_channel),
		TEST(test_answering_in_the_callback_never_overflows),
		TEST(test_ready_waits_its_turn),
		TEST(test_a_stop_ends_the_session),
		TEST(test_a_stop_drops_answers_and_waits_for_its_own),
		TEST(test_a_vanished_daemon_is_epipe),
		TEST(test_a_stop_counts_though_the_daemon_has_gone),
		TEST(test_a_flow_before_the_start_is_eproto),
		TEST(test_a_second_start_is_eproto),
		TEST(test_another_version_is_eproto),
		TEST(test_a_malformed_record_is_eproto),
		TEST(test_a_record_of_a_provider_is_eproto),
		TEST(test_log_lines_are_sent_and_cut),
		TEST(test_addresses_read_well),
		TEST(test_free_closes_and_takes_null),
		TEST(test_main_ends_well_after_a_stop),
		TEST(test_main_says_how_to_run_it),
		TEST(test_main_says_that_the_daemon_went),
		TEST(test_main_leaves_a_refusal_to_the_daemon),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
