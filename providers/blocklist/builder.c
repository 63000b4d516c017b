/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"

#define BLOCK_FIRST 1024U
#define BLOCK_MAX 8192U
#define ENTRY_MAX (TABLE_ENTRY_BYTES + NAME_PACKED_MAX + 1U + NAME_LENGTH_MAX)
#define KIND_FLAGS (TABLE_ALLOW | TABLE_IMPORTANT | TABLE_PATTERN)
#define SORT_FEW 16U

/* entries of one part: as they came, and later as they are in the file */
struct builder_block {
	struct builder_block *next;
	size_t n_bytes, size;
	uint8_t bytes[];
};

static size_t write_entry(uint8_t *at, const struct builder_entry *entry, uint64_t *ret_hash)
{
	uint32_t line = entry->line > TABLE_LINE_MAX ? 0 : entry->line;
	size_t length = strlen(entry->name);
	size_t n = TABLE_ENTRY_BYTES + name_packed_bytes(length);

	at[0] = (uint8_t)length;
	at[1] = (uint8_t)entry->flags;
	at[2] = (uint8_t)line;
	at[3] = (uint8_t)(line >> 8);
	at[4] = (uint8_t)(line >> 16);
	(void)name_pack(entry->name, length, at + TABLE_ENTRY_BYTES, ret_hash);
	if (entry->pattern) {
		at[n] = (uint8_t)strlen(entry->pattern);
		memcpy(at + n + 1, entry->pattern, at[n]);
		n += 1U + at[n];
	}
	return n;
}

static size_t entry_bytes(const uint8_t *at)
{
	size_t n = TABLE_ENTRY_BYTES + name_packed_bytes(at[0]);

	return at[1] & TABLE_PATTERN ? n + 1U + at[n] : n;
}

/* room for @n bytes behind what is there. Return: NULL without memory */
static uint8_t *take_room(struct builder_blocks *blocks, size_t n)
{
	size_t size = blocks->last ? 2 * blocks->last->size : BLOCK_FIRST;
	struct builder_block *block = blocks->last;

	if (block && block->size - block->n_bytes >= n) {
		block->n_bytes += n;
		return block->bytes + block->n_bytes - n;
	}
	size = size > BLOCK_MAX ? BLOCK_MAX : size;
	block = malloc(sizeof(*block) + size);
	if (!block)
		return NULL;
	*block = (struct builder_block){ .n_bytes = n, .size = size };
	if (blocks->last)
		blocks->last->next = block;
	else
		blocks->first = block;
	blocks->last = block;
	return block->bytes;
}

int builder_add(struct builder *builder, const struct builder_entry *entry)
{
	struct builder_part *part;
	uint8_t bytes[ENTRY_MAX], *at;
	uint64_t hash;
	size_t n;

	if (builder->n_bytes + ENTRY_MAX > UINT32_MAX)
		return -EFBIG;
	n = write_entry(bytes, entry, &hash);
	part = &builder->parts[hash >> (64 - BUILDER_PART_BITS)];
	at = take_room(&part->blocks, n);
	if (!at)
		return -ENOMEM;
	memcpy(at, bytes, n);
	part->n++;
	builder->n++;
	builder->n_bytes += n;
	return 0;
}

static void free_blocks(struct builder_blocks *blocks)
{
	struct builder_block *block = blocks->first, *next;

	for (; block; block = next) {
		next = block->next;
		free(block);
	}
	*blocks = (struct builder_blocks){ 0 };
}

/* ---- in the order of hashes ---- */

struct key {
	uint64_t hash;
	uint8_t *at;	 /* the entry */
	uint32_t number; /* in the list, among those of its part */
};

/* of one part after the other; the largest has room */
struct sorting {
	struct key *unsorted, *keys;
	uint32_t *starts; /* in @keys, of those that begin with the same few bits */
	unsigned int bits;
};

static void sorting_deinit(struct sorting *sorting)
{
	free(sorting->unsorted);
	free(sorting->keys);
	free(sorting->starts);
}

static int sorting_init(struct sorting *sorting, const struct builder *builder)
{
	size_t n_max = 1;

	for (size_t i = 0; i < BUILDER_PARTS; i++)
		n_max = builder->parts[i].n > n_max ? builder->parts[i].n : n_max;
	while (sorting->bits < 31 && (size_t)TABLE_BUCKET_NAMES << sorting->bits < n_max)
		sorting->bits++;
	sorting->unsorted = malloc(n_max * sizeof(*sorting->unsorted));
	sorting->keys = malloc(n_max * sizeof(*sorting->keys));
	sorting->starts = malloc((((size_t)1 << sorting->bits) + 1) * sizeof(*sorting->starts));
	return sorting->unsorted && sorting->keys && sorting->starts ? 0 : -ENOMEM;
}

/* the bits behind those that all of its part begin with */
static size_t few_bits(const struct sorting *sorting, uint64_t hash)
{
	return sorting->bits ? (size_t)(hash << BUILDER_PART_BITS >> (64 - sorting->bits)) : 0;
}

/* hashes are made again: to keep them would take half as much as the names */
static void read_keys(struct key *keys, const struct builder_part *part)
{
	struct builder_block *block;
	uint32_t n = 0;

	for (block = part->blocks.first; block; block = block->next)
		for (uint8_t *at = block->bytes; at < block->bytes + block->n_bytes; n++) {
			keys[n] = (struct key){ .at = at, .number = n };
			(void)name_check(at + TABLE_ENTRY_BYTES, at[0], &keys[n].hash);
			at += entry_bytes(at);
		}
}

/* counting sort: starts[i] is where the next one of these goes, in the end where they end */
static void fill(struct sorting *sorting, const struct builder_part *part)
{
	const struct key *keys = sorting->unsorted;
	uint32_t start = 0;

	read_keys(sorting->unsorted, part);
	memset(sorting->starts, 0, ((1UL << sorting->bits) + 1) * sizeof(*sorting->starts));
	for (size_t i = 0; i < part->n; i++)
		sorting->starts[few_bits(sorting, keys[i].hash)]++;
	for (size_t i = 0; i < (size_t)1 << sorting->bits; i++) {
		uint32_t n = sorting->starts[i];

		sorting->starts[i] = start;
		start += n;
	}
	for (size_t i = 0; i < part->n; i++)
		sorting->keys[sorting->starts[few_bits(sorting, keys[i].hash)]++] = keys[i];
}

/* equal names and kinds side by side, in the order of the list */
static int compare(const void *a, const void *b)
{
	const struct key *one = a, *other = b;
	const uint8_t *x = one->at, *y = other->at;
	int r;

	if (one->hash != other->hash)
		return one->hash < other->hash ? -1 : 1;
	r = (int)x[0] - (int)y[0];
	if (!r)
		r = memcmp(x + TABLE_ENTRY_BYTES, y + TABLE_ENTRY_BYTES, name_packed_bytes(x[0]));
	if (!r)
		r = (x[1] & KIND_FLAGS) - (y[1] & KIND_FLAGS);
	return r ? r : (one->number > other->number) - (one->number < other->number);
}

/* three as a rule; any number, if the list repeats itself */
static void sort_few(struct key *keys, size_t n)
{
	if (n > SORT_FEW) {
		qsort(keys, n, sizeof(*keys), compare);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct key key = keys[i];
		size_t k = i;

		for (; k > 0 && compare(&key, &keys[k - 1]) < 0; k--)
			keys[k] = keys[k - 1];
		keys[k] = key;
	}
}

static void sort(struct sorting *sorting, const struct builder_part *part)
{
	uint32_t start = 0;

	fill(sorting, part);
	for (size_t i = 0; i < (size_t)1 << sorting->bits; i++) {
		sort_few(sorting->keys + start, sorting->starts[i] - start);
		start = sorting->starts[i];
	}
}

/* ---- what the file has of them ---- */

static int is_same(const uint8_t *x, const uint8_t *y)
{
	return x[0] == y[0] && (x[1] & KIND_FLAGS) == (y[1] & KIND_FLAGS) &&
	       memcmp(x + TABLE_ENTRY_BYTES, y + TABLE_ENTRY_BYTES, name_packed_bytes(x[0])) == 0;
}

/* known when all lines were read; its pattern stands for the line */
static void note_too_many(const uint8_t *at, struct list_report *report)
{
	const uint8_t *pattern = at + TABLE_ENTRY_BYTES + name_packed_bytes(at[0]);
	struct list_bad *bad;

	report->n_of[LIST_E_WILDCARD]++;
	if (report->n_bad++ >= LIST_BAD_KEPT)
		return;
	bad = &report->bad[report->n_bad - 1];
	bad->line = at[2] | (uint32_t)at[3] << 8 | (uint32_t)at[4] << 16;
	bad->error = LIST_E_WILDCARD;
	(void)snprintf(bad->text, sizeof(bad->text), "%.*s", pattern[0], (const char *)pattern + 1);
}

/* Return: how many of @n are left, in front */
static size_t merge(struct key *keys, size_t n, struct list_report *report)
{
	size_t n_left = 0, n_patterns = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t *at = keys[i].at;
		uint8_t *last = n_left ? keys[n_left - 1].at : at;

		n_patterns = last != at && is_same(last, at) ? n_patterns + 1 : 0;
		if (n_patterns && !(at[1] & TABLE_PATTERN)) {
			last[1] |= at[1];
		} else if (n_patterns >= BUILDER_PATTERNS_MAX) {
			note_too_many(at, report);
		} else {
			report->n_exceptions += !!(at[1] & TABLE_ALLOW);
			report->n_names += !(at[1] & TABLE_ALLOW);
			keys[n_left++] = keys[i];
		}
	}
	return n_left;
}

/* the file's index; ends of buckets are numbers of bytes until all parts are there */
struct index {
	uint32_t *words; /* as in the file */
	unsigned int bits;
};

static size_t bucket_of(const struct index *index, uint64_t hash)
{
	return index->bits ? (size_t)(hash >> (64 - index->bits)) : 0;
}

static int index_init(struct index *index, size_t n)
{
	while (index->bits < 31 && (size_t)TABLE_BUCKET_NAMES << index->bits < n)
		index->bits++;
	index->words = calloc(1, table_index_bytes(index->bits));
	return index->words ? 0 : -ENOMEM;
}

static void index_finish(struct index *index)
{
	uint32_t end = 0;

	for (size_t i = 0; i < (size_t)1 << index->bits; i++)
		index->words[2 * i] = end += index->words[2 * i];
}

/* its entries as in the file, instead of those that came. Return: 0 or -ENOMEM */
static int lay_out(struct builder *builder, struct builder_part *part, const struct key *keys,
		   struct index *index)
{
	struct builder_blocks sorted = { 0 };

	for (size_t i = 0; i < part->n; i++) {
		size_t n = entry_bytes(keys[i].at), bucket = bucket_of(index, keys[i].hash);
		uint8_t *at = take_room(&sorted, n);

		if (!at) {
			free_blocks(&sorted);
			return -ENOMEM;
		}
		memcpy(at, keys[i].at, n);
		builder->n_bytes += n;
		index->words[2 * bucket] += (uint32_t)n;
		index->words[2 * bucket + 1] |= table_class(keys[i].hash);
	}
	builder->n += part->n;
	free_blocks(&part->blocks);
	part->blocks = sorted;
	return 0;
}

/* one part after the other: small enough for a cache, where neighbours of the file lie anywhere */
static int lay_out_all(struct builder *builder, struct index *index, struct list_report *report)
{
	struct sorting sorting = { 0 };
	int r = sorting_init(&sorting, builder);

	builder->n = builder->n_bytes = 0;
	for (size_t i = 0; i < BUILDER_PARTS && !r; i++) {
		struct builder_part *part = &builder->parts[i];

		if (!part->n)
			continue;
		sort(&sorting, part);
		part->n = merge(sorting.keys, part->n, report);
		r = lay_out(builder, part, sorting.keys, index);
	}
	sorting_deinit(&sorting);
	return r;
}

static int put_all(const struct builder *builder, const struct table_head *head,
		   const struct index *index, const struct builder_sink *sink)
{
	int r = sink->put(head, sizeof(*head), sink->data);

	if (!r)
		r = sink->put(index->words, table_index_bytes(index->bits), sink->data);
	for (size_t i = 0; i < BUILDER_PARTS; i++) {
		const struct builder_block *block = builder->parts[i].blocks.first;

		for (; block && !r; block = block->next)
			r = sink->put(block->bytes, block->n_bytes, sink->data);
	}
	return r;
}

int builder_finish(struct builder *builder, const struct table_stamp *stamp,
		   const struct list_report *report, const struct builder_sink *sink)
{
	struct table_head head = { .magic = TABLE_MAGIC,
				   .version = TABLE_VERSION,
				   .n_bytes = sizeof(head),
				   .stamp = *stamp,
				   .report = *report };
	struct index index = { 0 };
	int r = index_init(&index, builder->n);

	head.report.n_names = head.report.n_exceptions = 0;
	if (!r)
		r = lay_out_all(builder, &index, &head.report);
	if (!r) {
		index_finish(&index);
		head.n_entries = (uint32_t)builder->n;
		head.bucket_bits = index.bits;
		head.file_bytes = sizeof(head) + table_index_bytes(index.bits) + builder->n_bytes;
		r = put_all(builder, &head, &index, sink);
	}
	free(index.words);
	return r;
}

void builder_deinit(struct builder *builder)
{
	for (size_t i = 0; i < BUILDER_PARTS; i++)
		free_blocks(&builder->parts[i].blocks);
	*builder = (struct builder){ 0 };
}
