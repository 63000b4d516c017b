/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: UDP by a SOCKS5 proxy (RFC 1928 7)
 *
 *	a program's socket ── association ── control: a connection of TCP that lives as long
 *	     │                     └──────── relay: a socket of UDP, connected with the place that
 *	     └ peer, peer …                         the proxy has named; the kernel drops the rest
 *
 * A flow of UDP is one socket of a program and one peer. All peers of a socket share one
 * association, so that they see one address of it. What comes back says from whom it is, and goes
 * to the flow of that peer; of anybody else it is dropped, as there is no flow to give it to.
 *
 *	BEGINS ──▶ STANDS ──control ends──▶ DOWN ──the program sends──▶ BEGINS …
 *	   └── refused ──▶ DOWN: flows that were never opened are refused
 *
 * The next datagram that finds it down is what begins another attempt, not more than one a second;
 * it waits for the outcome. After its last peer an association stays for a moment: the
 * end of the control connection could overtake what was sent.
 *
 * A flow that goes by its name (socks5h) gets what comes from any address with its port and of no other
 * peer, since which addresses the name has only the proxy knows. So one peer of each port
 * does, and other ones with this port go by their address.
 *
 * For association.c, peers.c, carry.c, relay.c and attempt.c alone, but for what flows.c hands on.
 */

#include <sys/queue.h>

#include "flow.h"
#include "socks5-udp.h"

enum association_state { ASSOCIATION_BEGINS, ASSOCIATION_STANDS, ASSOCIATION_DOWN };

/* a datagram that waits: with its head until the relay has room; or without for a program whose
 * descriptor is on its way */
struct kept {
	STAILQ_ENTRY(kept) in_early;
	size_t n;
	uint8_t bytes[];
};

#define CARRY_ALL 1024 /* datagrams: more than the buffer of a socket has */

struct association {
	struct over over;
	LIST_ENTRY(association) in_bucket;
	TAILQ_ENTRY(association) in_idle;
	uint64_t socket; /* 0: not known, and it has one peer */
	enum association_state state;
	bool is_idle;	  /* it has no peers, and stays until deadline_ms */
	bool is_by_name;  /* the proxy is told names */
	bool has_carried; /* something has come back */
	uint64_t deadline_ms, retry_ms;
	struct flow *control; /* NULL: none */
	int relay;	      /* -1: none */
	struct watched on_relay;
	struct kept *kept; /* while there is one, programs are not read */
	LIST_HEAD(, peer) peers, named;
};

/* one flow */
struct peer {
	struct over over;
	LIST_ENTRY(peer) in_id, in_place, in_association, in_named;
	struct association *association;
	uint64_t id;
	struct destination known;
	bool is_named;	/* it goes by its name, where the proxy is told names */
	bool is_opened; /* the daemon was told */
	int program;	/* -1: none yet */
	struct watched on_program;
	STAILQ_HEAD(, kept) early; /* answers, until then */
	unsigned int n_early;
	size_t n_head;
	uint8_t head[SOCKS5_UDP_HEAD_MAX];
};

/* ---- for flows.c: as its functions; false: no flow of UDP has this id ---- */

int association_flow(struct flows *flows, const struct sluice_flow *asked, uint64_t now_ms);
bool association_opened(struct flows *flows, uint64_t id, int fd, uint64_t now_ms);
bool association_ended(struct flows *flows, uint64_t id, uint64_t now_ms);
void association_datagram(struct flows *flows, uint64_t id, const void *bytes, size_t n,
			  uint64_t now_ms);
void association_expire(struct flows *flows, uint64_t now_ms);
int association_wait_ms(const struct flows *flows, uint64_t now_ms);
void association_deinit(struct flows *flows);

/* ---- for attempt.c ---- */

/** association_stands() - the control connection has done its part. Return: 0; -errno: @control is
 *  of no use */
int association_stands(struct flows *flows, struct flow *control);

/** association_refused() - there is no control connection, and @control is over */
void association_refused(struct flows *flows, struct association *association, int error,
			 const char *reason, uint64_t now_ms);

/** association_held() - something has come by the control connection, which says nothing any more
 *  but that it ends */
void association_held(struct flows *flows, struct flow *control, uint64_t now_ms);

/* ---- between them ---- */

/** association_watch() - read what the programs of all peers send, or do not */
void association_watch(struct flows *flows, struct association *association, bool is_read);

/** association_again() - it is down, and a program sends. Return: false: it is too early */
bool association_again(struct flows *flows, struct association *association, uint64_t now_ms);

/** peer_find() - Return: NULL: none */
struct peer *peer_find(const struct flows *flows, uint64_t id);

/** peer_find_source() - whose datagrams @source sends. Return: NULL: nobody's */
struct peer *peer_find_source(const struct flows *flows, const struct association *association,
			      const struct destination *source);

/** peer_add() - Return: NULL: no memory */
struct peer *peer_add(struct flows *flows, struct association *association,
		      const struct sluice_flow *asked);

/** peer_open() - its association stands */
void peer_open(struct flows *flows, struct peer *peer);

void peer_end(struct flows *flows, struct peer *peer);

/** relay_open() - to where the proxy of @control has named. Return: a descriptor; -errno;
 *  -EBADMSG: it has named no place, or as one that is elsewhere this machine */
int relay_open(const struct flows *flows, const struct flow *control);

/** carry_up() - what the program of @peer has sent, so many datagrams */
void carry_up(struct flows *flows, struct peer *peer, int most);

/** carry_one() - one datagram of it */
void carry_one(struct flows *flows, struct peer *peer, const void *bytes, size_t n);

/** carry_early() - what came for the program of @peer before its descriptor; none: it is thrown away */
void carry_early(struct peer *peer);

/** carry_drop() - what waits there is for nobody */
void carry_drop(int fd);

/** carry_on_program(), carry_on_relay() - struct watched, of a peer and an association */
void carry_on_program(struct flows *flows, void *owner, uint64_t now_ms);
void carry_on_relay(struct flows *flows, void *owner, uint64_t now_ms);
