/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rules-lab.h"

const struct wire_rule rules_lab_drop_a = { .action = RULES_DROP,
					    .host_kind = 1,
					    .host = "a.example" };
const struct wire_rule rules_lab_drop_b = { .action = RULES_DROP,
					    .host_kind = 2,
					    .host = "B.example" };

static uint64_t last_set;

void rules_lab_begin(struct lab *lab, unsigned int filter)
{
	struct wire_rules_begin record = { .set = ++last_set };

	lab_say(lab, filter, WIRE_RULES_BEGIN, &record);
}

static void commit(struct lab *lab, unsigned int filter, uint8_t otherwise)
{
	struct wire_rules_commit record = { .otherwise = otherwise };

	lab_say(lab, filter, WIRE_RULES_COMMIT, &record);
}

void rules_lab_say(struct lab *lab, unsigned int filter, const struct wire_rule *rules, size_t n,
		   uint8_t otherwise)
{
	rules_lab_begin(lab, filter);
	for (size_t i = 0; i < n; i++)
		lab_say(lab, filter, WIRE_RULE, &rules[i]);
	commit(lab, filter, otherwise);
}

void rules_lab_outcome(struct lab *lab, unsigned int filter, uint32_t error, uint32_t rule,
		       const char *text)
{
	const struct wire_rules_done *done = lab_take(lab, filter, WIRE_RULES_DONE);

	assert_non_null(done);
	assert_int_equal(done->set, last_set);
	assert_int_equal(done->error, error);
	assert_int_equal(done->rule, rule);
	assert_string_equal(done->text, text);
}

void rules_lab_check(struct lab *lab, const struct lab_packet *packet, enum fate fate)
{
	unsigned int index = memory_connect(lab, packet);
	uint64_t id = lab_take_flow(lab, 0);

	assert_int_equal(id != 0, fate == FATE_HELD);
	assert_int_equal(lab_fate(lab, index), fate);
	if (id)
		lab_judge(lab, 0, id, 1);
	lab_end_socket(lab, packet);
}

void rules_lab_reason(struct lab *lab, const struct lab_packet *packet, const char *reason)
{
	struct sl_flow_key key = lab_key(packet);
	const struct flow *flow = flow_table_find(lab->daemon->flows, &key);

	assert_non_null(flow);
	assert_string_equal(flow->reason, reason);
}

void rules_lab_walk(struct lab *lab)
{
	lab_pass(lab, TICK_US);
	lab_pass(lab, TICK_US);
}
