/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A kernel in memory, for unit tests
 *
 * Maps are lists, the queue is a list of packets that remember how they were
 * answered, events are what the test put in. It outlives the plane that a
 * daemon opened on it, as the real one does: a second daemon adopts. Each call
 * of an operation can be made to fail once.
 *
 * It does not judge: whether a packet would be held is the test's to know.
 */

#include "kernel/plane-ops.h"

#define FAKE_PROXIES_ID 7000U /* of the cgroup of proxies, when it is governed */

enum fake_op {
	FAKE_OPEN,
	FAKE_WAS_TOUCHED,
	FAKE_RELAX,
	FAKE_PEEK,
	FAKE_LOOPBACK,
	FAKE_DIVERT,
	FAKE_ACCEPT,
	FAKE_RECEIVE,
	FAKE_CONNECT_DATAGRAMS,
	FAKE_UNTRANSLATE,
	FAKE_KEEP_TRANSLATED,
	FAKE_BEGIN_ANEW,
	FAKE_REPAIR,
	FAKE_JOIN,
	FAKE_LEAVE,
	FAKE_REFUSE,
	FAKE_FORGET,
	FAKE_CENSUS,
	FAKE_READ,
	FAKE_ANSWER,
	FAKE_REPLACE,
	FAKE_REQUEUE,
	FAKE_PACKETS,
	FAKE_READ_PACKETS,
	FAKE_ANSWER_PACKETS,
	FAKE_SET_PACKET_RULES,
	FAKE_FIND_PACKET,
	FAKE_COUNT_PACKETS,
	FAKE_FIND_HELD,
	FAKE_FORGET_HELD,
	FAKE_FIND_PROC,
	FAKE_FIND_CGROUP,
	FAKE_FIND_QUERY,
	FAKE_FIND_SOCK,
	FAKE_SET_FLOW,
	FAKE_GET_FLOW,
	FAKE_FORGET_FLOW,
	FAKE_NEXT_FLOW,
	FAKE_SET_PEEK,
	FAKE_FIND_PEEK,
	FAKE_FORGET_PEEK,
	FAKE_DESTROY,
	FAKE_HOLD_AGAIN,
	FAKE_COUNT,
	FAKE_END_RESTS,
	FAKE_SET_MEMORY,
	FAKE_GET_MEMORY,
	FAKE_FORGET_MEMORY,
	FAKE_RENEW,
	FAKE_GENERATION,
	FAKE_DRAIN,
	FAKE_READ_LINK,
	FAKE_ANY, /* for fake_fail() and fake_n_calls(): whichever it is */
	_FAKE_OP_N,
};

enum fake_map {
	FAKE_HELD,    /* struct sl_tuple → struct sl_held */
	FAKE_PROCS,   /* struct sl_proc_key → struct sl_proc */
	FAKE_CGROUPS, /* uint64_t → struct sl_path */
	FAKE_QUERIES, /* struct sl_tuple → uint64_t, the cookie */
	FAKE_SOCKS,   /* uint64_t, the cookie → struct sl_sock */
	FAKE_FLOWS,   /* struct sl_flow_key → struct sl_flow */
	FAKE_PEEKS,   /* struct sl_tuple → struct sl_peek */
	FAKE_MEMORY,  /* struct sl_memory_key → struct sl_memory */
	FAKE_LINKS,   /* uint32_t, the index → struct link */
	FAKE_SHOWN,   /* struct sl_tuple → struct sl_packet */
	FAKE_ENDED,   /* struct sl_tuple → struct plane_end, of sockets that were destroyed */
	FAKE_COUNTS,  /* struct sl_tuple → struct plane_count, of TCP; none: it has no socket */
	_FAKE_MAP_N,
};

enum fake_state { FAKE_QUEUED, FAKE_DELIVERED, FAKE_ACCEPTED, FAKE_DROPPED, FAKE_REPLACED };

/** struct fake_packet - a packet that met the queue, and what became of it */
struct fake_packet {
	uint32_t id; /* another one each time it is queued */
	uint64_t netns;
	uint32_t mark;
	bool is_inbound;
	bool is_asked; /* it met the queue of packets */
	enum fake_state state;
	uint32_t ifindex;
	size_t n_bytes;
	uint8_t bytes[1500];
};

struct fake;

struct fake *fake_new(void);
struct fake *fake_free(struct fake *fake);
const struct kernel *fake_kernel(struct fake *fake);

/** fake_fail() - from now on the @nth call (from 1) of @op fails with -@error, once; 0: never */
void fake_fail(struct fake *fake, enum fake_op op, unsigned int nth, int error);
/** fake_fail_always() - from now on each call of @op fails with -@error */
void fake_fail_always(struct fake *fake, enum fake_op op, int error);
/** fake_has_failed() - did the failure that was asked for happen? */
bool fake_has_failed(const struct fake *fake);
/** fake_n_calls() - since fake_new() */
unsigned int fake_n_calls(const struct fake *fake, enum fake_op op);

/** fake_put_packet() - a packet meets the queue of a namespace. Return: its index, for fake_packet() */
unsigned int fake_put_packet(struct fake *fake, uint64_t netns, const uint8_t *bytes,
			     size_t n_bytes, bool is_inbound, uint32_t mark);
/** fake_order() - of the first namespace: see plane_order() */
struct sl_order *fake_order(struct fake *fake);
/** fake_lead() - it leaves, or has come, by another interface than the second */
void fake_lead(struct fake *fake, unsigned int index, uint32_t ifindex);
/** fake_ask_packet() - the same, of the queue of packets */
unsigned int fake_ask_packet(struct fake *fake, uint64_t netns, const uint8_t *bytes,
			     size_t n_bytes, bool is_inbound);
/** fake_packets() - is there a packet filter? */
enum sl_packets fake_packets(const struct fake *fake);
/** fake_packet_rules() - in force; NULL: none were set */
const struct sl_packet_set *fake_packet_rules(const struct fake *fake);
const struct fake_packet *fake_packet(const struct fake *fake, unsigned int index);
unsigned int fake_n_packets(const struct fake *fake);
/** fake_n_stale() - answers for packets that were not waiting for one */
unsigned int fake_n_stale(const struct fake *fake);

void fake_put(struct fake *fake, enum fake_map map, const void *key, const void *value);
/** fake_get() - NULL: not there; valid until the next fake_put() or call of the plane */
const void *fake_get(const struct fake *fake, enum fake_map map, const void *key);
void fake_delete(struct fake *fake, enum fake_map map, const void *key);
size_t fake_n(const struct fake *fake, enum fake_map map);

void fake_put_event(struct fake *fake, const struct sl_event *event);
void fake_put_remembered(struct fake *fake, const struct sl_remembered *event);
/** fake_generation() - of the entries of FAKE_MEMORY that are not out of date */
uint32_t fake_generation(const struct fake *fake);

/** fake_touch() - another program changes rules; @is_ours: those of our table */
void fake_touch(struct fake *fake, uint64_t netns, bool is_ours);
/** fake_has_rules() - is our table there, and as it should be? */
bool fake_has_rules(struct fake *fake, uint64_t netns);

#define FAKE_HOME 0U /* cookie of the namespace that the daemon is in */

/** fake_make_netns() - another namespace */
void fake_make_netns(struct fake *fake, uint64_t cookie);
/** fake_open_socket() - as the keeper does in a namespace. Return: owned by the caller */
int fake_open_socket(struct fake *fake, uint64_t cookie);
/** fake_put_seen() - a governed socket is used there, where no plane is */
void fake_put_seen(struct fake *fake, uint64_t cookie, uint32_t pid);
/** fake_is_refused() - is no more told of it? */
bool fake_is_refused(struct fake *fake, uint64_t cookie);
/** fake_set_inhabited() - a governed process is in it, or none */
void fake_set_inhabited(struct fake *fake, uint64_t cookie, bool is_inhabited);

/**
 * fake_put_client() - a connection that was diverted comes to the listener of a namespace
 * @tuple: as the program sees it
 *
 * Return: the program's end, the caller's.
 */
int fake_put_client(struct fake *fake, const struct sl_tuple *tuple);
/** fake_put_datagram() - one of a diverted flow comes to the namespace's own socket */
void fake_put_datagram(struct fake *fake, const struct sl_tuple *tuple, const void *bytes, size_t n);
/** fake_is_diverting() - are there listeners? */
bool fake_is_diverting(const struct fake *fake);
/** fake_is_peeking() - can bytes that come in be held? */
bool fake_is_peeking(const struct fake *fake);
/** fake_judged_loopback() - what of loopback meets the queue */
const struct sl_loopback *fake_judged_loopback(const struct fake *fake);
/** fake_is_installed() - a plane was opened and not removed */
bool fake_is_installed(const struct fake *fake);
/** fake_n_planes() - planes that are open now */
unsigned int fake_n_planes(const struct fake *fake);
