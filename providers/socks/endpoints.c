/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "endpoints.h"

void endpoints_add(struct endpoints *endpoints, const struct upstream *upstream,
		   const struct sockaddr *address, socklen_t n_address)
{
	struct endpoint *endpoint = &endpoints->all[endpoints->n];

	*endpoint = (struct endpoint){ .upstream = upstream, .n_address = n_address };
	memcpy(&endpoint->address, address, n_address);
	endpoints->n++;
}

static bool is_last(const struct endpoint *endpoint, uint64_t now_ms)
{
	return endpoint->has_failed && now_ms - endpoint->failed_ms < ENDPOINTS_FAILED_MS;
}

int endpoints_next(const struct endpoints *endpoints, uint64_t tried, uint64_t now_ms)
{
	int failed = -1;

	for (unsigned int i = 0; i < endpoints->n; i++) {
		if (tried & UINT64_C(1) << i)
			continue;
		if (!is_last(&endpoints->all[i], now_ms))
			return (int)i;
		failed = failed < 0 ? (int)i : failed;
	}
	return failed;
}

bool endpoints_failed(struct endpoints *endpoints, int number, uint64_t now_ms)
{
	struct endpoint *endpoint = &endpoints->all[number];

	endpoint->has_failed = true;
	endpoint->failed_ms = now_ms;
	if (endpoint->is_told ||
	    (endpoint->told_ms && now_ms - endpoint->told_ms < ENDPOINTS_FAILED_MS))
		return false;
	endpoint->is_told = true;
	endpoint->told_ms = now_ms;
	return true;
}

bool endpoints_worked(struct endpoints *endpoints, int number)
{
	struct endpoint *endpoint = &endpoints->all[number];
	bool is_news = endpoint->is_told;

	endpoint->has_failed = false;
	endpoint->is_told = false;
	return is_news;
}
