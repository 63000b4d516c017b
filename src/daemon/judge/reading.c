/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Reading the queue
 *
 * Packet by packet, in order; and what follows from its being empty: whose ends may be forgotten, and
 * that who was sent behind others may pass by us.
 */
#include <errno.h>

#include "daemon/judge/judge.h"

#define BATCHES_A_ROUND 8 /* then others get their turn: answers, deadlines */
#define SETTLED_TCP_MAX 32U

/* ---- order: see struct sl_order ---- */

static struct sl_order *order_at(const struct daemon *daemon, unsigned int place)
{
	const struct netns *netns = plane_netns(daemon->plane, place);

	return netns ? plane_order(daemon->plane, netns->cookie) : NULL;
}

static uint64_t n_held_by_now(const struct daemon *daemon, unsigned int place)
{
	struct sl_order *order = order_at(daemon, place);

	return order ? __atomic_load_n(&order->n_held, __ATOMIC_SEQ_CST) : 0;
}

void order_begin(struct daemon *daemon, struct sl_flow *entry)
{
	struct sl_order *order = plane_order(daemon->plane, entry->tuple.netns);

	if (!order || entry->verdict != SL_ALLOW || entry->dir != SL_DIR_OUT ||
	    entry->tuple.proto == IPPROTO_TCP)
		return;
	(void)__atomic_add_fetch(&order->n_held, 1, __ATOMIC_SEQ_CST);
	entry->flags |= SL_FLOW_BEHIND;
	entry->behind = 0;
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
void judge_settled(struct daemon *daemon, const struct sl_tuple *tuple)
{
	struct space *space = netns_space(daemon, tuple->netns);

	if (!space || daemon->n_settled == SETTLED_MAX)
		return; /* it stays until it is the oldest (LRU) */
	daemon->settled[daemon->n_settled++] = *tuple;
	space->n_settled++;
	space->has_settled |= tuple->proto != IPPROTO_TCP || space->n_settled >= SETTLED_TCP_MAX;
}

/* The queue of that namespace is empty. @before_us: it was read later: what was held since may not have been
 * there yet */
static void forget_settled(struct daemon *daemon, unsigned int place, uint64_t before_us)
{
	struct space *space = daemon->namespaces.spaces[place];
	const struct netns *netns = plane_netns(daemon->plane, place);
	unsigned int n = 0;
	uint32_t n_kept;

	if (!space)
		return;
	space->n_emptied++;
	if (!space->has_settled)
		return;
	for (unsigned int i = 0; i < daemon->n_settled; i++) {
		const struct sl_tuple tuple = daemon->settled[i];

		if (tuple.netns == netns->cookie)
			continue;
		daemon->settled[i] = daemon->settled[n]; /* those of this one gather at the end */
		daemon->settled[n++] = tuple;
	}
	(void)plane_forget_held(daemon->plane, &daemon->settled[n], daemon->n_settled - n,
				before_us * 1000, &n_kept);
	daemon->n_settled = n + n_kept;
	space->n_settled = n_kept;
	space->has_settled = n_kept > 0;
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

/* Return: false: there may be more */
static bool read_round(struct daemon *daemon, unsigned int place)
{
	struct queue_packet packets[QUEUE_BATCH];

	(void)ends_drain(daemon); /* what the kernel did alone came before what it asks */
	for (int i = 0; i < BATCHES_A_ROUND; i++) {
		uint64_t before_us = daemon_now_us();
		int n = plane_read(daemon->plane, place, daemon->packets, packets);

		for (int j = 0; j < n; j++)
			take_packet(daemon, &packets[j]);
		if (n == (int)QUEUE_BATCH)
			continue;
		if (n >= 0 || n == -EAGAIN) {
			forget_settled(daemon, place, before_us);
			reports_flush(daemon);
		}
		return n >= 0 || n == -EAGAIN;
	}
	return false;
}

/* twice: what was counted may have been on its way into the queue */
static void read_behind(struct daemon *daemon, unsigned int place)
{
	struct sl_order *order = order_at(daemon, place);
	uint64_t n_held = n_held_by_now(daemon, place);

	if (!order || order->n_read == n_held)
		return;
	if (read_round(daemon, place) && read_round(daemon, place))
		__atomic_store_n(&order->n_read, n_held, __ATOMIC_SEQ_CST);
}

/* packets become questions: the answers to those of before are taken first, or they pile up */
void judge_read_queue(struct daemon *daemon, unsigned int place)
{
	if (flow_table_n_held(daemon->flows) > 0)
		providers_read(daemon);
	if (read_round(daemon, place))
		read_behind(daemon, place);
}

void judge_read_queues(struct daemon *daemon)
{
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		judge_read_queue(daemon, i);
}

void judge_settle(struct daemon *daemon, bool is_all)
{
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++) {
		struct space *space = daemon->namespaces.spaces[i];

		if (space && space->n_settled)
			space->has_settled |= is_all;
		if (space && space->has_settled)
			judge_read_queue(daemon, i);
	}
}
