/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The network namespaces of an instance
 *
 *	     a governed socket there              sockets made there      table, queue
 *	BPF ──SL_EV_NETNS──▶ netns_seen() ──ENTER──▶ keeper ──ENTERED──▶ plane_join()
 *
 * Until the last step is done, and whenever one of them fails, the fail class
 * holds in BPF, for that namespace and no other. One that could not be entered
 * is tried again while a governed process is in it.
 *
 * The one that sluiced is in has the plane always. Another is left when no
 * governed process is in it and no flow is of it any more for NETNS_IDLE_US:
 * our sockets would keep it alive for ever.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/upkeep/owners.h"
#include "kernel/plane.h"
#include "wire/keeper-records.h"

#define NETNS_IDLE_US 30000000U
#define NETNS_CENSUS_US 5000000U      /* between two looks at who is where */
#define NETNS_ENTER_US 2000000U	      /* the keeper has answered by then */
#define NETNS_ENTERING_MAX 16U	      /* asked of the keeper at one time */
#define NETNS_FAILED_MAX SL_NETNS_MAX /* BPF tells of no more */
#define NETNS_TOLD_MAX 64U	      /* of them in status */

struct daemon;

/** struct space - a namespace that the plane is in */
struct space {
	struct daemon *daemon;
	unsigned int place;
	sd_event_source *queue_source, *packet_source;
	sd_event_source *client_sources[4]; /* of flows that were diverted */
	uint64_t listened_us;		    /* when a loopback was looked for last */
	struct owners owners;
	bool has_packets;	/* its queue of packets was not empty when it was read last */
	unsigned int n_settled; /* its ends in daemon->settled */
	bool has_settled;	/* they are to be forgotten as soon as its queue is empty */
	uint64_t n_emptied;	/* times that the queue was read to its end */
	bool is_inhabited;	/* a governed process is in it, as of the last census */
	uint64_t idle_us;	/* since when nobody uses it; 0: it is used */
};

struct entering {
	uint64_t token; /* 0: free */
	uint64_t cookie, asked_us;
	uint32_t inode;
	int sockets[_NETNS_SOCKET_N];
};

struct netns_failure {
	uint64_t cookie, failed_us;
	uint32_t inode; /* 0: unknown */
	int error;
};

struct namespaces {
	struct space *spaces[PLANE_NETNS_MAX]; /* by place; NULL: none */
	struct entering entering[NETNS_ENTERING_MAX];
	struct netns_failure failed[NETNS_FAILED_MAX];
	unsigned int n_failed;
	uint64_t census_us;
	sd_event_source *events_source;
};

/** netns_open() - listen to what the plane has opened or adopted. Return: 0 or -errno. */
int netns_open(struct daemon *daemon);
void netns_close_all(struct daemon *daemon);

/** netns_seen() - a governed socket was used where no plane is, by this thread */
void netns_seen(struct daemon *daemon, uint64_t cookie, uint32_t pid);
/** netns_entered() - one of the keeper's answers; takes @fd */
void netns_entered(struct daemon *daemon, const struct wire_k_entered *record, int *fd);
void netns_tick(struct daemon *daemon, uint64_t now_us);

/** netns_space() - by cookie; NULL: the plane is not there */
struct space *netns_space(struct daemon *daemon, uint64_t cookie);
/** netns_keep_listeners() - those of proxies, if there are any, are the keeper's as well */
void netns_keep_listeners(struct daemon *daemon, unsigned int place);
/** netns_inode() - as people know it; 0: the plane is not there */
uint32_t netns_inode(struct daemon *daemon, uint64_t cookie);

/** netns_json() - for status */
struct json_object *netns_json(struct daemon *daemon);
