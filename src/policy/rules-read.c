/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Reading a list back, for whoever asks what is in force */
#include <stdio.h>
#include <string.h>

#include "policy/rules-list.h"

bool rules_get(const struct rules *rules, uint32_t number, struct wire_rule *ret_rule)
{
	const struct rules_rule *rule;

	if (!rules || number == 0 || number > rules->n)
		return false;
	rule = &rules->rules[number - 1];
	*ret_rule = (struct wire_rule){ .action = rule->action,
					.direction = rule->direction,
					.protocol = rule->protocol,
					.family = rule->family,
					.bits = rule->bits,
					.host_kind = rule->host_kind,
					.has_uid = rule->has_uid,
					.uid = rule->uid,
					.rport = rule->rport,
					.rport_last = rule->rport_last,
					.lport = rule->lport,
					.lport_last = rule->lport_last,
					.lfamily = rule->lfamily,
					.lbits = rule->lbits };
	memcpy(ret_rule->remote, rule->remote, sizeof(ret_rule->remote));
	memcpy(ret_rule->local, rule->local, sizeof(ret_rule->local));
	snprintf(ret_rule->host, sizeof(ret_rule->host), "%s", rules->text + rule->host);
	snprintf(ret_rule->exe, sizeof(ret_rule->exe), "%s", rules->text + rule->exe);
	snprintf(ret_rule->interface, sizeof(ret_rule->interface), "%s",
		 rules->text + rule->interface);
	snprintf(ret_rule->cgroup, sizeof(ret_rule->cgroup), "%s", rules->text + rule->cgroup);
	snprintf(ret_rule->reason, sizeof(ret_rule->reason), "%s", rules->text + rule->reason);
	return true;
}

enum rules_action rules_otherwise(const struct rules *rules)
{
	return rules ? (enum rules_action)rules->otherwise : RULES_ASK;
}
