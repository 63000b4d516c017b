/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "base/macros.h"
#include "kernel/plane-ops.h"

int plane_open(const struct kernel *kernel, const struct plane_config *config, int *kept,
	       struct plane **ret_plane, const char **ret_error)
{
	struct plane *plane;
	int r = kernel->ops->open(kernel, config, kept, &plane, ret_error);

	if (r < 0)
		return r;
	plane->ops = kernel->ops;
	*ret_plane = plane;
	return 0;
}

struct plane *plane_close(struct plane *plane)
{
	if (plane)
		plane->ops->close(plane);
	return NULL;
}

void plane_remove(struct plane *plane)
{
	plane->ops->remove(plane);
}

bool plane_was_adopted(const struct plane *plane)
{
	return plane->was_adopted;
}

const char *plane_queue_kind(const struct plane *plane)
{
	return plane->queue_kind;
}

uint64_t plane_proxies_id(const struct plane *plane)
{
	return plane->proxies_id;
}

int plane_events_fd(const struct plane *plane)
{
	return plane->events_fd;
}

int plane_relax(struct plane *plane)
{
	return plane->ops->relax(plane);
}

int plane_peek(struct plane *plane)
{
	return plane->ops->peek(plane);
}

int plane_loopback(struct plane *plane, const struct sl_loopback *loopback)
{
	return plane->ops->loopback(plane, loopback);
}

const struct sl_loopback *plane_loopback_now(const struct plane *plane)
{
	return &plane->loopback;
}

/* ---- places ---- */

unsigned int plane_n_places(const struct plane *plane)
{
	return plane->n_places;
}

struct netns *plane_at(struct plane *plane, unsigned int place)
{
	return place < plane->n_places && plane->places[place].is_used ? &plane->places[place]
								       : NULL;
}

const struct netns *plane_netns(const struct plane *plane, unsigned int place)
{
	return plane_at((struct plane *)(uintptr_t)plane, place);
}

unsigned int plane_home(const struct plane *plane)
{
	return plane->home;
}

int plane_find_netns(const struct plane *plane, uint64_t cookie)
{
	for (unsigned int i = 0; i < plane->n_places; i++)
		if (plane->places[i].is_used && plane->places[i].cookie == cookie)
			return (int)i;
	return -ENOENT;
}

static unsigned int first_free(const struct plane *plane)
{
	unsigned int i = 0;

	while (i < plane->n_places && plane->places[i].is_used)
		i++;
	return i;
}

bool plane_is_full(const struct plane *plane)
{
	return first_free(plane) == PLANE_NETNS_MAX;
}

int plane_free_place(struct plane *plane)
{
	unsigned int i = first_free(plane);

	if (i == PLANE_NETNS_MAX)
		return -ENOSPC;
	if (i == plane->n_places)
		netns_clear(&plane->places[plane->n_places++]);
	return (int)i;
}

static int join(struct plane *plane, int place, uint64_t cookie, uint32_t inode,
		int sockets[_NETNS_SOCKET_N])
{
	struct netns *netns = &plane->places[place];
	int r;

	netns->cookie = cookie;
	netns->inode = inode;
	r = plane->ops->join(plane, netns, sockets);
	if (r < 0 && !netns->is_used)
		netns_close(netns);
	netns->is_used |= r == 0;
	return r < 0 ? r : place;
}

int plane_join(struct plane *plane, uint64_t cookie, uint32_t inode, int sockets[_NETNS_SOCKET_N])
{
	int place = plane_find_netns(plane, cookie), r;

	if (place < 0)
		place = plane_free_place(plane);
	r = place < 0 ? place : join(plane, place, cookie, inode, sockets);
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		sockets[i] = close_fd(sockets[i]);
	return r;
}

void plane_leave(struct plane *plane, unsigned int place)
{
	unsigned int n = 0;

	plane->ops->leave(plane, &plane->places[place]);
	netns_close(&plane->places[place]);
	for (unsigned int i = 0; i < plane->n_late; i++)
		if (plane->late[i].packet_id >> 32 != place)
			plane->late[n++] = plane->late[i];
	plane->n_late = n;
}

void plane_refuse(struct plane *plane, uint64_t cookie)
{
	plane->ops->refuse(plane, cookie);
}

void plane_forget(struct plane *plane, uint64_t cookie)
{
	plane->ops->forget(plane, cookie);
}

int plane_census(struct plane *plane, plane_census_fn fn, void *data)
{
	return plane->ops->census(plane, fn, data);
}

bool plane_was_touched(struct plane *plane, unsigned int place)
{
	return plane->ops->was_touched(plane, &plane->places[place]);
}

int plane_repair(struct plane *plane, unsigned int place)
{
	return plane->ops->repair(plane, &plane->places[place]);
}

/* ---- packets ---- */

int plane_read(struct plane *plane, unsigned int place, uint8_t *buffer,
	       struct queue_packet ret_packets[QUEUE_BATCH])
{
	struct netns *netns = plane_at(plane, place);
	int n = netns ? plane->ops->read(plane, netns, buffer, ret_packets) : -EAGAIN;

	for (int i = 0; i < n; i++) {
		ret_packets[i].netns = netns->cookie;
		ret_packets[i].id |= (uint64_t)place << 32;
	}
	return n;
}

static int answer(struct plane *plane, const struct late_answer *answer)
{
	struct netns *netns = plane_at(plane, (unsigned int)(answer->packet_id >> 32));

	return netns ? plane->ops->answer(plane, netns, (uint32_t)answer->packet_id,
					  answer->verdict, answer->mark)
		     : 0;
}

int plane_answer(struct plane *plane, uint64_t packet_id, enum queue_verdict verdict, uint32_t mark)
{
	struct late_answer given = { packet_id, verdict, mark };
	int r = answer(plane, &given);

	if (r == 0)
		return 0;
	if (plane->n_late == PLANE_LATE_MAX)
		return r;
	plane->late[plane->n_late++] = given;
	return 0;
}

unsigned int plane_n_late(const struct plane *plane)
{
	return plane->n_late;
}

unsigned int plane_answer_late(struct plane *plane)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < plane->n_late; i++)
		if (answer(plane, &plane->late[i]) < 0)
			plane->late[n++] = plane->late[i];
	plane->n_late = n;
	return n;
}

int plane_replace(struct plane *plane, uint64_t packet_id, uint32_t mark, const uint8_t *bytes,
		  size_t n_bytes)
{
	struct netns *netns = plane_at(plane, (unsigned int)(packet_id >> 32));

	return netns ? plane->ops->replace(plane, netns, (uint32_t)packet_id, mark, bytes, n_bytes)
		     : 0;
}

int plane_requeue(struct plane *plane)
{
	int r, error = 0;

	for (unsigned int i = 0; i < plane->n_places; i++) {
		if (!plane->places[i].wants_requeue)
			continue;
		r = plane->ops->requeue(plane, &plane->places[i]);
		plane->places[i].wants_requeue = r < 0;
		error = r < 0 ? r : error;
	}
	return error;
}

/* ---- maps ---- */

int plane_find_held(struct plane *plane, const struct sl_tuple *tuple, struct sl_held *ret_held)
{
	return plane->ops->find_held(plane, tuple, ret_held);
}

int plane_forget_held(struct plane *plane, struct sl_tuple *tuples, uint32_t n, uint64_t before_ns,
		      uint32_t *ret_n)
{
	*ret_n = 0;
	return plane->ops->forget_held(plane, tuples, n, before_ns, ret_n);
}

struct sl_order *plane_order(const struct plane *plane, uint64_t netns)
{
	return plane->orders ? &plane->orders[sl_order_of(netns)] : NULL;
}

int plane_find_proc(struct plane *plane, const struct sl_who *who, struct sl_proc *ret_proc)
{
	struct sl_proc_key key = { .start_ns = who->start_ns,
				   .exe_ino = who->exe_ino,
				   .pid = who->pid,
				   .exe_dev = who->exe_dev,
				   .exec_id = who->exec_id };

	return plane->ops->find_proc(plane, &key, ret_proc);
}

int plane_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path)
{
	return plane->ops->find_cgroup(plane, id, ret_path);
}

int plane_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie)
{
	return plane->ops->find_query(plane, tuple, ret_cookie);
}

int plane_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock)
{
	return plane->ops->find_sock(plane, cookie, ret_sock);
}

int plane_set_flow(struct plane *plane, const struct sl_flow_key *key, const struct sl_flow *flow)
{
	return plane->ops->set_flow(plane, key, flow);
}

int plane_get_flow(struct plane *plane, const struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	return plane->ops->get_flow(plane, key, ret_flow);
}

int plane_forget_flow(struct plane *plane, const struct sl_flow_key *key)
{
	return plane->ops->forget_flow(plane, key);
}

int plane_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow)
{
	return plane->ops->next_flow(plane, key, ret_flow);
}

int plane_set_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie)
{
	return plane->ops->set_peek(plane, tuple, cookie);
}

int plane_find_peek(struct plane *plane, const struct sl_tuple *tuple, struct sl_peek *ret_peek)
{
	return plane->ops->find_peek(plane, tuple, ret_peek);
}

int plane_forget_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie)
{
	return plane->ops->forget_peek(plane, tuple, cookie);
}

int plane_hold_again(struct plane *plane, uint64_t cookie)
{
	return plane->ops->hold_again(plane, cookie);
}

int plane_set_memory(struct plane *plane, const struct sl_memory_key *key,
		     const struct sl_memory *memory)
{
	return plane->ops->set_memory(plane, key, memory);
}

int plane_get_memory(struct plane *plane, const struct sl_memory_key *key,
		     struct sl_memory *ret_memory)
{
	return plane->ops->get_memory(plane, key, ret_memory);
}

int plane_forget_memory(struct plane *plane, const struct sl_memory_key *key)
{
	return plane->ops->forget_memory(plane, key);
}

int plane_renew(struct plane *plane, uint32_t generation)
{
	return plane->ops->renew(plane, generation);
}

int plane_generation(struct plane *plane, uint32_t *ret_generation)
{
	return plane->ops->generation(plane, ret_generation);
}

int plane_secret(struct plane *plane, uint64_t ret_secret[2])
{
	return plane->ops->secret(plane, ret_secret);
}

int plane_drain(struct plane *plane, plane_event_fn fn, void *data)
{
	return plane->ops->drain(plane, fn, data);
}

int plane_read_link(struct plane *plane, uint64_t cookie, uint32_t ifindex, struct link *ret_link)
{
	int place = plane_find_netns(plane, cookie);

	return place < 0 ? place
			 : plane->ops->read_link(plane, &plane->places[place], ifindex, ret_link);
}
