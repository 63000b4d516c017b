/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: How often we look
 *
 * Deadlines, and what the kernel puts into its ring without waking us, are looked at by a tick
 * every TICK_US. While there is nothing that could become due, and nobody has spoken, it comes
 * every PACE_SLOW_US: an idle machine is to sleep. Whatever wakes us in between brings the next
 * tick as near as it was.
 */

#include <stdbool.h>
#include <stdint.h>

struct daemon;

#define PACE_SLOW_US 80000U /* a tick that comes later than WAKE_US (wake.c) is a wake */
#define PACE_QUIET_TICKS 5U /* so many with nothing to do, before they become fewer */

struct pace {
	unsigned int n_quiet; /* ticks in a row */
	bool is_slow;
	bool has_ticked; /* since we slept last */
	bool has_heard;	 /* the kernel's ring was not empty */
};

/** pace_next() - a tick is done. Return: microseconds until the next one */
uint64_t pace_next(struct daemon *daemon);
/** pace_hasten() - we are about to sleep. Return: true: the next tick must come within TICK_US */
bool pace_hasten(struct daemon *daemon);
