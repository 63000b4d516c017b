/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/client.h"
#include "cli/doctor.h"
#include "cli/json.h"
#include "control/flow-json.h"

#define PROBE_TIMEOUT_MS 10000

static const char *const state_names[] = { "ok", "missing", "warning" };
_Static_assert(ARRAY_SIZE(state_names) == _PROBE_STATE_N, "state_names");

static void probe_in_child(const struct probe *probe, int fd)
{
	struct probe_result result = { .state = PROBE_MISSING };

	if (probe->is_netns && unshare(CLONE_NEWNET) < 0)
		probe_says(&result, PROBE_WARNING, "not tried: no network namespace: %s",
			   strerror(errno));
	else
		probe->run(&result);
	_exit(write(fd, &result, sizeof(result)) == sizeof(result) ? 0 : 1);
}

/* a probe that hangs or crashes is a finding about this kernel, not the end of the doctor */
static void run_probe(const struct probe *probe, struct probe_result *result)
{
	struct pollfd poll_fd;
	int fds[2];
	pid_t pid;

	probe_says(result, PROBE_MISSING, "the probe did not come back");
	if (pipe(fds) < 0)
		return;
	pid = fork();
	if (pid == 0)
		probe_in_child(probe, fds[1]);
	close(fds[1]);
	poll_fd = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	if (pid > 0) {
		struct probe_result said;

		if (poll(&poll_fd, 1, PROBE_TIMEOUT_MS) == 1 &&
		    read(fds[0], &said, sizeof(said)) == sizeof(said))
			*result = said;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	close(fds[0]);
}

static void add_check(struct json_object *checks, const char *source, const struct probe *probe,
		      const struct probe_result *result)
{
	struct json_object *check = cli_json_new();

	cli_json_add(check, "name", json_object_new_string(probe->name));
	cli_json_add(check, "state", json_object_new_string(state_names[result->state]));
	cli_json_add(check, "detail", json_clean_string(result->detail));
	cli_json_add(check, "lost", json_object_new_string(probe->lost));
	cli_json_add(check, "required", json_object_new_boolean(probe->is_required));
	cli_json_add(check, "source", json_object_new_string(source));
	cli_json_append(checks, check);
}

/* Return: CLI_YES, CLI_NO if something required is missing, CLI_NOT_PERMITTED if it was not tried */
static int run_probes(struct json_object *checks)
{
	bool is_root = geteuid() == 0;
	int status = CLI_YES;

	for (size_t i = 0; i < n_probes; i++) {
		struct probe_result result;

		run_probe(&probes[i], &result);
		if (!is_root && result.state == PROBE_MISSING &&
		    strstr(result.detail, strerror(EPERM)))
			result.state = PROBE_WARNING;
		add_check(checks, "kernel", &probes[i], &result);
		if (!probes[i].is_required || result.state == PROBE_OK)
			continue;
		if (result.state == PROBE_MISSING)
			status = CLI_NO;
		else if (status == CLI_YES)
			status = CLI_NOT_PERMITTED;
	}
	return status;
}

/* what the daemon found about itself; a missing check of its own counts as required */
static int ask_daemon(const char *instance, struct json_object *checks, struct client_error *error)
{
	_cleanup_client_ struct client client = CLIENT_CLOSED;
	_cleanup_json_ struct json_object *reply = NULL;
	struct json_object *found;
	int r, status = CLI_YES;

	r = client_open(SLUICE_RUN_FOLDER, instance, &client, error);
	if (!r)
		r = client_call(&client, "Doctor", &reply, error);
	if (r)
		return r;
	found = json_object_object_get(reply, "checks");
	for (size_t i = 0; found && i < json_object_array_length(found); i++) {
		struct json_object *check = json_object_get(json_object_array_get_idx(found, i));
		const char *state = cli_json_text(check, "state");

		cli_json_add(check, "required", json_object_new_boolean(true));
		cli_json_add(check, "source", json_object_new_string("daemon"));
		cli_json_append(checks, check);
		if (!*state || strcmp(state, "missing") == 0)
			status = CLI_NO;
	}
	return status;
}

static void print_checks(struct json_object *checks)
{
	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		struct json_object *check = json_object_array_get_idx(checks, i);
		const char *state = cli_json_text(check, "state"),
			   *lost = cli_json_text(check, "lost");
		bool is_ok = strcmp(state, "ok") == 0, is_missing = strcmp(state, "missing") == 0;

		cli_cell(is_missing ? "miss"
			 : is_ok    ? "ok"
				    : "warn",
			 4,
			 is_missing ? COLOUR_BAD
			 : is_ok    ? COLOUR_GOOD
				    : COLOUR_WARN);
		printf("  ");
		cli_cell(cli_json_text(check, "name"), 14, COLOUR_NONE);
		putchar(' ');
		cli_cell(cli_json_text(check, "detail"), 0, COLOUR_NONE);
		putchar('\n');
		if (!is_ok && *lost) {
			printf("%*slost without it: ", 21, "");
			cli_cell(lost, 0, COLOUR_NONE);
			putchar('\n');
		}
	}
}

static void print_report(struct json_object *checks, int status, bool is_json)
{
	_cleanup_json_ struct json_object *report = NULL;

	if (!is_json) {
		print_checks(checks);
		return;
	}
	report = cli_json_new();
	cli_json_add(report, "ok", json_object_new_boolean(status == CLI_YES));
	cli_json_add(report, "version", json_object_new_string(SLUICE_VERSION));
	cli_json_add(report, "checks", json_object_get(checks));
	cli_json_print(report);
}

int cmd_doctor(int argc, char **argv)
{
	bool is_json = false;
	const char *instance = NULL;
	const struct cli_option options[] = {
		{ "instance", NULL, &instance, "ID", "ask this instance's daemon too" },
		{ "json", &is_json, NULL, NULL, "one JSON object" },
	};
	_cleanup_json_ struct json_object *checks = cli_json_new_list();
	struct client_error error = { 0 };
	int r, status;

	r = cli_parse(argc, argv, options, ARRAY_SIZE(options));
	if (r >= 0)
		return r;
	status = run_probes(checks);
	r = ask_daemon(instance, checks, &error);
	/* without an instance there is simply nobody to ask */
	if (status == CLI_YES && (instance || !error.status))
		status = r;
	print_report(checks, status, is_json);
	if (status == CLI_NOT_PERMITTED && !error.status)
		(void)cli_error(status, "some probes need root: use sudo");
	if (error.status && instance)
		(void)cli_error(r, "%s", error.text);
	return status;
}
