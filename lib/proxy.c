/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
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

static void on_rules_done(struct sluice_filter *filter, int error, uint32_t number, void *data)
{
	struct sluice_proxy *proxy = proxy_of(data);

	if (PROXY_OPS_SET(proxy->ops, rules_done))
		proxy->ops->rules_done(proxy, error, number, proxy->data);
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
						     .stop = on_stop,
						     .rules_done = on_rules_done };
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
