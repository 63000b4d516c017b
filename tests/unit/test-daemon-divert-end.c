/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced and proxies: connections, how they end, and what a proxy says that it must not */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"

#define PROXY 0U

static int set_up(void **state)
{
	*state = divert_lab(0, 1, true);
	return 0;
}

static int set_up_with_filter(void **state)
{
	*state = divert_lab(1, 1, true);
	return 0;
}

/* a flow that is opened, and its connection is the proxy's; the caller's: both ends of it */
static uint64_t begin(struct lab *lab, const struct lab_packet *packet, int *ret_program,
		      int *ret_own)
{
	uint64_t id = divert_open_flow(lab, PROXY, packet);

	*ret_program = divert_connect(lab, packet);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	*ret_own = TAKE_FD(lab->passed);
	return id;
}

static void expect_end(struct lab *lab, uint64_t id, uint8_t full)
{
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_END), id);
	assert_int_equal(WIRE_BODY(&lab->message, struct wire_flow_end)->full, full);
}

/* ---- its connection ---- */

static void test_the_connection_is_the_proxys(void **state)
{
	struct lab *lab = *state;
	int program, own;

	begin(lab, &tcp, &program, &own);
	assert_true(divert_is_connected(program, own));
	assert_true(divert_is_connected(own, program));
	assert_int_equal(divert_next(lab, PROXY), 0);
	close(own);
	assert_true(divert_is_closed(program)); /* nobody else has it */
	close(program);
}

/* conntrack knows its ends, and takes its SYN for an older connection's */
static void test_a_connection_that_does_not_come(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);
	int program;

	divert_open_flow(lab, PROXY, &tcp);
	lab_pass(lab, TICK_US);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls);
	lab_live(lab, 500000);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls + 1);
	program = divert_connect(lab, &tcp); /* the next SYN */
	assert_non_null(lab_take(lab, PROXY, WIRE_FLOW_SOCKET));
	close(program);
}

static void test_a_connection_that_comes_is_left_alone(void **state)
{
	struct lab *lab = *state;
	unsigned int n_calls = fake_n_calls(lab->kernel, FAKE_UNTRANSLATE);
	int program, own;

	begin(lab, &tcp, &program, &own);
	lab_live(lab, 500000);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_UNTRANSLATE), n_calls);
	close(own);
	close(program);
}

/* conntrack gave it another port */
static void test_a_connection_from_another_port(void **state)
{
	struct lab *lab = *state;
	struct lab_packet moved = tcp;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);
	_cleanup_close_ int program = -1;

	moved.lport++;
	program = divert_connect(lab, &moved);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_true(divert_is_connected(program, lab->passed));
}

static void expect_stranger(struct lab *lab, const struct lab_packet *packet)
{
	int program = divert_connect(lab, packet);

	assert_true(divert_is_closed(program));
	assert_int_equal(divert_next(lab, PROXY), 0);
	close(program);
}

static void test_a_stranger_is_closed(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = tcp;
	int program, own;

	expect_stranger(lab, &tcp);
	other.rport++;
	begin(lab, &tcp, &program, &own);
	expect_stranger(lab, &other);
	expect_stranger(lab, &tcp); /* its connection is there already */
	assert_true(divert_is_connected(program, own));
	close(own);
	close(program);
}

/* many come at once, in another order than they were opened in, to two proxies */
static void test_many_connections(void **state)
{
	struct lab *lab = divert_lab(0, 2, true);
	struct lab_packet packet = { .proto = IPPROTO_TCP, .rport = 443, .last = 9 };
	uint64_t ids[200];
	int programs[200];

	for (unsigned int i = 0; i < 200; i++) {
		packet.uid = 2000 + i;
		packet.lport = (uint16_t)(30000 + i);
		lab_put(lab, &packet);
		ids[i] = lab_take_flow(lab, 0);
		if (i % 2) {
			lab_judge(lab, 0, ids[i], 0);
			assert_int_equal(lab_take_flow(lab, 1), ids[i]);
		}
		divert_take_flow(lab, i % 2, ids[i]);
		divert_say_opened(lab, i % 2, ids[i], 0);
	}
	for (unsigned int i = 200; i > 0; i--) {
		packet.lport = (uint16_t)(30000 + i - 1);
		programs[i - 1] = divert_connect(lab, &packet);
		assert_int_equal(divert_expect(lab, (i - 1) % 2, WIRE_FLOW_SOCKET), ids[i - 1]);
		assert_true(divert_is_connected(programs[i - 1], lab->passed));
	}
	for (unsigned int i = 0; i < 200; i++)
		close(programs[i]);
	lab_free(lab);
}

/* ---- its end ---- */

static void test_a_program_that_leaves_is_told_of_once(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin(lab, &tcp, &program, &own);

	divert_leave(lab, &tcp);
	expect_end(lab, id, 1);
	divert_leave(lab, &tcp);
	divert_ask_end(lab, PROXY, id); /* it has been answered */
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

static void test_which_end_it_was(void **state)
{
	struct lab *lab = *state;
	struct sl_event event = { .cookie = lab_key(&tcp).cookie, .kind = SL_EV_ABANDONED };
	int program, own;
	uint64_t id = begin(lab, &tcp, &program, &own);

	divert_ask_end(lab, PROXY, id);
	expect_end(lab, id, 0);
	divert_ask_end(lab, PROXY, id); /* every question has its answer */
	expect_end(lab, id, 0);
	fake_put_event(lab->kernel, &event); /* not read yet when it is asked about */
	divert_ask_end(lab, PROXY, id);
	expect_end(lab, id, 1);
	lab_pass(lab, TICK_US);
	assert_int_equal(divert_next(lab, PROXY), 0);
	close(own);
	close(program);
}

static uint64_t begin_quietly(struct lab *lab, int *ret_program, int *ret_own)
{
	struct wire_flow_opened opened = { .quiet = 1 };

	lab_put(lab, &tcp);
	opened.id = lab_take_flow(lab, PROXY);
	lab_say(lab, PROXY, WIRE_FLOW_OPENED, &opened);
	assert_int_equal(lab_flow(lab, &tcp)->flags, SL_FLOW_DIVERTED | SL_FLOW_QUIET);
	*ret_program = divert_connect(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), opened.id);
	*ret_own = TAKE_FD(lab->passed);
	return opened.id;
}

/* which is when it has asked */
static void test_an_end_that_is_told_when_it_is_wanted(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin_quietly(lab, &program, &own);

	divert_leave(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	divert_ask_end(lab, PROXY, id);
	expect_end(lab, id, 1);
	divert_ask_end(lab, PROXY, id);
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

static void test_a_half_end_is_followed_by_a_full_one(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin_quietly(lab, &program, &own);

	divert_ask_end(lab, PROXY, id);
	expect_end(lab, id, 0);
	divert_leave(lab, &tcp);
	expect_end(lab, id, 1);
	close(own);
	close(program);
}

static void test_the_end_of_what_is_over(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin(lab, &tcp, &program, &own);

	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_null(lab_flow(lab, &tcp));
	divert_ask_end(lab, PROXY, id);
	expect_end(lab, id, 1);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

/* Return: the cookie of the proxy's end, if what was left of it was ended; 0: it was not */
static uint64_t ended_rest(struct lab *lab, uint16_t port)
{
	struct sl_tuple tuple = lab_tuple(&tcp);
	struct sl_tuple rest = plane_accepted(lab->daemon->plane, &tuple, port);
	const struct plane_end *end = fake_get(lab->kernel, FAKE_ENDED, &rest);

	return end ? end->cookie : 0;
}

/* by the port that its connection has come from */
static void test_what_is_left_of_a_proxys_end(void **state)
{
	struct lab *lab = *state;
	struct lab_packet moved = tcp;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp), client;
	_cleanup_close_ int program = -1;

	moved.lport++;
	program = divert_connect(lab, &moved);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	client = diverts_find_flow(lab->daemon->diverts, id)->client;
	lab_end_socket_last(lab, &tcp);
	assert_int_equal(ended_rest(lab, moved.lport), client);
	assert_int_equal(fake_n(lab->kernel, FAKE_ENDED), 1);
	assert_int_equal(lab->daemon->n_resting, 0);
}

static void test_the_end_of_a_program_that_closes_first(void **state)
{
	struct lab *lab = *state;
	int program, own;

	begin(lab, &tcp, &program, &own);
	lab_end_socket(lab, &tcp);
	assert_int_equal(ended_rest(lab, tcp.lport), 0);
	assert_int_equal(fake_n_calls(lab->kernel, FAKE_END_RESTS), 0);
	close(own);
	close(program);
}

/* it has written, and closed: the kernel tells of that before we look at the listener */
static void test_a_program_that_is_gone_before_its_connection_is_looked_at(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);
	struct sl_tuple tuple = lab_tuple(&tcp);
	_cleanup_close_ int program = fake_put_client(lab->kernel, &tuple);
	char byte = 0;

	assert_int_equal(send(program, "x", 1, 0), 1);
	program = close_fd(program);
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_int_equal(recv(lab->passed, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* the last packet of its handshake comes later than the end of its program */
static uint64_t leave_early(struct lab *lab)
{
	uint64_t id;

	lab_pass(lab, TICK_US - 5000); /* it is heard of soon */
	id = divert_open_flow(lab, PROXY, &tcp);
	lab_end_socket_within(lab, &tcp, 5000);
	return id;
}

static void test_a_program_that_is_gone_before_its_connection_comes(void **state)
{
	struct lab *lab = *state;
	uint64_t id = leave_early(lab);
	int program;

	assert_int_equal(divert_next(lab, PROXY), 0);
	program = divert_connect(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
	divert_ask_end(lab, PROXY, id);
	expect_end(lab, id, 1);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(program);
}

static void test_a_connection_that_comes_late_is_over_unasked(void **state)
{
	struct lab *lab = *state;
	uint64_t id = leave_early(lab);
	int program = divert_connect(lab, &tcp);

	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	lab_pass(lab, TICK_US);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(program);
}

/* opened, and no connection comes of it */
static void test_a_program_that_is_gone_before_it_is_connected(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);

	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(divert_next(lab, PROXY), 0);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	expect_stranger(lab, &tcp);
}

/* ---- the program gives up while it is taken ---- */

static void test_a_program_that_gives_up(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, PROXY);

	divert_take_flow(lab, PROXY, id);
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(lab_fate(lab, no), FATE_SILENT);
	divert_say_opened(lab, PROXY, id, 0); /* on their way they have met */
	assert_null(lab_flow(lab, &tcp));
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	assert_int_equal(flow_table_n_held(lab->daemon->flows), 0);
}

static void test_a_program_that_gives_up_before_it_is_taken(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, PROXY);

	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
	divert_take_flow(lab, PROXY, id);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(lab_fate(lab, no), FATE_SILENT);
}

/* we hear of that before we read its SYN */
static void test_a_program_that_gives_up_before_it_is_known(void **state)
{
	struct lab *lab = *state;
	unsigned int no;
	uint64_t id;

	lab_close_socket(lab, &tcp);
	no = lab_put(lab, &tcp);
	id = lab_take_flow(lab, PROXY);
	divert_take_flow(lab, PROXY, id);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(lab_fate(lab, no), FATE_SILENT);
	assert_int_equal(flow_table_n_open(lab->daemon->flows), 0);
}

/* ---- what a proxy says too late, twice, or of what is not its own ---- */

static void test_words_of_no_flow(void **state)
{
	struct lab *lab = *state;
	unsigned int n_late = lab->daemon->filters[PROXY].n_late;

	divert_take_flow(lab, PROXY, 4711);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), 4711);
	divert_say_opened(lab, PROXY, 4711, ECONNREFUSED);
	assert_int_equal(divert_next(lab, PROXY), 0);
	divert_say_opened(lab, PROXY, 4711, 0); /* it would wait for a connection */
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), 4711);
	divert_ask_end(lab, PROXY, 4711);
	expect_end(lab, 4711, 1);
	assert_int_equal(lab->daemon->filters[PROXY].n_late, n_late + 3);
	assert_int_equal(lab->n_killed, 0);
}

/* who knows at once says no TAKE */
static void test_opened_without_a_take(void **state)
{
	static const struct {
		int error;
		enum fate fate;
	} cases[] = { { 0, FATE_DIVERTED }, { ECONNREFUSED, FATE_REJECTED } };
	struct lab *lab = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lab_packet packet = tcp;
		unsigned int no;

		packet.uid += (uint32_t)i; /* another socket */
		no = lab_put(lab, &packet);
		divert_say_opened(lab, PROXY, lab_take_flow(lab, PROXY), cases[i].error);
		assert_int_equal(lab_fate(lab, no), cases[i].fate);
	}
	assert_int_equal(lab->daemon->filters[PROXY].n_late, 0);
}

/* its program has given up meanwhile */
static void test_opened_without_a_take_too_late(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	lab_put(lab, &tcp);
	id = lab_take_flow(lab, PROXY);
	lab_end_socket(lab, &tcp);
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_CANCEL), id);
	assert_int_equal(divert_next(lab, PROXY), 0);
}

static void test_a_second_word(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, PROXY);
	_cleanup_close_ int program = -1;

	divert_take_flow(lab, PROXY, id);
	divert_take_flow(lab, PROXY, id);
	lab_judge(lab, PROXY, id, 0);		      /* it is taken */
	assert_int_equal(divert_next(lab, PROXY), 0); /* it has it, and it is not cancelled */
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_say_opened(lab, PROXY, id, 0);
	divert_say_opened(lab, PROXY, id, ECONNREFUSED);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_ALLOW);
	assert_int_equal(lab->daemon->filters[PROXY].n_late, 3);
	program = divert_connect(lab, &tcp);
	assert_int_equal(divert_expect(lab, PROXY, WIRE_FLOW_SOCKET), id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
}

/* one that has it is opened by it alone */
static void test_words_of_anothers_flow(void **state)
{
	struct lab *lab = divert_lab(1, 2, true);
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);
	_cleanup_close_ int program = -1;

	divert_take_flow(lab, 1, id); /* it is the filter's turn */
	assert_int_equal(lab->daemon->filters[1].n_late, 1);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	lab_judge(lab, 0, id, 0);
	divert_take_flow(lab, 2, id);
	divert_say_opened(lab, 2, id, 0);
	assert_int_equal(lab->daemon->filters[2].n_late, 2);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_take_flow(lab, 1, id);
	divert_say_opened(lab, 2, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_say_opened(lab, 1, id, 0);
	program = divert_connect(lab, &tcp);
	assert_non_null(lab_take(lab, 1, WIRE_FLOW_SOCKET));
	assert_null(lab_take(lab, 2, WIRE_FLOW_SOCKET));
	divert_ask_end(lab, 2, id); /* it hears nothing of it but that it has none */
	assert_true(((const struct wire_flow_end *)lab_take(lab, 2, WIRE_FLOW_END))->full);
	divert_leave(lab, &tcp);
	assert_non_null(lab_take(lab, 1, WIRE_FLOW_END));
	assert_null(lab_take(lab, 2, WIRE_FLOW_END));
	program = close_fd(program);
	lab_free(lab);
}

static void check_broken(struct lab *lab, unsigned int index, uint16_t type, const void *body)
{
	unsigned int n_killed = lab->n_killed;

	lab_say(lab, index, type, body);
	assert_int_equal(lab->n_killed, n_killed + 1);
	while (lab->daemon->filters[index].session.state != SESSION_CALLED)
		lab_live(lab, TICK_US);
	lab_run_filter(lab, index);
}

static void test_a_filter_takes_no_flow(void **state)
{
	struct lab *lab = *state;

	check_broken(lab, 0, WIRE_FLOW_TAKE, &(struct wire_flow_take){ .id = 1 });
	check_broken(lab, 0, WIRE_FLOW_OPENED, &(struct wire_flow_opened){ .id = 1 });
	check_broken(lab, 0, WIRE_FLOW_ASK_END, &(struct wire_flow_ask_end){ .id = 1 });
	assert_int_equal(lab->n_killed, 3);
}

static void test_a_proxy_does_not_filter(void **state)
{
	struct lab *lab = *state;

	check_broken(lab, 1, WIRE_FLOW_FORGET, &(struct wire_flow_forget){ 0 });
	check_broken(lab, 1, WIRE_FLOW_UPDATE, &(struct wire_flow_update){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_PEEK, &(struct wire_flow_peek){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_PASS, &(struct wire_flow_pass){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_PAUSE, &(struct wire_flow_pause){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_NAME, &(struct wire_flow_name){ .id = 1 });
	lab_live(lab, SESSION_CALM_US); /* its deaths are forgotten */
	check_broken(lab, 1, WIRE_FLOW_NEED_RULES, &(struct wire_flow_need_rules){ .id = 1 });
	check_broken(lab, 1, WIRE_FLOW_WATCH, &(struct wire_flow_watch){ .id = 1 });
	check_broken(lab, 1, WIRE_PACKET_VERDICT, &(struct wire_packet_verdict){ .n = 1 });
	check_broken(lab, 1, WIRE_LIST, &(struct wire_list){ .number = 1 });
	assert_int_equal(lab->n_killed, 10);
}

/* ---- its process dies ---- */

static void begin_anew(struct lab *lab)
{
	lab_pass(lab, TICK_US);
	lab_run_filter(lab, PROXY);
}

static void test_it_dies_with_a_flow_that_it_has_taken(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, PROXY);

	divert_take_flow(lab, PROXY, id);
	lab_end_filter(lab, PROXY);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	begin_anew(lab);
	divert_say_opened(lab, PROXY, 1 + id, 0);
	assert_int_equal(lab_take_flow(lab, PROXY), id);
	assert_int_equal(lab_fate(lab, no), FATE_HELD); /* its predecessor had taken it */
	divert_take_flow(lab, PROXY, id);
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
}

/* nobody has it any more, and so it waits no longer than any other */
static void test_it_dies_and_no_other_comes(void **state)
{
	struct lab *lab = *state;
	unsigned int no = lab_put(lab, &tcp);

	divert_take_flow(lab, PROXY, lab_take_flow(lab, PROXY));
	lab_live(lab, 60000000);
	lab_end_filter(lab, PROXY);
	lab_pass(lab, FLOW_DEADLINE_US / 2); /* its successor does not begin to speak */
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	lab_pass(lab, FLOW_DEADLINE_US / 2 + TICK_US);
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
}

static void test_it_dies_before_the_connection_comes(void **state)
{
	struct lab *lab = *state;

	divert_open_flow(lab, PROXY, &tcp);
	lab_end_filter(lab, PROXY);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	begin_anew(lab);
	expect_stranger(lab, &tcp); /* it is reset */
	lab_end_socket(lab, &tcp);
	assert_int_equal(divert_next(lab, PROXY), 0);
}

/* ---- it does not read ---- */

static unsigned int drain(struct lab *lab, uint64_t id, uint16_t order[3])
{
	unsigned int n = 0, n_questions = 0;
	uint16_t type;

	for (;;) {
		type = divert_next(lab, PROXY);
		if (!type) {
			lab_settle(lab); /* there is room again */
			type = divert_next(lab, PROXY);
		}
		if (!type)
			break;
		n_questions += type == WIRE_FLOW_NEW;
		if (type != WIRE_FLOW_SOCKET && type != WIRE_FLOW_END && type != WIRE_FLOW_CANCEL)
			continue;
		assert_true(n < 3);
		assert_int_equal(*(const uint64_t *)(const void *)lab->message.body.bytes, id);
		assert_true((type == WIRE_FLOW_SOCKET) == (lab->passed >= 0));
		order[n++] = type;
	}
	assert_true(n_questions > 20);
	return n;
}

/* who asks about another proxy's flow, and reads nothing, takes no word of it away from that one */
static void test_words_of_anothers_flow_that_wait(void **state)
{
	struct lab *lab = divert_lab(0, 2, true);
	unsigned int no = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);
	_cleanup_close_ int program = -1;

	lab_judge(lab, 0, id, 0);
	assert_int_equal(lab_take_flow(lab, 1), id);
	divert_say_opened(lab, 1, id, 0);
	assert_int_equal(lab_fate(lab, no), FATE_DIVERTED);
	program = divert_connect(lab, &tcp);
	assert_non_null(lab_take(lab, 1, WIRE_FLOW_SOCKET));
	divert_fill(lab, 0);
	divert_ask_end(lab, 0, id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 2);
	divert_ask_end(lab, 1, id);
	assert_false(((const struct wire_flow_end *)lab_take(lab, 1, WIRE_FLOW_END))->full);
	lab_end_socket(lab, &tcp);
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
	program = close_fd(program);
	lab_free(lab);
}

static void test_a_connection_and_its_end_wait_in_order(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);
	_cleanup_close_ int program = -1;
	uint16_t order[3];

	divert_fill(lab, PROXY);
	program = divert_connect(lab, &tcp);
	assert_false(divert_is_closed(program));
	divert_leave(lab, &tcp);
	assert_int_equal(drain(lab, id, order), 2);
	assert_int_equal(order[0], WIRE_FLOW_SOCKET);
	assert_int_equal(order[1], WIRE_FLOW_END);
	lab_end_socket(lab, &tcp);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* what is over by then is told of all the same */
static void test_what_is_over_waits_as_well(void **state)
{
	struct lab *lab = *state;
	uint64_t id = divert_open_flow(lab, PROXY, &tcp);
	_cleanup_close_ int program = -1;
	uint16_t order[3];

	divert_fill(lab, PROXY);
	program = divert_connect(lab, &tcp);
	divert_leave(lab, &tcp);
	lab_end_socket(lab, &tcp);
	assert_int_equal(drain(lab, id, order), 2);
	assert_int_equal(order[0], WIRE_FLOW_SOCKET);
	assert_int_equal(order[1], WIRE_FLOW_END);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

static void test_a_cancel_waits(void **state)
{
	struct lab *lab = *state;
	uint64_t id;
	uint16_t order[3];

	lab_put(lab, &tcp);
	id = lab_take_flow(lab, PROXY);
	divert_take_flow(lab, PROXY, id);
	divert_fill(lab, PROXY);
	lab_end_socket(lab, &tcp);
	assert_int_equal(drain(lab, id, order), 1);
	assert_int_equal(order[0], WIRE_FLOW_CANCEL);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* it asks while there is much that it has not read: that is no offence */
static void check_question(struct lab *lab, uint64_t id)
{
	uint16_t order[3];

	divert_fill(lab, PROXY);
	divert_ask_end(lab, PROXY, id);
	assert_int_equal(lab->n_killed, 0);
	assert_int_equal(drain(lab, id, order), 1);
	assert_int_equal(order[0], WIRE_FLOW_END);
}

static void test_an_answer_waits(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin(lab, &tcp, &program, &own);

	check_question(lab, id);
	divert_leave(lab, &tcp);
	expect_end(lab, id, 1);
	close(own);
	close(program);
}

static void test_an_answer_about_what_is_over_waits(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin(lab, &tcp, &program, &own);

	lab_end_socket(lab, &tcp);
	check_question(lab, id);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

static void test_it_dies_while_a_connection_waits(void **state)
{
	struct lab *lab = *state;
	_cleanup_close_ int program = -1;

	divert_open_flow(lab, PROXY, &tcp);
	divert_fill(lab, PROXY);
	program = divert_connect(lab, &tcp);
	lab_end_filter(lab, PROXY);
	assert_true(divert_is_closed(program));
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
}

/* ---- flows that nobody counts any more ---- */

/* the table forgets the oldest of a user with very many, and it goes on: its end is its proxy's to know */
static void test_a_flow_that_the_table_has_forgotten(void **state)
{
	struct lab *lab = *state;
	int program, own;
	uint64_t id = begin(lab, &tcp, &program, &own);

	flow_table_close(lab->daemon->flows, flow_table_find_id(lab->daemon->flows, id));
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
	divert_leave(lab, &tcp);
	expect_end(lab, id, 1);
	lab_end_socket(lab, &tcp);
	assert_int_equal(diverts_n(lab->daemon->diverts), 0);
	close(own);
	close(program);
}

/* the same socket connects once more: the end of the first is not that of the second */
static void test_a_socket_that_connects_again(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = tcp;
	int program, own;
	uint64_t second;

	begin(lab, &tcp, &program, &own);
	close(own);
	close(program);
	other.rport++;
	second = begin(lab, &other, &program, &own);
	lab_end_socket(lab, &tcp); /* we hear of it late */
	assert_int_equal(diverts_n(lab->daemon->diverts), 1);
	divert_leave(lab, &other);
	expect_end(lab, second, 1);
	close(own);
	close(program);
}

/* ---- the end of all ---- */

static void test_sluiced_ends(void **state)
{
	struct lab *lab = *state;
	struct lab_packet other = tcp;
	_cleanup_close_ int program = -1;
	unsigned int no;

	divert_open_flow(lab, PROXY, &tcp);
	divert_fill(lab, PROXY);
	program = divert_connect(lab, &tcp);
	other.rport++;
	no = lab_put(lab, &other);
	lab_stop(lab);
	assert_true(divert_is_closed(program));
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
	assert_false(fake_is_installed(lab->kernel));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, running_tear_down)
#define FILTERED(fn) cmocka_unit_test_setup_teardown(fn, set_up_with_filter, running_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_the_connection_is_the_proxys),
		TEST(test_a_connection_that_does_not_come),
		TEST(test_a_connection_that_comes_is_left_alone),
		TEST(test_a_connection_from_another_port),
		TEST(test_a_stranger_is_closed),
		cmocka_unit_test(test_many_connections),
		TEST(test_a_program_that_leaves_is_told_of_once),
		TEST(test_which_end_it_was),
		TEST(test_an_end_that_is_told_when_it_is_wanted),
		TEST(test_a_half_end_is_followed_by_a_full_one),
		TEST(test_the_end_of_what_is_over),
		TEST(test_what_is_left_of_a_proxys_end),
		TEST(test_the_end_of_a_program_that_closes_first),
		TEST(test_a_program_that_is_gone_before_its_connection_is_looked_at),
		TEST(test_a_program_that_is_gone_before_its_connection_comes),
		TEST(test_a_connection_that_comes_late_is_over_unasked),
		TEST(test_a_program_that_is_gone_before_it_is_connected),
		TEST(test_a_program_that_gives_up),
		TEST(test_a_program_that_gives_up_before_it_is_taken),
		TEST(test_a_program_that_gives_up_before_it_is_known),
		TEST(test_words_of_no_flow),
		TEST(test_opened_without_a_take),
		TEST(test_opened_without_a_take_too_late),
		TEST(test_a_second_word),
		cmocka_unit_test(test_words_of_anothers_flow),
		FILTERED(test_a_filter_takes_no_flow),
		FILTERED(test_a_proxy_does_not_filter),
		TEST(test_it_dies_with_a_flow_that_it_has_taken),
		TEST(test_it_dies_and_no_other_comes),
		TEST(test_it_dies_before_the_connection_comes),
		cmocka_unit_test(test_words_of_anothers_flow_that_wait),
		TEST(test_a_connection_and_its_end_wait_in_order),
		TEST(test_what_is_over_waits_as_well),
		TEST(test_a_cancel_waits),
		TEST(test_an_answer_waits),
		TEST(test_an_answer_about_what_is_over_waits),
		TEST(test_it_dies_while_a_connection_waits),
		TEST(test_a_flow_that_the_table_has_forgotten),
		TEST(test_a_socket_that_connects_again),
		TEST(test_sluiced_ends),
	};

	return cmocka_run_group_tests_name("daemon-divert-end", tests, NULL, NULL);
}
