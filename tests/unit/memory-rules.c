/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "tests/unit/memory-rules.h"
#include "tests/unit/prefix.h"

#define N_DOMAINS 3U

enum sl_verdict ruled_verdict(enum rules_action action)
{
	return action == RULES_ALLOW ? SL_ALLOW : action == RULES_DROP ? SL_REJECT : SL_SILENT;
}

void ruled_name(unsigned int n, char name[16])
{
	snprintf(name, 16, "n%u.d%u", n, n % N_DOMAINS);
}

void ruled_exe(const struct sl_app *app, bool is_other, char exe[16])
{
	snprintf(exe, 16, "/%s/%u", is_other ? "b" : "a", (unsigned int)app->exe_ino);
}

/* ---- the oracle ---- */

static bool has_host(const struct wire_rule *rule, const char *host)
{
	size_t n = strlen(rule->host), n_host = host ? strlen(host) : 0;

	if (!rule->host_kind)
		return true;
	if (!host || n_host < n || strcmp(host + n_host - n, rule->host) != 0)
		return false;
	return n_host == n || (rule->host_kind == 2 && host[n_host - n - 1] == '.');
}

static bool has_port(uint16_t first, uint16_t last, uint16_t port)
{
	return !first || (port >= first && port <= MAX(first, last));
}

static bool is_met(const struct wire_rule *rule, const struct ruled_flow *flow, const char *host)
{
	return rule->direction != 2 && (!rule->protocol || rule->protocol == flow->to->proto) &&
	       (!rule->has_uid || rule->uid == flow->to->app.uid) &&
	       (!rule->exe[0] || strcmp(rule->exe, flow->exe) == 0) &&
	       has_port(rule->rport, rule->rport_last, flow->to->rport) &&
	       has_port(rule->lport, rule->lport_last, flow->lport) &&
	       has_prefix(flow->to->raddr, rule->remote, rule->bits) && has_host(rule, host);
}

enum rules_action ruled_under(const struct ruled *ruled, const struct ruled_flow *flow,
			      const char *host)
{
	for (unsigned int i = 0; i < ruled->n; i++)
		if (is_met(&ruled->records[i], flow, host))
			return ruled->records[i].action;
	return ruled->otherwise;
}

enum rules_action ruled_agreed(const struct ruled *ruled, const struct ruled_flow *flow)
{
	enum rules_action action = ruled_under(ruled, flow, flow->n_hosts ? flow->hosts[0] : NULL);

	for (size_t i = 1; i < flow->n_hosts; i++)
		if (ruled_under(ruled, flow, flow->hosts[i]) != action)
			return RULES_ASK;
	return action;
}

/* ---- the list ---- */

int ruled_find(const struct ruled *ruled, const struct ruled_flow *flow, bool knows_all,
	       enum rules_action *ret_action)
{
	struct rules_question question = { .exe = flow->exe,
					   .knows_uid = true,
					   .uid = flow->to->app.uid,
					   .protocol = flow->to->proto,
					   .remote_port = flow->to->rport,
					   .hosts = flow->hosts,
					   .n_hosts = flow->n_hosts };
	struct rules_answer answer;
	int r;

	if (!ruled->list)
		return RULES_E_ASK;
	memcpy(question.remote, flow->to->raddr, sizeof(question.remote));
	if (knows_all) {
		question.knows_local_port = true;
		question.local_port = flow->lport;
	}
	r = rules_find(ruled->list, &question, &answer);
	if (r == 0)
		*ret_action = answer.action;
	return r;
}

/* a small number out of many; every use takes another part of them */
static unsigned int draw(uint64_t *dice, unsigned int n)
{
	uint64_t z = *dice += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (unsigned int)((z ^ z >> 31) % n);
}

static void draw_host(struct wire_rule *rule, uint64_t *dice)
{
	rule->host_kind = (uint8_t)(1 + draw(dice, 2));
	if (rule->host_kind == 2 && draw(dice, 2))
		snprintf(rule->host, sizeof(rule->host), "d%u", draw(dice, N_DOMAINS));
	else
		ruled_name(draw(dice, RULED_NAMES), rule->host);
}

static struct wire_rule draw_rule(uint64_t *dice)
{
	static const uint8_t bits[] = { 0, 128, 128, 127, 126, 124 };
	static const uint8_t actions[] = {
		RULES_ALLOW, RULES_ALLOW, RULES_ALLOW, RULES_ALLOW,
		RULES_ASK,   RULES_ASK,	  RULES_DROP,  RULES_DROP_SILENT
	};
	struct wire_rule rule = { .action = actions[draw(dice, 8)] };
	const struct sl_app app = { .exe_ino = draw(dice, 2) };

	rule.direction = draw(dice, 8) ? 0 : (uint8_t)draw(dice, 3);
	rule.protocol = draw(dice, 8) ? 0 : draw(dice, 4) ? IPPROTO_TCP : IPPROTO_UDP;
	rule.bits = bits[draw(dice, ARRAY_SIZE(bits))];
	rule.family = rule.bits ? 6 : 0;
	if (rule.bits)
		rule.remote[15] = (uint8_t)(draw(dice, 16) & 0xffU << (128 - rule.bits));
	if (draw(dice, 3) == 0) {
		rule.rport = (uint16_t)(1 + draw(dice, 2));
		rule.rport_last = (uint16_t)(rule.rport + draw(dice, 2));
	}
	if (draw(dice, 8) == 0)
		rule.lport = rule.lport_last = (uint16_t)(1 + draw(dice, 4));
	rule.has_uid = draw(dice, 6) == 0;
	rule.uid = rule.has_uid ? draw(dice, 3) : 0;
	if (draw(dice, 5) == 0)
		ruled_exe(&app, draw(dice, 2), rule.exe);
	if (draw(dice, 2))
		draw_host(&rule, dice);
	return rule;
}

static bool fill(struct ruled *ruled, uint64_t *dice)
{
	const char *problem;

	for (unsigned int i = 0; i < ruled->n; i++) {
		ruled->records[i] = draw_rule(dice);
		if (rules_add(ruled->list, &ruled->records[i], &problem) < 0)
			return false;
	}
	return true;
}

const char *ruled_replace(struct ruled *ruled, uint64_t salt)
{
	uint64_t dice = salt;

	ruled_free(ruled);
	if (draw(&dice, 2))
		return NULL;
	ruled->n = draw(&dice, RULED_MAX + 1);
	ruled->otherwise = draw(&dice, 4) ? RULES_ASK : (enum rules_action)draw(&dice, 4);
	if (rules_new(salt, &ruled->list) < 0 || !fill(ruled, &dice))
		return "a list is not taken";
	rules_set_otherwise(ruled->list, ruled->otherwise);
	return NULL;
}

void ruled_free(struct ruled *ruled)
{
	rules_free(ruled->list);
	*ruled = (struct ruled){ .otherwise = RULES_ASK };
}
