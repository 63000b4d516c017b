/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: What proxies connect to: who is asked, in which order, and on whose behalf it is */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "daemon/judge/judge.h"
#include "divert-lab.h"
#include "running-lab.h"

#define FILTER 0U
#define PROXY 1U
#define SECOND 2U

/* sockets of the two proxies */
static const struct lab_packet first = { .proto = IPPROTO_TCP,
					 .lport = 41000,
					 .rport = 443,
					 .last = 9,
					 .uid = LAB_PROVIDERS_UID + PROXY };
static const struct lab_packet second = { .proto = IPPROTO_TCP,
					  .lport = 41001,
					  .rport = 443,
					  .last = 9,
					  .uid = LAB_PROVIDERS_UID + SECOND };
static const struct lab_packet datagram = { .proto = IPPROTO_UDP,
					    .lport = 41002,
					    .rport = 443,
					    .last = 9,
					    .uid = LAB_PROVIDERS_UID + PROXY };

static int set_up(void **state)
{
	*state = divert_lab(1, 2, true);
	return 0;
}

/* a flow of a program, which the first proxy has taken */
static uint64_t taken(struct lab *lab)
{
	uint64_t id;

	lab_put(lab, &tcp);
	id = lab_take_flow(lab, FILTER);
	lab_judge(lab, FILTER, id, 0);
	assert_int_equal(lab_take_flow(lab, PROXY), id);
	divert_take_flow(lab, PROXY, id);
	return id;
}

static void say_upstream(struct lab *lab, unsigned int index, const struct lab_packet *packet,
			 uint64_t id)
{
	struct wire_flow_upstream record = { .id = id, .cookie = lab_key(packet).cookie };

	lab_say(lab, index, WIRE_FLOW_UPSTREAM, &record);
}

/* a question, and what was said before it */
struct asked {
	struct wire_flow_new flow;
	struct wire_flow_behalf behalf; /* id 0: nothing */
};

static struct asked asked(struct lab *lab, unsigned int index)
{
	struct asked asked = { .flow.id = 0 };
	uint16_t type;

	while ((type = divert_next(lab, index)) != 0 && type != WIRE_FLOW_NEW)
		if (type == WIRE_FLOW_BEHALF)
			asked.behalf = *WIRE_BODY(&lab->message, struct wire_flow_behalf);
	assert_int_equal(type, WIRE_FLOW_NEW);
	asked.flow = *WIRE_BODY(&lab->message, struct wire_flow_new);
	assert_true(!asked.behalf.id || asked.behalf.id == asked.flow.id);
	return asked;
}

static void expect_behalf(struct asked asked, const char *through, uint64_t behalf)
{
	assert_int_equal(asked.behalf.id, through[0] ? asked.flow.id : 0);
	assert_string_equal(asked.behalf.through, through);
	assert_int_equal(asked.behalf.behalf, behalf);
	assert_int_equal(asked.behalf.origin_pid, behalf ? LAB_PID : 0);
	assert_string_equal(asked.behalf.origin_exe, behalf ? "/bin/curl" : "");
}

/* ---- the order ---- */

/* what @proxy connects to, on behalf of a flow of its own: the filter is asked, and lets it go. Return: its id */
static uint64_t connect_on(struct lab *lab, unsigned int proxy, const struct lab_packet *packet,
			   uint64_t id, const char *through, unsigned int *ret_no)
{
	struct asked record;

	say_upstream(lab, proxy, packet, id);
	*ret_no = lab_put(lab, packet);
	record = asked(lab, FILTER);
	expect_behalf(record, through, id);
	assert_int_equal(record.flow.uid, LAB_PROVIDERS_UID + proxy);
	lab_judge(lab, FILTER, record.flow.id, 0);
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_NEW));
	return record.flow.id;
}

static void test_filters_then_the_proxies_behind_it(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab), first_id, second_id;
	unsigned int no;

	first_id = connect_on(lab, PROXY, &first, id, "filter1", &no);
	expect_behalf(asked(lab, SECOND), "filter1", id);
	assert_int_equal(lab_fate(lab, no), FATE_HELD);
	divert_take_flow(lab, SECOND, first_id);
	second_id = connect_on(lab, SECOND, &second, first_id, "filter1, filter2", &no);
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
	assert_int_equal(lab_fate(lab, no), FATE_ALLOWED);
	divert_say_opened(lab, SECOND, first_id, 0);
	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(flow_table_find_id(lab->daemon->flows, first_id)->is_diverted, true);
	assert_int_equal(flow_table_find_id(lab->daemon->flows, second_id)->is_diverted, false);
}

static void test_a_denial_is_the_proxies_error(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab);
	unsigned int no;

	say_upstream(lab, PROXY, &first, id);
	no = lab_put(lab, &first);
	lab_judge(lab, FILTER, asked(lab, FILTER).flow.id, 1);
	assert_int_equal(lab_fate(lab, no), FATE_REJECTED);
	assert_null(lab_take(lab, SECOND, WIRE_FLOW_NEW));
}

static void test_one_proxy_alone_is_not_governed(void **state)
{
	struct lab *lab = *state;
	static const struct lab_packet own = { .proto = IPPROTO_TCP,
					       .lport = 41000,
					       .rport = 443,
					       .last = 9,
					       .uid = LAB_PROVIDERS_UID };

	assert_int_equal(plane_proxies_id(lab->daemon->plane), 0);
	lab_put(lab, &own); /* as a program's would be */
	expect_behalf(asked(lab, 0), "", 0);
}

/* ---- on whose behalf ---- */

static void test_one_that_says_nothing_is_judged_as_itself(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	(void)taken(lab);
	lab_put(lab, &first);
	id = asked(lab, FILTER).flow.id;
	lab_judge(lab, FILTER, id, 0);
	assert_null(lab_take(lab, PROXY, WIRE_FLOW_NEW));
	expect_behalf(asked(lab, SECOND), "filter1", 0);
}

/* of another proxy's, of none, of one that it has declined, or that is over */
static void test_a_lie_is_counted_and_ignored(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab), late = lab->daemon->filters[SECOND].n_late;

	say_upstream(lab, SECOND, &second, id);
	say_upstream(lab, SECOND, &second, id + 1000);
	say_upstream(lab, SECOND, &second, 0);
	assert_int_equal(lab->daemon->filters[SECOND].n_late, late + 3);
	lab_put(lab, &second);
	expect_behalf(asked(lab, FILTER), "filter2", 0);
}

static void test_a_flow_that_is_over_is_nobodys(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab);

	say_upstream(lab, PROXY, &first, id);
	divert_say_opened(lab, PROXY, id, ECONNREFUSED);
	lab_put(lab, &first);
	expect_behalf(asked(lab, FILTER), "filter1", 0);
}

static void test_it_is_on_behalf_of_one_that_is_open(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab);

	divert_say_opened(lab, PROXY, id, 0);
	say_upstream(lab, PROXY, &datagram, id);
	lab_put(lab, &datagram);
	expect_behalf(asked(lab, FILTER), "filter1", id);
}

/* nobody is held, so that there is no other reason to read what it says; and that is not its first word */
static void test_what_it_has_said_is_read_before_its_packet(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab);
	struct wire_flow_upstream said = { .id = id, .cookie = lab_key(&datagram).cookie };
	struct daemon *daemon = lab->daemon;

	divert_say_opened(lab, PROXY, id, 0);
	assert_int_equal(flow_table_n_held(daemon->flows), 0);
	lab->daemon = NULL; /* it sleeps */
	lab_put(lab, &datagram);
	lab->daemon = daemon;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(channel_send(lab->filters[PROXY].sock, &wire_provider_channel,
					      WIRE_FLOW_ASK_END,
					      &(struct wire_flow_ask_end){ .id = id }, NULL, 0, -1),
				 0);
	assert_int_equal(channel_send(lab->filters[PROXY].sock, &wire_provider_channel,
				      WIRE_FLOW_UPSTREAM, &said, NULL, 0, -1),
			 0);
	judge_read_queue(daemon, plane_home(daemon->plane));
	lab_settle(lab);
	expect_behalf(asked(lab, FILTER), "filter1", id);
}

/* an entry of the kernel's would let the next one pass, on whosever behalf */
static void test_nothing_of_it_is_remembered(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab), first_id;
	struct lab_packet again = first;
	struct sl_memory_key key = lab_memory_key(lab, &tcp);

	say_upstream(lab, PROXY, &first, id);
	lab_put(lab, &first);
	first_id = asked(lab, FILTER).flow.id;
	lab_judge_for(lab, FILTER, first_id, 0, MEMORY_ADDRESS);
	lab_judge(lab, SECOND, asked(lab, SECOND).flow.id, 0);
	key.app.uid = first.uid;
	key.app.cgroup_id = FAKE_PROXIES_ID;
	assert_null(fake_get(lab->kernel, FAKE_MEMORY, &key));
	assert_int_equal(memory_count_answers(lab->daemon->memory), 0);
	again.lport++;
	again.rport = tcp.rport;
	lab_end_socket(lab, &first);
	lab_put(lab, &again);
	expect_behalf(asked(lab, FILTER), "filter1", id);
}

static void test_records_show_it(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab), first_id;
	char number[32];

	say_upstream(lab, PROXY, &first, id);
	lab_put(lab, &first);
	first_id = asked(lab, FILTER).flow.id;
	lab_judge(lab, FILTER, first_id, 0);
	lab_judge(lab, SECOND, first_id, 0);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)id);
	assert_string_equal(divert_member(lab, first_id, "through"), "filter1");
	assert_string_equal(divert_member(lab, first_id, "on_behalf_of"), number);
	assert_string_equal(divert_member(lab, first_id, "origin_exe"), "/bin/curl");
	snprintf(number, sizeof(number), "%u", LAB_PID);
	assert_string_equal(divert_member(lab, first_id, "origin_pid"), number);
	divert_say_opened(lab, PROXY, id, 0);
	assert_string_equal(divert_member(lab, id, "through"), "none");
	assert_string_equal(divert_member(lab, id, "on_behalf_of"), "none");
	assert_string_equal(divert_member(lab, id, "origin_uid"), "none");
}

static void test_each_proxy_has_a_zone(void **state)
{
	struct lab *lab = *state;
	uint64_t id = taken(lab);
	uint64_t own;

	lab_put(lab, &datagram);
	own = asked(lab, FILTER).flow.id;
	assert_int_equal(behalf_zone(flow_table_find_id(lab->daemon->flows, id)), SL_ZONE);
	assert_int_equal(behalf_zone(flow_table_find_id(lab->daemon->flows, own)),
			 sl_zone_of_proxy(datagram.uid));
	for (uint32_t i = 0; i < 16; i++) {
		assert_int_not_equal(sl_zone_of_proxy(LAB_PROVIDERS_UID + i), SL_ZONE);
		for (uint32_t j = 0; j < i; j++)
			assert_int_not_equal(sl_zone_of_proxy(LAB_PROVIDERS_UID + i),
					     sl_zone_of_proxy(LAB_PROVIDERS_UID + j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_filters_then_the_proxies_behind_it, set_up,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_denial_is_the_proxies_error, set_up,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_one_proxy_alone_is_not_governed, divert_set_up,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_one_that_says_nothing_is_judged_as_itself,
						set_up, running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_lie_is_counted_and_ignored, set_up,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_flow_that_is_over_is_nobodys, set_up,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_it_is_on_behalf_of_one_that_is_open, set_up,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_what_it_has_said_is_read_before_its_packet,
						set_up, running_tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_of_it_is_remembered, set_up,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_records_show_it, set_up, running_tear_down),
		cmocka_unit_test_setup_teardown(test_each_proxy_has_a_zone, set_up,
						running_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
