/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluice-canary
 *
 * A program like any other that is governed: it connects and sends to a place
 * off this machine, by TCP and UDP, over IPv4 and IPv6, and says what it got.
 * sluiced refuses exactly its sockets. When both agree, every part on the way
 * works: BPF knew the socket, the rules held the packet, the queue carried it,
 * the rules rejected it and the error came back.
 *
 * The place is an address that is nobody's (RFC 5737, RFC 3849) if there is a
 * route to it, else the next address on an interface's own network. Nothing
 * gets there while the rules work.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/link-watch.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "wire/canary-records.h"
#include "wire/channel.h"

#define CHANNEL_FD 3
#define PORT_DISCARD 9

union address {
	struct sockaddr any;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

struct probe {
	int fd; /* -1: not tried */
	union address to;
	uint64_t began_us;
	bool is_done;
	struct wire_probed result;
};

static const struct {
	int family, type;
} kinds[_CANARY_PROBE_N] = {
	[CANARY_TCP4] = { AF_INET, SOCK_STREAM },
	[CANARY_UDP4] = { AF_INET, SOCK_DGRAM },
	[CANARY_TCP6] = { AF_INET6, SOCK_STREAM },
	[CANARY_UDP6] = { AF_INET6, SOCK_DGRAM },
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- where to ---- */

static socklen_t size_of(const union address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->in4) : sizeof(address->in6);
}

static uint8_t *bytes_of(union address *address, size_t *ret_n)
{
	bool is_ipv4 = address->any.sa_family == AF_INET;

	*ret_n = is_ipv4 ? sizeof(address->in4.sin_addr) : sizeof(address->in6.sin6_addr);
	return is_ipv4 ? (uint8_t *)&address->in4.sin_addr : address->in6.sin6_addr.s6_addr;
}

/* connecting a datagram socket sends nothing; to oneself the addresses are the same */
static bool leads_away(union address *to)
{
	_cleanup_close_ int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union address from = { 0 };
	socklen_t n_from = sizeof(from);
	const uint8_t *here, *there;
	size_t n;

	if (fd < 0 || connect(fd, &to->any, size_of(to)) < 0 ||
	    getsockname(fd, &from.any, &n_from) < 0)
		return false;
	here = bytes_of(&from, &n);
	there = bytes_of(to, &n);
	return memcmp(here, there, n) != 0;
}

/* the first address of the interface's network, or the second if the first is its own */
static bool next_door(const struct ifaddrs *entry, union address *to)
{
	union address own = { 0 }, mask = { 0 };
	uint8_t *at, *o, *m;
	size_t n;

	memcpy(&own, entry->ifa_addr, size_of(to));
	memcpy(&mask, entry->ifa_netmask, size_of(to));
	mask.any.sa_family = to->any.sa_family;
	at = bytes_of(to, &n);
	o = bytes_of(&own, &n);
	m = bytes_of(&mask, &n);
	if (m[n - 1] & 3 || (n == 16 && IN6_IS_ADDR_LINKLOCAL(&own.in6.sin6_addr)))
		return false;
	for (size_t i = 0; i < n; i++)
		at[i] = o[i] & m[i];
	at[n - 1] |= 1;
	if (!memcmp(at, o, n))
		at[n - 1] ^= 3;
	return leads_away(to);
}

static bool find_next_door(union address *to)
{
	const unsigned int wanted = IFF_UP | IFF_RUNNING;
	struct ifaddrs *list, *entry;
	bool is_found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (entry = list; entry && !is_found; entry = entry->ifa_next)
		is_found = entry->ifa_addr && entry->ifa_netmask &&
			   entry->ifa_addr->sa_family == to->any.sa_family &&
			   (entry->ifa_flags & (wanted | IFF_LOOPBACK)) == wanted &&
			   next_door(entry, to);
	freeifaddrs(list);
	return is_found;
}

static bool find_place(int family, union address *to)
{
	*to = (union address){ 0 };
	if (family == AF_INET) {
		to->in4 = (struct sockaddr_in){ .sin_family = AF_INET,
						.sin_port = htons(PORT_DISCARD) };
		(void)inet_pton(AF_INET, "192.0.2.1", &to->in4.sin_addr);
	} else {
		to->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
						 .sin6_port = htons(PORT_DISCARD) };
		(void)inet_pton(AF_INET6, "2001:db8::1", &to->in6.sin6_addr);
	}
	return leads_away(to) || find_next_door(to);
}

/* ---- the probes ---- */

/* Return: 0 or a negative errno of the channel */
static int open_probe(struct probe *probe, uint8_t kind)
{
	struct wire_probe record = { .probe = kind };
	socklen_t n = sizeof(record.cookie);
	uint8_t *at;
	size_t n_at;

	probe->result.probe = kind;
	probe->is_done = true;
	probe->fd = find_place(kinds[kind].family, &probe->to)
			    ? socket(kinds[kind].family,
				     kinds[kind].type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
			    : -1;
	if (probe->fd >= 0 &&
	    getsockopt(probe->fd, SOL_SOCKET, SO_COOKIE, &record.cookie, &n) == 0) {
		probe->is_done = false;
		record.is_tried = 1;
	}
	at = bytes_of(&probe->to, &n_at);
	if (n_at == 4) /* v4-mapped */
		memset(record.address + 10, 0xff, 2);
	memcpy(record.address + 16 - n_at, at, n_at);
	return channel_send(CHANNEL_FD, &wire_canary_channel, WIRE_PROBE, &record, NULL, 0, -1);
}

static void settle(struct probe *probe, int error)
{
	probe->result.error = (uint32_t)error;
	probe->result.took_us = (uint32_t)(now_us() - probe->began_us);
	probe->is_done = true;
}

static void send_probe(struct probe *probe, int type)
{
	static const char text[] = "sluice canary";
	int r;

	if (probe->is_done)
		return;
	probe->began_us = now_us();
	r = connect(probe->fd, &probe->to.any, size_of(&probe->to));
	if (r == 0 && type == SOCK_DGRAM)
		r = send(probe->fd, text, sizeof(text) - 1, MSG_NOSIGNAL) < 0 ? -1 : 0;
	if (r < 0 && errno != EINPROGRESS)
		settle(probe, errno);
	else if (r == 0 && type == SOCK_STREAM)
		settle(probe, 0);
}

static void look_at(struct probe *probe)
{
	socklen_t n = sizeof(int);
	int error = 0;

	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	settle(probe, error);
}

/* Return: false when time is over or sluiced is gone */
static bool wait_for_errors(struct probe *probes, uint64_t end_us)
{
	struct pollfd fds[_CANARY_PROBE_N + 1];
	uint64_t now = now_us();
	bool is_waiting = false;

	for (size_t i = 0; i < _CANARY_PROBE_N; i++) {
		bool is_tcp = kinds[i].type == SOCK_STREAM;

		fds[i] = (struct pollfd){ .fd = probes[i].is_done ? -1 : probes[i].fd,
					  .events = is_tcp ? POLLOUT : POLLIN };
		is_waiting |= !probes[i].is_done;
	}
	fds[_CANARY_PROBE_N] = (struct pollfd){ .fd = CHANNEL_FD, .events = POLLIN };
	if (!is_waiting || now >= end_us ||
	    poll(fds, ARRAY_SIZE(fds), (int)((end_us - now) / 1000) + 1) < 0)
		return false;
	for (size_t i = 0; i < _CANARY_PROBE_N; i++)
		if (fds[i].fd >= 0 && fds[i].revents)
			look_at(&probes[i]);
	return !fds[_CANARY_PROBE_N].revents;
}

/* sluiced knows the sockets before the first packet. Return: 0, or -errno: it is gone */
static int wait_for_send(void)
{
	struct pollfd poll_channel = { .fd = CHANNEL_FD, .events = POLLIN };
	static uint8_t buffer[WIRE_RECORD_MAX];
	static struct wire_message message;
	int fd = -1, r;

	if (poll(&poll_channel, 1, -1) < 0)
		return -errno;
	r = channel_recv(CHANNEL_FD, &wire_canary_channel, 0, buffer, &message, NULL, &fd);
	close_fd(fd);
	return r > 0 ? -EPROTO : r;
}

static int tell_results(struct probe *probes, bool is_disturbed)
{
	int r = 0;

	for (size_t i = 0; i < _CANARY_PROBE_N && !r; i++) {
		if (probes[i].fd < 0)
			continue;
		if (!probes[i].is_done)
			settle(&probes[i], ETIMEDOUT);
		probes[i].result.is_disturbed = is_disturbed;
		r = channel_send(CHANNEL_FD, &wire_canary_channel, WIRE_PROBED, &probes[i].result,
				 NULL, 0, -1);
	}
	return r;
}

static int run(struct probe *probes)
{
	_cleanup_close_ int links = link_watch_open();
	uint64_t end_us;
	int r = 0;

	for (uint8_t i = 0; i < _CANARY_PROBE_N && !r; i++)
		r = open_probe(&probes[i], i);
	if (!r)
		r = wait_for_send();
	end_us = now_us() + CANARY_WAIT_MS * 1000;
	for (size_t i = 0; i < _CANARY_PROBE_N && !r; i++)
		send_probe(&probes[i], kinds[i].type);
	while (!r && wait_for_errors(probes, end_us))
		;
	return r ? r : tell_results(probes, link_watch_has_changed(links));
}

int main(void)
{
	struct probe probes[_CANARY_PROBE_N] = { 0 };
	int r;

	log_open("sluice-canary", LOG_NOTICE);
	r = sandbox_enter(SANDBOX_CANARY);
	if (r == 0)
		r = run(probes);
	if (r == 0 || r == -EPIPE) /* sluiced has ended: nobody wants to know */
		return 0;
	log_error("cannot probe: %s", strerror(-r));
	return 1;
}
