/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Datagrams of an association, there and back
 *
 * What the proxy's way does not take at once waits, one datagram, and meanwhile no program of
 * the association is read: their sockets hold what they send. What a program does not read is
 * lost, as on any way. One that is too long with its head is lost, too.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "association.h"

#define DATAGRAM_MAX 65536U
#define EARLY_MOST 64 /* answers that come before a program's descriptor */
#define A_ROUND 64    /* then others get their turn */

/* an error that an earlier one has met, as ICMP tells it, is in the way of this one once.
 * Return: false: there is no room now */
static bool send_one(int fd, const struct iovec parts[2])
{
	const struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = 2 };
	ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == ECONNREFUSED)
		n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n >= 0 || errno != EAGAIN;
}

/* Return: NULL: no memory, and it is lost */
static struct kept *copy(const struct iovec parts[2])
{
	size_t n = parts[0].iov_len + parts[1].iov_len;
	struct kept *kept = malloc(sizeof(*kept) + n);

	if (!kept)
		return NULL;
	kept->n = n;
	memcpy(kept->bytes, parts[0].iov_base, parts[0].iov_len);
	memcpy(kept->bytes + parts[0].iov_len, parts[1].iov_base, parts[1].iov_len);
	return kept;
}

static void keep(struct flows *flows, struct association *association, const struct iovec parts[2])
{
	association->kept = copy(parts);
	if (!association->kept)
		return;
	association_watch(flows, association, false);
	flow_watch(flows, &association->on_relay, association->relay, EPOLLIN | EPOLLOUT);
}

static void send_kept(struct flows *flows, struct association *association)
{
	struct kept *kept = association->kept;
	struct iovec parts[2] = { { NULL, 0 }, { NULL, 0 } };

	if (!kept)
		return;
	parts[1] = (struct iovec){ kept->bytes, kept->n };
	if (!send_one(association->relay, parts))
		return;
	free(kept);
	association->kept = NULL;
	flow_watch(flows, &association->on_relay, association->relay, EPOLLIN);
	association_watch(flows, association, true);
}

void carry_one(struct flows *flows, struct peer *peer, const void *bytes, size_t n)
{
	struct association *association = peer->association;
	const struct iovec parts[2] = { { peer->head, peer->n_head }, { (void *)bytes, n } };

	if (association->state != ASSOCIATION_STANDS || association->kept)
		return; /* what came past the descriptor has no place to wait */
	if (!send_one(association->relay, parts))
		keep(flows, association, parts);
}

void carry_up(struct flows *flows, struct peer *peer, int most)
{
	uint8_t bytes[DATAGRAM_MAX];

	for (int i = 0; i < most && !peer->association->kept; i++) {
		ssize_t n = recv(peer->program, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n >= 0)
			carry_one(flows, peer, bytes, (size_t)n);
		else if (errno != ECONNREFUSED) /* of one that the program did not take */
			return;
	}
}

void carry_drop(int fd)
{
	uint8_t byte;
	ssize_t n = 0;

	for (int i = 0; i < CARRY_ALL && (n >= 0 || errno == ECONNREFUSED); i++)
		n = recv(fd, &byte, 1, MSG_DONTWAIT);
}

static void deliver(struct peer *peer, uint8_t *bytes, size_t n)
{
	const struct iovec parts[2] = { { bytes, 0 }, { bytes, n } };
	struct kept *kept;

	if (peer->program >= 0) {
		(void)!send(peer->program, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	kept = peer->n_early < EARLY_MOST ? copy(parts) : NULL;
	if (!kept)
		return;
	peer->n_early++;
	STAILQ_INSERT_TAIL(&peer->early, kept, in_early);
}

void carry_early(struct peer *peer)
{
	struct kept *kept;

	while ((kept = STAILQ_FIRST(&peer->early))) {
		STAILQ_REMOVE_HEAD(&peer->early, in_early);
		if (peer->program >= 0)
			deliver(peer, kept->bytes, kept->n);
		free(kept);
	}
}

static void carry_down(struct flows *flows, struct association *association)
{
	uint8_t bytes[DATAGRAM_MAX];

	for (int i = 0; i < A_ROUND; i++) {
		ssize_t n = recv(association->relay, bytes, sizeof(bytes), MSG_DONTWAIT);
		struct destination source;
		struct peer *peer;
		int head;

		if (n < 0 && errno != ECONNREFUSED)
			return;
		head = n < 0 ? -EBADMSG : socks5_udp_read(bytes, (size_t)n, &source);
		peer = head < 0 ? NULL : peer_find_source(flows, association, &source);
		if (!peer)
			continue;
		association->has_carried = true;
		deliver(peer, bytes + head, (size_t)n - (size_t)head);
	}
}

void carry_on_relay(struct flows *flows, void *owner, uint64_t now_ms)
{
	struct association *association = owner;

	if (association->relay < 0)
		return;
	send_kept(flows, association);
	carry_down(flows, association);
}

void carry_on_program(struct flows *flows, void *owner, uint64_t now_ms)
{
	struct peer *peer = owner;

	if (peer->program < 0)
		return;
	if (peer->association->state == ASSOCIATION_STANDS)
		carry_up(flows, peer, A_ROUND);
	else if (!association_again(flows, peer->association, now_ms))
		carry_drop(peer->program);
}
