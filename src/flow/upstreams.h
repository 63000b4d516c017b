/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: On whose behalf a proxy's sockets are
 *
 * What proxies have said of sockets of their own, by the socket's cookie. The kernel gives no cookie
 * out twice, so that a socket that is gone does no harm here: of each proxy the newest ones are kept.
 *
 * Pure: no descriptor, no clock.
 */

#include <stddef.h>
#include <stdint.h>

/* of one proxy; of one that is older than these nobody knows any more */
#define UPSTREAMS_MAX 16384U

struct upstreams;

/** upstreams_new() - @seed: random. Return: 0 or -ENOMEM */
int upstreams_new(uint64_t seed, struct upstreams **ret_upstreams);
/** upstreams_free() - NULL is fine. Return: NULL */
struct upstreams *upstreams_free(struct upstreams *upstreams);

/** upstreams_put() - what this socket of @proxy begins is on behalf of @flow. Return: 0 or -ENOMEM */
int upstreams_put(struct upstreams *upstreams, unsigned int proxy, uint64_t cookie, uint64_t flow);
/** upstreams_find() - Return: the flow; 0: @proxy has not said it of this socket */
uint64_t upstreams_find(const struct upstreams *upstreams, unsigned int proxy, uint64_t cookie);
/** upstreams_forget() - its process is gone, and its sockets with it */
void upstreams_forget(struct upstreams *upstreams, unsigned int proxy);
