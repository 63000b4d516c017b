/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include "flow/slots.h"

/* some neighbours: those that were used before are in a list, the others behind them */
struct chunk {
	uint32_t free; /* number of a place, 0: none */
	uint16_t n_used, n_touched;
};

struct slots {
	uint8_t *room;
	size_t size, n_max, n_chunks;
	size_t lowest; /* no chunk before it has a free place */
	size_t n_touched_chunks;
	struct chunk chunks[];
};

static size_t room_bytes(const struct slots *slots)
{
	return slots->n_chunks * SLOTS_A_CHUNK * slots->size;
}

int slots_new(size_t n_max, size_t size, struct slots **ret_slots)
{
	size_t n_chunks = (n_max + SLOTS_A_CHUNK - 1) / SLOTS_A_CHUNK;
	struct slots *slots = calloc(1, sizeof(*slots) + n_chunks * sizeof(slots->chunks[0]));

	if (!slots)
		return -ENOMEM;
	slots->size = size;
	slots->n_max = n_max;
	slots->n_chunks = n_chunks;
	slots->room = mmap(NULL, room_bytes(slots), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slots->room == MAP_FAILED) {
		free(slots);
		return -ENOMEM;
	}
	/* where the kernel prefers large pages, the first flow would take 2 MB */
	(void)madvise(slots->room, room_bytes(slots), MADV_NOHUGEPAGE);
	*ret_slots = slots;
	return 0;
}

struct slots *slots_free(struct slots *slots)
{
	if (!slots)
		return NULL;
	(void)munmap(slots->room, room_bytes(slots));
	free(slots);
	return NULL;
}

void *slots_at(const struct slots *slots, uint32_t number)
{
	return number ? slots->room + (number - 1) * slots->size : NULL;
}

uint32_t slots_number(const struct slots *slots, const void *slot)
{
	return (uint32_t)((size_t)((const uint8_t *)slot - slots->room) / slots->size) + 1;
}

static size_t places_of(const struct slots *slots, size_t chunk)
{
	return MIN(slots->n_max - chunk * SLOTS_A_CHUNK, SLOTS_A_CHUNK);
}

void *slots_take(struct slots *slots)
{
	struct chunk *chunk;
	uint32_t number;
	size_t i;

	for (i = slots->lowest; i < slots->n_chunks; i++)
		if (slots->chunks[i].n_used < places_of(slots, i))
			break;
	slots->lowest = i;
	if (i == slots->n_chunks)
		return NULL;
	chunk = &slots->chunks[i];
	slots->n_touched_chunks = MAX(slots->n_touched_chunks, i + 1);
	chunk->n_used++;
	number = chunk->free;
	if (number)
		memcpy(&chunk->free, slots_at(slots, number), sizeof(chunk->free));
	else
		number = (uint32_t)(i * SLOTS_A_CHUNK + ++chunk->n_touched);
	return slots_at(slots, number);
}

void slots_give_back(struct slots *slots, void *slot)
{
	uint32_t number = slots_number(slots, slot);
	size_t i = (number - 1) / SLOTS_A_CHUNK;
	struct chunk *chunk = &slots->chunks[i];

	memcpy(slot, &chunk->free, sizeof(chunk->free));
	chunk->free = number;
	chunk->n_used--;
	slots->lowest = MIN(slots->lowest, i);
}

uint32_t slots_n_touched(const struct slots *slots)
{
	return (uint32_t)MIN(slots->n_touched_chunks * SLOTS_A_CHUNK, slots->n_max);
}

/* the pages that are a chunk's alone. Return: bytes */
static size_t give_back_pages(const struct slots *slots, size_t chunk)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n_bytes = SLOTS_A_CHUNK * slots->size;
	size_t begin = (chunk * n_bytes + page - 1) / page * page;
	size_t end = (chunk + 1) * n_bytes / page * page;

	if (begin >= end || madvise(slots->room + begin, end - begin, MADV_DONTNEED) < 0)
		return 0;
	return end - begin;
}

size_t slots_trim(struct slots *slots)
{
	size_t n = 0, end = 0;

	for (size_t i = 0; i < slots->n_touched_chunks; i++) {
		struct chunk *chunk = &slots->chunks[i];

		if (chunk->n_touched && !chunk->n_used) {
			n += give_back_pages(slots, i);
			*chunk = (struct chunk){ 0 };
		}
		if (chunk->n_touched)
			end = i + 1;
	}
	slots->n_touched_chunks = end;
	return n;
}
