/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "daemon/judge.h"
#include "daemon/naming.h"
#include "wire/names-records.h"

enum { LOOK_CONNECTION = 2, LOOK_DATAGRAM };		 /* LOOK, kind */
enum { HOST_NAMED, HOST_NONE, HOST_MORE, HOST_REFUSED }; /* HOST, answer */

static uint16_t bit_of(unsigned int filter)
{
	return (uint16_t)(1U << filter);
}

/* ---- who needs it ---- */

/* bytes that were let go cannot be read any more */
static bool has_first_bytes(const struct peeking *peeking)
{
	return !peeking || (peeking->may & SL_PEEK_OUT && !peeking->is_begun &&
			    peeking->core->streams[SL_DIR_OUT].gone == 0);
}

bool naming_is_possible(const struct flow *flow)
{
	return flow->state == FLOW_HELD && flow->direction == SL_DIR_OUT &&
	       flow->host_reading == FLOW_UNREAD && !flow->is_hypothetical &&
	       (flow->key.proto == IPPROTO_TCP || flow->key.proto == IPPROTO_UDP) &&
	       has_first_bytes(flow->peeking);
}

static bool is_sure(struct daemon *daemon, const struct flow *flow)
{
	struct names_name names[2];
	struct sl_app app;

	if (!flow->host[0] || !flow->identity)
		return false;
	app = sl_app_of(&flow->identity->who, flow->tuple.netns);
	return names_all(daemon->names, &app, flow->tuple.raddr, daemon_now_us(), names,
			 ARRAY_SIZE(names)) <= 1;
}

bool naming_may_help(struct daemon *daemon, const struct flow *flow)
{
	if (flow->peeking && flow->peeking->naming.waiting)
		return true;
	return naming_is_possible(flow) && !daemon->is_ending &&
	       daemon->names_session.state != SESSION_FAILED && !is_sure(daemon, flow);
}

int naming_want(struct daemon *daemon, struct flow *flow, unsigned int filter)
{
	static const struct wire_flow_peek all_that_leaves = { .outbound = 1 };
	int r = peeking_add(daemon, flow, filter, &all_that_leaves);

	if (r < 0)
		return r;
	flow->peeking->naming.waiting |= bit_of(filter);
	flow->peeking->due_us = 0;
	return 0;
}

int naming_want_for_rules(struct daemon *daemon, struct flow *flow, unsigned int filter)
{
	struct memory_answer answer;
	int r = 0;

	for (; filter < daemon->n_filters && r == 0; filter++)
		if (ruling_find(daemon, flow, filter, &answer) == RULING_E_HOST)
			r = naming_want(daemon, flow, filter);
	return r;
}

bool naming_waits(const struct flow *flow, unsigned int filter)
{
	return flow && flow->peeking && flow->peeking->naming.waiting & bit_of(filter);
}

static bool is_asked(const struct flow *flow, unsigned int index)
{
	return flow && flow->state == FLOW_HELD && flow->asked == index && flow->is_sent &&
	       !flow->is_paused;
}

int naming_take_wish(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_flow_name *wish = WIRE_BODY(message, struct wire_flow_name);
	struct flow *flow = flow_table_find_id(daemon->flows, wish->id);

	if (!is_asked(flow, index) || !naming_is_possible(flow)) {
		daemon->filters[index].n_late++; /* no answer to what it was asked */
		return 0;
	}
	flow->steps[index] = (struct flow_step){ .how = FLOW_ANSWERED };
	if (naming_want(daemon, flow, index) < 0)
		judge_fail(daemon, flow);
	else
		judge_flow(daemon, flow, SL_ALLOW, (int)index, wish->reason);
	return 0;
}

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

/* all of them, each by itself. What of them could not be sent is sent again with the rest */
static int say_datagrams(struct daemon *daemon, struct peeking *peeking, struct wire_look *look)
{
	const struct peek_stream *stream = &peeking->core->streams[SL_DIR_OUT];
	int r = 0;

	look->kind = LOOK_DATAGRAM;
	for (unsigned int i = 0; i < stream->n && r == 0; i++) {
		const struct peek_packet *packet = stream->packets[i];
		size_t n = (size_t)(packet->to - packet->from);

		look->seq = i;
		r = say(daemon, peeking, look, packet->bytes, MIN(n, WIRE_TAIL_MAX));
	}
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
		if (naming->waiting & bit_of(i))
			peek_ask_anew(peeking->core, i);
	naming->to_judge |= naming->waiting;
	naming->waiting = 0;
	naming->n_looks = 0;
	naming->deadline_us = 0;
}

static unsigned int reader_of(const struct peeking *peeking)
{
	return (unsigned int)__builtin_ctz(peeking->naming.waiting);
}

/* Return: are they worth waiting for? */
static bool wants_more(struct peeking *peeking, uint32_t needs)
{
	uint64_t wanted = peeking_is_tcp(peeking->flow) ? needs : 0;

	if (peeking->naming.is_cut) {
		peek_ask_anew(peeking->core, reader_of(peeking));
		return true;
	}
	if (needs > PEEK_BYTES_MAX)
		return false;
	peeking->naming.deadline_us = daemon_now_us() + NAMING_MORE_US;
	return peek_pass(peeking->core, reader_of(peeking), SL_DIR_OUT, 0, wanted,
			 daemon_now_us()) == 0;
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
	return !(naming->waiting & bit_of(filter));
}

/* there is no memory for its name: without it it would be judged as another one */
static void fail(const struct filter *filter, struct peeking_verdict *verdict,
		 char reason[FLOW_REASON_BYTES])
{
	fail_say(filter, FLOW_FAILED, filter->is_closed, reason);
	verdict->how = FLOW_FAILED;
	verdict->verdict = filter->is_closed ? SL_REJECT : SL_ALLOW;
	verdict->reason = reason;
}

static bool is_answered_for(struct daemon *daemon, const struct flow *flow, unsigned int filter,
			    struct peeking_verdict *verdict)
{
	struct memory_answer known;

	verdict->how = FLOW_RULED;
	if (ruling_find(daemon, flow, filter, &known)) {
		verdict->how = FLOW_REMEMBERED;
		if (!remember_find(daemon, flow, filter, &known))
			return false;
	}
	verdict->verdict = known.verdict;
	verdict->reason = known.reason;
	return true;
}

bool naming_judge(struct daemon *daemon, struct peeking *peeking, unsigned int filter)
{
	struct peeking_verdict verdict = { .filter = filter };
	char reason[FLOW_REASON_BYTES];

	if (!(peeking->naming.to_judge & bit_of(filter)))
		return false;
	peeking->naming.to_judge &= (uint16_t)~bit_of(filter);
	if (peeking->naming.is_forgotten) {
		fail(&daemon->filters[filter], &verdict, reason);
	} else if (!is_answered_for(daemon, peeking->flow, filter, &verdict)) {
		peeking->anew |= bit_of(filter);
		return false;
	}
	daemon->filters[filter].n_dropped += verdict.verdict != SL_ALLOW;
	peeking_judge(daemon, peeking->flow, &verdict);
	return true;
}

void naming_leave(struct peeking *peeking, unsigned int filter)
{
	peeking->naming.waiting &= (uint16_t)~bit_of(filter);
	peeking->naming.to_judge &= (uint16_t)~bit_of(filter);
}
