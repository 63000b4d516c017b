/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"

static void take_instance(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	daemon->instance = *WIRE_BODY(message, struct wire_k_instance);
}

static void take_filter(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	const struct wire_k_filter *record = WIRE_BODY(message, struct wire_k_filter);
	struct filter *filter = &daemon->filters[daemon->n_filters];

	if (daemon->n_filters == FILTERS_MAX)
		return;
	text_copy(filter->name, sizeof(filter->name), record->name);
	filter->is_closed = record->is_closed;
	filter->is_proxy = record->proxy;
	filter->sock = filter->settings_fd = -1;
	session_init(&filter->session, daemon_now_us());
	daemon->is_closed |= filter->is_closed;
	daemon->n_filters++;
}

static void take_option(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	const struct wire_k_option *record = WIRE_BODY(message, struct wire_k_option);
	struct option *option = &daemon->options[daemon->n_options];

	if (daemon->n_options == OPTIONS_MAX)
		return;
	option->filter = record->index;
	text_copy(option->key, sizeof(option->key), record->key);
	text_copy(option->value, sizeof(option->value), record->value);
	option->fd = TAKE_FD(*fd);
	daemon->n_options++;
}

static void take_settings(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	uint32_t index = WIRE_BODY(message, struct wire_k_settings)->index;

	if (index < daemon->n_filters)
		choosing_take(daemon, index, fd);
}

static void take_flows(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	close_fd(daemon->flows_fd);
	daemon->flows_fd = TAKE_FD(*fd);
}

static void take_kept(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	uint32_t slot = WIRE_BODY(message, struct wire_k_kept)->slot;

	if (slot >= PLANE_KEPT_MAX)
		return;
	close_fd(daemon->kept[slot]);
	daemon->kept[slot] = TAKE_FD(*fd);
}

static void take_go(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	daemon->generation = WIRE_BODY(message, struct wire_k_go)->generation;
}

static void take_child(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	const struct wire_k_child *child = WIRE_BODY(message, struct wire_k_child);

	if (child->slot == KEEPER_CANARY_SLOT) {
		canary_connected(daemon, TAKE_FD(*fd), (int)child->error);
	} else if (child->error || *fd < 0) {
		log_error("the keeper could not start child %u: %s", child->slot,
			  strerror((int)child->error));
		if (child->slot && child->slot <= daemon->n_filters)
			providers_lost(daemon, child->slot - 1, 0);
		else if (child->slot == 0)
			session_exited(&daemon->names_session, daemon_now_us());
	} else if (child->slot == 0) {
		names_connected(daemon, TAKE_FD(*fd), (pid_t)child->pid);
	} else if (child->slot <= daemon->n_filters) {
		providers_connected(daemon, child->slot - 1, TAKE_FD(*fd), (pid_t)child->pid);
	}
}

static void take_entered(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	netns_entered(daemon, WIRE_BODY(message, struct wire_k_entered), fd);
}

static void take_exited(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	const struct wire_k_exited *exited = WIRE_BODY(message, struct wire_k_exited);

	if (exited->slot == 0) {
		if ((pid_t)exited->pid == daemon->names_pid)
			names_lost(daemon);
	} else if (exited->slot == KEEPER_CANARY_SLOT) {
		canary_exited(daemon, (int)exited->status);
	} else if (exited->slot <= daemon->n_filters) {
		if ((pid_t)exited->pid == daemon->filters[exited->slot - 1].pid)
			providers_lost(daemon, exited->slot - 1, (int)exited->status);
	}
}

static void take_stop(struct daemon *daemon, const struct wire_message *message, int *fd)
{
	daemon->is_ending = true;
}

static void take_nothing(struct daemon *daemon, const struct wire_message *message, int *fd)
{
}

static const struct {
	uint16_t type;
	void (*take)(struct daemon *daemon, const struct wire_message *message, int *fd);
} table[] = {
	{ WIRE_K_INSTANCE, take_instance },
	{ WIRE_K_FILTER, take_filter },
	{ WIRE_K_OPTION, take_option },
	{ WIRE_K_SETTINGS, take_settings },
	{ WIRE_K_FLOWS, take_flows },
	{ WIRE_K_COMMIT, take_nothing },
	{ WIRE_K_KEPT, take_kept },
	{ WIRE_K_GO, take_go },
	{ WIRE_K_CHILD, take_child },
	{ WIRE_K_EXITED, take_exited },
	{ WIRE_K_ENTERED, take_entered },
	{ WIRE_K_STOP, take_stop },
};

static int read_one(struct daemon *daemon, uint16_t *ret_type)
{
	struct wire_message message;
	_cleanup_close_ int fd = -1;
	int r = channel_recv(daemon->keeper_sock, &wire_keeper_channel, WIRE_FROM_ANY,
			     daemon->record, &message, NULL, &fd);

	if (r)
		return r > 0 ? -EPROTO : r;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].type == message.record->type)
			table[i].take(daemon, &message, &fd);
	*ret_type = message.record->type;
	return 0;
}

int keeper_read_config(struct daemon *daemon)
{
	struct pollfd poll_keeper = { .fd = daemon->keeper_sock, .events = POLLIN };
	uint16_t type = 0;
	int r;

	while (type != WIRE_K_GO) {
		if (poll(&poll_keeper, 1, -1) < 0 && errno != EINTR)
			return -errno;
		r = read_one(daemon, &type);
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	return 0;
}

static int on_keeper(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct daemon *daemon = data;
	uint16_t type;
	int r = 0;

	while (!daemon->is_ending && (r = read_one(daemon, &type)) == 0)
		;
	if (daemon->is_ending)
		return sd_event_exit(daemon->event, 0);
	if (r == -EAGAIN)
		return 0;
	/* the keeper is gone, or what came is no record: the plane stays, for a successor */
	return sd_event_exit(daemon->event, r);
}

int keeper_watch(struct daemon *daemon)
{
	return sd_event_add_io(daemon->event, &daemon->keeper_source, daemon->keeper_sock, EPOLLIN,
			       on_keeper, daemon);
}

static void send_record(struct daemon *daemon, uint16_t type, const void *body, int fd)
{
	int r = channel_send(daemon->keeper_sock, &wire_keeper_channel, type, body, NULL, 0, fd);

	if (r >= 0)
		return;
	log_error("cannot reach the keeper: %s", strerror(-r));
	/* it waits for what it was not told, as somebody does for it: a successor begins anew */
	if (type != WIRE_K_BEAT)
		(void)sd_event_exit(daemon->event, r);
}

void keeper_tell_state(struct daemon *daemon, int error, const char *text)
{
	struct wire_k_state state = { .error = (uint32_t)error };

	text_copy(state.text, sizeof(state.text), text);
	send_record(daemon, WIRE_K_STATE, &state, -1);
}

void keeper_keep(struct daemon *daemon, uint32_t slot, int fd)
{
	struct wire_k_keep keep = { .slot = slot };

	send_record(daemon, WIRE_K_KEEP, &keep, fd);
}

void keeper_spawn(struct daemon *daemon, uint32_t slot, int output)
{
	struct wire_k_spawn spawn = { .slot = slot };

	send_record(daemon, WIRE_K_SPAWN, &spawn, output);
}

void keeper_kill(struct daemon *daemon, uint32_t slot)
{
	struct wire_k_kill kill = { .slot = slot };

	send_record(daemon, WIRE_K_KILL, &kill, -1);
}

void keeper_enter(struct daemon *daemon, uint64_t token, uint32_t pid, int sock)
{
	struct wire_k_enter enter = { .token = token, .pid = pid };

	send_record(daemon, WIRE_K_ENTER, &enter, sock);
}

void keeper_beat(struct daemon *daemon)
{
	struct wire_k_beat beat = { .n_held = (uint32_t)flow_table_n_held(daemon->flows) };
	uint64_t waited_ns, n_times;
	bool was_late = daemon->urgent.until_us > 0;

	if (daemon_read_waits(&waited_ns, &n_times) == 0)
		beat.is_late = urgent_is_late(&daemon->urgent, waited_ns, n_times, daemon_now_us());
	if (beat.is_late && !was_late)
		log_info("this machine is busy: sluiced is to run before other programs");
	send_record(daemon, WIRE_K_BEAT, &beat, -1);
}
