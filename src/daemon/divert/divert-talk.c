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

/* of a flow that comes to nothing */
static int tell_cancel(struct filter *filter, struct divert *divert)
{
	struct wire_flow_cancel record = { .id = divert->flow };

	if (!divert->is_cancelled)
		return 0;
	if (providers_say(filter, WIRE_FLOW_CANCEL, &record, -1) == -EAGAIN)
		return -EAGAIN;
	divert->is_cancelled = false;
	divert->is_told = divert->is_end_told = true;
	return 0;
}

/* as many records as they take. Return: 0, or -EAGAIN: later */
static int tell_datagrams(struct filter *filter, struct divert *divert)
{
	struct wire_flow_datagram record = { .id = divert->flow };
	struct divert_datagram *datagram;
	size_t n;
	int r;

	while ((datagram = divert->datagrams)) {
		n = MIN(datagram->n - datagram->n_told, WIRE_TAIL_MAX);
		record.offset = (uint32_t)datagram->n_told;
		record.total = (uint32_t)datagram->n;
		r = filter->sock < 0
			    ? -ENOTCONN
			    : channel_send(filter->sock, &wire_provider_channel, WIRE_FLOW_DATAGRAM,
					   &record, datagram->bytes + record.offset, n, -1);
		if (r == -EAGAIN)
			return r;
		datagram->n_told += n;
		if (r < 0 || datagram->n_told == datagram->n)
			diverts_drop_datagram(divert);
	}
	return 0;
}

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
	divert->fd = close_fd(divert->fd); /* of one that is gone, or cannot have it: a reset */
	divert->is_told = r == 0;
	divert->is_cancelled = r < 0;
	return 0;
}

/* of what was told and is over nobody reads */
static int tell_end(struct filter *filter, struct divert *divert)
{
	struct wire_flow_end record = { .id = divert->flow,
					.full = divert->is_abandoned ||
						(divert->is_over && divert->is_asked) };

	if (!divert->is_told || divert->is_end_told || divert->is_quiet ||
	    (!record.full && !divert->is_asked))
		return 0;
	if (providers_say(filter, WIRE_FLOW_END, &record, -1) == -EAGAIN)
		return -EAGAIN;
	divert->is_asked = false;
	divert->is_end_told = record.full;
	return 0;
}

static int tell(struct daemon *daemon, struct divert *divert)
{
	struct filter *filter = &daemon->filters[divert->proxy];
	int r = tell_datagrams(filter, divert);

	if (r == 0)
		r = tell_client(filter, divert);
	if (r == 0)
		r = tell_cancel(filter, divert);
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

static void say(struct daemon *daemon, struct divert *divert)
{
	diverts_queue(daemon->diverts, divert);
	divert_send(daemon, divert->proxy);
}

/* something about a flow that is none of its own, or not any more. Return: 0 or -ENOMEM */
static int say_of(struct daemon *daemon, unsigned int index, uint64_t flow, bool is_asked)
{
	const struct sl_tuple nowhere = { 0 };
	struct divert now = { .flow = flow,
			      .proxy = index,
			      .fd = -1,
			      .is_told = is_asked,
			      .is_asked = is_asked,
			      .is_cancelled = !is_asked,
			      .is_over = true };
	struct divert *later;

	if (tell(daemon, &now) == 0)
		return 0;
	if (diverts_add(daemon->diverts, flow, 0, &nowhere, index, &later) < 0)
		return -ENOMEM;
	diverts_forget_client(daemon->diverts, later);
	later->is_told = later->is_asked = is_asked;
	later->is_cancelled = !is_asked;
	later->is_over = true;
	say(daemon, later);
	return 0;
}

/* who connects to a listener by itself is nobody's flow, and gets a reset: SO_LINGER. So does who has come while
 * nobody was there, and of whom conntrack has not been told */
static void take_client(struct daemon *daemon, const struct plane_client *client)
{
	struct divert *divert = diverts_take_client(daemon->diverts, &client->tuple);

	if (!divert) {
		plane_begin_anew(daemon->plane, &client->tuple);
		close_fd(client->fd);
		return;
	}
	divert->fd = client->fd;
	divert->port = client->tuple.lport;
	divert->client = client->cookie;
	say(daemon, divert);
}

/* Return: as plane_accept() */
static int accept_one(struct daemon *daemon, unsigned int place, bool is_ipv6)
{
	struct plane_client client;
	int r = plane_accept(daemon->plane, place, is_ipv6, &client);

	if (r == 0)
		take_client(daemon, &client);
	return r;
}

int divert_accept(struct daemon *daemon, unsigned int place, bool is_ipv6)
{
	int r = 0;

	for (int i = 0; i < CLIENTS_A_ROUND && r == 0; i++)
		r = accept_one(daemon, place, is_ipv6);
	return r;
}

void divert_accept_of(struct daemon *daemon, const struct divert *divert)
{
	int place = plane_find_netns(daemon->plane, divert->tuple.netns);

	while (place >= 0 && divert->tuple.proto == IPPROTO_TCP && divert->is_client &&
	       accept_one(daemon, (unsigned int)place, !sl_is_mapped4(divert->tuple.raddr)) == 0)
		;
}

/* ---- UDP ---- */

static void take_datagram(struct daemon *daemon, const struct plane_datagram *datagram,
			  const uint8_t *bytes)
{
	struct divert *divert = diverts_find_ends(daemon->diverts, &datagram->tuple);

	if (!divert)
		return; /* of a flow that is over, or of who sends to us by himself */
	(void)diverts_put_datagram(divert, bytes, datagram->n); /* or it is lost, as any may be */
	divert_want_socket(daemon, divert, &datagram->ours);
	say(daemon, divert);
}

/* Return: as divert_receive() */
static int receive(struct daemon *daemon, unsigned int place)
{
	_cleanup_free_ uint8_t *bytes = malloc(PLANE_DATAGRAM_MAX);
	struct plane_datagram datagram;
	int r = bytes ? 0 : -ENOMEM;

	for (int i = 0; i < CLIENTS_A_ROUND && (r == 0 || r == -ENOENT); i++) {
		if (divert_is_line_full(daemon)) /* the rest waits where it is */
			break;
		r = plane_receive(daemon->plane, place, -1, bytes, &datagram);
		if (r == 0)
			take_datagram(daemon, &datagram, bytes);
	}
	return r == -ENOENT ? 0 : r;
}

/* what came to the new socket before it was connected may be of any flow */
static void drain(struct daemon *daemon, unsigned int place, int fd)
{
	_cleanup_free_ uint8_t *bytes = malloc(PLANE_DATAGRAM_MAX);
	struct plane_datagram datagram;
	int r = bytes ? 0 : -ENOMEM;

	while (r == 0 || r == -ENOENT) {
		r = plane_receive(daemon->plane, place, fd, bytes, &datagram);
		if (r == 0)
			take_datagram(daemon, &datagram, bytes);
	}
}

/* the proxy gets it when nothing of others' is in it any more, and behind what came before */
void divert_connected(struct daemon *daemon, struct divert *divert, unsigned int place, int fd)
{
	(void)receive(daemon, place);
	drain(daemon, place, fd);
	divert->fd = fd;
	divert->is_socket_asked = false;
	say(daemon, divert);
}

int divert_receive(struct daemon *daemon, unsigned int place)
{
	int r = receive(daemon, place);

	divert_make_sockets(daemon); /* so that all that has come goes in front of them */
	return r;
}

/* ---- the end ---- */

void divert_abandoned(struct daemon *daemon, uint64_t cookie)
{
	struct divert *divert = daemon->diverts ? diverts_find(daemon->diverts, cookie) : NULL;

	if (!divert)
		return;
	divert->is_abandoned = true;
	say(daemon, divert);
}

/* what a program has sent before it was gone, if the flow has no socket yet: it has come to ours */
static void receive_rest(struct daemon *daemon, const struct divert *divert)
{
	int place = plane_find_netns(daemon->plane, divert->tuple.netns);

	if (place >= 0 && divert->tuple.proto == IPPROTO_UDP && divert->fd < 0 && !divert->is_told)
		(void)receive(daemon, (unsigned int)place);
}

/* of TCP the proxy reads what is left, and the end; of UDP it has to be told */
static void end(struct daemon *daemon, struct divert *divert)
{
	divert_accept_of(daemon, divert); /* a program may have written, and be gone, before */
	divert->is_leaving = divert_may_come(daemon, divert);
	if (divert->is_leaving)
		return;
	receive_rest(daemon, divert);
	diverts_forget_client(daemon->diverts, divert);
	if (divert->tuple.proto == IPPROTO_UDP) {
		divert->is_abandoned = true;
		plane_untranslate(daemon->plane, &divert->tuple, divert->zone);
	}
	divert->is_cancelled |= divert->fd < 0 && !divert->is_told;
	divert->is_over = true;
	say(daemon, divert);
}

void divert_ended(struct daemon *daemon, uint64_t flow)
{
	struct divert *divert = daemon->diverts ? diverts_find_flow(daemon->diverts, flow) : NULL;

	if (divert && !divert->is_over)
		end(daemon, divert);
}

/* Return: the one that this is the end of; NULL: none */
static struct divert *find_closed(struct daemon *daemon, const struct sl_event *event)
{
	struct divert *divert =
		daemon->diverts ? diverts_find(daemon->diverts, event->cookie) : NULL;

	return divert && !divert->is_over && divert->tuple.rport == event->rport &&
			       !memcmp(divert->tuple.raddr, event->raddr, sizeof(event->raddr))
		       ? divert
		       : NULL;
}

void divert_closed(struct daemon *daemon, const struct sl_event *event)
{
	struct divert *divert = find_closed(daemon, event);

	if (divert)
		end(daemon, divert);
}

void divert_rests(struct daemon *daemon, const struct sl_event *event)
{
	const struct divert *divert = event->peer_rests ? find_closed(daemon, event) : NULL;

	if (!divert || !divert->client)
		return;
	if (daemon->n_resting == PLANE_COUNTS_MAX)
		divert_end_rests(daemon);
	daemon->resting[daemon->n_resting++] =
		(struct plane_end){ .cookie = divert->client,
				    .tuple = plane_accepted(daemon->plane, &divert->tuple,
							    divert->port) };
}

void divert_end_rests(struct daemon *daemon)
{
	if (daemon->n_resting)
		plane_end_rests(daemon->plane, daemon->resting, daemon->n_resting);
	daemon->n_resting = 0;
}

int divert_take_ask(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	uint64_t flow = WIRE_BODY(message, struct wire_flow_ask_end)->id;
	struct divert *divert;

	while (ends_drain(daemon)) /* what happened before it is known before it */
		;
	divert = diverts_find_flow(daemon->diverts, flow);
	if (!divert || divert->proxy != index)
		return say_of(daemon, index, flow, true);
	divert->is_asked = true;
	divert->is_quiet = false;
	if (divert->is_leaving)
		end(daemon, divert);
	else
		say(daemon, divert);
	return 0;
}

void divert_cancel(struct daemon *daemon, unsigned int index, uint64_t flow)
{
	/* without memory it finds out when it opens the flow */
	(void)say_of(daemon, index, flow, false);
}

/* what it has taken nobody has any more, and waits no longer than any other */
static void give_back(struct daemon *daemon, unsigned int index)
{
	struct flow *flow = flow_table_oldest_held(daemon->flows), *next;

	for (; flow; flow = next) {
		next = flow_next(flow);
		if (!flow->is_taken || flow->asked != index)
			continue;
		flow->is_taken = flow->is_paused = false;
		flow_table_renew(daemon->flows, flow, daemon_now_us());
	}
}

/* TCP is reset with the proxy's descriptor. A socket of UDP lives on: its next datagram is a new flow, of
 * which the next process is asked */
static void lose(struct daemon *daemon, struct divert *divert)
{
	struct flow *flow = flow_table_find_id(daemon->flows, divert->flow);
	bool is_udp = divert->tuple.proto == IPPROTO_UDP;

	close_fd(divert->fd);
	if (is_udp)
		plane_untranslate(daemon->plane, &divert->tuple, divert->zone);
	diverts_remove(daemon->diverts, divert);
	if (is_udp && flow && flow->state == FLOW_OPEN)
		ends_close(daemon, flow);
}

void divert_lost(struct daemon *daemon, unsigned int index)
{
	struct divert *divert;

	if (!daemon->diverts)
		return;
	if (daemon->upstreams)
		upstreams_forget(daemon->upstreams, index);
	while ((divert = diverts_any(daemon->diverts, index)))
		lose(daemon, divert);
	give_back(daemon, index);
}
