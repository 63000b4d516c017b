/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A process dies, or comes to a halt, before one of its system calls
 *
 *	at-call PID N		kills it (SIGKILL), and says "died before CALL", the number of the call
 *	at-call PID N MS	makes it wait so many milliseconds, and says "waited before CALL"
 *
 * N counts the calls that anybody else can see: what lies between two of these is all one to the rest of
 * the world. They are counted from when we say "watching". A process that makes fewer lives on when we end.
 */

#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"

#define STOPPED_AT_CALL (SIGTRAP | 0x80)

static const unsigned long long seen[] = { SYS_bpf,   SYS_sendto,  SYS_sendmsg,
					   SYS_write, SYS_accept4, SYS_close };

/* Return: the number of the call that it is about to make, if others can see it; -1: none */
static long seen_call(pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) < 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return -1;
	if (info.entry.nr == SYS_bpf && (info.entry.args[0] == BPF_MAP_LOOKUP_ELEM ||
					 info.entry.args[0] == BPF_MAP_GET_NEXT_KEY))
		return -1; /* it only looks */
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		if (seen[i] == info.entry.nr)
			return (long)info.entry.nr;
	return -1;
}

/* Return: the call before which it stands still; -1: it has ended by itself */
static long watch(pid_t pid, unsigned long nth)
{
	int status, number = 0;
	long call;

	while (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)number) == 0 &&
	       waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		number = 0;
		if (WSTOPSIG(status) != STOPPED_AT_CALL) {
			number = status >> 16 ? 0
					      : WSTOPSIG(status); /* an event of ours: no signal */
			continue;
		}
		call = seen_call(pid);
		if (call >= 0 && --nth == 0)
			return call;
	}
	return -1;
}

static void die(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void wait_awhile(pid_t pid, unsigned long ms)
{
	struct timespec while_ = { .tv_sec = (time_t)(ms / 1000),
				   .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&while_, NULL);
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static int begin(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, NULL, 0) != pid) {
		fprintf(stderr, "at-call: cannot watch %d: %m\n", (int)pid);
		return -1;
	}
	printf("watching\n");
	(void)fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid = argc >= 3 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
	unsigned long nth = argc >= 3 ? strtoul(argv[2], NULL, 10) : 0;
	unsigned long ms = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	long call;

	if (pid <= 0 || !nth || argc > 4 || (argc == 4 && !ms)) {
		fprintf(stderr, "usage: at-call PID N [MS]\n");
		return 2;
	}
	if (begin(pid) < 0)
		return 1;
	call = watch(pid, nth);
	if (call < 0)
		return 0;
	if (ms)
		wait_awhile(pid, ms);
	else
		die(pid);
	printf("%s before %ld\n", ms ? "waited" : "died", call);
	return 0;
}
