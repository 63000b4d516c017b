/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "lib/proxy-internal.h"

#define EVENTS_A_ROUND 64

static struct sluice_proxy *proxy_of(void *data)
{
	return data;
}

/* ---- what the session calls ---- */

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct sluice_proxy *proxy = proxy_of(data);

	if (PROXY_OPS_SET(proxy->ops, option))
		return proxy->ops->option(proxy, key, value, fd, proxy->data);
	return sluice_filter_fail(filter, -EINVAL, "%s takes no options: leave out \"%s\"",
				  proxy->ops->name, key);
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct sluice_proxy *proxy = proxy_of(data);

	return PROXY_OPS_SET(proxy->ops, start) ? proxy->ops->start(proxy, proxy->data) : 0;
}

static void on_stop(struct sluice_filter *filter, void *data)
{
	struct sluice_proxy *proxy = proxy_of(data);

	if (PROXY_OPS_SET(proxy->ops, stop))
		proxy->ops->stop(proxy, proxy->data);
}

/* before anything else is said of the flow, also by the callback itself */
static int send_take(struct sluice_proxy *proxy, uint64_t flow_id)
{
	struct wire_flow_take take = { .id = flow_id };

	if (!proxy->asked || flow_id != proxy->asked || proxy->is_take_sent)
		return 0;
	proxy->is_take_sent = true;
	return filter_send_started(proxy->filter, WIRE_FLOW_TAKE, &take);
}

static void on_new_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	struct sluice_proxy *proxy = proxy_of(data);
	enum sluice_verdict declined =
		proxy->ops->kind == SLUICE_PROXY_APP ? SLUICE_DROP : SLUICE_ALLOW;
	enum sluice_proxy_choice choice;

	proxy->asked = flow->id;
	proxy->is_take_sent = false;
	choice = proxy->ops->new_flow(proxy, flow, proxy->data);
	if (choice == SLUICE_PROXY_TAKE)
		(void)send_take(proxy, flow->id);
	else if (!proxy->is_take_sent) /* else it has been opened already */
		(void)sluice_filter_answer(filter, flow->id, declined, "declined");
	proxy->asked = 0;
}

/* ---- records ---- */

int proxy_take_socket(struct sluice_filter *filter, const struct wire_message *message, int fd)
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
	/* ours is closed behind us; without a descriptor left none comes, and the program has its reset */
	own = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
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

int proxy_take_cancel(struct sluice_filter *filter, const struct wire_message *message, int fd)
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

int proxy_take_end(struct sluice_filter *filter, const struct wire_message *message, int fd)
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
		forward_end(forward);
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

int proxy_take_datagram(struct sluice_filter *filter, const struct wire_message *message, int fd)
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

/* ---- the session ---- */

static bool is_ops_good(const struct sluice_proxy_ops *ops)
{
	return ops && PROXY_OPS_SET(ops, new_flow) && (unsigned int)ops->kind <= SLUICE_PROXY_APP;
}

static int watch(struct sluice_proxy *proxy, int how)
{
	struct epoll_event event = { .events = (uint32_t)proxy->events, .data.ptr = proxy };

	return epoll_ctl(proxy->epoll, how, sluice_filter_get_fd(proxy->filter), &event) < 0
		       ? -errno
		       : 0;
}

/* what could not be sent at once is sent when there is a place, whoever calls us then */
static int renew_watch(struct sluice_proxy *proxy)
{
	short events = sluice_filter_get_events(proxy->filter);

	if (events == proxy->events)
		return 0;
	proxy->events = events;
	return watch(proxy, EPOLL_CTL_MOD);
}

static int begin(struct sluice_proxy *proxy)
{
	uint8_t kind = proxy->ops->kind == SLUICE_PROXY_APP ? HELLO_APP_PROXY : HELLO_PROXY;
	int r;

	proxy->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (proxy->epoll < 0)
		return -errno;
	r = filter_new(&proxy->adapted, proxy, kind, proxy, &proxy->filter);
	if (r < 0)
		return r;
	proxy->events = sluice_filter_get_events(proxy->filter);
	return watch(proxy, EPOLL_CTL_ADD);
}

int sluice_proxy_new(const struct sluice_proxy_ops *ops, void *data,
		     struct sluice_proxy **ret_proxy)
{
	struct sluice_proxy *proxy;
	int r;

	if (!is_ops_good(ops))
		return -EINVAL;
	proxy = calloc(1, sizeof(*proxy));
	if (!proxy)
		return -ENOMEM;
	proxy->ops = ops;
	proxy->data = data;
	proxy->epoll = -1;
	proxy->adapted = (struct sluice_filter_ops){ .size = sizeof(proxy->adapted),
						     .name = ops->name,
						     .option = on_option,
						     .start = on_start,
						     .new_flow = on_new_flow,
						     .stop = on_stop };
	r = begin(proxy);
	if (r < 0)
		sluice_proxy_free(proxy);
	else
		*ret_proxy = proxy;
	return r;
}

struct sluice_proxy *sluice_proxy_free(struct sluice_proxy *proxy)
{
	if (!proxy)
		return NULL;
	forward_end_all(proxy);
	proxy->relays = sluice_relays_free(proxy->relays);
	proxy->filter = sluice_filter_free(proxy->filter);
	close_fd(proxy->epoll);
	free(proxy->datagram);
	free(proxy);
	return NULL;
}

int sluice_proxy_get_fd(const struct sluice_proxy *proxy)
{
	return proxy->epoll;
}

/* what an event is about: the session, the relays, or a connection that is being made */
static void take_event(struct sluice_proxy *proxy, void *about)
{
	if (about == proxy)
		return; /* it is looked at in any case */
	if (about == proxy->relays)
		(void)sluice_relays_process(proxy->relays);
	else
		forward_ready(about);
}

int sluice_proxy_process(struct sluice_proxy *proxy)
{
	struct epoll_event events[EVENTS_A_ROUND];
	int n = epoll_wait(proxy->epoll, events, EVENTS_A_ROUND, 0), r;

	for (int i = 0; i < n; i++)
		take_event(proxy, events[i].data.ptr);
	r = sluice_filter_process(proxy->filter);
	if (r == 0)
		forward_say_owed(proxy);
	return r ? r : renew_watch(proxy);
}

int sluice_proxy_open(struct sluice_proxy *proxy, uint64_t flow_id, int error, const char *reason)
{
	struct wire_flow_opened body = { .id = flow_id,
					 .error = (uint32_t)MIN(-(int64_t)error, 4095) };
	int r;

	if (filter_is_alive(proxy->filter) && error > 0)
		return -EINVAL;
	filter_copy_reason(body.reason, sizeof(body.reason), reason);
	r = send_take(proxy, flow_id);
	if (r == 0)
		r = filter_send_started(proxy->filter, WIRE_FLOW_OPENED, &body);
	(void)renew_watch(proxy);
	return r;
}

int sluice_proxy_ask_end(struct sluice_proxy *proxy, uint64_t flow_id)
{
	struct wire_flow_ask_end body = { .id = flow_id };
	int r = filter_send_started(proxy->filter, WIRE_FLOW_ASK_END, &body);

	(void)renew_watch(proxy);
	return r;
}

void sluice_proxy_close(int fd, int error)
{
	struct linger linger = { .l_onoff = error != 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close_fd(fd);
}

/* a program that was built with another header has rules of another size */
union any_rule {
	struct sluice_rule rule;
	uint8_t bytes[512];
};

static int add_rules(struct sluice_proxy *proxy, const struct sluice_rule *rules, size_t n,
		     enum sluice_rule_action action)
{
	size_t size = n ? rules->size : 0;
	union any_rule any = { .bytes = { 0 } };
	int r = size > sizeof(any) ? -E2BIG : 0;

	for (size_t i = 0; i < n && !r; i++) {
		memcpy(any.bytes, (const uint8_t *)rules + i * size, size);
		any.rule.size = size;
		any.rule.action = action;
		any.rule.reason = NULL;
		r = sluice_filter_rule(proxy->filter, &any.rule);
	}
	return r;
}

int sluice_proxy_rules(struct sluice_proxy *proxy, const struct sluice_rule *included,
		       size_t n_included, const struct sluice_rule *excluded, size_t n_excluded)
{
	int r = sluice_filter_rules_begin(proxy->filter);

	if (!r)
		r = add_rules(proxy, excluded, n_excluded, SLUICE_RULE_ALLOW);
	if (!r)
		r = add_rules(proxy, included, n_included, SLUICE_RULE_ASK);
	if (!r)
		r = sluice_filter_rules_commit(proxy->filter, SLUICE_RULE_ALLOW);
	(void)renew_watch(proxy);
	return r;
}

int sluice_proxy_fail(struct sluice_proxy *proxy, int error, const char *fmt, ...)
{
	char text[FILTER_ERROR_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return sluice_filter_fail(proxy->filter, error, "%s", text);
}

void sluice_proxy_log(struct sluice_proxy *proxy, int level, const char *fmt, ...)
{
	char text[FILTER_ERROR_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	sluice_filter_log(proxy->filter, level, "%s", text);
}

const char *sluice_proxy_error(const struct sluice_proxy *proxy)
{
	return sluice_filter_error(proxy->filter);
}

static void cleanup_proxy(struct sluice_proxy **proxy)
{
	*proxy = sluice_proxy_free(*proxy);
}

int sluice_proxy_main(const struct sluice_proxy_ops *ops, void *data)
{
	_cleanup_(cleanup_proxy) struct sluice_proxy *proxy = NULL;
	int r = sluice_proxy_new(ops, data, &proxy);

	if (r)
		return filter_main_new_failed(ops ? ops->name : NULL, "proxy", r);
	while (r == 0) {
		struct pollfd pollfd = { .fd = proxy->epoll, .events = POLLIN };

		r = poll(&pollfd, 1, -1) < 0 && errno != EINTR ? -errno : 0;
		if (r == 0)
			r = sluice_proxy_process(proxy);
	}
	return filter_main_end(proxy->filter, r);
}
