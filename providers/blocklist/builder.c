/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"

#define BYTES_FIRST 4096U
#define ENTRIES_FIRST 256U
#define ENTRY_MAX (TABLE_ENTRY_BYTES + NAME_PACKED_MAX + 1U + NAME_LENGTH_MAX)
#define KIND_FLAGS (TABLE_ALLOW | TABLE_IMPORTANT | TABLE_PATTERN)
#define CHUNK_BYTES 65536U

/* makes room for @n_more of @item bytes. Return: 0 or -ENOMEM */
static int grow(void *array, size_t *size, size_t n, size_t n_more, size_t item, size_t first)
{
	size_t wanted = *size ? *size : first;
	void *old, *larger;

	if (n + n_more <= *size)
		return 0;
	while (wanted < n + n_more)
		wanted += wanted / 2;
	memcpy(&old, array, sizeof(old));
	larger = realloc(old, wanted * item);
	if (!larger)
		return -ENOMEM;
	memcpy(array, &larger, sizeof(larger));
	*size = wanted;
	return 0;
}

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

static uint8_t *entry_at(const struct builder *builder, uint32_t i)
{
	return builder->entries + builder->offsets[i];
}

int builder_add(struct builder *builder, const struct builder_entry *entry)
{
	int r;

	if (builder->n_bytes + ENTRY_MAX > UINT32_MAX)
		return -EFBIG;
	r = grow(&builder->entries, &builder->size, builder->n_bytes, ENTRY_MAX, 1, BYTES_FIRST);
	if (!r)
		r = grow(&builder->hashes, &builder->n_hashes, builder->n, 1, sizeof(uint64_t),
			 ENTRIES_FIRST);
	if (!r)
		r = grow(&builder->offsets, &builder->n_offsets, builder->n, 1, sizeof(uint32_t),
			 ENTRIES_FIRST);
	if (r)
		return r;
	builder->offsets[builder->n] = (uint32_t)builder->n_bytes;
	builder->n_bytes += write_entry(builder->entries + builder->n_bytes, entry,
					&builder->hashes[builder->n]);
	builder->n++;
	return 0;
}

/* ---- into buckets ---- */

/* the file's index, and numbers of entries in the order of its buckets */
struct order {
	unsigned int bits;
	uint32_t *starts; /* of each bucket, in @entries; one more for the end of the last */
	uint32_t *entries;
	uint32_t *index; /* as in the file */
	uint32_t n_entries;
	size_t n_bytes;
};

static size_t n_buckets(const struct order *order)
{
	return (size_t)1 << order->bits;
}

static size_t bucket_of(const struct order *order, uint64_t hash)
{
	return order->bits ? (size_t)(hash >> (64 - order->bits)) : 0;
}

static void order_deinit(struct order *order)
{
	free(order->starts);
	free(order->entries);
	free(order->index);
}

static int order_init(struct order *order, size_t n)
{
	while (order->bits < 31 && (size_t)TABLE_BUCKET_NAMES << order->bits < n)
		order->bits++;
	order->starts = calloc(n_buckets(order) + 1, sizeof(*order->starts));
	order->entries = malloc((n + 1) * sizeof(*order->entries));
	order->index = malloc(table_index_bytes(order->bits));
	return order->starts && order->entries && order->index ? 0 : -ENOMEM;
}

/* counting sort: starts[b] is the end of bucket b until each of its entries has taken a place */
static void fill(struct order *order, const struct builder *builder)
{
	for (size_t i = 0; i < builder->n; i++)
		order->starts[bucket_of(order, builder->hashes[i])]++;
	for (size_t i = 1; i <= n_buckets(order); i++)
		order->starts[i] += order->starts[i - 1];
	for (size_t i = builder->n; i-- > 0;)
		order->entries[--order->starts[bucket_of(order, builder->hashes[i])]] = (uint32_t)i;
}

/* equal names and kinds side by side, in the order of the list */
static int compare(const void *a, const void *b, void *data)
{
	const struct builder *builder = data;
	uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
	const uint8_t *x = entry_at(builder, one), *y = entry_at(builder, other);
	int r;

	if (builder->hashes[one] != builder->hashes[other])
		return builder->hashes[one] < builder->hashes[other] ? -1 : 1;
	r = (int)x[0] - (int)y[0];
	if (!r)
		r = memcmp(x + TABLE_ENTRY_BYTES, y + TABLE_ENTRY_BYTES, name_packed_bytes(x[0]));
	if (!r)
		r = (x[1] & KIND_FLAGS) - (y[1] & KIND_FLAGS);
	return r ? r : (one > other) - (one < other);
}

static int is_same(const uint8_t *x, const uint8_t *y)
{
	return x[0] == y[0] && (x[1] & KIND_FLAGS) == (y[1] & KIND_FLAGS) &&
	       memcmp(x + TABLE_ENTRY_BYTES, y + TABLE_ENTRY_BYTES, name_packed_bytes(x[0])) == 0;
}

/* of one bucket. Return: how many of @n are left, in front */
static size_t merge(const struct builder *builder, uint32_t *entries, size_t n,
		    struct list_report *report)
{
	size_t n_left = 0, n_patterns = 0;

	qsort_r(entries, n, sizeof(*entries), compare, (void *)(uintptr_t)builder);
	for (size_t i = 0; i < n; i++) {
		uint8_t *at = entry_at(builder, entries[i]);
		uint8_t *last = n_left ? entry_at(builder, entries[n_left - 1]) : at;

		n_patterns = last != at && is_same(last, at) ? n_patterns + 1 : 0;
		if (n_patterns && !(at[1] & TABLE_PATTERN)) {
			last[1] |= at[1];
		} else if (n_patterns >= BUILDER_PATTERNS_MAX) {
			report->n_bad++;
			report->n_of[LIST_E_WILDCARD]++;
		} else {
			report->n_exceptions += !!(at[1] & TABLE_ALLOW);
			report->n_names += !(at[1] & TABLE_ALLOW);
			entries[n_left++] = entries[i];
		}
	}
	return n_left;
}

static void make_index(struct order *order, const struct builder *builder,
		       struct list_report *report)
{
	uint32_t n = 0;

	for (size_t bucket = 0; bucket < n_buckets(order); bucket++) {
		uint32_t *entries = order->entries + order->starts[bucket];
		size_t n_here = order->starts[bucket + 1] - order->starts[bucket];
		uint32_t classes = 0;

		n_here = n_here ? merge(builder, entries, n_here, report) : 0;
		for (size_t i = 0; i < n_here; i++) {
			order->n_bytes += entry_bytes(entry_at(builder, entries[i]));
			classes |= table_class(builder->hashes[entries[i]]);
			order->entries[n++] = entries[i];
		}
		order->index[2 * bucket] = (uint32_t)order->n_bytes;
		order->index[2 * bucket + 1] = classes;
	}
	order->n_entries = n;
}

static int put_entries(const struct order *order, const struct builder *builder,
		       const struct builder_sink *sink)
{
	uint8_t chunk[CHUNK_BYTES];
	size_t n = 0;
	int r = 0;

	for (uint32_t i = 0; i < order->n_entries && !r; i++) {
		const uint8_t *at = entry_at(builder, order->entries[i]);

		memcpy(chunk + n, at, entry_bytes(at));
		n += entry_bytes(at);
		if (n + ENTRY_MAX <= sizeof(chunk) && i + 1 < order->n_entries)
			continue;
		r = sink->put(chunk, n, sink->data);
		n = 0;
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
	struct order order = { 0 };
	int r = order_init(&order, builder->n);

	if (!r) {
		head.report.n_names = head.report.n_exceptions = 0;
		fill(&order, builder);
		make_index(&order, builder, &head.report);
		head.n_entries = order.n_entries;
		head.bucket_bits = order.bits;
		head.file_bytes = sizeof(head) + table_index_bytes(order.bits) + order.n_bytes;
		r = sink->put(&head, sizeof(head), sink->data);
	}
	if (!r)
		r = sink->put(order.index, table_index_bytes(order.bits), sink->data);
	if (!r)
		r = put_entries(&order, builder, sink);
	order_deinit(&order);
	return r;
}

void builder_deinit(struct builder *builder)
{
	free(builder->entries);
	free(builder->hashes);
	free(builder->offsets);
	*builder = (struct builder){ 0 };
}
