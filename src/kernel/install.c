/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Install and adopt
 *
 * What is there once, under the instance's pins (pins.c). Last of all comes `complete`:
 * a plane without it was being installed when its daemon died, and is installed anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/macros.h"
#include "kernel/attach.h"
#include "kernel/real.h"
#include "sluice.skel.h"

static const char *const map_names[] = {
	[MAP_SOCKS] = "sl_socks",
	[MAP_PROCS] = "sl_procs",
	[MAP_CGROUPS] = "sl_cgroups",
	[MAP_HELD] = "sl_held",
	[MAP_FLOWS] = "sl_flows",
	[MAP_RESOLVING] = "sl_resolving",
	[MAP_MEMORY] = "sl_memory",
	[MAP_CONFIG] = "sl_config",
	[MAP_NETNS] = "sl_netns",
	[MAP_CROWDS] = "sl_crowds",
	[MAP_PEEKS] = "sl_peeks",
	[MAP_EVENTS] = "sl_events",
	[MAP_BINDS] = "sl_binds",
	[MAP_LISTENER] = "sl_listener",
	[MAP_PACKETS] = "sl_packets",
	[MAP_PACKET_SETS] = "sl_packet_sets",
	[MAP_PACKET_COUNTS] = "sl_packet_counts",
	[MAP_PACKET_PLACES] = "sl_packet_places",
	[MAP_ORDER] = "sl_order",
};
_Static_assert(ARRAY_SIZE(map_names) == _MAP_N, "map_names");

/* programs on the cgroup; the rest are matches of the nft table */
static const char *const attached[] = {
	"sl_create",   "sl_release",  "sl_bind4",   "sl_bind6",	 "sl_connect4", "sl_connect6",
	"sl_sendmsg4", "sl_sendmsg6", "sl_sockops", "sl_egress", "sl_family",
};

static const struct {
	const char *name;
	size_t offset;
} matches[] = {
	{ "sl_out_held", offsetof(struct nft_programs, out_held) },
	{ "sl_out_crowd", offsetof(struct nft_programs, out_crowd) },
	{ "sl_out_ours", offsetof(struct nft_programs, out_ours) },
	{ "sl_out_allowed", offsetof(struct nft_programs, out_allowed) },
	{ "sl_out_denied", offsetof(struct nft_programs, out_denied) },
	{ "sl_out_silent", offsetof(struct nft_programs, out_silent) },
	{ "sl_out_query", offsetof(struct nft_programs, out_query) },
	{ "sl_out_loopback", offsetof(struct nft_programs, out_loopback) },
	{ "sl_in_held", offsetof(struct nft_programs, in_held) },
	{ "sl_in_peeked", offsetof(struct nft_programs, in_peeked) },
	{ "sl_in_ours", offsetof(struct nft_programs, in_ours) },
	{ "sl_in_denied", offsetof(struct nft_programs, in_denied) },
	{ "sl_in_silent", offsetof(struct nft_programs, in_silent) },
	{ "sl_in_answer", offsetof(struct nft_programs, in_answer) },
	{ "sl_in_loopback", offsetof(struct nft_programs, in_loopback) },
	{ "sl_packet_out", offsetof(struct nft_programs, packet_out) },
	{ "sl_packet_out_place", offsetof(struct nft_programs, packet_out_place) },
	{ "sl_packet_out_denied", offsetof(struct nft_programs, packet_out_denied) },
	{ "sl_packet_in", offsetof(struct nft_programs, packet_in) },
	{ "sl_packet_in_place", offsetof(struct nft_programs, packet_in_place) },
	{ "sl_packet_in_denied", offsetof(struct nft_programs, packet_in_denied) },
	{ "sl_out_diverted", offsetof(struct nft_programs, out_diverted) },
	{ "sl_out_proxy", offsetof(struct nft_programs, out_proxy) },
	{ "sl_in_diverted", offsetof(struct nft_programs, in_diverted) },
};

static int *program_slot(struct real *real, size_t i)
{
	return (int *)(void *)((char *)&real->nft.programs + matches[i].offset);
}

void install_begin(struct real *real)
{
	real->census = real->plane.events_fd = -1;
	real->plane.n_places = 0;
	for (size_t i = 0; i < _MAP_N; i++)
		real->maps[i] = -1;
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
		*program_slot(real, i) = -1;
}

void install_close(struct real *real)
{
	close_fd(real->census);
	for (unsigned int i = 0; i < real->plane.n_places; i++)
		netns_close(&real->plane.places[i]);
	for (size_t i = 0; i < _MAP_N; i++)
		close_fd(real->maps[i]);
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
		close_fd(*program_slot(real, i));
	install_begin(real);
}

static int attach(struct real *real, struct bpf_object *object, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	if (!program || !bpf_program__autoload(program))
		return program ? 0 : -ENOENT;
	return attach_put(real, program);
}

/* under its name, and as a descriptor of ours. Return: 0 or a negative errno */
static int keep(const struct real *real, const char *kind, const char *name, int fd, int *ret_fd)
{
	int r = pins_put(real, kind, name, fd);

	if (r < 0)
		return r;
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *ret_fd < 0 ? -errno : 0;
}

static int keep_maps(struct real *real, struct bpf_object *object)
{
	for (size_t i = 0; i < _MAP_N; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, map_names[i]);
		int r;

		if (!map)
			return -ENOENT;
		r = keep(real, "map", map_names[i], bpf_map__fd(map), &real->maps[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int keep_matches(struct real *real, struct bpf_object *object)
{
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		struct bpf_program *program =
			bpf_object__find_program_by_name(object, matches[i].name);
		int r;

		if (!program)
			return -ENOENT;
		r = keep(real, "prog", matches[i].name, bpf_program__fd(program),
			 program_slot(real, i));
		if (r < 0)
			return r;
	}
	return 0;
}

/* what others have written there (generation of sl_memory) stays */
int install_write_config(struct real *real)
{
	struct sl_config config;
	uint32_t zero = 0;
	struct stat st;

	if (stat(real->cgroup, &st) < 0 ||
	    bpf_map_lookup_elem(real->maps[MAP_CONFIG], &zero, &config) < 0)
		return -errno;
	config.cgroup_id = st.st_ino;
	if (real->proxies[0] && stat(real->proxies, &st) < 0)
		return -errno;
	config.proxies_id = real->plane.proxies_id = real->proxies[0] ? st.st_ino : 0;
	config.is_closed = real->nft.is_closed;
	config.canary_uid = real->canary_uid;
	config.is_peeking = real->nft.has_peeks;
	config.packets = real->nft.packets;
	config.loopback = real->plane.loopback;
	if (!config.secret[0] && getrandom(config.secret, sizeof(config.secret), 0) < 0)
		return -errno;
	return bpf_map_update_elem(real->maps[MAP_CONFIG], &zero, &config, BPF_ANY) < 0 ? -errno
											: 0;
}

static void cleanup_skeleton(struct sluice_bpf **skeleton)
{
	sluice_bpf__destroy(*skeleton);
}

static int attach_all(struct real *real, struct bpf_object *object)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(attached) && !r; i++)
		if (attach_is_used(attached[i], real->nft.is_closed, real->has_proxies))
			r = attach(real, object, attached[i]);
	return r;
}

static int keep_census(struct real *real, struct bpf_object *object)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, "sl_census");

	if (!program)
		return -ENOENT;
	real->census = bpf_link_create(bpf_program__fd(program), 0, BPF_TRACE_ITER, NULL);
	return real->census < 0 ? -errno : pins_put(real, "link", "sl_census", real->census);
}

static int install(struct real *real, const char **ret_error)
{
	_cleanup_(cleanup_skeleton) struct sluice_bpf *skeleton = NULL;
	int r;

	*ret_error = "loading BPF programs";
	skeleton = sluice_bpf__open();
	if (!skeleton)
		return -errno;
	attach_choose(skeleton->progs.sl_family, real->nft.is_closed);
	r = sluice_bpf__load(skeleton);
	if (r < 0)
		return r;
	*ret_error = "pinning BPF maps";
	r = keep_maps(real, skeleton->obj);
	if (!r)
		r = keep_matches(real, skeleton->obj);
	if (!r)
		r = keep_census(real, skeleton->obj);
	if (r < 0)
		return r;
	*ret_error = "writing the configuration map";
	r = install_write_config(real);
	if (r < 0)
		return r;
	r = join_home(real, ret_error);
	if (r < 0)
		return r;
	*ret_error = "attaching BPF programs to the cgroup";
	r = attach_all(real, skeleton->obj);
	if (!r)
		r = renew_stamp(real);
	if (r < 0)
		return r;
	return pins_put(real, "map", "complete", real->maps[MAP_CONFIG]);
}

/* until our filters run, a predecessor that failed closed still does, and so does one of which that
 * cannot be told: see install_relax() */
static int take_fail_class(struct real *real)
{
	struct sl_config config = { 0 };
	int r = pins_read(real, map_names[MAP_CONFIG], &config, sizeof(config));

	if (r < 0)
		config = (struct sl_config){ .is_closed = true };
	real->is_stricter = config.is_closed && !real->nft.is_closed;
	real->nft.is_closed |= config.is_closed;
	if (r < 0)
		return r;
	real->nft.has_peeks = config.is_peeking;
	real->nft.packets = config.packets;
	real->nft.has_loopback = plane_judges_loopback(&config.loopback);
	real->plane.loopback = config.loopback;
	real->plane.packets = real->plane.packets_left = config.packets;
	real->plane.n_packet_copy = PACKETS_COPY_LEAST;
	return 0;
}

int install_relax(struct real *real)
{
	int r;

	if (!real->is_stricter)
		return 0;
	real->is_stricter = real->nft.is_closed = false;
	for (size_t i = 0; i < ARRAY_SIZE(attached); i++)
		if (!attach_is_used(attached[i], false, real->has_proxies))
			attach_remove(real, attached[i]);
	r = install_write_config(real);
	return r < 0 ? r : join_put_tables(real);
}

/* the plan is another one. A namespace that refuses it keeps it from no other: repair() puts it there
 * when it is asked next */
int install_renew(struct real *real)
{
	int worst = install_write_config(real);

	for (unsigned int i = 0; i < real->plane.n_places; i++) {
		struct netns *netns = &real->plane.places[i];
		int r = netns->is_used && netns_is_whole(netns) ? repair_renew(real, netns) : 0;

		if (r < 0) {
			netns->digest = 0;
			worst = r;
		}
	}
	return worst < 0 ? worst : 0;
}

int install_peek(struct real *real)
{
	if (real->nft.has_peeks)
		return 0;
	real->nft.has_peeks = true;
	return install_renew(real);
}

int install_loopback(struct real *real, const struct sl_loopback *loopback)
{
	bool is_wanted = plane_judges_loopback(loopback);

	real->plane.loopback = *loopback;
	if (real->nft.has_loopback == is_wanted)
		return install_write_config(real);
	real->nft.has_loopback = is_wanted;
	return install_renew(real);
}

/* the predecessor's, of the cgroups that are ours to govern */
static int check_attached(const struct real *real)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(attached) && r == 0; i++) {
		if (!real->proxies[0])
			attach_forget_proxies(real, attached[i]);
		if (attach_is_used(attached[i], real->nft.is_closed, real->has_proxies))
			r = attach_check(real, attached[i]);
	}
	return r;
}

static int open_pinned(struct real *real)
{
	for (size_t i = 0; i < _MAP_N; i++) {
		real->maps[i] = pins_open(real, "map", map_names[i]);
		if (real->maps[i] < 0)
			return real->maps[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		*program_slot(real, i) = pins_open(real, "prog", matches[i].name);
		if (*program_slot(real, i) < 0)
			return *program_slot(real, i);
	}
	real->census = pins_open(real, "link", "sl_census");
	return MIN(real->census, 0);
}

static int adopt(struct real *real)
{
	int r = pins_has(real, "map", "complete") ? take_fail_class(real) : -ENOENT;

	if (r == 0)
		r = check_attached(real);
	if (r == 0)
		r = open_pinned(real);
	real->plane.was_adopted = r == 0;
	return r;
}

/* nothing was there before: what a failed step leaves is ours alone to take back */
static int install_anew(struct real *real, bool is_first, const char **ret_error)
{
	int r = install(real, ret_error);

	if (r < 0 && is_first)
		install_remove(real);
	return r;
}

static bool is_in_force(const struct real *real)
{
	return pins_has(real, "map", "complete") && attach_governs(real, attached[0]);
}

static int close_kept(int *kept, int r)
{
	for (unsigned int i = 0; i < PLANE_KEPT_MAX; i++)
		kept[i] = close_fd(kept[i]);
	return r;
}

int install_or_adopt(struct real *real, int *kept, const char **ret_error)
{
	bool was_empty = !pins_has(real, "map", "complete");
	int r = is_in_force(real) ? renew(real, ret_error) : 0;

	if (r < 0)
		return close_kept(kept, r);
	r = adopt(real);
	if (r < 0)
		install_close(real);
	else
		join_adopt(real, kept);
	(void)close_kept(kept, 0);
	if (r < 0)
		return install_anew(real, was_empty, ret_error);
	r = join_home(real, ret_error);
	if (!r && real->is_renewed)
		r = join_put_tables(real); /* the rules match by the new programs */
	return r < 0 ? r : install_write_config(real);
}

void install_remove(struct real *real)
{
	pins_remove(real, "map", "complete");
	pins_remove(real, "map", "stamp");
	for (size_t i = 0; i < ARRAY_SIZE(attached); i++)
		attach_remove(real, attached[i]);
	pins_remove(real, "link", "sl_census");
	join_remove_tables(real);
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
		pins_remove(real, "prog", matches[i].name);
	for (size_t i = 0; i < _MAP_N; i++)
		pins_remove(real, "map", map_names[i]);
}
