/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: What a filter does with each record of the daemon
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sluice/packet.h>

#include "base/macros.h"
#include "lib/filter-internal.h"

static const char *const interface_kinds[] = {
	"other", "loopback", "ethernet", "wifi", "cellular", "tunnel", "bridge", "virtual",
};

static int send_control(struct sluice_filter *filter, uint16_t type, const void *body)
{
	int r = outbox_send(&filter->outbox, filter->fd, type, body);

	if (r == -ENOBUFS)
		return filter_break_protocol(filter, "PING", "sent, but its answers are not read");
	return r ? filter_fail_send(filter, r) : 0;
}

/* the first refusal is the one to tell: what follows may be its consequence */
static void refuse(struct sluice_filter *filter, int error, const char *what, const char *which)
{
	if (!filter->has_fail_text)
		filter_set_error(filter, "%s%s: %s", what, which, strerror(-error));
	filter->refused = error;
}

static int take_welcome(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	const struct wire_welcome *welcome = WIRE_BODY(message, struct wire_welcome);

	if (welcome->version != WIRE_PROVIDER_VERSION)
		return filter_break_protocol(filter, "WELCOME",
					     "a version that this library cannot speak");
	filter->state = FILTER_WELCOMED;
	return 0;
}

static int take_option(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	const struct wire_option *option = WIRE_BODY(message, struct wire_option);
	int r = -EINVAL;

	if (filter->refused)
		return 0;
	filter->has_fail_text = false;
	if (FILTER_OPS_SET(filter->ops, option))
		r = filter->ops->option(filter, option->key, option->value, *fd, filter->data);
	else
		sluice_filter_fail(filter, r, "%s takes no options: leave out \"%s\"",
				   filter->ops->name, option->key);
	if (r < 0)
		refuse(filter, r, "option ", option->key);
	return 0;
}

/* it judges packets alone: the daemon need not ask it about a flow */
static void allow_flows(struct sluice_filter *filter)
{
	if (filter->rules.number || filter->rules.is_begun)
		return;
	if (sluice_filter_rules_begin(filter) == 0)
		(void)sluice_filter_rules_commit(filter, SLUICE_RULE_ALLOW);
}

static uint32_t copy_of(const struct sluice_filter_ops *ops)
{
	uint32_t n = FILTER_OPS_SET(ops, packet_bytes) ? ops->packet_bytes : SLUICE_PACKET_BYTES;

	return MIN(n, (uint32_t)SLUICE_PACKET_BYTES_MAX);
}

static int take_start(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	struct wire_ready ready = { .data = FILTER_OPS_SET(filter->ops, flow_data),
				    .closed = FILTER_OPS_SET(filter->ops, flow_closed),
				    .packets = FILTER_OPS_SET(filter->ops, packet),
				    .datagrams = proxy_takes_udp(filter) };
	int r = 0;

	if (!filter->refused && FILTER_OPS_SET(filter->ops, start)) {
		filter->has_fail_text = false;
		r = filter->ops->start(filter, filter->data);
		if (r < 0)
			refuse(filter, r, "cannot start", "");
	}
	if (ready.packets)
		ready.copy = copy_of(filter->ops);
	if (!filter->refused && !FILTER_OPS_SET(filter->ops, new_flow))
		allow_flows(filter);
	filter->state = filter->refused ? FILTER_REFUSED : FILTER_STARTED;
	if (filter->refused) {
		ready.error = (uint32_t)MIN(-(int64_t)filter->refused, 4095);
		(void)snprintf(ready.text, sizeof(ready.text), "%.*s", (int)sizeof(ready.text) - 1,
			       filter->error);
		filter_drop_rules(filter);
	}
	/* READY says that the rules are there */
	filter->outbox.is_corked = filter->rules.is_sending;
	return send_control(filter, WIRE_READY, &ready);
}

static int take_ping(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	struct wire_pong pong = { .token = WIRE_BODY(message, struct wire_ping)->token };

	return send_control(filter, WIRE_PONG, &pong);
}

static int take_stop(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	struct wire_stopped stopped = { 0 };
	bool was_started = filter->state == FILTER_STARTED;

	/* held flows are no longer ours: the daemon would count late answers against us */
	outbox_clear(&filter->outbox);
	filter_drop_rules(filter);
	filter->state = FILTER_STOPPING;
	if (was_started && FILTER_OPS_SET(filter->ops, stop))
		filter->ops->stop(filter, filter->data);
	return send_control(filter, WIRE_STOPPED, &stopped);
}

static int take_flow_new(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	const struct wire_flow_new *new = WIRE_BODY(message, struct wire_flow_new);
	struct sluice_flow flow = {
		.size = sizeof(flow),
		.id = new->id,
		.direction = new->direction ? SLUICE_INBOUND : SLUICE_OUTBOUND,
		.protocol = new->protocol,
		.local_port = new->sport,
		.remote_port = new->dport,
		.host = new->host,
		.host_source = (enum sluice_host_source) new->host_source,
		.pid = new->pid,
		.owner_pid = new->owner_pid,
		.uid = new->uid,
		.gid = new->gid,
		.owner_uid = new->owner_uid,
		.exe = new->exe,
		.exe_inode = new->exe_inode,
		.exe_device = new->exe_device,
		.command = new->command,
		.is_cut = new->is_cut,
		.cgroup = new->cgroup,
		.unit = new->unit,
		.container = new->container,
		.ifindex = new->ifindex,
		.interface = new->interface,
		.interface_kind = "other",
		.is_again = new->again,
		.is_bound = new->bound,
		.host_reading = (enum sluice_host_reading) new->host_reading,
		.socket = new->cookie,
	};

	memcpy(flow.local_address, new->src, sizeof(flow.local_address));
	memcpy(flow.remote_address, new->dst, sizeof(flow.remote_address));
	if (new->interface_kind < ARRAY_SIZE(interface_kinds))
		flow.interface_kind = interface_kinds[new->interface_kind];
	if (!FILTER_OPS_SET(filter->ops, new_flow))
		(void)sluice_filter_answer(filter, flow.id, SLUICE_ALLOW, NULL);
	else
		filter->ops->new_flow(filter, &flow, filter->data);
	return 0;
}

static int take_flow_closed(struct sluice_filter *filter, const struct wire_message *message,
			    int *fd)
{
	const struct wire_flow_closed *closed = WIRE_BODY(message, struct wire_flow_closed);

	if (FILTER_OPS_SET(filter->ops, flow_closed))
		filter->ops->flow_closed(filter, closed->id, closed->bytes_in, closed->bytes_out,
					 filter->data);
	return 0;
}

static int take_flow_data(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	const struct wire_flow_data *record = WIRE_BODY(message, struct wire_flow_data);
	struct sluice_data data = { .size = sizeof(data),
				    .flow_id = record->id,
				    .direction =
					    record->direction ? SLUICE_INBOUND : SLUICE_OUTBOUND,
				    .offset = record->offset,
				    .bytes = message->tail,
				    .n = message->n_tail,
				    .is_end = record->end,
				    .most = record->most };

	if (!FILTER_OPS_SET(filter->ops, flow_data))
		return filter_break_protocol(filter, "FLOW_DATA", "nobody has asked for it");
	filter->ops->flow_data(filter, &data, filter->data);
	return 0;
}

static int take_flow_refused(struct sluice_filter *filter, const struct wire_message *message,
			     int *fd)
{
	const struct wire_flow_refused *refused = WIRE_BODY(message, struct wire_flow_refused);

	filter_set_error(filter, "flow %llu: %s", (unsigned long long)refused->id, refused->text);
	if (FILTER_OPS_SET(filter->ops, refused))
		filter->ops->refused(filter, refused->id, -(int)refused->error, filter->data);
	return 0;
}

static int take_packets(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	return filter_take_packets(filter, message);
}

static int take_rules_done(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	const struct wire_rules_done *done = WIRE_BODY(message, struct wire_rules_done);

	if (done->set != filter->rules.number)
		return 0; /* another set was committed since */
	if (done->rule)
		filter_set_error(filter, "rule %u: %s", done->rule, done->text);
	else if (done->error)
		filter_set_error(filter, "the rules are not in force: %s", done->text);
	if (FILTER_OPS_SET(filter->ops, rules_done))
		filter->ops->rules_done(filter, -(int)done->error, done->rule, filter->data);
	return 0;
}

#define IN(state) (1U << FILTER_##state)

/* every record the daemon may send, and in which states */
static const struct {
	uint16_t type;
	unsigned int states;
	int (*take)(struct sluice_filter *filter, const struct wire_message *message, int *fd);
} records[] = {
	{ WIRE_WELCOME, IN(NEW), take_welcome },
	{ WIRE_OPTION, IN(WELCOMED), take_option },
	{ WIRE_START, IN(WELCOMED), take_start },
	{ WIRE_PING, IN(WELCOMED) | IN(STARTED) | IN(REFUSED), take_ping },
	{ WIRE_STOP, IN(NEW) | IN(WELCOMED) | IN(STARTED) | IN(REFUSED), take_stop },
	{ WIRE_FLOW_NEW, IN(STARTED), take_flow_new },
	{ WIRE_FLOW_CLOSED, IN(STARTED), take_flow_closed },
	{ WIRE_RULES_DONE, IN(STARTED), take_rules_done },
	{ WIRE_FLOW_DATA, IN(STARTED), take_flow_data },
	{ WIRE_FLOW_REPORT, IN(STARTED), filter_take_report },
	{ WIRE_FLOW_REFUSED, IN(STARTED), take_flow_refused },
	{ WIRE_PACKETS, IN(STARTED), take_packets },
	{ WIRE_FLOW_SOCKET, IN(STARTED), proxy_take_socket },
	{ WIRE_FLOW_CANCEL, IN(STARTED), proxy_take_cancel },
	{ WIRE_FLOW_END, IN(STARTED), proxy_take_end },
	{ WIRE_FLOW_DATAGRAM, IN(STARTED), proxy_take_datagram },
};

int filter_take_record(struct sluice_filter *filter, const struct wire_message *message, int *fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		if (records[i].type != message->record->type)
			continue;
		if (!(records[i].states & 1U << filter->state))
			return filter_break_protocol(filter, message->record->name,
						     "not expected now");
		return records[i].take(filter, message, fd);
	}
	return filter_break_protocol(filter, message->record->name, "not for a filter");
}
