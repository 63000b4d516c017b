/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Names from answers of name servers
 *
 * An answer to a governed socket is held while sluice-names reads it, so that
 * the application cannot connect before its names are known. Payload is
 * forwarded unread. When sluice-names is gone or slow the answer goes on.
 *
 * While the kernel has not taken that verdicts are out of date, it may allow an
 * address for a name it had before: an instance that fails closed drops answers
 * until then, the application asks again.
 *
 * What the first bytes of a flow name is asked of sluice-names too: naming.c.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"
#include "flow/packet.h"
#include "wire/names-records.h"

static void let_go(struct daemon *daemon, uint64_t packet_id, uint32_t mark,
		   enum queue_verdict verdict)
{
	/* the mark of one that meets the rules again says that it was read */
	(void)plane_answer(daemon->plane, packet_id, verdict,
			   verdict == QUEUE_AGAIN ? mark : mark & ~SL_MARK_MASK);
}

static void let_answer_go(struct daemon *daemon, struct pending_answer *answer)
{
	bool is_safe = !daemon->wants_renew || !daemon->is_closed;

	let_go(daemon, answer->packet_id, answer->mark, is_safe ? answer->verdict : QUEUE_DROP);
	answer->token = 0;
	daemon->n_answers--;
}

static struct pending_answer *find_answer(struct daemon *daemon, uint64_t token)
{
	for (size_t i = 0; i < NAMES_PENDING_MAX; i++)
		if (daemon->answers[i].token == token)
			return &daemon->answers[i];
	return NULL;
}

/* a datagram, or a piece of a stream, in chunks that fit a record */
static int look(struct daemon *daemon, struct pending_answer *answer,
		const struct packet_view *view, uint64_t cookie)
{
	struct wire_look record = { .token = answer->token, .kind = LOOK_DNS };
	size_t at = 0;

	if (view->tuple.proto == IPPROTO_TCP)
		record.stream = cookie;
	do {
		size_t n = MIN(view->n_payload - at, WIRE_TAIL_MAX);
		int r;

		record.seq = view->tcp_seq + (uint32_t)at;
		r = channel_send(daemon->names_sock, &wire_names_channel, WIRE_LOOK, &record,
				 view->payload + at, n, -1);
		if (r < 0)
			return r;
		answer->n_looks++;
		at += n;
	} while (at < view->n_payload);
	return 0;
}

/* once it was read: filters may look at it as well. The rules hold it for them by what sl_flows says;
 * else they would give it to us again and again */
static enum queue_verdict way_of(struct daemon *daemon, const struct sl_tuple *tuple,
				 uint64_t cookie)
{
	struct sl_flow_key key = {
		.cookie = cookie, .rport = tuple->rport, .proto = tuple->proto, .lo = tuple->lo
	};
	const struct peeking *peeking;
	const struct flow *flow;
	bool is_shown;

	memcpy(key.raddr, tuple->raddr, sizeof(key.raddr));
	flow = flow_table_find(daemon->flows, &key);
	if (!flow || !flow->peeking)
		return QUEUE_ACCEPT;
	peeking = flow->peeking;
	if (!peeking->is_begun && !flow->is_restored)
		return QUEUE_DROP; /* it answers what has not left */
	is_shown = peeking->is_begun ? peek_is_shown(peeking->core, SL_DIR_IN) ||
					       peek_is_guarded(peeking->core, SL_DIR_IN)
				     : (peeking->may & SL_PEEK_IN) != 0;
	return is_shown ? QUEUE_AGAIN : QUEUE_ACCEPT;
}

static int begin_answer(struct daemon *daemon, const struct queue_packet *packet,
			struct pending_answer **ret_answer, struct packet_view *view,
			uint64_t *ret_cookie)
{
	struct pending_answer *answer;
	struct sl_sock sock;

	if (daemon->names_sock < 0 || packet_parse(packet->bytes, packet->n_bytes, true, view) ||
	    view->n_payload == 0)
		return -ENODATA;
	judge_place(packet, &view->tuple);
	if (plane_find_query(daemon->plane, &view->tuple, ret_cookie) < 0 ||
	    plane_find_sock(daemon->plane, *ret_cookie, &sock) < 0)
		return -ENOENT;
	answer = find_answer(daemon, 0);
	if (!answer)
		return -ENOBUFS;
	*answer = (struct pending_answer){ .token = ++daemon->next_token,
					   .packet_id = packet->id,
					   .mark = packet->mark,
					   .pid = sock.user.pid,
					   .app = sl_app_of(&sock.user, sock.netns),
					   .verdict = way_of(daemon, &view->tuple, *ret_cookie),
					   .deadline_us = daemon_now_us() + NAMES_DEADLINE_US };
	daemon->n_answers++;
	*ret_answer = answer;
	return 0;
}

/* its program may know each of its addresses by a name that we do not */
static void let_answer_go_unread(struct daemon *daemon, struct pending_answer *answer)
{
	names_forget(daemon->names, &answer->app);
	let_answer_go(daemon, answer);
}

static void forget_names(struct daemon *daemon, uint64_t cookie)
{
	struct sl_sock sock;
	struct sl_app app;

	if (plane_find_sock(daemon->plane, cookie, &sock) < 0)
		return;
	app = sl_app_of(&sock.user, sock.netns);
	names_forget(daemon->names, &app);
}

/* it goes on, or to the filters that look at it */
static void go_unread(struct daemon *daemon, const struct queue_packet *packet)
{
	enum queue_verdict verdict = QUEUE_ACCEPT;
	struct packet_view view;
	uint64_t cookie;

	if (packet_parse(packet->bytes, packet->n_bytes, true, &view) == 0) {
		judge_place(packet, &view.tuple);
		if ((view.n_payload || view.is_tcp_syn || view.is_tcp_fin || view.is_tcp_reset) &&
		    plane_find_query(daemon->plane, &view.tuple, &cookie) == 0) {
			verdict = way_of(daemon, &view.tuple, cookie);
			if (view.n_payload)
				forget_names(daemon, cookie);
		}
	}
	let_go(daemon, packet->id, packet->mark, verdict);
}

void names_read_answer(struct daemon *daemon, const struct queue_packet *packet)
{
	struct pending_answer *answer;
	struct packet_view view;
	uint64_t cookie;

	if (begin_answer(daemon, packet, &answer, &view, &cookie) < 0) {
		go_unread(daemon, packet);
		return;
	}
	if (look(daemon, answer, &view, cookie) < 0)
		let_answer_go_unread(daemon, answer);
}

static void take_name(struct daemon *daemon, const struct wire_name *name)
{
	struct pending_answer *answer = find_answer(daemon, name->token);

	if (answer && name->token)
		names_add(daemon->names, &answer->app, answer->pid, name->address, name->name,
			  name->ttl_s, daemon_now_us());
}

static void take_done(struct daemon *daemon, const struct wire_done *done)
{
	struct pending_answer *answer = find_answer(daemon, done->token);

	if (answer && done->token && --answer->n_looks == 0)
		let_answer_go(daemon, answer);
}

static int on_names(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct daemon *daemon = data;
	struct wire_message message;
	int r = -EAGAIN, passed = -1, n = 0;

	while (n++ < RECORDS_A_ROUND &&
	       (r = channel_recv(fd, &wire_names_channel, 1, daemon->record, &message, NULL,
				 &passed)) == 0) {
		close_fd(passed);
		if (message.record->type == WIRE_NAME)
			take_name(daemon, WIRE_BODY(&message, struct wire_name));
		else if (message.record->type == WIRE_HOST)
			naming_take_host(daemon, WIRE_BODY(&message, struct wire_host));
		else
			take_done(daemon, WIRE_BODY(&message, struct wire_done));
	}
	if (r == 0 || r == -EAGAIN)
		return 0;
	if (r > 0)
		log_error("sluice-names broke the protocol: %s", wire_strerror(r));
	keeper_kill(daemon, 0);
	names_lost(daemon);
	return 0;
}

void names_connected(struct daemon *daemon, int sock, pid_t pid)
{
	int r;

	daemon->names_sock = sock;
	daemon->names_pid = pid;
	r = sd_event_add_io(daemon->event, &daemon->names_source, sock, EPOLLIN, on_names, daemon);
	if (r >= 0)
		return;
	log_error("cannot watch sluice-names: %s: replacing it", strerror(-r));
	session_unheard(&daemon->names_session);
	keeper_kill(daemon, 0);
	names_lost(daemon);
}

void names_lost(struct daemon *daemon)
{
	if (daemon->names_sock < 0)
		return;
	daemon->names_source = sd_event_source_disable_unref(daemon->names_source);
	daemon->names_sock = close_fd(daemon->names_sock);
	session_exited(&daemon->names_session, daemon_now_us());
	if (daemon->names_session.state == SESSION_FAILED)
		log_error(
			"sluice-names ended %u times in a row: given up, no flow has a name: start "
			"the instance again",
			daemon->names_session.deaths);
	for (size_t i = 0; i < NAMES_PENDING_MAX; i++)
		if (daemon->answers[i].token)
			let_answer_go_unread(daemon, &daemon->answers[i]);
	naming_lost(daemon);
}

void names_tick(struct daemon *daemon, uint64_t now_us)
{
	bool is_slow = naming_is_late(daemon, now_us);

	for (size_t i = 0; daemon->n_answers && i < NAMES_PENDING_MAX; i++)
		if (daemon->answers[i].token && now_us >= daemon->answers[i].deadline_us) {
			let_answer_go_unread(daemon, &daemon->answers[i]);
			is_slow = true;
		}
	if (is_slow) { /* it hangs: an answer is read in microseconds */
		log_warning("sluice-names did not read what it was sent in time: replacing it");
		keeper_kill(daemon, 0);
		names_lost(daemon);
	}
	if (daemon->names_session.state == SESSION_DOWN &&
	    session_tick(&daemon->names_session, now_us) == SESSION_DO_SPAWN) {
		keeper_spawn(daemon, 0, -1);
		session_spawned(&daemon->names_session, now_us);
		session_said_hello(&daemon->names_session, now_us);
		session_ready(&daemon->names_session, true, now_us);
	}
}
