/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "control/control.h"
#include "control/flow-json.h"
#include "control/json-message.h"
#include "control/varlink.h"

#include "control-interface.h"

#define INTERFACE "io.sluice.Control"
#define LIST_PENDING_MAX (1U << 20) /* a list goes on when the client has read: see list_more() */

/* one client's ListFlows */
struct stream {
	bool is_open;
	bool is_follow;
	bool is_listing; /* open flows with larger ids than last_id are still to be sent */
	uint64_t last_id;
};

struct control {
	const struct control_ops *ops;
	void *data;
	struct varlink_server *server;
	struct varlink_listener *listener;
	struct stream streams[VARLINK_CLIENTS_MAX];
	bool is_checking[VARLINK_CLIENTS_MAX];	 /* its Doctor waits for control_checked() */
	bool is_explaining[VARLINK_CLIENTS_MAX]; /* its Explain for control_explained() */
};

struct listing {
	struct control *control;
	unsigned int slot;
	bool is_cut;
};

static struct json_object *wrap(const char *name, struct json_object *value)
{
	struct json_object *parameters = json_object_new_object();

	json_add(parameters, name, value);
	return parameters;
}

static uint64_t flow_id(struct json_object *flow)
{
	return json_object_get_uint64(json_object_object_get(flow, "id"));
}

static void emit_listed(void *to, struct json_object *flow)
{
	struct listing *listing = to;
	struct control *control = listing->control;
	struct stream *stream = &control->streams[listing->slot];

	if (listing->is_cut || flow_id(flow) <= stream->last_id)
		return;
	if (varlink_pending(control->server, listing->slot) > LIST_PENDING_MAX) {
		listing->is_cut = true;
		return;
	}
	stream->last_id = flow_id(flow);
	varlink_reply(control->server, listing->slot, wrap("flow", json_object_get(flow)), true);
}

/*
 * Send open flows until all are sent or the client has enough to read. Ids
 * only grow, so the last one sent is all there is to remember.
 */
static void list_more(struct control *control, unsigned int slot)
{
	struct stream *stream = &control->streams[slot];
	struct listing listing = { .control = control, .slot = slot };

	control->ops->list_flows(control->data, emit_listed, &listing);
	stream->is_listing = listing.is_cut;
	if (stream->is_listing || stream->is_follow)
		return;
	stream->is_open = false;
	varlink_reply(control->server, slot, NULL, false);
}

static int handle_get_status(struct varlink_call *call, void *data)
{
	struct control *control = data;
	struct json_object *status = NULL;
	int r;

	r = control->ops->get_status(control->data, &status);
	if (r < 0)
		return r;
	varlink_reply(call->server, call->slot, wrap("status", status), false);
	return 0;
}

static void answer_doctor(struct control *control, unsigned int slot)
{
	struct json_object *checks = NULL, *reason;
	int r = control->ops->doctor(control->data, &checks);

	if (r == 0) {
		varlink_reply(control->server, slot, wrap("checks", checks), false);
		return;
	}
	reason = wrap("reason", json_object_new_string(strerror(-r)));
	varlink_error(control->server, slot, INTERFACE ".Failed", reason);
}

static int handle_doctor(struct varlink_call *call, void *data)
{
	struct control *control = data;

	if (control->ops->check && !call->is_oneway) {
		control->is_checking[call->slot] = true;
		control->ops->check(control->data);
	} else {
		answer_doctor(control, call->slot);
	}
	return 0;
}

void control_checked(struct control *control)
{
	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++) {
		if (!control->is_checking[i])
			continue;
		control->is_checking[i] = false;
		answer_doctor(control, i);
	}
}

static int handle_list_flows(struct varlink_call *call, void *data)
{
	struct control *control = data;
	struct json_object *follow = json_object_object_get(call->parameters, "follow");

	if (!call->is_more) {
		varlink_error(call->server, call->slot, "org.varlink.service.ExpectedMore", NULL);
		return 0;
	}
	if (call->is_oneway) {
		varlink_reply(call->server, call->slot, NULL, false);
		return 0;
	}
	control->streams[call->slot] = (struct stream){
		.is_open = true,
		.is_follow = follow && json_object_get_boolean(follow),
		.is_listing = true,
	};
	list_more(control, call->slot);
	return 0;
}

/* Return: 0 when @r was an answer */
static int refuse(struct varlink_call *call, int r, const char *parameter, const char *reason)
{
	struct json_object *parameters;

	if (r != -ENOENT && r != -EINVAL)
		return r;
	parameters = wrap("reason", json_object_new_string(reason));
	if (r == -EINVAL)
		json_add(parameters, "parameter", json_object_new_string(parameter));
	varlink_error(call->server, call->slot,
		      r == -ENOENT ? INTERFACE ".NotFound" : INTERFACE ".InvalidParameter",
		      parameters);
	return 0;
}

static int handle_why(struct varlink_call *call, void *data)
{
	struct control *control = data;
	struct json_object *id = json_object_object_get(call->parameters, "id"), *why = NULL;
	struct json_object *denied = json_object_object_get(call->parameters, "denied");
	int r = -ENOENT;

	if (!id || json_object_get_int64(id) > 0)
		r = control->ops->why(control->data, id ? json_object_get_uint64(id) : 0,
				      denied && json_object_get_boolean(denied), &why);

	if (r < 0)
		return refuse(call, r, "id",
			      id ? "there is no such flow, or it ended long ago"
				 : "there was no such flow yet");
	varlink_reply(call->server, call->slot, wrap("why", why), false);
	return 0;
}

static int handle_explain(struct varlink_call *call, void *data)
{
	struct control *control = data;
	struct json_object *program = json_object_object_get(call->parameters, "program");
	struct json_object *target = json_object_object_get(call->parameters, "target");
	int r;

	if (call->is_oneway) { /* nobody would hear it, and the next call need not wait for it */
		varlink_reply(call->server, call->slot, NULL, false);
		return 0;
	}
	control->is_explaining[call->slot] = true;
	r = control->ops->explain(control->data, call->slot, program, target);
	if (r == 0)
		return 0;
	control->is_explaining[call->slot] = false;
	return refuse(call, r, "program, target", "incomplete or out of range");
}

void control_explained(struct control *control, unsigned int token, struct json_object *why)
{
	if (!control->is_explaining[token]) {
		json_object_put(why);
		return;
	}
	control->is_explaining[token] = false;
	varlink_reply(control->server, token, wrap("why", why), false);
}

static int handle_list_addresses(struct varlink_call *call, void *data)
{
	struct control *control = data;
	struct json_object *program = json_object_object_get(call->parameters, "program");
	struct json_object *host = json_object_object_get(call->parameters, "host");
	struct json_object *addresses = NULL;
	int r = -EINVAL;

	if (host)
		r = control->ops->list_addresses(control->data, program,
						 json_object_get_string(host), &addresses);
	if (r < 0)
		return refuse(call, r, "program, host", "incomplete or out of range");
	varlink_reply(call->server, call->slot, wrap("addresses", addresses), false);
	return 0;
}

static int handle_list_lists(struct varlink_call *call, void *data)
{
	struct control *control = data;
	struct json_object *lists = NULL;
	int r = control->ops->get_lists(control->data, &lists);

	if (r == 0)
		varlink_reply(call->server, call->slot, wrap("lists", lists), false);
	return r;
}

static int handle_list_rules(struct varlink_call *call, void *data)
{
	struct control *control = data;
	struct json_object *filter = json_object_object_get(call->parameters, "filter");
	struct json_object *from = json_object_object_get(call->parameters, "from");
	struct json_object *page = NULL;
	int r = -EINVAL;

	if (filter && from && json_object_get_int64(filter) >= 0)
		r = control->ops->get_rules(control->data, json_object_get_uint64(filter),
					    json_object_get_uint64(from), &page);
	if (r < 0)
		return refuse(call, r, "filter, from",
			      r == -ENOENT ? "this instance has no filter"
					   : "incomplete or out of range");
	varlink_reply(call->server, call->slot, wrap("page", page), false);
	return 0;
}

static const struct varlink_method methods[] = {
	{ INTERFACE ".GetStatus", handle_get_status, { { NULL } } },
	{ INTERFACE ".ListFlows", handle_list_flows, { { "follow", json_type_boolean } } },
	{ INTERFACE ".ListLists", handle_list_lists, { { NULL } } },
	{ INTERFACE ".ListRules",
	  handle_list_rules,
	  { { "filter", json_type_int }, { "from", json_type_int } } },
	{ INTERFACE ".Doctor", handle_doctor, { { NULL } } },
	{ INTERFACE ".Why",
	  handle_why,
	  { { "id", json_type_int }, { "denied", json_type_boolean } } },
	{ INTERFACE ".Explain",
	  handle_explain,
	  { { "program", json_type_object }, { "target", json_type_object } } },
	{ INTERFACE ".ListAddresses",
	  handle_list_addresses,
	  { { "program", json_type_object }, { "host", json_type_string } } },
};

static void on_drained(unsigned int slot, void *data)
{
	struct control *control = data;

	if (control->streams[slot].is_open && control->streams[slot].is_listing)
		list_more(control, slot);
}

static void on_closed(unsigned int slot, void *data)
{
	struct control *control = data;

	control->streams[slot] = (struct stream){ 0 };
	control->is_checking[slot] = false;
	control->is_explaining[slot] = false;
}

/*
 * A new, allowed flow that the listing has not reached will be listed: sending
 * it here too would show it twice. Dropped and closed ones are never listed.
 */
static bool will_be_listed(const struct stream *stream, struct json_object *flow)
{
	const char *event = json_object_get_string(json_object_object_get(flow, "event"));
	const char *verdict = json_object_get_string(json_object_object_get(flow, "verdict"));

	return stream->is_listing && flow_id(flow) > stream->last_id && event &&
	       strcmp(event, "new") == 0 && verdict && strcmp(verdict, "allow") == 0;
}

void control_publish(struct control *control, struct json_object *flow)
{
	_cleanup_json_ struct json_object *message = NULL;
	const char *text;
	size_t n = 0;

	if (!control_has_followers(control))
		return;
	message = wrap("parameters", wrap("flow", json_object_get(flow)));
	json_add(message, "continues", json_object_new_boolean(true));
	text = flow_json_line(message, &n);
	for (unsigned int i = 0; text && i < VARLINK_CLIENTS_MAX; i++) {
		const struct stream *stream = &control->streams[i];

		if (stream->is_open && stream->is_follow && !will_be_listed(stream, flow))
			varlink_send_text(control->server, i, text, n);
	}
}

bool control_has_followers(const struct control *control)
{
	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++)
		if (control->streams[i].is_open && control->streams[i].is_follow)
			return true;
	return false;
}

uint64_t control_n_lagging(const struct control *control)
{
	return varlink_n_lagging(control->server);
}

int control_new(sd_event *event, const char *path, uid_t owner, const struct control_ops *ops,
		void *data, struct control **ret_control)
{
	struct control *control = calloc(1, sizeof(*control));
	struct varlink_config config = {
		.interface = INTERFACE,
		.description = control_interface,
		.owner = owner,
		.methods = methods,
		.n_methods = ARRAY_SIZE(methods),
		.data = control,
		.drained = on_drained,
		.closed = on_closed,
	};
	int r;

	if (!control)
		return -ENOMEM;
	control->ops = ops;
	control->data = data;
	r = varlink_server_new(event, &config, &control->server);
	if (r == 0 && path)
		r = varlink_listen(control->server, path, &control->listener);
	if (r < 0) {
		control_free(control);
		return r;
	}
	*ret_control = control;
	return 0;
}

struct control *control_free(struct control *control)
{
	if (!control)
		return NULL;
	varlink_listener_free(control->listener);
	varlink_server_free(control->server);
	free(control);
	return NULL;
}
