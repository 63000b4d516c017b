/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/reap.h"

#define PAUSE_MS 2

int reap_open(void)
{
	sigset_t set;
	int fd;

	sigfillset(&set);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int reap_all(const pid_t *pids, size_t n, unsigned int ms)
{
	unsigned int waited_ms = 0;
	pid_t pid;

	for (size_t i = 0; i < n; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0 || (pid == 0 && waited_ms < ms)) {
		if (pid == 0)
			(void)poll(NULL, 0, PAUSE_MS);
		waited_ms += pid == 0 ? PAUSE_MS : 0;
	}
	return pid == 0 ? -ETIMEDOUT : 0;
}
