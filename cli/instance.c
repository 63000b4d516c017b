/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/notes.h"
#include "wire/channel.h"

#define KEEPER_FD 3
#define START_TIMEOUT_MS 30000
#define EXIT_NOT_LOADED 127 /* of the dynamic loader */

/* used when the users of dist/sysusers are not there; docs/decisions/0003 */
enum {
	UID_DAEMON = 64320,
	UID_NAMES = 64321,
	UID_CANARY = 64322,
	UID_COMPILER = 64323,
	UID_PROVIDERS = 64330
};

static uint32_t uid_of(const char *name, uint32_t otherwise)
{
	const struct passwd *entry = getpwnam(name);

	return entry ? entry->pw_uid : otherwise;
}

void instance_init(struct instance *instance)
{
	*instance =
		(struct instance){ .record = { .daemon_uid = uid_of("_sluice", UID_DAEMON),
					       .names_uid = uid_of("_sluice-names", UID_NAMES),
					       .canary_uid = uid_of("_sluice-canary", UID_CANARY),
					       .provider_uid = UID_PROVIDERS,
					       .log_level = LOG_NOTICE },
				   .compiler_uid = uid_of("_sluice-compiler", UID_COMPILER),
				   .flows_fd = -1,
				   .lock_fd = -1,
				   .keeper_sock = -1 };
}

int instance_read_applications(struct instance *instance, const char *path)
{
	if (instance->applications)
		return cli_error(-1, "%s: there is one application map only", path);
	return applications_read(path, &instance->applications);
}

/* of a file sluiced looks at the end: whoever wrote there before may have been killed within a line */
static int open_flows(const char *path)
{
	int how = O_CREAT | O_APPEND | O_CLOEXEC, fd = -1;
	struct stat st;

	if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
		fd = open(path, O_RDWR | how, 0640);
	return fd < 0 ? open(path, O_WRONLY | how, 0640) : fd;
}

int instance_open_flows(struct instance *instance, const char *path)
{
	if (!path[0])
		return cli_error(-1, "no file is named for flow records");
	close_fd(instance->flows_fd);
	instance->flows_fd = open_flows(path);
	/* a pipe that nobody reads must not stop sluiced: it drops records then */
	if (instance->flows_fd >= 0 &&
	    fcntl(instance->flows_fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0)
		return 0;
	return cli_error(-1, "cannot open %s: %s", path, strerror(errno));
}

static int send_record(struct instance *instance, uint16_t type, const void *body, int fd)
{
	return channel_send(instance->keeper_sock, &wire_keeper_channel, type, body, NULL, 0, fd);
}

/* @is_first: the file comes along */
static int send_settings(struct instance *instance, uint32_t index, bool is_first)
{
	struct wire_k_settings record = { .index = index };
	struct settings *settings = &instance->filters[index].settings;
	int r = settings_write(settings);

	return r < 0 ? r
		     : send_record(instance, WIRE_K_SETTINGS, &record,
				   is_first ? settings->file - 1 : -1);
}

static int send_filter(struct instance *instance, uint32_t index)
{
	const struct run_filter *filter = &instance->filters[index];
	struct wire_k_filter record = { .index = index,
					.is_closed = filter->is_closed,
					.processes = filter->has_processes,
					.proxy = filter->is_proxy };
	int r;

	snprintf(record.name, sizeof(record.name), "%s", filter->name);
	snprintf(record.exe, sizeof(record.exe), "%s", filter->exe);
	r = send_record(instance, WIRE_K_FILTER, &record, -1);
	for (unsigned int i = 0; i < filter->n_options && !r; i++) {
		struct wire_k_option option = { .index = index };

		snprintf(option.key, sizeof(option.key), "%s", filter->options[i].key);
		snprintf(option.value, sizeof(option.value), "%s", filter->options[i].value);
		r = send_record(instance, WIRE_K_OPTION, &option, filter->options[i].fd);
	}
	return r || !filter->is_proxy ? r : send_settings(instance, index, true);
}

/* the folders are for the provider alone */
static int compile(struct instance *instance, unsigned int index)
{
	struct run_filter *filter = &instance->filters[index];
	uid_t reader = instance->record.provider_uid + index;
	char path[320];
	int r = 0;

	for (unsigned int i = 0; i < filter->n_options && !r; i++) {
		struct run_option *option = &filter->options[i];
		struct compiled *compiled = &option->compiled;

		if (!option->is_compiled)
			continue;
		instance->looked_ms = clock_ms();
		compiled->name = option->value;
		compiled->compiler = filter->compiler;
		snprintf(path, sizeof(path), "%s/" FILES_LIST "%u.%u", instance->record.state,
			 index, i);
		r = compiled_begin(compiled, path, TAKE_FD(option->fd), instance->compiler_uid,
				   reader, &option->fd);
	}
	return r;
}

/* a keeper that does not read is told at the next look */
static void renew_settings(struct instance *instance, uint32_t index)
{
	struct run_filter *filter = &instance->filters[index];
	struct settings *settings = &filter->settings;
	bool is_new = settings_tick(settings, instance->applications, filter->name);
	int r = 0;

	if (!is_new && !settings->is_untold)
		return;
	r = send_settings(instance, index, false);
	settings->is_untold = r < 0;
	if (r == 0)
		(void)cli_error(0, "proxy %s: the settings of %s are in force for flows to come",
				filter->name, settings->path);
	else if (is_new)
		(void)cli_error(0, "proxy %s: sluice-keeper does not listen: %s: it is told again",
				filter->name, strerror(-r));
}

/* are there files that may change? */
static void watch_settings(struct instance *instance)
{
	for (unsigned int i = 0; i < instance->n_filters; i++)
		if (instance->filters[i].settings.path[0])
			instance->looked_ms = clock_ms();
}

int instance_tick(struct instance *instance)
{
	uint64_t now = clock_ms(), ago = now - instance->looked_ms;

	if (!instance->looked_ms)
		return -1;
	if (ago < COMPILED_LOOK_MS)
		return (int)(COMPILED_LOOK_MS - ago);
	instance->looked_ms = now;
	for (unsigned int i = 0; i < instance->n_filters; i++)
		renew_settings(instance, i);
	for (unsigned int i = 0; i < instance->n_filters; i++)
		for (unsigned int j = 0; j < instance->filters[i].n_options; j++)
			compiled_tick(&instance->filters[i].options[j].compiled);
	return COMPILED_LOOK_MS;
}

static int describe(struct instance *instance)
{
	struct wire_k_flows flows = { 0 };
	struct wire_k_commit commit = { 0 };
	int r = 0;

	for (uint32_t i = 0; i < instance->n_filters && !r; i++)
		r = send_filter(instance, i);
	if (!r && instance->flows_fd >= 0)
		r = send_record(instance, WIRE_K_FLOWS, &flows, instance->flows_fd);
	if (!r)
		r = send_record(instance, WIRE_K_COMMIT, &commit, -1);
	instance->is_committed = r == 0;
	return r < 0 ? cli_error(-1, "sluice-keeper does not listen: %s", strerror(-r)) : 0;
}

/* sockets of many network namespaces, here and in sluiced */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

_Noreturn static void be_keeper(const struct instance *instance, const char *path, int channel)
{
	raise_descriptors();
	/* what the caller of ours has open is none of its business */
	if (dup2(channel, KEEPER_FD) >= 0 &&
	    syscall(SYS_close_range, KEEPER_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0 &&
	    fcntl(KEEPER_FD, F_SETFD, 0) == 0 && fcntl(instance->lock_fd, F_SETFD, 0) == 0)
		execl(path, path, (char *)NULL);
	(void)cli_error(0, "cannot start %s: %s", path, strerror(errno));
	_exit(KEEPER_EXIT_NOT_BEGUN);
}

static int start_keeper(struct instance *instance)
{
	_cleanup_close_ int theirs = -1;
	char path[512];
	int r = run_sibling("sluice-keeper", LIBEXECDIR, path, sizeof(path));

	if (!r)
		r = channel_pair(&instance->keeper_sock, &theirs);
	if (!r) {
		instance->keeper_pid = fork();
		r = instance->keeper_pid < 0 ? -errno : 0;
	}
	if (r < 0)
		return cli_error(-1, "cannot start sluice-keeper: %s", strerror(-r));
	if (instance->keeper_pid == 0)
		be_keeper(instance, path, theirs);
	return 0;
}

/* whatever their order on the command line: a proxy is asked about what all filters allow */
static void put_proxies_last(struct instance *instance)
{
	for (unsigned int i = 1; i < instance->n_filters; i++)
		for (unsigned int j = i; j > 0 && instance->filters[j - 1].is_proxy &&
					 !instance->filters[j].is_proxy; j--) {
			struct run_filter proxy = instance->filters[j - 1];

			instance->filters[j - 1] = instance->filters[j];
			instance->filters[j] = proxy;
		}
}

int instance_start(struct instance *instance)
{
	int r;

	put_proxies_last(instance);
	watch_settings(instance);
	r = start_keeper(instance);

	if (r)
		return r;
	r = send_record(instance, WIRE_K_INSTANCE, &instance->record, -1);
	if (r < 0)
		return cli_error(-1, "sluice-keeper does not listen: %s", strerror(-r));
	instance->is_described = true;
	r = instance_make_place(instance);
	for (unsigned int i = 0; i < instance->n_filters && !r; i++)
		r = compile(instance, i);
	return r ? r : describe(instance);
}

static int read_state(struct instance *instance)
{
	uint8_t buffer[WIRE_RECORD_MAX];
	const struct wire_k_state *state;
	struct wire_message message;
	int fd = -1, r;

	r = channel_recv(instance->keeper_sock, &wire_keeper_channel, WIRE_FROM_ANY, buffer,
			 &message, NULL, &fd);
	close_fd(fd);
	if (r || message.record->type != WIRE_K_STATE)
		return cli_error(-1, "sluice-keeper ended while it started; see above");
	state = WIRE_BODY(&message, struct wire_k_state);
	return state->error ? cli_error(-1, "%s", state->text) : 0;
}

int instance_wait(struct instance *instance, int wake_fd, bool (*on_wake)(void *data), void *data)
{
	struct pollfd fds[] = { { .fd = instance->keeper_sock, .events = POLLIN },
				{ .fd = wake_fd, .events = POLLIN } };
	int r;

	do {
		r = poll(fds, ARRAY_SIZE(fds), START_TIMEOUT_MS);
		if (r > 0 && fds[1].revents && on_wake(data))
			return -1;
	} while (r > 0 && !fds[0].revents);
	if (r <= 0)
		return cli_error(-1, "the instance did not start within %d s",
				 START_TIMEOUT_MS / 1000);
	return read_state(instance);
}

/* the keeper has ended, and did not put away what was made for it. Return: 0; -1: it is said what
 * is left */
static int put_away(const struct instance *instance, int status, bool is_removed)
{
	bool has_begun = !WIFEXITED(status) || (WEXITSTATUS(status) != KEEPER_EXIT_NOT_BEGUN &&
						WEXITSTATUS(status) != EXIT_NOT_LOADED);

	if (!has_begun || !instance->is_committed) {
		if (!instance->was_there && (is_removed || !instance->record.is_kept))
			instance_unmake_place(instance);
		return 0;
	}
	if (!is_removed || notes_has_panicked(instance->record.state))
		return 0;
	/* what sluiced brought into force is in other network namespaces, too */
	return cli_error(-1,
			 "sluice-keeper did not end by itself: "
			 "`sluice panic --instance %s` removes what is left",
			 instance->record.id);
}

int instance_end(struct instance *instance, bool is_removed)
{
	struct wire_k_end end = { 0 };
	int status = 0, r = 0;

	if (instance->was_there && !instance->is_committed)
		is_removed = false;
	if (is_removed && instance->record.is_kept && instance->keeper_sock >= 0)
		(void)send_record(instance, WIRE_K_END, &end, -1);
	instance->keeper_sock =
		close_fd(instance->keeper_sock); /* the keeper takes this for the end */
	if (instance->keeper_pid > 0)
		(void)waitpid(instance->keeper_pid, &status, 0);
	if (!instance->is_described)
		instance_unclaim(instance);
	else if (status != 0)
		r = put_away(instance, status, is_removed);
	for (unsigned int i = 0; i < instance->n_filters; i++)
		run_filter_close(&instance->filters[i]);
	instance->applications = applications_free(instance->applications);
	instance->flows_fd = close_fd(instance->flows_fd);
	instance->lock_fd = close_fd(instance->lock_fd);
	return r;
}
