/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: sluiced has the first bytes of flows read, when a filter wants to know their host */

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon-lab-memory.h"
#include "naming-lab.h"

static struct flow *flow_of(struct lab *lab, uint64_t id)
{
	return flow_table_find_id(lab->daemon->flows, id);
}

static void test_a_name_is_read_and_allowed(void **state)
{
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab);
	unsigned int packet = peek_put_text(lab, 0, "hello");
	uint64_t token = naming_look(lab, 2, 0, "hello");

	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	naming_say(lab, token, HOST_NAMED, FLOW_HOST_TLS, "a.example");
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example"), id);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 5, "more")), FATE_ALLOWED);
	assert_string_equal(flow_of(lab, id)->reason, "unit");
	assert_int_equal(lab->daemon->filters[0].n_late, 0);
}

static void test_a_denied_name_costs_the_handshake_alone(void **state)
{
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	naming_say(lab, naming_look(lab, 2, 0, "hello"), HOST_NAMED, FLOW_HOST_HTTP, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_HTTP, "a.example");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_REJECT);
	assert_int_equal(lab_flow(lab, &peek_syn)->passed[SL_DIR_OUT], 0);
	assert_true(peek_is_destroyed(lab));
}

static void test_a_denied_datagram_is_refused_as_a_fresh_one(void **state)
{
	struct lab_packet second = peek_datagram;
	struct lab *lab = *state;
	unsigned int packets[2] = { lab_put(lab, &peek_datagram) };
	uint64_t id = naming_told(lab, 0), token;

	naming_wish(lab, 0, id);
	token = naming_look(lab, 3, 0, "hello");
	naming_say(lab, token, HOST_MORE, 0, "");
	assert_null(lab_take_look(lab));
	second.text = "world";
	packets[1] = lab_put(lab, &second);
	naming_look(lab, 3, 0, "hello"); /* all of them, from the first on */
	naming_look(lab, 3, 1, "world");
	naming_say(lab, token, HOST_MORE, 0, "");
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	naming_say(lab, token, HOST_NAMED, FLOW_HOST_QUIC, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_QUIC, "a.example");
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packets[0]), FATE_REJECTED);
	assert_int_equal(lab_fate(lab, packets[1]), FATE_REJECTED);
}

static void test_more_bytes_are_waited_for(void **state)
{
	struct wire_host more = { .answer = HOST_MORE, .needs = 10 };
	struct lab *lab = *state;

	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	more.token = naming_look(lab, 2, 0, "hello");
	lab_host(lab, &more);
	peek_put_text(lab, 5, " wor");
	assert_null(lab_take_look(lab));
	peek_put_text(lab, 9, "ld");
	/* all that is there, not as little as was asked for */
	naming_say(lab, naming_look(lab, 2, 0, "hello world"), HOST_NAMED, FLOW_HOST_TLS_OUTER,
		   "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS_OUTER, "a.example");
}

static void test_a_client_that_stops_is_not_waited_for_forever(void **state)
{
	struct wire_host more = { .answer = HOST_MORE, .needs = 10 };
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	more.token = naming_look(lab, 2, 0, "hello");
	lab_host(lab, &more);
	lab_pass(lab, NAMING_MORE_US);
	naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, "");
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_one_that_ends_in_the_middle_has_no_name(void **state)
{
	struct wire_host more = { .answer = HOST_MORE, .needs = 10 };
	struct lab_packet end = peek_out(5, NULL);
	struct lab *lab = *state;

	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	more.token = naming_look(lab, 2, 0, "hello");
	lab_host(lab, &more);
	end.flags |= FIN;
	lab_put(lab, &end);
	more.token = naming_look(lab, 2, 0, "hello");
	lab_host(lab, &more);
	naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, "");
}

/* each piece brings less than what is wanted next: that ends */
static void test_pieces_without_end_are_given_up(void **state)
{
	struct wire_host more = { .answer = HOST_MORE };
	struct lab *lab = *state;
	unsigned int n = 0;

	naming_begin(lab);
	for (;; n++) {
		const struct wire_look *look;

		assert_true(n <= NAMING_LOOKS_MAX);
		peek_put_text(lab, n, "x");
		look = lab_take_look(lab);
		if (!look)
			break;
		more.token = look->token;
		more.needs = n + 2;
		lab_host(lab, &more);
	}
	assert_int_equal(n, NAMING_LOOKS_MAX);
	lab_pass(lab, DEADLINE);
	naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, "");
}

/* of datagrams, of which all are read each time: 16 small ones, or few with PEEK_BYTES_MAX bytes */
static void put_datagrams(struct lab *lab, const char *text, unsigned int n_expected)
{
	struct lab_packet packet = peek_datagram;
	unsigned int n = 0, n_looks;
	uint64_t token = 0;

	packet.text = text;
	lab_put(lab, &packet);
	naming_wish(lab, 0, naming_told(lab, 0));
	do {
		const struct wire_look *look;

		for (n_looks = 0; (look = lab_take_look(lab)); n_looks++)
			token = look->token;
		for (unsigned int i = 0; i < n_looks; i++)
			naming_say(lab, token, HOST_MORE, 0, "");
		assert_int_equal(n_looks, n + 1);
		lab_put(lab, &packet);
	} while (++n < n_expected);
	assert_null(lab_take_look(lab));
	naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, "");
}

static void test_datagrams_without_end_are_given_up(void **state)
{
	put_datagrams(*state, "x", NAMING_DATAGRAMS_MAX);
}

static void test_large_datagrams_are_given_up(void **state)
{
	char text[1400 + 1] = { 0 };

	memset(text, 'x', sizeof(text) - 1);
	put_datagrams(*state, text, PEEK_BYTES_MAX / 1400);
}

static void test_one_that_sends_nothing_waits_for_nothing(void **state)
{
	const struct lab_packet greeting = peek_in(ACK, 5001, "220 hello");
	struct lab_packet end = peek_out(0, NULL);
	struct lab *lab = *state;

	naming_begin(lab);
	peek_connect(lab, &peek_syn, 5001);
	assert_int_equal(lab_fate(lab, lab_put(lab, &greeting)), FATE_ALLOWED);
	lab_pass(lab, 10 * DEADLINE);
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	end.flags |= FIN;
	lab_put(lab, &end);
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_NONE, "");
}

static void test_refused_and_too_much(void **state)
{
	struct wire_host more = { .answer = HOST_MORE, .needs = PEEK_BYTES_MAX + 1 };
	struct lab *lab = *state;

	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	naming_say(lab, naming_look(lab, 2, 0, "hello"), HOST_REFUSED, 0, "");
	lab_judge(lab, 0, naming_ask(lab, 0, FLOW_REFUSED, FLOW_HOST_NONE, ""), DROP);
	lab_end_socket(lab, &peek_syn);
	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	more.token = naming_look(lab, 2, 0, "hello");
	lab_host(lab, &more);
	naming_ask(lab, 0, FLOW_UNREADABLE, FLOW_HOST_NONE, "");
}

/* ---- when it is read at all ---- */

static void test_one_name_is_sure_and_two_are_not(void **state)
{
	struct lab *lab = *state;

	memory_resolved(lab, "a.example");
	lab_put(lab, &peek_syn);
	lab_judge(lab, 0, naming_ask(lab, 0, FLOW_UNREAD, FLOW_HOST_DNS, "a.example"), ALLOW);
	lab_end_socket(lab, &peek_syn);
	memory_resolved(lab, "b.example");
	lab_put(lab, &peek_syn);
	naming_wish(lab, 0, naming_ask(lab, 0, FLOW_READABLE, FLOW_HOST_DNS, "b.example"));
	peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
}

static void test_what_is_not_wanted_is_not_read(void **state)
{
	const struct lab_packet in = {
		.proto = IPPROTO_TCP, .is_inbound = true, .lport = 22, .rport = 50000, .last = 9
	};
	struct lab *lab = *state;
	uint64_t id;

	lab_judge(lab, 0, naming_come(lab), ALLOW);
	assert_int_equal(lab_fate(lab, peek_put_text(lab, 0, "hello")), FATE_ALLOWED);
	assert_null(lab_take_look(lab));
	lab_put(lab, &in);
	id = naming_ask(lab, 0, FLOW_UNREAD, FLOW_HOST_NONE, "");
	naming_wish(lab, 0, id); /* no answer */
	assert_int_equal(lab->daemon->filters[0].n_late, 1);
	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_flow(lab, &in)->verdict, SL_ALLOW);
}

/* what the first bytes say is one name: what was said of it holds, and of no other */
static void test_what_was_said_of_a_name_is_not_asked_again(void **state)
{
	struct lab *lab = *state;
	unsigned int packet;

	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	lab_judge_for(lab, 0, naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example"), DROP,
		      MEMORY_NAME);
	lab_end_socket(lab, &peek_syn);
	naming_begin(lab);
	packet = peek_put_text(lab, 0, "hello");
	naming_tell(lab, "a.example");
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
	lab_end_socket(lab, &peek_syn);
	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	naming_tell(lab, "b.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "b.example");
}

/* or the next one to this address would go unread */
static void test_no_name_after_reading_is_for_this_flow(void **state)
{
	struct lab *lab = *state;

	naming_begin(lab);
	peek_put_text(lab, 0, "hello");
	naming_say(lab, naming_look(lab, 2, 0, "hello"), HOST_NONE, 0, "");
	lab_judge_for(lab, 0, naming_ask(lab, 0, FLOW_READ, FLOW_HOST_NONE, ""), ALLOW,
		      MEMORY_ADDRESS);
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
	lab_end_socket(lab, &peek_syn);
	naming_begin(lab);
}

/* ---- several filters ---- */

static void test_every_filter_that_waits_is_asked(void **state)
{
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	naming_tell(lab, "a.example");
	assert_null(lab_take_look(lab)); /* once for both */
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
	naming_ask(lab, 1, FLOW_READ, FLOW_HOST_TLS, "a.example");
	lab_judge(lab, 1, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_SILENT);
}

static void test_a_later_filter_denies_before_the_handshake(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &peek_syn);

	naming_wish(lab, 0, naming_told(lab, 0));
	lab_judge(lab, 1, naming_told(lab, 1), DROP);
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
}

static void test_a_filter_looks_at_bytes_after_the_name(void **state)
{
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab);
	unsigned int packet = peek_put_text(lab, 0, "hello");

	naming_tell(lab, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
	naming_ask(lab, 1, FLOW_READ, FLOW_HOST_TLS, "a.example");
	lab_judge(lab, 0, id, ALLOW);
	peek_at(lab, 1, id, false, 5);
	peek_expect(lab, 1, 0, "hello");
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	lab_judge(lab, 1, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
}

static void test_who_waits_has_no_question(void **state)
{
	struct lab *lab = *state;
	uint64_t id = naming_begin(lab);
	unsigned int packet = peek_put_text(lab, 0, "hello");
	uint64_t token = naming_look(lab, 2, 0, "hello");

	peek_answer(lab, 0, id, 0, UINT64_MAX, 0);
	lab_judge(lab, 0, id, ALLOW);
	peek_pause_flow(lab, id, 1);
	naming_wish(lab, 0, id);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_int_equal(lab->daemon->filters[0].n_late, 4);
	naming_say(lab, token, HOST_NAMED, FLOW_HOST_TLS, "a.example");
	naming_ask(lab, 0, FLOW_READ, FLOW_HOST_TLS, "a.example");
}

static void test_a_filter_changes_its_mind_while_it_waits(void **state)
{
	struct wire_flow_update update = { .verdict = 0, .reason = "anyway" };
	struct lab *lab = *state;
	unsigned int packet;
	uint64_t token;

	update.id = naming_begin(lab);
	packet = peek_put_text(lab, 0, "hello");
	token = naming_look(lab, 2, 0, "hello");
	lab_say(lab, 0, WIRE_FLOW_UPDATE, &update);
	assert_int_equal(lab_fate(lab, packet), FATE_ALLOWED);
	naming_say(lab, token, HOST_NAMED, FLOW_HOST_TLS, "a.example"); /* nobody waits */
	assert_null(lab_take(lab, 0, WIRE_FLOW_NEW));
	assert_int_equal(lab_flow(lab, &peek_syn)->verdict, SL_ALLOW);
}

#define TEST(fn, setup) cmocka_unit_test_setup_teardown(fn, setup, peek_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_name_is_read_and_allowed, naming_one_closed),
		TEST(test_a_denied_name_costs_the_handshake_alone, naming_one_closed),
		TEST(test_a_denied_datagram_is_refused_as_a_fresh_one, naming_one_closed),
		TEST(test_more_bytes_are_waited_for, naming_one_closed),
		TEST(test_a_client_that_stops_is_not_waited_for_forever, naming_one_closed),
		TEST(test_one_that_ends_in_the_middle_has_no_name, naming_one_closed),
		TEST(test_pieces_without_end_are_given_up, naming_one_closed),
		TEST(test_datagrams_without_end_are_given_up, naming_one_closed),
		TEST(test_large_datagrams_are_given_up, naming_one_closed),
		TEST(test_one_that_sends_nothing_waits_for_nothing, naming_one_closed),
		TEST(test_refused_and_too_much, naming_one_closed),
		TEST(test_one_name_is_sure_and_two_are_not, naming_one_closed),
		TEST(test_what_is_not_wanted_is_not_read, naming_one_closed),
		TEST(test_what_was_said_of_a_name_is_not_asked_again, naming_one_closed),
		TEST(test_no_name_after_reading_is_for_this_flow, naming_one_closed),
		TEST(test_every_filter_that_waits_is_asked, naming_two_closed),
		TEST(test_a_later_filter_denies_before_the_handshake, naming_two_closed),
		TEST(test_a_filter_looks_at_bytes_after_the_name, naming_two_closed),
		TEST(test_who_waits_has_no_question, naming_one_closed),
		TEST(test_a_filter_changes_its_mind_while_it_waits, naming_one_closed),
	};

	return cmocka_run_group_tests_name("daemon-naming", tests, NULL, NULL);
}
