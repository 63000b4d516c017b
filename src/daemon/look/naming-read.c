/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: First bytes go to sluice-names, and what it says of them */
#include <errno.h>
#include <string.h>

#include "daemon/judge/judge.h"
#include "wire/names-records.h"

/* ---- asking sluice-names ---- */

static int say(struct daemon *daemon, struct peeking *peeking, struct wire_look *look,
	       const uint8_t *bytes, size_t n)
{
	int r;

	if (daemon->names_sock < 0)
		return -ENOTCONN;
	r = channel_send(daemon->names_sock, &wire_names_channel, WIRE_LOOK, look, bytes, n, -1);
	peeking->naming.n_looks += r == 0;
	return r;
}

/* all of them that a handshake may have, each by itself. What of them could not be sent is sent again
 * with the rest */
static int say_datagrams(struct daemon *daemon, struct peeking *peeking, struct wire_look *look)
{
	const struct peek_stream *stream = &peeking->core->streams[SL_DIR_OUT];
	unsigned int n_most = MIN(stream->n, NAMING_DATAGRAMS_MAX), i;
	size_t left = PEEK_BYTES_MAX;
	int r = 0;

	look->kind = LOOK_DATAGRAM;
	for (i = 0; i < n_most && left > 0 && r == 0; i++) {
		const struct peek_packet *packet = stream->packets[i];
		size_t n = MIN((size_t)(packet->to - packet->from), left);

		look->seq = i;
		r = say(daemon, peeking, look, packet->bytes, n);
		left -= n;
	}
	peeking->naming.is_spent = i == NAMING_DATAGRAMS_MAX || left == 0;
	return r;
}

static int say_bytes(struct daemon *daemon, struct peeking *peeking, struct wire_look *look,
		     const struct peek_question *question)
{
	look->kind = LOOK_CONNECTION;
	peek_copy(peeking->core, SL_DIR_OUT, question, daemon->peekings.shown);
	return say(daemon, peeking, look, daemon->peekings.shown, question->n);
}

/* ---- what came of it ---- */

static void settle(struct peeking *peeking, enum flow_reading reading)
{
	struct naming *naming = &peeking->naming;

	peeking->flow->host_reading = (uint8_t)reading;
	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++)
		if (naming->waiting & flow_filter_bit(i))
			peek_ask_anew(peeking->core, i);
	naming->to_judge |= naming->waiting;
	naming->waiting = 0;
	naming->n_looks = 0;
	naming->deadline_us = 0;
	peeking->due_us = 0; /* filters before the reader have had their turn in this round */
}

/* the one of before, while it waits: what was asked is noted in its view */
static unsigned int reader_of(struct peeking *peeking)
{
	struct naming *naming = &peeking->naming;

	if (!(naming->waiting & flow_filter_bit(naming->reader)))
		naming->reader = (unsigned int)__builtin_ctz(naming->waiting);
	return naming->reader;
}

/* Return: are they worth waiting for? */
static bool wants_more(struct peeking *peeking, uint32_t needs)
{
	uint64_t wanted = peeking_is_tcp(peeking->flow) ? needs : 0;
	unsigned int reader = reader_of(peeking);

	if (peeking->naming.is_cut || !peek_has_question(peeking->core, reader)) {
		peek_ask_anew(peeking->core, reader); /* or another one was asked, which has left */
		return true;
	}
	if (needs > PEEK_BYTES_MAX || peeking->naming.is_spent)
		return false;
	peeking->naming.deadline_us = daemon_now_us() + NAMING_MORE_US;
	return peek_pass(peeking->core, reader, SL_DIR_OUT, 0, wanted, daemon_now_us()) == 0;
}

static void take_name(struct daemon *daemon, struct peeking *peeking, const struct wire_host *host)
{
	struct flow *flow = peeking->flow;

	if (!host->name[0] || host->source < FLOW_HOST_TLS)
		return;
	if (texts_set(daemon->texts, &flow->host, host->name) < 0)
		peeking->naming.is_forgotten = true;
	else
		flow->host_source = host->source;
}

static void take(struct daemon *daemon, struct peeking *peeking, const struct wire_host *host)
{
	switch (host->answer) {
	case HOST_NAMED:
		take_name(daemon, peeking, host);
		settle(peeking, FLOW_READ);
		break;
	case HOST_NONE:
		settle(peeking, FLOW_READ);
		break;
	case HOST_REFUSED:
		settle(peeking, FLOW_REFUSED);
		break;
	case HOST_MORE:
		if (!wants_more(peeking, host->needs))
			settle(peeking, FLOW_UNREADABLE);
		break;
	}
}

void naming_take_host(struct daemon *daemon, const struct wire_host *host)
{
	const struct flow *flow = flow_table_find_id(daemon->flows, host->token);
	struct peeking *peeking = flow ? flow->peeking : NULL;

	if (!peeking || peeking->naming.n_looks == 0 || --peeking->naming.n_looks > 0)
		return;
	peeking->naming.deadline_us = 0;
	if (peeking->naming.waiting)
		take(daemon, peeking, host);
	peeking_go_on(daemon, peeking);
}

void naming_lost(struct daemon *daemon)
{
	struct peeking *peeking = daemon->peekings.first;

	for (; peeking; peeking = peeking->next) {
		if (peeking->naming.n_looks == 0)
			continue;
		peeking->naming.n_looks = 0;
		peeking->naming.deadline_us = 0;
		peeking->naming.n_tries++;
		for (unsigned int i = 0; i < daemon->n_filters; i++)
			if (naming_waits(peeking->flow, i))
				peek_ask_anew(peeking->core, i);
		peeking->due_us = 0;
	}
}

bool naming_is_late(const struct daemon *daemon, uint64_t now_us)
{
	const struct peeking *peeking = daemon->peekings.first;

	for (; peeking; peeking = peeking->next)
		if (peeking->naming.n_looks && now_us >= peeking->naming.deadline_us)
			return true;
	return false;
}

/* ---- what is next ---- */

/* its channel is full, or it is being started again */
static void wait_for_names(struct daemon *daemon, struct peeking *peeking, uint64_t now_us)
{
	struct naming *naming = &peeking->naming;

	if (naming->deadline_us == 0)
		naming->deadline_us = now_us + NAMING_WAIT_US;
	if (daemon->names_session.state == SESSION_FAILED || now_us >= naming->deadline_us)
		settle(peeking, FLOW_UNREADABLE);
	else
		peeking->due_us = MIN(peeking->due_us, now_us + TICK_US);
}

static void ask(struct daemon *daemon, struct peeking *peeking,
		const struct peek_question *question, uint64_t now_us)
{
	struct naming *naming = &peeking->naming;
	struct wire_look look = { .token = peeking->flow->id };
	int r;

	if (question->n == 0) { /* it ends, or is a datagram, without a byte */
		settle(peeking, FLOW_READ);
		return;
	}
	if (naming->n_tries >= NAMING_TRIES_MAX || naming->n_asked++ >= NAMING_LOOKS_MAX) {
		settle(peeking, FLOW_UNREADABLE);
		return;
	}
	r = peeking_is_tcp(peeking->flow) ? say_bytes(daemon, peeking, &look, question)
					  : say_datagrams(daemon, peeking, &look);
	if (naming->n_looks == 0 && r < 0) {
		wait_for_names(daemon, peeking, now_us);
		return;
	}
	naming->is_cut = r < 0;
	peek_asked(peeking->core, reader_of(peeking), SL_DIR_OUT, question, now_us);
	naming->deadline_us = now_us + NAMES_DEADLINE_US;
}

/* what comes in is held for one that waits: the client may wait for that before it sends anything */
static bool holds_a_greeting(const struct peeking *peeking)
{
	const struct peek_stream *in = &peeking->core->streams[SL_DIR_IN];

	for (unsigned int i = 0; i < FLOW_FILTERS_MAX; i++)
		if (naming_waits(peeking->flow, i) && in->views[i].is_looking)
			return in->n > 0;
	return false;
}

static void go_on(struct daemon *daemon, struct peeking *peeking, uint64_t now_us)
{
	uint64_t deadline_us = peeking->naming.deadline_us;
	const struct peek *core = peeking->core;
	struct peek_question question;
	int r = peek_next(peeking->core, reader_of(peeking), SL_DIR_OUT, now_us, &question);

	if (r == 0 &&
	    peeking_is_tcp(peeking->flow)) /* all that is there, however little it needs */
		question.n = MIN(core->streams[SL_DIR_OUT].known - question.offset, PEEK_SHOWN_MAX);
	if (r == 0) {
		ask(daemon, peeking, &question, now_us);
		return;
	}
	if (!deadline_us && holds_a_greeting(peeking))
		deadline_us = peeking->naming.deadline_us = now_us + NAMING_MORE_US;
	if (deadline_us && now_us >= deadline_us) {
		settle(peeking, FLOW_UNREADABLE);
		return;
	}
	if (r == PEEK_E_WAIT)
		peeking->due_us = MIN(peeking->due_us, question.due_us);
	if (deadline_us)
		peeking->due_us = MIN(peeking->due_us, deadline_us);
}

bool naming_read(struct daemon *daemon, struct peeking *peeking, unsigned int filter,
		 uint64_t now_us)
{
	struct naming *naming = &peeking->naming;

	if (filter == reader_of(peeking) && naming->n_looks == 0)
		go_on(daemon, peeking, now_us);
	return !(naming->waiting & flow_filter_bit(filter));
}
