/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: A proxy session of libsluice, with the test playing the daemon: see filter-lab.h */

#include <sluice/proxy.h>

#include "filter-lab.h"

/* what its callbacks saw, and what they are to do */
struct proxied {
	struct seen *seen; /* the channel, for filter_send_record() and filter_expect() */
	struct sluice_proxy *proxy;
	enum sluice_proxy_choice choice;
	bool opens; /* in new_flow, with @error */
	int error;
	int upstream; /* new_flow forwards to it; -1: it does not */
	int returned; /* by what new_flow called */
	int start_returns;
	void (*on_start)(struct proxied *proxied);

	unsigned int n_flows, n_opened, n_cancelled, n_ended, n_stops;
	uint64_t flow, opened, cancelled, ended;
	enum sluice_proxy_end end;
	unsigned int n_done; /* rules_done, and with what */
	int done_error;
	uint32_t done_number;
	int fd; /* of flow_opened, the test's; -1: none */
};

extern const struct sluice_proxy_ops proxy_full_ops, proxy_app_ops, proxy_small_ops;

int proxy_set_up(void **state);
int proxy_tear_down(void **state);
/** proxy_begin() - a session that has said HELLO */
void proxy_begin(struct proxied *proxied, const struct sluice_proxy_ops *ops);
/** proxy_start() - one that has said READY */
void proxy_start(struct proxied *proxied, const struct sluice_proxy_ops *ops);
int proxy_process(struct proxied *proxied);
/** proxy_ask() - it is asked about a flow, and has heard it */
void proxy_ask(struct proxied *proxied, uint64_t id);
/** proxy_ask_to_take() - and takes it, having said nothing else */
void proxy_ask_to_take(struct proxied *proxied, uint64_t id);

void proxy_expect_take(struct proxied *proxied, uint64_t id);
void proxy_expect_opened(struct proxied *proxied, uint64_t id, uint32_t error);
void proxy_expect_nothing(struct proxied *proxied);

void proxy_send_socket(struct proxied *proxied, uint64_t id, int fd);
void proxy_send_cancel(struct proxied *proxied, uint64_t id);
void proxy_send_end(struct proxied *proxied, uint64_t id, bool full);

/** proxy_is_readable() - would poll(2) of its descriptor return? */
bool proxy_is_readable(const struct proxied *proxied);
/** proxy_n_fds() - open in this process */
unsigned int proxy_n_fds(void);

/** proxy_listen() - on 127.0.0.1. Return: the listener; @ret_to: for proxy_connect() */
int proxy_listen(int backlog, uint16_t *ret_port);
/** proxy_connect() - begins to. Return: a socket that does not block */
int proxy_connect(uint16_t port);
/** proxy_tcp_pair() - both ends of a connection over 127.0.0.1 */
void proxy_tcp_pair(int ret_fds[2]);
