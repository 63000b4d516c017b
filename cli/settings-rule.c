/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: The conditions of a rule, as a user writes them: WORD=VALUE,WORD=VALUE */
#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "wire/rule.h"

/* Return: NULL, or what is wrong */
static const char *take_text(const char *value, char *text, size_t n)
{
	if (!*value)
		return "it is empty";
	if (strlen(value) >= n)
		return "it is too long";
	memcpy(text, value, strlen(value) + 1);
	return NULL;
}

static const char *take_number(const char *value, unsigned long most, unsigned long *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || *ret_number > most)
		return "it is no number that can be";
	return NULL;
}

static const char *take_exe(const char *value, struct wire_rule *rule)
{
	return take_text(value, rule->exe, sizeof(rule->exe));
}

static const char *take_cgroup(const char *value, struct wire_rule *rule)
{
	return take_text(value, rule->cgroup, sizeof(rule->cgroup));
}

static const char *take_interface(const char *value, struct wire_rule *rule)
{
	return take_text(value, rule->interface, sizeof(rule->interface));
}

static const char *take_name(const char *value, uint8_t kind, struct wire_rule *rule)
{
	rule->host_kind = kind;
	return take_text(value, rule->host, sizeof(rule->host));
}

static const char *take_host(const char *value, struct wire_rule *rule)
{
	return take_name(value, 1, rule);
}

static const char *take_domain(const char *value, struct wire_rule *rule)
{
	return take_name(value, 2, rule);
}

static const char *take_uid(const char *value, struct wire_rule *rule)
{
	const struct passwd *user = getpwnam(value);
	unsigned long uid = user ? user->pw_uid : 0;
	const char *problem = user ? NULL : take_number(value, UINT32_MAX - 1, &uid);

	rule->has_uid = true;
	rule->uid = (uint32_t)uid;
	return problem ? "there is no such user" : NULL;
}

static const char *take_protocol(const char *value, struct wire_rule *rule)
{
	static const struct {
		const char *name;
		uint8_t protocol;
	} known[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(value, known[i].name))
			rule->protocol = known[i].protocol;
	return rule->protocol ? NULL : "proxies have tcp and udp";
}

static const char *take_remote(const char *value, struct wire_rule *rule)
{
	return wire_rule_network(value, rule->remote, &rule->bits, &rule->family);
}

static const char *take_local(const char *value, struct wire_rule *rule)
{
	return wire_rule_network(value, rule->local, &rule->lbits, &rule->lfamily);
}

/* "80" or "80-90" */
static const char *take_ports(const char *value, uint16_t *ret_first, uint16_t *ret_last)
{
	char first[8] = "";
	size_t n = strcspn(value, "-");
	unsigned long number = 0, last = 0;
	const char *problem = NULL;

	if (n < sizeof(first)) /* else it stays empty, and is none */
		memcpy(first, value, n);
	problem = take_number(first, UINT16_MAX, &number);
	if (!problem && value[n])
		problem = take_number(value + n + 1, UINT16_MAX, &last);
	if (!problem && (number == 0 || (value[n] && last == 0)))
		problem = "ports begin at 1";
	*ret_first = (uint16_t)number;
	*ret_last = (uint16_t)last;
	return problem;
}

static const char *take_remote_port(const char *value, struct wire_rule *rule)
{
	return take_ports(value, &rule->rport, &rule->rport_last);
}

static const char *take_local_port(const char *value, struct wire_rule *rule)
{
	return take_ports(value, &rule->lport, &rule->lport_last);
}

static const char *take_direction(const char *value, struct wire_rule *rule)
{
	return strcmp(value, "outbound") ? "flows that come in are not shown to proxies" : NULL;
}

/* what a condition sets is not 0; NOTHING is set by one that may be said and changes nothing */
#define SETS(member) offsetof(struct wire_rule, member), sizeof(((struct wire_rule *)0)->member)
#define NOTHING 0, 0

static const struct {
	const char *word;
	const char *(*take)(const char *value, struct wire_rule *rule);
	size_t at, n;
} conditions[] = {
	{ "exe", take_exe, SETS(exe) },
	{ "cgroup", take_cgroup, SETS(cgroup) },
	{ "uid", take_uid, SETS(has_uid) },
	{ "host", take_host, SETS(host_kind) },
	{ "domain", take_domain, SETS(host_kind) },
	{ "remote", take_remote, SETS(family) },
	{ "remote_port", take_remote_port, SETS(rport) },
	{ "local", take_local, SETS(lfamily) },
	{ "local_port", take_local_port, SETS(lport) },
	{ "protocol", take_protocol, SETS(protocol) },
	{ "interface", take_interface, SETS(interface) },
	{ "direction", take_direction, NOTHING },
};

static bool is_said(const struct wire_rule *rule, size_t at, size_t n)
{
	const uint8_t *bytes = (const uint8_t *)rule + at;

	for (; n > 0; n--)
		if (*bytes++)
			return true;
	return false;
}

static int unknown_word(const char *word)
{
	char known[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, " %s", conditions[i].word);
	return cli_error(-1, "\"%s\" is no condition of a rule; there are%s", word, known);
}

static int take_condition(char *text, struct wire_rule *rule)
{
	char *value = strchr(text, '=');
	const char *problem = NULL;
	size_t i = 0;

	if (!value)
		return cli_error(-1, "\"%s\" is not of the form WORD=VALUE", text);
	*value++ = '\0';
	while (i < ARRAY_SIZE(conditions) && strcmp(conditions[i].word, text))
		i++;
	if (i == ARRAY_SIZE(conditions))
		return unknown_word(text);
	/* a flow would have to meet both, and the last one alone would hold */
	if (is_said(rule, conditions[i].at, conditions[i].n))
		return cli_error(-1, "%s=%s: this rule has one already: one of the two", text,
				 value);
	problem = conditions[i].take(value, rule);
	return problem ? cli_error(-1, "%s=%s: %s", text, value, problem) : 0;
}

int settings_read_rule(char *text, struct wire_rule *rule)
{
	_cleanup_free_ char *whole = strdup(text);
	const char *problem;
	char *word;

	if (!whole)
		return cli_error(-1, "%s", strerror(ENOMEM));
	while ((word = strsep(&text, ",")))
		if (take_condition(word, rule))
			return -1;
	problem = wire_rule_problem(rule);
	return problem ? cli_error(-1, "%s: %s", whole, problem) : 0;
}
