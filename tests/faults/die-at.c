/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A process dies before one of its system calls
 *
 *	die-at PID N
 *
 * Says "watching" when it watches the process, and kills it (SIGKILL) before its Nth call from then on
 * that anybody else can see: what lies between two of these is all one to the rest of the world. Then it
 * says "died before CALL", the number of the call. A process that makes fewer lives on when we end.
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

/* Return: the call before which it died; -1: it has ended by itself */
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
		if (call < 0 || --nth > 0)
			continue;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		return call;
	}
	return -1;
}

int main(int argc, char **argv)
{
	pid_t pid = argc == 3 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
	unsigned long nth = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	long call;

	if (pid <= 0 || !nth) {
		fprintf(stderr, "usage: die-at PID N\n");
		return 2;
	}
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, NULL, 0) != pid) {
		fprintf(stderr, "die-at: cannot watch %d: %m\n", (int)pid);
		return 1;
	}
	printf("watching\n");
	(void)fflush(stdout);
	call = watch(pid, nth);
	if (call >= 0)
		printf("died before %ld\n", call);
	return 0;
}
