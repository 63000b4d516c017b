/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Bytes of a relay, from one socket to the other: they are read
 *
 * Nothing is read before all that was read is written: that is the whole back-pressure.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "lib/relay-internal.h"

static void append(struct relay_way *way, struct relay_buffer *buffer)
{
	buffer->next = NULL;
	if (way->first)
		way->last->next = buffer;
	else
		way->first = buffer;
	way->last = buffer;
	way->n_waiting += buffer->n;
	way->n_buffers++;
}

/* nothing more is read. In a set that is shaped the other side is told later */
static void end_reading(struct sluice_relay *relay, unsigned int from)
{
	struct relay_way *way = &relay->ways[from];
	struct relay_buffer *end;

	way->has_read_end = true;
	relay->sides[from].may_read = false;
	if (relay_is_shaped(&relay->set->shape) && !way->is_discarded) {
		end = relay_pool_buffer(&relay->set->pool);
		if (end) {
			end->due_us = relay_shape_due(relay, from, 0);
			append(way, end);
		}
	}
	if (way->is_whole && RELAY_OPS_SET(relay->ops, read_end))
		relay->ops->read_end(relay, (enum sluice_relay_side)from, relay->data);
}

/* A splice(2) that a reset cut short has told how much went, and nobody of the reset: SO_ERROR is empty */
static bool was_reset(const struct sluice_relay *relay, unsigned int from)
{
	const struct relay_side *side = &relay->sides[from];
	struct tcp_info info;
	socklen_t n = sizeof(info);

	return side->is_non_blocking && !relay->ways[!from].has_ended && /* or both have ended */
	       getsockopt(side->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

/* Read(2) gave 0. It does so too behind a reset that a call has told us of already. EPIPE says that the end came
 * before it, or that splice(2) has kept the errno of before */
static bool is_end(const struct sluice_relay *relay, unsigned int from)
{
	const struct relay_side *side = &relay->sides[from];

	if (side->is_broken)
		return !side->error || (side->error == -EPIPE && !side->is_non_blocking);
	return !was_reset(relay, from);
}

/* what read(2) and its kin say. Return: were there bytes? */
static bool has_come(struct sluice_relay *relay, unsigned int from, ssize_t n)
{
	struct relay_side *side = &relay->sides[from];

	if (n > 0)
		return true;
	if (n < 0 && errno == EINTR)
		return false;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && !side->is_broken) {
		side->may_read = false;
		return false;
	}
	relay->ways[from].is_whole = n == 0 && is_end(relay, from);
	if (!relay->ways[from].is_whole)
		relay_break(relay, from, n < 0 ? -errno : -ECONNRESET);
	end_reading(relay, from);
	return false;
}

/* of those that wait for long, no more than they need. Return: as @buffer */
static struct relay_buffer *shrunk(struct relay_pool *pool, struct relay_buffer *buffer)
{
	struct relay_buffer *small = malloc(sizeof(*small) + buffer->n);

	if (!small)
		return buffer;
	*small = (struct relay_buffer){ .n = buffer->n, .is_urgent = buffer->is_urgent };
	memcpy(small->bytes, buffer->bytes, buffer->n);
	relay_pool_give_buffer(pool, buffer);
	return small;
}

static void take_buffer(struct sluice_relay *relay, unsigned int from, struct relay_buffer *buffer)
{
	struct relay_way *way = &relay->ways[from];

	if (relay_is_shaped(&relay->set->shape)) {
		uint64_t due_us = relay_shape_due(relay, from, buffer->n);

		buffer = shrunk(&relay->set->pool, buffer);
		buffer->due_us = due_us;
	}
	append(way, buffer);
}

/* there is no memory now */
static void starve(struct sluice_relay *relay, struct relay_side *side)
{
	side->may_read = false;
	side->is_starved = true;
	relays_wake_at(relay->set, &relay->timers[0], relays_now_us(relay->set) + RELAY_RETRY_US);
}

/* a pipe is of use for what comes in large pieces */
static void count_bulk(struct relay_way *way, size_t n)
{
	if (n < RELAY_TRICKLE_BYTES)
		way->n_bulk = 0;
	else if (way->n_bulk < RELAY_BULK_BYTES)
		way->n_bulk += (uint32_t)n;
}

/* Reads stop at an urgent byte, and the next one leaves it out. Return: 1: it is in @buffer */
static ssize_t read_urgent(const struct relay_side *side, struct relay_buffer *buffer)
{
	int is_there = 0;

	if (!side->is_urgent || ioctl(side->fd, SIOCATMARK, &is_there) < 0 || !is_there)
		return 0;
	return recv(side->fd, buffer->bytes, 1, MSG_DONTWAIT | MSG_OOB);
}

static void read_buffer(struct sluice_relay *relay, unsigned int from, size_t room)
{
	struct relay_side *side = &relay->sides[from];
	struct relay_way *way = &relay->ways[from];
	struct relay_buffer *buffer = relay_pool_buffer(&relay->set->pool);
	size_t most = MIN(room, RELAY_BUFFER_BYTES);
	ssize_t n;

	if (!buffer) {
		starve(relay, side);
		return;
	}
	n = read_urgent(side, buffer);
	buffer->is_urgent = n == 1;
	if (n != 1) /* or it has gone already */
		n = recv(side->fd, buffer->bytes, most, MSG_DONTWAIT);
	if (!has_come(relay, from, n)) {
		relay_pool_give_buffer(&relay->set->pool, buffer);
		return;
	}
	buffer->n = (uint32_t)n;
	count_bulk(way, (size_t)n);
	/* less than there was room for was all: what comes from now on is another edge */
	if ((size_t)n < most && !side->has_hung_up && !side->is_urgent && !side->is_broken)
		side->may_read = false;
	take_buffer(relay, from, buffer);
}

/* what recv(2) and send(2) are told each time, splice(2) looks for in the descriptor */
static bool is_non_blocking(struct relay_side *side)
{
	int on = 1;

	side->is_non_blocking = side->is_non_blocking || ioctl(side->fd, FIONBIO, &on) == 0;
	return side->is_non_blocking;
}

/* Return: is there a pipe? If not, what comes is read as before, and it is tried again later */
static bool fill_pipe(struct sluice_relay *relay, unsigned int from)
{
	struct relay_way *way = &relay->ways[from];
	ssize_t n;

	if (!relay->sides[from].is_urgent && is_non_blocking(&relay->sides[from]) &&
	    is_non_blocking(&relay->sides[!from]))
		way->pipe = relay_pool_pipe(&relay->set->pool);
	if (!way->pipe) {
		way->n_bulk = 0;
		return false;
	}
	n = splice(relay->sides[from].fd, NULL, way->pipe->in, NULL, SLUICE_RELAY_WAITING_MAX,
		   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n == 0 || !has_come(relay, from, n)) {
		relay->sides[from].is_urgent |= n == 0; /* or it is the end, which looks so, too */
		way->n_bulk = n ? way->n_bulk : 0;
		relay_way_drop(relay->set, way);
		return true;
	}
	way->n_waiting = (uint32_t)n;
	count_bulk(way, (size_t)n);
	return true;
}

/* Return: bytes */
static size_t discard(struct sluice_relay *relay, unsigned int from)
{
	struct relay_side *side = &relay->sides[from];
	struct relay_buffer *buffer = relay_pool_buffer(&relay->set->pool);
	size_t n_bytes = 0;

	while (buffer && side->may_read && n_bytes < RELAY_TURN_BYTES) {
		/* TCP copies nothing then */
		ssize_t n =
			recv(side->fd, buffer->bytes, RELAY_BUFFER_BYTES, MSG_DONTWAIT | MSG_TRUNC);

		if (has_come(relay, from, n))
			n_bytes += (size_t)n;
	}
	if (buffer)
		relay_pool_give_buffer(&relay->set->pool, buffer);
	else
		starve(relay, side);
	return n_bytes;
}

static void fill(struct sluice_relay *relay, unsigned int from)
{
	struct relay_way *way = &relay->ways[from];
	bool is_shaped = relay_is_shaped(&relay->set->shape);
	size_t room = is_shaped ? relay_shape_room(relay, from) : RELAY_BUFFER_BYTES;

	if (!room)
		return;
	if (is_shaped || way->n_bulk < RELAY_BULK_BYTES || !fill_pipe(relay, from))
		read_buffer(relay, from, room);
}

/* Return: may there be more to do for it in this turn? */
static bool may_fill(struct sluice_relay *relay, unsigned int from)
{
	const struct relay_way *way = &relay->ways[from];

	if (way->has_read_end || !relay->sides[from].may_read || way->pipe)
		return false;
	return relay_is_shaped(&relay->set->shape) ? relay_shape_room(relay, from) > 0
						   : !way->first;
}

bool relay_has_more(struct sluice_relay *relay, unsigned int from)
{
	const struct relay_way *way = &relay->ways[from];

	if (way->is_discarded)
		return !way->has_read_end && relay->sides[from].may_read;
	return !way->has_ended && may_fill(relay, from);
}

/* who will be reset must not take that for the end of what it reads, unless that has come before the reset */
static bool is_to_be_told(const struct sluice_relay *relay, unsigned int from)
{
	return relay->state < RELAY_BROKEN || (relay->state == RELAY_BROKEN &&
					       relay->broken == from && relay->ways[from].is_whole);
}

static uint64_t n_read(const struct relay_way *way)
{
	return way->bytes + way->n_waiting;
}

size_t relay_move(struct sluice_relay *relay, unsigned int from)
{
	struct relay_way *way = &relay->ways[from];
	uint64_t before = n_read(way), n_bytes = way->bytes;

	if (way->is_discarded) {
		n_bytes = discard(relay, from);
		way->has_ended |= way->has_read_end;
		return n_bytes;
	}
	if (way->has_ended)
		return 0;
	relay_flush(relay, from);
	while (may_fill(relay, from) && n_read(way) - before < RELAY_TURN_BYTES) {
		fill(relay, from);
		relay_flush(relay, from);
	}
	if (way->has_read_end && !way->first && !way->pipe && is_to_be_told(relay, from))
		relay_end_writing(relay, from);
	return (size_t)(way->bytes - n_bytes);
}
