/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Sockets for flows of UDP, wherever their programs are
 *
 * Each has one of its own, which is to be in the network namespace of its program. In another one
 * than ours the keeper has to make it:
 *
 *	a datagram comes ──ENTER──▶ keeper ──ENTERED──▶ divert_entered() ──FLOW_SOCKET──▶ the proxy
 *
 * What comes meanwhile goes to the proxy as FLOW_DATAGRAM. The keeper is asked for a few at one
 * time: it has more to do, and its channel must never be full. While the line of those that wait is full
 * nothing more is read.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"

static bool wants_socket(const struct divert *divert)
{
	return divert && divert->fd < 0 && !divert->is_told && !divert->is_over;
}

static void connect_one(struct daemon *daemon, struct divert *divert, unsigned int place, int sock,
			const struct sl_tuple *ours)
{
	int fd = plane_connect_datagrams(daemon->plane, place, sock, ours);

	divert->is_socket_asked = fd >= 0; /* else again at the next datagram */
	if (fd < 0)
		log_error("cannot make a socket for a proxy: %s", strerror(-fd));
	else
		divert_connected(daemon, divert, place, fd);
}

static struct divert_asked *find_asked(struct daemon *daemon, uint64_t token)
{
	for (size_t i = 0; i < DIVERT_ASKED_MAX; i++)
		if (daemon->far.asked[i].token == token)
			return &daemon->far.asked[i];
	return NULL;
}

static void ask(struct daemon *daemon, struct divert_asked *asked, int place)
{
	const struct netns *netns = plane_netns(daemon->plane, (unsigned int)place);
	uint32_t kind = sl_is_mapped4(asked->ours.laddr) ? NETNS_DATAGRAMS4 : NETNS_DATAGRAMS6;

	asked->token = ++daemon->next_token;
	keeper_enter(daemon, asked->token, 0, netns->sockets[NETNS_RULES], kind + 1);
}

static void take_first(struct daemon *daemon, struct divert_asked *asked)
{
	struct divert_far *far = &daemon->far;
	const struct divert_asked first = far->waiting[far->first_waiting];
	int place = plane_find_netns(daemon->plane, first.ours.netns);
	struct divert *divert = diverts_find_flow(daemon->diverts, first.flow);

	far->first_waiting = (far->first_waiting + 1) % DIVERT_WAITING_FAR;
	far->n_waiting--;
	if (place < 0 || !wants_socket(divert))
		return;
	if ((unsigned int)place == plane_home(daemon->plane)) {
		connect_one(daemon, divert, (unsigned int)place, -1, &first.ours);
		return;
	}
	*asked = first;
	ask(daemon, asked, place);
}

void divert_make_sockets(struct daemon *daemon)
{
	struct divert_far *far = &daemon->far;
	struct divert_asked *asked;

	if (far->is_making) /* what comes to a new socket may want others */
		return;
	far->is_making = true;
	while (far->n_waiting && (asked = find_asked(daemon, 0)))
		take_first(daemon, asked);
	far->is_making = false;
}

void divert_want_socket(struct daemon *daemon, struct divert *divert, const struct sl_tuple *ours)
{
	struct divert_far *far = &daemon->far;

	if (!wants_socket(divert) || divert->is_socket_asked || divert_is_line_full(daemon))
		return;
	divert->is_socket_asked = true;
	far->waiting[(far->first_waiting + far->n_waiting++) % DIVERT_WAITING_FAR] =
		(struct divert_asked){ .flow = divert->flow, .ours = *ours };
}

bool divert_is_line_full(const struct daemon *daemon)
{
	return daemon->far.n_waiting == DIVERT_WAITING_FAR;
}

static void take_socket(struct daemon *daemon, struct divert *divert, const struct sl_tuple *ours,
			const struct wire_k_entered *record, int *fd)
{
	int place = plane_find_netns(daemon->plane, ours->netns);

	if (*fd >= 0 && place >= 0) {
		connect_one(daemon, divert, (unsigned int)place, TAKE_FD(*fd), ours);
		return;
	}
	divert->is_socket_asked = false;
	log_error("sluice-keeper cannot make a socket for a proxy: %s",
		  strerror((int)record->error));
}

bool divert_entered(struct daemon *daemon, const struct wire_k_entered *record, int *fd)
{
	struct divert_asked *asked = record->token ? find_asked(daemon, record->token) : NULL;
	struct divert_asked answered;
	struct divert *divert;

	if (!asked)
		return false;
	answered = *asked;
	asked->token = 0;
	divert = diverts_find_flow(daemon->diverts, answered.flow);
	if (wants_socket(divert))
		take_socket(daemon, divert, &answered.ours, record, fd);
	divert_make_sockets(daemon);
	divert_line_moved(daemon);
	return true;
}
