/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Relays: urgent data, and resets behind an end */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "relay-lab.h"

#define MB (1024U * 1024)

/* ---- urgent data ---- */

static bool has_urgent(const struct lab_relay *one)
{
	struct pollfd fd[] = { { .fd = one->ends[PROGRAM], .events = POLLPRI },
			       { .fd = one->ends[UPSTREAM], .events = POLLPRI } };

	return poll(fd, 2, 0) > 0;
}

/* it is urgent on the other side as well, and in its place. @n: bytes before it */
static void check_urgent(struct lab *lab, unsigned int from, size_t n)
{
	struct lab_relay *one = &lab->one;
	char bytes[1000];

	lab_stream(lab->relays, one, from, n);
	lab_send(one, from, 500);
	assert_int_equal(send(one->ends[from], "!", 1, MSG_OOB), 1);
	lab_send(one, from, 500);
	assert_true(lab_wait(lab->relays, has_urgent, one));
	assert_int_equal(recv(one->ends[!from], bytes, 1, MSG_OOB), 1);
	assert_int_equal(bytes[0], '!');
	assert_int_equal(recv(one->ends[!from], bytes, sizeof(bytes), 0), 500);
	one->n_received[!from] += 500;
	lab_stream(lab->relays, one, from, 0);
}

static void test_urgent_data_is_urgent(void **state)
{
	check_urgent(*state, PROGRAM, 0);
	check_urgent(*state, UPSTREAM, 10);
	check_urgent(*state, PROGRAM, 0);
}

static void test_urgent_data_is_urgent_in_bulk(void **state)
{
	check_urgent(*state, PROGRAM, 3 * MB);
	check_urgent(*state, UPSTREAM, 3 * MB);
	check_urgent(*state, PROGRAM, 3 * MB);
}

/* ---- an end, and a reset behind it ---- */

/* The end comes, and a reset right behind it: of who closes what it has not read. It is an end for who reads */
static void reset_behind_the_end(struct lab *lab, unsigned int side, size_t n)
{
	struct lab_relay *one = &lab->one;

	lab_send(one, side, n);
	lab_end(one, side);
	lab_reset(one, side);
	lab_work(lab->relays);
	lab_expect_end(lab->relays, one, !side);
	lab_expect_done(lab->relays, one, SLUICE_RELAY_RESET);
	assert_int_equal(one->end.side, side);
	assert_int_equal(one->n_read_ends[side], 1);
	assert_int_equal(send(one->ends[!side], "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
}

/* splice(2) that has written some has kept the errno to itself, as SO_ERROR read by somebody else. @n: bytes that are
 * written to it then */
static void reset_that_nobody_was_told_of(struct lab *lab, unsigned int side, size_t n)
{
	struct lab_relay *one = &lab->one;
	int error = 0;
	socklen_t n_error = sizeof(error);

	lab_stream(lab->relays, one, !side, 3 * MB);
	lab_reset(one, side);
	assert_int_equal(
		getsockopt(one->relay->sides[side].fd, SOL_SOCKET, SO_ERROR, &error, &n_error), 0);
	assert_int_equal(error, ECONNRESET);
	lab_send(one, !side, n);
	lab_expect_reset(lab->relays, one, !side);
	lab_expect_done(lab->relays, one, SLUICE_RELAY_RESET);
	assert_int_equal(one->end.error, -ECONNRESET);
	assert_int_equal(one->n_read_ends[side], 0);
}

/** struct reset_case - a test of its own */
struct reset_case {
	void (*check)(struct lab *lab, unsigned int side, size_t n);
	unsigned int side;
	size_t n;
	void *lab;
};

static int set_up_reset(void **state)
{
	struct reset_case *reset = *state;

	return lab_set_up(&reset->lab);
}

static int tear_down_reset(void **state)
{
	struct reset_case *reset = *state;

	return lab_tear_down(&reset->lab);
}

static void test_reset(void **state)
{
	struct reset_case *reset = *state;

	reset->check(reset->lab, reset->side, reset->n);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, lab_set_up, lab_tear_down)
#define RESET(what, from, n_bytes)                                                                 \
	{                                                                                          \
		.name = #what " from " #from ", " #n_bytes " bytes", .test_func = test_reset,      \
		.setup_func = set_up_reset, .teardown_func = tear_down_reset,                      \
		.initial_state = &(struct reset_case)                                              \
		{                                                                                  \
			.check = what, .side = from, .n = n_bytes                                  \
		}                                                                                  \
	}
	const struct CMUnitTest tests[] = {
		TEST(test_urgent_data_is_urgent),
		TEST(test_urgent_data_is_urgent_in_bulk),
		RESET(reset_behind_the_end, PROGRAM, 40000),
		RESET(reset_behind_the_end, UPSTREAM, 40000),
		RESET(reset_behind_the_end, UPSTREAM, 0),
		RESET(reset_that_nobody_was_told_of, PROGRAM, 0),
		RESET(reset_that_nobody_was_told_of, UPSTREAM, 0),
		/* a write meets it too late */
		RESET(reset_that_nobody_was_told_of, UPSTREAM, 5000),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
