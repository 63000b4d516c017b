/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Packets on their way from the queue to the filters */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "daemon/daemon.h"
#include "flow/packet.h"

#define BATCHES_A_ROUND 4 /* then others get their turn */
#define RECOUNT_US 100000U

/** struct owner - whose packets have these ends; of one round */
struct owner {
	struct sl_tuple tuple;
	struct sl_packet packet;
	uint64_t flow;
	unsigned int crowd;
	bool is_there;
	bool is_unreadable; /* what was copied of it does not reach to its ends */
};

void packets_settle(uint64_t handle, unsigned int crowd, enum asked_fate fate, void *data)
{
	static const enum queue_verdict verdicts[] = { [ASKED_PASSES] = QUEUE_ACCEPT,
						       [ASKED_IS_DROPPED] = QUEUE_DROP,
						       [ASKED_AGAIN] = QUEUE_AGAIN };
	struct daemon *daemon = data;
	struct packets *packets = &daemon->packet_filters;

	if (packets->n_answers == PACKETS_ANSWERS_MAX)
		packets_flush(daemon);
	if (packets->n_answers < PACKETS_ANSWERS_MAX)
		packets->answers[packets->n_answers++] = (struct packet_answer){
			.id = handle, .crowd = (uint16_t)crowd, .verdict = verdicts[fate]
		};
}

/* ---- to a filter ---- */

/* as many as a record holds. Return: bytes of them */
static size_t measure(const struct packet_filter *filter, uint32_t *ret_n, uint64_t *ret_last)
{
	struct wire_packet packet;
	size_t at = filter->at_out, next;

	*ret_n = 0;
	while (*ret_n < WIRE_PACKETS_MAX &&
	       packets_get(filter->out, filter->n_out, at, &packet, &next) == 0 &&
	       next - filter->at_out <= WIRE_TAIL_MAX) {
		at = next;
		*ret_last = packet.id;
		++*ret_n;
	}
	return at - filter->at_out;
}

static int send_one(struct daemon *daemon, unsigned int index)
{
	struct filter *filter = &daemon->filters[index];
	struct wire_packets body;
	uint64_t last = 0;
	size_t n = measure(&filter->packets, &body.n, &last);
	int r = channel_send(filter->sock, &wire_provider_channel, WIRE_PACKETS, &body,
			     filter->packets.out + filter->packets.at_out, n, -1);

	if (r < 0)
		return r;
	filter->packets.at_out += n;
	asked_told(daemon->packet_filters.asked, index, last);
	for (uint32_t i = 0; i < body.n; i += SESSION_RECORDS_A_FLOW / 2)
		session_asked(&filter->session);
	return 0;
}

void packets_send(struct daemon *daemon, unsigned int index)
{
	struct filter *filter = &daemon->filters[index];
	int r = 0;

	while (r == 0 && filter->packets.at_out < filter->packets.n_out)
		r = filter->sock < 0 ? -ENOTCONN : send_one(daemon, index);
	if (r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM) {
		daemon->packet_filters.is_paused = true;
		providers_set_events(filter, true);
		return;
	}
	filter->packets.n_out = filter->packets.at_out =
		0; /* of one that is gone, the rest fails */
}

static void put(struct daemon *daemon, unsigned int index, const struct queue_packet *from,
		struct wire_packet *packet)
{
	struct packet_filter *filter = &daemon->filters[index].packets;

	packet->n_bytes = (uint16_t)MIN(from->n_bytes, filter->n_copy);
	filter->n_asked++;
	filter->n_out += packets_put(filter->out + filter->n_out, packet);
}

/* ---- from the queue ---- */

/* 0: not known. One that is over may have packets left, which were queued before its end was told */
static uint64_t id_of_flow(const struct daemon *daemon, const struct sl_flow_key *key)
{
	const struct flow *flow = flow_table_find(daemon->flows, key);

	if (!flow)
		flow = history_find_key(daemon->history, key);
	return flow ? flow->id : 0;
}

/* most packets of a batch have the ends of the one before */
static void find_owner(struct daemon *daemon, const struct queue_packet *packet,
		       struct owner *owner)
{
	struct packet_view view;
	struct sl_flow_key key;

	owner->is_unreadable =
		packet_parse(packet->bytes, packet->n_bytes, packet->is_inbound, &view) != 0;
	if (owner->is_unreadable)
		view.tuple = (struct sl_tuple){ 0 };
	view.tuple.netns = packet->netns;
	if (owner->is_there && memcmp(&view.tuple, &owner->tuple, sizeof(view.tuple)) == 0)
		return;
	*owner = (struct owner){ .tuple = view.tuple,
				 .crowd = SL_CROWD_NOBODY,
				 .is_there = true,
				 .is_unreadable = owner->is_unreadable };
	if (owner->is_unreadable)
		return;
	if (plane_find_packet(daemon->plane, &view.tuple, &owner->packet) < 0)
		return;
	owner->crowd = sl_crowd_of(owner->packet.uid);
	key = (struct sl_flow_key){ .cookie = owner->packet.owner,
				    .rport = view.tuple.rport,
				    .proto = view.tuple.proto };
	memcpy(key.raddr, view.tuple.raddr, sizeof(key.raddr));
	owner->flow = id_of_flow(daemon, &key);
}

/* Return: those of @filters that can be asked of this crowd's packets; the others fail */
static uint16_t those_awake(struct daemon *daemon, uint16_t filters, unsigned int crowd,
			    bool *is_dropped)
{
	bool has_place = asked_has_place(daemon->packet_filters.asked, crowd);

	for (unsigned int i = 0; i < FILTERS_MAX; i++) {
		struct filter *filter = &daemon->filters[i];

		if (!(filters & 1U << i) ||
		    (has_place && filter->session.state == SESSION_RUNNING &&
		     !asked_is_late(daemon->packet_filters.asked, i)))
			continue;
		filters &= (uint16_t) ~(1U << i);
		filter->packets.n_failed++;
		*is_dropped |= filter->is_closed;
	}
	return *is_dropped ? 0 : filters;
}

static void take(struct daemon *daemon, const struct queue_packet *packet, struct owner *owner,
		 uint64_t now_us)
{
	const struct link *link = identity_link(daemon, packet->netns, packet->ifindex);
	struct wire_packet shown = { .ifindex = packet->ifindex,
				     .length = packet->length,
				     .bytes = packet->bytes };
	bool is_dropped = packets_are_unknown(daemon);
	uint16_t filters = 0;

	daemon->packet_filters.n_read++;
	daemon->packet_filters.n_left += is_dropped;
	find_owner(daemon, packet, owner);
	text_copy(shown.interface, sizeof(shown.interface), link->name);
	if (!is_dropped)
		filters = packets_ask_rules(daemon, owner->is_unreadable ? NULL : &owner->tuple,
					    shown.interface, packet->is_inbound, &is_dropped);
	filters = those_awake(daemon, filters, owner->crowd, &is_dropped);
	if (!filters) {
		packets_settle(packet->id, owner->crowd,
			       is_dropped ? ASKED_IS_DROPPED : ASKED_PASSES, daemon);
		return;
	}
	shown.id =
		asked_add(daemon->packet_filters.asked, packet->id, owner->crowd, filters, now_us);
	shown.flow = owner->flow;
	shown.cookie = owner->packet.cookie;
	shown.pid = owner->packet.pid;
	shown.uid = owner->packet.uid;
	shown.flags = (uint8_t)((packet->is_inbound ? WIRE_PACKET_INBOUND : 0) |
				(packet->is_segmented ? WIRE_PACKET_SEGMENTED : 0));
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (filters & 1U << i)
			put(daemon, i, packet, &shown);
}

static bool may_read(const struct daemon *daemon)
{
	const struct packets *packets = &daemon->packet_filters;

	return !packets->is_paused && asked_room(packets->asked) >= PACKETS_BATCH &&
	       packets->n_answers + PACKETS_BATCH <= PACKETS_ANSWERS_MAX;
}

/* @is_on: read on. Sources that are off cost nothing while the network is busy */
static void set_sources(struct daemon *daemon, bool is_on)
{
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++) {
		struct space *space = daemon->namespaces.spaces[i];

		if (space && space->packet_source)
			(void)sd_event_source_set_enabled(space->packet_source,
							  is_on ? SD_EVENT_ON : SD_EVENT_OFF);
	}
}

/* what the kernel has counted and nobody has read was lost on its way. It may count a packet just
 * now: that one's user has a place too many for a while */
static void recount(struct daemon *daemon, uint64_t now_us)
{
	struct packets *packets = &daemon->packet_filters;

	if (now_us - packets->counted_us < RECOUNT_US || packets->n_answers)
		return;
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		if (daemon->namespaces.spaces[i] && daemon->namespaces.spaces[i]->has_packets)
			return;
	packets->counted_us = now_us;
	plane_recount_packets(daemon->plane, asked_crowds(packets->asked));
}

void packets_read(struct daemon *daemon, unsigned int place)
{
	struct queue_packet packets[PACKETS_BATCH];
	struct owner owner = { .is_there = false };
	uint64_t now_us = daemon_now_us();
	int n = PACKETS_BATCH;

	for (int i = 0; i < BATCHES_A_ROUND && n == PACKETS_BATCH && may_read(daemon); i++) {
		n = plane_read_packets(daemon->plane, place, daemon->packet_filters.buffer,
				       packets);
		(void)ends_drain(daemon); /* flows that the kernel let go alone came before them */
		for (int j = 0; j < n; j++)
			if (packets[j].bytes)
				take(daemon, &packets[j], &owner, now_us);
		for (unsigned int j = 0; j < daemon->n_filters; j++)
			if (daemon->filters[j].packets.n_out)
				packets_send(daemon, j);
	}
	daemon->namespaces.spaces[place]->has_packets = n == PACKETS_BATCH;
	packets_flush(daemon);
	recount(daemon, now_us);
	if (!may_read(daemon))
		set_sources(daemon, false);
}

/* else who has no place would bring nobody to look again */
void packets_look_again(struct daemon *daemon, uint64_t now_us)
{
	if (now_us - daemon->packet_filters.counted_us < RECOUNT_US)
		return;
	for (unsigned int i = 0; i < plane_n_places(daemon->plane) && may_read(daemon); i++)
		if (daemon->namespaces.spaces[i])
			packets_read(daemon, i);
}

void packets_resume(struct daemon *daemon)
{
	struct packets *packets = &daemon->packet_filters;

	if (!packets->asked)
		return;
	packets->is_paused = false;
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		packets->is_paused |= daemon->filters[i].packets.n_out > 0;
	if (may_read(daemon))
		set_sources(daemon, true);
}

void packets_read_last(struct daemon *daemon)
{
	struct packets *packets = &daemon->packet_filters;

	if (!packets->asked)
		return;
	if (packets_wait(daemon))
		providers_read(daemon);
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (daemon->filters[i].packets.n_out)
			packets_send(daemon, i);
	packets_flush(daemon);
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		if (daemon->namespaces.spaces[i])
			packets_read(daemon, i);
}
