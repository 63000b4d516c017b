/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The clients of the control socket
 *
 * Who may be one, how many there are, and what becomes of one that asks for much and
 * reads little.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "control-lab.h"

#define N_MANY 20000U /* flows: more than a client's buffer holds */

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
	struct control_lab *lab = *state;
	struct json_inbox inbox;
	_cleanup_json_ struct json_object *last = NULL;
	int fd = client_dial(lab);

	lab->n_flows = N_MANY;
	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	client_say(fd, call, sizeof(call));
	for (uint64_t id = 1; id <= N_MANY; id++) {
		_cleanup_json_ struct json_object *reply = client_hear(lab, fd, &inbox);

		assert_non_null(reply);
		assert_int_equal(reply_id(reply), id);
		assert_true(json_object_get_boolean(json_object_object_get(reply, "continues")));
	}
	last = client_hear(lab, fd, &inbox);
	assert_string_equal(flow_json_line(last, NULL), "{\"parameters\":{}}");
	json_inbox_deinit(&inbox);
	close(fd);
}

static void test_followers_get_what_is_published(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true,"
				   "\"parameters\":{\"follow\":true}}";
	_cleanup_json_ struct json_object *flow = control_lab_flow(7, "new", "drop");
	struct control_lab *lab = *state;
	struct json_inbox inbox;
	int fd = client_dial(lab);

	assert_false(control_has_followers(lab->control));
	lab->n_flows = 2;
	json_inbox_init(&inbox, JSON_REPLY_BYTES_MAX);
	client_say(fd, call, sizeof(call));
	control_lab_turn(lab);
	assert_true(control_has_followers(lab->control));
	control_publish(lab->control, flow);
	for (unsigned int i = 0; i < 3; i++) {
		_cleanup_json_ struct json_object *reply = client_hear(lab, fd, &inbox);

		assert_int_equal(reply_id(reply), i < 2 ? i + 1 : 7);
	}
	close(fd);
	control_lab_turn(lab);
	assert_false(control_has_followers(lab->control));
	control_publish(lab->control, flow);
	json_inbox_deinit(&inbox);
}

static void test_a_slow_follower_is_cut_off(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true,"
				   "\"parameters\":{\"follow\":true}}";
	_cleanup_json_ struct json_object *flow = control_lab_flow(7, "closed", "allow");
	struct control_lab *lab = *state;
	char command[4000];
	int fd = client_dial(lab);

	memset(command, 'x', sizeof(command));
	json_object_object_add(flow, "command",
			       json_object_new_string_len(command, sizeof(command)));
	client_say(fd, call, sizeof(call));
	control_lab_turn(lab);
	for (unsigned int i = 0; i < 3000 && control_has_followers(lab->control); i++) {
		control_publish(lab->control, flow);
		control_lab_turn(lab);
	}
	assert_false(control_has_followers(lab->control));
	assert_int_equal(control_n_lagging(lab->control), 1);
	close(fd);
}

/* who has a call open keeps its slot, who says nothing does not keep others out */
static void test_slots_end_at_32(void **state)
{
	static const char follow[] = "{\"method\":\"io.sluice.Control.ListFlows\",\"more\":true,"
				     "\"parameters\":{\"follow\":true}}";
	static const char busy[] = "{\"error\":\"io.sluice.Control.Busy\",\"parameters\":{}}";
	struct control_lab *lab = *state;
	int fds[VARLINK_CLIENTS_MAX];
	char text[128];
	int late;

	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++) {
		fds[i] = client_dial(lab);
		if (i != 5 && i != 9)
			client_say(fds[i], follow, sizeof(follow));
		control_lab_turn(lab);
	}
	for (unsigned int i = 5; i <= 9; i += 4) { /* the older one first */
		assert_int_equal(recv(fds[i], text, 1, MSG_DONTWAIT), -1);
		assert_non_null(
			strstr(CLIENT_ASK(lab, "{\"method\":\"org.varlink.service.GetInfo\"}"),
			       "sluiced"));
		assert_int_equal(recv(fds[i], text, 1, MSG_DONTWAIT), 0);
		close(fds[i]);
		fds[i] = client_dial(lab);
		client_say(fds[i], follow, sizeof(follow));
		control_lab_turn(lab);
	}
	late = client_dial(lab);
	control_lab_turn(lab);
	assert_int_equal(recv(late, text, sizeof(text), MSG_DONTWAIT), sizeof(busy));
	assert_memory_equal(text, busy, sizeof(busy));
	close(late);
	for (unsigned int i = 0; i < VARLINK_CLIENTS_MAX; i++)
		close(fds[i]);
	control_lab_turn(lab);
	assert_non_null(
		strstr(CLIENT_ASK(lab, "{\"method\":\"org.varlink.service.GetInfo\"}"), "sluiced"));
}

/* the child is nobody; it is heard, told why not, and holds no slot */
static void test_strangers_are_refused(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.GetStatus\"}";
	static const char expected[] =
		"{\"error\":\"io.sluice.Control.NotPermitted\",\"parameters\":{}}";
	struct control_lab *lab = *state;
	int status;
	pid_t pid;

	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(lab->dir, 0755), 0);
	pid = fork();
	if (pid == 0) {
		char text[256];
		ssize_t n;
		int fd;

		if (setuid(65534) < 0)
			_exit(2);
		fd = client_dial(lab);
		(void)!send(fd, call, sizeof(call), MSG_NOSIGNAL);
		n = recv(fd, text, sizeof(text), 0);
		_exit(n == sizeof(expected) && memcmp(text, expected, sizeof(expected)) == 0 ? 0
											     : 1);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		(void)sd_event_run(lab->event, 10000);
	assert_int_equal(status, 0);
}

/* 200 strangers wait before root: it is heard within a few turns, not after them one by one */
static void test_many_connections_are_taken_at_once(void **state)
{
	static const char call[] = "{\"method\":\"io.sluice.Control.GetStatus\"}";
	struct control_lab *lab = *state;
	int fds[200];
	char text[256];
	int last;

	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(lab->dir, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = client_dial(lab);
	assert_int_equal(seteuid(0), 0);
	last = client_dial(lab);
	client_say(last, call, sizeof(call));
	for (unsigned int i = 0; i < 20; i++)
		(void)sd_event_run(lab->event, 0);
	assert_true(recv(last, text, sizeof(text), MSG_DONTWAIT) > 0);
	close(last);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, control_lab_set_up, control_lab_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_long_list_comes_whole),
		TEST(test_followers_get_what_is_published),
		TEST(test_a_slow_follower_is_cut_off),
		TEST(test_slots_end_at_32),
		TEST(test_strangers_are_refused),
		TEST(test_many_connections_are_taken_at_once),
	};

	return cmocka_run_group_tests_name("varlink-clients", tests, NULL, NULL);
}
