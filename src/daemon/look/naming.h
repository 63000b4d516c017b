/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Which host a flow wants, from its first bytes
 *
 * DNS is not sure of a flow's host when its program knows no name for the address, or
 * several. Then a filter that goes by names may have the first bytes read (FLOW_NAME), and
 * static rules that a host could change have them read by themselves (RULING_E_HOST).
 * Nobody else: a flow of which no filter needs the name is not held for it.
 *
 *	held: naming_want() … ─▶ peeking_begin(): what leaves is held, what comes in is not
 *	bytes ─▶ naming_read() ─▶ LOOK ─▶ sluice-names ─▶ HOST ─▶ more bytes, or it is settled
 *	settled ─▶ naming_judge(): rules, memory; else the filter is asked again (FLOW_NEW)
 *
 *	naming.c	who waits for it, and what they get
 *	naming-read.c	what sluice-names is asked, and says
 *
 * A filter that waits for the name looks at what leaves (flow/peek.h) as if it were shown
 * that, so nothing goes; what would be shown to the first of them is read instead.
 * sluiced forwards it unread. It is settled in any case: by what sluice-names says, when
 * the client has begun and sends no more for NAMING_MORE_US, or when sluice-names does not answer, dies twice over
 * the same bytes, or is not there for NAMING_WAIT_US. Then the filter decides by what is
 * known, and is told that nothing was read.
 */

#include "flow/flow.h"

#define NAMING_WAIT_US 1000000U /* for a sluice-names that is being started again */
#define NAMING_MORE_US 1000000U /* for more bytes, when those that are there are a beginning */
#define NAMING_FOR_RULES "its host is read for rules" /* a reason */
#define NAMING_LOOKS_MAX 64U			      /* then nobody waits for what still comes */
#define NAMING_DATAGRAMS_MAX 16U /* likewise: each time all are put, of PEEK_BYTES_MAX bytes */
#define NAMING_TRIES_MAX 2U	 /* it may have died over the bytes of another flow */

struct daemon;
struct peeking;
struct wire_host;
struct wire_message;

/** struct naming - of a flow that is looked at (daemon/look/peeking.h) */
struct naming {
	uint16_t waiting;    /* filters for whose sake it is read, a bit each */
	uint16_t to_judge;   /* it was read for them, and they have not been asked since */
	unsigned int reader; /* the one of them that would be shown what is read */
	uint16_t to_answer;  /* they were asked with it, and have not said anything since */
	uint32_t n_looks;    /* answers to come */
	bool is_cut;	     /* not all could be put */
	bool is_spent;	     /* no more datagrams than these are put */
	bool is_forgotten;   /* there was no memory for the name */
	uint32_t n_asked;    /* times that what is there was put */
	uint32_t n_tries;    /* sluice-names ended before it answered */
	/* of the answers, of more bytes, of sluice-names to be there; 0: none */
	uint64_t deadline_us;
};

/** naming_may_help() - its host is not sure, and may be read, or is being read: naming_want() can */
bool naming_may_help(struct daemon *daemon, const struct flow *flow);
/** naming_want() - this filter waits for the name. Return: 0 or a negative errno */
int naming_want(struct daemon *daemon, struct flow *flow, unsigned int filter);
/** naming_want_for_rules() - the same for those from @filter on whose rules need it. Return: alike */
int naming_want_for_rules(struct daemon *daemon, struct flow *flow, unsigned int filter);
/** naming_waits() - does this filter wait for the name of a flow that is looked at? */
bool naming_waits(const struct flow *flow, unsigned int filter);
/** naming_read() - what is next for @filter, which waits. Return: false: nothing, now */
bool naming_read(struct daemon *daemon, struct peeking *peeking, unsigned int filter,
		 uint64_t now_us);
/** naming_judge() - can the filter be spared the question? Return: true: the flow is judged */
bool naming_judge(struct daemon *daemon, struct peeking *peeking, unsigned int filter);
/** naming_leave() - this filter has decided */
void naming_leave(struct peeking *peeking, unsigned int filter);

/** naming_take_wish() - FLOW_NAME: taken wherever FLOW_NEW said that it can be read. Return: 0 */
int naming_take_wish(struct daemon *daemon, unsigned int index, const struct wire_message *message);
/** naming_take_host() - HOST of sluice-names */
void naming_take_host(struct daemon *daemon, const struct wire_host *host);
/** naming_lost() - sluice-names is gone: what it was asked is asked again, or settled */
void naming_lost(struct daemon *daemon);
/** naming_is_late() - has it not answered in time? */
bool naming_is_late(const struct daemon *daemon, uint64_t now_us);
