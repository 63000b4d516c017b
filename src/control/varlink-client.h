/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A client of the server
 *
 * Between varlink.c, which takes calls, and varlink-reply.c, which sends replies.
 */

#include "control/json-message.h"
#include "control/varlink.h"

struct varlink_client {
	struct varlink_server *server;
	sd_event_source *source;
	int fd;
	struct json_inbox inbox;
	char *out; /* the bytes [n_sent, n_out) are to be sent */
	size_t n_out;
	size_t n_sent;
	size_t n_allocated;
	uint64_t called; /* the server's count when it called last, or came */
	bool is_busy;	 /* a call is open */
	bool is_oneway;	 /* and wants no reply */
	bool is_eof;	 /* it will send no more calls */
	bool is_dead;	 /* shut down; the loop frees it at its hang-up */
	bool is_filled;	 /* was above the low mark since the last `drained` */
};

struct varlink_server {
	sd_event *event;
	struct varlink_config config;
	uint64_t n_lagging, n_calls;
	struct varlink_client *clients[VARLINK_CLIENTS_MAX];
};

/** varlink_client_pending() - bytes that it has not taken yet */
static inline size_t varlink_client_pending(const struct varlink_client *client)
{
	return client->n_out - client->n_sent;
}

/** varlink_client_flush() - send what it takes now */
void varlink_client_flush(struct varlink_client *client);

/** varlink_client_watch() - wait for its next call, if one may come, and for its reading */
void varlink_client_watch(struct varlink_client *client);
