/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The control socket of an instance
 *
 * Serves io.sluice.Control (control/io.sluice.Control.varlink) on a Unix
 * socket. The file's mode is 0666 and the peer's credentials decide: root and
 * the instance's owner may call everything, anybody else is told
 * NotPermitted (a refused connect(2) would say nothing) and holds no slot. With
 * all slots taken the client goes that has said nothing the longest; when all
 * have a call open, the next one is told Busy.
 *
 * Nothing here blocks, and nothing here grows without bound: 32 clients, 64
 * KiB for a call, 4 MiB for what a client has not read yet. A follower that
 * falls further behind is disconnected and counted.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <json-c/json.h>
#include <systemd/sd-event.h>

struct control;

typedef void (*control_emit_fn)(void *to, struct json_object *flow);

/**
 * struct control_ops - what the daemon answers; called from the event loop
 *
 * @get_status: an object of type Status; -errno is told to the client
 * @doctor:     an array of type Check
 * @check:      begin what @doctor waits for; control_checked() ends it. NULL: nothing
 * @list_flows: hands every open flow to @emit, oldest (lowest id) first. @emit
 *              borrows the object: the caller puts it afterwards. A list that
 *              is too long for a slow client is asked for again later; flows
 *              that were sent are then skipped by their id.
 *
 * @why:        an object of type Why, of the flow @id; 0: the newest. -ENOENT: not known
 * @explain:    begin to find out what would become of a flow; control_explained() ends
 *              it, also before this returns. Parameters are read, not checked before:
 *              -EINVAL. A token that is given again means that its caller has gone
 * @list_addresses: numeric addresses that a program knows by a name
 * @get_lists:  an array of type List
 * @get_rules:  an object of type RulePage, of filter @index, from rule @from on. -ENOENT: there is no
 *              filter; -EINVAL: out of range
 *
 * Objects in ret_ parameters become the module's.
 */
struct control_ops {
	int (*get_status)(void *data, struct json_object **ret_status);
	int (*doctor)(void *data, struct json_object **ret_checks);
	void (*list_flows)(void *data, control_emit_fn emit, void *to);
	void (*check)(void *data);
	int (*why)(void *data, uint64_t id, bool is_denied, struct json_object **ret_why);
	int (*explain)(void *data, unsigned int token, struct json_object *program,
		       struct json_object *target);
	int (*list_addresses)(void *data, struct json_object *program, const char *host,
			      struct json_object **ret_addresses);
	int (*get_lists)(void *data, struct json_object **ret_lists);
	int (*get_rules)(void *data, uint64_t index, uint64_t from, struct json_object **ret_page);
};

/**
 * control_new() - listen on @path; an old socket file there is replaced
 * @owner: uid that may call, besides root
 * @ops:   not copied; @data is given to each
 *
 * Return: 0 or a negative errno.
 */
int control_new(sd_event *event, const char *path, uid_t owner, const struct control_ops *ops,
		void *data, struct control **ret_control);

/** control_free() - disconnect everybody, remove the socket file; NULL is fine. Return: NULL */
struct control *control_free(struct control *control);

/** control_publish() - send a record to all followers; borrows @flow */
void control_publish(struct control *control, struct json_object *flow);

/** control_checked() - answer everybody who called Doctor and waits for @check */
void control_checked(struct control *control);

/** control_explained() - answer Explain; consumes @why. Nobody waits any more: dropped. */
void control_explained(struct control *control, unsigned int token, struct json_object *why);

/** control_has_followers() - is it worth building a record? */
bool control_has_followers(const struct control *control);

/** control_n_lagging() - followers disconnected so far because they did not read */
uint64_t control_n_lagging(const struct control *control);
