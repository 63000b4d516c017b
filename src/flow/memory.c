/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/memory.h"
#include "flow/shares.h"

/** struct answer - of one filter; for an address @name is empty, for a name the address is */
struct answer {
	struct sl_memory_key to;
	uint32_t generation; /* of the filter when it said so: an older one counts no more */
	uint8_t filter;
	uint8_t verdict;
	bool was_named; /* for an address: the question had a name */
	char name[NAMES_TEXT_BYTES];
	char reason[MEMORY_REASON_BYTES];
};

struct memory {
	const struct memory_ops *ops;
	void *data;
	uint32_t generation;			  /* of conclusions */
	uint32_t generations[MEMORY_FILTERS_MAX]; /* of each filter's answers */
	struct shares *answer_shares, *conclusion_shares;
	struct answer *answers;		   /* by place */
	struct sl_memory_key *conclusions; /* by place */
};

static int take_places(struct memory *memory, const struct memory_limits *limits)
{
	int r = shares_new(limits->n_answers, limits->seed, &memory->answer_shares);

	if (r == 0)
		r = shares_new(limits->n_conclusions, limits->seed, &memory->conclusion_shares);
	if (r < 0)
		return r;
	memory->answers = calloc(limits->n_answers + 1, sizeof(*memory->answers));
	memory->conclusions = calloc(limits->n_conclusions + 1, sizeof(*memory->conclusions));
	return memory->answers && memory->conclusions ? 0 : -ENOMEM;
}

int memory_new(const struct memory_limits *limits, uint32_t generation,
	       const struct memory_ops *ops, void *data, struct memory **ret_memory)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	int r;

	if (!memory)
		return -ENOMEM;
	memory->ops = ops;
	memory->data = data;
	memory->generation = generation;
	r = take_places(memory, limits);
	if (r < 0) {
		memory_free(memory);
		return r;
	}
	*ret_memory = memory;
	return 0;
}

struct memory *memory_free(struct memory *memory)
{
	if (!memory)
		return NULL;
	shares_free(memory->answer_shares);
	shares_free(memory->conclusion_shares);
	free(memory->answers);
	free(memory->conclusions);
	free(memory);
	return NULL;
}

uint32_t memory_generation(const struct memory *memory)
{
	return memory->generation;
}

size_t memory_count_answers(const struct memory *memory)
{
	return shares_count(memory->answer_shares);
}

size_t memory_count_conclusions(const struct memory *memory)
{
	return shares_count(memory->conclusion_shares);
}

/* ---- conclusions ---- */

/* of application and address, so that a change of names meets all of them */
static uint64_t conclusion_hash(const struct memory *memory, const struct sl_app *app,
				const uint8_t address[16])
{
	struct sl_memory_key key = { .app = *app };

	memcpy(key.raddr, address, sizeof(key.raddr));
	return shares_hash(memory->conclusion_shares, &key, sizeof(key));
}

static void withdraw(struct memory *memory, uint32_t place)
{
	struct sl_memory_key to = memory->conclusions[place];

	shares_give_back(memory->conclusion_shares, place);
	memory->ops->withdraw(&to, memory->data);
}

void memory_names_changed(struct memory *memory, const struct sl_app *app,
			  const uint8_t address[16])
{
	struct shares *shares = memory->conclusion_shares;
	uint32_t i = shares_first(shares, conclusion_hash(memory, app, address)), next;

	for (; i; i = next) {
		next = shares_next(shares, i);
		if (memcmp(&memory->conclusions[i].app, app, sizeof(*app)) == 0 &&
		    memcmp(memory->conclusions[i].raddr, address, 16) == 0)
			withdraw(memory, i);
	}
}

static void note_conclusion(struct memory *memory, const struct sl_memory_key *to)
{
	struct shares *shares = memory->conclusion_shares;
	uint64_t hash = conclusion_hash(memory, &to->app, to->raddr);
	uint32_t place;

	for (uint32_t i = shares_first(shares, hash); i; i = shares_next(shares, i))
		if (memcmp(&memory->conclusions[i], to, sizeof(*to)) == 0) {
			shares_touch(shares, i);
			return;
		}
	while ((place = shares_victim(shares, to->app.uid)))
		withdraw(memory, place);
	memory->conclusions[shares_take(shares, to->app.uid, hash)] = *to;
}

/* ---- answers ---- */

static uint64_t answer_hash(const struct memory *memory, const struct answer *answer)
{
	uint64_t parts[3] = { (uint64_t)answer->filter << 1 | answer->was_named };

	parts[1] = shares_hash(memory->answer_shares, &answer->to, sizeof(answer->to));
	parts[2] = shares_hash(memory->answer_shares, answer->name, strlen(answer->name));
	return shares_hash(memory->answer_shares, parts, sizeof(parts));
}

static uint32_t find_answer(const struct memory *memory, const struct answer *wanted)
{
	uint32_t i = shares_first(memory->answer_shares, answer_hash(memory, wanted));

	for (; i; i = shares_next(memory->answer_shares, i)) {
		const struct answer *answer = &memory->answers[i];

		if (answer->filter == wanted->filter && answer->was_named == wanted->was_named &&
		    memcmp(&answer->to, &wanted->to, sizeof(answer->to)) == 0 &&
		    strcmp(answer->name, wanted->name) == 0)
			return i;
	}
	return 0;
}

static struct answer for_address(unsigned int filter, const struct memory_question *question,
				 bool was_named)
{
	return (struct answer){ .filter = (uint8_t)filter,
				.to = question->to,
				.was_named = was_named };
}

static struct answer for_name(unsigned int filter, const struct memory_question *question,
			      const char *name)
{
	struct answer answer = { .filter = (uint8_t)filter, .to.app = question->to.app };

	memcpy(answer.name, name, strnlen(name, sizeof(answer.name) - 1));
	return answer;
}

/* NULL: never said, or before it changed its mind */
static const struct answer *recall(struct memory *memory, const struct answer *wanted)
{
	uint32_t place = find_answer(memory, wanted);

	if (!place)
		return NULL;
	if (memory->answers[place].generation != memory->generations[wanted->filter]) {
		shares_give_back(memory->answer_shares, place);
		return NULL;
	}
	shares_touch(memory->answer_shares, place);
	return &memory->answers[place];
}

void memory_renew(struct memory *memory)
{
	memory->ops->renew(++memory->generation, memory->data);
}

void memory_forget(struct memory *memory, unsigned int filter)
{
	memory->generations[filter]++;
	memory_renew(memory);
}

void memory_learn(struct memory *memory, unsigned int filter,
		  const struct memory_question *question, const char *name, enum memory_scope scope,
		  enum sl_verdict verdict, const char *reason)
{
	struct answer fresh = scope == MEMORY_NAME ? for_name(filter, question, name)
						   : for_address(filter, question, name[0]);
	const struct answer *known;
	uint32_t place;

	if (scope == MEMORY_FLOW || (scope == MEMORY_NAME && !fresh.name[0]))
		return;
	known = recall(memory, &fresh);
	if (known && known->verdict == verdict)
		return;
	if (known) /* it changed its mind and did not say so */
		memory_forget(memory, filter);
	while ((place = find_answer(memory, &fresh)) ||
	       (place = shares_victim(memory->answer_shares, fresh.to.app.uid)))
		shares_give_back(memory->answer_shares, place);
	place = shares_take(memory->answer_shares, fresh.to.app.uid, answer_hash(memory, &fresh));
	fresh.generation = memory->generations[filter];
	fresh.verdict = (uint8_t)verdict;
	memcpy(fresh.reason, reason, strnlen(reason, sizeof(fresh.reason) - 1));
	memory->answers[place] = fresh;
}

/* what was said of a name weighs as much as what was said of the address: ask */
static bool is_contradicted(struct memory *memory, const struct answer *answer,
			    const struct memory_question *question)
{
	for (size_t i = 0; i < question->n_names; i++) {
		struct answer wanted = for_name(answer->filter, question, question->names[i].name);
		const struct answer *other = recall(memory, &wanted);

		if (other && other->verdict != answer->verdict)
			return true;
	}
	return false;
}

static void take_answer(const struct answer *answer, uint64_t expiry_us,
			struct memory_answer *ret_answer)
{
	*ret_answer = (struct memory_answer){ .verdict = answer->verdict,
					      .filter = answer->filter,
					      .expiry_us = expiry_us,
					      .reason = answer->reason };
}

/* the last name to expire ends what was said under a name; without one it is a change of
 * names that ends it */
static uint64_t last_expiry(const struct memory_question *question)
{
	uint64_t expiry_us = question->n_names ? 0 : MEMORY_NEVER;

	for (size_t i = 0; i < question->n_names; i++)
		expiry_us = MAX(expiry_us, question->names[i].expiry_us);
	return expiry_us;
}

/* every name must have the same answer */
static int find_by_names(struct memory *memory, unsigned int filter,
			 const struct memory_question *question, struct memory_answer *ret_answer)
{
	const struct answer *first = NULL;

	for (size_t i = 0; i < question->n_names; i++) {
		struct answer wanted = for_name(filter, question, question->names[i].name);
		const struct answer *answer = recall(memory, &wanted);

		if (!answer || (first && answer->verdict != first->verdict))
			return MEMORY_E_ASK;
		first = first ? first : answer;
	}
	if (!first)
		return MEMORY_E_ASK;
	take_answer(first, last_expiry(question), ret_answer);
	return 0;
}

int memory_find(struct memory *memory, unsigned int filter, const struct memory_question *question,
		struct memory_answer *ret_answer)
{
	struct answer wanted = for_address(filter, question, question->n_names > 0);
	const struct answer *answer = recall(memory, &wanted);

	if (!answer)
		return find_by_names(memory, filter, question, ret_answer);
	if (is_contradicted(memory, answer, question))
		return MEMORY_E_ASK;
	take_answer(answer, last_expiry(question), ret_answer);
	return 0;
}

static int find_or_rule(struct memory *memory, unsigned int filter,
			const struct memory_question *question, struct memory_answer *ret_answer)
{
	int r = MEMORY_E_ASK;

	if (memory->ops->rule)
		r = memory->ops->rule(filter, question, ret_answer, memory->data);
	if (r == MEMORY_E_ASK)
		return memory_find(memory, filter, question, ret_answer);
	if (r == 0)
		ret_answer->expiry_us = last_expiry(question);
	return r;
}

int memory_conclude(struct memory *memory, unsigned int n_filters,
		    const struct memory_question *question, struct memory_answer *ret_answer)
{
	struct memory_answer last = { .verdict = SL_ALLOW };

	if (n_filters == 0)
		return MEMORY_E_ASK;
	for (unsigned int i = 0; i < n_filters && last.verdict == SL_ALLOW; i++)
		if (find_or_rule(memory, i, question, &last))
			return MEMORY_E_ASK;
	note_conclusion(memory, &question->to);
	*ret_answer = last;
	return 0;
}
