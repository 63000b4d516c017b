/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The ends of flows, told to filters
 *
 * Nobody waits for a report, and a held packet's program does: reports are kept
 * until the queue is empty, so that a question never stands behind them. They may
 * fill the whole channel, questions only the front of it.
 */
#include "daemon/daemon.h"

/* lost when the channel is full */
static void tell(struct daemon *daemon, unsigned int index)
{
	const struct filter *filter = &daemon->filters[index];

	if (filter->session.state != SESSION_RUNNING || filter->sock < 0)
		return;
	channel_limit(filter->sock, CHANNEL_BYTES);
	for (unsigned int i = 0; i < daemon->n_reports; i++)
		if (daemon->reports[i].to & 1U << index)
			(void)channel_send(filter->sock, &wire_provider_channel, WIRE_FLOW_CLOSED,
					   &daemon->reports[i].record, NULL, 0, -1);
	channel_limit(filter->sock, QUESTIONS_BYTES);
}

void reports_flush(struct daemon *daemon)
{
	for (unsigned int i = 0; daemon->n_reports && i < daemon->n_filters; i++)
		tell(daemon, i);
	daemon->n_reports = 0;
}

void reports_add(struct daemon *daemon, const struct flow *flow, uint64_t bytes_in,
		 uint64_t bytes_out)
{
	if (!flow->told)
		return;
	if (daemon->n_reports == REPORTS_MAX)
		reports_flush(daemon);
	daemon->reports[daemon->n_reports++] = (struct report){
		.record = { .id = flow->id, .bytes_in = bytes_in, .bytes_out = bytes_out },
		.to = flow->told,
	};
}
