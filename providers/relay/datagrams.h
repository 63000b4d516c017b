/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flows of UDP over a link of our own
 *
 *	read ──is it lost?──▶ a queue, by the time it is due ──▶ written
 *
 * A datagram that is late is overtaken by those behind it, as on a link. One for which there is no
 * place, for it would wait for the link for too long, is lost, too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <sluice/proxy.h>
#include <sluice/relay.h>

#include "log.h"

#define UDP_BUCKETS 1024U
#define PPM 1000000U

struct udp_flow;
struct datagram;

/** struct udp - the flows, and the link, by the way of datagrams */
struct udp {
	struct sluice_proxy *proxy;
	struct log *log;
	int epoll;
	const struct sluice_relay_shape *shape;
	uint32_t loss_ppm;
	uint64_t random, free_us[2];
	size_t n_waiting; /* bytes */
	TAILQ_HEAD(datagrams, datagram) waiting;
	struct udp_flow *buckets[UDP_BUCKETS];
};

/** udp_init() - Return: 0, or a negative errno */
int udp_init(struct udp *udp, struct log *log, const struct sluice_relay_shape *shape);
void udp_deinit(struct udp *udp);

/** udp_add() - one that is taken, and a connected socket, or a negative errno */
void udp_add(struct udp *udp, uint64_t id, int upstream);
/* What ops of these names hear. Return: is it a flow of UDP? */
bool udp_opened(struct udp *udp, uint64_t id, int fd);
bool udp_ended(struct udp *udp, uint64_t id);
/** udp_datagram() - ops.flow_datagram */
void udp_datagram(struct udp *udp, uint64_t id, const void *bytes, size_t n);

/** udp_read() - when @epoll is readable */
void udp_read(struct udp *udp);
/** udp_send_due() - Return: ms until there is something to do, or -1 */
int udp_send_due(struct udp *udp);
