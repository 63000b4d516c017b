/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Relays over links that are slower than they are, and other things that take time
 *
 * The relays' clock stands still until the test lets time pass. It is an hour late, so that
 * no timer of the kernel runs out by itself.
 */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "relay-lab.h"

#define HOUR_US 3600000000U
#define MB (1024U * 1024)

static struct {
	bool is_real;
	uint64_t us;
} fake;

int __real_clock_gettime(clockid_t id, struct timespec *ret_now);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_now);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_now)
{
	int r = __real_clock_gettime(id, ret_now);

	if (id != CLOCK_MONOTONIC || fake.is_real)
		return r;
	if (!fake.us)
		fake.us = (uint64_t)ret_now->tv_sec * 1000000U + HOUR_US;
	ret_now->tv_sec = (time_t)(fake.us / 1000000U);
	ret_now->tv_nsec = (long)(fake.us % 1000000U * 1000U);
	return r;
}

static void pass(struct lab *lab, uint64_t us)
{
	fake.us += us;
	assert_int_equal(sluice_relays_process(lab->relays), 0);
	lab_work(lab->relays);
}

static void shape(struct lab *lab, uint64_t rate, uint32_t delay_us, uint32_t jitter_us)
{
	const struct sluice_relay_shape link = {
		.size = sizeof(link), .rate = rate, .delay_us = delay_us, .jitter_us = jitter_us
	};

	assert_int_equal(sluice_relays_shape(lab->relays, &link), 0);
}

static uint64_t received(struct lab_relay *relay, unsigned int to)
{
	assert_int_equal(lab_receive(relay, to), 0);
	return relay->n_received[to];
}

/* ---- delay ---- */

static void test_bytes_and_their_end_take_the_delay(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	shape(lab, 0, 40000, 0);
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		lab_send(one, i, 100);
	lab_end(one, PROGRAM);
	pass(lab, 0);
	pass(lab, 39999);
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		assert_int_equal(received(one, i), 0);
		assert_false(one->has_end[i]);
	}
	pass(lab, 1);
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		assert_int_equal(received(one, i), 100);
	assert_true(one->has_end[UPSTREAM]);
	assert_false(one->has_end[PROGRAM]);
}

static void test_an_end_alone_takes_the_delay(void **state)
{
	struct lab *lab = *state;

	shape(lab, 0, 40000, 0);
	lab_end(&lab->one, UPSTREAM);
	pass(lab, 0);
	pass(lab, 39999);
	assert_int_equal(received(&lab->one, PROGRAM), 0);
	assert_false(lab->one.has_end[PROGRAM]);
	pass(lab, 1);
	assert_int_equal(received(&lab->one, PROGRAM), 0);
	assert_true(lab->one.has_end[PROGRAM]);
}

static void test_a_reset_takes_the_delay(void **state)
{
	struct lab *lab = *state;

	shape(lab, 0, 200000, 0); /* longer than a reset waits for who does not read */
	lab_send(&lab->one, UPSTREAM, 100);
	pass(lab, 0);
	pass(lab, 1000);
	lab_reset(&lab->one, UPSTREAM);
	pass(lab, 0);
	pass(lab, 100000);
	pass(lab, 99999);
	assert_int_equal(received(&lab->one, PROGRAM), 100);
	assert_int_equal(lab->one.n_done, 0);
	pass(lab, 1);
	assert_int_equal(lab_receive(&lab->one, PROGRAM), -ECONNRESET);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_RESET);
}

static void test_what_is_on_its_way_is_bounded(void **state)
{
	struct lab *lab = *state;
	const struct relay_way *way = &lab->one.relay->ways[PROGRAM];

	shape(lab, 0, 40000, 0);
	for (unsigned int i = 0; i < 50; i++) {
		lab_send(&lab->one, PROGRAM, MB);
		pass(lab, 0);
	}
	assert_true(way->n_waiting > SLUICE_RELAY_SHAPED_MAX / 2);
	assert_true(way->n_waiting <= SLUICE_RELAY_SHAPED_MAX);
	for (unsigned int i = 0; lab->one.n_received[UPSTREAM] < lab->one.n_sent[PROGRAM]; i++) {
		assert_true(i < 100000);
		pass(lab, 1000);
		(void)received(&lab->one, UPSTREAM);
	}
}

/* each costs more than the byte that is in it */
static void test_small_pieces_are_bounded_too(void **state)
{
	struct lab *lab = *state;
	const struct relay_way *way = &lab->one.relay->ways[PROGRAM];

	shape(lab, 0, 40000, 0);
	for (unsigned int i = 0; i < 6000; i++) {
		lab_send(&lab->one, PROGRAM, 1);
		pass(lab, 0);
	}
	assert_true(way->n_buffers > 1000);
	assert_true(way->n_buffers < 5000);
	pass(lab, 40000);
	pass(lab, 40000);
	assert_int_equal(received(&lab->one, UPSTREAM), 6000);
}

static void test_jitter_changes_the_delay_and_no_order(void **state)
{
	enum { DELAY_MS = 40, JITTER_MS = 15, N = 400 };
	struct lab *lab = *state;
	unsigned int least = DELAY_MS, most = DELAY_MS;
	uint64_t before = 0;

	shape(lab, 0, DELAY_MS * 1000, JITTER_MS * 1000);
	for (unsigned int now_ms = 0; before < N; now_ms++) { /* the nth byte leaves at n ms */
		assert_true(now_ms < N + DELAY_MS + JITTER_MS + 1);
		if (now_ms < N)
			lab_send(&lab->one, PROGRAM, 1);
		pass(lab, 0);
		for (uint64_t n = received(&lab->one, UPSTREAM); before < n; before++) {
			least = MIN(least, now_ms - (unsigned int)before);
			most = MAX(most, now_ms - (unsigned int)before);
		}
		pass(lab, 1000);
	}
	/* who is behind a late one is late, too: the delay is more often longer than shorter */
	assert_true(least >= DELAY_MS - JITTER_MS && least < most);
	assert_true(most <= DELAY_MS + JITTER_MS + 1 && most > DELAY_MS);
}

/* ---- rate ---- */

/* a ms at a time. Fails as soon as there is more than the link can have carried. Return: ms */
static unsigned int carry(struct lab *lab, struct lab_relay *relays[], unsigned int n_relays,
			  uint64_t rate, uint64_t n_least)
{
	unsigned int ms = 0;

	for (uint64_t n = 0; n < n_least; ms++) {
		assert_true(ms < 100000);
		pass(lab, ms ? 1000 : 0);
		n = 0;
		for (unsigned int i = 0; i < n_relays; i++)
			n += received(relays[i], UPSTREAM);
		assert_true(n <= ms * rate / 1000);
	}
	return ms;
}

static void test_a_rate_is_kept_and_used(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *one = &lab->one;

	shape(lab, 100000, 0, 0);
	lab_send(one, PROGRAM, 50000);
	assert_in_range(carry(lab, &one, 1, 100000, 50000), 500, 515);
}

/* which is no rate for the other way, and one for all relays */
static void test_a_rate_is_shared(void **state)
{
	struct lab *lab = *state;
	struct lab_relay other, *both[] = { &lab->one, &other };

	lab_add(lab->relays, &other);
	shape(lab, 100000, 0, 0);
	lab_send(&lab->one, PROGRAM, 60000);
	lab_send(&other, PROGRAM, 60000);
	lab_send(&other, UPSTREAM, 50000);
	assert_in_range(carry(lab, both, 2, 100000, 50000), 500, 520);
	assert_int_equal(received(&other, PROGRAM), 50000);
	assert_true(lab->one.n_received[UPSTREAM] >= 15000);
	assert_true(other.n_received[UPSTREAM] >= 15000);
	lab_drop(&other);
}

/* who sends more than the link takes is not read */
static void test_a_slow_link_is_back_pressure(void **state)
{
	struct lab *lab = *state;

	shape(lab, 10000, 0, 0);
	lab_send(&lab->one, PROGRAM, MB);
	pass(lab, 0);
	assert_in_range(lab->one.relay->ways[PROGRAM].n_waiting, 1, 2 * 512);
}

/* ---- changes ---- */

static void test_what_is_on_its_way_is_not_overtaken(void **state)
{
	struct lab *lab = *state;

	shape(lab, 0, 40000, 0);
	lab_send(&lab->one, PROGRAM, 100);
	pass(lab, 0);
	assert_int_equal(sluice_relays_shape(lab->relays, NULL), 0);
	lab_send(&lab->one, PROGRAM, 100);
	pass(lab, 39999);
	assert_int_equal(received(&lab->one, UPSTREAM), 0);
	pass(lab, 1);
	assert_int_equal(received(&lab->one, UPSTREAM), 200);
	lab_stream(lab->relays, &lab->one, UPSTREAM, MB);
}

static void test_a_pipe_is_emptied_before_delay_begins(void **state)
{
	struct lab *lab = *state;

	lab_fill(lab->relays, &lab->one, PROGRAM);
	assert_non_null(lab->one.relay->ways[PROGRAM].pipe);
	shape(lab, 0, 5, 0);
	for (unsigned int i = 0; lab->one.n_received[UPSTREAM] < lab->one.n_sent[PROGRAM]; i++) {
		assert_true(i < 100000);
		pass(lab, 10);
		(void)received(&lab->one, UPSTREAM);
	}
}

static void test_shapes_that_cannot_be(void **state)
{
	struct lab *lab = *state;
	struct {
		struct sluice_relay_shape shape;
		uint64_t newer;
	} link = { .shape = { .size = sizeof(link), .delay_us = 5 } };

	assert_int_equal(sluice_relays_shape(lab->relays, &link.shape), 0);
	link.newer = 1;
	assert_int_equal(sluice_relays_shape(lab->relays, &link.shape), -E2BIG);
	link.newer = 0;
	link.shape.jitter_us = 6;
	assert_int_equal(sluice_relays_shape(lab->relays, &link.shape), -EINVAL);
	link.shape.jitter_us = 0;
	link.shape.delay_us = 60000001;
	assert_int_equal(sluice_relays_shape(lab->relays, &link.shape), -EINVAL);
	assert_int_equal(lab->relays->shape.delay_us, 5); /* what was before goes on */
}

/* ---- patience ---- */

static void test_upstream_that_takes_nothing_is_waited_for_four_minutes(void **state)
{
	struct lab *lab = *state;
	unsigned int ms = 0;

	lab_fill(lab->relays, &lab->one, PROGRAM);
	lab_close(&lab->one, PROGRAM);
	sluice_relay_release(lab->one.relay);
	for (; !lab->one.n_done; ms += 10) {
		assert_true(ms < 250000);
		pass(lab, 10000);
	}
	assert_true(ms >= 240000);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_STALLED);
	assert_true(lab_expect_reset(lab->relays, &lab->one, UPSTREAM) < lab->one.n_sent[PROGRAM]);
}

/* and as long again after each time that it takes something */
static void test_upstream_that_takes_something_is_waited_for_longer(void **state)
{
	struct lab *lab = *state;

	lab_fill(lab->relays, &lab->one, PROGRAM);
	lab_close(&lab->one, PROGRAM);
	sluice_relay_release(lab->one.relay);
	for (unsigned int i = 0; i < 10 && lab->one.n_received[UPSTREAM] < 3 * MB; i++) {
		uint64_t n = lab->one.n_received[UPSTREAM];

		for (unsigned int ms = 0; ms < 230000; ms += 250)
			pass(lab, 250000);
		assert_int_equal(lab->one.n_done, 0);
		while (lab->one.n_received[UPSTREAM] < n + MB / 2)
			pass(lab, (uint64_t)!received(&lab->one, UPSTREAM));
	}
	lab_expect_end(lab->relays, &lab->one, UPSTREAM);
}

/* it has reset, and what was to come to it is no longer there, while what it sent is waited for */
static void test_what_waits_for_a_side_that_is_reset_is_gone(void **state)
{
	struct lab *lab = *state;
	const struct relay_way *ways = lab->one.relay->ways;

	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		lab_fill(lab->relays, &lab->one, i);
		assert_true(ways[i].n_waiting > 0);
	}
	lab_reset(&lab->one, PROGRAM);
	lab_work(lab->relays);
	assert_int_equal(lab->one.n_done, 0);
	assert_true(ways[PROGRAM].n_waiting > 0);
	assert_int_equal(ways[UPSTREAM].n_waiting, 0);
	pass(lab, 50000);
	lab_expect_done(lab->relays, &lab->one, SLUICE_RELAY_RESET);
}

/* the clock is the real one: it is woken when there is something to do */
static void test_the_descriptor_becomes_readable_in_time(void **state)
{
	struct lab *lab = *state;

	fake.is_real = true;
	shape(lab, 4 * MB, 3000, 2000);
	lab_stream(lab->relays, &lab->one, PROGRAM, MB);
	lab_send(&lab->one, UPSTREAM, 10);
	lab_end(&lab->one, UPSTREAM);
	lab_expect_end(lab->relays, &lab->one, PROGRAM);
	assert_false(lab_is_readable(lab->relays, 50));
	fake.is_real = false;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, lab_set_up, lab_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_bytes_and_their_end_take_the_delay),
		TEST(test_an_end_alone_takes_the_delay),
		TEST(test_a_reset_takes_the_delay),
		TEST(test_what_is_on_its_way_is_bounded),
		TEST(test_small_pieces_are_bounded_too),
		TEST(test_jitter_changes_the_delay_and_no_order),
		TEST(test_a_rate_is_kept_and_used),
		TEST(test_a_rate_is_shared),
		TEST(test_a_slow_link_is_back_pressure),
		TEST(test_what_is_on_its_way_is_not_overtaken),
		TEST(test_a_pipe_is_emptied_before_delay_begins),
		TEST(test_shapes_that_cannot_be),
		TEST(test_upstream_that_takes_nothing_is_waited_for_four_minutes),
		TEST(test_upstream_that_takes_something_is_waited_for_longer),
		TEST(test_what_waits_for_a_side_that_is_reset_is_gone),
		TEST(test_the_descriptor_becomes_readable_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
