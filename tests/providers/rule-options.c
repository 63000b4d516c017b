/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "rule-options.h"

static enum sluice_rule_action action_of(const char *text)
{
	return !strcmp(text, "allow")	 ? SLUICE_RULE_ALLOW
	       : !strcmp(text, "drop")	 ? SLUICE_RULE_DROP
	       : !strcmp(text, "silent") ? SLUICE_RULE_DROP_SILENT
					 : SLUICE_RULE_ASK;
}

static void set_ports(const char *text, uint16_t *first, uint16_t *last)
{
	const char *dash = strchr(text, '-');

	*first = (uint16_t)strtoul(text, NULL, 10);
	*last = dash ? (uint16_t)strtoul(dash + 1, NULL, 10) : 0;
}

static int set_condition(struct sluice_rule *rule, const char *key, const char *value)
{
	if (!strcmp(key, "address"))
		rule->remote_address = value;
	else if (!strcmp(key, "host"))
		rule->host = value;
	else if (!strcmp(key, "domain"))
		rule->domain = value;
	else if (!strcmp(key, "exe"))
		rule->exe = value;
	else if (!strcmp(key, "local-address"))
		rule->local_address = value;
	else if (!strcmp(key, "interface"))
		rule->interface = value;
	else if (!strcmp(key, "cgroup"))
		rule->cgroup = value;
	else if (!strcmp(key, "reason"))
		rule->reason = value;
	else if (!strcmp(key, "port"))
		set_ports(value, &rule->remote_port, &rule->remote_port_last);
	else if (!strcmp(key, "local-port"))
		set_ports(value, &rule->local_port, &rule->local_port_last);
	else if (!strcmp(key, "protocol"))
		rule->protocol = !strcmp(value, "udp") ? IPPROTO_UDP : IPPROTO_TCP;
	else if (!strcmp(key, "direction"))
		rule->direction = !strcmp(value, "in") ? SLUICE_RULE_INBOUND : SLUICE_RULE_OUTBOUND;
	else if (!strcmp(key, "uid")) {
		rule->has_uid = true;
		rule->uid = (uint32_t)strtoul(value, NULL, 10);
	} else
		return -EINVAL;
	return 0;
}

static int give_rule(struct sluice_filter *filter, const char *text)
{
	struct sluice_rule rule = { .size = sizeof(rule) };
	char copy[256], *next = copy, *field;
	int r = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	rule.action = action_of(strsep(&next, ";"));
	while (r == 0 && (field = strsep(&next, ";"))) {
		char *value = strchr(field, '=');

		if (!value)
			return -EINVAL;
		*value++ = '\0';
		r = set_condition(&rule, field, value);
	}
	return r < 0 ? r : sluice_filter_rule(filter, &rule);
}

static int fill(struct sluice_filter *filter, unsigned long n)
{
	struct sluice_rule rule = { .size = sizeof(rule), .action = SLUICE_RULE_DROP };
	char address[32];
	int r = 0;

	rule.remote_address = address;
	for (unsigned long i = 0; i < n && r == 0; i++) {
		snprintf(address, sizeof(address), "10.%lu.%lu.%lu", 200 + (i >> 16), i >> 8 & 255,
			 i & 255);
		r = sluice_filter_rule(filter, &rule);
	}
	return r;
}

static int give(struct sluice_filter *filter, const struct rule_texts *texts, unsigned long n_fill)
{
	int r = sluice_filter_rules_begin(filter);

	if (r == 0)
		r = fill(filter, n_fill);
	for (unsigned int i = 0; i < texts->n && r == 0; i++)
		r = give_rule(filter, texts->fields[i]);
	return r < 0 ? r : sluice_filter_rules_commit(filter, texts->otherwise);
}

int rule_options_give(struct sluice_filter *filter, struct rule_options *options)
{
	if (!options->now.is_given && !options->n_fill)
		return 0;
	return give(filter, &options->now, options->n_fill);
}

void rule_options_replace(struct sluice_filter *filter, struct rule_options *options,
			  const struct sluice_flow *flow)
{
	if (!options->replace_port || flow->remote_port != options->replace_port)
		return;
	options->replace_port = 0;
	if (give(filter, &options->next, 0) < 0)
		sluice_filter_log(filter, LOG_ERR, "%s", sluice_filter_error(filter));
}

static bool set_text(struct rule_texts *texts, const char *key, const char *value)
{
	if (!strcmp(key, "otherwise"))
		texts->otherwise = action_of(value);
	else if (!strcmp(key, "rule") && texts->n < N_STATIC_RULES)
		snprintf(texts->fields[texts->n++], sizeof(texts->fields[0]), "%s", value);
	else
		return false;
	texts->is_given = true;
	return true;
}

bool rule_option(struct rule_options *options, const char *key, const char *value)
{
	if (!strcmp(key, "fill-rules"))
		options->n_fill = strtoul(value, NULL, 10);
	else if (!strcmp(key, "replace-port"))
		options->replace_port = strtoul(value, NULL, 10);
	else if (!strncmp(key, "next-", 5))
		return set_text(&options->next, key + 5, value);
	else
		return set_text(&options->now, key, value);
	return true;
}
