/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Into a network namespace and out again
 *
 * First the table is in place with its queue, then sl_netns says so: from that
 * moment programs may connect there. Out of it in the opposite order.
 */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/log.h"
#include "base/macros.h"
#include "kernel/real.h"

#define CENSUS_LINES 256
#define REMOVE_ATTEMPTS 3U

int join_note(struct real *real, const struct netns *netns)
{
	struct sl_netns entry = { .digest = netns->digest,
				  .state = SL_NETNS_IN_FORCE,
				  .inode = netns->inode,
				  .queue_num = netns->queue_num };

	return bpf_map_update_elem(real->maps[MAP_NETNS], &netns->cookie, &entry, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

void join_forget(struct real *real, uint64_t cookie)
{
	(void)bpf_map_delete_elem(real->maps[MAP_NETNS], &cookie);
}

void join_refuse(struct real *real, uint64_t cookie)
{
	struct sl_netns entry = { .state = SL_NETNS_FAILED };

	(void)bpf_map_update_elem(real->maps[MAP_NETNS], &cookie, &entry, BPF_ANY);
}

/* the kernel lacks memory for a moment: nobody comes after us who would try again */
static void remove_table(const struct real *real, const struct netns *netns)
{
	int r = -ENOBUFS;

	for (unsigned int i = 0; i < REMOVE_ATTEMPTS && r < 0 && r != -ENOENT; i++)
		r = nft_remove(real->instance, netns->sockets[NETNS_RULES]);
	if (r < 0 && r != -ENOENT)
		log_error("cannot remove table inet sluice_%s in network namespace %u: %s: `sluice "
			  "panic` does",
			  real->instance, netns->inode, strerror(-r));
}

static void cut_off(struct real *real, struct netns *netns)
{
	join_forget(real, netns->cookie);
	if (netns->sockets[NETNS_RULES] >= 0)
		remove_table(real, netns);
}

void join_leave(struct real *real, struct netns *netns)
{
	cut_off(real, netns);
}

static int enter(struct real *real, struct netns *netns, int sockets[_NETNS_SOCKET_N])
{
	bool has_queue = netns->sockets[NETNS_QUEUE] >= 0;
	int r = netns_take(netns, sockets);

	if (r == 0)
		r = packets_bind(real, netns);
	if (r == 0)
		r = real_listen(real, netns);
	if (r < 0)
		return r;
	if (has_queue) { /* a predecessor's, as its table: plane_repair() is to look at that */
		if (r > 0 && repair_renew(real, netns) < 0) /* which leads to its listeners */
			netns->digest = 0;
		return 0;
	}
	r = queue_bind(netns->sockets[NETNS_QUEUE], &netns->queue_num);
	return r < 0 ? r : repair_table(real, netns);
}

int join(struct real *real, struct netns *netns, int sockets[_NETNS_SOCKET_N])
{
	int r = enter(real, netns, sockets);

	if (r < 0 && !netns->is_used)
		cut_off(real, netns);
	return r;
}

int join_put_tables(struct real *real)
{
	int worst = 0;

	for (unsigned int i = 0; i < real->plane.n_places; i++) {
		bool is_there = real->plane.places[i].sockets[NETNS_RULES] >= 0;
		int r = is_there ? repair_table(real, &real->plane.places[i]) : 0;

		worst = r < 0 ? r : worst;
	}
	return worst;
}

void join_remove_tables(const struct real *real)
{
	for (unsigned int i = 0; i < real->plane.n_places; i++)
		if (real->plane.places[i].sockets[NETNS_RULES] >= 0)
			remove_table(real, &real->plane.places[i]);
}

int join_home(struct real *real, const char **ret_error)
{
	struct netns own;
	int place, sockets[_NETNS_SOCKET_N], r;

	*ret_error = "opening netlink sockets";
	netns_clear(&own);
	r = netns_open_own(&own);
	place = r < 0 ? r : plane_find_netns(&real->plane, own.cookie);
	if (r == 0 && place < 0)
		place = plane_free_place(&real->plane);
	if (place < 0) {
		netns_close(&own);
		return place;
	}
	real->plane.home = (unsigned int)place;
	real->plane.places[place].cookie = own.cookie;
	real->plane.places[place].inode = own.inode;
	if (!real->plane.was_adopted) /* else the predecessor knew */
		real->nft.has_native =
			nft_probe_native_queue(real->instance, own.sockets[NETNS_RULES]);
	memcpy(sockets, own.sockets, sizeof(sockets));
	*ret_error = "installing the nftables table";
	r = enter(real, &real->plane.places[place], sockets);
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		close_fd(sockets[i]);
	real->plane.places[place].is_used = r == 0;
	return r;
}

/* ---- after a predecessor ---- */

static void adopt_listeners(struct netns *netns, int *kept, unsigned int place)
{
	int *listeners = kept + PLANE_LISTENERS_AT + place * PLANE_LISTENERS_N;

	for (unsigned int i = 0; place < PLANE_LISTENING_MAX && i < PLANE_LISTENERS_N; i++)
		netns->sockets[NETNS_LISTEN4 + i] = TAKE_FD(listeners[i]);
}

static void adopt(struct real *real, unsigned int place, int kept[PLANE_KEPT_N])
{
	struct netns *netns = &real->plane.places[place];
	struct sl_netns entry;
	uint64_t cookie;
	int any = kept[NETNS_QUEUE] >= 0 ? kept[NETNS_QUEUE] : kept[NETNS_RULES];

	if (any < 0 || netns_cookie_of(any, &cookie) < 0 ||
	    plane_find_netns(&real->plane, cookie) >= 0 ||
	    bpf_map_lookup_elem(real->maps[MAP_NETNS], &cookie, &entry) < 0 ||
	    entry.state != SL_NETNS_IN_FORCE)
		return;
	netns->is_used = true;
	netns->cookie = cookie;
	netns->inode = entry.inode;
	netns->digest = entry.digest;
	netns->queue_num = (uint16_t)entry.queue_num;
	netns->sockets[NETNS_QUEUE] = TAKE_FD(kept[NETNS_QUEUE]);
	netns->sockets[NETNS_RULES] = TAKE_FD(kept[NETNS_RULES]);
	netns->wants_requeue = netns->sockets[NETNS_QUEUE] >= 0;
}

/* its table may be there: programs are told of as if they were new, and it is replaced */
static void forget_others(struct real *real)
{
	uint64_t cookie, next;
	int fd = real->maps[MAP_NETNS], r = bpf_map_get_next_key(fd, NULL, &next);

	while (r == 0) {
		cookie = next;
		r = bpf_map_get_next_key(fd, &cookie, &next);
		if (plane_find_netns(&real->plane, cookie) < 0)
			join_forget(real, cookie);
	}
}

void join_adopt(struct real *real, int *kept)
{
	struct plane *plane = &real->plane;

	for (unsigned int i = 0; i < PLANE_NETNS_MAX; i++) {
		int *sockets = kept + i * PLANE_KEPT_N;

		if (sockets[NETNS_QUEUE] < 0 && sockets[NETNS_RULES] < 0)
			continue;
		while (plane->n_places <= i)
			netns_clear(&plane->places[plane->n_places++]);
		adopt(real, i, sockets);
		if (plane->places[i].is_used)
			adopt_listeners(&plane->places[i], kept, i);
	}
	forget_others(real);
}

/* ---- who is where ---- */

int join_census(struct real *real, plane_census_fn fn, void *data)
{
	_cleanup_close_ int fd = bpf_iter_create(real->census);
	struct sl_census lines[CENSUS_LINES];
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, lines, sizeof(lines));
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(lines[0]); i++)
			fn(&lines[i], data);
	} while (n > 0 || (n < 0 && errno == EAGAIN)); /* it has looked at many tasks in vain */
	return n < 0 ? -errno : 0;
}
