/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: A packet filter that does what a scenario tells it
 *
 *	drop-port=N                packets from or to that port
 *	delay-port=N               packets to that port
 *	drop-protocol=N            packets of that protocol
 *	drop-from=N                packets that come in for that port
 *	delay-ms=N                 so long; 0: for ever
 *	release=drop               what is delayed is dropped then
 *	show=1                     a line for each packet
 *	bytes=N                    so much of each is wanted
 *	hang-after=N, die-after=N  packets
 *	lie=1                      before each batch, verdicts on packets that it was not asked about
 *	flows=drop                 it judges flows as well: drops those to port 7007
 *	remember=1                 what it says of a flow holds for those like it
 *	rule=ACTION[;KEY=VALUE]…   address, port, local-port, protocol, interface, direction
 *	many=N                     rules that match nothing, before what otherwise says
 *	otherwise=ACTION
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sluice/packet.h>

#define RULES_MAX 512
#define DELAYED_MAX 8192

struct state {
	unsigned long drop_port, delay_port, drop_protocol, drop_from, delay_ms, hang_after,
		die_after, n;
	bool is_showing, is_lying, is_dropping_flows, is_remembered, drops_delayed;
	struct sluice_packet_rule rules[RULES_MAX];
	size_t n_rules;
	enum sluice_rule_action otherwise;
	struct {
		uint64_t id, due_ms;
	} delayed[DELAYED_MAX];
	size_t first, n_delayed;
};

struct ends {
	unsigned int protocol, source, destination;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int action_of(const char *text, enum sluice_rule_action *ret_action)
{
	static const char *const names[] = { "ask", "allow", "drop" };

	for (int i = 0; i < 3; i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_action = (enum sluice_rule_action)i;
			return 0;
		}
	return -EINVAL;
}

static int add_rule(struct state *state, const char *value)
{
	struct sluice_packet_rule *rule = &state->rules[state->n_rules];
	char *rest, *text = strdup(value), *word = text ? strtok_r(text, ";", &rest) : NULL;

	if (!word || state->n_rules == RULES_MAX)
		return -EINVAL;
	*rule = (struct sluice_packet_rule){ .size = sizeof(*rule) };
	if (action_of(word, &rule->action) < 0)
		return -EINVAL;
	while ((word = strtok_r(NULL, ";", &rest))) {
		char *is = strchr(word, '=');

		if (!is)
			return -EINVAL;
		*is++ = '\0';
		if (strcmp(word, "address") == 0)
			rule->remote_address = is;
		else if (strcmp(word, "interface") == 0)
			rule->interface = is;
		else if (strcmp(word, "port") == 0)
			rule->remote_port = (uint16_t)strtoul(is, NULL, 10);
		else if (strcmp(word, "local-port") == 0)
			rule->local_port = (uint16_t)strtoul(is, NULL, 10);
		else if (strcmp(word, "protocol") == 0)
			rule->protocol = (uint8_t)strtoul(is, NULL, 10);
		else if (strcmp(word, "direction") == 0)
			rule->direction = *is == 'o' ? SLUICE_RULE_OUTBOUND : SLUICE_RULE_INBOUND;
	}
	state->n_rules++;
	return 0;
}

static struct sluice_filter_ops ops;

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	struct state *state = data;
	const struct {
		const char *key;
		unsigned long *to;
	} numbers[] = {
		{ "drop-port", &state->drop_port }, { "delay-port", &state->delay_port },
		{ "drop-from", &state->drop_from }, { "drop-protocol", &state->drop_protocol },
		{ "delay-ms", &state->delay_ms },   { "hang-after", &state->hang_after },
		{ "die-after", &state->die_after },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i].key) == 0) {
			*numbers[i].to = strtoul(value, NULL, 10);
			return 0;
		}
	for (unsigned long i = strcmp(key, "many") == 0 ? strtoul(value, NULL, 10) : 0; i > 0; i--)
		if (add_rule(state, "drop;address=192.0.2.0/24;port=9") < 0)
			return -E2BIG;
	if (strcmp(key, "rule") == 0)
		return add_rule(state, value);
	if (strcmp(key, "otherwise") == 0)
		return action_of(value, &state->otherwise);
	if (strcmp(key, "bytes") == 0)
		ops.packet_bytes = (uint32_t)strtoul(value, NULL, 10);
	state->is_showing |= strcmp(key, "show") == 0;
	state->is_lying |= strcmp(key, "lie") == 0;
	state->is_dropping_flows |= strcmp(key, "flows") == 0;
	state->is_remembered |= strcmp(key, "remember") == 0;
	state->drops_delayed |= strcmp(key, "release") == 0;
	return 0;
}

static int on_start(struct sluice_filter *filter, void *data)
{
	struct state *state = data;

	if (!state->n_rules && !state->otherwise)
		return 0;
	return sluice_filter_packet_rules(filter, state->rules, state->n_rules, state->otherwise);
}

static struct ends read_ends(const struct sluice_packet *packet)
{
	const uint8_t *p = packet->bytes;
	bool is_v4 = p[0] >> 4 == 4;
	size_t at = is_v4 ? (p[0] & 15U) * 4U : 40;
	struct ends ends = { .protocol = p[is_v4 ? 9 : 6] };

	if ((ends.protocol == 6 || ends.protocol == 17) && at + 4 <= packet->n_bytes) {
		ends.source = p[at] << 8U | p[at + 1];
		ends.destination = p[at + 2] << 8U | p[at + 3];
	}
	return ends;
}

static bool is_of(const struct ends *ends, unsigned long port)
{
	return port && (ends->source == port || ends->destination == port);
}

static void show(const struct sluice_packet *packet, const struct ends *ends)
{
	printf("packet %s proto=%u %u>%u %s/%u n=%zu length=%u flow=%" PRIu64
	       " pid=%u uid=%u cookie=%d\n",
	       packet->direction == SLUICE_INBOUND ? "in" : "out", ends->protocol, ends->source,
	       ends->destination, packet->interface, packet->ifindex, packet->n_bytes,
	       packet->length, packet->flow_id, packet->pid, packet->uid, packet->cookie != 0);
	fflush(stdout);
}

/* PACKET_VERDICT, by hand: "allow" for a thousand packets to come, and "drop" for all of before */
static void lie(uint64_t id)
{
	static const uint8_t head[] = { 31, 0, 13, 0, 0, 0, 0, 0 };
	uint8_t record[21];
	uint32_t n = 1000;

	memcpy(record, head, sizeof(head));
	id += 2000;
	memcpy(record + 8, &id, sizeof(id));
	memcpy(record + 16, &n, sizeof(n));
	record[20] = 0;
	(void)!write(3, record, sizeof(record));
	id = 0;
	n = 0xffffffff;
	memcpy(record + 8, &id, sizeof(id));
	(void)!write(3, record, sizeof(record));
}

static enum sluice_packet_verdict delay(struct state *state, uint64_t id)
{
	size_t at = (state->first + state->n_delayed) % DELAYED_MAX;

	if (state->delay_ms && state->n_delayed < DELAYED_MAX) {
		state->delayed[at].id = id;
		state->delayed[at].due_ms = now_ms() + state->delay_ms;
		state->n_delayed++;
	}
	return SLUICE_PACKET_DELAY;
}

static enum sluice_packet_verdict on_packet(struct sluice_filter *filter,
					    const struct sluice_packet *packet, void *data)
{
	struct state *state = data;
	struct ends ends = read_ends(packet);

	state->n++;
	if (state->is_showing)
		show(packet, &ends);
	if (state->n == state->hang_after)
		raise(SIGSTOP);
	if (state->n == state->die_after)
		abort();
	if (state->is_lying)
		lie(packet->id);
	if (is_of(&ends, state->drop_port) || (ends.protocol == state->drop_protocol) ||
	    (state->drop_from && packet->direction == SLUICE_INBOUND &&
	     ends.destination == state->drop_from))
		return SLUICE_PACKET_DROP;
	if (state->delay_port && ends.destination == state->delay_port)
		return delay(state, packet->id);
	return SLUICE_PACKET_ALLOW;
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	const struct state *state = data;
	bool is_dropped = state->is_dropping_flows && flow->remote_port == 7007;

	sluice_filter_answer_for(filter, flow->id, is_dropped ? SLUICE_DROP : SLUICE_ALLOW,
				 state->is_remembered ? SLUICE_THIS_ADDRESS : SLUICE_THIS_FLOW,
				 "asked");
}

static void release(struct sluice_filter *filter, struct state *state)
{
	while (state->n_delayed && state->delayed[state->first].due_ms <= now_ms()) {
		(void)sluice_filter_packet_release(filter, state->delayed[state->first].id,
						   state->drops_delayed ? SLUICE_PACKET_DROP
									: SLUICE_PACKET_ALLOW);
		state->first = (state->first + 1) % DELAYED_MAX;
		state->n_delayed--;
	}
}

int main(void)
{
	static struct state state;
	struct sluice_filter *filter;
	int r;

	ops = (struct sluice_filter_ops){ .size = sizeof(ops),
					  .name = "packet-filter",
					  .option = on_option,
					  .start = on_start,
					  .new_flow = on_flow,
					  .packet = on_packet };
	r = sluice_filter_new(&ops, &state, &filter);
	while (r == 0) {
		struct pollfd poll_fd = { .fd = sluice_filter_get_fd(filter),
					  .events = sluice_filter_get_events(filter) };

		(void)poll(&poll_fd, 1, state.n_delayed ? 5 : -1);
		r = sluice_filter_process(filter);
		if (r == 0)
			release(filter, &state);
	}
	return r == -ESHUTDOWN ? 0 : 1;
}
