/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "lib/proxy-internal.h"

#define EVENTS_A_ROUND 64
#define ROUNDS_AWAKE 16 /* after the session has spoken: flows are being opened */

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

static void on_new_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	struct sluice_proxy *proxy = proxy_of(data);
	enum sluice_verdict declined =
		proxy->ops->kind == SLUICE_PROXY_APP ? SLUICE_DROP : SLUICE_ALLOW;
	struct wire_flow_take take = { .id = flow->id };
	enum sluice_proxy_choice choice;

	proxy->asked = flow->id;
	proxy->is_taken = false;
	choice = proxy->ops->new_flow(proxy, flow, proxy->data);
	if (proxy->is_taken) /* it has been opened already */
		;
	else if (choice == SLUICE_PROXY_TAKE)
		(void)filter_send_started(filter, WIRE_FLOW_TAKE, &take);
	else
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

/* what a round of epoll(7) was about, besides relays */
struct round {
	bool is_session;
	uint64_t flows[EVENTS_A_ROUND]; /* that are forwarded; the session may end them */
	unsigned int n_flows;
};

static void note(struct sluice_proxy *proxy, const struct epoll_event *event, struct round *round)
{
	if (relays_is_event(event))
		relays_note(proxy->relays, event);
	else if (event->data.ptr == proxy)
		round->is_session = true;
	else
		round->flows[round->n_flows++] = ((struct forward *)event->data.ptr)->flow;
}

static void note_all(struct sluice_proxy *proxy, const struct epoll_event *events, int n,
		     struct round *round)
{
	round->is_session = !filter_is_alive(proxy->filter);
	round->n_flows = 0;
	if (proxy->relays)
		relays_begin(proxy->relays);
	for (int i = 0; i < n; i++)
		note(proxy, &events[i], round);
}

/* What a program has sent goes on before its session says that it has ended. Of UDP the session has
 * what came before its socket was there */
static int process(struct sluice_proxy *proxy, const struct round *round)
{
	struct forward *forward;
	int r = 0;

	if (proxy->relays)
		relays_run(proxy->relays);
	if (round->is_session)
		r = sluice_filter_process(proxy->filter);
	for (unsigned int i = 0; r == 0 && i < round->n_flows; i++)
		if ((forward = forward_find(proxy, round->flows[i])))
			forward_ready(forward);
	if (r == 0)
		forward_say_owed(proxy);
	if (proxy->relays) {
		relays_run(proxy->relays);
		relays_end(proxy->relays);
	}
	return r ? r : renew_watch(proxy);
}

/* bytes of connections that stand are not waited for like this: a stream would be slower for it.
 * Return: a timeout for epoll_wait(2) */
static int stay_awake(struct sluice_proxy *proxy, int timeout_ms)
{
	struct pollfd pollfd = { .fd = proxy->epoll, .events = POLLIN };

	return spin_poll(&proxy->spin, &pollfd, 1, timeout_ms) < 0 ? timeout_ms : 0;
}

int sluice_proxy_wait(struct sluice_proxy *proxy, int timeout_ms)
{
	struct epoll_event events[EVENTS_A_ROUND];
	struct round round;
	int n;

	if (proxy->filter->broken || proxy->filter->state == FILTER_ENDED)
		timeout_ms = 0; /* that is to be said */
	if (timeout_ms && proxy->n_rounds < ROUNDS_AWAKE)
		timeout_ms = stay_awake(proxy, timeout_ms);
	n = epoll_wait(proxy->epoll, events, EVENTS_A_ROUND, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	note_all(proxy, events, n, &round);
	proxy->n_rounds = round.is_session ? 0 : MIN(proxy->n_rounds + 1, ROUNDS_AWAKE);
	return process(proxy, &round);
}

int sluice_proxy_process(struct sluice_proxy *proxy)
{
	return sluice_proxy_wait(proxy, 0);
}

int proxy_open(struct sluice_proxy *proxy, uint64_t flow_id, int error, const char *reason,
	       bool is_quiet)
{
	struct wire_flow_opened body = { .id = flow_id,
					 .error = (uint32_t)MIN(-(int64_t)error, 4095),
					 .quiet = is_quiet };
	int r;

	if (filter_is_alive(proxy->filter) && error > 0)
		return -EINVAL;
	filter_copy_reason(body.reason, sizeof(body.reason), reason);
	r = filter_send_started(proxy->filter, WIRE_FLOW_OPENED, &body);
	proxy->is_taken |= r == 0 && flow_id == proxy->asked;
	(void)renew_watch(proxy);
	return r;
}

int sluice_proxy_open(struct sluice_proxy *proxy, uint64_t flow_id, int error, const char *reason)
{
	return proxy_open(proxy, flow_id, error, reason, false);
}

int sluice_proxy_ask_end(struct sluice_proxy *proxy, uint64_t flow_id)
{
	struct wire_flow_ask_end body = { .id = flow_id };
	int r = filter_send_started(proxy->filter, WIRE_FLOW_ASK_END, &body);

	(void)renew_watch(proxy);
	return r;
}

int sluice_proxy_upstream(struct sluice_proxy *proxy, uint64_t flow_id, int fd)
{
	struct wire_flow_upstream body = { .id = flow_id };
	socklen_t n = sizeof(body.cookie);
	int r;

	if (!proxy->filter->wants_upstreams)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &body.cookie, &n) < 0)
		return -errno;
	r = filter_send_started(proxy->filter, WIRE_FLOW_UPSTREAM, &body);
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
	while (r == 0)
		r = sluice_proxy_wait(proxy, -1);
	return filter_main_end(proxy->filter, r);
}
