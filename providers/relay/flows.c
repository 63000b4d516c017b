/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "flows.h"

struct flow {
	struct flow *next;	  /* of its bucket */
	struct flow *next_on_way; /* ON_ITS_WAY */
	struct flows *flows;
	uint64_t id;
	uint64_t due_ms;
	int upstream; /* -1: a relay has it, or it could not be connected: */
	int error;
	enum { CONNECTING, ON_ITS_WAY, OPENING, RELAYED, CANCELLED } state;
	struct sluice_relay *relay;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- upstream ---- */

static socklen_t address_of(const struct sluice_flow *flow, struct sockaddr_storage *ret_address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_address;
	struct sockaddr_in *in = (struct sockaddr_in *)ret_address;

	memset(ret_address, 0, sizeof(*ret_address));
	if (!memcmp(flow->remote_address, mapped, sizeof(mapped))) {
		in->sin_family = AF_INET;
		in->sin_port = htons(flow->remote_port);
		memcpy(&in->sin_addr, flow->remote_address + 12, sizeof(in->sin_addr));
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(flow->remote_port);
	memcpy(&in6->sin6_addr, flow->remote_address, sizeof(in6->sin6_addr));
	if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		in6->sin6_scope_id = flow->ifindex;
	return sizeof(*in6);
}

int flow_connect(struct sluice_proxy *proxy, const struct sluice_flow *flow)
{
	struct sockaddr_storage address;
	socklen_t n = address_of(flow, &address);
	int type = flow->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	(void)sluice_proxy_upstream(proxy, flow->id, fd);
	if (connect(fd, (struct sockaddr *)&address, n) == 0 || errno == EINPROGRESS)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* ---- the flows ---- */

static struct flow **bucket_of(struct flows *flows, uint64_t id)
{
	return &flows->buckets[id % FLOW_BUCKETS];
}

static struct flow *find(struct flows *flows, uint64_t id)
{
	struct flow *flow = *bucket_of(flows, id);

	while (flow && flow->id != id)
		flow = flow->next;
	return flow;
}

static void end(struct flow *flow)
{
	struct flow **at = bucket_of(flow->flows, flow->id);

	while (*at != flow)
		at = &(*at)->next;
	*at = flow->next;
	if (flow->upstream >= 0)
		close(flow->upstream);
	free(flow);
}

static void send_on_way(struct flow *flow, int error)
{
	struct flows *flows = flow->flows;

	flow->error = error;
	flow->state = ON_ITS_WAY;
	flow->due_ms = now_ms() + flows->round_trip_ms;
	*flows->last = flow;
	flows->last = &flow->next_on_way;
}

void flows_add(struct flows *flows, uint64_t id, int upstream)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLONESHOT };
	struct flow *flow = calloc(1, sizeof(*flow));

	if (!flow) {
		if (upstream >= 0)
			close(upstream);
		(void)sluice_proxy_open(flows->proxy, id, -ENOMEM, "no memory");
		return;
	}
	*flow = (struct flow){
		.next = *bucket_of(flows, id), .flows = flows, .id = id, .upstream = upstream
	};
	*bucket_of(flows, id) = flow;
	event.data.ptr = flow;
	if (upstream < 0)
		send_on_way(flow, upstream);
	else if (epoll_ctl(flows->epoll, EPOLL_CTL_ADD, upstream, &event) < 0)
		send_on_way(flow, -errno);
}

void flows_connected(struct flows *flows, struct flow *flow)
{
	socklen_t n = sizeof(int);
	int error = 0;

	(void)getsockopt(flow->upstream, SOL_SOCKET, SO_ERROR, &error, &n);
	(void)epoll_ctl(flows->epoll, EPOLL_CTL_DEL, flow->upstream, NULL);
	send_on_way(flow, -error);
}

static void open_flow(struct flow *flow)
{
	struct flows *flows = flow->flows;

	if (flow->state != CANCELLED)
		(void)sluice_proxy_open(flows->proxy, flow->id, flow->error,
					flow->error ? strerror(-flow->error) : "relayed");
	if (flow->state == CANCELLED || flow->error)
		end(flow);
	else
		flow->state = OPENING;
}

int flows_open_due(struct flows *flows)
{
	uint64_t now = now_ms();

	while (flows->first) {
		struct flow *flow = flows->first;

		if (flow->due_ms > now)
			return (int)(flow->due_ms - now);
		flows->first = flow->next_on_way;
		if (!flows->first)
			flows->last = &flows->first;
		open_flow(flow);
	}
	return -1;
}

void flows_cancelled(struct flows *flows, uint64_t id)
{
	struct flow *flow = find(flows, id);

	if (!flow || flow->state == RELAYED)
		return;
	if (flow->state != ON_ITS_WAY) {
		end(flow);
		return;
	}
	if (flow->upstream >= 0)
		close(flow->upstream);
	flow->upstream = -1;
	flow->state = CANCELLED; /* the list has it until its time has come */
}

/* ---- relays ---- */

static const char *const ends[] = {
	[SLUICE_RELAY_CLOSED] = "closed",   [SLUICE_RELAY_RELEASED] = "released",
	[SLUICE_RELAY_RESET] = "reset",	    [SLUICE_RELAY_ABANDONED] = "abandoned",
	[SLUICE_RELAY_STALLED] = "stalled",
};

static const char *const sides[] = {
	[SLUICE_RELAY_PROGRAM] = "program", [SLUICE_RELAY_UPSTREAM] = "upstream"
};

static void on_done(struct sluice_relay *relay, const struct sluice_relay_end *how, void *data)
{
	struct flow *flow = data;

	log_write(flow->flows->log, flow->id, how->bytes[SLUICE_RELAY_PROGRAM],
		  how->bytes[SLUICE_RELAY_UPSTREAM], ends[how->how],
		  how->how == SLUICE_RELAY_RESET ? sides[how->side] : NULL);
	end(flow);
}

static const struct sluice_relay_ops relay_ops = { .size = sizeof(relay_ops), .done = on_done };

void flows_opened(struct flows *flows, uint64_t id, int fd)
{
	struct flow *flow = find(flows, id);
	int upstream;

	if (!flow || flow->state != OPENING) {
		sluice_proxy_close(fd, -ECONNRESET);
		return;
	}
	upstream = flow->upstream;
	flow->upstream = -1;
	flow->state = RELAYED;
	if (sluice_relays_add(flows->relays, fd, upstream, &relay_ops, flow, &flow->relay) < 0)
		end(flow); /* both are reset */
}

void flows_ended(struct flows *flows, uint64_t id, enum sluice_proxy_end how)
{
	struct flow *flow = find(flows, id);

	if (flow && flow->state == RELAYED && how == SLUICE_PROXY_FULL)
		sluice_relay_release(flow->relay);
}

void flows_deinit(struct flows *flows)
{
	flows->relays = sluice_relays_free(flows->relays);
	for (unsigned int i = 0; i < FLOW_BUCKETS; i++)
		while (flows->buckets[i])
			end(flows->buckets[i]);
	if (flows->epoll >= 0)
		close(flows->epoll);
}
