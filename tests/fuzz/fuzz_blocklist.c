/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The list parser, given any file
 *
 * The first byte says in how large pieces the file arrives; the result may not
 * depend on it. Every name that got in must be found again, with a label
 * in front too, and nothing that is no host name may have got in.
 */

#include <stdlib.h>
#include <string.h>

#include "providers/blocklist/list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static struct list_report parse(struct names *names, const uint8_t *data, size_t size, size_t piece)
{
	static struct list_parser parser;

	list_parser_init(&parser, names, 3);
	for (size_t i = 0; i < size; i += piece) {
		size_t n = piece < size - i ? piece : size - i;
		char *exact = malloc(n);

		require(exact != NULL);
		memcpy(exact, data + i, n);
		require(list_parser_feed(&parser, exact, n) == 0);
		free(exact);
	}
	require(list_parser_end(&parser) == 0);
	return parser.report;
}

/* Return: the bytes of the entry at the head of @entry, checked */
static size_t check_entry(const struct names *names, const uint8_t *entry, size_t n_lines)
{
	size_t length = entry[6];
	char host[NAMES_LENGTH_MAX + 8];
	struct names_hit hit;
	uint32_t line;

	memcpy(&line, entry, sizeof(line));
	require(line >= 1 && line <= n_lines);
	require(length >= 1 && length <= NAMES_LENGTH_MAX);
	memcpy(host, "x.", 2);
	memcpy(host + 2, entry + 7, length);
	host[length + 2] = '\0';
	require(strlen(host + 2) == length && !strpbrk(host + 2, " \t\r\n#ABCXYZ"));
	require(strspn(host + 2, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == length);
	require(!strstr(host, ".."));
	require(names_find(names, host + 2, &hit) == 1);
	require(hit.line == line && hit.list == 3 && hit.length == length);
	if (length + 2 <= NAMES_LENGTH_MAX)
		require(names_find(names, host, &hit) == 1);
	return 7 + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct names whole = { 0 }, pieces = { 0 };
	struct list_report a, b;
	size_t n_lines = 1, n = 0;
	char *host;
	struct names_hit hit;

	if (size == 0)
		return 0;
	a = parse(&whole, data + 1, size - 1, size);
	b = parse(&pieces, data + 1, size - 1, data[0] % 32 + 1U + size / 128);
	require(a.n_names == b.n_names && a.n_bad == b.n_bad);
	require(memcmp(a.bad, b.bad, sizeof(a.bad)) == 0);
	require(whole.n == pieces.n && whole.n_blob == pieces.n_blob);
	for (size_t i = 1; i < size; i++)
		n_lines += data[i] == '\n';
	require(a.n_bad <= n_lines && whole.n <= a.n_names);
	for (size_t at = 0; at < whole.n_blob; n++)
		at += check_entry(&whole, whole.blob + at, n_lines);
	require(n == whole.n);

	/* a host may be anything too */
	host = strndup((const char *)data + 1, size - 1);
	require(host != NULL);
	(void)names_find(&whole, host, &hit);
	free(host);
	names_deinit(&whole);
	names_deinit(&pieces);
	return 0;
}
