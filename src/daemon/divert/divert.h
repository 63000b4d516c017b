/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Flows that proxies take
 *
 *	held SYN ──FLOW_NEW──▶ proxy ──FLOW_TAKE──▶ it connects elsewhere, the SYN stays held
 *	                             ──FLOW_OPENED, 0──▶ the SYN goes on, to our listener (nft, nat)
 *	accepted ──FLOW_SOCKET──▶ proxy
 *
 * A proxy is asked behind all filters (judge/asking.c), as they are: by its rules first, then its
 * process, within the deadline, else its fail class. What is held after FLOW_TAKE has no deadline: the
 * program's own timer runs. Of UDP the first datagrams are held so, for ten seconds at most; the socket is
 * made when the first of them has come. divert.c does this, divert-talk.c what is told of an open one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

#define DIVERT_ASKED_MAX 16U	/* sockets that the keeper makes at one time */
#define DIVERT_WAITING_FAR 256U /* flows whose turn is to come */
#define DIVERT_MISSED_MAX 64U

struct daemon;
struct divert;
struct flow;
struct sl_event;
struct space;
struct wire_k_entered;
struct wire_message;

/** struct divert_far - flows of UDP that want a socket; in other network namespaces the keeper makes it */
struct divert_far {
	struct divert_asked {
		uint64_t token, flow; /* 0: free */
		struct sl_tuple ours; /* of the socket */
	} asked[DIVERT_ASKED_MAX];
	struct divert_asked waiting[DIVERT_WAITING_FAR]; /* a ring; a flow may be over */
	unsigned int first_waiting, n_waiting;
	bool is_making;
	bool is_paused; /* somewhere datagrams wait unread until the line has room */
};

/** struct divert_missed - a flow of TCP whose connection was not there at once */
struct divert_missed {
	uint64_t flow, since_us;
};

/** divert_is_used() - is one of the providers a proxy? */
bool divert_is_used(const struct daemon *daemon);
/** divert_open() - there may be proxies. Return: 0 or a negative errno */
int divert_open(struct daemon *daemon);
void divert_close(struct daemon *daemon);
/** divert_listen() - to connections in this namespace. Return: 0 or a negative errno */
int divert_listen(struct daemon *daemon, struct space *space);
void divert_unlisten(struct space *space);

/** divert_may() - can this flow be this proxy's? */
bool divert_may(const struct daemon *daemon, unsigned int index, const struct flow *flow);
/** divert_is_early() - a successor has not all of its network namespace yet: it waits */
bool divert_is_early(const struct daemon *daemon, const struct flow *flow);
/** divert_joined() - now it has, or could not */
void divert_joined(struct daemon *daemon);
/** divert_why_not() - it would have to be answered on loopback, and cannot; NULL: it can */
const char *divert_why_not(struct daemon *daemon, const struct flow *flow);
/** divert_has_moved() - a socket of UDP says it from other ends than those of this flow: by another address of its
 *  machine, or bound anew. What it gets back would not come there. NULL is fine */
bool divert_has_moved(const struct flow *flow, const struct sl_tuple *tuple);
/* FLOW_TAKE, FLOW_OPENED, FLOW_ASK_END. Return: 0 */
int divert_take(struct daemon *daemon, unsigned int index, const struct wire_message *message);
int divert_take_opened(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message);
int divert_take_ask(struct daemon *daemon, unsigned int index, const struct wire_message *message);

/** divert_tick() - listeners that could not be heard are heard again */
void divert_tick(struct daemon *daemon);
/** divert_line_moved() - so are those whose datagrams had to wait, if there is room */
void divert_line_moved(struct daemon *daemon);

/** divert_proxy() - name of the one that has this diverted flow */
const char *divert_proxy(const struct daemon *daemon, const struct flow *flow);

/** divert_gone() - the program of a held flow has given up, or its datagrams have waited for too long */
void divert_gone(struct daemon *daemon, struct flow *flow);

/* divert-talk.c */
/** divert_accept() - connections of a family that have come, in the namespace of this place. Return: 0:
 *  there may be more; -EAGAIN: there are none; or another negative errno */
int divert_accept(struct daemon *daemon, unsigned int place, bool is_ipv6);
/** divert_accept_of() - the connection of this flow, if it has come */
void divert_accept_of(struct daemon *daemon, const struct divert *divert);
/** divert_abandoned() - the program has closed its last descriptor of this socket */
void divert_abandoned(struct daemon *daemon, uint64_t cookie);
/** divert_receive() - datagrams that have come there, of flows that have no socket yet. Return: as
 *  divert_accept() */
int divert_receive(struct daemon *daemon, unsigned int place);
/** divert_ended() - the connection of this flow is over, or does not come */
void divert_ended(struct daemon *daemon, uint64_t flow);
/** divert_closed() - so is one whose flow is not known any more */
void divert_closed(struct daemon *daemon, const struct sl_event *event);
/**
 * divert_rests() - the proxy's end of one that is over is in TIME_WAIT, with divert_end_rests() not any more
 *
 * For a minute it would be there for what comes late, and on loopback nothing does. But all flows have the
 * listener for their peer: a program that uses its local port again, for whichever destination, meets
 * it. Where the numbers of the new connection are not above those of the old one the SYN has to be sent
 * again, 8 ms later, and a second later if that meets another one.
 */
void divert_rests(struct daemon *daemon, const struct sl_event *event);
void divert_end_rests(struct daemon *daemon);
/** divert_cancel() - tell a proxy that there will be no connection */
void divert_cancel(struct daemon *daemon, unsigned int index, uint64_t flow);
/** divert_send() - what is to be told to a proxy, as far as its channel has room */
void divert_send(struct daemon *daemon, unsigned int index);
/** divert_lost() - its process is gone: programs get a reset, and what it has taken waits for another */
void divert_lost(struct daemon *daemon, unsigned int index);

/** divert_connected() - this flow of UDP, for which one was asked, has its socket, consumed */
void divert_connected(struct daemon *daemon, struct divert *divert, unsigned int place, int fd);

/* divert-far.c */
/** divert_want_socket() - with these ends, from divert_make_sockets() on: divert_connected(); nothing if it
 *  has one, or had */
void divert_want_socket(struct daemon *daemon, struct divert *divert, const struct sl_tuple *ours);
/** divert_is_line_full() - nobody more can want one */
bool divert_is_line_full(const struct daemon *daemon);
/** divert_make_sockets() - those that are wanted, as far as the keeper may be asked */
void divert_make_sockets(struct daemon *daemon);
/** divert_entered() - one of the keeper's answers. Return: has it been asked for this? Then @fd is taken */
bool divert_entered(struct daemon *daemon, const struct wire_k_entered *record, int *fd);

/* divert-mend.c */
/** divert_mend() - connections of which one end is gone, and the other has not heard of it */
void divert_mend(struct daemon *daemon, uint64_t now_us);
/** divert_miss() - its connection ought to be there */
void divert_miss(struct daemon *daemon, const struct divert *divert);
/** divert_may_come() - it is not, but may be in a moment */
bool divert_may_come(const struct daemon *daemon, const struct divert *divert);
/** divert_end_all() - before the rules go, behind which alone these connections are on loopback */
void divert_end_all(struct daemon *daemon);
