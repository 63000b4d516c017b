/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "association.h"

/* ---- lists ---- */

void flow_bury(struct flows *flows, struct over *over)
{
	over->next = flows->over;
	flows->over = over;
}

static void list_append(struct flow_list *list, struct flow *flow)
{
	flow->next = NULL;
	flow->previous = list->last;
	*(list->last ? &list->last->next : &list->first) = flow;
	list->last = flow;
}

static void list_remove(struct flow_list *list, struct flow *flow)
{
	*(flow->previous ? &flow->previous->next : &list->first) = flow->next;
	*(flow->next ? &flow->next->previous : &list->last) = flow->previous;
}

static struct flow **find_place(struct flows *flows, uint64_t id)
{
	struct flow **place = &flows->buckets[id % FLOWS_BUCKETS];

	while (*place && (*place)->id != id)
		place = &(*place)->next_in_bucket;
	return place;
}

void flow_wait_no_more(struct flows *flows, struct flow *flow)
{
	if (flow->is_waiting)
		list_remove(&flows->waiting, flow);
	flow->is_waiting = false;
}

void flow_wait(struct flows *flows, struct flow *flow, uint64_t now_ms)
{
	flow_wait_no_more(flows, flow);
	flow->is_waiting = true;
	flow->deadline_ms = now_ms + flows->timeout_ms;
	list_append(&flows->waiting, flow);
}

/* ---- descriptors ---- */

/* of epoll(7), a failure is left to the deadline, or to the other side's end */
void flow_watch(struct flows *flows, struct watched *watched, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watched };
	int what = EPOLL_CTL_MOD;

	if (events == watched->events)
		return;
	if (!watched->events)
		what = EPOLL_CTL_ADD;
	else if (!events)
		what = EPOLL_CTL_DEL;
	if (epoll_ctl(flows->epoll, what, fd, &event) == 0)
		watched->events = events;
}

void flow_close_link(struct flows *flows, struct flow *flow, bool is_reset)
{
	flow_watch(flows, &flow->on_link, flow->link.fd, 0);
	link_close(&flow->link, is_reset);
}

static void close_program(struct flows *flows, struct flow *flow, int error)
{
	if (flow->program < 0)
		return;
	flow_watch(flows, &flow->on_program, flow->program, 0);
	sluice_proxy_close(flow->program, error);
	flow->program = -1;
}

void flow_end(struct flows *flows, struct flow *flow)
{
	if (!flow->association)
		*find_place(flows, flow->id) = flow->next_in_bucket;
	flow_wait_no_more(flows, flow);
	flow_close_link(flows, flow, false);
	close_program(flows, flow, 0);
	free(flow->pump);
	flow->phase = PHASE_OVER;
	flow_bury(flows, &flow->over);
}

/* ---- bytes of a flow by TLS ---- */

static void on_pump(struct flows *flows, struct flow *flow)
{
	enum pump_state state = pump_turn(flow->pump);

	if (state == PUMP_GOES_ON) {
		flow_watch(flows, &flow->on_link, flow->link.fd,
			   (uint32_t)pump_link_events(flow->pump));
		flow_watch(flows, &flow->on_program, flow->program,
			   (uint32_t)pump_program_events(flow->pump));
		return;
	}
	if (state == PUMP_LINK_LOST)
		close_program(flows, flow, -ECONNRESET);
	flow_close_link(flows, flow, state == PUMP_PROGRAM_LOST);
	flow_end(flows, flow);
}

/* ---- from outside ---- */

void flow_set_destination(struct destination *to, const struct sluice_flow *flow)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-_.";
	size_t n = strlen(flow->host);

	memcpy(to->address, flow->remote_address, sizeof(to->address));
	to->port = flow->remote_port;
	if (flow->host_source != SLUICE_HOST_NONE && n < sizeof(to->host) &&
	    strspn(flow->host, good) == n)
		memcpy(to->host, flow->host, n + 1);
}

static void on_flow(struct flows *flows, void *owner, uint64_t now_ms)
{
	struct flow *flow = owner;

	if (flow->phase == PHASE_CONNECTS)
		attempt_connected(flows, flow, now_ms);
	else if (flow->phase == PHASE_TALKS)
		attempt_talk(flows, flow, now_ms);
	else if (flow->phase == PHASE_PUMPS)
		on_pump(flows, flow);
	else if (flow->phase == PHASE_HOLDS)
		association_held(flows, flow, now_ms);
}

struct flow *flow_new(struct association *association)
{
	struct flow *flow = calloc(1, sizeof(*flow));

	if (!flow)
		return NULL;
	flow->association = association;
	flow->link.fd = flow->program = -1;
	flow->on_link = (struct watched){ .on_event = on_flow, .owner = flow };
	flow->on_program = flow->on_link;
	return flow;
}

int flows_begin(struct flows *flows, const struct sluice_flow *asked, uint64_t now_ms)
{
	struct flow *flow;

	if (asked->protocol == IPPROTO_UDP)
		return association_flow(flows, asked, now_ms);
	flow = flow_new(NULL);
	if (!flow)
		return -ENOMEM;
	flow->id = asked->id;
	flow_set_destination(&flow->known, asked);
	*find_place(flows, flow->id) = flow;
	attempt_next(flows, flow, now_ms);
	return 0;
}

void flows_opened(struct flows *flows, uint64_t id, int fd, uint64_t now_ms)
{
	struct flow *flow = *find_place(flows, id);

	if (association_opened(flows, id, fd, now_ms))
		return;
	if (!flow || flow->phase != PHASE_OPENS) {
		sluice_proxy_close(fd, -ECONNRESET);
		return;
	}
	flow->program = fd;
	flow->phase = PHASE_PUMPS;
	flow->pump = pump_new(&flow->link, fd);
	if (flow->pump) {
		on_pump(flows, flow);
	} else {
		close_program(flows, flow, -ECONNRESET);
		flow_end(flows, flow);
	}
}

void flows_cancelled(struct flows *flows, uint64_t id, uint64_t now_ms)
{
	struct flow *flow = *find_place(flows, id);

	if (!association_ended(flows, id, now_ms) && flow)
		flow_end(flows, flow);
}

void flows_datagram(struct flows *flows, uint64_t id, const void *bytes, size_t n, uint64_t now_ms)
{
	association_datagram(flows, id, bytes, n, now_ms);
}

void flows_ended(struct flows *flows, uint64_t id, enum sluice_proxy_end how, uint64_t now_ms)
{
	struct flow *flow = *find_place(flows, id);

	if (how == SLUICE_PROXY_FULL && association_ended(flows, id, now_ms))
		return;
	if (!flow || flow->phase != PHASE_PUMPS || how != SLUICE_PROXY_FULL)
		return;
	pump_unread(flow->pump);
	on_pump(flows, flow);
}

void flows_event(struct flows *flows, void *what, uint64_t now_ms)
{
	struct watched *watched = what;

	if (watched->events) /* what came of another event may have ended it */
		watched->on_event(flows, watched->owner, now_ms);
}

void flows_expire(struct flows *flows, uint64_t now_ms)
{
	/* one that fails with the next endpoint waits behind the others */
	while (flows->waiting.first && flows->waiting.first->deadline_ms <= now_ms)
		attempt_expired(flows, flows->waiting.first, now_ms);
	association_expire(flows, now_ms);
}

static int until_expired_ms(const struct flow *first, uint64_t now_ms)
{
	if (!first)
		return -1;
	return first->deadline_ms <= now_ms ? 0 : (int)(first->deadline_ms - now_ms);
}

int flows_wait_ms(const struct flows *flows, uint64_t now_ms)
{
	int attempt_ms = until_expired_ms(flows->waiting.first, now_ms);
	int association_ms = association_wait_ms(flows, now_ms);

	if (attempt_ms < 0 || (association_ms >= 0 && association_ms < attempt_ms))
		return association_ms;
	return attempt_ms;
}

void flows_reap(struct flows *flows)
{
	while (flows->over) {
		struct over *over = flows->over;

		flows->over = over->next;
		free(over);
	}
}

int flows_init(struct flows *flows)
{
	TAILQ_INIT(&flows->idle);
	flows->epoll = epoll_create1(EPOLL_CLOEXEC);
	return flows->epoll < 0 ? -errno : 0;
}

void flows_deinit(struct flows *flows)
{
	for (unsigned int i = 0; i < FLOWS_BUCKETS; i++)
		while (flows->buckets[i]) {
			/* that we end is not how their streams end */
			flow_close_link(flows, flows->buckets[i], true);
			close_program(flows, flows->buckets[i], -ECONNRESET);
			flow_end(flows, flows->buckets[i]);
		}
	association_deinit(flows);
	flows_reap(flows);
	tls_trust_free(flows->trust);
	if (flows->epoll >= 0)
		close(flows->epoll);
}
