/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Flows of UDP by proxies that work, refuse, lie and leave
 */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "socks-udp-lab.h"

/* two flows at once */
static void expect_both_opened(void)
{
	while (lab.answer.n < 2)
		lab_turn();
	lab.answer.n_seen++;
	lab_answered();
}

static void test_there_and_back(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	struct udp_one one = udp_stand(first);
	int program;

	flows_datagram(&lab.flows, one.id, "before", 6, lab.now_ms);
	program = udp_open(one.id);
	assert_int_equal(send(program, "behind", 6, 0), 6);
	udp_expect_up(&one.side, BYTES(PEER "\x07" PORT "before"));
	udp_expect_up(&one.side, BYTES(PEER "\x07" PORT "behind"));
	udp_send_down(&one.side, one.side.relay, BYTES(PEER "\x07" PORT "answer"));
	udp_expect_down(program, BYTES("answer"));
	udp_send_down(&one.side, one.side.relay, BYTES(PEER "\x07" PORT));
	udp_expect_down(program, "", 0);
	lab_say(one.side.control, "whatever", 8); /* it means nothing */
	lab_turn();
	assert_int_equal(send(program, "", 0, 0), 0);
	udp_expect_up(&one.side, BYTES(PEER "\x07" PORT));
	udp_leave(&one.side);
	close(program);
}

/* answers may overtake the descriptor */
static void test_early(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	struct udp_one one = udp_stand(first);
	int program;

	flows_datagram(&lab.flows, one.id, "x", 1, lab.now_ms);
	udp_expect_up(&one.side, BYTES(PEER "\x07" PORT "x"));
	for (uint8_t i = 0; i < 65; i++) {
		uint8_t answer[] = { 0, 0, 0, 1, 192, 0, 2, 7, 0, 53, i };

		udp_send_down(&one.side, one.side.relay, answer, sizeof(answer));
		lab_turn();
	}
	program = udp_open(one.id);
	for (uint8_t i = 0; i < 64; i++)
		udp_expect_down(program, &i, 1);
	udp_expect_nothing(program);
	close(program);
	/* of one that never comes nothing is left */
	udp_expect_opened(udp_begin(1, 8, NULL));
	udp_send_down(&one.side, one.side.relay, BYTES(PEER "\x08" PORT "x"));
	lab_turn();
	flows_cancelled(&lab.flows, lab.answer.id, lab.now_ms);
	udp_leave(&one.side);
}

static void test_lies(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} lies[] = {
		{ BYTES("\x00\x01\x00\x01\xc0\x00\x02\x07" PORT "x") }, /* reserved */
		{ BYTES("\x80\x00\x00\x01\xc0\x00\x02\x07" PORT "x") },
		{ BYTES("\x00\x00\x01\x01\xc0\x00\x02\x07" PORT "x") }, /* fragments */
		{ BYTES("\x00\x00\x80\x01\xc0\x00\x02\x07" PORT "x") },
		{ BYTES(PEER "\x08" PORT "x") }, /* others */
		{ BYTES(PEER "\x07\x00\x36x") },
		{ BYTES("\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\xc0\x00\x02\x07" PORT "x") },
		{ BYTES("\0\0\0\x03\x01"
			"a" PORT "x") },
		{ BYTES("\0\0\0\x02\xc0\x00\x02\x07" PORT "x") },
		{ BYTES(PEER "\x07\x00") }, /* cut off */
		{ BYTES(HEAD) },
		{ BYTES("\0\0") },
		{ BYTES("") },
	};
	unsigned int first = lab_proxy("socks5h://127.0.0.1:%u");
	struct udp_one one = udp_stand(first);
	uint16_t port;
	int program, stranger = udp_bind_relay(&port);

	program = udp_open(one.id);
	assert_int_equal(send(program, "x", 1, 0), 1);
	udp_expect_up(&one.side, BYTES(PEER "\x07" PORT "x"));
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		udp_send_down(&one.side, one.side.relay, lies[i].bytes, lies[i].n);
	udp_send_down(&one.side, stranger, BYTES(PEER "\x07" PORT "stranger"));
	udp_expect_nothing(program);
	udp_send_down(&one.side, one.side.relay,
		      BYTES("\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07" PORT "true"));
	udp_expect_down(program, BYTES("true"));
	udp_leave(&one.side);
	close(stranger);
	close(program);
}

static void test_one_socket(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	uint64_t ids[2] = { udp_begin(9, 1, NULL), udp_begin(9, 2, NULL) };
	struct udp_side side = udp_associate(first, "127.0.0.1");
	int programs[3];

	expect_both_opened();
	programs[0] = udp_open(ids[0]);
	programs[1] = udp_open(ids[1]);
	udp_expect_opened(udp_begin(9, 3, NULL)); /* at once */
	programs[2] = udp_open(lab.answer.id);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(send(programs[i], "x", 1, 0), 1);
	lab_turn();
	udp_expect_up(&side, BYTES(PEER "\x01" PORT "x"));
	udp_expect_up(&side, BYTES(PEER "\x02" PORT "x"));
	udp_expect_up(&side, BYTES(PEER "\x03" PORT "x"));
	udp_send_down(&side, side.relay, BYTES(PEER "\x02" PORT "2"));
	udp_expect_down(programs[1], BYTES("2"));
	udp_expect_nothing(programs[0]);
	udp_expect_nothing(programs[2]);
	lab_nobody_at(first);
	udp_leave(&side);
	for (unsigned int i = 0; i < 3; i++)
		close(programs[i]);
}

static void test_many_sockets(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	/* 0: nobody knows; and two of one bucket */
	static const uint64_t sockets[] = { 0, 0, 5, 5 + FLOWS_BUCKETS };
	struct udp_side sides[ARRAY_SIZE(sockets)];

	for (unsigned int i = 0; i < ARRAY_SIZE(sockets); i++) {
		uint64_t id = udp_begin(sockets[i], 1, NULL);

		sides[i] = udp_associate(first, "0.0.0.0");
		udp_expect_opened(id);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(sockets); i++)
		udp_leave(&sides[i]);
}

static void test_names(void **state)
{
	unsigned int first = lab_proxy("socks5h://127.0.0.1:%u");
	uint64_t ids[2] = { udp_begin(9, 1, "a.example"), udp_begin(9, 2, "b.example") };
	struct udp_side side = udp_associate(first, "127.0.0.1");
	int programs[2];

	expect_both_opened();
	for (unsigned int i = 0; i < 2; i++) {
		programs[i] = udp_open(ids[i]);
		assert_int_equal(send(programs[i], "x", 1, 0), 1);
		lab_turn();
	}
	udp_expect_up(&side, BYTES("\0\0\0\x03\x09"
				   "a.example" PORT "x"));
	/* nobody could tell the answers of two names */
	udp_expect_up(&side, BYTES(PEER "\x02" PORT "x"));
	udp_send_down(&side, side.relay, BYTES(HEAD "\x0a\x01\x01\x01" PORT "a"));
	udp_expect_down(programs[0], BYTES("a"));
	udp_send_down(&side, side.relay,
		      BYTES("\0\0\0\x03\x09"
			    "A.EXAMPLE" PORT "b"));
	udp_expect_down(programs[0], BYTES("b"));
	udp_send_down(&side, side.relay, BYTES(PEER "\x02" PORT "c"));
	udp_expect_down(programs[1], BYTES("c"));
	udp_send_down(&side, side.relay,
		      BYTES("\0\0\0\x03\x09"
			    "b.example" PORT "x"));
	udp_send_down(&side, side.relay, BYTES(HEAD "\x0a\x01\x01\x01\x00\x36x"));
	udp_expect_nothing(programs[0]);
	udp_expect_nothing(programs[1]);
	udp_leave(&side);
	close(programs[0]);
	close(programs[1]);
}

static void refuse(unsigned int number, const void *answer, size_t n)
{
	int control = lab_accept(number);

	lab_hear(control, BYTES(HELLO));
	lab_say(control, BYTES(GO_ON));
	lab_hear(control, BYTES(REQUEST));
	lab_say(control, answer, n);
	lab_hear_end(control, 0);
	close(control);
}

/* who carries no datagrams is as good as before for connections */
static void test_refused(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u"), second;

	udp_begin(1, 1, NULL);
	udp_begin(1, 2, NULL);
	refuse(first, BYTES(NO_COMMAND));
	while (lab.answer.n < 2)
		lab_turn();
	lab.answer.n_seen = 1;
	lab_refused(-EACCES, "carries no UDP for us: failure number 7, command not supported");
	assert_int_equal(lab.answer.n_logged, 0);
	second = lab_proxy("socks5://127.0.0.1:%u");
	udp_begin(1, 1, NULL);
	refuse(first, BYTES("\x05\x01\x00\x01\0\0\0\0\0\0"));
	refuse(second, BYTES("\x05\x02\x00\x01\0\0\0\0\0\0"));
	lab_refused(-EACCES, "not allowed by its rules");
	assert_int_equal(endpoints_next(&lab.flows.endpoints, 0, lab.now_ms), (int)first);
}

static void test_http(void **state)
{
	unsigned int http = lab_proxy("http://127.0.0.1:%u"), socks;
	struct udp_side side;

	udp_begin(1, 1, NULL);
	lab_refused(-EACCES, "no upstream carries UDP");
	lab_nobody_at(http);
	socks = lab_proxy("socks5://127.0.0.1:%u");
	udp_begin(1, 1, NULL);
	side = udp_associate(socks, "127.0.0.1");
	assert_int_equal(lab_answered(), -1);
	lab_nobody_at(http);
	udp_leave(&side);
}

/* where datagrams cannot be meant to go */
static void test_no_place(void **state)
{
	static const char *const answers[] = {
		"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00",
		"\x05\x00\x00\x03\x01h\x12\x34",
	};
	static const size_t sizes[] = { 10, 8 };

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		unsigned int number = lab_proxy("socks5://127.0.0.1:%u");

		udp_begin(1, 1, NULL);
		refuse(number, answers[i], sizes[i]);
		lab_refused(-ECONNREFUSED, "names no place for datagrams");
		lab_down(number);
		lab.n_ports = lab.flows.endpoints.n = 0;
	}
}

/* at once, or when it is asked: there is no destination that it could be waiting for */
static void test_hangs(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	int control;

	for (unsigned int i = 0; i < 2; i++) {
		udp_begin(1, 1, NULL);
		control = lab_accept(first);
		if (i == 1) {
			lab_hear(control, BYTES(HELLO));
			lab_say(control, BYTES(GO_ON));
			lab_hear(control, BYTES(REQUEST));
		}
		lab_pass(9999);
		assert_int_equal(lab.answer.n, i);
		lab_pass(1);
		lab_refused(-ECONNREFUSED, "does not answer in time");
		close(control);
	}
}

static void test_falls(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	struct udp_one one = udp_stand(first);
	int program = udp_open(one.id);

	lab_pass(10000); /* it has stood for a while: no fault */
	udp_leave(&one.side);
	lab_turn();
	assert_int_equal(send(program, "lost", 4, 0), 4);
	lab_turn();
	lab_nobody_at(first); /* not more than one attempt a second */
	lab_pass(1000);
	assert_int_equal(send(program, "again", 5, 0), 5);
	one.side = udp_associate(first, "127.0.0.1");
	udp_expect_up(&one.side, BYTES(PEER "\x07" PORT "again"));
	udp_send_down(&one.side, one.side.relay, BYTES(PEER "\x07" PORT "answer"));
	udp_expect_down(program, BYTES("answer"));
	assert_int_equal(lab.answer.n, 1); /* it is the same flow */
	assert_int_equal(lab.answer.n_logged, 0);
	udp_leave(&one.side);

	/* while it is down, and is refused, flows that are open stay so, and new ones are told */
	lab_pass(1000);
	lab_down(first);
	assert_int_equal(send(program, "lost", 4, 0), 4);
	lab_turn();
	assert_int_equal(lab.answer.n, 1);
	udp_begin(1, 8, NULL);
	lab_refused(-ECONNREFUSED, "is not reached");
	flows_ended(&lab.flows, one.id, SLUICE_PROXY_FULL, lab.now_ms);
	close(program);
}

/* one that leaves at once is none for the next time */
static void test_leaves(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	unsigned int second = lab_proxy("socks5://127.0.0.1:%u");
	struct udp_one one = udp_stand(first);
	int program = udp_open(one.id);

	udp_leave(&one.side);
	lab_turn();
	lab_pass(1000);
	assert_non_null(strstr(lab.answer.logged, "has ended its association of UDP"));
	assert_int_equal(send(program, "x", 1, 0), 1);
	one.side = udp_associate(second, "127.0.0.1");
	udp_expect_up(&one.side, BYTES(PEER "\x07" PORT "x"));
	udp_leave(&one.side);
	close(program);
}

/* what was sent before the socket was closed goes, and then for two seconds nothing ends */
static void test_ends(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	struct udp_one one = udp_stand(first);
	int program = udp_open(one.id);

	for (int i = 0; i < 8; i++)
		assert_int_equal(send(program, "x", 1, 0), 1);
	flows_ended(&lab.flows, one.id, SLUICE_PROXY_FULL, lab.now_ms);
	for (int i = 0; i < 8; i++)
		udp_expect_up(&one.side, BYTES(PEER "\x07" PORT "x"));
	assert_int_equal(lab.answer.n_closed, 1);
	close(program);
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), 2000);
	lab_pass(1999);
	udp_expect_nothing(one.side.control);
	/* the next flow of the socket has it */
	udp_expect_opened(udp_begin(1, 8, NULL));
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), -1);
	flows_ended(&lab.flows, lab.answer.id, SLUICE_PROXY_FULL, lab.now_ms);
	lab_pass(2000);
	lab_hear_end(one.side.control, 0);
	udp_leave(&one.side);
}

static void test_cancelled(void **state)
{
	unsigned int first = lab_proxy("socks5://127.0.0.1:%u");
	uint64_t id = udp_begin(1, 7, NULL);
	int control = lab_accept(first);

	lab_hear(control, BYTES(HELLO));
	flows_cancelled(&lab.flows, id, lab.now_ms);
	lab_hear_end(control, 0);
	assert_int_equal(flows_wait_ms(&lab.flows, lab.now_ms), -1);
	flows_datagram(&lab.flows, id, "x", 1, lab.now_ms);
	close(control);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_early, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_lies, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_one_socket, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_many_sockets, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_names, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_refused, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_http, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_no_place, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_hangs, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_falls, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_leaves, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_ends, lab_begin, lab_finish),
		cmocka_unit_test_setup_teardown(test_cancelled, lab_begin, lab_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
