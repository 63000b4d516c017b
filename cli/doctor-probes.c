/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/macros.h"
#include "cli/doctor.h"

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

void probe_says(struct probe_result *result, enum probe_state state, const char *fmt, ...)
{
	va_list args;

	result->state = state;
	va_start(args, fmt);
	vsnprintf(result->detail, sizeof(result->detail), fmt, args);
	va_end(args);
}

void probe_tried(struct probe_result *result, int r, const char *what)
{
	if (r >= 0)
		probe_says(result, PROBE_OK, "%s", what);
	else
		probe_says(result, PROBE_MISSING, "%s: %s", what, strerror(-r));
}

int probe_load(unsigned int type, unsigned int attach_type)
{
	const struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type);

	return bpf_prog_load(type, "sluice_doctor", "GPL", program, ARRAY_SIZE(program), &options);
}

static void probe_kernel(struct probe_result *result)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;
	bool is_enough;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2) {
		probe_says(result, PROBE_WARNING, "its version cannot be read");
		return;
	}
	is_enough = major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR);
	probe_says(result, is_enough ? PROBE_OK : PROBE_MISSING, "%.64s, needs %d.%d", name.release,
		   KERNEL_MAJOR, KERNEL_MINOR);
}

static void probe_btf(struct probe_result *result)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";

	probe_tried(result, access(path, R_OK) < 0 ? -errno : 0, path);
}

static void probe_cgroup(struct probe_result *result)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], place[160];

	probe_says(result, PROBE_MISSING, "no cgroup2 is mounted");
	while (file && result->state != PROBE_OK && fgets(line, sizeof(line), file))
		if (strstr(line, " - cgroup2 ") &&
		    sscanf(line, "%*s %*s %*s %*s %159s", place) == 1)
			probe_says(result, PROBE_OK, "mounted on %s", place);
	if (file)
		fclose(file);
}

static void probe_connect(struct probe_result *result)
{
	_cleanup_close_ int fd =
		probe_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT);

	probe_tried(result, fd, "program for connect(2) loads");
}

static void probe_sock_create(struct probe_result *result)
{
	_cleanup_close_ int fd = probe_load(BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE);

	probe_tried(result, fd, "program for socket(2) loads");
}

static void probe_sock_ops(struct probe_result *result)
{
	_cleanup_close_ int fd = probe_load(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS);

	probe_tried(result, fd, "program for socket states loads");
}

static void probe_ring(struct probe_result *result)
{
	_cleanup_close_ int fd =
		bpf_map_create(BPF_MAP_TYPE_RINGBUF, "sluice_doctor", 0, 0, 4096, NULL);

	probe_tried(result, fd, "ring buffer can be made");
}

static void probe_bpffs(struct probe_result *result)
{
	struct statfs fs;
	struct stat st;
	bool is_mounted = statfs("/sys/fs/bpf", &fs) == 0 && fs.f_type == BPF_FS_MAGIC;

	if (is_mounted && stat("/sys/fs/bpf", &st) == 0 && !(st.st_mode & S_IXOTH))
		probe_says(result, PROBE_OK,
			   "mounted on /sys/fs/bpf for root alone: an instance mounts its own");
	else if (is_mounted)
		probe_says(result, PROBE_OK, "mounted on /sys/fs/bpf");
	else
		probe_says(result, PROBE_WARNING,
			   "not mounted on /sys/fs/bpf: an instance mounts its own");
}

/* the kernel's own configuration, where a distribution leaves it; compressed ones are not read */
static void probe_glue(struct probe_result *result)
{
	static const char option[] = "CONFIG_NETFILTER_NETLINK_GLUE_CT=y";
	struct utsname name;
	char path[128], line[256];
	FILE *file;

	if (uname(&name) < 0)
		return;
	snprintf(path, sizeof(path), "/boot/config-%.64s", name.release);
	file = fopen(path, "re");
	if (!file) {
		probe_says(result, PROBE_WARNING, "unknown: %s is not there", path);
		return;
	}
	probe_says(result, PROBE_MISSING, "%.32s is off", option);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, option, strlen(option)) == 0)
			probe_says(result, PROBE_OK, "%.32s is on", option);
	fclose(file);
}

/* the probe is a process: what it mounts for itself ends with it */
static FILE *open_modules(void)
{
	static const char path[] = "/sys/kernel/security/lsm";
	FILE *file = fopen(path, "re");

	if (file || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL) < 0)
		return file;
	return fopen(path, "re");
}

static bool has_bpf_module(void)
{
	FILE *file = open_modules();
	char line[512] = "", *rest = line, *word;

	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	while ((word = strsep(&rest, ",\n")))
		if (!strcmp(word, "bpf"))
			return true;
	return false;
}

static void probe_family(struct probe_result *result)
{
	if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_LSM, NULL) != 1)
		probe_says(result, PROBE_WARNING, "programs at security hooks do not load");
	else if (!has_bpf_module())
		probe_says(result, PROBE_WARNING,
			   "the security module bpf is not in /sys/kernel/security/lsm");
	else
		probe_says(result, PROBE_OK, "refused where a filter fails closed");
}

#define REQUIRED .is_required = true
#define IN_NETNS .is_netns = true
#define LOST(text) .lost = (text)

/* clang-format off */
const struct probe probes[] = {
	{ "kernel", probe_kernel, REQUIRED, LOST("everything: older kernels are not supported") },
	{ "btf", probe_btf, REQUIRED, LOST("everything: programs cannot be fitted to this kernel") },
	{ "cgroup v2", probe_cgroup, REQUIRED, LOST("everything: there is nothing to govern by") },
	{ "bpf connect", probe_connect, REQUIRED, LOST("identity of connections") },
	{ "bpf socket", probe_sock_create, REQUIRED, LOST("the creator of a socket") },
	{ "bpf sockops", probe_sock_ops, REQUIRED, LOST("ends and byte counts of TCP flows") },
	{ "bpf ring", probe_ring, REQUIRED, LOST("news of sockets") },
	{ "bpf match", probe_match_bpf, REQUIRED, IN_NETNS,
	  LOST("identity of packets: nothing can be held") },
	{ "queue rule", probe_queue, REQUIRED, IN_NETNS, LOST("holding the first packet") },
	{ "queue", probe_queue_open, REQUIRED, IN_NETNS, LOST("holding the first packet") },
	{ "reject rule", probe_reject, REQUIRED, IN_NETNS, LOST("errors at once: drops would be silent") },
	{ "bpffs", probe_bpffs, LOST("nothing") },
	{ "conntrack", probe_conntrack, IN_NETNS, LOST("proxies; filters need none of it") },
	{ "nat redirect", probe_redirect, IN_NETNS, LOST("proxies; filters need none of it") },
	{ "sock destroy", probe_sock_destroy, IN_NETNS, LOST("ending an allowed TCP flow at once: its next packet ends it") },
	{ "packet sockets", probe_family,
	  LOST("a closed fail class towards AF_PACKET: what such sockets send, nobody sees") },
	{ "netdev egress", probe_egress, IN_NETNS, LOST("nothing: this release has no rule there") },
	{ "tun", probe_tun, IN_NETNS, LOST("nothing: this release has no packet tunnels") },
	{ "glue ct", probe_glue, LOST("nothing: a later chain saves the mark") },
	{ "mark owners", probe_mark_owners, LOST("whoever shares our mark bits may steer our packets") },
	{ "nat of others", probe_foreign_nat, LOST("connections that a proxy takes and that another's nat translates first") },
	{ "drop of others", probe_foreign_filter, LOST("answers to programs whose flows a proxy takes, if it lets loopback go by the interface alone") },
};
/* clang-format on */
const size_t n_probes = ARRAY_SIZE(probes);
