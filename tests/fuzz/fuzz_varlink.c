/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The control socket from a client's first byte to the reply: framing, JSON,
 * parameters, dispatch. The first byte of the input says in how large pieces
 * the rest is sent.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "control/json-message.h"
#include "control/varlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

static int answer(struct varlink_call *call, void *data)
{
	struct json_object *reply = json_object_new_object();

	json_object_object_add(reply, "echo", json_object_get(call->parameters));
	/* a standing call stays open for the life of its client */
	varlink_reply(call->server, call->slot, reply, call->is_more);
	return 0;
}

static const struct varlink_method methods[] = {
	{ "io.sluice.Control.GetStatus", answer, { { NULL } } },
	{ "io.sluice.Control.ListFlows", answer, { { "follow", json_type_boolean } } },
	{ "a", answer, { { "text", json_type_string }, { "list", json_type_array } } },
};

static struct varlink_server *make_server(sd_event *event)
{
	const struct varlink_config config = {
		.interface = "io.sluice.Control",
		.description = "interface io.sluice.Control\n",
		.methods = methods,
		.n_methods = ARRAY_SIZE(methods),
	};
	struct varlink_server *server = NULL;

	if (varlink_server_new(event, &config, &server) < 0)
		abort();
	return server;
}

/* every reply of ours is a whole, valid message: read back with the same framing */
static void check_replies(int fd, struct json_inbox *inbox)
{
	for (;;) {
		struct json_object *reply = NULL;
		size_t n_space;
		char *space;
		ssize_t n;

		if (json_inbox_space(inbox, &space, &n_space))
			abort();
		n = recv(fd, space, n_space, MSG_DONTWAIT);
		if (n <= 0)
			return;
		json_inbox_added(inbox, (size_t)n);
		while (json_inbox_next(inbox, &reply) == 0)
			json_object_put(reply);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	static sd_event *event;
	struct varlink_server *server;
	struct json_inbox inbox;
	size_t step;
	int fds[2];

	if (n_data < 2)
		return 0;
	if (!event && sd_event_new(&event) < 0)
		abort();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		abort();
	server = make_server(event);
	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	if (varlink_server_adopt(server, fds[0]) < 0)
		abort();
	step = data[0] ? (size_t)data[0] * 16 : n_data;
	for (size_t at = 1; at < n_data; at += step) {
		if (send(fds[1], data + at, MIN(step, n_data - at), MSG_NOSIGNAL) < 0)
			break;
		while (sd_event_run(event, 0) > 0)
			check_replies(fds[1], &inbox);
	}
	close(fds[1]);
	while (sd_event_run(event, 0) > 0)
		;
	varlink_server_free(server);
	json_inbox_deinit(&inbox);
	return 0;
}
