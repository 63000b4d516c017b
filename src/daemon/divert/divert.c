/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Flows that proxies take: from the question to the first packet */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "daemon/judge/judge.h"

#define DEAF_SAID_US 1000000U /* after the last failure: it is another one */
#define LISTEN_AGAIN_US 100000U
#define SOURCES_OF_TCP 2U /* those of UDP follow */

bool divert_is_used(const struct daemon *daemon)
{
	bool has_any = false;

	for (unsigned int i = 0; i < daemon->n_filters; i++)
		has_any |= daemon->filters[i].is_proxy;
	return has_any;
}

int divert_open(struct daemon *daemon)
{
	int r;

	if (!divert_is_used(daemon))
		return 0;
	r = diverts_new(daemon->seed, &daemon->diverts);
	if (r == 0 && behalf_is_wanted(daemon))
		r = upstreams_new(daemon->seed, &daemon->upstreams);
	return r < 0 ? r : plane_divert(daemon->plane);
}

void divert_close(struct daemon *daemon)
{
	for (unsigned int i = 0; daemon->diverts && i < daemon->n_filters; i++)
		divert_lost(daemon, i);
	daemon->diverts = diverts_free(daemon->diverts);
	daemon->upstreams = upstreams_free(daemon->upstreams);
}

/* from source @first on */
static void hear(struct space *space, size_t first, bool is_heard)
{
	for (size_t i = first; i < ARRAY_SIZE(space->client_sources); i++)
		if (space->client_sources[i])
			(void)sd_event_source_set_enabled(space->client_sources[i],
							  is_heard ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* without descriptors, say, it would be called for ever */
static int heard(struct space *space, int r)
{
	struct daemon *daemon = space->daemon;
	uint64_t now_us = daemon_now_us();

	if (r == 0 || r == -EAGAIN)
		return 0;
	hear(space, 0, false);
	daemon->is_deaf = true;
	if (now_us - daemon->deaf_us >= DEAF_SAID_US)
		log_error("cannot take what comes for a proxy: %s; trying again", strerror(-r));
	daemon->deaf_us = now_us;
	return 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct space *space = data;
	const struct netns *netns = plane_netns(space->daemon->plane, space->place);
	bool is_ipv6 = fd == netns->sockets[NETNS_LISTEN6];

	return heard(space, divert_accept(space->daemon, space->place, is_ipv6));
}

/* what waits behind a full line would be told of for ever */
static int on_datagram(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct space *space = data;
	struct daemon *daemon = space->daemon;
	int r = divert_receive(daemon, space->place);

	if (divert_is_line_full(daemon)) {
		hear(space, SOURCES_OF_TCP, false);
		daemon->far.is_paused = true;
	}
	return heard(space, r);
}

static void hear_all(struct daemon *daemon)
{
	for (unsigned int i = 0; i < plane_n_places(daemon->plane); i++)
		if (daemon->namespaces.spaces[i])
			hear(daemon->namespaces.spaces[i], 0, true);
}

void divert_tick(struct daemon *daemon)
{
	if (!daemon->is_deaf)
		return;
	daemon->is_deaf = false;
	hear_all(daemon);
}

void divert_line_moved(struct daemon *daemon)
{
	if (!daemon->far.is_paused || divert_is_line_full(daemon))
		return;
	daemon->far.is_paused = false;
	hear_all(daemon);
}

int divert_listen(struct daemon *daemon, struct space *space)
{
	static const struct {
		enum netns_socket socket;
		unsigned int is_udp, is_ipv6;
		sd_event_io_handler_t handler;
	} listeners[] = { { NETNS_LISTEN4, 0, 0, on_client },
			  { NETNS_LISTEN6, 0, 1, on_client },
			  { NETNS_DATAGRAMS4, 1, 0, on_datagram },
			  { NETNS_DATAGRAMS6, 1, 1, on_datagram } };
	const struct netns *netns = plane_netns(daemon->plane, space->place);
	int r = 0;

	if (!daemon->diverts)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(listeners) && r >= 0; i++)
		if (netns->divert_port[listeners[i].is_udp][listeners[i].is_ipv6] &&
		    !space->client_sources[i])
			r = sd_event_add_io(daemon->event, &space->client_sources[i],
					    netns->sockets[listeners[i].socket], EPOLLIN,
					    listeners[i].handler, space);
	return r < 0 ? r : 0;
}

void divert_unlisten(struct space *space)
{
	for (size_t i = 0; i < ARRAY_SIZE(space->client_sources); i++)
		space->client_sources[i] = sd_event_source_disable_unref(space->client_sources[i]);
}

/* what has an address of one link alone cannot be answered from loopback */
static bool is_of_link(const uint8_t address[16])
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

/* its answers come from other addresses, which are no peers of a flow */
static bool is_to_many(const struct flow *flow)
{
	const uint8_t *address = flow->key.raddr;

	return flow->is_to_all || address[0] == 0xff ||
	       (sl_is_mapped4(address) && (address[12] & 0xf0) == 0xe0);
}

bool divert_may(const struct daemon *daemon, unsigned int index, const struct flow *flow)
{
	uint8_t proto = flow->key.proto;
	bool is_wanted = proto == IPPROTO_TCP ||
			 (proto == IPPROTO_UDP && filter_may_take_udp(&daemon->filters[index]));

	return daemon->diverts && is_wanted && behalf_may(flow, index) &&
	       flow->direction == SL_DIR_OUT && !flow->is_restored &&
	       !is_of_link(flow->key.raddr) && !is_to_many(flow);
}

/* loopback may have come up, or got its address, since the namespace was entered */
static void listen_again(struct daemon *daemon, struct space *space)
{
	uint64_t now_us = daemon_now_us();

	if (space->listened_us && now_us - space->listened_us < LISTEN_AGAIN_US)
		return;
	space->listened_us = now_us;
	if (plane_divert(daemon->plane) < 0 || divert_listen(daemon, space) < 0)
		log_error("cannot listen for proxies in network namespace %u",
			  plane_netns(daemon->plane, space->place)->inode);
	netns_keep_listeners(daemon, space->place);
}

bool divert_is_early(const struct daemon *daemon, const struct flow *flow)
{
	int place = plane_find_netns(daemon->plane, flow->side->netns);

	return place >= 0 && !netns_is_whole(plane_netns(daemon->plane, (unsigned int)place));
}

void divert_joined(struct daemon *daemon)
{
	for (unsigned int i = 0; daemon->diverts && i < daemon->n_filters; i++)
		if (daemon->filters[i].is_proxy)
			judge_ask_waiting(daemon, i, false);
}

static bool is_listening(const struct daemon *daemon, const struct flow *flow)
{
	return plane_diverts(daemon->plane, flow->side->netns, flow->key.proto,
			     !sl_is_mapped4(flow->key.raddr));
}

const char *divert_why_not(struct daemon *daemon, const struct flow *flow)
{
	struct space *space = netns_space(daemon, flow->side->netns);

	if (space && !is_listening(daemon, flow))
		listen_again(daemon, space);
	if (!is_listening(daemon, flow))
		return "there is no loopback of its family";
	return flow->is_bound ? "its socket is bound to an interface" : NULL;
}

bool divert_has_moved(const struct flow *flow, const struct sl_tuple *tuple)
{
	return flow && flow->state == FLOW_OPEN && flow->is_diverted &&
	       flow->key.proto == IPPROTO_UDP &&
	       (flow->lport != tuple->lport ||
		memcmp(flow->side->laddr, tuple->laddr, sizeof(tuple->laddr)) != 0);
}

static bool has_taken(const struct flow *flow, unsigned int index)
{
	return flow && flow->state == FLOW_HELD && flow->is_taken && flow->asked == index;
}

static void take(struct daemon *daemon, unsigned int index, struct flow *flow)
{
	providers_answered(&daemon->filters[index]);
	flow_set_step(flow, index, FLOW_ANSWERED, 0);
	flow->is_taken = flow->is_paused = true;
	flow->held->paused_us = daemon_now_us();
	if (flow->is_gone && flow->key.proto != IPPROTO_UDP) /* what it has sent goes on */
		divert_gone(daemon, flow);
}

int divert_take(struct daemon *daemon, unsigned int index, const struct wire_message *message)
{
	const struct wire_flow_take *record = WIRE_BODY(message, struct wire_flow_take);
	struct flow *flow = flow_table_find_id(daemon->flows, record->id);

	if (!flow_is_asked(flow, index)) { /* or it waits for what is over */
		daemon->filters[index].n_late++;
		if (!has_taken(flow, index))
			divert_cancel(daemon, index, record->id);
		return 0;
	}
	take(daemon, index, flow);
	return 0;
}

static const struct {
	int error;
	enum sl_verdict verdict;
	enum flow_refusal refusal;
} refusals[] = {
	{ ENETUNREACH, SL_REJECT, FLOW_NO_NET }, { EHOSTUNREACH, SL_REJECT, FLOW_NO_HOST },
	{ EACCES, SL_REJECT, FLOW_NO_RIGHT },	 { EPERM, SL_REJECT, FLOW_NO_RIGHT },
	{ ETIMEDOUT, SL_SILENT, FLOW_NO_PORT },
};

static void refuse(struct daemon *daemon, struct flow *flow, unsigned int index,
		   const struct wire_flow_opened *record)
{
	enum sl_verdict verdict = SL_REJECT;
	char reason[FLOW_REASON_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		if ((uint32_t)refusals[i].error != record->error)
			continue;
		verdict = refusals[i].verdict;
		flow->refusal = refusals[i].refusal;
	}
	snprintf(reason, sizeof(reason), "%s",
		 record->reason[0] ? record->reason : strerror((int)record->error));
	daemon->filters[index].n_dropped++;
	judge_flow(daemon, flow, verdict, (int)index, reason);
}

/* it has connected elsewhere for nothing, unless it says this twice */
static void come_late(struct daemon *daemon, unsigned int index,
		      const struct wire_flow_opened *record)
{
	daemon->filters[index].n_late++;
	if (!record->error && !diverts_find_flow(daemon->diverts, record->id))
		divert_cancel(daemon, index, record->id);
}

/* its socket may have had another connection, whose end we have not heard of */
static int add(struct daemon *daemon, const struct flow *flow, unsigned int index)
{
	struct divert *divert = diverts_find(daemon->diverts, flow->key.cookie);
	struct sl_tuple tuple = flow_tuple(flow);

	if (divert)
		divert_ended(daemon, divert->flow);
	if (diverts_add(daemon->diverts, flow->id, flow->key.cookie, &tuple, index, &divert) < 0)
		return -ENOMEM;
	divert->zone = behalf_zone(flow);
	divert->is_quiet = flow->is_quiet;
	return 0;
}

/* what is reset later is to be in nobody's way: not in that of a program that uses its port again, here or under
 * another instance, nor of a proxy's own connection that gets it */
static void let_begin_anew(struct daemon *daemon, const struct divert *divert)
{
	if (divert->tuple.proto == IPPROTO_TCP)
		plane_begin_anew(daemon->plane, &divert->tuple);
}

static void open_flow(struct daemon *daemon, struct flow *flow, unsigned int index,
		      const char *reason)
{
	const struct divert *divert;

	flow->is_diverted = true;
	flow->is_paused = flow->is_taken = false;
	flow->provider = (int8_t)index;
	texts_say(daemon->texts, &flow->reason, reason);
	verdict_decide(daemon, flow, SL_ALLOW);
	if (!flow->is_diverted) /* the kernel did not take it */
		divert_ended(daemon, flow->id);
	else if ((divert = diverts_find_flow(daemon->diverts, flow->id))) {
		let_begin_anew(daemon, divert);
		divert_accept_of(daemon, divert); /* on loopback it is there at once */
		divert_miss(daemon, divert);
	}
}

int divert_take_opened(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	const struct wire_flow_opened *record = WIRE_BODY(message, struct wire_flow_opened);
	struct flow *flow = flow_table_find_id(daemon->flows, record->id);
	struct wire_flow_opened refused = *record;
	bool is_asked = flow_is_asked(flow, index);

	if (is_asked)
		take(daemon, index, flow);
	if (!has_taken(flow, index)) {
		if (!is_asked)
			come_late(daemon, index, record);
		return 0;
	}
	flow->is_quiet = record->quiet && flow->key.proto == IPPROTO_TCP;
	if (!record->error && add(daemon, flow, index) < 0) {
		refused.error = ENOMEM;
		divert_cancel(daemon, index, record->id);
	}
	if (refused.error)
		refuse(daemon, flow, index, &refused);
	else
		open_flow(daemon, flow, index, record->reason[0] ? record->reason : "opened");
	return 0;
}

void divert_gone(struct daemon *daemon, struct flow *flow)
{
	if (!flow->is_taken)
		return;
	divert_cancel(daemon, flow->asked, flow->id);
	judge_flow(daemon, flow, SL_SILENT, flow->asked, "its program has given up");
}

/* one that was of a predecessor's, or is over, was the one's that opened it, unless a filter cut it */
const char *divert_proxy(const struct daemon *daemon, const struct flow *flow)
{
	const struct divert *divert =
		daemon->diverts ? diverts_find_flow(daemon->diverts, flow->id) : NULL;
	int index = divert ? (int)divert->proxy : flow->provider;

	return index >= 0 ? daemon->filters[index].name : NULL;
}
