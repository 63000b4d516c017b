/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A world for verdict memory
 *
 * Applications, addresses, names and filters, all few, so that they meet; and
 * a map as the kernel has it. Eight bytes are one event: an answer of a name
 * server, time that passes, a filter that changes its opinions or its static
 * rules, a new flow. Each flow is judged twice: through the memory, and by
 * asking every filter again, which is the oracle: it looks at the filter's rules
 * one by one (memory-rules.h), with everything that there is to know, and where
 * they do not say the same under all names, it asks the filter itself. The two
 * must agree on the verdict at every step.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_EVENT_BYTES 8U

struct world;

struct world_counts {
	uint64_t n_flows, n_by_kernel, n_by_answers, n_by_rules, n_asked;
	uint64_t n_concluded_by_rules; /* parts of what was told to the kernel */
	uint64_t n_disagreeing;	       /* flows to an address whose names have different answers */
};

struct world *world_new(void);
struct world *world_free(struct world *world);

/** world_step() - Return: NULL, or what went wrong, in words */
const char *world_step(struct world *world, const uint8_t event[WORLD_EVENT_BYTES]);

struct world_counts world_counts(const struct world *world);
