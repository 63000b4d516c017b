/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and proxies that take UDP: see test-daemon-divert.c */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"

#define PROXY 0U

static int set_up(void **state)
{
	struct lab_config config = {
		.n_filters = 1, .is_closed = { true }, .is_proxy = { true }, .takes_udp = { true }
	};
	struct lab *lab = lab_new(&config);

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	*state = lab;
	return 0;
}

/* one that was let go comes to our socket */
static void come(struct lab *lab, const struct lab_packet *packet, const char *text)
{
	struct sl_tuple tuple = lab_tuple(packet);

	fake_put_datagram(lab->kernel, &tuple, text, strlen(text));
	lab_settle(lab);
}

/* as if it came with the verdict, and the loop has not heard of it */
static void put_unheard(struct lab *lab, const struct lab_packet *packet, const char *text)
{
	const struct plane *plane = lab->daemon->plane;
	struct sl_tuple tuple = lab_tuple(packet);
	eventfd_t n;

	fake_put_datagram(lab->kernel, &tuple, text, strlen(text));
	assert_int_equal(
		eventfd_read(plane_netns(plane, plane_home(plane))->sockets[NETNS_DATAGRAMS4], &n),
		0);
}

static void expect_datagram(struct lab *lab, uint64_t id, const char *text)
{
	const struct wire_flow_datagram *part;

	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_DATAGRAM), id);
	part = WIRE_BODY(&lab->message, struct wire_flow_datagram);
	assert_int_equal(part->offset, 0);
	assert_int_equal(part->total, strlen(text));
	assert_int_equal(lab->message.n_tail, strlen(text));
	assert_memory_equal(lab->message.tail, text, strlen(text));
}

static void test_its_first_datagram_brings_its_socket(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp);

	assert_true(lab_flow(lab, &udp)->flags & SL_FLOW_DIVERTED);
	assert_int_equal(divert_next(lab, PROXY), 0);
	come(lab, &udp, "first");
	expect_datagram(lab, id, "first");
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_true(lab->passed >= 0);
	come(lab, &udp, "on its way before"); /* the socket was there */
	expect_datagram(lab, id, "on its way before");
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
}

static void test_a_datagram_of_nobodys(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = udp;

	come(lab, &udp, "who?");
	assert_int_equal(divert_next(lab, PROXY), 0);
	divert_open_flow(lab, PROXY, &udp);
	other.rport++;
	come(lab, &other, "who?");
	assert_int_equal(divert_next(lab, PROXY), 0);
}

/* each of them is a flow, and none ends another */
static void test_one_socket_with_many_peers(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packet = udp;
	uint64_t ids[20];

	for (unsigned int i = 0; i < 20; i++) {
		packet.last = (uint8_t)(100 + i);
		ids[i] = divert_open_flow(lab, PROXY, &packet);
	}
	assert_int_equal(diverts_n(lab->daemon->diverts), 20);
	for (unsigned int i = 0; i < 20; i++) {
		packet.last = (uint8_t)(100 + i);
		come(lab, &packet, "x");
		expect_datagram(lab, ids[i], "x");
		assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), ids[i]);
	}
	assert_int_equal(divert_next(lab, PROXY), 0);
	lab_end_socket(lab, &packet); /* of all of them */
	for (unsigned int i = 0; i < 20; i++)
		assert_non_null(lab_take(lab, PROXY, WIRE_FLOW_END));
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_END));
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* the proxy cannot read its end: it is told, and what came of it in the kernel is gone */
static void test_its_end(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp);
	unsigned int n_calls;

	come(lab, &udp, "x");
	expect_datagram(lab, id, "x");
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);
	lab_end_socket(lab, &udp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_END), id);
	assert_int_equal(WIRE_BODY(&lab->message, struct wire_flow_end)->full, 1);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls + 1);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* a flow that the proxy does not want: who has its port next may be the proxy's, and is to be translated */
static void test_the_end_of_one_that_is_no_proxys(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);

	lab_put(lab, &udp);
	lab_judge(lab, PROXY, lab_take_flow(lab, PROXY), 0);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls);
	lab_end_socket(lab, &udp);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls + 1);
}

static void test_its_end_before_its_socket(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp);

	lab_end_socket(lab, &udp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* what has been sent goes to the proxy all the same, and then that nothing comes any more */
static void test_who_has_sent_it_is_gone(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &udp);
	uint64_t id = lab_take_flow(lab, PROXY);

	lab_end_socket(lab, &udp);
	divert_take_flow(lab, PROXY, id);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	put_unheard(lab, &udp, "last words");
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	expect_datagram(lab, id, "last words");
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* bound anew, or by another address of its machine: answers to the ends that it had would not come to it */
static void test_it_has_other_ends(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp), second;
	struct lab_packet moved = udp;

	come(lab, &udp, "x");
	expect_datagram(lab, id, "x");
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	moved.lport++;
	lab_put(lab, &moved);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_END), id);
	second = lab_take_flow(lab, PROXY);
	assert_int_not_equal(second, id);
	divert_take_flow(lab, PROXY, second);
	divert_say_opened(lab, PROXY, second, 0);
	come(lab, &moved, "y");
	expect_datagram(lab, second, "y");
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
}

static void test_it_is_for_many(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packet = udp;
	unsigned int no;

	packet.is_v6 = true;
	packet.link = 0xff02;
	no = lab_put(lab, &packet);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(lab_fate(lab, no), FATE_ALLOWED);
}

static void test_it_is_idle(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp);

	come(lab, &udp, "x");
	lab_live(lab, 2 * IDLE_UDP_US);
	assert_non_null(lab_take(lab, PROXY, WIRE_FLOW_END));
	assert_null(flow_table_find_id(lab->daemon->flows, id));
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* conntrack would forget one that is silent */
static void test_it_is_silent(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls;

	divert_open_flow(lab, PROXY, &udp);
	come(lab, &udp, "x");
	lab_live(lab, IDLE_UDP_US / 2);
	n_calls = fake_n_calls(lab->kernel, FAKE_KEEP_TRANSLATED);
	assert_in_range(n_calls, 5, 7); /* of a minute */
	lab_end_socket(lab, &udp);
	lab_live(lab, IDLE_UDP_US / 2);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_KEEP_TRANSLATED), n_calls);
}

/* a datagram does not wait as a SYN does, and who was to open it for nothing hears of that */
static void test_what_is_taken_waits_for_ten_seconds(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &udp);
	uint64_t id = lab_take_flow(lab, PROXY);

	divert_take_flow(lab, PROXY, id);
	lab_live(lab, PEEK_PAUSE_US - FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_CANCEL));
	lab_live(lab, 2 * FLOW_DEADLINE_US);
	assert_int_equal(lab_fate(lab, no), FATE_SILENT);
	assert_non_null(lab_take(lab, PROXY, WIRE_FLOW_CANCEL));
}

/* a socket lives on: its next datagram is asked about anew */
static void test_its_proxy_dies(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp), second;
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);

	come(lab, &udp, "x");
	lab_end_filter(lab, PROXY);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls + 1);
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, PROXY);
	second = divert_open_flow(lab, PROXY, &udp);
	assert_int_not_equal(second, id);
	come(lab, &udp, "y");
	expect_datagram(lab, second, "y");
}

/* its datagrams, its socket and its end wait for a place in the channel, and come in this order */
static void test_a_full_channel(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp);
	unsigned int n_sockets = 0, n_datagrams = 0;
	uint16_t type;

	divert_fill(lab, PROXY);
	come(lab, &udp, "waits");
	lab_end_socket(lab, &udp);
	for (;;) {
		type = divert_next(lab, PROXY);
		if (!type) {
			lab_settle(lab);
			type = divert_next(lab, PROXY);
		}
		if (!type || type == WIRE_FLOW_END)
			break;
		n_sockets += type == WIRE_FLOW_SOCKET;
		n_datagrams += type == WIRE_FLOW_DATAGRAM && n_sockets == 0;
	}
	assert_int_equal(type, WIRE_FLOW_END);
	assert_int_equal(WIRE_BODY(&lab->message, struct wire_flow_end)->id, id);
	assert_int_equal(n_sockets, 1);
	assert_int_equal(n_datagrams, 1);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

static void test_there_is_no_socket_for_it(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp);

	fake_fail(lab->kernel, FAKE_CONNECT_DATAGRAMS, 1, EMFILE);
	come(lab, &udp, "first");
	expect_datagram(lab, id, "first");
	assert_int_equal(divert_next(lab, PROXY), 0);
	come(lab, &udp, "second");
	expect_datagram(lab, id, "second");
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
}

/* what cannot be read is not tried again and again */
static void test_what_cannot_be_read(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &udp);
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_RECEIVE);

	fake_fail_always(lab->kernel, FAKE_RECEIVE, ENOMEM);
	come(lab, &udp, "later");
	for (unsigned int i = 0; i < 10; i++)
		lab_pass(lab, TICK_US);
	assert_in_range(fake_n_calls(lab->kernel, FAKE_RECEIVE) - n_calls, 2, 40);
	fake_fail(lab->kernel, FAKE_ANY, 0, 0);
	come(lab, &udp, "now");
	lab_pass(lab, TICK_US);
	expect_datagram(lab, id, "later");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_its_first_datagram_brings_its_socket),
		TEST(test_a_datagram_of_nobodys),
		TEST(test_one_socket_with_many_peers),
		TEST(test_its_end),
		TEST(test_the_end_of_one_that_is_no_proxys),
		TEST(test_its_end_before_its_socket),
		TEST(test_who_has_sent_it_is_gone),
		TEST(test_it_has_other_ends),
		TEST(test_it_is_for_many),
		TEST(test_it_is_idle),
		TEST(test_it_is_silent),
		TEST(test_what_is_taken_waits_for_ten_seconds),
		TEST(test_its_proxy_dies),
		TEST(test_a_full_channel),
		TEST(test_there_is_no_socket_for_it),
		TEST(test_what_cannot_be_read),
	};

	return cmocka_run_group_tests_name("daemon-divert-udp", tests, NULL, NULL);
}
