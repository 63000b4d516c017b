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
#include "base/text.h"
#include "daemon/daemon.h"
#include "flow/packet.h"
#include "flow/refusal.h"

#define BATCHES_A_ROUND 8 /* then others get their turn: answers, deadlines */
#define SETTLED_TCP_MAX 32U

static uint32_t mark_of(uint32_t mark, enum sl_mark value)
{
	return (mark & ~SL_MARK_MASK) | (uint32_t)value << SL_MARK_SHIFT;
}

void judge_forget(struct flow *flow, void *data)
{
	struct daemon *daemon = data;

	history_add(daemon->history, flow); /* which puts the identity in the end */
}

/* of a raw packet it may not know what is wrong, and then says nothing */
static bool may_ask_kernel(struct daemon *daemon, const struct sl_tuple *tuple)
{
	return tuple->proto == IPPROTO_UDP && refusal_spend(&daemon->refusals, daemon_now_us());
}

/* the gate chain rejects what cannot be refused here, and asks the program again */
static void reject(struct daemon *daemon, const struct sl_tuple *tuple,
		   const struct flow_packet *packet)
{
	uint8_t error[REFUSAL_BYTES];

	if (packet->has_refusal && !may_ask_kernel(daemon, tuple)) {
		refusal_write(tuple, packet->head, error);
		if (plane_replace(daemon->plane, packet->id, mark_of(packet->mark, SL_MARK_NONE),
				  error, sizeof(error)) == 0)
			return;
	}
	(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT,
			   mark_of(packet->mark, SL_MARK_REJECT));
}

static void let_go(struct daemon *daemon, const struct flow *flow, const struct flow_packet *packet,
		   enum sl_verdict verdict)
{
	switch (verdict) {
	case SL_ALLOW:
		(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT,
				   mark_of(packet->mark, SL_MARK_NONE));
		break;
	case SL_REJECT:
		reject(daemon, &flow->tuple, packet);
		break;
	case SL_SILENT:
	case SL_UNDECIDED:
		(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
		break;
	}
}

/* nobody can judge it: the gate chain applies the fail class to a held packet */
static void to_fail_class(struct daemon *daemon, const struct queue_packet *packet)
{
	(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT, packet->mark);
}

static int put_in_force(struct daemon *daemon, const struct flow *flow, enum sl_verdict verdict)
{
	struct sl_flow entry = { .id = flow->id,
				 .last_ns = daemon_now_us() * 1000,
				 .tuple = flow->tuple,
				 .verdict = verdict,
				 .dir = flow->direction };
	int r;

	if (flow->direction == SL_DIR_OUT)
		entry.bytes_out = flow->n_held_bytes;
	else
		entry.bytes_in = flow->n_held_bytes;
	r = plane_set_flow(daemon->plane, &flow->key, &entry);
	if (r < 0)
		log_error("cannot write a verdict to the kernel: %s", strerror(-r));
	return r;
}

static void tell_judged(struct daemon *daemon, const struct flow *flow)
{
	daemon->n_total++;
	if (flow->verdict != SL_ALLOW)
		daemon->n_dropped++;
	records_judged(daemon, flow);
}

/**
 * DOC: Whose packet?
 *
 * A packet is known by its ends (sl_held), and two sockets may have the same
 * ones: SO_REUSEADDR, raw sockets. So an entry lives only while packets of its
 * socket are in the queue; one that meets a second socket meanwhile is nobody's,
 * and its packets are dropped: the programs send again. Of TCP only a raw socket
 * can be the second one, so that those may be forgotten some at a time.
 */
static void settle(struct daemon *daemon, const struct sl_tuple *tuple)
{
	struct space *space = netns_space(daemon, tuple->netns);

	if (!space || daemon->n_settled == SETTLED_MAX)
		return; /* it stays until it is the oldest (LRU) */
	daemon->settled[daemon->n_settled++] = *tuple;
	space->n_settled++;
	space->has_settled |= tuple->proto != IPPROTO_TCP || space->n_settled >= SETTLED_TCP_MAX;
}

/* the queue of that namespace is empty */
static void forget_settled(struct daemon *daemon, unsigned int place)
{
	struct space *space = daemon->namespaces.spaces[place];
	const struct netns *netns = plane_netns(daemon->plane, place);
	unsigned int n = 0;

	if (!space || !space->has_settled)
		return;
	space->has_settled = false;
	space->n_settled = 0;
	for (unsigned int i = 0; i < daemon->n_settled; i++) {
		if (daemon->settled[i].netns == netns->cookie)
			(void)plane_forget_held(daemon->plane, &daemon->settled[i]);
		else
			daemon->settled[n++] = daemon->settled[i];
	}
	daemon->n_settled = n;
}

/* the kernel knows the verdict: now its packets */
static void carry_out(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict)
{
	if (flow_table_decide(daemon->flows, flow, verdict, daemon_now_us()))
		return;
	for (unsigned int i = 0; i < flow->n_packets; i++)
		let_go(daemon, flow, &flow->packets[i], verdict);
	flow->n_packets = 0;
	settle(daemon, &flow->tuple);
	if (verdict != SL_ALLOW && flow->provider >= 0)
		flow->denied_by = (uint16_t)(1U << flow->provider);
	if (!flow->is_remembered)
		remember_decided(daemon, flow);
	tell_judged(daemon, flow);
	if (flow->is_gone)
		ends_close(daemon, flow);
}

static void decide(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict)
{
	/* what the kernel does not know it would hold, and ask, packet by packet; a denial is
	 * given to each packet all the same */
	if (put_in_force(daemon, flow, verdict) < 0 && verdict == SL_ALLOW && daemon->is_closed) {
		verdict = SL_REJECT;
		flow->provider = -1;
		snprintf(flow->reason, sizeof(flow->reason),
			 "the kernel did not take the verdict: fails closed");
	}
	flow->n_held_bytes = 0; /* they are in the kernel's entry now */
	carry_out(daemon, flow, verdict);
}

void judge_take_over(struct daemon *daemon, struct flow *flow)
{
	carry_out(daemon, flow, SL_ALLOW);
}

void judge_flow(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict, int provider,
		const char *reason)
{
	flow->provider = provider;
	text_copy(flow->reason, sizeof(flow->reason), reason);
	if (verdict == SL_ALLOW && provider >= 0 &&
	    (unsigned int)provider + 1 < daemon->n_filters) {
		flow_table_pass(daemon->flows, flow, (unsigned int)provider + 1);
		judge_ask(daemon, flow);
		return;
	}
	decide(daemon, flow, verdict);
}

static void fail(struct daemon *daemon, struct flow *flow)
{
	const struct filter *filter = &daemon->filters[flow->asked];
	char reason[FLOW_REASON_BYTES];

	flow->steps[flow->asked].how = FLOW_FAILED;
	fail_say(filter, FLOW_FAILED, filter->is_closed, reason);
	judge_flow(daemon, flow, filter->is_closed ? SL_REJECT : SL_ALLOW, flow->asked, reason);
}

static bool can_take(const struct filter *filter)
{
	return filter->session.state == SESSION_RUNNING && !filter->wants_write;
}

void judge_ask(struct daemon *daemon, struct flow *flow)
{
	struct filter *filter = &daemon->filters[flow->asked];
	struct memory_answer known;

	if (daemon->n_filters == 0) {
		judge_flow(daemon, flow, SL_ALLOW, -1, "no filter");
		return;
	}
	if (ruling_find(daemon, flow, flow->asked, &known)) {
		filter->n_dropped += known.verdict != SL_ALLOW;
		flow->steps[flow->asked].how = FLOW_RULED;
		judge_flow(daemon, flow, known.verdict, flow->asked, known.reason);
		return;
	}
	if (filter->session.state == SESSION_FAILED) {
		fail(daemon, flow);
		return;
	}
	if (remember_find(daemon, flow, flow->asked, &known)) {
		flow->steps[flow->asked].how = FLOW_REMEMBERED;
		judge_flow(daemon, flow, known.verdict, flow->asked, known.reason);
		return;
	}
	/* held; asked when the filter can take it, or its deadline passes */
	if (!can_take(filter) || providers_send_flow(daemon, flow->asked, flow, false) < 0) {
		flow_table_wait(daemon->flows, flow);
		return;
	}
	flow_table_ask(daemon->flows, flow);
	flow->steps[flow->asked].how = FLOW_ASKED;
	flow->told |= (uint16_t)(1U << flow->asked);
}

/* what waits is asked about, or fails, until the filter can take no more */
void judge_ask_waiting(struct daemon *daemon, unsigned int index, bool anew)
{
	const struct filter *filter = &daemon->filters[index];
	struct flow *flow;

	if (anew)
		flow_table_ask_anew(daemon->flows, index);
	while ((can_take(filter) || filter->session.state == SESSION_FAILED) &&
	       (flow = flow_table_next_waiting(daemon->flows, index))) {
		judge_ask(daemon, flow);
		if (flow_table_next_waiting(daemon->flows, index) == flow)
			break; /* it could not be sent: no memory, or nobody is there */
	}
	explain_ask_waiting(daemon, index, anew);
}

static void describe(struct daemon *daemon, struct flow *flow, const struct sl_held *held)
{
	const struct sl_who *user = &held->sock.user;
	struct sl_app app = sl_app_of(user, flow->tuple.netns);
	const char *host;

	flow->direction = (uint8_t)held->dir;
	flow->owner_pid = held->sock.owner.pid;
	flow->owner_uid = held->sock.owner.uid;
	flow->identity = identity_get(daemon, user);
	if (names_find(daemon->names, &app, user->pid, flow->tuple.raddr, flow->opened_us, &host))
		return;
	flow->host_source = 1;
	text_copy(flow->host, sizeof(flow->host), host);
}

static struct sl_flow_key key_of(const struct sl_tuple *tuple, uint64_t cookie)
{
	struct sl_flow_key key = { .cookie = cookie, .rport = tuple->rport, .proto = tuple->proto };

	memcpy(key.raddr, tuple->raddr, sizeof(key.raddr));
	return key;
}

/* a user with very many flows loses its own oldest ones: nobody's are evicted for it */
static void keep_share(struct daemon *daemon, uint32_t uid)
{
	struct flow *flow = flow_table_oldest_of(daemon->flows, uid);

	if (flow && flow->key.proto == IPPROTO_TCP && flow->verdict == SL_ALLOW)
		flow_table_close(daemon->flows, flow); /* it goes on, its end is not reported */
	else if (flow)
		ends_close(daemon, flow);
}

struct flow *judge_open(struct daemon *daemon, const struct sl_tuple *tuple,
			const struct sl_held *held, uint32_t ifindex)
{
	struct sl_flow_key key = key_of(tuple, held->cookie);
	struct flow *flow = flow_table_find(daemon->flows, &key);
	uint32_t uid = held->sock.user.uid;

	if (flow && flow->state == FLOW_HELD)
		return flow;
	if (flow) /* what it was of is over */
		flow_table_close(daemon->flows, flow);
	if (!flow_table_may_hold(daemon->flows, uid))
		return NULL;
	keep_share(daemon, uid);
	if (flow_table_open(daemon->flows, &key, 0, daemon_now_us(), &flow))
		return NULL;
	flow_table_own(daemon->flows, flow, uid);
	flow->tuple = *tuple;
	flow->netns = netns_inode(daemon, tuple->netns);
	flow->ifindex = ifindex;
	describe(daemon, flow, held);
	return flow;
}

/* then the packet is the flow's: of a denied one, or queued just before the verdict was written */
static bool is_in_force(struct daemon *daemon, const struct flow *flow)
{
	struct sl_flow entry;

	if (plane_get_flow(daemon->plane, &flow->key, &entry) < 0)
		return false;
	if (entry.id && entry.id != flow->id) /* 0: the kernel's own, remembered */
		return false;
	/* the kernel keeps an allowed one's entry */
	if (flow->verdict == SL_ALLOW)
		return true;
	entry.last_ns = daemon_now_us() * 1000; /* it is busy: not to be forgotten as idle */
	(void)plane_set_flow(daemon->plane, &flow->key, &entry);
	return true;
}

/* a datagram that the kernel would cut (GSO) cannot become a short one: it counts on its length */
static struct flow_packet describe_packet(const struct queue_packet *packet,
					  const struct packet_view *view)
{
	struct flow_packet kept = { .id = packet->id, .mark = packet->mark };

	kept.has_refusal = view->is_ipv4 && !packet->is_inbound && !packet->is_segmented &&
			   view->tuple.proto != IPPROTO_TCP;
	memcpy(kept.head, view->transport, MIN(view->n_transport, sizeof(kept.head)));
	return kept;
}

static void judge_packet(struct daemon *daemon, const struct queue_packet *packet)
{
	struct packet_view view;
	struct flow_packet kept;
	struct sl_flow_key key;
	struct sl_held held;
	struct flow *flow;
	bool is_new;

	if (packet_parse(packet->bytes, packet->n_bytes, packet->is_inbound, &view) ||
	    (!packet->is_inbound && packet_has_route(packet->bytes))) {
		daemon->n_bad_packets++; /* made by hand and cut: no filter could allow it */
		(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
		return;
	}
	view.tuple.netns = packet->netns;
	if (plane_find_held(daemon->plane, &view.tuple, &held) < 0) {
		to_fail_class(daemon, packet);
		return;
	}
	if (held.is_shared) {
		(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
		settle(daemon, &view.tuple);
		return;
	}
	kept = describe_packet(packet, &view);
	if (canary_takes(daemon, held.cookie)) {
		reject(daemon, &view.tuple, &kept);
		settle(daemon, &view.tuple);
		return;
	}
	key = key_of(&view.tuple, held.cookie);
	flow = flow_table_find(daemon->flows, &key);
	if (flow && flow->state == FLOW_OPEN && is_in_force(daemon, flow)) {
		flow->n_held_bytes += view.n_payload;
		let_go(daemon, flow, &kept, flow->verdict);
		settle(daemon, &view.tuple);
		return;
	}
	/* one that is open is over: the kernel forgot it (LRU), or the socket connects again */
	is_new = !flow || flow->state == FLOW_OPEN;
	if (is_new)
		flow = judge_open(daemon, &view.tuple, &held, packet->ifindex);
	if (!flow) {
		to_fail_class(daemon, packet);
		return;
	}
	if (flow_hold(flow, &kept, view.n_payload))
		(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
	if (is_new)
		judge_ask(daemon, flow);
}

static void take_packet(struct daemon *daemon, const struct queue_packet *packet)
{
	if (!packet->bytes)
		return;
	if ((packet->mark & SL_MARK_MASK) >> SL_MARK_SHIFT == SL_MARK_NAMES)
		names_read_answer(daemon, packet);
	else
		judge_packet(daemon, packet);
}

static void read_round(struct daemon *daemon, unsigned int place)
{
	struct queue_packet packets[QUEUE_BATCH];

	(void)ends_drain(daemon); /* what the kernel did alone came before what it asks */
	for (int i = 0; i < BATCHES_A_ROUND; i++) {
		int n = plane_read(daemon->plane, place, daemon->packets, packets);

		for (int j = 0; j < n; j++)
			take_packet(daemon, &packets[j]);
		if (n == (int)QUEUE_BATCH)
			continue;
		if (n >= 0 || n == -EAGAIN) {
			forget_settled(daemon, place);
			reports_flush(daemon);
		}
		return;
	}
}

/* packets become questions: the answers to those of before are taken first, or they pile up */
void judge_read_queue(struct daemon *daemon, unsigned int place)
{
	if (flow_table_n_held(daemon->flows) > 0)
		providers_read(daemon);
	read_round(daemon, place);
}

void judge_read_queues(struct daemon *daemon)
{
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		judge_read_queue(daemon, i);
}

void judge_settle(struct daemon *daemon, bool is_all)
{
	for (unsigned int i = 0; daemon->n_settled && i < plane_n_places(daemon->plane); i++) {
		struct space *space = daemon->namespaces.spaces[i];

		if (space && space->n_settled)
			space->has_settled |= is_all;
		if (space && space->has_settled)
			judge_read_queue(daemon, i);
	}
}

void judge_tick(struct daemon *daemon, uint64_t now_us)
{
	struct flow *flow;

	while ((flow = flow_table_oldest_held(daemon->flows)) && now_us >= flow->deadline_us) {
		enum sl_verdict verdict;

		daemon->n_deadlines++;
		daemon->filters[flow->asked].n_late++;
		flow->provider = (int)fail_late(daemon, flow, flow->asked, &verdict, flow->reason);
		flow->steps[flow->provider].how = FLOW_RULED;
		flow->steps[flow->asked].how = FLOW_LATE;
		decide(daemon, flow, verdict);
	}
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		judge_ask_waiting(daemon, i, false); /* what could not be sent for want of memory */
	judge_settle(daemon, true);
}

void judge_close_all(struct daemon *daemon)
{
	struct flow *flow;

	while ((flow = flow_table_oldest_held(daemon->flows)))
		decide(daemon, flow, daemon->is_closed ? SL_REJECT : SL_ALLOW);
	ends_close_all(daemon);
}

/* ---- after a predecessor ---- */

static void restore_flow(struct daemon *daemon, const struct sl_flow_key *key,
			 const struct sl_flow *entry)
{
	struct sl_sock sock;
	struct flow *flow;

	if (entry->verdict == SL_UNDECIDED || canary_restore(daemon, key, entry) ||
	    flow_table_open(daemon->flows, key, entry->id, daemon_now_us(), &flow))
		return;
	flow->tuple = entry->tuple;
	flow->netns = netns_inode(daemon, flow->tuple.netns);
	flow->direction = (uint8_t)entry->dir;
	if (plane_find_sock(daemon->plane, key->cookie, &sock) == 0) {
		flow->owner_pid = sock.owner.pid;
		flow->owner_uid = sock.owner.uid;
		flow->identity = identity_get(daemon, &sock.user);
		flow_table_own(daemon->flows, flow, sock.user.uid);
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
