/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The real plane
 *
 *	real.c       the table; operations on packets and sockets, events
 *	real-maps.c  operations on maps; real-packets.c: packet filters
 *	install.c    what is there once: programs and maps
 *	pins.c       the names by which a successor finds them
 *	renew.c      programs of another build, replaced
 *	join.c       what is there for each network namespace: its sockets, its entry in sl_netns
 *	repair.c     its nft table, among other owners
 *	divert.c     its listeners, for flows that are proxies'
 */

#include "base/macros.h"
#include "kernel/nft.h"
#include "kernel/plane-ops.h"

enum plane_map {
	MAP_SOCKS,
	MAP_PROCS,
	MAP_CGROUPS,
	MAP_HELD,
	MAP_FLOWS,
	MAP_RESOLVING,
	MAP_MEMORY,
	MAP_CONFIG,
	MAP_NETNS,
	MAP_CROWDS,
	MAP_PEEKS,
	MAP_EVENTS,
	MAP_BINDS, /* this one and the next: the programs' alone, pinned for those of another build */
	MAP_LISTENER,
	MAP_PACKETS,
	MAP_PACKET_SETS,
	MAP_PACKET_COUNTS,
	MAP_PACKET_PLACES,
	MAP_ORDER,
	_MAP_N,
};

struct bpf_program;
struct ring_buffer;

struct real {
	struct plane plane;
	char instance[32];
	char cgroup[512];
	char proxies[600]; /* theirs; "": it is not governed */
	char bpffs[256];
	int maps[_MAP_N];
	int census;	     /* link of sl_census */
	struct nft_plan nft; /* but for the queue's number, which each namespace has of its own */
	bool is_stricter;    /* closed only because a predecessor was, who is replaced */
	bool is_renewed;     /* its programs were another build's */
	bool has_peeks;	     /* they know that sl_peeks may hold something */
	bool has_proxies;    /* what is theirs is kept on loopback */
	uint32_t canary_uid;
	struct sl_crowd *crowds; /* MAP_CROWDS, mapped; NULL: it cannot be, counts end by time */
	struct sl_packet_places *places; /* MAP_PACKET_PLACES, mapped */
	struct ring_buffer *ring;
	plane_event_fn event_fn;
	void *event_data;
	unsigned int n_events; /* of this round */
};

static inline struct real *real_of(struct plane *plane)
{
	return CONTAINER_OF(plane, struct real, plane);
}

/* real-maps.c: operations, and what is mapped */

/** real_map_counts() - sl_crowds, of which what a predecessor had not read is queued and counted again, and sl_order */
void real_map_counts(struct real *real);
void real_unmap_counts(struct real *real);
int real_find_held(struct plane *plane, const struct sl_tuple *tuple, struct sl_held *ret_held);
int real_forget_held(struct plane *plane, struct sl_tuple *tuples, uint32_t n, uint64_t before_ns,
		     uint32_t *ret_n);
int real_find_proc(struct plane *plane, const struct sl_proc_key *key, struct sl_proc *ret_proc);
int real_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path);
int real_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie);
int real_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock);
int real_set_flow(struct plane *plane, const struct sl_flow_key *key, const struct sl_flow *flow);
int real_get_flow(struct plane *plane, const struct sl_flow_key *key, struct sl_flow *ret_flow);
int real_forget_flow(struct plane *plane, const struct sl_flow_key *key);
int real_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow);
int real_hold_again(struct plane *plane, uint64_t cookie);
int real_set_memory(struct plane *plane, const struct sl_memory_key *key,
		    const struct sl_memory *memory);
int real_get_memory(struct plane *plane, const struct sl_memory_key *key,
		    struct sl_memory *ret_memory);
int real_forget_memory(struct plane *plane, const struct sl_memory_key *key);
int real_set_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie);
int real_find_peek(struct plane *plane, const struct sl_tuple *tuple, struct sl_peek *ret_peek);
int real_forget_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie);
int real_generation(struct plane *plane, uint32_t *ret_generation);
int real_secret(struct plane *plane, uint64_t ret_secret[2]);
int real_renew(struct plane *plane, uint32_t generation);

/* real-packets.c: packet filters */

/** packets_map_places() - nobody has one yet: a predecessor's packets went with its queue */
int packets_map_places(struct real *real);
void packets_unmap_places(struct real *real);
/** packets_bind() - a queue of packets in this namespace, if there is a packet filter. Return: 0 */
int packets_bind(struct real *real, struct netns *netns);
int real_packets(struct plane *plane);
int real_read_packets(struct plane *plane, struct netns *netns, uint8_t *buffer,
		      struct queue_packet ret_packets[PACKETS_BATCH]);
int real_answer_packets(struct plane *plane, struct netns *netns,
			const struct packet_answer *answers, unsigned int n);
void real_recount_packets(struct plane *plane, const uint16_t of[SL_CROWDS]);
int real_set_packet_rules(struct plane *plane, const struct sl_packet_set *set);
int real_find_packet(struct plane *plane, const struct sl_tuple *tuple,
		     struct sl_packet *ret_packet);
int real_count_packets(struct plane *plane, uint64_t ret_counts[_SL_PACKET_COUNT_N]);

/* install.c */

/** install_begin() - every descriptor is "none" */
void install_begin(struct real *real);
/** install_or_adopt() - on failure nothing new is left in the kernel */
int install_or_adopt(struct real *real, int *kept, const char **ret_error);
void install_remove(struct real *real);
/** install_relax() - as plane_relax() */
int install_relax(struct real *real);
/** install_write_config() - what of it is ours alone. Return: 0 or a negative errno. */
int install_write_config(struct real *real);
/** install_peek() - as plane_peek() */
int install_peek(struct real *real);
/** install_loopback() - as plane_loopback() */
int install_loopback(struct real *real, const struct sl_loopback *loopback);
/** install_renew() - the plan is another one: into every namespace. Return: 0 or a negative errno */
int install_renew(struct real *real);
/** install_close() - descriptors only */
void install_close(struct real *real);

/* attach.c; the links of a program: with the governed cgroup, and with that of proxies */

/** attach_put() - with the cgroups that it is not attached to yet. Return: 0 or a negative errno */
int attach_put(const struct real *real, const struct bpf_program *program);
/** attach_hand_over() - each link it has gets this program. Return: 0 or a negative errno */
int attach_hand_over(const struct real *real, const struct bpf_program *program);
/** attach_check() - has it all that it should have? Return: 0, -ENOENT, -ESTALE: of a cgroup that is gone */
int attach_check(const struct real *real, const char *program);
/** attach_governs() - is it attached to the cgroup of programs? */
bool attach_governs(const struct real *real, const char *program);
/** attach_remove() - which detaches it */
void attach_remove(const struct real *real, const char *program);
/** attach_forget_proxies() - what a predecessor left there, and we have no use for */
void attach_forget_proxies(const struct real *real, const char *program);

/* pins.c; @kind: "map", "prog" or "link" */

/** pins_put() - in the place of what has this name. Return: 0 or a negative errno */
int pins_put(const struct real *real, const char *kind, const char *name, int fd);
/** pins_open() - Return: a descriptor, the caller's, or a negative errno */
int pins_open(const struct real *real, const char *kind, const char *name);
/** pins_read() - the value of a map that has one; that of another build may have another size. Return: 0;
 *  -EPROTO: it has; or another negative errno */
int pins_read(const struct real *real, const char *name, void *ret_value, size_t n);
bool pins_has(const struct real *real, const char *kind, const char *name);
void pins_remove(const struct real *real, const char *kind, const char *name);

/* renew.c */

/** renew() - our programs in the place of another build's. Return: 0; -EPROTO: not over its maps */
int renew(struct real *real, const char **ret_error);
/** renew_stamp() - the programs in force are ours */
int renew_stamp(struct real *real);

/* join.c */

/** join_home() - into the namespace that we are in; adopts what is there if it is a predecessor's */
int join_home(struct real *real, const char **ret_error);
/** join_adopt() - namespaces of which we were handed sockets; entries of others are forgotten */
void join_adopt(struct real *real, int *kept);
/** join() - as plane_join(), into this place */
int join(struct real *real, struct netns *netns, int sockets[_NETNS_SOCKET_N]);
void join_leave(struct real *real, struct netns *netns);
/** join_put_tables() - anew, wherever we are. Return: 0 or a negative errno. */
int join_put_tables(struct real *real);
void join_remove_tables(const struct real *real);
/** join_refuse(), join_forget(), join_census() - as the plane's */
void join_refuse(struct real *real, uint64_t cookie);
void join_forget(struct real *real, uint64_t cookie);
int join_census(struct real *real, plane_census_fn fn, void *data);
/** join_note() - the entry in sl_netns becomes what @netns says. Return: 0 or a negative errno. */
int join_note(struct real *real, const struct netns *netns);

/* divert.c */

/** real_listen() - in this namespace, if there are proxies; it may have no listener of a family.
 *  Return: 0 or a negative errno */
int real_listen(struct real *real, struct netns *netns);
/** real_divert(), real_accept() - as plane_divert(), plane_accept() */
int real_divert(struct plane *plane);
int real_accept(struct plane *plane, struct netns *netns, bool is_ipv6,
		struct plane_client *ret_client);
int real_receive(struct plane *plane, struct netns *netns, int sock, uint8_t *bytes,
		 struct plane_datagram *ret_datagram);
int real_connect_datagrams(struct plane *plane, const struct netns *netns, int sock,
			   const struct sl_tuple *ours);
void real_untranslate(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
		      uint16_t zone);
void real_keep_translated(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple,
			  uint16_t zone, uint32_t seconds);
void real_begin_anew(struct plane *plane, struct netns *netns, const struct sl_tuple *tuple);

/* conntrack.c */

/**
 * conntrack_original() - the ends of a flow that was translated, as its program sees them
 * @sock:  NETNS_RULES
 * @tuple: in: our end and the translated peer, as in its answers; out: the original ends
 *
 * Return: 0; -ENOENT: there is none; or another negative errno.
 */
int conntrack_original(int sock, struct sl_tuple *tuple);
/** conntrack_forget() - the flow with these original ends, in this zone. Return: 0, -ENOENT, or another negative errno */
int conntrack_forget(int sock, const struct sl_tuple *tuple, uint16_t zone);
/** conntrack_keep() - it is forgotten so many seconds from now, or as the next packet says. Return: the same */
int conntrack_keep(int sock, const struct sl_tuple *tuple, uint16_t zone, uint32_t seconds);
/** conntrack_begin_anew() - as plane_begin_anew(). Return: 0 or a negative errno; whether it knows such a one is not said */
int conntrack_begin_anew(int sock, const struct sl_tuple *tuple);

/* repair.c */

/** repair_table() - the nft table put in place as a whole, and noted for repair() */
int repair_table(struct real *real, struct netns *netns);
/** repair_was_touched() - as plane_was_touched() */
bool repair_was_touched(struct real *real, struct netns *netns);
/** repair_renew() - the plan is another one; what is held stays. Return: as repair() */
int repair_renew(struct real *real, struct netns *netns);
/** repair() - as plane_repair() */
int repair(struct real *real, struct netns *netns);
