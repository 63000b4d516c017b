/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Forwarding
 *
 *	connecting ──SO_ERROR──▶ sluice_proxy_open() ──▶ the program's connection ──▶ a relay
 *
 * The program's connect(2) gives what ours gave.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "base/macros.h"
#include "lib/proxy-internal.h"

static struct forward **bucket_of(struct sluice_proxy *proxy, uint64_t flow)
{
	return &proxy->forwards[hash_mix(0, flow) % PROXY_FORWARDS];
}

struct forward *forward_find(struct sluice_proxy *proxy, uint64_t flow)
{
	struct forward *forward = *bucket_of(proxy, flow);

	while (forward && forward->flow != flow)
		forward = forward->next;
	return forward;
}

void forward_end(struct forward *forward)
{
	struct forward **at = bucket_of(forward->proxy, forward->flow);

	while (*at != forward)
		at = &(*at)->next;
	*at = forward->next;
	close_fd(forward->upstream); /* which takes it out of the set */
	free(forward);
}

void forward_end_all(struct sluice_proxy *proxy)
{
	for (size_t i = 0; i < PROXY_FORWARDS; i++)
		while (proxy->forwards[i])
			forward_end(proxy->forwards[i]);
}

static int want_relays(struct sluice_proxy *proxy)
{
	struct epoll_event event = { .events = EPOLLIN };
	int r;

	if (proxy->relays)
		return 0;
	r = sluice_relays_new(&proxy->relays);
	if (r < 0)
		return r;
	event.data.ptr = proxy->relays;
	if (epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, sluice_relays_get_fd(proxy->relays), &event) == 0)
		return 0;
	r = -errno;
	proxy->relays = sluice_relays_free(proxy->relays);
	return r;
}

static void on_done(struct sluice_relay *relay, const struct sluice_relay_end *end, void *data)
{
	forward_end(data);
}

static const struct sluice_relay_ops relay_ops = { .size = sizeof(relay_ops), .done = on_done };

void forward_begin(struct forward *forward, int program)
{
	int upstream = TAKE_FD(forward->upstream);

	if (sluice_relays_add(forward->proxy->relays, program, upstream, &relay_ops, forward,
			      &forward->relay) < 0)
		forward_end(forward); /* both are reset */
}

void forward_connected(struct forward *forward)
{
	struct sluice_proxy *proxy = forward->proxy;
	uint64_t flow = forward->flow;
	socklen_t n = sizeof(int);
	int error = EIO;

	(void)epoll_ctl(proxy->epoll, EPOLL_CTL_DEL, forward->upstream, NULL);
	if (getsockopt(forward->upstream, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error)
		forward_end(forward);
	(void)sluice_proxy_open(proxy, flow, -error, error ? NULL : "forwarded");
}

static int add(struct sluice_proxy *proxy, uint64_t flow, int upstream)
{
	struct epoll_event event = { .events = EPOLLOUT };
	struct forward *forward;
	int r = want_relays(proxy);

	if (r < 0)
		return r;
	if (forward_find(proxy, flow))
		return -EALREADY;
	forward = calloc(1, sizeof(*forward));
	if (!forward)
		return -ENOMEM;
	event.data.ptr = forward;
	if (epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, upstream, &event) < 0) {
		free(forward);
		return -errno;
	}
	*forward = (struct forward){ .next = *bucket_of(proxy, flow),
				     .proxy = proxy,
				     .flow = flow,
				     .upstream = upstream };
	*bucket_of(proxy, flow) = forward;
	return 0;
}

int sluice_proxy_forward(struct sluice_proxy *proxy, uint64_t flow_id, int upstream)
{
	int r = add(proxy, flow_id, upstream);

	if (r == 0)
		return 0;
	close_fd(upstream);
	(void)sluice_proxy_open(proxy, flow_id, -ENOMEM, strerror(-r));
	return r;
}
