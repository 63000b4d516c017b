/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The list parser, given any file
 *
 * The first byte says in how large pieces the file arrives; what is compiled may not
 * depend on it. It must be a list that the provider takes, and every line is
 * a name, or counted, or of no consequence; the last bytes are a host that is asked for.
 */

#include <stdlib.h>
#include <string.h>

#include "providers/blocklist/builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

struct file {
	uint8_t *bytes;
	size_t n;
};

static int write_at(const void *bytes, size_t n, uint64_t offset, void *data)
{
	struct file *file = data;

	if (offset + n > file->n) {
		file->bytes = realloc(file->bytes, offset + n);
		require(file->bytes != NULL);
		file->n = offset + n;
	}
	memcpy(file->bytes + offset, bytes, n);
	return 0;
}

static struct file compile(const uint8_t *data, size_t size, size_t piece)
{
	static struct list_parser parser;
	struct builder builder = { 0 };
	struct file file = { 0 };
	struct builder_sink sink = { write_at, &file };

	list_parser_init(&parser, &builder);
	for (size_t i = 0; i < size; i += piece) {
		size_t n = piece < size - i ? piece : size - i;
		char *exact = malloc(n);

		require(exact != NULL);
		memcpy(exact, data + i, n);
		require(list_parser_feed(&parser, exact, n) == 0);
		free(exact);
	}
	require(list_parser_end(&parser) == 0);
	require(builder_finish(&builder, &(struct table_stamp){ 0 }, &parser.report, &sink) == 0);
	builder_deinit(&builder);
	return file;
}

static void check_report(const struct table_head *head)
{
	uint32_t n_bad = 0;

	for (size_t i = 1; i < _LIST_E_N; i++)
		n_bad += head->report.n_of[i];
	require(n_bad == head->report.n_bad);
	require(head->n_entries == head->report.n_names + head->report.n_exceptions);
}

/* of what is found, the name is a name, and the host is it or below it */
static void ask(const struct table *table, const uint8_t *data, size_t size)
{
	struct name_query query;
	struct table_hit hit;
	char *host = strndup((const char *)data, size);

	require(host != NULL);
	name_query(&query, host);
	free(host);
	if (!table_find(table, &query, &hit))
		return;
	require(hit.name[0] && strlen(hit.name) <= NAME_LENGTH_MAX);
	require(strspn(hit.name, "abcdefghijklmnopqrstuvwxyz0123456789-_.*") == strlen(hit.name));
	if (!(hit.flags & TABLE_PATTERN))
		require(query.length >= strlen(hit.name) &&
			strcmp(query.text + query.length - strlen(hit.name), hit.name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file whole, pieces;
	struct table table;
	const uint8_t *last;

	if (size == 0)
		return 0;
	whole = compile(data + 1, size - 1, size);
	pieces = compile(data + 1, size - 1, data[0] % 32 + 1U + size / 128);
	require(whole.n == pieces.n && memcmp(whole.bytes, pieces.bytes, whole.n) == 0);
	require(table_check(whole.bytes, whole.n, &table));
	check_report(table.head);
	last = memrchr(data, '\n', size);
	ask(&table, last ? last + 1 : data, last ? size - (size_t)(last + 1 - data) : size);
	free(whole.bytes);
	free(pieces.bytes);
	return 0;
}
