/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Reports
 *
 * What filters are told of flows that they need not answer: the ends of all that they know
 * of (FLOW_CLOSED), and of those that they watch what was decided, statistics, and the
 * end (FLOW_REPORT).
 *
 * Nobody waits for a report, and a held packet's program does: reports are kept as notes
 * until the queue is empty, and while questions wait, so that a question never stands
 * behind them. They leave many in one record. A filter that does not read is not
 * waited for: its statistics stay due, and those that it should have had meanwhile are lost
 * and counted; the counts of the next ones include theirs. Of the places for notes each
 * filter has its share, so that one that does not read takes none of the others'. Notes of
 * what was decided are lost when half of the share is taken, those of an end when all is.
 *
 * Statistics of TCP are the socket's own counts (kernel/diag-count.c), as those of its end
 * are; BPF counts the rest in the flow's entry. They are looked up when they are due, some
 * at a time, for so long in each tick: what is left is due in the next one.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "daemon/daemon.h"

#define ROUND_US 4000U			 /* of a tick, for the statistics of all filters */
#define UNREAD_MAX (QUESTIONS_BYTES / 2) /* in a filter's channel: the rest is for questions */

/** struct batch - reports in one record */
struct batch {
	struct wire_flow_report first;
	unsigned int n;
	size_t n_tail;
	uint8_t tail[WIRE_TAIL_MAX];
};

/* its tail is written before it is read */
static void begin(struct batch *batch)
{
	batch->n = 0;
	batch->n_tail = 0;
}

/* Return: false: it is full */
static bool add(struct batch *batch, const struct wire_flow_report *report)
{
	size_t n;

	if (batch->n == 0) {
		batch->first = *report;
	} else {
		if (wire_encode(&wire_provider_channel, WIRE_FLOW_REPORT, report,
				batch->tail + batch->n_tail, sizeof(batch->tail) - batch->n_tail,
				&n))
			return false;
		batch->n_tail += n;
	}
	batch->n++;
	return true;
}

static bool can_take(const struct filter *filter)
{
	int n_unread = 0;

	return !filter->wants_write && filter->sock >= 0 &&
	       ioctl(filter->sock, SIOCOUTQ, &n_unread) == 0 && n_unread <= UNREAD_MAX;
}

/* Return: false: not now */
static bool send_batch(struct filter *filter, const struct batch *batch)
{
	return batch->n == 0 ||
	       channel_send(filter->sock, &wire_provider_channel, WIRE_FLOW_REPORT, &batch->first,
			    batch->tail, batch->n_tail, -1) != -EAGAIN;
}

/* ---- notes ---- */

static bool tell_ends(struct daemon *daemon, unsigned int index)
{
	struct filter *filter = &daemon->filters[index];
	uint16_t bit = (uint16_t)(1U << index);

	for (unsigned int i = 0; i < daemon->n_notes; i++) {
		struct note *note = &daemon->notes[i];
		const struct wire_flow_closed record = { .id = note->report.id,
							 .bytes_in = note->report.bytes_in,
							 .bytes_out = note->report.bytes_out };

		if (!(note->ended & bit))
			continue;
		if (providers_say(filter, WIRE_FLOW_CLOSED, &record, -1) == -EAGAIN)
			return false;
		note->ended &= (uint16_t)~bit;
	}
	return true;
}

/* Return: false: notes are left */
static bool tell_notes(struct daemon *daemon, unsigned int index)
{
	struct filter *filter = &daemon->filters[index];
	uint16_t bit = (uint16_t)(1U << index);
	unsigned int from = 0, i;

	while (from < daemon->n_notes) {
		struct batch batch;

		if (!can_take(filter))
			return false;
		begin(&batch);
		for (i = from; i < daemon->n_notes; i++) {
			struct note *note = &daemon->notes[i];

			note->report.lost = filter->n_reports_lost;
			if (note->watching & bit && !add(&batch, &note->report))
				break;
		}
		if (!send_batch(filter, &batch))
			return false;
		for (; from < i; from++)
			daemon->notes[from].watching &= (uint16_t)~bit;
	}
	return true;
}

static void forget_notes(struct daemon *daemon, unsigned int filter)
{
	for (unsigned int i = 0; i < daemon->n_notes; i++) {
		daemon->notes[i].ended &= (uint16_t)~flow_filter_bit(filter);
		daemon->notes[i].watching &= (uint16_t)~flow_filter_bit(filter);
	}
}

void reports_flush(struct daemon *daemon)
{
	unsigned int n = 0;

	if (daemon->n_notes == 0)
		return;
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		struct filter *filter = &daemon->filters[i];

		if (filter->session.state != SESSION_RUNNING)
			forget_notes(daemon, i);
		else if (!filter->wants_write && tell_ends(daemon, i))
			(void)tell_notes(daemon, i);
	}
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		daemon->filters[i].n_notes = 0;
	for (unsigned int i = 0; i < daemon->n_notes; i++) {
		const struct note *note = &daemon->notes[i];

		for (uint16_t left = note->ended | note->watching; left; left &= left - 1)
			daemon->filters[__builtin_ctz(left)].n_notes++;
		if (note->ended || note->watching)
			daemon->notes[n++] = *note;
	}
	daemon->n_notes = n;
}

void reports_forget(struct daemon *daemon, unsigned int filter)
{
	forget_notes(daemon, filter);
	daemon->filters[filter].is_loss_told = false;
	watch_lost(&daemon->watches, filter);
}

static void lose(struct filter *filter)
{
	filter->n_reports_lost++;
	if (!filter->is_loss_told)
		log_warning("filter %s does not read: reports on flows are lost to it, and counted",
			    filter->name);
	filter->is_loss_told = true;
}

static void lose_missed(struct daemon *daemon, const struct flow *flow, uint64_t now_us)
{
	const struct watch *watch = flow->watches;

	for (; watch; watch = watch->next)
		daemon->filters[watch->filter].n_reports_lost += watch_missed(watch, now_us);
}

/* the shares of all are as many as there are places: what has one in a share has one */
static void note(struct daemon *daemon, const struct note *wanted, unsigned int n_max)
{
	struct note note = *wanted;

	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		struct filter *filter = &daemon->filters[i];

		if (!((note.ended | note.watching) & 1U << i))
			continue;
		if (filter->n_notes < n_max / daemon->n_filters) {
			filter->n_notes++;
			continue;
		}
		lose(filter);
		note.ended &= (uint16_t)~flow_filter_bit(i);
		note.watching &= (uint16_t)~flow_filter_bit(i);
	}
	if (note.ended || note.watching)
		daemon->notes[daemon->n_notes++] = note;
}

static struct wire_flow_report describe(const struct flow *flow, enum report_event event,
					struct flow_bytes bytes, uint64_t now_us)
{
	return (struct wire_flow_report){ .id = flow->id,
					  .event = (uint8_t)event,
					  .verdict = flow->verdict == SL_REJECT	  ? 1
						     : flow->verdict == SL_SILENT ? 2
										  : 0,
					  .looked_at = flow->verdict == SL_PEEK,
					  .bytes_in = bytes.in,
					  .bytes_out = bytes.out,
					  .age = now_us - flow->opened_us };
}

/* those who know of the flow, and want to hear of its end */
static uint16_t hearers(const struct daemon *daemon, const struct flow *flow)
{
	uint16_t to = flow->told;

	for (unsigned int i = 0; to && i < daemon->n_filters; i++)
		if (!daemon->filters[i].wants_ends)
			to &= (uint16_t) ~(1U << i);
	return to;
}

void reports_ended(struct daemon *daemon, struct flow *flow, struct flow_bytes bytes)
{
	uint64_t now_us = daemon_now_us();
	const struct note last = { describe(flow, REPORT_CLOSED, bytes, now_us),
				   hearers(daemon, flow), watch_filters(flow) };

	lose_missed(daemon, flow, now_us);
	watch_end(&daemon->watches, flow);
	note(daemon, &last, NOTES_MAX);
}

void reports_decided(struct daemon *daemon, struct flow *flow, enum report_event event)
{
	bool is_over = sl_is_denial(flow->verdict) && !flow->was_allowed;

	if (!flow->watches)
		return;
	if (event == REPORT_DATA)
		reports_count(daemon, flow);
	note(daemon,
	     &(struct note){ .report = describe(flow, event, watch_bytes(flow), daemon_now_us()),
			     .watching = watch_filters(flow) },
	     is_over ? NOTES_MAX : NOTES_MAX / 2);
	if (is_over) /* nothing of it has gone, or will: that was the last one */
		watch_end(&daemon->watches, flow);
}

/* ---- statistics ---- */

/* a socket that is gone keeps what it had: its end is on its way to us */
static void take_count(struct flow *flow, const struct plane_count *count)
{
	if (count->error)
		return;
	(void)watch_count(flow, (struct flow_bytes){ count->bytes_in, count->bytes_out });
}

static void count_all(struct daemon *daemon, struct flow *const *flows, unsigned int n)
{
	struct plane_end ends[PLANE_COUNTS_MAX];
	struct plane_count counts[PLANE_COUNTS_MAX];
	struct flow *tcp[PLANE_COUNTS_MAX];
	unsigned int n_tcp = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (flows[i]->key.proto != IPPROTO_TCP) {
			(void)ends_count(daemon, flows[i]);
			continue;
		}
		ends[n_tcp] = live_end_of(flows[i]);
		tcp[n_tcp++] = flows[i];
	}
	if (n_tcp == 0)
		return;
	plane_count(daemon->plane, ends, n_tcp, counts);
	for (unsigned int i = 0; i < n_tcp; i++)
		take_count(tcp[i], &counts[i]);
}

void reports_count(struct daemon *daemon, struct flow *flow)
{
	count_all(daemon, &flow, 1);
}

/* some that are due; a flow that is held has none yet. Return: how many */
static unsigned int take_due(struct daemon *daemon, unsigned int index, uint64_t now_us,
			     struct flow *ret_flows[PLANE_COUNTS_MAX])
{
	unsigned int n = 0;
	struct watch *watch;

	while (n < PLANE_COUNTS_MAX && (watch = watch_due(&daemon->watches, index, now_us))) {
		if (watch->flow->state == FLOW_OPEN) {
			daemon->filters[index].n_reports_lost += watch_missed(watch, now_us);
			ret_flows[n++] = watch->flow;
		}
		watch_again(&daemon->watches, watch, now_us);
	}
	return n;
}

/* Return: is there, or may there be, more to tell it now? */
static bool tell_some(struct daemon *daemon, unsigned int index, uint64_t now_us)
{
	struct filter *filter = &daemon->filters[index];
	struct flow *flows[PLANE_COUNTS_MAX];
	struct batch batch;
	unsigned int n;

	if (!watch_due(&daemon->watches, index, now_us) || !can_take(filter))
		return false;
	begin(&batch);
	n = take_due(daemon, index, now_us, flows);
	count_all(daemon, flows, n);
	for (unsigned int i = 0; i < n; i++) {
		struct wire_flow_report report =
			describe(flows[i], REPORT_STATISTICS, watch_bytes(flows[i]), now_us);

		report.lost = filter->n_reports_lost;
		(void)add(&batch, &report);
	}
	if (!send_batch(filter, &batch))
		filter->n_reports_lost += n;
	return true;
}

/* who begins is another one each time: the time may be over before all had their turn */
void reports_tick(struct daemon *daemon, uint64_t now_us)
{
	uint64_t until_us = now_us + ROUND_US;

	for (unsigned int i = 0; daemon->watches.n && i < daemon->n_filters; i++) {
		unsigned int index = (daemon->reports_turn + i) % daemon->n_filters;

		while ((now_us = daemon_now_us()) < until_us && tell_some(daemon, index, now_us))
			;
	}
	daemon->reports_turn++;
}

int reports_take_watch(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	const struct wire_flow_watch *wanted = WIRE_BODY(message, struct wire_flow_watch);
	struct flow *flow = flow_table_find_id(daemon->flows, wanted->id);
	struct filter *filter = &daemon->filters[index];

	if (!flow) /* it has ended meanwhile, or is a hypothetical one */
		return 0;
	if (!(flow->told & 1U << index)) {
		filter->n_late++;
		return 0;
	}
	if (flow->state == FLOW_OPEN && sl_is_denial(flow->verdict) && !flow->was_allowed)
		return 0; /* it carries nothing */
	if (watch_set(&daemon->watches, flow, index, wanted->rate, daemon_now_us()) < 0) {
		filter->n_reports_lost++;
		log_error("no memory for the reports that filter %s wants of a flow", filter->name);
	}
	return 0;
}
