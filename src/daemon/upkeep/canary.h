/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The canary
 *
 * A flow of our own every CANARY_INTERVAL_US, from a process in the governed
 * cgroup (src/canary). It is no program's flow: its packets are refused as
 * soon as they are seen, no filter is asked, nothing is counted or recorded.
 *
 * It is well when both ends say so: we saw the packet in the queue, and the
 * socket got ECONNREFUSED. The error alone proves nothing, the far end of a
 * leak gives the same one. When it is not well the rules are looked at, and
 * unless they were the reason, a second one at once must agree. One that failed
 * while a link or an address changed proves nothing, and is tried again soon.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "abi/sluice-abi.h"
#include "wire/canary-records.h"

#define CANARY_INTERVAL_US 5000000U
#define CANARY_FIRST_US 1000000U    /* after the start: a short COMMAND need not wait for it */
#define CANARY_DEADLINE_US 2000000U /* from the request to the last answer */
#define CANARY_RETRY_US 60000000U   /* when it cannot be run at all */
#define CANARY_DISTURBED_MAX 3U	    /* in a row; links that never rest are no excuse */

enum canary_state {
	CANARY_NEVER,
	CANARY_OK,
	CANARY_UNTRIED, /* it could not run, or there is no way off this machine */
	CANARY_FAILED,
	_CANARY_STATE_N,
};

struct canary_probe {
	uint64_t cookie; /* of its socket; 0: none */
	bool is_tried;
	bool is_seen; /* its packet came out of the queue */
	bool is_done, is_disturbed;
	uint32_t error, took_us;
};

/** struct canary - the one that runs, and what is known from the last one */
struct canary {
	bool is_running, is_wanted; /* is_wanted: another one at once */
	int sock;		    /* -1: not started yet, or ended */
	sd_event_source *source;
	uint64_t began_us, next_us;
	uint64_t sent_us; /* SEND; 0: it waits for that */
	unsigned int n_opened, n_pending;
	struct canary_probe probes[_CANARY_PROBE_N];

	enum canary_state state;
	struct canary_probe last[_CANARY_PROBE_N];
	uint64_t ended_us;		    /* CLOCK_REALTIME */
	unsigned int n_failed, n_disturbed; /* in a row */
	int restored;			    /* owners_look() after the last failure */
	char why[96];			    /* it could not be run */
};

struct daemon;

void canary_init(struct daemon *daemon);
void canary_close(struct daemon *daemon);
void canary_tick(struct daemon *daemon, uint64_t now_us);

/**
 * canary_postpone() - nobody ran from @before_us on for @us
 *
 * What a probe met before and after it would prove nothing: there is another one soon. One that was
 * told to send only when all ran again has lost nothing.
 */
void canary_postpone(struct daemon *daemon, uint64_t before_us, uint64_t us);

/** canary_check() - run one now; control_checked() is called at its end */
void canary_check(struct daemon *daemon);

/* the keeper's answers: @sock is consumed, -1 with an errno if it could not be started */
void canary_connected(struct daemon *daemon, int sock, int error);
void canary_exited(struct daemon *daemon, int status);

/** canary_takes() - is this the canary's socket? Then its packet is refused, and is no flow. */
bool canary_takes(struct daemon *daemon, uint64_t cookie);

/** canary_restore() - an entry of sl_flows that only names a predecessor's canary */
bool canary_restore(struct daemon *daemon, const struct sl_flow_key *key,
		    const struct sl_flow *entry);

const char *canary_state_name(enum canary_state state);

/** canary_describe() - the last probes of one family, for people. Return: what they prove */
enum canary_state canary_describe(const struct canary *canary, bool is_ipv6, char *text, size_t n);

/** canary_took_us() - the slowest probe of the last one */
uint32_t canary_took_us(const struct canary *canary);
