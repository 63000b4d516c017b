/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "control/json-message.h"
#include "control/varlink.h"

struct client {
	struct varlink_server *server;
	sd_event_source *source;
	int fd;
	struct json_inbox inbox;
	char *out; /* the bytes [n_sent, n_out) are to be sent */
	size_t n_out;
	size_t n_sent;
	size_t n_allocated;
	uint64_t called; /* the server's count when it called last, or came */
	bool is_busy;	/* a call is open */
	bool is_oneway; /* and wants no reply */
	bool is_eof;	/* it will send no more calls */
	bool is_dead;	/* shut down; the loop frees it at its hang-up */
	bool is_filled; /* was above the low mark since the last `drained` */
};

struct varlink_server {
	sd_event *event;
	struct varlink_config config;
	uint64_t n_lagging, n_calls;
	struct client *clients[VARLINK_CLIENTS_MAX];
};

static unsigned int client_slot(const struct client *client)
{
	unsigned int slot = 0;

	while (client->server->clients[slot] != client)
		slot++;
	return slot;
}

static void client_free(struct client *client)
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

/* the client must survive until its handler has returned: only the loop frees it */
static void client_kill(struct client *client)
{
	client->is_dead = true;
	client->n_sent = client->n_out = 0;
	(void)shutdown(client->fd, SHUT_RDWR);
}

static size_t client_pending(const struct client *client)
{
	return client->n_out - client->n_sent;
}

static void client_flush(struct client *client)
{
	while (!client->is_dead && client_pending(client) > 0) {
		ssize_t n = send(client->fd, client->out + client->n_sent, client_pending(client),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			client_kill(client);
		else
			client->n_sent += (size_t)n;
	}
	client->n_sent = client->n_out = 0;
}

static void client_watch(struct client *client)
{
	bool is_open = !client->is_eof && !client->is_busy &&
		       client_pending(client) <= VARLINK_PENDING_LOW;
	uint32_t events = (is_open ? EPOLLIN : 0) | (client_pending(client) ? EPOLLOUT : 0);

	(void)sd_event_source_set_io_events(client->source, events);
}

/* room for @n_bytes more; moves what is pending to the front first */
static int client_reserve(struct client *client, size_t n_bytes)
{
	size_t n = client_pending(client) + n_bytes;
	char *out;

	if (client->n_sent > 0) {
		memmove(client->out, client->out + client->n_sent, client_pending(client));
		client->n_out -= client->n_sent;
		client->n_sent = 0;
	}
	if (n <= client->n_allocated)
		return 0;
	n = MAX(n, 2 * client->n_allocated);
	out = realloc(client->out, n);
	if (!out)
		return -ENOMEM;
	client->out = out;
	client->n_allocated = n;
	return 0;
}

static void client_send(struct client *client, const char *text, size_t n_bytes)
{
	if (client->is_dead || client->is_oneway)
		return;
	if (client_pending(client) + n_bytes + 1 > VARLINK_PENDING_MAX)
		client_flush(client);
	if (client_pending(client) + n_bytes + 1 > VARLINK_PENDING_MAX) {
		client->server->n_lagging++;
		client_kill(client);
		return;
	}
	if (client_reserve(client, n_bytes + 1) < 0) {
		client_kill(client);
		return;
	}
	memcpy(client->out + client->n_out, text, n_bytes);
	client->out[client->n_out + n_bytes] = 0;
	client->n_out += n_bytes + 1;
	client->is_filled |= client_pending(client) > VARLINK_PENDING_LOW;
	client_watch(client);
}

static void client_send_json(struct client *client, struct json_object *message)
{
	size_t n = 0;
	const char *text = NULL;

	if (message) /* else there was no memory for it: "null" is no reply */
		text = json_object_to_json_string_length(
			message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

	if (text)
		client_send(client, text, n);
	else
		client_kill(client);
}

void varlink_reply(struct varlink_server *server, unsigned int slot, struct json_object *parameters,
		   bool continues)
{
	struct client *client = server->clients[slot];
	_cleanup_json_ struct json_object *message = json_object_new_object();

	if (!parameters)
		parameters = json_object_new_object();
	json_add(message, "parameters", parameters);
	if (continues)
		json_add(message, "continues", json_object_new_boolean(true));
	if (!client)
		return;
	client_send_json(client, message);
	client->is_busy = continues;
	client_watch(client);
}

void varlink_error(struct varlink_server *server, unsigned int slot, const char *error,
		   struct json_object *parameters)
{
	struct client *client = server->clients[slot];
	_cleanup_json_ struct json_object *message = json_object_new_object();

	if (!parameters)
		parameters = json_object_new_object();
	json_add(message, "error", json_object_new_string(error));
	json_add(message, "parameters", parameters);
	if (!client)
		return;
	client_send_json(client, message);
	client->is_busy = false;
	client_watch(client);
}

void varlink_send_text(struct varlink_server *server, unsigned int slot, const char *text,
		       size_t n_bytes)
{
	if (server->clients[slot])
		client_send(server->clients[slot], text, n_bytes);
}

size_t varlink_pending(const struct varlink_server *server, unsigned int slot)
{
	return server->clients[slot] ? client_pending(server->clients[slot]) : 0;
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
static void send_own_error(struct client *client, const char *name, const char *parameter,
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

static void client_dispatch(struct client *client, const struct json_call *json)
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
static int client_run(struct client *client)
{
	int r = 0;

	while (!client->is_busy && !client->is_dead &&
	       client_pending(client) <= VARLINK_PENDING_LOW) {
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

static int client_receive(struct client *client)
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

static int client_drain(struct client *client)
{
	struct varlink_server *server = client->server;

	client_flush(client);
	if (client_pending(client) > VARLINK_PENDING_LOW)
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
	struct client *client = data;
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
	if (r || (client->is_eof && !client->is_busy && client_pending(client) == 0))
		client_free(client);
	else
		client_watch(client);
	return 0;
}

bool varlink_server_make_place(struct varlink_server *server)
{
	struct client *idle = NULL;

	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++) {
		struct client *client = server->clients[i];

		if (!client)
			return true;
		if (!client->is_busy && client_pending(client) == 0 &&
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
	struct client *client;
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
