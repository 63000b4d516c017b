/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Profiles
 *
 * A profile is capabilities, groups of calls allowed without a look at their
 * arguments, and calls allowed for some arguments. Argument checks compare
 * registers only: what a pointer leads to can change after the check, so calls
 * whose flags are in memory (clone3, openat2) are ENOSYS where the flags matter
 * and libraries then use the older call.
 *
 * What nobody but the keeper gets: setns, mount, set*id, kill of another process. Nor
 * fork, but for a provider whose manifest asks for it: it, and what it starts, may end its own
 * process group and the provider, which is all that they can reach. What nobody gets: ptrace,
 * process_vm_*, add_key, keyctl, unshare, perf_event_open, io_uring_*, init_module, kexec_*,
 * userfaultfd, open_by_handle_at.
 */

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "base/sandbox-profiles.h"

#define OPEN_WRITES (O_ACCMODE | O_CREAT | O_TRUNC)

/* clang-format off */
#define CALLS(...) (const int[]){ __VA_ARGS__ }, ARRAY_SIZE(((const int[]){ __VA_ARGS__ }))
#define S(name) SCMP_SYS(name)

/* answering on an open socket; with names_checked and signals to itself 21: all of sluice-names */
static const struct call_group group_answer = { CALLS(
	S(read), S(write), S(recvmsg), S(sendmsg), S(poll), S(ppoll), S(close), S(munmap), S(brk),
	S(futex), S(exit), S(exit_group), S(clock_gettime), S(rt_sigreturn), S(rt_sigprocmask),
	S(restart_syscall), S(getpid), S(gettid)) };

/* what the loader, libc and an interpreter do to start and to run: no effect outside */
static const struct call_group group_run = { CALLS(
	S(mmap), S(mprotect), S(mremap), S(madvise), S(msync), S(mincore), S(membarrier),
	S(arch_prctl), S(set_tid_address), S(set_robust_list), S(get_robust_list), S(rseq),
	S(getrlimit), S(getrandom), S(prctl), S(uname), S(sysinfo), S(getcpu),
	S(getrusage), S(times), S(sched_yield), S(sched_getaffinity), S(sched_getparam),
	S(sched_getscheduler), S(getpriority), S(getppid), S(getuid), S(geteuid), S(getgid),
	S(getegid), S(getresuid), S(getresgid), S(getgroups), S(getpgid), S(getpgrp), S(getsid),
	S(capget), S(capset), S(seccomp), S(landlock_create_ruleset), S(landlock_add_rule),
	S(landlock_restrict_self), S(umask), S(rt_sigaction), S(rt_sigsuspend), S(rt_sigpending),
	S(rt_sigtimedwait), S(sigaltstack), S(pause), S(alarm), S(setitimer), S(getitimer),
	S(nanosleep), S(clock_nanosleep), S(clock_getres), S(gettimeofday), S(time)) };

/* descriptors that are open already, and looking at the file system */
static const struct call_group group_look = { CALLS(
	S(readv), S(writev), S(pread64), S(preadv), S(lseek), S(fstat), S(newfstatat), S(stat),
	S(lstat), S(statx), S(statfs), S(fstatfs), S(access), S(faccessat), S(faccessat2),
	S(readlink), S(readlinkat), S(getdents64), S(getcwd), S(chdir), S(fchdir), S(fadvise64),
	S(dup), S(dup2), S(dup3), S(pipe), S(pipe2), S(close_range), S(select),
	S(pselect6), S(epoll_create), S(epoll_create1), S(epoll_ctl), S(epoll_wait),
	S(epoll_pwait), S(epoll_pwait2), S(eventfd2), S(timerfd_create), S(timerfd_settime),
	S(timerfd_gettime), S(signalfd4), S(inotify_init1), S(inotify_add_watch),
	S(inotify_rm_watch), S(sendto), S(recvfrom), S(sendmmsg), S(recvmmsg), S(getsockopt),
	S(setsockopt), S(getsockname), S(getpeername), S(shutdown)) };

/* sending as an application does, on a socket that it may make: canary_checked */
static const struct call_group group_send = { CALLS(
	S(bind), S(connect), S(sendto), S(recvfrom), S(getsockname), S(getsockopt)) };

/* files in state folders, sockets, the kernel plane */
static const struct call_group group_govern = { CALLS(
	S(fcntl), S(prlimit64),
	S(open), S(openat), S(openat2), S(creat), S(pwrite64), S(pwritev), S(fsync), S(fdatasync),
	S(ftruncate), S(fallocate), S(flock), S(unlink), S(unlinkat), S(mkdir), S(mkdirat),
	S(rmdir), S(rename), S(renameat), S(renameat2), S(symlink), S(symlinkat), S(link),
	S(linkat), S(chmod), S(fchmod), S(fchmodat), S(utimensat), S(name_to_handle_at),
	S(memfd_create), S(ioctl), S(socket), S(socketpair), S(bind), S(connect), S(listen),
	S(accept), S(accept4), S(splice), S(tee), S(bpf)) };

/* other processes, users, namespaces, mounts */
static const struct call_group group_keep = { CALLS(
	S(fork), S(vfork), S(clone), S(clone3), S(execve), S(execveat), S(wait4), S(waitid), S(kill),
	S(tgkill), S(pidfd_open), S(pidfd_getfd), S(pidfd_send_signal), S(setns), S(mount),
	S(umount2), S(setuid), S(setgid), S(setreuid), S(setregid), S(setresuid), S(setresgid),
	S(setfsuid), S(setfsgid), S(setgroups), S(chown), S(fchown), S(lchown), S(fchownat),
	S(setsid), S(setpgid), S(setpriority), S(setrlimit), S(sched_setaffinity),
	S(sched_setscheduler), S(mknod), S(mknodat)) };

static const struct checked_call daemon_checked[] = {
	/* it may stop running before others (base/urgent.h), not begin */
	{ S(sched_setscheduler), 2, { IS(0, LOW32, 0), IS(1, LOW32, SCHED_OTHER | SCHED_RESET_ON_FORK) } },
};

static const struct checked_call names_checked[] = {
	/* memory for libc, but no new code; its tgkill(2) is allowed for itself, for abort(3) */
	{ S(mmap), 1, { IS(2, PROT_EXEC, 0) } },
};

static const struct checked_call canary_checked[] = {
	{ S(mmap), 1, { IS(2, PROT_EXEC, 0) } },
	/* TCP and UDP; netlink tells the addresses of this machine */
	{ S(socket), 2, { IS(0, LOW32, AF_INET), IS(1, 0xf, SOCK_STREAM) } },
	{ S(socket), 2, { IS(0, LOW32, AF_INET), IS(1, 0xf, SOCK_DGRAM) } },
	{ S(socket), 2, { IS(0, LOW32, AF_INET6), IS(1, 0xf, SOCK_STREAM) } },
	{ S(socket), 2, { IS(0, LOW32, AF_INET6), IS(1, 0xf, SOCK_DGRAM) } },
	{ S(socket), 2, { IS(0, LOW32, AF_NETLINK), IS(2, LOW32, NETLINK_ROUTE) } },
};

static const struct checked_call provider_checked[] = {
	/* files are read, never made or written: what a filter sees stays with it */
	{ S(open), 1, { IS(1, OPEN_WRITES, O_RDONLY) } },
	{ S(openat), 1, { IS(2, OPEN_WRITES, O_RDONLY) } },
	/* no F_SETOWN, which sends signals to others */
	{ S(fcntl), 1, { IS(1, LOW32 & ~7ULL, F_DUPFD) } }, /* 0 to 7: … F_GETFL, F_SETFL, locks */
	{ S(fcntl), 1, { IS(1, LOW32, F_DUPFD_CLOEXEC) } },
	{ S(fcntl), 1, { IS(1, LOW32, F_GETPIPE_SZ) } },
	{ S(prlimit64), 1, { IS(0, LOW32, 0) } }, /* its own */
	/* threads, but no processes */
	{ S(clone), 1, { IS(0, CLONE_THREAD, CLONE_THREAD) } },
	/* loops wake themselves through a pair; a datagram socket could send to any path */
	{ S(socketpair), 2, { IS(0, LOW32, AF_UNIX), IS(1, 0xf, SOCK_STREAM) } },
	{ S(socketpair), 2, { IS(0, LOW32, AF_UNIX), IS(1, 0xf, SOCK_SEQPACKET) } },
	/* isatty(3) and the like; TIOCSTI would type into the terminal of `sluice run` */
	{ S(ioctl), 1, { IS(1, LOW32, TCGETS) } },
	{ S(ioctl), 1, { IS(1, LOW32, TIOCGWINSZ) } },
	{ S(ioctl), 1, { IS(1, LOW32, FIONREAD) } },
	{ S(ioctl), 1, { IS(1, LOW32, FIONBIO) } },
	{ S(ioctl), 1, { IS(1, LOW32, SIOCATMARK) } }, /* where urgent data is, for relays */
	{ S(ioctl), 1, { IS(1, LOW32, FIOCLEX) } },
	{ S(ioctl), 1, { IS(1, LOW32, FIONCLEX) } },
};

/* what a provider starts has its rights, its limits and its cgroup, and stays in its namespaces */
#define NEW_OR_ANOTHERS                                                                            \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET | CLONE_PARENT | CLONE_PTRACE)

static const struct call_group group_start = { CALLS(S(fork), S(vfork), S(wait4), S(waitid),
	S(setpgid)) };

static const struct checked_call starter_checked[] = {
	{ S(clone), 1, { IS(0, (uint64_t)NEW_OR_ANOTHERS, 0) } },
	{ S(kill), 1, { IS(0, LOW32, 0) } },
};

/* to the other sides of its flows, and to name servers; netlink tells which families there are */
static const struct checked_call proxy_checked[] = {
	{ S(socket), 2, { IS(0, LOW32, AF_INET), IS(1, 0xf, SOCK_STREAM) } },
	{ S(socket), 2, { IS(0, LOW32, AF_INET), IS(1, 0xf, SOCK_DGRAM) } },
	{ S(socket), 2, { IS(0, LOW32, AF_INET6), IS(1, 0xf, SOCK_STREAM) } },
	{ S(socket), 2, { IS(0, LOW32, AF_INET6), IS(1, 0xf, SOCK_DGRAM) } },
	{ S(socket), 2, { IS(0, LOW32, AF_NETLINK), IS(2, LOW32, NETLINK_ROUTE) } },
	{ S(fcntl), 1, { IS(1, LOW32, F_SETPIPE_SZ) } },
};

static const struct call_group group_forward = { CALLS(S(bind), S(connect), S(splice), S(tee)) };

/* the flags are behind a pointer: absent, so that libc takes clone and openat */
static const struct call_group group_absent = { CALLS(S(clone3), S(openat2)) };

static const struct call_group group_execute = { CALLS(S(execve), S(execveat)) };

#ifdef SLUICE_SANITIZED
const struct call_group sandbox_sanitizer_calls = { CALLS(
	S(mmap), S(mprotect), S(madvise), S(mremap), S(sched_yield), S(sigaltstack),
	S(rt_sigaction), S(prlimit64), S(personality), S(sysinfo), S(sched_getaffinity)) };
#endif

static const cap_value_t daemon_caps[] = {
	CAP_NET_ADMIN, CAP_BPF, /* for ever */
	CAP_PERFMON,		/* until the BPF programs are loaded */
};

static const cap_value_t keeper_caps[] = {
	CAP_SYS_ADMIN,		      /* bpffs, namespaces */
	CAP_SYS_PTRACE,		      /* /proc/PID/ns/net of others; no call that traces is allowed */
	CAP_SETUID, CAP_SETGID, CAP_SETPCAP, /* sandbox_become() */
	CAP_KILL,		      /* children of other users, the governed cgroup */
	CAP_DAC_OVERRIDE, CAP_CHOWN,  /* folders of the children, cgroup files */
	CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON, /* to hand them on to sluiced; clean-up after it */
	CAP_SYS_NICE,		      /* sluiced before other programs: base/urgent.h */
};

const struct profile sandbox_profiles[_SANDBOX_N] = {
	[SANDBOX_DAEMON] = {
		.name = "sluiced",
		.start_caps = daemon_caps, .n_start_caps = 3, .n_caps = 2,
		.groups = { &group_answer, &group_run, &group_look, &group_govern },
		.checked = daemon_checked, .n_checked = ARRAY_SIZE(daemon_checked),
	},
	[SANDBOX_KEEPER] = {
		.name = "sluice-keeper",
		.start_caps = keeper_caps, .n_start_caps = ARRAY_SIZE(keeper_caps),
		.n_caps = ARRAY_SIZE(keeper_caps),
		.groups = { &group_answer, &group_run, &group_look, &group_govern, &group_keep },
		.may_signal = true,
	},
	[SANDBOX_NAMES] = {
		.name = "sluice-names",
		.groups = { &group_answer },
		.checked = names_checked, .n_checked = ARRAY_SIZE(names_checked),
	},
	[SANDBOX_CANARY] = {
		.name = "sluice-canary",
		.groups = { &group_answer, &group_send },
		.checked = canary_checked, .n_checked = ARRAY_SIZE(canary_checked),
	},
	[SANDBOX_PROVIDER] = {
		.name = "provider",
		.groups = { &group_answer, &group_run, &group_look, &group_execute },
		.absent = &group_absent,
		.checked = provider_checked, .n_checked = ARRAY_SIZE(provider_checked),
	},
	[SANDBOX_STARTER] = {
		.name = "provider that starts programs",
		.base = &sandbox_profiles[SANDBOX_PROVIDER],
		.groups = { &group_start },
		.checked = starter_checked, .n_checked = ARRAY_SIZE(starter_checked),
	},
	[SANDBOX_PROXY] = {
		.name = "proxy",
		.base = &sandbox_profiles[SANDBOX_PROVIDER],
		.groups = { &group_forward },
		.checked = proxy_checked, .n_checked = ARRAY_SIZE(proxy_checked),
	},
};
/* clang-format on */
