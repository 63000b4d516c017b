/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: What rules say of loopback: docs/decisions/0019 */
#include <string.h>

#include "policy/rules-list.h"

struct rules_loopback rules_loopback(const struct rules *rules)
{
	static const struct rules_loopback none;

	return rules ? rules->loopback : none;
}

struct rules_loopback rules_join_loopback(const struct rules_loopback *a,
					  const struct rules_loopback *b)
{
	struct rules_loopback both = { .has_ipv6 = a->has_ipv6 || b->has_ipv6 };

	if (!a->mask || !b->mask) {
		both.mask = a->mask | b->mask;
		both.network = a->network | b->network;
		return both;
	}
	both.mask = a->mask & b->mask;
	while ((a->network & both.mask) != (b->network & both.mask))
		both.mask <<= 1;
	both.network = a->network & both.mask;
	return both;
}

bool rules_names_loopback(const struct rules_rule *rule)
{
	static const uint8_t v4[13] = { [10] = 0xff, 0xff, 127 }, v6[16] = { [15] = 1 };

	if (rule->family == 4)
		return rule->bits >= 8 * sizeof(v4) && memcmp(rule->remote, v4, sizeof(v4)) == 0;
	return rule->family == 6 && rule->bits == 8 * sizeof(v6) &&
	       memcmp(rule->remote, v6, sizeof(v6)) == 0;
}

void rules_note_loopback(struct rules *rules, const struct rules_rule *rule)
{
	const uint8_t *at = rule->remote + 12;
	struct rules_loopback named = { .has_ipv6 = rule->family == 6 };

	if (rule->action == RULES_ALLOW || rule->direction == RULES_INBOUND)
		return;
	if (rule->family == 4) {
		named.mask = UINT32_MAX << (128 - rule->bits);
		named.network = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
				(uint32_t)at[2] << 8 | at[3];
	}
	rules->loopback = rules_join_loopback(&rules->loopback, &named);
}
