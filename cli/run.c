/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: sluice run
 *
 * A private instance for one command: a new child cgroup, a keeper, and the
 * command inside. We only describe the instance and wait: what must outlive a
 * `kill -9` of us is the keeper's.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/cgroup2.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/instance.h"

#define EMPTY_MS 5000U /* for processes that were killed to be gone */

/* like env(1): COMMAND's own statuses stay its own */
enum { EXIT_SLUICE = RUN_EXIT_SLUICE, EXIT_CANNOT_EXEC = 126, EXIT_NO_COMMAND = 127 };

struct run {
	struct instance instance;
	bool is_closed;
	char **command;
	pid_t command_pid;
	int signal_fd;
	int status;	/* wait status of COMMAND */
	bool has_ended;
	bool is_told_to_end;
};

static int usage(FILE *to, int status)
{
	fprintf(to, "usage: sluice run [--filter NAME[:key=value[,key=value]]]... [--app-map FILE]\n"
		    "                  [--proxy NAME[:key=value[,key=value]] [--app APP]...\n"
		    "                   [--include RULE]... [--exclude RULE]... [--settings FILE]]...\n"
		    "                  [--fail open|closed] [--flows FILE] [--instance ID] [-v]\n"
		    "                  -- COMMAND [ARG...]\n");
	return status;
}

static int take_provider(struct run *run, const char *spec, bool is_proxy)
{
	struct instance *instance = &run->instance;

	if (instance->n_filters == RUN_FILTERS_MAX)
		return cli_error(-1, "at most %u filters and proxies", RUN_FILTERS_MAX);
	return run_filter_parse(spec, is_proxy, &instance->filters[instance->n_filters++]);
}

static int take_filter(struct run *run, const char *spec)
{
	return take_provider(run, spec, false);
}

static int take_proxy(struct run *run, const char *spec)
{
	return take_provider(run, spec, true);
}

static int take_fail(struct run *run, const char *word)
{
	run->is_closed = !strcmp(word, "closed");
	if (run->is_closed || !strcmp(word, "open"))
		return 0;
	fprintf(stderr, "sluice: --fail takes \"open\" or \"closed\", not \"%s\"\n", word);
	return -1;
}

static int take_flows(struct run *run, const char *path)
{
	return instance_open_flows(&run->instance, path);
}

static int take_instance(struct run *run, const char *id)
{
	struct wire_k_instance *record = &run->instance.record;

	if (!cli_is_new_instance(id))
		return cli_error(-1, "an instance id has 1 to 23 characters of a-z and 0-9");
	snprintf(record->id, sizeof(record->id), "%s", id);
	return 0;
}

static int take_verbose(struct run *run, const char *unused)
{
	uint8_t *level = &run->instance.record.log_level;

	*level = *level < LOG_DEBUG ? *level + 1 : LOG_DEBUG;
	return 0;
}

/* @key: of the proxy that was named last */
static int take_setting(struct run *run, const char *key, const char *value)
{
	struct instance *instance = &run->instance;
	struct run_filter *last =
		instance->n_filters ? &instance->filters[instance->n_filters - 1] : NULL;

	if (!last || !last->is_proxy)
		return cli_error(-1, "--%c%s comes behind the --proxy that it is for",
				 tolower((unsigned char)key[0]), key + 1);
	return settings_take(&last->settings, instance->applications, key, value);
}

static int take_app(struct run *run, const char *value)
{
	return take_setting(run, "App", value);
}

static int take_include(struct run *run, const char *value)
{
	return take_setting(run, "Include", value);
}

static int take_exclude(struct run *run, const char *value)
{
	return take_setting(run, "Exclude", value);
}

static int take_settings(struct run *run, const char *path)
{
	return take_setting(run, "Settings", path);
}

static int take_app_map(struct run *run, const char *path)
{
	return instance_read_applications(&run->instance, path);
}

static const struct {
	struct option option;
	int (*take)(struct run *run, const char *argument);
} options[] = {
	{ { "filter", required_argument, NULL, 'f' }, take_filter },
	{ { "proxy", required_argument, NULL, 'p' }, take_proxy },
	{ { "app", required_argument, NULL, 'a' }, take_app },
	{ { "include", required_argument, NULL, 'I' }, take_include },
	{ { "exclude", required_argument, NULL, 'E' }, take_exclude },
	{ { "settings", required_argument, NULL, 's' }, take_settings },
	{ { "app-map", required_argument, NULL, 'm' }, take_app_map },
	{ { "fail", required_argument, NULL, 'F' }, take_fail },
	{ { "flows", required_argument, NULL, 'o' }, take_flows },
	{ { "instance", required_argument, NULL, 'i' }, take_instance },
	{ { "verbose", no_argument, NULL, 'v' }, take_verbose },
};

static int parse(struct run *run, int argc, char **argv)
{
	struct option longs[ARRAY_SIZE(options) + 1] = { 0 };
	int c;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		longs[i] = options[i].option;
	optind = 0;
	while ((c = getopt_long(argc, argv, "+v", longs, NULL)) != -1) {
		size_t i = 0;

		while (i < ARRAY_SIZE(options) && options[i].option.val != c)
			i++;
		if (i == ARRAY_SIZE(options))
			return settings_refuse_option(argv[optind - 1]) ? EXIT_SLUICE
									: usage(stderr, EXIT_SLUICE);
		if (options[i].take(run, optarg))
			return EXIT_SLUICE;
	}
	if (argv[optind])
		run->command = argv + optind;
	return run->command ? 0 : usage(stderr, EXIT_SLUICE);
}

static void on_signal(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		/* of several that are pending, its end need not be read first */
		if (run->command_pid > 0 && !run->has_ended &&
		    waitpid(run->command_pid, &run->status, WNOHANG) == run->command_pid)
			run->has_ended = true;
		if (info.ssi_signo == SIGCHLD)
			continue;
		if (run->has_ended || run->command_pid == 0) {
			run->is_told_to_end = true; /* COMMAND cannot: what is left is ended */
		} else if (info.ssi_code != SI_KERNEL) {
			/* what the terminal sends, COMMAND gets from the terminal itself */
			kill(run->command_pid, (int)info.ssi_signo);
		}
	}
}

static void kill_command(const struct run *run)
{
	int r = cgroup2_kill(run->instance.record.cgroup);

	if (r < 0 && r != -ENOENT)
		(void)cli_error(0, "cannot end the processes of %s: %s",
				run->instance.record.cgroup, strerror(-r));
}

_Noreturn static void be_command(struct run *run)
{
	sigset_t none;
	int r = cgroup2_enter(run->instance.record.cgroup);

	if (r < 0) {
		fprintf(stderr, "sluice: cannot enter %s: %s\n", run->instance.record.cgroup, strerror(-r));
		_exit(EXIT_SLUICE);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(run->command[0], run->command);
	r = errno;
	fprintf(stderr, "sluice: cannot execute %s: %s\n", run->command[0], strerror(r));
	_exit(r == ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_EXEC);
}

/* until COMMAND and all its descendants have ended */
static int wait_for_command(struct run *run)
{
	_cleanup_close_ int events = run_cgroup_open_events(run->instance.record.cgroup);

	for (;;) {
		/* of the keeper only its end is of interest: what it says is for instance_wait() */
		struct pollfd fds[] = { { .fd = run->signal_fd, .events = POLLIN },
					{ .fd = events, .events = POLLPRI },
					{ .fd = run->instance.keeper_sock } };
		/* read in any case: poll() tells of a change until it was */
		bool is_empty = events < 0 || run_cgroup_is_empty(events) != 0;

		if (run->has_ended && is_empty)
			return 0;
		if (poll(fds, ARRAY_SIZE(fds), instance_tick(&run->instance)) < 0 && errno != EINTR)
			return -1;
		if (fds[0].revents)
			on_signal(run);
		if (run->is_told_to_end)
			kill_command(run);
		if (fds[2].revents & (POLLHUP | POLLERR)) {
			fprintf(stderr, "sluice: sluice-keeper ended: ending COMMAND, "
					"which nobody would govern\n");
			return -1;
		}
	}
}

static int open_signals(struct run *run)
{
	static const int taken[] = { SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		sigaddset(&set, taken[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? -errno : 0;
}

static bool wants_end(void *data)
{
	struct run *run = data;

	on_signal(run);
	return run->is_told_to_end;
}

/* the instance is in force before COMMAND begins */
static int start_instance(struct run *run)
{
	struct wire_k_instance *record = &run->instance.record;

	for (unsigned int i = 0; i < run->instance.n_filters; i++)
		run->instance.filters[i].is_closed = run->is_closed;
	if (run_cgroup_name(record->id, record->cgroup, sizeof(record->cgroup)) ||
	    instance_claim(&run->instance) || run_cgroup_make(record->cgroup)) {
		record->cgroup[0] = '\0'; /* another's, if there is one: not to be removed */
		return -1;
	}
	snprintf(record->providers_cgroup, sizeof(record->providers_cgroup), "%s.providers",
		 record->cgroup);
	if (instance_start(&run->instance))
		return -1;
	return instance_wait(&run->instance, run->signal_fd, wants_end, run);
}

static int run_it(struct run *run)
{
	int r = open_signals(run);

	if (r < 0)
		return cli_error(EXIT_SLUICE, "cannot watch for signals: %s", strerror(-r));
	if (start_instance(run))
		return EXIT_SLUICE;
	run->command_pid = fork();
	if (run->command_pid < 0)
		return cli_error(EXIT_SLUICE, "cannot start %s: %s: end some processes, then try again",
				 run->command[0], strerror(errno));
	if (run->command_pid == 0)
		be_command(run);
	if (wait_for_command(run)) {
		kill_command(run);
		return EXIT_SLUICE;
	}
	return WIFSIGNALED(run->status) ? 128 + WTERMSIG(run->status) : WEXITSTATUS(run->status);
}

static void finish(struct run *run)
{
	(void)instance_end(&run->instance, true);
	/* when there is no keeper that did it */
	if (run->instance.record.cgroup[0])
		(void)cgroup2_remove(run->instance.record.cgroup, EMPTY_MS);
	close_fd(run->signal_fd);
}

int cmd_run(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return usage(stdout, 0);
	return run_with(argc, argv, NULL);
}

int run_with(int argc, char **argv, const char *spec)
{
	char *shell = getenv("SHELL");
	char *shell_command[] = { shell && *shell ? shell : "/bin/sh", NULL };
	struct run *run = calloc(1, sizeof(*run));
	int status;

	if (!run)
		return cli_error(EXIT_SLUICE, "cannot begin: %s", strerror(ENOMEM));
	*run = (struct run){ .is_closed = true, .signal_fd = -1 };
	instance_init(&run->instance);
	snprintf(run->instance.record.id, sizeof(run->instance.record.id), "r%d", getpid());
	if (spec)
		run->command = shell_command;
	status = spec && take_filter(run, spec) ? EXIT_SLUICE : parse(run, argc, argv);
	if (!status && geteuid() != 0) {
		fprintf(stderr, "sluice: `sluice run` needs root: try `sudo sluice run …`\n");
		status = EXIT_SLUICE;
	}
	if (!status)
		status = run_it(run);
	finish(run);
	free(run);
	return status;
}
