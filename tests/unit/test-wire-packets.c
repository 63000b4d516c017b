/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tails of PACKETS and PACKET_RULES, and what a rule matches */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/sluice-abi.h"
#include "wire/packets.h"

static size_t put(uint8_t *tail, size_t at, uint64_t id, const char *text)
{
	struct wire_packet packet = { .id = id,
				      .flow = 7,
				      .cookie = 8,
				      .pid = 9,
				      .uid = 10,
				      .ifindex = 11,
				      .length = 1500,
				      .flags = WIRE_PACKET_INBOUND,
				      .interface = "uplink",
				      .bytes = (const uint8_t *)text,
				      .n_bytes = (uint16_t)strlen(text) };

	assert_int_equal(packets_put(tail + at, &packet), packets_room(packet.n_bytes));
	return at + packets_room(packet.n_bytes);
}

static void test_packets_come_as_they_go(void **state)
{
	static const char *const texts[] = { "", "x", "eight..8", "nine....9" };
	uint8_t tail[512];
	struct wire_packet packet;
	size_t n = 0, at = 0;

	memset(tail, 0xee, sizeof(tail));
	for (unsigned int i = 0; i < 4; i++)
		n = put(tail, n, i + 100, texts[i]);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(packets_get(tail, n, at, &packet, &at), 0);
		assert_int_equal(packet.id, i + 100);
		assert_int_equal(packet.flow + packet.cookie + packet.pid + packet.uid, 34);
		assert_int_equal(packet.ifindex, 11);
		assert_int_equal(packet.length, 1500);
		assert_int_equal(packet.flags, WIRE_PACKET_INBOUND);
		assert_string_equal(packet.interface, "uplink");
		assert_int_equal(packet.n_bytes, strlen(texts[i]));
		assert_memory_equal(packet.bytes, texts[i], packet.n_bytes);
	}
	assert_int_equal(at, n);
	assert_int_equal(packets_get(tail, n, at, &packet, &at), WIRE_E_SHORT);
}

static void test_bad_packets_are_refused(void **state)
{
	uint8_t tail[512], copy[512];
	struct wire_packet packet = { .id = 77 };
	size_t n = put(tail, 0, 1, "text"), next = 99;

	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(packets_get(tail, cut, 0, &packet, &next), WIRE_E_SHORT);
	assert_int_equal(packets_get(tail, n, n + 1, &packet, &next), WIRE_E_SHORT);
	memcpy(copy, tail, n);
	copy[42] = 4; /* a flag that is not known */
	assert_int_equal(packets_get(copy, n, 0, &packet, &next), WIRE_E_RANGE);
	memcpy(copy, tail, n);
	copy[36] = copy[37] = 0; /* shorter than what is shown */
	assert_int_equal(packets_get(copy, n, 0, &packet, &next), WIRE_E_RANGE);
	memcpy(copy, tail, n);
	memset(copy + 48, 'a', 16); /* a name without an end */
	assert_int_equal(packets_get(copy, n, 0, &packet, &next), WIRE_E_STRING);
	assert_int_equal(packet.id, 77);
	assert_int_equal(next, 99);
}

static struct wire_packet_rule good_rule(void)
{
	struct wire_packet_rule rule = { .interface = "uplink",
					 .rport = 1,
					 .rport_last = 65535,
					 .lport = 7,
					 .action = 2,
					 .direction = 1,
					 .protocol = 6,
					 .family = 4,
					 .bits = 104 };

	rule.remote[10] = rule.remote[11] = 0xff;
	rule.remote[12] = 10;
	return rule;
}

static void test_rules_come_as_they_go(void **state)
{
	struct wire_packet_rule rule = good_rule(), again = { .bits = 1 };
	uint8_t bytes[WIRE_PACKET_RULE];

	packet_rule_put(bytes, &rule);
	assert_int_equal(packet_rule_get(bytes, &again), 0);
	assert_memory_equal(&rule, &again, sizeof(rule));
}

static void test_bad_rules_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		int error;
	} changes[] = {
		{ 40, 3, WIRE_E_RANGE },   { 41, 3, WIRE_E_RANGE }, { 43, 5, WIRE_E_RANGE },
		{ 44, 129, WIRE_E_RANGE }, { 45, 1, WIRE_E_RANGE }, { 46, 1, WIRE_E_RANGE },
		{ 47, 1, WIRE_E_RANGE },   { 13, 1, WIRE_E_RANGE }, { 31, 'a', WIRE_E_STRING },
		{ 16, 0, WIRE_E_STRING },  { 38, 6, WIRE_E_RANGE },
	};
	struct wire_packet_rule rule = good_rule(), unread = { .bits = 1 };
	uint8_t bytes[WIRE_PACKET_RULE];

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		packet_rule_put(bytes, &rule);
		bytes[changes[i].at] = changes[i].value;
		assert_int_equal(packet_rule_get(bytes, &unread), changes[i].error);
		assert_int_equal(unread.bits, 1);
	}
}

/* ---- what a rule matches: against a plain reference ---- */

static bool is_in_network(const struct sl_packet_rule *rule, const uint8_t addr[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_ipv4 = memcmp(addr, mapped, sizeof(mapped)) == 0;

	for (unsigned int i = 0; i < rule->bits; i++)
		if ((addr[i / 8] ^ rule->remote[i / 8]) & 0x80U >> i % 8)
			return false;
	return !rule->family || (rule->family == 4) == is_ipv4;
}

static bool is_matched(const struct sl_packet_rule *rule, const struct sl_tuple *tuple,
		       const char *interface, unsigned int dir)
{
	bool has_ports = tuple->proto != 1 && tuple->proto != 58;
	unsigned int rlast = rule->rport_last ? rule->rport_last : rule->rport;
	unsigned int llast = rule->lport_last ? rule->lport_last : rule->lport;

	return (!rule->dir || rule->dir == dir + 1) &&
	       (!rule->proto || rule->proto == tuple->proto) &&
	       (!rule->rport ||
		(has_ports && tuple->rport >= rule->rport && tuple->rport <= rlast)) &&
	       (!rule->lport ||
		(has_ports && tuple->lport >= rule->lport && tuple->lport <= llast)) &&
	       (!rule->interface[0] || strcmp(rule->interface, interface) == 0) &&
	       is_in_network(rule, tuple->raddr);
}

static void random_address(unsigned int *seed, uint8_t addr[16])
{
	memset(addr, 0, 16);
	if (rand_r(seed) % 2)
		addr[10] = addr[11] = 0xff;
	for (unsigned int i = rand_r(seed) % 2 ? 12 : 0; i < 16;
	     i += 1 + (unsigned int)rand_r(seed) % 4)
		addr[i] ^= (uint8_t)(rand_r(seed) % 4);
}

static void test_matches_as_the_reference(void **state)
{
	static const char *const names[] = { "", "uplink", "uplink0", "fifteen-letters" };
	static const uint8_t protocols[] = { 0, 1, 6, 17, 58 };
	unsigned int seed = 0x51011ce, n_matches = 0;

	for (unsigned int i = 0; i < 400000; i++) {
		struct sl_packet_rule rule = { .rport = (uint16_t)(rand_r(&seed) % 3),
					       .rport_last = 0,
					       .lport = (uint16_t)(rand_r(&seed) % 3),
					       .dir = (uint8_t)(rand_r(&seed) % 3),
					       .proto = protocols[rand_r(&seed) % 5],
					       .family = (uint8_t)(rand_r(&seed) % 3 * 2),
					       .bits = (uint8_t)(rand_r(&seed) % 129) };
		struct sl_tuple tuple = { .rport = (uint16_t)(rand_r(&seed) % 4),
					  .lport = (uint16_t)(rand_r(&seed) % 4),
					  .proto = protocols[rand_r(&seed) % 5] };
		char interface[16] = "";
		unsigned int dir = (unsigned int)rand_r(&seed) % 2;

		if (rule.family == 2)
			rule.family = 6;
		if (rule.rport && rand_r(&seed) % 2)
			rule.rport_last = (uint16_t)(rule.rport + 1);
		strncpy(rule.interface, names[rand_r(&seed) % 4], 15);
		strncpy(interface, names[1 + rand_r(&seed) % 3], 15);
		random_address(&seed, rule.remote);
		memcpy(tuple.raddr, rule.remote, 16);
		if (rand_r(&seed) % 2)
			random_address(&seed, tuple.raddr);
		n_matches += is_matched(&rule, &tuple, interface, dir);
		assert_int_equal(!!sl_packet_matches(&rule, &tuple, interface, dir),
				 is_matched(&rule, &tuple, interface, dir));
	}
	assert_true(n_matches > 1000); /* the test is about something */
}

static enum sl_packet_action fold(const struct sl_packet_set *set)
{
	struct sl_packet_fold fold = { 0 };

	for (unsigned int i = 0; i < set->n_rules; i++)
		sl_packet_apply(&set->rules[i], &fold);
	return sl_packet_conclude(set, &fold);
}

static void test_every_filter_has_to_allow(void **state)
{
	static struct sl_packet_set set = { .filters = 3, .n_rules = 3 };

	set.rules[0] = (struct sl_packet_rule){ .filter = 0, .action = SL_PACKET_ALLOW };
	set.rules[1] = (struct sl_packet_rule){ .filter = 0, .action = SL_PACKET_DROP };
	set.rules[2] = (struct sl_packet_rule){ .filter = 1, .action = SL_PACKET_ASK };
	assert_int_equal(fold(&set), SL_PACKET_ASK); /* the first rule of each */
	set.rules[2].action = SL_PACKET_DROP;
	assert_int_equal(fold(&set), SL_PACKET_DROP);
	set.rules[2].action = SL_PACKET_ALLOW;
	assert_int_equal(fold(&set), SL_PACKET_ALLOW);
	set.n_rules = 2; /* nothing of the second filter */
	set.asks = 2;
	assert_int_equal(fold(&set), SL_PACKET_ASK);
	set.drops = 2;
	set.asks = 0;
	assert_int_equal(fold(&set), SL_PACKET_DROP);
	set.drops = 0;
	assert_int_equal(fold(&set), SL_PACKET_ALLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets_come_as_they_go),
		cmocka_unit_test(test_bad_packets_are_refused),
		cmocka_unit_test(test_rules_come_as_they_go),
		cmocka_unit_test(test_bad_rules_are_refused),
		cmocka_unit_test(test_matches_as_the_reference),
		cmocka_unit_test(test_every_filter_has_to_allow),
	};

	return cmocka_run_group_tests_name("wire-packets", tests, NULL, NULL);
}
