/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "resolve.h"

#define WAIT_MS 3500 /* sluiced gives a provider 5 s to start */

/* the second name server is to have its turn within that time */
static void be_quick(void)
{
	(void)setenv("RES_OPTIONS", "timeout:1 attempts:2", 1);
}

void resolve_begin(struct resolving *resolving, const struct upstream *upstream)
{
	struct gaicb *request = &resolving->request;
	int r;

	*resolving = (struct resolving){ .upstream = upstream };
	resolving->hints = (struct addrinfo){ .ai_socktype = SOCK_STREAM,
					      .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	(void)snprintf(resolving->port, sizeof(resolving->port), "%u", upstream->port);
	/* an address: nobody is asked */
	resolving->error =
		getaddrinfo(upstream->host, resolving->port, &resolving->hints, &resolving->found);
	if (resolving->error == 0)
		return;
	be_quick();
	resolving->hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
	*request = (struct gaicb){ .ar_name = upstream->host,
				   .ar_service = resolving->port,
				   .ar_request = &resolving->hints };
	r = getaddrinfo_a(GAI_NOWAIT, &request, 1, NULL);
	resolving->error = r ? r : EAI_INPROGRESS;
}

/* Return: of those that are on their way the first */
static const struct gaicb *find_waiting(struct resolving *all, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (all[i].error != EAI_INPROGRESS)
			continue;
		all[i].error = gai_error(&all[i].request);
		all[i].found = all[i].request.ar_result;
		if (all[i].error == EAI_INPROGRESS)
			return &all[i].request;
	}
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void resolve_wait(struct resolving *all, unsigned int n)
{
	int64_t until_ms = now_ms() + WAIT_MS, left_ms;
	const struct gaicb *waiting;

	while ((waiting = find_waiting(all, n)) && (left_ms = until_ms - now_ms()) > 0) {
		const struct timespec left = { left_ms / 1000, left_ms % 1000 * 1000000 };

		(void)gai_suspend(&waiting, 1, &left);
	}
}

int resolve_end(struct resolving *resolving, struct endpoints *endpoints,
		char error[RESOLVE_ERROR_BYTES])
{
	struct addrinfo *one = resolving->found;
	unsigned int n = 0;

	if (resolving->error) {
		(void)snprintf(error, RESOLVE_ERROR_BYTES,
			       "cannot look up \"%.100s\": %s; give its address, or see that it "
			       "has one",
			       resolving->upstream->host,
			       resolving->error == EAI_INPROGRESS ? "no name server answers"
								  : gai_strerror(resolving->error));
		return -EINVAL;
	}
	for (; one && n < ADDRESSES_MAX; one = one->ai_next, n++)
		endpoints_add(endpoints, resolving->upstream, one->ai_addr, one->ai_addrlen);
	freeaddrinfo(resolving->found);
	return 0;
}
