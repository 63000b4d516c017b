/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flows that are on their way to a proxy
 *
 *	flows_begin() ──▶ CONNECTS ──▶ TALKS ──▶ sluice_proxy_forward(), and it is over here
 *	                     ▲           │  └─▶ with TLS: OPENS ──▶ flows_opened() ──▶ PUMPS
 *	                     └───────────┘
 *	       it failed: the next endpoint, until none is left; then sluice_proxy_open(-errno)
 *
 * Flows of UDP: association.h. Such a connection is what they live with:
 *
 *	   … TALKS ──▶ HOLDS, until it ends
 *
 * Each attempt has its own time. What is read of a proxy before sluice_proxy_forward() is its
 * words alone: bytes of the flow that came with them stay in the socket.
 *
 * One thread; @now_ms is a clock that never goes back.
 */

#include <sys/queue.h>

#include <sluice/proxy.h>

#include "endpoints.h"
#include "handshake.h"
#include "tls.h"

#define FLOWS_BUCKETS 256U

struct association;
struct flow;
struct over;
struct peer;

struct flow_list {
	struct flow *first, *last;
};

struct flows {
	struct sluice_proxy *proxy;
	int epoll;		 /* flows_init() makes it; its data.ptr is for flows_event() */
	struct tls_trust *trust; /* for https */
	unsigned int timeout_ms; /* of each attempt */
	struct endpoints endpoints;
	struct flow_list waiting; /* by their time, the first to run out first */
	struct over *over;	  /* until flows_reap() */
	struct flow *buckets[FLOWS_BUCKETS];
	LIST_HEAD(, association) associations[FLOWS_BUCKETS]; /* by their socket */
	LIST_HEAD(, peer) peers_by_id[FLOWS_BUCKETS], peers_by_place[FLOWS_BUCKETS];
	TAILQ_HEAD(, association) idle;
};

/** flows_init() - Return: 0, -errno of epoll_create1(2) */
int flows_init(struct flows *flows);

/** flows_deinit() - everything is closed, nothing is told */
void flows_deinit(struct flows *flows);

/** flows_begin() - Return: 0, -ENOMEM: it is not taken */
int flows_begin(struct flows *flows, const struct sluice_flow *flow, uint64_t now_ms);

/** flows_opened(), flows_cancelled(), flows_datagram(), flows_ended() - as in struct sluice_proxy_ops */
void flows_opened(struct flows *flows, uint64_t id, int fd, uint64_t now_ms);
void flows_cancelled(struct flows *flows, uint64_t id, uint64_t now_ms);
void flows_datagram(struct flows *flows, uint64_t id, const void *bytes, size_t n, uint64_t now_ms);
void flows_ended(struct flows *flows, uint64_t id, enum sluice_proxy_end end, uint64_t now_ms);

/** flows_event() - @what: the pointer that epoll_wait(2) gave */
void flows_event(struct flows *flows, void *what, uint64_t now_ms);

/** flows_expire() - time has passed */
void flows_expire(struct flows *flows, uint64_t now_ms);

/** flows_wait_ms() - Return: until flows_expire() has something to do, as epoll_wait(2) takes it */
int flows_wait_ms(const struct flows *flows, uint64_t now_ms);

/** flows_reap() - when all events of an epoll_wait(2) are done */
void flows_reap(struct flows *flows);
