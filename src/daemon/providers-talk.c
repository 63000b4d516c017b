/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What is said to providers, and what they say
 *
 * It is foreign: a bad record, or one out of turn, ends the session (providers.c); an
 * answer for a flow that is not asked of it is counted and ignored.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"

int providers_say(struct filter *filter, uint16_t type, const void *body, int fd)
{
	if (filter->sock < 0)
		return -ENOTCONN;
	return channel_send(filter->sock, &wire_provider_channel, type, body, NULL, 0, fd);
}

void providers_set_events(struct filter *filter, bool wants_write)
{
	filter->wants_write = wants_write;
	(void)sd_event_source_set_io_events(filter->source,
					    wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void providers_send_outcome(struct filter *filter)
{
	int r = providers_say(filter, WIRE_RULES_DONE, &filter->ruling.outcome, -1);

	filter->ruling.is_outcome_owed = r == -EAGAIN;
	if (r == -EAGAIN)
		providers_set_events(filter, true);
}

/* its silence counts from now on, but a full channel must not swallow the question */
void providers_ping(struct filter *filter)
{
	struct wire_ping record = { .token = filter->session.token };

	filter->wants_ping = providers_say(filter, WIRE_PING, &record, -1) == -EAGAIN;
	if (filter->wants_ping)
		providers_set_events(filter, true);
}

static void fill_flow(struct daemon *daemon, const struct flow *flow, struct wire_flow_new *record)
{
	const struct link *link = identity_link(daemon, flow->side->netns, flow->side->ifindex);
	const struct identity *identity = flow->side->identity;

	*record = (struct wire_flow_new){ .id = flow->id,
					  .cookie = flow->key.cookie,
					  .owner_pid = flow->side->owner_pid,
					  .owner_uid = flow->side->owner_uid,
					  .ifindex = flow->side->ifindex,
					  .direction = flow->direction,
					  .protocol = flow->key.proto,
					  .host_source = flow->host_source,
					  .host_reading = flow->host_reading,
					  .interface_kind = (uint8_t)link->kind,
					  .bound = flow->is_bound,
					  .sport = flow->lport,
					  .dport = flow->key.rport };
	memcpy(record->src, flow->side->laddr, sizeof(record->src));
	memcpy(record->dst, flow->key.raddr, sizeof(record->dst));
	text_copy(record->interface, sizeof(record->interface), link->name);
	text_copy(record->host, sizeof(record->host), flow->host);
	if (naming_may_help(daemon, flow))
		record->host_reading = FLOW_READABLE;
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

static int send_behalf(struct daemon *daemon, struct filter *filter, const struct flow *flow)
{
	const struct identity *origin = flow->side->origin;
	struct wire_flow_behalf record = { .id = flow->id, .behalf = flow->side->behalf };

	_Static_assert(sizeof(record.through) == BEHALF_THROUGH_BYTES, "as behalf_through()");
	if (!flow->side->through)
		return 0;
	(void)behalf_through(daemon, flow, record.through);
	if (origin) {
		record.origin_pid = origin->who.pid;
		record.origin_uid = origin->who.uid;
		text_copy(record.origin_exe, sizeof(record.origin_exe), origin->exe);
	}
	return providers_say(filter, WIRE_FLOW_BEHALF, &record, -1);
}

int providers_send_flow(struct daemon *daemon, unsigned int index, const struct flow *flow,
			bool is_again)
{
	struct filter *filter = &daemon->filters[index];
	struct wire_flow_new record;
	int r;

	fill_flow(daemon, flow, &record);
	record.again = is_again;
	r = send_behalf(daemon, filter, flow);
	if (r == 0)
		r = providers_say(filter, WIRE_FLOW_NEW, &record, -1);
	if (r == -EAGAIN)
		providers_set_events(filter, true);
	if (r == 0)
		session_asked(&filter->session);
	if (r == 0 && !is_again && !flow->is_hypothetical)
		filter->n_flows++;
	return r;
}

/* ---- what a provider says ---- */

/* it would be asked what it cannot answer: nothing but another configuration helps */
static void refuse_kind(struct daemon *daemon, struct filter *filter)
{
	snprintf(filter->message, sizeof(filter->message), "is no %s: start it with --%s",
		 filter_kind(filter), filter->is_proxy ? "filter" : "proxy");
	log_error("%s %s %s", filter_kind(filter), filter->name, filter->message);
	session_ready(&filter->session, false, daemon_now_us());
	providers_tell_when_ready(daemon, filter);
}

/* Return: 0; -EAGAIN; or another negative errno */
static int send_options(struct daemon *daemon, unsigned int index)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < daemon->n_options; i++) {
		const struct option *option = &daemon->options[i];
		struct wire_option record = { 0 };

		if (option->filter != index)
			continue;
		text_copy(record.key, sizeof(record.key), option->key);
		text_copy(record.value, sizeof(record.value), option->value);
		r = providers_say(&daemon->filters[index], WIRE_OPTION, &record, option->fd);
	}
	return r;
}

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
	if ((hello->kind > HELLO_FILTER) != filter->is_proxy) {
		refuse_kind(daemon, filter);
		return 0;
	}
	r = providers_say(filter, WIRE_WELCOME, &welcome, -1);
	if (r == 0)
		r = send_options(daemon, index);
	if (r == 0 && filter->is_proxy && behalf_is_wanted(daemon))
		r = providers_say(filter, WIRE_UPSTREAMS, &(struct wire_upstreams){ .wanted = 1 },
				  -1);
	if (r == 0)
		r = providers_say(filter, WIRE_START, &start, -1);
	/* without one of its options it would allow what it was told to deny: start it again */
	return r == -EAGAIN ? -ENOBUFS : r;
}

static int take_ready(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_ready *ready = WIRE_BODY(message, struct wire_ready);
	struct filter *filter = &daemon->filters[index];

	int r = 0;

	if (filter->session.state != SESSION_STARTING)
		return -EPROTO;
	if (!ready->error)
		r = packets_ready(daemon, index, ready);
	if (r < 0)
		return r == -EAGAIN ? -ENOMEM : r;
	session_ready(&filter->session, ready->error == 0, daemon_now_us());
	log_clean(filter->message, sizeof(filter->message), ready->text);
	if (ready->error)
		log_error("%s %s did not start: %s", filter_kind(filter), filter->name,
			  filter->message[0] ? filter->message : strerror((int)ready->error));
	if (!ready->error) {
		/* its options had to fit; whoever asks next has what is unread before it */
		channel_limit(filter->sock, QUESTIONS_BYTES);
		filter->takes_udp = ready->datagrams;
		ruling_ready(daemon, index);
		lists_ready(daemon, index);
		filter->wants_ends = ready->closed;
		filter->looks = ready->data;
		if (filter->looks)
			peeking_prepare(daemon);
	}
	providers_tell_when_ready(daemon, filter);
	judge_ask_waiting(daemon, index, true);
	peeking_ask_waiting(daemon, index);
	return 0;
}

static int take_pong(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	struct session *session = &daemon->filters[index].session;

	/* of the last PING: one that was not read cannot be answered */
	if (WIRE_BODY(message, struct wire_pong)->token == session->token) {
		session_heard(session, daemon_now_us());
		packets_heard(daemon, index);
	}
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

enum sl_verdict providers_verdict(uint8_t verdict)
{
	static const enum sl_verdict verdicts[] = { SL_ALLOW, SL_REJECT, SL_SILENT };

	return verdicts[verdict];
}

void providers_answered(struct filter *filter)
{
	filter->answered_us = daemon_now_us();
}

static int take_verdict(struct daemon *daemon, unsigned int index,
			const struct wire_message *message)
{
	const struct wire_flow_verdict *answer = WIRE_BODY(message, struct wire_flow_verdict);
	struct filter *filter = &daemon->filters[index];
	struct flow *flow = flow_table_find_id(daemon->flows, answer->id);

	if (!flow && explain_take(daemon, index, answer))
		return 0;
	if (live_answer(daemon, index, answer->id, providers_verdict(answer->verdict),
			(enum memory_scope)answer->scope, answer->reason) ||
	    peeking_take_verdict(daemon, index, answer)) {
		providers_answered(filter);
		return 0;
	}
	if (!flow_is_asked(flow, index)) {
		filter->n_late++;
		return 0;
	}
	providers_answered(filter);
	if (answer->verdict != 0)
		filter->n_dropped++;
	flow_set_step(flow, index, FLOW_ANSWERED, answer->scope);
	if (filter->is_proxy && answer->verdict == 0) {
		judge_decline(daemon, flow);
		return 0;
	}
	remember_answer(daemon, flow, index, (enum memory_scope)answer->scope,
			providers_verdict(answer->verdict), answer->reason);
	judge_flow(daemon, flow, providers_verdict(answer->verdict), (int)index, answer->reason);
	return 0;
}

static int take_forget(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	remember_forget(daemon, index);
	needing_rules_changed(daemon, index);
	if (WIRE_BODY(message, struct wire_flow_forget)->again)
		live_rejudge(daemon, index);
	return 0;
}

static int take_update(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	const struct wire_flow_update *update = WIRE_BODY(message, struct wire_flow_update);

	if (!live_update(daemon, index, update->id, providers_verdict(update->verdict),
			 update->reason))
		daemon->filters[index].n_late++;
	return 0;
}

static int take_stopped(struct daemon *daemon, unsigned int index,
			const struct wire_message *message)
{
	return 0; /* its exit follows */
}

enum who { FILTERS = 1, PROXIES = 2, ALL = 3 };

static const struct {
	uint16_t type;
	bool is_of_running; /* only one that runs may say it */
	enum who who;
	int (*take)(struct daemon *daemon, unsigned int index, const struct wire_message *message);
} table[] = {
	{ WIRE_FLOW_VERDICT, true, ALL, take_verdict },
	{ WIRE_FLOW_FORGET, true, FILTERS, take_forget },
	{ WIRE_FLOW_UPDATE, true, FILTERS, take_update },
	{ WIRE_FLOW_PEEK, true, FILTERS, peeking_take_peek },
	{ WIRE_FLOW_PASS, true, FILTERS, peeking_take_pass },
	{ WIRE_FLOW_PAUSE, true, FILTERS, peeking_take_pause },
	{ WIRE_FLOW_NAME, true, FILTERS, naming_take_wish },
	{ WIRE_FLOW_NEED_RULES, true, FILTERS, needing_take },
	{ WIRE_FLOW_WATCH, true, FILTERS, reports_take_watch },
	{ WIRE_PACKET_VERDICT, true, FILTERS, packets_take_verdict },
	{ WIRE_PACKET_RULES, false, FILTERS, packets_take_rules },
	{ WIRE_FLOW_TAKE, true, PROXIES, divert_take },
	{ WIRE_FLOW_OPENED, true, PROXIES, divert_take_opened },
	{ WIRE_FLOW_UPSTREAM, true, PROXIES, behalf_take },
	{ WIRE_FLOW_ASK_END, true, PROXIES, divert_take_ask },
	{ WIRE_HELLO, false, ALL, take_hello },
	{ WIRE_READY, false, ALL, take_ready },
	{ WIRE_PONG, false, ALL, take_pong },
	{ WIRE_LOG, false, ALL, take_log },
	{ WIRE_LIST, false, FILTERS, lists_take },
	{ WIRE_RULES_BEGIN, false, ALL, ruling_take_begin },
	{ WIRE_RULE, false, ALL, ruling_take_rule },
	{ WIRE_RULES_COMMIT, false, ALL, ruling_take_commit },
	{ WIRE_STOPPED, false, ALL, take_stopped },
};

int providers_take(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	bool is_running = daemon->filters[index].session.state == SESSION_RUNNING;
	unsigned int who = daemon->filters[index].is_proxy ? PROXIES : FILTERS;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].type == message->record->type && table[i].who & who &&
		    is_running >= table[i].is_of_running)
			return table[i].take(daemon, index, message);
	return -EPROTO;
}
