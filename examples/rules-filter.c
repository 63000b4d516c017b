/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Static rules: sluiced answers by them, this program is asked about the rest alone. */
#include <stdio.h>

#include <sluice/filter.h>

#define RULE .size = sizeof(struct sluice_rule), .action

static const struct sluice_rule rules[] = {
	{ RULE = SLUICE_RULE_ALLOW, .remote_port = 53, .reason = "name servers" },
	{ RULE = SLUICE_RULE_DROP, .domain = "ads.example", .reason = "advertisements" },
	{ RULE = SLUICE_RULE_ALLOW, .remote_port = 443, .reason = "the web" },
};

static int on_start(struct sluice_filter *filter, void *data)
{
	sluice_filter_rules_begin(filter);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		sluice_filter_rule(filter, &rules[i]);
	return sluice_filter_rules_commit(filter, SLUICE_RULE_ASK); /* or what was wrong before */
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	printf("no rule for %s, port %u\n", flow->exe, flow->remote_port);
	fflush(stdout);
	sluice_filter_answer(filter, flow->id, SLUICE_DROP, "no rule allows it");
}

int main(void)
{
	const struct sluice_filter_ops ops = {
		.size = sizeof(ops), .name = "rules-filter", .start = on_start, .new_flow = on_flow
	};

	return sluice_filter_main(&ops, NULL);
}
