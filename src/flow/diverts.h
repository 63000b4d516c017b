/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flows that are proxies'
 *
 *	          its SYN goes on            accepted             told of the end
 *	diverts_add() ──▶ waits for its client ──▶ the proxy has it ──▶ diverts_remove()
 *
 * A diverted flow of TCP is one socket of the program, so it is found by that one's cookie. Until its
 * connection has come to our listener it is found by its ends as well; two flows may have the same
 * local ends, and conntrack then gives the second one another port: found by the other three when
 * there is but one. One of UDP is found by its ends for as long as it is there, and conntrack has said
 * which they are.
 *
 * Pure: no descriptor is touched; what @fd is, the caller knows.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

#define DIVERT_WAITING_MAX (128U << 10) /* bytes of datagrams of one flow; more are lost */

/** struct divert_datagram - one that came before its flow's socket was there, and waits to be told */
struct divert_datagram {
	struct divert_datagram *next;
	size_t n, n_told;
	uint8_t bytes[];
};

/** struct divert - a flow that a proxy has opened */
struct divert {
	struct divert *next_cookie, *next_flow, *next_client; /* hash chains */
	struct divert *older, *newer; /* those of which their proxy is to be told something */
	uint64_t flow, cookie;
	struct sl_tuple tuple; /* as the program sees it */
	uint64_t client;       /* cookie of @fd, also when it is the proxy's; 0: not known */
	uint64_t kept_us;      /* UDP: when the kernel was told last that it is still there */
	struct divert_datagram *datagrams; /* UDP, the oldest first */
	uint32_t n_waiting;		   /* bytes of them */
	int fd;	       /* the connection, the caller's; -1: it has not come, or was told */
	uint16_t port; /* of the program, as @fd sees it */
	uint16_t zone; /* UDP: of conntrack, for the caller */
	uint16_t proxy;
	bool is_client : 1;	  /* its connection is waited for */
	bool is_socket_asked : 1; /* UDP: @fd is being made */
	bool is_told : 1;	  /* the proxy has it */
	bool is_abandoned : 1;	  /* the program has closed its last descriptor, */
	bool is_end_told : 1;	  /* and the proxy knows */
	bool is_asked : 1;	  /* the proxy has asked whether it has */
	bool is_quiet : 1;	  /* it is told nothing of it before it has asked */
	bool is_cancelled : 1;	  /* it comes to nothing, which the proxy is to be told */
	bool is_leaving : 1;	  /* its program has gone, and its connection may still come */
	bool is_over : 1;	  /* nothing is left of it but what is to be told */
	bool is_queued : 1;	  /* in the list of those that wait */
};

struct diverts;

/** diverts_new() - @seed: random. Return: 0 or -ENOMEM */
int diverts_new(uint64_t seed, struct diverts **ret_diverts);
/** diverts_free() - NULL is fine. Return: NULL */
struct diverts *diverts_free(struct diverts *diverts);

/** diverts_add() - its connection is waited for. Return: 0 or -ENOMEM */
int diverts_add(struct diverts *diverts, uint64_t flow, uint64_t cookie,
		const struct sl_tuple *tuple, unsigned int proxy, struct divert **ret_divert);
/** diverts_remove() - NULL is fine; its descriptor is the caller's to close */
void diverts_remove(struct diverts *diverts, struct divert *divert);

/** diverts_find() - TCP: the newest of this socket; NULL: it is not diverted */
struct divert *diverts_find(struct diverts *diverts, uint64_t cookie);
/** diverts_find_flow() - NULL: this flow is not. One without a cookie is found if there is no other: it is
 *  there for what is to be told to a proxy that does not have the flow */
struct divert *diverts_find_flow(struct diverts *diverts, uint64_t flow);
/** diverts_forget_client() - its connection is not waited for any more */
void diverts_forget_client(struct diverts *diverts, struct divert *divert);
/** diverts_take_client() - whose connection has come? NULL: nobody's, or it cannot be told */
struct divert *diverts_take_client(struct diverts *diverts, const struct sl_tuple *tuple);

/** diverts_find_ends() - by all of them, while its connection is waited for. NULL: none */
struct divert *diverts_find_ends(struct diverts *diverts, const struct sl_tuple *tuple);

/** diverts_put_datagram() - one more that waits. Return: 0; -ENOBUFS: too many do; or -ENOMEM */
int diverts_put_datagram(struct divert *divert, const uint8_t *bytes, size_t n);
/** diverts_drop_datagram() - the oldest one was told */
void diverts_drop_datagram(struct divert *divert);

/** diverts_queue() - there is something to tell its proxy */
void diverts_queue(struct diverts *diverts, struct divert *divert);
/** diverts_unqueue() - all is told */
void diverts_unqueue(struct diverts *diverts, struct divert *divert);
/** diverts_next_queued() - of this proxy, the one behind @after; NULL begins and ends */
struct divert *diverts_next_queued(struct diverts *diverts, unsigned int proxy,
				   const struct divert *after);

/**
 * diverts_walk() - @n_max at most, from where the walk before has ended
 *
 * Return: how many are in @ret_found; a round of all is over with *@ret_is_round.
 */
unsigned int diverts_walk(struct diverts *diverts, struct divert **ret_found, unsigned int n_max,
			  bool *ret_is_round);

/** diverts_any() - one of this proxy; NULL: it has none */
struct divert *diverts_any(struct diverts *diverts, unsigned int proxy);
size_t diverts_n(const struct diverts *diverts);
