/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The control socket: framing, rights, standing calls and their bounds.
 * Everything runs on one event loop; the client is a plain socket.
 */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/macros.h"
#include "control/control.h"
#include "control/flow-json.h"
#include "control/json-message.h"
#include "control/varlink.h"

#define N_MANY 20000U /* flows: more than a client's buffer holds */

struct world {
	bool is_slow; /* what doctor waits for takes its time */
	sd_event *event;
	struct control *control;
	char dir[32];
	char path[64];
	unsigned int n_flows;
};

static struct json_object *make_flow(uint64_t id, const char *event, const char *verdict)
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
	struct world *world = data;
	char command[220];

	memset(command, 'x', sizeof(command));
	for (unsigned int i = 1; i <= world->n_flows; i++) {
		_cleanup_json_ struct json_object *flow = make_flow(i, "new", "allow");

		/* as wide as a real one */
		json_object_object_add(flow, "command",
				       json_object_new_string_len(command, sizeof(command)));
		emit(to, flow);
	}
}

static void check(void *data)
{
	struct world *world = data;

	if (!world->is_slow)
		control_checked(world->control);
}

/* its answer never comes */
static int explain(void *data, unsigned int token, struct json_object *program,
		   struct json_object *target)
{
	return 0;
}

static const struct control_ops ops = { get_status, doctor, list_flows, check, .explain = explain };

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	snprintf(world->dir, sizeof(world->dir), "/tmp/sluice-unit-XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	snprintf(world->path, sizeof(world->path), "%s/control", world->dir);
	assert_true(sd_event_new(&world->event) >= 0);
	assert_int_equal(
		control_new(world->event, world->path, getuid(), &ops, world, &world->control), 0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	world->control = control_free(world->control);
	assert_int_equal(access(world->path, F_OK), -1);
	sd_event_unref(world->event);
	assert_int_equal(rmdir(world->dir), 0);
	free(world);
	return 0;
}

static int dial(const struct world *world)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(addr.sun_path, world->path, strlen(world->path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void turn(struct world *world)
{
	while (sd_event_run(world->event, 0) > 0)
		;
}

static void say(int fd, const char *text, size_t n)
{
	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* the next reply, running the server while there is none; NULL at the end */
static struct json_object *hear(struct world *world, int fd, struct json_inbox *inbox)
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
		turn(world);
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

/* one call on its own connection: the reply as text, "" when disconnected */
static const char *ask(struct world *world, const char *call, size_t n)
{
	static char text[16384];
	struct json_inbox inbox;
	_cleanup_json_ struct json_object *reply = NULL;
	int fd = dial(world);

	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	say(fd, call, n);
	reply = hear(world, fd, &inbox);
	snprintf(text, sizeof(text), "%s", reply ? flow_json_line(reply, NULL) : "");
	json_inbox_deinit(&inbox);
	close(fd);
	turn(world);
	return text;
}

#define ASK(world, call) ask(world, call, sizeof(call))

static void test_methods_answer(void **state)
{
	struct world *world = *state;

	assert_string_equal(ASK(world, "{\"method\":\"io.sluice.Control.GetStatus\"}"),
			    "{\"parameters\":{\"status\":{\"instance\":\"unit\"}}}");
	assert_string_equal(ASK(world, "{\"method\":\"io.sluice.Control.Doctor\"}"),
			    "{\"error\":\"io.sluice.Control.Failed\",\"parameters\":"
			    "{\"reason\":\"No data available\"}}");
	assert_string_equal(ASK(world, "{\"method\":\"io.sluice.Control.No\"}"),
			    "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":"
			    "{\"method\":\"io.sluice.Control.No\"}}");
}

/* the first two wait, the third is gone before the answer; what was said meanwhile is heard after it */
static void test_doctor_may_answer_later(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.Doctor\"}";
	static const char next[] = "{\"method\":\"io.sluice.Control.GetStatus\"}";
	struct world *world = *state;
	struct json_inbox inboxes[2];
	int fds[3];

	world->is_slow = true;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial(world);
		say(fds[i], call, sizeof(call));
		turn(world);
	}
	say(fds[0], next, sizeof(next));
	close(fds[2]);
	for (size_t i = 0; i < ARRAY_SIZE(inboxes); i++) {
		json_inbox_init(&inboxes[i], JSON_REPLY_BYTES_MAX);
		assert_null(hear(world, fds[i], &inboxes[i]));
	}
	control_checked(world->control);
	for (size_t i = 0; i < ARRAY_SIZE(inboxes); i++) {
		_cleanup_json_ struct json_object *reply = hear(world, fds[i], &inboxes[i]);

		assert_non_null(reply);
		assert_non_null(strstr(flow_json_line(reply, NULL), "No data available"));
	}
	{
		_cleanup_json_ struct json_object *reply = hear(world, fds[0], &inboxes[0]);

		assert_non_null(reply);
		assert_non_null(strstr(flow_json_line(reply, NULL), "\"unit\""));
	}
	for (size_t i = 0; i < ARRAY_SIZE(inboxes); i++) {
		json_inbox_deinit(&inboxes[i]);
		close(fds[i]);
	}
	turn(world);
}

static void test_service_describes_itself(void **state)
{
	struct world *world = *state;

	assert_non_null(strstr(ASK(world, "{\"method\":\"org.varlink.service.GetInfo\"}"),
			       "\"interfaces\":[\"org.varlink.service\",\"io.sluice.Control\"]"));
	assert_non_null(
		strstr(ASK(world, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
				  "\"parameters\":{\"interface\":\"io.sluice.Control\"}}"),
		       "method ListFlows("));
	assert_non_null(
		strstr(ASK(world, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
				  "\"parameters\":{\"interface\":\"a.b\"}}"),
		       "InterfaceNotFound"));
}

static void test_wrong_parameters_are_named(void **state)
{
	struct world *world = *state;

	assert_non_null(
		strstr(ASK(world, "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true,"
				  "\"parameters\":{\"follow\":1}}"),
		       "\"parameter\":\"follow\""));
	assert_non_null(strstr(ASK(world, "{\"method\":\"io.sluice.Control.GetStatus\","
					  "\"parameters\":{\"x\":null}}"),
			       "\"parameter\":\"x\""));
	assert_non_null(
		strstr(ASK(world, "{\"method\":\"io.sluice.Control.ListFlows\"}"), "ExpectedMore"));
}

static void test_broken_messages_disconnect(void **state)
{
	static char deep[512], wide[JSON_CALL_BYTES_MAX + 1];
	struct world *world = *state;
	size_t n = 0;

	assert_string_equal(ASK(world, "nonsense"), "");
	assert_string_equal(ASK(world, "[]"), "");
	assert_string_equal(ASK(world, "{}"), "");
	assert_string_equal(ASK(world, ""), "");
	assert_string_equal(ASK(world, "{\"method\":7}"), "");
	assert_string_equal(ASK(world, "{\"method\":\"a\",\"more\":1}"), "");
	assert_string_equal(ASK(world, "{\"method\":\"a\\u0000b\"}"), "");
	assert_string_equal(ASK(world, "{\"method\":\"\xff\"}"), "");
	assert_string_equal(ASK(world, "{\"method\":\"a\"} {}"), "");

	n = (size_t)snprintf(deep, sizeof(deep), "{\"method\":\"a\",\"parameters\":{\"x\":");
	memset(deep + n, '[', 100);
	memset(deep + n + 100, ']', 100);
	memcpy(deep + n + 200, "}}", 3);
	assert_string_equal(ask(world, deep, n + 203), "");

	memset(wide, ' ', sizeof(wide));
	assert_string_equal(ask(world, wide, sizeof(wide)), "");
}

static void test_calls_arrive_in_pieces_and_in_heaps(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.GetStatus\"}";
	struct world *world = *state;
	struct json_inbox inbox;
	int fd = dial(world);

	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	for (size_t i = 0; i < sizeof(call); i++) {
		say(fd, call + i, 1);
		turn(world);
	}
	for (unsigned int i = 0; i < 3000; i++) {
		say(fd, call, sizeof(call));
		turn(world);
	}
	/* a half-closed client still gets what it asked for */
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	for (unsigned int i = 0; i < 3001; i++) {
		_cleanup_json_ struct json_object *reply = hear(world, fd, &inbox);

		assert_non_null(reply);
		assert_non_null(json_object_object_get(reply, "parameters"));
	}
	assert_null(hear(world, fd, &inbox));
	json_inbox_deinit(&inbox);
	close(fd);
}

static void test_oneway_is_silent(void **state)
{
	static const char calls[] = "{\"method\":\"io.sluice.Control.GetStatus\",\"oneway\":true}\0"
				    "{\"method\":\"io.sluice.Control.No\",\"oneway\":true}\0"
				    "{\"method\":\"io.sluice.Control.ListFlows\",\"oneway\":true,"
				    "\"more\":true}\0"
				    "{\"method\":\"org.varlink.service.GetInfo\"}";
	struct world *world = *state;

	assert_non_null(strstr(ask(world, calls, sizeof(calls)), "\"product\":\"sluiced\""));
}

static uint64_t reply_id(struct json_object *reply)
{
	struct json_object *parameters = json_object_object_get(reply, "parameters");

	return json_object_get_uint64(
		json_object_object_get(json_object_object_get(parameters, "flow"), "id"));
}

/* 20,000 flows are 6 MB: they come whole and once, in order, although 4 MiB is the most kept */
static void test_a_long_list_comes_whole(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true}";
	struct world *world = *state;
	struct json_inbox inbox;
	_cleanup_json_ struct json_object *last = NULL;
	int fd = dial(world);

	world->n_flows = N_MANY;
	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	say(fd, call, sizeof(call));
	for (uint64_t id = 1; id <= N_MANY; id++) {
		_cleanup_json_ struct json_object *reply = hear(world, fd, &inbox);

		assert_non_null(reply);
		assert_int_equal(reply_id(reply), id);
		assert_true(json_object_get_boolean(json_object_object_get(reply, "continues")));
	}
	last = hear(world, fd, &inbox);
	assert_string_equal(flow_json_line(last, NULL), "{\"parameters\":{}}");
	json_inbox_deinit(&inbox);
	close(fd);
}

static void test_followers_get_what_is_published(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true,"
				   "\"parameters\":{\"follow\":true}}";
	_cleanup_json_ struct json_object *flow = make_flow(7, "new", "drop");
	struct world *world = *state;
	struct json_inbox inbox;
	int fd = dial(world);

	assert_false(control_has_followers(world->control));
	world->n_flows = 2;
	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	say(fd, call, sizeof(call));
	turn(world);
	assert_true(control_has_followers(world->control));
	control_publish(world->control, flow);
	for (unsigned int i = 0; i < 3; i++) {
		_cleanup_json_ struct json_object *reply = hear(world, fd, &inbox);

		assert_int_equal(reply_id(reply), i < 2 ? i + 1 : 7);
	}
	close(fd);
	turn(world);
	assert_false(control_has_followers(world->control));
	control_publish(world->control, flow);
	json_inbox_deinit(&inbox);
}

static void test_a_slow_follower_is_cut_off(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true,"
				   "\"parameters\":{\"follow\":true}}";
	_cleanup_json_ struct json_object *flow = make_flow(7, "closed", "allow");
	struct world *world = *state;
	char command[4000];
	int fd = dial(world);

	memset(command, 'x', sizeof(command));
	json_object_object_add(flow, "command",
			       json_object_new_string_len(command, sizeof(command)));
	say(fd, call, sizeof(call));
	turn(world);
	for (unsigned int i = 0; i < 3000 && control_has_followers(world->control); i++) {
		control_publish(world->control, flow);
		turn(world);
	}
	assert_false(control_has_followers(world->control));
	assert_int_equal(control_n_lagging(world->control), 1);
	close(fd);
}

/* who has a call open keeps its slot, who says nothing does not keep others out */
static void test_slots_end_at_32(void **state)
{
	static const char follow[] = "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true,"
				     "\"parameters\":{\"follow\":true}}";
	static const char busy[] = "{\"error\":\"io.sluice.Control.Busy\",\"parameters\":{}}";
	struct world *world = *state;
	int fds[VARLINK_CLIENTS_MAX];
	char text[128];
	int late;

	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++) {
		fds[i] = dial(world);
		if (i != 5 && i != 9)
			say(fds[i], follow, sizeof(follow));
		turn(world);
	}
	for (unsigned int i = 5; i <= 9; i += 4) { /* the older one first */
		assert_int_equal(recv(fds[i], text, 1, MSG_DONTWAIT), -1);
		assert_non_null(strstr(ASK(world, "{\"method\":\"org.varlink.service.GetInfo\"}"),
				       "sluiced"));
		assert_int_equal(recv(fds[i], text, 1, MSG_DONTWAIT), 0);
		close(fds[i]);
		fds[i] = dial(world);
		say(fds[i], follow, sizeof(follow));
		turn(world);
	}
	late = dial(world);
	turn(world);
	assert_int_equal(recv(late, text, sizeof(text), MSG_DONTWAIT), sizeof(busy));
	assert_memory_equal(text, busy, sizeof(busy));
	close(late);
	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++)
		close(fds[i]);
	turn(world);
	assert_non_null(
		strstr(ASK(world, "{\"method\":\"org.varlink.service.GetInfo\"}"), "sluiced"));
}

/* the child is nobody; it is heard, told why not, and holds no slot */
static void test_strangers_are_refused(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.GetStatus\"}";
	static const char expected[] =
		"{\"error\":\"io.sluice.Control.NotPermitted\",\"parameters\":{}}";
	struct world *world = *state;
	int status;
	pid_t pid;

	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(world->dir, 0755), 0);
	pid = fork();
	if (pid == 0) {
		char text[256];
		ssize_t n;
		int fd;

		if (setuid(65534) < 0)
			_exit(2);
		fd = dial(world);
		(void)!send(fd, call, sizeof(call), MSG_NOSIGNAL);
		n = recv(fd, text, sizeof(text), 0);
		_exit(n == sizeof(expected) && memcmp(text, expected, sizeof(expected)) == 0 ? 0
											     : 1);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		(void)sd_event_run(world->event, 10000);
	assert_int_equal(status, 0);
}

/* 200 strangers wait before root: it is heard within a few turns, not after them one by one */
static void test_many_connections_are_taken_at_once(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.GetStatus\"}";
	struct world *world = *state;
	int fds[200];
	char text[256];
	int last;

	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(world->dir, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial(world);
	assert_int_equal(seteuid(0), 0);
	last = dial(world);
	say(last, call, sizeof(call));
	for (unsigned int i = 0; i < 20; i++)
		(void)sd_event_run(world->event, 0);
	assert_true(recv(last, text, sizeof(text), MSG_DONTWAIT) > 0);
	close(last);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* it has no answer, which must not keep the next call waiting */
static void test_a_oneway_explain_blocks_nothing(void **state)
{
	static const char calls[] = "{\"method\":\"io.sluice.Control.Explain\",\"oneway\":true,"
				    "\"parameters\":{\"program\":{},\"target\":{}}}\0"
				    "{\"method\":\"org.varlink.service.GetInfo\"}";
	struct world *world = *state;

	assert_non_null(strstr(ask(world, calls, sizeof(calls)), "\"product\":\"sluiced\""));
}

static void test_inbox_refuses_what_is_too_long(void **state)
{
	struct json_inbox inbox;
	struct json_object *message;
	size_t n;
	char *space;

	json_inbox_init(&inbox, 8);
	assert_int_equal(json_inbox_next(&inbox, &message), JSON_E_MORE);
	assert_int_equal(json_inbox_space(&inbox, &space, &n), 0);
	assert_int_equal(n, 8);
	memset(space, ' ', 8);
	json_inbox_added(&inbox, 8);
	assert_int_equal(json_inbox_next(&inbox, &message), JSON_E_MORE);
	assert_int_equal(json_inbox_space(&inbox, &space, &n), JSON_E_LONG);
	json_inbox_deinit(&inbox);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_methods_answer),
		TEST(test_doctor_may_answer_later),
		TEST(test_service_describes_itself),
		TEST(test_wrong_parameters_are_named),
		TEST(test_broken_messages_disconnect),
		TEST(test_calls_arrive_in_pieces_and_in_heaps),
		TEST(test_oneway_is_silent),
		TEST(test_a_long_list_comes_whole),
		TEST(test_followers_get_what_is_published),
		TEST(test_a_slow_follower_is_cut_off),
		TEST(test_slots_end_at_32),
		TEST(test_strangers_are_refused),
		TEST(test_many_connections_are_taken_at_once),
		TEST(test_a_oneway_explain_blocks_nothing),
		cmocka_unit_test(test_inbox_refuses_what_is_too_long),
	};

	return cmocka_run_group_tests_name("varlink", tests, NULL, NULL);
}
