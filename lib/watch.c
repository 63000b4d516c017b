/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Reports of flows, which a filter gets besides its questions
 */

#include <errno.h>

#include "lib/filter-internal.h"

int sluice_filter_watch(struct sluice_filter *filter, uint64_t flow_id, enum sluice_watch rate)
{
	struct wire_flow_watch body = { .id = flow_id, .rate = (uint8_t)rate };

	if (filter_is_alive(filter) &&
	    ((unsigned int)rate > SLUICE_WATCH_HIGH || !FILTER_OPS_SET(filter->ops, report)))
		return -EINVAL;
	return filter_send_started(filter, WIRE_FLOW_WATCH, &body);
}

static void tell(struct sluice_filter *filter, const struct wire_flow_report *record)
{
	const struct sluice_report report = {
		.size = sizeof(report),
		.flow_id = record->id,
		.event = (enum sluice_report_event)record->event,
		.verdict = (enum sluice_verdict)record->verdict,
		.is_looked_at = record->looked_at,
		.bytes_in = record->bytes_in,
		.bytes_out = record->bytes_out,
		.age_us = record->age,
		.n_lost = record->lost,
	};

	filter->ops->report(filter, &report, filter->data);
}

/* @message: one whole record of those behind the first, and @bytes is what is left of them */
static int next(const uint8_t *bytes, size_t n_bytes, struct wire_message *message)
{
	const struct wire_record *record = wire_find(&wire_provider_channel, WIRE_FLOW_REPORT);
	size_t n = WIRE_HEADER_BYTES + record->body_bytes;
	int r = n_bytes < n ? WIRE_E_SHORT
			    : wire_decode(&wire_provider_channel, 0, bytes, n, message);

	return r == 0 && message->record != record ? WIRE_E_TYPE : r;
}

/* all of them are right, or none is told */
static int check(const struct wire_message *message)
{
	const uint8_t *at = message->tail, *end = at + message->n_tail;
	struct wire_message one;
	int r = 0;

	for (; r == 0 && at < end; at = one.tail)
		r = next(at, (size_t)(end - at), &one);
	return r;
}

int filter_take_report(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	const uint8_t *at = message->tail, *end = at + message->n_tail;
	struct wire_message one;
	int r;

	if (!FILTER_OPS_SET(filter->ops, report))
		return filter_break_protocol(filter, "FLOW_REPORT", "nobody has asked for it");
	r = check(message);
	if (r)
		return filter_break_protocol(filter, "a report", wire_strerror(r));
	tell(filter, WIRE_BODY(message, struct wire_flow_report));
	for (; at < end; at = one.tail) {
		(void)next(at, (size_t)(end - at), &one);
		tell(filter, WIRE_BODY(&one, struct wire_flow_report));
	}
	return 0;
}
