/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Start, loop, end
 *
 * What the process around it has to give (a clock, a sandbox) is in main.c,
 * and in a unit test the test's.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/spin.h"
#include "daemon/daemon.h"

#define TICK_ACCURACY_US 1000U	/* sd-event takes 0 for a quarter of a second */
#define LAST_EVENTS_US 100000U	/* at the end: for the last states of TCP, */
#define LAST_ANSWERS_US 500000U /* and for answers to what the last programs have sent */
#define LAST_PAUSE_US 5000U

struct daemon *daemon_new(const struct kernel *kernel, int keeper_sock)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	if (!daemon) {
		close_fd(keeper_sock);
		return NULL;
	}
	daemon->kernel = kernel;
	daemon->keeper_sock = keeper_sock;
	daemon->n_flows_max = FLOWS_MAX;
	daemon->names_sock = daemon->canary.sock = daemon->flows_fd = -1;
	for (unsigned int i = 0; i < PLANE_KEPT_MAX; i++)
		daemon->kept[i] = -1;
	for (unsigned int i = 0; i < FILTERS_MAX; i++)
		daemon->filters[i].sock = daemon->filters[i].output.pipe = -1;
	return daemon;
}

/* what the kernel had no memory for is asked of it again: packets wait for it */
static void try_again(struct daemon *daemon)
{
	(void)plane_answer_late(daemon->plane);
	if (daemon->wants_requeue && plane_requeue(daemon->plane) == 0)
		daemon->wants_requeue = false;
}

bool daemon_tick(struct daemon *daemon)
{
	uint64_t now = daemon_now_us();
	bool has_more;

	if (now - daemon->beat_us >= KEEPER_BEAT_MS * 1000) {
		daemon->beat_us = now;
		keeper_beat(daemon);
	}
	wake_tick(daemon, now);
	try_again(daemon);
	has_more = ends_drain(daemon);
	needing_tick(daemon);
	judge_tick(daemon, now);
	peeking_tick(daemon, now);
	packets_tick(daemon, now);
	divert_mend(daemon, now);
	explain_tick(daemon, now);
	ends_tick(daemon, now);
	remember_tick(daemon);
	ruling_tick(daemon);
	if (!has_more)
		live_tick(daemon, now);
	names_tick(daemon, now);
	providers_tick(daemon, now);
	netns_tick(daemon, now);
	divert_tick(daemon);
	owners_tick(daemon, now);
	canary_tick(daemon, now);
	reports_flush(daemon);
	reports_tick(daemon, now);
	return has_more;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	bool has_more = daemon_tick(data);

	uint64_t us = pace_next(data);

	(void)sd_event_source_set_time_relative(source, has_more ? 0 : us);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int before_sleep(sd_event_source *source, void *data)
{
	return pace_hasten(data) ? sd_event_source_set_time_relative(source, TICK_US) : 0;
}

static int open_tables(struct daemon *daemon)
{
	struct timespec t;
	int r;

	if (getrandom(&daemon->seed, sizeof(daemon->seed), 0) != sizeof(daemon->seed))
		return -EIO;
	r = texts_new(daemon->seed, &daemon->texts);
	if (r < 0)
		return r;
	r = sides_new(daemon->n_flows_max + 2 * HISTORY_FLOWS_MAX, daemon->seed, identity_put_of,
		      daemon, &daemon->sides);
	if (r < 0)
		return r;
	r = history_new(HISTORY_FLOWS_MAX, why_forget, daemon, &daemon->history);
	if (r < 0)
		return r;
	/* ids count on from the clock, so that a successor's are larger */
	clock_gettime(CLOCK_REALTIME, &t);
	r = flow_table_new(daemon->n_flows_max, daemon->seed,
			   (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000, judge_forget,
			   daemon, &daemon->flows);
	if (r < 0)
		return r;
	r = names_cache_new(daemon->seed, remember_names_changed, daemon, &daemon->names);
	if (r < 0)
		return r;
	daemon->packets = malloc(QUEUE_BUFFER_BYTES);
	daemon->peekings.shown = malloc(PEEK_SHOWN_MAX);
	return daemon->packets && daemon->peekings.shown ? 0 : -ENOMEM;
}

static int open_plane(struct daemon *daemon, const char **ret_error)
{
	struct plane_config config = { .instance = daemon->instance.id,
				       .cgroup = daemon->instance.cgroup,
				       .bpffs = daemon->instance.bpffs,
				       .canary_uid = daemon->instance.canary_uid,
				       .is_closed = daemon->is_closed,
				       .has_proxies = divert_is_used(daemon),
				       .proxies = behalf_is_wanted(daemon)
							  ? daemon->instance.providers_cgroup
							  : NULL };
	int r = plane_open(daemon->kernel, &config, daemon->kept, &daemon->plane, ret_error);

	if (r < 0)
		return r;
	*ret_error = "giving up rights";
	return daemon_give_up_rights();
}

static int open_loop(struct daemon *daemon)
{
	int r = netns_open(daemon);

	if (r >= 0)
		r = keeper_watch(daemon);
	if (r >= 0)
		r = sd_event_add_time_relative(daemon->event, &daemon->tick, CLOCK_MONOTONIC, 0,
					       TICK_ACCURACY_US, on_tick, daemon);
	if (r >= 0)
		r = sd_event_source_set_prepare(daemon->tick, before_sleep);
	if (r >= 0)
		r = records_open(daemon);
	return r < 0 ? r : 0;
}

static int open_all(struct daemon *daemon, const char **ret_error)
{
	int r;

	*ret_error = "taking memory";
	r = open_tables(daemon);
	if (r < 0)
		return r;
	r = open_plane(daemon, ret_error);
	if (r < 0)
		return r;
	*ret_error = "opening the verdict memory";
	r = remember_open(daemon);
	if (r < 0)
		return r;
	*ret_error = "listening for proxies";
	r = divert_open(daemon);
	if (r < 0)
		return r;
	*ret_error = "opening the event loop";
	session_init(&daemon->names_session, daemon_now_us());
	canary_init(daemon);
	return open_loop(daemon);
}

static int read_config(struct daemon *daemon)
{
	int r;

	daemon->record = malloc(WIRE_RECORD_MAX);
	r = daemon->record ? sd_event_new(&daemon->event) : -ENOMEM;
	if (r >= 0)
		r = keeper_read_config(daemon);
	log_open("sluiced", daemon->instance.log_level ? daemon->instance.log_level : LOG_NOTICE);
	return r < 0 ? r : 0;
}

int daemon_start(struct daemon *daemon, const char **ret_error)
{
	int r;

	*ret_error = "reading the configuration";
	r = read_config(daemon);
	if (r == 0)
		r = open_all(daemon, ret_error);
	if (r < 0) {
		if (daemon->plane && !plane_was_adopted(daemon->plane))
			plane_remove(daemon->plane);
		return r;
	}
	if (plane_was_adopted(daemon->plane)) {
		restore_flows(daemon);
		(void)owners_look(daemon); /* nobody watched since the predecessor's end */
		daemon->wants_requeue = plane_requeue(daemon->plane) < 0;
	}
	if (daemon->n_filters == 0 || daemon->generation > 0) {
		daemon->is_ready = true;
		keeper_tell_state(daemon, 0, "");
	}
	if (daemon->n_filters == 0) {
		(void)plane_relax(daemon->plane);
		daemon->wants_loopback = plane_judges_loopback(plane_loopback_now(daemon->plane));
	}
	return 0;
}

/* sockets of programs that just ended still say goodbye to their peers */
static void take_last_events(struct daemon *daemon)
{
	uint64_t began_us = daemon_now_us(), patience_us;

	do {
		judge_read_queues(daemon);
		packets_read_last(daemon);
		while (ends_drain(daemon))
			keeper_beat(daemon);
		patience_us = flow_table_n_held(daemon->flows) || packets_wait(daemon)
				      ? LAST_ANSWERS_US
			      : flow_table_n_open(daemon->flows) ? LAST_EVENTS_US
								 : 0;
		if (patience_us)
			daemon_sleep_us(LAST_PAUSE_US);
	} while (daemon_now_us() < began_us + patience_us);
}

/* on a machine that is busy nobody is to be kept from running. Return: as sd_event_run() */
static int run_once(struct daemon *daemon, struct spin *spin)
{
	struct pollfd pollfd = { .fd = sd_event_get_fd(daemon->event), .events = POLLIN };
	bool is_urgent = daemon_now_us() < daemon->urgent.until_us;
	int r = sd_event_prepare(daemon->event);

	if (r == 0 && !is_urgent)
		(void)spin_poll(spin, &pollfd, 1, -1); /* what has failed, the next call tells */
	if (r == 0)
		r = sd_event_wait(daemon->event, is_urgent ? UINT64_MAX : 0);
	return r > 0 ? sd_event_dispatch(daemon->event) : r;
}

int daemon_run(struct daemon *daemon)
{
	struct spin spin = { 0 };
	int r = 0;

	while (r >= 0 && sd_event_get_state(daemon->event) != SD_EVENT_FINISHED)
		r = run_once(daemon, &spin);
	if (daemon->is_ending)
		return 0;
	return r < 0 ? r : -ECANCELED;
}

void daemon_stop(struct daemon *daemon)
{
	take_last_events(daemon);
	divert_end_all(daemon);
	judge_close_all(daemon);
	names_lost(daemon);
	(void)plane_answer_late(daemon->plane);
	providers_stop(daemon);
	canary_close(daemon);
	packets_end(daemon);
	netns_close_all(daemon);
	daemon->control = control_free(daemon->control);
	plane_remove(daemon->plane);
	providers_await_stop(daemon); /* nobody else waits for them any more */
}

static void free_children(struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		sd_event_source_disable_unref(daemon->filters[i].source);
		close_fd(daemon->filters[i].sock);
		output_close(&daemon->filters[i]);
	}
	for (unsigned int i = 0; i < daemon->n_options; i++)
		close_fd(daemon->options[i].fd);
	sd_event_source_disable_unref(daemon->names_source);
	close_fd(daemon->names_sock);
}

struct daemon *daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return NULL;
	canary_close(daemon);
	daemon->control = control_free(daemon->control);
	explain_close(daemon);
	peeking_close(daemon);
	packets_close(daemon);
	divert_close(daemon);
	daemon->flows = flow_table_free(daemon->flows);
	daemon->history = history_free(daemon->history);
	daemon->texts = texts_free(daemon->texts);
	daemon->sides = sides_free(daemon->sides);
	identity_forget_all(daemon);
	daemon->names = names_cache_free(daemon->names);
	daemon->memory = memory_free(daemon->memory);
	netns_close_all(daemon);
	daemon->plane = plane_close(daemon->plane);
	free_children(daemon);
	ruling_close(daemon);
	choosing_close(daemon);
	lists_close(daemon);
	sd_event_source_disable_unref(daemon->keeper_source);
	sd_event_source_disable_unref(daemon->tick);
	sd_event_unref(daemon->event);
	for (unsigned int i = 0; i < PLANE_KEPT_MAX; i++)
		close_fd(daemon->kept[i]);
	close_fd(daemon->flows_fd);
	free(daemon->packets);
	free(daemon->peekings.shown);
	free(daemon->record);
	close_fd(daemon->keeper_sock); /* last: the keeper takes it for our end */
	free(daemon);
	return NULL;
}
