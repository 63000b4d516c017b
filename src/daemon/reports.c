/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The ends of flows, told to filters
 *
 * Nobody waits for a report, and a held packet's program does: reports are kept
 * until the queue is empty, so that a question never stands behind them.
 */
#include "daemon/daemon.h"

void reports_flush(struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->n_reports; i++)
		for (unsigned int j = 0; j < daemon->n_filters; j++) {
			const struct report *report = &daemon->reports[i];
			struct filter *filter = &daemon->filters[j];

			/* lost when the channel is full */
			if (report->to & 1U << j && filter->session.state == SESSION_RUNNING &&
			    filter->sock >= 0)
				(void)channel_send(filter->sock, &wire_provider_channel,
						   WIRE_FLOW_CLOSED, &report->record, NULL, 0, -1);
		}
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
