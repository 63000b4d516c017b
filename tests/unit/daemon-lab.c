/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab.h"

#define ROUNDS_MAX 1000 /* of a loop that should settle */
#define FDS_MAX 256

static uint64_t lab_now_us = 1000000000;
static uint64_t lab_waited_ns, lab_n_times; /* for a processor */
static void (*sleep_fn)(void *data);
static void *sleep_data;

uint64_t daemon_now_us(void)
{
	return lab_now_us;
}

void daemon_sleep_us(uint32_t us)
{
	void (*fn)(void *data) = sleep_fn;

	lab_now_us += us;
	sleep_fn = NULL; /* it may want to be called again */
	if (fn)
		fn(sleep_data);
}

int daemon_read_waits(uint64_t *ret_ns, uint64_t *ret_times)
{
	*ret_ns = lab_waited_ns;
	*ret_times = lab_n_times;
	return 0;
}

void lab_wait_for_processor(unsigned int n_times, uint64_t each_ns)
{
	lab_n_times += n_times;
	lab_waited_ns += n_times * each_ns;
}

void lab_when_it_sleeps(void (*fn)(void *data), void *data)
{
	sleep_fn = fn;
	sleep_data = data;
}

int daemon_give_up_rights(void)
{
	return 0;
}

/* ---- the keeper ---- */

static void keeper_say(struct lab *lab, uint16_t type, const void *body, int fd)
{
	assert_int_equal(channel_send(lab->keeper, &wire_keeper_channel, type, body, NULL, 0, fd),
			 0);
}

static struct lab_child *child_of(struct lab *lab, uint32_t slot)
{
	if (slot == KEEPER_CANARY_SLOT)
		return &lab->canary;
	assert_true(slot <= lab->config.n_filters);
	return slot ? &lab->filters[slot - 1] : &lab->names;
}

/* most stories have no network to prove anything about */
static void refuse_canary(struct lab *lab)
{
	struct wire_k_child record = { .slot = KEEPER_CANARY_SLOT, .error = EAGAIN };

	keeper_say(lab, WIRE_K_CHILD, &record, -1);
}

static void on_spawn(struct lab *lab, uint32_t slot)
{
	struct lab_child *child = child_of(lab, slot);
	struct wire_k_child record = { .slot = slot, .pid = ++lab->last_pid };
	_cleanup_close_ int theirs = -1;

	close_fd(child->sock);
	assert_int_equal(channel_pair(&theirs, &child->sock), 0);
	child->pid = record.pid;
	lab->n_spawned++;
	keeper_say(lab, WIRE_K_CHILD, &record, theirs);
}

static void say_exited(struct lab *lab, uint32_t slot, uint32_t status)
{
	struct lab_child *child = child_of(lab, slot);
	struct wire_k_exited record = { .slot = slot, .pid = child->pid, .status = status };

	child->sock = close_fd(child->sock);
	keeper_say(lab, WIRE_K_EXITED, &record, -1);
}

/* a thread's number is the cookie of its namespace here */
static void on_enter(struct lab *lab, const struct wire_k_enter *enter, int sock)
{
	struct wire_k_entered record = { .token = enter->token,
					 .inode = enter->pid + 1000,
					 .error = (uint32_t)lab->enter_error };

	lab->n_entered++;
	if (lab->is_mute)
		return;
	for (uint32_t i = 0; i < KEEPER_NETNS_SOCKETS; i++) {
		uint64_t cookie = lab->lie ? lab->lie : enter->pid;
		_cleanup_close_ int fd =
			sock >= 0 && !lab->lie ? dup(sock) : fake_open_socket(lab->kernel, cookie);

		if (enter->only && enter->only != i + 1)
			continue;
		record.socket = i;
		keeper_say(lab, WIRE_K_ENTERED, &record, record.error ? -1 : fd);
	}
}

static bool keeper_take(struct lab *lab)
{
	_cleanup_close_ int fd = -1;
	struct wire_message message;
	uint32_t slot;

	if (channel_recv(lab->keeper, &wire_keeper_channel, 1, lab->record, &message, NULL, &fd))
		return false;
	switch (message.record->type) {
	case WIRE_K_SPAWN:
		slot = WIRE_BODY(&message, struct wire_k_spawn)->slot;
		if (slot == KEEPER_CANARY_SLOT && !lab->has_canary)
			refuse_canary(lab);
		else
			on_spawn(lab, slot);
		break;
	case WIRE_K_KILL:
		lab->n_killed++;
		say_exited(lab, WIRE_BODY(&message, struct wire_k_kill)->slot, 9);
		break;
	case WIRE_K_BEAT:
		lab->n_beats++;
		lab->is_late = WIRE_BODY(&message, struct wire_k_beat)->is_late;
		break;
	case WIRE_K_KEEP:
		slot = WIRE_BODY(&message, struct wire_k_keep)->slot;
		close_fd(lab->kept[slot]);
		lab->kept[slot] = TAKE_FD(fd);
		break;
	case WIRE_K_ENTER:
		on_enter(lab, WIRE_BODY(&message, struct wire_k_enter), fd);
		break;
	case WIRE_K_STATE:
		lab->is_told = true;
		lab->state = *WIRE_BODY(&message, struct wire_k_state);
		break;
	}
	return true;
}

static void describe_instance(struct lab *lab)
{
	struct wire_k_instance instance = { .id = "unit", .cgroup = "/nowhere", .log_level = 1 };
	struct wire_k_go go = { .generation = lab->generation };
	struct wire_k_commit commit = { 0 };

	snprintf(instance.state, sizeof(instance.state), "%s", lab->folder);
	keeper_say(lab, WIRE_K_INSTANCE, &instance, -1);
	for (uint32_t i = 0; i < lab->config.n_filters; i++) {
		struct wire_k_filter filter = { .index = i,
						.is_closed = lab->config.is_closed[i],
						.proxy = lab->config.is_proxy[i] };

		snprintf(filter.name, sizeof(filter.name), "filter%u", i);
		keeper_say(lab, WIRE_K_FILTER, &filter, -1);
	}
	keeper_say(lab, WIRE_K_COMMIT, &commit, -1);
	for (uint32_t i = 0; i < PLANE_KEPT_MAX; i++) {
		struct wire_k_kept kept = { .slot = i };

		if (lab->kept[i] >= 0)
			keeper_say(lab, WIRE_K_KEPT, &kept, lab->kept[i]);
	}
	keeper_say(lab, WIRE_K_GO, &go, -1);
}

/* ---- begin and end ---- */

static int n_open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void put_world(struct lab *lab)
{
	struct sl_proc_key key = { .start_ns = 5, .exe_ino = 6, .pid = LAB_PID, .exe_dev = 7 };
	struct sl_proc proc = { .exe = { .len = 9, .buf = "curl\0bin\0" },
				.args_len = 9,
				.args = "curl\0url\0" };
	struct sl_path path = { .len = 12, .buf = "app.service\0" };
	struct sl_sock sock = { .flags = SL_SOCK_STREAM,
				.user = { .start_ns = 5,
					  .exe_ino = 6,
					  .exe_dev = 7,
					  .pid = LAB_PID,
					  .cgroup_id = 8,
					  .uid = 1000 } };
	struct link link = { .ifindex = LAB_IFINDEX, .name = "wan", .kind = LINK_ETHERNET };
	uint64_t cookie = LAB_COOKIE, cgroup = 8;

	sock.owner = sock.user;
	fake_put(lab->kernel, FAKE_PROCS, &key, &proc);
	fake_put(lab->kernel, FAKE_CGROUPS, &cgroup, &path);
	fake_put(lab->kernel, FAKE_SOCKS, &cookie, &sock);
	fake_put(lab->kernel, FAKE_LINKS, &link.ifindex, &link);
}

struct lab *lab_new(const struct lab_config *config)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	lab->n_fds = n_open_fds();
	lab->config = *config;
	lab->keeper = lab->names.sock = lab->canary.sock = lab->passed = -1;
	for (unsigned int i = 0; i < PLANE_KEPT_MAX; i++)
		lab->kept[i] = -1;
	for (unsigned int i = 0; i < LAB_FILTERS_MAX; i++)
		lab->filters[i].sock = -1;
	lab->last_pid = 100;
	lab->kernel = fake_new();
	assert_non_null(lab->kernel);
	snprintf(lab->folder, sizeof(lab->folder), "/tmp/sluice-unit-XXXXXX");
	assert_non_null(mkdtemp(lab->folder));
	put_world(lab);
	return lab;
}

static void lose_children(struct lab *lab)
{
	lab->names.sock = close_fd(lab->names.sock);
	lab->canary.sock = close_fd(lab->canary.sock);
	for (unsigned int i = 0; i < LAB_FILTERS_MAX; i++)
		lab->filters[i].sock = close_fd(lab->filters[i].sock);
}

struct lab *lab_free(struct lab *lab)
{
	lab->daemon = daemon_free(lab->daemon);
	assert_int_equal(fake_n_planes(lab->kernel), 0);
	close_fd(lab->keeper);
	close_fd(lab->passed);
	for (unsigned int i = 0; i < PLANE_KEPT_MAX; i++)
		close_fd(lab->kept[i]);
	lose_children(lab);
	lab->kernel = fake_free(lab->kernel);
	assert_int_equal(rmdir(lab->folder), 0);
	assert_int_equal(n_open_fds(), lab->n_fds);
	free(lab);
	return NULL;
}

int lab_start(struct lab *lab)
{
	const char *error;
	int theirs, r;

	assert_int_equal(channel_pair(&lab->keeper, &theirs), 0);
	lab->is_told = false;
	lab->daemon = daemon_new(fake_kernel(lab->kernel), theirs);
	if (!lab->daemon)
		return -ENOMEM;
	lab->loop_error = 0;
	lab->daemon->n_flows_max = LAB_FLOWS_MAX;
	describe_instance(lab);
	r = daemon_start(lab->daemon, &error);
	if (r < 0) {
		assert_non_null(error);
		lab->daemon = daemon_free(lab->daemon);
		return r;
	}
	/* the clock stands still: a tick is the test's to make */
	(void)sd_event_source_set_enabled(lab->daemon->tick, SD_EVENT_OFF);
	(void)daemon_tick(lab->daemon);
	lab_settle(lab);
	return 0;
}

void lab_crash(struct lab *lab)
{
	lab->daemon = daemon_free(lab->daemon);
	while (keeper_take(lab))
		;
	lab->keeper = close_fd(lab->keeper);
	lose_children(lab);
	lab->generation++;
}

void lab_stop(struct lab *lab)
{
	struct wire_k_stop stop = { 0 };

	while (keeper_take(lab))
		;
	keeper_say(lab, WIRE_K_STOP, &stop, -1);
	lab->keeper = close_fd(lab->keeper);
	assert_int_equal(daemon_run(lab->daemon), 0);
	daemon_stop(lab->daemon);
	lab->daemon = daemon_free(lab->daemon);
}

void lab_settle(struct lab *lab)
{
	int i = 0, r = 0;

	while (keeper_take(lab) || (r = sd_event_run(lab->daemon->event, 0)) > 0)
		assert_true(i++ < ROUNDS_MAX);
	if (r < 0)
		lab->loop_error = r;
}

void lab_oversleep(uint64_t us)
{
	lab_now_us += us;
}

void lab_pass(struct lab *lab, uint64_t us)
{
	lab->daemon->ticked_us = lab_now_us + us; /* as if it had ticked all the time */
	lab_sleep(lab, us);
}

void lab_live(struct lab *lab, uint64_t us)
{
	for (uint64_t step; us > 0; us -= step) {
		step = MIN(us, SESSION_PING_US);
		lab_pass(lab, step);
		for (unsigned int i = 0; i < lab->config.n_filters; i++) {
			const struct wire_pong pong = {
				.token = lab->daemon->filters[i].session.token
			};

			if (lab->filters[i].sock >= 0)
				lab_say(lab, i, WIRE_PONG, &pong);
		}
	}
}

void lab_sleep(struct lab *lab, uint64_t us)
{
	lab_oversleep(us);
	(void)daemon_tick(lab->daemon);
	lab_settle(lab);
}

int64_t lab_answered_ago_ms(struct lab *lab)
{
	struct json_object *status, *providers, *ago;
	int64_t ms = -1;

	assert_int_equal(status_get(lab->daemon, &status), 0);
	providers = json_object_object_get(status, "providers");
	if (json_object_object_get_ex(json_object_array_get_idx(providers, 0), "answered_ago_ms",
				      &ago))
		ms = json_object_get_int64(ago);
	json_object_put(status);
	return ms;
}

void lab_end_filter(struct lab *lab, unsigned int index)
{
	say_exited(lab, index + 1, 0);
	lab_settle(lab);
}

void lab_end_names(struct lab *lab)
{
	say_exited(lab, 0, 0);
	lab_settle(lab);
}
