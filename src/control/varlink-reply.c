/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Replies
 *
 * Kept while the client does not read; who lets too much come together is cut off.
 */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "control/varlink-client.h"

/* the client must survive until its handler has returned: only the loop frees it */
static void client_kill(struct varlink_client *client)
{
	client->is_dead = true;
	client->n_sent = client->n_out = 0;
	(void)shutdown(client->fd, SHUT_RDWR);
}

void varlink_client_flush(struct varlink_client *client)
{
	while (!client->is_dead && varlink_client_pending(client) > 0) {
		ssize_t n = send(client->fd, client->out + client->n_sent,
				 varlink_client_pending(client), MSG_NOSIGNAL | MSG_DONTWAIT);

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

void varlink_client_watch(struct varlink_client *client)
{
	bool is_open = !client->is_eof && !client->is_busy &&
		       varlink_client_pending(client) <= VARLINK_PENDING_LOW;
	uint32_t events = (is_open ? EPOLLIN : 0) | (varlink_client_pending(client) ? EPOLLOUT : 0);

	(void)sd_event_source_set_io_events(client->source, events);
}

/* room for @n_bytes more; moves what is pending to the front first */
static int client_reserve(struct varlink_client *client, size_t n_bytes)
{
	size_t n = varlink_client_pending(client) + n_bytes;
	char *out;

	if (client->n_sent > 0) {
		memmove(client->out, client->out + client->n_sent, varlink_client_pending(client));
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

static void client_send(struct varlink_client *client, const char *text, size_t n_bytes)
{
	if (client->is_dead || client->is_oneway)
		return;
	if (varlink_client_pending(client) + n_bytes + 1 > VARLINK_PENDING_MAX)
		varlink_client_flush(client);
	if (varlink_client_pending(client) + n_bytes + 1 > VARLINK_PENDING_MAX) {
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
	client->is_filled |= varlink_client_pending(client) > VARLINK_PENDING_LOW;
	varlink_client_watch(client);
}

static void client_send_json(struct varlink_client *client, struct json_object *message)
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
	struct varlink_client *client = server->clients[slot];
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
	varlink_client_watch(client);
}

void varlink_error(struct varlink_server *server, unsigned int slot, const char *error,
		   struct json_object *parameters)
{
	struct varlink_client *client = server->clients[slot];
	_cleanup_json_ struct json_object *message = json_object_new_object();

	if (!parameters)
		parameters = json_object_new_object();
	json_add(message, "error", json_object_new_string(error));
	json_add(message, "parameters", parameters);
	if (!client)
		return;
	client_send_json(client, message);
	client->is_busy = false;
	varlink_client_watch(client);
}

void varlink_send_text(struct varlink_server *server, unsigned int slot, const char *text,
		       size_t n_bytes)
{
	if (server->clients[slot])
		client_send(server->clients[slot], text, n_bytes);
}

size_t varlink_pending(const struct varlink_server *server, unsigned int slot)
{
	return server->clients[slot] ? varlink_client_pending(server->clients[slot]) : 0;
}
