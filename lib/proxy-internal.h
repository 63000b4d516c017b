/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Inside a proxy session
 *
 * It is a filter session (filter-internal.h) that says TAKE in the place of a verdict, and an
 * epoll(7) set: that session, connections that are being made (proxy-forward.c), and relays.
 */

#include <sluice/proxy.h>
#include <sluice/relay.h>

#include "base/spin.h"

#include "lib/filter-internal.h"
#include "lib/relay-internal.h"

#define PROXY_FORWARDS 4096U /* buckets, a power of two */
#define PROXY_DATAGRAM_MAX 65536U

#define PROXY_OPS_SET(ops, member)                                                                 \
	((ops)->size >= offsetof(struct sluice_proxy_ops, member) + sizeof((ops)->member) &&       \
	 (ops)->member)

/** struct forward - a flow that is connected with another socket, or will be */
struct forward {
	struct forward *next;	   /* of one bucket */
	struct forward *next_owed; /* is_owed: of those */
	struct sluice_proxy *proxy;
	uint64_t flow;
	struct sluice_relay *relay;
	int upstream;	   /* connecting, or waiting for the program's; -1: the relay has it */
	int program;	   /* UDP; -1: it has not come */
	int error;	   /* of its upstream: a positive errno, 0: it is reached, */
	int ended;	   /* and was reset at once: a positive errno */
	bool is_connected; /* which is known, */
	bool is_owed;	   /* and not said yet: there was no place for it */
	bool is_polled;	   /* it was waited for: it is in the set, and silent if it is connected */
	bool is_udp;
};

struct sluice_proxy {
	const struct sluice_proxy_ops *ops;
	void *data;
	struct sluice_filter *filter;
	struct sluice_filter_ops adapted;
	int epoll;
	struct spin spin;
	unsigned int n_rounds;	      /* since the session has spoken; ROUNDS_AWAKE: or more */
	short events;		      /* that the session is polled for */
	uint64_t asked;		      /* flow that new_flow is running for; 0: none */
	bool is_taken;		      /* it has been opened, which takes it */
	struct sluice_relays *relays; /* NULL: nothing was forwarded yet */
	struct forward *forwards[PROXY_FORWARDS];
	uint8_t *datagram; /* that comes in parts; NULL: none ever has */
	uint64_t datagram_flow;
	size_t n_datagram; /* of it, so far */
	struct forward *owed;
};

/** proxy_open() - as sluice_proxy_open(); @is_quiet: of TCP nothing is said of its end but in answer to
 *  sluice_proxy_ask_end(), and after that one */
int proxy_open(struct sluice_proxy *proxy, uint64_t flow_id, int error, const char *reason,
	       bool is_quiet);
/** forward_find() - NULL: the flow is not forwarded */
struct forward *forward_find(struct sluice_proxy *proxy, uint64_t flow);
/** forward_ready() - a descriptor of it: the upstream connection stands, or does not; or there are
 *  datagrams */
void forward_ready(struct forward *forward);
/** forward_say_owed() - what could not be said before, as far as there is a place */
void forward_say_owed(struct sluice_proxy *proxy);
/** forward_is_ready() - may the program's connection come? */
bool forward_is_ready(const struct forward *forward);
/** forward_begin() - with the connection of the program, which is consumed */
void forward_begin(struct forward *forward, int program);
/** forward_datagram() - UDP: from the program, past the descriptor */
void forward_datagram(struct forward *forward, const void *bytes, size_t n);
/** forward_end_udp() - its program sends no more: what it has sent goes on */
void forward_end_udp(struct forward *forward);
/** forward_end() - there is none */
void forward_end(struct forward *forward);
/** forward_end_all() - when the session is freed */
void forward_end_all(struct sluice_proxy *proxy);
