/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every allocation fails once while a filter looks at what flows carry
 *
 * As test-daemon-memory-out.c. A filter lets "fine" go and denies what carries "deny", of a
 * connection that is repeated as TCP would, in both directions, of datagrams, and of a
 * connection whose sluiced is replaced. Whatever fails: nothing leaks, no packet is held for
 * ever, nothing that carries "deny" goes where the filter fails closed, and when there
 * is memory again the next flow is looked at as ever.
 */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "alloc.h"
#include "base/macros.h"
#include "peek-lab.h"

#define NAMED_PORT 8014U /* of a flow that is judged by its host */
#define ALLOCATIONS_MAX 5000U
#define PUT_MAX 32U
#define ROUNDS 400U  /* more than any back-off */
#define SERVER 5000U /* its first sequence number */
#define LOOK 4U	     /* bytes: one word */

static const char bad[] = "deny";

struct story {
	struct lab *lab;
	uint32_t pid;				/* of the filter that has begun to speak */
	unsigned int denied[PUT_MAX], n_denied; /* packets that carry it */
};

/* ---- the filter ---- */

/* one that is not heard has been cut off, and will be started again */
static void say(struct lab *lab, uint16_t type, const void *body)
{
	if (lab->filters[0].sock >= 0)
		(void)channel_send(lab->filters[0].sock, &wire_provider_channel, type, body, NULL,
				   0, -1);
	lab_settle(lab);
}

static void begin(struct story *story)
{
	const struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = 1 };

	if (story->lab->filters[0].sock < 0 || story->pid == story->lab->filters[0].pid)
		return;
	story->pid = story->lab->filters[0].pid;
	say(story->lab, WIRE_HELLO, &hello);
	say(story->lab, WIRE_READY, &(struct wire_ready){ .data = 1 });
}

static void look(struct lab *lab, const struct wire_flow_new *flow)
{
	const struct wire_flow_peek peek = {
		.id = flow->id, .outbound = 1, .inbound = 1, .peek_out = LOOK, .peek_in = LOOK
	};

	say(lab, WIRE_FLOW_PEEK, &peek);
}

static void judge(struct lab *lab, const struct wire_flow_data *data)
{
	const struct wire_flow_verdict drop = { .id = data->id,
						.verdict = 1,
						.reason = "carries it" };
	const struct wire_flow_pass pass = { .id = data->id,
					     .direction = data->direction,
					     .pass = lab->message.n_tail,
					     .peek = LOOK };

	if (memmem(lab->message.tail, lab->message.n_tail, bad, strlen(bad)))
		say(lab, WIRE_FLOW_VERDICT, &drop);
	else
		say(lab, WIRE_FLOW_PASS, &pass);
}

/* it denies what it then knows, and what nobody could read */
static void ask_for_name(struct lab *lab, const struct wire_flow_new *flow)
{
	const struct wire_flow_name wish = { .id = flow->id };
	const struct wire_flow_verdict drop = { .id = flow->id, .verdict = 1 };

	if (flow->host_reading == FLOW_READABLE)
		say(lab, WIRE_FLOW_NAME, &wish);
	else
		say(lab, WIRE_FLOW_VERDICT, &drop);
}

/* sluice-names */
static bool hear_bytes(struct lab *lab)
{
	const struct wire_look *look = lab_take_look(lab);
	struct wire_host host = { .source = FLOW_HOST_TLS, .name = "bad.example" };

	if (!look)
		return false;
	host.token = look->token;
	(void)channel_send(lab->names.sock, &wire_names_channel, WIRE_HOST, &host, NULL, 0, -1);
	lab_settle(lab);
	return true;
}

static bool hear(struct lab *lab)
{
	_cleanup_close_ int fd = -1;

	if (lab->filters[0].sock < 0 || channel_recv(lab->filters[0].sock, &wire_provider_channel,
						     0, lab->record, &lab->message, NULL, &fd))
		return false;
	if (lab->message.record->type == WIRE_FLOW_NEW &&
	    WIRE_BODY(&lab->message, struct wire_flow_new)->dport == NAMED_PORT)
		ask_for_name(lab, WIRE_BODY(&lab->message, struct wire_flow_new));
	else if (lab->message.record->type == WIRE_FLOW_NEW)
		look(lab, WIRE_BODY(&lab->message, struct wire_flow_new));
	else if (lab->message.record->type == WIRE_FLOW_DATA)
		judge(lab, WIRE_BODY(&lab->message, struct wire_flow_data));
	return true;
}

static void replace(struct lab *lab)
{
	lab_crash(lab);
	if (lab_start(lab) == 0)
		return;
	lab_crash(lab);
	alloc_forgive();
	assert_int_equal(lab_start(lab), 0);
}

static void pass(struct story *story, uint64_t us)
{
	lab_pass(story->lab, us);
	begin(story);
	while (hear(story->lab) || hear_bytes(story->lab))
		;
	say(story->lab, WIRE_PONG, &(struct wire_pong){ 0 });
	if (story->lab->loop_error)
		replace(story->lab);
}

static void run_filter(struct story *story)
{
	const struct daemon *daemon = story->lab->daemon;

	for (unsigned int i = 0; i < ROUNDS && daemon->filters[0].session.state != SESSION_RUNNING;
	     i++) {
		pass(story, TICK_US);
		daemon = story->lab->daemon;
	}
}

/* ---- what flows carry ---- */

static void put(struct story *story, struct lab_packet packet, uint16_t port)
{
	unsigned int no;

	packet.rport = port; /* a flow is a socket and where it goes */
	no = lab_put(story->lab, &packet);
	if (packet.text && strcmp(packet.text, bad) == 0) {
		assert_true(story->n_denied < PUT_MAX);
		story->denied[story->n_denied++] = no;
	}
	pass(story, 0);
}

static void handshake(struct story *story, uint16_t port)
{
	struct lab_packet first = peek_syn;

	put(story, peek_syn, port);
	first.rport = port;
	peek_connect(story->lab, &first, SERVER + 1);
}

static void tell_out(struct story *story)
{
	handshake(story, 8010);
	put(story, peek_out(4, "fine"), 8010); /* in front of what comes before it */
	for (int i = 0; i < 2; i++) {
		put(story, peek_out(0, "fine"), 8010);
		put(story, peek_out(4, "fine"), 8010);
		put(story, peek_out(8, bad), 8010);
	}
}

static void tell_in(struct story *story)
{
	handshake(story, 8011);
	for (int i = 0; i < 2; i++) {
		put(story, peek_in(ACK, SERVER + 1, "fine"), 8011);
		put(story, peek_in(ACK, SERVER + 5, bad), 8011);
	}
}

static void tell_datagrams(struct story *story)
{
	struct lab_packet datagram = peek_datagram;

	for (int i = 0; i < 2; i++) {
		datagram.text = "fine";
		put(story, datagram, 8012);
		datagram.text = bad;
		put(story, datagram, 8012);
	}
}

static void tell_successor(struct story *story)
{
	handshake(story, 8013);
	put(story, peek_out(0, "fine"), 8013);
	lab_put(story->lab, &peek_syn); /* held, and nobody has answered */
	replace(story->lab);
	pass(story, TICK_US); /* once: one that dies too often is not started any more */
	for (int i = 0; i < 2; i++) {
		put(story, peek_in(ACK, SERVER + 1, bad), 8013);
		put(story, peek_out(4, bad), 8013);
	}
}

static void tell_name(struct story *story)
{
	struct lab_packet datagram = peek_datagram;

	put(story, peek_syn, NAMED_PORT);
	for (int i = 0; i < 2; i++) {
		put(story, peek_out(0, bad), NAMED_PORT);
		datagram.text = bad;
		put(story, datagram, NAMED_PORT);
	}
}

/* ---- tellings ---- */

static void check(const struct story *story)
{
	struct lab *lab = story->lab;

	for (unsigned int i = 0; i < fake_n_packets(lab->kernel); i++)
		assert_int_not_equal(lab_fate(lab, i), FATE_HELD);
	for (unsigned int i = 0; i < story->n_denied; i++)
		if ((lab->config.is_closed[0] || !alloc_has_failed()) &&
		    lab_fate(lab, story->denied[i]) == FATE_ALLOWED)
			fail_msg("packet %u is allowed", story->denied[i]);
}

static void check_normal(struct story *story)
{
	unsigned int no = fake_n_packets(story->lab->kernel);

	handshake(story, 8020);
	put(story, peek_out(0, "fine"), 8020);
	put(story, peek_out(4, bad), 8020);
	pass(story, PEEK_IDLE_US);
	assert_int_equal(lab_fate(story->lab, no + 1), FATE_ALLOWED);
	assert_int_equal(lab_fate(story->lab, no + 2), FATE_SILENT);
}

typedef void (*tell_fn)(struct story *story);

static void tell_life(struct story *story)
{
	static const tell_fn parts[] = { tell_out, tell_in, tell_datagrams, tell_name,
					 tell_successor };

	run_filter(story);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		parts[i](story);
		pass(story, PEEK_IDLE_US);
	}
}

/* @data: bool: does the filter fail closed? */
static bool tell_once(unsigned int nth, bool is_always, void *data)
{
	const struct lab_config config = { .n_filters = 1, .is_closed = { *(const bool *)data } };
	struct story story = { .lab = lab_new(&config) };

	assert_int_equal(lab_start(story.lab), 0);
	alloc_fail(nth, is_always);
	tell_life(&story);
	alloc_forgive();
	run_filter(&story);
	for (int i = 0; i < 3; i++)
		pass(&story, DEADLINE);
	check(&story);
	assert_int_equal(story.lab->daemon->filters[0].session.state, SESSION_RUNNING);
	check_normal(&story);
	lab_stop(story.lab);
	assert_int_equal(fake_n(story.lab->kernel, FAKE_PEEKS), 0);
	lab_free(story.lab);
	return alloc_has_failed();
}

static void tell_each(bool is_closed, bool is_always)
{
	alloc_tell_each(tell_once, &is_closed, is_always, 1, 19, ALLOCATIONS_MAX);
}

static void test_one_fails_closed(void **state)
{
	tell_each(true, false);
}

static void test_one_fails_open(void **state)
{
	tell_each(false, false);
}

static void test_all_fail_closed(void **state)
{
	tell_each(true, true);
}

static void test_all_fail_open(void **state)
{
	tell_each(false, true);
}

/* TCP sends again what was dropped, and then it is held, and shown */
static void test_no_memory_for_a_packet_costs_a_repetition(void **state)
{
	struct lab *lab = peek_start(1, true);
	uint64_t id = peek_looked_at(lab, false, 5);
	unsigned int packet;

	for (unsigned int nth = 1; nth <= 2; nth++) { /* for its copy; for its place */
		alloc_fail(nth, true);
		packet = peek_put_text(lab, 0, "hello");
		assert_true(alloc_has_failed());
		alloc_forgive();
		assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	}
	packet = peek_put_text(lab, 0, "hello");
	peek_expect(lab, 0, 0, "hello");
	peek_answer(lab, 0, id, 0, 5, 5);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	lab_stop(lab);
	lab_free(lab);
}

static void test_no_memory_for_more_loses_nothing_that_is_held(void **state)
{
	struct lab *lab = peek_start(1, true);
	unsigned int n = 0, packet;

	peek_looked_at(lab, false, 1000);
	for (unsigned int room = 0; n == 0 || n < room; n++) {
		assert_int_equal(lab_fate(lab, peek_put_text(lab, n, "x")), FATE_HELD);
		room = lab->daemon->peekings.first->core->streams[SL_DIR_OUT].n_room;
	}
	alloc_fail(2, true);
	packet = peek_put_text(lab, n, "y");
	assert_true(alloc_has_failed());
	alloc_forgive();
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, n, "y")), FATE_HELD);
	lab_pass(lab, PEEK_IDLE_US + TICK_US);
	peek_expect(lab, 0, 0, "xxxxxxxxy");
	lab_stop(lab);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fails_closed),
		cmocka_unit_test(test_one_fails_open),
		cmocka_unit_test(test_all_fail_closed),
		cmocka_unit_test(test_all_fail_open),
		cmocka_unit_test(test_no_memory_for_a_packet_costs_a_repetition),
		cmocka_unit_test(test_no_memory_for_more_loses_nothing_that_is_held),
	};

	return cmocka_run_group_tests_name("daemon-peek-memory-out", tests, NULL, NULL);
}
