/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Making a compiled list
 *
 * Entries are collected in the form that they have in the file (table.h), in parts by
 * the first bits of their hashes: the file's order, roughly. Then each part is sorted,
 * written and forgotten. Of equal ones the first stays, reaching as far as all of them.
 */

#include "table.h"

#define BUILDER_PATTERNS_MAX 32U /* that end in the same name: each is tried for a host below it */

#define BUILDER_PART_BITS 8U
#define BUILDER_PARTS (1U << BUILDER_PART_BITS)
#define BUILDER_BLOCK_BYTES 32752U /* with the 16 of malloc(3) a number of pages */

struct builder_blocks {
	struct builder_block *first, *last;
};

struct builder_part {
	struct builder_blocks blocks;
	size_t n;
};

/** struct builder - zeroed: empty */
struct builder {
	struct builder_part parts[BUILDER_PARTS];
	size_t n, n_bytes; /* entries */
};

/** struct builder_entry - @name and @pattern: checked, lower case; @pattern may be NULL */
struct builder_entry {
	const char *name, *pattern;
	unsigned int flags; /* enum table_flags */
	uint32_t line;
};

/** struct builder_sink - where the file goes, in pieces, its head last. @put: 0 or a negative errno */
struct builder_sink {
	int (*put)(const void *bytes, size_t n, uint64_t offset, void *data);
	void *data;
};

/** builder_add() - Return: 0, -ENOMEM, or -EFBIG when there are 4 GiB of them */
int builder_add(struct builder *builder, const struct builder_entry *entry);

/**
 * builder_finish() - write the file; the builder is of no more use then
 * @report: what the parser found; its counts of names become those of the file
 *
 * Return: 0, -ENOMEM, or of the sink.
 */
int builder_finish(struct builder *builder, const struct table_stamp *stamp,
		   const struct list_report *report, const struct builder_sink *sink);

void builder_deinit(struct builder *builder);
