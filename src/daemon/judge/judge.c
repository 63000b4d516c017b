/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Judging
 *
 * A queued packet finds its socket by its ends (sl_held), the socket its
 * flow. A new flow is asked about (asking.c), and what comes of that is carried
 * out (verdict.c).
 */
#include <errno.h>
#include <string.h>

#include "daemon/judge/judge.h"
#include "flow/packet.h"

struct host {
	const char *text;
	uint8_t source; /* enum flow_host */
};

/* nobody can judge it: the gate chain applies the fail class to a held packet */
static void to_fail_class(struct daemon *daemon, const struct queue_packet *packet)
{
	(void)plane_answer(daemon->plane, packet->id, QUEUE_ACCEPT, packet->mark);
}

static void drop(struct daemon *daemon, const struct queue_packet *packet)
{
	(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
}

void judge_forget(struct flow *flow, void *data)
{
	struct daemon *daemon = data;

	peeking_end(daemon, flow);
	watch_end(&daemon->watches, flow);
	history_add(daemon->history, flow); /* which puts the identity in the end */
}

const struct flow_side *judge_find_side(struct daemon *daemon, const struct sl_tuple *tuple,
					const struct sl_held *held, uint32_t ifindex)
{
	const struct sl_sock *sock = held ? &held->sock : NULL;
	struct flow_side side = { .netns = tuple->netns,
				  .netns_inode = netns_inode(daemon, tuple->netns),
				  .ifindex = ifindex };

	if (sock) {
		side.identity = identity_get(daemon, &sock->user);
		side.owner_pid = sock->owner.pid;
		side.owner_uid = sock->owner.uid;
		behalf_fill(daemon, held, &side);
	}
	memcpy(side.laddr, tuple->laddr, sizeof(side.laddr));
	return sides_get(daemon->sides, &side);
}

/* Return: 0; -ENOMEM: without its name it would be judged as another one */
static int find_host(struct daemon *daemon, const struct sl_tuple *tuple,
		     const struct sl_held *held, struct host *ret_host)
{
	const struct sl_who *user = &held->sock.user;
	struct sl_app app = sl_app_of(user, tuple->netns);
	const struct flow *behalf = behalf_there(daemon, held, tuple->raddr);
	const char *text;

	*ret_host = (struct host){ texts_none(), FLOW_HOST_NONE };
	if (behalf) {
		/* what a proxy has heard itself may be another program's: its answers pass by it */
		text = behalf->host;
		ret_host->source = behalf->host_source;
	} else if (names_find(daemon->names, &app, user->pid, tuple->raddr, daemon_now_us(),
			      &text) == 0) {
		ret_host->source = FLOW_HOST_DNS;
	} else {
		return 0;
	}
	return texts_set(daemon->texts, &ret_host->text, text);
}

static struct sl_flow_key key_of(const struct sl_tuple *tuple, uint64_t cookie)
{
	struct sl_flow_key key = {
		.cookie = cookie, .rport = tuple->rport, .proto = tuple->proto, .lo = tuple->lo
	};

	memcpy(key.raddr, tuple->raddr, sizeof(key.raddr));
	return key;
}

/* a user with very many flows loses its own oldest ones: nobody's are evicted for it */
static void keep_share(struct daemon *daemon, uint32_t uid)
{
	struct flow *flow = flow_table_oldest_of(daemon->flows, uid);
	bool goes_on;

	if (!flow)
		return;
	goes_on = flow->key.proto == IPPROTO_TCP && !sl_is_denial(flow->verdict);
	if (flow->peeking)
		peeking_evict(daemon, flow);
	if (goes_on) /* its end is not reported, and a denial that it got just now stays in force */
		flow_table_close(daemon->flows, flow);
	else
		ends_close(daemon, flow);
}

struct flow *judge_open(struct daemon *daemon, const struct sl_tuple *tuple,
			const struct sl_held *held, uint32_t ifindex)
{
	struct sl_flow_key key = key_of(tuple, held->cookie);
	struct flow *flow = flow_table_find(daemon->flows, &key);
	uint64_t now_us = daemon_now_us();
	uint32_t uid = held->sock.user.uid;
	struct host host;

	if (flow && flow->state == FLOW_HELD)
		return flow;
	if (flow) /* what it was of is over */
		flow_table_close(daemon->flows, flow);
	if (!flow_table_may_hold(daemon->flows, uid))
		return NULL;
	if (find_host(daemon, tuple, held, &host) < 0)
		return NULL;
	keep_share(daemon, uid);
	if (flow_table_open(daemon->flows, &key, 0, now_us, &flow)) {
		texts_put(daemon->texts, &host.text);
		return NULL;
	}
	flow_table_own(daemon->flows, flow, uid);
	flow->side = judge_find_side(daemon, tuple, held, ifindex);
	flow->direction = (uint8_t)held->dir;
	flow->lport = tuple->lport;
	flow->is_bound = (held->sock.flags & SL_SOCK_BOUND) != 0;
	flow->is_to_all = (held->sock.flags & SL_SOCK_TO_ALL) != 0;
	flow->is_gone = held->dir == SL_DIR_OUT && gone_has(&daemon->gone, &key);
	flow->host = host.text;
	flow->host_source = host.source;
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
	if (!sl_is_denial(flow->verdict))
		return true;
	entry.last_ns = daemon_now_us() * 1000; /* it is busy: not to be forgotten as idle */
	(void)plane_set_flow(daemon->plane, &flow->key, &entry);
	return true;
}

/* a datagram that the kernel would cut (GSO) cannot become a short one: it counts on its length */
static struct flow_packet describe_packet(const struct queue_packet *packet,
					  const struct packet_view *view)
{
	struct flow_packet kept = { .id = packet->id,
				    .mark = packet->mark,
				    .n_payload = (uint32_t)view->n_payload };

	kept.is_empty = view->tuple.proto == IPPROTO_TCP && view->n_payload == 0 &&
			!view->is_tcp_fin && !view->is_tcp_reset;
	kept.has_refusal = view->is_ipv4 && !packet->is_inbound && !packet->is_segmented &&
			   view->tuple.proto != IPPROTO_TCP;
	memcpy(kept.head, view->transport, MIN(view->n_transport, sizeof(kept.head)));
	return kept;
}

/* what comes in for a connection that was looked at and is over: there is no socket for it */
static bool is_late(const struct flow *flow, const struct packet_view *view, bool is_inbound)
{
	return is_inbound && view->tuple.proto == IPPROTO_TCP && !view->is_tcp_start &&
	       (!flow || flow->state == FLOW_OPEN);
}

/* SOCK_DESTROY has TCP send a reset for what was cut, whose end we know before the packet: it is no
 * new flow, and nothing more of it leaves. To who has begun one with us, and of what ends otherwise,
 * it is to arrive; a program's own TCP may say what it wants */
static bool is_last_reset(const struct daemon *daemon, const struct flow *flow,
			  const struct packet_view *view, const struct sl_held *held,
			  bool is_inbound)
{
	struct sl_flow_key key;

	if (is_inbound || !view->is_tcp_reset || view->is_tcp_start ||
	    !(held->sock.flags & SL_SOCK_STREAM) || (flow && flow->state != FLOW_OPEN))
		return false;
	key = key_of(&view->tuple, held->cookie);
	return live_was_cut(daemon, &key);
}

/* where a direction begins is said by its SYN. Return: false: the kernel keeps the one before, and
 * would answer this one, so that what follows it would be taken for what it is not */
static bool note_first(struct flow *flow, const struct packet_view *view,
		       const struct sl_held *held, bool is_inbound)
{
	if (is_inbound != (flow->direction == SL_DIR_IN) || flow->is_restored)
		return true;
	if (!is_inbound && !(held->sock.flags & SL_SOCK_STREAM))
		return true; /* a program's own TCP: nobody will say what it takes */
	if (is_inbound && flow->has_first_seq)
		return flow->first_seq == view->tcp_seq;
	flow->first_seq = view->tcp_seq;
	flow->has_first_seq = true;
	return true;
}

/* of TCP in the middle the sender repeats it, and then it is somebody's; else nobody would */
static void nobodys(struct daemon *daemon, const struct queue_packet *packet,
		    const struct packet_view *view)
{
	if (view->tuple.proto == IPPROTO_TCP && !view->is_tcp_start)
		drop(daemon, packet);
	else
		to_fail_class(daemon, packet);
}

/* Return: false: of nobody that could be asked about; it is answered */
static bool find_holder(struct daemon *daemon, const struct queue_packet *packet,
			const struct packet_view *view, struct sl_held *ret_held)
{
	if (plane_find_held(daemon->plane, &view->tuple, ret_held) < 0) {
		nobodys(daemon, packet, view);
		return false;
	}
	if (!ret_held->is_shared)
		return true;
	drop(daemon, packet);
	judge_settled(daemon, &view->tuple);
	return false;
}

/* Return: false: it is of no flow that was decided */
static bool take_decided(struct daemon *daemon, struct flow *flow, const struct packet_view *view,
			 const struct flow_packet *kept, const struct sl_held *held,
			 bool is_inbound)
{
	bool is_open = flow && flow->state == FLOW_OPEN;

	if (is_open && !view->is_tcp_start && flow->peeking) {
		peeking_packet(daemon, flow, view, kept, is_inbound);
		return true;
	}
	if (is_open && flow->peeking && !kept->is_empty) { /* TCP begins again, without bytes */
		peeking_drop(daemon, kept);
		return true;
	}
	if (is_open && is_in_force(daemon, flow)) {
		if (flow->peeking && is_inbound)
			peeking_begin_anew(daemon, flow, view);
		flow_count_held(flow, view->n_payload);
		verdict_let_go(daemon, flow, kept, flow->verdict);
		judge_settled(daemon, &view->tuple);
		return true;
	}
	if (is_last_reset(daemon, flow, view, held, is_inbound)) {
		peeking_drop(daemon, kept);
		judge_settled(daemon, &view->tuple);
		return true;
	}
	if (!is_late(flow, view, is_inbound))
		return false;
	(void)plane_answer(daemon->plane, kept->id, QUEUE_ACCEPT,
			   verdict_mark(kept->mark, SL_MARK_NONE));
	(void)plane_forget_peek(daemon->plane, &view->tuple, held->cookie);
	judge_settled(daemon, &view->tuple);
	return true;
}

/* @flow: one that is open is over: the kernel forgot it (LRU), or the socket connects again */
static void take_undecided(struct daemon *daemon, struct flow *flow,
			   const struct queue_packet *packet, const struct packet_view *view,
			   const struct flow_packet *kept, const struct sl_held *held)
{
	bool is_new = !flow || flow->state == FLOW_OPEN;

	if (is_new)
		flow = judge_open(daemon, &view->tuple, held, packet->ifindex);
	if (!flow) {
		to_fail_class(daemon, packet);
		return;
	}
	if ((view->is_tcp_start && !note_first(flow, view, held, packet->is_inbound)) ||
	    flow_hold(flow, kept, view->n_payload))
		drop(daemon, packet);
	else if (packet->is_inbound == (flow->direction == SL_DIR_IN))
		peeking_keep(flow, view);
	if (is_new)
		judge_ask(daemon, flow);
}

/* the kernel would drop it, but after it was shown: the right copy would contradict it then */
static bool is_damaged(const struct queue_packet *packet, const struct packet_view *view)
{
	return packet->is_inbound && packet->is_unchecked && !view->is_fragment &&
	       !packet->is_cut && !packet_has_sum(view);
}

void judge_place(const struct queue_packet *packet, struct sl_tuple *tuple)
{
	tuple->netns = packet->netns;
	tuple->lo = packet->ifindex == LOOPBACK_IFINDEX && sl_is_loopback(tuple->raddr) ? SL_LO_IS
											: SL_LO_NOT;
}

void judge_packet(struct daemon *daemon, const struct queue_packet *packet)
{
	struct packet_view view;
	struct flow_packet kept;
	struct sl_flow_key key;
	struct sl_held held;
	struct flow *flow;

	if (packet_parse(packet->bytes, packet->n_bytes, packet->is_inbound, &view) ||
	    (!packet->is_inbound && packet_has_route(packet->bytes)) || is_damaged(packet, &view)) {
		daemon->n_bad_packets++; /* made by hand and cut: no filter could allow it */
		drop(daemon, packet);
		return;
	}
	view.is_fragment |= packet->is_cut; /* what was not copied would go unseen as well */
	judge_place(packet, &view.tuple);
	if (!find_holder(daemon, packet, &view, &held))
		return;
	behalf_hear(daemon, &held.sock);
	kept = describe_packet(packet, &view);
	if (canary_takes(daemon, held.cookie)) {
		verdict_reject(daemon, &view.tuple, &kept, FLOW_NO_PORT);
		judge_settled(daemon, &view.tuple);
		return;
	}
	daemon->n_read++;
	key = key_of(&view.tuple, held.cookie);
	flow = flow_table_find(daemon->flows, &key);
	if (divert_has_moved(flow, &view.tuple)) {
		ends_close(daemon, flow);
		flow = NULL;
	}
	if (!take_decided(daemon, flow, &view, &kept, &held, packet->is_inbound))
		take_undecided(daemon, flow, packet, &view, &kept, &held);
}
