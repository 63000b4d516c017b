/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Places of one size
 *
 * Room for all of them is taken once, so that a place has a number and never moves;
 * but a page of it costs memory only from its first use on, and no more once
 * slots_trim() finds that nobody uses it or its neighbours. The place taken is one
 * of the lowest, so that use gathers there and the rest becomes free.
 *
 * Pure: no descriptor, no clock, no allocation after slots_new().
 */

#include <stddef.h>
#include <stdint.h>

#define SLOTS_A_CHUNK 128U /* given back together: the pages that hold nothing else */

struct slots;

/** slots_new() - @n_max places of @size bytes, a multiple of 8. Return: 0 or -ENOMEM. */
int slots_new(size_t n_max, size_t size, struct slots **ret_slots);

/** slots_free() - NULL is fine. Return: NULL */
struct slots *slots_free(struct slots *slots);

/** slots_take() - a place with anything in it, or zeroes. Return: NULL: all are in use. */
void *slots_take(struct slots *slots);
/** slots_give_back() - its first four bytes are not the user's any more */
void slots_give_back(struct slots *slots, void *slot);

/** slots_at() - place @number, from 1 on; 0: NULL */
void *slots_at(const struct slots *slots, uint32_t number);
/** slots_number() - the other way round */
uint32_t slots_number(const struct slots *slots, const void *slot);

/** slots_n_touched() - places with larger numbers are not used, and are zeroes or as they were given
 * back */
uint32_t slots_n_touched(const struct slots *slots);

/** slots_trim() - what lies around no place in use goes back to the kernel. Return: bytes. */
size_t slots_trim(struct slots *slots);
