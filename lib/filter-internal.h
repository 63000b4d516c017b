/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Inside a filter session
 *
 *	NEW ──WELCOME──▶ WELCOMED ──START──▶ STARTED ──STOP──▶ STOPPING ──▶ ENDED
 *	                     └─────START────▶ REFUSED ──STOP──────┘
 *
 * WELCOMED takes OPTIONs; only STARTED gets flows. REFUSED is a filter that
 * said no to an option or to its start: it waits for the daemon to end it.
 * STOPPING lasts until STOPPED has left; ENDED gives -ESHUTDOWN for ever.
 *
 * What leaves goes straight to the channel, or to the outbox while the channel
 * is full; order is kept. A full outbox stops reading, so that a filter which
 * answers inside new_flow never sees -ENOBUFS and the daemon feels the
 * back-pressure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/filter.h>

#include "wire/provider-records.h"

#define FILTER_CHANNEL_FD 3
#define FILTER_ANSWERS_MAX 4096U /* promised by sluice_filter_answer() */
#define FILTER_CONTROL_MAX 64U	 /* READY, PONG, STOPPED waiting behind them */
#define FILTER_BATCH 256U /* records per sluice_filter_process(): other descriptors live too */
#define FILTER_ERROR_BYTES 512U

enum filter_state {
	FILTER_NEW,
	FILTER_WELCOMED,
	FILTER_STARTED,
	FILTER_REFUSED,
	FILTER_STOPPING,
	FILTER_ENDED,
};

/* members newer than the ops a program was built with are unset for it */
#define FILTER_OPS_SET(ops, member)                                                                \
	((ops)->size >= offsetof(struct sluice_filter_ops, member) + sizeof((ops)->member) &&      \
	 (ops)->member)

struct outbox_entry {
	uint16_t type;
	union {
		struct wire_ready ready;
		struct wire_pong pong;
		struct wire_stopped stopped;
		struct wire_flow_verdict verdict;
		struct wire_flow_forget forget;
		struct wire_flow_update update;
		struct wire_flow_peek peek;
		struct wire_flow_pass pass;
		struct wire_flow_pause pause;
		struct wire_flow_name name;
		struct wire_flow_watch watch;
		struct wire_flow_need_rules need_rules;
		struct wire_packet_verdict packet;
		struct wire_flow_take take;
		struct wire_flow_opened opened;
		struct wire_flow_ask_end ask_end;
		struct wire_flow_upstream upstream;
	} body;
};

#define OUTBOX_ENTRIES (FILTER_ANSWERS_MAX + FILTER_CONTROL_MAX)

/** struct outbox - records that wait for a place in the channel, oldest first */
struct outbox {
	bool is_corked;	   /* until the rules that were given before READY are sent */
	unsigned int head; /* oldest entry */
	unsigned int n;
	unsigned int n_answers;			     /* of the n */
	struct outbox_entry entries[OUTBOX_ENTRIES]; /* untouched pages cost nothing */
};

/** struct rule_list - rules one after the other, packed: see rules.c */
struct rule_list {
	uint8_t *bytes;
	size_t n_bytes, n_places;
	uint32_t n;
};

/** struct rule_sets - the set that is being made, and the one that is being sent */
struct rule_sets {
	bool is_begun;
	int error; /* a rule of it was refused: so is the set */
	struct rule_list made, sent;
	bool is_sending;
	uint64_t number; /* of the set that was committed last */
	uint8_t otherwise;
	bool has_begin; /* RULES_BEGIN has left */
	size_t at;	/* in sent: what has not left */
};

struct sluice_proxy;

struct sluice_filter {
	const struct sluice_filter_ops *ops;
	void *data;
	struct sluice_proxy *proxy; /* whose session it is: lib/proxy.c; else NULL */
	int fd;
	enum filter_state state;
	bool wants_upstreams; /* of a proxy: what it connects to are flows */
	int broken;	    /* negative errno that ended the session, 0: none */
	int refused;	    /* negative errno of the first callback that refused */
	bool has_fail_text; /* the running callback has called sluice_filter_fail() */
	char error[FILTER_ERROR_BYTES];
	struct outbox outbox;
	struct rule_sets rules;
	bool has_behalf; /* FLOW_NEW of that flow is to follow */
	struct wire_flow_behalf behalf;
	struct wire_packet_verdict packets; /* what was said and not sent yet; n 0: nothing */
};

/**
 * outbox_send() - send a record, or keep it until the channel has a place
 * @type: READY, PONG, STOPPED or one of is_answer()
 *
 * Return: 0, -ENOBUFS when there is no place left to keep it, -EPIPE or
 *         another negative errno when the channel is broken.
 */
int outbox_send(struct outbox *outbox, int fd, uint16_t type, const void *body);

/** filter_send_now() - Return: 0, -EAGAIN when there is no place for it, or another negative errno */
int filter_send_now(int fd, uint16_t type, const void *body);

/** outbox_flush() - send what waits. Return: 0, also when some still waits; negative errno */
int outbox_flush(struct outbox *outbox, int fd);

/** outbox_clear() - forget what waits: nobody would read it */
void outbox_clear(struct outbox *outbox);

/** filter_new() - as sluice_filter_new(); @kind: of HELLO; @proxy: whose session it is, or NULL */
int filter_new(const struct sluice_filter_ops *ops, void *data, uint8_t kind,
	       struct sluice_proxy *proxy, struct sluice_filter **ret_filter);

/* filter-main.c: exit statuses, after it was said why */
int filter_main_new_failed(const char *name, const char *kind, int r);
int filter_main_end(const struct sluice_filter *filter, int r);

/* proxy-records.c: records of the daemon. Return: as filter_take_record() */
int proxy_take_socket(struct sluice_filter *filter, const struct wire_message *message, int *fd);
int proxy_take_cancel(struct sluice_filter *filter, const struct wire_message *message, int *fd);
int proxy_take_end(struct sluice_filter *filter, const struct wire_message *message, int *fd);
int proxy_take_datagram(struct sluice_filter *filter, const struct wire_message *message, int *fd);
/** proxy_takes_udp() - is it a proxy's session, which wants UDP as well? */
bool proxy_takes_udp(const struct sluice_filter *filter);

/** filter_send_rules() - as much of a committed set as the channel takes. Return: as outbox_flush() */
int filter_send_rules(struct sluice_filter *filter);

/** filter_drop_rules() - nobody would read them */
void filter_drop_rules(struct sluice_filter *filter);

/** filter_take_packets() - PACKETS. Return: as filter_take_record() */
int filter_take_packets(struct sluice_filter *filter, const struct wire_message *message);

/** filter_take_record() - act on one record, which came with @fd, or -1; who keeps it leaves -1. Return:
 *  0, or the negative errno that ended the session */
int filter_take_record(struct sluice_filter *filter, const struct wire_message *message, int *fd);

/** filter_take_report() - FLOW_REPORT, all that are in it. Return: as filter_take_record() */
int filter_take_report(struct sluice_filter *filter, const struct wire_message *message, int *fd);

/** filter_may_say() - Return: 0; -ESHUTDOWN: it has ended; -EINVAL: it has not started */
int filter_may_say(const struct sluice_filter *filter);
/** filter_send_started() - a record of a filter that has started. Return: as sluice_filter_answer() */
int filter_send_started(struct sluice_filter *filter, uint16_t type, const void *body);

/** filter_copy_reason() - @to is zeroed, and of @n bytes; NULL is fine */
void filter_copy_reason(char *to, size_t n, const char *reason);

/** filter_is_alive() - neither broken nor stopped */
bool filter_is_alive(const struct sluice_filter *filter);

/** filter_set_error() - the words of sluice_filter_error() */
void filter_set_error(struct sluice_filter *filter, const char *fmt, ...) _printf_(2, 3);

/** filter_break() - the session is over: every later call gives this errno. Return: @error */
int filter_break(struct sluice_filter *filter, int error, const char *what);

/** filter_break_protocol() - the same for a record that may not be. Return: -EPROTO */
int filter_break_protocol(struct sluice_filter *filter, const char *record, const char *why);

/**
 * filter_fail_send() - a record could not be sent
 *
 * A peer that is gone may have left records, a STOP even: let the reader find
 * them or the end, so that an orderly stop never looks like a crash.
 *
 * Return: 0 for -EPIPE, else @error, which ended the session.
 */
int filter_fail_send(struct sluice_filter *filter, int error);
