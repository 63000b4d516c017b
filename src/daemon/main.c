/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "daemon/daemon.h"

#define KEEPER_FD 3
#define TICK_ACCURACY_US 1000U /* sd-event takes 0 for a quarter of a second */
#define LAST_EVENTS_US 100000U /* at the end: for the last states of TCP */

uint64_t daemon_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	struct daemon *daemon = data;
	uint64_t now = daemon_now_us();
	bool has_more = judge_tick(daemon, now);

	names_tick(daemon, now);
	providers_tick(daemon, now);
	canary_tick(daemon, now);
	if (now - daemon->beat_us >= KEEPER_BEAT_MS * 1000) {
		daemon->beat_us = now;
		keeper_beat(daemon);
	}
	(void)sd_event_source_set_time_relative(source, has_more ? 0 : TICK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int open_tables(struct daemon *daemon)
{
	struct timespec t;
	uint64_t seed;
	int r;

	/* ids count on from the clock, so that a successor's are larger */
	clock_gettime(CLOCK_REALTIME, &t);
	r = flow_table_new(FLOWS_MAX, (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000,
			   judge_forget, daemon, &daemon->flows);
	if (r < 0)
		return r;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	r = names_cache_new(seed, &daemon->names);
	if (r < 0)
		return r;
	daemon->packet = malloc(2 * QUEUE_PACKET_MAX);
	daemon->record = daemon->record ? daemon->record : malloc(WIRE_RECORD_MAX);
	return daemon->packet && daemon->record ? 0 : -ENOMEM;
}

static int open_plane(struct daemon *daemon, const char **ret_error)
{
	struct plane_config config = { .instance = daemon->instance.id,
				       .cgroup = daemon->instance.cgroup,
				       .bpffs = daemon->instance.bpffs,
				       .is_closed = daemon->is_closed };
	int r = plane_open(&config, TAKE_FD(daemon->kept_queue), &daemon->plane, ret_error);

	if (r < 0)
		return r;
	keeper_keep(daemon, 0, plane_queue_fd(daemon->plane));
	*ret_error = "giving up rights";
	return sandbox_enter(SANDBOX_DAEMON);
}

static int open_loop(struct daemon *daemon)
{
	int r = judge_watch(daemon);

	if (r >= 0)
		r = keeper_watch(daemon);
	if (r >= 0)
		r = sd_event_add_time_relative(daemon->event, &daemon->tick, CLOCK_MONOTONIC, 0,
					       TICK_ACCURACY_US, on_tick, daemon);
	if (r >= 0)
		r = records_open(daemon);
	return r < 0 ? r : 0;
}

static int start(struct daemon *daemon, const char **ret_error)
{
	int r;

	*ret_error = "taking memory";
	r = open_tables(daemon);
	if (r < 0)
		return r;
	r = open_plane(daemon, ret_error);
	if (r < 0)
		return r;
	*ret_error = "opening the event loop";
	session_init(&daemon->names_session, daemon_now_us());
	canary_init(daemon);
	r = open_loop(daemon);
	if (r < 0)
		return r;
	if (plane_was_adopted(daemon->plane)) {
		judge_restore(daemon);
		(void)plane_requeue(daemon->plane);
	}
	if (daemon->n_filters == 0 || daemon->generation > 0) {
		daemon->is_ready = true;
		keeper_tell_state(daemon, 0, "");
	}
	return 0;
}

/* sockets of programs that just ended still say goodbye to their peers */
static void take_last_events(struct daemon *daemon)
{
	uint64_t end = daemon_now_us() + LAST_EVENTS_US;
	struct timespec pause = { .tv_nsec = 5000000 };

	do {
		judge_read_queue(daemon);
		while (judge_drain_events(daemon))
			keeper_beat(daemon);
		if (flow_table_n_open(daemon->flows) == 0)
			break;
		nanosleep(&pause, NULL);
	} while (daemon_now_us() < end);
}

static void finish(struct daemon *daemon)
{
	take_last_events(daemon);
	judge_close_all(daemon);
	providers_stop(daemon);
	canary_close(daemon);
	daemon->control = control_free(daemon->control);
	plane_remove(daemon->plane);
	daemon->plane = plane_close(daemon->plane);
	daemon->flows = flow_table_free(daemon->flows);
	daemon->names = names_cache_free(daemon->names);
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		sd_event_source_disable_unref(daemon->filters[i].source);
	sd_event_source_disable_unref(daemon->names_source);
	sd_event_source_disable_unref(daemon->keeper_source);
	sd_event_source_disable_unref(daemon->queue_source);
	sd_event_source_disable_unref(daemon->pace_timer);
	sd_event_source_disable_unref(daemon->tick);
	sd_event_unref(daemon->event);
	free(daemon->packet);
	free(daemon->record);
}

int main(void)
{
	static struct daemon daemon = { .keeper_sock = KEEPER_FD,
					.names_sock = -1,
					.flows_fd = -1,
					.kept_queue = -1 };
	const char *step = "reading the configuration";
	char text[512];
	int r;

	log_open("sluiced", LOG_NOTICE);
	(void)signal(SIGPIPE, SIG_IGN);
	daemon.record = malloc(WIRE_RECORD_MAX);
	r = daemon.record ? sd_event_new(&daemon.event) : -ENOMEM;
	if (r >= 0)
		r = keeper_read_config(&daemon);
	log_open("sluiced", daemon.instance.log_level ? daemon.instance.log_level : LOG_NOTICE);
	if (r >= 0)
		r = start(&daemon, &step);
	if (r < 0) {
		snprintf(text, sizeof(text), "%s: %s", step, strerror(-r));
		log_error("cannot start: %s", text);
		keeper_tell_state(&daemon, -r, text);
		if (daemon.plane && !plane_was_adopted(daemon.plane))
			plane_remove(daemon.plane);
		return 1;
	}
	r = sd_event_loop(daemon.event);
	if (!daemon.is_ending) {
		log_error("the event loop failed: %s", strerror(-r));
		return 1;
	}
	finish(&daemon);
	return 0;
}
