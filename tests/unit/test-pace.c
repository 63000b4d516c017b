/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/pace.h"

#define BOOTED_US 3600000000ULL
#define N_MAX 20000U

static struct pace pace;

static int set_up(void **state)
{
	memset(&pace, 0, sizeof(pace));
	return 0;
}

static unsigned int take_all(uint64_t now_us)
{
	unsigned int n = 0;

	while (n < 10 * PACE_BURST && pace_take(&pace, now_us))
		n++;
	return n;
}

static void a_burst_goes_at_once_and_no_more(void **state)
{
	assert_int_equal(take_all(BOOTED_US), PACE_BURST);
	assert_int_equal(take_all(BOOTED_US + PACE_INTERVAL_US - 1), 0);
	assert_int_equal(take_all(BOOTED_US + PACE_INTERVAL_US), 1);
}

static void a_long_rest_earns_one_burst_only(void **state)
{
	take_all(BOOTED_US);
	assert_int_equal(take_all(2 * BOOTED_US), PACE_BURST);
}

static void right_after_boot_no_more_than_a_burst_goes(void **state)
{
	assert_true(take_all(0) <= PACE_BURST);
	assert_true(take_all(1) <= PACE_BURST);
	memset(&pace, 0, sizeof(pace));
	assert_true(take_all(PACE_INTERVAL_US) <= PACE_BURST);
	assert_true(take_all(PACE_INTERVAL_US + 1) == 0);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

/* went_us[i .. j] is one window: its n may not exceed a burst and what the time earns */
static void assert_paced(const uint64_t *went_us, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = i; j < n && j < i + 200; j++)
			assert_true(j - i + 1 <=
				    PACE_BURST + (went_us[j] - went_us[i]) / PACE_INTERVAL_US + 1);
}

static void no_window_sees_more_than_a_burst_and_the_rate(void **state)
{
	static uint64_t went_us[N_MAX];
	uint64_t now_us = BOOTED_US;
	uint32_t seed = 1;
	size_t n = 0;

	while (n < N_MAX) {
		uint32_t rest = next_random(&seed) % 100 ? 400 : 80000;

		now_us += next_random(&seed) % rest;
		for (uint32_t wanted = next_random(&seed) % 8; wanted && n < N_MAX; wanted--)
			if (pace_take(&pace, now_us))
				went_us[n++] = now_us;
	}
	assert_paced(went_us, n);
}

static void what_waits_goes_in_order_and_none_is_lost(void **state)
{
	uint32_t seed = 2, n_in = 0, n_out = 0;
	uint64_t now_us = BOOTED_US;
	struct paced paced;

	while (n_out < 3 * PACE_WAITING_MAX) { /* round the ring */
		for (uint32_t n = next_random(&seed) % 40; n; n--)
			if (pace_wait(&pace, n_in, ~n_in))
				n_in++;
			else
				assert_int_equal(n_in - n_out, PACE_WAITING_MAX);
		now_us += next_random(&seed) % (30 * PACE_INTERVAL_US);
		while (pace_next(&pace, now_us, &paced)) {
			assert_int_equal(paced.packet_id, n_out);
			assert_int_equal(paced.mark, ~n_out);
			n_out++;
		}
		assert_int_equal(pace.n, n_in - n_out);
	}
}

static void a_full_queue_refuses_and_keeps_what_it_has(void **state)
{
	struct paced paced = { 0 };

	for (uint32_t i = 0; i < PACE_WAITING_MAX; i++)
		assert_true(pace_wait(&pace, i, 0));
	assert_false(pace_wait(&pace, 1U << 31, 0));
	assert_true(pace_next(&pace, BOOTED_US, &paced));
	assert_int_equal(paced.packet_id, 0);
	assert_true(pace_wait(&pace, PACE_WAITING_MAX, 0));
}

static void an_empty_queue_spends_nothing(void **state)
{
	struct paced paced;

	for (int i = 0; i < 100; i++)
		assert_false(pace_next(&pace, BOOTED_US, &paced));
	assert_int_equal(take_all(BOOTED_US), PACE_BURST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_burst_goes_at_once_and_no_more, set_up),
		cmocka_unit_test_setup(a_long_rest_earns_one_burst_only, set_up),
		cmocka_unit_test_setup(right_after_boot_no_more_than_a_burst_goes, set_up),
		cmocka_unit_test_setup(no_window_sees_more_than_a_burst_and_the_rate, set_up),
		cmocka_unit_test_setup(what_waits_goes_in_order_and_none_is_lost, set_up),
		cmocka_unit_test_setup(a_full_queue_refuses_and_keeps_what_it_has, set_up),
		cmocka_unit_test_setup(an_empty_queue_spends_nothing, set_up),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
