/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "lib/filter-internal.h"
#include "wire/channel.h"

static size_t body_bytes(uint16_t type)
{
	return wire_find(&wire_provider_channel, type)->struct_bytes;
}

int filter_send_now(int fd, uint16_t type, const void *body)
{
	int r = channel_send(fd, &wire_provider_channel, type, body, NULL, 0, -1);

	/* the kernel lacks memory for it now: as when the channel is full */
	return r == -ENOBUFS || r == -ENOMEM ? -EAGAIN : r;
}

/* what a filter may queue without end; the rest is bounded by what the daemon sends */
static bool is_answer(uint16_t type)
{
	return type == WIRE_FLOW_VERDICT || type == WIRE_FLOW_FORGET || type == WIRE_FLOW_UPDATE ||
	       type == WIRE_FLOW_PEEK || type == WIRE_FLOW_PASS || type == WIRE_FLOW_PAUSE ||
	       type == WIRE_FLOW_NAME || type == WIRE_FLOW_WATCH || type == WIRE_FLOW_NEED_RULES ||
	       type == WIRE_PACKET_VERDICT || type == WIRE_FLOW_TAKE || type == WIRE_FLOW_OPENED ||
	       type == WIRE_FLOW_ASK_END || type == WIRE_FLOW_UPSTREAM;
}

static int keep(struct outbox *outbox, uint16_t type, const void *body)
{
	struct outbox_entry *entry;

	if (is_answer(type) && outbox->n_answers == FILTER_ANSWERS_MAX)
		return -ENOBUFS;
	if (outbox->n == OUTBOX_ENTRIES)
		return -ENOBUFS;
	entry = &outbox->entries[(outbox->head + outbox->n) % OUTBOX_ENTRIES];
	entry->type = type;
	memcpy(&entry->body, body, body_bytes(type));
	outbox->n++;
	outbox->n_answers += is_answer(type);
	return 0;
}

int outbox_send(struct outbox *outbox, int fd, uint16_t type, const void *body)
{
	int r = -EAGAIN;

	/* what waits goes first: the daemon relies on READY before any verdict */
	if (outbox->n == 0 && !outbox->is_corked)
		r = filter_send_now(fd, type, body);
	return r == -EAGAIN ? keep(outbox, type, body) : r;
}

int outbox_flush(struct outbox *outbox, int fd)
{
	while (outbox->n > 0 && !outbox->is_corked) {
		struct outbox_entry *entry = &outbox->entries[outbox->head];
		int r = filter_send_now(fd, entry->type, &entry->body);

		if (r)
			return r == -EAGAIN ? 0 : r;
		outbox->n_answers -= is_answer(entry->type);
		outbox->head = (outbox->head + 1) % OUTBOX_ENTRIES;
		outbox->n--;
	}
	if (outbox->n == 0)
		outbox->head = 0; /* stay on the pages that are touched already */
	return 0;
}

void outbox_clear(struct outbox *outbox)
{
	outbox->head = outbox->n = outbox->n_answers = 0;
	outbox->is_corked = false;
}
