/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluiced changes verdicts of flows that go on
 *
 * FLOW_UPDATE and judging again: what is written, whose socket is ended, and
 * that nobody overrides another filter.
 */

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "running-lab.h"

enum { ALLOW, DROP, SILENT };

static void update(struct lab *lab, unsigned int filter, uint64_t id, uint8_t verdict)
{
	struct wire_flow_update record = { .id = id, .verdict = verdict, .reason = "update" };

	lab_say(lab, filter, WIRE_FLOW_UPDATE, &record);
}

static void rejudge(struct lab *lab, unsigned int filter)
{
	struct wire_flow_forget record = { .again = 1 };

	lab_say(lab, filter, WIRE_FLOW_FORGET, &record);
	lab_pass(lab, TICK_US);
}

/* a flow that all filters have judged alike. Return: its id */
static uint64_t judged(struct lab *lab, const struct lab_packet *packet, uint8_t verdict)
{
	uint64_t id = 0;

	lab_put(lab, packet);
	for (unsigned int i = 0; i < lab->config.n_filters; i++) {
		id = lab_take_flow(lab, i);
		assert_true(id > 0);
		lab_judge(lab, i, id, verdict);
		if (verdict != ALLOW)
			break;
	}
	return id;
}

static const struct plane_end *ended(struct lab *lab, const struct lab_packet *packet)
{
	const struct sl_flow *flow = lab_flow(lab, packet);

	return flow ? fake_get(lab->kernel, FAKE_ENDED, &flow->tuple) : NULL;
}

static void put_closed(struct lab *lab, const struct lab_packet *packet)
{
	struct sl_flow_key key = lab_key(packet);
	struct sl_event event = { .cookie = key.cookie,
				  .rport = key.rport,
				  .kind = SL_EV_TCP_CLOSED,
				  .bytes_in = 11,
				  .bytes_out = 12 };

	memcpy(event.raddr, key.raddr, sizeof(event.raddr));
	fake_put_event(lab->kernel, &event);
	lab_pass(lab, TICK_US);
}

static void test_an_allowed_flow_is_cut(void **state)
{
	const struct lab_packet *kinds[] = { &tcp, &tcp_in, &udp };
	struct lab *lab = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint64_t id = judged(lab, kinds[i], ALLOW);

		update(lab, 0, id, i == 2 ? SILENT : DROP);
		assert_int_equal(lab_flow(lab, kinds[i])->verdict, i == 2 ? SL_SILENT : SL_REJECT);
		assert_int_equal(lab_flow(lab, kinds[i])->id, id);
		assert_non_null(ended(lab, kinds[i]));
		assert_int_equal(ended(lab, kinds[i])->cookie, lab_key(kinds[i]).cookie);
		assert_int_equal(ended(lab, kinds[i])->is_inbound, kinds[i]->is_inbound);
		/* its next packet meets the denial, and nobody is asked */
		assert_int_equal(lab_fate(lab, lab_put(lab, kinds[i])),
				 i == 2 ? FATE_SILENT : FATE_REJECTED);
		assert_int_equal(lab_take_flow(lab, 0), 0);
	}
}

static void test_the_end_of_a_flow_that_was_cut_is_told(void **state)
{
	struct lab *lab = *state;
	uint64_t id = judged(lab, &tcp, ALLOW);
	const struct wire_flow_closed *closed;

	update(lab, 0, id, DROP);
	put_closed(lab, &tcp);
	closed = lab_take(lab, 0, WIRE_FLOW_CLOSED);
	assert_non_null(closed);
	assert_int_equal(closed->id, id);
	assert_int_equal(closed->bytes_in, 11);
	assert_null(lab_flow(lab, &tcp));
}

static void test_what_cannot_be_destroyed_is_held_again(void **state)
{
	const struct lab_packet *kinds[] = { &tcp, &udp };
	struct lab *lab = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint64_t id = judged(lab, kinds[i], ALLOW), cookie = lab_key(kinds[i]).cookie;
		struct sl_sock sock =
			*(const struct sl_sock *)fake_get(lab->kernel, FAKE_SOCKS, &cookie);

		sock.flags |= SL_SOCK_ALLOWED | SL_SOCK_JUDGED;
		fake_put(lab->kernel, FAKE_SOCKS, &cookie, &sock);
		fake_fail(lab->kernel, FAKE_DESTROY, 1, EOPNOTSUPP);
		update(lab, 0, id, DROP);
		assert_null(ended(lab, kinds[i]));
		sock = *(const struct sl_sock *)fake_get(lab->kernel, FAKE_SOCKS, &cookie);
		assert_int_equal(sock.flags & SL_SOCK_ALLOWED, i == 0 ? 0 : SL_SOCK_ALLOWED);
		assert_true(sock.flags & SL_SOCK_JUDGED);
		assert_int_equal(lab_fate(lab, lab_put(lab, kinds[i])), FATE_REJECTED);
	}
}

static void test_a_denial_the_kernel_does_not_take_is_asked_anew(void **state)
{
	struct lab *lab = *state;
	uint64_t id = judged(lab, &udp, ALLOW);
	unsigned int packet;

	fake_fail(lab->kernel, FAKE_SET_FLOW, 1, ENOMEM);
	update(lab, 0, id, DROP);
	assert_null(lab_flow(lab, &udp));
	packet = lab_put(lab, &udp);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	assert_true(lab_take_flow(lab, 0) > id);
}

static void test_a_denied_flow_is_released(void **state)
{
	struct lab *lab = *state;
	uint64_t id = judged(lab, &udp, DROP);

	update(lab, 0, id, ALLOW);
	assert_null(lab_flow(lab, &udp));
	assert_true(judged(lab, &udp, ALLOW) > id);
	assert_int_equal(lab_flow(lab, &udp)->verdict, SL_ALLOW);
}

static void test_no_filter_overrides_another(void **state)
{
	struct lab *lab = *state;
	uint64_t id = judged(lab, &udp, ALLOW);

	update(lab, 1, id, DROP);
	update(lab, 0, id, ALLOW);
	assert_int_equal(lab_flow(lab, &udp)->verdict, SL_REJECT);
	update(lab, 0, id, DROP);
	update(lab, 1, id, ALLOW);
	assert_int_equal(lab_flow(lab, &udp)->verdict, SL_REJECT);
	update(lab, 0, id, ALLOW);
	assert_null(lab_flow(lab, &udp));
	judged(lab, &udp, ALLOW); /* both are asked */
}

static void test_an_update_of_nobodys_flow_is_ignored(void **state)
{
	struct lab *lab = *state;
	uint64_t id;

	lab_put(lab, &udp);
	id = lab_take_flow(lab, 0);
	update(lab, 1, id, DROP); /* it was not told of it */
	update(lab, 1, 12345, DROP);
	assert_int_equal(flow_table_n_held(lab->daemon->flows), 1);
	assert_int_equal(lab->daemon->filters[1].n_late, 2);
}

static void test_a_held_flow_may_be_updated(void **state)
{
	struct lab *lab = *state;
	unsigned int packet = lab_put(lab, &tcp);
	uint64_t id = lab_take_flow(lab, 0);

	lab_judge(lab, 0, id, ALLOW);
	assert_int_equal(lab_take_flow(lab, 1), id);
	update(lab, 0, id, ALLOW);
	assert_int_equal(lab_fate(lab, packet), FATE_HELD);
	update(lab, 0, id, DROP); /* while the second one is asked */
	assert_int_equal(lab_fate(lab, packet), FATE_REJECTED);
	lab_judge(lab, 1, id, ALLOW);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
}

/* ---- judging again ---- */

static void test_only_what_changed_is_touched(void **state)
{
	struct lab *lab = *state;
	uint64_t kept = judged(lab, &tcp, ALLOW), cut = judged(lab, &udp, ALLOW);
	const struct wire_flow_new *flow;

	rejudge(lab, 0);
	for (int i = 0; i < 2; i++) {
		flow = lab_take(lab, 0, WIRE_FLOW_NEW);
		assert_non_null(flow);
		assert_int_equal(flow->again, 1);
		assert_true(flow->id == kept || flow->id == cut);
		lab_judge(lab, 0, flow->id, flow->id == cut ? DROP : ALLOW);
	}
	assert_int_equal(lab_take_flow(lab, 0), 0);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_ALLOW);
	assert_int_equal(lab_flow(lab, &udp)->verdict, SL_REJECT);
	assert_int_equal(fake_n(lab->kernel, FAKE_ENDED), 1);
}

static void test_a_remembered_flow_is_asked_about(void **state)
{
	struct lab *lab = *state;
	struct wire_flow_verdict verdict = { .scope = MEMORY_ADDRESS };
	struct sl_remembered event = { .event = { .kind = SL_EV_REMEMBERED } };
	uint32_t generation;

	lab_put(lab, &tcp);
	verdict.id = lab_take_flow(lab, 0);
	lab_say(lab, 0, WIRE_FLOW_VERDICT, &verdict);
	assert_int_equal(fake_n(lab->kernel, FAKE_MEMORY), 1);
	generation = fake_generation(lab->kernel);

	/* the kernel allows another one and has not told so when the rules change */
	event.tuple = lab_flow(lab, &tcp)->tuple;
	event.tuple.lport++;
	event.event.cookie = event.held.cookie = LAB_COOKIE + 1;
	event.held.sock = *(const struct sl_sock *)fake_get(lab->kernel, FAKE_SOCKS,
							    &(uint64_t){ LAB_COOKIE });
	fake_put_remembered(lab->kernel, &event);
	rejudge(lab, 0);
	assert_int_not_equal(fake_generation(lab->kernel), generation);
	assert_int_equal(lab_take_flow(lab, 0), verdict.id);
	assert_true(lab_take_flow(lab, 0) > verdict.id);
}

/* until the kernel takes it that promises are void, it allows by them */
static void test_it_begins_when_promises_are_void(void **state)
{
	struct lab *lab = *state;
	uint64_t id = judged(lab, &tcp, ALLOW);

	fake_fail_always(lab->kernel, FAKE_RENEW, ENOMEM);
	rejudge(lab, 0);
	lab_pass(lab, 10 * TICK_US);
	assert_int_equal(lab_take_flow(lab, 0), 0);
	fake_fail(lab->kernel, FAKE_RENEW, 0, 0);
	lab_pass(lab, TICK_US);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_take_flow(lab, 0), id);
}

static void test_many_are_asked_about_at_a_pace(void **state)
{
	struct lab *lab = *state;
	struct lab_packet packet = udp;
	unsigned int n = 0;
	uint64_t id;

	for (uint16_t i = 0; i < 3 * REJUDGE_WINDOW; i++) {
		packet.rport = (uint16_t)(1000 + i);
		judged(lab, &packet, ALLOW);
	}
	rejudge(lab, 0);
	while ((id = lab_take_flow(lab, 0)))
		n++;
	assert_int_equal(n, REJUDGE_WINDOW);
	/* nobody answers: all keep their verdict, and the next ones are asked about */
	lab_pass(lab, FLOW_DEADLINE_US);
	while ((id = lab_take_flow(lab, 0))) {
		n++;
		lab_judge(lab, 0, id, ALLOW);
	}
	assert_int_equal(n, 3 * REJUDGE_WINDOW);
	assert_int_equal(lab->daemon->filters[0].n_late, REJUDGE_WINDOW);
	assert_int_equal(fake_n(lab->kernel, FAKE_ENDED), 0);
}

static void test_a_filter_that_dies_is_asked_anew(void **state)
{
	struct lab *lab = *state;
	uint64_t id = judged(lab, &tcp, ALLOW);

	rejudge(lab, 0);
	lab_end_filter(lab, 0);
	lab_pass(lab, 1000000); /* its back-off */
	lab_run_filter(lab, 0);
	lab_pass(lab, TICK_US);
	assert_int_equal(lab_take_flow(lab, 0), id);
	lab_judge(lab, 0, id, DROP);
	assert_int_equal(lab_flow(lab, &tcp)->verdict, SL_REJECT);
}

static void test_a_contradicted_promise_is_taken_back(void **state)
{
	struct lab *lab = *state;
	struct wire_flow_verdict verdict = { .scope = MEMORY_ADDRESS };
	struct lab_packet other = tcp;
	uint32_t generation;

	lab_put(lab, &tcp);
	verdict.id = lab_take_flow(lab, 0);
	lab_say(lab, 0, WIRE_FLOW_VERDICT, &verdict);
	generation = fake_generation(lab->kernel);
	update(lab, 0, verdict.id, DROP);
	assert_int_not_equal(fake_generation(lab->kernel), generation);
	other.rport++;
	other.last++;
	lab_put(lab, &other);
	assert_true(lab_take_flow(lab, 0) > verdict.id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_allowed_flow_is_cut, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_the_end_of_a_flow_that_was_cut_is_told,
						running_one, running_tear_down),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_destroyed_is_held_again,
						running_one, running_tear_down),
		cmocka_unit_test_setup_teardown(
			test_a_denial_the_kernel_does_not_take_is_asked_anew, running_one,
			running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_denied_flow_is_released, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_no_filter_overrides_another, running_two,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_an_update_of_nobodys_flow_is_ignored,
						running_two, running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_held_flow_may_be_updated, running_two,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_only_what_changed_is_touched, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_remembered_flow_is_asked_about, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_it_begins_when_promises_are_void, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_many_are_asked_about_at_a_pace, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_filter_that_dies_is_asked_anew, running_one,
						running_tear_down),
		cmocka_unit_test_setup_teardown(test_a_contradicted_promise_is_taken_back,
						running_one, running_tear_down),
	};

	return cmocka_run_group_tests_name("daemon-live", tests, NULL, NULL);
}
