/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Bytes of a relay that were read: they are written, or dropped
 *
 * What the other socket does not take stays in the buffer or pipe it is in, which the way then keeps.
 *
 * splice(2) never gets SPLICE_F_MORE: the kernel would hold the last bytes back for 200 ms.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "base/macros.h"
#include "lib/relay-internal.h"

void relay_way_drop(struct sluice_relays *relays, struct relay_way *way)
{
	while (way->first) {
		struct relay_buffer *buffer = way->first;

		way->first = buffer->next;
		relay_pool_give_buffer(&relays->pool, buffer);
	}
	if (way->pipe)
		relay_pool_give_pipe(&relays->pool, way->pipe, way->n_waiting == 0);
	way->pipe = NULL;
	way->n_waiting = way->n_buffers = 0;
}

void relay_way_end(struct sluice_relay *relay, unsigned int from)
{
	relay_way_drop(relay->set, &relay->ways[from]);
	relay->ways[from].has_ended = true;
}

/* an edge comes only to who asks for it; most sockets take all that they are given */
static void wait_writable(struct sluice_relay *relay, unsigned int to)
{
	struct relay_side *side = &relay->sides[to];
	struct epoll_event event = relay_event(relay, to, RELAY_READS | EPOLLOUT);

	side->may_write = false;
	if (side->is_watched)
		return;
	if (epoll_ctl(relay->set->epoll, EPOLL_CTL_MOD, side->fd, &event) < 0)
		relay_break(relay, to, -errno);
	else
		side->is_watched = true;
}

/* what write(2) and its kin say. Return: how many bytes are gone */
static uint32_t has_taken(struct sluice_relay *relay, unsigned int from, ssize_t n)
{
	struct relay_way *way = &relay->ways[from];

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		wait_writable(relay, !from);
	else if (n < 0 && errno != EINTR)
		relay_break(relay, !from, -errno);
	if (n <= 0)
		return 0;
	way->bytes += (uint64_t)n;
	way->n_waiting -= (uint32_t)n;
	return (uint32_t)n;
}

/* splice(2) knows no MSG_NOSIGNAL. It sends piece by piece: where the other side is gone behind some of
 * them, it says how many it has sent, and the signal has come all the same */
static ssize_t splice_quietly(int from, int to, size_t n)
{
	const struct timespec at_once = { 0 };
	sigset_t sigpipe, before, pending;
	ssize_t done;
	int error;

	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
	done = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	error = errno;
	if ((done < 0 ? error == EPIPE : (size_t)done < n) && !sigismember(&pending, SIGPIPE))
		(void)sigtimedwait(&sigpipe, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return done;
}

static ssize_t splice_out(const struct sluice_relays *relays, int from, int to, size_t n)
{
	return relays->ignores_sigpipe
		       ? splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
		       : splice_quietly(from, to, n);
}

static void empty_pipe(struct sluice_relay *relay, unsigned int from)
{
	struct relay_way *way = &relay->ways[from];
	struct relay_side *to = &relay->sides[!from];

	while (way->n_waiting && to->may_write)
		has_taken(relay, from,
			  splice_out(relay->set, way->pipe->out, to->fd, way->n_waiting));
	if (!way->n_waiting)
		relay_way_drop(relay->set, way);
}

/* Return: has all of it gone? */
static bool empty_buffer(struct sluice_relay *relay, unsigned int from)
{
	struct relay_buffer *buffer = relay->ways[from].first;
	struct relay_side *to = &relay->sides[!from];
	int how = MSG_DONTWAIT | MSG_NOSIGNAL | (buffer->is_urgent ? MSG_OOB : 0);

	while (buffer->at < buffer->n && to->may_write)
		buffer->at += has_taken(
			relay, from,
			send(to->fd, buffer->bytes + buffer->at, buffer->n - buffer->at, how));
	return buffer->at == buffer->n;
}

void relay_flush(struct sluice_relay *relay, unsigned int from)
{
	struct relay_way *way = &relay->ways[from];
	struct relay_buffer *buffer;

	if (way->pipe)
		empty_pipe(relay, from);
	while ((buffer = way->first) && !way->pipe) {
		if (buffer->due_us && buffer->due_us > relays_now_us(relay->set)) {
			relays_wake_at(relay->set, &relay->timers[from], buffer->due_us);
			return;
		}
		if (!empty_buffer(relay, from))
			return;
		way->first = buffer->next;
		way->n_buffers--;
		relay_pool_give_buffer(&relay->set->pool, buffer);
	}
}

void relay_end_writing(struct sluice_relay *relay, unsigned int from)
{
	relay->ways[from].has_ended = true;
	if (shutdown(relay->sides[!from].fd, SHUT_WR) < 0)
		relay_break(relay, !from, -errno);
}
