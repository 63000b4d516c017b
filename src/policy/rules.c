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
	uint32_t at = (uint32_t)slot->hash & (rules->n_slots - 1);

	while (rules->slots[at].first)
		at = (at + 1) & (rules->n_slots - 1);
	rules->slots[at] = *slot;
}

/* half of them stay free, so that each search ends soon */
static int grow_slots(struct rules *rules)
{
	uint32_t n_old = rules->n_slots, n = n_old ? 2 * n_old : SLOTS_FIRST;
	struct rules_slot *old = rules->slots, *slots;

	if (2 * (rules->n_chains + 1) <= n_old)
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
		rules->first[i] = RULES_NONE;
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
				   .has_uid = record->has_uid };

	memcpy(rule.remote, record->remote, sizeof(rule.remote));
	return rule;
}

static void note_shape(struct rules *rules, const struct rules_key *key)
{
	const struct rules_shape shape = { (uint8_t)key->anchor, key->bits, key->port != 0 };

	for (unsigned int i = 0; i < rules->n_shapes; i++)
		if (memcmp(&rules->shapes[i], &shape, sizeof(shape)) == 0)
			return;
	rules->shapes[rules->n_shapes++] = shape;
}

static void note_first(struct rules *rules, const struct rules_rule *rule, uint32_t i)
{
	const bool has[_RULES_FIRST_N] = {
		[RULES_FIRST_HOST] = rule->host_kind != 0,
		[RULES_FIRST_EXE] = rule->exe != 0,
		[RULES_FIRST_UID] = rule->has_uid,
		[RULES_FIRST_PORT_OUT] = rule->lport && rule->direction != RULES_INBOUND,
		[RULES_FIRST_PORT_IN] = rule->lport && rule->direction != RULES_OUTBOUND,
	};

	for (unsigned int k = 0; k < _RULES_FIRST_N; k++)
		if (has[k] && rules->first[k] == RULES_NONE)
			rules->first[k] = i;
}

static void join_chain(struct rules *rules, uint32_t i)
{
	struct rules_key key = rules_key_of(rules, &rules->rules[i]);
	struct rules_slot fresh = { rules_hash(rules, &key), i + 1, i + 1 };
	struct rules_slot *slot = rules_slot_of(rules, &key, fresh.hash);

	note_shape(rules, &key);
	note_first(rules, &rules->rules[i], i);
	if (slot) {
		rules->rules[slot->last - 1].next = i + 1;
		slot->last = i + 1;
		return;
	}
	put_slot(rules, &fresh);
	rules->n_chains++;
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
	rules->rules[rules->n] = rule;
	join_chain(rules, rules->n++);
	return 0;
}

int rules_add(struct rules *rules, const struct wire_rule *record, const char **ret_problem)
{
	static const char *const problems[] = { [E2BIG] = "more than 65536 rules",
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
