/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "base/macros.h"
#include "kernel/plane-ops.h"

int plane_packets(struct plane *plane, uint32_t n_copy, bool is_closed)
{
	plane->n_packet_copy = MIN(n_copy, PACKETS_COPY_MAX);
	plane->packets = is_closed ? SL_PACKETS_CLOSED : SL_PACKETS_OPEN;
	return plane->ops->packets(plane);
}

enum sl_packets plane_packets_left(const struct plane *plane)
{
	return plane->packets_left;
}

int plane_read_packets(struct plane *plane, unsigned int place, uint8_t *buffer,
		       struct queue_packet ret_packets[PACKETS_BATCH])
{
	struct netns *netns = plane_at(plane, place);
	int n;

	if (!netns || !netns->packet_num)
		return -EAGAIN;
	n = plane->ops->read_packets(plane, netns, buffer, ret_packets);
	for (int i = 0; i < n; i++) {
		ret_packets[i].netns = netns->cookie;
		ret_packets[i].id |= (uint64_t)place << 32;
	}
	return n;
}

static unsigned int place_of(const struct packet_answer *answer)
{
	return (unsigned int)(answer->id >> 32);
}

unsigned int plane_answer_packets(struct plane *plane, const struct packet_answer *answers,
				  unsigned int n)
{
	unsigned int at = 0;

	while (at < n) {
		unsigned int place = place_of(&answers[at]), end = at;
		struct netns *netns = plane_at(plane, place);
		int r = 0;

		while (end < n && end - at < PACKETS_BATCH && place_of(&answers[end]) == place)
			end++;
		if (netns && netns->packet_num)
			r = plane->ops->answer_packets(plane, netns, &answers[at], end - at);
		if (r < 0)
			break;
		at = end;
	}
	return at;
}

void plane_recount_packets(struct plane *plane, const uint16_t of[SL_CROWDS])
{
	plane->ops->recount_packets(plane, of);
}

int plane_set_packet_rules(struct plane *plane, const struct sl_packet_set *set)
{
	return plane->ops->set_packet_rules(plane, set);
}

int plane_find_packet(struct plane *plane, const struct sl_tuple *tuple,
		      struct sl_packet *ret_packet)
{
	return plane->ops->find_packet(plane, tuple, ret_packet);
}

int plane_count_packets(struct plane *plane, uint64_t ret_counts[_SL_PACKET_COUNT_N])
{
	return plane->ops->count_packets(plane, ret_counts);
}
