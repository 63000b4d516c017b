/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: What a filter says of the bytes of a flow */

#include <errno.h>

#include "lib/filter-internal.h"

/* a program that was built against a newer header has more in it, none of which is here */
static bool is_good(const struct sluice_filter *filter, const struct sluice_peek *peek)
{
	return FILTER_OPS_SET(filter->ops, flow_data) && peek && peek->size >= sizeof(*peek) &&
	       (peek->outbound.is_filtered || peek->inbound.is_filtered);
}

int sluice_filter_answer_peek(struct sluice_filter *filter, uint64_t flow_id,
			      const struct sluice_peek *peek, const char *reason)
{
	struct wire_flow_peek body = { .id = flow_id };

	if (!filter_is_alive(filter))
		return -ESHUTDOWN;
	if (!is_good(filter, peek))
		return -EINVAL;
	body.outbound = peek->outbound.is_filtered;
	body.inbound = peek->inbound.is_filtered;
	body.peek_out = peek->outbound.bytes;
	body.peek_in = peek->inbound.bytes;
	filter_copy_reason(body.reason, sizeof(body.reason), reason);
	return filter_send_started(filter, WIRE_FLOW_PEEK, &body);
}

int sluice_filter_pass(struct sluice_filter *filter, uint64_t flow_id,
		       enum sluice_direction direction, uint64_t pass, uint64_t peek)
{
	struct wire_flow_pass body = {
		.id = flow_id, .direction = (uint8_t)direction, .pass = pass, .peek = peek
	};

	if (filter_is_alive(filter) && (unsigned int)direction > SLUICE_INBOUND)
		return -EINVAL;
	return filter_send_started(filter, WIRE_FLOW_PASS, &body);
}

int sluice_filter_pause(struct sluice_filter *filter, uint64_t flow_id)
{
	struct wire_flow_pause body = { .id = flow_id, .pause = 1 };

	return filter_send_started(filter, WIRE_FLOW_PAUSE, &body);
}

int sluice_filter_resume(struct sluice_filter *filter, uint64_t flow_id)
{
	struct wire_flow_pause body = { .id = flow_id };

	return filter_send_started(filter, WIRE_FLOW_PAUSE, &body);
}
