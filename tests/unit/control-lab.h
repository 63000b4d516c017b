/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The control socket, with the test playing the daemon and its clients
 *
 * Everything runs on one event loop; a client is a plain socket.
 */

#include "base/macros.h"
#include "control/control.h"
#include "control/flow-json.h"
#include "control/json-message.h"
#include "control/varlink.h"

struct control_lab {
	bool is_slow; /* what doctor waits for takes its time */
	sd_event *event;
	struct control *control;
	char dir[32];
	char path[64];
	unsigned int n_flows;
};

/** control_lab_set_up() - a struct control_lab and its socket, for cmocka */
int control_lab_set_up(void **state);
int control_lab_tear_down(void **state);
/** control_lab_turn() - the server does what there is to do */
void control_lab_turn(struct control_lab *lab);
struct json_object *control_lab_flow(uint64_t id, const char *event, const char *verdict);

/** client_dial() - Return: a connection */
int client_dial(const struct control_lab *lab);
void client_say(int fd, const char *text, size_t n);
/** client_hear() - the next reply, running the server while there is none. Return: NULL: the end */
struct json_object *client_hear(struct control_lab *lab, int fd, struct json_inbox *inbox);
/** client_ask() - one call on its own connection. Return: the reply, "" when disconnected */
const char *client_ask(struct control_lab *lab, const char *call, size_t n);
#define CLIENT_ASK(lab, call) client_ask(lab, call, sizeof(call))
