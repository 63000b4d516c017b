/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"

#define BLOCK_BYTES (BUILDER_BLOCK_BYTES - sizeof(struct builder_block))
#define STREAM_BYTES 8192U
#define ENTRY_MAX (TABLE_ENTRY_BYTES + NAME_PACKED_MAX + 1U + NAME_LENGTH_MAX)
#define KIND_FLAGS (TABLE_ALLOW | TABLE_IMPORTANT | TABLE_PATTERN)
#define SORT_FEW 16U

/* entries of one part, as they came. What nobody has written to yet takes no memory */
struct builder_block {
	struct builder_block *next;
	size_t n_bytes;
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
	struct builder_block *block = blocks->last;

	if (block && BLOCK_BYTES - block->n_bytes >= n) {
		block->n_bytes += n;
		return block->bytes + block->n_bytes - n;
	}
	block = malloc(BUILDER_BLOCK_BYTES);
	if (!block)
		return NULL;
	*block = (struct builder_block){ .n_bytes = n };
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
	struct key *keys;
	uint32_t *starts, *ends; /* in @keys, of those that begin with the same few bits */
	unsigned int bits;
};

static void sorting_deinit(struct sorting *sorting)
{
	free(sorting->keys);
	free(sorting->starts);
	free(sorting->ends);
}

static int sorting_init(struct sorting *sorting, const struct builder *builder)
{
	size_t n_max = 1;

	for (size_t i = 0; i < BUILDER_PARTS; i++)
		n_max = builder->parts[i].n > n_max ? builder->parts[i].n : n_max;
	while (sorting->bits < 31 && (size_t)TABLE_BUCKET_NAMES << sorting->bits < n_max)
		sorting->bits++;
	sorting->keys = malloc(n_max * sizeof(*sorting->keys));
	sorting->starts = malloc(sizeof(*sorting->starts) << sorting->bits);
	sorting->ends = malloc(sizeof(*sorting->ends) << sorting->bits);
	return sorting->keys && sorting->starts && sorting->ends ? 0 : -ENOMEM;
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

static void count(struct sorting *sorting, size_t n)
{
	uint32_t end = 0;

	memset(sorting->ends, 0, sizeof(*sorting->ends) << sorting->bits);
	for (size_t i = 0; i < n; i++)
		sorting->ends[few_bits(sorting, sorting->keys[i].hash)]++;
	for (size_t i = 0; i < (size_t)1 << sorting->bits; i++) {
		sorting->starts[i] = end;
		end = sorting->ends[i] += end;
	}
}

/* each to those that begin with the same few bits, where they lie: starts[i] is where the next of
 * them goes */
static void distribute(struct sorting *sorting, const struct builder_part *part)
{
	struct key *keys = sorting->keys;

	read_keys(keys, part);
	count(sorting, part->n);
	for (size_t i = 0; i < (size_t)1 << sorting->bits; i++)
		while (sorting->starts[i] < sorting->ends[i]) {
			struct key *here = &keys[sorting->starts[i]];
			uint32_t *next = &sorting->starts[few_bits(sorting, here->hash)];
			struct key key = *here;

			*here = keys[*next];
			keys[(*next)++] = key;
		}
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

	distribute(sorting, part);
	for (size_t i = 0; i < (size_t)1 << sorting->bits; i++) {
		sort_few(sorting->keys + start, sorting->ends[i] - start);
		start = sorting->ends[i];
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

/* ---- the file ---- */

/* bytes on their way to a place of the file */
struct stream {
	const struct builder_sink *sink;
	uint64_t offset;
	size_t n;
	uint8_t bytes[STREAM_BYTES];
};

static int stream_flush(struct stream *stream)
{
	size_t n = stream->n;

	stream->n = 0;
	stream->offset += n;
	return stream->sink->put(stream->bytes, n, stream->offset - n, stream->sink->data);
}

/* @n: at most STREAM_BYTES */
static int stream_put(struct stream *stream, const void *bytes, size_t n)
{
	int r = n > sizeof(stream->bytes) - stream->n ? stream_flush(stream) : 0;

	memcpy(stream->bytes + stream->n, bytes, n);
	stream->n += n;
	return r;
}

/* index and entries are written side by side, bucket after bucket */
struct output {
	struct stream index, entries;
	unsigned int bits;
	size_t bucket;		      /* whose entries come */
	uint32_t classes, n_bytes, n; /* of this bucket; entries so far */
};

static size_t bucket_of(const struct output *output, uint64_t hash)
{
	return output->bits ? (size_t)(hash >> (64 - output->bits)) : 0;
}

static void output_init(struct output *output, const struct builder_sink *sink, size_t n)
{
	output->bits = 0;
	while (output->bits < 31 && (size_t)TABLE_BUCKET_NAMES << output->bits < n)
		output->bits++;
	output->bucket = 0;
	output->classes = output->n_bytes = output->n = 0;
	output->index.sink = output->entries.sink = sink;
	output->index.n = output->entries.n = 0;
	output->index.offset = sizeof(struct table_head);
	output->entries.offset = output->index.offset + table_index_bytes(output->bits);
}

/* until @bucket is the one whose entries come */
static int end_buckets(struct output *output, size_t bucket)
{
	int r = 0;

	for (; output->bucket < bucket && !r; output->bucket++) {
		const uint32_t word[2] = { output->n_bytes, output->classes };

		r = stream_put(&output->index, word, sizeof(word));
		output->classes = 0;
	}
	return r;
}

static int output_add(struct output *output, const struct key *key)
{
	size_t n = entry_bytes(key->at);
	int r = end_buckets(output, bucket_of(output, key->hash));

	if (!r)
		r = stream_put(&output->entries, key->at, n);
	output->classes |= table_class(key->hash);
	output->n_bytes += (uint32_t)n;
	output->n++;
	return r;
}

/* the head comes last: before, it is no list */
static int output_finish(struct output *output, struct table_head *head)
{
	const struct builder_sink *sink = output->index.sink;
	int r = end_buckets(output, (size_t)1 << output->bits);

	if (!r)
		r = stream_flush(&output->index);
	if (!r)
		r = stream_flush(&output->entries);
	head->n_entries = output->n;
	head->bucket_bits = output->bits;
	head->file_bytes = sizeof(*head) + table_index_bytes(output->bits) + output->n_bytes;
	return r ? r : sink->put(head, sizeof(*head), 0, sink->data);
}

/* One part after the other: small enough for a cache, where neighbours of the file lie anywhere. What
 * is in the file is not kept: list and file together take no more than either */
static int put_parts(struct builder *builder, struct output *output, struct list_report *report)
{
	struct sorting sorting = { 0 };
	int r = sorting_init(&sorting, builder);

	for (size_t i = 0; i < BUILDER_PARTS && !r; i++) {
		struct builder_part *part = &builder->parts[i];
		size_t n;

		if (!part->n)
			continue;
		sort(&sorting, part);
		n = merge(sorting.keys, part->n, report);
		for (size_t k = 0; k < n && !r; k++)
			r = output_add(output, &sorting.keys[k]);
		free_blocks(&part->blocks);
	}
	sorting_deinit(&sorting);
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
	struct output output; /* most of it need not be anything */
	int r;

	head.report.n_names = head.report.n_exceptions = 0;
	output_init(&output, sink, builder->n);
	r = put_parts(builder, &output, &head.report);
	return r ? r : output_finish(&output, &head);
}

void builder_deinit(struct builder *builder)
{
	for (size_t i = 0; i < BUILDER_PARTS; i++)
		free_blocks(&builder->parts[i].blocks);
	*builder = (struct builder){ 0 };
}
