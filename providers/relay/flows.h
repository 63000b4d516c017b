/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flows of TCP over a link of our own
 *
 *	new_flow ──connect(2)──▶ CONNECTING ──it has, or failed──▶ ON_ITS_WAY ──a round trip──▶
 *	OPENING ──flow_opened──▶ a relay ──done──▶ a line of the log
 *
 * A connection takes a round trip of the link, one that fails as well. Until it is opened a
 * flow can be cancelled; then its upstream is closed.
 */

#include <stdbool.h>
#include <stdint.h>

#include <sluice/proxy.h>
#include <sluice/relay.h>

#include "log.h"

#define FLOW_BUCKETS 1024U

struct flow;

/** struct flows - those that are not over */
struct flows {
	struct sluice_proxy *proxy;
	struct sluice_relays *relays;
	int epoll; /* of connections that are being made; the data is their flow */
	uint64_t round_trip_ms;
	struct log *log;
	struct flow *buckets[FLOW_BUCKETS];
	struct flow *first, **last; /* ON_ITS_WAY, oldest first */
};

/** flow_connect() - also of UDP. Return: a socket that is being connected with where @flow wants to go,
 * or a negative errno */
int flow_connect(struct sluice_proxy *proxy, const struct sluice_flow *flow);

/** flows_add() - one that is taken, and the socket of flow_connect() or its error */
void flows_add(struct flows *flows, uint64_t id, int upstream);
/** flows_opened(), flows_cancelled(), flows_ended() - what ops of these names hear */
void flows_opened(struct flows *flows, uint64_t id, int fd);
void flows_cancelled(struct flows *flows, uint64_t id);
void flows_ended(struct flows *flows, uint64_t id, enum sluice_proxy_end end);
/** flows_connected() - an event of @epoll */
void flows_connected(struct flows *flows, struct flow *flow);
/** flows_open_due() - those whose round trip is over. Return: ms until the next one, or -1 */
int flows_open_due(struct flows *flows);
/** flows_deinit() - all of them, and the relays */
void flows_deinit(struct flows *flows);
