/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Static rules that are in force, for people
 *
 * A list may have 65,536 rules, and who asks for it is not worth that a flow waits: it is told
 * a page at a time. A set that is exchanged meanwhile has another number, and whoever reads it
 * begins anew.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/flow-json.h"
#include "control/json-message.h"
#include "daemon/daemon.h"

#define PAGE_RULES 250U /* about a millisecond's */
#define IPV4_BITS 96U	/* in front of its own, in an address of 16 bytes */

static const char *action_name(unsigned int action)
{
	static const char *const names[] = {
		[RULES_ASK] = "ask",
		[RULES_ALLOW] = "allow",
		[RULES_DROP] = "drop",
		[RULES_DROP_SILENT] = "drop-silent",
	};

	return names[action];
}

static const char *direction_name(unsigned int direction)
{
	static const char *const names[] = { "any", "outbound", "inbound" };

	return names[direction];
}

/* what is no condition is null */
static struct json_object *text_or_null(const char *text, bool is_condition)
{
	return is_condition ? json_clean_string(text) : NULL;
}

static struct json_object *number_or_null(uint64_t number, bool is_condition)
{
	return is_condition ? json_object_new_uint64(number) : NULL;
}

/* "192.0.2.7", "192.0.2.0/24" */
static struct json_object *network_json(uint8_t family, uint8_t bits, const uint8_t address[16])
{
	bool is_ipv4 = family == 4;
	unsigned int n = is_ipv4 && bits > IPV4_BITS ? bits - IPV4_BITS : is_ipv4 ? 0 : bits;
	unsigned int whole = is_ipv4 ? 32 : 128;
	char text[INET6_ADDRSTRLEN + sizeof("/128")] = "";
	size_t at;

	if (!family)
		return NULL;
	(void)inet_ntop(is_ipv4 ? AF_INET : AF_INET6, address + (is_ipv4 ? 12 : 0), text,
			sizeof(text));
	at = strlen(text);
	if (n < whole)
		snprintf(text + at, sizeof(text) - at, "/%u", n);
	return json_object_new_string(text);
}

static struct json_object *rule_json(const struct wire_rule *rule, uint32_t number)
{
	struct json_object *json = json_object_new_object();

	json_add(json, "number", json_object_new_uint64(number));
	json_add(json, "action", json_object_new_string(action_name(rule->action)));
	json_add(json, "direction", json_object_new_string(direction_name(rule->direction)));
	json_add(json, "protocol", number_or_null(rule->protocol, rule->protocol));
	json_add(json, "remote", network_json(rule->family, rule->bits, rule->remote));
	json_add(json, "remote_port", number_or_null(rule->rport, rule->rport));
	json_add(json, "remote_port_last", number_or_null(rule->rport_last, rule->rport));
	json_add(json, "local", network_json(rule->lfamily, rule->lbits, rule->local));
	json_add(json, "local_port", number_or_null(rule->lport, rule->lport));
	json_add(json, "local_port_last", number_or_null(rule->lport_last, rule->lport));
	json_add(json, "host", text_or_null(rule->host, rule->host_kind == 1));
	json_add(json, "domain", text_or_null(rule->host, rule->host_kind == 2));
	json_add(json, "exe", text_or_null(rule->exe, rule->exe[0]));
	json_add(json, "uid", number_or_null(rule->uid, rule->has_uid));
	json_add(json, "interface", text_or_null(rule->interface, rule->interface[0]));
	json_add(json, "cgroup", text_or_null(rule->cgroup, rule->cgroup[0]));
	json_add(json, "reason", text_or_null(rule->reason, rule->reason[0]));
	return json;
}

/* those for packets have no more conditions than those for flows, and the same actions */
static struct wire_rule as_rule(const struct sl_packet_rule *from)
{
	struct wire_rule rule = { .action = from->action,
				  .direction = from->dir,
				  .protocol = from->proto,
				  .family = from->family,
				  .bits = from->bits,
				  .rport = from->rport,
				  .rport_last = from->rport_last ?: from->rport,
				  .lport = from->lport,
				  .lport_last = from->lport_last ?: from->lport };

	memcpy(rule.remote, from->remote, sizeof(rule.remote));
	memcpy(rule.interface, from->interface, sizeof(rule.interface));
	return rule;
}

/* NULL: it is no packet filter. They are few */
static struct json_object *packets_rules_json(const struct packet_filter *filter)
{
	struct json_object *json, *list;

	if (!filter->is_one)
		return NULL;
	json = json_object_new_object();
	list = json_object_new_array();
	for (uint32_t i = 0; i < filter->ruling.n; i++) {
		const struct wire_rule rule = as_rule(&filter->ruling.rules[i]);

		json_append(list, rule_json(&rule, i + 1));
	}
	json_add(json, "otherwise", json_object_new_string(action_name(filter->ruling.otherwise)));
	json_add(json, "rules", list);
	return json;
}

static struct json_object *chosen_rules_json(const struct rules *rules)
{
	struct json_object *json = json_object_new_object(), *list = json_object_new_array();
	struct wire_rule rule;

	for (uint32_t i = 1; rules_get(rules, i, &rule); i++)
		json_append(list, rule_json(&rule, i));
	json_add(json, "otherwise", json_object_new_string(action_name(rules_otherwise(rules))));
	json_add(json, "rules", list);
	return json;
}

/* NULL: it is no proxy, or its user has said nothing. They are few: WIRE_SETTINGS_MAX */
static struct json_object *chosen_json(const struct chosen *chosen)
{
	struct json_object *json;

	if (!chosen->apps && !chosen->flows)
		return NULL;
	json = json_object_new_object();
	json_add(json, "apps", chosen_rules_json(chosen->apps));
	json_add(json, "flows", chosen_rules_json(chosen->flows));
	return json;
}

static struct json_object *page_json(const struct daemon *daemon, unsigned int index, uint32_t from)
{
	const struct ruling *ruling = &daemon->filters[index].ruling;
	struct json_object *json = json_object_new_object(), *list = json_object_new_array();
	struct wire_rule rule;

	for (uint32_t i = from; i < from + PAGE_RULES && rules_get(ruling->in_force, i, &rule); i++)
		json_append(list, rule_json(&rule, i));
	json_add(json, "filter", json_clean_string(daemon->filters[index].name));
	json_add(json, "filters", json_object_new_uint64(daemon->n_filters));
	json_add(json, "set", json_object_new_uint64(ruling->n_sets));
	json_add(json, "count", json_object_new_uint64(rules_count(ruling->in_force)));
	json_add(json, "otherwise",
		 json_object_new_string(action_name(rules_otherwise(ruling->in_force))));
	json_add(json, "rules", list);
	json_add(json, "packets",
		 from == 1 ? packets_rules_json(&daemon->filters[index].packets) : NULL);
	json_add(json, "chosen", from == 1 ? chosen_json(&daemon->filters[index].chosen) : NULL);
	return json;
}

int rules_get_page(void *data, uint64_t index, uint64_t from, struct json_object **ret_page)
{
	const struct daemon *daemon = data;

	if (daemon->n_filters == 0)
		return -ENOENT;
	if (index >= daemon->n_filters || from == 0 || from > WIRE_RULES_MAX)
		return -EINVAL;
	*ret_page = page_json(daemon, (unsigned int)index, (uint32_t)from);
	return *ret_page ? 0 : -ENOMEM;
}
