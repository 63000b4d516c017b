/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Judging
 *
 * A queued packet finds its socket by its ends (sl_held), the socket its
 * flow. A new flow is asked of one filter after the other, every one must
 * allow. The verdict is written to sl_flows first and the packets are let go
 * afterwards, so that whatever follows them meets the verdict in the kernel.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"
#include "flow/packet.h"

#define PACKETS_A_ROUND 256 /* then others get their turn */

static uint32_t mark_of(uint32_t mark, enum sl_mark value)
{
	return (mark & ~SL_MARK_MASK) | (uint32_t)value << SL_MARK_SHIFT;
}

void judge_forget(struct flow *flow, void *data)
{
	identity_put(data, flow->identity);
}

static void reject(struct daemon *daemon, uint32_t id, uint32_t mark)
{
	/* the gate chain rejects it, and asks the program again */
	(void)plane_answer(daemon->plane, id, QUEUE_ACCEPT, mark_of(mark, SL_MARK_REJECT));
}

static int on_pace(sd_event_source *source, uint64_t usec, void *data)
{
	struct daemon *daemon = data;
	struct paced paced;

	while (pace_next(&daemon->pace, daemon_now_us(), &paced))
		reject(daemon, paced.packet_id, paced.mark);
	if (daemon->pace.n == 0)
		return 0;
	(void)sd_event_source_set_time_relative(source, PACE_INTERVAL_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void reject_by_icmp(struct daemon *daemon, uint32_t id, uint32_t mark)
{
	if (daemon->pace.n == 0 && pace_take(&daemon->pace, daemon_now_us())) {
		reject(daemon, id, mark);
		return;
	}
	if (!pace_wait(&daemon->pace, id, mark)) {
		(void)plane_answer(daemon->plane, id, QUEUE_DROP, mark);
		return;
	}
	if (daemon->pace.n > 1)
		return;
	(void)sd_event_source_set_time_relative(daemon->pace_timer, PACE_INTERVAL_US);
	(void)sd_event_source_set_enabled(daemon->pace_timer, SD_EVENT_ONESHOT);
}

static void let_go(struct daemon *daemon, const struct flow *flow, uint32_t id, uint32_t mark,
		   enum sl_verdict verdict)
{
	switch (verdict) {
	case SL_ALLOW:
		(void)plane_answer(daemon->plane, id, QUEUE_ACCEPT, mark_of(mark, SL_MARK_NONE));
		break;
	case SL_REJECT:
		if (flow->key.proto == IPPROTO_TCP)
			reject(daemon, id, mark);
		else
			reject_by_icmp(daemon, id, mark);
		break;
	case SL_SILENT:
	case SL_UNDECIDED:
		(void)plane_answer(daemon->plane, id, QUEUE_DROP, mark);
		break;
	}
}

/* nobody can judge it: the gate chain applies the fail class to a held packet */
static void to_fail_class(struct daemon *daemon, const struct queue_packet *packet)
{
	(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT, packet->mark);
}

static void put_in_force(struct daemon *daemon, const struct flow *flow)
{
	struct sl_flow entry = { .id = flow->id,
				 .last_ns = daemon_now_us() * 1000,
				 .tuple = flow->tuple,
				 .verdict = flow->verdict,
				 .dir = flow->direction };

	if (flow->direction == SL_DIR_OUT)
		entry.bytes_out = flow->n_held_bytes;
	else
		entry.bytes_in = flow->n_held_bytes;
	if (plane_set_flow(daemon->plane, &flow->key, &entry) < 0)
		log_error("cannot write a verdict to the kernel: %m");
}

static void close_flow(struct daemon *daemon, struct flow *flow, uint64_t bytes_in,
		       uint64_t bytes_out)
{
	(void)plane_forget_flow(daemon->plane, &flow->key);
	if (flow->verdict == SL_ALLOW) {
		providers_send_closed(daemon, flow, bytes_in, bytes_out);
		records_closed(daemon, flow, bytes_in, bytes_out);
	}
	flow_table_close(daemon->flows, flow);
}

/* UDP and ICMP: the kernel counted in the flow's own entry */
static void close_counted(struct daemon *daemon, struct flow *flow)
{
	struct sl_flow entry = { 0 };

	(void)plane_get_flow(daemon->plane, &flow->key, &entry);
	if (flow->direction == SL_DIR_OUT)
		entry.bytes_out += flow->n_held_bytes;
	else
		entry.bytes_in += flow->n_held_bytes;
	close_flow(daemon, flow, entry.bytes_in, entry.bytes_out);
}

static void decide(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict)
{
	if (flow_table_decide(daemon->flows, flow, verdict, daemon_now_us()))
		return;
	put_in_force(daemon, flow);
	flow->n_held_bytes = 0; /* they are in the kernel's entry now */
	for (unsigned int i = 0; i < flow->n_packets; i++)
		let_go(daemon, flow, flow->packets[i], flow->marks[i], verdict);
	flow->n_packets = 0;
	daemon->n_total++;
	if (verdict != SL_ALLOW)
		daemon->n_dropped++;
	records_judged(daemon, flow);
	if (flow->is_gone)
		close_counted(daemon, flow);
}

void judge_flow(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict, int provider,
		const char *reason)
{
	flow->provider = provider;
	snprintf(flow->reason, sizeof(flow->reason), "%s", reason);
	if (verdict == SL_ALLOW && provider >= 0 && (unsigned int)provider + 1 < daemon->n_filters) {
		flow->asked = (uint8_t)(provider + 1);
		flow->is_sent = false;
		judge_ask(daemon, flow);
		return;
	}
	decide(daemon, flow, verdict);
}

static void fail(struct daemon *daemon, struct flow *flow, const char *why)
{
	const struct filter *filter = &daemon->filters[flow->asked];
	char reason[FLOW_REASON_BYTES];

	snprintf(reason, sizeof(reason), "%s %s: fails %s", filter->name, why,
		 filter->is_closed ? "closed" : "open");
	judge_flow(daemon, flow, filter->is_closed ? SL_REJECT : SL_ALLOW, flow->asked, reason);
}

void judge_ask(struct daemon *daemon, struct flow *flow)
{
	struct filter *filter = &daemon->filters[flow->asked];

	if (daemon->n_filters == 0) {
		judge_flow(daemon, flow, SL_ALLOW, -1, "no filter");
		return;
	}
	if (filter->session.state == SESSION_FAILED) {
		fail(daemon, flow, "does not run");
		return;
	}
	if (filter->session.state != SESSION_RUNNING || filter->wants_write)
		return; /* held; asked when the filter is back, or its deadline passes */
	if (providers_send_flow(daemon, flow->asked, flow) == 0)
		flow->is_sent = true;
}

void judge_ask_waiting(struct daemon *daemon, unsigned int filter, bool anew)
{
	struct flow *flow = flow_table_oldest_held(daemon->flows), *next;

	for (; flow; flow = next) {
		next = flow_next(flow);
		if (flow->asked != filter)
			continue;
		if (anew)
			flow->is_sent = false;
		if (!flow->is_sent)
			judge_ask(daemon, flow);
	}
}

static void describe(struct daemon *daemon, struct flow *flow, const struct sl_held *held)
{
	const struct sl_who *user = &held->sock.user;
	struct names_app app = names_app_of(user);
	const char *host;

	flow->direction = (uint8_t)held->dir;
	flow->owner_pid = held->sock.owner.pid;
	flow->owner_uid = held->sock.owner.uid;
	flow->identity = identity_get(daemon, user);
	if (names_find(daemon->names, &app, user->pid, flow->tuple.raddr, flow->opened_us, &host))
		return;
	flow->host_source = 1;
	snprintf(flow->host, sizeof(flow->host), "%s", host);
}

static int open_flow(struct daemon *daemon, const struct sl_flow_key *key,
		     const struct packet_view *view, const struct sl_held *held,
		     const struct queue_packet *packet, struct flow **ret_flow)
{
	struct flow *flow;
	int r = flow_table_open(daemon->flows, key, 0, daemon_now_us(), &flow);

	if (r)
		return r;
	flow->tuple = view->tuple;
	flow->ifindex = packet->ifindex;
	describe(daemon, flow, held);
	*ret_flow = flow;
	return 0;
}

/* then the packet is the flow's: of a denied one, or queued just before the verdict was written */
static bool is_in_force(struct daemon *daemon, const struct flow *flow)
{
	struct sl_flow entry;

	if (plane_get_flow(daemon->plane, &flow->key, &entry) < 0 || entry.id != flow->id)
		return false;
	/* the kernel keeps an allowed one's entry */
	if (flow->verdict == SL_ALLOW)
		return true;
	entry.last_ns = daemon_now_us() * 1000; /* it is busy: not to be forgotten as idle */
	(void)plane_set_flow(daemon->plane, &flow->key, &entry);
	return true;
}

static void judge_packet(struct daemon *daemon, const struct queue_packet *packet)
{
	struct sl_flow_key key = { 0 };
	struct packet_view view;
	struct sl_held held;
	struct flow *flow;
	bool is_new;

	if (packet_parse(packet->bytes, packet->n_bytes, packet->is_inbound, &view)) {
		daemon->n_bad_packets++; /* made by hand and cut: no filter could allow it */
		(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
		return;
	}
	if (plane_find_held(daemon->plane, &view.tuple, &held) < 0) {
		to_fail_class(daemon, packet);
		return;
	}
	key.cookie = held.cookie;
	memcpy(key.raddr, view.tuple.raddr, sizeof(key.raddr));
	key.rport = view.tuple.rport;
	key.proto = view.tuple.proto;

	flow = flow_table_find(daemon->flows, &key);
	if (flow && flow->state == FLOW_OPEN) {
		if (is_in_force(daemon, flow)) {
			flow->n_held_bytes += view.n_payload;
			let_go(daemon, flow, packet->id, packet->mark, flow->verdict);
			return;
		}
		/* the kernel forgot it (LRU), or the socket connects again: a new conversation */
		flow_table_close(daemon->flows, flow);
		flow = NULL;
	}
	is_new = !flow;
	if (is_new && open_flow(daemon, &key, &view, &held, packet, &flow)) {
		to_fail_class(daemon, packet);
		return;
	}
	if (flow_hold(flow, packet->id, packet->mark, view.n_payload))
		(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
	if (is_new)
		judge_ask(daemon, flow);
}

void judge_read_queue(struct daemon *daemon)
{
	struct queue_packet packet;

	for (int i = 0; i < PACKETS_A_ROUND; i++) {
		int r = plane_read(daemon->plane, daemon->packet, &packet);

		if (r == -EBADMSG)
			continue;
		if (r < 0)
			return;
		if ((packet.mark & SL_MARK_MASK) >> SL_MARK_SHIFT == SL_MARK_NAMES)
			names_read_answer(daemon, &packet);
		else
			judge_packet(daemon, &packet);
	}
}

static int on_queue(sd_event_source *source, int fd, uint32_t events, void *data)
{
	judge_read_queue(data);
	return 0;
}

int judge_watch(struct daemon *daemon)
{
	int r = sd_event_add_time_relative(daemon->event, &daemon->pace_timer, CLOCK_MONOTONIC,
					   PACE_INTERVAL_US, 100, on_pace, daemon);

	if (r < 0)
		return r;
	return sd_event_add_io(daemon->event, &daemon->queue_source, plane_queue_fd(daemon->plane),
			       EPOLLIN, on_queue, daemon);
}

/* ---- the end of flows ---- */

static void on_tcp_closed(struct daemon *daemon, const struct sl_event *event)
{
	struct sl_flow_key key = { .cookie = event->cookie,
				   .rport = event->rport,
				   .proto = IPPROTO_TCP };
	struct flow *flow;

	memcpy(key.raddr, event->raddr, sizeof(key.raddr));
	flow = flow_table_find(daemon->flows, &key);
	if (flow && flow->state == FLOW_OPEN)
		close_flow(daemon, flow, event->bytes_in, event->bytes_out);
	else if (flow)
		flow->is_gone = true; /* it ends when it is judged */
}

static void on_released(struct daemon *daemon, const struct sl_event *event)
{
	struct flow *flow = flow_table_find_cookie(daemon->flows, event->cookie, NULL), *next;

	for (; flow; flow = next) {
		next = flow_table_find_cookie(daemon->flows, event->cookie, flow);
		if (flow->state == FLOW_OPEN)
			close_counted(daemon, flow);
		else
			flow->is_gone = true;
	}
}

static void on_event(const struct sl_event *event, void *data)
{
	switch ((enum sl_event_kind)event->kind) {
	case SL_EV_TCP_CLOSED:
		on_tcp_closed(data, event);
		break;
	case SL_EV_RELEASED:
		on_released(data, event);
		break;
	}
}

bool judge_drain_events(struct daemon *daemon)
{
	return plane_drain(daemon->plane, on_event, daemon) == 1;
}

/* filters that were not asked yet have no time left either */
static const struct filter *closed_from(struct daemon *daemon, unsigned int asked)
{
	for (unsigned int i = asked; i < daemon->n_filters; i++)
		if (daemon->filters[i].is_closed)
			return &daemon->filters[i];
	return NULL;
}

static void expire_held(struct daemon *daemon, uint64_t now_us)
{
	struct flow *flow;

	while ((flow = flow_table_oldest_held(daemon->flows)) && now_us >= flow->deadline_us) {
		const struct filter *closed = closed_from(daemon, flow->asked);

		daemon->n_deadlines++;
		daemon->filters[flow->asked].n_late++;
		flow->provider = flow->asked;
		snprintf(flow->reason, sizeof(flow->reason), "%s did not answer in time: fails %s",
			 daemon->filters[flow->asked].name, closed ? "closed" : "open");
		decide(daemon, flow, closed ? SL_REJECT : SL_ALLOW);
	}
}

static void expire_idle(struct daemon *daemon, uint64_t now_us)
{
	struct flow *flow = flow_table_oldest_open(daemon->flows), *next;
	struct sl_flow entry;

	for (; flow && now_us - flow->decided_us > IDLE_UDP_US; flow = next) {
		next = flow_next(flow);
		if (flow->key.proto == IPPROTO_TCP && flow->verdict == SL_ALLOW)
			continue;
		if (plane_get_flow(daemon->plane, &flow->key, &entry) < 0 ||
		    now_us - entry.last_ns / 1000 > IDLE_UDP_US)
			close_counted(daemon, flow);
	}
}

bool judge_tick(struct daemon *daemon, uint64_t now_us)
{
	bool has_more = judge_drain_events(daemon);

	expire_held(daemon, now_us);
	if (now_us - daemon->swept_us > IDLE_UDP_US / 10) {
		daemon->swept_us = now_us;
		expire_idle(daemon, now_us);
	}
	return has_more;
}

void judge_close_all(struct daemon *daemon)
{
	struct flow *flow;

	while ((flow = flow_table_oldest_held(daemon->flows)))
		decide(daemon, flow, daemon->is_closed ? SL_REJECT : SL_ALLOW);
	while ((flow = flow_table_oldest_open(daemon->flows)))
		close_counted(daemon, flow);
}

/* ---- after a predecessor ---- */

static void restore_flow(struct daemon *daemon, const struct sl_flow_key *key,
			 const struct sl_flow *entry)
{
	struct sl_sock sock;
	struct flow *flow;

	if (flow_table_open(daemon->flows, key, entry->id, daemon_now_us(), &flow))
		return;
	flow->tuple = entry->tuple;
	flow->direction = (uint8_t)entry->dir;
	if (plane_find_sock(daemon->plane, key->cookie, &sock) == 0) {
		flow->owner_pid = sock.owner.pid;
		flow->owner_uid = sock.owner.uid;
		flow->identity = identity_get(daemon, &sock.user);
	}
	snprintf(flow->reason, sizeof(flow->reason), "decided before sluiced was replaced");
	(void)flow_table_decide(daemon->flows, flow, entry->verdict, daemon_now_us());
}

void judge_restore(struct daemon *daemon)
{
	struct sl_flow_key key = { 0 };
	struct sl_flow entry;

	while (plane_next_flow(daemon->plane, &key, &entry) == 0)
		restore_flow(daemon, &key, &entry);
}
