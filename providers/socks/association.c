/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "association.h"

#define IDLE_MS 2000U  /* how long one without peers stays */
#define AGAIN_MS 1000U /* between attempts that no new flow asks for */
#define ALIVE_S 30     /* a control connection is tried when nothing has come for so long, */
#define TRY_S 10       /* so often, */
#define TRIES 3	       /* and is over without an answer to so many */

/* ---- what there is ---- */

static struct association *find_socket(const struct flows *flows, uint64_t socket)
{
	struct association *association;

	LIST_FOREACH(association, &flows->associations[socket % FLOWS_BUCKETS], in_bucket)
	if (socket && association->socket == socket)
		return association;
	return NULL;
}

/* ---- associations ---- */

static void stop_idling(struct flows *flows, struct association *association)
{
	if (association->is_idle)
		TAILQ_REMOVE(&flows->idle, association, in_idle);
	association->is_idle = false;
}

static void close_relay(struct flows *flows, struct association *association)
{
	if (association->relay < 0)
		return;
	flow_watch(flows, &association->on_relay, association->relay, 0);
	close(association->relay);
	association->relay = -1;
	free(association->kept);
	association->kept = NULL;
}

static void end_association(struct flows *flows, struct association *association)
{
	stop_idling(flows, association);
	close_relay(flows, association);
	if (association->control)
		flow_end(flows, association->control);
	LIST_REMOVE(association, in_bucket);
	flow_bury(flows, &association->over);
}

static struct association *add_association(struct flows *flows, uint64_t socket)
{
	struct association *association = calloc(1, sizeof(*association));

	if (!association)
		return NULL;
	association->socket = socket;
	association->state = ASSOCIATION_DOWN;
	association->relay = -1;
	association->on_relay.on_event = carry_on_relay;
	association->on_relay.owner = association;
	LIST_INSERT_HEAD(&flows->associations[socket % FLOWS_BUCKETS], association, in_bucket);
	return association;
}

/* its last peer is gone */
static void idle(struct flows *flows, struct association *association, uint64_t now_ms)
{
	if (association->state != ASSOCIATION_STANDS) {
		end_association(flows, association);
		return;
	}
	association->is_idle = true;
	association->deadline_ms = now_ms + IDLE_MS;
	TAILQ_INSERT_TAIL(&flows->idle, association, in_idle);
}

void association_watch(struct flows *flows, struct association *association, bool is_read)
{
	struct peer *peer;

	LIST_FOREACH(peer, &association->peers, in_association)
	if (peer->program >= 0)
		flow_watch(flows, &peer->on_program, peer->program, is_read ? EPOLLIN : 0);
}

/* ---- attempts ---- */

/* bits of those that carry no datagrams */
static uint64_t without_udp(const struct endpoints *endpoints)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < endpoints->n; i++)
		if (endpoints->all[i].upstream->scheme >= UPSTREAM_HTTP)
			bits |= UINT64_C(1) << i;
	return bits;
}

static void begin_attempt(struct flows *flows, struct association *association, uint64_t now_ms)
{
	uint64_t tried = without_udp(&flows->endpoints);
	struct flow *control;

	if (endpoints_next(&flows->endpoints, tried, now_ms) < 0) {
		association_refused(flows, association, -EACCES,
				    "no upstream carries UDP: socks5:// and socks5h:// do", now_ms);
		return;
	}
	control = flow_new(association);
	if (!control) {
		association_refused(flows, association, -ECONNREFUSED, "no memory", now_ms);
		return;
	}
	control->tried = tried;
	association->control = control;
	association->state = ASSOCIATION_BEGINS;
	association_watch(flows, association, false);
	attempt_next(flows, control, now_ms);
}

bool association_again(struct flows *flows, struct association *association, uint64_t now_ms)
{
	if (now_ms < association->retry_ms)
		return false;
	begin_attempt(flows, association, now_ms);
	return true;
}

void association_refused(struct flows *flows, struct association *association, int error,
			 const char *reason, uint64_t now_ms)
{
	struct peer *peer = LIST_FIRST(&association->peers), *next;

	association->control = NULL;
	association->state = ASSOCIATION_DOWN;
	association->retry_ms = now_ms + AGAIN_MS;
	for (; peer; peer = next) {
		next = LIST_NEXT(peer, in_association);
		if (peer->is_opened)
			continue;
		(void)sluice_proxy_open(flows->proxy, peer->id, error, reason);
		peer_end(flows, peer);
	}
	if (LIST_EMPTY(&association->peers))
		end_association(flows, association);
	else
		association_watch(flows, association, true);
}

/* a machine that goes without a word ends no connection by itself */
static void keep_alive(int fd)
{
	const int yes = 1, alive_s = ALIVE_S, try_s = TRY_S, tries = TRIES;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &alive_s, sizeof(alive_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &try_s, sizeof(try_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof(tries));
}

/* ---- the control connection ---- */

int association_stands(struct flows *flows, struct flow *control)
{
	struct association *association = control->association;
	const struct upstream *upstream = flows->endpoints.all[control->endpoint].upstream;
	struct peer *peer;
	int fd = relay_open(flows, control);

	if (fd < 0)
		return fd;
	keep_alive(control->link.fd);
	association->relay = fd;
	association->state = ASSOCIATION_STANDS;
	association->is_by_name = upstream->scheme == UPSTREAM_SOCKS5H;
	association->has_carried = false;
	flow_watch(flows, &association->on_relay, fd, EPOLLIN);
	LIST_FOREACH(peer, &association->peers, in_association)
	peer_open(flows, peer);
	association_watch(flows, association, true);
	return 0;
}

/* flows that were opened stay: the next datagram of one asks for another association */
static void fall(struct flows *flows, struct association *association, uint64_t now_ms)
{
	struct flow *control = association->control;

	/* it may end after a while; one that does so at once is none for the next time */
	if (!association->has_carried && now_ms < control->deadline_ms)
		attempt_fail_endpoint(flows, control, "has ended its association of UDP", now_ms);
	association->control = NULL;
	flow_end(flows, control);
	close_relay(flows, association);
	association->state = ASSOCIATION_DOWN;
	association->retry_ms = now_ms + AGAIN_MS;
	if (LIST_EMPTY(&association->peers))
		end_association(flows, association);
	else
		association_watch(flows, association, true);
}

void association_held(struct flows *flows, struct flow *control, uint64_t now_ms)
{
	uint8_t bytes[256];
	ssize_t n = link_read(&control->link, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && n != -EAGAIN))
		fall(flows, control->association, now_ms);
}

/* ---- flows ---- */

int association_flow(struct flows *flows, const struct sluice_flow *asked, uint64_t now_ms)
{
	struct association *association = find_socket(flows, asked->socket);
	struct peer *peer;

	if (!association)
		association = add_association(flows, asked->socket);
	peer = association ? peer_add(flows, association, asked) : NULL;
	if (!peer) {
		if (association && LIST_EMPTY(&association->peers) && !association->is_idle)
			end_association(flows, association);
		return -ENOMEM;
	}
	stop_idling(flows, association);
	if (association->state == ASSOCIATION_STANDS)
		peer_open(flows, peer);
	else if (association->state == ASSOCIATION_DOWN)
		begin_attempt(flows, association, now_ms);
	return 0;
}

bool association_opened(struct flows *flows, uint64_t id, int fd, uint64_t now_ms)
{
	struct peer *peer = peer_find(flows, id);

	if (!peer)
		return false;
	peer->program = fd;
	carry_early(peer);
	if (peer->association->state != ASSOCIATION_BEGINS && !peer->association->kept)
		flow_watch(flows, &peer->on_program, fd, EPOLLIN);
	return true;
}

void association_datagram(struct flows *flows, uint64_t id, const void *bytes, size_t n,
			  uint64_t now_ms)
{
	struct peer *peer = peer_find(flows, id);

	if (peer && peer->association->state == ASSOCIATION_DOWN)
		(void)association_again(flows, peer->association, now_ms);
	else if (peer)
		carry_one(flows, peer, bytes, n);
}

bool association_ended(struct flows *flows, uint64_t id, uint64_t now_ms)
{
	struct peer *peer = peer_find(flows, id);
	struct association *association;

	if (!peer)
		return false;
	association = peer->association;
	peer_end(flows, peer);
	if (LIST_EMPTY(&association->peers))
		idle(flows, association, now_ms);
	return true;
}

void association_expire(struct flows *flows, uint64_t now_ms)
{
	struct association *first;

	while ((first = TAILQ_FIRST(&flows->idle)) && first->deadline_ms <= now_ms)
		end_association(flows, first);
}

int association_wait_ms(const struct flows *flows, uint64_t now_ms)
{
	const struct association *first = TAILQ_FIRST(&flows->idle);

	if (!first)
		return -1;
	return first->deadline_ms <= now_ms ? 0 : (int)(first->deadline_ms - now_ms);
}

void association_deinit(struct flows *flows)
{
	struct association *association;
	struct peer *peer;

	for (unsigned int i = 0; i < FLOWS_BUCKETS; i++) {
		while ((peer = LIST_FIRST(&flows->peers_by_id[i])))
			peer_end(flows, peer);
		while ((association = LIST_FIRST(&flows->associations[i])))
			end_association(flows, association);
	}
}
