/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Packet filters
 *
 *	queue of packets ─▶ packets-read.c ──PACKETS──▶ each packet filter
 *	                 ◀─ packets.c ◀──PACKET_VERDICT──
 *
 * Behind the verdict on its flow, a packet of a governed program comes to a queue of
 * its own (bpf/packet.bpf.c), unless rules decide (packets-rules.c). All packet
 * filters are asked at once, and each has to allow it (flow/asked.h). sluiced reads
 * the headers that it reads of any packet, to tell whose it is, and copies the rest.
 *
 * While a filter's channel is full nothing more is read: the kernel's queue fills
 * up, and what finds no place in it is the fail class's. It is at most for the
 * deadline: then who does not read is late.
 */

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include "flow/asked.h"
#include "kernel/plane.h"
#include "wire/packets.h"

#define PACKETS_ANSWERS_MAX (ASKED_MAX + ASKED_DELAYED_MAX + PACKETS_BATCH)

struct daemon;
struct filter;
struct space;
struct wire_message;
struct wire_ready;

/** struct packet_ruling - static rules of one packet filter */
struct packet_ruling {
	struct sl_packet_rule *rules; /* owned */
	unsigned int n;
	enum sl_packet_action otherwise;
};

/** struct packet_filter - of a filter that filters packets */
struct packet_filter {
	bool is_one;
	bool is_known; /* it has said whether it is one */
	uint32_t n_copy;
	uint8_t *out; /* owned: packets that are to be told, as in the tail of PACKETS */
	size_t n_out, at_out;
	struct packet_ruling ruling, next; /* in force; to be, with READY */
	uint64_t n_asked, n_dropped, n_delayed, n_late, n_failed;
};

struct packets {
	struct asked *asked; /* NULL: there never was a packet filter */
	uint16_t filters, closed;
	uint32_t n_copy;
	uint8_t *buffer;
	struct packet_answer answers[PACKETS_ANSWERS_MAX];
	unsigned int n_answers; /* decided, and not told to the kernel */
	bool is_paused;
	struct sl_packet_set set;
	uint64_t counted_us; /* places of users were counted anew */
	bool is_set_known;   /* the kernel has it, as a whole */
	bool is_provisional; /* what a predecessor left is in force until all filters are known */
	bool wants_set;	     /* it did not take it: again */
	uint64_t n_read, n_left;
	uint64_t base[_SL_PACKET_COUNT_N]; /* the kernel's counts of before us */
};

/** packets_listen() - to the queue of packets of this namespace, if there is one. Return: 0 */
int packets_listen(struct daemon *daemon, struct space *space);
/** packets_unlisten() - it is left, or all ends */
void packets_unlisten(struct space *space);

/** packets_are_unknown() - a successor does not know which packet filters there will be: what those of
 * before have left stays in force, as a fail class */
bool packets_are_unknown(const struct daemon *daemon);

/** packets_ready() - a filter has started. Return: 0, or why it cannot be used */
int packets_ready(struct daemon *daemon, unsigned int index, const struct wire_ready *ready);
/** packets_lost() - its process is gone: the next one is asked of what it has not answered in time */
void packets_lost(struct daemon *daemon, unsigned int index);
/** packets_take_verdict() - PACKET_VERDICT. Return: 0 */
int packets_take_verdict(struct daemon *daemon, unsigned int index,
			 const struct wire_message *message);
/** packets_heard() - a filter gives a sign of life: if it is late, it is asked of one packet */
void packets_heard(struct daemon *daemon, unsigned int index);
/** packets_wait() - is any packet waiting for a filter? */
bool packets_wait(const struct daemon *daemon);
/** packets_flush() - what was decided, to the kernel; and what there is now room for is read on */
void packets_flush(struct daemon *daemon);
void packets_tick(struct daemon *daemon, uint64_t now_us);
void packets_postpone(struct daemon *daemon, uint64_t us);
/** packets_end() - what waits, here or unread, goes as the fail class says: nobody is asked any more */
void packets_end(struct daemon *daemon);
void packets_close(struct daemon *daemon);

/* packets-read.c */
/** packets_read() - of the namespace in this place */
void packets_read(struct daemon *daemon, unsigned int place);
/** packets_read_last() - of all namespaces, and what filters have answered: at the end nobody else does */
void packets_read_last(struct daemon *daemon);
/** packets_settle() - a packet is decided: told to the kernel by packets_flush() */
void packets_settle(uint64_t handle, unsigned int crowd, enum asked_fate fate, void *data);
/** packets_send() - what is to be told to a filter, as far as its channel has room */
void packets_send(struct daemon *daemon, unsigned int index);
/** packets_look_again() - now and then, also when nothing is queued: places are counted anew */
void packets_look_again(struct daemon *daemon, uint64_t now_us);
/** packets_resume() - read on, if nobody's channel is full */
void packets_resume(struct daemon *daemon);

/* packets-rules.c */
/** packets_take_rules() - PACKET_RULES. Return: 0, -EPROTO, or a negative errno */
int packets_take_rules(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message);
/** packets_put_rules() - those of all packet filters, to the kernel */
void packets_put_rules(struct daemon *daemon);
/** packets_ask_rules() - @tuple: NULL: it cannot be read. Return: the filters that are to be asked;
 * @ret_is_dropped: and none is */
uint16_t packets_ask_rules(struct daemon *daemon, const struct sl_tuple *tuple,
			   const char interface[16], bool is_inbound, bool *ret_is_dropped);

/* packets-json.c: for status */
struct json_object *packets_json(struct daemon *daemon);
struct json_object *packets_filter_json(const struct filter *filter);
