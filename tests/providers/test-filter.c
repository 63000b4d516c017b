/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A filter that does what a scenario tells it
 *
 * Denies by exact conditions, answers late, never, or dies at a chosen flow.
 * Every option may be given more than once where that makes sense:
 *
 *	deny-address=ADDRESS[/BITS]  remote address, IPv4 or IPv6
 *	deny-port=N                  remote port
 *	deny-local-port=N            local port (inbound flows)
 *	deny-uid=N                   user of the socket
 *	deny-exe=PATH                executable
 *	deny-host=NAME               host name of the flow
 *	deny-bound=1                 outbound, of a socket that is bound to an interface
 *	deny-all=1
 *	silent=1                     denials look like a black hole
 *	scope=flow|address|name      how far verdicts reach
 *	count=1                      the reason of a verdict says how often it was asked
 *	forget-at=N                  from the Nth flow on the denials are not in force any more,
 *	                             and what was said before is taken back
 *	rejudge-port=N               the denials are in force from the first flow to that remote port
 *	                             on, and all flows of before are judged again then
 *	update-after-ms=N            drops each flow that long after it allowed it
 *	allow-after-ms=N             allows each flow that long after it dropped it, and denies
 *	                             none from then on
 *	delay-ms=N                   each answer comes that much later
 *	delay-from=N                 but not those before the Nth flow
 *	mute=1                       takes flows and PINGs, never judges
 *	hang-after=N                 stops reading its channel at the Nth flow
 *	crash-after=N                aborts at the Nth flow
 *	start-ms=N, stop-ms=N        its start, and its stop, takes so long
 *	lie=1                        before each answer it allows flows that it was not asked
 *	                             about, and after it says the opposite
 *	probe=1                      tries what a provider must not be able to do;
 *	                             the outcome is the reason of each verdict
 * and those of rule-options.h, for static rules, and of peek-options.h, for what flows carry.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sluice/filter.h>

#include "peek-options.h"
#include "rule-options.h"

#define N_RULES 64
#define N_LATE 16384 /* answers that wait for delay-ms */

enum field { BY_ADDRESS, BY_PORT, BY_LOCAL_PORT, BY_UID, BY_EXE, BY_HOST, BY_BOUND, BY_ANYTHING };

struct rule {
	enum field field;
	uint8_t address[16];
	unsigned int bits;
	unsigned long number;
	char text[256];
};

struct late {
	uint64_t id;
	uint64_t due_ms;
	enum sluice_verdict verdict;
};

/** struct ring - all have the same delay, so the first is due first */
struct ring {
	struct late late[N_LATE];
	size_t first, n;
};

struct state {
	struct sluice_filter_ops ops;
	struct rule rules[N_RULES];
	size_t n_rules;
	bool is_silent, is_mute, is_probing, is_counting, is_lying;
	enum sluice_scope scope;
	unsigned long delay_ms, delay_from, hang_after, crash_after, forget_at, rejudge_port,
		n_flows;
	unsigned long update_ms, allow_ms, start_ms, stop_ms;
	char probe[128];
	struct ring answers, updates;
	struct rule_options static_rules;
	struct peek_options peeks;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void sleep_ms(unsigned long ms)
{
	struct timespec ts = { (time_t)(ms / 1000), (long)(ms % 1000 * 1000000) };

	while (ms && nanosleep(&ts, &ts) < 0)
		;
}

/* "ADDRESS[/BITS]" into 16 bytes, IPv4 as ::ffff:a.b.c.d */
static int parse_network(const char *text, struct rule *rule)
{
	char copy[64];
	char *slash;
	bool is_v4 = !strchr(text, ':');

	if (snprintf(copy, sizeof(copy), "%s%s", is_v4 ? "::ffff:" : "", text) >= (int)sizeof(copy))
		return -EINVAL;
	rule->bits = 128;
	slash = strchr(copy, '/');
	if (slash) {
		*slash = '\0';
		rule->bits = (unsigned int)strtoul(slash + 1, NULL, 10) + (is_v4 ? 96 : 0);
	}
	if (rule->bits > 128 || inet_pton(AF_INET6, copy, rule->address) != 1)
		return -EINVAL;
	return 0;
}

static bool is_in_network(const struct rule *rule, const uint8_t address[16])
{
	unsigned int whole = rule->bits / 8, rest = rule->bits % 8;

	if (memcmp(rule->address, address, whole))
		return false;
	return !rest || (rule->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

static int add_rule(struct state *state, enum field field, const char *value)
{
	struct rule *rule = &state->rules[state->n_rules];

	if (state->n_rules == N_RULES)
		return -E2BIG;
	rule->field = field;
	rule->number = strtoul(value, NULL, 10);
	snprintf(rule->text, sizeof(rule->text), "%s", value);
	if (field == BY_ADDRESS && parse_network(value, rule) < 0)
		return -EINVAL;
	state->n_rules++;
	return 0;
}

static const struct {
	const char *key;
	enum field field;
} rule_keys[] = {
	{ "deny-address", BY_ADDRESS },	      { "deny-port", BY_PORT }, { "deny-uid", BY_UID },
	{ "deny-local-port", BY_LOCAL_PORT }, { "deny-exe", BY_EXE },	{ "deny-host", BY_HOST },
	{ "deny-bound", BY_BOUND },	      { "deny-all", BY_ANYTHING },
};

#define NUMBER(key, member)                                                                        \
	{                                                                                          \
		key, offsetof(struct state, member)                                                \
	}

static const struct {
	const char *key;
	size_t offset;
} number_keys[] = {
	NUMBER("forget-at", forget_at),	      NUMBER("rejudge-port", rejudge_port),
	NUMBER("update-after-ms", update_ms), NUMBER("allow-after-ms", allow_ms),
	NUMBER("delay-ms", delay_ms),	      NUMBER("delay-from", delay_from),
	NUMBER("hang-after", hang_after),     NUMBER("crash-after", crash_after),
	NUMBER("start-ms", start_ms),	      NUMBER("stop-ms", stop_ms),
};

static int set_number(struct state *state, const char *key, const char *value)
{
	for (size_t i = 0; i < sizeof(number_keys) / sizeof(number_keys[0]); i++) {
		if (!strcmp(key, number_keys[i].key)) {
			unsigned long number = strtoul(value, NULL, 10);

			memcpy((char *)state + number_keys[i].offset, &number, sizeof(number));
			return 0;
		}
	}
	return -EINVAL;
}

static void on_data(struct sluice_filter *filter, const struct sluice_data *bytes, void *data)
{
	struct state *state = data;

	peek_options_data(filter, &state->peeks, bytes, now_ms());
}

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct state *state = data;

	for (size_t i = 0; i < sizeof(rule_keys) / sizeof(rule_keys[0]); i++) {
		if (!strcmp(key, rule_keys[i].key))
			return add_rule(state, rule_keys[i].field, value);
	}
	if (rule_option(&state->static_rules, key, value))
		return 0;
	if (peek_option(&state->peeks, key, value)) {
		if (peek_options_looks(&state->peeks))
			state->ops.flow_data =
				on_data; /* else nothing has to be looked at for us */
		return 0;
	}
	if (!strcmp(key, "silent"))
		state->is_silent = strcmp(value, "0");
	else if (!strcmp(key, "mute"))
		state->is_mute = strcmp(value, "0");
	else if (!strcmp(key, "probe"))
		state->is_probing = strcmp(value, "0");
	else if (!strcmp(key, "lie"))
		state->is_lying = strcmp(value, "0");
	else if (!strcmp(key, "scope"))
		state->scope = !strcmp(value, "address") ? SLUICE_THIS_ADDRESS
			       : !strcmp(value, "name")	 ? SLUICE_THIS_NAME
							 : SLUICE_THIS_FLOW;
	else if (!strcmp(key, "count"))
		state->is_counting = strcmp(value, "0");
	else
		return set_number(state, key, value);
	return 0;
}

/* errno of each thing a provider must not be able to do; 0 means that it could */
static void probe_rights(struct state *state)
{
	int net, file, priv, watch, fd;

	fd = socket(AF_INET, SOCK_STREAM, 0);
	net = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
	file = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	priv = kill(getppid(), 0) < 0 ? errno : 0;
	watch = ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? errno : 0;
	snprintf(state->probe, sizeof(state->probe), "socket=%d shadow=%d kill=%d ptrace=%d", net,
		 file, priv, watch);
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct state *state = data;

	if (state->is_probing)
		probe_rights(state);
	sleep_ms(state->start_ms);
	return rule_options_give(filter, &state->static_rules);
}

static void on_stop(struct sluice_filter *filter, void *data)
{
	struct state *state = data;

	if (!state->stop_ms)
		return;
	sleep_ms(state->stop_ms);
	printf("stopped in its own time\n");
	fflush(stdout);
}

static bool rule_matches(const struct rule *rule, const struct sluice_flow *flow)
{
	switch (rule->field) {
	case BY_ADDRESS:
		return is_in_network(rule, flow->remote_address);
	case BY_PORT:
		return flow->remote_port == rule->number;
	case BY_LOCAL_PORT:
		return flow->local_port == rule->number;
	case BY_UID:
		return flow->uid == rule->number;
	case BY_EXE:
		return !strcmp(flow->exe, rule->text);
	case BY_HOST:
		return !strcmp(flow->host, rule->text);
	case BY_BOUND:
		return flow->is_bound;
	case BY_ANYTHING:
		return true;
	}
	return false;
}

/* it was not asked about them */
static void lie_about_others(struct sluice_filter *filter, uint64_t id)
{
	for (uint64_t i = 0; i < 8; i++)
		sluice_filter_answer(filter, id + (1U << 20) + i, SLUICE_ALLOW, "forged");
}

static bool put(struct ring *ring, uint64_t id, unsigned long delay_ms, enum sluice_verdict verdict)
{
	if (ring->n == N_LATE)
		return false;
	ring->late[(ring->first + ring->n++) % N_LATE] =
		(struct late){ .id = id, .due_ms = now_ms() + delay_ms, .verdict = verdict };
	return true;
}

static void give_answer(struct sluice_filter *filter, struct state *state, uint64_t id,
			enum sluice_verdict verdict)
{
	const char *reason = verdict == SLUICE_ALLOW ? NULL : "test";
	char text[32];

	if (state->is_counting) {
		snprintf(text, sizeof(text), "asked %lu", state->n_flows);
		reason = text;
	}
	if (state->is_lying)
		lie_about_others(filter, id);
	sluice_filter_answer_for(filter, id, verdict, state->scope,
				 state->is_probing ? state->probe : reason);
	if (state->is_lying)
		sluice_filter_answer(filter, id,
				     verdict == SLUICE_ALLOW ? SLUICE_DROP : SLUICE_ALLOW,
				     "duplicate");
	if (verdict == SLUICE_ALLOW && state->update_ms)
		put(&state->updates, id, state->update_ms,
		    state->is_silent ? SLUICE_DROP_SILENT : SLUICE_DROP);
	else if (verdict != SLUICE_ALLOW && state->allow_ms)
		put(&state->updates, id, state->allow_ms, SLUICE_ALLOW);
}

static enum sluice_verdict verdict_of(const struct state *state, const struct sluice_flow *flow)
{
	if (state->rejudge_port)
		return SLUICE_ALLOW;
	for (size_t i = 0; i < state->n_rules; i++)
		if (rule_matches(&state->rules[i], flow))
			return state->is_silent ? SLUICE_DROP_SILENT : SLUICE_DROP;
	return SLUICE_ALLOW;
}

static void on_new_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	struct state *state = data;
	enum sluice_verdict verdict;

	state->n_flows += !flow->is_again;
	if (state->crash_after && state->n_flows == state->crash_after)
		abort();
	while (state->hang_after && state->n_flows >= state->hang_after)
		pause();
	if (state->is_mute)
		return;
	if (state->forget_at && state->n_flows == state->forget_at) {
		state->n_rules = 0;
		sluice_filter_forget(filter);
	}
	if (state->rejudge_port && flow->remote_port == state->rejudge_port) {
		state->rejudge_port = 0;
		sluice_filter_rejudge(filter);
	}
	rule_options_replace(filter, &state->static_rules, flow);
	verdict = verdict_of(state, flow);
	if (verdict == SLUICE_ALLOW && peek_options_begin(filter, &state->peeks, flow, now_ms()))
		return;
	if (!state->delay_ms || state->n_flows < state->delay_from ||
	    !put(&state->answers, flow->id, state->delay_ms, verdict))
		give_answer(filter, state, flow->id, verdict);
}

static int sooner(int a_ms, int b_ms)
{
	if (a_ms < 0 || b_ms < 0)
		return a_ms < 0 ? b_ms : a_ms;
	return a_ms < b_ms ? a_ms : b_ms;
}

static void give_update(struct sluice_filter *filter, struct state *state, uint64_t id,
			enum sluice_verdict verdict)
{
	if (verdict == SLUICE_ALLOW)
		state->n_rules = 0;
	sluice_filter_update(filter, id, verdict, "changed");
}

/* gives what is due. Return: milliseconds until the next one, -1 for none */
static int give_due(struct sluice_filter *filter, struct state *state, struct ring *ring,
		    void (*give)(struct sluice_filter *filter, struct state *state, uint64_t id,
				 enum sluice_verdict verdict))
{
	while (ring->n) {
		const struct late *late = &ring->late[ring->first];
		uint64_t now = now_ms();

		if (late->due_ms > now)
			return (int)(late->due_ms - now);
		give(filter, state, late->id, late->verdict);
		ring->first = (ring->first + 1) % N_LATE;
		ring->n--;
	}
	return -1;
}

static int work(struct sluice_filter *filter, struct state *state)
{
	int answers = give_due(filter, state, &state->answers, give_answer);
	int updates = give_due(filter, state, &state->updates, give_update);

	return sooner(sooner(answers, updates), peek_options_work(filter, &state->peeks, now_ms()));
}

int main(void)
{
	static struct state state = { .ops = { .size = sizeof(state.ops),
					       .name = "test-filter",
					       .option = on_option,
					       .start = on_start,
					       .new_flow = on_new_flow,
					       .stop = on_stop } };
	struct sluice_filter *filter;
	int r = sluice_filter_new(&state.ops, &state, &filter);

	if (r < 0) {
		fprintf(stderr, "test-filter: %s\n", strerror(-r));
		return 1;
	}
	while (r >= 0) {
		struct pollfd pfd = { .fd = sluice_filter_get_fd(filter) };
		int wait_ms = work(filter, &state);

		pfd.events = sluice_filter_get_events(filter);
		if (poll(&pfd, 1, wait_ms) > 0)
			r = sluice_filter_process(filter);
	}
	sluice_filter_free(filter);
	return r == -ESHUTDOWN ? 0 : 1;
}
