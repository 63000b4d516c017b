/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The real kernel
 *
 * Maps by bpf(2) (real-maps.c), the queue and links by netlink. What puts all of it
 * there and takes it away again is install.c.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/macros.h"
#include "kernel/diag.h"
#include "kernel/real.h"

static int on_event(void *data, void *bytes, size_t n)
{
	struct real *real = data;

	if (n >= sizeof(struct sl_event))
		real->event_fn(bytes, real->event_data);
	return ++real->n_events < PLANE_EVENTS_A_ROUND ? 0 : -EAGAIN; /* this one is consumed */
}

static struct real *real_new(const struct plane_config *config)
{
	struct real *real = calloc(1, sizeof(*real));

	if (!real)
		return NULL;
	snprintf(real->instance, sizeof(real->instance), "%s", config->instance);
	snprintf(real->cgroup, sizeof(real->cgroup), "%s", config->cgroup);
	snprintf(real->bpffs, sizeof(real->bpffs), "%s", config->bpffs);
	if (config->proxies)
		snprintf(real->proxies, sizeof(real->proxies), "%s", config->proxies);
	real->nft.governs_proxies = config->proxies != NULL;
	real->nft.instance = real->instance;
	real->nft.is_closed = config->is_closed;
	real->has_proxies = config->has_proxies;
	real->canary_uid = config->canary_uid;
	install_begin(real);
	return real;
}

static void real_free(struct real *real)
{
	if (!real)
		return;
	ring_buffer__free(real->ring);
	real_unmap_counts(real);
	packets_unmap_places(real);
	install_close(real);
	free(real);
}

static void cleanup_real(struct real **real)
{
	real_free(*real);
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
	*ret_error = "mapping the places of packets";
	r = packets_map_places(real);
	if (r < 0) {
		if (!real->plane.was_adopted)
			install_remove(real);
		return r;
	}
	real->plane.events_fd = ring_buffer__epoll_fd(real->ring); /* the ring's own */
	real_map_counts(real);
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

static int real_peek(struct plane *plane)
{
	return install_peek(real_of(plane));
}

static int real_loopback(struct plane *plane, const struct sl_loopback *loopback)
{
	return install_loopback(real_of(plane), loopback);
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

static void real_count(struct plane *plane, struct netns *netns, const struct plane_end *ends,
		       unsigned int n, struct plane_count *ret_counts)
{
	struct diag_socket found[PLANE_COUNTS_MAX];

	diag_count(netns->sockets[NETNS_DIAG], ends, n, found, ret_counts);
	for (unsigned int i = 0; i < n; i++)
		if (ret_counts[i].error == 0 && !is_meant(plane, &ends[i], &found[i]))
			ret_counts[i].error = -ENOENT;
}

static void real_end_rests(struct plane *plane, struct netns *netns, const struct plane_end *ends,
			   unsigned int n)
{
	diag_end_rests(netns->sockets[NETNS_DIAG], ends, n);
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
	.peek = real_peek,
	.loopback = real_loopback,
	.divert = real_divert,
	.accept = real_accept,
	.receive = real_receive,
	.connect_datagrams = real_connect_datagrams,
	.untranslate = real_untranslate,
	.keep_translated = real_keep_translated,
	.begin_anew = real_begin_anew,
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
	.packets = real_packets,
	.read_packets = real_read_packets,
	.answer_packets = real_answer_packets,
	.recount_packets = real_recount_packets,
	.set_packet_rules = real_set_packet_rules,
	.find_packet = real_find_packet,
	.count_packets = real_count_packets,
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
	.set_peek = real_set_peek,
	.find_peek = real_find_peek,
	.forget_peek = real_forget_peek,
	.destroy = real_destroy,
	.hold_again = real_hold_again,
	.count = real_count,
	.end_rests = real_end_rests,
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
