/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Packets that packet filters are asked about
 *
 * Numbers count up as packets come, and a packet waits in a ring until each filter
 * that was asked has allowed it, or one has dropped it. One that is delayed moves to
 * a table of its own, so that the ring goes on. Who does not answer in time fails,
 * and fails at once from then on, until it has answered what it was told last: a
 * network does not wait for the deadline of each packet. Who has answered later ones
 * in time loses the one that it has passed over. Who fails, and gives a sign of life
 * all the same, is asked of one packet as a trial: if the last one was passed over,
 * no answer to it will ever come.
 *
 * Places are shared by users: each may have as many as are free (abi/sluice-abi.h).
 *
 * Pure: it takes time and verdicts, and gives what becomes of packets.
 */

#include <stdbool.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

#define ASKED_MAX SL_PACKET_PLACES /* a power of two */
#define ASKED_DELAYED_MAX 1024U
#define ASKED_FILTERS_MAX 16U
#define ASKED_DEADLINE_US 1000000U
#define ASKED_DELAY_US 10000000U

enum asked_verdict { ASKED_ALLOW, ASKED_DROP, ASKED_DELAY };
enum asked_fate { ASKED_PASSES, ASKED_IS_DROPPED, ASKED_AGAIN /* it is to be added anew */ };

struct asked;

/** asked_fn - @handle of asked_add() is decided; nothing of the table may be called */
typedef void (*asked_fn)(uint64_t handle, unsigned int crowd, enum asked_fate fate, void *data);

/** asked_new() - @closed: a bit for each filter that fails closed: asked_set_closed() */
int asked_new(asked_fn fn, void *data, struct asked **ret_asked);
struct asked *asked_free(struct asked *asked);
void asked_set_closed(struct asked *asked, uint16_t closed);

/** asked_n() - in the ring; asked_n_delayed(): beside it */
unsigned int asked_n(const struct asked *asked);
unsigned int asked_n_delayed(const struct asked *asked);
/** asked_room() - so many can be added */
unsigned int asked_room(const struct asked *asked);

/** asked_crowds() - how many wait, delayed or not, by sl_crowd_of() their user */
const uint16_t *asked_crowds(const struct asked *asked);
/** asked_has_place() - has this crowd a place left? */
bool asked_has_place(const struct asked *asked, unsigned int crowd);

/**
 * asked_add() - a packet that has a place, and there is room
 * @crowd:   of its user
 * @filters: a bit for each that is asked, not 0
 *
 * Return: its number
 */
uint64_t asked_add(struct asked *asked, uint64_t handle, unsigned int crowd, uint16_t filters,
		   uint64_t now_us);
/** asked_told() - a filter has been told of the packets up to this one */
void asked_told(struct asked *asked, unsigned int filter, uint64_t id);

/** struct asked_outcome - of what one filter has said */
struct asked_outcome {
	unsigned int n_taken, n_dropped, n_delayed;
	uint32_t n_late;       /* of packets that do not wait for it */
	unsigned int n_failed; /* there was no place to delay it: its fail class */
};

/** asked_answer() - a filter's verdict on numbers @first to @first + @n - 1 */
void asked_answer(struct asked *asked, unsigned int filter, uint64_t first, uint32_t n,
		  enum asked_verdict verdict, uint64_t now_us, struct asked_outcome *ret_outcome);

/** asked_is_late() - it is not to be asked now */
bool asked_is_late(const struct asked *asked, unsigned int filter);
/** asked_heard() - it reads what it is told: if it is late, the next packet is its trial */
void asked_heard(struct asked *asked, unsigned int filter);

/** asked_lose() - the process of this filter is gone: what waits for it waits for the next one */
void asked_lose(struct asked *asked, unsigned int filter);
/** asked_again() - which is there, and knows nothing of it: all others are asked again as well */
void asked_again(struct asked *asked, unsigned int filter);
/** asked_fail() - there is no next one: what waits for it fails. Return: how many */
unsigned int asked_fail(struct asked *asked, unsigned int filter);

/** asked_tick() - who is late fails. @ret_n_failed: added to, by filter */
void asked_tick(struct asked *asked, uint64_t now_us, uint64_t ret_n_failed[ASKED_FILTERS_MAX]);

/** asked_postpone() - nobody ran for @us */
void asked_postpone(struct asked *asked, uint64_t us);
