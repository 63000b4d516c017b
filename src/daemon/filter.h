/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Filters
 *
 * What sluiced knows of a filter, and who acts for it:
 *
 *	providers.c       its process: started, read, lost, started again
 *	providers-talk.c  what is said to it, and what it says
 *	output.c          what it prints
 *	choosing.c        which flows may come to a proxy
 *	ruling.c          static rules, by which flows are answered in its place
 *	reports.c         what becomes of flows, and what they have carried, told to it
 *	needing.c         flows for which it needs other rules first
 *	lists.c           lists by which it judges, and their hits
 *	fail.c            what becomes of a flow that it does not judge
 */

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>
#include <systemd/sd-event.h>

#include "daemon/packets/packets.h"
#include "flow/flow.h"
#include "flow/memory.h"
#include "flow/rejudge.h"
#include "policy/rules.h"
#include "session/session.h"
#include "wire/channel.h"
#include "wire/provider-records.h"

#define FILTERS_MAX 16U
#define OPTIONS_MAX 128U
#define NOTES_MAX 32768U	  /* half of the flow table may end at once, and nobody read */
#define QUESTIONS_BYTES (1 << 17) /* in a filter's channel, unread: about 60 questions */

_Static_assert(FILTERS_MAX == ASKED_FILTERS_MAX, "a bit for each");

struct daemon;

struct option {
	uint32_t filter;
	char key[32];
	char value[256];
	int fd; /* owned; -1: none */
};

/** struct ruling - static rules of one filter; the lists are owned */
struct ruling {
	struct rules *in_force; /* NULL: none */
	uint64_t n_sets;	/* that were in force: the number of this one */
	struct rules *next;	/* complete, in force with READY */
	struct rules *coming;	/* after RULES_BEGIN; NULL: there was no memory for it */
	bool is_begun;
	uint32_t n_said;		/* rules since then, those that were not taken too */
	struct wire_rules_done outcome; /* of what is coming, so far; or of what was last */
	bool is_outcome_owed;		/* its channel was full */
	bool was_ready;			/* its open flows are ours, not only a predecessor's */
	struct rejudge rejudge;		/* of open flows, by the rules: nobody is asked */
	uint64_t rejudge_us;		/* as in struct filter */
	char reason[FLOW_REASON_BYTES]; /* of the last answer */
};

/** struct output - what a provider prints, line by line, and how much of it was shown */
struct output {
	int pipe; /* -1: none */
	char line[256];
	size_t n_line;
	uint64_t second; /* lines are counted by the second */
	unsigned int n_said, n_lost;
};

/** struct chosen - which flows may come to a proxy, as its user says; NULL: no condition. In both
 *  lists "allow" is: not for it. Owned */
struct chosen {
	struct rules *apps;  /* flows of these */
	struct rules *flows; /* excluded, then included */
};

struct filter {
	char name[32];
	bool is_closed;
	bool is_proxy; /* it comes behind all filters: divert/divert.h */
	bool takes_udp;
	struct chosen chosen;
	int settings_fd; /* of a proxy: what says it; -1: none */
	struct session session;
	int sock; /* -1: no process */
	pid_t pid;
	sd_event_source *source;
	bool wants_write; /* its channel was full: flows wait to be sent */
	bool looks;	  /* it may look at what flows carry */
	bool wants_ends;  /* it is told of the ends of flows */
	bool needs_rules; /* it has said so of some flow, */
	bool has_rules;	  /* and they have changed since: those are to be asked again */
	bool is_clamp_told;
	bool wants_ping; /* the same, for a PING */
	bool is_told_to_stop;
	struct rejudge rejudge;
	uint64_t rejudge_us; /* it is to begin then; 0: it is not */
	struct ruling ruling;
	struct packet_filter packets;
	uint64_t n_flows, n_dropped, n_late, n_reports_lost;
	uint64_t answered_us; /* its process last gave a verdict that was asked for; 0: never */
	unsigned int
		n_notes;   /* that wait to be told to it, as of the last reports_flush() or more */
	bool is_loss_told; /* that it loses reports; the log has it */
	struct known_list *lists; /* owned */
	unsigned int n_lists;
	char message[256];
	struct output output;
};

/** filter_kind() - as people call it */
static inline const char *filter_kind(const struct filter *filter)
{
	return filter->is_proxy ? "proxy" : "filter";
}

/** enum report_event - values of FLOW_REPORT */
enum report_event { REPORT_NEW, REPORT_DATA, REPORT_CLOSED, REPORT_STATISTICS };

/** struct note - what is to be told to filters, a bit for each */
struct note {
	struct wire_flow_report report;
	uint16_t ended;	   /* as FLOW_CLOSED */
	uint16_t watching; /* as FLOW_REPORT */
};

/* providers.c */
void providers_connected(struct daemon *daemon, unsigned int index, int sock, pid_t pid);
void providers_lost(struct daemon *daemon, unsigned int index, int status);
/** providers_read() - some of what they say, now. Not while a record of one is being taken. */
void providers_read(struct daemon *daemon);
void providers_tick(struct daemon *daemon, uint64_t now_us);
void providers_stop(struct daemon *daemon);
/** providers_await_stop() - until their processes have ended; for a second at most */
void providers_await_stop(struct daemon *daemon);
/** providers_tell_when_ready() - the keeper, when all have started, or this one cannot */
void providers_tell_when_ready(struct daemon *daemon, const struct filter *filter);

/* providers-talk.c */
/** providers_verdict() - of a record's field, which the wire has checked */
enum sl_verdict providers_verdict(uint8_t verdict);
/** providers_say() - @body of a record. Return: 0, -EAGAIN when its channel is full, -ENOTCONN */
int providers_say(struct filter *filter, uint16_t type, const void *body, int fd);
/** providers_answered() - its process has given a verdict that was asked for */
void providers_answered(struct filter *filter);
/** providers_set_events() - @wants_write: wake us when its channel has a place again */
void providers_set_events(struct filter *filter, bool wants_write);
void providers_ping(struct filter *filter);
/** providers_take() - a record of this filter. Return: 0, -EPROTO or why it is to be replaced */
int providers_take(struct daemon *daemon, unsigned int index, const struct wire_message *message);
/** providers_send_outcome() - RULES_DONE, now or when the channel has a place */
void providers_send_outcome(struct filter *filter);
/** providers_send_flow() - Return: 0, -EAGAIN when its channel is full, -ENOTCONN */
int providers_send_flow(struct daemon *daemon, unsigned int index, const struct flow *flow,
			bool is_again);

/* reports.c */
/** reports_decided() - there is a verdict on @flow, another one than before */
void reports_decided(struct daemon *daemon, struct flow *flow, enum report_event event);
/** reports_ended() - @flow has ended, having carried @bytes. To be told when no packet waits to be
 *  judged */
void reports_ended(struct daemon *daemon, struct flow *flow, struct flow_bytes bytes);
/** reports_count() - how much a flow has carried that somebody watches: watch_bytes() */
void reports_count(struct daemon *daemon, struct flow *flow);
void reports_flush(struct daemon *daemon);
/** reports_tick() - statistics that are due; after reports_flush() */
void reports_tick(struct daemon *daemon, uint64_t now_us);
/** reports_forget() - this filter is gone; its successor does not know of the flows */
void reports_forget(struct daemon *daemon, unsigned int filter);
/** reports_take_watch() - FLOW_WATCH. Return: 0 */
int reports_take_watch(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message);

/* needing.c */
/** needing_take() - FLOW_NEED_RULES. Return: 0 */
int needing_take(struct daemon *daemon, unsigned int index, const struct wire_message *message);
/** needing_rules_changed() - the flows for which this filter needed others are asked again, soon */
void needing_rules_changed(struct daemon *daemon, unsigned int index);
/** needing_expire() - no rules came in time. Return: false: it is not waiting for any, or not yet */
bool needing_expire(struct daemon *daemon, struct flow *flow, uint64_t now_us);
/** needing_waits() - does this filter need rules for a flow that is looked at? */
bool needing_waits(const struct flow *flow, unsigned int filter);
/** needing_is_late() - the same, for too long; else @ret_due_us is when it will be */
bool needing_is_late(const struct flow *flow, unsigned int filter, uint64_t now_us,
		     uint64_t *ret_due_us);
void needing_tick(struct daemon *daemon);
/** needing_count() - flows that wait for rules of this filter */
size_t needing_count(struct daemon *daemon, unsigned int index);

/* output.c */
/** output_open() - a new pipe. Return: the end to be written to, the caller's, or -1 */
int output_open(struct output *output);
/** output_say() - a line of a filter, to people: cleaned, and not more than they can read */
void output_say(struct filter *filter, int level, const char *text);
/** output_read() - some of what it has printed */
void output_read(struct filter *filter);
/** output_close() - it has ended: the rest, and its last words */
void output_close(struct filter *filter);

/* ruling.c */
/**
 * ruling_find() - what this filter's static rules say of a flow
 *
 * Return: 0 when they decide; the reason is valid until the next call for this filter.
 */
enum ruling_error {
	_RULING_E_SUCCESS,
	RULING_E_ASK,  /* the filter */
	RULING_E_HOST, /* they may, when the first bytes have been read for the host: naming.h */
};
int ruling_find(struct daemon *daemon, const struct flow *flow, unsigned int filter,
		struct memory_answer *ret_answer);
/** ruling_conclude() - memory_ops.rule */
int ruling_conclude(unsigned int filter, const struct memory_question *question,
		    struct memory_answer *ret_answer, void *data);
/** ruling_is_chosen() - of struct chosen alone: may this flow come to this proxy? */
bool ruling_is_chosen(struct daemon *daemon, const struct flow *flow, unsigned int filter);
bool ruling_is_any(const struct daemon *daemon);
/* RULES_BEGIN, RULE, RULES_COMMIT. Return: 0, -EPROTO */
int ruling_take_begin(struct daemon *daemon, unsigned int index,
		      const struct wire_message *message);
int ruling_take_rule(struct daemon *daemon, unsigned int index, const struct wire_message *message);
int ruling_take_commit(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message);
/** ruling_ready() - the filter has started: what it gave until now is in force */
void ruling_ready(struct daemon *daemon, unsigned int index);
/** ruling_tick() - what of loopback is judged is told the kernel again, if that has failed */
void ruling_tick(struct daemon *daemon);
/** ruling_lost() - its process is gone: what is in force stays */
void ruling_lost(struct filter *filter);
void ruling_close(struct daemon *daemon);

/* choosing.c */
/** choosing_take() - what the file says now takes the place of what was said before, as a whole; @fd:
 *  another file, is taken; -1: the one of before */
void choosing_take(struct daemon *daemon, unsigned int index, int *fd);
/** choosing_may() - may this flow come to this proxy at all? Its own rules are not looked at */
bool choosing_may(struct daemon *daemon, unsigned int index, const struct flow *flow);
void choosing_close(struct daemon *daemon);

/* lists.c */
/** lists_take() - LIST. Return: 0 */
int lists_take(struct daemon *daemon, unsigned int index, const struct wire_message *message);
/** lists_ready() - the filter has started: again, and it judges by lists of before? */
void lists_ready(struct daemon *daemon, unsigned int index);
/** lists_names() - as the filter has told of them. Return: an array, not NULL */
struct json_object *lists_names(const struct filter *filter);
/** lists_count() - a flow was decided: is it a list's hit? */
void lists_count(struct daemon *daemon, const struct flow *flow);
/** lists_get() - control_ops.get_lists */
int lists_get(void *data, struct json_object **ret_lists);
void lists_close(struct daemon *daemon);

/* tell/rules.c */
/** rules_get_page() - control_ops.get_rules */
int rules_get_page(void *data, uint64_t index, uint64_t from, struct json_object **ret_page);

/* fail.c */
/**
 * fail_late() - filter @asked is late: nobody is asked any more
 *
 * It and those behind it fail as they are told to, those whose rules decide excepted.
 *
 * Return: which filter's verdict it is.
 */
unsigned int fail_late(struct daemon *daemon, const struct flow *flow, unsigned int asked,
		       enum sl_verdict *ret_verdict, char ret_reason[FLOW_REASON_BYTES]);
/** fail_say() - the reason of a fail class; @how: FLOW_FAILED or FLOW_LATE */
void fail_say(const struct filter *filter, enum flow_how how, bool is_closed,
	      char ret_reason[FLOW_REASON_BYTES]);
