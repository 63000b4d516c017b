/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: sluice serve
 *
 * An instance for programs that are there already: it governs a cgroup that is
 * not ours, until it is told to end. What sluice.service runs. The cgroup and
 * its programs are never ended, moved or removed.
 *
 * SIGTERM removes the instance, also while it starts. Killed, it leaves what is
 * in force in the kernel, where the fail class holds, and the next one of its name
 * takes over.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "cli/client.h"
#include "cli/networks.h"
#include "cli/notes.h"
#include "cli/older.h"
#include "cli/serve.h"

struct serve {
	struct instance instance;
	int signal_fd;
	bool is_told_to_end;
};

static int open_signals(struct serve *serve)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	serve->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return serve->signal_fd < 0 ? -errno : 0;
}

static bool wants_end(void *data)
{
	struct serve *serve = data;
	struct signalfd_siginfo info;

	while (read(serve->signal_fd, &info, sizeof(info)) == sizeof(info))
		serve->is_told_to_end = true;
	return serve->is_told_to_end;
}

static int start(struct serve *serve)
{
	struct wire_k_instance *record = &serve->instance.record;
	char own[512];
	int r = run_cgroup_own(own, sizeof(own));

	record->is_kept = true;
	if (r < 0)
		return cli_error(-1, "cannot tell which cgroup this is: %s: is /proc mounted?",
				 strerror(-r));
	/* of the service, where systemd delegates to us */
	snprintf(record->providers_cgroup, sizeof(record->providers_cgroup),
		 "%s/sluice-%s.providers", own, record->id);
	if (instance_claim(&serve->instance) || instance_start(&serve->instance))
		return -1;
	if (instance_wait(&serve->instance, serve->signal_fd, wants_end, serve))
		return -1;
	/* one that is taken over has judged what stands */
	if (serve->instance.ends_older && !serve->instance.was_there)
		older_end(record->cgroup);
	return 0;
}

/* Return: true when it was told to end, false when the keeper is gone */
static bool wait_for_end(struct serve *serve)
{
	struct pollfd fds[] = { { .fd = serve->signal_fd, .events = POLLIN },
				{ .fd = serve->instance.keeper_sock } }; /* its end */

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), instance_tick(&serve->instance)) < 0 &&
		    errno != EINTR)
			return false;
		if (fds[0].revents && wants_end(serve))
			return true;
		if (fds[1].revents & (POLLHUP | POLLERR))
			return false;
	}
}

/* ---- what a dead one left in networks that nobody uses any more ---- */

struct sweep {
	char table[64];
	struct json_object *governed; /* namespaces of status; NULL: none */
};

static void sweep_one(const struct network *network, void *data)
{
	const struct sweep *sweep = data;
	size_t n = sweep->governed ? json_object_array_length(sweep->governed) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(sweep->governed, i);

		if (json_object_get_int64(json_object_object_get(one, "netns")) == network->inode)
			return;
	}
	(void)networks_delete_table(sweep->table);
}

/* Its programs may be in other networks than the ones it governed, and we may be. Should the plane
 * come to one meanwhile, it puts back what we take: sluiced watches. */
static void sweep(const struct serve *serve, bool is_governing)
{
	const char *id = serve->instance.record.id;
	_cleanup_client_ struct client client = CLIENT_CLOSED;
	_cleanup_json_ struct json_object *reply = NULL;
	struct client_error error = { 0 };
	struct sweep sweep = { .governed = NULL };
	_cleanup_networks_ struct networks networks = { .error = 0 };
	struct json_object *status;

	if (!serve->instance.was_there)
		return;
	snprintf(sweep.table, sizeof(sweep.table), "sluice_%s", id);
	if (is_governing) {
		if (client_open(SLUICE_RUN_FOLDER, id, &client, &error) ||
		    client_call(&client, "GetStatus", &reply, &error))
			return;
		status = json_object_object_get(reply, "status");
		sweep.governed = json_object_object_get(status, "namespaces");
		if (!json_object_is_type(sweep.governed, json_type_array))
			return;
	}
	if (networks_open(&networks) == 0)
		networks_visit(&networks, sweep_one, &sweep);
	if (networks.error)
		(void)cli_error(0, "a network namespace could not be entered: what the instance "
				   "before this one left there stays");
}

static int serve_it(struct serve *serve)
{
	const struct wire_k_instance *record = &serve->instance.record;
	bool is_removed = false, is_panic;
	int r;

	if (open_signals(serve) < 0)
		return CLI_NO;
	if (start(serve)) {
		/* a configuration that cannot begin must not end what is in force */
		is_removed = wants_end(serve);
		is_panic = serve->instance.is_committed && notes_has_panicked(record->state);
		r = instance_end(&serve->instance, is_removed || !serve->instance.was_there);
		if (is_removed)
			sweep(serve, false);
		return (is_removed && !r) || is_panic ? CLI_YES : CLI_NO;
	}
	(void)sd_notifyf(0, "READY=1\nSTATUS=governs %s with %u filters", record->cgroup,
			 serve->instance.n_filters);
	fprintf(stderr, "sluice: instance %s governs %s%s\n", record->id, record->cgroup,
		serve->instance.was_there ? ", taken over from one that died" : "");
	sweep(serve, true);
	is_removed = wait_for_end(serve);
	is_panic = !is_removed && notes_has_panicked(record->state);
	if (is_panic)
		(void)cli_error(0, "instance %s was removed by `sluice panic`", record->id);
	else if (!is_removed)
		(void)cli_error(
			0,
			"sluice-keeper ended: what is in force stays, the fail class holds; "
			"`sluice serve` takes over, `sluice panic --instance %s` removes it",
			record->id);
	(void)sd_notify(0, "STOPPING=1");
	r = instance_end(&serve->instance, is_removed);
	/* nothing that a service manager should bring back */
	return (is_removed && !r) || is_panic ? CLI_YES : CLI_NO;
}

int cmd_serve(int argc, char **argv)
{
	const char *path = SERVE_CONFIG;
	const struct cli_option options[] = {
		{ "config", .value = &path, .argument = "FILE",
		  .help = "configuration, " SERVE_CONFIG " if not given" },
	};
	struct serve *serve;
	int status = cli_parse(argc, argv, options, ARRAY_SIZE(options));

	if (status >= 0)
		return status;
	serve = calloc(1, sizeof(*serve));
	if (!serve)
		return cli_error(CLI_NO, "cannot begin: %s", strerror(ENOMEM));
	serve->signal_fd = -1;
	instance_init(&serve->instance);
	snprintf(serve->instance.record.id, sizeof(serve->instance.record.id), "%s",
		 SLUICE_SYSTEM_INSTANCE);
	if (serve_read_config(path, &serve->instance)) {
		(void)instance_end(&serve->instance, false);
		status = CLI_USAGE;
	} else if (geteuid() != 0) {
		(void)instance_end(&serve->instance, false);
		status = cli_error(CLI_NOT_PERMITTED, "`sluice serve` needs root");
	} else {
		status = serve_it(serve);
	}
	close_fd(serve->signal_fd);
	free(serve);
	return status;
}
