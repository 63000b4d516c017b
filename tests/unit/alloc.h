/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Memory that runs out
 *
 * Linked into a test, alloc.c stands before malloc() and its kin for everything in the
 * process, the libraries included. It counts what is asked for between alloc_enter() and
 * alloc_leave(), which is what the tested code does and the test around it does not, and
 * refuses what it was told to.
 */

#include <stdbool.h>
#include <stdint.h>

/**
 * struct alloc_counts - which one fails, and what came of it
 * @nth:      from 1; 0: none
 * @n:        allocations so far
 * @n_blocks: that were not freed; alloc.c leaves it to who knows when to look
 */
struct alloc_counts {
	uint32_t nth, is_always, n, has_failed, n_blocks;
};

/**
 * alloc_share() - from now on these are one for all processes that are forked of this one, and
 * for those that map the same file; who is killed leaves what it has counted
 * @path: of a file that holds them; NULL: in none
 *
 * Return: them, or NULL: there is no such file.
 */
struct alloc_counts *alloc_share(const char *path);

/** alloc_fail() - from now on the @nth allocation (from 1) fails; @is_always: and all behind it */
void alloc_fail(unsigned int nth, bool is_always);
/** alloc_forgive() - from now on there is memory again */
void alloc_forgive(void);
/** alloc_has_failed() - has any since alloc_fail()? */
bool alloc_has_failed(void);
/** alloc_count() - how many there were since then */
unsigned int alloc_count(void);

/** alloc_blocks() - of this process, now, whoever made them */
unsigned int alloc_blocks(void);

/** alloc_is_refused() - counts as one, for what stands for many. Return: is it the one that fails? */
bool alloc_is_refused(void);

/** alloc_spare_names() - strdup() does not fail meanwhile */
void alloc_spare_names(bool is_spared);

/** alloc_has_parser_failed() - did json-c's parser have no memory, and nothing before it? alloc-json.c */
bool alloc_has_parser_failed(void);

void alloc_enter(void);
void alloc_leave(void);

/** alloc_tell_fn - a story in which the @nth allocation fails. Return: did it, or was it over before? */
typedef bool (*alloc_tell_fn)(unsigned int nth, bool is_always, void *data);

/**
 * alloc_tell_each() - a story once for each of its allocations, and once in which none fails
 * @step: over the places, where all that differ little need not be told
 *
 * Fails unless there are more than @n_least tellings with a failure, and not more than @n_most.
 */
void alloc_tell_each(alloc_tell_fn tell, void *data, bool is_always, unsigned int step,
		     unsigned int n_least, unsigned int n_most);

/**
 * alloc_be() - the child of a telling becomes the process that is tested, and ends as that does
 * @main_fn: its main(), by another name
 * @channel: its descriptor 3; @err: its stderr
 * @n_blocks: shared with the test: of memory, that are left at its end
 */
_Noreturn void alloc_be(int (*main_fn)(void), int channel, int err, unsigned int *n_blocks);
