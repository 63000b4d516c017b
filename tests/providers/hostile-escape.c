/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What a provider must not be able to do
 *
 * What was not refused is said on stderr, a line each, and in the end how many
 * were. A call whose arguments are wrong must be refused for its right, not
 * for them.
 */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hostile.h"

static bool is_refusal(int error)
{
	return error == EPERM || error == EACCES || error == ENOSYS;
}

static unsigned int n_refused;

static void say_result(const char *what, const char *whom, long result)
{
	if (result < 0 && is_refusal(errno))
		n_refused++;
	else
		hostile_say(what, whom, result < 0 ? strerror(errno) : "succeeded");
}

/* ---- calls that are nobody's business here ---- */

static const struct {
	const char *name;
	long number, arguments[5];
} calls[] = {
	{ "bpf-map-create", SYS_bpf, { BPF_MAP_CREATE } },
	{ "bpf-prog-load", SYS_bpf, { BPF_PROG_LOAD } },
	{ "bpf-obj-get", SYS_bpf, { BPF_OBJ_GET } },
	{ "setns", SYS_setns, { 3 } },
	{ "unshare-user", SYS_unshare, { CLONE_NEWUSER } },
	{ "unshare-net", SYS_unshare, { CLONE_NEWNET } },
	{ "fork", SYS_fork, { 0 } },
	{ "clone", SYS_clone, { SIGCHLD } },
	{ "clone-newuser", SYS_clone, { CLONE_NEWUSER | SIGCHLD } },
	{ "clone3", SYS_clone3, { 0 } },
	{ "perf_event_open", SYS_perf_event_open, { 0 } },
	{ "userfaultfd", SYS_userfaultfd, { 0 } },
	{ "io_uring_setup", SYS_io_uring_setup, { 1 } },
	{ "io_uring_enter", SYS_io_uring_enter, { 3 } },
	{ "keyctl", SYS_keyctl, { 0 } },
	{ "add_key", SYS_add_key, { 0 } },
	{ "mount", SYS_mount, { 0 } },
	{ "umount", SYS_umount2, { 0 } },
	{ "open_tree", SYS_open_tree, { -1 } },
	{ "pivot_root", SYS_pivot_root, { 0 } },
	{ "chroot", SYS_chroot, { 0 } },
	{ "open_by_handle_at", SYS_open_by_handle_at, { 0 } },
	{ "name_to_handle_at", SYS_name_to_handle_at, { 0 } },
	{ "memfd_create", SYS_memfd_create, { 0 } },
	{ "memfd_secret", SYS_memfd_secret, { 0 } },
	{ "sched_setscheduler", SYS_sched_setscheduler, { 0 } },
	{ "sched_setattr", SYS_sched_setattr, { 0 } },
	{ "setpriority", SYS_setpriority, { 0 } },
	{ "ioprio_set", SYS_ioprio_set, { 0 } },
	{ "setuid", SYS_setuid, { 0 } },
	{ "setgroups", SYS_setgroups, { 0 } },
	{ "init_module", SYS_init_module, { 0 } },
	{ "kexec_load", SYS_kexec_load, { 0 } },
	{ "reboot", SYS_reboot, { 0 } },
	{ "settimeofday", SYS_settimeofday, { 0 } },
	{ "sethostname", SYS_sethostname, { 0 } },
	{ "swapon", SYS_swapon, { 0 } },
	{ "iopl", SYS_iopl, { 3 } },
	{ "syslog", SYS_syslog, { 3 } },
	{ "fanotify_init", SYS_fanotify_init, { 0 } },
	{ "shmget", SYS_shmget, { 0, 4096, 0600 } },
	{ "msgget", SYS_msgget, { 0, 01600 } },
	{ "mq_open", SYS_mq_open, { 0 } },
	{ "timer_create", SYS_timer_create, { 0 } },
	{ "rt_sigqueueinfo", SYS_rt_sigqueueinfo, { 1 } },
	{ "pidfd_open", SYS_pidfd_open, { 1 } },
	{ "pidfd_getfd", SYS_pidfd_getfd, { 3 } },
	{ "process_madvise", SYS_process_madvise, { 3 } },
	{ "mlockall", SYS_mlockall, { 1 } },
	{ "bind", SYS_bind, { 3 } },
	{ "connect", SYS_connect, { 3 } },
	{ "listen", SYS_listen, { 3 } },
	{ "accept", SYS_accept, { 3 } },
	{ "splice", SYS_splice, { 3 } },
#ifndef SLUICE_SANITIZED /* its run time needs it, and prlimit */
	{ "personality", SYS_personality, { 0 } },
#endif
};

static const struct {
	const char *name;
	int family, type;
} sockets[] = {
	{ "inet", AF_INET, SOCK_STREAM },    { "inet6", AF_INET6, SOCK_DGRAM },
	{ "unix", AF_UNIX, SOCK_STREAM },    { "unix-dgram", AF_UNIX, SOCK_DGRAM },
	{ "netlink", AF_NETLINK, SOCK_RAW }, { "packet", AF_PACKET, SOCK_RAW },
	{ "raw", AF_INET, SOCK_RAW },	     { "vsock", AF_VSOCK, SOCK_STREAM },
	{ "alg", AF_ALG, SOCK_SEQPACKET },   { "xdp", AF_XDP, SOCK_RAW },
	{ "key", AF_KEY, SOCK_RAW },	     { "bluetooth", AF_BLUETOOTH, SOCK_RAW },
	{ "tipc", AF_TIPC, SOCK_SEQPACKET },
};

static void try_calls(void)
{
	int pair[2];

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const long *a = calls[i].arguments;

		say_result(calls[i].name, "call",
			   syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4]));
	}
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
		say_result("socket", sockets[i].name,
			   socket(sockets[i].family, sockets[i].type, 0));
	/* a datagram end could send to the path of any socket */
	say_result("socketpair", "unix-dgram", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	say_result("ioctl", "TIOCSTI", ioctl(2, TIOCSTI, "x"));
	say_result("fcntl", "F_SETSIG", fcntl(3, F_SETSIG, SIGKILL));
}

/* ---- other processes ---- */

static long read_memory(pid_t pid)
{
	char bytes[8];
	struct iovec to = { bytes, sizeof(bytes) }, from = { (void *)0x400000, sizeof(bytes) };

	return process_vm_readv(pid, &to, 1, &from, 1, 0);
}

/* some can be opened by anybody, and refuse to be read; of a process that has just ended the list
 * of its memory is there, and empty */
static long look(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	struct stat about;
	char byte;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, &byte, 1);
	if (n == 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
		errno = EACCES;
	else if (n >= 0 || !is_refusal(errno))
		return 0;
	return -1;
}

/* others start and end while this one looks at them */
static void say_of_victim(const char *what, const char *name, long result)
{
	if (result >= 0 || (errno != ESRCH && errno != ENOENT))
		say_result(what, name, result);
}

static void try_process(pid_t pid, const char *name)
{
	static const char *const files[] = { "mem",  "environ", "maps",	    "auxv",
					     "fd/0", "fd/3",	"fdinfo/3", "root",
					     "cwd",  "ns/net",	"syscall",  "io" };
	char path[64], exe[64];

	say_of_victim("ptrace", name, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	say_of_victim("process_vm_readv", name, read_memory(pid));
	say_of_victim("kill", name, kill(pid, SIGSTOP));
	say_of_victim("tgkill", name, syscall(SYS_tgkill, pid, pid, SIGSTOP));
#ifndef SLUICE_SANITIZED
	struct rlimit none = { 0, 0 };

	say_of_victim("prlimit", name, prlimit(pid, RLIMIT_CPU, &none, NULL));
#endif
	say_of_victim("fcntl-setown", name, fcntl(3, F_SETOWN, pid));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
		say_of_victim(files[i], name, look(path));
	}
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	say_of_victim("exe", name, readlink(path, exe, sizeof(exe)));
}

static bool is_victim(const char *comm)
{
	static const char *const names[] = { "sluiced", "sluice-keeper", "sluice-names",
					     "test-filter", "flowgen" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(comm, names[i]))
			return true;
	return false;
}

/* of every instance that runs: one of them has a provider of our own user */
static void try_processes(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		char path[300], comm[32] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = isdigit((unsigned char)entry->d_name[0]) ? open(path, O_RDONLY) : -1;
		if (fd < 0)
			continue;
		if (read(fd, comm, sizeof(comm) - 1) > 0)
			comm[strcspn(comm, "\n")] = '\0';
		close(fd);
		if (is_victim(comm))
			try_process(atoi(entry->d_name), comm);
	}
	if (proc)
		closedir(proc);
}

/* ---- files ---- */

static void try_files(const char *flows, const char *list, const char *state)
{
	static const char *const changed[] = {
		"/tmp/sluice-hostile", "/dev/shm/sluice-hostile",  "/dev/null",
		"/dev/net/tun",	       "/proc/self/oom_score_adj", "/proc/self/mem"
	};
	char path[300];
	int watch = inotify_init1(IN_NONBLOCK);

	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++)
		say_result("open-for-writing", changed[i],
			   open(changed[i], O_RDWR | O_CREAT, 0600));
	say_result("open-for-writing", "flows", open(flows, O_WRONLY));
	say_result("truncate", "flows", syscall(SYS_truncate, flows, 0));
	say_result("unlink", "flows", syscall(SYS_unlink, flows));
	say_result("rename", "flows", syscall(SYS_rename, flows, list));
	say_result("chmod", "list", syscall(SYS_chmod, list, 0777));
	say_result("read", "flows", open(flows, O_RDONLY));
	say_result("read", "list", open(list, O_RDONLY));
	say_result("read", "shadow", open("/etc/shadow", O_RDONLY));
	say_result("watch", "flows", inotify_add_watch(watch, flows, IN_ALL_EVENTS));
	say_result("watch", "list", inotify_add_watch(watch, list, IN_ALL_EVENTS));
	snprintf(path, sizeof(path), "%s/bpf", state);
	say_result("read", "bpffs", open(path, O_RDONLY));
	snprintf(path, sizeof(path), "%s/control", state);
	say_result("unlink", "control", syscall(SYS_unlink, path));
	say_result("mkdir", "state", syscall(SYS_mkdir, path, 0700));
	close(watch);
	/* the writing end of a pipe, and not the terminal of `sluice run` */
	for (int fd = 1; fd <= 2; fd++)
		if (read(fd, path, 1) >= 0 || errno != EBADF || lseek(fd, 0, SEEK_CUR) >= 0)
			hostile_say("terminal", "standard output", "succeeded");
}

void hostile_escape(const char *flows, const char *list, const char *state)
{
	char text[32];

	try_calls();
	try_processes();
	try_files(flows, list, state);
	snprintf(text, sizeof(text), "%u refused", n_refused);
	hostile_say("everything", "done", text);
}
