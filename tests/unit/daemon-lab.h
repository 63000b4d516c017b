/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A daemon on a kernel in memory
 *
 * The lab is everything around sluiced: keeper, sluice-names and providers, at
 * the other ends of its channels, the kernel (kernel/fake.h), and the time,
 * which passes when a test says so and at no other moment.
 */

#include "daemon/daemon.h"
#include "kernel/fake.h"
#include "wire/names-records.h"

#define LAB_FILTERS_MAX 3U
#define LAB_FLOWS_MAX 1024U /* what all filters of a test may be asked about at once */
#define LAB_COOKIE 77U
#define LAB_PID 4242U
#define LAB_PROVIDERS_UID 90000U /* of the first one; they follow one another */
#define LAB_IFINDEX 2U

/** enum fate - what became of a packet, by its answer and its mark */
enum fate {
	FATE_HELD,
	FATE_ALLOWED,
	FATE_DIVERTED, /* allowed, to our listener */
	FATE_REJECTED,
	FATE_SILENT,
	FATE_FAIL_CLASS, /* went back as it came: the gate chain applies the fail class */
};

struct lab_config {
	unsigned int n_filters;
	bool is_closed[LAB_FILTERS_MAX];
	bool looks[LAB_FILTERS_MAX]; /* at what flows carry */
	bool is_proxy[LAB_FILTERS_MAX], takes_udp[LAB_FILTERS_MAX];
};

struct lab_child {
	int sock; /* -1: does not run */
	uint32_t pid;
};

struct lab {
	struct lab_config config;
	struct fake *kernel;
	struct daemon *daemon;
	int keeper; /* our end of its channel */
	int kept[PLANE_KEPT_MAX];
	uint64_t lie;	 /* ENTER: into this namespace instead; 0: the right one */
	int enter_error; /* ENTER fails with it; 0: it does not */
	bool is_mute;	 /* ENTER is not answered */
	unsigned int n_entered;
	bool has_canary; /* it can be started, and the test plays it */
	struct lab_child names, canary, filters[LAB_FILTERS_MAX];
	uint32_t last_pid, generation;
	unsigned int n_spawned, n_killed, n_beats;
	bool is_late; /* the last beat said so */
	bool is_told; /* the daemon said that it is in force, or why not */
	struct wire_k_state state;
	int loop_error; /* of the event loop: a real daemon ends with it */
	char folder[32];
	int n_fds; /* before it */
	uint8_t record[WIRE_RECORD_MAX];
	struct wire_message message; /* the one taken last */
	int passed;		     /* that came with it; -1: none */
};

struct lab *lab_new(const struct lab_config *config);
/** lab_free() - checks that nothing is left open */
struct lab *lab_free(struct lab *lab);

/** lab_start() - a daemon on this kernel, the first or a successor. Return: as daemon_start(), or
 * -ENOMEM */
int lab_start(struct lab *lab);
/** lab_crash() - the daemon is gone from one moment to the next; the keeper kept the queue */
void lab_crash(struct lab *lab);
/** lab_stop() - the keeper says the end */
void lab_stop(struct lab *lab);

/** lab_settle() - until neither the daemon nor the keeper has anything to do */
void lab_settle(struct lab *lab);
/** lab_pass() - time passes at once, then one tick */
void lab_pass(struct lab *lab, uint64_t us);
/** lab_live() - the same, while its filters answer pings, or they would be taken for hung */
void lab_live(struct lab *lab, uint64_t us);
/** lab_sleep() - time passes while nobody runs: a suspend or a freeze */
void lab_sleep(struct lab *lab, uint64_t us);
/** lab_oversleep() - the same without a tick: something else is noticed first */
void lab_oversleep(uint64_t us);

/** lab_answered_ago_ms() - what status says of the first filter's last verdict; -1: nothing */
int64_t lab_answered_ago_ms(struct lab *lab);

/** lab_make_netns() - another network namespace, with a socket of the lab's program: LAB_COOKIE + @cookie */
void lab_make_netns(struct lab *lab, uint64_t cookie);
/** lab_see() - a governed socket is used there for the first time */
void lab_see(struct lab *lab, uint64_t cookie);

/** lab_end_filter() - its process ends and the keeper says so */
void lab_end_filter(struct lab *lab, unsigned int index);
void lab_end_names(struct lab *lab);

/* daemon-lab-peers.c: filters and sluice-names */
/** lab_run_filter() - what a filter says at its start; it is running after it */
void lab_run_filter(struct lab *lab, unsigned int index);
void lab_run_all(struct lab *lab);

/** lab_take() - the next record of this type that a filter got; what came with it is lab->passed until
 *  the next. Return: NULL: none */
const void *lab_take(struct lab *lab, unsigned int filter, uint16_t type);
/** lab_take_flow() - the id of the flow that a filter is asked about; 0: of none */
uint64_t lab_take_flow(struct lab *lab, unsigned int filter);
void lab_say(struct lab *lab, unsigned int filter, uint16_t type, const void *body);
/** lab_judge() - FLOW_VERDICT: 0 allow, 1 drop, 2 drop silently */
void lab_judge(struct lab *lab, unsigned int filter, uint64_t id, uint8_t verdict);
/** lab_judge_for() - the same, for more than this flow */
void lab_judge_for(struct lab *lab, unsigned int filter, uint64_t id, uint8_t verdict,
		   enum memory_scope scope);
/** lab_forget() - FLOW_FORGET: its rules have changed */
void lab_forget(struct lab *lab, unsigned int filter);
/** lab_wait_for_processor() - sluiced had to run so often, and waited so long each time */
void lab_wait_for_processor(unsigned int n_times, uint64_t each_ns);
/** lab_when_it_sleeps() - once, when sluiced sleeps next: at its end, for what is still to come */
void lab_when_it_sleeps(void (*fn)(void *data), void *data);
/** lab_take_look() - what sluice-names got; its payload is lab->message.tail. Return: NULL: none */
const struct wire_look *lab_take_look(struct lab *lab);
void lab_name(struct lab *lab, uint64_t token, const char *name, uint8_t last);
void lab_done(struct lab *lab, uint64_t token);
/** lab_host() - HOST; @answer: 0 name, 1 none, 2 more bytes, 3 refused */
void lab_host(struct lab *lab, const struct wire_host *host);

/* daemon-lab-packets.c: packets from 192.0.2.1 or 2001:db8::1 to 198.51.100.LAST or 2001:db8::LAST */
struct lab_packet {
	uint8_t proto;
	bool is_v6, is_inbound, is_answer, is_foreign; /* foreign: nobody's */
	bool is_local; /* over lo, from 127.0.0.1 or ::1 to 127.0.0.LAST or ::1 */
	uint16_t
		link; /* of IPv6: the far end's first bytes, fe80 or ff02; 0: it is of no one link */
	uint64_t netns; /* whose socket has the cookie LAB_COOKIE + netns */
	uint32_t uid;	/* of another user's socket, LAB_COOKIE + netns + uid; 0: of the lab's;
			 * LAB_PROVIDERS_UID + INDEX: of this provider's, in its cgroup */
	uint16_t lport, rport;
	uint8_t last;
	uint8_t flags; /* TCP; 0: SYN */
	uint32_t ack;
	uint32_t seq;	  /* TCP */
	const char *text; /* payload; NULL: none in TCP, "data" elsewhere */
};

/** lab_put() - the packet meets the queue; whose it is stands in sl_held. Return: its index */
unsigned int lab_put(struct lab *lab, const struct lab_packet *packet);
/** lab_tuple() - its ends */
struct sl_tuple lab_tuple(const struct lab_packet *packet);
enum fate lab_fate(const struct lab *lab, unsigned int packet);
/** lab_end_socket() - the kernel tells that the conversation is over: 300 bytes in, 200 out */
void lab_end_socket(struct lab *lab, const struct lab_packet *packet);
/** lab_end_socket_within() - so much later it is heard of, if a tick is due by then */
void lab_end_socket_within(struct lab *lab, const struct lab_packet *packet, uint64_t us);
/** lab_end_socket_last() - the same; its peer had closed before */
void lab_end_socket_last(struct lab *lab, const struct lab_packet *packet);
/** lab_close_socket() - the same, and its descriptor is closed: the kernel has forgotten the flow */
void lab_close_socket(struct lab *lab, const struct lab_packet *packet);
struct sl_flow_key lab_key(const struct lab_packet *packet);
/** lab_memory_key() - of the application that owns the lab's socket */
struct sl_memory_key lab_memory_key(const struct lab *lab, const struct lab_packet *packet);
/** lab_remember() - the kernel allows the packet out of sl_memory, and says so;
 * lab_remember_unread(): which nobody has read yet */
void lab_remember_unread(struct lab *lab, const struct lab_packet *packet);
void lab_remember(struct lab *lab, const struct lab_packet *packet);
/** lab_flow() - the verdict in the kernel; NULL: none */
const struct sl_flow *lab_flow(const struct lab *lab, const struct lab_packet *packet);
