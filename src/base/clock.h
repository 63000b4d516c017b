/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <time.h>

/** clock_ms() - for deadlines of processes; stands still while the machine is suspended */
static inline uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/** struct clock_awake - time in which we ran ourselves, for who waits for others */
struct clock_awake {
	uint64_t step_ms; /* at most so much passes between two looks at it, if we run */
	uint64_t last_ms, slept_ms;
};

/** clock_awake_ms() - does not count a time in which we were stopped, or frozen with the others */
static inline uint64_t clock_awake_ms(struct clock_awake *clock)
{
	uint64_t now = clock_ms();

	if (clock->last_ms && now - clock->last_ms > clock->step_ms)
		clock->slept_ms += now - clock->last_ms - clock->step_ms;
	clock->last_ms = now;
	return now - clock->slept_ms;
}
