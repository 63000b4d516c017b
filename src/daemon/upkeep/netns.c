/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"

#define SLOT_OF(place, what) ((place)*PLANE_KEPT_N + (what)) /* of KEEP */
_Static_assert(KEEPER_KEPT_MAX == PLANE_KEPT_MAX, "every place has its slots");
_Static_assert(KEEPER_NETNS_SOCKETS == _NETNS_SOCKET_N, "ENTER opens what a namespace needs");

struct space *netns_space(struct daemon *daemon, uint64_t cookie)
{
	int place = plane_find_netns(daemon->plane, cookie);

	return place < 0 ? NULL : daemon->namespaces.spaces[place];
}

uint32_t netns_inode(struct daemon *daemon, uint64_t cookie)
{
	int place = plane_find_netns(daemon->plane, cookie);

	return place < 0 ? 0 : plane_netns(daemon->plane, (unsigned int)place)->inode;
}

/* ---- spaces ---- */

static int on_queue(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct space *space = data;

	judge_read_queue(space->daemon, space->place);
	return 0;
}

static void close_space(struct space *space)
{
	sd_event_source_disable_unref(space->queue_source);
	packets_unlisten(space);
	divert_unlisten(space);
	owners_close(space);
	space->daemon->namespaces.spaces[space->place] = NULL;
	free(space);
}

/* listens to what is open of it: an adopted one has its queue only, at first */
static int listen_to(struct daemon *daemon, unsigned int place)
{
	const struct netns *netns = plane_netns(daemon->plane, place);
	struct space *space = daemon->namespaces.spaces[place];
	int r = 0;

	if (!space)
		space = calloc(1, sizeof(*space));
	if (!space)
		return -ENOMEM;
	space->daemon = daemon;
	space->place = place;
	daemon->namespaces.spaces[place] = space;
	if (!space->queue_source && netns->sockets[NETNS_QUEUE] >= 0)
		r = sd_event_add_io(daemon->event, &space->queue_source,
				    netns->sockets[NETNS_QUEUE], EPOLLIN, on_queue, space);
	if (r >= 0 && !space->owners.source && netns->sockets[NETNS_WATCH] >= 0)
		r = owners_watch(space);
	if (r >= 0)
		r = divert_listen(daemon, space);
	return r < 0 ? r : packets_listen(daemon, space);
}

void netns_keep_listeners(struct daemon *daemon, unsigned int place)
{
	const struct netns *netns = plane_netns(daemon->plane, place);

	if (!daemon->diverts || place >= PLANE_LISTENING_MAX)
		return;
	for (unsigned int i = 0; i < PLANE_LISTENERS_N; i++)
		keeper_keep(daemon, PLANE_LISTENERS_AT + place * PLANE_LISTENERS_N + i,
			    netns && netns->divert_port[i / 2][i % 2]
				    ? netns->sockets[NETNS_LISTEN4 + i]
				    : -1);
}

static void keep(struct daemon *daemon, unsigned int place)
{
	const struct netns *netns = plane_netns(daemon->plane, place);

	for (unsigned int what = 0; what < PLANE_KEPT_N; what++)
		keeper_keep(daemon, SLOT_OF(place, what), netns ? netns->sockets[what] : -1);
	netns_keep_listeners(daemon, place);
}

static void leave(struct daemon *daemon, unsigned int place)
{
	if (daemon->namespaces.spaces[place])
		close_space(daemon->namespaces.spaces[place]);
	plane_leave(daemon->plane, place);
	keep(daemon, place);
}

/* ---- failures ---- */

static struct netns_failure *find_failure(struct daemon *daemon, uint64_t cookie)
{
	for (unsigned int i = 0; i < daemon->namespaces.n_failed; i++)
		if (daemon->namespaces.failed[i].cookie == cookie)
			return &daemon->namespaces.failed[i];
	return NULL;
}

static void drop_failure(struct daemon *daemon, uint64_t cookie)
{
	struct netns_failure *failure = find_failure(daemon, cookie);

	if (failure)
		*failure = daemon->namespaces.failed[--daemon->namespaces.n_failed];
}

/* said once in the log, and in status as long as it lasts */
static void fail(struct daemon *daemon, uint64_t cookie, uint32_t inode, int error)
{
	struct namespaces *namespaces = &daemon->namespaces;
	struct netns_failure *failure = find_failure(daemon, cookie);

	if (!failure && namespaces->n_failed == NETNS_FAILED_MAX) {
		plane_forget(daemon->plane, cookie);
		return;
	}
	if (!failure) {
		failure = &namespaces->failed[namespaces->n_failed++];
		failure->inode = 0;
		log_warning("network namespace %u%s cannot be governed: %s: the fail class holds "
			    "in it",
			    inode, inode ? "" : " (its number is not known)", strerror(-error));
	}
	failure->cookie = cookie;
	failure->failed_us = daemon_now_us();
	failure->inode = inode ? inode : failure->inode;
	failure->error = error;
	plane_refuse(daemon->plane, cookie);
}

/* nobody uses it: the next who does is told of */
static void forget_failures(struct daemon *daemon, uint64_t now_us)
{
	struct namespaces *namespaces = &daemon->namespaces;

	for (unsigned int i = namespaces->n_failed; i-- > 0;) {
		struct netns_failure failure = namespaces->failed[i];

		if (now_us - failure.failed_us < 2 * NETNS_CENSUS_US)
			continue;
		plane_forget(daemon->plane, failure.cookie);
		drop_failure(daemon, failure.cookie);
	}
}

/* ---- entering ---- */

static void end_entering(struct entering *entering)
{
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		entering->sockets[i] = close_fd(entering->sockets[i]);
	entering->token = 0;
}

/* @token: 0: one that is free */
static struct entering *find_entering(struct daemon *daemon, uint64_t token)
{
	for (size_t i = 0; i < NETNS_ENTERING_MAX; i++)
		if (daemon->namespaces.entering[i].token == token)
			return &daemon->namespaces.entering[i];
	return NULL;
}

static bool is_entering(struct daemon *daemon, uint64_t cookie)
{
	for (size_t i = 0; i < NETNS_ENTERING_MAX; i++)
		if (daemon->namespaces.entering[i].token &&
		    daemon->namespaces.entering[i].cookie == cookie)
			return true;
	return false;
}

/* by a thread that is in it, or by a socket of it. Return: false: too many at one time */
static bool enter(struct daemon *daemon, uint64_t cookie, uint32_t inode, uint32_t pid, int sock)
{
	struct entering *entering = find_entering(daemon, 0);

	if (is_entering(daemon, cookie))
		return true;
	if (sock < 0 && plane_is_full(daemon->plane)) { /* the keeper need not be troubled */
		fail(daemon, cookie, inode, -ENOSPC);
		return true;
	}
	if (!entering)
		return false;
	*entering = (struct entering){ .token = ++daemon->next_token,
				       .cookie = cookie,
				       .inode = inode,
				       .asked_us = daemon_now_us() };
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		entering->sockets[i] = -1;
	keeper_enter(daemon, entering->token, pid, sock, 0);
	return true;
}

void netns_seen(struct daemon *daemon, uint64_t cookie, uint32_t pid)
{
	if (netns_space(daemon, cookie))
		return;
	if (!enter(daemon, cookie, 0, pid, -1))
		plane_forget(daemon->plane, cookie);
}

static void give_up(struct daemon *daemon, struct entering *entering, int error)
{
	uint64_t cookie = entering->cookie;
	uint32_t inode = entering->inode;

	end_entering(entering);
	if (netns_space(daemon, cookie))
		return;				 /* adopted: it is asked again */
	if (error == -ENOENT || error == -ESRCH) /* who used it is gone already */
		plane_forget(daemon->plane, cookie);
	else
		fail(daemon, cookie, inode, error);
}

/* of a predecessor's all but two sockets were its own */
static void enter_adopted(struct daemon *daemon)
{
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++) {
		const struct netns *netns = plane_netns(daemon->plane, i);

		if (netns && !netns_is_whole(netns))
			(void)enter(daemon, netns->cookie, netns->inode, 0,
				    MAX(netns->sockets[NETNS_QUEUE], netns->sockets[NETNS_RULES]));
	}
}

static void join(struct daemon *daemon, struct entering *entering)
{
	bool was_adopted = netns_space(daemon, entering->cookie) != NULL;
	int place = plane_join(daemon->plane, entering->cookie, entering->inode, entering->sockets);
	int r = place < 0 ? place : listen_to(daemon, (unsigned int)place);

	if (r < 0 && place >= 0)
		leave(daemon, (unsigned int)place);
	if (r < 0) {
		give_up(daemon, entering, r);
		return;
	}
	keep(daemon, (unsigned int)place);
	drop_failure(daemon, entering->cookie);
	/* nobody has watched its table since the predecessor's end */
	daemon->namespaces.spaces[place]->owners.is_wanted = was_adopted;
	log_info("network namespace %u is governed, after %" PRIu64 " us", entering->inode,
		 daemon_now_us() - entering->asked_us);
	end_entering(entering);
	divert_joined(daemon);
	enter_adopted(daemon); /* of more than can be asked for at once */
}

void netns_entered(struct daemon *daemon, const struct wire_k_entered *record, int *fd)
{
	struct entering *entering = record->token ? find_entering(daemon, record->token) : NULL;

	if (!entering) /* given up by now */
		return;
	if (record->inode)
		entering->inode = record->inode;
	if (record->error || *fd < 0 || record->socket >= _NETNS_SOCKET_N) {
		give_up(daemon, entering, record->error ? -(int)record->error : -EPROTO);
		return;
	}
	close_fd(entering->sockets[record->socket]);
	entering->sockets[record->socket] = TAKE_FD(*fd);
	for (int i = 0; i < _NETNS_SOCKET_N; i++)
		if (entering->sockets[i] < 0)
			return; /* the others are on their way */
	join(daemon, entering);
}

/* ---- who is where ---- */

static void on_line(const struct sl_census *line, void *data)
{
	struct daemon *daemon = data;
	struct space *space = netns_space(daemon, line->netns);

	if (space)
		space->is_inhabited = true;
	else
		(void)enter(daemon, line->netns, line->inode, line->pid,
			    -1); /* else at the next census */
}

static bool has_flow(struct daemon *daemon, uint64_t cookie)
{
	struct flow *flow = flow_table_oldest_held(daemon->flows);

	for (; flow; flow = flow_next(flow))
		if (flow->side->netns == cookie)
			return true;
	for (flow = flow_table_oldest_open(daemon->flows); flow; flow = flow_next(flow))
		if (flow->side->netns == cookie)
			return true;
	return false;
}

static void look_after(struct daemon *daemon, struct space *space, uint64_t now_us)
{
	const struct netns *netns = plane_netns(daemon->plane, space->place);

	if (space->is_inhabited || has_flow(daemon, netns->cookie)) {
		space->idle_us = 0;
		return;
	}
	if (!space->idle_us)
		space->idle_us = now_us;
	if (now_us - space->idle_us < NETNS_IDLE_US)
		return;
	log_info("network namespace %u is used by nobody any more", netns->inode);
	leave(daemon, space->place);
}

static void take_census(struct daemon *daemon, uint64_t now_us)
{
	struct namespaces *namespaces = &daemon->namespaces;
	unsigned int n = plane_n_places(daemon->plane);
	int r;

	for (unsigned int i = 0; i < n; i++)
		if (namespaces->spaces[i])
			namespaces->spaces[i]->is_inhabited = false;
	r = plane_census(daemon->plane, on_line, daemon);
	if (r < 0) { /* none is known to be empty */
		log_debug("cannot tell who uses which network: %s", strerror(-r));
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		if (namespaces->spaces[i] && i != plane_home(daemon->plane))
			look_after(daemon, namespaces->spaces[i], now_us);
}

/* ---- loop ---- */

static int on_events(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)ends_drain(data);
	return 0;
}

static void stop_waiting(struct daemon *daemon, uint64_t now_us)
{
	for (size_t i = 0; i < NETNS_ENTERING_MAX; i++) {
		struct entering *entering = &daemon->namespaces.entering[i];

		if (entering->token && now_us - entering->asked_us > NETNS_ENTER_US)
			give_up(daemon, entering, -ETIMEDOUT);
	}
}

void netns_tick(struct daemon *daemon, uint64_t now_us)
{
	struct namespaces *namespaces = &daemon->namespaces;

	stop_waiting(daemon, now_us);
	if (now_us - namespaces->census_us < NETNS_CENSUS_US)
		return;
	if (plane_n_places(daemon->plane) > 1 || namespaces->n_failed || !namespaces->census_us)
		take_census(daemon, now_us);
	namespaces->census_us = now_us;
	enter_adopted(daemon);
	forget_failures(daemon, now_us);
}

int netns_open(struct daemon *daemon)
{
	int r = 0;

	for (unsigned int i = 0; i < plane_n_places(daemon->plane) && r >= 0; i++)
		if (plane_netns(daemon->plane, i))
			r = listen_to(daemon, i);
	keep(daemon, plane_home(daemon->plane));
	enter_adopted(daemon);
	if (r >= 0)
		r = sd_event_add_io(daemon->event, &daemon->namespaces.events_source,
				    plane_events_fd(daemon->plane), EPOLLIN, on_events, daemon);
	return r;
}

void netns_close_all(struct daemon *daemon)
{
	struct namespaces *namespaces = &daemon->namespaces;

	for (unsigned int i = 0; i < PLANE_NETNS_MAX; i++)
		if (namespaces->spaces[i])
			close_space(namespaces->spaces[i]);
	for (size_t i = 0; i < NETNS_ENTERING_MAX; i++)
		if (namespaces->entering[i].token)
			end_entering(&namespaces->entering[i]);
	namespaces->events_source = sd_event_source_disable_unref(namespaces->events_source);
}
