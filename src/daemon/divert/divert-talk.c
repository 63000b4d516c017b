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
		if (divert->is_over)
			diverts_remove(daemon->diverts, divert);
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

/* ---- UDP ---- */

/* as many records as it takes; a full channel loses it, as a full socket would */
static void tell_datagram(struct daemon *daemon, const struct divert *divert, const uint8_t *bytes,
			  size_t n)
{
	struct filter *filter = &daemon->filters[divert->proxy];
	struct wire_flow_datagram record = { .id = divert->flow, .total = (uint32_t)n };
	size_t part;
	int r;

	do {
		part = MIN(n - record.offset, WIRE_TAIL_MAX);
		r = filter->sock < 0 ? -ENOTCONN
				     : channel_send(filter->sock, &wire_provider_channel,
						    WIRE_FLOW_DATAGRAM, &record,
						    bytes + record.offset, part, -1);
		record.offset += (uint32_t)part;
	} while (r == 0 && record.offset < n);
}

static void take_datagram(struct daemon *daemon, unsigned int place,
			  const struct plane_datagram *datagram, const uint8_t *bytes);

/* what came to the new socket before it was connected may be of any flow */
static void drain(struct daemon *daemon, unsigned int place, int fd)
{
	_cleanup_free_ uint8_t *bytes = malloc(PLANE_DATAGRAM_MAX);
	struct plane_datagram datagram;
	int r = bytes ? 0 : -ENOMEM;

	while (r == 0 || r == -ENOENT) {
		r = plane_receive(daemon->plane, place, fd, bytes, &datagram);
		if (r == 0)
			take_datagram(daemon, place, &datagram, bytes);
	}
}

static void take_datagram(struct daemon *daemon, unsigned int place,
			  const struct plane_datagram *datagram, const uint8_t *bytes)
{
	struct divert *divert = diverts_find_ends(daemon->diverts, &datagram->tuple);
	int fd;

	if (!divert)
		return; /* of a flow that is over, or of who sends to us by himself */
	tell_datagram(daemon, divert, bytes, datagram->n);
	if (divert->is_told || divert->fd >= 0)
		return;
	fd = plane_connect_datagrams(daemon->plane, &datagram->from);
	if (fd < 0) {
		log_error("cannot make a socket for a proxy: %s", strerror(-fd));
		return; /* again at the next datagram */
	}
	divert->fd = fd;
	drain(daemon, place, fd);
	diverts_queue(daemon->diverts, divert);
	divert_send(daemon, divert->proxy);
}

void divert_receive(struct daemon *daemon, unsigned int place)
{
	_cleanup_free_ uint8_t *bytes = malloc(PLANE_DATAGRAM_MAX);
	struct plane_datagram datagram;
	int r = bytes ? 0 : -ENOMEM;

	for (int i = 0; i < CLIENTS_A_ROUND && (r == 0 || r == -ENOENT); i++) {
		r = plane_receive(daemon->plane, place, -1, bytes, &datagram);
		if (r == 0)
			take_datagram(daemon, place, &datagram, bytes);
	}
	if (r < 0 && r != -EAGAIN && r != -ENOENT)
		log_error("cannot take a datagram for a proxy: %s", strerror(-r));
}

/* ---- the end ---- */

/* of TCP the proxy reads it, behind what is left; of UDP it has to be told */
static void end(struct daemon *daemon, struct divert *divert)
{
	if (!divert)
		return;
	divert->is_over = divert->fd >= 0;
	if (divert->tuple.proto == IPPROTO_UDP) {
		divert->is_abandoned = divert->is_over = true;
		plane_untranslate(daemon->plane, &divert->tuple);
	}
	if (divert->is_over) {
		diverts_queue(daemon->diverts, divert);
		divert_send(daemon, divert->proxy); /* which may be the last that is told */
		return;
	}
	diverts_remove(daemon->diverts, divert);
}

void divert_ended(struct daemon *daemon, uint64_t flow)
{
	if (daemon->diverts)
		end(daemon, diverts_find_flow(daemon->diverts, flow));
}

void divert_ended_socket(struct daemon *daemon, uint64_t cookie)
{
	if (daemon->diverts)
		end(daemon, diverts_find(daemon->diverts, cookie));
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

/* TCP is reset with the proxy's descriptor. A socket of UDP lives on: its next datagram is a new flow, of
 * which the next process is asked */
void divert_lost(struct daemon *daemon, unsigned int index)
{
	struct divert *divert;
	struct flow *flow;

	while (daemon->diverts && (divert = diverts_any(daemon->diverts, index))) {
		flow = flow_table_find_id(daemon->flows, divert->flow);
		divert->fd = close_fd(divert->fd);
		if (divert->tuple.proto == IPPROTO_UDP)
			plane_untranslate(daemon->plane, &divert->tuple);
		else
			flow = NULL;
		diverts_remove(daemon->diverts, divert);
		if (flow && flow->state == FLOW_OPEN)
			ends_close(daemon, flow);
	}
}
