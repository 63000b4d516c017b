/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and proxies that take UDP, where programs are in another network namespace: the keeper makes
 *  the sockets; and what a successor does with flows of UDP, there and at home */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"

#define PROXY 0U
#define FAR 5U /* cookie, and the thread that is there */
#define OTHER 6U
#define MANY 40U

static const struct lab_packet far = {
	.proto = IPPROTO_UDP, .lport = 40000, .rport = 53, .last = 9, .netns = FAR
};

static struct lab *make(bool takes_udp)
{
	struct lab_config config = { .n_filters = 1,
				     .is_closed = { true },
				     .is_proxy = { true },
				     .takes_udp = { takes_udp } };
	struct lab *lab = lab_new(&config);

	lab_make_netns(lab, FAR);
	lab_make_netns(lab, OTHER);
	return lab;
}

static int set_up(void **state)
{
	struct lab *lab = make(true);

	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	lab_see(lab, FAR);
	lab->n_entered = 0;
	*state = lab;
	return 0;
}

static void come(struct lab *lab, const struct lab_packet *packet, const char *text)
{
	struct sl_tuple tuple = lab_tuple(packet);

	fake_put_datagram(lab->kernel, &tuple, text, strlen(text));
	lab_settle(lab);
}

static void expect_datagram(struct lab *lab, uint64_t id, const char *text)
{
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_DATAGRAM), id);
	assert_int_equal(lab->message.n_tail, strlen(text));
	assert_memory_equal(lab->message.tail, text, strlen(text));
}

static void expect_socket(struct lab *lab, uint64_t id)
{
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_true(lab->passed >= 0);
	assert_int_equal(divert_next(lab, PROXY), 0);
}

static void test_the_keeper_makes_its_socket(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &far);

	come(lab, &far, "first");
	assert_int_equal(lab->n_entered, 1);
	expect_datagram(lab, id, "first");
	expect_socket(lab, id);
	come(lab, &far, "on its way before");
	expect_datagram(lab, id, "on its way before");
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(lab->n_entered, 1);
}

/* what comes meanwhile is told, and nobody is asked twice for one flow */
static void test_it_is_slow(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &far);

	lab->is_mute = true;
	come(lab, &far, "one");
	come(lab, &far, "two");
	assert_int_equal(lab->n_entered, 1);
	expect_datagram(lab, id, "one");
	expect_datagram(lab, id, "two");
	assert_int_equal(divert_next(lab, PROXY), 0);
	lab_end_socket(lab, &far);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

static void test_it_cannot(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &far);

	lab->enter_error = EMFILE;
	come(lab, &far, "one");
	expect_datagram(lab, id, "one");
	assert_int_equal(divert_next(lab, PROXY), 0);
	lab->enter_error = 0;
	come(lab, &far, "two");
	expect_datagram(lab, id, "two");
	expect_socket(lab, id);
}

/* the thread is another one by now, say: what comes is not handed on */
static void test_a_socket_of_another_namespace(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &far);

	lab->lie = OTHER;
	come(lab, &far, "one");
	assert_int_equal(lab->n_entered, 1);
	expect_datagram(lab, id, "one");
	assert_int_equal(divert_next(lab, PROXY), 0);
	lab->lie = 0;
	come(lab, &far, "two");
	expect_datagram(lab, id, "two");
	expect_socket(lab, id);
}

/* Return: sockets that came */
static unsigned int open_many(struct lab *lab)
{
	struct lab_packet packet = far;
	unsigned int n = 0;

	for (unsigned int i = 0; i < MANY; i++) {
		packet.last = (uint8_t)(100 + i);
		divert_open_flow(lab, PROXY, &packet);
		come(lab, &packet, "x");
		n += lab_take(lab, PROXY, WIRE_FLOW_SOCKET) != NULL;
	}
	return n;
}

static void test_many(void **state)
{
	struct lab *lab = *state;

	assert_int_equal(open_many(lab), MANY);
	assert_int_equal(lab->n_entered, MANY);
}

/* its channel never fills; the others wait */
static void test_it_is_asked_for_few_at_once(void **state)
{
	struct lab *lab = *state;

	lab->is_mute = true;
	assert_int_equal(open_many(lab), 0);
	assert_int_equal(lab->n_entered, DIVERT_ASKED_MAX);
	assert_int_equal(lab->daemon->far.n_waiting, MANY - DIVERT_ASKED_MAX);
}

/* what comes then waits where it is, and nobody looks at it again and again meanwhile */
static void test_the_line_is_full(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packet = far;
	struct wire_k_entered answer = { .error = EMFILE };
	int nothing = -1;
	uint64_t id = 0;
	uint16_t type;

	lab->is_mute = true;
	for (unsigned int i = 0; i < DIVERT_ASKED_MAX + DIVERT_WAITING_FAR; i++) {
		packet.lport++;
		packet.uid = 2000 + i; /* each user has a share */
		id = divert_open_flow(lab, PROXY, &packet);
		come(lab, &packet, "x");
		expect_datagram(lab, id, "x");
	}
	assert_true(divert_is_line_full(lab->daemon));
	come(lab, &packet, "late");
	assert_int_equal(divert_next(lab, PROXY), 0);
	answer.token = lab->daemon->far.asked[0].token;
	lab->is_mute = false;
	assert_true(divert_entered(lab->daemon, &answer, &nothing));
	lab_settle(lab);
	assert_false(divert_is_line_full(lab->daemon));
	while ((type = divert_next(lab, PROXY)) && type != WIRE_FLOW_DATAGRAM)
		assert_int_equal(type, WIRE_FLOW_SOCKET);
	assert_memory_equal(lab->message.tail, "late", 4);
	while (divert_next(lab, PROXY))
		;
	come(lab, &packet, "heard again");
	expect_datagram(lab, id, "heard again");
}

/* ---- a proxy that has not said yet what it takes ---- */

static void expect_waits(bool takes_udp)
{
	struct lab *lab = make(takes_udp);
	unsigned int no;

	assert_int_equal(lab_start(lab), 0);
	no = lab_put(lab, &udp);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	lab_run_all(lab);
	assert_int_equal(lab_take_flow(lab, PROXY) != 0, takes_udp);
	assert_int_equal(lab_fate(lab, no), takes_udp ? FATE_HELD : FATE_ALLOWED);
	lab_free(lab);
}

static void test_a_flow_waits_for_what_it_takes(void **state)
{
	expect_waits(true);
	expect_waits(false);
}

/* ---- successors ---- */

static void expect_asked_anew(struct lab *lab, const struct lab_packet *packet)
{
	uint64_t id = divert_open_flow(lab, PROXY, packet), second;
	struct sl_flow_key key = lab_key(packet);
	struct sl_flow entry = *lab_flow(lab, packet);
	unsigned int n_calls;

	come(lab, packet, "x");
	lab_crash(lab);
	fake_put(lab->kernel, FAKE_FLOWS, &key, &entry); /* no free() of anything in a kill -9 */
	n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls + 1);
	assert_null(lab_flow(lab, packet));
	second = divert_open_flow(lab, PROXY, packet);
	assert_int_not_equal(second, id);
}

static void test_a_flow_of_a_predecessors(void **state)
{
	expect_asked_anew(*state, &udp);
}

static void test_a_far_flow_of_a_predecessors(void **state)
{
	expect_asked_anew(*state, &far);
}

/* not even of TCP it knows the listeners there, and takes that for no loopback */
static void test_a_successor_waits_for_its_sockets_there(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packets[] = { far, far };
	unsigned int no[ARRAY_SIZE(packets)];

	packets[1].proto = IPPROTO_TCP;
	lab_crash(lab);
	lab->enter_error = EMFILE;
	assert_int_equal(lab_start(lab), 0);
	lab_run_all(lab);
	lab_live(lab, NETNS_CENSUS_US / 2);
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		no[i] = lab_put(lab, &packets[i]);
		assert_int_equal(lab_take_flow(lab, PROXY), 0);
		assert_int_equal(lab_fate(lab, no[i]), FATE_HELD);
	}
	lab->enter_error = 0;
	lab_live(lab, NETNS_CENSUS_US / 2 + TICK_US);
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		assert_int_not_equal(lab_take_flow(lab, PROXY), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_the_keeper_makes_its_socket),
		TEST(test_it_is_slow),
		TEST(test_it_cannot),
		TEST(test_a_socket_of_another_namespace),
		TEST(test_many),
		TEST(test_it_is_asked_for_few_at_once),
		TEST(test_the_line_is_full),
		cmocka_unit_test(test_a_flow_waits_for_what_it_takes),
		TEST(test_a_flow_of_a_predecessors),
		TEST(test_a_far_flow_of_a_predecessors),
		TEST(test_a_successor_waits_for_its_sockets_there),
	};

	return cmocka_run_group_tests_name("daemon-divert-far", tests, NULL, NULL);
}
