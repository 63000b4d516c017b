/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Where sluiced begins and ends, for alloc.h
 *
 * Linked with -Wl,--wrap for each of these: what they allocate is counted, what the test
 * around them does is not.
 */

#include "alloc.h"
#include "daemon/daemon.h"

#define WRAP(type, name, parameters, ...)                                                          \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		type r;                                                                            \
                                                                                                   \
		alloc_enter();                                                                     \
		r = __real_##name(__VA_ARGS__);                                                    \
		alloc_leave();                                                                     \
		return r;                                                                          \
	}

WRAP(struct daemon *, daemon_new, (const struct kernel *kernel, int sock), kernel, sock)
WRAP(int, daemon_start, (struct daemon * daemon, const char **error), daemon, error)
WRAP(int, daemon_run, (struct daemon * daemon), daemon)
WRAP(bool, daemon_tick, (struct daemon * daemon), daemon)
WRAP(int, sd_event_run, (sd_event * event, uint64_t us), event, us)

void __real_daemon_stop(struct daemon *daemon);
void __wrap_daemon_stop(struct daemon *daemon);
void __wrap_daemon_stop(struct daemon *daemon)
{
	alloc_enter();
	__real_daemon_stop(daemon);
	alloc_leave();
}
