/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/json.h"

#define INTERFACE "io.sluice.Control"

int client_fail(struct client_error *error, int status, const char *fmt, ...)
{
	va_list args;

	error->status = status;
	va_start(args, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, args);
	va_end(args);
	return status;
}

static bool has_socket(const char *folder, const char *instance)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s/control", folder, instance);
	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int fail_ambiguous(struct client_error *error, const char *names, unsigned int n)
{
	return client_fail(error, CLI_NOT_FOUND,
			   "%u instances run (%s): choose one with --instance ID", n, names);
}

static int find_only(const char *folder, char ret_instance[32], struct client_error *error)
{
	char names[256] = "", found[32] = "";
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir;

	dir = opendir(folder);
	if (!dir && errno != ENOENT)
		return client_fail(error, CLI_UNREACHABLE, "cannot read %s: %s", folder,
				   strerror(errno));
	while (dir && (entry = readdir(dir))) {
		size_t used = strlen(names);

		if (!cli_is_instance(entry->d_name) || !has_socket(folder, entry->d_name))
			continue;
		snprintf(found, sizeof(found), "%.31s", entry->d_name);
		snprintf(names + used, sizeof(names) - used, "%s%s", n ? ", " : "", found);
		n++;
	}
	if (dir)
		closedir(dir);
	if (n == 0)
		return client_fail(error, CLI_UNREACHABLE,
				   "no instance runs: start one with `sluice run -- COMMAND`");
	if (n > 1)
		return fail_ambiguous(error, names, n);
	memcpy(ret_instance, found, sizeof(found));
	return 0;
}

int client_find(const char *folder, const char *instance, char ret_instance[32],
		struct client_error *error)
{
	if (!instance && !has_socket(folder, SLUICE_SYSTEM_INSTANCE))
		return find_only(folder, ret_instance, error);
	if (!instance)
		instance = SLUICE_SYSTEM_INSTANCE;
	if (!cli_is_instance(instance))
		return client_fail(error, CLI_USAGE, "\"%s\" is not the name of an instance",
				   instance);
	if (!has_socket(folder, instance))
		return client_fail(error, CLI_NOT_FOUND,
				   "no instance \"%s\": %s/%s/control is not there", instance,
				   folder, instance);
	snprintf(ret_instance, 32, "%s", instance);
	return 0;
}

static int fail_connect(struct client_error *error, const char *instance, int code)
{
	if (code == EACCES || code == EPERM)
		return client_fail(error, CLI_NOT_PERMITTED,
				   "not permitted to talk to instance %s: be root or its owner",
				   instance);
	return client_fail(
		error, CLI_UNREACHABLE,
		"the daemon of instance %s does not answer (%s): `sluice panic --instance %s` "
		"removes what it left",
		instance, strerror(code), instance);
}

int client_open(const char *folder, const char *instance, struct client *ret_client,
		struct client_error *error)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	char found[32];
	int r, n;

	r = client_find(folder, instance, found, error);
	if (r)
		return r;
	n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s/control", folder, found);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return client_fail(error, CLI_NOT_FOUND, "the path of instance %s is too long",
				   found);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return client_fail(error, CLI_UNREACHABLE, "cannot make a socket: %s",
				   strerror(errno));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return fail_connect(error, found, errno);
	*ret_client = (struct client){ .fd = TAKE_FD(fd) };
	memcpy(ret_client->instance, found, sizeof(found));
	json_inbox_init(&ret_client->inbox, JSON_REPLY_BYTES_MAX);
	return 0;
}

void client_close(struct client *client)
{
	json_inbox_deinit(&client->inbox);
	client->fd = close_fd(client->fd);
}

static int fail_memory(struct client_error *error)
{
	return client_fail(error, CLI_NO, "out of memory: end some programs, then try again");
}

/* Return: NULL: out of memory */
static struct json_object *make_call(const char *method, struct json_object *parameters,
				     bool is_more)
{
	struct json_object *call = json_object_new_object();
	char name[96];

	snprintf(name, sizeof(name), INTERFACE ".%s", method);
	json_add(call, "method", json_object_new_string(name));
	if (parameters)
		json_add(call, "parameters", parameters);
	if (is_more)
		json_add(call, "more", json_object_new_boolean(true));
	/* what there was no memory for is not there */
	if (!call || !json_object_object_get(call, "method") ||
	    (parameters && !json_object_object_get(call, "parameters")) ||
	    (is_more && !json_object_object_get(call, "more"))) {
		json_object_put(call);
		return NULL;
	}
	return call;
}

int client_send(struct client *client, const char *method, struct json_object *parameters,
		bool is_more, struct client_error *error)
{
	_cleanup_json_ struct json_object *call = make_call(method, parameters, is_more);
	const char *text;
	size_t n = 0;

	text = call ? cli_json_line(call, &n) : NULL;
	if (!text)
		return fail_memory(error);
	/* a daemon that refuses us hangs up at once: what it said is still to be read */
	if (send(client->fd, text, n + 1, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return fail_connect(error, client->instance, errno);
	return 0;
}

/* wait and read once. Return: 0 or the exit status */
static int feed(struct client *client, int timeout_ms, struct client_error *error)
{
	struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
	size_t n_space;
	char *space;
	ssize_t n;
	int r;

	r = poll(&poll_fd, 1, timeout_ms);
	if (r < 0 && errno == EINTR)
		return 0;
	if (r == 0)
		return fail_connect(error, client->instance, ETIMEDOUT);
	r = json_inbox_space(&client->inbox, &space, &n_space);
	if (r == -ENOMEM)
		return fail_memory(error);
	if (r)
		return client_fail(error, CLI_UNREACHABLE, "instance %s sent too long a reply",
				   client->instance);
	n = recv(client->fd, space, n_space, 0);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return client_fail(error, CLI_UNREACHABLE,
				   "the daemon of instance %s closed the connection",
				   client->instance);
	json_inbox_added(&client->inbox, (size_t)n);
	return 0;
}

static int fail_reply(struct client *client, const char *name, struct json_object *reply,
		      struct client_error *error)
{
	struct json_object *parameters = json_object_object_get(reply, "parameters");
	struct json_object *reason = json_object_object_get(parameters, "reason");

	if (strcmp(name, INTERFACE ".NotPermitted") == 0)
		return fail_connect(error, client->instance, EPERM);
	if (strcmp(name, INTERFACE ".Busy") == 0)
		return client_fail(error, CLI_UNREACHABLE,
				   "instance %s has as many clients as it takes: end a "
				   "`sluice flows --follow`",
				   client->instance);
	if (strcmp(name, INTERFACE ".NotFound") == 0)
		return client_fail(error, CLI_NOT_FOUND, "instance %s: %s", client->instance,
				   reason ? json_object_get_string(reason) : "not found");
	return client_fail(error, CLI_NO, "instance %s: %s%s%s", client->instance, name,
			   reason ? ": " : "", reason ? json_object_get_string(reason) : "");
}

int client_receive(struct client *client, int timeout_ms, struct json_object **ret_parameters,
		   bool *ret_continues, struct client_error *error)
{
	_cleanup_json_ struct json_object *reply = NULL;
	struct json_object *name;
	int64_t end = (int64_t)clock_ms() + timeout_ms;
	int r;

	while ((r = json_inbox_next(&client->inbox, &reply)) == JSON_E_MORE) {
		int64_t left = end - (int64_t)clock_ms();

		r = feed(client, timeout_ms < 0 ? -1 : (int)MAX(left, 0), error);
		if (r)
			return r;
	}
	if (r == -ENOMEM)
		return fail_memory(error);
	if (r)
		return client_fail(error, CLI_UNREACHABLE, "instance %s sent nonsense",
				   client->instance);
	name = json_object_object_get(reply, "error");
	if (name)
		return fail_reply(client, json_object_get_string(name), reply, error);
	if (ret_continues)
		*ret_continues =
			json_object_get_boolean(json_object_object_get(reply, "continues"));
	*ret_parameters = json_object_get(json_object_object_get(reply, "parameters"));
	return 0;
}

int client_call(struct client *client, const char *method, struct json_object **ret_parameters,
		struct client_error *error)
{
	int r = client_send(client, method, NULL, false, error);

	return r ? r : client_receive(client, CLIENT_TIMEOUT_MS, ret_parameters, NULL, error);
}
