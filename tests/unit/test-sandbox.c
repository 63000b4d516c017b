/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What each profile allows and refuses
 *
 * Each attempt is one system call with arguments that the kernel would answer
 * with something else than EPERM, so that EPERM means: the filter. It runs in
 * a forked child that has entered a profile, directly and under the keeper's
 * filter, which all of them inherit. Without root the parts that need
 * capabilities are skipped.
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
#include "base/sandbox.h"

#define OTHER_UID 60000U

#define D (1U << SANDBOX_DAEMON)
#define K (1U << SANDBOX_KEEPER)
#define N (1U << SANDBOX_NAMES)
#define C (1U << SANDBOX_CANARY)
#define P (1U << SANDBOX_PROVIDER)

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
	{ "socket, inet", try_inet, N | P },
	{ "socket, inet6 datagram", try_inet6, N | P },
	{ "socket, raw", try_raw, N | C | P },
	{ "socket, netlink route", try_route, N | P },
	{ "socket, netlink other", try_netfilter, N | C | P },
	{ "connect", try_connect, N | P },
	{ "listen", try_listen, N | C | P },
	{ "socketpair, stream", try_pair, N | C },
	{ "socketpair, datagram", try_datagram_pair, N | C | P },
	{ "execve", try_execve, N | C | D },
	{ "fork", try_fork, N | C | D | P },
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
	{ "ioctl TIOCSTI", try_type_in_terminal, N | C | P },
	{ "ioctl TIOCGWINSZ", try_terminal_size, N | C },
};

/* in a child: @run gets @data; 0 is success */
static int in_child(int (*run)(const void *data), const void *data)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run(data));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

struct trial {
	enum sandbox_profile profile;
	bool is_under_keeper;
};

static int enter(const struct trial *trial)
{
	int r = trial->is_under_keeper ? sandbox_enter(SANDBOX_KEEPER) : 0;

	if (r == 0)
		r = sandbox_enter(trial->profile);
	if (r != 0)
		dprintf(STDERR_FILENO, "%s: cannot enter: %s\n", sandbox_name(trial->profile),
			strerror(-r));
	return r;
}

static int run_attempts(const void *data)
{
	const struct trial *trial = data;
	int n_wrong = 0;

	if (enter(trial))
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
			struct trial trial = { (enum sandbox_profile)profile, under };

			assert_int_equal(in_child(run_attempts, &trial), 0);
		}
}

static uint64_t status_number(const char *status, const char *key, int base)
{
	const char *at = strstr(status, key);

	return at ? strtoull(at + strlen(key), NULL, base) : UINT64_MAX;
}

static uint64_t caps_mask(const cap_value_t *caps, int n)
{
	uint64_t mask = 0;

	for (int i = 0; i < n; i++)
		mask |= 1ULL << caps[i];
	return mask;
}

/* what is left of @mask without CAP_PERFMON, which sluiced gives up */
static uint64_t kept_mask(enum sandbox_profile profile)
{
	const cap_value_t *caps;
	int n = sandbox_start_caps(profile, &caps);
	uint64_t mask = caps_mask(caps, n);

	return profile == SANDBOX_DAEMON ? mask & ~(1ULL << CAP_PERFMON) : mask;
}

static int expect(const char *status, const char *key, int base, uint64_t wanted)
{
	uint64_t found = status_number(status, key, base);

	if (found == wanted)
		return 0;
	dprintf(STDERR_FILENO, "%s %llx, wanted %llx\n", key, (unsigned long long)found,
		(unsigned long long)wanted);
	return 1;
}

/* the file is opened before: sluice-names may not open any */
static int read_status(int fd, char *text, size_t n_text)
{
	ssize_t n = pread(fd, text, n_text - 1, 0);

	/* pread is not sluice-names' either */
	if (n < 0)
		n = read(fd, text, n_text - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

static int check_status(const void *data)
{
	const struct trial *trial = data;
	_cleanup_close_ int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	uint64_t wanted = kept_mask(trial->profile);
	bool is_root = geteuid() == 0;
	char text[4096];

	if (enter(trial) || read_status(fd, text, sizeof(text)))
		return 1;
	if (!is_root)
		wanted = 0;
	return expect(text, "CapEff:", 16, wanted) + expect(text, "CapPrm:", 16, wanted) +
	       expect(text, "CapInh:", 16, 0) + expect(text, "CapAmb:", 16, 0) +
	       (is_root ? expect(text, "CapBnd:", 16, wanted) : 0) +
	       expect(text, "NoNewPrivs:", 10, 1) + expect(text, "Seccomp:", 10, 2) +
	       !sandbox_has_entered();
}

static void test_status(void **state)
{
	for (int profile = 0; profile < _SANDBOX_N; profile++) {
		struct trial trial = { (enum sandbox_profile)profile, false };

		assert_int_equal(in_child(check_status, &trial), 0);
	}
}

struct start {
	enum sandbox_profile profile;
	bool is_entered; /* before execve(), as for a provider */
	const char *const *args;
	int out;
};

static int start_program(const void *data)
{
	const struct start *start = data;
	const cap_value_t *caps;
	int n = sandbox_start_caps(start->profile, &caps);

	if (sandbox_enter(SANDBOX_KEEPER) || sandbox_become(OTHER_UID, OTHER_UID, caps, n))
		return 1;
	if (dup2(start->out, STDOUT_FILENO) < 0)
		return 1;
	if (start->is_entered && sandbox_enter(start->profile))
		return 1;
	execv(start->args[0], (char *const *)(uintptr_t)start->args);
	return 127;
}

/* starts it as the keeper would; what it prints, at most a pipe full, goes to @text */
static int run_program(struct start *start, char *text, size_t n_text)
{
	int fds[2], status;
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	start->out = fds[1];
	status = in_child(start_program, start);
	close_fd(fds[1]);
	n = read(fds[0], text, n_text - 1);
	close_fd(fds[0]);
	assert_true(n >= 0);
	text[n] = '\0';
	return status;
}

static const char *const cat_status[] = { "/bin/cat", "/proc/self/status", NULL };

/* capabilities and user after the execve() of a plain file */
static void check_start(enum sandbox_profile profile, bool is_entered)
{
	struct start start = { profile, is_entered, cat_status, -1 };
	const cap_value_t *caps;
	int n = sandbox_start_caps(profile, &caps);
	uint64_t wanted = caps_mask(caps, n);
	char text[4096];

	assert_int_equal(run_program(&start, text, sizeof(text)), 0);
	assert_int_equal(status_number(text, "CapEff:", 16), wanted);
	assert_int_equal(status_number(text, "CapPrm:", 16), wanted);
	assert_int_equal(status_number(text, "CapAmb:", 16), wanted);
	assert_int_equal(status_number(text, "CapBnd:", 16), wanted);
	assert_int_equal(status_number(text, "Uid:", 10), OTHER_UID);
	assert_int_equal(status_number(text, "Gid:", 10), OTHER_UID);
	assert_int_equal(status_number(text, "NoNewPrivs:", 10), 1);
	assert_int_equal(status_number(text, "Seccomp_filters:", 10), is_entered ? 2 : 1);
	assert_non_null(strstr(text, "Groups:\t \n"));
}

static void test_start(void **state)
{
	if (geteuid() != 0)
		skip();
	check_start(SANDBOX_DAEMON, false);
	check_start(SANDBOX_NAMES, false);
	check_start(SANDBOX_CANARY, false);
	check_start(SANDBOX_PROVIDER, true);
}

/* a provider may be written in anything: an interpreter starts and has threads and loops */
static void test_interpreter(void **state)
{
	static const char *const args[] = {
		"/usr/bin/python3", "-c",
		"import asyncio, json, sys, threading\n"
		"async def nap(): await asyncio.sleep(0.01)\n"
		"asyncio.run(nap())\n"
		"t = threading.Thread(target=json.dumps, args=({},)); t.start(); t.join()\n"
		"print('started')\n",
		NULL
	};
	struct start start = { SANDBOX_PROVIDER, true, args, -1 };
	char text[256];

	if (geteuid() != 0 || access(args[0], X_OK) < 0)
		skip();
	assert_int_equal(run_program(&start, text, sizeof(text)), 0);
	assert_string_equal(text, "started\n");
}

static int exit_inside(const void *data)
{
	const struct trial *trial = data;

	if (enter(trial))
		return 1;
	exit(0); /* with all that libc and the leak checker do then */
}

static void test_exit(void **state)
{
	for (int profile = 0; profile < _SANDBOX_N; profile++) {
		struct trial trial = { (enum sandbox_profile)profile, false };

		assert_int_equal(in_child(exit_inside, &trial), 0);
	}
}

static int abort_inside(const void *data)
{
	if (enter(data))
		return 1;
	abort();
}

static void test_abort(void **state)
{
	for (int profile = 0; profile < _SANDBOX_N; profile++) {
		struct trial trial = { (enum sandbox_profile)profile, false };
		int status = in_child(abort_inside, &trial);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts), cmocka_unit_test(test_status),
		cmocka_unit_test(test_start),	 cmocka_unit_test(test_interpreter),
		cmocka_unit_test(test_exit),	 cmocka_unit_test(test_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
