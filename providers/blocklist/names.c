/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

#define ENTRY_HEADER_BYTES 7U
#define SLOTS_FIRST 64U
#define BLOB_FIRST 4096U

/* FNV-1a, 64 bit */
#define HASH_START 0xcbf29ce484222325ULL
#define HASH_PRIME 0x100000001b3ULL

static uint64_t hash_step(uint64_t hash, char c)
{
	return (hash ^ (uint8_t)c) * HASH_PRIME;
}

/* FNV leaves the upper bits poor for short names, and the tag is made of them */
static uint64_t hash_finish(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

static uint64_t hash_name(const char *text, size_t length)
{
	uint64_t hash = HASH_START;

	while (length--)
		hash = hash_step(hash, text[length]);
	return hash_finish(hash);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static struct names_hit read_entry(const struct names *names, uint32_t offset)
{
	const uint8_t *entry = names->blob + offset - 1;
	struct names_hit hit = { .length = entry[6],
				 .text = (const char *)entry + ENTRY_HEADER_BYTES };

	memcpy(&hit.line, entry, sizeof(hit.line));
	memcpy(&hit.list, entry + 4, sizeof(hit.list));
	return hit;
}

static int is_same(const struct names_hit *hit, const char *text, size_t length)
{
	if (hit->length != length)
		return 0;
	for (size_t i = 0; i < length; i++)
		if (hit->text[i] != lower(text[i]))
			return 0;
	return 1;
}

/* Return: the slot of a name, or the empty one where it belongs */
static struct names_slot *find_slot(const struct names *names, uint64_t hash, const char *text,
				    size_t length)
{
	size_t mask = names->n_slots - 1;
	uint32_t tag = (uint32_t)(hash >> 32);

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct names_slot *slot = &names->slots[i];
		struct names_hit hit;

		if (slot->offset == 0)
			return slot;
		if (slot->tag != tag)
			continue;
		hit = read_entry(names, slot->offset);
		if (is_same(&hit, text, length))
			return slot;
	}
}

static int grow_slots(struct names *names)
{
	size_t n_slots = names->n_slots ? names->n_slots * 2 : SLOTS_FIRST;
	struct names_slot *old = names->slots;
	size_t n_old = names->n_slots;

	names->slots = calloc(n_slots, sizeof(*names->slots));
	if (!names->slots) {
		names->slots = old;
		return -ENOMEM;
	}
	names->n_slots = n_slots;
	for (size_t i = 0; i < n_old; i++) {
		struct names_hit hit;

		if (old[i].offset == 0)
			continue;
		hit = read_entry(names, old[i].offset);
		*find_slot(names, hash_name(hit.text, hit.length), hit.text, hit.length) = old[i];
	}
	free(old);
	return 0;
}

static int grow_blob(struct names *names, size_t n_more)
{
	size_t size = names->blob_size ? names->blob_size : BLOB_FIRST;
	uint8_t *blob;

	if (names->n_blob + n_more <= names->blob_size)
		return 0;
	if (names->n_blob + n_more >= UINT32_MAX)
		return -EFBIG;
	while (size < names->n_blob + n_more)
		size += size / 2;
	blob = realloc(names->blob, size);
	if (!blob)
		return -ENOMEM;
	names->blob = blob;
	names->blob_size = size;
	return 0;
}

static uint32_t append_entry(struct names *names, const char *text, size_t length, uint16_t list,
			     uint32_t line)
{
	uint8_t *entry = names->blob + names->n_blob;
	uint32_t offset = (uint32_t)names->n_blob + 1;

	memcpy(entry, &line, sizeof(line));
	memcpy(entry + 4, &list, sizeof(list));
	entry[6] = (uint8_t)length;
	memcpy(entry + ENTRY_HEADER_BYTES, text, length);
	names->n_blob += ENTRY_HEADER_BYTES + length;
	return offset;
}

int names_add(struct names *names, const char *text, size_t length, uint16_t list, uint32_t line)
{
	uint64_t hash = hash_name(text, length);
	struct names_slot *slot;
	int r;

	if (names->n >= names->n_slots / 8 * 5) {
		r = grow_slots(names);
		if (r)
			return r;
	}
	slot = find_slot(names, hash, text, length);
	if (slot->offset)
		return 0;
	r = grow_blob(names, ENTRY_HEADER_BYTES + length);
	if (r)
		return r;
	slot->tag = (uint32_t)(hash >> 32);
	slot->offset = append_entry(names, text, length, list, line);
	names->n++;
	return 0;
}

int names_find(const struct names *names, const char *host, struct names_hit *ret_hit)
{
	size_t length = strnlen(host, NAMES_LENGTH_MAX + 2);
	uint64_t hash = HASH_START;
	uint32_t found = 0;

	if (length > 0 && host[length - 1] == '.')
		length--;
	if (length == 0 || length > NAMES_LENGTH_MAX || names->n == 0)
		return 0;
	for (size_t start = length; start-- > 0;) {
		struct names_slot *slot;

		hash = hash_step(hash, lower(host[start]));
		/* a match ends where a label begins: bads.example is not in ads.example */
		if (start > 0 && host[start - 1] != '.')
			continue;
		slot = find_slot(names, hash_finish(hash), host + start, length - start);
		if (slot->offset)
			found = slot->offset;
	}
	if (!found)
		return 0;
	*ret_hit = read_entry(names, found);
	return 1;
}

void names_deinit(struct names *names)
{
	free(names->blob);
	free(names->slots);
	*names = (struct names){ 0 };
}
