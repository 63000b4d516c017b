/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Client of an instance's control socket
 *
 * Blocking, one call at a time, with a timeout for every reply that is not
 * waited for on purpose. Failures are an exit status and a text for people:
 * the thing, the reason, the next step.
 */

#include <stdbool.h>

#include <json-c/json.h>

#include "cli/cli.h"
#include "control/json-message.h"

#define CLIENT_TIMEOUT_MS 5000
#define CLIENT_FOR_EVER (-1)

struct client {
	int fd;
	char instance[32];
	struct json_inbox inbox;
};

struct client_error {
	int status; /* enum cli_status; 0: none */
	char text[384];
};

/** client_fail() - say why, for people; status as in enum cli_status. Return: @status */
int client_fail(struct client_error *error, int status, const char *fmt, ...) _printf_(3, 4);

/**
 * client_find() - choose an instance
 * @folder:   where instances have their folders
 * @instance: its name, or NULL: the system instance, or the only one there is
 *
 * Return: 0 or the exit status; @error says why.
 */
int client_find(const char *folder, const char *instance, char ret_instance[32],
		struct client_error *error);

/** client_open() - find and connect. Return: 0 or the exit status */
int client_open(const char *folder, const char *instance, struct client *ret_client,
		struct client_error *error);
void client_close(struct client *client);

/** client_send() - call "io.sluice.Control.@method"; consumes @parameters (may be NULL) */
int client_send(struct client *client, const char *method, struct json_object *parameters,
		bool is_more, struct client_error *error);

/**
 * client_receive() - wait for one reply
 * @ret_parameters: out: owned by the caller
 * @ret_continues:  out: more replies follow; may be NULL
 *
 * Return: 0 or the exit status; an error reply is a failure too.
 */
int client_receive(struct client *client, int timeout_ms, struct json_object **ret_parameters,
		   bool *ret_continues, struct client_error *error);

/** client_call() - send and receive one reply */
int client_call(struct client *client, const char *method, struct json_object **ret_parameters,
		struct client_error *error);

#define CLIENT_CLOSED                                                                              \
	{                                                                                          \
		.fd = -1                                                                           \
	}
#define _cleanup_client_ __attribute__((cleanup(client_close)))

/* ask.c */

/** struct client_asked - a command that takes --instance and --json, and makes one call */
struct client_asked {
	bool is_json;
	const char *instance; /* the one that was found, or as it was given, or NULL */
	char found[32];
	struct json_object *reply;
	struct client_error error;
};

/**
 * client_ask() - parse the command's line and make its call, which has no parameters
 * @ret_asked: out on -1: @reply, owned by the caller, or NULL and @error
 *
 * Return: as cli_parse(): -1, or the exit status.
 */
int client_ask(int argc, char **argv, const char *method, struct client_asked *ret_asked);
