/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "base/sandbox.h"
#include "base/urgent.h"
#include "daemon/daemon.h"

#define KEEPER_FD 3

uint64_t daemon_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void daemon_sleep_us(uint32_t us)
{
	struct timespec pause = { .tv_nsec = (long)us * 1000 };

	nanosleep(&pause, NULL);
}

/* "run waited times" */
int daemon_read_waits(uint64_t *ret_ns, uint64_t *ret_times)
{
	_cleanup_close_ int fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
	char text[80] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return -errno;
	return sscanf(text, "%*u %" SCNu64 " %" SCNu64, ret_ns, ret_times) == 2 ? 0 : -EBADMSG;
}

int daemon_give_up_rights(void)
{
	return sandbox_enter(SANDBOX_DAEMON);
}

static void cleanup_daemon(struct daemon **daemon)
{
	*daemon = daemon_free(*daemon);
}

int main(void)
{
	_cleanup_(cleanup_daemon) struct daemon *daemon = NULL;
	const char *step;
	char text[512];
	int r;

	log_open("sluiced", LOG_NOTICE);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)urgent_yield();
	(void)signal(SIGXFSZ, SIG_IGN); /* a full file of flow records is an errno, not our end */
	daemon = daemon_new(&kernel_real, KEEPER_FD);
	if (!daemon) {
		log_error("cannot start: %s", strerror(ENOMEM));
		return 1;
	}
	r = daemon_start(daemon, &step);
	if (r < 0) {
		snprintf(text, sizeof(text), "%s: %s", step, strerror(-r));
		log_error("cannot start: %s", text);
		keeper_tell_state(daemon, -r, text);
		return 1;
	}
	r = daemon_run(daemon);
	if (r < 0) {
		log_error("the event loop failed: %s", strerror(-r));
		return 1;
	}
	daemon_stop(daemon);
	return 0;
}
