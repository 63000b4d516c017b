/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every allocation fails once
 *
 * A story, which has most of what a daemon does in it, is told again and again: in its nth
 * telling the nth allocation fails, sluiced's own and those of the libraries that it calls, until
 * a telling has fewer than that; and then again with all behind the nth failing as well.
 * Whatever fails: nothing crashes or leaks, every packet has an answer once the deadline is
 * over, nothing goes out that was denied or that the fail class refuses, and when there is
 * memory again the next flow is judged as ever.
 *
 * A daemon that does not start, or whose loop ends, has a successor, as the keeper sees to.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "story.h"

#define ALLOCATIONS_MAX 20000U /* a story that makes more does not end */
#define ALL_FAIL_STEP 7U
#define FILTERS 2U
#define ROUNDS 400     /* of 20 ms: more than any back-off */
#define ROUNDS_ONE 100 /* after one failure: twice it is less than a start that nobody hears */
#define ROUND_US 20000U

static const struct lab_packet fresh = {
	.proto = IPPROTO_UDP, .lport = 40005, .rport = 2000, .last = 13
};

struct story {
	struct lab *lab;
	uint32_t pids[LAB_FILTERS_MAX]; /* of the filters that have begun to speak */
	bool is_denied;			/* a filter that runs denies what it is asked */
	int client;
	int rounds; /* within which all run */
};

/* ---- the filters and sluice-names ---- */

/* one that is not heard has been cut off, and will be started again */
static bool say(struct story *story, unsigned int filter, uint16_t type, const void *body)
{
	struct lab *lab = story->lab;
	bool is_said = lab->filters[filter].sock >= 0 &&
		       channel_send(lab->filters[filter].sock, &wire_provider_channel, type, body,
				    NULL, 0, -1) == 0;

	if (lab->daemon)
		lab_settle(lab);
	return is_said;
}

static void begin_filter(struct story *story, unsigned int i)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = 1 };
	struct wire_ready ready = { 0 };

	if (story->lab->filters[i].sock < 0 || story->pids[i] == story->lab->filters[i].pid)
		return;
	story->pids[i] = story->lab->filters[i].pid;
	if (say(story, i, WIRE_HELLO, &hello))
		(void)say(story, i, WIRE_READY, &ready);
}

static void judge(struct story *story, unsigned int i, const struct wire_flow_new *flow)
{
	struct wire_flow_verdict verdict = { .id = flow->id, .reason = "unit" };
	bool is_denied = flow->dport == denied.rport;

	if (flow->dport == unanswered.rport)
		return;
	(void)say(story, i, WIRE_FLOW_WATCH,
		  &(struct wire_flow_watch){ .id = flow->id, .rate = WATCH_HIGH });
	verdict.verdict = is_denied;
	verdict.scope = flow->dport == allowed.rport ? MEMORY_ADDRESS : MEMORY_FLOW;
	if (say(story, i, WIRE_FLOW_VERDICT, &verdict))
		story->is_denied |= is_denied;
}

static void speak(struct story *story, unsigned int i)
{
	struct wire_pong pong = { 0 };

	begin_filter(story, i);
	for (;;) {
		const void *body = lab_take(story->lab, i, WIRE_FLOW_NEW);

		if (!body)
			break;
		judge(story, i, body);
	}
	(void)say(story, i, WIRE_PONG, &pong);
}

static void read_answers(struct story *story)
{
	struct wire_done done;
	const struct wire_look *look;

	while ((look = lab_take_look(story->lab))) {
		done = (struct wire_done){ .token = look->token };
		if (story->lab->names.sock < 0)
			return;
		(void)channel_send(story->lab->names.sock, &wire_names_channel, WIRE_DONE, &done,
				   NULL, 0, -1);
		lab_settle(story->lab);
	}
}

/* everybody says what there is to say; the keeper starts who is to be started */
static void pass(struct story *story, uint64_t us)
{
	struct lab *lab = story->lab;

	if (!lab->daemon)
		return;
	lab_pass(lab, us);
	for (unsigned int i = 0; i < FILTERS; i++)
		speak(story, i);
	read_answers(story);
	if (!lab->loop_error)
		return;
	lab_crash(lab);
	if (lab_start(lab) < 0)
		lab_crash(lab);
}

static bool are_running(const struct daemon *daemon)
{
	for (unsigned int i = 0; daemon && i < FILTERS; i++)
		if (daemon->filters[i].session.state != SESSION_RUNNING)
			return false;
	return daemon && daemon->names_sock >= 0;
}

/* Return: false: not while memory is short */
static bool run_all(struct story *story)
{
	for (int i = 0; i < story->rounds && !are_running(story->lab->daemon); i++)
		pass(story, ROUND_US);
	return are_running(story->lab->daemon);
}

/* ---- the client of the control socket ---- */

static void hang_up(struct story *story)
{
	story->client = close_fd(story->client);
}

static void call(struct story *story, const char *method, const char *parameters)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char text[1024];
	int n = snprintf(text, sizeof(text),
			 "{\"method\":\"io.sluice.Control.%s\",\"more\":true,\"parameters\":{%s}}",
			 method, parameters);

	hang_up(story);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", story->lab->folder);
	story->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(story->client, (struct sockaddr *)&address, sizeof(address)) == 0)
		(void)!send(story->client, text, (size_t)n + 1, MSG_NOSIGNAL);
	pass(story, ROUND_US);
}

/* ---- the story ---- */

static unsigned int put(struct story *story, const struct lab_packet *packet)
{
	unsigned int index = lab_put(story->lab, packet);

	pass(story, 0);
	return index;
}

static void tell_flows(struct story *story, unsigned int no[3])
{
	put(story, &dns_answer);
	put(story, &allowed);
	put(story, &tcp_again); /* remembered */
	no[0] = put(story, &denied);
	no[1] = put(story, &denied);
	no[2] = put(story, &unanswered);
}

static void tell_questions(struct story *story)
{
	call(story, "GetStatus", "");
	call(story, "Doctor", "");
	call(story, "Why", "");
	call(story, "Why", "\"denied\":true");
	call(story, "ListAddresses", "\"program\":{\"uid\":1000},\"host\":\"a.example\"");
	call(story, "Explain",
	     "\"program\":{\"exe\":\"/bin/curl\",\"exe_device\":1,\"exe_inode\":2,\"uid\":1000,"
	     "\"cgroup_id\":3,\"pid\":4242,\"cgroup\":\"/app.service\"},"
	     "\"target\":{\"address\":\"198.51.100.9\",\"port\":443,\"proto\":\"tcp\"}");
	call(story, "Nonsense", "");
	call(story, "ListFlows", "\"follow\":true"); /* it stays */
}

static void tell_changes(struct story *story)
{
	struct wire_flow_forget rejudge = { .again = 1 };

	(void)say(story, 0, WIRE_FLOW_FORGET, &rejudge);
	pass(story, TICK_US);
	if (!story->lab->daemon)
		return;
	lab_end_filter(story->lab, 1);
	lab_end_names(story->lab);
	pass(story, TICK_US);
}

static void check_fates(struct story *story, const unsigned int no[3])
{
	struct lab *lab = story->lab;

	for (unsigned int i = 0; i < fake_n_packets(lab->kernel); i++)
		assert_int_not_equal(lab_fate(lab, i), FATE_HELD);
	if (lab->config.is_closed[0] || story->is_denied)
		assert_int_not_equal(lab_fate(lab, no[0]), FATE_ALLOWED);
	if (!lab->config.is_closed[0])
		return;
	assert_int_not_equal(lab_fate(lab, no[1]), FATE_ALLOWED);
	assert_int_not_equal(lab_fate(lab, no[2]), FATE_ALLOWED);
}

static void bring_back(struct story *story)
{
	alloc_forgive();
	for (int i = 0; i < 2 && !story->lab->daemon; i++)
		if (lab_start(story->lab) < 0)
			lab_crash(story->lab);
	assert_true(run_all(story));
}

static void check_normal(struct story *story)
{
	unsigned int no, yes;

	no = put(story, &denied);
	yes = put(story, &fresh);
	assert_int_equal(lab_fate(story->lab, yes), FATE_ALLOWED);
	assert_int_equal(lab_fate(story->lab, no), FATE_REJECTED);
}

static void start(struct story *story)
{
	if (lab_start(story->lab) < 0) {
		assert_false(fake_is_installed(story->lab->kernel));
		lab_crash(story->lab);
	} else {
		story->lab->daemon->flows_fd = memfd_create("flows", MFD_CLOEXEC);
	}
}

static void tell_life(struct story *story, unsigned int nth, bool is_always)
{
	unsigned int no[3];
	bool is_up;

	alloc_fail(nth, is_always);
	start(story);
	is_up = story->lab->daemon && run_all(story);
	if (is_up) {
		tell_flows(story, no);
		tell_questions(story);
		tell_changes(story);
		pass(story, FLOW_DEADLINE_US);
		pass(story, TICK_US);
	}
	bring_back(story);
	if (is_up) {
		pass(story, FLOW_DEADLINE_US);
		pass(story, TICK_US);
		check_fates(story, no);
	}
	check_normal(story);
}

/* the last flows of an instance that ends */
static void tell_stop(struct story *story, unsigned int nth, bool is_always)
{
	struct lab *lab = story->lab;
	unsigned int no;

	start(story);
	assert_true(run_all(story));
	put(story, &allowed);
	call(story, "ListFlows", "\"follow\":true");
	no = put(story, &unanswered);
	put(story, &dns_answer);
	alloc_fail(nth, is_always);
	lab_stop(lab);
	assert_int_not_equal(lab_fate(lab, no), FATE_HELD);
	if (lab->config.is_closed[0])
		assert_int_not_equal(lab_fate(lab, no), FATE_ALLOWED);
	assert_false(fake_is_installed(lab->kernel));
}

struct plot {
	void (*tell)(struct story *story, unsigned int nth, bool is_always);
	bool is_closed;
};

static bool tell_once(unsigned int nth, bool is_always, void *data)
{
	const struct plot *plot = data;
	struct lab_config config = { .n_filters = FILTERS,
				     .is_closed = { plot->is_closed, plot->is_closed } };
	struct story story = { .client = -1,
			       .lab = lab_new(&config),
			       .rounds = is_always ? ROUNDS : ROUNDS_ONE };

	alloc_forgive();
	plot->tell(&story, nth, is_always);
	alloc_forgive();
	hang_up(&story);
	lab_free(story.lab);
	return alloc_has_failed();
}

static void tell_each(struct plot plot, bool is_always, unsigned int step)
{
	alloc_tell_each(tell_once, &plot, is_always, step, 10, ALLOCATIONS_MAX);
}

static void test_one_fails_closed(void **state)
{
	tell_each((struct plot){ tell_life, true }, false, 1);
}

static void test_one_fails_open(void **state)
{
	tell_each((struct plot){ tell_life, false }, false, 1);
}

static void test_all_fail_closed(void **state)
{
	tell_each((struct plot){ tell_life, true }, true, ALL_FAIL_STEP);
}

static void test_all_fail_open(void **state)
{
	tell_each((struct plot){ tell_life, false }, true, ALL_FAIL_STEP);
}

static void test_stop(void **state)
{
	tell_each((struct plot){ tell_stop, true }, false, 1);
	tell_each((struct plot){ tell_stop, true }, true, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails_closed),
		cmocka_unit_test(test_one_fails_open),
		cmocka_unit_test(test_all_fail_closed),
		cmocka_unit_test(test_all_fail_open),
		cmocka_unit_test(test_stop),
	};

	if (argc > 1) { /* one telling alone, for a debugger; "NTH all" for all behind it */
		(void)tell_once((unsigned int)strtoul(argv[1], NULL, 10), argc > 2,
				&(struct plot){ tell_life, true });
		return 0;
	}
	return cmocka_run_group_tests_name("daemon-memory-out", tests, NULL, NULL);
}
