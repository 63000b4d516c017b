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

static void forget_owed(struct forward *forward)
{
	struct forward **at = &forward->proxy->owed;

	if (!forward->is_owed)
		return;
	while (*at != forward)
		at = &(*at)->next_owed;
	*at = forward->next_owed;
	forward->is_owed = false;
}

void forward_end(struct forward *forward)
{
	struct forward **at = bucket_of(forward->proxy, forward->flow);

	while (*at != forward)
		at = &(*at)->next;
	*at = forward->next;
	forget_owed(forward);
	if (!forward->is_connected) /* others may have the socket too, and then it stays in the set */
		(void)epoll_ctl(forward->proxy->epoll, EPOLL_CTL_DEL, forward->upstream, NULL);
	close_fd(forward->upstream);
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
	if (epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, sluice_relays_get_fd(proxy->relays), &event) ==
	    0)
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

bool forward_is_ready(const struct forward *forward)
{
	return forward->is_connected && !forward->is_owed && !forward->relay;
}

/* Return: false: there is no place for it */
static bool say(struct forward *forward)
{
	int error = forward->error;

	if (sluice_proxy_open(forward->proxy, forward->flow, -error, error ? NULL : "forwarded") ==
	    -ENOBUFS)
		return false;
	if (error)
		forward_end(forward);
	return true;
}

void forward_say_owed(struct sluice_proxy *proxy)
{
	struct forward *forward;

	while ((forward = proxy->owed)) {
		forget_owed(forward);
		if (say(forward))
			continue;
		forward->is_owed = true;
		forward->next_owed = proxy->owed;
		proxy->owed = forward;
		return;
	}
}

void forward_connected(struct forward *forward)
{
	struct sluice_proxy *proxy = forward->proxy;
	socklen_t n = sizeof(int);

	(void)epoll_ctl(proxy->epoll, EPOLL_CTL_DEL, forward->upstream, NULL);
	if (getsockopt(forward->upstream, SOL_SOCKET, SO_ERROR, &forward->error, &n) < 0)
		forward->error = errno;
	forward->is_connected = forward->is_owed = true;
	forward->next_owed = proxy->owed;
	proxy->owed = forward;
	forward_say_owed(proxy);
}

static int add(struct sluice_proxy *proxy, uint64_t flow, int upstream)
{
	struct epoll_event event = { .events = EPOLLOUT };
	struct forward *forward;
	int r = want_relays(proxy);

	if (r < 0)
		return r;
	forward = calloc(1, sizeof(*forward));
	if (!forward)
		return -ENOMEM;
	event.data.ptr = forward;
	if (epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, upstream, &event) < 0) {
		r = -errno;
		free(forward);
		return r;
	}
	*forward = (struct forward){
		.next = *bucket_of(proxy, flow), .proxy = proxy, .flow = flow, .upstream = upstream
	};
	*bucket_of(proxy, flow) = forward;
	return 0;
}

int sluice_proxy_forward(struct sluice_proxy *proxy, uint64_t flow_id, int upstream)
{
	int r = filter_may_say(proxy->filter);

	if (r == 0 && forward_find(proxy, flow_id))
		r = -EALREADY;
	if (r < 0) {
		close_fd(upstream);
		return r;
	}
	r = add(proxy, flow_id, upstream);
	if (r == 0)
		return 0;
	close_fd(upstream);
	(void)sluice_proxy_open(proxy, flow_id, -ENOMEM, strerror(-r));
	return r;
}
