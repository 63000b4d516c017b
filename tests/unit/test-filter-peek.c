/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: libsluice: what a flow carries, and what the filter says of it */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "filter-lab.h"

static struct sluice_data shown;
static char shown_bytes[64];
static unsigned int n_shown;

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
}

static void on_data(struct sluice_filter *filter, const struct sluice_data *bytes, void *data)
{
	shown = *bytes;
	n_shown++;
	memset(shown_bytes, 0, sizeof(shown_bytes));
	if (bytes->n)
		memcpy(shown_bytes, bytes->bytes, bytes->n);
}

static const struct sluice_filter_ops looking_ops = {
	.size = sizeof(looking_ops), .name = "looking", .new_flow = on_flow, .flow_data = on_data
};

/* as built with a header that did not have the member */
static const struct sluice_filter_ops older_ops = {
	.size = offsetof(struct sluice_filter_ops, flow_data),
	.name = "older",
	.new_flow = on_flow,
	.flow_data = on_data,
};

static void begin(struct seen *seen, const struct sluice_filter_ops *ops, uint8_t data)
{
	const struct wire_ready *ready = filter_ready(seen, ops);

	assert_int_equal(ready->error, 0);
	assert_int_equal(ready->data, data);
}

static void send_data(struct seen *seen, const struct wire_flow_data *record, const char *text)
{
	assert_int_equal(channel_send(seen->daemon, &wire_provider_channel, WIRE_FLOW_DATA, record,
				      text, strlen(text), -1),
			 0);
}

static void test_ready_tells_who_looks(void **state)
{
	begin(*state, &looking_ops, 1);
}

static void test_older_programs_do_not(void **state)
{
	struct sluice_peek peek = { .size = sizeof(peek), .outbound = { true, 1 } };
	struct wire_flow_data record = { .id = 5 };
	struct seen *seen = *state;

	begin(seen, &older_ops, 0);
	assert_int_equal(sluice_filter_answer_peek(seen->filter, 5, &peek, NULL), -EINVAL);
	send_data(seen, &record, "unwanted");
	assert_int_equal(filter_process(seen), -EPROTO);
}

static void test_a_peek(void **state)
{
	struct sluice_peek peek = { .size = sizeof(peek),
				    .outbound = { true, 4096 },
				    .inbound = { false, 7 } };
	const struct wire_flow_peek *record;
	struct seen *seen = *state;

	begin(seen, &looking_ops, 1);
	assert_int_equal(sluice_filter_answer_peek(seen->filter, 5, &peek, "first bytes"), 0);
	record = filter_expect(seen, WIRE_FLOW_PEEK);
	assert_int_equal(record->id, 5);
	assert_int_equal(record->outbound, 1);
	assert_int_equal(record->inbound, 0);
	assert_int_equal(record->peek_out, 4096);
	assert_string_equal(record->reason, "first bytes");
}

static void test_a_name(void **state)
{
	struct wire_flow_new flow = { .id = 5, .host_reading = 1 };
	const struct wire_flow_name *record;
	struct seen *seen = *state;

	filter_start(seen, &filter_full_ops);
	filter_send_record(seen, WIRE_FLOW_NEW, &flow);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(seen->flow.host_reading, SLUICE_READABLE);
	assert_int_equal(sluice_filter_answer_name(seen->filter, 5, "its host first"), 0);
	record = filter_expect(seen, WIRE_FLOW_NAME);
	assert_int_equal(record->id, 5);
	assert_string_equal(record->reason, "its host first");
	flow = (struct wire_flow_new){
		.id = 5, .host_reading = 2, .host_source = 7, .again = 1, .host = "a.example"
	};
	filter_send_record(seen, WIRE_FLOW_NEW, &flow);
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(seen->flow.host_reading, SLUICE_READ);
	assert_int_equal(seen->flow.host_source, SLUICE_HOST_QUIC_OUTER);
	assert_string_equal(seen->host, "a.example");
	assert_true(seen->flow.is_again);
}

static void test_a_peek_at_nothing(void **state)
{
	struct sluice_peek peek = { .size = sizeof(peek) };
	struct seen *seen = *state;

	begin(seen, &looking_ops, 1);
	assert_int_equal(sluice_filter_answer_peek(seen->filter, 5, &peek, NULL), -EINVAL);
	peek.inbound.is_filtered = true;
	peek.size--;
	assert_int_equal(sluice_filter_answer_peek(seen->filter, 5, &peek, NULL), -EINVAL);
	assert_int_equal(sluice_filter_answer_peek(seen->filter, 5, NULL, NULL), -EINVAL);
	assert_int_equal(filter_receive(seen), -EAGAIN);
}

static void test_bytes_are_shown(void **state)
{
	struct wire_flow_data record = { .id = 5, .direction = 1, .offset = 1ULL << 40, .most = 9 };
	struct seen *seen = *state;

	begin(seen, &looking_ops, 1);
	n_shown = 0;
	send_data(seen, &record, "some bytes");
	assert_int_equal(filter_process(seen), 0);
	assert_int_equal(n_shown, 1);
	assert_int_equal(shown.size, sizeof(shown));
	assert_int_equal(shown.flow_id, 5);
	assert_int_equal(shown.direction, SLUICE_INBOUND);
	assert_true(shown.offset == 1ULL << 40);
	assert_int_equal(shown.n, 10);
	assert_string_equal(shown_bytes, "some bytes");
	assert_false(shown.is_end);
	assert_int_equal(shown.most, 9);
	record.end = 1;
	send_data(seen, &record, ""); /* the end alone */
	assert_int_equal(filter_process(seen), 0);
	assert_true(shown.is_end);
	assert_int_equal(shown.n, 0);
}

static void test_answers(void **state)
{
	const struct wire_flow_pass *pass;
	struct seen *seen = *state;

	begin(seen, &looking_ops, 1);
	assert_int_equal(sluice_filter_pass(seen->filter, 5, SLUICE_INBOUND, 100, SLUICE_BYTES_MAX),
			 0);
	pass = filter_expect(seen, WIRE_FLOW_PASS);
	assert_int_equal(pass->id, 5);
	assert_int_equal(pass->direction, 1);
	assert_int_equal(pass->pass, 100);
	assert_true(pass->peek == UINT64_MAX);
	assert_int_equal(sluice_filter_pass(seen->filter, 5, (enum sluice_direction)2, 1, 1),
			 -EINVAL);
	assert_int_equal(sluice_filter_pause(seen->filter, 6), 0);
	assert_int_equal(
		((const struct wire_flow_pause *)filter_expect(seen, WIRE_FLOW_PAUSE))->pause, 1);
	assert_int_equal(sluice_filter_resume(seen->filter, 6), 0);
	assert_int_equal(
		((const struct wire_flow_pause *)filter_expect(seen, WIRE_FLOW_PAUSE))->pause, 0);
}

static void test_order_is_kept_in_a_full_channel(void **state)
{
	struct seen *seen = *state;
	unsigned int n_passed = 0;
	uint64_t n;

	begin(seen, &looking_ops, 1);
	n = filter_fill_channel(seen);
	assert_true(n > 0);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(sluice_filter_pass(seen->filter, i, SLUICE_OUTBOUND, i, 0), 0);
	for (;;) {
		while (filter_receive(seen) == 0) {
			if (seen->message.record->type != WIRE_FLOW_PASS)
				continue;
			assert_int_equal(WIRE_BODY(&seen->message, struct wire_flow_pass)->id,
					 n_passed);
			n_passed++;
		}
		if (n_passed == 100)
			break;
		assert_int_equal(filter_process(seen), 0);
	}
}

static void test_after_a_stop(void **state)
{
	struct sluice_peek peek = { .size = sizeof(peek), .outbound = { true, 1 } };
	struct seen *seen = *state;

	begin(seen, &looking_ops, 1);
	filter_send_stop(seen);
	assert_int_equal(filter_process(seen), -ESHUTDOWN);
	assert_int_equal(sluice_filter_answer_peek(seen->filter, 5, &peek, NULL), -ESHUTDOWN);
	assert_int_equal(sluice_filter_pass(seen->filter, 5, SLUICE_INBOUND, 1, 1), -ESHUTDOWN);
	assert_int_equal(sluice_filter_pause(seen->filter, 5), -ESHUTDOWN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, filter_set_up, filter_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ready_tells_who_looks),
		TEST(test_older_programs_do_not),
		TEST(test_a_peek),
		TEST(test_a_name),
		TEST(test_a_peek_at_nothing),
		TEST(test_bytes_are_shown),
		TEST(test_answers),
		TEST(test_order_is_kept_in_a_full_channel),
		TEST(test_after_a_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
