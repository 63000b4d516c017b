/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: begin, options, flows and answers */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "filter-lab.h"

static void test_no_channel_is_enotconn(void **state)
{
	struct sluice_filter *filter = NULL;
	int pair[2];

	close(CHANNEL_FD);
	assert_int_equal(sluice_filter_new(&filter_full_ops, NULL, &filter), -ENOTCONN);
	assert_int_equal(dup2(open("/dev/null", O_RDWR | O_CLOEXEC), CHANNEL_FD), CHANNEL_FD);
	assert_int_equal(sluice_filter_new(&filter_full_ops, NULL, &filter), -ENOTCONN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dup2(pair[0], CHANNEL_FD), CHANNEL_FD);
	assert_int_equal(sluice_filter_new(&filter_full_ops, NULL, &filter), -ENOTCONN);
	close(pair[0]);
	close(pair[1]);
	pair[0] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(dup2(pair[0], CHANNEL_FD), CHANNEL_FD);
	assert_int_equal(sluice_filter_new(&filter_full_ops, NULL, &filter), -ENOTCONN);
	close(pair[0]);
	assert_null(filter);
}

static void test_bad_ops_are_einval(void **state)
{
	struct sluice_filter_ops ops = filter_full_ops;
	struct sluice_filter *filter = NULL;

	assert_int_equal(sluice_filter_new(NULL, NULL, &filter), -EINVAL);
	ops.size = 0;
	assert_int_equal(sluice_filter_new(&ops, NULL, &filter), -EINVAL);
	ops = filter_full_ops;
	ops.name = "a-name-that-is-one-byte-too-long";
	assert_int_equal(sluice_filter_new(&ops, NULL, &filter), -EINVAL);
	ops.name = "";
	assert_int_equal(sluice_filter_new(&ops, NULL, &filter), -EINVAL);
	ops = filter_full_ops;
	ops.new_flow = NULL;
	assert_int_equal(sluice_filter_new(&ops, NULL, &filter), -EINVAL);
	assert_null(filter);
}

static void test_options_arrive_with_their_files(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct seen *seen = *state;

	filter_begin(seen, &filter_full_ops);
	filter_send_welcome(seen);
	filter_send_option(seen, "list", "ads.hosts", null);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(seen->n_options, 1);
	assert_string_equal(seen->key, "list");
	assert_string_equal(seen->value, "ads.hosts");
	assert_true(seen->option_fd_open);
	/* the library's, and closed by it */
	assert_int_equal(fcntl(seen->option_fd, F_GETFD), -1);
	filter_send_option(seen, "host", "x.example", -1);
	filter_send_start(seen);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(seen->option_fd, -1);
	assert_int_equal(seen->n_starts, 1);
	assert_int_equal(((const struct wire_ready *)filter_expect(seen, WIRE_READY))->error, 0);
}

static void expect_refusal(struct seen *seen, int error, const char *text)
{
	const struct wire_ready *ready;

	filter_send_start(seen);
	assert_int_equal(filter_process(seen), 0);
	ready = filter_expect(seen, WIRE_READY);
	assert_int_equal(ready->error, error);
	assert_string_equal(ready->text, text);
	assert_string_equal(sluice_filter_error(seen->filter), text);
	/* it waits for its end, politely */
	filter_send_record(seen, WIRE_PING, &(struct wire_ping){ .token = 4 });
	assert_int_equal(filter_process(seen), 0);
	filter_expect(seen, WIRE_PONG);
	filter_send_stop(seen);
	assert_int_equal(filter_process(seen), -ESHUTDOWN);
	filter_expect(seen, WIRE_STOPPED);
	assert_int_equal(seen->n_stops, 0);
}

static void test_a_refused_option_keeps_the_filter_from_starting(void **state)
{
	struct seen *seen = *state;

	seen->option_returns = -ENOENT;
	seen->fail_text = "list a: not there: make it";
	filter_begin(seen, &filter_full_ops);
	filter_send_welcome(seen);
	filter_send_option(seen, "list", "a", -1);
	/* the first refusal is told, not what follows from it */
	filter_send_option(seen, "list", "b", -1);
	expect_refusal(seen, ENOENT, "list a: not there: make it");
	assert_int_equal(seen->n_options, 1);
	assert_int_equal(seen->n_starts, 0);
}

static void test_a_refusal_without_words_gets_the_errno(void **state)
{
	struct seen *seen = *state;

	seen->option_returns = -ENOENT;
	filter_begin(seen, &filter_full_ops);
	filter_send_welcome(seen);
	filter_send_option(seen, "list", "a", -1);
	expect_refusal(seen, ENOENT, "option list: No such file or directory");
}

static void test_a_refused_start_says_why(void **state)
{
	struct seen *seen = *state;

	seen->start_returns = -EINVAL;
	seen->fail_text = "no list given: add one";
	filter_begin(seen, &filter_full_ops);
	filter_send_welcome(seen);
	expect_refusal(seen, EINVAL, "no list given: add one");
	assert_int_equal(seen->n_starts, 1);
}

static void test_a_filter_without_options_refuses_any(void **state)
{
	struct seen *seen = *state;

	filter_begin(seen, &filter_small_ops);
	filter_send_welcome(seen);
	filter_send_option(seen, "colour", "blue", -1);
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
	filter_start(seen, &filter_full_ops);
	filter_send_record(seen, WIRE_FLOW_NEW, &sent);
	assert_int_equal(filter_process(seen), 0);
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
	filter_start(seen, &filter_full_ops);
	assert_int_equal(sluice_filter_answer(seen->filter, 5, SLUICE_DROP_SILENT, reason), 0);
	verdict = filter_expect(seen, WIRE_FLOW_VERDICT);
	assert_int_equal(verdict->id, 5);
	assert_int_equal(verdict->verdict, 2);
	assert_int_equal(verdict->scope, 0);
	assert_int_equal(strlen(verdict->reason), 127);
	assert_int_equal(sluice_filter_answer(seen->filter, 6, SLUICE_ALLOW, NULL), 0);
	verdict = filter_expect(seen, WIRE_FLOW_VERDICT);
	assert_string_equal(verdict->reason, "");
}

static void test_updates_are_sent(void **state)
{
	const struct wire_flow_update *update;
	struct seen *seen = *state;

	filter_start(seen, &filter_full_ops);
	assert_int_equal(sluice_filter_update(seen->filter, 5, SLUICE_DROP, "why"), 0);
	update = filter_expect(seen, WIRE_FLOW_UPDATE);
	assert_int_equal(update->id, 5);
	assert_int_equal(update->verdict, 1);
	assert_string_equal(update->reason, "why");
	assert_int_equal(sluice_filter_update(seen->filter, 5, (enum sluice_verdict)3, NULL),
			 -EINVAL);
	assert_int_equal(sluice_filter_forget(seen->filter), 0);
	assert_int_equal(
		((const struct wire_flow_forget *)filter_expect(seen, WIRE_FLOW_FORGET))->again, 0);
	assert_int_equal(sluice_filter_rejudge(seen->filter), 0);
	assert_int_equal(
		((const struct wire_flow_forget *)filter_expect(seen, WIRE_FLOW_FORGET))->again, 1);
}

static void test_bad_answers_are_refused(void **state)
{
	struct seen *seen = *state;

	filter_begin(seen, &filter_full_ops);
	assert_int_equal(sluice_filter_answer(seen->filter, 5, SLUICE_ALLOW, NULL), -EINVAL);
	filter_send_welcome(seen);
	filter_send_start(seen);
	assert_int_equal(filter_process(seen), 0);
	filter_expect(seen, WIRE_READY);
	assert_int_equal(sluice_filter_answer(seen->filter, 5, (enum sluice_verdict)3, NULL),
			 -EINVAL);
	assert_int_equal(sluice_filter_answer(seen->filter, 5, (enum sluice_verdict)(-1), NULL),
			 -EINVAL);
	assert_int_equal(filter_receive(seen), -EAGAIN);
}

static void test_a_closed_flow_brings_its_counts(void **state)
{
	struct wire_flow_closed closed = { .id = 3, .bytes_in = 1ULL << 40, .bytes_out = 2 };
	struct seen *seen = *state;

	filter_start(seen, &filter_full_ops);
	filter_send_record(seen, WIRE_FLOW_CLOSED, &closed);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(seen->n_closed, 1);
	assert_int_equal(seen->closed_id, 3);
	assert_true(seen->bytes_in == 1ULL << 40);
	assert_int_equal(seen->bytes_out, 2);
}

static void test_ready_tells_who_wants_ends(void **state)
{
	assert_int_equal(filter_ready(*state, &filter_full_ops)->closed, 1);
}

static void test_ready_tells_who_does_not(void **state)
{
	struct sluice_filter_ops ops = filter_full_ops;

	ops.flow_closed = NULL;
	assert_int_equal(filter_ready(*state, &ops)->closed, 0);
}

/* a program built against an older header has shorter ops: nothing behind them is read */
static void test_older_ops_are_fine(void **state)
{
	struct sluice_filter_ops ops = filter_full_ops;
	struct wire_flow_closed closed = { .id = 3 };
	struct seen *seen = *state;

	ops.size = offsetof(struct sluice_filter_ops, flow_closed);
	filter_start(seen, &ops);
	filter_send_record(seen, WIRE_FLOW_CLOSED, &closed);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(seen->n_closed, 0);
	filter_send_stop(seen);
	assert_int_equal(filter_process(seen), -ESHUTDOWN);
	assert_int_equal(seen->n_stops, 0);
}

static void test_a_ping_is_answered(void **state)
{
	struct seen *seen = *state;

	filter_begin(seen, &filter_full_ops);
	filter_send_welcome(seen);
	filter_send_record(seen, WIRE_PING, &(struct wire_ping){ .token = 1 });
	filter_send_start(seen);
	filter_send_record(seen, WIRE_PING, &(struct wire_ping){ .token = UINT64_MAX });
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(((const struct wire_pong *)filter_expect(seen, WIRE_PONG))->token, 1);
	filter_expect(seen, WIRE_READY);
	assert_true(((const struct wire_pong *)filter_expect(seen, WIRE_PONG))->token ==
		    UINT64_MAX);
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
	filter_begin(seen, &filter_full_ops);
	assert_int_equal(sluice_filter_get_fd(seen->filter), CHANNEL_FD);
	assert_true(fcntl(CHANNEL_FD, F_GETFD) & FD_CLOEXEC);
	seen->filter = sluice_filter_free(seen->filter);
	assert_null(seen->filter);
	assert_int_equal(filter_receive(seen), -EPIPE);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, filter_set_up, filter_tear_down)

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
		TEST(test_ready_tells_who_wants_ends),
		TEST(test_ready_tells_who_does_not),
		TEST(test_older_ops_are_fine),
		TEST(test_a_ping_is_answered),
		TEST(test_addresses_read_well),
		TEST(test_free_closes_and_takes_null),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
