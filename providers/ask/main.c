/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: ask - asks a person about each program
 *
 *	sluice run --filter ask:answers=/dev/tty -- COMMAND
 *
 * The first flow of a program is a question in the provider's log; "y" or "n", a line of
 * the answers, decides. All flows of a program, which is its file, wait for one question, and
 * what was answered holds until the provider ends. Questions come one at a time, in order.
 *
 * Nobody is there, once the answers have ended, or nobody answered in time: `otherwise` holds
 * for the program, and the log says so. Name servers are never asked about, or no name would be in
 * any question. The daemon drops datagrams that have waited for 10 seconds; the next ones wait.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <sluice/filter.h>

#define PATIENCE_S 60 /* LuLu's */
#define WAITING_MAX 1024U
#define PORT_DNS 53
#define TEXT_BYTES 256

struct program {
	struct program *next;
	char *exe;
	bool is_decided;
	enum sluice_verdict verdict;
	char reason[64];
};

struct waiting {
	struct waiting *next;
	struct program *program;
	uint64_t id;
	char question[TEXT_BYTES];
};

struct ask {
	struct sluice_filter *filter;
	struct program *programs;
	struct waiting *first, **last; /* oldest first; the first one's question is open */
	unsigned int n_waiting;
	uint64_t asked_ms; /* when it was; 0: it was not yet */
	uint64_t patience_ms;
	enum sluice_verdict otherwise;
	bool is_given;
	int answers; /* negative: nobody is there any more, or not @is_given */
	char line[16];
	size_t n_line;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- what is asked ---- */

static struct program *program_of(struct ask *ask, const char *exe)
{
	struct program *program = ask->programs;

	while (program && strcmp(program->exe, exe) != 0)
		program = program->next;
	if (program)
		return program;
	program = calloc(1, sizeof(*program));
	if (!program)
		return NULL;
	program->exe = strdup(exe);
	if (!program->exe) {
		free(program);
		return NULL;
	}
	program->next = ask->programs;
	ask->programs = program;
	return program;
}

/* all that wait for this program's, and those to come. Nobody has answered before that */
static void decide(struct ask *ask, struct program *program, enum sluice_verdict verdict,
		   const char *reason)
{
	struct waiting **at = &ask->first;

	program->is_decided = true;
	program->verdict = verdict;
	snprintf(program->reason, sizeof(program->reason), "%s", reason);
	while (*at) {
		struct waiting *waiting = *at;

		if (waiting->program != program) {
			at = &waiting->next;
			continue;
		}
		sluice_filter_resume(ask->filter, waiting->id);
		sluice_filter_answer(ask->filter, waiting->id, verdict, reason);
		*at = waiting->next;
		free(waiting);
		ask->n_waiting--;
	}
	ask->last = at;
	ask->asked_ms = 0;
}

static void decide_otherwise(struct ask *ask, const char *reason)
{
	struct program *program = ask->first->program;

	sluice_filter_log(ask->filter, LOG_WARNING, "%s: %s, %s", program->exe, reason,
			  ask->otherwise == SLUICE_ALLOW ? "allowed" : "dropped");
	decide(ask, program, ask->otherwise, reason);
}

/* the oldest question that is open, or what becomes of it when nobody answers */
static void go_on(struct ask *ask)
{
	while (ask->first) {
		if (ask->answers < 0) {
			decide_otherwise(ask, "nobody is there to ask");
		} else if (!ask->asked_ms) {
			ask->asked_ms = now_ms();
			sluice_filter_log(ask->filter, LOG_NOTICE, "%s", ask->first->question);
		} else if (now_ms() >= ask->asked_ms + ask->patience_ms) {
			decide_otherwise(ask, "nobody has answered");
		} else {
			return;
		}
	}
}

static void write_question(const struct sluice_flow *flow, char question[TEXT_BYTES])
{
	static const char mapped[12] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";
	bool is_ipv4 = !memcmp(flow->remote_address, mapped, sizeof(mapped));
	bool is_in = flow->direction == SLUICE_INBOUND;
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(is_ipv4 ? AF_INET : AF_INET6, flow->remote_address + (is_ipv4 ? 12 : 0), address,
		  sizeof(address));
	snprintf(question, TEXT_BYTES, "may %.100s (pid %u) %s %.80s%s%s, port %u? y or n",
		 flow->exe, flow->pid, is_in ? "hear from" : "talk to", flow->host,
		 *flow->host ? ", " : "", address, is_in ? flow->local_port : flow->remote_port);
}

/* Return: 0, or -ENOMEM */
static int wait_for_answer(struct ask *ask, const struct sluice_flow *flow, struct program *program)
{
	struct waiting *waiting = calloc(1, sizeof(*waiting));

	if (!waiting)
		return -ENOMEM;
	waiting->program = program;
	waiting->id = flow->id;
	write_question(flow, waiting->question);
	sluice_filter_pause(ask->filter, flow->id);
	*ask->last = waiting;
	ask->last = &waiting->next;
	ask->n_waiting++;
	return 0;
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	struct ask *ask = data;
	struct program *program = program_of(ask, flow->exe);

	if (flow->remote_port == PORT_DNS && flow->direction == SLUICE_OUTBOUND)
		sluice_filter_answer(filter, flow->id, SLUICE_ALLOW, "a name server");
	else if (program && program->is_decided)
		sluice_filter_answer(filter, flow->id, program->verdict, program->reason);
	else if (!program || ask->n_waiting == WAITING_MAX ||
		 wait_for_answer(ask, flow, program) < 0)
		sluice_filter_answer(filter, flow->id, ask->otherwise, "too many flows wait");
	go_on(ask);
}

/* ---- what is answered ---- */

static void take_line(struct ask *ask)
{
	char answer = ask->line[0];

	if (!ask->first)
		return; /* to no question */
	if (answer == 'y' || answer == 'n')
		decide(ask, ask->first->program, answer == 'y' ? SLUICE_ALLOW : SLUICE_DROP,
		       answer == 'y' ? "allowed when asked" : "refused when asked");
	else
		ask->asked_ms = 0; /* once more */
}

static void read_answers(struct ask *ask)
{
	char bytes[64];
	ssize_t n = read(ask->answers, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(ask->answers);
		ask->answers = -1;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\n') {
			if (ask->n_line < sizeof(ask->line))
				ask->line[ask->n_line++] = bytes[i];
			continue;
		}
		if (ask->n_line)
			take_line(ask);
		ask->n_line = 0;
		go_on(ask); /* the next line answers the next question */
	}
	go_on(ask);
}

/* ---- the provider ---- */

static int take_answers(struct ask *ask, const char *value, int fd)
{
	if (fd < 0)
		return sluice_filter_fail(ask->filter, -EINVAL, "answers: not given as a file");
	if (ask->answers >= 0)
		close(ask->answers);
	ask->answers = dup(fd);
	ask->is_given = true;
	return ask->answers < 0 ? -errno : 0;
}

static int take_patience(struct ask *ask, const char *value, int fd)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (!*value || *end || n < 1 || n > 3600)
		return sluice_filter_fail(ask->filter, -EINVAL,
					  "patience: \"%s\" is no number of seconds from 1 to 3600",
					  value);
	ask->patience_ms = n * 1000;
	return 0;
}

static int take_otherwise(struct ask *ask, const char *value, int fd)
{
	if (strcmp(value, "allow") != 0 && strcmp(value, "drop") != 0)
		return sluice_filter_fail(ask->filter, -EINVAL,
					  "otherwise: \"%s\" is neither allow nor drop", value);
	ask->otherwise = strcmp(value, "allow") == 0 ? SLUICE_ALLOW : SLUICE_DROP;
	return 0;
}

static const struct {
	const char *key;
	int (*take)(struct ask *ask, const char *value, int fd);
} options[] = {
	{ "answers", take_answers },
	{ "patience", take_patience },
	{ "otherwise", take_otherwise },
};

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct ask *ask = data;

	ask->filter = filter;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(key, options[i].key))
			return options[i].take(ask, value, fd);
	return sluice_filter_fail(filter, -EINVAL,
				  "unknown option \"%s\": use answers, patience, otherwise", key);
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct ask *ask = data;

	if (!ask->is_given)
		return sluice_filter_fail(filter, -EINVAL,
					  "no answers: give a file, e.g. answers=/dev/tty");
	return 0;
}

/* Return: 0; -ESHUTDOWN after an orderly stop; another negative errno */
static int turn(struct ask *ask)
{
	struct pollfd fds[] = { { .fd = sluice_filter_get_fd(ask->filter),
				  .events = sluice_filter_get_events(ask->filter) },
				{ .fd = ask->answers, .events = POLLIN } };
	uint64_t due = ask->asked_ms + ask->patience_ms, now = now_ms();
	int timeout = !ask->asked_ms ? -1 : now < due ? (int)(due - now) : 0;

	if (poll(fds, 2, timeout) < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[1].revents)
		read_answers(ask);
	go_on(ask);
	return sluice_filter_process(ask->filter);
}

static void free_ask(struct ask *ask)
{
	for (struct waiting *waiting = ask->first, *next; waiting; waiting = next) {
		next = waiting->next;
		free(waiting);
	}
	for (struct program *program = ask->programs, *next; program; program = next) {
		next = program->next;
		free(program->exe);
		free(program);
	}
}

int main(void)
{
	static const struct sluice_filter_ops ops = { .size = sizeof(ops),
						      .name = "ask",
						      .option = on_option,
						      .start = on_start,
						      .new_flow = on_flow };
	struct ask ask = { .patience_ms = PATIENCE_S * 1000, .answers = -1 };
	int r;

	ask.last = &ask.first;
	r = sluice_filter_new(&ops, &ask, &ask.filter);
	if (r < 0) {
		fprintf(stderr, "ask: cannot begin a session: %s\n", strerror(-r));
		return 1;
	}
	while (r == 0)
		r = turn(&ask);
	if (r != -ESHUTDOWN)
		fprintf(stderr, "ask: %s\n", sluice_filter_error(ask.filter));
	ask.filter = sluice_filter_free(ask.filter);
	free_ask(&ask);
	return r == -ESHUTDOWN ? 0 : 1;
}
