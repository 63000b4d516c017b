/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Relays: bytes, and how connections end */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "relay-lab.h"

#define MB (1024U * 1024)

/* ---- ends that are orderly ---- */

static void test_bytes_go_both_ways_and_are_counted(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	lab_stream(lab->relays, one, PROGRAM, 5);
	lab_stream(lab->relays, one, UPSTREAM, 700000);
	lab_stream(lab->relays, one, PROGRAM, 100000);
	assert_int_equal(one->n_done, 0);
	lab_end(one, PROGRAM);
	lab_expect_end(lab->relays, one, UPSTREAM);
	lab_end(one, UPSTREAM);
	lab_expect_end(lab->relays, one, PROGRAM);
	lab_expect_done(lab->relays, one, SLUICE_RELAY_CLOSED);
	assert_int_equal(one->end.bytes[PROGRAM], 100005);
	assert_int_equal(one->end.bytes[UPSTREAM], 700000);
	assert_int_equal(sluice_relays_count(lab->relays), 0);
}

static void half_close(struct lab *lab, unsigned int first)
{
	struct lab_relay *one = &lab->one;

	lab_send(one, first, 1000);
	lab_end(one, first);
	lab_expect_end(lab->relays, one, !first);
	assert_int_equal(one->n_read_ends[first], 1);
	assert_int_equal(one->n_read_ends[!first], 0);
	lab_stream(lab->relays, one, !first, 10 * MB);
	assert_false(one->has_end[first]);
	lab_end(one, !first);
	lab_expect_end(lab->relays, one, first);
	lab_expect_done(lab->relays, one, SLUICE_RELAY_CLOSED);
	assert_int_equal(one->n_read_ends[first], 1);
	assert_int_equal(one->n_read_ends[!first], 1);
	assert_int_equal(one->end.bytes[!first], 10 * MB);
}

/* who has sent the socket to us may not have closed his yet */
static void test_others_have_the_socket(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;
	int others[2];

	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		others[i] = dup(one->relay->sides[i].fd);
		lab_end(one, i);
	}
	lab_expect_done(lab->relays, one, SLUICE_RELAY_CLOSED);
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		assert_int_equal(shutdown(others[i], SHUT_RDWR) < 0 && errno != ENOTCONN, 0);
	assert_false(lab_is_readable(lab->relays, 0));
	lab_work(lab->relays);
	close(others[0]);
	close(others[1]);
}

static void test_10_mb_after_the_programs_end(void **state)
{
	half_close(*state, PROGRAM);
}

static void test_10_mb_after_upstreams_end(void **state)
{
	half_close(*state, UPSTREAM);
}

/* the end is behind the last byte, and nobody is told before */
static void test_an_end_waits_for_who_does_not_read(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	lab_fill(lab->relays, one, PROGRAM);
	lab_end(one, PROGRAM);
	lab_work(lab->relays);
	assert_int_equal(one->n_read_ends[PROGRAM], 0);
	lab_expect_end(lab->relays, one, UPSTREAM);
	assert_int_equal(one->n_read_ends[PROGRAM], 1);
}

static void test_both_end_at_once(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		lab_send(one, i, 3000);
		lab_end(one, i);
	}
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		lab_expect_end(lab->relays, one, i);
	lab_expect_done(lab->relays, one, SLUICE_RELAY_CLOSED);
}

/* closed with data that is not even sent: it comes all the same */
static void test_what_was_written_before_the_last_end_is_not_lost(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	lab_end(one, UPSTREAM);
	lab_expect_end(lab->relays, one, PROGRAM);
	lab_fill(lab->relays, one, PROGRAM);
	lab_end(one, PROGRAM);
	lab_expect_end(lab->relays, one, UPSTREAM);
	lab_expect_done(lab->relays, one, SLUICE_RELAY_CLOSED);
}

/* Reads stop at urgent data, which is no end of what there is to be read, and splice(2) never gets over it */
static void stream_with_urgent_data(struct lab *lab, size_t n)
{
	struct lab_relay *one = &lab->one;

	for (unsigned int i = 0; i < 3; i++) {
		lab_stream(lab->relays, one, PROGRAM, n);
		lab_send(one, PROGRAM, 500);
		assert_int_equal(send(one->ends[PROGRAM], "!", 1, MSG_OOB), 1);
		lab_send(one, PROGRAM, 500);
		lab_stream(lab->relays, one, PROGRAM, 0);
	}
	lab_send(one, PROGRAM, 500);
	assert_int_equal(send(one->ends[PROGRAM], "!", 1, MSG_OOB), 1);
	lab_send(one, PROGRAM, 500);
	lab_end(one, PROGRAM);
	lab_expect_end(lab->relays, one, UPSTREAM);
}

static void test_urgent_data_stops_nothing(void **state)
{
	stream_with_urgent_data(*state, 10);
}

static void test_urgent_data_does_not_stop_bulk(void **state)
{
	stream_with_urgent_data(*state, 3 * MB);
}

/* ---- resets ---- */

static void expect_reset_of(struct lab *lab, unsigned int side)
{
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_RESET);
	assert_int_equal(lab->one.end.side, side);
	assert_int_equal(lab->one.end.error, -ECONNRESET);
	assert_int_equal(lab->one.n_read_ends[side], 0);
}

static void reset_idle(struct lab *lab, unsigned int side)
{
	lab_stream(lab->relays, &lab->one, PROGRAM, 100);
	lab_stream(lab->relays, &lab->one, UPSTREAM, 100);
	lab_reset(&lab->one, side);
	lab_expect_reset(lab->relays, &lab->one, !side);
	expect_reset_of(lab, side);
}

static void test_a_reset_of_the_program(void **state)
{
	reset_idle(*state, PROGRAM);
}

static void test_a_reset_of_upstream(void **state)
{
	reset_idle(*state, UPSTREAM);
}

/* What came before a reset comes before the reset. It is what TCP sends at once, for its own end
 * throws away what is left of it */
static void reset_behind(struct lab *lab, unsigned int side)
{
	lab_send(&lab->one, side, 40000);
	lab_reset(&lab->one, side);
	lab_work(lab->relays);
	assert_int_equal(lab_expect_reset(lab->relays, &lab->one, !side), lab->one.n_sent[side]);
	expect_reset_of(lab, side);
}

static void test_a_reset_of_the_program_behind_bytes(void **state)
{
	reset_behind(*state, PROGRAM);
}

static void test_a_reset_of_upstream_behind_bytes(void **state)
{
	reset_behind(*state, UPSTREAM);
}

/* nothing of the side that is reset is being read, because the other one does not read */
static void reset_full(struct lab *lab, unsigned int side)
{
	lab_fill(lab->relays, &lab->one, side);
	lab_reset(&lab->one, side);
	expect_reset_of(lab, side);
	lab_expect_reset(lab->relays, &lab->one, !side);
}

static void test_a_reset_of_the_program_while_it_is_not_read(void **state)
{
	reset_full(*state, PROGRAM);
}

static void test_a_reset_of_upstream_while_it_is_not_read(void **state)
{
	reset_full(*state, UPSTREAM);
}

/* it does not take what is sent to it, and is reset */
static void reset_not_reading(struct lab *lab, unsigned int side)
{
	lab_fill(lab->relays, &lab->one, !side);
	lab_reset(&lab->one, side);
	lab_expect_reset(lab->relays, &lab->one, !side);
	expect_reset_of(lab, side);
}

static void test_a_reset_of_the_program_which_does_not_read(void **state)
{
	reset_not_reading(*state, PROGRAM);
}

static void test_a_reset_of_upstream_which_does_not_read(void **state)
{
	reset_not_reading(*state, UPSTREAM);
}

/* The program has closed, and nobody has said so: its kernel resets what comes, and so upstream gets
 * it, whose own end was orderly */
static void test_data_for_a_closed_program_is_a_reset(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	lab_send(one, PROGRAM, 1000);
	lab_close(one, PROGRAM);
	lab_expect_end(lab->relays, one, UPSTREAM);
	one->has_end[UPSTREAM] = false;
	lab_send(one, UPSTREAM, 10);
	lab_expect_done(lab->relays, one, SLUICE_RELAY_RESET);
	assert_int_equal(one->end.side, PROGRAM);
	/* TCP says EPIPE to who was told the end before: nobody reads what it writes */
	assert_int_equal(send(one->ends[UPSTREAM], "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
}

/* ---- what is asked for ---- */

static void test_reset_resets_both(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab->relays, &lab->one, PROGRAM, 10);
	sluice_relay_reset(lab->one.relay);
	lab_expect_reset(lab->relays, &lab->one, PROGRAM);
	lab_expect_reset(lab->relays, &lab->one, UPSTREAM);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_ABANDONED);
}

static void test_a_set_that_is_freed_resets_both_and_tells_nobody(void **state)
{
	struct lab *lab = *state;
	struct lab_relay other;

	lab_add(lab->relays, &other);
	lab_fill(lab->relays, &other, UPSTREAM);
	lab->relays = sluice_relays_free(lab->relays);
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		assert_int_equal(lab_receive(&lab->one, i), -ECONNRESET);
		assert_int_equal(lab_receive(&other, i), -ECONNRESET);
	}
	assert_int_equal(lab->one.n_done + other.n_done, 0);
	lab_drop(&other);
}

/* the process is killed: the kernel closes all, as here, and no side takes that for an end */
static void test_descriptors_that_just_close_are_resets(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		close(dup2(lab->relays->timer, one->relay->sides[i].fd));
		one->relay->sides[i].fd = -1;
		assert_int_equal(lab_receive(one, i), -ECONNRESET);
	}
}

static void expect_refused(struct sluice_relays *relays, int program, int upstream, int error)
{
	struct sluice_relay *relay = NULL;

	assert_int_equal(sluice_relays_add(relays, program, upstream, NULL, NULL, &relay), error);
	assert_null(relay);
	assert_int_equal(fcntl(program, F_GETFD), -1);
	assert_int_equal(fcntl(upstream, F_GETFD), -1);
	assert_int_equal(sluice_relays_count(relays), 1);
}

/* also on failure both descriptors are consumed, and neither is an end */
static void test_what_is_no_socket_is_refused_and_consumed(void **state)
{
	struct lab *lab = *state;
	int first[2], second[2], third[2];
	char byte;

	lab_pair(first);
	lab_pair(second);
	assert_int_equal(pipe(third), 0);
	expect_refused(lab->relays, first[1], third[0], -ENOTSOCK);
	expect_refused(lab->relays, third[1], second[1], -ENOTSOCK);
	assert_int_equal(read(first[0], &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(read(second[0], &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(first[0]);
	close(second[0]);
}

/* nobody wants to know anything, or was built when there was less to know */
static void test_ops_may_be_few(void **state)
{
	const struct sluice_relay_ops old = { .size = offsetof(struct sluice_relay_ops, done),
					      .done = (void (*)(struct sluice_relay *,
								const struct sluice_relay_end *,
								void *))(uintptr_t)1 };
	struct lab *lab = *state;

	for (int i = 0; i < 2; i++) {
		int program[2], upstream[2];

		lab_pair(program);
		lab_pair(upstream);
		assert_int_equal(sluice_relays_add(lab->relays, program[1], upstream[1],
						   i ? &old : NULL, NULL, NULL),
				 0);
		close(program[0]);
		close(upstream[0]);
	}
	while (sluice_relays_count(lab->relays) > 1)
		assert_int_equal(sluice_relays_process(lab->relays), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, lab_set_up, lab_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_bytes_go_both_ways_and_are_counted),
		TEST(test_others_have_the_socket),
		TEST(test_10_mb_after_the_programs_end),
		TEST(test_10_mb_after_upstreams_end),
		TEST(test_an_end_waits_for_who_does_not_read),
		TEST(test_both_end_at_once),
		TEST(test_what_was_written_before_the_last_end_is_not_lost),
		TEST(test_urgent_data_stops_nothing),
		TEST(test_urgent_data_does_not_stop_bulk),
		TEST(test_a_reset_of_the_program),
		TEST(test_a_reset_of_upstream),
		TEST(test_a_reset_of_the_program_behind_bytes),
		TEST(test_a_reset_of_upstream_behind_bytes),
		TEST(test_a_reset_of_the_program_while_it_is_not_read),
		TEST(test_a_reset_of_upstream_while_it_is_not_read),
		TEST(test_a_reset_of_the_program_which_does_not_read),
		TEST(test_a_reset_of_upstream_which_does_not_read),
		TEST(test_data_for_a_closed_program_is_a_reset),
		TEST(test_reset_resets_both),
		TEST(test_a_set_that_is_freed_resets_both_and_tells_nobody),
		TEST(test_descriptors_that_just_close_are_resets),
		TEST(test_what_is_no_socket_is_refused_and_consumed),
		TEST(test_ops_may_be_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
