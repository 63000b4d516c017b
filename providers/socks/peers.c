/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "association.h"

/* ---- which one ---- */

static unsigned int place_of(const struct association *association, const uint8_t address[16],
			     uint16_t port)
{
	uint64_t hash = (uintptr_t)association / sizeof(*association) + port;

	for (unsigned int i = 0; i < 16; i++)
		hash = (hash ^ address[i]) * UINT64_C(0x100000001b3);
	return (unsigned int)(hash >> 32) % FLOWS_BUCKETS;
}

struct peer *peer_find(const struct flows *flows, uint64_t id)
{
	struct peer *peer;

	LIST_FOREACH(peer, &flows->peers_by_id[id % FLOWS_BUCKETS], in_id)
	if (peer->id == id)
		return peer;
	return NULL;
}

static struct peer *find_place(const struct flows *flows, const struct association *association,
			       const struct destination *source)
{
	unsigned int place = place_of(association, source->address, source->port);
	struct peer *peer;

	LIST_FOREACH(peer, &flows->peers_by_place[place], in_place)
	if (peer->association == association && peer->known.port == source->port &&
	    !memcmp(peer->known.address, source->address, sizeof(source->address)))
		return peer;
	return NULL;
}

static struct peer *find_named(const struct association *association, uint16_t port)
{
	struct peer *peer;

	LIST_FOREACH(peer, &association->named, in_named)
	if (peer->known.port == port)
		return peer;
	return NULL;
}

struct peer *peer_find_source(const struct flows *flows, const struct association *association,
			      const struct destination *source)
{
	struct peer *peer = source->host[0] ? NULL : find_place(flows, association, source);

	if (peer || !association->is_by_name)
		return peer;
	peer = find_named(association, source->port);
	return peer && source->host[0] && strcasecmp(peer->known.host, source->host) != 0 ? NULL
											  : peer;
}

/* ---- one ---- */

static void aim(struct peer *peer)
{
	struct destination to = peer->known;

	if (!peer->is_named || !peer->association->is_by_name)
		to.host[0] = '\0';
	peer->n_head = socks5_udp_head(&to, peer->head);
}

void peer_open(struct flows *flows, struct peer *peer)
{
	const struct flow *control = peer->association->control;
	char text[UPSTREAM_TEXT_BYTES];

	aim(peer);
	if (peer->is_opened)
		return;
	peer->is_opened = true;
	(void)sluice_proxy_open(
		flows->proxy, peer->id, 0,
		upstream_text(flows->endpoints.all[control->endpoint].upstream, text));
}

void peer_end(struct flows *flows, struct peer *peer)
{
	LIST_REMOVE(peer, in_id);
	LIST_REMOVE(peer, in_place);
	LIST_REMOVE(peer, in_association);
	if (peer->is_named)
		LIST_REMOVE(peer, in_named);
	if (peer->program >= 0) {
		carry_up(flows, peer, CARRY_ALL); /* what it had sent before */
		flow_watch(flows, &peer->on_program, peer->program, 0);
		sluice_proxy_close(peer->program, 0);
		peer->program = -1;
	}
	carry_early(peer);
	flow_bury(flows, &peer->over);
}

struct peer *peer_add(struct flows *flows, struct association *association,
		      const struct sluice_flow *asked)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->association = association;
	peer->id = asked->id;
	peer->program = -1;
	STAILQ_INIT(&peer->early);
	peer->on_program = (struct watched){ .on_event = carry_on_program, .owner = peer };
	flow_set_destination(&peer->known, asked);
	peer->is_named = peer->known.host[0] && !find_named(association, peer->known.port);
	LIST_INSERT_HEAD(&flows->peers_by_id[peer->id % FLOWS_BUCKETS], peer, in_id);
	LIST_INSERT_HEAD(&flows->peers_by_place[place_of(association, peer->known.address,
							 peer->known.port)],
			 peer, in_place);
	LIST_INSERT_HEAD(&association->peers, peer, in_association);
	if (peer->is_named)
		LIST_INSERT_HEAD(&association->named, peer, in_named);
	return peer;
}
