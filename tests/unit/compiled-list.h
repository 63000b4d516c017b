/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Lists for tests, compiled here
 */

#include <stdint.h>

#include "providers/blocklist/builder.h"

/** struct compiled - the whole file, in memory */
struct compiled {
	uint8_t *bytes;
	size_t n;
	struct table table; /* of @bytes, checked */
};

/** compiled_parse() - @text of @n bytes in pieces of @piece. Return: what the parser found */
struct list_report compiled_parse(struct builder *builder, const char *text, size_t n,
				  size_t piece);

/** compiled_finish() - the builder is empty afterwards */
void compiled_finish(struct builder *builder, const struct list_report *report,
		     struct compiled *ret_compiled);

/** compiled_text() - both, for the text of a list */
struct list_report compiled_text(const char *text, struct compiled *ret_compiled);
void compiled_free(struct compiled *compiled);

/** compiled_find() - Return: its rank (table_rank()), 0 when the host is not named; @hit may be NULL */
unsigned int compiled_find(const struct compiled *compiled, const char *host,
			   struct table_hit *hit);

/**
 * compiled_folder() - as `sluice run` gives it to the provider
 * @path: out: to be given to compiled_remove()
 *
 * Return: the folder, the caller's to close.
 */
int compiled_folder(const char *text, char path[64]);
/** compiled_replace() - another version, by rename(2) */
void compiled_replace(const char *path, const char *text);
void compiled_remove(const char *path);
