/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Places that users share
 *
 * A fixed number of places, numbered from 1, for a cache whose entries lie in
 * the caller's own array. A place in use belongs to a user and to a hash. When
 * none is left the one used least recently goes; one user can hold half of
 * them, so that no user can push out what is remembered of all the others.
 *
 * Pure: no descriptor, no clock, no allocation after shares_new().
 */

#include <stddef.h>
#include <stdint.h>

struct shares;

/**
 * shares_new() - @n_max places, a power of two, all free
 * @seed: random: keeps others from choosing what falls into one bucket
 *
 * Return: 0 or -ENOMEM.
 */
int shares_new(uint32_t n_max, uint64_t seed, struct shares **ret_shares);

/** shares_free() - NULL is fine. Return: NULL */
struct shares *shares_free(struct shares *shares);

/** shares_hash() - of any bytes, for the functions below */
uint64_t shares_hash(const struct shares *shares, const void *bytes, size_t n_bytes);

/** shares_first(), shares_next() - places in use whose hash may be @hash; 0 ends. A place may be
 *  given back once its next one is known. */
uint32_t shares_first(const struct shares *shares, uint64_t hash);
uint32_t shares_next(const struct shares *shares, uint32_t place);

/** shares_victim() - the place to be given back before @uid can take one; 0: none */
uint32_t shares_victim(const struct shares *shares, uint32_t uid);

/** shares_take() - a free place, the newest in use from now on; shares_victim() has said 0 */
uint32_t shares_take(struct shares *shares, uint32_t uid, uint64_t hash);

/** shares_give_back() - a place in use becomes free */
void shares_give_back(struct shares *shares, uint32_t place);

/** shares_touch() - it was used: the newest now */
void shares_touch(struct shares *shares, uint32_t place);

/** shares_count() - places in use; of one user */
uint32_t shares_count(const struct shares *shares);
uint32_t shares_count_of(const struct shares *shares, uint32_t uid);
