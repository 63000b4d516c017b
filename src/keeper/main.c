/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/reap.h"
#include "base/sandbox.h"
#include "base/urgent.h"
#include "keeper/keeper.h"
#include "wire/channel.h"

#define RUN_FD 3
#define END_MS 5000U	    /* a sluiced that is told to end is killed after it */
#define REAP_MS 1000U	    /* for killed children to end */
#define START_MS 20000U	    /* sluiced loads BPF programs: slow in emulation, fast elsewhere */
#define START_AGAIN_MS 100U /* between two starts of sluiced at the least */

static void tell_run(struct keeper *keeper, int error, const char *text)
{
	struct wire_k_state state = { .error = (uint32_t)error };

	if (keeper->is_told)
		return;
	snprintf(state.text, sizeof(state.text), "%s", text);
	keeper->is_told = true;
	if (channel_send(keeper->run_sock, &wire_keeper_channel, WIRE_K_STATE, &state, NULL, 0, -1))
		(void)shutdown(keeper->run_sock, SHUT_RDWR); /* both take it for the other's end */
}

/* ---- sluiced ---- */

static int say_go(struct keeper *keeper)
{
	struct wire_k_go go = { .generation = keeper->generation };
	int sock = keeper->daemon_sock, r = 0;

	for (unsigned int i = 0; i < keeper->n_config && r == 0; i++)
		r = channel_send_raw(sock, keeper->config[i].bytes, keeper->config[i].n_bytes,
				     keeper->config[i].fd);
	for (uint32_t i = 0; i < KEEPER_KEPT_MAX && r == 0; i++)
		if (keeper->kept[i] >= 0)
			r = channel_send(sock, &wire_keeper_channel, WIRE_K_KEPT,
					 &(struct wire_k_kept){ .slot = i }, NULL, 0,
					 keeper->kept[i]);
	return r ? r : channel_send(sock, &wire_keeper_channel, WIRE_K_GO, &go, NULL, 0, -1);
}

static int start_daemon(struct keeper *keeper)
{
	pid_t pid = child_start(keeper, KEEPER_DAEMON_SLOT, -1, &keeper->daemon_sock);

	if (pid < 0)
		return pid;
	keeper->daemon_pid = pid;
	keeper->started_ms = keeper->beat_ms = clock_awake_ms(&keeper->awake);
	keeper->has_beaten = false;
	if (say_go(keeper) < 0)
		kill(pid, SIGKILL); /* it may lack a filter; the next one is told all again */
	keeper->generation++;
	return 0;
}

static void lose_daemon(struct keeper *keeper)
{
	keeper->daemon_sock = close_fd(keeper->daemon_sock);
	if (keeper->daemon_pid > 0)
		kill(keeper->daemon_pid, SIGKILL);
	if (!keeper->orphaned_ms)
		keeper->orphaned_ms = clock_awake_ms(&keeper->awake);
}

/* what it is not told it would wait for: a successor begins anew */
static void tell_daemon(struct keeper *keeper, uint16_t type, const void *body, int fd)
{
	if (keeper->daemon_sock >= 0 &&
	    channel_send(keeper->daemon_sock, &wire_keeper_channel, type, body, NULL, 0, fd) < 0)
		lose_daemon(keeper);
}

static void on_state(struct keeper *keeper, const struct wire_message *message, int fd)
{
	const struct wire_k_state *state = WIRE_BODY(message, struct wire_k_state);

	if (state->error == 0)
		keeper->orphaned_ms = 0;
	tell_run(keeper, (int)state->error, state->text);
}

static void on_keep(struct keeper *keeper, const struct wire_message *message, int fd)
{
	uint32_t slot = WIRE_BODY(message, struct wire_k_keep)->slot;

	if (slot >= KEEPER_KEPT_MAX)
		return;
	close_fd(keeper->kept[slot]);
	keeper->kept[slot] = fd < 0 ? -1 : dup(fd);
}

static void on_enter(struct keeper *keeper, const struct wire_message *message, int fd)
{
	const struct wire_k_enter *enter = WIRE_BODY(message, struct wire_k_enter);
	struct wire_k_entered entered = { .token = enter->token };
	int sockets[KEEPER_NETNS_SOCKETS], r;

	for (uint32_t i = 0; i < KEEPER_NETNS_SOCKETS; i++)
		sockets[i] = -1;
	r = network_enter(keeper, (pid_t)enter->pid, fd, sockets, &entered.inode);

	entered.error = (uint32_t)-r;
	if (r < 0)
		tell_daemon(keeper, WIRE_K_ENTERED, &entered, -1);
	for (uint32_t i = 0; i < KEEPER_NETNS_SOCKETS; i++) {
		entered.socket = i;
		if (r == 0)
			tell_daemon(keeper, WIRE_K_ENTERED, &entered, sockets[i]);
		close_fd(sockets[i]);
	}
}

static void on_spawn(struct keeper *keeper, const struct wire_message *message, int fd)
{
	struct wire_k_child child = { .slot = WIRE_BODY(message, struct wire_k_spawn)->slot };
	_cleanup_close_ int sock = -1;
	pid_t pid = -EINVAL;

	if (child.slot < KEEPER_CHILDREN_MAX) {
		if (keeper->children[child.slot] > 0) /* of an earlier sluiced */
			kill(keeper->children[child.slot], SIGKILL);
		pid = child_start(keeper, child.slot, fd, &sock);
		keeper->children[child.slot] = pid > 0 ? pid : 0;
	}
	child.pid = pid > 0 ? (uint32_t)pid : 0;
	child.error = pid < 0 ? (uint32_t)-pid : 0;
	tell_daemon(keeper, WIRE_K_CHILD, &child, sock);
}

static void on_kill(struct keeper *keeper, const struct wire_message *message, int fd)
{
	uint32_t slot = WIRE_BODY(message, struct wire_k_kill)->slot;

	if (slot < KEEPER_CHILDREN_MAX && keeper->children[slot] > 0)
		kill(keeper->children[slot], SIGKILL);
}

static void on_beat(struct keeper *keeper, const struct wire_message *message, int fd)
{
	urgent_follow(keeper->daemon_pid, WIRE_BODY(message, struct wire_k_beat)->is_late);
	keeper->has_beaten = true;
	keeper->beat_ms = clock_awake_ms(&keeper->awake);
}

static const struct {
	uint16_t type;
	void (*handle)(struct keeper *keeper, const struct wire_message *message, int fd);
} daemon_table[] = {
	{ WIRE_K_STATE, on_state }, { WIRE_K_KEEP, on_keep }, { WIRE_K_SPAWN, on_spawn },
	{ WIRE_K_KILL, on_kill },   { WIRE_K_BEAT, on_beat }, { WIRE_K_ENTER, on_enter },
};

static void read_daemon(struct keeper *keeper)
{
	struct wire_message message;
	int fd = -1, r;

	while (keeper->daemon_sock >= 0) {
		r = channel_recv(keeper->daemon_sock, &wire_keeper_channel, 1, keeper->buffer,
				 &message, NULL, &fd);
		if (r == -EAGAIN)
			return;
		if (r) {
			if (r > 0)
				log_error("sluiced sent a bad record: %s", wire_strerror(r));
			if (r < 0 && keeper->is_stopping) /* it has done its work, and exits */
				keeper->daemon_sock = close_fd(keeper->daemon_sock);
			else
				lose_daemon(keeper);
			return;
		}
		for (size_t i = 0; i < ARRAY_SIZE(daemon_table); i++)
			if (daemon_table[i].type == message.record->type)
				daemon_table[i].handle(keeper, &message, fd);
		fd = close_fd(fd);
	}
}

/* ---- children that end ---- */

static void child_ended(struct keeper *keeper, pid_t pid, int status)
{
	struct wire_k_exited exited = { .pid = (uint32_t)pid, .status = (uint32_t)status };

	if (pid == keeper->daemon_pid) {
		keeper->daemon_pid = status ? -1 : 0;
		lose_daemon(keeper);
		return;
	}
	while (exited.slot < KEEPER_CHILDREN_MAX && keeper->children[exited.slot] != pid)
		exited.slot++;
	if (exited.slot == KEEPER_CHILDREN_MAX)
		return;
	keeper->children[exited.slot] = 0;
	tell_daemon(keeper, WIRE_K_EXITED, &exited, -1);
}

static void reap(struct keeper *keeper)
{
	struct signalfd_siginfo info;
	int status, pid;

	while (read(keeper->signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_ended(keeper, pid, status);
}

/* ---- the watch ---- */

static void release_held(struct keeper *keeper)
{
	/* the last copies of the queues: the fail class of the kernel's rules applies now. And of the
	 * listeners: what waits there gets a reset */
	if (keeper->kept[0] >= 0)
		log_error("no sluiced for %u ms: held packets go to the fail class",
			  KEEPER_SUCCESSOR_MS);
	for (size_t i = 0; i < KEEPER_KEPT_MAX; i += i < KEEPER_LISTENERS_AT ? 2 : 1)
		keeper->kept[i] = close_fd(keeper->kept[i]);
}

static void watch(struct keeper *keeper)
{
	uint64_t now = clock_awake_ms(&keeper->awake);

	if (keeper->daemon_sock >= 0 &&
	    now - keeper->beat_ms > (keeper->has_beaten ? KEEPER_SILENCE_MS : START_MS)) {
		log_error("sluiced was silent for %llu ms: replacing it",
			  (unsigned long long)(now - keeper->beat_ms));
		lose_daemon(keeper);
	}
	now = clock_awake_ms(&keeper->awake); /* orphaned_ms may have been set just now */
	if (keeper->orphaned_ms && now - keeper->orphaned_ms > KEEPER_SUCCESSOR_MS)
		release_held(keeper);
	if (keeper->daemon_sock >= 0 || keeper->daemon_pid > 0)
		return;
	if (keeper->generation == 1 && !keeper->is_told) {
		tell_run(keeper, ESRCH, "sluiced ended while it started; see its message above");
		return;
	}
	if (keeper->generation > 1 && now - keeper->started_ms < START_AGAIN_MS)
		return;
	if (start_daemon(keeper) < 0)
		log_error("cannot start sluiced: %m");
}

static bool run_has_ended(struct keeper *keeper)
{
	struct wire_message message;
	int fd = -1;
	int r = channel_recv(keeper->run_sock, &wire_keeper_channel, 1, keeper->buffer, &message,
			     NULL, &fd);
	bool is_changed = r == 0 && message.record->type == WIRE_K_SETTINGS;

	close_fd(fd);
	if (is_changed) /* what the file says that each sluiced gets */
		tell_daemon(keeper, WIRE_K_SETTINGS, message.body.bytes, -1);
	keeper->is_ended = r == 0 && message.record->type == WIRE_K_END;
	return r != -EAGAIN && !is_changed; /* after COMMIT it has nothing else to say */
}

/* @run_sock: -1: it is not listened to any more. Return: has it ended? */
static bool turn(struct keeper *keeper, int run_sock, int ms)
{
	struct pollfd fds[] = { { .fd = run_sock, .events = POLLIN },
				{ .fd = keeper->signal_fd, .events = POLLIN },
				{ .fd = keeper->daemon_sock, .events = POLLIN } };

	(void)poll(fds, ARRAY_SIZE(fds), keeper->daemon_pid > 0 ? ms : (int)START_AGAIN_MS / 10);
	read_daemon(keeper); /* it may have spoken while we slept behind poll() */
	if (fds[1].revents)
		reap(keeper);
	return fds[0].revents && run_has_ended(keeper);
}

/* ---- the end ---- */

static bool wait_for_daemon(struct keeper *keeper)
{
	uint64_t end = clock_awake_ms(&keeper->awake) + END_MS;

	keeper->is_stopping = true;
	tell_daemon(keeper, WIRE_K_STOP, &(struct wire_k_stop){ 0 }, -1);
	while (keeper->daemon_pid > 0 && clock_awake_ms(&keeper->awake) < end)
		(void)turn(keeper, -1, KEEPER_BEAT_MS / 4);
	if (keeper->daemon_pid <= 0)
		return keeper->daemon_pid == 0;
	lose_daemon(keeper);
	(void)waitpid(keeper->daemon_pid, NULL, 0);
	keeper->daemon_pid = 0;
	return false;
}

static void finish(struct keeper *keeper)
{
	bool is_removed = !keeper->instance.is_kept || keeper->is_ended;

	if (!keeper->is_placed) /* nothing of it is ours */
		return;
	if (is_removed) {
		place_kill_governed(keeper);
		/* it adopts what an earlier one left, and removes it */
		if (keeper->daemon_pid <= 0 && keeper->is_told && keeper->generation > 0)
			(void)start_daemon(keeper);
		/* one that hangs or fails is followed by one that only cleans up */
		if (keeper->daemon_pid > 0 && !wait_for_daemon(keeper) && start_daemon(keeper) == 0)
			(void)wait_for_daemon(keeper);
	}
	if (is_removed)
		place_remove(keeper);
	lose_daemon(keeper);
	/* they would end with us, but in a container nobody may be there to reap them */
	if (reap_all(keeper->children, KEEPER_CHILDREN_MAX, REAP_MS) < 0)
		log_error("a child of ours does not end although it was killed");
}

static int begin(struct keeper *keeper)
{
	int r = reap_open(); /* our end is the end of `sluice run`, not a signal */

	keeper->signal_fd = r;
	if (r >= 0)
		r = config_read(keeper);
	if (r < 0)
		return r;
	log_open("sluice-keeper", keeper->instance.log_level);
	r = network_open_ours(keeper);
	if (!r)
		r = sandbox_enter(SANDBOX_KEEPER);
	return r < 0 ? r : start_daemon(keeper);
}

int main(void)
{
	static struct keeper keeper = { .run_sock = RUN_FD, .daemon_sock = -1, .signal_fd = -1 };
	int r;

	log_open("sluice-keeper", LOG_NOTICE);
	(void)setsid();
	keeper.own_net = keeper.no_net = -1;
	keeper.awake.step_ms = KEEPER_BEAT_MS; /* a round */
	for (size_t i = 0; i < KEEPER_KEPT_MAX; i++)
		keeper.kept[i] = -1;
	r = begin(&keeper);
	if (r < 0 && !keeper.is_ended) {
		log_error("cannot begin: %s", strerror(-r));
		tell_run(&keeper, -r, "sluice-keeper could not begin; see above");
	}
	while (r == 0 && !turn(&keeper, keeper.run_sock, KEEPER_BEAT_MS))
		watch(&keeper);
	finish(&keeper);
	return keeper.generation > 0 ? 0 : KEEPER_EXIT_NOT_BEGUN;
}
