/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Options of test-filter: looking at what flows carry
 *
 *	peek-out=N, peek-in=N	look at this direction, N bytes at once ("max": as many as can be);
 *				everything that is shown is passed, then the same once more
 *	peek-port=N		only of flows to or from that remote or local port
 *	peek-allow=1		allow the flow at the first bytes
 *	peek-all=1		pass all of a direction at its first bytes
 *	peek-more=N		pass nothing before N bytes are there
 *	deny-when-seen=TEXT	deny when it is there, after a pause if there is one
 *	never-answer=1		to bytes; flows are
 *	pause-ms=N		pause at the first bytes, and answer that much later
 *	pause-new-ms=N		the same for the flow itself
 *	pause-twice=1
 *
 * At the end of each direction a line for people: "seen PORT DIRECTION BYTES CRC", of what
 * was shown from the beginning on.
 */

#include <stdbool.h>
#include <stdint.h>

#include <sluice/filter.h>

#define N_PEEKS 512
#define SEEN_MAX 64

/** struct peek_flow - one that is looked at */
struct peek_flow {
	uint64_t id, due_ms; /* due: of the answer, after a pause; 0: none */
	uint16_t port;
	bool was_paused, is_new;
	struct peek_side {
		uint64_t n;
		uint32_t crc;
		char tail[2 * SEEN_MAX]; /* the last bytes, for what is cut between two questions */
		unsigned int n_tail;
		struct sluice_data last;
		bool is_open; /* a question */
		bool is_denied;
	} sides[2];
};

struct peek_options {
	bool has_out, has_in, is_allowing, is_passing_all, is_mute, pauses_twice;
	uint64_t out, in, more;
	unsigned long port, pause_ms, pause_new_ms;
	char text[SEEN_MAX];
	struct peek_flow flows[N_PEEKS];
	unsigned int next;
};

/** peek_option() - Return: was it one of these? */
bool peek_option(struct peek_options *options, const char *key, const char *value);
/** peek_options_looks() - Return: true: it may look at some flow */
bool peek_options_looks(const struct peek_options *options);
/** peek_options_begin() - Return: false: the flow is not to be looked at */
bool peek_options_begin(struct sluice_filter *filter, struct peek_options *options,
			const struct sluice_flow *flow, uint64_t now_ms);
void peek_options_data(struct sluice_filter *filter, struct peek_options *options,
		       const struct sluice_data *data, uint64_t now_ms);
/** peek_options_work() - what is due. Return: milliseconds until the next, -1: none */
int peek_options_work(struct sluice_filter *filter, struct peek_options *options, uint64_t now_ms);
