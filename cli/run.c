/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: sluice run
 *
 * A private instance for one command: a new child cgroup, a keeper, and the
 * command inside. We only describe the instance and wait: what must outlive a
 * `kill -9` of us is the keeper's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "wire/channel.h"
#include "wire/keeper-records.h"

#define KEEPER_FD 3
#define START_TIMEOUT_MS 30000
#define BPFFS "/sys/fs/bpf"
#define CGROUP_TRIES 500 /* times 10 ms */

/* like env(1): COMMAND's own statuses stay its own */
enum { EXIT_SLUICE = 125, EXIT_CANNOT_EXEC = 126, EXIT_NO_COMMAND = 127 };

/* used when the users of dist/sysusers are not there; docs/decisions/0003 */
enum { UID_DAEMON = 64320, UID_NAMES = 64321, UID_CANARY = 64322, UID_PROVIDERS = 64330 };

struct run {
	char id[32];
	char cgroup[512];
	struct run_filter filters[RUN_FILTERS_MAX];
	unsigned int n_filters;
	bool is_closed;
	int flows_fd;
	int log_level;
	char **command;
	pid_t keeper_pid, command_pid;
	int keeper_sock, signal_fd;
	int status;	/* wait status of COMMAND */
	bool has_ended;
	bool is_told_to_end;
};

static int usage(void)
{
	fprintf(stderr, "usage: sluice run [--filter NAME[:key=value[,key=value]]]... "
			"[--fail open|closed]\n"
			"                  [--flows FILE] [--instance ID] [-v] -- COMMAND [ARG...]\n");
	return EXIT_SLUICE;
}

static int take_filter(struct run *run, const char *spec)
{
	if (run->n_filters == RUN_FILTERS_MAX) {
		fprintf(stderr, "sluice: at most %u filters\n", RUN_FILTERS_MAX);
		return -1;
	}
	return run_filter_parse(spec, &run->filters[run->n_filters++]);
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
	close_fd(run->flows_fd);
	run->flows_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	/* a pipe that nobody reads must not stop sluiced: it drops records then */
	if (run->flows_fd >= 0 && fcntl(run->flows_fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0)
		return 0;
	fprintf(stderr, "sluice: cannot open %s: %s\n", path, strerror(errno));
	return -1;
}

static int take_instance(struct run *run, const char *id)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789");

	if (id[n] == '\0' && n > 0 && n < 24) {
		snprintf(run->id, sizeof(run->id), "%s", id);
		return 0;
	}
	fprintf(stderr, "sluice: an instance id has 1 to 23 characters of a-z and 0-9\n");
	return -1;
}

static int take_verbose(struct run *run, const char *unused)
{
	run->log_level = run->log_level < LOG_DEBUG ? run->log_level + 1 : LOG_DEBUG;
	return 0;
}

static const struct {
	struct option option;
	int (*take)(struct run *run, const char *argument);
} options[] = {
	{ { "filter", required_argument, NULL, 'f' }, take_filter },
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
			return usage();
		if (options[i].take(run, optarg))
			return EXIT_SLUICE;
	}
	run->command = argv + optind;
	return run->command[0] ? 0 : usage();
}

static uint32_t uid_of(const char *name, uint32_t otherwise)
{
	const struct passwd *entry = getpwnam(name);

	return entry ? entry->pw_uid : otherwise;
}

static int send_record(struct run *run, uint16_t type, const void *body, int fd)
{
	return channel_send(run->keeper_sock, &wire_keeper_channel, type, body, NULL, 0, fd);
}

/* systemd mounts it for root alone: there sluiced, which is not root, could not pin */
static bool is_bpffs_open(void)
{
	struct statfs fs;
	struct stat st;

	return statfs(BPFFS, &fs) == 0 && fs.f_type == BPF_FS_MAGIC && stat(BPFFS, &st) == 0 &&
	       (st.st_mode & S_IXOTH);
}

static int send_instance(struct run *run)
{
	struct wire_k_instance record = { .daemon_uid = uid_of("_sluice", UID_DAEMON),
					  .names_uid = uid_of("_sluice-names", UID_NAMES),
					  .canary_uid = uid_of("_sluice-canary", UID_CANARY),
					  .provider_uid = UID_PROVIDERS,
					  .log_level = (uint8_t)run->log_level };

	snprintf(record.id, sizeof(record.id), "%s", run->id);
	snprintf(record.cgroup, sizeof(record.cgroup), "%s", run->cgroup);
	snprintf(record.state, sizeof(record.state), "/run/sluice/%s", run->id);
	if (is_bpffs_open())
		snprintf(record.bpffs, sizeof(record.bpffs), "%s/sluice-%s", BPFFS, run->id);
	else
		snprintf(record.bpffs, sizeof(record.bpffs), "%s/bpf", record.state);
	return send_record(run, WIRE_K_INSTANCE, &record, -1);
}

static int send_filter(struct run *run, uint32_t index)
{
	const struct run_filter *filter = &run->filters[index];
	struct wire_k_filter record = { .index = index, .is_closed = run->is_closed };
	int r;

	snprintf(record.name, sizeof(record.name), "%s", filter->name);
	snprintf(record.exe, sizeof(record.exe), "%s", filter->exe);
	r = send_record(run, WIRE_K_FILTER, &record, -1);
	for (unsigned int i = 0; i < filter->n_options && !r; i++) {
		struct wire_k_option option = { .index = index };

		snprintf(option.key, sizeof(option.key), "%s", filter->options[i].key);
		snprintf(option.value, sizeof(option.value), "%s", filter->options[i].value);
		r = send_record(run, WIRE_K_OPTION, &option, filter->options[i].fd);
	}
	return r;
}

static int describe(struct run *run)
{
	struct wire_k_flows flows = { 0 };
	struct wire_k_commit commit = { 0 };
	int r = send_instance(run);

	for (uint32_t i = 0; i < run->n_filters && !r; i++)
		r = send_filter(run, i);
	if (!r && run->flows_fd >= 0)
		r = send_record(run, WIRE_K_FLOWS, &flows, run->flows_fd);
	return r ? r : send_record(run, WIRE_K_COMMIT, &commit, -1);
}

static int start_keeper(struct run *run)
{
	_cleanup_close_ int theirs = -1;
	char path[512];
	int r = run_sibling("sluice-keeper", LIBEXECDIR, path, sizeof(path));

	if (!r)
		r = channel_pair(&run->keeper_sock, &theirs);
	if (r < 0) {
		fprintf(stderr, "sluice: cannot start sluice-keeper: %s\n", strerror(-r));
		return -1;
	}
	run->keeper_pid = fork();
	if (run->keeper_pid < 0)
		return -1;
	if (run->keeper_pid == 0) {
		if (dup2(theirs, KEEPER_FD) < 0 || fcntl(KEEPER_FD, F_SETFD, 0) < 0)
			_exit(EXIT_SLUICE);
		execl(path, path, (char *)NULL);
		fprintf(stderr, "sluice: cannot execute %s: %s\n", path, strerror(errno));
		_exit(EXIT_SLUICE);
	}
	return 0;
}

static void on_signal(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			if (run->command_pid > 0 &&
			    waitpid(run->command_pid, &run->status, WNOHANG) == run->command_pid)
				run->has_ended = true;
		} else if (run->has_ended || run->command_pid == 0) {
			run->is_told_to_end = true; /* COMMAND cannot: what is left is ended */
		} else if (info.ssi_code != SI_KERNEL) {
			/* what the terminal sends, COMMAND gets from the terminal itself */
			kill(run->command_pid, (int)info.ssi_signo);
		}
	}
}

static void kill_command(struct run *run)
{
	_cleanup_close_ int fd = -1;
	char path[600];

	snprintf(path, sizeof(path), "%s/cgroup.kill", run->cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) < 0)
		fprintf(stderr, "sluice: cannot end the processes of %s: %m\n", run->cgroup);
}

/* the instance is in force before COMMAND begins */
static int wait_for_state(struct run *run)
{
	struct pollfd fds[] = { { .fd = run->keeper_sock, .events = POLLIN },
				{ .fd = run->signal_fd, .events = POLLIN } };
	_cleanup_free_ uint8_t *buffer = malloc(WIRE_RECORD_MAX);
	const struct wire_k_state *state;
	struct wire_message message;
	int fd = -1, r;

	if (!buffer)
		return -1;
	do {
		r = poll(fds, ARRAY_SIZE(fds), START_TIMEOUT_MS);
		if (r > 0 && fds[1].revents)
			on_signal(run);
	} while (r > 0 && !fds[0].revents && !run->is_told_to_end);
	if (run->is_told_to_end)
		return -1;
	if (r <= 0) {
		fprintf(stderr, "sluice: the instance did not start within %d s\n",
			START_TIMEOUT_MS / 1000);
		return -1;
	}
	r = channel_recv(run->keeper_sock, &wire_keeper_channel, WIRE_FROM_ANY, buffer, &message,
			 NULL, &fd);
	close_fd(fd);
	if (r || message.record->type != WIRE_K_STATE) {
		fprintf(stderr, "sluice: sluice-keeper ended while it started; see above\n");
		return -1;
	}
	state = WIRE_BODY(&message, struct wire_k_state);
	if (state->error)
		fprintf(stderr, "sluice: %s\n", state->text);
	return state->error ? -1 : 0;
}

_Noreturn static void be_command(struct run *run)
{
	sigset_t none;
	int r = run_cgroup_enter(run->cgroup);

	if (r < 0) {
		fprintf(stderr, "sluice: cannot enter %s: %s\n", run->cgroup, strerror(-r));
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
	_cleanup_close_ int events = run_cgroup_open_events(run->cgroup);

	for (;;) {
		struct pollfd fds[] = { { .fd = run->signal_fd, .events = POLLIN },
					{ .fd = events, .events = POLLPRI },
					{ .fd = run->keeper_sock, .events = POLLIN } };

		if (run->has_ended && (events < 0 || run_cgroup_is_empty(events) != 0))
			return 0;
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return -1;
		if (fds[0].revents)
			on_signal(run);
		if (run->is_told_to_end)
			kill_command(run);
		if (fds[2].revents & (POLLHUP | POLLERR)) {
			fprintf(stderr, "sluice: sluice-keeper ended: ending COMMAND, "
					"which nobody would govern; `sluice panic` removes the rest\n");
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

static int run_it(struct run *run)
{
	if (run_cgroup_make(run->id, run->cgroup, sizeof(run->cgroup)))
		return EXIT_SLUICE;
	if (open_signals(run) < 0 || start_keeper(run) || describe(run) < 0 || wait_for_state(run))
		return EXIT_SLUICE;
	run->command_pid = fork();
	if (run->command_pid < 0)
		return EXIT_SLUICE;
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
	close_fd(run->keeper_sock); /* the keeper takes this for the end */
	if (run->keeper_pid > 0)
		(void)waitpid(run->keeper_pid, NULL, 0);
	/* when there is no keeper that did it; processes that were killed take a moment to go */
	for (int i = 0; run->cgroup[0] && i < CGROUP_TRIES; i++) {
		if (rmdir(run->cgroup) == 0 || errno != EBUSY)
			break;
		(void)poll(NULL, 0, 10);
	}
	for (unsigned int i = 0; i < run->n_filters; i++)
		run_filter_close(&run->filters[i]);
	close_fd(run->signal_fd);
	close_fd(run->flows_fd);
}

int cmd_run(int argc, char **argv)
{
	struct run *run = calloc(1, sizeof(*run));
	int status;

	if (!run)
		return EXIT_SLUICE;
	*run = (struct run){ .is_closed = true,
			     .flows_fd = -1,
			     .signal_fd = -1,
			     .keeper_sock = -1,
			     .log_level = LOG_NOTICE };
	snprintf(run->id, sizeof(run->id), "r%d", getpid());
	status = parse(run, argc, argv);
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
