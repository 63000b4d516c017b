/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What must hold for the first bytes of any flow
 *
 * A name is one that cannot be taken for something else. An answer for a
 * prefix is MORE or the answer for all of it, and `needs` promises no more
 * than is so. Bytes are read in copies of their exact size.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "names/sniff-read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(int condition)
{
	if (!condition)
		abort();
}

static inline void check_host(const char *name)
{
	size_t n = strnlen(name, SNIFF_NAME_BYTES);
	const char *last = strrchr(name, '.');

	require(n >= 1 && n < SNIFF_NAME_BYTES);
	require(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n);
	require(name[0] != '.' && name[n - 1] != '.' && !strstr(name, ".."));
	require(strspn(last ? last + 1 : name, "0123456789") < strlen(last ? last + 1 : name));
}

static inline void check_answer(const struct sniff *sniff)
{
	require(strcmp(sniff_reason_text(sniff->reason), "?") != 0);
	if (sniff->answer == SNIFF_NAME)
		check_host(sniff->name);
	else
		require(sniff->name[0] == '\0' && !sniff->is_outer);
	require((sniff->answer == SNIFF_NAME) == (sniff->reason == SNIFF_NAMED));
	require((sniff->answer == SNIFF_MORE) == (sniff->reason == SNIFF_E_MORE));
	require((sniff->answer == SNIFF_MORE) == (sniff->limit > 0));
}

static inline struct sniff read_exact(const uint8_t *bytes, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);
	struct sniff sniff;

	require(exact != NULL);
	memcpy(exact, bytes, n);
	memset(&sniff, 0xa5, sizeof(sniff));
	sniff_tcp(exact, n, &sniff);
	free(exact);
	check_answer(&sniff);
	return sniff;
}

/* @cut: any number */
static inline void check_tcp(const uint8_t *bytes, size_t n, size_t cut)
{
	struct sniff whole = read_exact(bytes, n), part;

	cut %= n + 1;
	part = read_exact(bytes, cut);
	if (part.answer == SNIFF_MORE) {
		require(part.needs > cut && part.needs <= part.limit);
		require(n >= part.needs || whole.answer == SNIFF_MORE);
		return;
	}
	require(part.reason == whole.reason && part.protocol == whole.protocol);
	require(part.is_outer == whole.is_outer && strcmp(part.name, whole.name) == 0);
}
