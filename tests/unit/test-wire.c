/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The codec, against every record of every channel
 *
 * Nothing here names a record: a new one in a table is tested by being there.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "wire-random.h"
#include "wire/wire.h"

#define SEED 0x736c75696365ULL

static const struct wire_channel *const channels[] = {
	&wire_provider_channel,
	&wire_names_channel,
	&wire_canary_channel,
	&wire_keeper_channel,
};

/* one record under test: its table entry, a random body and its bytes */
struct sample {
	const struct wire_channel *channel;
	const struct wire_record *record;
	uint8_t body[WIRE_BODY_MAX];
	uint8_t bytes[WIRE_RECORD_MAX + 1];
	size_t n;
};

typedef void (*sample_fn)(struct sample *sample);

/* the bytes are filled first: what decoding reads beyond a record must show */
static void for_each_record(sample_fn check)
{
	struct sample *sample = calloc(1, sizeof(*sample));
	uint64_t state = SEED;

	assert_non_null(sample);
	for (size_t c = 0; c < ARRAY_SIZE(channels); c++)
		for (size_t i = 0; i < channels[c]->n_records; i++) {
			sample->channel = channels[c];
			sample->record = &channels[c]->records[i];
			memset(sample->bytes, 0xa5, sizeof(sample->bytes));
			random_body(&state, sample->record, sample->body);
			assert_int_equal(wire_encode(sample->channel, sample->record->type,
						     sample->body, sample->bytes,
						     sizeof(sample->bytes), &sample->n),
					 0);
			check(sample);
		}
	free(sample);
}

static int decode_n(const struct sample *sample, size_t n, struct wire_message *message)
{
	/* an exact allocation, so that the sanitizer sees a read behind the end */
	uint8_t *bytes = malloc(n ? n : 1);
	int r;

	assert_non_null(bytes);
	memcpy(bytes, sample->bytes, n);
	r = wire_decode(sample->channel, sample->record->from, bytes, n, message);
	free(bytes);
	return r;
}

static int decode(const struct sample *sample, struct wire_message *message)
{
	return decode_n(sample, sample->n, message);
}

static void check_round_trip(struct sample *sample)
{
	struct wire_message message;
	uint8_t again[WIRE_RECORD_MAX];
	size_t n;

	assert_int_equal(decode(sample, &message), 0);
	assert_ptr_equal(message.record, sample->record);
	assert_int_equal(message.n_tail, 0);
	assert_memory_equal(message.body.bytes, sample->body, sample->record->struct_bytes);
	assert_int_equal(wire_encode(sample->channel, sample->record->type, message.body.bytes,
				     again, sizeof(again), &n),
			 0);
	assert_int_equal(n, sample->n);
	assert_memory_equal(again, sample->bytes, n);
}

static void check_truncations(struct sample *sample)
{
	struct wire_message message;

	memset(&message, 0x5a, sizeof(message));
	for (size_t n = 0; n < sample->n; n++)
		assert_int_equal(decode_n(sample, n, &message), WIRE_E_SHORT);
	/* an out-parameter changes on success only */
	for (size_t i = 0; i < sizeof(message); i++)
		assert_int_equal(((uint8_t *)&message)[i], 0x5a);
}

static void check_direction(struct sample *sample)
{
	unsigned int other = !sample->record->from;
	struct wire_message message;

	assert_true(sample->record->from <= 1);
	assert_int_equal(wire_decode(sample->channel, other, sample->bytes, sample->n, &message),
			 WIRE_E_TYPE);
	assert_int_equal(
		wire_decode(sample->channel, WIRE_FROM_ANY, sample->bytes, sample->n, &message), 0);
}

static void check_header(struct sample *sample)
{
	struct wire_message message;

	sample->bytes[2]++;
	assert_int_equal(decode(sample, &message), WIRE_E_SIZE);
	sample->bytes[2]--;
	for (size_t i = 4; i < WIRE_HEADER_BYTES; i++) {
		sample->bytes[i] = 1;
		assert_int_equal(decode(sample, &message), WIRE_E_RANGE);
		sample->bytes[i] = 0;
	}
	sample->bytes[1] = 0xff;
	assert_int_equal(decode(sample, &message), WIRE_E_TYPE);
}

static void check_tail(struct sample *sample)
{
	size_t most = sample->n + WIRE_TAIL_MAX;
	struct wire_message message;

	if (!sample->record->has_tail) {
		assert_int_equal(decode_n(sample, sample->n + 1, &message), WIRE_E_TAIL);
		return;
	}
	assert_int_equal(decode_n(sample, sample->n + 5, &message), 0);
	assert_int_equal(message.n_tail, 5);
	assert_int_equal(decode_n(sample, most, &message), 0);
	assert_int_equal(message.n_tail, WIRE_TAIL_MAX);
	assert_int_equal(decode_n(sample, most + 1, &message), WIRE_E_TAIL);
}

static void check_string(struct sample *sample, const struct wire_field *field, uint8_t *bytes)
{
	uint8_t kept[WIRE_BODY_MAX];
	struct wire_message message;

	memcpy(kept, bytes, field->bytes);
	memset(bytes, 'x', field->bytes);
	assert_int_equal(decode(sample, &message), WIRE_E_STRING);
	/* the longest string that fits */
	bytes[field->bytes - 1] = '\0';
	assert_int_equal(decode(sample, &message), 0);
	/* bytes behind the end could carry what nobody checks */
	bytes[0] = '\0';
	assert_int_equal(decode(sample, &message), WIRE_E_STRING);
	memcpy(bytes, kept, field->bytes);
}

static void check_limit(struct sample *sample, const struct wire_field *field, uint8_t *bytes)
{
	uint64_t above = (uint64_t)field->limit + 1;
	uint8_t kept[8], body[WIRE_BODY_MAX], out[WIRE_RECORD_MAX];
	struct wire_message message;
	uint64_t all = UINT64_MAX;
	size_t n;

	/* the number is as wide as its limit needs */
	assert_true(field->bytes >= 8 || above >> (8 * field->bytes) == 0);
	memcpy(kept, bytes, field->bytes);
	for (size_t i = 0; i < field->bytes; i++)
		bytes[i] = (uint8_t)(above >> (8 * i));
	assert_int_equal(decode(sample, &message), WIRE_E_RANGE);
	memcpy(bytes, kept, field->bytes);

	memcpy(body, sample->body, sizeof(body));
	memcpy(body + field->offset, &all, field->bytes);
	assert_int_equal(
		wire_encode(sample->channel, sample->record->type, body, out, sizeof(out), &n),
		WIRE_E_RANGE);
}

static void check_fields(struct sample *sample)
{
	uint8_t *bytes = sample->bytes + WIRE_HEADER_BYTES;

	for (size_t i = 0; i < sample->record->n_fields; i++) {
		const struct wire_field *field = &sample->record->fields[i];

		if (field->kind == WIRE_STR)
			check_string(sample, field, bytes);
		else if (field->limit)
			check_limit(sample, field, bytes);
		bytes += field->bytes;
	}
	assert_ptr_equal(bytes, sample->bytes + sample->n);
}

static void check_space(struct sample *sample)
{
	uint8_t out[WIRE_RECORD_MAX];
	size_t n = 12345;

	assert_int_equal(wire_encode(sample->channel, sample->record->type, sample->body, out,
				     sample->n - 1, &n),
			 WIRE_E_SPACE);
	assert_int_equal(n, 12345);
	assert_int_equal(wire_encode(sample->channel, sample->record->type, sample->body, out,
				     sample->n, &n),
			 0);
	assert_int_equal(n, sample->n);
}

/* a struct whose strings have no end is cut, never read beyond its field */
static void check_unended(struct sample *sample)
{
	struct wire_message message;

	for (size_t i = 0; i < sample->record->n_fields; i++) {
		const struct wire_field *field = &sample->record->fields[i];

		if (field->kind == WIRE_STR)
			memset(sample->body + field->offset, 'y', field->bytes);
	}
	assert_int_equal(wire_encode(sample->channel, sample->record->type, sample->body,
				     sample->bytes, sizeof(sample->bytes), &sample->n),
			 0);
	assert_int_equal(decode(sample, &message), 0);
	for (size_t i = 0; i < sample->record->n_fields; i++) {
		const struct wire_field *field = &sample->record->fields[i];

		if (field->kind == WIRE_STR)
			assert_int_equal(strlen((char *)message.body.bytes + field->offset),
					 field->bytes - 1);
	}
}

static void check_table(struct sample *sample)
{
	const struct wire_record *record = sample->record;
	size_t n_bytes = 0;

	assert_ptr_equal(wire_find(sample->channel, record->type), record);
	assert_true(record->n_fields > 0 && *record->doc);
	assert_true(record->struct_bytes <= WIRE_BODY_MAX);
	for (size_t i = 0; i < record->n_fields; i++) {
		assert_true(*record->fields[i].doc);
		n_bytes += record->fields[i].bytes;
	}
	assert_int_equal(record->body_bytes, n_bytes);
	assert_true(n_bytes <= WIRE_BODY_MAX);
}

static void test_encode_then_decode_is_identity(void **state)
{
	for_each_record(check_round_trip);
}

static void test_every_truncation_is_refused(void **state)
{
	for_each_record(check_truncations);
}

static void test_wrong_direction_is_refused(void **state)
{
	for_each_record(check_direction);
}

static void test_bad_headers_are_refused(void **state)
{
	for_each_record(check_header);
}

static void test_tails_only_where_they_belong(void **state)
{
	for_each_record(check_tail);
}

static void test_bad_fields_are_refused(void **state)
{
	for_each_record(check_fields);
}

static void test_small_buffers_are_refused(void **state)
{
	for_each_record(check_space);
}

static void test_unended_strings_are_cut(void **state)
{
	for_each_record(check_unended);
}

static void test_tables_are_consistent(void **state)
{
	for_each_record(check_table);
}

static void test_unknown_type_is_refused(void **state)
{
	uint8_t body[WIRE_BODY_MAX] = { 0 };
	uint8_t bytes[WIRE_RECORD_MAX];
	size_t n;

	for (size_t c = 0; c < ARRAY_SIZE(channels); c++)
		assert_int_equal(wire_encode(channels[c], 0xffff, body, bytes, sizeof(bytes), &n),
				 WIRE_E_TYPE);
}

static void test_every_error_has_words(void **state)
{
	for (int i = 0; i < _WIRE_E_N; i++)
		assert_string_not_equal(wire_strerror(i), "unknown error");
	assert_string_equal(wire_strerror(-1), "unknown error");
	assert_string_equal(wire_strerror(_WIRE_E_N), "unknown error");
}

/* the layout is a promise to other languages: these bytes never change */
static void test_layout_is_little_endian_without_padding(void **state)
{
	static const uint8_t expected[] = { 0x02, 0, 0x2c, 0, 0, 0, 0, 0, 1, 0,	  0,
					    0,	  8, 7,	   6, 5, 4, 3, 2, 1, 's', 0 };
	const struct wire_record *welcome = &wire_provider_channel.records[1];
	uint8_t body[WIRE_BODY_MAX] = { 0 };
	uint8_t bytes[WIRE_RECORD_MAX];
	size_t n;

	assert_string_equal(welcome->name, "WELCOME");
	memcpy(body + welcome->fields[0].offset, &(uint32_t){ 1 }, 4);
	memcpy(body + welcome->fields[1].offset, &(uint64_t){ 0x0102030405060708 }, 8);
	body[welcome->fields[2].offset] = 's';
	assert_int_equal(wire_encode(&wire_provider_channel, 2, body, bytes, sizeof(bytes), &n), 0);
	assert_int_equal(n, 8 + 4 + 8 + 32);
	assert_memory_equal(bytes, expected, sizeof(expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode_then_decode_is_identity),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_wrong_direction_is_refused),
		cmocka_unit_test(test_bad_headers_are_refused),
		cmocka_unit_test(test_tails_only_where_they_belong),
		cmocka_unit_test(test_bad_fields_are_refused),
		cmocka_unit_test(test_small_buffers_are_refused),
		cmocka_unit_test(test_unended_strings_are_cut),
		cmocka_unit_test(test_tables_are_consistent),
		cmocka_unit_test(test_unknown_type_is_refused),
		cmocka_unit_test(test_every_error_has_words),
		cmocka_unit_test(test_layout_is_little_endian_without_padding),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
