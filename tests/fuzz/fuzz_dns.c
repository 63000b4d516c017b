/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The DNS parser, given any message
 *
 * What comes out must be within its limits and a name that cannot be taken for
 * something else; after an error nothing has come out.
 */

#include <stdlib.h>
#include <string.h>

#include "names/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void check_name(const char *name)
{
	size_t n = strlen(name);

	require(n >= 1 && n < DNS_TEXT_BYTES);
	require(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.\\") == n);
	require(name[0] != '.' && name[n - 1] != '.' && !strstr(name, ".."));
	for (const char *at = strchr(name, '\\'); at; at = strchr(at + 4, '\\'))
		require(strspn(at + 1, "0123456789") >= 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_answer answer, untouched;
	uint8_t *exact = malloc(size ? size : 1);
	int r;

	require(exact != NULL);
	memcpy(exact, data, size);
	memset(&answer, 0xa5, sizeof(answer));
	memset(&untouched, 0xa5, sizeof(untouched));
	r = dns_read_answer(exact, size, &answer);
	free(exact);
	if (r) {
		require(r == DNS_E_NOT_ANSWER || r == DNS_E_MALFORMED);
		require(memcmp(&answer, &untouched, sizeof(answer)) == 0);
		return 0;
	}
	check_name(answer.name);
	require(answer.n_addresses <= DNS_ADDRESSES_MAX);
	require(!answer.is_cut || answer.n_addresses == DNS_ADDRESSES_MAX);
	for (size_t i = 0; i < answer.n_addresses; i++)
		require(answer.addresses[i].ttl_s <= INT32_MAX);
	return 0;
}
