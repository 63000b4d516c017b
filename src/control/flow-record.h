/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A flow record
 *
 * What people and programs get to know about one flow: a line of
 * `sluice run --flows`, a reply of ListFlows. The daemon fills the struct from
 * its flow table; flow-json.c turns it into JSON. Strings are borrowed: they
 * must live until flow_json() returns. NULL or "" means unknown, which is
 * null in JSON; they may hold any bytes, as programs can name themselves.
 */

#include <stdint.h>

#define RECORD_UNKNOWN UINT64_MAX /* a counter nobody has */

enum record_event { RECORD_NEW, RECORD_CLOSED, RECORD_CHANGED, _RECORD_EVENT_N };
enum record_verdict { RECORD_ALLOW, RECORD_DROP, _RECORD_VERDICT_N };
enum record_state { RECORD_JUDGED, RECORD_PEEKING, _RECORD_STATE_N };
enum record_direction { RECORD_OUTBOUND, RECORD_INBOUND, _RECORD_DIRECTION_N };
enum record_host_source { /* as enum flow_host */
			  RECORD_HOST_NONE,
			  RECORD_HOST_DNS,
			  RECORD_HOST_TLS,
			  RECORD_HOST_TLS_OUTER,
			  RECORD_HOST_HTTP,
			  RECORD_HOST_H2C,
			  RECORD_HOST_QUIC,
			  RECORD_HOST_QUIC_OUTER,
			  _RECORD_HOST_SOURCE_N
};

struct flow_record {
	uint64_t time_us; /* CLOCK_REALTIME: when it was judged, or when it closed */
	uint32_t event;	  /* enum record_event */
	uint64_t id;	  /* never used twice within an instance; newer is larger */
	uint32_t pid;
	uint32_t owner_pid; /* 0: unknown */
	uint32_t uid;
	const char *exe;
	const char *command;
	const char *unit;
	const char *container;
	const char *cgroup;
	uint32_t netns;		   /* inode number of the network namespace; 0: unknown */
	uint8_t protocol;	   /* IPPROTO_* */
	uint32_t direction;	   /* enum record_direction */
	uint8_t local_address[16]; /* network order, IPv4 as ::ffff:a.b.c.d */
	uint8_t remote_address[16];
	uint16_t local_port; /* host order */
	uint16_t remote_port;
	const char *host;
	uint32_t host_source; /* enum record_host_source */
	const char *interface;
	const char *interface_kind;
	const char *provider;
	const char *via; /* NULL: it goes directly */
	const char *through; /* of a proxy's own flow; NULL: it is a program's */
	uint64_t on_behalf_of; /* id of a flow; 0: of none */
	const char *origin_exe;
	uint32_t origin_pid; /* 0: there is none, or it is not known */
	uint64_t origin_uid; /* RECORD_UNKNOWN */
	uint32_t verdict; /* enum record_verdict */
	uint32_t state;	  /* enum record_state */
	const char *reason;
	uint64_t bytes_in; /* RECORD_UNKNOWN until it is closed */
	uint64_t bytes_out;
	uint64_t decision_us; /* from the first packet to the verdict */
};
