/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/macros.h"
#include "kernel/nft.h"
#include "kernel/plane.h"
#include "sluice.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* linux 5.14 */
#endif
#define QUEUE_FIRST 0x5c00 /* away from 0, where other programs begin */

/**
 * DOC: Install and adopt
 *
 * Pins under the instance's bpffs folder:
 *
 *	map_NAME, prog_NAME (the nft matches), link_NAME (cgroup attachments)
 *
 * and, last of all, `complete`: a plane without it was being installed when
 * its daemon died, and is installed anew.
 */
enum plane_map {
	MAP_SOCKS,
	MAP_PROCS,
	MAP_CGROUPS,
	MAP_HELD,
	MAP_FLOWS,
	MAP_RESOLVING,
	MAP_CONFIG,
	MAP_EVENTS,
	_MAP_N,
};

static const char *const map_names[] = {
	[MAP_SOCKS] = "sl_socks",	  [MAP_PROCS] = "sl_procs",   [MAP_CGROUPS] = "sl_cgroups",
	[MAP_HELD] = "sl_held",		  [MAP_FLOWS] = "sl_flows",   [MAP_RESOLVING] = "sl_resolving",
	[MAP_CONFIG] = "sl_config",	  [MAP_EVENTS] = "sl_events",
};
_Static_assert(ARRAY_SIZE(map_names) == _MAP_N, "map_names");

/* programs on the cgroup; the rest are matches of the nft table */
static const char *const attached[] = {
	"sl_create",   "sl_release",  "sl_bind4",    "sl_bind6",   "sl_connect4",
	"sl_connect6", "sl_sendmsg4", "sl_sendmsg6", "sl_sockops",
};

static const struct {
	const char *name;
	size_t offset;
} matches[] = {
	{ "sl_out_held", offsetof(struct nft_programs, out_held) },
	{ "sl_out_ours", offsetof(struct nft_programs, out_ours) },
	{ "sl_out_denied", offsetof(struct nft_programs, out_denied) },
	{ "sl_out_silent", offsetof(struct nft_programs, out_silent) },
	{ "sl_out_query", offsetof(struct nft_programs, out_query) },
	{ "sl_in_held", offsetof(struct nft_programs, in_held) },
	{ "sl_in_ours", offsetof(struct nft_programs, in_ours) },
	{ "sl_in_denied", offsetof(struct nft_programs, in_denied) },
	{ "sl_in_silent", offsetof(struct nft_programs, in_silent) },
	{ "sl_in_answer", offsetof(struct nft_programs, in_answer) },
};

struct plane {
	char instance[32];
	char cgroup[512];
	char bpffs[256];
	int maps[_MAP_N];
	struct nft_plan nft;
	int queue_fd;
	bool was_adopted;
	struct ring_buffer *ring;
	plane_event_fn event_fn;
	unsigned int n_events; /* of this round */
	void *event_data;
};

static int *program_slot(struct plane *plane, size_t i)
{
	return (int *)(void *)((char *)&plane->nft.programs + matches[i].offset);
}

static void pin_path(const struct plane *plane, const char *kind, const char *name, char *path,
		     size_t n)
{
	snprintf(path, n, "%s/%s_%s", plane->bpffs, kind, name);
}

static int pin(const struct plane *plane, const char *kind, const char *name, int fd)
{
	char path[512];

	pin_path(plane, kind, name, path, sizeof(path));
	(void)unlink(path);
	return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

static int open_pin(const struct plane *plane, const char *kind, const char *name)
{
	char path[512];
	int fd;

	pin_path(plane, kind, name, path, sizeof(path));
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

static void unpin(const struct plane *plane, const char *kind, const char *name)
{
	char path[512];

	pin_path(plane, kind, name, path, sizeof(path));
	(void)unlink(path);
}

static int attach(struct plane *plane, struct bpf_object *object, int cgroup_fd, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	_cleanup_close_ int link = -1;

	if (!program)
		return -ENOENT;
	link = bpf_link_create(bpf_program__fd(program), cgroup_fd,
			       bpf_program__expected_attach_type(program), NULL);
	if (link < 0)
		return -errno;
	return pin(plane, "link", name, link);
}

static int keep_maps(struct plane *plane, struct bpf_object *object)
{
	for (size_t i = 0; i < _MAP_N; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, map_names[i]);
		int r;

		if (!map)
			return -ENOENT;
		r = pin(plane, "map", map_names[i], bpf_map__fd(map));
		if (r < 0)
			return r;
		plane->maps[i] = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
		if (plane->maps[i] < 0)
			return -errno;
	}
	return 0;
}

static int keep_matches(struct plane *plane, struct bpf_object *object)
{
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		struct bpf_program *program =
			bpf_object__find_program_by_name(object, matches[i].name);
		int r;

		if (!program)
			return -ENOENT;
		r = pin(plane, "prog", matches[i].name, bpf_program__fd(program));
		if (r < 0)
			return r;
		*program_slot(plane, i) = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3);
		if (*program_slot(plane, i) < 0)
			return -errno;
	}
	return 0;
}

static int netns_cookie(uint64_t *ret_cookie)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(*ret_cookie);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &n) < 0)
		return -errno;
	return 0;
}

static int write_config(struct plane *plane)
{
	struct sl_config config = { .is_closed = plane->nft.is_closed,
				    .queue_num = plane->nft.queue_num };
	uint64_t cookie;
	uint32_t zero = 0;
	int r = netns_cookie(&cookie);

	if (r < 0)
		return r;
	config.netns_cookie = cookie;
	return bpf_map_update_elem(plane->maps[MAP_CONFIG], &zero, &config, BPF_ANY) < 0 ? -errno : 0;
}

static void cleanup_skeleton(struct sluice_bpf **skeleton)
{
	sluice_bpf__destroy(*skeleton);
}

static int attach_all(struct plane *plane, struct bpf_object *object)
{
	_cleanup_close_ int cgroup_fd = open(plane->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (cgroup_fd < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(attached) && !r; i++)
		r = attach(plane, object, cgroup_fd, attached[i]);
	return r;
}

static int install(struct plane *plane, const char **ret_error)
{
	_cleanup_(cleanup_skeleton) struct sluice_bpf *skeleton = NULL;
	int r;

	*ret_error = "loading BPF programs";
	skeleton = sluice_bpf__open_and_load();
	if (!skeleton)
		return -errno;
	*ret_error = "pinning BPF maps";
	r = keep_maps(plane, skeleton->obj);
	if (!r)
		r = keep_matches(plane, skeleton->obj);
	if (r < 0)
		return r;
	*ret_error = "writing the configuration map";
	r = write_config(plane);
	if (r < 0)
		return r;
	*ret_error = "installing the nftables table";
	plane->nft.has_native = nft_probe_native_queue(plane->instance);
	r = nft_install(&plane->nft);
	if (r < 0)
		return r;
	*ret_error = "attaching BPF programs to the cgroup";
	r = attach_all(plane, skeleton->obj);
	if (r < 0)
		return r;
	return pin(plane, "map", "complete", plane->maps[MAP_CONFIG]);
}

/* a cgroup may be removed under its links: they stay pinned and do nothing */
static int check_link(const struct plane *plane, const char *name, uint64_t cgroup_id)
{
	_cleanup_close_ int fd = open_pin(plane, "link", name);
	struct bpf_link_info info = { 0 };
	uint32_t n = sizeof(info);

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &n) < 0)
		return -errno;
	return info.cgroup.cgroup_id == cgroup_id ? 0 : -ESTALE;
}

static int adopt(struct plane *plane)
{
	struct stat st;
	int fd = open_pin(plane, "map", "complete");

	if (fd < 0)
		return fd;
	close_fd(fd);
	if (stat(plane->cgroup, &st) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(attached); i++) {
		int r = check_link(plane, attached[i], st.st_ino);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < _MAP_N; i++) {
		plane->maps[i] = open_pin(plane, "map", map_names[i]);
		if (plane->maps[i] < 0)
			return plane->maps[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		*program_slot(plane, i) = open_pin(plane, "prog", matches[i].name);
		if (*program_slot(plane, i) < 0)
			return *program_slot(plane, i);
	}
	plane->nft.has_native = nft_probe_native_queue(plane->instance);
	plane->was_adopted = true;
	return 0;
}

static int on_event(void *data, void *bytes, size_t n)
{
	struct plane *plane = data;

	if (n >= sizeof(struct sl_event))
		plane->event_fn(bytes, plane->event_data);
	return ++plane->n_events < PLANE_EVENTS_A_ROUND ? 0 : -EAGAIN; /* this one is consumed */
}

/* with the predecessor's queue its packets come back; without, begin a new one */
static int take_queue(struct plane *plane, int kept_fd)
{
	struct sl_config config;
	uint32_t zero = 0;
	int r;

	if (bpf_map_lookup_elem(plane->maps[MAP_CONFIG], &zero, &config) < 0)
		return -errno;
	if (kept_fd >= 0) {
		plane->queue_fd = kept_fd;
		plane->nft.queue_num = (uint16_t)config.queue_num;
		return 0;
	}
	r = queue_open(QUEUE_FIRST, &plane->queue_fd, &plane->nft.queue_num);
	if (!r)
		r = write_config(plane);
	return r < 0 ? r : nft_install(&plane->nft);
}

static struct plane *plane_new(const struct plane_config *config)
{
	struct plane *plane = calloc(1, sizeof(*plane));

	if (!plane)
		return NULL;
	snprintf(plane->instance, sizeof(plane->instance), "%s", config->instance);
	snprintf(plane->cgroup, sizeof(plane->cgroup), "%s", config->cgroup);
	snprintf(plane->bpffs, sizeof(plane->bpffs), "%s", config->bpffs);
	plane->nft.instance = plane->instance;
	plane->nft.is_closed = config->is_closed;
	plane->queue_fd = -1;
	for (size_t i = 0; i < _MAP_N; i++)
		plane->maps[i] = -1;
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
		*program_slot(plane, i) = -1;
	return plane;
}

static void cleanup_plane(struct plane **plane)
{
	*plane = plane_close(*plane);
}

static int adopt_or_install(struct plane *plane, int kept_fd, const char **ret_error)
{
	int r = adopt(plane);

	*ret_error = "adopting the queue";
	if (!r)
		return take_queue(plane, kept_fd);
	close_fd(kept_fd);
	*ret_error = "opening a netfilter queue";
	r = queue_open(QUEUE_FIRST, &plane->queue_fd, &plane->nft.queue_num);
	return r < 0 ? r : install(plane, ret_error);
}

int plane_open(const struct plane_config *config, int queue_fd, struct plane **ret_plane,
	       const char **ret_error)
{
	_cleanup_(cleanup_plane) struct plane *plane = plane_new(config);
	int r;

	*ret_error = "allocating the plane";
	if (!plane) {
		close_fd(queue_fd);
		return -ENOMEM;
	}
	r = adopt_or_install(plane, queue_fd, ret_error);
	if (r < 0)
		return r;
	*ret_error = "opening the event ring";
	plane->ring = ring_buffer__new(plane->maps[MAP_EVENTS], on_event, plane, NULL);
	if (!plane->ring)
		return -errno;
	*ret_plane = TAKE_PTR(plane);
	return 0;
}

struct plane *plane_close(struct plane *plane)
{
	if (!plane)
		return NULL;
	ring_buffer__free(plane->ring);
	close_fd(plane->queue_fd);
	for (size_t i = 0; i < _MAP_N; i++)
		close_fd(plane->maps[i]);
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
		close_fd(*program_slot(plane, i));
	free(plane);
	return NULL;
}

void plane_remove(struct plane *plane)
{
	unpin(plane, "map", "complete");
	for (size_t i = 0; i < ARRAY_SIZE(attached); i++)
		unpin(plane, "link", attached[i]);
	(void)nft_remove(plane->instance);
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
		unpin(plane, "prog", matches[i].name);
	for (size_t i = 0; i < _MAP_N; i++)
		unpin(plane, "map", map_names[i]);
}

bool plane_was_adopted(const struct plane *plane)
{
	return plane->was_adopted;
}

int plane_queue_fd(const struct plane *plane)
{
	return plane->queue_fd;
}

const char *plane_queue_kind(const struct plane *plane)
{
	return plane->nft.has_native ? "native" : "compat";
}

int plane_check(struct plane *plane)
{
	int r = nft_exists(plane->instance);

	if (r)
		return r < 0 ? r : 0;
	r = nft_install(&plane->nft);
	return r < 0 ? r : 1;
}

int plane_reinstall(struct plane *plane)
{
	return nft_install(&plane->nft);
}

int plane_read(struct plane *plane, uint8_t *buffer, struct queue_packet *ret_packet)
{
	return queue_read(plane->queue_fd, buffer, ret_packet);
}

int plane_answer(struct plane *plane, uint32_t packet_id, enum queue_verdict verdict, uint32_t mark)
{
	return queue_answer(plane->queue_fd, plane->nft.queue_num, packet_id, verdict, mark);
}

int plane_requeue(struct plane *plane)
{
	return queue_requeue(plane->queue_fd, plane->nft.queue_num);
}

static int lookup(struct plane *plane, enum plane_map map, const void *key, void *value)
{
	return bpf_map_lookup_elem(plane->maps[map], key, value) < 0 ? -errno : 0;
}

int plane_find_held(struct plane *plane, const struct sl_tuple *tuple, struct sl_held *ret_held)
{
	return lookup(plane, MAP_HELD, tuple, ret_held);
}

int plane_find_proc(struct plane *plane, const struct sl_who *who, struct sl_proc *ret_proc)
{
	struct sl_proc_key key = { .start_ns = who->start_ns,
				   .exe_ino = who->exe_ino,
				   .pid = who->pid,
				   .exe_dev = who->exe_dev,
				   .exec_id = who->exec_id };

	return lookup(plane, MAP_PROCS, &key, ret_proc);
}

int plane_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path)
{
	return lookup(plane, MAP_CGROUPS, &id, ret_path);
}

int plane_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie)
{
	return lookup(plane, MAP_RESOLVING, tuple, ret_cookie);
}

int plane_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock)
{
	return lookup(plane, MAP_SOCKS, &cookie, ret_sock);
}

int plane_set_flow(struct plane *plane, const struct sl_flow_key *key, const struct sl_flow *flow)
{
	return bpf_map_update_elem(plane->maps[MAP_FLOWS], key, flow, BPF_ANY) < 0 ? -errno : 0;
}

int plane_get_flow(struct plane *plane, const struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	return lookup(plane, MAP_FLOWS, key, ret_flow);
}

int plane_forget_flow(struct plane *plane, const struct sl_flow_key *key)
{
	return bpf_map_delete_elem(plane->maps[MAP_FLOWS], key) < 0 ? -errno : 0;
}

int plane_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	static const struct sl_flow_key none;
	struct sl_flow_key next;
	const struct sl_flow_key *from = memcmp(key, &none, sizeof(none)) ? key : NULL;

	while (bpf_map_get_next_key(plane->maps[MAP_FLOWS], from, &next) == 0) {
		*key = next;
		from = key;
		if (lookup(plane, MAP_FLOWS, key, ret_flow) == 0)
			return 0;
	}
	return -ENOENT;
}

int plane_drain(struct plane *plane, plane_event_fn fn, void *data)
{
	int r;

	plane->event_fn = fn;
	plane->event_data = data;
	plane->n_events = 0;
	r = ring_buffer__consume(plane->ring);
	if (r == -EAGAIN)
		return 1;
	return r < 0 ? r : 0;
}
