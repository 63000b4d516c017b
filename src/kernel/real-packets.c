/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The real kernel, for packet filters
 *
 * The table is changed in place, so that packets of flows stay in their queue. A
 * set of rules is written beside the one in force, and then given the larger
 * generation: bpf/packet.bpf.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/macros.h"
#include "kernel/real.h"

int packets_bind(struct real *real, struct netns *netns)
{
	int fd = netns->sockets[NETNS_PACKETS], r = 0;
	bool is_live = netns->packet_num != 0;

	if (real->plane.packets == SL_PACKETS_NONE || fd < 0)
		return 0;
	if (!netns->packet_num)
		r = queue_bind_packets(fd, real->instance, &netns->packet_num);
	if (!r)
		r = queue_set_packets(fd, netns->packet_num, real->plane.n_packet_copy,
				      real->plane.packets == SL_PACKETS_CLOSED, is_live);
	return r;
}

int real_packets(struct plane *plane)
{
	struct real *real = real_of(plane);
	int r;

	real->nft.packets = plane->packets;
	r = install_write_config(real);
	for (unsigned int i = 0; i < plane->n_places && r >= 0; i++) {
		struct netns *netns = &plane->places[i];

		if (!netns->is_used || !netns_is_whole(netns))
			continue;
		r = packets_bind(real, netns);
		if (r >= 0)
			r = repair_renew(real, netns);
	}
	return r < 0 ? r : 0;
}

int real_read_packets(struct plane *plane, struct netns *netns, uint8_t *buffer,
		      struct queue_packet ret_packets[PACKETS_BATCH])
{
	return queue_read_packets(netns->sockets[NETNS_PACKETS], plane->n_packet_copy, buffer,
				  ret_packets);
}

/* ---- places in the queue, which users share ---- */

int packets_map_places(struct real *real)
{
	void *at = mmap(NULL, sizeof(*real->places), PROT_READ | PROT_WRITE, MAP_SHARED,
			real->maps[MAP_PACKET_PLACES], 0);

	if (at == MAP_FAILED)
		return -errno;
	real->places = at;
	memset(at, 0, sizeof(*real->places));
	return 0;
}

void packets_unmap_places(struct real *real)
{
	if (real->places)
		munmap(real->places, sizeof(*real->places));
}

/* BPF adds to it at the same time; what was counted anew meanwhile may be too few */
static void give_back(uint32_t *n)
{
	uint32_t before = __atomic_load_n(n, __ATOMIC_RELAXED);

	while (before > 0 && !__atomic_compare_exchange_n(n, &before, before - 1, true,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void real_recount_packets(struct plane *plane, const uint16_t of[SL_CROWDS])
{
	struct sl_packet_places *places = real_of(plane)->places;
	uint32_t n = 0;

	for (unsigned int i = 0; i < SL_CROWDS; i++) {
		n += of[i];
		if (places->of[i] != of[i])
			__atomic_store_n(&places->of[i], of[i], __ATOMIC_RELAXED);
	}
	__atomic_store_n(&places->n, n, __ATOMIC_RELAXED);
}

int real_answer_packets(struct plane *plane, struct netns *netns,
			const struct packet_answer *answers, unsigned int n)
{
	struct sl_packet_places *places = real_of(plane)->places;
	int r;

	/* before: what is to be asked about again takes a place again */
	for (unsigned int i = 0; i < n; i++) {
		give_back(&places->of[answers[i].crowd]);
		give_back(&places->n);
	}
	r = queue_answer_packets(netns->sockets[NETNS_PACKETS], netns->packet_num, answers, n);
	for (unsigned int i = 0; i < n && r < 0; i++) { /* they are told again */
		__atomic_fetch_add(&places->of[answers[i].crowd], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&places->n, 1, __ATOMIC_RELAXED);
	}
	return r;
}

static int put(int fd, uint32_t which, struct sl_packet_set *set, uint32_t generation)
{
	set->generation = generation;
	return bpf_map_update_elem(fd, &which, set, BPF_ANY) < 0 ? -errno : 0;
}

int real_set_packet_rules(struct plane *plane, const struct sl_packet_set *set)
{
	int fd = real_of(plane)->maps[MAP_PACKET_SETS], r;
	struct sl_packet_set *copy = malloc(2 * sizeof(*copy));
	uint32_t keys[2] = { 0, 1 }, older;

	if (!copy)
		return -ENOMEM;
	r = bpf_map_lookup_elem(fd, &keys[0], &copy[0]) < 0 ||
			    bpf_map_lookup_elem(fd, &keys[1], &copy[1]) < 0
		    ? -errno
		    : 0;
	if (!r) {
		uint32_t generation = MAX(copy[0].generation, copy[1].generation) + 1;

		older = copy[0].generation > copy[1].generation ? 1 : 0;
		copy[0] = *set;
		r = put(fd, older, &copy[0], 0);
		if (!r)
			r = put(fd, older, &copy[0], generation);
	}
	free(copy);
	return r;
}

int real_find_packet(struct plane *plane, const struct sl_tuple *tuple,
		     struct sl_packet *ret_packet)
{
	return bpf_map_lookup_elem(real_of(plane)->maps[MAP_PACKETS], tuple, ret_packet) < 0
		       ? -errno
		       : 0;
}

int real_count_packets(struct plane *plane, uint64_t ret_counts[_SL_PACKET_COUNT_N])
{
	int n = libbpf_num_possible_cpus(), r = 0;
	uint64_t *each = n > 0 ? calloc((size_t)n, sizeof(*each)) : NULL;

	if (!each)
		return n > 0 ? -ENOMEM : n;
	for (uint32_t i = 0; i < _SL_PACKET_COUNT_N && !r; i++) {
		uint64_t sum = 0;

		if (bpf_map_lookup_elem(real_of(plane)->maps[MAP_PACKET_COUNTS], &i, each) < 0)
			r = -errno;
		for (int cpu = 0; cpu < n; cpu++)
			sum += each[cpu];
		ret_counts[i] = sum;
	}
	free(each);
	return r;
}
