/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: After a predecessor
 *
 * What it had decided is in sl_flows, and goes on. What filters looked at is held as when
 * it was new, and they are asked again.
 */
#include "daemon/judge/judge.h"

/* nobody can look at it any more: what comes in would go unseen */
static void fail_restored(struct daemon *daemon, struct flow *flow)
{
	flow->is_restored = true; /* it has a socket */
	texts_say(daemon->texts, &flow->reason,
		  daemon->is_closed ? "no memory to look at it again: fails closed"
				    : "no memory to look at it again: fails open");
	verdict_decide(daemon, flow, daemon->is_closed ? SL_REJECT : SL_ALLOW);
}

/* it is held as when it was new, and every filter is asked again */
static void look_again(struct daemon *daemon, struct flow *flow, const struct sl_flow *entry)
{
	if (flow->user && peeking_restore(daemon, flow, entry) == 0) {
		judge_ask(daemon, flow);
		return;
	}
	(void)plane_forget_peek(daemon->plane, &entry->tuple, flow->key.cookie);
	if (flow->user) {
		fail_restored(daemon, flow);
		return;
	}
	(void)plane_forget_flow(daemon->plane, &flow->key); /* nobody has its socket */
	flow_table_close(daemon->flows, flow);
}

static void restore_flow(struct daemon *daemon, const struct sl_flow_key *key,
			 const struct sl_flow *entry)
{
	struct sl_held held = { .cookie = key->cookie };
	struct flow *flow;
	bool has_socket;

	if (entry->verdict == SL_UNDECIDED || canary_restore(daemon, key, entry) ||
	    flow_table_open(daemon->flows, key, entry->id, daemon_now_us(), &flow))
		return;
	has_socket = plane_find_sock(daemon->plane, key->cookie, &held.sock) == 0;
	flow->side =
		judge_find_side(daemon, &entry->tuple, has_socket ? &held : NULL, entry->ifindex);
	flow->lport = entry->tuple.lport;
	flow->direction = entry->dir;
	flow->is_diverted = (entry->flags & SL_FLOW_DIVERTED) != 0;
	if (has_socket)
		flow_table_own(daemon->flows, flow, held.sock.user.uid);
	if (entry->verdict == SL_PEEK) {
		look_again(daemon, flow, entry);
		return;
	}
	texts_say(daemon->texts, &flow->reason, "decided before sluiced was replaced");
	(void)flow_table_decide(daemon->flows, flow, entry->verdict, daemon_now_us());
}

/* the predecessor judged its SYN, and died before it heard that the program had given up: nobody else
 * would ever take its entry away */
static bool has_no_socket(const struct flow *flow)
{
	return !flow->user && flow->key.proto == IPPROTO_TCP && flow->direction == SL_DIR_OUT;
}

/* their proxy is gone, and nothing says so to a socket of UDP: its next datagram is a new flow */
static bool has_no_proxy(const struct flow *flow)
{
	return flow->is_diverted && flow->key.proto == IPPROTO_UDP;
}

static void end_lost(struct daemon *daemon)
{
	struct flow *flow = flow_table_oldest_open(daemon->flows), *next;

	for (; flow; flow = next) {
		struct sl_tuple tuple = flow_tuple(flow);
		uint16_t zone = behalf_zone(flow);
		bool is_translated = has_no_proxy(flow);

		next = flow_next(flow);
		if (!is_translated && !has_no_socket(flow))
			continue;
		ends_close(daemon, flow); /* from here on it is held */
		if (is_translated)
			plane_untranslate(daemon->plane, &tuple, zone);
	}
}

void restore_flows(struct daemon *daemon)
{
	struct sl_flow_key key = { 0 };
	struct sl_flow entry;

	while (plane_next_flow(daemon->plane, &key, &entry) == 0)
		restore_flow(daemon, &key, &entry);
	end_lost(daemon);
}
