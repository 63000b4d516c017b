/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "keeper/keeper.h"
#include "wire/channel.h"

static int take_instance(struct keeper *keeper, const struct wire_message *message)
{
	keeper->instance = *WIRE_BODY(message, struct wire_k_instance);
	keeper->is_placed = true;
	return 0;
}

static int take_filter(struct keeper *keeper, const struct wire_message *message)
{
	const struct wire_k_filter *filter = WIRE_BODY(message, struct wire_k_filter);

	if (filter->index != keeper->n_filters || filter->index >= KEEPER_FILTERS_MAX)
		return -EINVAL;
	keeper->filters[keeper->n_filters++] = *filter;
	return 0;
}

static int take_nothing(struct keeper *keeper, const struct wire_message *message)
{
	return 0;
}

static int take_last(struct keeper *keeper, const struct wire_message *message)
{
	keeper->is_committed = message->record->type == WIRE_K_COMMIT;
	keeper->is_ended = !keeper->is_committed;
	return 0;
}

static const struct {
	uint16_t type;
	int (*take)(struct keeper *keeper, const struct wire_message *message);
} table[] = {
	{ WIRE_K_INSTANCE, take_instance }, { WIRE_K_FILTER, take_filter },
	{ WIRE_K_OPTION, take_nothing },    { WIRE_K_FLOWS, take_nothing },
	{ WIRE_K_COMMIT, take_last },	    { WIRE_K_END, take_last },
};

static int take(struct keeper *keeper, const struct wire_message *message)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].type == message->record->type)
			return table[i].take(keeper, message);
	return -EINVAL;
}

static int read_record(struct keeper *keeper, uint8_t *buffer)
{
	struct config_record *record = &keeper->config[keeper->n_config];
	struct wire_message message;
	_cleanup_close_ int fd = -1;
	size_t n;
	int r;

	if (keeper->n_config == KEEPER_CONFIG_MAX)
		return -E2BIG;
	r = channel_recv(keeper->run_sock, &wire_keeper_channel, 1, buffer, &message, &n, &fd);
	if (r)
		return r > 0 ? -EPROTO : r;
	r = take(keeper, &message);
	if (r < 0)
		return r;
	record->bytes = malloc(n);
	if (!record->bytes)
		return -ENOMEM;
	memcpy(record->bytes, buffer, n);
	record->n_bytes = n;
	record->fd = TAKE_FD(fd);
	keeper->n_config++;
	return 0;
}

int config_read(struct keeper *keeper, uint8_t *buffer)
{
	struct pollfd poll_run = { .fd = keeper->run_sock, .events = POLLIN };
	int r;

	while (!keeper->is_committed && !keeper->is_ended) {
		if (poll(&poll_run, 1, -1) < 0 && errno != EINTR)
			return -errno;
		r = read_record(keeper, buffer);
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	return keeper->is_ended ? -ECANCELED : 0;
}
