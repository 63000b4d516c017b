/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Packets, and what a filter says of them
 *
 * Verdicts on packets that follow each other are one record, if they are the same:
 * what the daemon shows in one record is most often answered in one.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/packet.h>

#include "base/macros.h"
#include "lib/filter-internal.h"
#include "wire/channel.h"
#include "wire/packets.h"
#include "wire/rule.h"

_Static_assert(SLUICE_PACKET_RULES_MAX == WIRE_PACKET_RULES_MAX, "promised");

static int flush(struct sluice_filter *filter)
{
	struct wire_packet_verdict run = filter->packets;

	filter->packets.n = 0;
	return run.n ? filter_send_started(filter, WIRE_PACKET_VERDICT, &run) : 0;
}

static int answer(struct sluice_filter *filter, uint64_t id, enum sluice_packet_verdict verdict)
{
	struct wire_packet_verdict *run = &filter->packets;
	int r = 0;

	if (run->n && (run->first + run->n != id || run->verdict != (uint8_t)verdict))
		r = flush(filter);
	if (!run->n)
		*run = (struct wire_packet_verdict){ .first = id, .verdict = (uint8_t)verdict };
	run->n++;
	return r;
}

static enum sluice_packet_verdict show(struct sluice_filter *filter,
				       const struct wire_packet *packet)
{
	bool is_inbound = packet->flags & WIRE_PACKET_INBOUND;
	struct sluice_packet shown = { .size = sizeof(shown),
				       .id = packet->id,
				       .direction = is_inbound ? SLUICE_INBOUND : SLUICE_OUTBOUND,
				       .ifindex = packet->ifindex,
				       .interface = packet->interface,
				       .bytes = packet->bytes,
				       .n_bytes = packet->n_bytes,
				       .length = packet->length,
				       .is_segmented = packet->flags & WIRE_PACKET_SEGMENTED,
				       .flow_id = packet->flow,
				       .cookie = packet->cookie,
				       .pid = packet->pid,
				       .uid = packet->uid };

	return filter->ops->packet(filter, &shown, filter->data);
}

int filter_take_packets(struct sluice_filter *filter, const struct wire_message *message)
{
	struct wire_packet packet;
	size_t at = 0;
	int r = 0;

	if (!FILTER_OPS_SET(filter->ops, packet))
		return filter_break_protocol(filter, "PACKETS", "nobody has asked for them");
	for (uint32_t i = 0; i < WIRE_BODY(message, struct wire_packets)->n; i++) {
		enum sluice_packet_verdict verdict;

		r = packets_get(message->tail, message->n_tail, at, &packet, &at);
		if (r)
			return filter_break_protocol(filter, "PACKETS", wire_strerror(r));
		verdict = show(filter, &packet);
		if ((unsigned int)verdict > SLUICE_PACKET_DELAY)
			verdict = SLUICE_PACKET_DROP; /* it cannot mean to let it go */
		(void)answer(filter, packet.id, verdict);
	}
	(void)flush(filter); /* the end of a session is told by who reads */
	return 0;
}

int sluice_filter_packet_release(struct sluice_filter *filter, uint64_t packet_id,
				 enum sluice_packet_verdict verdict)
{
	struct wire_packet_verdict body = { .first = packet_id,
					    .n = 1,
					    .verdict = (uint8_t)verdict };
	int r;

	if (filter_is_alive(filter) && (unsigned int)verdict > SLUICE_PACKET_DROP)
		return -EINVAL;
	r = flush(filter); /* inside `packet`: that it was delayed is said first */
	return r < 0 ? r : filter_send_started(filter, WIRE_PACKET_VERDICT, &body);
}

/* ---- rules ---- */

static int action_of(enum sluice_rule_action action)
{
	return action <= SLUICE_RULE_DROP ? (int)action : -EINVAL;
}

static int check_size(const struct sluice_packet_rule *rule)
{
	return rule->size > sizeof(*rule) ? -E2BIG : rule->size < sizeof(*rule) ? -EINVAL : 0;
}

static const char *read_rule(const struct sluice_packet_rule *rule, struct wire_packet_rule *record)
{
	struct wire_rule same = { .rport = rule->remote_port,
				  .rport_last = rule->remote_port_last,
				  .lport = rule->local_port,
				  .lport_last = rule->local_port_last };
	const char *problem;

	if (action_of(rule->action) < 0 || (unsigned int)rule->direction > SLUICE_RULE_INBOUND)
		return "no such action or direction";
	*record = (struct wire_packet_rule){ .rport = rule->remote_port,
					     .rport_last = rule->remote_port_last,
					     .lport = rule->local_port,
					     .lport_last = rule->local_port_last,
					     .action = (uint8_t)rule->action,
					     .direction = (uint8_t)rule->direction,
					     .protocol = rule->protocol };
	if (rule->interface && strlen(rule->interface) >= sizeof(record->interface))
		return "the interface's name is too long";
	if (rule->interface)
		memcpy(record->interface, rule->interface, strlen(rule->interface));
	problem = wire_rule_network(rule->remote_address, same.remote, &same.bits, &same.family);
	memcpy(record->remote, same.remote, sizeof(record->remote));
	record->bits = same.bits;
	record->family = same.family;
	return problem ? problem : wire_rule_problem(&same);
}

static int pack_rules(struct sluice_filter *filter, const struct sluice_packet_rule *rules,
		      size_t n, uint8_t *tail)
{
	struct wire_packet_rule record;

	for (size_t i = 0; i < n; i++) {
		int r = check_size(&rules[i]);
		const char *problem = r < 0 ? "of another version of this library"
					    : read_rule(&rules[i], &record);

		if (!problem) {
			packet_rule_put(tail + i * WIRE_PACKET_RULE, &record);
			continue;
		}
		filter_set_error(filter, "packet rule %zu: %s", i + 1, problem);
		filter->has_fail_text = true;
		return r < 0 ? r : -EINVAL;
	}
	return 0;
}

int sluice_filter_packet_rules(struct sluice_filter *filter, const struct sluice_packet_rule *rules,
			       size_t n, enum sluice_rule_action otherwise)
{
	struct wire_packet_rules body = { .n = (uint32_t)n, .otherwise = (uint8_t)otherwise };
	uint8_t *tail;
	int r;

	if (!filter_is_alive(filter))
		return -ESHUTDOWN;
	if (!FILTER_OPS_SET(filter->ops, packet) || action_of(otherwise) < 0 || (n && !rules) ||
	    filter->state < FILTER_WELCOMED)
		return -EINVAL;
	if (n > SLUICE_PACKET_RULES_MAX) {
		filter_set_error(filter, "more than %d packet rules", SLUICE_PACKET_RULES_MAX);
		filter->has_fail_text = true;
		return -E2BIG;
	}
	tail = malloc(MAX(n, 1U) * WIRE_PACKET_RULE);
	if (!tail) {
		filter_set_error(filter, "packet rules: no memory for them");
		filter->has_fail_text = true;
		return -ENOMEM;
	}
	r = pack_rules(filter, rules, n, tail);
	if (!r) {
		r = channel_send(filter->fd, &wire_provider_channel, WIRE_PACKET_RULES, &body, tail,
				 n * WIRE_PACKET_RULE, -1);
		if (r == -ENOBUFS || r == -ENOMEM)
			r = -EAGAIN;
		else if (r < 0 && r != -EAGAIN)
			r = filter_fail_send(filter, r);
	}
	free(tail);
	return r;
}
