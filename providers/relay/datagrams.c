/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datagrams.h"

#define DATAGRAM_MOST 65536
#define A_ROUND 64 /* of a descriptor, then others get their turn */
#define N_EVENTS 64
#define SECOND_US 1000000U
#define LINK_QUEUE_US 200000U		/* a datagram waits no longer until the link takes it */
#define WAITING_MOST (8U * 1024 * 1024) /* bytes of all that wait, on the link and for it */

enum { PROGRAM = SLUICE_RELAY_PROGRAM, UPSTREAM = SLUICE_RELAY_UPSTREAM };

/* fds[i] is a side's; bytes[i] are what it has sent, and the other one has got */
struct udp_flow {
	struct udp_flow *next; /* of its bucket */
	uint64_t id;
	int fds[2];
	uint64_t bytes[2];
	size_t n_waiting; /* datagrams */
	bool has_ended;	  /* the program's socket; what it has sent goes on */
};

struct datagram {
	TAILQ_ENTRY(datagram) entry;
	struct udp_flow *flow;
	uint64_t due_us;
	unsigned int from;
	size_t n;
	uint8_t bytes[];
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_US + (uint64_t)now.tv_nsec / 1000;
}

/* xorshift64: nobody gains anything by knowing it */
static uint64_t roll(struct udp *udp, uint64_t n)
{
	udp->random ^= udp->random << 13;
	udp->random ^= udp->random >> 7;
	udp->random ^= udp->random << 17;
	return udp->random % n;
}

int udp_init(struct udp *udp, struct log *log, const struct sluice_relay_shape *shape)
{
	TAILQ_INIT(&udp->waiting);
	udp->log = log;
	udp->shape = shape;
	(void)!getrandom(&udp->random, sizeof(udp->random), 0);
	udp->random |= 1;
	udp->epoll = epoll_create1(EPOLL_CLOEXEC);
	return udp->epoll < 0 ? -errno : 0;
}

/* ---- flows ---- */

static struct udp_flow **place_of(struct udp *udp, uint64_t id)
{
	struct udp_flow **at = &udp->buckets[id % UDP_BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static void end(struct udp *udp, struct udp_flow *flow)
{
	*place_of(udp, flow->id) = flow->next;
	for (unsigned int i = PROGRAM; i <= UPSTREAM; i++)
		if (flow->fds[i] >= 0)
			close(flow->fds[i]);
	free(flow);
}

void udp_add(struct udp *udp, uint64_t id, int upstream)
{
	struct udp_flow *flow = upstream < 0 ? NULL : calloc(1, sizeof(*flow));
	int error = upstream < 0 ? upstream : -ENOMEM;

	if (!flow) {
		if (upstream >= 0)
			close(upstream);
		(void)sluice_proxy_open(udp->proxy, id, error, strerror(-error));
		return;
	}
	*flow = (struct udp_flow){ .id = id, .fds = { -1, upstream } };
	*place_of(udp, id) = flow;
	(void)sluice_proxy_open(udp->proxy, id, 0, "relayed");
}

bool udp_opened(struct udp *udp, uint64_t id, int fd)
{
	struct udp_flow *flow = *place_of(udp, id);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = flow };

	if (!flow)
		return false;
	flow->fds[PROGRAM] = fd;
	if (epoll_ctl(udp->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ||
	    epoll_ctl(udp->epoll, EPOLL_CTL_ADD, flow->fds[UPSTREAM], &event) < 0)
		(void)udp_ended(udp, id);
	return true;
}

/* ---- the link ---- */

/* Return: when it is there; 0: never */
static uint64_t due_of(struct udp *udp, unsigned int from, size_t n)
{
	const struct sluice_relay_shape *shape = udp->shape;
	uint64_t due_us = now_us();

	if (udp->loss_ppm && roll(udp, PPM) < udp->loss_ppm)
		return 0;
	if (shape->rate) {
		if (udp->free_us[from] > due_us + LINK_QUEUE_US)
			return 0;
		if (udp->free_us[from] < due_us)
			udp->free_us[from] = due_us;
		udp->free_us[from] += n * SECOND_US / shape->rate;
		due_us = udp->free_us[from];
	}
	return due_us + shape->delay_us - shape->jitter_us +
	       roll(udp, 2 * (uint64_t)shape->jitter_us + 1);
}

static void insert(struct udp *udp, struct datagram *datagram)
{
	struct datagram *before = TAILQ_LAST(&udp->waiting, datagrams);

	while (before && before->due_us > datagram->due_us)
		before = TAILQ_PREV(before, datagrams, entry);
	if (before)
		TAILQ_INSERT_AFTER(&udp->waiting, before, datagram, entry);
	else
		TAILQ_INSERT_HEAD(&udp->waiting, datagram, entry);
	udp->n_waiting += sizeof(*datagram) + datagram->n;
	datagram->flow->n_waiting++;
}

static void carry(struct udp *udp, struct udp_flow *flow, unsigned int from, const void *bytes,
		  size_t n)
{
	uint64_t due_us = due_of(udp, from, n);
	struct datagram *datagram;

	if (!due_us || udp->n_waiting + sizeof(*datagram) + n > WAITING_MOST)
		return;
	datagram = malloc(sizeof(*datagram) + n);
	if (!datagram)
		return;
	*datagram = (struct datagram){ .flow = flow, .due_us = due_us, .from = from, .n = n };
	memcpy(datagram->bytes, bytes, n);
	insert(udp, datagram);
}

void udp_datagram(struct udp *udp, uint64_t id, const void *bytes, size_t n)
{
	struct udp_flow *flow = *place_of(udp, id);

	if (flow)
		carry(udp, flow, PROGRAM, bytes, n);
}

/* Return: may there be more? */
static bool read_side(struct udp *udp, struct udp_flow *flow, unsigned int from)
{
	char bytes[DATAGRAM_MOST];
	ssize_t n = 0;

	for (int i = 0; i < A_ROUND && n >= 0; i++) {
		n = recv(flow->fds[from], bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n >= 0)
			carry(udp, flow, from, bytes, (size_t)n);
		else if (errno == ECONNREFUSED) /* of one that was sent before */
			n = 0;
	}
	return n >= 0;
}

bool udp_ended(struct udp *udp, uint64_t id)
{
	struct udp_flow *flow = *place_of(udp, id);

	if (!flow)
		return false;
	if (flow->fds[PROGRAM] >= 0) {
		while (read_side(udp, flow, PROGRAM)) /* what it had sent before */
			;
		close(flow->fds[PROGRAM]);
		flow->fds[PROGRAM] = -1;
		(void)epoll_ctl(udp->epoll, EPOLL_CTL_DEL, flow->fds[UPSTREAM], NULL);
		log_write(udp->log, id, flow->bytes[PROGRAM], flow->bytes[UPSTREAM], "closed",
			  NULL);
	}
	flow->has_ended = true;
	if (!flow->n_waiting)
		end(udp, flow);
	return true;
}

void udp_read(struct udp *udp)
{
	struct epoll_event events[N_EVENTS];
	int n = epoll_wait(udp->epoll, events, N_EVENTS, 0);

	for (int i = 0; i < n; i++)
		for (unsigned int from = PROGRAM; from <= UPSTREAM; from++)
			(void)read_side(udp, events[i].data.ptr, from);
}

static void deliver(struct udp *udp, struct datagram *datagram)
{
	struct udp_flow *flow = datagram->flow;
	int to = flow->fds[!datagram->from];

	TAILQ_REMOVE(&udp->waiting, datagram, entry);
	udp->n_waiting -= sizeof(*datagram) + datagram->n;
	flow->n_waiting--;
	if (to >= 0 && send(to, datagram->bytes, datagram->n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		flow->bytes[datagram->from] += datagram->n;
	free(datagram);
	if (flow->has_ended && !flow->n_waiting)
		end(udp, flow);
}

int udp_send_due(struct udp *udp)
{
	uint64_t now = TAILQ_EMPTY(&udp->waiting) ? 0 : now_us();

	while (!TAILQ_EMPTY(&udp->waiting)) {
		struct datagram *first = TAILQ_FIRST(&udp->waiting);

		if (first->due_us > now)
			return (int)((first->due_us - now + 999) / 1000);
		deliver(udp, first);
	}
	return -1;
}

void udp_deinit(struct udp *udp)
{
	while (!TAILQ_EMPTY(&udp->waiting)) {
		struct datagram *first = TAILQ_FIRST(&udp->waiting);

		TAILQ_REMOVE(&udp->waiting, first, entry);
		free(first);
	}
	for (unsigned int i = 0; i < UDP_BUCKETS; i++)
		while (udp->buckets[i])
			end(udp, udp->buckets[i]);
	if (udp->epoll >= 0)
		close(udp->epoll);
}
