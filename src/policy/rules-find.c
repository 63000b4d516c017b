/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/hash.h"
#include "base/macros.h"
#include "policy/rules-list.h"

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* ---- keys ---- */

/* the smallest that holds as many */
static uint8_t span_of(uint16_t first, uint16_t last)
{
	uint8_t span = 0;

	while (last - first >= 1 << span)
		span++;
	return span;
}

struct rules_key rules_key_of(const struct rules *rules, const struct rules_rule *rule,
			      enum rules_anchor anchor, unsigned int which)
{
	struct rules_key key = { .anchor = anchor, .span = RULES_ANY_PORT };
	const char *text = NULL;

	if (rule->rport)
		key.span = span_of(rule->rport, rule->rport_last);
	key.port = rules_port_in(key.span, which ? rule->rport_last : rule->rport);
	switch (anchor) {
	case RULES_BY_HOST:
	case RULES_BY_DOMAIN:
		text = rules->text + rule->host;
		break;
	case RULES_BY_REMOTE:
		key.bits = rule->bits;
		key.value = rule->remote;
		key.n_value = sizeof(rule->remote);
		break;
	case RULES_BY_EXE:
		text = rules->text + rule->exe;
		break;
	case RULES_BY_UID:
		key.value = &rule->uid;
		key.n_value = sizeof(rule->uid);
		break;
	case RULES_BY_LOCAL_PORT:
		key.value = &rule->lport;
		key.n_value = sizeof(rule->lport);
		break;
	case RULES_BY_NOTHING:
	case _RULES_BY_N:
		break;
	}
	if (text) {
		key.value = text;
		key.n_value = strlen(text);
	}
	return key;
}

uint32_t rules_hash(const struct rules *rules, const struct rules_key *key)
{
	uint64_t shape = (uint64_t)key->port << 24 | (uint64_t)key->span << 16 |
			 (uint64_t)key->bits << 8 | (uint64_t)key->anchor;

	return (uint32_t)hash_bytes(hash_mix(rules->seed, shape), key->value, key->n_value);
}

static bool is_key(const struct rules_key *a, const struct rules_key *b)
{
	return a->anchor == b->anchor && a->bits == b->bits && a->span == b->span &&
	       a->port == b->port && a->n_value == b->n_value &&
	       (!a->n_value || memcmp(a->value, b->value, a->n_value) == 0);
}

struct rules_slot *rules_slot_of(const struct rules *rules, const struct rules_key *key,
				 uint32_t hash)
{
	uint32_t at = hash & (rules->n_slots - 1);

	for (; rules->slots[at].first; at = (at + 1) & (rules->n_slots - 1)) {
		struct rules_slot *slot = &rules->slots[at];
		const struct rules_rule *first = &rules->rules[(slot->first - 1) / 2];
		struct rules_key other;

		if (slot->hash != hash)
			continue;
		other = rules_key_of(rules, first, first->anchor, (slot->first - 1) % 2);
		if (is_key(&other, key))
			return slot;
	}
	return NULL;
}

/* ---- one rule ---- */

static bool is_in_prefix(const uint8_t address[16], const uint8_t prefix[16], unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	return memcmp(address, prefix, whole) == 0 &&
	       (!rest || (address[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}

static bool is_of_network(const uint8_t address[16], const uint8_t prefix[16], unsigned int bits,
			  uint8_t family)
{
	bool is_v4 = memcmp(address, v4_prefix, sizeof(v4_prefix)) == 0;

	return (!family || is_v4 == (family == 4)) && is_in_prefix(address, prefix, bits);
}

/* this one, or one below it: "/a" is not above "/ab" */
static bool is_in_cgroup(const char *cgroup, const char *top)
{
	size_t n = strcmp(top, "/") ? strlen(top) : 0;

	return strncmp(cgroup, top, n) == 0 && (!cgroup[n] || cgroup[n] == '/');
}

static bool is_port(uint16_t first, uint16_t last, uint16_t port)
{
	return !first || (port >= first && port <= last);
}

/* Its host, if it has one, is its chain's. What is not known matches no condition: rules_find()
 * looks whether that matters. */
static bool matches(const struct rules *rules, const struct rules_rule *rule,
		    const struct rules_question *flow)
{
	if (flow->is_loopback && !rules_names_loopback(rule))
		return false;
	if (rule->direction && flow->is_inbound != (rule->direction == RULES_INBOUND))
		return false;
	if (rule->protocol && rule->protocol != flow->protocol)
		return false;
	if (!is_port(rule->rport, rule->rport_last, flow->remote_port) ||
	    !is_port(rule->lport, rule->lport_last, flow->knows_local_port ? flow->local_port : 0))
		return false;
	if (rule->has_uid && (!flow->knows_uid || rule->uid != flow->uid))
		return false;
	if (rule->exe && (!flow->exe || strcmp(flow->exe, rules->text + rule->exe) != 0))
		return false;
	if (rule->interface &&
	    (!flow->interface || strcmp(flow->interface, rules->text + rule->interface) != 0))
		return false;
	if (rule->cgroup &&
	    (!flow->cgroup || !is_in_cgroup(flow->cgroup, rules->text + rule->cgroup)))
		return false;
	if (rule->lfamily &&
	    (!flow->local || !is_of_network(flow->local, rule->local, rule->lbits, rule->lfamily)))
		return false;
	return is_of_network(flow->remote, rule->remote, rule->bits, rule->family);
}

/* ---- the first rule ---- */

struct search {
	const struct rules *rules;
	const struct rules_question *flow;
	const char *host; /* NULL: it is not looked for */
	uint32_t best;	  /* the first that matches, of those seen; n: none */
};

static void look(struct search *search, const struct rules_key *key)
{
	const struct rules *rules = search->rules;
	const struct rules_slot *slot = rules_slot_of(rules, key, rules_hash(rules, key));
	uint32_t node = slot ? slot->first : 0;

	while (node && (node - 1) / 2 < search->best) {
		uint32_t i = (node - 1) / 2;

		if (matches(rules, &rules->rules[i], search->flow))
			search->best = i;
		node = rules->rules[i].next[(node - 1) % 2];
	}
}

static void look_for(struct search *search, struct rules_key *key, const void *value, size_t n)
{
	key->value = value;
	key->n_value = n;
	look(search, key);
}

static void look_for_remote(struct search *search, struct rules_key *key)
{
	uint8_t prefix[16] = { 0 };

	memcpy(prefix, search->flow->remote, (key->bits + 7) / 8);
	if (key->bits % 8)
		prefix[key->bits / 8] &= (uint8_t)(0xff00U >> key->bits % 8);
	look_for(search, key, prefix, sizeof(prefix));
}

static void look_for_domains(struct search *search, struct rules_key *key)
{
	const char *at = search->host;

	while (at) {
		const char *dot = strchr(at, '.');

		look_for(search, key, at, strlen(at));
		at = dot ? dot + 1 : NULL;
	}
}

static void look_for_shape(struct search *search, const struct rules_shape *shape)
{
	const struct rules_question *flow = search->flow;
	struct rules_key key = { .anchor = shape->anchor,
				 .bits = shape->bits,
				 .span = shape->span,
				 .port = rules_port_in(shape->span, flow->remote_port) };

	if (shape->span != RULES_ANY_PORT && !flow->remote_port)
		return;
	switch (key.anchor) {
	case RULES_BY_HOST:
		look_for(search, &key, search->host, strlen(search->host));
		break;
	case RULES_BY_DOMAIN:
		look_for_domains(search, &key);
		break;
	case RULES_BY_REMOTE:
		look_for_remote(search, &key);
		break;
	case RULES_BY_EXE:
		if (flow->exe)
			look_for(search, &key, flow->exe, strlen(flow->exe));
		break;
	case RULES_BY_UID:
		if (flow->knows_uid)
			look_for(search, &key, &flow->uid, sizeof(flow->uid));
		break;
	case RULES_BY_LOCAL_PORT:
		if (flow->knows_local_port)
			look_for(search, &key, &flow->local_port, sizeof(flow->local_port));
		break;
	case RULES_BY_NOTHING:
	case _RULES_BY_N:
		look_for(search, &key, NULL, 0);
		break;
	}
}

static bool is_by_host(const struct rules_shape *shape)
{
	return shape->anchor == RULES_BY_HOST || shape->anchor == RULES_BY_DOMAIN;
}

/* of the rules without a host. Return: its index, or that of the rest, n */
static uint32_t find_under_any(const struct rules *rules, const struct rules_question *flow)
{
	struct search search = { rules, flow, NULL, rules->n };

	for (unsigned int i = 0; i < rules->n_shapes; i++)
		if (!is_by_host(&rules->shapes[i]))
			look_for_shape(&search, &rules->shapes[i]);
	return search.best;
}

/* @best: of the rules without a host */
static uint32_t find_under(const struct rules *rules, const struct rules_question *flow,
			   const char *host, uint32_t best)
{
	struct search search = { rules, flow, host, best };

	for (unsigned int i = 0; i < rules->n_shapes; i++)
		if (is_by_host(&rules->shapes[i]))
			look_for_shape(&search, &rules->shapes[i]);
	return search.best;
}

/* a rule before @i may have matched, if more were known */
static bool is_certain(const struct rules *rules, const struct rules_question *flow, uint32_t i)
{
	const uint32_t *first = rules_scope_of(rules, flow)->first;
	uint32_t first_port = first[flow->is_inbound ? RULES_FIRST_PORT_IN : RULES_FIRST_PORT_OUT];

	return (flow->exe || i < first[RULES_FIRST_EXE]) &&
	       (flow->interface || i < first[RULES_FIRST_INTERFACE]) &&
	       (flow->cgroup || i < first[RULES_FIRST_CGROUP]) &&
	       (flow->local || i < first[RULES_FIRST_LOCAL]) &&
	       (flow->knows_uid || i < first[RULES_FIRST_UID]) &&
	       (flow->knows_local_port || i < first_port);
}

static uint8_t action_of(const struct rules *rules, const struct rules_question *flow, uint32_t i)
{
	if (i < rules->n)
		return rules->rules[i].action;
	return flow->is_loopback ? RULES_ALLOW : rules->otherwise;
}

/* it has no name that is known, but one all the same: would a rule before @i say another thing? */
static bool hangs_on_host(const struct rules *rules, const struct rules_question *flow, uint32_t i)
{
	const struct rules_scope *scope = rules_scope_of(rules, flow);

	return flow->may_have_host && !flow->n_hosts && i > scope->first[RULES_FIRST_HOST] &&
	       scope->host_actions & ~(1U << action_of(rules, flow, i));
}

int rules_find(const struct rules *rules, const struct rules_question *flow,
	       struct rules_answer *ret_answer)
{
	uint32_t any = find_under_any(rules, flow);
	uint32_t i = flow->n_hosts ? find_under(rules, flow, flow->hosts[0], any) : any;
	bool is_same = is_certain(rules, flow, i) && !hangs_on_host(rules, flow, i);

	for (size_t k = 1; k < flow->n_hosts && is_same; k++) {
		uint32_t other;

		if (!rules_have_host(rules, flow->is_loopback))
			break; /* no name changes anything */
		other = find_under(rules, flow, flow->hosts[k], any);
		is_same = is_certain(rules, flow, other) &&
			  action_of(rules, flow, other) == action_of(rules, flow, i);
	}
	if (!is_same)
		return RULES_E_VARIES;
	if (action_of(rules, flow, i) == RULES_ASK)
		return RULES_E_ASK;
	*ret_answer =
		(struct rules_answer){ .action = action_of(rules, flow, i),
				       .number = i < rules->n ? i + 1 : 0,
				       .reason = i < rules->n ? rules->text + rules->rules[i].reason
							      : "" };
	return 0;
}
