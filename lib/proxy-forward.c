/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Forwarding
 *
 *	connecting ──SO_ERROR──▶ sluice_proxy_open() ──▶ the program's connection ──▶ a relay
 *
 * The program's connect(2) gives what ours gave. A flow of UDP has no relay: datagrams are read and
 * written here, and what the other side does not take is lost, as on any way.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "base/macros.h"
#include "lib/proxy-internal.h"

#define DATAGRAMS_A_ROUND 64 /* then others get their turn */

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

/* others may have the socket too, and then it stays in the set */
static int leave(struct forward *forward, int fd)
{
	if (fd >= 0)
		(void)epoll_ctl(forward->proxy->epoll, EPOLL_CTL_DEL, fd, NULL);
	return close_fd(fd);
}

void forward_end(struct forward *forward)
{
	struct forward **at = bucket_of(forward->proxy, forward->flow);

	while (*at != forward)
		at = &(*at)->next;
	*at = forward->next;
	forget_owed(forward);
	forward->upstream = leave(forward, forward->upstream);
	forward->program = leave(forward, forward->program);
	free(forward);
}

void forward_end_all(struct sluice_proxy *proxy)
{
	for (size_t i = 0; i < PROXY_FORWARDS; i++)
		while (proxy->forwards[i])
			forward_end(proxy->forwards[i]);
}

static int watch(struct forward *forward, int fd, int how, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = forward };

	return epoll_ctl(forward->proxy->epoll, how, fd, &event) < 0 ? -errno : 0;
}

/* ---- UDP ---- */

/* an error that an earlier one has met, as ICMP tells it, comes instead of sending this one, once */
static void put(int to, const void *bytes, size_t n)
{
	if (send(to, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		(void)!send(to, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Return: may there be more? */
static bool carry(int from, int to)
{
	char bytes[PROXY_DATAGRAM_MAX];
	ssize_t n = 0;

	for (int i = 0; i < DATAGRAMS_A_ROUND && n >= 0; i++) {
		n = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n >= 0)
			put(to, bytes, (size_t)n);
		else if (errno == ECONNREFUSED) /* of one that was sent before */
			n = 0;
	}
	return n >= 0;
}

void forward_datagram(struct forward *forward, const void *bytes, size_t n)
{
	if (forward->upstream >= 0)
		put(forward->upstream, bytes, n);
}

static void begin_udp(struct forward *forward, int program)
{
	int how = forward->is_polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	forward->program = program;
	if (watch(forward, program, EPOLL_CTL_ADD, EPOLLIN) < 0 ||
	    watch(forward, forward->upstream, how, EPOLLIN) < 0)
		forward_end(forward);
}

/* ---- TCP ---- */

static void on_done(struct sluice_relay *relay, const struct sluice_relay_end *end, void *data)
{
	forward_end(data);
}

/* Return: false: later */
static bool ask_end(struct sluice_relay *relay)
{
	struct forward *forward = relay->data;

	return sluice_proxy_ask_end(forward->proxy, forward->flow) != -ENOBUFS;
}

static const struct sluice_relay_ops relay_ops = { .size = sizeof(relay_ops), .done = on_done };

static void begin_tcp(struct forward *forward, int program)
{
	int upstream = TAKE_FD(forward->upstream);

	if (relays_add_known(forward->proxy->relays, program, upstream, forward->is_polled,
			     &relay_ops, forward, &forward->relay) < 0) {
		forward_end(forward); /* both are reset */
		return;
	}
	forward->relay->ask_end = ask_end;
	if (forward->ended)
		relay_break(forward->relay, SLUICE_RELAY_UPSTREAM, -forward->ended);
}

/* ---- both ---- */

static int type_of(int fd)
{
	socklen_t n = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ? -errno : type;
}

void forward_begin(struct forward *forward, int program)
{
	if ((type_of(program) == SOCK_DGRAM) != forward->is_udp) { /* one is UDP, and one is not */
		close_fd(program);
		forward_end(forward);
	} else if (forward->is_udp) {
		begin_udp(forward, program);
	} else {
		begin_tcp(forward, program);
	}
}

bool forward_is_ready(const struct forward *forward)
{
	return forward->is_connected && !forward->is_owed && !forward->relay &&
	       forward->program < 0;
}

/* Return: false: there is no place for it */
static bool say(struct forward *forward)
{
	int error = forward->error;

	if (proxy_open(forward->proxy, forward->flow, -error, error ? NULL : "forwarded", true) ==
	    -ENOBUFS)
		return false;
	if (error)
		forward_end(forward);
	return true;
}

static void owe(struct forward *forward)
{
	forward->is_owed = true;
	forward->next_owed = forward->proxy->owed;
	forward->proxy->owed = forward;
}

void forward_say_owed(struct sluice_proxy *proxy)
{
	struct forward *forward;

	while ((forward = proxy->owed)) {
		forget_owed(forward);
		if (say(forward))
			continue;
		owe(forward);
		return;
	}
}

/* An ICMP error wakes who waits before SO_ERROR has it: then there is neither an error nor a peer, and
 * the next call gets it. Return: 0, or a positive errno; EINPROGRESS: not known yet */
static int result_of(int fd)
{
	struct sockaddr_storage peer;
	socklen_t n = sizeof(int), n_peer = sizeof(peer);
	int error = 0;
	char byte;

	if (getpeername(fd, (struct sockaddr *)&peer, &n_peer) == 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		return errno;
	if (error)
		return error;
	if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
		return 0;
	return errno == EAGAIN || errno == ENOTCONN ? EINPROGRESS : errno;
}

/* a SYN that is refused gives another errno: who is reset had been connected */
static bool was_connected(const struct forward *forward)
{
	return !forward->is_udp && (forward->error == ECONNRESET || forward->error == EPIPE);
}

/* one that is near is connected at once */
static void look(struct forward *forward)
{
	struct sluice_proxy *proxy = forward->proxy;
	int how = forward->is_polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, r = 0;

	forward->error = result_of(forward->upstream);
	if (was_connected(forward)) {
		forward->ended = forward->error;
		forward->error = 0;
	}
	if (forward->error == EINPROGRESS) {
		r = forward->is_udp
			    ? -ENOTCONN
			    : watch(forward, forward->upstream, how, EPOLLOUT | EPOLLONESHOT);
		forward->is_polled |= r == 0;
		forward->error = -r;
		if (r == 0)
			return;
	}
	forward->is_connected = true;
	owe(forward);
	forward_say_owed(proxy);
}

void forward_ready(struct forward *forward)
{
	if (forward->program < 0) {
		look(forward);
		return;
	}
	(void)carry(forward->program, forward->upstream);
	(void)carry(forward->upstream, forward->program);
}

void forward_end_udp(struct forward *forward)
{
	while (forward->program >= 0 && carry(forward->program, forward->upstream))
		;
	forward_end(forward);
}

static int add(struct sluice_proxy *proxy, uint64_t flow, int upstream)
{
	int r = proxy->relays ? 0 : relays_new_in(proxy->epoll, &proxy->relays);
	int type = r < 0 ? r : type_of(upstream);
	struct forward *forward;

	if (type < 0)
		return type;
	forward = calloc(1, sizeof(*forward));
	if (!forward)
		return -ENOMEM;
	*forward = (struct forward){ .proxy = proxy,
				     .flow = flow,
				     .upstream = upstream,
				     .program = -1,
				     .is_udp = type == SOCK_DGRAM };
	forward->next = *bucket_of(proxy, flow);
	*bucket_of(proxy, flow) = forward;
	look(forward);
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
