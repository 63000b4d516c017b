/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: The kernel in memory, shared by the fake*.c alone */

#include "base/macros.h"
#include "kernel/fake.h"

#define FAKE_EVENTS_MAX 1024U
#define FAKE_ENTRIES 64U /* of a map, at first */

struct store {
	size_t n_key, n_value;
	size_t n, n_room;
	uint8_t *entries; /* key, value, key, value … */
};

struct script {
	enum fake_op op;
	unsigned int n_left; /* calls until it fails; 0: it does not */
	int error;
	bool is_always;
	bool has_failed;
};

/** struct fake_netns - a network namespace; a pipe is its queue, a byte a packet, and stands for
 *  every socket that is made in it */
struct fake_netns {
	uint64_t cookie;
	int pipe[2];
	int asked_fd;	/* readable while packets wait in its queue of packets */
	int watch_fd;	/* readable after fake_touch() */
	int clients_fd; /* readable while there are clients */
	int datagrams_fd;
	bool is_touched, has_rules, is_refused;
};

#define FAKE_NETNS_MAX 8U
#define FAKE_CLIENTS_MAX 16U

struct fake {
	struct kernel kernel;
	struct script script;
	unsigned int n_calls[_FAKE_OP_N];
	struct store stores[_FAKE_MAP_N];
	struct fake_packet *packets;
	unsigned int n_packets, n_room, n_stale, n_planes;
	uint32_t last_id;
	struct fake_netns netns[FAKE_NETNS_MAX]; /* the first is that of the daemon */
	unsigned int n_netns;
	struct sl_census census[FAKE_NETNS_MAX];
	unsigned int n_census;
	int events_fd; /* readable after fake_put_seen() */
	union {
		struct sl_event event;
		struct sl_remembered remembered;
		struct sl_seen seen;
	} events[FAKE_EVENTS_MAX];
	uint32_t generation;
	struct sl_order orders[SL_ORDERS];
	unsigned int n_events;
	bool is_installed, is_peeking, is_diverting;
	struct plane_client clients[FAKE_CLIENTS_MAX];
	unsigned int n_clients;
	struct fake_datagram {
		struct sl_tuple tuple;
		size_t n;
		uint8_t bytes[1500];
	} datagrams[FAKE_CLIENTS_MAX];
	unsigned int n_datagrams;
	struct sl_loopback loopback;
	enum sl_packets packet_class;
	struct sl_packet_set packet_rules;
	bool has_packet_rules;
	uint64_t n_asked;
};

struct fake_plane {
	struct plane plane;
	struct fake *fake;
};

static inline struct fake *fake_of(struct plane *plane)
{
	return CONTAINER_OF(plane, struct fake_plane, plane)->fake;
}

/** fake_enter() - begin of each operation. Return: 0, or the error it is to fail with. */
int fake_enter(struct fake *fake, enum fake_op op);

/* fake-maps.c */
void fake_make_maps(struct fake *fake);
void fake_free_maps(struct fake *fake);
int fake_find_held(struct plane *plane, const struct sl_tuple *tuple, struct sl_held *ret_held);
int fake_forget_held(struct plane *plane, struct sl_tuple *tuples, uint32_t n, uint64_t before_ns,
		     uint32_t *ret_n);
int fake_find_proc(struct plane *plane, const struct sl_proc_key *key, struct sl_proc *ret_proc);
int fake_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path);
int fake_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie);
int fake_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock);
int fake_get_flow(struct plane *plane, const struct sl_flow_key *key, struct sl_flow *ret_flow);
int fake_read_link(struct plane *plane, struct netns *netns, uint32_t ifindex,
		   struct link *ret_link);
int fake_set_flow(struct plane *plane, const struct sl_flow_key *key, const struct sl_flow *flow);
int fake_forget_flow(struct plane *plane, const struct sl_flow_key *key);
int fake_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow);
int fake_set_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie);
int fake_find_peek(struct plane *plane, const struct sl_tuple *tuple, struct sl_peek *ret_peek);
int fake_forget_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie);
int fake_set_memory(struct plane *plane, const struct sl_memory_key *key,
		    const struct sl_memory *memory);
int fake_get_memory(struct plane *plane, const struct sl_memory_key *key,
		    struct sl_memory *ret_memory);
int fake_forget_memory(struct plane *plane, const struct sl_memory_key *key);
int fake_renew(struct plane *plane, uint32_t generation);
int fake_get_generation(struct plane *plane, uint32_t *ret_generation);
int fake_secret(struct plane *plane, uint64_t ret_secret[2]);

/* fake-socks.c */
int fake_destroy(struct plane *plane, struct netns *netns, const struct plane_end *end);
int fake_hold_again(struct plane *plane, uint64_t cookie);
void fake_count(struct plane *plane, struct netns *netns, const struct plane_end *ends,
		unsigned int n, struct plane_count *ret_counts);
void fake_end_rests(struct plane *plane, struct netns *netns, const struct plane_end *ends,
		    unsigned int n);

/* fake-queue.c */
int fake_read(struct plane *plane, struct netns *netns, uint8_t *buffer,
	      struct queue_packet ret_packets[QUEUE_BATCH]);
extern const enum fake_state fake_states[]; /* by enum queue_verdict */
int fake_answer(struct plane *plane, struct netns *netns, uint32_t packet_id,
		enum queue_verdict verdict, uint32_t mark);
int fake_replace(struct plane *plane, struct netns *netns, uint32_t packet_id, uint32_t mark,
		 const uint8_t *bytes, size_t n_bytes);
int fake_requeue(struct plane *plane, struct netns *netns);

/** fake_next() - the packet that was queued longest ago. NULL: none */
struct fake_packet *fake_next(struct fake *fake, uint64_t netns, bool is_asked);
unsigned int fake_enqueue_new(struct fake *fake, const struct fake_packet *from,
			      const uint8_t *bytes);
void fake_settle(struct fake *fake, uint64_t netns, uint32_t packet_id, enum fake_state state,
		 uint32_t mark);

/* fake-packets.c */
int fake_set_packets(struct plane *plane);
int fake_read_packets(struct plane *plane, struct netns *netns, uint8_t *buffer,
		      struct queue_packet ret_packets[PACKETS_BATCH]);
int fake_answer_packets(struct plane *plane, struct netns *netns,
			const struct packet_answer *answers, unsigned int n);
void fake_recount_packets(struct plane *plane, const uint16_t of[SL_CROWDS]);
int fake_set_packet_rules(struct plane *plane, const struct sl_packet_set *set);
int fake_find_packet(struct plane *plane, const struct sl_tuple *tuple,
		     struct sl_packet *ret_packet);
int fake_count_packets(struct plane *plane, uint64_t ret_counts[_SL_PACKET_COUNT_N]);

/* fake-owners.c */
bool fake_was_touched(struct plane *plane, struct netns *netns);
int fake_relax(struct plane *plane);
int fake_peek(struct plane *plane);
int fake_loopback(struct plane *plane, const struct sl_loopback *loopback);
int fake_repair(struct plane *plane, struct netns *netns);

/* fake-divert.c */
int fake_divert(struct plane *plane);
int fake_accept(struct plane *plane, struct netns *netns, bool is_ipv6,
		struct plane_client *ret_client);
int fake_receive(struct plane *plane, struct netns *netns, int sock, uint8_t *bytes,
		 struct plane_datagram *ret_datagram);
int fake_connect_datagrams(struct plane *plane, const struct netns *netns, int sock,
			   const struct sl_tuple *ours);
void fake_untranslate(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
		      uint16_t zone);
void fake_keep_translated(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
			  uint16_t zone, uint32_t seconds);
void fake_begin_anew(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple);
void fake_close_clients(struct fake *fake);

/* fake-netns.c */
struct fake_netns *fake_netns_of(struct fake *fake, uint64_t cookie);
/** fake_is_of() - of fake_open_socket() there */
bool fake_is_of(struct fake *fake, int fd, uint64_t cookie);
void fake_close_netns(struct fake *fake);
/** fake_adopt() - places of what was kept, and the first one at home */
void fake_adopt(struct fake *fake, struct plane *plane, int *kept);
int fake_join(struct plane *plane, struct netns *netns, int sockets[_NETNS_SOCKET_N]);
void fake_leave(struct plane *plane, struct netns *netns);
void fake_refuse(struct plane *plane, uint64_t cookie);
void fake_forget(struct plane *plane, uint64_t cookie);
int fake_census(struct plane *plane, plane_census_fn fn, void *data);
