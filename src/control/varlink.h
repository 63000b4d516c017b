/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A small Varlink server
 *
 * JSON objects ended by NUL over a Unix stream socket, on sd-event. Clients
 * live in a fixed array of slots. A slot works on one call at a time:
 *
 *     IDLE ──call──▶ BUSY ──last reply or error──▶ IDLE
 *
 * Further calls of that client wait in its inbox. A handler may answer at
 * once, or leave the call open and send replies to the slot later (a
 * follower); `closed` says when the slot's client is gone.
 *
 * Never blocks. What a client does not read is kept up to
 * VARLINK_PENDING_MAX; a client beyond it is disconnected. Calls are not
 * taken while more than VARLINK_PENDING_LOW is pending, so that only replies
 * nobody asked for one by one (a follower's) can get there.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <json-c/json.h>
#include <systemd/sd-event.h>

#define VARLINK_CLIENTS_MAX 32U
#define VARLINK_PENDING_MAX (4U << 20)
#define VARLINK_PENDING_LOW (256U << 10)
#define VARLINK_PARAMETERS_MAX 4U

struct varlink_server;
struct varlink_listener;

/** struct varlink_call - a checked call; valid inside the handler only */
struct varlink_call {
	struct varlink_server *server;
	unsigned int slot;
	struct json_object *parameters; /* NULL: none */
	bool is_more;
	bool is_oneway; /* replies are made and thrown away */
};

/** varlink_handler_fn - answer @call now, or later through its slot; -errno becomes the reply Failed */
typedef int (*varlink_handler_fn)(struct varlink_call *call, void *data);

struct varlink_parameter {
	const char *name;
	enum json_type type;
};

/** struct varlink_method - @name is fully qualified; parameters not listed are refused */
struct varlink_method {
	const char *name;
	varlink_handler_fn handler;
	struct varlink_parameter parameters[VARLINK_PARAMETERS_MAX];
};

/** struct varlink_config - copied; what it points to must outlive the server */
struct varlink_config {
	const char *interface;	 /* errors NotPermitted, Busy, InvalidParameter, Failed are its own */
	const char *description; /* the interface's text */
	uid_t owner;		 /* who may call, besides root */
	const struct varlink_method *methods;
	size_t n_methods;
	void *data;
	void (*drained)(unsigned int slot, void *data); /* pending fell below the low mark */
	void (*closed)(unsigned int slot, void *data);
};

/** varlink_server_new() - a server without a socket. Return: 0 or a negative errno */
int varlink_server_new(sd_event *event, const struct varlink_config *config,
		       struct varlink_server **ret_server);

/** varlink_server_free() - disconnects everybody. Return: NULL */
struct varlink_server *varlink_server_free(struct varlink_server *server);

/**
 * varlink_listen() - accept clients for @server on @path, mode 0666
 *
 * An old socket file is replaced. Only root and the configured owner get a
 * slot. Free the listener before its server.
 *
 * Return: 0 or a negative errno.
 */
int varlink_listen(struct varlink_server *server, const char *path,
		   struct varlink_listener **ret_listener);

/** varlink_listener_free() - removes the socket file too, if it is still ours. Return: NULL */
struct varlink_listener *varlink_listener_free(struct varlink_listener *listener);

/**
 * varlink_server_adopt() - take a connected socket as a client, whoever it is
 * @fd: consumed, also on failure
 *
 * Return: 0, -EUSERS when no slot is free, another negative errno.
 */
int varlink_server_adopt(struct varlink_server *server, int fd);

/**
 * varlink_server_make_place() - see that a slot is free
 *
 * When none is, the client goes that has asked for nothing the longest: who
 * holds a slot and says nothing keeps nobody out. Return: false: all are busy.
 */
bool varlink_server_make_place(struct varlink_server *server);

/** varlink_reply() - consumes @parameters (NULL: none); @continues keeps the call open */
void varlink_reply(struct varlink_server *server, unsigned int slot, struct json_object *parameters,
		   bool continues);

/** varlink_error() - ends the call; consumes @parameters; @error is fully qualified */
void varlink_error(struct varlink_server *server, unsigned int slot, const char *error,
		   struct json_object *parameters);

/** varlink_send_text() - one message that is already JSON text of a continuing reply */
void varlink_send_text(struct varlink_server *server, unsigned int slot, const char *text,
		       size_t n_bytes);

/** varlink_pending() - bytes that the slot's client has not taken yet */
size_t varlink_pending(const struct varlink_server *server, unsigned int slot);

/** varlink_n_lagging() - clients disconnected because too much was pending */
uint64_t varlink_n_lagging(const struct varlink_server *server);

sd_event *varlink_get_event(const struct varlink_server *server);
const struct varlink_config *varlink_get_config(const struct varlink_server *server);

/** varlink_service_methods - org.varlink.service, which every server has (varlink-service.c) */
extern const struct varlink_method varlink_service_methods[];
extern const size_t n_varlink_service_methods;

/** varlink_check() - compare @parameters to the method's. Return: NULL or the name of a wrong one */
const char *varlink_check(const struct varlink_method *method, struct json_object *parameters);
