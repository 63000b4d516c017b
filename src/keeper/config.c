/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "keeper/keeper.h"
#include "wire/channel.h"

static int take(struct keeper *keeper, const struct wire_message *message)
{
	const struct wire_k_filter *filter = WIRE_BODY(message, struct wire_k_filter);

	switch ((enum wire_keeper_type)message->record->type) {
	case WIRE_K_INSTANCE:
		keeper->instance = *WIRE_BODY(message, struct wire_k_instance);
		keeper->is_placed = true;
		return 0;
	case WIRE_K_FILTER:
		if (filter->index != keeper->n_filters || filter->index >= KEEPER_FILTERS_MAX)
			return -EINVAL;
		keeper->filters[keeper->n_filters++] = *filter;
		return 0;
	case WIRE_K_COMMIT:
	case WIRE_K_END:
		keeper->is_committed = message->record->type == WIRE_K_COMMIT;
		keeper->is_ended = !keeper->is_committed;
		return 0;
	case WIRE_K_OPTION:
	case WIRE_K_SETTINGS:
	case WIRE_K_FLOWS: /* sluiced's */
		return 0;
	default:
		return -EINVAL;
	}
}

static int read_record(struct keeper *keeper)
{
	struct config_record *record = &keeper->config[keeper->n_config];
	struct wire_message message;
	_cleanup_close_ int fd = -1;
	size_t n;
	int r;

	if (keeper->n_config == KEEPER_CONFIG_MAX)
		return -E2BIG;
	r = channel_recv(keeper->run_sock, &wire_keeper_channel, 1, keeper->buffer, &message, &n,
			 &fd);
	if (r)
		return r > 0 ? -EPROTO : r;
	r = take(keeper, &message);
	if (r < 0)
		return r;
	record->bytes = malloc(n);
	if (!record->bytes)
		return -ENOMEM;
	memcpy(record->bytes, keeper->buffer, n);
	record->n_bytes = n;
	record->fd = TAKE_FD(fd);
	keeper->n_config++;
	return 0;
}

int config_read(struct keeper *keeper)
{
	struct pollfd poll_run = { .fd = keeper->run_sock, .events = POLLIN };
	int r;

	while (!keeper->is_committed && !keeper->is_ended) {
		if (poll(&poll_run, 1, -1) < 0 && errno != EINTR)
			return -errno;
		r = read_record(keeper);
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	return keeper->is_ended ? -ECANCELED : 0;
}
