/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Filters that give static rules to a daemon on a kernel in memory
 */

#include "base/macros.h"
#include "daemon-lab-memory.h"

/* a rule */
#define ALL(...)                                                                                   \
	(struct wire_rule)                                                                         \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

extern const struct wire_rule rules_lab_drop_a, rules_lab_drop_b; /* a name, and all below one */

/** rules_lab_say() - a set from RULES_BEGIN to RULES_COMMIT */
void rules_lab_say(struct lab *lab, unsigned int filter, const struct wire_rule *rules, size_t n,
		   uint8_t otherwise);
void rules_lab_begin(struct lab *lab, unsigned int filter);
/** rules_lab_outcome() - what the filter was told of the set that began last */
void rules_lab_outcome(struct lab *lab, unsigned int filter, uint32_t error, uint32_t rule,
		       const char *text);

/* a set that is taken */
#define GIVE(lab, filter, otherwise, ...)                                                          \
	do {                                                                                       \
		const struct wire_rule rules_[] = { __VA_ARGS__ };                                 \
                                                                                                   \
		rules_lab_say(lab, filter, rules_, ARRAY_SIZE(rules_), otherwise);                 \
		rules_lab_outcome(lab, filter, 0, 0, "");                                          \
	} while (0)

/** rules_lab_check() - a flow that comes and what becomes of it; one that is asked about is denied */
void rules_lab_check(struct lab *lab, const struct lab_packet *packet, enum fate fate);
void rules_lab_reason(struct lab *lab, const struct lab_packet *packet, const char *reason);
/** rules_lab_walk() - the open flows are judged again, all of them */
void rules_lab_walk(struct lab *lab);
