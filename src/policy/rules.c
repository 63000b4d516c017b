/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: A list being built
 *
 * Rules are added in their order, so each is the last of its chain. Texts lie
 * in one piece of memory; two rules in a row often have the same, which is kept
 * once. How a list is asked is in rules-find.c.
 */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "policy/rules-list.h"

#define SLOTS_FIRST 64U

struct rules *rules_free(struct rules *rules)
{
	if (!rules)
		return NULL;
	free(rules->rules);
	free(rules->slots);
	free(rules->text);
	free(rules);
	return NULL;
}

uint32_t rules_count(const struct rules *rules)
{
	return rules ? rules->n : 0;
}

bool rules_have_host(const struct rules *rules, bool is_loopback)
{
	return rules->scopes[is_loopback].first[RULES_FIRST_HOST] != RULES_NONE;
}

bool rules_are_idle(const struct rules *rules)
{
	return rules->n == 0 && rules->otherwise == RULES_ASK;
}

void rules_set_otherwise(struct rules *rules, enum rules_action action)
{
	rules->otherwise = (uint8_t)action;
}

bool rules_are_equal(const struct rules *a, const struct rules *b)
{
	if (!a || !b)
		return a == b;
	return a->n == b->n && a->otherwise == b->otherwise && a->n_text == b->n_text &&
	       (!a->n || memcmp(a->rules, b->rules, a->n * sizeof(*a->rules)) == 0) &&
	       memcmp(a->text, b->text, a->n_text) == 0;
}

/* ---- memory ---- */

static int grow(void **array, uint32_t *n_places, uint32_t n_wanted, size_t item)
{
	uint32_t n = *n_places ? *n_places : SLOTS_FIRST;
	void *larger;

	if (n_wanted <= *n_places)
		return 0;
	while (n < n_wanted)
		n *= 2;
	larger = realloc(*array, n * item);
	if (!larger)
		return -ENOMEM;
	*array = larger;
	*n_places = n;
	return 0;
}

static void put_slot(struct rules *rules, const struct rules_slot *slot)
{
	uint32_t at = slot->hash & (rules->n_slots - 1);

	while (rules->slots[at].first)
		at = (at + 1) & (rules->n_slots - 1);
	rules->slots[at] = *slot;
}

/* half of them stay free, so that each search ends soon */
static int grow_slots(struct rules *rules)
{
	uint32_t n_old = rules->n_slots, n = n_old ? 2 * n_old : SLOTS_FIRST;
	struct rules_slot *old = rules->slots, *slots;

	if (2 * (rules->n_chains + 2) <= n_old) /* a rule joins two at most */
		return 0;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	rules->slots = slots;
	rules->n_slots = n;
	for (uint32_t i = 0; i < n_old; i++)
		if (old[i].first)
			put_slot(rules, &old[i]);
	free(old);
	return 0;
}

static int add_text(struct rules *rules, const char *text, uint32_t last, uint32_t *ret_at)
{
	uint32_t n = (uint32_t)strlen(text) + 1;

	if (n == 1 || (last && strcmp(rules->text + last, text) == 0)) {
		*ret_at = n == 1 ? 0 : last;
		return 0;
	}
	if (rules->n_text + n > RULES_TEXT_MAX)
		return -EFBIG;
	if (grow((void **)&rules->text, &rules->n_text_places, rules->n_text + n, 1) < 0)
		return -ENOMEM;
	memcpy(rules->text + rules->n_text, text, n);
	*ret_at = rules->n_text;
	rules->n_text += n;
	return 0;
}

int rules_new(uint64_t seed, struct rules **ret_rules)
{
	struct rules *rules = calloc(1, sizeof(*rules));

	if (!rules || grow((void **)&rules->text, &rules->n_text_places, 1, 1) < 0) {
		free(rules);
		return -ENOMEM;
	}
	rules->text[rules->n_text++] = '\0'; /* at 0 is the empty text */
	rules->seed = seed;
	for (unsigned int i = 0; i < _RULES_FIRST_N; i++)
		rules->scopes[0].first[i] = rules->scopes[1].first[i] = RULES_NONE;
	*ret_rules = rules;
	return 0;
}

/* ---- a rule ---- */

static void lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
}

static int add_texts(struct rules *rules, const struct wire_rule *record, struct rules_rule *rule)
{
	static const struct rules_rule none;
	const struct rules_rule *last = rules->n ? &rules->rules[rules->n - 1] : &none;
	char host[sizeof(record->host)];
	int r;

	memcpy(host, record->host, sizeof(host));
	lower(host);
	r = add_text(rules, host, last->host, &rule->host);
	if (r == 0)
		r = add_text(rules, record->exe, last->exe, &rule->exe);
	if (r == 0)
		r = add_text(rules, record->interface, last->interface, &rule->interface);
	if (r == 0)
		r = add_text(rules, record->cgroup, last->cgroup, &rule->cgroup);
	if (r == 0)
		r = add_text(rules, record->reason, last->reason, &rule->reason);
	return r;
}

static struct rules_rule read_numbers(const struct wire_rule *record)
{
	struct rules_rule rule = { .uid = record->uid,
				   .rport = record->rport,
				   .rport_last = MAX(record->rport, record->rport_last),
				   .lport = record->lport,
				   .lport_last = MAX(record->lport, record->lport_last),
				   .action = record->action,
				   .direction = record->direction,
				   .protocol = record->protocol,
				   .family = record->family,
				   .bits = record->bits,
				   .host_kind = record->host_kind,
				   .has_uid = record->has_uid,
				   .lfamily = record->lfamily,
				   .lbits = record->lbits };

	memcpy(rule.local, record->local, sizeof(rule.local));
	memcpy(rule.remote, record->remote, sizeof(rule.remote));
	return rule;
}

/* ---- chains ---- */

static uint32_t count_in(const struct rules *rules, const struct rules_key *key)
{
	const struct rules_slot *slot = rules_slot_of(rules, key, rules_hash(rules, key));

	return slot ? slot->n : 0;
}

/* A host must be its rule's chain: the other chains are looked at once for all names. Of the rest
 * that which fewest share: many programs for one network are found by the program. */
static enum rules_anchor choose_anchor(const struct rules *rules, const struct rules_rule *rule)
{
	const bool has[_RULES_BY_N] = {
		[RULES_BY_REMOTE] = rule->bits,
		[RULES_BY_EXE] = rule->exe,
		[RULES_BY_UID] = rule->has_uid,
		[RULES_BY_LOCAL_PORT] = rule->lport && rule->lport == rule->lport_last,
	};
	enum rules_anchor best = RULES_BY_NOTHING;
	uint32_t fewest = UINT32_MAX;

	if (rule->host_kind)
		return rule->host_kind == RULES_THIS_HOST ? RULES_BY_HOST : RULES_BY_DOMAIN;
	for (enum rules_anchor i = RULES_BY_REMOTE; i < RULES_BY_NOTHING; i++) {
		struct rules_key key = rules_key_of(rules, rule, i, 0);
		uint32_t n = has[i] ? count_in(rules, &key) : UINT32_MAX;

		if (n < fewest) {
			fewest = n;
			best = i;
		}
	}
	return best;
}

/* Return: the one after the last, if there is none */
static uint32_t find_shape(const struct rules *rules, const struct rules_key *key)
{
	const struct rules_shape *shape = rules->shapes;
	uint32_t i = 0;

	while (i < rules->n_shapes && (shape[i].anchor != key->anchor ||
				       shape[i].bits != key->bits || shape[i].span != key->span))
		i++;
	return i;
}

/* the chain that it joins is one longer, and the longest of its shape then? */
static bool adds_work(const struct rules *rules, const struct rules_key *key)
{
	uint32_t i = find_shape(rules, key);

	return i == rules->n_shapes || count_in(rules, key) == rules->shapes[i].longest;
}

static void note_longest(struct rules *rules, const struct rules_key *key, uint32_t n)
{
	struct rules_shape *shape = &rules->shapes[find_shape(rules, key)];

	if (shape == &rules->shapes[rules->n_shapes]) {
		*shape = (struct rules_shape){ (uint8_t)key->anchor, key->bits, key->span, 0 };
		rules->n_shapes++;
	}
	if (n > shape->longest) {
		shape->longest = n;
		rules->work++;
	}
}

static void note_first(struct rules_scope *scope, const struct rules_rule *rule, uint32_t i)
{
	const bool has[_RULES_FIRST_N] = {
		[RULES_FIRST_HOST] = rule->host_kind != 0,
		[RULES_FIRST_EXE] = rule->exe != 0,
		[RULES_FIRST_INTERFACE] = rule->interface != 0,
		[RULES_FIRST_CGROUP] = rule->cgroup != 0,
		[RULES_FIRST_LOCAL] = rule->lfamily != 0,
		[RULES_FIRST_UID] = rule->has_uid,
		[RULES_FIRST_PORT_OUT] = rule->lport && rule->direction != RULES_INBOUND,
		[RULES_FIRST_PORT_IN] = rule->lport && rule->direction != RULES_OUTBOUND,
	};

	if (rule->host_kind)
		scope->host_actions |= (uint8_t)(1U << rule->action);
	for (unsigned int k = 0; k < _RULES_FIRST_N; k++)
		if (has[k] && scope->first[k] == RULES_NONE)
			scope->first[k] = i;
}

static void join_chain(struct rules *rules, const struct rules_key *key, uint32_t node)
{
	struct rules_slot fresh = { rules_hash(rules, key), node, node, 1 };
	struct rules_slot *slot = rules_slot_of(rules, key, fresh.hash);

	if (slot) {
		rules->rules[(slot->last - 1) / 2].next[(slot->last - 1) % 2] = node;
		slot->last = node;
		fresh.n = ++slot->n;
	} else {
		put_slot(rules, &fresh);
		rules->n_chains++;
	}
	note_longest(rules, key, fresh.n);
}

/* Return: 0, -EOVERFLOW: too many that are alike */
static int join_chains(struct rules *rules, uint32_t i)
{
	const struct rules_rule *rule = &rules->rules[i];
	struct rules_key begin = rules_key_of(rules, rule, rule->anchor, 0);
	struct rules_key end = rules_key_of(rules, rule, rule->anchor, 1);

	if (rules->work + adds_work(rules, &begin) + adds_work(rules, &end) > RULES_WORK_MAX)
		return -EOVERFLOW;
	note_first(&rules->scopes[0], rule, i);
	if (rules_names_loopback(rule)) {
		note_first(&rules->scopes[1], rule, i);
		rules_note_loopback(rules, rule);
	}
	join_chain(rules, &begin, 2 * i + 1);
	if (begin.port != end.port)
		join_chain(rules, &end, 2 * i + 2);
	return 0;
}

static int add(struct rules *rules, const struct wire_rule *record)
{
	struct rules_rule rule = read_numbers(record);
	int r;

	if (rules->n == WIRE_RULES_MAX)
		return -E2BIG;
	r = grow((void **)&rules->rules, &rules->n_places, rules->n + 1, sizeof(*rules->rules));
	if (r == 0)
		r = grow_slots(rules);
	if (r == 0)
		r = add_texts(rules, record, &rule);
	if (r < 0)
		return r;
	rule.anchor = (uint8_t)choose_anchor(rules, &rule);
	rules->rules[rules->n] = rule;
	r = join_chains(rules, rules->n);
	rules->n += r == 0;
	return r;
}

int rules_add(struct rules *rules, const struct wire_rule *record, const char **ret_problem)
{
	static const char *const problems[] = { [E2BIG] = "more than 65536 rules",
						[EOVERFLOW] = "too many rules like it, which only "
							      "looking at each tells apart",
						[EFBIG] = "more than 16 MiB of text in all rules",
						[ENOMEM] = "no memory for it" };
	uint32_t n_text = rules->n_text;
	int r;

	*ret_problem = wire_rule_problem(record);
	if (*ret_problem)
		return -EINVAL;
	r = add(rules, record);
	if (r == 0)
		return 0;
	rules->n_text = n_text;
	*ret_problem = problems[-r];
	return r;
}
