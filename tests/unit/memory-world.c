/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/memory.h"
#include "tests/unit/memory-rules.h"
#include "tests/unit/memory-world.h"

#define N_APPS 6U
#define N_USERS 3U
#define N_PATHS 3U /* of one program the path is not known as a whole, the other has two */
#define N_ADDRESSES 16U
#define N_PORTS 3U
#define N_PIDS 3U
#define N_FILTERS 3U
#define N_ANSWERS 256U /* places: too few, so that they run out all the time */
#define N_CONCLUSIONS 128U
#define US_PER_S 1000000ULL
#define N_KEYS (N_APPS * N_PATHS * N_ADDRESSES * N_PORTS)

/* what a filter goes by when it is asked: the reach of its verdicts follows from it */
enum basis { BY_NAME, BY_ADDRESS, BY_NOBODY_KNOWS };

struct opinions {
	uint64_t salt;	  /* other opinions, other verdicts */
	enum basis by[2]; /* with and without a name */
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
	struct opinions opinions[N_FILTERS];
	struct ruled ruled[N_FILTERS];
	struct kernel_entry kernel[N_KEYS];
	uint32_t generation; /* of the kernel's map */
	struct world_counts counts;
	char text[200];
};

static struct sl_app app_of(unsigned int n, unsigned int path)
{
	return (struct sl_app){
		.exe_ino = n / N_USERS, .exe_path = path, .cgroup_id = 7, .uid = n % N_USERS
	};
}

static struct sl_memory_key key_of(unsigned int app, unsigned int path, unsigned int address,
				   unsigned int port)
{
	return (struct sl_memory_key){ .app = app_of(app, path),
				       .raddr = { [15] = (uint8_t)address },
				       .rport = (uint16_t)port,
				       .proto = 6 };
}

static struct kernel_entry *entry_of(struct world *world, const struct sl_memory_key *key)
{
	unsigned int app = (unsigned int)key->app.exe_ino * N_USERS + key->app.uid;

	app = app * N_PATHS + (unsigned int)key->app.exe_path;
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

/* as sluiced does (daemon/judge/ruling.c) */
static int on_rule(unsigned int filter, const struct memory_question *question,
		   struct memory_answer *ret_answer, void *data)
{
	const char *hosts[NAMES_PER_ADDRESS_MAX];
	const struct ruled_flow flow = { .to = &question->to,
					 .exe = question->exe,
					 .hosts = hosts,
					 .n_hosts = question->n_names };
	struct world *world = data;
	enum rules_action action;
	int r;

	for (size_t i = 0; i < question->n_names; i++)
		hosts[i] = question->names[i].name;
	r = ruled_find(&world->ruled[filter], &flow, false, &action);
	if (r)
		return r == RULES_E_ASK ? MEMORY_E_ASK : MEMORY_E_VARIES;
	world->counts.n_concluded_by_rules++;
	*ret_answer = (struct memory_answer){ .verdict = ruled_verdict(action),
					      .filter = filter,
					      .reason = "a rule" };
	return 0;
}

static const struct memory_ops ops = { on_withdraw, on_renew, on_rule };

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
	for (unsigned int i = 0; world && i < N_FILTERS; i++)
		ruled_free(&world->ruled[i]);
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

	while (*text && *text != '.') /* domains are for rules */
		x = scramble(x + (uint8_t)*text++);
	return x;
}

/* the filter itself: a function of what it goes by and of nothing else */
static enum sl_verdict judge(struct world *world, unsigned int filter,
			     const struct sl_memory_key *key, const char *host,
			     enum memory_scope *ret_scope)
{
	const struct opinions *opinions = &world->opinions[filter];
	uint64_t x = scramble(opinions->salt + key->app.exe_ino * 31 + key->app.uid);
	static const enum memory_scope scopes[] = { MEMORY_NAME, MEMORY_ADDRESS, MEMORY_FLOW };
	enum basis by = opinions->by[host[0] == '\0'];

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

/* a filter's rules, one by one, and else the filter itself */
static enum sl_verdict ask(struct world *world, unsigned int filter, const struct ruled_flow *flow,
			   const char *host, enum memory_scope *ret_scope)
{
	enum rules_action action = ruled_agreed(&world->ruled[filter], flow);

	*ret_scope = MEMORY_ADDRESS;
	return action == RULES_ASK ? judge(world, filter, flow->to, host, ret_scope)
				   : ruled_verdict(action);
}

/* what asking every filter now would give; false: that is nobody's to know */
static bool ask_all(struct world *world, const struct ruled_flow *flow, const char *host,
		    enum sl_verdict *ret_verdict)
{
	for (unsigned int i = 0; i < N_FILTERS; i++) {
		enum memory_scope scope;

		*ret_verdict = ask(world, i, flow, host, &scope);
		if (scope == MEMORY_FLOW)
			return false;
		if (*ret_verdict != SL_ALLOW)
			return true;
	}
	return true;
}

/* do the names of this address have different answers from the filter that decides? */
static bool names_disagree(struct world *world, const struct ruled_flow *flow)
{
	for (unsigned int i = 0; i < N_FILTERS; i++) {
		enum sl_verdict first = SL_UNDECIDED, verdict;
		enum memory_scope scope;

		for (size_t n = 0; n < flow->n_hosts; n++) {
			struct ruled_flow alone = *flow;

			alone.hosts = &flow->hosts[n];
			alone.n_hosts = 1;
			verdict = ask(world, i, &alone, flow->hosts[n], &scope);
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

static const char *meet_kernel(struct world *world, const struct ruled_flow *flow,
			       const struct kernel_entry *entry, const char *host)
{
	enum sl_verdict wanted;

	world->counts.n_by_kernel++;
	if (!ask_all(world, flow, host, &wanted))
		return fail(world, "the kernel, about what reaches no further,", flow->to,
			    entry->verdict, 0);
	if (entry->verdict != wanted)
		return fail(world, "the kernel", flow->to, entry->verdict, wanted);
	if (names_disagree(world, flow))
		return fail(world, "the kernel, about names that disagree,", flow->to,
			    entry->verdict, wanted);
	return NULL;
}

static const char *ask_filter(struct world *world, unsigned int i,
			      const struct memory_question *question, const char *host,
			      enum sl_verdict verdict, enum memory_scope scope)
{
	struct memory_answer answer;

	if (memory_find(world->memory, i, question, &answer)) {
		world->counts.n_asked++;
		memory_learn(world->memory, i, question, host, scope, verdict, "because");
		return NULL;
	}
	world->counts.n_by_answers++;
	if (scope == MEMORY_FLOW || answer.verdict != verdict)
		return fail(world, "an answer", &question->to, answer.verdict, verdict);
	return NULL;
}

/* as sluiced does: the rules, and each filter is asked unless its answer is known */
static const char *ask_or_remember(struct world *world, const struct memory_question *question,
				   const struct ruled_flow *flow, const char *host)
{
	enum sl_verdict verdict = SL_ALLOW;

	for (unsigned int i = 0; i < N_FILTERS && verdict == SL_ALLOW; i++) {
		enum rules_action action = RULES_ASK;
		const char *problem = NULL;
		enum memory_scope scope;
		bool is_ruled = ruled_find(&world->ruled[i], flow, true, &action) == 0;

		verdict = ask(world, i, flow, host, &scope);
		world->counts.n_by_rules += is_ruled;
		if (action != ruled_agreed(&world->ruled[i], flow))
			problem = fail(world, "a list", &question->to, action, verdict);
		else if (!is_ruled)
			problem = ask_filter(world, i, question, host, verdict, scope);
		if (problem)
			return problem;
	}
	return NULL;
}

static const char *judge_flow(struct world *world, const struct memory_question *question,
			      const struct ruled_flow *flow, const char *host)
{
	struct kernel_entry *entry = entry_of(world, flow->to);
	struct memory_answer all;
	const char *problem;

	world->counts.n_flows++;
	world->counts.n_disagreeing += names_disagree(world, flow);
	if (entry->is_there && entry->generation == world->generation &&
	    world->now_us < entry->expiry_us)
		return meet_kernel(world, flow, entry, host);
	problem = ask_or_remember(world, question, flow, host);
	if (problem || memory_conclude(world->memory, N_FILTERS, question, &all))
		return problem;
	*entry = (struct kernel_entry){ .is_there = true,
					.verdict = all.verdict,
					.generation = memory_generation(world->memory),
					.expiry_us = all.expiry_us };
	return NULL;
}

static const char *meet_flow(struct world *world, const struct sl_memory_key *key,
			     const uint8_t event[WORLD_EVENT_BYTES])
{
	struct names_name names[NAMES_PER_ADDRESS_MAX];
	struct memory_question question = { .to = *key, .names = names };
	const char *host = "", *hosts[NAMES_PER_ADDRESS_MAX];
	struct ruled_flow flow = { .to = key, .hosts = hosts, .lport = 1 + event[6] % 4 };
	char exe[16];

	question.n_names = names_all(world->names, &key->app, key->raddr, world->now_us, names,
				     NAMES_PER_ADDRESS_MAX);
	(void)names_find(world->names, &key->app, event[4] % N_PIDS, key->raddr, world->now_us,
			 &host);
	flow.n_hosts = question.n_names;
	for (size_t i = 0; i < question.n_names; i++)
		hosts[i] = names[i].name;
	ruled_exe(&key->app, key->app.exe_path ? key->app.exe_path == 2 : event[5] % 2, exe);
	flow.exe = exe;
	if (key->app.exe_path)
		question.exe = exe;
	return judge_flow(world, &question, &flow, host);
}

static void meet_answer(struct world *world, const struct sl_memory_key *key, uint32_t pid,
			unsigned int n, uint32_t ttl_s)
{
	char name[16];

	ruled_name(n, name);
	names_add(world->names, &key->app, pid, key->raddr, name, ttl_s, world->now_us);
}

/* a filter says so, or a new process has taken its place; the reach of its verdicts changes too */
static void change_opinions(struct world *world, unsigned int filter, const uint8_t event[4])
{
	static const enum basis by[8] = { BY_NAME,    BY_NAME,	  BY_NAME,    BY_NAME,
					  BY_ADDRESS, BY_ADDRESS, BY_ADDRESS, BY_NOBODY_KNOWS };

	world->opinions[filter] =
		(struct opinions){ .salt = event[1] | (uint64_t)event[2] << 8,
				   .by = { by[event[3] % 8], by[event[3] / 8 % 8] } };
	memory_forget(world->memory, filter);
}

static const char *change_rules(struct world *world, unsigned int filter, const uint8_t event[4])
{
	const char *problem =
		ruled_replace(&world->ruled[filter],
			      event[0] | (uint64_t)event[1] << 8 | (uint64_t)event[2] << 16);

	memory_forget(world->memory, filter);
	return problem;
}

const char *world_step(struct world *world, const uint8_t event[WORLD_EVENT_BYTES])
{
	const unsigned int app = event[1] % N_APPS, path = app < N_USERS ? 0 : 1 + event[7] % 2;
	struct sl_memory_key key = key_of(app, path, event[2] % N_ADDRESSES, event[3] % N_PORTS);
	uint32_t pid = event[4] % N_PIDS;

	if (event[0] < 1 && event[7] < 32)
		change_opinions(world, event[1] % N_FILTERS, event + 4);
	else if (event[0] < 1 && event[7] < 64)
		return change_rules(world, event[1] % N_FILTERS, event + 2);
	else if (event[0] < 24)
		meet_answer(world, &key, pid, event[5] % RULED_NAMES, event[6] % 32);
	else if (event[0] < 40)
		world->now_us += (uint64_t)(event[1] << 8 | event[2]) * US_PER_S / 32768;
	else
		return meet_flow(world, &key, event);
	return NULL;
}
