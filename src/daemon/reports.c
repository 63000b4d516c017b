/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The ends of flows, told to filters
 *
 * Nobody waits for a report, and a held packet's program does: reports are kept
 * until the queue is empty, and while questions wait, so that a question never
 * stands behind them. When too many are kept, they are lost.
 */
#include <errno.h>

#include "daemon/daemon.h"

/* Return: false: it can take no more now */
static bool tell(struct daemon *daemon, unsigned int index, const struct wire_flow_closed *record)
{
	struct filter *filter = &daemon->filters[index];

	if (filter->session.state != SESSION_RUNNING)
		return true;
	return !filter->wants_write &&
	       providers_say(filter, WIRE_FLOW_CLOSED, record, -1) != -EAGAIN;
}

static uint16_t tell_all(struct daemon *daemon, const struct report *report)
{
	uint16_t left = 0;

	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (report->to & 1U << i && !tell(daemon, i, &report->record))
			left |= (uint16_t)(1U << i);
	return left;
}

void reports_flush(struct daemon *daemon)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < daemon->n_reports; i++) {
		struct report *report = &daemon->reports[i];

		report->to = tell_all(daemon, report);
		if (report->to)
			daemon->reports[n++] = *report;
	}
	daemon->n_reports = n;
}

void reports_forget(struct daemon *daemon, unsigned int filter)
{
	for (unsigned int i = 0; i < daemon->n_reports; i++)
		daemon->reports[i].to &= (uint16_t) ~(1U << filter);
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

void reports_add(struct daemon *daemon, const struct flow *flow, uint64_t bytes_in,
		 uint64_t bytes_out)
{
	uint16_t to = hearers(daemon, flow);

	if (!to)
		return;
	if (daemon->n_reports == REPORTS_MAX)
		reports_flush(daemon);
	if (daemon->n_reports == REPORTS_MAX)
		daemon->n_reports = 0;
	daemon->reports[daemon->n_reports++] = (struct report){
		.record = { .id = flow->id, .bytes_in = bytes_in, .bytes_out = bytes_out },
		.to = to,
	};
}
