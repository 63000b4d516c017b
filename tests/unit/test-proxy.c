/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: a proxy session */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy-lab.h"
#include "wire/settings.h"

/* ---- it begins ---- */

static void expect_new(const struct sluice_proxy_ops *ops, int error)
{
	struct sluice_proxy *proxy = NULL;
	unsigned int n_fds = proxy_n_fds();

	assert_int_equal(sluice_proxy_new(ops, NULL, &proxy), error);
	assert_null(proxy);
	assert_int_equal(proxy_n_fds(), n_fds);
}

static void test_ops_that_are_none(void **state)
{
	struct sluice_proxy_ops ops = proxy_full_ops;

	expect_new(NULL, -EINVAL);
	ops.new_flow = NULL;
	expect_new(&ops, -EINVAL);
	ops = proxy_full_ops;
	ops.kind = (enum sluice_proxy_kind)2;
	expect_new(&ops, -EINVAL);
	ops = proxy_full_ops;
	ops.name = NULL;
	expect_new(&ops, -EINVAL);
	ops.name = "a name of so many letters that it is too long";
	expect_new(&ops, -EINVAL);
	ops = proxy_full_ops;
	ops.size = offsetof(struct sluice_proxy_ops, new_flow); /* of before there was one */
	expect_new(&ops, -EINVAL);
}

static void test_there_is_no_channel(void **state)
{
	int kept = fcntl(CHANNEL_FD, F_DUPFD_CLOEXEC, 100);

	close(CHANNEL_FD);
	expect_new(&proxy_full_ops, -ENOTCONN);
	assert_int_equal(dup2(kept, CHANNEL_FD), CHANNEL_FD);
	close(kept);
}

static void test_it_says_what_it_is(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_null(sluice_proxy_free(NULL));
}

static void test_an_app_proxy_says_so(void **state)
{
	proxy_start(*state, &proxy_app_ops);
}

static void test_it_cannot_start(void **state)
{
	struct proxied *proxied = *state;
	const struct wire_ready *ready;

	proxied->start_returns = -EHOSTDOWN;
	proxy_begin(proxied, &proxy_full_ops);
	filter_send_welcome(proxied->seen);
	filter_send_start(proxied->seen);
	assert_int_equal(proxy_process(proxied), 0);
	ready = filter_expect(proxied->seen, WIRE_READY);
	assert_int_equal(ready->error, EHOSTDOWN);
	assert_string_equal(ready->text, "no upstream");
}

static void test_it_takes_no_options(void **state)
{
	struct proxied *proxied = *state;
	const struct wire_ready *ready;

	proxy_begin(proxied, &proxy_full_ops);
	filter_send_welcome(proxied->seen);
	filter_send_option(proxied->seen, "colour", "red", -1);
	filter_send_start(proxied->seen);
	assert_int_equal(proxy_process(proxied), 0);
	ready = filter_expect(proxied->seen, WIRE_READY);
	assert_int_equal(ready->error, EINVAL);
	assert_string_equal(ready->text, "test-proxy takes no options: leave out \"colour\"");
}

static void test_it_is_stopped(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	filter_send_stop(proxied->seen);
	assert_int_equal(proxy_process(proxied), -ESHUTDOWN);
	filter_expect(proxied->seen, WIRE_STOPPED);
	assert_int_equal(proxied->n_stops, 1);
	assert_int_equal(proxied->returned, -ESHUTDOWN);
	assert_int_equal(sluice_proxy_ask_end(proxied->proxy, 1), -ESHUTDOWN);
	assert_int_equal(sluice_proxy_rules(proxied->proxy, NULL, 0, NULL, 0), -ESHUTDOWN);
	assert_int_equal(sluice_proxy_open(proxied->proxy, 1, 1, NULL), -ESHUTDOWN);
}

/* ---- it is asked ---- */

static void check_declined(struct proxied *proxied, const struct sluice_proxy_ops *ops,
			   uint8_t verdict)
{
	const struct wire_flow_verdict *said;

	proxied->choice = SLUICE_PROXY_DECLINE;
	proxy_start(proxied, ops);
	proxy_ask(proxied, 7);
	said = filter_expect(proxied->seen, WIRE_FLOW_VERDICT);
	assert_int_equal(said->id, 7);
	assert_int_equal(said->verdict, verdict);
	assert_int_equal(said->scope, 0);
	assert_string_equal(said->reason, "declined");
	proxy_expect_nothing(proxied);
}

static void test_declined_it_goes_directly(void **state)
{
	check_declined(*state, &proxy_full_ops, 0);
}

static void test_declined_by_an_app_proxy_it_is_refused(void **state)
{
	check_declined(*state, &proxy_app_ops, 1);
}

static void test_taken_now_and_opened_later(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	proxy_ask_to_take(proxied, 7);
	proxy_ask_to_take(proxied, 8);
	assert_int_equal(sluice_proxy_open(proxied->proxy, 8, -ECONNREFUSED, NULL), 0);
	assert_int_equal(sluice_proxy_open(proxied->proxy, 7, 0, "by here"), 0);
	proxy_expect_opened(proxied, 8, ECONNREFUSED);
	proxy_expect_opened(proxied, 7, 0);
	assert_string_equal(WIRE_BODY(&proxied->seen->message, struct wire_flow_opened)->reason,
			    "by here");
	proxy_expect_nothing(proxied);
}

/* that takes it, whatever new_flow returns */
static void check_opened_at_once(struct proxied *proxied, enum sluice_proxy_choice choice)
{
	proxied->opens = true;
	proxied->choice = choice;
	proxied->error = -ENETUNREACH;
	proxy_start(proxied, &proxy_full_ops);
	proxy_ask(proxied, 7);
	assert_int_equal(proxied->returned, 0);
	proxy_expect_opened(proxied, 7, ENETUNREACH);
	proxy_expect_nothing(proxied);
}

static void test_taken_and_opened_at_once(void **state)
{
	check_opened_at_once(*state, SLUICE_PROXY_TAKE);
}

static void test_opened_and_declined(void **state)
{
	check_opened_at_once(*state, SLUICE_PROXY_DECLINE);
}

static void test_each_error(void **state)
{
	static const struct {
		int error;
		uint32_t said;
	} errors[] = {
		{ 0, 0 },	 { -EACCES, EACCES }, { -ETIMEDOUT, ETIMEDOUT },
		{ -4095, 4095 }, { -4096, 4095 },     { INT_MIN, 4095 },
	};
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		assert_int_equal(sluice_proxy_open(proxied->proxy, i + 1, errors[i].error, NULL),
				 0);
		proxy_expect_opened(proxied, i + 1, errors[i].said);
	}
	assert_int_equal(sluice_proxy_open(proxied->proxy, 1, EACCES, NULL), -EINVAL);
	proxy_expect_nothing(proxied);
}

static void test_too_early(void **state)
{
	struct proxied *proxied = *state;

	proxy_begin(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_open(proxied->proxy, 1, 0, NULL), -EINVAL);
	assert_int_equal(sluice_proxy_ask_end(proxied->proxy, 1), -EINVAL);
	proxy_expect_nothing(proxied);
}

static void test_a_long_reason_is_cut(void **state)
{
	struct proxied *proxied = *state;
	char reason[400];

	memset(reason, 'x', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_open(proxied->proxy, 1, 0, reason), 0);
	proxy_expect_opened(proxied, 1, 0);
	assert_int_equal(
		strlen(WIRE_BODY(&proxied->seen->message, struct wire_flow_opened)->reason), 127);
}

/* ---- it hears ---- */

static void test_the_connection_is_its_own(void **state)
{
	struct proxied *proxied = *state;
	unsigned int n_fds;
	int pair[2];
	char byte = 0;

	proxy_start(proxied, &proxy_full_ops);
	proxy_tcp_pair(pair);
	proxy_send_socket(proxied, 7, pair[0]);
	close(pair[0]);
	n_fds = proxy_n_fds();
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxy_n_fds(), n_fds + 1);
	assert_int_equal(proxied->n_opened, 1);
	assert_int_equal(proxied->opened, 7);
	assert_true(fcntl(proxied->fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(send(proxied->fd, "x", 1, 0), 1);
	assert_int_equal(recv(pair[1], &byte, 1, 0), 1);
	sluice_proxy_close(TAKE_FD(proxied->fd), 0);
	assert_int_equal(recv(pair[1], &byte, 1, 0), 0); /* nobody else has it */
	close(pair[1]);
	assert_int_equal(proxy_n_fds(), n_fds - 1);
}

static void test_a_connection_that_nobody_wants(void **state)
{
	struct proxied *proxied = *state;
	unsigned int n_fds;
	int pair[2];
	char byte;

	proxy_start(proxied, &proxy_small_ops);
	n_fds = proxy_n_fds();
	proxy_tcp_pair(pair);
	proxy_send_socket(proxied, 7, pair[0]);
	close(pair[0]);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(recv(pair[1], &byte, 1, 0), -1); /* a reset */
	close(pair[1]);
	assert_int_equal(proxy_n_fds(), n_fds);
}

static void check_close(int error, int wanted)
{
	int pair[2], r;
	char byte;

	proxy_tcp_pair(pair);
	sluice_proxy_close(pair[0], error);
	r = (int)recv(pair[1], &byte, 1, 0);
	assert_int_equal(r < 0 ? -errno : r, wanted);
	close(pair[1]);
}

static void test_how_it_is_closed(void **state)
{
	check_close(0, 0);
	check_close(-ECONNRESET, -ECONNRESET);
}

static void test_cancelled(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	proxy_ask_to_take(proxied, 7);
	proxy_send_cancel(proxied, 7);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_cancelled, 1);
	assert_int_equal(proxied->cancelled, 7);
}

static void test_how_it_ended(void **state)
{
	struct proxied *proxied = *state;
	const struct wire_flow_ask_end *asked;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_ask_end(proxied->proxy, 7), 0);
	asked = filter_expect(proxied->seen, WIRE_FLOW_ASK_END);
	assert_int_equal(asked->id, 7);
	proxy_send_end(proxied, 7, false);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_ended, 1);
	assert_int_equal(proxied->ended, 7);
	assert_int_equal(proxied->end, SLUICE_PROXY_HALF);
	proxy_send_end(proxied, 8, true);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->n_ended, 2);
	assert_int_equal(proxied->ended, 8);
	assert_int_equal(proxied->end, SLUICE_PROXY_FULL);
}

static void test_callbacks_that_it_has_not(void **state)
{
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_small_ops);
	proxy_send_cancel(proxied, 7);
	proxy_send_end(proxied, 7, true);
	filter_send_stop(proxied->seen);
	assert_int_equal(proxy_process(proxied), -ESHUTDOWN);
	assert_int_equal(proxied->n_cancelled + proxied->n_ended + proxied->n_stops, 0);
}

/* ---- rules ---- */

static void expect_rule(struct proxied *proxied, uint8_t action, const char *host, uint16_t port)
{
	const struct wire_rule *rule = filter_expect(proxied->seen, WIRE_RULE);

	assert_int_equal(rule->action, action);
	assert_string_equal(rule->host, host);
	assert_int_equal(rule->rport, port);
	assert_string_equal(rule->reason, "");
}

static void expect_commit(struct proxied *proxied)
{
	const struct wire_rules_commit *commit = filter_expect(proxied->seen, WIRE_RULES_COMMIT);

	assert_int_equal(commit->otherwise, SLUICE_RULE_ALLOW);
}

static void test_excluded_rules_come_first(void **state)
{
	const struct sluice_rule included[] = {
		{ .size = sizeof(included[0]), .domain = "example", .action = SLUICE_RULE_DROP },
		{ .size = sizeof(included[0]), .remote_port = 22, .reason = "ignored" },
	};
	const struct sluice_rule excluded[] = {
		{ .size = sizeof(excluded[0]), .host = "a.example", .action = SLUICE_RULE_ASK },
	};
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_rules(proxied->proxy, included, 2, excluded, 1), 0);
	assert_int_equal(proxy_process(proxied), 0);
	filter_expect(proxied->seen, WIRE_RULES_BEGIN);
	expect_rule(proxied, SLUICE_RULE_ALLOW, "a.example", 0);
	expect_rule(proxied, SLUICE_RULE_ASK, "example", 0);
	expect_rule(proxied, SLUICE_RULE_ASK, "", 22);
	expect_commit(proxied);
	assert_int_equal(sluice_proxy_rules(proxied->proxy, NULL, 0, NULL, 0), 0);
	assert_int_equal(proxy_process(proxied), 0);
	filter_expect(proxied->seen, WIRE_RULES_BEGIN);
	expect_commit(proxied);
}

static void test_a_rule_that_is_wrong(void **state)
{
	const struct sluice_rule wrong = { .size = sizeof(wrong), .remote_address = "nowhere" };
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_rules(proxied->proxy, &wrong, 1, NULL, 0), -EINVAL);
	assert_non_null(strstr(sluice_proxy_error(proxied->proxy), "not an address"));
	assert_int_equal(proxy_process(proxied), 0);
	proxy_expect_nothing(proxied); /* nothing of it is sent */
	assert_int_equal(sluice_proxy_rules(proxied->proxy, NULL, 0, NULL, 0), 0);
	assert_int_equal(proxy_process(proxied), 0);
	filter_expect(proxied->seen, WIRE_RULES_BEGIN);
	expect_commit(proxied);
}

/* a program that was built with a later header has larger ones */
static void test_rules_of_a_later_program(void **state)
{
	struct {
		struct sluice_rule rule;
		uint64_t later;
	} included[2] = { { .rule = { .size = sizeof(included[0]), .remote_port = 1 } },
			  { .rule = { .size = sizeof(included[0]), .remote_port = 2 } } };
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_rules(proxied->proxy, &included[0].rule, 2, NULL, 0), 0);
	assert_int_equal(proxy_process(proxied), 0);
	filter_expect(proxied->seen, WIRE_RULES_BEGIN);
	expect_rule(proxied, SLUICE_RULE_ASK, "", 1);
	expect_rule(proxied, SLUICE_RULE_ASK, "", 2);
	expect_commit(proxied);
	included[1].later = 1; /* it means something that is not known here */
	assert_int_equal(sluice_proxy_rules(proxied->proxy, &included[0].rule, 2, NULL, 0), -E2BIG);
}

/* ---- settings ---- */

/* each member that is not supported is refused by its name, and the rules beside it are not taken */
static void test_settings_that_are_not_supported(void **state)
{
	static const struct {
		const char *name;
		size_t at, n;
	} fields[] = {
#define FIELD(member)                                                                              \
	{ #member, offsetof(struct sluice_proxy_settings, member),                                 \
	  sizeof(((struct sluice_proxy_settings *)0)->member) },
		WIRE_UNSUPPORTED_SETTINGS(FIELD)
	};
	const struct sluice_rule rule = { .size = sizeof(rule), .remote_port = 443 };
	size_t end = offsetof(struct sluice_proxy_settings, n_excluded) + sizeof(size_t);
	struct proxied *proxied = *state;
	char words[80];

	proxy_start(proxied, &proxy_full_ops);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct sluice_proxy_settings settings = { .size = sizeof(settings),
							  .included = &rule,
							  .n_included = 1 };

		/* no member is left out: they follow each other, but for what alignment needs */
		assert_in_range(fields[i].at - end, 0, sizeof(void *) - 1);
		end = fields[i].at + fields[i].n;
		((uint8_t *)&settings)[end - 1] = 1;
		assert_int_equal(sluice_proxy_settings(proxied->proxy, &settings), -EOPNOTSUPP);
		snprintf(words, sizeof(words), "unsupported field %s", fields[i].name);
		assert_string_equal(sluice_proxy_error(proxied->proxy), words);
		assert_int_equal(proxy_process(proxied), 0);
		proxy_expect_nothing(proxied);
		assert_string_equal(wire_settings_unsupported(fields[i].name), fields[i].name);
	}
	assert_in_range(sizeof(struct sluice_proxy_settings) - end, 0, sizeof(void *) - 1);
}

static void test_settings_of_another_version(void **state)
{
	struct {
		struct sluice_proxy_settings now;
		uint64_t later;
	} settings = { .now = { .size = sizeof(settings) }, .later = 1 };
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_settings(proxied->proxy, &settings.now), -EOPNOTSUPP);
	assert_string_equal(sluice_proxy_error(proxied->proxy),
			    "unsupported field of a later version");
	settings.later = 0;
	assert_int_equal(sluice_proxy_settings(proxied->proxy, &settings.now), 0);
	settings.now.size = offsetof(struct sluice_proxy_settings, n_excluded);
	assert_int_equal(sluice_proxy_settings(proxied->proxy, &settings.now), -EINVAL);
}

static void test_settings_are_rules(void **state)
{
	const struct sluice_rule included = { .size = sizeof(included), .remote_port = 443 };
	const struct sluice_rule excluded = { .size = sizeof(excluded), .host = "a.example" };
	const struct sluice_proxy_settings settings = { .size = sizeof(settings),
							.included = &included,
							.n_included = 1,
							.excluded = &excluded,
							.n_excluded = 1 };
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_settings(proxied->proxy, &settings), 0);
	assert_int_equal(proxy_process(proxied), 0);
	filter_expect(proxied->seen, WIRE_RULES_BEGIN);
	expect_rule(proxied, SLUICE_RULE_ALLOW, "a.example", 0);
	expect_rule(proxied, SLUICE_RULE_ASK, "", 443);
	expect_commit(proxied);
}

/* what came of them */
static void test_rules_are_done(void **state)
{
	const struct wire_rules_done outcomes[] = {
		{ .set = 1 },
		{ .set = 1, .error = EOVERFLOW, .rule = 2, .text = "too many" },
	};
	struct proxied *proxied = *state;

	proxy_start(proxied, &proxy_full_ops);
	assert_int_equal(sluice_proxy_rules(proxied->proxy, NULL, 0, NULL, 0), 0);
	for (unsigned int i = 0; i < 2; i++) {
		filter_send_record(proxied->seen, WIRE_RULES_DONE, &outcomes[i]);
		assert_int_equal(proxy_process(proxied), 0);
		assert_int_equal(proxied->n_done, i + 1);
		assert_int_equal(proxied->done_error, i ? -EOVERFLOW : 0);
		assert_int_equal(proxied->done_number, i ? 2 : 0);
	}
}

static void give_rules(struct proxied *proxied)
{
	const struct sluice_rule rule = { .size = sizeof(rule), .remote_port = 443 };

	proxied->returned = sluice_proxy_rules(proxied->proxy, &rule, 1, NULL, 0);
}

static void test_rules_of_its_start_come_before_it_is_ready(void **state)
{
	struct proxied *proxied = *state;

	proxied->on_start = give_rules;
	proxy_begin(proxied, &proxy_full_ops);
	filter_send_welcome(proxied->seen);
	filter_send_start(proxied->seen);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxy_process(proxied), 0);
	assert_int_equal(proxied->returned, 0);
	filter_expect(proxied->seen, WIRE_RULES_BEGIN);
	expect_rule(proxied, SLUICE_RULE_ASK, "", 443);
	expect_commit(proxied);
	filter_expect(proxied->seen, WIRE_READY);
}

static void test_a_line_for_the_log(void **state)
{
	struct proxied *proxied = *state;
	const struct wire_log *line;

	proxy_start(proxied, &proxy_full_ops);
	sluice_proxy_log(proxied->proxy, 3, "%d %s", 5, "flows");
	line = filter_expect(proxied->seen, WIRE_LOG);
	assert_int_equal(line->level, 3);
	assert_string_equal(line->text, "5 flows");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, proxy_set_up, proxy_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_ops_that_are_none),
		TEST(test_there_is_no_channel),
		TEST(test_it_says_what_it_is),
		TEST(test_an_app_proxy_says_so),
		TEST(test_it_cannot_start),
		TEST(test_it_takes_no_options),
		TEST(test_it_is_stopped),
		TEST(test_declined_it_goes_directly),
		TEST(test_declined_by_an_app_proxy_it_is_refused),
		TEST(test_taken_now_and_opened_later),
		TEST(test_taken_and_opened_at_once),
		TEST(test_opened_and_declined),
		TEST(test_each_error),
		TEST(test_too_early),
		TEST(test_a_long_reason_is_cut),
		TEST(test_the_connection_is_its_own),
		TEST(test_a_connection_that_nobody_wants),
		TEST(test_how_it_is_closed),
		TEST(test_cancelled),
		TEST(test_how_it_ended),
		TEST(test_callbacks_that_it_has_not),
		TEST(test_excluded_rules_come_first),
		TEST(test_a_rule_that_is_wrong),
		TEST(test_rules_of_a_later_program),
		TEST(test_settings_that_are_not_supported),
		TEST(test_settings_of_another_version),
		TEST(test_settings_are_rules),
		TEST(test_rules_are_done),
		TEST(test_rules_of_its_start_come_before_it_is_ready),
		TEST(test_a_line_for_the_log),
	};

	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
