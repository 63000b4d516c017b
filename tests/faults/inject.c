/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: One system call of one program fails
 *
 *	inject [--sanitized] REPORT [NAME N] -- COMMAND...
 *
 * Runs COMMAND and counts the system calls of it and of all that it starts, by the name of the
 * program that makes them. The Nth of NAME fails, with an error that it may have in life. REPORT
 * gets a line for each name, "NAME CALLS", and "failed NAME CALL ERRNO" if it came to that.
 * Calls that cannot fail, or whose failure nobody could act on (close), are not counted.
 *
 * --sanitized leaves out what a sanitizer's runtime asks for itself: it ends the process when
 * it does not get it, and who asks cannot be told from here.
 *
 * By seccomp's user notification: each call waits until we say that it may go on. Sluice's own
 * filters are put in place beside ours, and what they refuse does not come here.
 */

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"

#define NAMES_MAX 32

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

struct name {
	char text[16];
	unsigned long n_calls;
};

struct injector {
	struct name names[NAMES_MAX];
	unsigned int n_names;
	const char *victim; /* NULL: only count */
	unsigned long nth;
	bool is_sanitized;
	FILE *report;
};

static const unsigned int never[] = {
	SYS_exit,
	SYS_exit_group,
	SYS_rt_sigreturn,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_close,
	SYS_close_range,
	SYS_munmap,
	SYS_getpid,
	SYS_gettid,
	SYS_getppid,
	SYS_getuid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getegid,
	SYS_futex,
	SYS_rseq,
	SYS_umask,
	SYS_sched_yield,
	SYS_clock_gettime,
	SYS_set_robust_list,
	SYS_set_tid_address,
	SYS_sigaltstack,
	SYS_uname,
	SYS_sysinfo,
	SYS_madvise,
	SYS_restart_syscall,
	SYS_wait4,
	SYS_waitid,
	SYS_getpgid,
	SYS_setsid,
	SYS_lseek,
#ifdef SYS_arch_prctl
	SYS_arch_prctl,
#endif
#ifdef SYS_getpgrp
	SYS_getpgrp,
#endif
};

static const unsigned int of_sanitizers[] = {
	SYS_mmap,	SYS_mprotect,	SYS_mremap,    SYS_brk,
	SYS_openat,	SYS_read,	SYS_pread64,   SYS_fstat,
	SYS_newfstatat, SYS_readlinkat, SYS_prlimit64, SYS_sched_getaffinity,
	SYS_getrandom,	SYS_clone,	SYS_ioctl,     SYS_prctl,
#ifdef SYS_open
	SYS_open,	SYS_stat,	SYS_lstat,     SYS_readlink,
	SYS_access,
#endif
};

/* what is not here lacks memory */
static const struct {
	unsigned int call;
	int error;
} errors[] = {
	{ SYS_openat, EMFILE },
	{ SYS_socket, EMFILE },
	{ SYS_socketpair, EMFILE },
	{ SYS_pipe2, EMFILE },
	{ SYS_eventfd2, EMFILE },
	{ SYS_epoll_create1, EMFILE },
	{ SYS_signalfd4, EMFILE },
	{ SYS_timerfd_create, EMFILE },
	{ SYS_memfd_create, EMFILE },
	{ SYS_accept4, EMFILE },
	{ SYS_dup, EMFILE },
	{ SYS_dup3, EBUSY },
	{ SYS_fcntl, EMFILE },
	{ SYS_pidfd_open, EMFILE },
	{ SYS_read, EIO },
	{ SYS_pread64, EIO },
	{ SYS_write, EIO },
	{ SYS_writev, EIO },
	{ SYS_fsync, EIO },
	{ SYS_newfstatat, EIO },
	{ SYS_fstat, EIO },
	{ SYS_statfs, EIO },
	{ SYS_getdents64, EIO },
	{ SYS_readlinkat, EIO },
	{ SYS_mkdirat, ENOSPC },
	{ SYS_unlinkat, EBUSY },
	{ SYS_ppoll, EINTR },
	{ SYS_epoll_pwait, EINTR },
	{ SYS_clock_nanosleep, EINTR },
	{ SYS_sendto, ENOBUFS },
	{ SYS_sendmsg, ENOBUFS },
	{ SYS_recvfrom, EINTR },
	{ SYS_recvmsg, EINTR },
	{ SYS_connect, ECONNREFUSED },
	{ SYS_clone, EAGAIN },
	{ SYS_clone3, EAGAIN },
	{ SYS_kill, EPERM },
	{ SYS_setresuid, EAGAIN },
	{ SYS_setuid, EAGAIN },
	{ SYS_setns, EPERM },
	{ SYS_mount, EPERM },
	{ SYS_prctl, EPERM },
	{ SYS_capset, EPERM },
	{ SYS_prlimit64, EPERM },
	{ SYS_fchownat, EPERM },
	{ SYS_ioctl, EIO },
#ifdef SYS_poll
	{ SYS_open, EMFILE },
	{ SYS_stat, EIO },
	{ SYS_lstat, EIO },
	{ SYS_readlink, EIO },
	{ SYS_mkdir, ENOSPC },
	{ SYS_rmdir, EBUSY },
	{ SYS_unlink, EBUSY },
	{ SYS_poll, EINTR },
	{ SYS_epoll_wait, EINTR },
	{ SYS_nanosleep, EINTR },
	{ SYS_fork, EAGAIN },
	{ SYS_vfork, EAGAIN },
	{ SYS_chown, EPERM },
	{ SYS_dup2, EBUSY },
	{ SYS_access, EIO },
#endif
};

static int error_of(unsigned int call)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].call == call)
			return errors[i].error;
	return ENOMEM;
}

/* ---- the command ---- */

static int install(void)
{
	struct sock_filter code[ARRAY_SIZE(never) + 3] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = { .filter = code, .len = ARRAY_SIZE(code) };
	size_t n = 1;

	for (; n <= ARRAY_SIZE(never); n++)
		code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, never[n - 1],
						       ARRAY_SIZE(never) + 1 - n, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	code[n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_NEW_LISTENER |
				    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			    &program);
}

/*
 * Its descriptors are ours until it executes: so the listener needs no call to come here, which
 * would wait for us. Return: its pid
 */
static pid_t start(char **command, int *ret_listener)
{
	volatile int *listener = mmap(NULL, sizeof(*listener), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (listener == MAP_FAILED)
		return -1;
	*listener = -1;
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0) {
		int fd = install();

		*listener = fd < 0 ? -2 : fd;
		if (fd >= 0)
			execvp(command[0], command);
		_exit(127);
	}
	while (pid > 0 && *listener == -1)
		usleep(100);
	*ret_listener = *listener;
	return pid;
}

/* ---- its calls ---- */

static struct name *name_of(struct injector *injector, pid_t pid)
{
	char path[64], text[16] = "?";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (file) {
		if (fgets(text, sizeof(text), file))
			text[strcspn(text, "\n")] = '\0';
		(void)fclose(file);
	}
	for (unsigned int i = 0; i < injector->n_names; i++)
		if (!strcmp(injector->names[i].text, text))
			return &injector->names[i];
	if (injector->n_names == NAMES_MAX)
		return NULL;
	memcpy(injector->names[injector->n_names].text, text, sizeof(text));
	return &injector->names[injector->n_names++];
}

static bool is_spared(const struct injector *injector, const struct seccomp_notif *call)
{
	if (call->data.nr == SYS_brk && !call->data.args[0]) /* a question, always answered */
		return true;
	for (size_t i = 0; injector->is_sanitized && i < ARRAY_SIZE(of_sanitizers); i++)
		if (of_sanitizers[i] == (unsigned int)call->data.nr)
			return true;
	return false;
}

/* glibc's dynamic loader crashes when it gets no memory; nothing of ours runs by then */
static bool is_of_loader(const struct seccomp_notif *call)
{
	unsigned long from, to, ip = call->data.instruction_pointer;
	char path[64], line[512];
	bool is_loader = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)call->pid);
	file = fopen(path, "re");
	while (file && !is_loader && fgets(line, sizeof(line), file))
		is_loader = sscanf(line, "%lx-%lx", &from, &to) == 2 && ip >= from && ip < to &&
			    strstr(line, "/ld-");
	if (file)
		(void)fclose(file);
	return is_loader;
}

static int judge(struct injector *injector, const struct seccomp_notif *call)
{
	struct name *name = is_spared(injector, call) ? NULL : name_of(injector, (pid_t)call->pid);
	int error;

	if (!name)
		return 0;
	name->n_calls++;
	if (!injector->victim || strcmp(name->text, injector->victim) ||
	    name->n_calls != injector->nth)
		return 0;
	error = error_of((unsigned int)call->data.nr);
	if (error == ENOMEM && is_of_loader(call))
		return 0;
	fprintf(injector->report, "failed %s %d %d\n", name->text, call->data.nr, error);
	(void)fflush(injector->report);
	return error;
}

/* until nobody is left who could make one */
static void serve(struct injector *injector, int listener)
{
	struct pollfd fd = { .fd = listener, .events = POLLIN };

	while (poll(&fd, 1, -1) >= 0 || errno == EINTR) {
		struct seccomp_notif call = { 0 };
		struct seccomp_notif_resp answer = { 0 };

		if (fd.revents & (POLLHUP | POLLERR))
			return;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
			continue; /* it was killed meanwhile */
		answer.id = call.id;
		answer.error = -judge(injector, &call);
		answer.flags = answer.error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		if (call.data.nr == SYS_brk)
			answer.error = 0; /* it has none: 0, which is less than was asked for */
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

int main(int argc, char **argv)
{
	struct injector injector = { 0 };
	int at = 2, listener, status = 0;
	pid_t pid;

	if (argc > 1 && !strcmp(argv[1], "--sanitized")) {
		injector.is_sanitized = true;
		argv++;
		argc--;
	}
	if (argc > 4 && strcmp(argv[2], "--")) {
		injector.victim = argv[2];
		injector.nth = strtoul(argv[3], NULL, 10);
		at = 4;
	}
	if (argc < at + 2 || strcmp(argv[at], "--")) {
		fprintf(stderr, "usage: inject REPORT [NAME N] -- COMMAND...\n");
		return 2;
	}
	injector.report = fopen(argv[1], "we");
	pid = injector.report ? start(argv + at + 1, &listener) : -1;
	if (pid < 0 || listener < 0) {
		fprintf(stderr, "inject: cannot watch system calls here\n");
		return 77;
	}
	serve(&injector, listener);
	(void)waitpid(pid, &status, 0);
	for (unsigned int i = 0; i < injector.n_names; i++)
		fprintf(injector.report, "%s %lu\n", injector.names[i].text,
			injector.names[i].n_calls);
	(void)fclose(injector.report);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
