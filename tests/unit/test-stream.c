/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Streams put together
 *
 * The oracle is simple: however a stream is cut, shuffled and repeated, as
 * long as it stays within the limits the same messages come out in order.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "names/stream.h"

#define ID 7U

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct stream_table));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static int push(struct stream_table *table, uint32_t seq, const char *bytes, size_t n)
{
	return stream_push(table, ID, seq, (const uint8_t *)bytes, n);
}

static void assert_message(struct stream_table *table, const char *text)
{
	const uint8_t *bytes;
	size_t n;

	assert_int_equal(stream_take(table, ID, &bytes, &n), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(bytes, text, n);
}

static void assert_more(struct stream_table *table)
{
	const uint8_t *bytes;
	size_t n;

	assert_int_equal(stream_take(table, ID, &bytes, &n), STREAM_E_MORE);
}

static void test_whole(void **state)
{
	assert_int_equal(push(*state, 100, "\0\3abc\0\2de\0", 10), 0);
	assert_message(*state, "abc");
	assert_message(*state, "de");
	assert_more(*state);
	assert_int_equal(push(*state, 110, "\0", 1), 0);
	assert_message(*state, "");
	assert_more(*state);
}

static void test_byte_by_byte(void **state)
{
	const char *bytes = "\0\3abc";

	for (uint32_t i = 0; i < 5; i++) {
		assert_more(*state);
		assert_int_equal(push(*state, UINT32_MAX - 2 + i, bytes + i, 1), 0);
	}
	assert_message(*state, "abc");
}

static void test_out_of_order(void **state)
{
	assert_int_equal(push(*state, 100, "\0\6", 2), 0);
	assert_int_equal(push(*state, 106, "ef", 2), 0);
	assert_more(*state);
	assert_int_equal(push(*state, 104, "cd", 2), 0);
	assert_more(*state);
	assert_int_equal(push(*state, 102, "ab", 2), 0);
	assert_message(*state, "abcdef");
}

/* what is there stays, and what was taken long ago does not come again */
static void test_overlap(void **state)
{
	assert_int_equal(push(*state, 100, "\0\6ab", 4), 0);
	assert_int_equal(push(*state, 105, "d", 1), 0);
	assert_int_equal(push(*state, 101, "\6XXcXef", 7), 0);
	assert_message(*state, "abcdef");
	assert_int_equal(push(*state, 100, "\0\6zzzzzz\0\1g", 11), 0);
	assert_message(*state, "g");
	assert_int_equal(push(*state, 100, "\0\6zzzzzz", 8), 0);
	assert_more(*state);
}

/* the tap saw the second segment first */
static void test_late_beginning(void **state)
{
	assert_int_equal(push(*state, 4, "cd", 2), 0);
	assert_more(*state);
	assert_int_equal(push(*state, 0, "\0\4ab", 4), 0);
	assert_message(*state, "abcd");
}

static void test_largest(void **state)
{
	static uint8_t sent[2 * STREAM_MESSAGE_MAX];
	const uint8_t *bytes;
	size_t n;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7);
	sent[0] = sent[1] = sent[STREAM_MESSAGE_MAX] = sent[STREAM_MESSAGE_MAX + 1] = 0xff;
	for (size_t at = 0, taken = 0; at < sizeof(sent); at += STREAM_SEGMENT_MAX) {
		n = MIN(sizeof(sent) - at, STREAM_SEGMENT_MAX);
		assert_int_equal(stream_push(*state, ID, (uint32_t)at, sent + at, n), 0);
		while (stream_take(*state, ID, &bytes, &n) == 0) {
			assert_int_equal(n, STREAM_MESSAGE_MAX - 2);
			assert_memory_equal(bytes, sent + taken + 2, n);
			taken += STREAM_MESSAGE_MAX;
		}
		assert_true(at + STREAM_SEGMENT_MAX < sizeof(sent) || taken == sizeof(sent));
	}
}

static void test_broken(void **state)
{
	const uint8_t *bytes;
	size_t n;

	assert_int_equal(push(*state, 0, "\0\1", 2), 0);
	assert_int_equal(push(*state, STREAM_BYTES, "a", 1), STREAM_E_BROKEN);
	assert_int_equal(push(*state, 2, "a", 1), STREAM_E_BROKEN);
	assert_int_equal(stream_take(*state, ID, &bytes, &n), STREAM_E_BROKEN);
	stream_forget(*state, ID);
	assert_int_equal(push(*state, 0, "\0\1a", 3), 0);
	assert_message(*state, "a");
}

static void test_holes(void **state)
{
	for (uint32_t i = 0; i <= STREAM_HOLES_MAX; i++)
		assert_int_equal(push(*state, 2 * i, "\0", 1), 0);
	assert_int_equal(push(*state, 2 * (STREAM_HOLES_MAX + 1), "\0", 1), STREAM_E_BROKEN);
}

static void test_eviction(void **state)
{
	const uint8_t *bytes;
	size_t n;

	for (uint64_t id = 1; id <= STREAM_SLOTS; id++)
		assert_int_equal(stream_push(*state, id, 0, (const uint8_t *)"\0\1", 2), 0);
	assert_int_equal(stream_push(*state, 1, 2, (const uint8_t *)"a", 1), 0);
	assert_int_equal(stream_push(*state, 1000, 0, (const uint8_t *)"\0\0", 2), 0);
	assert_int_equal(stream_take(*state, 1, &bytes, &n), 0);
	assert_int_equal(stream_take(*state, 2, &bytes, &n), STREAM_E_MORE);
	assert_int_equal(stream_push(*state, 3, 2, (const uint8_t *)"b", 1), 0);
	assert_int_equal(stream_take(*state, 3, &bytes, &n), 0);
	/* 2 went: what follows begins a new stream */
	assert_int_equal(stream_push(*state, 2, 2, (const uint8_t *)"\0\1c", 3), 0);
	assert_int_equal(stream_take(*state, 2, &bytes, &n), 0);
	assert_memory_equal(bytes, "c", 1);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*state >> 33);
}

#define STORY_MESSAGES 200U
#define STORY_MAX (STORY_MESSAGES * 102U)

/* messages of 0 to 99 bytes, all of the same value each */
static size_t tell_story(uint64_t *random, uint8_t *bytes)
{
	size_t n = 0;

	for (unsigned int i = 0; i < STORY_MESSAGES; i++) {
		uint8_t length = (uint8_t)(next_random(random) % 100);

		bytes[n++] = 0;
		bytes[n++] = length;
		memset(bytes + n, (int)i, length);
		n += length;
	}
	return n;
}

/* pieces around the first byte not sent yet: early, late, twice; returns the messages seen */
static unsigned int send_story(struct stream_table *table, uint64_t *random, const uint8_t *story,
			       size_t n_story)
{
	uint32_t seq = next_random(random) << 1, sent = 0;
	unsigned int n_seen = 0;
	const uint8_t *bytes;
	size_t n;

	while (sent < n_story) {
		uint32_t back = next_random(random) % 300, ahead = next_random(random) % 300;
		uint32_t from = sent - MIN(back, sent);
		uint32_t length = 1 + next_random(random) % 400;

		if (ahead < 100 && sent > 0)
			from = MIN(sent + ahead, (uint32_t)n_story - 1);
		length = MIN(length, (uint32_t)n_story - from);
		assert_int_equal(stream_push(table, ID, seq + from, story + from, length), 0);
		if (from <= sent && from + length > sent)
			sent = from + length;
		while (stream_take(table, ID, &bytes, &n) == 0) {
			for (size_t i = 0; i < n; i++)
				assert_int_equal(bytes[i], n_seen % 256);
			n_seen++;
		}
	}
	return n_seen;
}

static void test_shuffled(void **state)
{
	uint8_t *story = malloc(STORY_MAX);
	uint64_t random = 1;

	assert_non_null(story);
	for (int i = 0; i < 200; i++) {
		size_t n = tell_story(&random, story);

		assert_int_equal(send_story(*state, &random, story, n), STORY_MESSAGES);
		stream_forget(*state, ID);
	}
	free(story);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole),    TEST(test_byte_by_byte),	TEST(test_out_of_order),
		TEST(test_overlap),  TEST(test_late_beginning), TEST(test_largest),
		TEST(test_broken),   TEST(test_holes),		TEST(test_eviction),
		TEST(test_shuffled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
