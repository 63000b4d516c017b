/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Providers
 *
 * One session per filter. What a provider says is foreign: a bad record ends
 * its session, an answer for a flow that is not asked of it is counted and
 * ignored. Its channel never blocks us: when it is full, flows stay held and
 * are sent when it can be written again.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"

static int send_record(struct filter *filter, uint16_t type, const void *body, int fd)
{
	if (filter->sock < 0)
		return -ENOTCONN;
	return channel_send(filter->sock, &wire_provider_channel, type, body, NULL, 0, fd);
}

static void set_events(struct filter *filter, bool wants_write)
{
	filter->wants_write = wants_write;
	(void)sd_event_source_set_io_events(filter->source,
					    wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void providers_send_outcome(struct filter *filter)
{
	int r = send_record(filter, WIRE_RULES_DONE, &filter->ruling.outcome, -1);

	filter->ruling.is_outcome_owed = r == -EAGAIN;
	if (r == -EAGAIN)
		set_events(filter, true);
}

/* its silence counts from now on, but a full channel must not swallow the question */
static void ping(struct filter *filter)
{
	struct wire_ping record = { .token = filter->session.pinged_us };

	filter->wants_ping = send_record(filter, WIRE_PING, &record, -1) == -EAGAIN;
	if (filter->wants_ping)
		set_events(filter, true);
}

static void fill_flow(struct daemon *daemon, const struct flow *flow, struct wire_flow_new *record)
{
	const struct link *link = identity_link(daemon, flow->tuple.netns, flow->ifindex);
	const struct identity *identity = flow->identity;

	*record = (struct wire_flow_new){ .id = flow->id,
					  .cookie = flow->key.cookie,
					  .owner_pid = flow->owner_pid,
					  .owner_uid = flow->owner_uid,
					  .ifindex = flow->ifindex,
					  .direction = flow->direction,
					  .protocol = flow->tuple.proto,
					  .host_source = flow->host_source,
					  .interface_kind = (uint8_t)link->kind,
					  .sport = flow->tuple.lport,
					  .dport = flow->tuple.rport };
	memcpy(record->src, flow->tuple.laddr, sizeof(record->src));
	memcpy(record->dst, flow->tuple.raddr, sizeof(record->dst));
	text_copy(record->interface, sizeof(record->interface), link->name);
	text_copy(record->host, sizeof(record->host), flow->host);
	if (!identity)
		return;
	record->pid = identity->who.pid;
	record->uid = identity->who.uid;
	record->gid = identity->who.gid;
	record->exe_inode = identity->who.exe_ino;
	record->exe_device = identity->who.exe_dev;
	record->is_cut = identity->is_cut;
	text_copy(record->exe, sizeof(record->exe), identity->exe);
	text_copy(record->command, sizeof(record->command), identity->command);
	text_copy(record->cgroup, sizeof(record->cgroup), identity->cgroup);
	text_copy(record->unit, sizeof(record->unit), identity->unit);
	text_copy(record->container, sizeof(record->container), identity->container);
}

int providers_send_flow(struct daemon *daemon, unsigned int index, const struct flow *flow,
			bool is_again)
{
	struct filter *filter = &daemon->filters[index];
	struct wire_flow_new record;
	int r;

	fill_flow(daemon, flow, &record);
	record.again = is_again;
	r = send_record(filter, WIRE_FLOW_NEW, &record, -1);
	if (r == -EAGAIN)
		set_events(filter, true);
	if (r == 0)
		session_asked(&filter->session);
	if (r == 0 && !is_again && !flow->is_hypothetical)
		filter->n_flows++;
	return r;
}

/* ---- what a provider says ---- */

static int take_hello(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_hello *hello = WIRE_BODY(message, struct wire_hello);
	struct filter *filter = &daemon->filters[index];
	struct wire_welcome welcome = { .version = WIRE_PROVIDER_VERSION,
					.session = (uint64_t)filter->session.restarts + 1 };
	struct wire_start start = { .reason = filter->session.restarts ? 1 : 0 };
	int r;

	if (filter->session.state != SESSION_CALLED)
		return -EPROTO;
	if (hello->version < WIRE_PROVIDER_VERSION) {
		log_error("%s speaks protocol version %u, this sluiced needs %u: rebuild it",
			  filter->name, hello->version, WIRE_PROVIDER_VERSION);
		return -EPROTO;
	}
	text_copy(welcome.instance, sizeof(welcome.instance), daemon->instance.id);
	session_said_hello(&filter->session, daemon_now_us());
	r = send_record(filter, WIRE_WELCOME, &welcome, -1);
	for (unsigned int i = 0; r == 0 && i < daemon->n_options; i++) {
		const struct option *option = &daemon->options[i];
		struct wire_option record = { 0 };

		if (option->filter != index)
			continue;
		text_copy(record.key, sizeof(record.key), option->key);
		text_copy(record.value, sizeof(record.value), option->value);
		r = send_record(filter, WIRE_OPTION, &record, option->fd);
	}
	if (r == 0)
		r = send_record(filter, WIRE_START, &start, -1);
	/* without one of its options it would allow what it was told to deny: start it again */
	return r == -EAGAIN ? -ENOBUFS : r;
}

/* the first start of all decides whether the instance is in force */
static void tell_when_ready(struct daemon *daemon, const struct filter *filter)
{
	char text[320];

	if (filter->session.state == SESSION_FAILED && !daemon->is_ready) {
		snprintf(text, sizeof(text), "filter %s: %s", filter->name, filter->message);
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

static int take_ready(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_ready *ready = WIRE_BODY(message, struct wire_ready);
	struct filter *filter = &daemon->filters[index];

	if (filter->session.state != SESSION_STARTING)
		return -EPROTO;
	session_ready(&filter->session, ready->error == 0, daemon_now_us());
	log_clean(filter->message, sizeof(filter->message), ready->text);
	if (ready->error)
		log_error("filter %s did not start: %s", filter->name,
			  filter->message[0] ? filter->message : strerror((int)ready->error));
	if (!ready->error) {
		/* its options had to fit; whoever asks next has what is unread before it */
		channel_limit(filter->sock, QUESTIONS_BYTES);
		ruling_ready(daemon, index);
	}
	tell_when_ready(daemon, filter);
	judge_ask_waiting(daemon, index, true);
	return 0;
}

static int take_pong(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	struct session *session = &daemon->filters[index].session;

	/* of the last PING: one that was not read cannot be answered */
	if (WIRE_BODY(message, struct wire_pong)->token == session->pinged_us)
		session_heard(session, daemon_now_us());
	return 0;
}

static int take_log(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_log *line = WIRE_BODY(message, struct wire_log);
	struct filter *filter = &daemon->filters[index];

	log_clean(filter->message, sizeof(filter->message), line->text);
	output_say(filter, line->level, line->text);
	return 0;
}

static const enum sl_verdict verdicts[] = { SL_ALLOW, SL_REJECT, SL_SILENT }; /* of the wire */

static int take_verdict(struct daemon *daemon, unsigned int index,
			const struct wire_message *message)
{
	const struct wire_flow_verdict *answer = WIRE_BODY(message, struct wire_flow_verdict);
	struct filter *filter = &daemon->filters[index];
	struct flow *flow = flow_table_find_id(daemon->flows, answer->id);

	if (live_answer(daemon, index, answer->id, verdicts[answer->verdict],
			(enum memory_scope)answer->scope, answer->reason))
		return 0;
	if (!flow && explain_take(daemon, index, answer))
		return 0;
	if (!flow || flow->state != FLOW_HELD || flow->asked != index || !flow->is_sent) {
		filter->n_late++;
		return 0;
	}
	if (answer->verdict != 0)
		filter->n_dropped++;
	flow->steps[index] = (struct flow_step){ FLOW_ANSWERED, answer->scope };
	remember_answer(daemon, flow, index, (enum memory_scope)answer->scope,
			verdicts[answer->verdict], answer->reason);
	judge_flow(daemon, flow, verdicts[answer->verdict], (int)index, answer->reason);
	return 0;
}

static int take_forget(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	remember_forget(daemon, index);
	if (WIRE_BODY(message, struct wire_flow_forget)->again)
		live_rejudge(daemon, index);
	return 0;
}

static int take_update(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	const struct wire_flow_update *update = WIRE_BODY(message, struct wire_flow_update);

	if (!live_update(daemon, index, update->id, verdicts[update->verdict], update->reason))
		daemon->filters[index].n_late++;
	return 0;
}

static int take_stopped(struct daemon *daemon, unsigned int index,
			const struct wire_message *message)
{
	return 0; /* its exit follows */
}

static const struct {
	uint16_t type;
	bool is_of_running; /* only a filter that runs may say it */
	int (*take)(struct daemon *daemon, unsigned int index, const struct wire_message *message);
} table[] = {
	{ WIRE_FLOW_VERDICT, true, take_verdict },
	{ WIRE_FLOW_FORGET, true, take_forget },
	{ WIRE_FLOW_UPDATE, true, take_update },
	{ WIRE_HELLO, false, take_hello },
	{ WIRE_READY, false, take_ready },
	{ WIRE_PONG, false, take_pong },
	{ WIRE_LOG, false, take_log },
	{ WIRE_RULES_BEGIN, false, ruling_take_begin },
	{ WIRE_RULE, false, ruling_take_rule },
	{ WIRE_RULES_COMMIT, false, ruling_take_commit },
	{ WIRE_STOPPED, false, take_stopped },
};

static int take(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	bool is_running = daemon->filters[index].session.state == SESSION_RUNNING;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].type == message->record->type && is_running >= table[i].is_of_running)
			return table[i].take(daemon, index, message);
	return -EPROTO;
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
		log_error("filter %s %s: replacing it", filter->name, filter->message);
		keeper_kill(daemon, index + 1);
	}
	disconnect(filter); /* its exit is told by the keeper */
}

static int read_provider(struct daemon *daemon, unsigned int index)
{
	struct filter *filter = &daemon->filters[index];
	struct wire_message message;
	int passed = -1, r;

	for (int i = 0; i < RECORDS_A_ROUND && filter->sock >= 0; i++) {
		r = channel_recv(filter->sock, &wire_provider_channel, 1, daemon->record, &message,
				 NULL, &passed);
		if (r)
			return r;
		close_fd(passed);
		if (!session_may_say(&filter->session, daemon_now_us()))
			return -ENOBUFS;
		r = take(daemon, index, &message);
		if (r < 0 && r != -EAGAIN)
			return r;
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
		set_events(&daemon->filters[index], false);
		if (daemon->filters[index].ruling.is_outcome_owed)
			providers_send_outcome(&daemon->filters[index]);
		if (daemon->filters[index].wants_ping)
			ping(&daemon->filters[index]);
		live_ask_more(daemon, index); /* a flood of new flows would leave no place for them */
		judge_ask_waiting(daemon, index, false);
	}
	r = read_provider(daemon, index);
	if (r != -EAGAIN)
		break_off(daemon, index, r);
	judge_settle(daemon, false);
	return 0;
}

void providers_connected(struct daemon *daemon, unsigned int index, int sock, pid_t pid)
{
	struct filter *filter = &daemon->filters[index];

	disconnect(filter);
	filter->sock = sock;
	filter->pid = pid;
	if (sd_event_add_io(daemon->event, &filter->source, sock, EPOLLIN, on_provider, daemon) < 0)
		log_error("cannot watch filter %s", filter->name);
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

	snprintf(filter->message + n, sizeof(filter->message) - n,
		 ", %u times in a row: given up, every flow fails %s: put the filter right, then "
		 "start the instance again",
		 filter->session.deaths, filter->is_closed ? "closed" : "open");
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
	ruling_lost(filter);
	filter->pid = 0;
	if (filter->session.state == SESSION_FAILED) /* it said why: READY with an errno */
		return;
	say_exit(filter, status);
	if (!daemon->is_ready && !daemon->generation && filter->session.state != SESSION_RUNNING &&
	    filter->session.deaths >= 2)
		filter->session.deaths = SESSION_DEATHS_MAX; /* never started: do not insist */
	session_exited(&filter->session, daemon_now_us());
	if (filter->session.state == SESSION_FAILED)
		say_given_up(filter);
	log_error("filter %s %s%s", filter->name, filter->message,
		  filter->session.state == SESSION_FAILED ? "" : ": restarting it");
	tell_when_ready(daemon, filter);
	judge_ask_waiting(daemon, index, true);
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
			ping(filter);
			break;
		case SESSION_DO_KILL:
			keeper_kill(daemon, i + 1);
			break;
		case SESSION_DO_NOTHING:
			break;
		}
	}
}

void providers_stop(struct daemon *daemon)
{
	struct wire_stop stop = { .reason = 1 };

	reports_flush(daemon);
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		(void)send_record(&daemon->filters[i], WIRE_STOP, &stop, -1);
}
