/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Between the parts of judging
 *
 *	judge.c    whose packet is it, and what is known of its flow
 *	asking.c   the filters, one after the other; deadlines
 *	verdict.c  into the kernel, then to the packets
 *	reading.c  from the queue, in order
 *	peeking.c  what it carries, when filters look
 *	restore.c  what a predecessor left
 */

#include "daemon/daemon.h"

static inline uint32_t verdict_mark(uint32_t mark, enum sl_mark value)
{
	return (mark & ~SL_MARK_MASK) | (uint32_t)value << SL_MARK_SHIFT;
}
/** verdict_mark_of() - of the first packet of a flow that goes on */
enum sl_mark verdict_mark_of(const struct flow *flow);

/** verdict_reject() - the program of a held packet gets an error: docs/errno.md */
void verdict_reject(struct daemon *daemon, const struct sl_tuple *tuple,
		    const struct flow_packet *packet, enum flow_refusal refusal);
/** verdict_let_go() - one held packet of a flow, whose verdict the kernel knows */
void verdict_let_go(struct daemon *daemon, const struct flow *flow,
		    const struct flow_packet *packet, enum sl_verdict verdict);
/** verdict_entry() - a flow as the kernel has it, its counts kept, with this verdict; not put yet */
struct sl_flow verdict_entry(struct daemon *daemon, const struct flow *flow,
			     enum sl_verdict verdict);
/** order_begin() - what follows a datagram of @entry, which is about to be written, waits for those in
 *  front of it, if it is allowed */
void order_begin(struct daemon *daemon, struct sl_flow *entry);
/** verdict_decide() - of a held flow: into the kernel, to its packets, to whom it concerns */
void verdict_decide(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict);
/** verdict_carry_out() - of a held flow, whose verdict the kernel knows: its packets, and the rest */
void verdict_carry_out(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict);
/** judge_fail() - the filter whose turn it is cannot judge: its fail class */
void judge_fail(struct daemon *daemon, struct flow *flow);
/** live_was_cut() - did we end this connection, which a governed program had begun, lately? */
bool live_was_cut(const struct daemon *daemon, const struct sl_flow_key *key);
/** judge_find_side() - of a flow with these ends, to be put; @held: NULL: nobody knows whose it is */
const struct flow_side *judge_find_side(struct daemon *daemon, const struct sl_tuple *tuple,
					const struct sl_held *held, uint32_t ifindex);
/** judge_packet() - one that was read */
void judge_packet(struct daemon *daemon, const struct queue_packet *packet);
/** judge_settled() - a packet with these ends was let go: see "Whose packet?" */
void judge_settled(struct daemon *daemon, const struct sl_tuple *tuple);
