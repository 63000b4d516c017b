/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Flows that filters look at: their beginning and end, and what the kernel knows of them */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/judge/judge.h"
#include "flow/packet.h"

#define ACK_WAIT_US 200000U
#define KEPT_MAX 2048U	   /* bytes of a datagram; larger ones come in fragments, or rarely */
#define AHEAD (1ULL << 30) /* passed in advance: so much of it is told to the kernel */

void peeking_prepare(struct daemon *daemon)
{
	int r = plane_peek(daemon->plane);

	if (r < 0) { /* some table has not taken it */
		owners_want(daemon);
		log_error("what comes in cannot be held for filters: %s", strerror(-r));
	}
	daemon->peekings.has_rule = r == 0;
}

static int make(struct flow *flow)
{
	struct peeking *peeking;

	if (flow->peeking)
		return 0;
	peeking = calloc(1, sizeof(*peeking));
	if (!peeking)
		return -ENOMEM;
	peeking->core = peek_new(peeking_is_tcp(flow));
	if (!peeking->core) {
		free(peeking);
		return -ENOMEM;
	}
	peeking->flow = flow;
	peeking->due_us = UINT64_MAX;
	peeking->may = SL_PEEK_OUT | SL_PEEK_IN;
	flow->peeking = peeking;
	peeking_charge(peeking);
	return 0;
}

int peeking_add(struct daemon *daemon, struct flow *flow, unsigned int filter,
		const struct wire_flow_peek *wanted)
{
	int r = make(flow);

	if (r < 0)
		return r;
	if (wanted->inbound && peeking_is_tcp(flow) && !daemon->peekings.has_rule)
		return -EOPNOTSUPP;
	if (wanted->outbound && flow->peeking->may & SL_PEEK_OUT)
		peek_look(flow->peeking->core, filter, SL_DIR_OUT, wanted->peek_out);
	if (wanted->inbound && flow->peeking->may & SL_PEEK_IN)
		peek_look(flow->peeking->core, filter, SL_DIR_IN, wanted->peek_in);
	return 0;
}

bool peeking_is_looked_at(const struct peeking *peeking)
{
	return peek_is_shown(peeking->core, SL_DIR_OUT) || peek_is_shown(peeking->core, SL_DIR_IN);
}

static uint32_t flags_of(const struct peek *core)
{
	bool is_shown = peek_is_shown(core, SL_DIR_IN);

	bool is_out = peek_is_shown(core, SL_DIR_OUT) || peek_is_guarded(core, SL_DIR_OUT);

	return (is_out ? SL_PEEK_OUT : 0U) | (is_shown ? SL_PEEK_IN : 0U) |
	       (!is_shown && peek_is_guarded(core, SL_DIR_IN) ? SL_PEEK_GUARD : 0U) |
	       (core->streams[SL_DIR_OUT].has_base ? SL_PEEK_BASE_OUT : 0U) |
	       (core->streams[SL_DIR_IN].has_base ? SL_PEEK_BASE_IN : 0U);
}

void peeking_keep_let_go(struct peeking *peeking)
{
	peeking->may = flags_of(peeking->core) & (SL_PEEK_OUT | SL_PEEK_IN);
}

void peeking_count(const struct flow *flow, struct sl_flow *entry)
{
	if (!flow->peeking || peeking_is_tcp(flow))
		return;
	entry->bytes_out += flow->peeking->n_gone[SL_DIR_OUT];
	entry->bytes_in += flow->peeking->n_gone[SL_DIR_IN];
}

int peeking_put(struct daemon *daemon, struct peeking *peeking, enum sl_verdict verdict)
{
	const struct flow *flow = peeking->flow;
	const struct peek *core = peeking->core;
	struct sl_flow entry = verdict_entry(daemon, flow, verdict);
	int r;

	entry.peek = peeking->flags;
	for (int dir = 0; dir < PEEK_DIRS; dir++) {
		entry.base[dir] = core->streams[dir].base;
		entry.passed[dir] = peeking->passed[dir];
	}
	entry.shown = core->streams[SL_DIR_IN].base + (uint32_t)core->streams[SL_DIR_IN].shown;
	peeking_count(flow, &entry);
	r = plane_set_flow(daemon->plane, &flow->key, &entry);
	if (r == 0)
		memset(peeking->n_gone, 0, sizeof(peeking->n_gone));
	else
		log_error("cannot write what is looked at to the kernel: %s", strerror(-r));
	return r;
}

static uint64_t passed_of(const struct peeking *peeking, enum sl_dir dir)
{
	uint64_t passed = peek_passed(peeking->core, dir), before = peeking->passed[dir];
	uint64_t known = peeking->core->streams[dir].known;

	if (passed == PEEK_ALL && !peeking->core->streams[dir].n_copies) /* nobody looks there */
		return MAX(before, known);
	if (passed > known + AHEAD) /* sequence numbers go around */
		passed = before > known + AHEAD / 2 ? before : known + AHEAD;
	return MAX(passed, before);
}

/* before packets are let go */
int peeking_tell_kernel(struct daemon *daemon, struct peeking *peeking)
{
	uint64_t out = passed_of(peeking, SL_DIR_OUT), in = passed_of(peeking, SL_DIR_IN);
	uint32_t flags = flags_of(peeking->core);

	if (out == peeking->passed[SL_DIR_OUT] && in == peeking->passed[SL_DIR_IN] &&
	    flags == peeking->flags)
		return 0;
	peeking->passed[SL_DIR_OUT] = out;
	peeking->passed[SL_DIR_IN] = in;
	peeking->flags = flags;
	if (peeking_put(daemon, peeking, SL_PEEK) == 0)
		return 0;
	peeking->flags = UINT32_MAX; /* once more */
	return -EAGAIN;
}

/* the kernel side does not tell of them: it is looked less and less often while none come */
void peeking_take_acks(struct daemon *daemon, struct peeking *peeking)
{
	struct peek *core = peeking->core;
	uint64_t before = core->streams[SL_DIR_IN].acked;
	struct sl_tuple tuple;
	struct sl_peek peek;

	if (peek_is_acked(core, SL_DIR_IN))
		return;
	tuple = flow_tuple(peeking->flow);
	if (plane_find_peek(daemon->plane, &tuple, &peek) == 0 && peek.has_acked)
		peek_ack(core, SL_DIR_IN, peek.acked, daemon_now_us());
	peeking->ack_wait_us = core->streams[SL_DIR_IN].acked > before
				       ? TICK_US
				       : MIN(MAX(2 * peeking->ack_wait_us, TICK_US), ACK_WAIT_US);
}

static void charge(struct peeking *peeking, size_t bytes, size_t n_queued)
{
	flow_charge(peeking->flow, (ssize_t)bytes - (ssize_t)peeking->charged,
		    (ssize_t)n_queued - (ssize_t)peeking->n_queued);
	peeking->charged = bytes;
	peeking->n_queued = n_queued;
}

void peeking_charge(struct peeking *peeking)
{
	const struct peek_stream *streams = peeking->core->streams;
	size_t bytes = sizeof(*peeking) + peek_size(peeking->core), n = 0;

	for (int dir = 0; dir < PEEK_DIRS; dir++) {
		bytes += streams[dir].n_bytes + streams[dir].n_kept_bytes +
			 (streams[dir].n + streams[dir].n_kept) * PEEKING_PACKET_BYTES;
		n += streams[dir].n - streams[dir].n_copies;
	}
	charge(peeking, bytes, n);
}

/* TCP follows its SYN. A datagram may be the first that goes, and its socket be gone by now */
void peeking_accept(struct daemon *daemon, const struct flow *flow, enum sl_dir dir,
		    const struct flow_packet *packet)
{
	bool is_first = dir == SL_DIR_OUT && !peeking_is_tcp(flow);

	(void)plane_answer(
		daemon->plane, packet->id, QUEUE_ACCEPT,
		verdict_mark(packet->mark, is_first ? verdict_mark_of(flow) : SL_MARK_NONE));
}

void peeking_drop(struct daemon *daemon, const struct flow_packet *packet)
{
	(void)plane_answer(daemon->plane, packet->id, QUEUE_DROP, packet->mark);
}

static void link_in(struct daemon *daemon, struct peeking *peeking)
{
	peeking->next = daemon->peekings.first;
	if (peeking->next)
		peeking->next->previous = peeking;
	daemon->peekings.first = peeking;
	daemon->peekings.n++;
	peeking->is_begun = true;
}

static void take_out(struct daemon *daemon, struct peeking *peeking)
{
	if (!peeking->is_begun)
		return;
	if (peeking->next)
		peeking->next->previous = peeking->previous;
	if (peeking->previous)
		peeking->previous->next = peeking->next;
	else
		daemon->peekings.first = peeking->next;
	daemon->peekings.n--;
}

void peeking_end(struct daemon *daemon, struct flow *flow)
{
	struct peeking *peeking = flow->peeking;
	struct flow_packet packet;
	struct sl_tuple tuple;

	if (!peeking)
		return;
	tuple = flow_tuple(flow);
	for (int dir = 0; dir < PEEK_DIRS; dir++)
		while (peek_drop(peeking->core, (enum sl_dir)dir, &packet) == 0)
			peeking_drop(daemon, &packet);
	charge(peeking, 0, 0);
	if (peeking_is_tcp(flow) && (peeking->is_begun || flow->is_restored))
		(void)plane_forget_peek(daemon->plane, &tuple, flow->key.cookie);
	if (peeking->is_begun)
		judge_settled(daemon, &tuple);
	take_out(daemon, peeking);
	peek_free(peeking->core);
	free(peeking);
	flow->peeking = NULL;
}

int peeking_hold(struct daemon *daemon, struct flow *flow)
{
	const struct sl_tuple tuple = flow_tuple(flow);

	if (!peeking_is_tcp(flow))
		return 0;
	return plane_set_peek(daemon->plane, &tuple, flow->key.cookie);
}

void peeking_keep(struct flow *flow, const struct packet_view *view)
{
	if (!peeking_is_tcp(flow) && !view->is_fragment && view->n_payload <= KEPT_MAX &&
	    flow_charged(flow) + view->n_payload <= PEEKING_USER_BYTES)
		flow_keep(flow, view->payload);
}

static void show_kept(struct daemon *daemon, const struct sl_flow_key *key,
		      const struct flow_kept *kept)
{
	const struct packet_view view = { .payload = kept->bytes,
					  .n_payload = kept->packet.n_payload };
	struct flow *flow = flow_table_find(daemon->flows, key);

	if (!flow || flow->state != FLOW_OPEN)
		peeking_drop(daemon, &kept->packet);
	else if (flow->peeking)
		peeking_packet(daemon, flow, &view, &kept->packet, flow->direction == SL_DIR_IN);
	else
		verdict_let_go(daemon, flow, &kept->packet, flow->verdict);
}

/* What nobody has kept is held once more, with its bytes, and then those that were sent meanwhile would
 * come first. TCP has them in order all the same */
static void carry_out(struct daemon *daemon, struct flow *flow)
{
	const struct sl_flow_key key = flow->key;
	struct flow_kept kept[FLOW_PACKETS_MAX];
	unsigned int n = flow->state == FLOW_HELD ? flow_take_kept(flow, kept) : 0;

	verdict_carry_out(daemon, flow, SL_PEEK);
	for (unsigned int i = 0; i < n; i++) {
		show_kept(daemon, &key, &kept[i]);
		free(kept[i].bytes);
	}
}

int peeking_begin(struct daemon *daemon, struct flow *flow)
{
	struct peeking *peeking = flow->peeking;
	int r;

	if (!peeking || !peeking_is_looked_at(peeking))
		return -ENOENT;
	if (flow->has_first_seq)
		peek_begin_at(peeking->core, flow->direction, flow->first_seq, 0);
	peeking->has_begun = !flow->has_first_seq && !flow->is_restored;
	r = peeking_tell_kernel(daemon, peeking);
	if (r == 0)
		r = peeking_hold(daemon, flow);
	if (r < 0)
		return r;
	link_in(daemon, peeking);
	carry_out(daemon, flow);
	return 0;
}

static void let_be(struct flow *flow)
{
	struct peeking *peeking = flow->peeking;

	if (!peeking)
		return;
	flow->peeking = NULL;
	peek_free(peeking->core);
	free(peeking);
}

/* what is held, and what the kernel knows, is for a successor, or nobody */
void peeking_close(struct daemon *daemon)
{
	struct flow *flow = daemon->flows ? flow_table_oldest_held(daemon->flows) : NULL;

	for (; flow; flow = flow_next(flow))
		let_be(flow);
	while (daemon->peekings.first) {
		flow = daemon->peekings.first->flow;
		daemon->peekings.first = daemon->peekings.first->next;
		let_be(flow);
	}
}

/* ---- after a predecessor ---- */

/* what went to filters of then and is not acknowledged may come again, and differ: it is shown */
static void go_back(struct daemon *daemon, const struct flow *flow, bool was_guarded)
{
	struct peeking *peeking = flow->peeking;
	const struct sl_tuple tuple = flow_tuple(flow);
	struct peek *core = peeking->core;
	struct sl_peek peek;

	if (plane_find_peek(daemon->plane, &tuple, &peek) < 0 || peek.cookie != flow->key.cookie)
		return;
	if (core->streams[SL_DIR_IN].has_base)
		peek_go_back(core, SL_DIR_IN,
			     peek.has_acked ? peek.acked : core->streams[SL_DIR_IN].base,
			     was_guarded);
}

int peeking_restore(struct daemon *daemon, struct flow *flow, const struct sl_flow *entry)
{
	int r = make(flow);

	if (r < 0)
		return r;
	for (int dir = 0; dir < PEEK_DIRS; dir++) {
		uint32_t has_base = dir == SL_DIR_OUT ? SL_PEEK_BASE_OUT : SL_PEEK_BASE_IN;

		if (entry->peek & has_base)
			peek_begin_at(flow->peeking->core, (enum sl_dir)dir, entry->base[dir],
				      entry->passed[dir]);
		flow->peeking->passed[dir] = entry->passed[dir];
	}
	flow->peeking->may = entry->peek & (SL_PEEK_OUT | SL_PEEK_IN);
	if (entry->peek & SL_PEEK_GUARD)
		flow->peeking->may |= SL_PEEK_IN;
	go_back(daemon, flow, entry->peek & SL_PEEK_GUARD);
	flow->is_restored = true;
	return 0;
}
