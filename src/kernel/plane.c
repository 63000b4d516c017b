/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "base/macros.h"
#include "kernel/plane-ops.h"

int plane_open(const struct kernel *kernel, const struct plane_config *config, int queue_fd,
	       struct plane **ret_plane, const char **ret_error)
{
	struct plane *plane;
	int r = kernel->ops->open(kernel, config, queue_fd, &plane, ret_error);

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

int plane_queue_fd(const struct plane *plane)
{
	return plane->queue_fd;
}

const char *plane_queue_kind(const struct plane *plane)
{
	return plane->queue_kind;
}

int plane_watch_fd(const struct plane *plane)
{
	return plane->watch_fd;
}

bool plane_was_touched(struct plane *plane)
{
	return plane->ops->was_touched(plane);
}

int plane_relax(struct plane *plane)
{
	return plane->ops->relax(plane);
}

int plane_repair(struct plane *plane)
{
	return plane->ops->repair(plane);
}

int plane_read(struct plane *plane, uint8_t *buffer, struct queue_packet *ret_packet)
{
	return plane->ops->read(plane, buffer, ret_packet);
}

int plane_answer(struct plane *plane, uint32_t packet_id, enum queue_verdict verdict, uint32_t mark)
{
	int r = plane->ops->answer(plane, packet_id, verdict, mark);

	if (r == 0)
		return 0;
	if (plane->n_late == PLANE_LATE_MAX)
		return r;
	plane->late[plane->n_late++] = (struct late_answer){ packet_id, verdict, mark };
	return 0;
}

unsigned int plane_answer_late(struct plane *plane)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < plane->n_late; i++) {
		const struct late_answer *late = &plane->late[i];

		if (plane->ops->answer(plane, late->packet_id, late->verdict, late->mark) < 0)
			plane->late[n++] = *late;
	}
	plane->n_late = n;
	return n;
}

int plane_replace(struct plane *plane, uint32_t packet_id, uint32_t mark, const uint8_t *bytes,
		  size_t n_bytes)
{
	return plane->ops->replace(plane, packet_id, mark, bytes, n_bytes);
}

int plane_requeue(struct plane *plane)
{
	return plane->ops->requeue(plane);
}

int plane_find_held(struct plane *plane, const struct sl_tuple *tuple, struct sl_held *ret_held)
{
	return plane->ops->find_held(plane, tuple, ret_held);
}

int plane_forget_held(struct plane *plane, const struct sl_tuple *tuple)
{
	return plane->ops->forget_held(plane, tuple);
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

int plane_destroy(struct plane *plane, const struct plane_end *end)
{
	return plane->ops->destroy(plane, end);
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

int plane_drain(struct plane *plane, plane_event_fn fn, void *data)
{
	return plane->ops->drain(plane, fn, data);
}

int plane_read_link(struct plane *plane, uint32_t ifindex, struct link *ret_link)
{
	return plane->ops->read_link(plane, ifindex, ret_link);
}
