/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Providers
 *
 * One session per filter, which a bad record ends. Its channel never blocks us:
 * when it is full, flows stay held and are sent when it can be written again.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/log.h"
#include "daemon/daemon.h"

#define STOP_US 1000000U /* for all of them together */
#define STOP_PAUSE_US 2000U

/* the first start of all decides whether the instance is in force */
void providers_tell_when_ready(struct daemon *daemon, const struct filter *filter)
{
	char text[320];

	if (filter->session.state == SESSION_FAILED && !daemon->is_ready) {
		snprintf(text, sizeof(text), "%s %s: %s", filter_kind(filter), filter->name,
			 filter->message);
		daemon->is_ready = true;
		keeper_tell_state(daemon, EINVAL, text);
		return;
	}
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		if (daemon->filters[i].session.state != SESSION_RUNNING)
			return;
	if (plane_relax(daemon->plane) < 0)
		log_error("cannot put the fail class in force: what nobody judges is refused");
	if (!daemon->is_ready)
		keeper_tell_state(daemon, 0, "");
	daemon->is_ready = true;
}

static void disconnect(struct filter *filter)
{
	filter->source = sd_event_source_disable_unref(filter->source);
	filter->sock = close_fd(filter->sock);
	filter->wants_write = filter->wants_ping = false;
}

static void break_off(struct daemon *daemon, unsigned int index, int error)
{
	struct filter *filter = &daemon->filters[index];

	if (error != -EPIPE) {
		snprintf(filter->message, sizeof(filter->message), "broke the protocol: %s",
			 error == -ENOBUFS ? "more records than questions"
			 : error > 0	   ? wire_strerror(error)
					   : strerror(-error));
		log_error("%s %s %s: replacing it", filter_kind(filter), filter->name,
			  filter->message);
		keeper_kill(daemon, index + 1);
	}
	disconnect(filter); /* its exit is told by the keeper */
}

/* Return: 0; -EAGAIN: there is none; or what ends the session */
static int read_record(struct daemon *daemon, unsigned int index)
{
	struct filter *filter = &daemon->filters[index];
	struct wire_message message;
	int passed = -1, r;

	r = channel_recv(filter->sock, &wire_provider_channel, 1, daemon->record, &message, NULL,
			 &passed);
	if (r)
		return r;
	close_fd(passed);
	if (!session_may_say(&filter->session, daemon_now_us()))
		return -ENOBUFS;
	r = providers_take(daemon, index, &message);
	return r == -EAGAIN ? 0 : r;
}

static int read_provider(struct daemon *daemon, unsigned int index)
{
	int r;

	for (int i = 0; i < RECORDS_A_ROUND && daemon->filters[index].sock >= 0; i++) {
		r = read_record(daemon, index);
		if (r)
			return r;
		if (flow_table_n_held(daemon->flows) == 0 && !packets_wait(daemon))
			break; /* nobody waits for what more there is: it is read at its turn */
	}
	return -EAGAIN;
}

static int on_provider(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct daemon *daemon = data;
	unsigned int index = 0;
	int r;

	while (index < daemon->n_filters && daemon->filters[index].sock != fd)
		index++;
	if (index == daemon->n_filters)
		return 0;
	if (events & EPOLLOUT) {
		providers_set_events(&daemon->filters[index], false);
		if (daemon->filters[index].ruling.is_outcome_owed)
			providers_send_outcome(&daemon->filters[index]);
		if (daemon->filters[index].wants_ping)
			providers_ping(&daemon->filters[index]);
		live_ask_more(daemon,
			      index); /* a flood of new flows would leave no place for them */
		divert_send(daemon, index);
		judge_ask_waiting(daemon, index, false);
		peeking_ask_waiting(daemon, index);
		packets_send(daemon, index);
		packets_resume(daemon);
	}
	r = read_provider(daemon, index);
	if (r != -EAGAIN)
		break_off(daemon, index, r);
	packets_flush(daemon);
	judge_settle(daemon, false);
	return 0;
}

void providers_connected(struct daemon *daemon, unsigned int index, int sock, pid_t pid)
{
	struct filter *filter = &daemon->filters[index];
	int r;

	disconnect(filter);
	filter->sock = sock;
	filter->pid = pid;
	r = sd_event_add_io(daemon->event, &filter->source, sock, EPOLLIN, on_provider, daemon);
	if (r >= 0)
		return;
	/* it would not be heard, and flows wait for it: the next one may be */
	log_error("cannot watch %s %s: %s: replacing it", filter_kind(filter), filter->name,
		  strerror(-r));
	session_unheard(&filter->session);
	keeper_kill(daemon, index + 1);
	disconnect(filter);
}

void providers_read(struct daemon *daemon)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		const struct filter *filter = &daemon->filters[i];
		bool is_heard = filter->source && filter->session.state == SESSION_RUNNING;
		int r = is_heard ? read_provider(daemon, i) : -EAGAIN;

		if (r != -EAGAIN)
			break_off(daemon, i, r);
	}
}

void providers_hear(struct daemon *daemon, unsigned int index)
{
	const struct filter *filter = &daemon->filters[index];
	int r = filter->sock < 0 ? -EAGAIN : 0;

	while (r == 0 && filter->sock >= 0)
		r = read_record(daemon, index);
	if (r && r != -EAGAIN)
		break_off(daemon, index, r);
}

static void say_exit(struct filter *filter, int status)
{
	if (WIFSIGNALED(status))
		snprintf(filter->message, sizeof(filter->message), "killed by signal %d (%s)%s",
			 WTERMSIG(status), strsignal(WTERMSIG(status)),
			 filter->session.is_hung ? ": it hung" : "");
	else
		snprintf(filter->message, sizeof(filter->message), "exited with status %d",
			 WEXITSTATUS(status));
}

/* what the person who must act now is shown, in the log and by `sluice status` */
static void say_given_up(struct filter *filter)
{
	size_t n = strlen(filter->message);
	char often[32] = "";

	if (filter->session.deaths > 1)
		snprintf(often, sizeof(often), ", %u times in a row", filter->session.deaths);
	snprintf(filter->message + n, sizeof(filter->message) - n,
		 "%s: given up, every flow fails %s: put the %s right, then start the instance "
		 "again",
		 often, filter->is_closed ? "closed" : "open", filter_kind(filter));
}

/* Whoever starts the instance waits for it, and it has never started. One that hung has had all its
 * time; what killed another may be over. */
static bool is_hopeless(const struct daemon *daemon, const struct filter *filter)
{
	const struct session *session = &filter->session;

	return !daemon->is_ready && !daemon->generation && session->state != SESSION_RUNNING &&
	       !session->is_unheard && (session->is_hung || session->deaths >= 2);
}

void providers_lost(struct daemon *daemon, unsigned int index, int status)
{
	struct filter *filter = &daemon->filters[index];

	if (filter->session.state == SESSION_DOWN || filter->session.state == SESSION_FAILED)
		return;
	(void)read_provider(daemon, index); /* what it said last counts */
	reports_forget(daemon, index);
	disconnect(filter);
	output_close(filter);
	remember_forget(daemon, index);
	live_lost(daemon, index);
	peeking_lost(daemon, index);
	packets_lost(daemon, index);
	divert_lost(daemon, index);
	ruling_lost(filter);
	filter->needs_rules = filter->has_rules = false; /* the next one may have them */
	filter->pid = 0;
	if (filter->session.state == SESSION_FAILED) /* it said why: READY with an errno */
		return;
	say_exit(filter, status);
	filter->session.is_last = is_hopeless(daemon, filter);
	session_exited(&filter->session, daemon_now_us());
	if (filter->session.state == SESSION_FAILED)
		say_given_up(filter);
	log_error("%s %s %s%s", filter_kind(filter), filter->name, filter->message,
		  filter->session.state == SESSION_FAILED ? "" : ": restarting it");
	providers_tell_when_ready(daemon, filter);
	judge_ask_waiting(daemon, index, true);
	peeking_ask_waiting(daemon, index);
	providers_tick(daemon, daemon_now_us()); /* it may be started again at once */
}

static void spawn(struct daemon *daemon, unsigned int index)
{
	_cleanup_close_ int output = output_open(&daemon->filters[index].output);

	keeper_spawn(daemon, index + 1, output);
}

void providers_tick(struct daemon *daemon, uint64_t now_us)
{
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		struct filter *filter = &daemon->filters[i];

		output_read(filter);
		switch (session_tick(&filter->session, now_us)) {
		case SESSION_DO_SPAWN:
			session_spawned(&filter->session, now_us);
			spawn(daemon, i);
			break;
		case SESSION_DO_PING:
			providers_ping(filter);
			break;
		case SESSION_DO_KILL:
			keeper_kill(daemon, i + 1);
			break;
		case SESSION_DO_NOTHING:
			break;
		}
	}
}

/* ---- the end ---- */

/* a full channel has place for it later */
static void tell_to_stop(struct filter *filter)
{
	struct wire_stop stop = { .reason = 1 };

	if (!filter->is_told_to_stop)
		filter->is_told_to_stop = providers_say(filter, WIRE_STOP, &stop, -1) == 0;
}

void providers_stop(struct daemon *daemon)
{
	reports_flush(daemon);
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		tell_to_stop(&daemon->filters[i]);
}

/* its process has ended: STOPPED is not the end, as the keeper kills who is left after us. Of what it
 * says now only what is for people is of use */
static bool has_stopped(struct daemon *daemon, unsigned int index)
{
	struct filter *filter = &daemon->filters[index];
	struct wire_message message;
	int passed = -1, r = 0;

	tell_to_stop(filter);
	output_read(filter); /* it would wait in write(2) */
	for (int i = 0; i < RECORDS_A_ROUND && filter->sock >= 0 && r == 0; i++) {
		r = channel_recv(filter->sock, &wire_provider_channel, 1, daemon->record, &message,
				 NULL, &passed);
		passed = close_fd(passed);
		if (r == 0 && message.record->type == WIRE_LOG)
			r = providers_take(daemon, index, &message);
	}
	return filter->sock < 0 || (r && r != -EAGAIN); /* it is gone, or talks nonsense */
}

void providers_await_stop(struct daemon *daemon)
{
	uint64_t end_us = daemon_now_us() + STOP_US;
	bool has_ended[FILTERS_MAX] = { false };
	unsigned int n_left;

	for (;;) {
		n_left = 0;
		for (unsigned int i = 0; i < daemon->n_filters; i++) {
			has_ended[i] = has_ended[i] || has_stopped(daemon, i);
			n_left += !has_ended[i];
		}
		if (n_left == 0 || daemon_now_us() >= end_us)
			break;
		daemon_sleep_us(STOP_PAUSE_US);
	}
	for (unsigned int i = 0; n_left && i < daemon->n_filters; i++)
		if (!has_ended[i])
			log_error("%s %s has not stopped within %u ms: it is killed",
				  filter_kind(&daemon->filters[i]), daemon->filters[i].name,
				  STOP_US / 1000);
}
