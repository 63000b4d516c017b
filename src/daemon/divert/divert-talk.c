/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What a proxy is told of its flows
 *
 * Their connections, as they come to our listeners, and that a program has closed its last
 * descriptor: to the other end of a connection this looks like a half close. What a full channel has
 * no place for waits in the order of diverts_queue().
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"

#define CLIENTS_A_ROUND 64 /* then others get their turn */

/* Return: 0, or -EAGAIN: later */
static int tell_client(struct filter *filter, struct divert *divert)
{
	struct wire_flow_socket record = { .id = divert->flow };
	int r;

	if (divert->fd < 0)
		return 0;
	r = providers_say(filter, WIRE_FLOW_SOCKET, &record, divert->fd);
	if (r == -EAGAIN)
		return r;
	divert->fd = close_fd(divert->fd); /* of one that is gone: a reset */
	divert->is_told = r == 0;
	return 0;
}

static int tell_end(struct filter *filter, struct divert *divert)
{
	struct wire_flow_end record = { .id = divert->flow, .full = 1 };

	if (!divert->is_told || !divert->is_abandoned || divert->is_end_told)
		return 0;
	if (providers_say(filter, WIRE_FLOW_END, &record, -1) == -EAGAIN)
		return -EAGAIN;
	divert->is_end_told = true;
	return 0;
}

static int tell(struct daemon *daemon, struct divert *divert)
{
	struct filter *filter = &daemon->filters[divert->proxy];
	int r = tell_client(filter, divert);

	return r < 0 ? r : tell_end(filter, divert);
}

void divert_send(struct daemon *daemon, unsigned int index)
{
	struct divert *divert, *next;

	if (!daemon->diverts)
		return;
	for (divert = diverts_next_queued(daemon->diverts, index, NULL); divert; divert = next) {
		next = diverts_next_queued(daemon->diverts, index, divert);
		if (tell(daemon, divert) == -EAGAIN) {
			providers_set_events(&daemon->filters[index], true);
			return;
		}
		diverts_unqueue(daemon->diverts, divert);
	}
}

/* who connects to a listener by itself is nobody's flow, and gets a reset: SO_LINGER */
static void take_client(struct daemon *daemon, const struct plane_client *client)
{
	struct divert *divert = diverts_take_client(daemon->diverts, &client->tuple);

	if (!divert) {
		close_fd(client->fd);
		return;
	}
	divert->fd = client->fd;
	diverts_queue(daemon->diverts, divert);
	divert_send(daemon, divert->proxy);
}

void divert_accept(struct daemon *daemon, unsigned int place)
{
	struct plane_client client;
	int r = 0;

	for (int i = 0; i < CLIENTS_A_ROUND && r == 0; i++) {
		r = plane_accept(daemon->plane, place, &client);
		if (r == 0)
			take_client(daemon, &client);
	}
	if (r < 0 && r != -EAGAIN)
		log_error("cannot take a connection for a proxy: %s", strerror(-r));
}

void divert_abandoned(struct daemon *daemon, uint64_t cookie)
{
	struct divert *divert = daemon->diverts ? diverts_find(daemon->diverts, cookie) : NULL;

	if (!divert)
		return;
	divert->is_abandoned = true;
	diverts_queue(daemon->diverts, divert);
	divert_send(daemon, divert->proxy);
}

/* the proxy reads what is left, and the end; a program that is gone is told of while it is known */
void divert_ended(struct daemon *daemon, uint64_t cookie)
{
	struct divert *divert = daemon->diverts ? diverts_find(daemon->diverts, cookie) : NULL;

	if (divert && divert->fd >= 0)
		divert_send(daemon, divert->proxy);
	if (divert)
		close_fd(divert->fd);
	diverts_remove(daemon->diverts, divert);
}

int divert_take_ask(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	struct wire_flow_end record = { .id = WIRE_BODY(message, struct wire_flow_ask_end)->id,
					.full = 1 };
	struct divert *divert;

	while (ends_drain(daemon)) /* what happened before it is known before it */
		;
	divert = diverts_find_flow(daemon->diverts, record.id);
	if (divert && divert->proxy == index && divert->is_end_told)
		return 0; /* which answers it */
	record.full = !divert || divert->proxy != index || divert->is_abandoned;
	if (divert && record.full)
		divert->is_end_told = true;
	return providers_say(&daemon->filters[index], WIRE_FLOW_END, &record, -1) == -EAGAIN
		       ? -ENOBUFS /* it does not read its answers */
		       : 0;
}

void divert_cancel(struct daemon *daemon, unsigned int index, uint64_t flow)
{
	struct wire_flow_cancel record = { .id = flow };

	/* what cannot be told is of a proxy that does not read: it finds out when it opens the flow */
	(void)providers_say(&daemon->filters[index], WIRE_FLOW_CANCEL, &record, -1);
}

void divert_lost(struct daemon *daemon, unsigned int index)
{
	struct divert *divert;

	while (daemon->diverts && (divert = diverts_any(daemon->diverts, index))) {
		close_fd(divert->fd);
		diverts_remove(daemon->diverts, divert);
	}
}
