/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The kernel plane of one instance
 *
 * BPF programs on the governed cgroup and their maps; in each network namespace
 * that governed processes use, an nft table and a queue. Everything but the
 * queues is pinned or lives in the kernel by itself: it enforces on when the
 * daemon is gone, and a successor adopts it.
 *
 * A namespace has a place in a table (netns.h). Places are numbers, and do not
 * change while the plane is in the namespace. plane_open() brings it into the
 * one that we are in; into others plane_join() does, with sockets that somebody
 * else has made there.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "abi/sluice-abi.h"
#include "kernel/link.h"
#include "kernel/netns.h"
#include "kernel/queue.h"

struct plane;
struct kernel; /* plane-ops.h: the real one, or a unit test's */

extern const struct kernel kernel_real;

#define PLANE_NETNS_MAX 1024U /* in force at one time */
#define PLANE_KEPT_N 2U	      /* sockets of a namespace that the keeper has: queue and rules */
#define PLANE_LISTENING_MAX 64U /* the first places, of which it has the listeners as well */
#define PLANE_LISTENERS_N 4U
#define PLANE_LISTENERS_AT (PLANE_NETNS_MAX * PLANE_KEPT_N)
#define PLANE_KEPT_MAX (PLANE_LISTENERS_AT + PLANE_LISTENING_MAX * PLANE_LISTENERS_N)

struct plane_config {
	const char *instance;
	const char *cgroup; /* directory of the governed cgroup */
	const char *bpffs;  /* folder for our pins */
	uint32_t canary_uid;
	bool is_closed;
	bool has_proxies; /* see plane_divert() */
	const char *proxies; /* their cgroup, which is governed as well; NULL: it is not */
};

/**
 * plane_open() - install the plane, or adopt the pinned one
 * @kept:      sockets of a predecessor, -1: none; all are consumed. PLANE_KEPT_N for each place, and
 *             from PLANE_LISTENERS_AT on PLANE_LISTENERS_N for each of the first ones
 * @ret_error: out on failure: which step failed, for people; a constant
 *
 * Installing needs CAP_PERFMON once; adopting does not. After a failure
 * nothing new is left in the kernel.
 */
int plane_open(const struct kernel *kernel, const struct plane_config *config, int *kept,
	       struct plane **ret_plane, const char **ret_error);

/** plane_close() - let go of descriptors; what is in force stays. Return: NULL */
struct plane *plane_close(struct plane *plane);

/** plane_remove() - take everything out of the kernel that plane_open() put there */
void plane_remove(struct plane *plane);

bool plane_was_adopted(const struct plane *plane);
const char *plane_queue_kind(const struct plane *plane);

/** plane_proxies_id() - of the cgroup of proxies, as in struct sl_who; 0: it is not governed */
uint64_t plane_proxies_id(const struct plane *plane);

/** plane_events_fd() - readable at once after SL_EV_NETNS; other events wait to be asked for */
int plane_events_fd(const struct plane *plane);

/** plane_n_places() - every namespace has a smaller place */
unsigned int plane_n_places(const struct plane *plane);
/** plane_netns() - the namespace in a place; NULL: none */
const struct netns *plane_netns(const struct plane *plane, unsigned int place);
/** plane_home() - the place of the namespace that we are in, and where the plane always is */
unsigned int plane_home(const struct plane *plane);
/** plane_is_full() - there is no place for another one */
bool plane_is_full(const struct plane *plane);
/** plane_find_netns() - by cookie. Return: the place, or -ENOENT. */
int plane_find_netns(const struct plane *plane, uint64_t cookie);

/**
 * plane_join() - bring the plane into a namespace, or open the rest of one that was adopted
 * @cookie:   which one it is to be
 * @inode:    its number, for people
 * @sockets:  made there for us; consumed
 *
 * Nothing of it is there after a failure, and the fail class holds on. The table
 * of a predecessor is not looked at: plane_repair().
 *
 * Return: its place; -ESTALE: the sockets are of another namespace; -ENOSPC: no
 *         place is free; or another negative errno.
 */
int plane_join(struct plane *plane, uint64_t cookie, uint32_t inode, int sockets[_NETNS_SOCKET_N]);
/** plane_leave() - take it out of a namespace that nobody uses; not out of plane_home() */
void plane_leave(struct plane *plane, unsigned int place);
/** plane_refuse() - it could not be brought: no more is told of that namespace until plane_forget() */
void plane_refuse(struct plane *plane, uint64_t cookie);
/** plane_forget() - the next governed socket there tells of it again */
void plane_forget(struct plane *plane, uint64_t cookie);

/** plane_census() - call @fn for each namespace of a governed process; several times for some.
 *  Return: 0 or a negative errno: it cannot be told. */
typedef void (*plane_census_fn)(const struct sl_census *line, void *data);
int plane_census(struct plane *plane, plane_census_fn fn, void *data);

/** plane_was_touched() - take what NETNS_WATCH tells. Return: may it concern our table? */
bool plane_was_touched(struct plane *plane, unsigned int place);
/**
 * plane_relax() - put the fail class of our configuration in force
 *
 * Adopting keeps that of a predecessor if it is the stricter one, so that a
 * configuration that turns out not to start opens nothing. Return: 0 or -errno.
 */
int plane_relax(struct plane *plane);

/**
 * plane_peek() - from now on bytes that come in can be held: plane_set_peek()
 *
 * Until then no packet pays for it. A successor finds it as it was left. Return: 0 or a
 * negative errno: not everywhere.
 */
int plane_peek(struct plane *plane);

static inline bool plane_judges_loopback(const struct sl_loopback *loopback)
{
	return loopback->mask || loopback->has_ipv6;
}

/**
 * plane_loopback() - from now on this of loopback is judged, and nothing else there
 *
 * While it is nothing no packet pays for it. A successor finds it as it was left. Return: 0, or a
 * negative errno: not everywhere. Then it is to be called again, and plane_repair() for each place.
 */
int plane_loopback(struct plane *plane, const struct sl_loopback *loopback);
/** plane_loopback_now() - what was given last, here or by a predecessor */
const struct sl_loopback *plane_loopback_now(const struct plane *plane);

/**
 * plane_repair() - look at the nft table and put back what others took away or changed
 *
 * Nothing of theirs is touched. What the queue holds stays if our hooks do.
 *
 * Return: 1 put back: look again later, as they may go on; 0 it was as it should be; -EAGAIN
 *         it cannot be told now; or another negative errno.
 */
int plane_repair(struct plane *plane, unsigned int place);

/* ---- flows that are proxies'; plane-divert.c ---- */

/**
 * plane_divert() - from now on flows of TCP and UDP can be diverted: SL_FLOW_DIVERTED
 *
 * Each namespace gets listeners on its loopback; until then no packet pays for it. A namespace
 * without loopback, or IPv6, has none of it: plane_diverts(). Called again it looks whether they
 * have got one. Return: 0 or a negative errno: not everywhere.
 */
int plane_divert(struct plane *plane);
/** plane_diverts() - flows of this protocol and family can be diverted in the namespace @netns */
bool plane_diverts(const struct plane *plane, uint64_t netns, uint8_t proto, bool is_ipv6);

/** struct plane_client - a connection that was diverted */
struct plane_client {
	int fd; /* the caller's: connected with the program; a close(2) resets it */
	uint64_t cookie; /* of @fd */
	/* as the program sees it, but for its port, which conntrack may change */
	struct sl_tuple tuple;
};

/** plane_accept() - one more of a family. Return: 0; -EAGAIN: none is there; or another negative errno */
int plane_accept(struct plane *plane, unsigned int place, bool is_ipv6,
		 struct plane_client *ret_client);

/** plane_accepted() - ends of a connection of plane_accept(), as that socket has them. @tuple: as the program
 *  sees it; @port: of struct plane_client */
struct sl_tuple plane_accepted(const struct plane *plane, const struct sl_tuple *tuple,
			       uint16_t port);

/** struct plane_datagram - of a flow that was diverted, and has no socket of its own yet */
struct plane_datagram {
	struct sl_tuple tuple; /* as the program sees it, */
	struct sl_tuple ours;  /* and as its socket is to: whom an answer goes to */
	size_t n;
};

/**
 * plane_receive() - one more of them
 * @sock:  of plane_connect_datagrams(); -1: the namespace's own
 * @bytes: PLANE_DATAGRAM_MAX of them
 *
 * Return: 0; -EAGAIN: none is there; -ENOENT: one that is of no flow, which is gone; or another
 *         negative errno.
 */
#define PLANE_DATAGRAM_MAX 65536U
int plane_receive(struct plane *plane, unsigned int place, int sock, uint8_t *bytes,
		  struct plane_datagram *ret_datagram);
/**
 * plane_connect_datagrams() - a socket with these ends, for what comes from there on
 * @sock: one of @place that the keeper has opened for it, consumed; -1: in plane_home(), where there is
 *        no need
 *
 * What came before, of whichever flow, may be in it, for plane_receive(). Return: the caller's;
 * -ESTALE: @sock is of another namespace or of another kind; or another negative errno.
 */
int plane_connect_datagrams(struct plane *plane, unsigned int place, int sock,
			    const struct sl_tuple *ours);
/** plane_untranslate() - conntrack is to forget who has these ends: a flow of UDP that was diverted is over, or one
 *  of TCP was never translated. @zone: SL_ZONE, or sl_zone_of_proxy(); of TCP 0 */
void plane_untranslate(struct plane *plane, const struct sl_tuple *tuple, uint16_t zone);
/** plane_keep_translated() - one that is open: conntrack is to know it for so long, also if nothing goes */
void plane_keep_translated(struct plane *plane, const struct sl_tuple *tuple, uint16_t zone,
			   uint32_t seconds);
/** plane_begin_anew() - once this connection of TCP is over, however, a SYN with its ends begins another one, and is not
 *  translated as this one was */
void plane_begin_anew(struct plane *plane, const struct sl_tuple *tuple);

/* ---- packet filters; plane-packets.c ---- */

/**
 * plane_packets() - from now on packets are asked about: plane_read_packets()
 * @n_copy:    bytes of each that are read
 * @is_closed: what finds no place in the queue, or nobody who reads it, is dropped; else it passes
 *
 * Until then no packet pays for it, and there is no way back. A successor finds the fail class as
 * it was left, but has to call it again. Return: 0 or a negative errno: not everywhere.
 */
int plane_packets(struct plane *plane, uint32_t n_copy, bool is_closed);

/** plane_packets_left() - what a predecessor has left in force */
enum sl_packets plane_packets_left(const struct plane *plane);

/** plane_read_packets() - of the queue of packets of a namespace; as queue_read_packets() */
int plane_read_packets(struct plane *plane, unsigned int place, uint8_t *buffer,
		       struct queue_packet ret_packets[PACKETS_BATCH]);

/** plane_answer_packets() - in order; also of several places. Return: so many were taken */
unsigned int plane_answer_packets(struct plane *plane, const struct packet_answer *answers,
				  unsigned int n);

/** plane_recount_packets() - the queues are empty: so many wait here, of each crowd; what else
 *  was counted is lost. The kernel counts on by itself, and plane_answer_packets() down */
void plane_recount_packets(struct plane *plane, const uint16_t of[SL_CROWDS]);

/** plane_set_packet_rules() - in the place of those in force; @set->generation is ours to give.
 *  Return: 0 or a negative errno: the rules in force are not known to be in force any more. */
int plane_set_packet_rules(struct plane *plane, const struct sl_packet_set *set);

/** plane_find_packet() - whose packets have these ends? Return: 0 or a negative errno. */
int plane_find_packet(struct plane *plane, const struct sl_tuple *tuple,
		      struct sl_packet *ret_packet);

/** plane_count_packets() - so many the rules asked about, and denied, in all namespaces */
int plane_count_packets(struct plane *plane, uint64_t ret_counts[_SL_PACKET_COUNT_N]);

/* ---- packets of flows ---- */

/** plane_read() - packets of the queue of a namespace; as queue_read() */
int plane_read(struct plane *plane, unsigned int place, uint8_t *buffer,
	       struct queue_packet ret_packets[QUEUE_BATCH]);
/**
 * plane_answer() - let a packet go on or drop it; its mark becomes @mark
 *
 * An answer that the kernel does not take, for want of memory, is kept and
 * given again by plane_answer_late(): its packet would be held for ever. The
 * packets of a namespace that the plane has left are gone: 0.
 *
 * Return: 0, or a negative errno when too many are kept already.
 */
int plane_answer(struct plane *plane, uint64_t packet_id, enum queue_verdict verdict,
		 uint32_t mark);
/** plane_n_late() - of them */
unsigned int plane_n_late(const struct plane *plane);
/** plane_answer_late() - to be called several times a second. Return: how many are still kept. */
unsigned int plane_answer_late(struct plane *plane);
/**
 * plane_replace() - let a packet go on as another one; see queue_replace()
 *
 * Return: 0 or a negative errno: the packet is still held.
 */
int plane_replace(struct plane *plane, uint64_t packet_id, uint32_t mark, const uint8_t *bytes,
		  size_t n_bytes);
/** plane_requeue() - what a predecessor held is read again. Return: 0, or a negative errno: not all */
int plane_requeue(struct plane *plane);

/* ---- maps ---- */

/** plane_find_held() - whose packet is this? Once for each that was read: BPF counts those that
 *  were not. Return: 0, or -ENOENT. */
int plane_find_held(struct plane *plane, const struct sl_tuple *tuple, struct sl_held *ret_held);
/**
 * plane_forget_held() - none of their packets was in the queue when it was read
 * @tuples:    in and out: those that stay are the first ones then
 * @before_ns: CLOCK_BOOTTIME, before it was read: of what is not TCP, who was held since stays
 * @ret_n:     how many stay
 * Return: 0 or a negative errno: some of them are still there
 */
int plane_forget_held(struct plane *plane, struct sl_tuple *tuples, uint32_t n, uint64_t before_ns,
		      uint32_t *ret_n);
/** plane_order() - the kernel's of this network namespace, see there; NULL: it cannot be had, and datagrams may
 *  overtake others */
struct sl_order *plane_order(const struct plane *plane, uint64_t netns);
int plane_find_proc(struct plane *plane, const struct sl_who *who, struct sl_proc *ret_proc);
int plane_find_cgroup(struct plane *plane, uint64_t id, struct sl_path *ret_path);
/** plane_find_query() - the socket that asked a name server over this tuple */
int plane_find_query(struct plane *plane, const struct sl_tuple *tuple, uint64_t *ret_cookie);
int plane_find_sock(struct plane *plane, uint64_t cookie, struct sl_sock *ret_sock);

/** plane_set_flow() - put a verdict in force; it is there before this returns */
int plane_set_flow(struct plane *plane, const struct sl_flow_key *key, const struct sl_flow *flow);
int plane_get_flow(struct plane *plane, const struct sl_flow_key *key, struct sl_flow *ret_flow);
int plane_forget_flow(struct plane *plane, const struct sl_flow_key *key);
/** plane_next_flow() - iterate; @key is in/out, zero it to begin. Return: 0, -ENOENT at the end. */
int plane_next_flow(struct plane *plane, struct sl_flow_key *key, struct sl_flow *ret_flow);

/** plane_set_peek() - TCP: what comes in with these ends is held, if the entry with this @cookie
 *  says so. What the kernel side wrote there stays */
int plane_set_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie);
/** plane_find_peek() - as the kernel side has it now. Return: 0 or a negative errno */
int plane_find_peek(struct plane *plane, const struct sl_tuple *tuple, struct sl_peek *ret_peek);
/** plane_forget_peek() - unless it is another one's by now */
int plane_forget_peek(struct plane *plane, const struct sl_tuple *tuple, uint64_t cookie);

/** plane_hold_again() - a TCP socket that was allowed: its packets meet its flow's verdict again */
int plane_hold_again(struct plane *plane, uint64_t cookie);

/** plane_set_memory() - allow what @key says without asking, until its expiry */
int plane_set_memory(struct plane *plane, const struct sl_memory_key *key,
		     const struct sl_memory *memory);
int plane_get_memory(struct plane *plane, const struct sl_memory_key *key,
		     struct sl_memory *ret_memory);
int plane_forget_memory(struct plane *plane, const struct sl_memory_key *key);
/** plane_renew() - entries of another generation than @generation are out of date from now on */
int plane_renew(struct plane *plane, uint32_t generation);
/** plane_generation() - in force now; a predecessor may have left it */
int plane_generation(struct plane *plane, uint32_t *ret_generation);
/** plane_secret() - of struct sl_digest: an application's path as the kernel side has it */
int plane_secret(struct plane *plane, uint64_t ret_secret[2]);

/* ---- sockets; plane-socks.c ---- */

/** struct plane_end - one conversation, and the socket that holds our end of it */
struct plane_end {
	uint64_t cookie; /* inbound TCP: of the listener that accepted it */
	struct sl_tuple tuple;
	uint32_t ifindex; /* 0: unknown */
	bool is_inbound;
};

/**
 * plane_destroy() - end a socket: its calls fail with ECONNABORTED, its peer gets a reset
 *
 * Only the socket of the cookie, or one that it has accepted; UDP: only while it
 * is connected to this peer, for it may have other conversations otherwise.
 *
 * Return: 0; -ENOENT when there is no such socket; -EOPNOTSUPP or another
 * negative errno when the kernel does not do it.
 */
int plane_destroy(struct plane *plane, const struct plane_end *end);
/** struct plane_count - payload that a TCP socket has received and sent so far, and has yet to send */
struct plane_count {
	int error; /* 0, or a negative errno: it is not known */
	uint64_t bytes_in, bytes_out;
	uint32_t n_unsent;
	uint8_t n_repeats; /* it has sent something so often since it last heard of its peer */
	bool has_fin;	   /* the peer has ended its side */
};

#define PLANE_COUNTS_MAX 64U /* in one go */

/**
 * plane_count() - what the sockets of @n TCP connections say, PLANE_COUNTS_MAX at most
 *
 * The socket counts by itself, so that an allowed connection pays nothing for it; SL_EV_TCP_CLOSED
 * has the same counts at its end. A SYN or a FIN is no payload.
 */
void plane_count(struct plane *plane, const struct plane_end *ends, unsigned int n,
		 struct plane_count *ret_counts);
/** plane_end_rests() - of TCP connections of which nothing but TIME_WAIT is left, PLANE_COUNTS_MAX at most.
 *  Where the kernel does not do it they stay for their minute */
void plane_end_rests(struct plane *plane, const struct plane_end *ends, unsigned int n);

/* ---- what the kernel tells ---- */

/**
 * plane_drain() - call @fn for events that wait in the ring; never blocks
 *
 * Return: 0 when none is left, 1 after PLANE_EVENTS_A_ROUND of them: others
 *         get their turn, call again soon; or a negative errno.
 */
#define PLANE_EVENTS_A_ROUND 512U
typedef void (*plane_event_fn)(const struct sl_event *event, void *data);
int plane_drain(struct plane *plane, plane_event_fn fn, void *data);

/** plane_read_link() - an interface of the namespace @netns. Return: 0 or a negative errno. */
int plane_read_link(struct plane *plane, uint64_t netns, uint32_t ifindex, struct link *ret_link);
