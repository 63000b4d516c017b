/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flows that filters look at
 *
 * A filter that answered FLOW_PEEK wants to see what a flow carries (flow/peek.h). When all
 * filters have been asked and none denies, the flow is let go with the verdict
 * SL_PEEK: the kernel holds what carries bytes, and sluiced shows it to every filter that
 * looks, all at the same time.
 *
 *	asking.c ─▶ peeking_begin() ─▶ packets: peeking_packet() ─▶ FLOW_DATA ─▶ answers
 *	                                  every filter lets the rest go: SL_ALLOW
 *	                                  one denies: the flow is cut (live.c)
 *
 *	peeking.c	packets, and what filters have decided
 *	peeking-life.c	beginning and end, and what the kernel is told
 *	peeking-begin.c	where a connection's bytes begin
 *	peeking-talk.c	what is said to filters, and what they say
 *
 * sl_flows says how many bytes were let go before they are: behind netfilter nothing else
 * leaves (bpf/egress.bpf.c), and a successor goes on from there. It asks new_flow again.
 */

#include "daemon/look/naming.h"
#include "flow/peek.h"
#include "kernel/plane.h"

#define PEEKING_USER_BYTES (16U << 20) /* of one user; more is dropped and sent again */
#define PEEKING_USER_PACKETS 4096U     /* likewise, held in the queue, which is everybody's */
#define PEEKING_PACKET_BYTES 512U      /* what a packet counts for on top of its payload */

struct daemon;
struct packet_view;
struct wire_message;

/** struct peeking - a flow with filters that look, or will when all have been asked */
struct peeking {
	struct peeking *next, *previous; /* of those that have begun */
	struct flow *flow;
	struct peek *core;
	bool is_begun;
	bool has_begun;	 /* TCP has said where, or it began before anybody looked */
	uint64_t due_us; /* when something is to be done; UINT64_MAX: when something comes */
	size_t charged;	 /* to its user: memory */
	size_t n_queued; /* and packets in the queue */
	uint16_t anew, told_anew; /* filters whose process must be told of the flow; has been */
	uint16_t needs_rules; /* filters that need other rules first, and are paused: needing.c */
	uint64_t waits_us[FLOW_FILTERS_MAX]; /* since when it cannot be asked, or told; 0: it can */
	uint32_t may;			     /* SL_PEEK_OUT, SL_PEEK_IN: the rest was let go */
	uint32_t flags;			     /* these as the kernel has them */
	uint64_t passed[PEEK_DIRS];
	uint64_t ack_wait_us;	    /* until it is looked again for acknowledgements */
	uint64_t n_gone[PEEK_DIRS]; /* payload that was let go and the kernel has not counted */
	uint64_t n_emptied; /* of its namespace's queue, when its socket was closed; 0: it was not */
	struct naming naming;
};

/** struct peekings - of the daemon */
struct peekings {
	struct peeking *first; /* that have begun */
	unsigned int n;
	uint64_t n_lies; /* packets that contradicted what was here before, and were dropped */
	bool has_rule;	 /* what comes in by TCP can be held */
	uint8_t *shown;	 /* PEEK_SHOWN_MAX */
};

/** struct peeking_verdict - a filter is done with a flow, and why */
struct peeking_verdict {
	unsigned int filter;
	enum flow_how how;
	enum sl_verdict verdict;
	const char *reason;
};

/** peeking_keep() - the packet that was held last may be looked at */
void peeking_keep(struct flow *flow, const struct packet_view *view);
/** peeking_prepare() - a filter may look */
void peeking_prepare(struct daemon *daemon);
/** peeking_add() - the filter looks, once all have been asked. Return: 0 or a negative errno */
int peeking_add(struct daemon *daemon, struct flow *flow, unsigned int filter,
		const struct wire_flow_peek *wanted);
/** peeking_begin() - nobody denies it. Return: 0; -ENOENT: nobody looks; a negative errno */
int peeking_begin(struct daemon *daemon, struct flow *flow);
/** peeking_packet() - a packet of a flow that has begun */
void peeking_packet(struct daemon *daemon, struct flow *flow, const struct packet_view *view,
		    const struct flow_packet *packet, bool is_inbound);
/** peeking_go_on() - whatever can be done now; the flow may be decided by it */
void peeking_go_on(struct daemon *daemon, struct peeking *peeking);
/** peeking_judge() - a filter has decided. The flow goes on without it, or is cut */
void peeking_judge(struct daemon *daemon, struct flow *flow, const struct peeking_verdict *verdict);
/** peeking_leave() - this filter does not look, and waits for nothing; the rest is the caller's */
void peeking_leave(struct peeking *peeking, unsigned int filter);
/** peeking_evict() - there is no place for it: it is cut, failing closed, or goes on unseen */
void peeking_evict(struct daemon *daemon, struct flow *flow);
/** peeking_end() - what is held is dropped, and nobody looks any more */
void peeking_end(struct daemon *daemon, struct flow *flow);
/** peeking_count() - what it has let go is added to the kernel's counts */
void peeking_count(const struct flow *flow, struct sl_flow *entry);
/** peeking_restore() - of a predecessor; the flow is held, and asked about. Return: 0, -errno */
int peeking_restore(struct daemon *daemon, struct flow *flow, const struct sl_flow *entry);
void peeking_tick(struct daemon *daemon, uint64_t now_us);
void peeking_postpone(struct daemon *daemon, uint64_t before_us, uint64_t us);
void peeking_close(struct daemon *daemon);

/* peeking-begin.c */
/** peeking_see_begin() - of TCP. Return: PEEK_HOLD: it is to be shown, if it carries anything; else
 *  what becomes of it, and the flow may be decided */
enum peek_fate peeking_see_begin(struct daemon *daemon, struct flow *flow,
				 const struct packet_view *view, enum sl_dir dir);
/** peeking_begin_anew() - a SYN of a connection that nobody has yet; the flow may be decided */
void peeking_begin_anew(struct daemon *daemon, struct flow *flow, const struct packet_view *view);

/* peeking-talk.c */
/** peeking_ask() - what is next for this filter. Return: false: the flow is not looked at any more */
bool peeking_ask(struct daemon *daemon, struct peeking *peeking, unsigned int filter,
		 uint64_t now_us);
/** peeking_lost() - its process is gone: another one is asked anew */
void peeking_lost(struct daemon *daemon, unsigned int filter);
/** peeking_ask_waiting() - its channel has a place, or it runs again, or never will */
void peeking_ask_waiting(struct daemon *daemon, unsigned int filter);
/** peeking_take_verdict() - FLOW_VERDICT. Return: false: not an answer about bytes */
bool peeking_take_verdict(struct daemon *daemon, unsigned int index,
			  const struct wire_flow_verdict *answer);
/* FLOW_PEEK, FLOW_PASS, FLOW_PAUSE. Return: 0, -EPROTO */
int peeking_take_peek(struct daemon *daemon, unsigned int index,
		      const struct wire_message *message);
int peeking_take_pass(struct daemon *daemon, unsigned int index,
		      const struct wire_message *message);
int peeking_take_pause(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message);

/* among themselves */

/** peeking_outlives() - its datagrams are looked at though its socket is closed */
bool peeking_outlives(const struct flow *flow);

static inline bool peeking_is_tcp(const struct flow *flow)
{
	return flow->key.proto == IPPROTO_TCP;
}

/** peeking_keep_let_go() - before a filter looks anew: what nobody looks at stays let go, as nobody
 * knows where it is by now */
void peeking_keep_let_go(struct peeking *peeking);
/** peeking_tells_anew() - is this filter told of it because its process is another one? */
bool peeking_tells_anew(const struct flow *flow, unsigned int filter);
/** peeking_is_looked_at() - does any filter look at it? */
bool peeking_is_looked_at(const struct peeking *peeking);
/** peeking_hold() - of TCP what comes in, if any filter looks there. Return: 0 or a negative errno */
int peeking_hold(struct daemon *daemon, struct flow *flow);
/** peeking_put() - its entry in the kernel. Return: 0 or a negative errno */
int peeking_put(struct daemon *daemon, struct peeking *peeking, enum sl_verdict verdict);
/** peeking_take_acks() - how far our side's TCP has what comes in */
void peeking_take_acks(struct daemon *daemon, struct peeking *peeking);
/** peeking_tell_kernel() - before packets are let go: what may go. Return: 0, -EAGAIN: not now */
int peeking_tell_kernel(struct daemon *daemon, struct peeking *peeking);
/** peeking_charge() - its user, with what it takes and holds */
void peeking_charge(struct peeking *peeking);
void peeking_accept(struct daemon *daemon, const struct flow *flow, enum sl_dir dir,
		    const struct flow_packet *packet);
void peeking_drop(struct daemon *daemon, const struct flow_packet *packet);
