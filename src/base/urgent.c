/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/urgent.h"

#define LOWEST 1 /* of SCHED_RR: sched(7) */

bool urgent_is_late(struct urgent *urgent, uint64_t waited_ns, uint64_t n_times, uint64_t now_us)
{
	uint64_t waited = waited_ns - urgent->waited_ns, n = n_times - urgent->n_times;

	urgent->waited_ns = waited_ns;
	urgent->n_times = n_times;
	if (n >= URGENT_TIMES_MIN && waited / n > URGENT_WAIT_NS)
		urgent->until_us = now_us + URGENT_LASTS_US;
	return now_us < urgent->until_us;
}

static int set(pid_t pid, bool is_urgent)
{
	struct sched_param param = { .sched_priority = is_urgent ? LOWEST : 0 };
	int policy = is_urgent ? SCHED_RR : SCHED_OTHER;

	/* the flag stays: to take it away is a right of its own */
	return sched_setscheduler(pid, policy | SCHED_RESET_ON_FORK, &param) < 0 ? -errno : 0;
}

void urgent_follow(pid_t pid, bool is_late)
{
	/* who runs this machine may have chosen another one for it */
	if (is_late || sched_getscheduler(pid) == (SCHED_RR | SCHED_RESET_ON_FORK))
		(void)set(pid, is_late);
}

/* the kernel makes it a second longer each time that it was reached */
static int limit(void)
{
	struct rlimit busy;

	if (getrlimit(RLIMIT_RTTIME, &busy) < 0)
		return -errno;
	/* at the hard limit the kernel kills */
	busy.rlim_cur = busy.rlim_max / 2 < URGENT_BUSY_US ? busy.rlim_max / 2 : URGENT_BUSY_US;
	return setrlimit(RLIMIT_RTTIME, &busy) < 0 ? -errno : 0;
}

static void on_busy(int number)
{
	int error = errno;

	(void)set(0, false);
	(void)limit();
	errno = error;
}

int urgent_yield(void)
{
	struct sigaction action = { .sa_handler = on_busy, .sa_flags = SA_RESTART };

	return sigaction(SIGXCPU, &action, NULL) < 0 ? -errno : limit();
}
