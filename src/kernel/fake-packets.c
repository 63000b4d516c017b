/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: The queue of packets, in the kernel of unit tests */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "kernel/fake-world.h"

unsigned int fake_ask_packet(struct fake *fake, uint64_t netns, const uint8_t *bytes,
			     size_t n_bytes, bool is_inbound)
{
	struct fake_packet packet = {
		.netns = netns, .is_asked = true, .is_inbound = is_inbound, .n_bytes = n_bytes
	};

	fake->n_asked++;
	return fake_enqueue_new(fake, &packet, bytes);
}

enum sl_packets fake_packets(const struct fake *fake)
{
	return fake->packet_class;
}

const struct sl_packet_set *fake_packet_rules(const struct fake *fake)
{
	return fake->has_packet_rules ? &fake->packet_rules : NULL;
}

int fake_set_packets(struct plane *plane)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_PACKETS);

	if (r < 0)
		return r;
	fake->packet_class = plane->packets;
	for (unsigned int i = 0; i < plane->n_places; i++)
		plane->places[i].packet_num = 7;
	return 0;
}

int fake_read_packets(struct plane *plane, struct netns *netns, uint8_t *buffer,
		      struct queue_packet ret_packets[PACKETS_BATCH])
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_READ_PACKETS), n = 0;
	struct fake_packet *packet = NULL;
	eventfd_t told;

	while (r == 0 && n < (int)PACKETS_BATCH &&
	       (packet = fake_next(fake, netns->cookie, true))) {
		size_t n_shown = MIN(packet->n_bytes, plane->n_packet_copy);

		packet->state = FAKE_DELIVERED;
		memcpy(buffer, packet->bytes, n_shown);
		ret_packets[n++] = (struct queue_packet){ .id = packet->id,
							  .ifindex = packet->ifindex,
							  .is_inbound = packet->is_inbound,
							  .is_cut = n_shown < packet->n_bytes,
							  .length = (uint32_t)packet->n_bytes,
							  .bytes = buffer,
							  .n_bytes = n_shown };
		buffer += n_shown;
	}
	if (r == 0 && !packet)
		(void)eventfd_read(fake_netns_of(fake, netns->cookie)->asked_fd, &told);
	return n ? n : r < 0 ? r : -EAGAIN;
}

int fake_answer_packets(struct plane *plane, struct netns *netns,
			const struct packet_answer *answers, unsigned int n)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_ANSWER_PACKETS);

	for (unsigned int i = 0; i < n && r == 0; i++)
		fake_settle(fake, netns->cookie, (uint32_t)answers[i].id,
			    fake_states[answers[i].verdict], 0);
	return r;
}

/* its queue has no places to give */
void fake_recount_packets(struct plane *plane, const uint16_t of[SL_CROWDS])
{
}

int fake_set_packet_rules(struct plane *plane, const struct sl_packet_set *set)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_SET_PACKET_RULES);

	if (r < 0)
		return r;
	fake->packet_rules = *set;
	fake->has_packet_rules = true;
	return 0;
}

int fake_find_packet(struct plane *plane, const struct sl_tuple *tuple,
		     struct sl_packet *ret_packet)
{
	int r = fake_enter(fake_of(plane), FAKE_FIND_PACKET);
	const struct sl_packet *found = fake_get(fake_of(plane), FAKE_SHOWN, tuple);

	if (r < 0 || !found)
		return r < 0 ? r : -ENOENT;
	*ret_packet = *found;
	return 0;
}

int fake_count_packets(struct plane *plane, uint64_t ret_counts[_SL_PACKET_COUNT_N])
{
	int r = fake_enter(fake_of(plane), FAKE_COUNT_PACKETS);

	if (r < 0)
		return r;
	ret_counts[SL_PACKET_ASKED] = fake_of(plane)->n_asked;
	ret_counts[SL_PACKET_DENIED] = 0;
	return 0;
}
