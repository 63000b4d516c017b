/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Static rules on their way to the daemon
 *
 * A set is made by the caller and, once committed, sent as the channel takes it:
 * there may be more rules than any channel holds. Answers do not wait behind
 * them; only READY does, so that the daemon has the rules of a start before it
 * asks about a flow. A rule is kept as the numbers of its record, and its texts
 * one after the other.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "lib/filter-internal.h"
#include "wire/rule.h"

#define NUMBERS_BYTES offsetof(struct wire_rule, host)
#define PLACES_FIRST 4096U
#define FIRST_SIZE (offsetof(struct sluice_rule, reason) + sizeof(const char *)) /* of 0.1 */

static bool is_alive(const struct sluice_filter *filter)
{
	return !filter->broken && filter->state < FILTER_STOPPING;
}

static void free_list(struct rule_list *list)
{
	free(list->bytes);
	*list = (struct rule_list){ 0 };
}

/* ---- a rule of the caller becomes a record ---- */

/* a newer program may set members that are not known here: only zeros can be left out */
static int read_rule(const struct sluice_rule *from, struct sluice_rule *ret_rule)
{
	const unsigned char *bytes = (const unsigned char *)from;

	if (from->size < FIRST_SIZE)
		return -EINVAL;
	for (size_t i = sizeof(*ret_rule); i < from->size; i++)
		if (bytes[i])
			return -E2BIG;
	*ret_rule = (struct sluice_rule){ 0 };
	memcpy(ret_rule, from, MIN(from->size, sizeof(*ret_rule)));
	return 0;
}

static bool is_copied(char *to, size_t n, const char *text)
{
	size_t n_text = text ? strlen(text) : 0;

	if (n_text >= n)
		return false;
	if (n_text)
		memcpy(to, text, n_text);
	return true;
}

static const char *read_texts(const struct sluice_rule *rule, struct wire_rule *record)
{
	const char *host = rule->host ? rule->host : rule->domain;
	size_t n;

	if (rule->host && rule->domain)
		return "a host and a domain: one of the two";
	if (!is_copied(record->host, sizeof(record->host), host))
		return "the host is longer than a name can be";
	record->host_kind = rule->host ? 1 : rule->domain ? 2 : 0;
	n = strlen(record->host);
	if (n > 1 && record->host[n - 1] == '.') /* as in zone files: the same name */
		record->host[n - 1] = '\0';
	if (!is_copied(record->exe, sizeof(record->exe), rule->exe))
		return "the path of the program is longer than 511 bytes";
	if (!is_copied(record->interface, sizeof(record->interface), rule->interface))
		return "the name of the interface is longer than 15 bytes";
	if (!is_copied(record->cgroup, sizeof(record->cgroup), rule->cgroup))
		return "the cgroup is longer than 255 bytes";
	n = strlen(record->cgroup);
	if (n > 1 && record->cgroup[n - 1] == '/')
		record->cgroup[n - 1] = '\0';
	if (rule->reason)
		memcpy(record->reason, rule->reason,
		       strnlen(rule->reason, sizeof(record->reason) - 1));
	return NULL;
}

static const char *to_record(const struct sluice_rule *rule, struct wire_rule *record)
{
	const char *problem;

	if ((unsigned int)rule->action > SLUICE_RULE_DROP_SILENT)
		return "the action is out of range";
	if ((unsigned int)rule->direction > SLUICE_RULE_INBOUND)
		return "the direction is out of range";
	*record = (struct wire_rule){ .action = (uint8_t)rule->action,
				      .direction = (uint8_t)rule->direction,
				      .protocol = rule->protocol,
				      .has_uid = rule->has_uid,
				      .uid = rule->has_uid ? rule->uid : 0,
				      .rport = rule->remote_port,
				      .rport_last = rule->remote_port_last,
				      .lport = rule->local_port,
				      .lport_last = rule->local_port_last };
	problem = wire_rule_network(rule->remote_address, record->remote, &record->bits,
				      &record->family);
	if (!problem)
		problem = wire_rule_network(rule->local_address, record->local, &record->lbits,
					      &record->lfamily);
	if (!problem)
		problem = read_texts(rule, record);
	return problem ? problem : wire_rule_problem(record);
}

/* ---- packing ---- */

static int append(struct rule_list *list, const void *bytes, size_t n)
{
	size_t n_places = list->n_places ? list->n_places : PLACES_FIRST;

	while (n_places < list->n_bytes + n)
		n_places *= 2;
	if (n_places > list->n_places) {
		uint8_t *larger = realloc(list->bytes, n_places);

		if (!larger)
			return -ENOMEM;
		list->bytes = larger;
		list->n_places = n_places;
	}
	memcpy(list->bytes + list->n_bytes, bytes, n);
	list->n_bytes += n;
	return 0;
}

static int pack(struct rule_list *list, const struct wire_rule *record)
{
	const char *const texts[] = { record->host, record->exe, record->interface,
				      record->cgroup, record->reason };
	int r;

	if (list->n == WIRE_RULES_MAX)
		return -E2BIG;
	r = append(list, record, NUMBERS_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++)
		r = append(list, texts[i], strlen(texts[i]) + 1);
	list->n += r == 0;
	return r;
}

/* Return: where the next one begins */
static size_t unpack(const struct rule_list *list, size_t at, struct wire_rule *ret_record)
{
	char *const texts[] = { ret_record->host, ret_record->exe, ret_record->interface,
				ret_record->cgroup, ret_record->reason };

	memset(ret_record, 0, sizeof(*ret_record));
	memcpy(ret_record, list->bytes + at, NUMBERS_BYTES);
	at += NUMBERS_BYTES;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		size_t n = strlen((const char *)list->bytes + at) + 1;

		memcpy(texts[i], list->bytes + at, n);
		at += n;
	}
	return at;
}

/* ---- the caller's side ---- */

int sluice_filter_rules_begin(struct sluice_filter *filter)
{
	if (!is_alive(filter))
		return -ESHUTDOWN;
	free_list(&filter->rules.made);
	filter->rules.is_begun = true;
	filter->rules.error = 0;
	return 0;
}

static int refuse(struct sluice_filter *filter, int error, const char *problem)
{
	filter_set_error(filter, "rule %u: %s", filter->rules.made.n + 1, problem);
	filter->has_fail_text = true;
	filter->rules.error = error;
	return error;
}

int sluice_filter_rule(struct sluice_filter *filter, const struct sluice_rule *from)
{
	struct rule_sets *sets = &filter->rules;
	struct wire_rule record;
	struct sluice_rule rule;
	const char *problem;
	int r;

	if (!is_alive(filter))
		return -ESHUTDOWN;
	if (!sets->is_begun)
		return -EINVAL;
	if (sets->error)
		return sets->error;
	r = read_rule(from, &rule);
	if (r < 0)
		return refuse(filter, r, "its struct is not of a version that this library knows");
	problem = to_record(&rule, &record);
	if (problem)
		return refuse(filter, -EINVAL, problem);
	r = pack(&sets->made, &record);
	if (r < 0)
		return refuse(filter, r,
			      r == -E2BIG ? "more than 65536 rules" : "no memory for it");
	return 0;
}

int sluice_filter_rules_commit(struct sluice_filter *filter, enum sluice_rule_action otherwise)
{
	struct rule_sets *sets = &filter->rules;

	if (!is_alive(filter))
		return -ESHUTDOWN;
	if (!sets->is_begun || (unsigned int)otherwise > SLUICE_RULE_DROP_SILENT)
		return -EINVAL;
	sets->is_begun = false;
	if (sets->error) {
		free_list(&sets->made);
		return sets->error;
	}
	free_list(&sets->sent); /* one that is still on its way is out of date */
	sets->sent = sets->made;
	sets->made = (struct rule_list){ 0 };
	sets->is_sending = true;
	sets->otherwise = (uint8_t)otherwise;
	sets->has_begin = false;
	sets->at = 0;
	sets->number++;
	return 0;
}

/* ---- sending ---- */

static int send_next(struct sluice_filter *filter)
{
	struct rule_sets *sets = &filter->rules;
	struct wire_rules_begin begin = { .set = sets->number };
	struct wire_rules_commit commit = { .otherwise = sets->otherwise };
	struct wire_rule rule;
	size_t next;
	int r;

	if (!sets->has_begin) {
		r = filter_send_now(filter->fd, WIRE_RULES_BEGIN, &begin);
		sets->has_begin = r == 0;
	} else if (sets->at < sets->sent.n_bytes) {
		next = unpack(&sets->sent, sets->at, &rule);
		r = filter_send_now(filter->fd, WIRE_RULE, &rule);
		sets->at = r == 0 ? next : sets->at;
	} else {
		r = filter_send_now(filter->fd, WIRE_RULES_COMMIT, &commit);
		sets->is_sending = r != 0;
	}
	return r;
}

int filter_send_rules(struct sluice_filter *filter)
{
	struct rule_sets *sets = &filter->rules;
	int r = 0;

	if (filter->state != FILTER_STARTED)
		return 0;
	for (unsigned int i = 0; i < FILTER_BATCH && sets->is_sending && r == 0; i++)
		r = send_next(filter);
	if (!sets->is_sending) {
		free_list(&sets->sent);
		filter->outbox.is_corked = false;
	}
	return r == -EAGAIN ? 0 : r;
}

void filter_drop_rules(struct sluice_filter *filter)
{
	free_list(&filter->rules.made);
	free_list(&filter->rules.sent);
	filter->rules.is_begun = filter->rules.is_sending = false;
}
