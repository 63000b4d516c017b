/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/memory.h"
#include "tests/unit/memory-world.h"

#define N_APPS 6U
#define N_USERS 3U
#define N_ADDRESSES 16U
#define N_PORTS 3U
#define N_NAMES 12U
#define N_FILTERS 3U
#define N_ANSWERS 256U /* places: too few, so that they run out all the time */
#define N_CONCLUSIONS 128U
#define US_PER_S 1000000ULL
#define N_KEYS (N_APPS * N_ADDRESSES * N_PORTS)

/* what a filter goes by: the reach of its verdicts follows from it */
enum rule { BY_NAME, BY_ADDRESS, BY_NOBODY_KNOWS };

struct rules {
	uint64_t salt;	 /* other rules, other verdicts */
	enum rule by[2]; /* with and without a name */
};

/* the kernel's map, a place for every key there can be */
struct kernel_entry {
	bool is_there;
	uint32_t verdict, generation;
	uint64_t expiry_us;
};

struct world {
	struct memory *memory;
	struct names_cache *names;
	uint64_t now_us, n_asks;
	struct rules rules[N_FILTERS];
	struct kernel_entry kernel[N_KEYS];
	uint32_t generation; /* of the kernel's map */
	struct world_counts counts;
	char text[200];
};

static struct sl_app app_of(unsigned int n)
{
	return (struct sl_app){ .exe_ino = n / N_USERS, .cgroup_id = 7, .uid = n % N_USERS };
}

static struct sl_memory_key key_of(unsigned int app, unsigned int address, unsigned int port)
{
	return (struct sl_memory_key){ .app = app_of(app),
				       .raddr = { [15] = (uint8_t)address },
				       .rport = (uint16_t)port,
				       .proto = 6 };
}

static struct kernel_entry *entry_of(struct world *world, const struct sl_memory_key *key)
{
	unsigned int app = (unsigned int)key->app.exe_ino * N_USERS + key->app.uid;

	return &world->kernel[(app * N_ADDRESSES + key->raddr[15]) * N_PORTS + key->rport];
}

static void on_withdraw(const struct sl_memory_key *key, void *data)
{
	entry_of(data, key)->is_there = false;
}

static void on_renew(uint32_t generation, void *data)
{
	((struct world *)data)->generation = generation;
}

static void on_names_changed(const struct sl_app *app, const uint8_t address[16], void *data)
{
	memory_names_changed(((struct world *)data)->memory, app, address);
}

static const struct memory_ops ops = { on_withdraw, on_renew };

struct world *world_new(void)
{
	const struct memory_limits limits = { N_ANSWERS, N_CONCLUSIONS, 0x5eed };
	struct world *world = calloc(1, sizeof(*world));

	if (!world || names_cache_new(0x5eed, on_names_changed, world, &world->names) ||
	    memory_new(&limits, 0, &ops, world, &world->memory))
		return world_free(world);
	return world;
}

struct world *world_free(struct world *world)
{
	if (world) {
		memory_free(world->memory);
		names_cache_free(world->names);
	}
	free(world);
	return NULL;
}

struct world_counts world_counts(const struct world *world)
{
	return world->counts;
}

static uint64_t scramble(uint64_t x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 29;
}

static uint64_t scramble_text(const char *text)
{
	uint64_t x = 1;

	while (*text)
		x = scramble(x + (uint8_t)*text++);
	return x;
}

/* the filter itself: a function of what it goes by and of nothing else */
static enum sl_verdict judge(struct world *world, unsigned int filter,
			     const struct sl_memory_key *key, const char *host,
			     enum memory_scope *ret_scope)
{
	const struct rules *rules = &world->rules[filter];
	uint64_t x = scramble(rules->salt + key->app.exe_ino * 31 + key->app.uid);
	static const enum memory_scope scopes[] = { MEMORY_NAME, MEMORY_ADDRESS, MEMORY_FLOW };
	enum rule by = rules->by[host[0] == '\0'];

	switch (by) {
	case BY_NAME:
		x = scramble(x ^ scramble_text(host));
		break;
	case BY_ADDRESS:
		x = scramble(x ^ (uint64_t)key->raddr[15] << 20 ^ key->rport);
		break;
	case BY_NOBODY_KNOWS:
		x = scramble(x ^ world->n_asks++);
		break;
	}
	*ret_scope = scopes[by];
	return x % 4 == 0 ? SL_REJECT : x % 16 == 1 ? SL_SILENT : SL_ALLOW;
}

static const char *fail(struct world *world, const char *what, const struct sl_memory_key *key,
			unsigned int verdict, unsigned int wanted)
{
	snprintf(world->text, sizeof(world->text),
		 "%s says %u, asking says %u: program %u of user %u to address %u port %u", what,
		 verdict, wanted, (unsigned int)key->app.exe_ino, key->app.uid, key->raddr[15],
		 key->rport);
	return world->text;
}

/* what asking every filter now would give; false: that is nobody's to know */
static bool ask_all(struct world *world, const struct sl_memory_key *key, const char *host,
		    enum sl_verdict *ret_verdict)
{
	for (unsigned int i = 0; i < N_FILTERS; i++) {
		enum memory_scope scope;

		*ret_verdict = judge(world, i, key, host, &scope);
		if (scope == MEMORY_FLOW)
			return false;
		if (*ret_verdict != SL_ALLOW)
			return true;
	}
	return true;
}

/* do the names of this address have different answers from the filter that decides? */
static bool names_disagree(struct world *world, const struct memory_question *question)
{
	for (unsigned int i = 0; i < N_FILTERS; i++) {
		enum sl_verdict first = SL_UNDECIDED, verdict;
		enum memory_scope scope;

		for (size_t n = 0; n < question->n_names; n++) {
			verdict = judge(world, i, &question->to, question->names[n].name, &scope);
			if (scope == MEMORY_FLOW)
				return false;
			if (first != SL_UNDECIDED && verdict != first)
				return true;
			first = verdict;
		}
		if (first > SL_ALLOW) /* it decides, whatever the later ones would say */
			return false;
	}
	return false;
}

static const char *meet_kernel(struct world *world, const struct memory_question *question,
			       const struct kernel_entry *entry, const char *host)
{
	enum sl_verdict wanted;

	world->counts.n_by_kernel++;
	if (!ask_all(world, &question->to, host, &wanted))
		return fail(world, "the kernel, about what reaches no further,", &question->to,
			    entry->verdict, 0);
	if (entry->verdict != wanted)
		return fail(world, "the kernel", &question->to, entry->verdict, wanted);
	if (names_disagree(world, question))
		return fail(world, "the kernel, about names that disagree,", &question->to,
			    entry->verdict, wanted);
	return NULL;
}

/* as sluiced does: each filter is asked unless its answer is known */
static const char *ask_or_remember(struct world *world, const struct memory_question *question,
				   const char *host)
{
	for (unsigned int i = 0; i < N_FILTERS; i++) {
		struct memory_answer answer;
		enum memory_scope scope;
		enum sl_verdict verdict = judge(world, i, &question->to, host, &scope);

		if (memory_find(world->memory, i, question, &answer) == 0) {
			world->counts.n_by_answers++;
			if (scope == MEMORY_FLOW || answer.verdict != verdict)
				return fail(world, "an answer", &question->to, answer.verdict,
					    verdict);
		} else {
			world->counts.n_asked++;
			memory_learn(world->memory, i, question, host, scope, verdict, "because");
		}
		if (verdict != SL_ALLOW)
			break;
	}
	return NULL;
}

static const char *meet_flow(struct world *world, const struct sl_memory_key *key, uint32_t pid)
{
	struct names_name names[NAMES_PER_ADDRESS_MAX];
	struct memory_question question = { .to = *key, .names = names };
	struct kernel_entry *entry = entry_of(world, key);
	struct memory_answer all;
	const char *host = "", *problem;

	question.n_names = names_all(world->names, &key->app, key->raddr, world->now_us, names,
				     NAMES_PER_ADDRESS_MAX);
	(void)names_find(world->names, &key->app, pid, key->raddr, world->now_us, &host);
	world->counts.n_flows++;
	world->counts.n_disagreeing += names_disagree(world, &question);
	if (entry->is_there && entry->generation == world->generation &&
	    world->now_us < entry->expiry_us)
		return meet_kernel(world, &question, entry, host);
	problem = ask_or_remember(world, &question, host);
	if (problem || memory_conclude(world->memory, N_FILTERS, &question, &all))
		return problem;
	*entry = (struct kernel_entry){ .is_there = true,
					.verdict = all.verdict,
					.generation = memory_generation(world->memory),
					.expiry_us = all.expiry_us };
	return NULL;
}

static void meet_answer(struct world *world, const struct sl_memory_key *key, uint32_t pid,
			unsigned int n, uint32_t ttl_s)
{
	char name[16];

	snprintf(name, sizeof(name), "n%u", n);
	names_add(world->names, &key->app, pid, key->raddr, name, ttl_s, world->now_us);
}

/* a filter says so, or a new process has taken its place; the reach of its verdicts changes too */
static void change_rules(struct world *world, unsigned int filter, const uint8_t event[4])
{
	static const enum rule by[8] = { BY_NAME,    BY_NAME,	 BY_NAME,    BY_NAME,
					 BY_ADDRESS, BY_ADDRESS, BY_ADDRESS, BY_NOBODY_KNOWS };

	world->rules[filter] = (struct rules){ .salt = event[1] | (uint64_t)event[2] << 8,
					       .by = { by[event[3] % 8], by[event[3] / 8 % 8] } };
	memory_forget(world->memory, filter);
}

const char *world_step(struct world *world, const uint8_t event[WORLD_EVENT_BYTES])
{
	struct sl_memory_key key =
		key_of(event[1] % N_APPS, event[2] % N_ADDRESSES, event[3] % N_PORTS);
	uint32_t pid = event[4] % 3;

	if (event[0] < 1 && event[7] < 32)
		change_rules(world, event[1] % N_FILTERS, event + 4);
	else if (event[0] < 24)
		meet_answer(world, &key, pid, event[5] % N_NAMES, event[6] % 32);
	else if (event[0] < 40)
		world->now_us += (uint64_t)(event[1] << 8 | event[2]) * US_PER_S / 32768;
	else
		return meet_flow(world, &key, pid);
	return NULL;
}
