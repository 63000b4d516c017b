/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/sandbox.h"
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
