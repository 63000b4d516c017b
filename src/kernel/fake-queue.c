/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "kernel/fake-world.h"

static void enqueue(struct fake *fake, struct fake_packet *packet)
{
	packet->id = ++fake->last_id;
	packet->state = FAKE_QUEUED;
	if (packet->is_asked) {
		if (eventfd_write(fake_netns_of(fake, packet->netns)->asked_fd, 1) < 0)
			abort();
		return;
	}
	if (write(fake_netns_of(fake, packet->netns)->pipe[1], "", 1) != 1)
		abort();
}

unsigned int fake_enqueue_new(struct fake *fake, const struct fake_packet *from,
			      const uint8_t *bytes)
{
	struct fake_packet *packet;

	if (fake->n_packets == fake->n_room) {
		fake->n_room = fake->n_room ? 2 * fake->n_room : 16;
		fake->packets = realloc(fake->packets, fake->n_room * sizeof(*fake->packets));
	}
	if (!fake->packets || from->n_bytes > sizeof(packet->bytes))
		abort();
	packet = &fake->packets[fake->n_packets];
	*packet = *from;
	packet->ifindex = 2;
	if (from->n_bytes)
		memcpy(packet->bytes, bytes, from->n_bytes);
	enqueue(fake, packet);
	return fake->n_packets++;
}

unsigned int fake_put_packet(struct fake *fake, uint64_t netns, const uint8_t *bytes,
			     size_t n_bytes, bool is_inbound, uint32_t mark)
{
	struct fake_packet packet = {
		.netns = netns, .mark = mark, .is_inbound = is_inbound, .n_bytes = n_bytes
	};

	return fake_enqueue_new(fake, &packet, bytes);
}

void fake_lead(struct fake *fake, unsigned int index, uint32_t ifindex)
{
	fake->packets[index].ifindex = ifindex;
}

const struct fake_packet *fake_packet(const struct fake *fake, unsigned int index)
{
	return &fake->packets[index];
}

unsigned int fake_n_packets(const struct fake *fake)
{
	return fake->n_packets;
}

unsigned int fake_n_stale(const struct fake *fake)
{
	return fake->n_stale;
}

struct fake_packet *fake_next(struct fake *fake, uint64_t netns, bool is_asked)
{
	struct fake_packet *first = NULL;

	for (unsigned int i = 0; i < fake->n_packets; i++) {
		struct fake_packet *packet = &fake->packets[i];

		if (packet->state == FAKE_QUEUED && packet->netns == netns &&
		    packet->is_asked == is_asked && (!first || packet->id < first->id))
			first = packet;
	}
	return first;
}

static int read_one(struct fake *fake, struct netns *netns, uint8_t *buffer,
		    struct queue_packet *ret_packet)
{
	struct fake_packet *packet = fake_next(fake, netns->cookie, false);
	char one;

	if (!packet)
		return -EAGAIN;
	if (read(netns->sockets[NETNS_QUEUE], &one, 1) != 1)
		return -errno;
	packet->state = FAKE_DELIVERED;
	memcpy(buffer, packet->bytes, packet->n_bytes);
	*ret_packet = (struct queue_packet){ .id = packet->id,
					     .mark = packet->mark,
					     .ifindex = packet->ifindex,
					     .is_inbound = packet->is_inbound,
					     .bytes = buffer,
					     .n_bytes = packet->n_bytes };
	return 0;
}

int fake_read(struct plane *plane, struct netns *netns, uint8_t *buffer,
	      struct queue_packet ret_packets[QUEUE_BATCH])
{
	int r = fake_enter(fake_of(plane), FAKE_READ), n = 0;

	while (r == 0 && n < (int)QUEUE_BATCH) {
		r = read_one(fake_of(plane), netns, buffer, &ret_packets[n]);
		if (r == 0)
			buffer += ret_packets[n++].n_bytes;
	}
	return n ? n : r;
}

/* as the real one: that nobody waits for an answer is not told to who gives it */
static struct fake_packet *waiting(struct fake *fake, uint64_t netns, uint32_t packet_id)
{
	for (unsigned int i = 0; i < fake->n_packets; i++) {
		struct fake_packet *packet = &fake->packets[i];

		if (packet->id == packet_id && packet->netns == netns &&
		    packet->state == FAKE_DELIVERED)
			return packet;
	}
	fake->n_stale++;
	return NULL;
}

void fake_settle(struct fake *fake, uint64_t netns, uint32_t packet_id, enum fake_state state,
		 uint32_t mark)
{
	struct fake_packet *packet = waiting(fake, netns, packet_id);

	if (!packet)
		return;
	packet->state = state;
	packet->mark = mark;
	if (state != FAKE_QUEUED)
		return;
	/* whether the rules hold it is the test's to know: they do */
	packet->mark = (mark & ~SL_MARK_MASK) | (uint32_t)SL_MARK_HELD << SL_MARK_SHIFT;
	enqueue(fake, packet);
}

const enum fake_state fake_states[] = {
	[QUEUE_ACCEPT] = FAKE_ACCEPTED, [QUEUE_DROP] = FAKE_DROPPED, [QUEUE_AGAIN] = FAKE_QUEUED
};

int fake_answer(struct plane *plane, struct netns *netns, uint32_t packet_id,
		enum queue_verdict verdict, uint32_t mark)
{
	int r = fake_enter(fake_of(plane), FAKE_ANSWER);

	if (r == 0)
		fake_settle(fake_of(plane), netns->cookie, packet_id, fake_states[verdict], mark);
	return r;
}

int fake_replace(struct plane *plane, struct netns *netns, uint32_t packet_id, uint32_t mark,
		 const uint8_t *bytes, size_t n_bytes)
{
	int r = fake_enter(fake_of(plane), FAKE_REPLACE);

	if (r == 0)
		fake_settle(fake_of(plane), netns->cookie, packet_id, FAKE_REPLACED, mark);
	return r;
}

int fake_requeue(struct plane *plane, struct netns *netns)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_REQUEUE);

	for (unsigned int i = 0; r == 0 && i < fake->n_packets; i++)
		if (fake->packets[i].state == FAKE_DELIVERED &&
		    fake->packets[i].netns == netns->cookie)
			enqueue(fake, &fake->packets[i]);
	return r;
}
