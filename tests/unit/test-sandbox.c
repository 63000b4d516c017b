/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What each profile allows and refuses
 *
 * Each attempt is one system call with arguments that the kernel would answer
 * with something else than EPERM, so that EPERM means: the filter. It runs in
 * a forked child that has entered a profile, directly and under the keeper's
 * filter, which all of them inherit.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/macros.h"
#include "sandbox-child.h"

#define D (1U << SANDBOX_DAEMON)
#define K (1U << SANDBOX_KEEPER)
#define N (1U << SANDBOX_NAMES)
#define C (1U << SANDBOX_CANARY)
#define S (1U << SANDBOX_STARTER)
#define X (1U << SANDBOX_PROXY)
#define P (1U << SANDBOX_PROVIDER | S | X)

typedef long (*attempt_fn)(void);

static long open_file(int flags)
{
	return openat(AT_FDCWD, "/dev/null", flags);
}

static long try_read(void)
{
	return open_file(O_RDONLY);
}

static long try_write(void)
{
	return open_file(O_WRONLY);
}

static long try_truncate(void)
{
	return open_file(O_RDONLY | O_TRUNC);
}

static long try_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_inet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long try_inet6(void)
{
	return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
}

/* without CAP_NET_RAW the kernel says EPERM too: a protocol that it refuses before */
static long try_raw(void)
{
	return socket(AF_INET, SOCK_RAW, -1);
}

static long try_route(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

static long try_netfilter(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}

static long try_connect(void)
{
	return connect(-1, NULL, 0);
}

static long try_listen(void)
{
	return listen(-1, 0);
}

static long try_pair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
}

static long try_datagram_pair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_DGRAM, 0, fds);
}

static long try_execve(void)
{
	char *const args[] = { NULL };

	return execve("/nonexistent", args, args);
}

static long try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid;
}

static long fork_with(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long try_fork_away(void)
{
	return fork_with(CLONE_NEWUSER);
}

static long try_fork_for_parent(void)
{
	return fork_with(CLONE_PARENT);
}

static void *run_thread(void *data)
{
	return data;
}

static long try_thread(void)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, run_thread, NULL);
	if (errno)
		return -1;
	return pthread_join(thread, NULL);
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_PEEKTEXT, 0, NULL, NULL);
}

static long try_process_vm(void)
{
	return process_vm_readv(getppid(), NULL, 0, NULL, 0, 0);
}

static long try_unshare(void)
{
	return unshare(0);
}

static long try_add_key(void)
{
	return syscall(SYS_add_key, NULL, NULL, NULL, 0, 0);
}

static long try_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}

static long try_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, -1);
}

static long try_mount(void)
{
	return syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
}

static long try_setns(void)
{
	return setns(-1, 0);
}

static long try_setuid(void)
{
	return setuid(getuid());
}

static long try_kill_parent(void)
{
	return syscall(SYS_kill, getppid(), 0);
}

static long try_kill_group(void)
{
	return syscall(SYS_kill, 0, 0);
}

/* signal 0: only asks whether it might */
static long try_kill_all(void)
{
	return syscall(SYS_kill, -1, 0);
}

static long try_kill_self(void)
{
	return syscall(SYS_kill, getpid(), 0);
}

static long try_type_in_terminal(void)
{
	return ioctl(-1, TIOCSTI, "x");
}

static long try_terminal_size(void)
{
	return ioctl(-1, TIOCGWINSZ, NULL);
}

static const struct {
	const char *name;
	attempt_fn run;
	unsigned int refused; /* by these profiles */
} attempts[] = {
	{ "open to read", try_read, N | C },
	{ "open to write", try_write, N | C | P },
	{ "open and truncate", try_truncate, N | C | P },
	{ "socket, unix", try_unix, N | C | P },
	{ "socket, inet", try_inet, N | (P & ~X) },
	{ "socket, inet6 datagram", try_inet6, N | (P & ~X) },
	{ "socket, raw", try_raw, N | C | P },
	{ "socket, netlink route", try_route, N | (P & ~X) },
	{ "socket, netlink other", try_netfilter, N | C | P },
	{ "connect", try_connect, N | (P & ~X) },
	{ "listen", try_listen, N | C | P },
	{ "socketpair, stream", try_pair, N | C },
	{ "socketpair, datagram", try_datagram_pair, N | C | P },
	{ "execve", try_execve, N | C | D },
	{ "fork", try_fork, N | C | D | (P & ~S) },
	{ "fork into another namespace", try_fork_away, N | C | D | P },
	{ "fork for its parent", try_fork_for_parent, N | C | D | P },
	{ "thread", try_thread, N | C | D },
	{ "ptrace", try_ptrace, N | C | D | P | K },
	{ "process_vm_readv", try_process_vm, N | C | D | P | K },
	{ "unshare", try_unshare, N | C | D | P | K },
	{ "add_key", try_add_key, N | C | D | P | K },
	{ "io_uring_setup", try_uring, N | C | D | P | K },
	{ "userfaultfd", try_userfaultfd, N | C | D | P | K },
	{ "mount", try_mount, N | C | D | P },
	{ "setns", try_setns, N | C | D | P },
	{ "setuid", try_setuid, N | C | D | P },
	{ "kill of the parent", try_kill_parent, N | C | D | P },
	{ "kill of itself", try_kill_self, 0 },
	{ "kill of its group", try_kill_group, N | C | D | (P & ~S) },
	{ "kill of all", try_kill_all, N | C | D | P },
	{ "ioctl TIOCSTI", try_type_in_terminal, N | C | P },
	{ "ioctl TIOCGWINSZ", try_terminal_size, N | C },
};

static int run_attempts(const void *data)
{
	const struct sandbox_trial *trial = data;
	int n_wrong = 0;

	if (sandbox_try_enter(trial))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		bool must_fail = attempts[i].refused & (1U << trial->profile), has_failed;

		errno = 0;
		has_failed = attempts[i].run() < 0 && errno == EPERM;
		if (has_failed == must_fail)
			continue;
		dprintf(STDERR_FILENO, "%s: %s: %s (%s)\n", sandbox_name(trial->profile),
			attempts[i].name, must_fail ? "not refused" : "refused", strerror(errno));
		n_wrong++;
	}
	return n_wrong;
}

static void test_attempts(void **state)
{
	for (int profile = 0; profile < _SANDBOX_N; profile++)
		for (int under = 0; under < 2; under++) {
			struct sandbox_trial trial = { (enum sandbox_profile)profile, under };

			assert_int_equal(sandbox_in_child(run_attempts, &trial), 0);
		}
}

static int exit_inside(const void *data)
{
	const struct sandbox_trial *trial = data;

	if (sandbox_try_enter(trial))
		return 1;
	exit(0); /* with all that libc and the leak checker do then */
}

static void test_exit(void **state)
{
	for (int profile = 0; profile < _SANDBOX_N; profile++) {
		struct sandbox_trial trial = { (enum sandbox_profile)profile, false };

		assert_int_equal(sandbox_in_child(exit_inside, &trial), 0);
	}
}

static int abort_inside(const void *data)
{
	if (sandbox_try_enter(data))
		return 1;
	abort();
}

static void test_abort(void **state)
{
	for (int profile = 0; profile < _SANDBOX_N; profile++) {
		struct sandbox_trial trial = { (enum sandbox_profile)profile, false };
		int status = sandbox_in_child(abort_inside, &trial);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_abort),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
