/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: The conformance suite's filter, with libsluice
 *
 *	puppet [--without CALLBACK]…
 *
 * Does what a flow's host, or bytes that begin with a colon, order, and logs what
 * it was told: puppet.py is the same with the Python binding, sluice.cases uses them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <sluice/filter.h>

#include "puppet.h"

struct puppet {
	char at_start[256], at_stop[256];
};

static uint64_t number(const struct order *order, int i)
{
	return strcmp(order->words[i], "max") ? strtoull(order->words[i], NULL, 10)
					      : SLUICE_BYTES_MAX;
}

/* ---- orders ---- */

static int do_answer(const struct order *order)
{
	return sluice_filter_answer_for(order->filter, order->id,
					(enum sluice_verdict)atol(order->words[1]),
					(enum sluice_scope)atol(order->words[2]), order->rest[3]);
}

static int do_peek(const struct order *order)
{
	struct sluice_peek peek = {
		.size = sizeof(peek),
		.outbound = { strcmp(order->words[1], "-") != 0, number(order, 1) },
		.inbound = { strcmp(order->words[2], "-") != 0, number(order, 2) }
	};

	return sluice_filter_answer_peek(order->filter, order->id, &peek, order->rest[3]);
}

static int do_name(const struct order *order)
{
	return sluice_filter_answer_name(order->filter, order->id, order->rest[1]);
}

static int do_pass(const struct order *order)
{
	return sluice_filter_pass(order->filter, order->id,
				  (enum sluice_direction)atol(order->words[1]), number(order, 2),
				  number(order, 3));
}

static int do_pause(const struct order *order)
{
	return sluice_filter_pause(order->filter, order->id);
}

static int do_resume(const struct order *order)
{
	return sluice_filter_resume(order->filter, order->id);
}

static int do_need(const struct order *order)
{
	return sluice_filter_answer_need_rules(order->filter, order->id, order->rest[1]);
}

static int do_watch(const struct order *order)
{
	return sluice_filter_watch(order->filter, order->id,
				   (enum sluice_watch)atol(order->words[1]));
}

static int do_update(const struct order *order)
{
	return sluice_filter_update(order->filter, order->id,
				    (enum sluice_verdict)atol(order->words[1]), order->rest[2]);
}

static int do_forget(const struct order *order)
{
	return sluice_filter_forget(order->filter);
}

static int do_rejudge(const struct order *order)
{
	return sluice_filter_rejudge(order->filter);
}

static int do_log(const struct order *order)
{
	sluice_filter_log(order->filter, atoi(order->words[1]), "%s", order->rest[2]);
	return 0;
}

static int do_list(const struct order *order)
{
	const struct sluice_list list = {
		.size = sizeof(list),
		.number = (uint16_t)number(order, 1),
		.is_exceptions = true,
		.reason = order->words[2],
		.n_names = number(order, 3),
		.name = order->rest[3],
		.n_exceptions = 2,
		.n_unusable = 7,
		.unusable = { [SLUICE_UNUSABLE_LONG] = 3, [SLUICE_UNUSABLE_ZONE] = 4 },
		.changed_s = 5,
		.loaded_s = 6
	};

	return sluice_filter_list(order->filter, &list);
}

/* until one of them fails, which `said` tells later: the channel is full then, for a LOG as well */
static int repeated_with;

static int do_repeat(const struct order *order)
{
	uint64_t n = number(order, 1);

	for (repeated_with = 0; n-- && !repeated_with;)
		repeated_with = sluice_filter_answer(order->filter, order->id, SLUICE_ALLOW, "");
	fprintf(stderr, "repeated\n");
	return 0;
}

static int do_said(const struct order *order)
{
	return repeated_with;
}

/* how many more are open than when this was first asked */
static int do_descriptors(const struct order *order)
{
	static int before = -1;
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	if (before >= 0)
		sluice_filter_log(order->filter, LOG_INFO, "descriptors: %d", n - before);
	before = n;
	return 0;
}

static int do_die(const struct order *order)
{
	_exit(7);
}

static const struct {
	const char *name;
	int (*run)(const struct order *order);
} orders[] = {
	{ "answer", do_answer },   { "peek", do_peek },
	{ "name", do_name },	   { "pass", do_pass },
	{ "pause", do_pause },	   { "resume", do_resume },
	{ "update", do_update },   { "forget", do_forget },
	{ "rejudge", do_rejudge }, { "list", do_list },
	{ "log", do_log },	   { "repeat", do_repeat },
	{ "said", do_said },	   { "descriptors", do_descriptors },
	{ "rules", puppet_rules }, { "die", do_die },
	{ "need", do_need },	   { "watch", do_watch },
};

static void split(struct order *order, char *text, char *rest)
{
	static char empty[1];
	char *save = NULL, *word = strtok_r(text, " ", &save);

	for (int i = 0; i < N_WORDS; i++) {
		order->words[i] = word ? word : empty;
		order->rest[i] = word ? rest + (word - text) : empty;
		word = word ? strtok_r(NULL, " ", &save) : NULL;
	}
}

/* the words only where they are about this call */
static void complain(struct sluice_filter *filter, const char *name, int r)
{
	const char *why = sluice_filter_error(filter);

	if (r == -EINVAL && !strncmp(why, "rule ", 5) && !strcmp(name, "rules"))
		sluice_filter_log(filter, LOG_ERR, "%s: %s: %s", name, strerrorname_np(-r), why);
	else
		sluice_filter_log(filter, LOG_ERR, "%s: %s", name, strerrorname_np(-r));
}

static void obey_one(struct sluice_filter *filter, uint64_t id, char *text)
{
	struct order order = { .filter = filter, .id = id };
	char *copy = strdup(text);
	int r = 0;

	split(&order, copy, text);
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (!strcmp(orders[i].name, order.words[0]))
			r = orders[i].run(&order);
	if (r)
		complain(filter, order.words[0], r);
	free(copy);
}

static void obey(struct sluice_filter *filter, uint64_t id, const char *text)
{
	char *copy = strdup(text), *save = NULL;

	for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save))
		obey_one(filter, id, one + strspn(one, " "));
	free(copy);
}

/* ---- callbacks ---- */

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct puppet *puppet = data;
	char text[256] = "";

	if (fd >= 0 && pread(fd, text, sizeof(text) - 1, 0) >= 0)
		sluice_filter_log(filter, LOG_INFO, "option %s=%s: file of \"%s\"", key, value,
				  text);
	else
		sluice_filter_log(filter, LOG_INFO, "option %s=%s", key, value);
	if (!strcmp(key, "at-start"))
		snprintf(puppet->at_start, sizeof(puppet->at_start), "%s", value);
	if (!strcmp(key, "at-stop"))
		snprintf(puppet->at_stop, sizeof(puppet->at_stop), "%s", value);
	if (!strcmp(key, "refuse"))
		return sluice_filter_fail(filter, -EACCES, "%s", value);
	return !strcmp(key, "refuse-mutely") ? -ENOENT : 0;
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct puppet *puppet = data;

	if (!strncmp(puppet->at_start, "refuse ", 7))
		return sluice_filter_fail(filter, -EINVAL, "%s", puppet->at_start + 7);
	obey(filter, 0, puppet->at_start);
	return 0;
}

static void show(struct sluice_filter *filter, const struct sluice_flow *flow)
{
	char local[46], remote[46];

	sluice_filter_log(filter, LOG_INFO,
			  "flow %llu: direction %d protocol %u ports %u %u source %d pids %u %u "
			  "ids %u %u %u exe %llu %u ifindex %u cut %d again %d reading %d "
			  "bound %d socket %llu",
			  (unsigned long long)flow->id, flow->direction, flow->protocol,
			  flow->local_port, flow->remote_port, flow->host_source, flow->pid,
			  flow->owner_pid, flow->uid, flow->gid, flow->owner_uid,
			  (unsigned long long)flow->exe_inode, flow->exe_device, flow->ifindex,
			  flow->is_cut, flow->is_again, flow->host_reading, flow->is_bound,
			  (unsigned long long)flow->socket);
	sluice_filter_log(filter, LOG_INFO, "from %s to %s by %s, %s",
			  sluice_address_to_text(flow->local_address, local, sizeof(local)),
			  sluice_address_to_text(flow->remote_address, remote, sizeof(remote)),
			  flow->interface, flow->interface_kind);
	sluice_filter_log(filter, LOG_INFO, "%s|%s|%s|%s|%s", flow->exe, flow->command,
			  flow->cgroup, flow->unit, flow->container);
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	if (!strcmp(flow->host, "show"))
		show(filter, flow);
	else
		obey(filter, flow->id, flow->host);
}

static void on_data(struct sluice_filter *filter, const struct sluice_data *bytes, void *data)
{
	char text[512] = "";

	sluice_filter_log(filter, LOG_INFO,
			  "data of %llu: direction %d offset %llu n %zu end %d most %u",
			  (unsigned long long)bytes->flow_id, bytes->direction,
			  (unsigned long long)bytes->offset, bytes->n, bytes->is_end, bytes->most);
	if (bytes->n == 0 || bytes->n >= sizeof(text) || bytes->bytes[0] != ':')
		return;
	memcpy(text, bytes->bytes + 1, bytes->n - 1);
	obey(filter, bytes->flow_id, text);
}

static void on_closed(struct sluice_filter *filter, uint64_t id, uint64_t bytes_in,
		      uint64_t bytes_out, void *data)
{
	sluice_filter_log(filter, LOG_INFO, "closed %llu: %llu %llu", (unsigned long long)id,
			  (unsigned long long)bytes_in, (unsigned long long)bytes_out);
}

static void on_report(struct sluice_filter *filter, const struct sluice_report *report, void *data)
{
	sluice_filter_log(
		filter, LOG_INFO,
		"report of %llu: event %d verdict %d looked at %d bytes %llu %llu age %llu "
		"lost %llu",
		(unsigned long long)report->flow_id, report->event, report->verdict,
		report->is_looked_at, (unsigned long long)report->bytes_in,
		(unsigned long long)report->bytes_out, (unsigned long long)report->age_us,
		(unsigned long long)report->n_lost);
}

static void on_refused(struct sluice_filter *filter, uint64_t id, int error, void *data)
{
	sluice_filter_log(filter, LOG_INFO, "refused %llu: %d: %s", (unsigned long long)id, -error,
			  sluice_filter_error(filter));
}

static void on_rules_done(struct sluice_filter *filter, int error, uint32_t rule, void *data)
{
	sluice_filter_log(filter, LOG_INFO, "rules done: %d %u%s%s", -error, rule,
			  error ? ": " : "", error ? sluice_filter_error(filter) : "");
}

static void on_stop(struct sluice_filter *filter, void *data)
{
	struct puppet *puppet = data;

	sluice_filter_log(filter, LOG_INFO, "stop");
	obey(filter, 1, puppet->at_stop);
}

int main(int argc, char **argv)
{
	struct sluice_filter_ops ops = { .size = sizeof(ops),
					 .name = "puppet",
					 .option = on_option,
					 .start = on_start,
					 .new_flow = on_flow,
					 .flow_closed = on_closed,
					 .stop = on_stop,
					 .rules_done = on_rules_done,
					 .flow_data = on_data,
					 .report = on_report,
					 .refused = on_refused };
	struct puppet puppet = { "", "" };

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "option"))
			ops.option = NULL;
		if (!strcmp(argv[i], "flow_closed"))
			ops.flow_closed = NULL;
		if (!strcmp(argv[i], "flow_data"))
			ops.flow_data = NULL;
		if (!strcmp(argv[i], "report"))
			ops.report = NULL;
		if (!strcmp(argv[i], "refused"))
			ops.refused = NULL;
	}
	return sluice_filter_main(&ops, &puppet);
}
