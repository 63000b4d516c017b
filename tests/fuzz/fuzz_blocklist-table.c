/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A compiled list, made of any bytes
 *
 * The first byte is the length of a host that follows it; the rest is the file. What
 * table_check() takes may be asked for any host, and for every name that is in it.
 */

#include <stdlib.h>
#include <string.h>

#include "providers/blocklist/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct table *table, const char *host)
{
	struct name_query query;
	struct table_hit hit;

	name_query(&query, host);
	if (table_find(table, &query, &hit) && strlen(hit.name) > NAME_LENGTH_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n_host = size ? data[0] : 0, n;
	char host[256] = "";
	struct table table;
	void *file;

	if (size < 1 + n_host)
		return 0;
	memcpy(host, data + 1, n_host);
	n = size - 1 - n_host;
	file = malloc(n + 1); /* aligned, and exact but for a byte */
	if (!file)
		abort();
	memcpy(file, data + 1 + n_host, n);
	/* its own length is hard to guess, and any will do */
	if (n >= sizeof(struct table_head)) {
		uint64_t n_bytes = n;

		memcpy((char *)file + offsetof(struct table_head, file_bytes), &n_bytes, 8);
	}
	if (table_check(file, n, &table)) {
		ask(&table, host);
		ask(&table, "a.b.ads.example");
		ask(&table, "wx.example");
	}
	free(file);
	return 0;
}
