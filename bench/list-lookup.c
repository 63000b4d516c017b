/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What looking into a compiled list costs
 *
 *	list-lookup COMPILED < HOSTS
 *
 * HOSTS is a host a line, with '+' or '-' in front: it is named by the list, or it is not. Each is
 * looked for once, in their order, and timed by itself. One JSON object: seconds until the
 * list could be used, percentiles of a lookup with the clock's own time in them, how many answers
 * were wrong, bytes and entries of the file.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "providers/blocklist/table.h"

#define HOSTS_MAX 4000000U

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Return: how many */
static size_t read_hosts(char **hosts)
{
	char line[512];
	size_t n = 0;

	while (n < HOSTS_MAX && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		hosts[n++] = strdup(line);
	}
	return n;
}

static size_t look_for_all(const struct table *table, char **hosts, size_t n, uint32_t *took)
{
	static struct name_query query;
	struct table_hit hit;
	size_t n_wrong = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();
		int is_named;

		name_query(&query, hosts[i] + 1);
		is_named = table_find(table, &query, &hit);
		took[i] = (uint32_t)(now_ns() - begin);
		n_wrong += is_named != (hosts[i][0] == '+');
	}
	return n_wrong;
}

int main(int argc, char **argv)
{
	char **hosts = calloc(HOSTS_MAX, sizeof(*hosts));
	uint32_t *took = calloc(HOSTS_MAX, sizeof(*took));
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	struct table table;
	uint64_t begin, opened;
	size_t n, n_wrong;

	if (!hosts || !took || fd < 0) {
		fprintf(stderr, "usage: list-lookup COMPILED < HOSTS\n");
		return 2;
	}
	n = read_hosts(hosts);
	begin = now_ns();
	if (n == 0 || table_open(fd, &table)) {
		fprintf(stderr, "list-lookup: no hosts, or no compiled list\n");
		return 1;
	}
	opened = now_ns() - begin;
	n_wrong = look_for_all(&table, hosts, n, took);
	qsort(took, n, sizeof(*took), by_value);
	printf("{\"open_s\": %.3f, \"hosts\": %zu, \"wrong\": %zu, \"p50_ns\": %u, \"p99_ns\": %u, "
	       "\"entries\": %u, \"bytes\": %zu}\n",
	       (double)opened / 1e9, n, n_wrong, took[n / 2], took[n * 99 / 100],
	       table.head->n_entries, table.n_bytes);
	return 0;
}
