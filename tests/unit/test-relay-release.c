/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Relays whose program has closed its last descriptor */

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "relay-lab.h"

#define PATIENCE_MS 20000U
#define FIN_WAIT_2 5U

static void expect_all_and_an_end(struct lab *lab)
{
	lab_expect_end(lab->relays, &lab->one, UPSTREAM);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_RELEASED);
	assert_int_equal(lab->one.end.bytes[PROGRAM], lab->one.n_sent[PROGRAM]);
}

static void test_all_that_the_program_has_sent_comes(void **state)
{
	struct lab *lab = *state;

	lab_fill(lab->relays, &lab->one, PROGRAM);
	lab_close(&lab->one, PROGRAM);
	sluice_relay_release(lab->one.relay);
	lab_work(lab->relays);
	assert_int_equal(lab->one.n_done, 0); /* upstream has not read it */
	expect_all_and_an_end(lab);
}

static void test_nothing_was_sent(void **state)
{
	struct lab *lab = *state;

	lab_close(&lab->one, PROGRAM);
	sluice_relay_release(lab->one.relay);
	expect_all_and_an_end(lab);
}

/* its end was read, and told, long before it is known that it was a full close */
static void test_it_is_known_later(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab->relays, &lab->one, PROGRAM, 300000);
	lab_close(&lab->one, PROGRAM);
	lab_expect_end(lab->relays, &lab->one, UPSTREAM);
	lab_work(lab->relays);
	assert_int_equal(lab->one.n_done, 0);
	sluice_relay_release(lab->one.relay);
	sluice_relay_release(lab->one.relay);
	expect_all_and_an_end(lab);
	assert_int_equal(lab->one.n_read_ends[PROGRAM], 1);
}

static void test_it_is_told_inside_read_end(void **state)
{
	struct lab *lab = *state;

	lab->one.at_end = sluice_relay_release;
	lab_send(&lab->one, PROGRAM, 20000);
	lab_close(&lab->one, PROGRAM);
	expect_all_and_an_end(lab);
}

static void test_a_reset_inside_read_end(void **state)
{
	struct lab *lab = *state;

	lab->one.at_end = sluice_relay_reset;
	lab_close(&lab->one, PROGRAM);
	lab_expect_reset(lab->relays, &lab->one, UPSTREAM);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_ABANDONED);
}

/* Upstream never stops to send, and reads slowly: if its connection were closed as soon as all is
 * written, its data would make the kernel reset it, and what is not sent yet would be lost */
static void test_all_comes_though_upstream_goes_on_sending(void **state)
{
	static char unwanted[30000], bytes[20000];
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;
	uint64_t began = clock_ms();
	ssize_t n;

	lab_fill(lab->relays, one, PROGRAM);
	lab_close(one, PROGRAM);
	sluice_relay_release(one->relay);
	while ((n = recv(one->ends[UPSTREAM], bytes, sizeof(bytes), 0)) != 0) {
		assert_true(n > 0 || errno == EAGAIN);
		assert_true(clock_ms() - began < PATIENCE_MS);
		one->n_received[UPSTREAM] += (uint64_t)MAX(n, 0);
		(void)!send(one->ends[UPSTREAM], unwanted, sizeof(unwanted), MSG_NOSIGNAL);
		lab_work(lab->relays);
	}
	assert_int_equal(one->n_received[UPSTREAM], one->n_sent[PROGRAM]);
	lab_expect_done(lab->relays, one, SLUICE_RELAY_RELEASED);
	assert_int_equal(one->end.bytes[UPSTREAM], 0); /* that nobody wanted */
}

/* what upstream sends after that is answered by a reset */
static void test_upstream_is_closed_entirely(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;
	uint64_t began = clock_ms();

	lab_close(one, PROGRAM);
	sluice_relay_release(one->relay);
	expect_all_and_an_end(lab);
	while (send(one->ends[UPSTREAM], "x", 1, MSG_NOSIGNAL) == 1)
		assert_true(clock_ms() - began < PATIENCE_MS);
	assert_int_equal(errno, EPIPE);
}

/* what had been read of upstream, and waited for the program, is thrown away with its pipe, and not
 * left in it for another relay */
static void test_what_waited_for_the_program_is_gone(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one, other;
	struct relay_way *way = &one->relay->ways[UPSTREAM];

	lab_fill(lab->relays, one, UPSTREAM);
	assert_true(way->n_waiting > 0);
	sluice_relay_release(one->relay);
	assert_int_equal(way->n_waiting, 0);
	assert_null(way->pipe);
	assert_null(way->first);
	lab_add(lab->relays, &other);
	lab_stream(lab->relays, &other, PROGRAM, 5 * 1024 * 1024);
	lab_drop(&other);
	lab_end(one, PROGRAM);
	expect_all_and_an_end(lab);
}

/* data was on its way to the program when it closed, and its kernel has reset them: it had sent all
 * that it wanted to before, and upstream has it */
static void test_late_data_do_not_make_it_a_reset(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	lab_send(one, PROGRAM, 100);
	lab_close(one, PROGRAM);
	lab_expect_end(lab->relays, one, UPSTREAM);
	lab_send(one, UPSTREAM, 10);
	assert_true(lab_is_readable(lab->relays, PATIENCE_MS));
	assert_int_equal(sluice_relays_process(lab->relays), 0);
	sluice_relay_release(one->relay);
	expect_all_and_an_end(lab);
}

/* the program was reset before all of what it sent had come: that is no end */
static void test_a_program_that_is_reset_is_no_end(void **state)
{
	struct lab *lab = *state;

	lab_fill(lab->relays, &lab->one, PROGRAM);
	lab_reset(&lab->one, PROGRAM);
	sluice_relay_release(lab->one.relay);
	assert_true(lab_expect_reset(lab->relays, &lab->one, UPSTREAM) < lab->one.n_sent[PROGRAM]);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_RESET);
}

static void test_upstream_that_is_reset_ends_it(void **state)
{
	struct lab *lab = *state;

	lab_fill(lab->relays, &lab->one, PROGRAM);
	lab_close(&lab->one, PROGRAM);
	sluice_relay_release(lab->one.relay);
	lab_reset(&lab->one, UPSTREAM);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_RESET);
	assert_int_equal(lab->one.end.side, UPSTREAM);
}

/* ---- what is left in the kernel ---- */

static uint16_t peer_port(int fd)
{
	struct sockaddr_in address;
	socklen_t n = sizeof(address);

	assert_int_equal(getpeername(fd, (struct sockaddr *)&address, &n), 0);
	return ntohs(address.sin_port);
}

/* Return: is there a socket with that port in FIN_WAIT_2? */
static bool is_half_open(uint16_t port)
{
	FILE *file = fopen("/proc/net/tcp", "re");
	unsigned int local, state;
	bool is_found = false;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		is_found |= sscanf(line, " %*d: %*x:%x %*x:%*x %x", &local, &state) == 2 &&
			    local == port && state == FIN_WAIT_2;
	fclose(file);
	return is_found;
}

/* Upstream says nothing for ever. The kernel would keep such a socket for a minute */
static void test_nothing_stays_half_open(void **state)
{
	struct lab *lab = *state;
	uint16_t port = peer_port(lab->one.ends[UPSTREAM]);
	uint64_t began = clock_ms();

	lab_stream(lab->relays, &lab->one, PROGRAM, 1000);
	lab_close(&lab->one, PROGRAM);
	lab_expect_end(lab->relays, &lab->one, UPSTREAM);
	while (!is_half_open(port)) /* yet: upstream acknowledges it within 40 ms */
		assert_true(clock_ms() - began < PATIENCE_MS);
	sluice_relay_release(lab->one.relay);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_RELEASED);
	while (is_half_open(port)) {
		assert_true(clock_ms() - began < PATIENCE_MS);
		usleep(20000);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, lab_set_up, lab_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_all_that_the_program_has_sent_comes),
		TEST(test_nothing_was_sent),
		TEST(test_it_is_known_later),
		TEST(test_it_is_told_inside_read_end),
		TEST(test_a_reset_inside_read_end),
		TEST(test_all_comes_though_upstream_goes_on_sending),
		TEST(test_upstream_is_closed_entirely),
		TEST(test_what_waited_for_the_program_is_gone),
		TEST(test_late_data_do_not_make_it_a_reset),
		TEST(test_a_program_that_is_reset_is_no_end),
		TEST(test_upstream_that_is_reset_ends_it),
		TEST(test_nothing_stays_half_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
