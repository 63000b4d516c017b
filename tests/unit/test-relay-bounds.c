/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Relays: what they need, and that none of them needs it for itself */

#include <dirent.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "relay-lab.h"

#define MB (1024U * 1024)
#define N_MANY 64U
/* a turn begins below the limit, and its last piece is a whole pipe */
#define PROCESS_MOST (RELAY_PROCESS_BYTES + RELAY_TURN_BYTES + SLUICE_RELAY_WAITING_MAX)
#define N_HELD (MAX(RELAY_PIPES_FREE, RELAY_BUFFERS_FREE) + 8)
#define N_IDLE 2000U
#define IDLE_BYTES 512U /* of memory, at most, for a relay that is idle */

static unsigned int n_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static void expect_nothing_held(const struct sluice_relay *relay)
{
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		assert_null(relay->ways[i].first);
		assert_null(relay->ways[i].pipe);
		assert_int_equal(relay->ways[i].n_waiting, 0);
	}
}

/* ---- back-pressure ---- */

static void fill_and_drain(struct lab *lab, unsigned int from)
{
	const struct relay_way *way = &lab->one.relay->ways[from];

	lab_fill(lab->relays, &lab->one, from);
	assert_true(way->n_waiting > 0);
	assert_true(way->n_waiting <= SLUICE_RELAY_WAITING_MAX);
	assert_true(way->n_buffers <= 1);
	lab_stream(lab->relays, &lab->one, from, 0);
	expect_nothing_held(lab->one.relay);
}

static void test_who_is_not_read_does_not_fill_memory(void **state)
{
	fill_and_drain(*state, PROGRAM);
	fill_and_drain(*state, UPSTREAM);
	fill_and_drain(*state, PROGRAM);
}

/* a way that is full is no reason not to go the other one */
static void test_the_other_way_goes_on(void **state)
{
	struct lab *lab = *state;

	lab_fill(lab->relays, &lab->one, PROGRAM);
	lab_stream(lab->relays, &lab->one, UPSTREAM, 5 * MB);
	lab_stream(lab->relays, &lab->one, PROGRAM, 0);
}

/* ---- pipes ---- */

static void test_bulk_goes_through_a_pipe_that_is_given_back(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab->relays, &lab->one, PROGRAM, 3000);
	assert_int_equal(lab->relays->pool.n_pipes, 0);
	lab_stream(lab->relays, &lab->one, PROGRAM, 10 * MB);
	assert_true(lab->relays->pool.n_pipes > 0);
	expect_nothing_held(lab->one.relay);
}

static void limit_descriptors(rlim_t n)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = n ? n : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void use_up_descriptors(void)
{
	int lowest = dup(STDERR_FILENO);

	close(lowest);
	limit_descriptors((rlim_t)lowest);
}

static void test_without_descriptors_for_a_pipe_bytes_go_all_the_same(void **state)
{
	struct lab *lab = *state;

	use_up_descriptors();
	lab_stream(lab->relays, &lab->one, PROGRAM, 5 * MB);
	lab_stream(lab->relays, &lab->one, UPSTREAM, 5 * MB);
	limit_descriptors(0);
	assert_int_equal(lab->relays->pool.n_pipes, 0);
	lab_stream(lab->relays, &lab->one, UPSTREAM, 5 * MB); /* and it is tried again */
	assert_true(lab->relays->pool.n_pipes > 0);
}

/* the kernel holds little of it */
static void narrow(const struct lab_relay *relay)
{
	const int n_bytes = 65536;

	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++) {
		const int fds[] = { relay->ends[i], relay->relay->sides[i].fd };

		for (unsigned int j = 0; j < ARRAY_SIZE(fds); j++) {
			setsockopt(fds[j], SOL_SOCKET, SO_SNDBUF, &n_bytes, sizeof(n_bytes));
			setsockopt(fds[j], SOL_SOCKET, SO_RCVBUF, &n_bytes, sizeof(n_bytes));
		}
	}
}

static unsigned int n_held(const struct lab_relay *many, bool are_pipes)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_HELD; i++)
		n += are_pipes ? many[i].relay->ways[UPSTREAM].pipe != NULL
			       : many[i].relay->ways[UPSTREAM].first != NULL;
	return n;
}

/* each has one for itself while bytes wait in it, and the set keeps a few afterwards */
static void fill_many(struct lab *lab, bool have_pipes)
{
	struct lab_relay *many = calloc(N_HELD, sizeof(*many));
	unsigned int n = n_descriptors();

	assert_non_null(many);
	for (unsigned int i = 0; i < N_HELD; i++) {
		lab_add(lab->relays, &many[i]);
		narrow(&many[i]);
	}
	if (!have_pipes)
		use_up_descriptors();
	for (unsigned int i = 0; i < N_HELD; i++)
		lab_fill(lab->relays, &many[i], UPSTREAM);
	limit_descriptors(0);
	assert_true(n_held(many, have_pipes) > MAX(RELAY_PIPES_FREE, RELAY_BUFFERS_FREE));
	for (unsigned int i = 0; i < N_HELD; i++) {
		lab_stream(lab->relays, &many[i], UPSTREAM, 0);
		expect_nothing_held(many[i].relay);
	}
	assert_true(n_descriptors() <= n + 4 * N_HELD + 2 * RELAY_PIPES_FREE);
	assert_true(lab->relays->pool.n_buffers <= RELAY_BUFFERS_FREE);
	lab->relays = sluice_relays_free(lab->relays);
	for (unsigned int i = 0; i < N_HELD; i++)
		lab_drop(&many[i]);
	lab_drop(&lab->one);
	assert_true(n_descriptors() < n);
	free(many);
}

static void test_pipes_of_many_are_closed(void **state)
{
	fill_many(*state, true);
}

static void test_buffers_of_many_are_freed(void **state)
{
	fill_many(*state, false);
}

/* ---- many that are idle ---- */

static size_t n_allocated(void)
{
	return mallinfo2().uordblks;
}

static void test_idle_relays_cost_little(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *idle = calloc(N_IDLE, sizeof(*idle));
	unsigned int n = n_descriptors();
	size_t before = n_allocated();

	assert_non_null(idle);
	for (unsigned int i = 0; i < N_IDLE; i++) {
		lab_add(lab->relays, &idle[i]);
		lab_stream(lab->relays, &idle[i], i % 2, 20000);
	}
	assert_int_equal(sluice_relays_count(lab->relays), N_IDLE + 1);
	for (unsigned int i = 0; i < N_IDLE; i++)
		expect_nothing_held(idle[i].relay);
	assert_true(n_descriptors() <= n + 4 * N_IDLE + 2 * RELAY_PIPES_FREE);
#ifndef SLUICE_SANITIZED
	assert_true(n_allocated() - before < N_IDLE * IDLE_BYTES);
#else
	(void)before;
#endif
	assert_false(lab_is_readable(lab->relays, 50)); /* and nothing is to be done for them */
	for (unsigned int i = 0; i < N_IDLE; i++) {
		lab_close(&idle[i], i % 2);
		lab_close(&idle[i], !(i % 2));
	}
	while (sluice_relays_count(lab->relays) > 1)
		assert_int_equal(sluice_relays_process(lab->relays), 0);
	free(idle);
}

/* ---- turns ---- */

static uint64_t n_moved(const struct lab_relay *many)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < N_MANY; i++)
		n += many[i].relay->ways[PROGRAM].bytes;
	return n;
}

/* as much as all of them send at once is not forwarded at once */
static void test_process_ends_though_there_is_more(void **state)
{
	struct lab *lab = *state;
	struct lab_relay *many = calloc(N_MANY, sizeof(*many));
	uint64_t n;

	assert_non_null(many);
	for (unsigned int i = 0; i < N_MANY; i++)
		lab_add(lab->relays, &many[i]);
	lab_work(lab->relays);
	for (unsigned int i = 0; i < N_MANY; i++)
		lab_send(&many[i], PROGRAM, MB);
	assert_int_equal(sluice_relays_process(lab->relays), 0);
	n = n_moved(many);
	assert_true(n > 0);
	assert_true(n <= PROCESS_MOST);
	assert_true(lab_is_readable(lab->relays, 0));
	lab_work(lab->relays);
	assert_true(n_moved(many) > PROCESS_MOST);
	for (unsigned int i = 0; i < N_MANY; i++) {
		lab_stream(lab->relays, &many[i], PROGRAM, 0);
		lab_drop(&many[i]);
	}
	free(many);
}

/* one turn, and it is the other's */
static void test_a_flood_does_not_keep_a_byte_waiting(void **state)
{
	struct lab *lab = *state;
	struct lab_relay few[8];

	lab_fill(lab->relays, &lab->one, PROGRAM);
	for (unsigned int i = 0; i < ARRAY_SIZE(few); i++)
		lab_add(lab->relays, &few[i]);
	lab_work(lab->relays);
	assert_int_equal(lab_receive(&lab->one, UPSTREAM), 0); /* there is room for more */
	for (unsigned int i = 0; i < ARRAY_SIZE(few); i++)
		lab_send(&few[i], i % 2, 1);
	assert_int_equal(sluice_relays_process(lab->relays), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(few); i++) {
		assert_int_equal(lab_receive(&few[i], !(i % 2)), 0);
		assert_int_equal(few[i].n_received[!(i % 2)], 1);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(few); i++)
		lab_drop(&few[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, lab_set_up, lab_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_who_is_not_read_does_not_fill_memory),
		TEST(test_the_other_way_goes_on),
		TEST(test_bulk_goes_through_a_pipe_that_is_given_back),
		TEST(test_without_descriptors_for_a_pipe_bytes_go_all_the_same),
		TEST(test_pipes_of_many_are_closed),
		TEST(test_buffers_of_many_are_freed),
		TEST(test_idle_relays_cost_little),
		TEST(test_process_ends_though_there_is_more),
		TEST(test_a_flood_does_not_keep_a_byte_waiting),
	};

	limit_descriptors(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
