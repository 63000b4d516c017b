/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "puppet.h"

static void take_ports(char *text, uint16_t *first, uint16_t *last)
{
	char *dash = strchr(text, '-');

	*first = (uint16_t)atoi(text);
	*last = dash ? (uint16_t)atoi(dash + 1) : 0;
}

static void take_word(struct sluice_rule *rule, char *word)
{
	char *value = strchr(word, '=');

	if (!value)
		return;
	*value++ = '\0';
	if (!strcmp(word, "action"))
		rule->action = (enum sluice_rule_action)atoi(value);
	else if (!strcmp(word, "direction"))
		rule->direction = (enum sluice_rule_direction)atoi(value);
	else if (!strcmp(word, "protocol"))
		rule->protocol = (uint8_t)atoi(value);
	else if (!strcmp(word, "uid"))
		rule->has_uid = true, rule->uid = (uint32_t)atol(value);
	else if (!strcmp(word, "remote"))
		take_ports(value, &rule->remote_port, &rule->remote_port_last);
	else if (!strcmp(word, "local"))
		take_ports(value, &rule->local_port, &rule->local_port_last);
	else if (!strcmp(word, "address"))
		rule->remote_address = value;
	else if (!strcmp(word, "host"))
		rule->host = value;
	else if (!strcmp(word, "domain"))
		rule->domain = value;
	else if (!strcmp(word, "exe"))
		rule->exe = value;
	else if (!strcmp(word, "local-address"))
		rule->local_address = value;
	else if (!strcmp(word, "interface"))
		rule->interface = value;
	else if (!strcmp(word, "cgroup"))
		rule->cgroup = value;
	else if (!strcmp(word, "reason"))
		rule->reason = value;
}

int puppet_rules(const struct order *order)
{
	struct sluice_rule rule = { .size = sizeof(rule) };
	bool is_open = false;

	sluice_filter_rules_begin(order->filter);
	for (int i = 2; i < N_WORDS; i++) {
		bool is_end = !order->words[i][0] || !strcmp(order->words[i], "|");

		if (!is_end)
			take_word(&rule, order->words[i]);
		else if (is_open)
			sluice_filter_rule(order->filter, &rule);
		is_open = !is_end;
		if (is_end)
			rule = (struct sluice_rule){ .size = sizeof(rule) };
	}
	return sluice_filter_rules_commit(order->filter,
					  (enum sluice_rule_action)atol(order->words[1]));
}
