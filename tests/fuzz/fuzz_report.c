/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Reports behind a report, as libsluice takes them
 *
 * All of the record are told, or it is wrong and none is.
 */

#include <errno.h>

#include "lib/filter-internal.h"
#include "record-target.h"

static void count(struct sluice_filter *filter, const struct sluice_report *report, void *data)
{
	size_t *n = data;

	require(report->event <= SLUICE_REPORT_STATISTICS);
	require(report->verdict <= SLUICE_DROP_SILENT);
	++*n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
	static const struct sluice_filter_ops ops = { .size = sizeof(ops), .report = count };
	static struct sluice_filter filter; /* large, and left as it was but for what is set here */
	const struct wire_record *record = wire_find(&wire_provider_channel, WIRE_FLOW_REPORT);
	size_t n = 0, size = WIRE_HEADER_BYTES + record->body_bytes;
	struct wire_message message;
	int r;

	if (wire_decode(&wire_provider_channel, 0, bytes, n_bytes, &message) ||
	    message.record != record)
		return 0;
	filter.ops = &ops;
	filter.data = &n;
	filter.state = FILTER_STARTED;
	filter.broken = 0;
	r = filter_take_report(&filter, &message, -1);
	require(r == 0 || r == -EPROTO);
	require(n == (r ? 0 : n_bytes / size));
	return 0;
}
