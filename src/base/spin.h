/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A moment awake before sleep
 *
 * A connection that is asked about goes from process to process, and each waits for the next for
 * some tens of microseconds. To sleep for so little costs more than the wait itself: a processor
 * without work halts, and has to be woken by another one. So who has waited little lately looks
 * again for a moment before it sleeps, and gives its processor to whoever wants it meanwhile. Who
 * waits long sleeps at once: nothing is spent where little happens.
 *
 * The bounds grow and shrink as those of the kernel's haltpoll governor do
 * (drivers/cpuidle/governors/haltpoll.c). See docs/decisions/0027-awake-for-a-moment.md.
 */

#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/macros.h"

#define SPIN_MOST_NS 200000U /* a wait that is longer was one to sleep for */
#define SPIN_FIRST_NS 50000U
#define SPIN_TAKEN_NS 50000U /* somebody else had the processor for so long between two looks */

/** struct spin - how long to look again; zeroed at first: not at all */
struct spin {
	uint32_t limit_ns;
};

/* one alone does not take all that many have made */
static inline void spin_shrink(struct spin *spin)
{
	spin->limit_ns = spin->limit_ns > SPIN_FIRST_NS ? spin->limit_ns / 2 : 0;
}

/** spin_learn() - @took_ns: so long nothing came, awake or asleep */
static inline void spin_learn(struct spin *spin, uint64_t took_ns)
{
	if (took_ns > SPIN_MOST_NS)
		spin_shrink(spin);
	else if (took_ns > spin->limit_ns)
		spin->limit_ns =
			spin->limit_ns ? MIN(2 * spin->limit_ns, SPIN_MOST_NS) : SPIN_FIRST_NS;
}

static inline uint64_t spin_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* Return: as poll(2); 0: it is time to sleep. @ret_is_taken: because somebody wants the processor */
static inline int spin_awake(struct pollfd *fds, nfds_t n_fds, uint64_t began_ns, uint32_t limit_ns,
			     bool *ret_is_taken)
{
	uint64_t now_ns = began_ns, last_ns;
	int n = 0;

	*ret_is_taken = false;
	while (n == 0 && now_ns - began_ns < limit_ns && !*ret_is_taken) {
		n = poll(fds, n_fds, 0);
		if (n == 0)
			(void)sched_yield();
		last_ns = now_ns;
		now_ns = spin_now_ns();
		*ret_is_taken = now_ns - last_ns > SPIN_TAKEN_NS;
	}
	return n;
}

/** spin_poll() - as poll(2), whose @timeout_ms begins when it sleeps. 0: it neither sleeps nor learns */
static inline int spin_poll(struct spin *spin, struct pollfd *fds, nfds_t n_fds, int timeout_ms)
{
	uint64_t began_ns;
	bool is_taken;
	int n;

	if (!timeout_ms)
		return poll(fds, n_fds, 0);
	began_ns = spin_now_ns();
	n = spin_awake(fds, n_fds, began_ns, spin->limit_ns, &is_taken);
	if (n == 0)
		n = poll(fds, n_fds, timeout_ms);
	if (is_taken)
		spin_shrink(spin);
	else
		spin_learn(spin, spin_now_ns() - began_ns);
	return n;
}
