/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The flow table
 *
 * A flow is one conversation of one socket (struct sl_flow_key).
 *
 *	flow_table_open()            flow_table_decide()        flow_table_close()
 *	 ───────────────▶ FLOW_HELD ─────────────────▶ FLOW_OPEN ──────────────▶ (gone)
 *
 * While FLOW_HELD its packets are in the kernel's queue and their ids here.
 * Who may answer: the provider in `asked`, until `deadline_us`; at the
 * deadline expiry wins a tie, so that the outcome does not depend on which of
 * the two the loop saw first.
 *
 * Pure: no descriptor, no clock; flow_table_new() takes room for all flows, of which
 * what is in use costs memory (slots.h).
 * A full table evicts its oldest open flow (its end is then not reported) and
 * refuses a new one only when every flow is held. So that no user can fill it,
 * flows are counted by user, and the caller closes the oldest of one that has
 * more than its share (flow_table_oldest_of()). Flows that wait to be asked of a
 * filter are asked user by user (turns.h), not in the order of their deadlines.
 *
 * Times are microseconds of CLOCK_BOOTTIME.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/sluice-abi.h"

#define FLOW_DEADLINE_US 5000000U /* a held flow is answered after 5 s at the latest */
#define FLOW_PACKETS_MAX 16U	  /* held packets of one flow; more are dropped, UDP may do that */
#define FLOW_HEAD_BYTES 8U	  /* of a held packet's transport header, for its refusal */
#define FLOW_HOST_BYTES 256U
#define FLOW_REASON_BYTES 128U
#define FLOW_FILTERS_MAX 16U
#define FLOW_USER_OPEN(n_max) ((n_max) / 2) /* one user's share of the table */
#define FLOW_USER_HELD(n_max) ((n_max) / 8 < 512 ? 512 : (n_max) / 8)

enum flow_state { FLOW_FREE, FLOW_HELD, FLOW_OPEN };

enum flow_error {
	_FLOW_E_SUCCESS,
	FLOW_E_FULL,	/* every slot holds a held flow: the caller applies the fail class */
	FLOW_E_UNKNOWN, /* no such flow */
	FLOW_E_DONE,	/* decided before, or not asked of this provider */
};

/** enum flow_how - what came of the turn of one filter; four bits: see flow_step() */
enum flow_how {
	FLOW_NOT_ASKED,	 /* another one decided before it */
	FLOW_ASKED,	 /* and has not answered */
	FLOW_REMEMBERED, /* an earlier answer covered it */
	FLOW_FAILED,	 /* it does not run: its fail class */
	FLOW_LATE,	 /* no answer in time: the fail class */
	FLOW_RULED,	 /* a static rule of it */
	FLOW_ANSWERED,	 /* and how far that reaches: + enum memory_scope */
};

/** enum flow_host - who says which host a flow wants; values of FLOW_NEW and of HOST */
enum flow_host {
	FLOW_HOST_NONE,
	FLOW_HOST_DNS, /* an answer that its program got; the others: its own first bytes */
	FLOW_HOST_TLS,
	FLOW_HOST_TLS_OUTER, /* there may be an encrypted hello inside, with another one */
	FLOW_HOST_HTTP,
	FLOW_HOST_H2C,
	FLOW_HOST_QUIC,
	FLOW_HOST_QUIC_OUTER,
};

/** enum flow_reading - what came of reading its first bytes; values of FLOW_NEW */
enum flow_reading {
	FLOW_UNREAD,
	FLOW_READABLE,	 /* of FLOW_NEW alone: a filter may have them read */
	FLOW_READ,	 /* they name the host, or none */
	FLOW_REFUSED,	 /* readers would differ about the name */
	FLOW_UNREADABLE, /* too late, too large, cut off, or nobody could read them */
};

/** enum flow_refusal - which error a program gets for a connection that is denied: docs/errno.md */
enum flow_refusal { FLOW_NO_PORT, FLOW_NO_NET, FLOW_NO_HOST, FLOW_NO_RIGHT };

struct identity;
struct peeking;
struct watch;

/** struct flow_packet - what is known here of a packet that the kernel holds */
struct flow_packet {
	uint64_t id;
	uint32_t mark;
	uint32_t n_payload;
	bool is_empty;	  /* TCP that carries no bytes and ends nothing */
	bool has_refusal; /* it can be replaced by its own ICMP error: see flow/refusal.h */
	uint8_t head[FLOW_HEAD_BYTES];
};

/** struct flow_kept - a held packet and its payload, which is to be freed */
struct flow_kept {
	struct flow_packet packet;
	uint8_t *bytes;
};

/** struct flow_held - what a flow has only while it is held */
struct flow_held {
	struct flow *wait_older, *wait_newer; /* of one user: those that wait to be asked about */
	uint64_t deadline_us, paused_us;
	unsigned int n_packets;
	struct flow_packet packets[FLOW_PACKETS_MAX];
	uint8_t *bytes[FLOW_PACKETS_MAX]; /* their payload, see flow_keep(); NULL: it was not kept */
};

/**
 * struct flow_side - who has a flow, and where on this machine it begins
 *
 * The thousands of flows of one program have a few of them: flow/sides.h.
 */
struct flow_side {
	struct identity *identity; /* the caller's; NULL: not known */
	uint64_t netns;		   /* cookie */
	uint8_t laddr[16];
	uint32_t netns_inode; /* of the same namespace, for people; 0: unknown */
	uint32_t ifindex;
	uint32_t owner_pid, owner_uid;
	/* a proxy's own flow: */
	struct identity *origin; /* who began the one it is on behalf of; NULL: not known */
	uint64_t behalf;	 /* that one; 0: of none that the proxy says */
	uint16_t through;	 /* proxies it has come through, a bit each; 0: it is no proxy's */
	uint16_t pad[3];
};

/** struct flow_bytes - carried */
struct flow_bytes {
	uint64_t in, out;
};

/**
 * struct flow - what is known of one flow
 *
 * A decided one stays for as long as its socket, and there are tens of thousands. So what only a
 * few have, or all have only for a moment, is behind a pointer, what many have alike is shared,
 * and what never is there at the same time has one place. In the order of use: what a look-up
 * reads, what a verdict does, what people ask for.
 */
struct flow {
	union {
		struct {
			uint32_t next_key, next_id; /* hash chains: numbers of places, 0 ends */
			union {
				uint32_t next_cookie; /* not TCP, whose sockets have one flow */
				uint32_t first_seq;   /* TCP: of its own direction's first byte */
			};
			uint32_t previous_cookie; /* one socket may have tens of thousands */
		};
		struct flow_bytes bytes; /* is_counted: it has ended, and is in no chain */
	};
	uint64_t id;
	struct sl_flow_key key;
	int32_t older, newer;		/* in order of time: so many places from here; 0: none */
	int32_t user_older, user_newer; /* the same, of one user */
	struct flow_user *user;		/* NULL: nobody's; see flow_table_own() */
	const struct flow_side *side;	/* the caller's */
	const char *host, *reason;	/* the caller's: flow/texts.h */
	struct peeking *peeking;	/* filters look at what it carries; the caller's */
	struct watch *watches;		/* filters want reports of it: flow/watch.h */
	uint64_t opened_us;
	union {
		struct flow_held *held; /* FLOW_HELD; NULL: is_hypothetical */
		uint64_t decided_us;	/* FLOW_OPEN */
	};
	uint64_t steps;		  /* enum flow_how, by filter: flow_step() */
	uint32_t n_held_bytes;	  /* payload of queued packets, which the kernel has not counted */
	uint16_t lport;		  /* ICMP: identifier */
	uint16_t told;		  /* filters that know of it, a bit each */
	uint16_t denied_by;	  /* filters that deny it now, a bit each */
	uint8_t state : 2;	  /* enum flow_state */
	uint8_t direction : 1;	  /* enum sl_dir */
	uint8_t verdict : 3;	  /* enum sl_verdict */
	bool is_counted : 1;	  /* it has ended */
	bool is_restored : 1;	  /* of a predecessor, and asked about again */
	uint8_t host_source : 4;  /* enum flow_host */
	uint8_t host_reading : 4; /* enum flow_reading */
	int8_t provider;	  /* index of the filter that decided; -1: sluiced itself */
	uint8_t asked : 4;	  /* index of the filter that may answer */
	bool is_sent : 1;	  /* the filter has been told; see flow_table_ask() */
	bool is_waiting : 1;	  /* it is to be told; see flow_table_wait() */
	bool is_paused : 1;	  /* while it is held: its filter answers later */
	bool needs_rules : 1;	  /* and is paused: it is asked again when its filter has others */
	bool needed_rules : 1;	  /* of the filter that is asked */
	bool is_gone : 1;	  /* its socket ended while it was held, or before */
	bool is_remembered : 1;	  /* the kernel allowed it, nobody was asked */
	bool was_allowed : 1;	  /* its verdict was another one before */
	bool is_hypothetical : 1; /* of daemon/tell/explain.c, in no table: no packet waits for it */
	bool has_first_seq : 1;
	bool is_taken : 1;    /* while it is held: a proxy opens it */
	bool is_diverted : 1; /* it is that one's */
	bool is_quiet : 1;    /* and that one asks what an end is: SL_FLOW_QUIET */
	bool is_bound : 1;    /* while it is held: its socket is bound to an interface */
	bool is_to_all : 1;   /* to all of a network of IPv4 */
	uint8_t refusal : 2;  /* enum flow_refusal, of a denial */
};
_Static_assert(sizeof(struct flow) == 160, "1000 flows in 0.2 MB, with the indices: bench/memory");

/** flow_filter_bit() - of a filter, in what has a bit for each */
static inline uint16_t flow_filter_bit(unsigned int filter)
{
	return (uint16_t)(1U << filter);
}

/** flow_step() - what came of the turn of this filter */
static inline enum flow_how flow_step(const struct flow *flow, unsigned int filter)
{
	unsigned int how = flow->steps >> 4 * filter & 0xf;

	return how < FLOW_ANSWERED ? (enum flow_how)how : FLOW_ANSWERED;
}

/** flow_scope() - how far its answer reaches: enum memory_scope */
static inline uint8_t flow_scope(const struct flow *flow, unsigned int filter)
{
	unsigned int how = flow->steps >> 4 * filter & 0xf;

	return how > FLOW_ANSWERED ? (uint8_t)(how - FLOW_ANSWERED) : 0;
}

/** flow_set_step() - @scope: of FLOW_ANSWERED, else 0 */
static inline void flow_set_step(struct flow *flow, unsigned int filter, enum flow_how how,
				 unsigned int scope)
{
	flow->steps &= ~(0xfULL << 4 * filter);
	flow->steps |= (uint64_t)(how + scope) << 4 * filter;
}

/** flow_tuple() - its ends, as in its packets */
struct sl_tuple flow_tuple(const struct flow *flow);

/** flow_near() - so many places from @from; flow_far(): how many */
static inline struct flow *flow_near(const struct flow *from, int32_t distance)
{
	return distance ? (struct flow *)from + distance : NULL;
}

static inline int32_t flow_far(const struct flow *from, const struct flow *to)
{
	return to ? (int32_t)(to - from) : 0;
}

/** flow_is_asked() - may this filter answer now? NULL is fine */
static inline bool flow_is_asked(const struct flow *flow, unsigned int filter)
{
	return flow && flow->state == FLOW_HELD && flow->asked == filter && flow->is_sent &&
	       !flow->is_paused;
}

struct flow_table;

/**
 * flow_table_new() - take room for @n_max flows
 * @seed:      random: whoever chooses where its flows go does not choose their bucket
 * @first_id:  ids count up from here; larger than any id of a predecessor
 * @forget_fn: called for each flow that leaves the table, to release its side and texts
 */
typedef void (*flow_forget_fn)(struct flow *flow, void *data);
int flow_table_new(size_t n_max, uint64_t seed, uint64_t first_id, flow_forget_fn forget_fn,
		   void *data, struct flow_table **ret_table);
struct flow_table *flow_table_free(struct flow_table *table);

/** flow_table_take_id() - an id that no flow of the table gets, for one that is in none */
uint64_t flow_table_take_id(struct flow_table *table);

/** flow_table_find() - by key; NULL: none */
struct flow *flow_table_find(struct flow_table *table, const struct sl_flow_key *key);
struct flow *flow_table_find_id(struct flow_table *table, uint64_t id);

/** flow_table_find_cookie() - a flow, not of TCP, of the socket after @after; NULL begins and ends */
struct flow *flow_table_find_cookie(struct flow_table *table, uint64_t cookie,
				    const struct flow *after);

/**
 * flow_table_open() - a new held flow with a deadline
 * @id: 0: the next one; else of a flow that a predecessor knew
 *
 * Return: 0 or FLOW_E_FULL.
 */
int flow_table_open(struct flow_table *table, const struct sl_flow_key *key, uint64_t id,
		    uint64_t now_us, struct flow **ret_flow);

/** flow_table_may_hold() - Return: false: this user has its share of held flows already */
bool flow_table_may_hold(struct flow_table *table, uint32_t uid);

/** flow_table_own() - the flow is this user's */
void flow_table_own(struct flow_table *table, struct flow *flow, uint32_t uid);

/** flow_table_oldest_of() - the oldest open flow of a user with its share of them; NULL: it has less */
struct flow *flow_table_oldest_of(struct flow_table *table, uint32_t uid);

/**
 * flow_table_wait() - a held flow of a user waits to be asked of its filter, flow->asked
 *
 * It may wait already, and then stays where it is.
 */
void flow_table_wait(struct flow_table *table, struct flow *flow);
/** flow_table_ask() - the filter of a held flow has been told of it */
void flow_table_ask(struct flow_table *table, struct flow *flow);
/** flow_table_ask_anew() - all that this filter was told of waits again, in the old order */
void flow_table_ask_anew(struct flow_table *table, unsigned int filter);
/** flow_table_pass() - it is the turn of @filter with this held flow: nobody has told it */
void flow_table_pass(struct flow_table *table, struct flow *flow, unsigned int filter);
/** flow_table_renew() - a held flow has a whole deadline again */
void flow_table_renew(struct flow_table *table, struct flow *flow, uint64_t now_us);
/** flow_charge() - its user is charged with so many bytes of memory, and packets in the queue, more,
 *  or fewer */
void flow_charge(struct flow *flow, ssize_t n_bytes, ssize_t n_packets);
/** flow_charged() - bytes its user is charged with, for all flows; 0 of a flow that is nobody's */
size_t flow_charged(const struct flow *flow);
/** flow_queued() - packets, likewise */
size_t flow_queued(const struct flow *flow);
/** flow_table_next_waiting() - the flow to tell this filter of next: turns.h; NULL: none waits */
struct flow *flow_table_next_waiting(const struct flow_table *table, unsigned int filter);

/** flow_hold() - remember one more held packet. Return: 0 or FLOW_E_FULL. */
int flow_hold(struct flow *flow, const struct flow_packet *packet, size_t n_payload);
/** flow_keep() - a copy of the payload of the packet that was held last, which its user is charged with.
 *  Without memory it is as if nobody had asked. */
void flow_keep(struct flow *flow, const uint8_t *bytes);
/** flow_take_kept() - all that are held, which are not any more. Return: how many; 0: not each of them was
 *  kept, and all are held as before. */
unsigned int flow_take_kept(struct flow *flow, struct flow_kept ret_kept[FLOW_PACKETS_MAX]);
/** flow_count_held() - so much more that the kernel has not counted */
void flow_count_held(struct flow *flow, size_t n_payload);

/** flow_table_decide() - a held flow becomes open. Return: 0 or FLOW_E_DONE. */
int flow_table_decide(struct flow_table *table, struct flow *flow, enum sl_verdict verdict,
		      uint64_t now_us);

/** flow_table_close() - forget a flow */
void flow_table_close(struct flow_table *table, struct flow *flow);
/** flow_table_end() - the same of one that has ended, having carried so much: it is_counted */
void flow_table_end(struct flow_table *table, struct flow *flow, const struct flow_bytes *bytes);
/** flow_table_trim() - memory of places that nobody uses now is given back. Return: bytes */
size_t flow_table_trim(struct flow_table *table);

/** flow_table_oldest_held() - first in the order of deadlines; NULL: none */
struct flow *flow_table_oldest_held(struct flow_table *table);
struct flow *flow_table_oldest_open(struct flow_table *table);
/** flow_table_postpone() - what was held at @before_us is given @us more: nobody ran meanwhile */
void flow_table_postpone(struct flow_table *table, uint64_t before_us, uint64_t us);
/** flow_next() - the one opened, or decided, after it. flow_previous(): before */
static inline struct flow *flow_next(const struct flow *flow)
{
	return flow_near(flow, flow->newer);
}

static inline struct flow *flow_previous(const struct flow *flow)
{
	return flow_near(flow, flow->older);
}

/** flow_table_at() - the flow in place @i, FLOW_FREE: nobody; NULL: no place from there on is used */
struct flow *flow_table_at(struct flow_table *table, size_t i);
/** flow_table_next_id() - flows of now have smaller ids, later ones do not */
uint64_t flow_table_next_id(const struct flow_table *table);

size_t flow_table_n_held(const struct flow_table *table);
size_t flow_table_n_open(const struct flow_table *table);
