/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Clients and their calls
 *
 * Who has a slot, what is read from it, and which method answers.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "control/varlink-client.h"

static unsigned int client_slot(const struct varlink_client *client)
{
	unsigned int slot = 0;

	while (client->server->clients[slot] != client)
		slot++;
	return slot;
}

static void client_free(struct varlink_client *client)
{
	struct varlink_server *server = client->server;
	unsigned int slot = client_slot(client);

	server->clients[slot] = NULL;
	sd_event_source_disable_unref(client->source);
	close_fd(client->fd);
	json_inbox_deinit(&client->inbox);
	free(client->out);
	free(client);
	if (server->config.closed)
		server->config.closed(slot, server->config.data);
}

uint64_t varlink_n_lagging(const struct varlink_server *server)
{
	return server->n_lagging;
}

sd_event *varlink_get_event(const struct varlink_server *server)
{
	return server->event;
}

const struct varlink_config *varlink_get_config(const struct varlink_server *server)
{
	return &server->config;
}

static const struct varlink_method *find_method(const struct varlink_server *server,
						const char *name)
{
	for (size_t i = 0; i < server->config.n_methods; i++)
		if (strcmp(server->config.methods[i].name, name) == 0)
			return &server->config.methods[i];
	for (size_t i = 0; i < n_varlink_service_methods; i++)
		if (strcmp(varlink_service_methods[i].name, name) == 0)
			return &varlink_service_methods[i];
	return NULL;
}

/* an error of our own interface with up to two strings in it */
static void send_own_error(struct varlink_client *client, const char *name, const char *parameter,
			   const char *reason)
{
	struct json_object *parameters = json_object_new_object();
	char error[128];

	snprintf(error, sizeof(error), "%s.%s", client->server->config.interface, name);
	if (parameter)
		json_add(parameters, "parameter", json_object_new_string(parameter));
	if (reason)
		json_add(parameters, "reason", json_object_new_string(reason));
	varlink_error(client->server, client_slot(client), error, parameters);
}

static void client_dispatch(struct varlink_client *client, const struct json_call *json)
{
	struct varlink_server *server = client->server;
	const struct varlink_method *method = find_method(server, json->method);
	struct varlink_call call = { .server = server,
				     .slot = client_slot(client),
				     .parameters = json->parameters,
				     .is_more = json->is_more,
				     .is_oneway = json->is_oneway };
	struct json_object *parameters;
	const char *wrong;
	int r;

	client->called = ++server->n_calls;
	client->is_busy = true;
	client->is_oneway = json->is_oneway;
	if (!method) {
		parameters = json_object_new_object();
		json_add(parameters, "method", json_object_new_string(json->method));
		varlink_error(server, call.slot, "org.varlink.service.MethodNotFound", parameters);
		return;
	}
	wrong = varlink_check(method, json->parameters);
	if (wrong) {
		send_own_error(client, "InvalidParameter", wrong, "unknown or of a wrong type");
		return;
	}
	r = method->handler(&call, server->config.data);
	if (r < 0)
		send_own_error(client, "Failed", NULL, strerror(-r));
}

/* take calls out of the inbox until one stays open. Return: 0 or why the client must go */
static int client_run(struct varlink_client *client)
{
	int r = 0;

	while (!client->is_busy && !client->is_dead &&
	       varlink_client_pending(client) <= VARLINK_PENDING_LOW) {
		_cleanup_json_ struct json_object *message = NULL;
		struct json_call call;

		r = json_inbox_next(&client->inbox, &message);
		if (r == JSON_E_MORE)
			return 0;
		if (r == 0)
			r = json_call_read(message, &call);
		if (r)
			return r;
		client_dispatch(client, &call);
	}
	return 0;
}

static int client_receive(struct varlink_client *client)
{
	size_t n_space;
	char *space;
	ssize_t n;
	int r;

	r = json_inbox_space(&client->inbox, &space, &n_space);
	if (r)
		return r;
	n = recv(client->fd, space, n_space, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	client->is_eof = n == 0;
	json_inbox_added(&client->inbox, (size_t)n);
	return client_run(client);
}

static int client_drain(struct varlink_client *client)
{
	struct varlink_server *server = client->server;

	varlink_client_flush(client);
	if (varlink_client_pending(client) > VARLINK_PENDING_LOW)
		return 0;
	if (client->is_filled) {
		client->is_filled = false;
		if (server->config.drained)
			server->config.drained(client_slot(client), server->config.data);
	}
	return client_run(client);
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct varlink_client *client = data;
	int r = 0;

	if (client->is_dead || (events & (EPOLLHUP | EPOLLERR))) {
		client_free(client);
		return 0;
	}
	if (events & EPOLLIN)
		r = client_receive(client);
	if (r == 0)
		r = client_drain(client);
	/* after EOF a call may still be open, and its replies wanted */
	if (r || (client->is_eof && !client->is_busy && varlink_client_pending(client) == 0))
		client_free(client);
	else
		varlink_client_watch(client);
	return 0;
}

bool varlink_server_make_place(struct varlink_server *server)
{
	struct varlink_client *idle = NULL;

	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++) {
		struct varlink_client *client = server->clients[i];

		if (!client)
			return true;
		if (!client->is_busy && varlink_client_pending(client) == 0 &&
		    (!idle || client->called < idle->called))
			idle = client;
	}
	if (idle)
		client_free(idle);
	return idle != NULL;
}

int varlink_server_adopt(struct varlink_server *server, int fd)
{
	_cleanup_close_ int owned = fd;
	struct varlink_client *client;
	unsigned int slot = 0;
	int r;

	while (slot < VARLINK_CLIENTS_MAX && server->clients[slot])
		slot++;
	if (slot == VARLINK_CLIENTS_MAX)
		return -EUSERS;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	r = sd_event_add_io(server->event, &client->source, fd, EPOLLIN, on_client, client);
	if (r < 0) {
		free(client);
		return r;
	}
	json_inbox_init(&client->inbox, JSON_CALL_BYTES_MAX);
	client->server = server;
	client->fd = TAKE_FD(owned);
	client->called = ++server->n_calls;
	server->clients[slot] = client;
	return 0;
}

int varlink_server_new(sd_event *event, const struct varlink_config *config,
		       struct varlink_server **ret_server)
{
	struct varlink_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->event = sd_event_ref(event);
	server->config = *config;
	*ret_server = server;
	return 0;
}

struct varlink_server *varlink_server_free(struct varlink_server *server)
{
	if (!server)
		return NULL;
	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++)
		if (server->clients[i])
			client_free(server->clients[i]);
	sd_event_unref(server->event);
	free(server);
	return NULL;
}
