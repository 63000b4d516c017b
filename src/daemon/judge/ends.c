/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The end of flows
 *
 * TCP ends when the kernel says so, with the socket's own byte counts. UDP and
 * ICMP end with their socket or when they are idle; the kernel counted them in
 * the flow's own entry.
 */
#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "daemon/daemon.h"

#define CLOSES_A_ROUND 256U
#define TRIM_BYTES                                                                                 \
	(1U << 20) /* of flows that have ended: then the heap is looked through as well */

/* Its port is another socket's next. Conntrack, which knows this flow for half a minute more, would take that one's
 * first datagram for one of it: not translated, though a proxy is to have it */
static void forget_port(struct daemon *daemon, const struct flow *flow)
{
	struct sl_tuple tuple = flow_tuple(flow);

	if (daemon->diverts && flow->is_gone && flow->key.proto == IPPROTO_UDP &&
	    flow->direction == SL_DIR_OUT && !sl_is_denial(flow->verdict))
		plane_untranslate(daemon->plane, &tuple, behalf_zone(flow));
}

static void close_flow(struct daemon *daemon, struct flow *flow, struct flow_bytes bytes)
{
	if (!sl_is_denial(flow->verdict) || flow->was_allowed) {
		reports_ended(daemon, flow, bytes);
		records_closed(daemon, flow, bytes);
	}
	if (flow->is_diverted)
		divert_ended(daemon, flow->id);
	else
		forget_port(daemon, flow);
	flow_table_end(daemon->flows, flow, &bytes);
}

struct flow_bytes ends_count(struct daemon *daemon, struct flow *flow)
{
	struct sl_flow entry = { 0 };

	(void)plane_get_flow(daemon->plane, &flow->key, &entry);
	peeking_count(flow, &entry);
	if (flow->direction == SL_DIR_OUT)
		entry.bytes_out += flow->n_held_bytes;
	else
		entry.bytes_in += flow->n_held_bytes;
	return watch_count(flow, (struct flow_bytes){ entry.bytes_in, entry.bytes_out });
}

/* UDP and ICMP: the kernel counted in the flow's own entry; TCP that goes on without us: its
 * socket is asked, if somebody watches it, so that its end is no less than what was said last */
void ends_close(struct daemon *daemon, struct flow *flow)
{
	struct flow_bytes bytes;

	if (flow->watches && flow->key.proto == IPPROTO_TCP)
		reports_count(daemon, flow);
	bytes = ends_count(daemon, flow);
	(void)plane_forget_flow(daemon->plane, &flow->key);
	close_flow(daemon, flow, bytes);
}

static void on_tcp_closed(struct daemon *daemon, const struct sl_event *event)
{
	struct sl_flow_key key = { .cookie = event->cookie,
				   .rport = event->rport,
				   .proto = IPPROTO_TCP };
	struct flow *flow;

	divert_rests(daemon, event);
	memcpy(key.raddr, event->raddr, sizeof(key.raddr));
	flow = flow_table_find(daemon->flows, &key);
	if (!flow && sl_is_loopback(key.raddr)) { /* the event does not tell by which interface */
		key.lo = SL_LO_IS;
		flow = flow_table_find(daemon->flows, &key);
	}
	if (flow && flow->state == FLOW_OPEN && !event->is_forgotten)
		(void)plane_forget_flow(daemon->plane, &flow->key);
	if (flow && flow->state == FLOW_OPEN)
		close_flow(daemon, flow, (struct flow_bytes){ event->bytes_in, event->bytes_out });
	else {
		divert_closed(daemon, event);
		if (flow) {
			flow->is_gone = true; /* it ends when it is judged */
			divert_gone(daemon, flow);
		} else if (event->is_forgotten) {
			gone_note(&daemon->gone, &key); /* its SYN may be in the queue */
		}
	}
}

static void on_released(struct daemon *daemon, const struct sl_event *event)
{
	struct flow *flow = flow_table_find_cookie(daemon->flows, event->cookie, NULL), *next;

	for (; flow; flow = next) {
		next = flow_table_find_cookie(daemon->flows, event->cookie, flow);
		flow->is_gone = true; /* a datagram that is held goes on without who has sent it */
		if (flow->state == FLOW_OPEN && !peeking_outlives(flow)) {
			ends_close(daemon, flow);
			continue;
		}
		if (flow->state == FLOW_HELD && flow->key.proto != IPPROTO_UDP)
			divert_gone(daemon, flow);
	}
}

static void on_seen(struct daemon *daemon, const struct sl_seen *seen)
{
	netns_seen(daemon, seen->netns, seen->pid);
}

static void on_event(const struct sl_event *event, void *data)
{
	((struct daemon *)data)->pace.has_heard = true;
	switch ((enum sl_event_kind)event->kind) {
	case SL_EV_TCP_CLOSED:
		on_tcp_closed(data, event);
		break;
	case SL_EV_RELEASED:
		on_released(data, event);
		break;
	case SL_EV_REMEMBERED: /* the beginning of one */
		remember_event(data, (const struct sl_remembered *)event);
		break;
	case SL_EV_ABANDONED:
		divert_abandoned(data, event->cookie);
		break;
	case SL_EV_NETNS:
		on_seen(data, (const struct sl_seen *)event);
		break;
	}
}

bool ends_drain(struct daemon *daemon)
{
	bool has_more = plane_drain(daemon->plane, on_event, daemon) == 1;

	divert_end_rests(daemon);
	return has_more;
}

/* after many flows have ended: what they had, and what was allocated for them and is free */
static void trim(struct daemon *daemon, uint64_t now_us)
{
	if (now_us - daemon->trimmed_us <= TRIM_US)
		return;
	daemon->trimmed_us = now_us;
	daemon->n_trimmed += flow_table_trim(daemon->flows) + sides_trim(daemon->sides);
	if (daemon->n_trimmed < TRIM_BYTES)
		return;
	daemon->n_trimmed = 0;
	(void)malloc_trim(0);
}

void ends_tick(struct daemon *daemon, uint64_t now_us)
{
	struct flow *flow = flow_table_oldest_open(daemon->flows), *next;
	unsigned int n_closed = 0;
	struct sl_flow entry;

	trim(daemon, now_us);
	if (now_us - daemon->swept_us <= IDLE_UDP_US / 10)
		return;
	for (; flow && now_us - flow->decided_us > IDLE_UDP_US; flow = next) {
		next = flow_next(flow);
		if (n_closed == CLOSES_A_ROUND)
			return; /* the rest at the next tick: others get their turn */
		if (flow->key.proto == IPPROTO_TCP && !sl_is_denial(flow->verdict))
			continue;
		if (plane_get_flow(daemon->plane, &flow->key, &entry) < 0 ||
		    now_us - entry.last_ns / 1000 > IDLE_UDP_US) {
			ends_close(daemon, flow);
			n_closed++;
		}
	}
	daemon->swept_us = now_us;
}

void ends_close_all(struct daemon *daemon)
{
	struct flow *flow;

	while ((flow = flow_table_oldest_open(daemon->flows)))
		ends_close(daemon, flow);
}
