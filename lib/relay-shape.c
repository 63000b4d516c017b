/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Links that are slower than they are
 *
 * Each way of a set is one link, which its relays share: bytes take their time on it one after
 * the other, and arrive the delay later. Nothing is read that the link has no time for soon, so
 * that back-pressure is as on a slow link with a short queue.
 */

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/macros.h"
#include "lib/relay-internal.h"

#define QUEUE_US 10000U	     /* of the link: what it will have sent by then may be read */
#define PIECES_A_SECOND 100U /* at least, so that relays take turns */
#define PIECE_BYTES_LEAST 512U
#define BUFFERS_MAX 4096U /* of a way: they cost something, too, if they are small */
#define DELAY_MAX_US 60000000U
#define SECOND_US 1000000U

static size_t piece(const struct relay_shape *shape)
{
	uint64_t n = shape->rate / PIECES_A_SECOND;

	if (!shape->rate || n > RELAY_BUFFER_BYTES)
		return RELAY_BUFFER_BYTES;
	return MAX(n, PIECE_BYTES_LEAST);
}

size_t relay_shape_room(struct sluice_relay *relay, unsigned int from)
{
	const struct relay_shape *shape = &relay->set->shape;
	const struct relay_way *way = &relay->ways[from];
	uint64_t now_us = relays_now_us(relay->set);

	if (way->n_buffers >= BUFFERS_MAX)
		return 0; /* it is woken when the first of them is due */
	if (shape->rate && shape->free_us[from] > now_us + QUEUE_US) {
		relays_wake_at(relay->set, &relay->timers[from], shape->free_us[from] - QUEUE_US);
		return 0;
	}
	return MIN(piece(shape), SLUICE_RELAY_SHAPED_MAX - way->n_waiting);
}

/* from -jitter to +jitter */
static int64_t roll(struct relay_shape *shape)
{
	if (!shape->jitter_us)
		return 0;
	shape->random = hash_mix(shape->random, 1);
	return (int64_t)(shape->random % (2 * (uint64_t)shape->jitter_us + 1)) - shape->jitter_us;
}

uint64_t relay_shape_due(struct sluice_relay *relay, unsigned int from, size_t n)
{
	struct relay_shape *shape = &relay->set->shape;
	uint64_t due_us = relays_now_us(relay->set);

	if (shape->rate) {
		relays_serve(relay->set, &relay->timers[from]);
		due_us = MAX(due_us, shape->free_us[from]) + n * SECOND_US / shape->rate;
		shape->free_us[from] = due_us;
	}
	return (uint64_t)((int64_t)due_us + shape->delay_us + roll(shape));
}

int sluice_relays_shape(struct sluice_relays *relays, const struct sluice_relay_shape *shape)
{
	struct sluice_relay_shape known = { 0 };

	if (shape) {
		for (size_t i = sizeof(known); i < shape->size; i++)
			if (((const uint8_t *)shape)[i])
				return -E2BIG;
		memcpy(&known, shape, MIN(shape->size, sizeof(known)));
	}
	if (known.jitter_us > known.delay_us || known.delay_us > DELAY_MAX_US)
		return -EINVAL;
	relays->shape = (struct relay_shape){ .rate = known.rate,
					      .delay_us = known.delay_us,
					      .jitter_us = known.jitter_us };
	if (known.jitter_us)
		(void)!getrandom(&relays->shape.random, sizeof(relays->shape.random), 0);
	return 0;
}
