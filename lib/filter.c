/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "lib/filter-internal.h"
#include "wire/channel.h"

#define ANSWERS_A_RECORD 64U /* PACKETS; and what a filter says by itself comes on top */

void filter_set_error(struct sluice_filter *filter, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(filter->error, sizeof(filter->error), fmt, args);
	va_end(args);
}

int filter_break(struct sluice_filter *filter, int error, const char *what)
{
	filter->broken = error;
	outbox_clear(&filter->outbox);
	filter_drop_rules(filter);
	if (error == -EPIPE)
		filter_set_error(filter, "the daemon went away");
	else
		filter_set_error(filter, "%s: %s", what, strerror(-error));
	return error;
}

int filter_fail_send(struct sluice_filter *filter, int error)
{
	if (error != -EPIPE)
		return filter_break(filter, error, "cannot send");
	outbox_clear(&filter->outbox);
	filter_drop_rules(filter);
	return 0;
}

int filter_break_protocol(struct sluice_filter *filter, const char *record, const char *why)
{
	filter->broken = -EPROTO;
	outbox_clear(&filter->outbox);
	filter_drop_rules(filter);
	filter_set_error(filter, "the daemon broke the protocol: %s: %s", record, why);
	return -EPROTO;
}

/* Return: 1 when a record was taken, 0 when nothing is there, negative errno */
static int process_one(struct sluice_filter *filter)
{
	uint8_t buffer[WIRE_RECORD_MAX];
	struct wire_message message;
	_cleanup_close_ int fd = -1;
	int r;

	r = channel_recv(filter->fd, &wire_provider_channel, 0, buffer, &message, NULL, &fd);
	if (r == -EAGAIN)
		return 0;
	if (r > 0)
		return filter_break_protocol(filter, "a record", wire_strerror(r));
	if (r < 0)
		return filter_break(filter, r, "cannot receive");
	r = filter_take_record(filter, &message, &fd);
	return r ? r : 1;
}

static bool may_read(const struct sluice_filter *filter)
{
	return filter->state < FILTER_STOPPING &&
	       filter->outbox.n_answers + ANSWERS_A_RECORD <= FILTER_ANSWERS_MAX;
}

static int flush(struct sluice_filter *filter)
{
	int r = filter_send_rules(filter);

	if (r == 0)
		r = outbox_flush(&filter->outbox, filter->fd);
	if (r)
		r = filter_fail_send(filter, r);
	if (r)
		return r;
	if (filter->state == FILTER_STOPPING && filter->outbox.n == 0) {
		filter->state = FILTER_ENDED;
		filter_set_error(filter, "stopped by the daemon");
	}
	return 0;
}

int sluice_filter_process(struct sluice_filter *filter)
{
	int r = filter->broken;

	if (r == 0 && filter->state != FILTER_ENDED)
		r = flush(filter);
	for (unsigned int n = 0; r == 0 && n < FILTER_BATCH && may_read(filter); n++) {
		r = process_one(filter);
		if (r == 0)
			break;
		/* an answer inside a callback may have found the channel broken */
		r = r < 0 ? r : filter->broken;
	}
	if (r == 0 && filter->state == FILTER_STOPPING)
		r = flush(filter);
	if (r)
		return r;
	return filter->state == FILTER_ENDED ? -ESHUTDOWN : 0;
}

/* an open file or another socket that happens to be descriptor 3 is not ours */
static bool is_channel(int fd)
{
	struct sockaddr_storage peer;
	socklen_t n_peer = sizeof(peer);
	socklen_t n = sizeof(int);
	int type, domain;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 || domain != AF_UNIX)
		return false;
	return getpeername(fd, (struct sockaddr *)&peer, &n_peer) == 0;
}

static bool is_ops_good(const struct sluice_filter_ops *ops)
{
	return ops && FILTER_OPS_SET(ops, name) && *ops->name &&
	       (FILTER_OPS_SET(ops, new_flow) || FILTER_OPS_SET(ops, packet)) &&
	       strlen(ops->name) < sizeof(((struct wire_hello *)0)->name);
}

int filter_new(const struct sluice_filter_ops *ops, void *data, uint8_t kind,
	       struct sluice_proxy *proxy, struct sluice_filter **ret_filter)
{
	struct wire_hello hello = { .version = WIRE_PROVIDER_VERSION, .kind = kind };
	struct sluice_filter *filter;
	int r;

	if (!is_ops_good(ops))
		return -EINVAL;
	if (!is_channel(FILTER_CHANNEL_FD))
		return -ENOTCONN;
	/* what the filter starts must not keep the channel open, or speak on it */
	if (fcntl(FILTER_CHANNEL_FD, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	filter = calloc(1, sizeof(*filter));
	if (!filter)
		return -ENOMEM;
	filter->ops = ops;
	filter->data = data;
	filter->proxy = proxy;
	filter->fd = FILTER_CHANNEL_FD;
	filter_set_error(filter, "nothing has failed");
	memcpy(hello.name, ops->name, strlen(ops->name));
	r = channel_send(filter->fd, &wire_provider_channel, WIRE_HELLO, &hello, NULL, 0, -1);
	if (r)
		filter_fail_send(filter, r); /* process() says so to the caller */
	*ret_filter = filter;
	return 0;
}

int sluice_filter_new(const struct sluice_filter_ops *ops, void *data,
		      struct sluice_filter **ret_filter)
{
	return filter_new(ops, data, HELLO_FILTER, NULL, ret_filter);
}

struct sluice_filter *sluice_filter_free(struct sluice_filter *filter)
{
	if (!filter)
		return NULL;
	filter_drop_rules(filter);
	close_fd(filter->fd);
	free(filter);
	return NULL;
}

int sluice_filter_get_fd(const struct sluice_filter *filter)
{
	return filter->fd;
}

short sluice_filter_get_events(const struct sluice_filter *filter)
{
	bool has_more = filter->outbox.n || filter->rules.is_sending;

	return (short)((may_read(filter) ? POLLIN : 0) | (has_more ? POLLOUT : 0));
}

bool filter_is_alive(const struct sluice_filter *filter)
{
	return !filter->broken && filter->state < FILTER_STOPPING;
}

int filter_may_say(const struct sluice_filter *filter)
{
	if (!filter_is_alive(filter))
		return -ESHUTDOWN;
	return filter->state == FILTER_STARTED ? 0 : -EINVAL;
}

int filter_send_started(struct sluice_filter *filter, uint16_t type, const void *body)
{
	int r = filter_may_say(filter);

	if (r < 0)
		return r;
	r = outbox_send(&filter->outbox, filter->fd, type, body);
	if (r < 0 && r != -ENOBUFS) {
		/* the caller hears of it where it ends its loop, from process() */
		filter_fail_send(filter, r);
		r = 0;
	}
	return r;
}

void filter_copy_reason(char *to, size_t n, const char *reason)
{
	if (reason)
		memcpy(to, reason, strnlen(reason, n - 1));
}

int sluice_filter_answer_for(struct sluice_filter *filter, uint64_t flow_id,
			     enum sluice_verdict verdict, enum sluice_scope scope,
			     const char *reason)
{
	struct wire_flow_verdict body = { .id = flow_id,
					  .verdict = (uint8_t)verdict,
					  .scope = (uint8_t)scope };

	if (filter_is_alive(filter) &&
	    ((unsigned int)verdict > SLUICE_DROP_SILENT || (unsigned int)scope > SLUICE_THIS_NAME))
		return -EINVAL;
	filter_copy_reason(body.reason, sizeof(body.reason), reason);
	return filter_send_started(filter, WIRE_FLOW_VERDICT, &body);
}

int sluice_filter_answer(struct sluice_filter *filter, uint64_t flow_id,
			 enum sluice_verdict verdict, const char *reason)
{
	return sluice_filter_answer_for(filter, flow_id, verdict, SLUICE_THIS_FLOW, reason);
}

int sluice_filter_answer_name(struct sluice_filter *filter, uint64_t flow_id, const char *reason)
{
	struct wire_flow_name body = { .id = flow_id };

	filter_copy_reason(body.reason, sizeof(body.reason), reason);
	return filter_send_started(filter, WIRE_FLOW_NAME, &body);
}

int sluice_filter_answer_need_rules(struct sluice_filter *filter, uint64_t flow_id,
				    const char *reason)
{
	struct wire_flow_need_rules body = { .id = flow_id };

	filter_copy_reason(body.reason, sizeof(body.reason), reason);
	return filter_send_started(filter, WIRE_FLOW_NEED_RULES, &body);
}

int sluice_filter_forget(struct sluice_filter *filter)
{
	struct wire_flow_forget body = { 0 };

	return filter_send_started(filter, WIRE_FLOW_FORGET, &body);
}

int sluice_filter_rejudge(struct sluice_filter *filter)
{
	struct wire_flow_forget body = { .again = 1 };

	return filter_send_started(filter, WIRE_FLOW_FORGET, &body);
}

int sluice_filter_update(struct sluice_filter *filter, uint64_t flow_id,
			 enum sluice_verdict verdict, const char *reason)
{
	struct wire_flow_update body = { .id = flow_id, .verdict = (uint8_t)verdict };

	if (filter_is_alive(filter) && (unsigned int)verdict > SLUICE_DROP_SILENT)
		return -EINVAL;
	filter_copy_reason(body.reason, sizeof(body.reason), reason);
	return filter_send_started(filter, WIRE_FLOW_UPDATE, &body);
}

int sluice_filter_fail(struct sluice_filter *filter, int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(filter->error, sizeof(filter->error), fmt, args);
	va_end(args);
	filter->has_fail_text = true;
	return error;
}

void sluice_filter_log(struct sluice_filter *filter, int level, const char *fmt, ...)
{
	struct wire_log body = { .level = (uint8_t)MAX(0, MIN(level, 7)) };
	va_list args;

	if (filter->broken || filter->state == FILTER_ENDED)
		return;
	va_start(args, fmt);
	(void)vsnprintf(body.text, sizeof(body.text), fmt, args);
	va_end(args);
	/* best effort: a line for people must never hold back a verdict */
	(void)channel_send(filter->fd, &wire_provider_channel, WIRE_LOG, &body, NULL, 0, -1);
}

const char *sluice_filter_error(const struct sluice_filter *filter)
{
	return filter->error;
}
