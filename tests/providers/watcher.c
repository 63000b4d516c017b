/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A filter that watches flows, and may need rules before it judges
 *
 *	rate=0…4         of reports, as enum sluice_watch; it allows everything
 *	print=1          it says each report
 *	sum-port=N       at a flow to that port it says what it has counted so far
 *	nap-ms=N         from the first such flow on it reads only as often
 *	peek=N           it looks at N bytes that leave before it allows
 *	rules=FILE       flows to need-port wait for it: "allow" or "drop"; it looks every 50 ms
 *	need-port=N
 *	need-bytes=1     they wait when their bytes were seen, not before
 *	need-twice=1     it says so once more
 */

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <sluice/filter.h>

#define N_PLACES (1U << 17)
#define LOOK_MS 50

/* one flow's statistics: the last ones */
struct place {
	uint64_t id, age_us, bytes_in, bytes_out;
};

struct state {
	enum sluice_watch rate;
	bool is_summing, is_printing, needs_bytes, needs_twice;
	unsigned long nap_ms, sum_port, need_port, peek;
	int rules_fd;
	char rules[16]; /* "": they are not there */
	struct place *places;
	uint64_t n_of[SLUICE_REPORT_STATISTICS + 1], n_less, n_lost, shortest_us;
};

static struct place *find(struct state *state, uint64_t id)
{
	size_t i = id * 0x9e3779b97f4a7c15ULL >> (64 - 17);

	while (state->places[i].id && state->places[i].id != id)
		i = (i + 1) % N_PLACES;
	state->places[i].id = id;
	return &state->places[i];
}

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct state *state = data;
	unsigned long n = strtoul(value, NULL, 10);

	if (!strcmp(key, "rate"))
		state->rate = (enum sluice_watch)n;
	else if (!strcmp(key, "print"))
		state->is_printing = n;
	else if (!strcmp(key, "nap-ms"))
		state->nap_ms = n;
	else if (!strcmp(key, "sum-port"))
		state->sum_port = n;
	else if (!strcmp(key, "peek"))
		state->peek = n;
	else if (!strcmp(key, "need-port"))
		state->need_port = n;
	else if (!strcmp(key, "need-bytes"))
		state->needs_bytes = n;
	else if (!strcmp(key, "need-twice"))
		state->needs_twice = n;
	else if (!strcmp(key, "rules"))
		state->rules_fd = dup(fd);
	else
		return sluice_filter_fail(filter, -EINVAL, "no such option: %s", key);
	return 0;
}

static void say_sum(struct sluice_filter *filter, const struct state *state)
{
	sluice_filter_log(
		filter, LOG_NOTICE,
		"sum new %llu data %llu closed %llu statistics %llu shortest %llu less %llu "
		"lost %llu",
		(unsigned long long)state->n_of[SLUICE_REPORT_NEW],
		(unsigned long long)state->n_of[SLUICE_REPORT_DATA],
		(unsigned long long)state->n_of[SLUICE_REPORT_CLOSED],
		(unsigned long long)state->n_of[SLUICE_REPORT_STATISTICS],
		(unsigned long long)state->shortest_us, (unsigned long long)state->n_less,
		(unsigned long long)state->n_lost);
}

/* Return: it waits for them */
static bool needs_rules(struct sluice_filter *filter, const struct state *state, uint64_t id)
{
	if (state->rules[0])
		return false;
	sluice_filter_answer_need_rules(filter, id, "the rules of the scenario");
	if (state->needs_twice)
		sluice_filter_answer_need_rules(filter, id, "at once");
	return true;
}

static void judge(struct sluice_filter *filter, const struct state *state, uint64_t id)
{
	bool is_dropped = !strcmp(state->rules, "drop");

	sluice_filter_answer(filter, id, is_dropped ? SLUICE_DROP : SLUICE_ALLOW, state->rules);
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	struct state *state = data;
	bool is_needing = flow->remote_port == state->need_port;
	const struct sluice_peek peek = { .size = sizeof(peek), .outbound = { true, state->peek } };

	state->is_summing |= flow->remote_port == state->sum_port;
	if (flow->remote_port == state->sum_port)
		say_sum(filter, state);
	else if (state->rate)
		sluice_filter_watch(filter, flow->id, state->rate);
	if (is_needing && state->needs_bytes)
		sluice_filter_answer_peek(filter, flow->id, &peek, NULL);
	else if (is_needing && needs_rules(filter, state, flow->id))
		return;
	else if (is_needing)
		judge(filter, state, flow->id);
	else if (state->peek && flow->remote_port != state->sum_port)
		sluice_filter_answer_peek(filter, flow->id, &peek, NULL);
	else
		sluice_filter_answer(filter, flow->id, SLUICE_ALLOW, NULL);
}

static void on_data(struct sluice_filter *filter, const struct sluice_data *bytes, void *data)
{
	struct state *state = data;

	if (!state->needs_bytes)
		sluice_filter_answer(filter, bytes->flow_id, SLUICE_ALLOW, NULL);
	else if (!needs_rules(filter, state, bytes->flow_id))
		judge(filter, state, bytes->flow_id);
}

static void compare(struct state *state, const struct sluice_report *report)
{
	struct place *place = find(state, report->flow_id);

	state->n_less += report->bytes_in < place->bytes_in || report->bytes_out < place->bytes_out;
	if (report->event == SLUICE_REPORT_STATISTICS) {
		if (place->age_us && report->age_us - place->age_us < state->shortest_us)
			state->shortest_us = report->age_us - place->age_us;
		place->age_us = report->age_us;
	}
	place->bytes_in = report->bytes_in;
	place->bytes_out = report->bytes_out;
}

static void on_report(struct sluice_filter *filter, const struct sluice_report *report, void *data)
{
	static const char *const events[] = { "new", "data", "closed", "statistics" };
	struct state *state = data;

	state->n_of[report->event]++;
	state->n_lost = report->n_lost;
	if (report->event != SLUICE_REPORT_NEW)
		compare(state, report);
	if (state->is_printing)
		sluice_filter_log(
			filter, LOG_NOTICE,
			"report %s %llu verdict %d looked %d in %llu out %llu age %llu",
			events[report->event], (unsigned long long)report->flow_id, report->verdict,
			report->is_looked_at, (unsigned long long)report->bytes_in,
			(unsigned long long)report->bytes_out, (unsigned long long)report->age_us);
}

static void on_refused(struct sluice_filter *filter, uint64_t id, int error, void *data)
{
	sluice_filter_log(filter, LOG_NOTICE, "refused: %s", sluice_filter_error(filter));
}

/* its owner has written them */
static void look_for_rules(struct sluice_filter *filter, struct state *state)
{
	char text[sizeof(state->rules)] = "";

	if (state->rules_fd < 0 || pread(state->rules_fd, text, sizeof(text) - 1, 0) <= 0 ||
	    !strcmp(text, state->rules))
		return;
	memcpy(state->rules, text, sizeof(text));
	sluice_filter_forget(filter);
}

static int serve(struct sluice_filter *filter, struct state *state)
{
	int r;

	while ((r = sluice_filter_process(filter)) == 0) {
		struct pollfd poll_fd = { .fd = sluice_filter_get_fd(filter),
					  .events = sluice_filter_get_events(filter) };

		if (state->nap_ms && state->is_summing)
			usleep((useconds_t)state->nap_ms * 1000);
		(void)poll(&poll_fd, 1, LOOK_MS);
		look_for_rules(filter, state);
	}
	if (r == -ESHUTDOWN)
		return 0;
	fprintf(stderr, "watcher: %s\n", sluice_filter_error(filter));
	return 1;
}

int main(void)
{
	struct sluice_filter_ops ops = { .size = sizeof(ops),
					 .name = "watcher",
					 .option = on_option,
					 .new_flow = on_flow,
					 .flow_data = on_data,
					 .report = on_report,
					 .refused = on_refused };
	struct state state = { .rules_fd = -1, .shortest_us = UINT64_MAX };
	struct sluice_filter *filter;
	int r;

	state.places = calloc(N_PLACES, sizeof(*state.places));
	if (!state.places || sluice_filter_new(&ops, &state, &filter) < 0)
		return 1;
	r = serve(filter, &state);
	sluice_filter_free(filter);
	free(state.places);
	return r;
}
