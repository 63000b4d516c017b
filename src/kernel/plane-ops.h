/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What a kernel can do for us
 *
 * plane.h is what the daemon calls; it hands on to one of these tables:
 *
 *	real.c and what real.h names  bpf(2), netlink: in sluiced
 *	fake*.c                       memory and scripted errors: in unit tests, never in sluiced
 *
 * Each row has the contract of the plane_ function of its name, but that a
 * namespace is one where the plane is, and a packet's id the kernel's own.
 */

#include "kernel/plane.h"

#define PLANE_LATE_MAX 256U /* answers that wait for the kernel to have memory again */

struct plane_ops {
	int (*open)(const struct kernel *kernel, const struct plane_config *config, int *kept,
		    struct plane **ret_plane, const char **ret_error);
	void (*close)(struct plane *plane);
	void (*remove)(struct plane *plane);
	int (*relax)(struct plane *plane);
	int (*peek)(struct plane *plane);
	int (*loopback)(struct plane *plane, const struct sl_loopback *loopback);
	int (*divert)(struct plane *plane);
	int (*accept)(struct plane *plane, struct netns *netns, bool is_ipv6,
		      struct plane_client *ret_client);
	int (*receive)(struct plane *plane, struct netns *netns, int sock, uint8_t *bytes,
		       struct plane_datagram *ret_datagram);
	int (*connect_datagrams)(struct plane *plane, const struct netns *netns, int sock,
				 const struct sl_tuple *ours);
	void (*untranslate)(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
			    uint16_t zone);
	void (*keep_translated)(struct plane *plane, struct netns *netns,
				const struct sl_tuple *tuple, uint16_t zone, uint32_t seconds);
	void (*begin_anew)(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple);

	/* @netns: a free place, or one of a predecessor; it is filled in on success */
	int (*join)(struct plane *plane, struct netns *netns, int sockets[_NETNS_SOCKET_N]);
	void (*leave)(struct plane *plane, struct netns *netns);
	void (*refuse)(struct plane *plane, uint64_t cookie);
	void (*forget)(struct plane *plane, uint64_t cookie);
	int (*census)(struct plane *plane, plane_census_fn fn, void *data);
	bool (*was_touched)(struct plane *plane, struct netns *netns);
	int (*repair)(struct plane *plane, struct netns *netns);

	int (*read)(struct plane *plane, struct netns *netns, uint8_t *buffer,
		    struct queue_packet ret_packets[QUEUE_BATCH]);
	int (*answer)(struct plane *plane, struct netns *netns, uint32_t packet_id,
		      enum queue_verdict verdict, uint32_t mark);
	int (*replace)(struct plane *plane, struct netns *netns, uint32_t packet_id, uint32_t mark,
		       const uint8_t *bytes, size_t n_bytes);
	int (*requeue)(struct plane *plane, struct netns *netns);

	/* in every namespace where the plane is */
	int (*packets)(struct plane *plane);
	int (*read_packets)(struct plane *plane, struct netns *netns, uint8_t *buffer,
			    struct queue_packet ret_packets[PACKETS_BATCH]);
	/* PACKETS_BATCH at most */
	int (*answer_packets)(struct plane *plane, struct netns *netns,
			      const struct packet_answer *answers, unsigned int n);
	void (*recount_packets)(struct plane *plane, const uint16_t of[SL_CROWDS]);
	int (*set_packet_rules)(struct plane *plane, const struct sl_packet_set *set);
	int (*find_packet)(struct plane *plane, const struct sl_tuple *tuple,
			   struct sl_packet *ret_packet);
	int (*count_packets)(struct plane *plane, uint64_t ret_counts[_SL_PACKET_COUNT_N]);

	int (*find_held)(struct plane *plane, const struct sl_tuple *tuple,
			 struct sl_held *ret_held);
	int (*forget_held)(struct plane *plane, struct sl_tuple *tuples, uint32_t n,
			   uint64_t before_ns, uint32_t *ret_n);
	int (*find_proc)(struct plane *plane, const struct sl_proc_key *key,
			 struct sl_proc *ret_proc);
	int (*find_cgroup)(struct plane *plane, uint64_t id, struct sl_path *ret_path);
	int (*find_query)(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie);
	int (*find_sock)(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock);

	int (*set_flow)(struct plane *plane, const struct sl_flow_key *key,
			const struct sl_flow *flow);
	int (*get_flow)(struct plane *plane, const struct sl_flow_key *key,
			struct sl_flow *ret_flow);
	int (*forget_flow)(struct plane *plane, const struct sl_flow_key *key);
	int (*next_flow)(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow);

	int (*set_peek)(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie);
	int (*find_peek)(struct plane *plane, const struct sl_tuple *tuple,
			 struct sl_peek *ret_peek);
	int (*forget_peek)(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie);

	int (*destroy)(struct plane *plane, struct netns *netns, const struct plane_end *end);
	int (*hold_again)(struct plane *plane, uint64_t cookie);
	void (*count)(struct plane *plane, struct netns *netns, const struct plane_end *ends,
		      unsigned int n, struct plane_count *ret_counts);
	void (*end_rests)(struct plane *plane, struct netns *netns, const struct plane_end *ends,
			  unsigned int n);

	int (*set_memory)(struct plane *plane, const struct sl_memory_key *key,
			  const struct sl_memory *memory);
	int (*get_memory)(struct plane *plane, const struct sl_memory_key *key,
			  struct sl_memory *ret_memory);
	int (*forget_memory)(struct plane *plane, const struct sl_memory_key *key);
	int (*renew)(struct plane *plane, uint32_t generation);
	int (*generation)(struct plane *plane, uint32_t *ret_generation);
	int (*secret)(struct plane *plane, uint64_t ret_secret[2]);

	int (*drain)(struct plane *plane, plane_event_fn fn, void *data);
	int (*read_link)(struct plane *plane, struct netns *netns, uint32_t ifindex,
			 struct link *ret_link);
};

/** struct kernel - which kernel; kernel_real, or one that a test has made */
struct kernel {
	const struct plane_ops *ops;
};

struct late_answer {
	uint64_t packet_id;
	enum queue_verdict verdict;
	uint32_t mark;
};

/** struct plane - what all have in common; a table's `open` embeds it and fills it in */
struct plane {
	const struct plane_ops *ops;
	int events_fd; /* owned by who embeds it, as what follows */
	struct netns places[PLANE_NETNS_MAX];
	unsigned int n_places, home; /* none is used from n_places on */
	bool was_adopted;
	const char *queue_kind; /* for status */
	enum sl_packets packets, packets_left;
	struct sl_loopback loopback; /* in force, or it could not be put */
	uint32_t n_packet_copy;
	uint64_t proxies_id; /* see plane_proxies_id() */
	struct sl_order *orders; /* SL_ORDERS of them, or NULL */
	struct late_answer late[PLANE_LATE_MAX];
	unsigned int n_late;
};

/** plane_at() - the namespace in a place, for the plane itself; NULL: none */
struct netns *plane_at(struct plane *plane, unsigned int place);
/** plane_free_place() - for who fills in a plane. Return: a place, cleared, or -ENOSPC. */
int plane_free_place(struct plane *plane);
