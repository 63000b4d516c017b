/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A compiled list
 *
 * One immutable file, little-endian, which is mapped and looked at where it lies:
 *
 *	| struct table_head | index: 8 bytes a bucket | entries |
 *
 * The upper bits of a name's hash choose its bucket. Its word of the index says
 * where its entries end (they begin where those of the bucket before end), and has
 * a bit for each of 32 classes of hashes that is in it, so that a name which is not
 * listed costs one memory access as a rule. An entry is
 *
 *	| length | flags | line: 3 | packed name (name.h) | [ n | pattern ] |
 *
 * A name is compared as a whole: no hash collision ever blocks one. Three names
 * share a bucket; a list takes about 22 bytes a name.
 *
 * The file is foreign bytes: table_check() looks at all of it once, and only what
 * it found good may be given to table_find(), which looks at no bound again.
 */

#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "name.h"

#define TABLE_MAGIC "SLUICEBL"
#define TABLE_VERSION 1U
#define TABLE_ENTRY_BYTES 5U
#define TABLE_LINE_MAX 0xffffffU /* higher ones are kept as 0: not known */
#define TABLE_BUCKET_NAMES 3U	 /* on average */

/** enum table_flags - what an entry says of the name, and of those below it */
enum table_flags {
	TABLE_ALLOW = 1,      /* an exception */
	TABLE_SELF = 2,	      /* the name itself */
	TABLE_BELOW = 4,      /* every name below it */
	TABLE_PATTERN = 8,    /* but only those that match the pattern behind it */
	TABLE_IMPORTANT = 16, /* comes before what is not */
	_TABLE_FLAGS = 31,
};

/** struct table_stamp - the file that was compiled, as it was then */
struct table_stamp {
	uint64_t device, inode, n_bytes;
	int64_t modified_ns, changed_ns;
};

/** struct table_head - offsets are from the beginning of the file */
struct table_head {
	char magic[8];
	uint32_t version;
	uint32_t n_bytes; /* of this struct */
	uint64_t file_bytes;
	uint32_t bucket_bits;
	uint32_t n_entries;
	struct table_stamp stamp;
	struct list_report report;
};

struct table {
	const struct table_head *head;
	const uint8_t *index, *entries;
	size_t n_bytes;
};

/** struct table_hit - what decides */
struct table_hit {
	unsigned int flags;		/* of the entry */
	uint32_t line;			/* 0: not known */
	char name[NAME_LENGTH_MAX + 1]; /* the entry's, or its pattern */
};

/** table_index_bytes() - of an index of 2 to the @bits buckets */
size_t table_index_bytes(unsigned int bits);

/** table_class() - the bit of a hash in its bucket's word */
uint32_t table_class(uint64_t hash);

/**
 * table_check() - take bytes for a table
 * @bytes: any; 8-byte aligned; must stay while @ret_table is used
 *
 * Return: 1, or 0 when it is none, or of another version.
 */
int table_check(const void *bytes, size_t n_bytes, struct table *ret_table);

/** table_open() - table_check() on a mapping of a file. Return: 0, -EINVAL: it is no table, -errno */
int table_open(int fd, struct table *ret_table);
void table_close(struct table *table);

/** table_rank() - which of two entries decides: the higher; exceptions are even. 0 is none's */
unsigned int table_rank(unsigned int flags);

/**
 * table_find() - what the list says of a host
 * @ret_hit: out: of all entries that name it the one that decides, then the longest; set on 1
 *
 * Return: 1 when it names the host, 0 when not.
 */
int table_find(const struct table *table, const struct name_query *query,
	       struct table_hit *ret_hit);
