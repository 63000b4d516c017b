/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Static rules for packets
 *
 * The kernel looks at them (abi/sluice-abi.h), and we do by the same functions where it
 * cannot say which of several filters are to be asked, or has no room for all rules.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"

static void drop(struct packet_ruling *ruling)
{
	free(ruling->rules);
	*ruling = (struct packet_ruling){ 0 };
}

static void translate(const struct wire_packet_rule *from, unsigned int filter,
		      struct sl_packet_rule *to)
{
	*to = (struct sl_packet_rule){ .rport = from->rport,
				       .rport_last = from->rport_last,
				       .lport = from->lport,
				       .lport_last = from->lport_last,
				       .action = from->action,
				       .dir = from->direction,
				       .proto = from->protocol,
				       .family = from->family,
				       .bits = from->bits,
				       .filter = (uint8_t)filter };
	memcpy(to->remote, from->remote, sizeof(to->remote));
	memcpy(to->interface, from->interface, sizeof(to->interface));
}

static int read_rules(const struct wire_message *message, unsigned int filter,
		      struct packet_ruling *ret_ruling)
{
	const struct wire_packet_rules *body = WIRE_BODY(message, struct wire_packet_rules);
	struct packet_ruling ruling = { .n = body->n,
					.otherwise = (enum sl_packet_action)body->otherwise };
	struct wire_packet_rule rule;

	if (message->n_tail != (size_t)body->n * WIRE_PACKET_RULE)
		return -EPROTO;
	ruling.rules = calloc(MAX(body->n, 1U), sizeof(*ruling.rules));
	if (!ruling.rules)
		return -ENOMEM;
	for (uint32_t i = 0; i < body->n; i++) {
		if (packet_rule_get(message->tail + i * WIRE_PACKET_RULE, &rule)) {
			drop(&ruling);
			return -EPROTO;
		}
		translate(&rule, filter, &ruling.rules[i]);
	}
	*ret_ruling = ruling;
	return 0;
}

int packets_take_rules(struct daemon *daemon, unsigned int index,
		       const struct wire_message *message)
{
	struct filter *filter = &daemon->filters[index];
	struct packet_ruling ruling;
	bool is_running = filter->session.state == SESSION_RUNNING;
	int r;

	if (filter->session.state != SESSION_STARTING && !(is_running && filter->packets.is_one))
		return -EPROTO;
	r = read_rules(message, index, &ruling);
	if (r < 0)
		return r;
	drop(is_running ? &filter->packets.ruling : &filter->packets.next);
	*(is_running ? &filter->packets.ruling : &filter->packets.next) = ruling;
	if (is_running)
		packets_put_rules(daemon);
	return 0;
}

static uint32_t bits_of(const struct sl_packet_set *set)
{
	uint32_t bits = set->drops ? SL_PACKET_SET_DROPS : 0;

	for (uint32_t i = 0; i < set->n_rules; i++) {
		bits |= set->rules[i].action == SL_PACKET_DROP ? SL_PACKET_SET_DROPS : 0;
		bits |= set->rules[i].interface[0] ? SL_PACKET_SET_INTERFACES : 0;
	}
	return bits;
}

/* what does not fit is for us to look at: the kernel asks about everything */
static void gather(struct daemon *daemon, struct sl_packet_set *set)
{
	uint16_t filters = daemon->packet_filters.filters;
	uint32_t n = 0;

	*set = (struct sl_packet_set){ .filters = filters, .asks = filters };
	for (unsigned int i = 0; i < daemon->n_filters; i++)
		n += filters & 1U << i ? daemon->filters[i].packets.ruling.n : 0;
	if (n > SL_PACKET_RULES_MAX)
		return;
	set->asks = 0;
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		const struct packet_ruling *ruling = &daemon->filters[i].packets.ruling;

		if (!(filters & 1U << i))
			continue;
		if (ruling->n)
			memcpy(&set->rules[set->n_rules], ruling->rules,
			       ruling->n * sizeof(*ruling->rules));
		set->n_rules += ruling->n;
		set->asks |= ruling->otherwise == SL_PACKET_ASK ? 1U << i : 0;
		set->drops |= ruling->otherwise == SL_PACKET_DROP ? 1U << i : 0;
	}
}

static bool is_all(const struct daemon *daemon)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < daemon->n_filters; i++)
		n += daemon->packet_filters.filters & 1U << i ? daemon->filters[i].packets.ruling.n
							      : 0;
	return daemon->packet_filters.set.n_rules == n;
}

void packets_put_rules(struct daemon *daemon)
{
	struct packets *packets = &daemon->packet_filters;
	int r;

	packets->is_set_known = false;
	if (packets->is_provisional)
		return;
	gather(daemon, &packets->set);
	packets->set.bits = bits_of(&packets->set);
	r = plane_set_packet_rules(daemon->plane, &packets->set);
	if (r < 0 && !packets->wants_set)
		log_error("the kernel does not take packet rules: %s: those of before hold",
			  strerror(-r));
	packets->wants_set = r < 0;
	packets->is_set_known = r == 0 && is_all(daemon);
}

static enum sl_packet_action ask_one(const struct packet_ruling *ruling,
				     const struct sl_tuple *tuple, const char interface[16],
				     enum sl_dir dir)
{
	for (unsigned int i = 0; i < ruling->n; i++)
		if (sl_packet_matches(&ruling->rules[i], tuple, interface, dir))
			return (enum sl_packet_action)ruling->rules[i].action;
	return ruling->otherwise;
}

/* of what cannot be read no rule is known not to be about it */
static enum sl_packet_action ask_all(const struct packet_ruling *ruling)
{
	for (unsigned int i = 0; i < ruling->n; i++)
		if (ruling->rules[i].action == SL_PACKET_DROP)
			return SL_PACKET_DROP;
	return ruling->otherwise == SL_PACKET_DROP ? SL_PACKET_DROP : SL_PACKET_ASK;
}

uint16_t packets_ask_rules(struct daemon *daemon, const struct sl_tuple *tuple,
			   const char interface[16], bool is_inbound, bool *ret_is_dropped)
{
	uint16_t filters = daemon->packet_filters.filters, asks = 0;

	*ret_is_dropped = false;
	if (daemon->packet_filters.is_set_known && (filters & (filters - 1)) == 0)
		return filters; /* of one filter, and the kernel has asked */
	for (unsigned int i = 0; i < daemon->n_filters; i++) {
		enum sl_packet_action action;

		if (!(filters & 1U << i))
			continue;
		action = tuple ? ask_one(&daemon->filters[i].packets.ruling, tuple, interface,
					 is_inbound ? SL_DIR_IN : SL_DIR_OUT)
			       : ask_all(&daemon->filters[i].packets.ruling);
		if (action == SL_PACKET_ASK)
			asks |= (uint16_t)(1U << i);
		*ret_is_dropped |= action == SL_PACKET_DROP;
	}
	return *ret_is_dropped ? 0 : asks;
}
