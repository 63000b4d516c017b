/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Every helper of the kernel fails
 *
 * The programs of bpf/, built so that each call of a helper that can fail is a site (faulty/),
 * once for each site and fail class: with that site failing always, packets go through the matches,
 * and a program in a cgroup of our own, to which the rest is attached, uses sockets. Closed:
 * nothing that nobody judged leaves, and what is undecided is held. Open: everything works.
 * At the end each site was reached, or is in a list with the reason why it cannot be.
 */

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "acts.h"
#include "base/cgroup2.h"
#include "base/macros.h"
#include "scene.h"
#include "sluice.skel.h"

#define SKIPPED 77
#define HANGS_S 5
#define ATTACHED_MAX 16

static const struct site {
	uint32_t number;
	const char *place, *helper;
} sites[] = {
#include "faulty/sites.h"
};

static const struct {
	const char *place;
	const char *objects; /* first digits of the numbers */
	const char *reason;
} unreachable[] = {
	{ "maps.h", "0123", "the object has no events of this kind" },
	{ "maps.h:129", "4", "this object forgets no flow" },
	{ "maps.h:133", "4", "this object forgets no flow" },
	{ "binds.h:33", "12", "this object removes none" },
	{ "binds.h:43", "123", "this object adds none" },
	{ "held.h:16", "3", "no packet here comes in" },
	{ "held.h:21", "2", "no packet here leaves" },
	{ "held.h:21", "3", "no socket here is gone before its packet: scenario 117" },
	{ "identity.h:6", "04", "kernels of another time" },
	{ "identity.h:126", "04", "kernels since 6.15" },
	{ "identity.h:127", "04", "kernels before 6.15" },
	{ "route.h:14", "3", "no packet here has a route: scenario 128" },
	{ "route.h:25", "3", "no packet here has a route: scenario 186" },
	{ "route.h:32", "3", "no packet here has a route: scenario 128" },
	{ "cgroup.h", "3", "no socket here is gone before its packet: scenario 135" },
	{ "netfilter-out.bpf.c:6", "3", "no socket here is gone before its packet: scenario 135" },
	{ "packet.h:77", "2", "no packet here leaves" },
	{ "packet.h:90", "2", "no packet here leaves" },
	{ "packet.h:209", "123", "no flow here is looked at: tests/bpf/peek.c, scenario 148" },
	{ "query.h:28", "2", "nobody here asks" },
	{ "netns.h", "04", "every socket here is where the plane is" },
};

static const struct lab_ends outbound[] = {
	{ "10.0.0.1", "192.0.2.9", 4000, 53, IPPROTO_UDP },
	{ "2001:db8::1", "2001:db8::9", 4000, 5000, IPPROTO_UDP },
	{ "10.0.0.1", "192.0.2.9", 4000, 5000, IPPROTO_TCP },
	{ "2001:db8::1", "2001:db8::9", 4000, 5000, IPPROTO_TCP },
	{ "10.0.0.1", "192.0.2.9", 77, 0, IPPROTO_ICMP },
};
static const struct lab_ends local[] = {
	{ "127.0.0.1", "127.0.0.9", 4000, 5000, IPPROTO_UDP },
	{ "::1", "::1", 4000, 5000, IPPROTO_UDP },
};
static const uint8_t extension[] = { IPPROTO_DSTOPTS };

struct world {
	struct lab *lab;
	struct sluice_bpf__bss *faults;
	char cgroup[256];
	int wire;
	bool is_closed;
	struct bpf_link *links[ATTACHED_MAX];
	unsigned int n_links;
};

static unsigned int n_checks, n_failed;

_printf_(2, 3) static void check(bool is_ok, const char *format, ...)
{
	va_list args;

	n_failed += !is_ok;
	printf("%sok %u - ", is_ok ? "" : "not ", ++n_checks);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* ---- the instance ---- */

static void configure(struct world *world, bool is_closed)
{
	struct sl_config config = { .is_closed = is_closed,
				    .generation = 1,
				    .has_peeks = 1,
				    .loopback = { 0x7f000000, 0xff000000, 1, 0 } };
	struct sl_netns governed = { .state = SL_NETNS_IN_FORCE };
	uint64_t netns = own_netns();
	uint32_t zero = 0;

	lab_set(world->lab, "sl_netns", &netns, &governed);
	lab_set(world->lab, "sl_config", &zero, &config);
	world->is_closed = is_closed;
}

static int attach(struct world *world)
{
	_cleanup_close_ int cgroup = open(world->cgroup, O_RDONLY | O_CLOEXEC);
	struct bpf_program *p;

	bpf_object__for_each_program(p, lab_object(world->lab))
	{
		/* sl_egress as well: with an open fail class it is there where a proxy is */
		if (bpf_program__type(p) == BPF_PROG_TYPE_SOCKET_FILTER ||
		    world->n_links == ATTACHED_MAX)
			continue;
		if (bpf_program__expected_attach_type(p) == BPF_TRACE_ITER)
			continue;
		world->links[world->n_links] = bpf_program__attach_cgroup(p, cgroup);
		if (!world->links[world->n_links])
			return -errno;
		world->n_links++;
	}
	return 0;
}

static void detach(struct world *world)
{
	while (world->n_links > 0)
		bpf_link__destroy(world->links[--world->n_links]);
}

/* ---- packets ---- */

struct sender {
	const struct lab_ends *ends;
	enum sl_verdict verdict;
	bool is_remembered;
	uint32_t flags;
};

static void prepare(struct lab *lab, uint64_t cookie, void *data)
{
	const struct sender *sender = data;
	struct sl_flow_key key = ends_key(sender->ends, SL_DIR_OUT, cookie);
	struct sl_sock sock = { .owner.pid = 42,
				.user.start_ns = sender->is_remembered,
				.flags = sender->flags,
				.netns = own_netns() };
	struct sl_memory_key memory_key = { .app = sl_app_of(&sock.user, sock.netns),
					    .rport = key.rport,
					    .proto = key.proto };
	struct sl_memory memory = { .generation = 1, .expiry_ns = UINT64_MAX };

	memcpy(memory_key.raddr, key.raddr, sizeof(key.raddr));
	lab_set(lab, "sl_socks", &cookie, &sock);
	if (sender->is_remembered)
		lab_set(lab, "sl_memory", &memory_key, &memory);
	if (sender->verdict != SL_UNDECIDED)
		set_flow(lab, &key, sender->verdict);
}

static int run_out(struct world *world, const char *program, const struct lab_packet *packet,
		   struct sender *sender)
{
	uint64_t cookie;

	return lab_run_as(world->lab, program, packet, prepare, sender, &cookie);
}

static void fill(struct lab_packet *packet, const struct lab_ends *ends)
{
	if (ends_is_v6(ends))
		lab_ipv6(packet, ends, extension, ARRAY_SIZE(extension));
	else
		lab_ipv4(packet, ends, sizeof(uint32_t)); /* it is not plain, so it is looked at */
}

static bool is_out_well(struct world *world, const struct lab_ends *ends)
{
	struct sender nobody = { .ends = ends }, denied = { ends, SL_REJECT, false, 0 };
	struct sender allowed = { ends, SL_ALLOW, false, 0 };
	struct sender known = { .ends = ends, .is_remembered = true };
	struct sender streaming = { .ends = ends, .flags = SL_SOCK_ALLOWED };
	struct lab_packet packet;

	fill(&packet, ends);
	return run_out(world, "sl_out_held", &packet, &nobody) == 1 &&
	       run_out(world, "sl_out_ours", &packet, &nobody) == 1 &&
	       run_out(world, "sl_out_allowed", &packet, &nobody) == 0 &&
	       run_out(world, "sl_out_held", &packet, &denied) == 1 &&
	       run_out(world, "sl_out_held", &packet, &streaming) == 1 &&
	       run_out(world, "sl_out_held", &packet, &allowed) >= 0 &&
	       run_out(world, "sl_out_held", &packet, &known) >= 0 &&
	       run_out(world, "sl_out_query", &packet, &nobody) == 0;
}

static bool is_in_well(struct world *world, const struct lab_ends *out)
{
	struct lab_ends ends = { out->dst, out->src, out->dport, out->sport, out->proto };
	struct sl_tuple tuple = ends_tuple(&ends, SL_DIR_IN);
	struct sl_query query = { .cookie = COOKIE, .n_ids = 1 };
	struct lab_packet packet;
	int held, ours;

	if (ends_is_echo(&ends))
		return true;
	fill(&packet, &ends);
	set_server(world->lab, &ends, NULL);
	lab_set(world->lab, "sl_resolving", &tuple, &query);
	held = lab_run(world->lab, "sl_in_held", &packet);
	ours = lab_run(world->lab, "sl_in_ours", &packet);
	return held >= 0 && ours == 1 && (held == 1 || !world->is_closed) &&
	       lab_run(world->lab, "sl_in_answer", &packet) >= 0;
}

/* the socket of a test run is bound anew, as if it had been disconnected */
static void rebind(struct lab *lab, uint64_t cookie, void *data)
{
	struct sl_sock sock = { .bound_port = 9, .bound_proto = IPPROTO_UDP };
	struct sl_bind_key key = { .port = 9, .proto = IPPROTO_UDP };
	struct sl_bind bind = { .cookie = cookie, .refs = 1 };

	lab_set(lab, "sl_socks", &cookie, &sock);
	lab_set(lab, "sl_binds", &key, &bind);
}

/* what cannot be read is looked at by sl_out_held, if it fails closed */
static bool is_loopback_well(struct world *world, const struct lab_ends *ends)
{
	struct lab_packet packet;
	int judged;

	fill(&packet, ends);
	judged = lab_run(world->lab, "sl_out_loopback", &packet);
	set_server(world->lab, ends, NULL);
	return judged >= 0 && (judged == 1 || !world->is_closed) &&
	       lab_run(world->lab, "sl_in_loopback", &packet) == 0;
}

static bool are_packets_well(struct world *world)
{
	struct lab_packet packet;
	uint64_t cookie;
	bool is_well;

	ends_packet(&packet, &outbound[0]);
	is_well = lab_run_as(world->lab, "sl_out_held", &packet, rebind, NULL, &cookie) == 1;
	for (size_t i = 0; i < ARRAY_SIZE(outbound); i++) {
		is_well &= is_out_well(world, &outbound[i]);
		is_well &= is_in_well(world, &outbound[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(local); i++)
		is_well &= is_loopback_well(world, &local[i]);
	return is_well;
}

/* ---- sockets ---- */

_Noreturn static void be_governed(struct world *world)
{
	const char *failed;

	alarm(HANGS_S);
	if (cgroup2_enter(world->cgroup) < 0)
		_exit(2);
	failed = acts_do(world->lab);
	if (failed && !world->is_closed)
		printf("# %s failed\n", failed);
	(void)fflush(stdout);
	_exit(failed ? 1 : 0);
}

static void check_sockets(struct world *world, const struct site *site)
{
	int status = 0;
	unsigned int n_left;
	pid_t pid;

	lab_clear(world->lab);
	(void)acts_n_left(world->wire);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		be_governed(world);
	(void)waitpid(pid, &status, 0);
	n_left = acts_n_left(world->wire);
	check(WIFEXITED(status) && WEXITSTATUS(status) < 2, "%s %s fails: nothing hangs or dies",
	      site->place, site->helper);
	if (world->is_closed)
		check(n_left == 0, "%s %s fails closed: %u packets leave", site->place,
		      site->helper, n_left);
	else
		check(WEXITSTATUS(status) == 0 && n_left > 0, "%s %s fails open: sockets work",
		      site->place, site->helper);
}

static void check_class(struct world *world, bool is_closed)
{
	static const struct site none = { 0, "nothing", "" };

	configure(world, is_closed);
	if (attach(world) < 0) {
		check(false, "the programs can be attached");
		return;
	}
	check_sockets(world, &none);
	check(are_packets_well(world), "nothing fails: packets are held");
	for (size_t i = 0; i < ARRAY_SIZE(sites); i++) {
		world->faults->sl_fault_site = sites[i].number;
		check_sockets(world, &sites[i]);
		if (!strstr(sites[i].place, "identity") && !strstr(sites[i].place, "sock"))
			check(are_packets_well(world), "%s %s fails %s: what is undecided is held",
			      sites[i].place, sites[i].helper, is_closed ? "closed" : "open");
		world->faults->sl_fault_site = 0;
	}
	detach(world);
}

static const char *why_unreachable(const struct site *site)
{
	for (size_t i = 0; i < ARRAY_SIZE(unreachable); i++)
		if (!strncmp(site->place, unreachable[i].place, strlen(unreachable[i].place)) &&
		    strchr(unreachable[i].objects, (char)('0' + site->number / 100)))
			return unreachable[i].reason;
	return NULL;
}

static void check_reached(const struct world *world)
{
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sites); i++) {
		bool is_reached = world->faults->sl_fault_reached[sites[i].number];

		n += is_reached;
		check(is_reached || why_unreachable(&sites[i]), "site %u, %s %s: %s",
		      sites[i].number, sites[i].place, sites[i].helper,
		      is_reached ? "reached" : why_unreachable(&sites[i]));
	}
	printf("  %zu helper calls that can fail, %u of them reached\n", ARRAY_SIZE(sites), n);
}

/* ---- the world ---- */

static int open_cgroup(struct world *world)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	int r = -ENOENT;

	while (mounts && r < 0 && (mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_type, "cgroup2")) {
			snprintf(world->cgroup, sizeof(world->cgroup), "%s/sluice-bpf-%d",
				 mount->mnt_dir, (int)getpid());
			r = mkdir(world->cgroup, 0755) < 0 ? -errno : 0;
		}
	if (mounts)
		endmntent(mounts);
	return r;
}

static int open_faults(struct world *world)
{
	struct bpf_map *map;
	size_t n;

	bpf_object__for_each_map(map, lab_object(world->lab))
	{
		const char *name = strrchr(bpf_map__name(map), '.');

		if (name && !strcmp(name, ".bss"))
			world->faults = (struct sluice_bpf__bss *)(uintptr_t)bpf_map__initial_value(
				map, &n);
	}
	return world->faults ? 0 : -ENOENT;
}

int main(void)
{
	struct world world = { .wire = -1 };
	int r = acts_open_world();
	const char *missing = "a network namespace";

	if (r == 0) {
		missing =
			"a verifier that takes the programs when any helper may fail (6.1 does not)";
		r = lab_new(&world.lab);
	}
	if (r < 0) {
		printf("missing here: %s: %s\n", missing, strerror(-r));
		return r == -EPERM || r == -EACCES || r == -ENOSYS ? SKIPPED : EXIT_FAILURE;
	}
	world.wire = acts_open_wire();
	r = world.wire < 0 ? world.wire : open_faults(&world);
	if (r == 0)
		r = open_cgroup(&world);
	if (r == 0) {
		check_class(&world, true);
		check_class(&world, false);
		check_reached(&world);
	} else {
		check(false, "the world can be made: %s", strerror(-r));
	}
	(void)cgroup2_remove(world.cgroup, 1000);
	lab_free(world.lab);
	printf("1..%u\n", n_checks);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
