/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The real kernel
 *
 * Maps by bpf(2), the queue and links by netlink. What puts all of it there
 * and takes it away again is install.c.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/macros.h"
#include "kernel/diag.h"
#include "kernel/real.h"

#define CROWDS_BYTES (SL_CROWDS * sizeof(struct sl_crowd))

static int on_event(void *data, void *bytes, size_t n)
{
	struct real *real = data;

	if (n >= sizeof(struct sl_event))
		real->event_fn(bytes, real->event_data);
	return ++real->n_events < PLANE_EVENTS_A_ROUND ? 0 : -EAGAIN; /* this one is consumed */
}

static struct real *real_of(struct plane *plane)
{
	return CONTAINER_OF(plane, struct real, plane);
}

static struct real *real_new(const struct plane_config *config)
{
	struct real *real = calloc(1, sizeof(*real));

	if (!real)
		return NULL;
	snprintf(real->instance, sizeof(real->instance), "%s", config->instance);
	snprintf(real->cgroup, sizeof(real->cgroup), "%s", config->cgroup);
	snprintf(real->bpffs, sizeof(real->bpffs), "%s", config->bpffs);
	real->nft.instance = real->instance;
	real->nft.is_closed = config->is_closed;
	real->canary_uid = config->canary_uid;
	install_begin(real);
	return real;
}

static void real_free(struct real *real)
{
	if (!real)
		return;
	ring_buffer__free(real->ring);
	if (real->crowds)
		munmap(real->crowds, CROWDS_BYTES);
	install_close(real);
	free(real);
}

static void cleanup_real(struct real **real)
{
	real_free(*real);
}

/* what a predecessor had not read is queued again, and counted again */
static void map_crowds(struct real *real)
{
	void *at = mmap(NULL, CROWDS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			real->maps[MAP_CROWDS], 0);

	if (at == MAP_FAILED)
		return;
	real->crowds = at;
	memset(at, 0, CROWDS_BYTES);
}

static int real_open(const struct kernel *kernel, const struct plane_config *config, int *kept,
		     struct plane **ret_plane, const char **ret_error)
{
	_cleanup_(cleanup_real) struct real *real = real_new(config);
	int r;

	*ret_error = "allocating the plane";
	if (!real)
		return -ENOMEM;
	r = install_or_adopt(real, kept, ret_error);
	if (r < 0)
		return r;
	real->plane.queue_kind = real->nft.has_native ? "native" : "compat";
	*ret_error = "opening the event ring";
	real->ring = ring_buffer__new(real->maps[MAP_EVENTS], on_event, real, NULL);
	if (!real->ring) {
		r = -errno;
		if (!real->plane.was_adopted)
			install_remove(real);
		return r;
	}
	real->plane.events_fd = ring_buffer__epoll_fd(real->ring); /* the ring's own */
	map_crowds(real);
	*ret_plane = &TAKE_PTR(real)->plane;
	return 0;
}

static void real_close(struct plane *plane)
{
	real_free(real_of(plane));
}

static void real_remove(struct plane *plane)
{
	install_remove(real_of(plane));
}

static int real_relax(struct plane *plane)
{
	return install_relax(real_of(plane));
}

static int real_join(struct plane *plane, struct netns *netns, int sockets[_NETNS_SOCKET_N])
{
	return join(real_of(plane), netns, sockets);
}

static void real_leave(struct plane *plane, struct netns *netns)
{
	join_leave(real_of(plane), netns);
}

static void real_refuse(struct plane *plane, uint64_t cookie)
{
	join_refuse(real_of(plane), cookie);
}

static void real_forget(struct plane *plane, uint64_t cookie)
{
	join_forget(real_of(plane), cookie);
}

static int real_census(struct plane *plane, plane_census_fn fn, void *data)
{
	return join_census(real_of(plane), fn, data);
}

static bool real_was_touched(struct plane *plane, struct netns *netns)
{
	return repair_was_touched(real_of(plane), netns);
}

static int real_repair(struct plane *plane, struct netns *netns)
{
	/* else it is a predecessor's, and its time comes */
	return netns_is_whole(netns) ? repair(real_of(plane), netns) : 0;
}

static int real_read(struct plane *plane, struct netns *netns, uint8_t *buffer,
		     struct queue_packet ret_packets[QUEUE_BATCH])
{
	return queue_read(netns->sockets[NETNS_QUEUE], buffer, ret_packets);
}

static int real_answer(struct plane *plane, struct netns *netns, uint32_t packet_id,
		       enum queue_verdict verdict, uint32_t mark)
{
	return queue_answer(netns->sockets[NETNS_QUEUE], netns->queue_num, packet_id, verdict,
			    mark);
}

static int real_replace(struct plane *plane, struct netns *netns, uint32_t packet_id, uint32_t mark,
			const uint8_t *bytes, size_t n_bytes)
{
	return queue_replace(netns->sockets[NETNS_QUEUE], netns->queue_num, packet_id, mark, bytes,
			     n_bytes);
}

static int real_requeue(struct plane *plane, struct netns *netns)
{
	return queue_requeue(netns->sockets[NETNS_QUEUE], netns->queue_num);
}

static int lookup(struct plane *plane, enum plane_map map, const void *key, void *value)
{
	return bpf_map_lookup_elem(real_of(plane)->maps[map], key, value) < 0 ? -errno : 0;
}

/* BPF adds to it at the same time, and begins anew at 0 now and then */
static void leave_crowd(struct real *real, uint32_t uid)
{
	uint32_t *n = &real->crowds[sl_crowd_of(uid)].n;
	uint32_t before = __atomic_load_n(n, __ATOMIC_RELAXED);

	while (before > 0 && !__atomic_compare_exchange_n(n, &before, before - 1, true,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static int real_find_held(struct plane *plane, const struct sl_tuple *tuple,
			  struct sl_held *ret_held)
{
	struct real *real = real_of(plane);
	int r = lookup(plane, MAP_HELD, tuple, ret_held);

	if (r == 0 && real->crowds && ret_held->dir == SL_DIR_OUT)
		leave_crowd(real, ret_held->sock.user.uid);
	return r;
}

static int real_forget_held(struct plane *plane, const struct sl_tuple *tuple)
{
	return bpf_map_delete_elem(real_of(plane)->maps[MAP_HELD], tuple) < 0 ? -errno : 0;
}

static int real_find_proc(struct plane *plane, const struct sl_proc_key *key,
			  struct sl_proc *ret_proc)
{
	return lookup(plane, MAP_PROCS, key, ret_proc);
}

static int real_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path)
{
	return lookup(plane, MAP_CGROUPS, &id, ret_path);
}

static int real_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie)
{
	struct sl_query query;
	int r = lookup(plane, MAP_RESOLVING, tuple, &query);

	if (r == 0)
		*ret_cookie = query.cookie;
	return r;
}

static int real_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock)
{
	return lookup(plane, MAP_SOCKS, &cookie, ret_sock);
}

static int real_set_flow(struct plane *plane, const struct sl_flow_key *key,
			 const struct sl_flow *flow)
{
	int fd = real_of(plane)->maps[MAP_FLOWS];

	return bpf_map_update_elem(fd, key, flow, BPF_ANY) < 0 ? -errno : 0;
}

static int real_get_flow(struct plane *plane, const struct sl_flow_key *key,
			 struct sl_flow *ret_flow)
{
	return lookup(plane, MAP_FLOWS, key, ret_flow);
}

static int real_forget_flow(struct plane *plane, const struct sl_flow_key *key)
{
	return bpf_map_delete_elem(real_of(plane)->maps[MAP_FLOWS], key) < 0 ? -errno : 0;
}

static int real_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	static const struct sl_flow_key none;
	const struct sl_flow_key *from = memcmp(key, &none, sizeof(none)) ? key : NULL;
	int fd = real_of(plane)->maps[MAP_FLOWS];
	struct sl_flow_key next;

	while (bpf_map_get_next_key(fd, from, &next) == 0) {
		*key = next;
		from = key;
		if (lookup(plane, MAP_FLOWS, key, ret_flow) == 0)
			return 0;
	}
	return -ENOENT;
}

/* another socket may have the same ends by now, or have had them all along (SO_REUSEPORT) */
static bool is_meant(struct plane *plane, const struct plane_end *end,
		     const struct diag_socket *found)
{
	struct sl_sock sock;

	if (end->tuple.proto == IPPROTO_UDP)
		return found->cookie == end->cookie && found->is_connected;
	if (!end->is_inbound)
		return found->cookie == end->cookie;
	if (found->is_opening) /* no socket of its own yet; its SYN was the flow's */
		return true;
	return found->cookie != end->cookie && real_find_sock(plane, found->cookie, &sock) == 0 &&
	       sock.listener == end->cookie;
}

static int real_destroy(struct plane *plane, struct netns *netns, const struct plane_end *end)
{
	int sock = netns->sockets[NETNS_DIAG];
	struct diag_socket found;
	int r = diag_find(sock, &end->tuple, end->ifindex, &found);

	if (r < 0)
		return r;
	return is_meant(plane, end, &found) ? diag_destroy(sock, &end->tuple, &found) : -ENOENT;
}

/* what a program in the kernel writes into the record meanwhile may be lost: this is done only
 * where sockets cannot be destroyed */
static int real_hold_again(struct plane *plane, uint64_t cookie)
{
	int fd = real_of(plane)->maps[MAP_SOCKS];
	struct sl_sock sock;
	int r = lookup(plane, MAP_SOCKS, &cookie, &sock);

	if (r < 0)
		return r;
	sock.flags &= ~(uint32_t)SL_SOCK_ALLOWED;
	return bpf_map_update_elem(fd, &cookie, &sock, BPF_EXIST) < 0 ? -errno : 0;
}

static int real_set_memory(struct plane *plane, const struct sl_memory_key *key,
			   const struct sl_memory *memory)
{
	int fd = real_of(plane)->maps[MAP_MEMORY];

	return bpf_map_update_elem(fd, key, memory, BPF_ANY) < 0 ? -errno : 0;
}

static int real_get_memory(struct plane *plane, const struct sl_memory_key *key,
			   struct sl_memory *ret_memory)
{
	return lookup(plane, MAP_MEMORY, key, ret_memory);
}

static int real_forget_memory(struct plane *plane, const struct sl_memory_key *key)
{
	return bpf_map_delete_elem(real_of(plane)->maps[MAP_MEMORY], key) < 0 ? -errno : 0;
}

static int real_generation(struct plane *plane, uint32_t *ret_generation)
{
	struct sl_config config;
	uint32_t zero = 0;
	int r = lookup(plane, MAP_CONFIG, &zero, &config);

	if (r == 0)
		*ret_generation = config.generation;
	return r;
}

static int real_secret(struct plane *plane, uint64_t ret_secret[2])
{
	struct sl_config config;
	uint32_t zero = 0;
	int r = lookup(plane, MAP_CONFIG, &zero, &config);

	if (r == 0)
		memcpy(ret_secret, config.secret, sizeof(config.secret));
	return r;
}

static int real_renew(struct plane *plane, uint32_t generation)
{
	int fd = real_of(plane)->maps[MAP_CONFIG];
	struct sl_config config;
	uint32_t zero = 0;
	int r = lookup(plane, MAP_CONFIG, &zero, &config);

	if (r < 0)
		return r;
	config.generation = generation;
	return bpf_map_update_elem(fd, &zero, &config, BPF_ANY) < 0 ? -errno : 0;
}

static int real_drain(struct plane *plane, plane_event_fn fn, void *data)
{
	struct real *real = real_of(plane);
	int r;

	real->event_fn = fn;
	real->event_data = data;
	real->n_events = 0;
	r = ring_buffer__consume(real->ring);
	if (r == -EAGAIN)
		return 1;
	return r < 0 ? r : 0;
}

static int real_read_link(struct plane *plane, struct netns *netns, uint32_t ifindex,
			  struct link *ret_link)
{
	return link_read(netns->sockets[NETNS_ROUTE], ifindex, ret_link);
}

static const struct plane_ops real_ops = {
	.open = real_open,
	.close = real_close,
	.remove = real_remove,
	.relax = real_relax,
	.join = real_join,
	.leave = real_leave,
	.refuse = real_refuse,
	.forget = real_forget,
	.census = real_census,
	.was_touched = real_was_touched,
	.repair = real_repair,
	.read = real_read,
	.answer = real_answer,
	.replace = real_replace,
	.requeue = real_requeue,
	.find_held = real_find_held,
	.forget_held = real_forget_held,
	.find_proc = real_find_proc,
	.find_cgroup = real_find_cgroup,
	.find_query = real_find_query,
	.find_sock = real_find_sock,
	.set_flow = real_set_flow,
	.get_flow = real_get_flow,
	.forget_flow = real_forget_flow,
	.next_flow = real_next_flow,
	.destroy = real_destroy,
	.hold_again = real_hold_again,
	.set_memory = real_set_memory,
	.get_memory = real_get_memory,
	.forget_memory = real_forget_memory,
	.renew = real_renew,
	.generation = real_generation,
	.secret = real_secret,
	.drain = real_drain,
	.read_link = real_read_link,
};

const struct kernel kernel_real = { .ops = &real_ops };
