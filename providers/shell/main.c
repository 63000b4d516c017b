/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: shell - asks a shell script about each flow
 *
 *	sluice filter sh 'case "$host" in *.ads.example) echo drop;; *) echo allow;; esac'
 *
 * The script runs once for each flow, which it finds in its environment
 * (environment.h), and prints its verdict: allow, drop or silent, and behind it why.
 * One that prints anything else, fails or takes too long gives no verdict: it is told,
 * and the flow is left to the fail class. Up to SCRIPTS_MAX run at once, the other
 * flows wait here, so that the daemon's pings are answered meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <sluice/filter.h>

#include "environment.h"
#include "script.h"

#define SCRIPTS_MAX 16U
#define WAITING_MAX 1024U
#define WAITS_MS 5000U /* then the fail class has decided */
#define SCRIPT_BYTES 65536
#define TEXT_BYTES (65536 + 1) /* what a pipe holds: more, and the script waits for ever */

struct question {
	struct question *next;
	uint64_t id, asked_ms, started_ms;
	char **environment;
	struct script script; /* while it runs */
};

struct shell {
	char *script;
	struct question *running[SCRIPTS_MAX];
	struct question *first, **last; /* those that wait, oldest first */
	unsigned int n_waiting;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void free_question(struct question *question)
{
	environment_free(question->environment);
	free(question);
}

/* ---- the script ---- */

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct shell *shell = data;
	ssize_t n;

	if (strcmp(key, "script") != 0)
		return sluice_filter_fail(filter, -EINVAL, "unknown option \"%s\": use script",
					  key);
	if (fd < 0)
		return sluice_filter_fail(filter, -EINVAL, "script: not given as a file");
	free(shell->script);
	shell->script = calloc(1, SCRIPT_BYTES + 1);
	if (!shell->script)
		return -ENOMEM;
	n = pread(fd, shell->script, SCRIPT_BYTES, 0);
	if (n < 0)
		return sluice_filter_fail(filter, -errno, "script: cannot read it: %s",
					  strerror(errno));
	if (n == SCRIPT_BYTES || memchr(shell->script, '\0', (size_t)n))
		return sluice_filter_fail(filter, -EINVAL, "script: %s",
					  n == SCRIPT_BYTES ? "longer than 64 KiB" : "not a text");
	return 0;
}

/* what is wrong with its syntax is told before anybody waits for it */
static int on_start(struct sluice_filter *filter, void *data)
{
	struct shell *shell = data;
	const char *const words[] = { "/bin/sh", "-n", "-c", shell->script, "script", NULL };
	char *const env[] = { NULL };
	char text[TEXT_BYTES];
	struct script script;
	size_t n;
	int r;

	if (!shell->script)
		return sluice_filter_fail(filter, -EINVAL, "needs script=FILE");
	if (!shell->script[strspn(shell->script, " \t\n")])
		return sluice_filter_fail(filter, -EINVAL,
					  "script: it is empty: give one that prints allow, drop "
					  "or silent");
	r = script_start(words, env, true, &script);
	if (r < 0)
		return sluice_filter_fail(filter, r, "cannot start /bin/sh: %s", strerror(-r));
	r = script_end(&script, text, sizeof(text), &n);
	text[strcspn(text, "\n")] = '\0';
	return r ? sluice_filter_fail(filter, -EINVAL, "%s", *text ? text : "/bin/sh does not run")
		 : 0;
}

/* ---- verdicts ---- */

static const struct {
	const char *word;
	enum sluice_verdict verdict;
} verdicts[] = {
	{ "allow", SLUICE_ALLOW },
	{ "drop", SLUICE_DROP },
	{ "silent", SLUICE_DROP_SILENT },
};

/* Return: what is wrong with it; NULL: the flow is judged */
static const char *judge(struct sluice_filter *filter, uint64_t id, char *text, size_t n_text)
{
	char *rest = text + strcspn(text, "\n");
	size_t n;

	if (strlen(text) < n_text)
		return "it printed a zero byte";
	if (rest == text)
		return "it printed no verdict: allow, drop or silent";
	if (rest[0] && rest[1])
		return "it printed more than a line";
	*rest = '\0';
	n = strcspn(text, " ");
	rest = text + n + strspn(text + n, " ");
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (strlen(verdicts[i].word) == n && !strncmp(verdicts[i].word, text, n)) {
			(void)sluice_filter_answer(filter, id, verdicts[i].verdict,
						   *rest ? rest : "script");
			return NULL;
		}
	return "its verdict is neither allow, drop nor silent";
}

static const char *variable(const struct question *question, const char *name)
{
	size_t n = strlen(name);

	for (char **one = question->environment; *one; one++)
		if (!strncmp(*one, name, n) && (*one)[n] == '=')
			return *one + n + 1;
	return "";
}

static void complain(struct sluice_filter *filter, const struct question *question, const char *why)
{
	const char *host = variable(question, "host");

	sluice_filter_log(
		filter, LOG_ERR, "no verdict on %s %s port %s, which is left to the fail class: %s",
		variable(question, "protocol"), *host ? host : variable(question, "address"),
		variable(question, "port"), why);
}

static void end_script(struct sluice_filter *filter, struct question *question)
{
	char text[TEXT_BYTES], why[64];
	size_t n;
	int status = script_end(&question->script, text, sizeof(text), &n);
	const char *problem = why;

	if (status == -1)
		problem = now_ms() - question->started_ms >= SCRIPT_SECONDS * 1000
				  ? "the script took longer than 4 seconds"
				  : "the script was killed";
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "the script was killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		snprintf(why, sizeof(why), "the script ended with status %d", WEXITSTATUS(status));
	else
		problem = judge(filter, question->id, text, n);
	if (problem)
		complain(filter, question, problem);
	free_question(question);
}

/* ---- questions ---- */

static struct question *take_first(struct shell *shell)
{
	struct question *question = shell->first;

	shell->first = question->next;
	if (!shell->first)
		shell->last = &shell->first;
	shell->n_waiting--;
	return question;
}

static void start_waiting(struct sluice_filter *filter, struct shell *shell)
{
	const char *const words[] = { "/bin/sh", "-c", shell->script, "script", NULL };

	for (unsigned int i = 0; i < SCRIPTS_MAX && shell->first; i++) {
		struct question *question;
		int r;

		if (shell->running[i])
			continue;
		question = take_first(shell);
		question->started_ms = now_ms();
		r = question->started_ms - question->asked_ms < WAITS_MS
			    ? script_start(words, question->environment, false, &question->script)
			    : -ETIMEDOUT;
		if (r < 0) {
			complain(filter, question, strerror(-r));
			free_question(question);
		} else {
			shell->running[i] = question;
		}
	}
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	struct shell *shell = data;
	struct question *question = calloc(1, sizeof(*question));

	if (question)
		question->environment = environment_new(flow);
	if (!question || !question->environment || shell->n_waiting == WAITING_MAX) {
		sluice_filter_log(filter, LOG_ERR,
				  "too many flows wait for the script: some are "
				  "left to the fail class");
		if (question)
			free_question(question);
		return;
	}
	question->id = flow->id;
	question->asked_ms = now_ms();
	*shell->last = question;
	shell->last = &question->next;
	shell->n_waiting++;
}

static int wait_for_something(struct sluice_filter *filter, struct shell *shell)
{
	struct pollfd fds[SCRIPTS_MAX + 1];
	struct question *running;

	for (unsigned int i = 0; i < SCRIPTS_MAX; i++)
		fds[i] = (struct pollfd){ .fd = shell->running[i] ? shell->running[i]->script.done
								  : -1,
					  .events = POLLIN };
	fds[SCRIPTS_MAX] = (struct pollfd){ .fd = sluice_filter_get_fd(filter),
					    .events = sluice_filter_get_events(filter) };
	if (poll(fds, SCRIPTS_MAX + 1, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned int i = 0; i < SCRIPTS_MAX; i++)
		if (fds[i].revents) {
			running = shell->running[i];
			shell->running[i] = NULL;
			end_script(filter, running);
		}
	return 0;
}

static int run(struct sluice_filter *filter, struct shell *shell)
{
	int r = 0;

	while (r == 0) {
		start_waiting(filter, shell);
		r = wait_for_something(filter, shell);
		if (r == 0)
			r = sluice_filter_process(filter);
	}
	return r;
}

/* what still runs ends with this process */
static void free_shell(struct shell *shell)
{
	for (unsigned int i = 0; i < SCRIPTS_MAX; i++)
		if (shell->running[i])
			free_question(shell->running[i]);
	while (shell->first)
		free_question(take_first(shell));
	free(shell->script);
}

int main(int argc, char **argv)
{
	const struct sluice_filter_ops ops = { .size = sizeof(ops),
					       .name = "shell",
					       .option = on_option,
					       .start = on_start,
					       .new_flow = on_flow };
	struct shell shell = { .last = &shell.first };
	struct sluice_filter *filter;
	int r;

	r = sluice_filter_new(&ops, &shell, &filter);
	if (r)
		return sluice_filter_main(&ops, &shell); /* says why */
	script_start_self();
	r = run(filter, &shell);
	if (r != -ESHUTDOWN)
		fprintf(stderr, "shell: %s\n", sluice_filter_error(filter));
	sluice_filter_free(filter);
	free_shell(&shell);
	return r == -ESHUTDOWN ? 0 : 1;
}
