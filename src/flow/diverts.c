/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/macros.h"
#include "flow/diverts.h"

#define BUCKETS 4096U /* a power of two; there are as many flows of programs as they have open */

struct diverts {
	uint64_t seed;
	size_t n, walked; /* buckets of @by_cookie */
	struct divert *by_cookie[BUCKETS], *by_flow[BUCKETS], *by_client[BUCKETS];
	struct divert *oldest, *newest; /* that wait */
};

int diverts_new(uint64_t seed, struct diverts **ret_diverts)
{
	struct diverts *diverts = calloc(1, sizeof(*diverts));

	if (!diverts)
		return -ENOMEM;
	diverts->seed = seed;
	*ret_diverts = diverts;
	return 0;
}

struct diverts *diverts_free(struct diverts *diverts)
{
	if (!diverts)
		return NULL;
	for (size_t i = 0; i < BUCKETS; i++)
		while (diverts->by_cookie[i])
			diverts_remove(diverts, diverts->by_cookie[i]);
	free(diverts);
	return NULL;
}

static struct divert **cookie_bucket(struct diverts *diverts, uint64_t cookie)
{
	return &diverts->by_cookie[hash_bytes(diverts->seed, &cookie, sizeof(cookie)) % BUCKETS];
}

static struct divert **flow_bucket(struct diverts *diverts, uint64_t flow)
{
	return &diverts->by_flow[hash_mix(diverts->seed, flow) % BUCKETS];
}

/* all but the local port, which conntrack may have changed */
static struct divert **client_bucket(struct diverts *diverts, const struct sl_tuple *tuple)
{
	struct sl_tuple known = *tuple;

	known.lport = 0;
	return &diverts->by_client[hash_bytes(diverts->seed, &known, sizeof(known)) % BUCKETS];
}

int diverts_add(struct diverts *diverts, uint64_t flow, uint64_t cookie,
		const struct sl_tuple *tuple, unsigned int proxy, struct divert **ret_divert)
{
	struct divert **bucket = cookie_bucket(diverts, cookie);
	struct divert *divert = calloc(1, sizeof(*divert));

	if (!divert)
		return -ENOMEM;
	*divert = (struct divert){ .flow = flow,
				   .cookie = cookie,
				   .tuple = *tuple,
				   .proxy = proxy,
				   .fd = -1,
				   .is_client = true,
				   .next_cookie = *bucket };
	*bucket = divert;
	bucket = flow_bucket(diverts, flow);
	divert->next_flow = *bucket;
	*bucket = divert;
	bucket = client_bucket(diverts, tuple);
	divert->next_client = *bucket;
	*bucket = divert;
	diverts->n++;
	*ret_divert = divert;
	return 0;
}

void diverts_forget_client(struct diverts *diverts, struct divert *divert)
{
	struct divert **at = client_bucket(diverts, &divert->tuple);

	if (!divert->is_client)
		return;
	while (*at != divert)
		at = &(*at)->next_client;
	*at = divert->next_client;
	divert->is_client = false;
}

void diverts_remove(struct diverts *diverts, struct divert *divert)
{
	struct divert **at;

	if (!divert)
		return;
	diverts_forget_client(diverts, divert);
	diverts_unqueue(diverts, divert);
	at = cookie_bucket(diverts, divert->cookie);
	while (*at != divert)
		at = &(*at)->next_cookie;
	*at = divert->next_cookie;
	at = flow_bucket(diverts, divert->flow);
	while (*at != divert)
		at = &(*at)->next_flow;
	*at = divert->next_flow;
	diverts->n--;
	while (divert->datagrams)
		diverts_drop_datagram(divert);
	free(divert);
}

struct divert *diverts_find(struct diverts *diverts, uint64_t cookie)
{
	struct divert *divert = *cookie_bucket(diverts, cookie);

	while (divert && (divert->cookie != cookie || divert->tuple.proto != IPPROTO_TCP))
		divert = divert->next_cookie;
	return divert;
}

struct divert *diverts_find_flow(struct diverts *diverts, uint64_t flow)
{
	struct divert *divert = *flow_bucket(diverts, flow), *found = NULL;

	for (; divert; divert = divert->next_flow) {
		if (divert->flow != flow)
			continue;
		if (divert->cookie)
			return divert;
		found = divert;
	}
	return found;
}

static bool is_between(const struct divert *divert, const struct sl_tuple *tuple)
{
	struct sl_tuple known = divert->tuple;

	known.lport = tuple->lport;
	return !memcmp(&known, tuple, sizeof(known));
}

struct divert *diverts_take_client(struct diverts *diverts, const struct sl_tuple *tuple)
{
	struct divert *divert = *client_bucket(diverts, tuple), *found = NULL;
	unsigned int n = 0;

	for (; divert; divert = divert->next_client) {
		if (!is_between(divert, tuple))
			continue;
		found = divert;
		n++;
		if (divert->tuple.lport != tuple->lport)
			continue;
		n = 1;
		break;
	}
	if (n != 1)
		return NULL;
	diverts_forget_client(diverts, found);
	return found;
}

struct divert *diverts_find_ends(struct diverts *diverts, const struct sl_tuple *tuple)
{
	struct divert *divert = *client_bucket(diverts, tuple);

	while (divert && memcmp(&divert->tuple, tuple, sizeof(*tuple)) != 0)
		divert = divert->next_client;
	return divert;
}

/* ---- what is to be told ---- */

int diverts_put_datagram(struct divert *divert, const uint8_t *bytes, size_t n)
{
	struct divert_datagram **at = &divert->datagrams, *datagram;

	if (divert->n_waiting + n > DIVERT_WAITING_MAX)
		return -ENOBUFS;
	datagram = malloc(sizeof(*datagram) + n);
	if (!datagram)
		return -ENOMEM;
	datagram->next = NULL;
	datagram->n = n;
	datagram->n_told = 0;
	memcpy(datagram->bytes, bytes, n);
	while (*at)
		at = &(*at)->next;
	*at = datagram;
	divert->n_waiting += n;
	return 0;
}

void diverts_drop_datagram(struct divert *divert)
{
	struct divert_datagram *datagram = divert->datagrams;

	divert->datagrams = datagram->next;
	divert->n_waiting -= datagram->n;
	free(datagram);
}

void diverts_queue(struct diverts *diverts, struct divert *divert)
{
	if (divert->is_queued)
		return;
	divert->is_queued = true;
	divert->newer = NULL;
	divert->older = diverts->newest;
	if (diverts->newest)
		diverts->newest->newer = divert;
	else
		diverts->oldest = divert;
	diverts->newest = divert;
}

void diverts_unqueue(struct diverts *diverts, struct divert *divert)
{
	if (!divert->is_queued)
		return;
	divert->is_queued = false;
	*(divert->older ? &divert->older->newer : &diverts->oldest) = divert->newer;
	*(divert->newer ? &divert->newer->older : &diverts->newest) = divert->older;
}

struct divert *diverts_next_queued(struct diverts *diverts, unsigned int proxy,
				   const struct divert *after)
{
	struct divert *divert = after ? after->newer : diverts->oldest;

	while (divert && divert->proxy != proxy)
		divert = divert->newer;
	return divert;
}

static unsigned int bucket_length(const struct divert *divert)
{
	unsigned int n = 0;

	for (; divert; divert = divert->next_cookie)
		n++;
	return n;
}

/* a bucket is looked at as a whole, or the same ones would be left out each time. None is that full */
unsigned int diverts_walk(struct diverts *diverts, struct divert **ret_found, unsigned int n_max,
			  bool *ret_is_round)
{
	unsigned int n = 0;

	for (*ret_is_round = false; n < n_max && !*ret_is_round;) {
		struct divert *at = diverts->by_cookie[diverts->walked];

		if (n && n + bucket_length(at) > n_max)
			break;
		for (; at && n < n_max; at = at->next_cookie)
			ret_found[n++] = at;
		diverts->walked = (diverts->walked + 1) % BUCKETS;
		*ret_is_round = diverts->walked == 0;
	}
	return n;
}

struct divert *diverts_any(struct diverts *diverts, unsigned int proxy)
{
	for (size_t i = 0; diverts->n && i < BUCKETS; i++)
		for (struct divert *at = diverts->by_cookie[i]; at; at = at->next_cookie)
			if (at->proxy == proxy)
				return at;
	return NULL;
}

size_t diverts_n(const struct diverts *diverts)
{
	return diverts->n;
}
