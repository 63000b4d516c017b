/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A world for static rules
 *
 * Addresses, names, programs and ports, all few, so that rules and flows meet. An
 * event begins a list, adds a rule to it, or asks about a flow. What a list says is
 * compared with the oracle, which looks at one rule after the other and knows
 * nothing of chains; and what it says while not all is known of a flow, with the
 * oracle's word for everything that the flow may be.
 */

#include <stdint.h>

#define RULES_WORLD_EVENT_BYTES 24U

struct rules_world;

struct rules_world_counts {
	uint64_t n_rules, n_refused, n_decided, n_asked, n_varying, n_partly_decided;
};

struct rules_world *rules_world_new(void);
struct rules_world *rules_world_free(struct rules_world *world);

/** rules_world_step() - Return: NULL, or what went wrong, in words */
const char *rules_world_step(struct rules_world *world,
			     const uint8_t event[RULES_WORLD_EVENT_BYTES]);

struct rules_world_counts rules_world_counts(const struct rules_world *world);
