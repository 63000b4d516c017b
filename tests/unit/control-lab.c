/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "control-lab.h"

struct json_object *control_lab_flow(uint64_t id, const char *event, const char *verdict)
{
	struct json_object *flow = json_object_new_object();

	json_object_object_add(flow, "id", json_object_new_uint64(id));
	json_object_object_add(flow, "event", json_object_new_string(event));
	json_object_object_add(flow, "verdict", json_object_new_string(verdict));
	return flow;
}

static int get_status(void *data, struct json_object **ret_status)
{
	*ret_status = json_object_new_object();
	json_object_object_add(*ret_status, "instance", json_object_new_string("unit"));
	return 0;
}

static int doctor(void *data, struct json_object **ret_checks)
{
	return -ENODATA;
}

static void list_flows(void *data, control_emit_fn emit, void *to)
{
	struct control_lab *lab = data;
	char command[220];

	memset(command, 'x', sizeof(command));
	for (unsigned int i = 1; i <= lab->n_flows; i++) {
		_cleanup_json_ struct json_object *flow = control_lab_flow(i, "new", "allow");

		/* as wide as a real one */
		json_object_object_add(flow, "command",
				       json_object_new_string_len(command, sizeof(command)));
		emit(to, flow);
	}
}

static void check(void *data)
{
	struct control_lab *lab = data;

	if (!lab->is_slow)
		control_checked(lab->control);
}

/* its answer never comes */
static int explain(void *data, unsigned int token, struct json_object *program,
		   struct json_object *target)
{
	return 0;
}

static const struct control_ops ops = { get_status, doctor, list_flows, check, .explain = explain };

int control_lab_set_up(void **state)
{
	struct control_lab *lab = calloc(1, sizeof(*lab));

	snprintf(lab->dir, sizeof(lab->dir), "/tmp/sluice-unit-XXXXXX");
	assert_non_null(mkdtemp(lab->dir));
	snprintf(lab->path, sizeof(lab->path), "%s/control", lab->dir);
	assert_true(sd_event_new(&lab->event) >= 0);
	assert_int_equal(control_new(lab->event, lab->path, getuid(), &ops, lab, &lab->control), 0);
	*state = lab;
	return 0;
}

int control_lab_tear_down(void **state)
{
	struct control_lab *lab = *state;

	lab->control = control_free(lab->control);
	assert_int_equal(access(lab->path, F_OK), -1);
	sd_event_unref(lab->event);
	assert_int_equal(rmdir(lab->dir), 0);
	free(lab);
	return 0;
}

int client_dial(const struct control_lab *lab)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(addr.sun_path, lab->path, strlen(lab->path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void control_lab_turn(struct control_lab *lab)
{
	while (sd_event_run(lab->event, 0) > 0)
		;
}

void client_say(int fd, const char *text, size_t n)
{
	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

struct json_object *client_hear(struct control_lab *lab, int fd, struct json_inbox *inbox)
{
	struct json_object *message;

	for (unsigned int idle = 0; idle < 100;) {
		char *space;
		size_t n_space;
		ssize_t n;

		int r = json_inbox_next(inbox, &message);

		if (r == 0)
			return message;
		assert_int_equal(r, JSON_E_MORE);
		control_lab_turn(lab);
		assert_int_equal(json_inbox_space(inbox, &space, &n_space), 0);
		n = recv(fd, space, n_space, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return NULL;
		if (n < 0)
			idle++;
		else
			json_inbox_added(inbox, (size_t)n);
	}
	return NULL;
}

const char *client_ask(struct control_lab *lab, const char *call, size_t n)
{
	static char text[16384];
	struct json_inbox inbox;
	_cleanup_json_ struct json_object *reply = NULL;
	int fd = client_dial(lab);

	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	client_say(fd, call, n);
	reply = client_hear(lab, fd, &inbox);
	snprintf(text, sizeof(text), "%s", reply ? flow_json_line(reply, NULL) : "");
	json_inbox_deinit(&inbox);
	close(fd);
	control_lab_turn(lab);
	return text;
}
