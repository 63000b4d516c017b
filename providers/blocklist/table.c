/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "pattern.h"
#include "table.h"

#define BUCKET_BITS_MAX 31U

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is looked at where it lies");
static_assert(sizeof(struct table_head) % 8 == 0, "the index follows it");

size_t table_index_bytes(unsigned int bits)
{
	return (size_t)8 << bits;
}

uint32_t table_class(uint64_t hash)
{
	return 1U << (hash & 31);
}

static size_t bucket_of(uint64_t hash, unsigned int bits)
{
	return bits ? (size_t)(hash >> (64 - bits)) : 0;
}

/* one bucket's word: where its entries end, and their classes */
struct bucket {
	uint32_t end, classes;
};

static struct bucket read_bucket(const struct table *table, size_t i)
{
	struct bucket bucket;

	memcpy(&bucket, table->index + i * sizeof(bucket), sizeof(bucket));
	return bucket;
}

static uint32_t bucket_start(const struct table *table, size_t i)
{
	return i ? read_bucket(table, i - 1).end : 0;
}

struct entry {
	const uint8_t *packed;
	size_t length, n_pattern;
	unsigned int flags;
	uint32_t line;
	const char *pattern;
	const uint8_t *end;
};

static struct entry read_entry(const uint8_t *at)
{
	struct entry entry = { .length = at[0],
			       .flags = at[1],
			       .line = at[2] | (uint32_t)at[3] << 8 | (uint32_t)at[4] << 16,
			       .packed = at + TABLE_ENTRY_BYTES };

	entry.end = entry.packed + name_packed_bytes(entry.length);
	if (entry.flags & TABLE_PATTERN) {
		entry.n_pattern = *entry.end;
		entry.pattern = (const char *)entry.end + 1;
		entry.end += 1 + entry.n_pattern;
	}
	return entry;
}

/* ---- foreign bytes ---- */

/* Return: the entry behind the one at @at, which is one of this bucket, or NULL */
static const uint8_t *check_entry(const uint8_t *at, const uint8_t *end, size_t bucket,
				  unsigned int bits, uint32_t *classes)
{
	size_t room = (size_t)(end - at), n;
	struct entry entry;
	uint64_t hash;

	if (room < TABLE_ENTRY_BYTES || at[0] == 0 || at[0] > NAME_LENGTH_MAX ||
	    at[1] & ~(unsigned int)_TABLE_FLAGS || !(at[1] & (TABLE_SELF | TABLE_BELOW)))
		return NULL;
	n = TABLE_ENTRY_BYTES + name_packed_bytes(at[0]);
	if (room < n)
		return NULL;
	if (at[1] & TABLE_PATTERN && (room < n + 1 || room < n + 1 + at[n]))
		return NULL;
	entry = read_entry(at);
	if (!name_check(entry.packed, entry.length, &hash) || bucket_of(hash, bits) != bucket)
		return NULL;
	if (entry.pattern && !pattern_check(entry.pattern, entry.n_pattern))
		return NULL;
	*classes |= table_class(hash);
	return entry.end;
}

static int check_entries(const struct table *table, size_t n_bytes)
{
	unsigned int bits = table->head->bucket_bits;
	uint32_t n = 0, start = 0;

	for (size_t i = 0; i < (size_t)1 << bits; i++) {
		struct bucket bucket = read_bucket(table, i);
		const uint8_t *at = table->entries + start;
		uint32_t classes = 0;

		if (bucket.end < start || bucket.end > n_bytes)
			return 0;
		for (; at && at < table->entries + bucket.end; n++)
			at = check_entry(at, table->entries + bucket.end, i, bits, &classes);
		if (!at || classes != bucket.classes)
			return 0;
		start = bucket.end;
	}
	return start == n_bytes && n == table->head->n_entries;
}

/* people read them, and so does the daemon */
static int check_report(const struct list_report *report)
{
	for (size_t i = 0; i < LIST_BAD_KEPT; i++) {
		const struct list_bad *bad = &report->bad[i];

		if ((unsigned int)bad->error >= _LIST_E_N)
			return 0;
		for (size_t j = 0; j < sizeof(bad->text) && bad->text[j]; j++)
			if (bad->text[j] < ' ' || bad->text[j] > '~')
				return 0;
		if (bad->text[sizeof(bad->text) - 1])
			return 0;
	}
	return 1;
}

int table_check(const void *bytes, size_t n_bytes, struct table *ret_table)
{
	struct table table = { .head = bytes, .n_bytes = n_bytes };
	size_t n_before;

	if (n_bytes < sizeof(*table.head) || memcmp(table.head->magic, TABLE_MAGIC, 8) != 0 ||
	    table.head->version != TABLE_VERSION || table.head->n_bytes != sizeof(*table.head) ||
	    table.head->file_bytes != n_bytes || table.head->bucket_bits > BUCKET_BITS_MAX ||
	    !check_report(&table.head->report))
		return 0;
	n_before = sizeof(*table.head) + table_index_bytes(table.head->bucket_bits);
	if (n_bytes < n_before || n_bytes - n_before > UINT32_MAX)
		return 0;
	table.index = (const uint8_t *)bytes + sizeof(*table.head);
	table.entries = (const uint8_t *)bytes + n_before;
	if (!check_entries(&table, n_bytes - n_before))
		return 0;
	*ret_table = table;
	return 1;
}

int table_open(int fd, struct table *ret_table)
{
	struct stat st;
	void *bytes;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(struct table_head))
		return -EINVAL;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	if (table_check(bytes, (size_t)st.st_size, ret_table))
		return 0;
	(void)munmap(bytes, (size_t)st.st_size);
	return -EINVAL;
}

void table_close(struct table *table)
{
	if (table->head)
		(void)munmap((void *)(uintptr_t)table->head, table->n_bytes);
	*table = (struct table){ 0 };
}

/* ---- looking ---- */

unsigned int table_rank(unsigned int flags)
{
	return 1U + !!(flags & TABLE_ALLOW) + (flags & TABLE_IMPORTANT ? 2U : 0U);
}

static int is_meant(const struct entry *entry, const struct name_query *query)
{
	if (entry->pattern)
		return pattern_matches(entry->pattern, entry->n_pattern, query->text,
				       entry->flags & TABLE_BELOW);
	return entry->flags & (entry->length == query->length ? TABLE_SELF : TABLE_BELOW);
}

static void write_hit(const struct entry *entry, struct table_hit *hit)
{
	size_t n = entry->pattern ? entry->n_pattern : entry->length;

	*hit = (struct table_hit){ .flags = entry->flags, .line = entry->line };
	if (entry->pattern)
		memcpy(hit->name, entry->pattern, n);
	else
		name_unpack(entry->packed, n, hit->name);
}

/* of the names that a host ends in, those that may be there. What memory has of them is asked for
 * at once and not one after the other. Return: how many */
static size_t find_candidates(const struct table *table, const struct name_query *query,
			      uint8_t candidates[NAME_LABELS_MAX])
{
	unsigned int bits = table->head->bucket_bits;
	size_t n = 0;

	for (size_t i = 0; i < query->n_ends; i++)
		__builtin_prefetch(table->index + 8 * bucket_of(query->ends[i].hash, bits));
	for (size_t i = 0; i < query->n_ends; i++) {
		size_t number = bucket_of(query->ends[i].hash, bits);

		if (!(read_bucket(table, number).classes & table_class(query->ends[i].hash)))
			continue;
		__builtin_prefetch(table->entries + bucket_start(table, number));
		candidates[n++] = (uint8_t)i;
	}
	return n;
}

int table_find(const struct table *table, const struct name_query *query, struct table_hit *ret_hit)
{
	uint8_t candidates[NAME_LABELS_MAX];
	size_t n = find_candidates(table, query, candidates);
	struct entry found = { 0 };
	unsigned int best = 0;

	for (size_t i = 0; i < n; i++) {
		const struct name_end *name = &query->ends[candidates[i]];
		size_t number = bucket_of(name->hash, table->head->bucket_bits);
		const uint8_t *end = table->entries + read_bucket(table, number).end;

		for (const uint8_t *at = table->entries + bucket_start(table, number); at < end;) {
			struct entry entry = read_entry(at);

			at = entry.end;
			if (entry.length != name->length || table_rank(entry.flags) < best ||
			    !name_has_end(query, entry.packed, entry.length) ||
			    !is_meant(&entry, query))
				continue;
			best = table_rank(entry.flags);
			found = entry;
		}
	}
	if (!best)
		return 0;
	write_hit(&found, ret_hit);
	return 1;
}
