/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: What a proxy does with each record of the daemon that a filter does not get */

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "lib/proxy-internal.h"

int proxy_take_socket(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	uint64_t flow = WIRE_BODY(message, struct wire_flow_socket)->id;
	struct sluice_proxy *proxy = filter->proxy;
	struct forward *forward;
	int own;

	if (!proxy)
		return filter_break_protocol(filter, "FLOW_SOCKET", "nobody has asked for it");
	forward = forward_find(proxy, flow);
	if (forward && !forward_is_ready(forward))
		return filter_break_protocol(filter, "FLOW_SOCKET", "nobody has asked for it");
	/* without a descriptor left none comes, and the program has its reset */
	own = TAKE_FD(*fd);
	if (own < 0 && forward)
		forward_end(forward);
	else if (forward)
		forward_begin(forward, own);
	else if (own >= 0 && PROXY_OPS_SET(proxy->ops, flow_opened))
		proxy->ops->flow_opened(proxy, flow, own, proxy->data);
	else if (own >= 0)
		close_fd(own);
	else if (PROXY_OPS_SET(proxy->ops, flow_cancelled))
		proxy->ops->flow_cancelled(proxy, flow, proxy->data);
	return 0;
}

int proxy_take_cancel(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	uint64_t flow = WIRE_BODY(message, struct wire_flow_cancel)->id;
	struct sluice_proxy *proxy = filter->proxy;
	struct forward *forward;

	if (!proxy)
		return filter_break_protocol(filter, "FLOW_CANCEL", "not for a filter");
	forward = forward_find(proxy, flow);
	if (forward && (forward->relay || forward->program >= 0))
		return 0; /* it was opened twice: its connection is there */
	if (forward)
		forward_end(forward);
	if (PROXY_OPS_SET(proxy->ops, flow_cancelled))
		proxy->ops->flow_cancelled(proxy, flow, proxy->data);
	return 0;
}

int proxy_take_end(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	const struct wire_flow_end *end = WIRE_BODY(message, struct wire_flow_end);
	struct sluice_proxy *proxy = filter->proxy;
	struct forward *forward;

	if (!proxy)
		return filter_break_protocol(filter, "FLOW_END", "not for a filter");
	forward = forward_find(proxy, end->id);
	if (forward && forward->relay && end->full)
		sluice_relay_release(forward->relay);
	else if (forward && forward->is_udp && end->full)
		forward_end_udp(forward);
	else if (!forward && PROXY_OPS_SET(proxy->ops, flow_ended))
		proxy->ops->flow_ended(proxy, end->id,
				       end->full ? SLUICE_PROXY_FULL : SLUICE_PROXY_HALF,
				       proxy->data);
	return 0;
}

bool proxy_takes_udp(const struct sluice_filter *filter)
{
	return filter->proxy && PROXY_OPS_SET(filter->proxy->ops, takes_udp);
}

static void take_whole(struct sluice_proxy *proxy, uint64_t flow, const uint8_t *bytes, size_t n)
{
	struct forward *forward = forward_find(proxy, flow);

	if (forward)
		forward_datagram(forward, bytes, n);
	else if (PROXY_OPS_SET(proxy->ops, flow_datagram))
		proxy->ops->flow_datagram(proxy, flow, bytes, n, proxy->data);
}

int proxy_take_datagram(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	const struct wire_flow_datagram *part = WIRE_BODY(message, struct wire_flow_datagram);
	struct sluice_proxy *proxy = filter->proxy;

	if (!proxy_takes_udp(filter) || part->offset + message->n_tail > part->total)
		return filter_break_protocol(filter, "FLOW_DATAGRAM", "nobody has asked for it");
	if (message->n_tail == part->total) {
		take_whole(proxy, part->id, message->tail, message->n_tail);
		return 0;
	}
	if (!proxy->datagram)
		proxy->datagram = malloc(PROXY_DATAGRAM_MAX);
	if (!proxy->datagram) /* as if it had been lost */
		return 0;
	if (part->offset == 0) {
		proxy->datagram_flow = part->id;
		proxy->n_datagram = 0;
	}
	if (part->id != proxy->datagram_flow || part->offset != proxy->n_datagram)
		return 0; /* the beginning was lost */
	memcpy(proxy->datagram + part->offset, message->tail, message->n_tail);
	proxy->n_datagram += message->n_tail;
	if (proxy->n_datagram == part->total)
		take_whole(proxy, part->id, proxy->datagram, proxy->n_datagram);
	return 0;
}
