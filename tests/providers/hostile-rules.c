/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What a hostile provider does with static rules
 *
 * No rule here is about a flow of the test, so that nothing may change by them.
 */

#include <string.h>

#include "hostile.h"

#define N_MAX 65536U /* rules of a set */
#define N_ALIKE 20000U

enum { RULE_DROP = 2, FAMILY_4 = 4, BITS = 128 };

static bool begin(void)
{
	return hostile_record(RULES_BEGIN, 8, "", 0);
}

static bool commit(uint8_t otherwise)
{
	return hostile_record(RULES_COMMIT, 1, &otherwise, 1);
}

static bool rule(uint32_t i)
{
	uint8_t head[RULE_REMOTE + 16] = { RULE_DROP, 0, 0, FAMILY_4, BITS };
	uint8_t *remote = head + RULE_REMOTE;

	remote[10] = remote[11] = 0xff;
	remote[12] = 11;
	remote[13] = (uint8_t)(i >> 16);
	remote[14] = (uint8_t)(i >> 8);
	remote[15] = (uint8_t)i;
	return hostile_record(RULE, RULE_BYTES, head, sizeof(head));
}

/* one range of local ports within the other, of protocol 250 */
static bool alike(uint32_t i)
{
	uint8_t head[RULE_REMOTE] = { RULE_DROP, 0, 250 };
	uint16_t range[2] = { 1, (uint16_t)(2 + i) };

	memcpy(head + RULE_LOCAL_PORT, range, sizeof(range));
	return hostile_record(RULE, RULE_BYTES, head, sizeof(head));
}

void hostile_rule_of_no_set(uint64_t id)
{
	rule(0);
}

void hostile_commit_of_no_set(uint64_t id)
{
	commit(0);
}

void hostile_endless_set(uint64_t id)
{
	begin();
	for (uint32_t i = 0; rule(i); i++)
		;
}

void hostile_begin_flood(uint64_t id)
{
	while (begin() && rule(0))
		;
}

void hostile_set_flood(uint64_t id)
{
	for (uint32_t i = 0; begin() && rule(i % 2) && commit(0); i++)
		;
}

void hostile_large_set(uint64_t id)
{
	begin();
	for (uint32_t i = 0; i < N_MAX; i++)
		rule(i);
	commit(0);
}

void hostile_alike_rules(uint64_t id)
{
	begin();
	for (uint32_t i = 0; i < N_ALIKE; i++)
		alike(i);
	commit(RULE_DROP); /* which is refused with its rules */
}

/* and lies in between, and goes on as if nothing were */
void hostile_half_a_set(uint64_t id)
{
	begin();
	rule(0);
	hostile_judge(id + 1, ALLOW, 0);
	begin();
	rule(1);
}
