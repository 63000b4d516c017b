/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: packets, what the filter says of them, and rules for them */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sluice/packet.h>

#include "alloc.h"
#include "filter-lab.h"
#include "wire/packets.h"

static struct sluice_packet shown[8];
static char interfaces[8][16];
static enum sluice_packet_verdict verdicts[8];
static unsigned int n_shown;
static int start_returned;
static struct sluice_packet_rule rules[SLUICE_PACKET_RULES_MAX + 1];
static size_t n_rules;

static enum sluice_packet_verdict on_packet(struct sluice_filter *filter,
					    const struct sluice_packet *packet, void *data)
{
	shown[n_shown] = *packet;
	snprintf(interfaces[n_shown], sizeof(interfaces[0]), "%s", packet->interface);
	return verdicts[n_shown++];
}

static int on_start(struct sluice_filter *filter, void *data)
{
	alloc_enter();
	start_returned = sluice_filter_packet_rules(filter, rules, n_rules, SLUICE_RULE_DROP);
	alloc_leave();
	return start_returned;
}

static const struct sluice_filter_ops packet_ops = {
	.size = sizeof(packet_ops), .name = "packets", .packet = on_packet, .packet_bytes = 100000
};
static const struct sluice_filter_ops ruling_ops = {
	.size = sizeof(ruling_ops), .name = "rules", .packet = on_packet, .start = on_start
};

static void say_packets(struct seen *seen, uint64_t first, unsigned int n, size_t n_cut)
{
	struct wire_packets body = { .n = n };
	uint8_t tail[1024];
	size_t at = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct wire_packet packet = { .id = first + i,
					      .flow = 5,
					      .cookie = 6,
					      .pid = 7,
					      .uid = 8,
					      .ifindex = 9,
					      .length = 1000,
					      .n_bytes = 3,
					      .bytes = (const uint8_t *)"abc",
					      .interface = "uplink",
					      .flags = i ? WIRE_PACKET_INBOUND
							 : WIRE_PACKET_SEGMENTED };

		at += packets_put(tail + at, &packet);
	}
	assert_int_equal(channel_send(seen->daemon, &wire_provider_channel, WIRE_PACKETS, &body,
				      tail, at - n_cut, -1),
			 0);
}

/* without new_flow, every flow is allowed: that is said in rules, before READY */
static void begin(struct seen *seen)
{
	const struct wire_ready *ready;

	n_shown = 0;
	memset(verdicts, 0, sizeof(verdicts));
	filter_begin(seen, &packet_ops);
	filter_send_welcome(seen);
	filter_send_start(seen);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(filter_process(seen), 0);
	filter_expect(seen, WIRE_RULES_BEGIN);
	assert_int_equal(((const struct wire_rules_commit *)filter_expect(seen, WIRE_RULES_COMMIT))
				 ->otherwise,
			 SLUICE_RULE_ALLOW);
	ready = filter_expect(seen, WIRE_READY);
	assert_int_equal(ready->error, 0);
	assert_int_equal(ready->packets, 1);
	assert_int_equal(ready->copy, SLUICE_PACKET_BYTES_MAX);
}

static void expect_verdict(struct seen *seen, uint64_t first, uint32_t n, uint8_t verdict)
{
	const struct wire_packet_verdict *said = filter_expect(seen, WIRE_PACKET_VERDICT);

	assert_int_equal(said->first, first);
	assert_int_equal(said->n, n);
	assert_int_equal(said->verdict, verdict);
}

static void test_packets_are_shown_and_answered_together(void **state)
{
	struct seen *seen = *state;

	begin(seen);
	say_packets(seen, 10, 3, 0);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(n_shown, 3);
	assert_int_equal(shown[0].id, 10);
	assert_int_equal(shown[0].direction, SLUICE_OUTBOUND);
	assert_true(shown[0].is_segmented);
	assert_int_equal(shown[1].direction, SLUICE_INBOUND);
	assert_int_equal(shown[0].flow_id + shown[0].cookie + shown[0].pid + shown[0].uid, 26);
	assert_int_equal(shown[0].ifindex, 9);
	assert_int_equal(shown[0].length, 1000);
	assert_int_equal(shown[0].n_bytes, 3);
	assert_string_equal(interfaces[0], "uplink");
	expect_verdict(seen, 10, 3, 0);
	assert_int_equal(filter_receive(seen), -EAGAIN);
}

static void test_other_verdicts_are_other_records(void **state)
{
	struct seen *seen = *state;

	begin(seen);
	verdicts[1] = SLUICE_PACKET_DROP;
	verdicts[2] = SLUICE_PACKET_DELAY;
	verdicts[3] = (enum sluice_packet_verdict)77; /* which cannot mean to let it go */
	say_packets(seen, 10, 4, 0);
	assert_int_equal(filter_process(seen), 0);
	expect_verdict(seen, 10, 1, 0);
	expect_verdict(seen, 11, 1, 1);
	expect_verdict(seen, 12, 1, 2);
	expect_verdict(seen, 13, 1, 1);
	assert_int_equal(sluice_filter_packet_release(seen->filter, 12, SLUICE_PACKET_DELAY),
			 -EINVAL);
	assert_int_equal(sluice_filter_packet_release(seen->filter, 12, SLUICE_PACKET_ALLOW), 0);
	expect_verdict(seen, 12, 1, 0);
}

static void test_bad_records_end_it(void **state)
{
	struct seen *seen = *state;

	begin(seen);
	say_packets(seen, 10, 2, 8);
	assert_int_equal(filter_process(seen), -EPROTO);
	assert_int_equal(n_shown, 1);
	assert_int_equal(sluice_filter_packet_release(seen->filter, 10, SLUICE_PACKET_ALLOW),
			 -ESHUTDOWN);
}

static void test_who_has_not_asked_is_not_shown(void **state)
{
	struct seen *seen = *state;

	filter_start(seen, &filter_small_ops);
	say_packets(seen, 10, 1, 0);
	assert_int_equal(filter_process(seen), -EPROTO);
	assert_int_equal(sluice_filter_packet_rules(seen->filter, NULL, 0, SLUICE_RULE_ASK),
			 -ESHUTDOWN);
}

static const struct wire_ready *begin_rules(struct seen *seen)
{
	filter_begin(seen, &ruling_ops);
	filter_send_welcome(seen);
	filter_send_start(seen);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(filter_process(seen), 0);
	return start_returned == 0 ? NULL : filter_expect(seen, WIRE_READY);
}

static void test_rules(void **state)
{
	const struct wire_packet_rules *record;
	struct wire_packet_rule rule;
	struct seen *seen = *state;

	n_rules = 2;
	rules[0] = (struct sluice_packet_rule){ .size = sizeof(rules[0]),
						.action = SLUICE_RULE_DROP,
						.direction = SLUICE_RULE_INBOUND,
						.protocol = 6,
						.remote_port = 80,
						.remote_port_last = 90,
						.local_port = 7,
						.remote_address = "192.0.2.0/24",
						.interface = "uplink" };
	rules[1] = (struct sluice_packet_rule){ .size = sizeof(rules[1]) };
	begin_rules(seen);
	record = filter_expect(seen, WIRE_PACKET_RULES);
	assert_int_equal(record->n, 2);
	assert_int_equal(record->otherwise, SLUICE_RULE_DROP);
	assert_int_equal(seen->message.n_tail, 2 * WIRE_PACKET_RULE);
	assert_int_equal(packet_rule_get(seen->message.tail, &rule), 0);
	assert_int_equal(rule.action, 2);
	assert_int_equal(rule.direction, 2);
	assert_int_equal(rule.protocol, 6);
	assert_int_equal(rule.rport, 80);
	assert_int_equal(rule.rport_last, 90);
	assert_int_equal(rule.lport, 7);
	assert_int_equal(rule.family, 4);
	assert_int_equal(rule.bits, 120);
	assert_int_equal(rule.remote[14], 2);
	assert_string_equal(rule.interface, "uplink");
	assert_int_equal(packet_rule_get(seen->message.tail + WIRE_PACKET_RULE, &rule), 0);
	assert_int_equal(rule.bits + rule.action, 0);
}

static void check_refused(struct seen *seen, int error, const char *words)
{
	const struct wire_ready *ready = begin_rules(seen);

	assert_int_equal(start_returned, error);
	assert_non_null(ready);
	assert_int_equal(ready->error, -error);
	assert_non_null(strstr(ready->text, words));
}

static void test_no_memory(void **state)
{
	n_rules = 1;
	rules[0] = (struct sluice_packet_rule){ .size = sizeof(rules[0]) };
	alloc_fail(1, false);
	check_refused(*state, -ENOMEM, "no memory");
	assert_true(alloc_has_failed());
	alloc_forgive();
}

#define BAD(name, error, words, n, ...)                                                            \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		n_rules = n;                                                                       \
		rules[0] = (struct sluice_packet_rule){ .size = sizeof(rules[0]) };                \
		rules[1] = (struct sluice_packet_rule){ .size = sizeof(rules[1]) };                \
		__VA_ARGS__;                                                                       \
		check_refused(*state, error, words);                                               \
	}

BAD(a_bad_address, -EINVAL, "packet rule 2: not an address", 2, rules[1].remote_address = "x")
BAD(a_bad_prefix, -EINVAL, "packet rule 2:", 2, rules[1].remote_address = "192.0.2.1/24")
BAD(a_bad_range, -EINVAL, "packet rule 2:", 2, rules[1].local_port = 9;
    rules[1].local_port_last = 8)
BAD(a_bad_action, -EINVAL, "packet rule 2:", 2, rules[1].action = SLUICE_RULE_DROP_SILENT)
BAD(a_bad_direction, -EINVAL, "packet rule 2:", 2,
    rules[1].direction = (enum sluice_rule_direction)9)
BAD(a_long_name, -EINVAL, "packet rule 2:", 2, rules[1].interface = "sixteen-letters!")
BAD(a_newer_rule, -E2BIG, "packet rule 2:", 2, rules[1].size = sizeof(rules[0]) + 8)
BAD(an_older_rule, -EINVAL, "packet rule 2:", 2, rules[1].size = 8)
BAD(too_many, -E2BIG, "more than 512", SLUICE_PACKET_RULES_MAX + 1,
    rules[1].action = SLUICE_RULE_DROP)

#define TEST(name) cmocka_unit_test_setup_teardown(name, filter_set_up, filter_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_packets_are_shown_and_answered_together),
		TEST(test_other_verdicts_are_other_records),
		TEST(test_bad_records_end_it),
		TEST(test_who_has_not_asked_is_not_shown),
		TEST(test_rules),
		TEST(test_no_memory),
		TEST(test_a_bad_address),
		TEST(test_a_bad_prefix),
		TEST(test_a_bad_range),
		TEST(test_a_bad_action),
		TEST(test_a_bad_direction),
		TEST(test_a_long_name),
		TEST(test_a_newer_rule),
		TEST(test_an_older_rule),
		TEST(test_too_many),
	};

	return cmocka_run_group_tests_name("filter-packets", tests, NULL, NULL);
}
