/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: One connection to a proxy: a flow of TCP, or what an association of UDP lives with. For
 * flows.c, attempt.c and association.c alone
 */

#include "flows.h"
#include "link.h"
#include "pump.h"

#define REASON_BYTES 128U

struct association;

enum phase { PHASE_CONNECTS, PHASE_TALKS, PHASE_OPENS, PHASE_PUMPS, PHASE_HOLDS, PHASE_OVER };

/* what is over stays until no event can name it any more: the first member of each struct that
 * epoll knows */
struct over {
	struct over *next;
};

/* a descriptor of @owner, in epoll */
struct watched {
	void (*on_event)(struct flows *flows, void *owner, uint64_t now_ms);
	void *owner;
	uint32_t events; /* 0: it is not there */
};

struct flow {
	struct over over;
	struct flow *next_in_bucket;
	struct flow *previous, *next; /* in the list of those that wait */
	uint64_t id, deadline_ms;
	enum phase phase;
	bool is_waiting;
	bool is_secure_ready; /* TLS is, or there is none */
	int endpoint;
	uint64_t tried;
	struct association *association; /* that it is for; NULL: it is a flow */
	struct destination known, to;	 /* what there is, and what the proxy is told */
	struct link link;
	int program; /* -1: none */
	struct watched on_link, on_program;
	struct handshake handshake;
	struct pump *pump;
	int error; /* what the program gets if no endpoint works */
	char reason[REASON_BYTES];
};

/** flow_watch() - @events: of epoll(7); 0: not at all */
void flow_watch(struct flows *flows, struct watched *watched, int fd, uint32_t events);

/** flow_new() - Return: one without an attempt, flow_end() ends it; NULL: no memory */
struct flow *flow_new(struct association *association);

/** flow_close_link() - @is_reset: the proxy gets a reset */
void flow_close_link(struct flows *flows, struct flow *flow, bool is_reset);

/** flow_wait() - the flow waits for its proxy, and its time begins anew */
void flow_wait(struct flows *flows, struct flow *flow, uint64_t now_ms);

/** flow_wait_no_more() - it does not */
void flow_wait_no_more(struct flows *flows, struct flow *flow);

/** flow_end() - everything of it is closed */
void flow_end(struct flows *flows, struct flow *flow);

/** flow_bury() - @over is over, and free(3) ends it later */
void flow_bury(struct flows *flows, struct over *over);

/** flow_set_destination() - of the name only what a host name has goes into what a proxy is told */
void flow_set_destination(struct destination *to, const struct sluice_flow *flow);

/** attempt_next() - with the next endpoint; without one the flow is refused, and over */
void attempt_next(struct flows *flows, struct flow *flow, uint64_t now_ms);

/** attempt_connected() - PHASE_CONNECTS: the socket is connected, or is not */
void attempt_connected(struct flows *flows, struct flow *flow, uint64_t now_ms);

/** attempt_talk() - PHASE_TALKS: there is something to read, or room for what is to be sent */
void attempt_talk(struct flows *flows, struct flow *flow, uint64_t now_ms);

/** attempt_expired() - its time is over */
void attempt_expired(struct flows *flows, struct flow *flow, uint64_t now_ms);

/** attempt_fail_endpoint() - the proxy of @flow is of no use, and others are tried first for a while */
void attempt_fail_endpoint(struct flows *flows, const struct flow *flow, const char *reason,
			   uint64_t now_ms);
