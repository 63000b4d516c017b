/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: sluiced
 *
 * Joins the pure modules (flow, session, policy) with the kernel plane, the
 * keeper, sluice-names, the providers and the control socket, on one sd-event
 * loop. It parses packet headers and fixed records, nothing else.
 *
 *	main.c       the process: clock, rights
 *	daemon.c     start, loop, end
 *	keeper.c     the channel to sluice-keeper: configuration, children
 *	reading.c    the queue
 *	judge.c      packet → flow
 *	asking.c     flow → provider; deadlines
 *	verdict.c    verdict → kernel, packets
 *	peeking.c    what flows carry, shown to filters; peeking-talk.c
 *	naming.c     which host first bytes name: sluice-names reads them
 *	ends.c       what the kernel tells of flows that it decides; the end of flows
 *	identity.c   who: paths and names for a struct sl_who
 *	live.c       flows that go on: another verdict, a filter that judges all of them again
 *	canary.c     a flow of our own that is refused: the proof that all of this works
 *	remember.c   verdict memory: what filters said, what the kernel may allow by itself
 *	names.c      answers of name servers → sluice-names → name cache
 *	divert.h     flows that proxies take: divert.c, divert-talk.c, divert-far.c; behalf.h: what they
 *	             connect to
 *	packets.h    packets that filters are asked about: packets.c, packets-*.c
 *	netns.c      network namespaces: into them and out again; netns-json.c
 *	owners.c     other programs that change our rules
 *	filter.h     filters: providers.c, providers-talk.c, output.c, ruling.c, reports.c,
 *	             needing.c, fail.c
 *	records.c    flow records, the control socket; status.c
 *	explain.c    what would become of a flow that has not happened
 *	wake.c       after a suspend or a freeze
 *	why.c        what became of one that has, and why
 */

#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <systemd/sd-event.h>

#include "base/urgent.h"
#include "control/control.h"
#include "daemon/upkeep/canary.h"
#include "daemon/divert/behalf.h"
#include "daemon/divert/divert.h"
#include "daemon/filter.h"
#include "daemon/upkeep/netns.h"
#include "daemon/upkeep/pace.h"
#include "daemon/packets/packets.h"
#include "daemon/look/peeking.h"
#include "flow/diverts.h"
#include "flow/flow.h"
#include "flow/gone.h"
#include "flow/history.h"
#include "flow/memory.h"
#include "flow/names.h"
#include "flow/refusal.h"
#include "flow/rejudge.h"
#include "flow/sides.h"
#include "flow/texts.h"
#include "flow/upstreams.h"
#include "flow/watch.h"
#include "kernel/link.h"
#include "kernel/plane.h"
#include "policy/rules.h"
#include "session/session.h"
#include "wire/channel.h"
#include "wire/keeper-records.h"
#include "wire/provider-records.h"

#define FLOWS_MAX 65536U
#define SETTLED_MAX                                                                                \
	16384U /* as many as the queue holds: what is left would keep its ends from others */
#define IDENTITIES_IDLE_MAX 256U
#define LINKS_MAX 64U
#define CUT_MAX 64U
/* of one peer; then others get their turn. More answers than questions can be asked in one, or
 * answers pile up unread */
#define RECORDS_A_ROUND 256
#define NAMES_PENDING_MAX 256U	  /* answers of name servers that are being read */
#define NAMES_DEADLINE_US 200000U /* an answer goes on unread after it */
#define TICK_US 20000U		  /* ring, deadlines, sessions: pace.h */
#define TRIM_US 1000000U	  /* then memory that nobody uses goes back */
#define IDLE_UDP_US 120000000U	  /* as nf_conntrack's udp_timeout_stream */
#define LOOPBACK_IFINDEX 1U	  /* in every namespace */
#define WAKE_LOOK_US 1000000U	  /* slept so long: the rules are compared */

/**
 * struct identity - strings of one program in one cgroup, shared by its flows
 *
 * One that no flow uses stays for a while: the next flow of the program is near.
 */
struct identity {
	struct identity *next;
	struct identity *idle_older, *idle_newer; /* while nobody uses it */
	struct sl_who who;
	unsigned int n_users;
	bool is_cut, is_exe_cut;
	bool has_path; /* @exe is what @who.exe_path stands for */
	char *exe, *command, *cgroup, *unit, *container;
};

/** struct known_link - an interface has its number in its namespace only */
struct known_link {
	uint64_t netns;
	struct link link;
};

struct pending_answer {
	uint64_t token; /* 0: free */
	uint64_t packet_id;
	uint32_t mark;
	uint32_t n_looks;	    /* DONEs to come */
	enum queue_verdict verdict; /* once it was read */
	uint32_t pid;
	struct sl_app app;
	uint64_t deadline_us;
};

struct daemon {
	sd_event *event;
	sd_event_source *tick, *keeper_source, *names_source;
	int keeper_sock, names_sock, flows_fd;
	bool is_ending;
	uint32_t generation;

	struct wire_k_instance instance;
	struct option options[OPTIONS_MAX];
	unsigned int n_options;
	struct filter filters[FILTERS_MAX];
	unsigned int n_filters;
	bool is_closed;		  /* any filter is */
	bool is_ready;		  /* the keeper was told */
	int kept[PLANE_KEPT_MAX]; /* a predecessor's sockets, until the plane has them */

	const struct kernel *kernel; /* where the plane is opened */
	struct plane *plane;
	bool wants_requeue; /* a predecessor's packets wait to be queued again */
	struct flow_table *flows;
	struct history *history; /* flows that left it */
	struct texts *texts;	 /* of both */
	struct sides *sides;	 /* of both */
	struct gone gone;	 /* which there is no flow of yet */
	struct explanation *explanations;
	size_t n_flows_max; /* FLOWS_MAX; unit tests take fewer */
	struct names_cache *names;
	struct memory *memory;
	struct refusal_credit refusals;
	struct sl_tuple settled[SETTLED_MAX]; /* in sl_held until the queue is empty */
	unsigned int n_settled;
	struct note notes[NOTES_MAX];
	unsigned int n_notes, reports_turn;
	struct watches watches;
	bool wants_loopback; /* the kernel has not been told what of it is judged */
	bool wants_renew;    /* the kernel has not been told what is out of date */
	struct control *control;
	struct identity *identities[1024];
	struct identity *idle_oldest, *idle_newest;
	unsigned int n_idle;
	struct known_link links[LINKS_MAX];
	/* TCP of ours, ended lately: its reset may be on its way */
	struct sl_flow_key cut[CUT_MAX];
	unsigned int n_cut;
	uint64_t links_read_us;
	unsigned int n_links;

	struct session names_session;
	pid_t names_pid;
	uint64_t next_token;
	struct pending_answer answers[NAMES_PENDING_MAX];
	unsigned int n_answers;

	struct urgent urgent; /* does it wait for a processor? */
	struct pace pace;
	struct canary canary;
	struct peekings peekings;
	struct packets packet_filters;
	struct diverts *diverts; /* NULL: there is no proxy */
	struct upstreams *upstreams; /* of proxies that are governed; NULL: none is */
	struct divert_far far;
	uint64_t diverts_looked_us;
	struct plane_end resting[PLANE_COUNTS_MAX]; /* of connections that are over */
	unsigned int n_resting;
	struct divert_missed missed[DIVERT_MISSED_MAX];
	unsigned int n_missed;
	bool is_deaf;	  /* what comes for one could not be taken: until the next tick */
	uint64_t deaf_us; /* when that was so last */
	struct namespaces namespaces;

	uint64_t seed;	     /* of the hashes */
	uint64_t started_us; /* CLOCK_REALTIME */
	uint64_t ticked_us, beat_us, swept_us, trimmed_us;
	size_t n_trimmed; /* bytes of flows that went back since the heap was looked through */
	uint64_t n_total, n_dropped, n_deadlines, n_bad_packets, n_lines_lost, n_restored;
	uint64_t n_read; /* packets that came out of the queue, the canary's left out */
	bool is_line_cut; /* the last flow record was written in part */
	uint8_t *packets; /* QUEUE_BUFFER_BYTES */
	uint8_t *record;  /* WIRE_RECORD_MAX */
};

/* main.c, and in unit tests the test: what the process gives */
uint64_t daemon_now_us(void); /* CLOCK_BOOTTIME */
void daemon_sleep_us(uint32_t us);
/** daemon_read_waits() - see urgent_is_late(). Return: 0 or a negative errno */
int daemon_read_waits(uint64_t *ret_ns, uint64_t *ret_times);
/** daemon_give_up_rights() - called once the plane is open. Return: 0 or a negative errno. */
int daemon_give_up_rights(void);

/* daemon.c */
/** daemon_new() - @keeper_sock is consumed. Return: NULL without memory. */
struct daemon *daemon_new(const struct kernel *kernel, int keeper_sock);
/**
 * daemon_start() - read the configuration, open everything, tell the keeper if it is in force
 * @ret_error: out on failure: which step, for people; a constant
 *
 * After a failure the kernel is as it was, unless a predecessor's plane was adopted: that stays.
 */
int daemon_start(struct daemon *daemon, const char **ret_error);
/** daemon_run() - until the keeper says the end. Return: 0 or a negative errno. */
int daemon_run(struct daemon *daemon);
/** daemon_tick() - what is due now. Return: true when there is more to do at once. */
bool daemon_tick(struct daemon *daemon);
/** daemon_stop() - every flow ends, the plane is taken out of the kernel */
void daemon_stop(struct daemon *daemon);
/** daemon_free() - memory and descriptors; what is in the kernel stays. Return: NULL */
struct daemon *daemon_free(struct daemon *daemon);

/* keeper.c */
int keeper_read_config(struct daemon *daemon);
int keeper_watch(struct daemon *daemon);
void keeper_tell_state(struct daemon *daemon, int error, const char *text);
/** keeper_keep() - @fd: -1: it lets go of what is there */
void keeper_keep(struct daemon *daemon, uint32_t slot, int fd);
/** keeper_spawn() - @output: for what it prints, not consumed; -1: to the keeper's stderr */
void keeper_spawn(struct daemon *daemon, uint32_t slot, int output);
void keeper_kill(struct daemon *daemon, uint32_t slot);
/** keeper_enter() - its answers go to netns_entered() or divert_entered(); @pid or @sock: of that
 *  namespace; @only: 0, or a netns_socket and one */
void keeper_enter(struct daemon *daemon, uint64_t token, uint32_t pid, int sock, uint32_t only);
void keeper_beat(struct daemon *daemon);

/* reading.c, judge.c, asking.c, verdict.c; among themselves: judge.h */
/** judge_read_queue() - of the namespace in this place */
void judge_read_queue(struct daemon *daemon, unsigned int place);
void judge_read_queues(struct daemon *daemon);
/** judge_place() - of a packet's ends: in which network, and are they on loopback? */
void judge_place(const struct queue_packet *packet, struct sl_tuple *tuple);
/**
 * judge_settle() - after verdicts: their packets are gone from the queue, as soon as it is empty
 * @is_all: also what can wait
 */
void judge_settle(struct daemon *daemon, bool is_all);
void judge_tick(struct daemon *daemon, uint64_t now_us);
/** judge_flow() - a filter's answer; the next filter is asked, or the flow is decided */
void judge_flow(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict, int provider,
		const char *reason);
/** judge_decline() - a proxy does not take a held flow: the next one is asked, or it goes on */
void judge_decline(struct daemon *daemon, struct flow *flow);
/** judge_ask() - hand a held flow to the filter whose turn it is, if that one can take it now */
void judge_ask(struct daemon *daemon, struct flow *flow);
void judge_ask_waiting(struct daemon *daemon, unsigned int filter, bool anew);
/** restore_flows() - after adoption: the flow table from the kernel's */
void restore_flows(struct daemon *daemon);
void judge_close_all(struct daemon *daemon);
void judge_forget(struct flow *flow, void *data);

/** judge_open() - a flow for a conversation; the one that is held if there is. NULL: no place */
struct flow *judge_open(struct daemon *daemon, const struct sl_tuple *tuple,
			const struct sl_held *held, uint32_t ifindex);
/** judge_take_over() - the kernel has allowed a flow of judge_open() already */
void judge_take_over(struct daemon *daemon, struct flow *flow);

/* ends.c */
/** ends_drain() - what the kernel tells. Return: true when there is more to do at once */
bool ends_drain(struct daemon *daemon);
void ends_tick(struct daemon *daemon, uint64_t now_us);
/** ends_count() - what the kernel has counted, of other than TCP, or somebody who watches */
struct flow_bytes ends_count(struct daemon *daemon, struct flow *flow);
/** ends_close() - a decided flow is over */
void ends_close(struct daemon *daemon, struct flow *flow);
void ends_close_all(struct daemon *daemon);

/* remember.c */
int remember_open(struct daemon *daemon);
void remember_tick(struct daemon *daemon);
void remember_names_changed(const struct sl_app *app, const uint8_t address[16], void *data);
/** remember_find() - what would this filter answer? Return: true when that is certain */
bool remember_find(struct daemon *daemon, const struct flow *flow, unsigned int filter,
		   struct memory_answer *ret_answer);
/** remember_answer() - a filter has answered, and for more than this flow */
void remember_answer(struct daemon *daemon, struct flow *flow, unsigned int filter,
		     enum memory_scope scope, enum sl_verdict verdict, const char *reason);
/** remember_decided() - every filter has been heard: may the kernel decide the next one? */
void remember_decided(struct daemon *daemon, const struct flow *flow);
/** remember_entry() - the kernel's entry that covers this flow. Return: false: none in force */
bool remember_entry(struct daemon *daemon, const struct flow *flow, struct sl_memory_key *ret_key,
		    struct sl_memory *ret_entry);
/** remember_event() - the kernel has allowed a flow by itself */
void remember_event(struct daemon *daemon, const struct sl_remembered *event);
/** remember_forget() - what this filter said holds no more */
void remember_forget(struct daemon *daemon, unsigned int filter);

/* live.c */
/** live_update() - a filter changes its mind. Return: false: not about that flow */
bool live_update(struct daemon *daemon, unsigned int filter, uint64_t id, enum sl_verdict verdict,
		 const char *reason);
/** live_fail() - a filter cannot judge a flow that it has allowed so far: its fail class */
void live_fail(struct daemon *daemon, unsigned int index, struct flow *flow);
/** live_deny() - an open flow: into the kernel, and told */
void live_deny(struct daemon *daemon, struct flow *flow, enum sl_verdict verdict);
/** live_end_of() - the socket that holds our end of it */
struct plane_end live_end_of(const struct flow *flow);
/** live_end_socket() - a denied flow's */
void live_end_socket(struct daemon *daemon, const struct flow *flow);
/** live_rejudge() - a filter is to be asked again about every flow that it allowed or denied */
void live_rejudge(struct daemon *daemon, unsigned int index);
/** live_answer() - Return: true if this flow was asked about again: the answer is taken */
bool live_answer(struct daemon *daemon, unsigned int index, uint64_t id, enum sl_verdict verdict,
		 enum memory_scope scope, const char *reason);
void live_lost(struct daemon *daemon, unsigned int index);
/** live_ask_more() - this filter can take more questions; new flows come after these few */
void live_ask_more(struct daemon *daemon, unsigned int index);
/** live_rules_changed() - every open flow is judged again, by the new rules or by asking */
void live_rules_changed(struct daemon *daemon, unsigned int index);
/** live_tick() - when the events of the kernel have been taken, all of them */
void live_tick(struct daemon *daemon, uint64_t now_us);

/* identity.c */
/** identity_exe() - path of the program; NULL: not known as a whole */
const char *identity_exe(const struct identity *identity);
/** identity_digest() - of a path, as the kernel side has it; 0: it would be cut there */
uint64_t identity_digest(struct daemon *daemon, const char *exe);
struct identity *identity_get(struct daemon *daemon, const struct sl_who *who);
void identity_put(struct daemon *daemon, struct identity *identity);
/** identity_put_of() - the same, for sides_new() */
void identity_put_of(struct identity *identity, void *data);
/** identity_forget_all() - at the end, when no flow uses one */
void identity_forget_all(struct daemon *daemon);
const struct link *identity_link(struct daemon *daemon, uint64_t netns, uint32_t ifindex);

/* names.c */
void names_read_answer(struct daemon *daemon, const struct queue_packet *packet);
void names_connected(struct daemon *daemon, int sock, pid_t pid);
void names_lost(struct daemon *daemon);
void names_tick(struct daemon *daemon, uint64_t now_us);

/* records.c */
int records_open(struct daemon *daemon);
void records_judged(struct daemon *daemon, const struct flow *flow);
/** records_changed() - it is open and has another verdict now */
void records_changed(struct daemon *daemon, const struct flow *flow);
void records_closed(struct daemon *daemon, const struct flow *flow, struct flow_bytes bytes);
/** records_json() - as people get to see it. Return: NULL without memory. */
struct json_object *records_json(struct daemon *daemon, const struct flow *flow);
/** records_count_open() - flows that go on */
size_t records_count_open(struct daemon *daemon);

/* status.c: control_ops */
int status_get(void *data, struct json_object **ret_status);
int status_doctor(void *data, struct json_object **ret_checks);
void status_add_time(struct json_object *object, const char *key, uint64_t time_us);

/* explain.c: control_ops */
int explain_list_addresses(void *data, struct json_object *program, const char *host,
			   struct json_object **ret_addresses);
int explain_begin(void *data, unsigned int token, struct json_object *program,
		  struct json_object *target);
/** explain_take_wish() - the same of FLOW_NAME: it is asked again, as if its first bytes were read */
bool explain_take_wish(struct daemon *daemon, unsigned int index, uint64_t id);
/** explain_take() - a verdict for no flow of the table. Return: true when it was one of ours. */
bool explain_take(struct daemon *daemon, unsigned int index,
		  const struct wire_flow_verdict *answer);
/** explain_ask_waiting() - this filter can be asked (@anew: again, it is another process) */
void explain_ask_waiting(struct daemon *daemon, unsigned int filter, bool anew);
void explain_tick(struct daemon *daemon, uint64_t now_us);
/** explain_postpone() - as flow_table_postpone() */
void explain_postpone(struct daemon *daemon, uint64_t before_us, uint64_t us);
void explain_close(struct daemon *daemon);

/* wake.c */
/** wake_tick() - first of what a tick does: how long has nobody run? */
void wake_tick(struct daemon *daemon, uint64_t now_us);

/* why.c */
/** struct why_answer - what one filter says, or said, of a flow */
struct why_answer {
	uint8_t how, scope;
	bool reads;		 /* it waits for the host that first bytes name, or would */
	enum sl_verdict verdict; /* SL_UNDECIDED: nothing */
	uint64_t took_us;	 /* 0: not known */
	char reason[FLOW_REASON_BYTES];
};

/** enum why_by - what decided, beside a filter's turn */
enum why_by { WHY_FILTER, WHY_NO_FILTER, WHY_NOT_GOVERNED, WHY_LOOPBACK, WHY_SLUICED };

struct why {
	const struct flow *flow;
	enum why_by by;	      /* WHY_FILTER: flow->provider */
	bool is_host_assumed; /* the program has not asked for the name */
	struct why_answer answers[FILTERS_MAX];
};

void why_forget(struct flow *flow, void *data);
/** why_find() - control_ops */
int why_find(void *data, uint64_t id, bool is_denied, struct json_object **ret_why);
struct json_object *why_json(struct daemon *daemon, const struct why *why);
