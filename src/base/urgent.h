/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Urgent
 *
 * Programs wait for sluiced, and on a busy machine sluiced waits for a processor, behind
 * whoever keeps it busy. While that is so it runs before other programs (SCHED_RR, the lowest
 * priority of all that are real-time), and as they do otherwise: on an idle machine the
 * scheduler has better places for it. See docs/decisions/0020-urgent.md.
 *
 *	sluiced, start      urgent_yield()
 *	sluiced, each beat  urgent_is_late() ─▶ K_BEAT ─▶ keeper: urgent_follow()
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define URGENT_WAIT_NS 500000U	  /* for a processor, each time it had to run: then it is late */
#define URGENT_TIMES_MIN 4U	  /* so often at the least, or it says nothing */
#define URGENT_LASTS_US 30000000U /* then it waits as others do, to see whether it would still */
#define URGENT_BUSY_US 50000U	  /* without a pause: it keeps others from running, and stops */

/** struct urgent - what is known of the waiting; zeroed at first */
struct urgent {
	uint64_t waited_ns, n_times; /* until the last look */
	uint64_t until_us;
};

/**
 * urgent_is_late() - a look at what the scheduler says; urgent for a while if it waits too long
 * @waited_ns, @n_times: since it was started: the second and third number of /proc/self/schedstat
 *
 * Return: should it run before others now?
 */
bool urgent_is_late(struct urgent *urgent, uint64_t waited_ns, uint64_t n_times, uint64_t now_us);

/**
 * urgent_follow() - @pid runs before other programs, or as they do; what it starts, always as they
 *                   do
 *
 * Needs CAP_SYS_NICE, and a cgroup with a real-time share. Without them it runs as it did: sluiced
 * is late then, and no worse off. To be said at each beat: one that worked without a pause is like
 * others by then.
 */
void urgent_follow(pid_t pid, bool is_late);

/**
 * urgent_yield() - for ever: when this process is urgent, and has not paused for URGENT_BUSY_US,
 *                  it runs as others do
 *
 * Takes SIGXCPU, and the limit RLIMIT_RTTIME. Return: 0 or a negative errno.
 */
int urgent_yield(void);
