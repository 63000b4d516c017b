/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What a static rule costs
 *
 * Lists of several shapes are built and asked. For each, one line: how long adding a
 * rule takes, and one question, which is about a random rule's flow or about one that
 * no rule matches. Half of the time nothing is known by name, else the flow's address
 * has one or four. `alike` is the most work that a list may make (RULES_WORK_MAX).
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "policy/rules.h"

#define QUESTIONS 200000U
#define NAMES_MAX 4U
#define EXES 250U

static uint64_t random_state = 1;

static uint32_t draw(uint32_t n)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (uint32_t)((z ^ z >> 31) % n);
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ---- lists ---- */

static void set_address(uint8_t to[16], uint32_t address)
{
	memset(to, 0, 16);
	to[10] = to[11] = 0xff;
	for (unsigned int i = 0; i < 4; i++)
		to[12 + i] = (uint8_t)(address >> (24 - 8 * i));
}

static void set_prefix(struct wire_rule *rule, uint32_t address, unsigned int bits)
{
	rule->family = 4;
	rule->bits = (uint8_t)(96 + bits);
	set_address(rule->remote, address & (uint32_t)(0xffffffffULL << (32 - bits)));
}

static uint32_t address_of(uint32_t i)
{
	return 0x0a000000U + i * 2654435761U % 0x01000000U;
}

static void addresses(struct wire_rule *rule, uint32_t i)
{
	static const uint8_t bits[] = { 32, 32, 32, 31, 30, 29, 28, 26, 24 };

	set_prefix(rule, address_of(i), bits[i % ARRAY_SIZE(bits)]);
}

static void domains(struct wire_rule *rule, uint32_t i)
{
	rule->host_kind = (uint8_t)(1 + i % 2);
	snprintf(rule->host, sizeof(rule->host), "name%u.domain%u.example", i, i % 1000);
}

static void mixed(struct wire_rule *rule, uint32_t i)
{
	if (i % 2)
		domains(rule, i);
	else
		addresses(rule, i);
}

static void ranges(struct wire_rule *rule, uint32_t i)
{
	set_prefix(rule, 0x0a000000U, 8);
	rule->rport = (uint16_t)(1 + 6 * i);
	rule->rport_last = (uint16_t)(rule->rport + i % 6);
}

static void overlapping(struct wire_rule *rule, uint32_t i)
{
	set_prefix(rule, 0x0a000000U, 8);
	rule->rport = (uint16_t)(1 + i * 7919 % 50000);
	rule->rport_last = (uint16_t)(rule->rport + i * 104729 % 1000);
}

static void programs(struct wire_rule *rule, uint32_t i)
{
	set_prefix(rule, i / EXES << 24, 8);
	snprintf(rule->exe, sizeof(rule->exe), "/usr/bin/program%u", i % EXES);
}

static void alike(struct wire_rule *rule, uint32_t i)
{
	rule->lport = 1;
	rule->lport_last = (uint16_t)(2 + i);
}

static const struct shape {
	const char *title;
	uint32_t n;
	void (*fill)(struct wire_rule *rule, uint32_t i);
} shapes[] = {
	{ "addresses and domains", 1000, mixed },
	{ "addresses and domains", 65000, mixed },
	{ "port ranges of one prefix", 10000, ranges },
	{ "port ranges that overlap", 3000, overlapping },
	{ "250 programs x 200 networks", 50000, programs },
	{ "alike", RULES_WORK_MAX - 1, alike },
};

/* ---- questions ---- */

struct flow {
	struct rules_question question;
	char names[NAMES_MAX][64], exe[64];
	const char *hosts[NAMES_MAX];
};

static void make_flow(const struct shape *shape, struct flow *flow)
{
	uint32_t i = draw(2 * shape->n); /* half of them are no rule's */
	static const size_t n_names[] = { 0, 0, 1, NAMES_MAX };

	flow->question = (struct rules_question){ .knows_uid = true,
						  .knows_local_port = true,
						  .protocol = 6,
						  .remote_port = (uint16_t)(1 + draw(65535)),
						  .exe = flow->exe,
						  .hosts = flow->hosts,
						  .n_hosts = n_names[draw(4)] };
	set_address(flow->question.remote,
		    shape->fill == programs ? i / EXES << 24 : address_of(i));
	snprintf(flow->exe, sizeof(flow->exe), "/usr/bin/program%u", i % EXES);
	for (size_t k = 0; k < NAMES_MAX; k++) {
		snprintf(flow->names[k], sizeof(flow->names[k]), "name%u.domain%u.example", i,
			 i % 1000);
		flow->hosts[k] = flow->names[k];
	}
}

static double ask(const struct shape *shape, const struct rules *rules, unsigned int *ret_decided)
{
	static struct flow flows[1024];
	struct rules_answer answer;
	double began;

	*ret_decided = 0;
	for (size_t i = 0; i < ARRAY_SIZE(flows); i++)
		make_flow(shape, &flows[i]);
	began = now_ns();
	for (unsigned int i = 0; i < QUESTIONS; i++)
		*ret_decided += !rules_find(rules, &flows[i % ARRAY_SIZE(flows)].question, &answer);
	return (now_ns() - began) / QUESTIONS;
}

static int measure(const struct shape *shape)
{
	double began = now_ns(), add_ns;
	unsigned int n_decided;
	const char *problem;
	struct rules *rules;
	double ns;

	if (rules_new(42, &rules) < 0)
		return 1;
	for (uint32_t i = 0; i < shape->n; i++) {
		struct wire_rule rule = { .action = RULES_DROP };

		shape->fill(&rule, i);
		if (rules_add(rules, &rule, &problem) < 0) {
			fprintf(stderr, "%s, rule %u: %s\n", shape->title, i + 1, problem);
			rules_free(rules);
			return 1;
		}
	}
	add_ns = (now_ns() - began) / shape->n;
	ns = ask(shape, rules, &n_decided);
	printf("  %6" PRIu32
	       " rules, %-28s %8.0f ns a question, %6.0f ns to add one; %u%% decided\n",
	       shape->n, shape->title, ns, add_ns, n_decided / (QUESTIONS / 100));
	rules_free(rules);
	return 0;
}

int main(void)
{
	int r = 0;

	printf("\nstatic rules, one thread:\n");
	for (size_t i = 0; i < ARRAY_SIZE(shapes) && r == 0; i++)
		r = measure(&shapes[i]);
	return r;
}
