/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What filters are shown, and what goes: at random against a plain reference, and in single rules */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/peek.h"
#include "tests/unit/peek-world.h"

#define LIVES 5000U
#define OUT SL_DIR_OUT

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1dULL;
}

static void any_life_ends_well(void **state)
{
	struct peek_outcome sum = { 0 };
	uint64_t seed = 0x51011ce;
	uint8_t bytes[1024];

	for (unsigned int i = 0; i < LIVES; i++) {
		struct peek_outcome outcome;
		size_t n = next_random(&seed) % sizeof(bytes);

		for (size_t j = 0; j < n; j++)
			bytes[j] = (uint8_t)(next_random(&seed) >> 32);
		outcome = peek_world_run(bytes, n);
		sum.n_packets += outcome.n_packets;
		sum.n_questions += outcome.n_questions;
		sum.n_ends += outcome.n_ends;
		sum.n_delivered += outcome.n_delivered;
	}
	print_message("%u packets, %u questions, %u ends, %zu bytes\n", sum.n_packets,
		      sum.n_questions, sum.n_ends, sum.n_delivered);
	assert_true(sum.n_questions > LIVES); /* the test is about something */
	assert_true(sum.n_ends > LIVES / 4);
}

/* ---- single rules, in words ---- */

static enum peek_fate put(struct peek *peek, uint32_t seq, const char *text, bool is_fin)
{
	struct peek_segment segment = { .seq = seq,
					.is_fin = is_fin,
					.bytes = (const uint8_t *)text,
					.n = strlen(text),
					.packet.id = seq };
	struct flow_packet other;

	return peek_take(peek, OUT, &segment, 1000, &other);
}

static struct peek *looking(bool is_stream, uint64_t wanted)
{
	struct peek *peek = peek_new(is_stream);

	assert_non_null(peek);
	peek_look(peek, 0, OUT, wanted);
	if (is_stream)
		peek_begin_at(peek, OUT, 100, 0);
	return peek;
}

static struct peek_question expect(struct peek *peek, unsigned int filter, uint64_t now_us,
				   uint64_t offset, const char *text)
{
	struct peek_question question;
	uint8_t shown[2 * PEEK_PACKETS_MAX];

	assert_int_equal(peek_next(peek, filter, OUT, now_us, &question), 0);
	assert_int_equal(question.offset, offset);
	assert_int_equal(question.n, strlen(text));
	peek_copy(peek, OUT, &question, shown);
	assert_memory_equal(shown, text, strlen(text));
	peek_asked(peek, filter, OUT, &question, now_us);
	return question;
}

static int wait_for(struct peek *peek, uint64_t now_us)
{
	struct peek_question question;

	return peek_next(peek, 0, OUT, now_us, &question);
}

static unsigned int n_released(struct peek *peek)
{
	struct flow_packet packet;
	unsigned int n = 0;

	while (peek_release(peek, OUT, &packet) == 0)
		n++;
	return n;
}

static void shown_when_there_is_enough(void **state)
{
	struct peek *peek = looking(true, 6);

	assert_int_equal(put(peek, 100, "abc", false), PEEK_HOLD);
	assert_int_equal(wait_for(peek, 1000), PEEK_E_WAIT);
	assert_int_equal(put(peek, 103, "defgh", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "abcdef");
	assert_int_equal(n_released(peek), 0);
	assert_int_equal(peek_pass(peek, 0, OUT, 6, 1, 1000), 0);
	assert_int_equal(n_released(peek), 1); /* of "defgh" only a part: it goes whole */
	expect(peek, 0, 1000, 6, "g");
	peek_free(peek);
}

static void what_is_less_is_shown_after_a_while(void **state)
{
	struct peek *peek = looking(true, 1000);

	assert_int_equal(put(peek, 100, "abc", false), PEEK_HOLD);
	assert_int_equal(wait_for(peek, 1000 + PEEK_IDLE_US - 1), PEEK_E_WAIT);
	expect(peek, 0, 1000 + PEEK_IDLE_US, 0, "abc");
	assert_int_equal(peek_pass(peek, 0, OUT, 0, 1000, 2000), 0); /* more */
	assert_int_equal(wait_for(peek, 2000 + FLOW_DEADLINE_US - 1), PEEK_E_WAIT);
	assert_int_equal(wait_for(peek, 2000 + FLOW_DEADLINE_US), PEEK_E_LATE);
	assert_int_equal(put(peek, 103, "d", true), PEEK_HOLD);
	assert_true(expect(peek, 0, 2000, 0, "abcd").is_end);
	assert_int_equal(peek_pass(peek, 0, OUT, 0, 9, 2000), PEEK_E_INVALID); /* of what? */
	assert_int_equal(peek_pass(peek, 0, OUT, 4, 0, 2000), 0);
	assert_int_equal(n_released(peek), 2);
	peek_free(peek);
}

/* its packet goes whole, and the sender may send nothing before */
static void the_rest_of_a_packet_is_shown_at_once(void **state)
{
	struct peek *peek = looking(true, 4);

	assert_int_equal(put(peek, 100, "abcdef", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "abcd");
	assert_int_equal(peek_pass(peek, 0, OUT, 4, 4, 1000), 0);
	expect(peek, 0, 1000, 4, "ef");
	peek_free(peek);
}

static unsigned int n_dropped_waiting(struct peek *peek, uint64_t now_us)
{
	struct flow_packet packet;
	uint64_t due_us;
	unsigned int n = 0;

	if (peek_is_awaited(peek, OUT, now_us, &due_us))
		return 0;
	while (peek_drop_waiting(peek, OUT, &packet) == 0)
		n++;
	return n;
}

/* TCP sends on when what it has sent is not in the queue any more; and that once again */
static void what_a_sender_waits_for_comes_again(void **state)
{
	struct peek *peek = looking(true, 3);
	uint64_t now_us = 1000 + PEEK_IDLE_US;

	assert_int_equal(put(peek, 100, "abc", false), PEEK_HOLD);
	assert_int_equal(n_dropped_waiting(peek, now_us), 0); /* it waits for a filter */
	expect(peek, 0, 1000, 0, "abc");
	assert_int_equal(peek_pass(peek, 0, OUT, 0, 6, 1000), 0); /* which waits for more */
	assert_int_equal(n_dropped_waiting(peek, now_us - 1), 0);
	assert_int_equal(n_dropped_waiting(peek, now_us), 1);
	assert_int_equal(n_dropped_waiting(peek, now_us), 0);
	assert_int_equal(put(peek, 100, "aXc", false), PEEK_LIE);
	assert_int_equal(put(peek, 103, "def", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "abcdef");
	assert_int_equal(put(peek, 100, "abc", false),
			 PEEK_HOLD); /* it can go, the copy could not */
	assert_int_equal(put(peek, 100, "abc", false), PEEK_DROP);
	assert_int_equal(peek_pass(peek, 0, OUT, 6, 1, 1000), 0);
	assert_int_equal(n_released(peek), 2);
	assert_int_equal(put(peek, 100, "abc", false), PEEK_GO);
	peek_free(peek);
}

/* what has not come again when it may go goes when it comes */
static void a_copy_goes_when_it_comes_again(void **state)
{
	struct peek *peek = looking(true, 3);

	assert_int_equal(put(peek, 100, "abc", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "abc");
	assert_int_equal(peek_pass(peek, 0, OUT, 0, 6, 1000), 0);
	assert_int_equal(n_dropped_waiting(peek, 1000 + PEEK_IDLE_US), 1);
	assert_int_equal(put(peek, 103, "def", true), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "abcdef");
	assert_int_equal(n_dropped_waiting(peek, 1000 + PEEK_IDLE_US), 0); /* no more comes */
	assert_int_equal(peek_pass(peek, 0, OUT, 6, 1, 1000), 0);
	assert_int_equal(n_released(peek), 1);
	assert_int_equal(peek_pass(peek, 0, OUT, PEEK_ALL, 0, 1000), PEEK_E_INVALID); /* it ended */
	peek_leave(peek, 0, 1000);
	assert_true(peek_is_guarded(peek, OUT));
	assert_int_equal(put(peek, 100, "aXc", false), PEEK_LIE);
	assert_int_equal(put(peek, 101, "bc", false),
			 PEEK_DROP); /* its beginning is to come first */
	assert_int_equal(put(peek, 106, "later", false), PEEK_GO);
	assert_int_equal(put(peek, 100, "a", false), PEEK_GO);
	assert_true(peek_is_guarded(peek, OUT));
	assert_int_equal(put(peek, 101, "bcd", false), PEEK_GO);
	assert_false(peek_is_guarded(peek, OUT));
	peek_free(peek);
}

/* a part of it has no place beside the rest: it comes again, and the copy is whole until then */
static void a_copy_is_cut_for_what_stays(void **state)
{
	struct peek *peek = looking(true, 3);
	char text[PEEK_PACKETS_MAX + 3] = "abc", one[] = "x";

	assert_int_equal(put(peek, 100, "abc", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "abc");
	assert_int_equal(peek_pass(peek, 0, OUT, 0, sizeof(text) - 1, 1000), 0);
	assert_int_equal(n_dropped_waiting(peek, 1000 + PEEK_IDLE_US), 1);
	for (uint32_t i = 3; i < sizeof(text) - 1; i++) {
		text[i] = one[0];
		assert_int_equal(put(peek, 100 + i, one, false), PEEK_HOLD);
	}
	assert_int_equal(peek->streams[OUT].n, PEEK_PACKETS_MAX);
	assert_int_equal(put(peek, 100, "a", false), PEEK_DROP);
	expect(peek, 0, 1000, 0, text);
	assert_int_equal(put(peek, 100, "abc", false), PEEK_HOLD); /* in its place */
	peek_free(peek);
}

/* what is sent beyond it is lost, and only sent again after a fifth of a second */
static void a_window_is_held(void **state)
{
	struct peek *peek = looking(true, 4);
	static const uint8_t bytes[65160]; /* as TCP of this machine sends it: segments of 1448 */
	struct peek_segment segment = { .seq = 100, .bytes = bytes, .n = sizeof(bytes) };
	struct flow_packet other;

	for (unsigned int i = 0; i < 8; i++, segment.seq += (uint32_t)segment.n)
		assert_int_equal(peek_take(peek, OUT, &segment, 1000, &other), PEEK_HOLD);
	peek_free(peek);
}

/* it has a share of what its user may hold: no more, even of what comes next in order */
static void no_more_than_a_window_is_held(void **state)
{
	struct peek *peek = looking(true, 4);
	static const uint8_t bytes[32768];
	struct peek_segment segment = { .bytes = bytes, .n = sizeof(bytes) };
	struct flow_packet other;
	unsigned int n = 0;

	for (segment.seq = 100 + PEEK_GAP_MAX;
	     peek_take(peek, OUT, &segment, 1000, &other) == PEEK_HOLD; n++)
		segment.seq += (uint32_t)segment.n;
	assert_int_equal(n, PEEK_HELD_MAX / segment.n);
	segment.seq = 100;
	for (segment.n = PEEK_BYTES_MAX / 10; segment.seq < 100 + PEEK_BYTES_MAX;
	     segment.seq += (uint32_t)segment.n) /* all that may be wanted fills the gap */
		assert_int_equal(peek_take(peek, OUT, &segment, 1000, &other), PEEK_HOLD);
	for (segment.n = 30000; peek_take(peek, OUT, &segment, 1000, &other) == PEEK_HOLD;)
		segment.seq += (uint32_t)segment.n;
	assert_in_range(peek->streams[OUT].n_bytes, PEEK_HELD_MAX, PEEK_HELD_MAX + PEEK_GAP_MAX);
	peek_free(peek);
}

/* a user may have many flows that are looked at, most of which hold nothing */
static void a_flow_that_holds_nothing_is_small(void **state)
{
	struct peek *peek = looking(true, PEEK_ALL);
	size_t size = peek_size(peek);

	assert_in_range(size, sizeof(*peek), 2048);
	assert_int_equal(put(peek, 100, "a", false), PEEK_HOLD);
	assert_in_range(peek_size(peek), size + 1, size + 64);
	peek_free(peek);
}

static void two_copies_of_a_byte(void **state)
{
	struct peek *peek = looking(true, 3);

	assert_int_equal(put(peek, 101, "bc", false), PEEK_HOLD);
	assert_int_equal(put(peek, 101, "bc", false), PEEK_DROP);
	assert_int_equal(put(peek, 101, "xc", false), PEEK_LIE);
	assert_int_equal(put(peek, 100, "axcd", false), PEEK_LIE);
	assert_int_equal(put(peek, 100, "abcd", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "abc");
	assert_int_equal(peek_pass(peek, 0, OUT, 4, 3, 1000), 0);
	assert_int_equal(n_released(peek), 2);
	assert_int_equal(put(peek, 100, "abcd", false), PEEK_GO); /* it was lost on its way */
	peek_free(peek);
}

/* what is kept of what has gone is bounded, and one packet always goes */
static void kept_until_it_is_acknowledged(void **state)
{
	struct peek *peek = peek_new(true);
	static const uint8_t bytes[PEEK_HELD_MAX];
	struct peek_segment segment = { .bytes = bytes, .n = sizeof(bytes), .packet.id = 1 };
	struct peek_question question;
	struct flow_packet packet;

	assert_non_null(peek);
	peek_look(peek, 0, SL_DIR_IN, 1);
	peek_begin_at(peek, SL_DIR_IN, 0, 0);
	assert_int_equal(peek_take(peek, SL_DIR_IN, &segment, 1000, &packet), PEEK_HOLD);
	segment.seq = (uint32_t)segment.n;
	segment.n = 3;
	assert_int_equal(peek_take(peek, SL_DIR_IN, &segment, 1000, &packet), PEEK_HOLD);
	for (uint64_t at = 0; at < PEEK_HELD_MAX + 3;) {
		assert_int_equal(peek_next(peek, 0, SL_DIR_IN, 1000, &question), 0);
		peek_asked(peek, 0, SL_DIR_IN, &question, 1000);
		at = question.offset + question.n;
		assert_int_equal(peek_pass(peek, 0, SL_DIR_IN, question.n, PEEK_SHOWN_MAX, 1000),
				 0);
		peek->streams[SL_DIR_IN].news_us = 0;
	}
	assert_int_equal(peek_release(peek, SL_DIR_IN, &packet), 0);
	assert_int_equal(peek_release(peek, SL_DIR_IN, &packet), PEEK_E_NOTHING);
	segment.must_not_stay = true; /* what takes no memory goes all the same */
	assert_int_equal(peek_take(peek, SL_DIR_IN, &segment, 1000, &packet), PEEK_GO);
	peek_ack(peek, SL_DIR_IN, PEEK_HELD_MAX - 1, 1000);
	assert_int_equal(peek_release(peek, SL_DIR_IN, &packet), PEEK_E_NOTHING);
	peek_ack(peek, SL_DIR_IN, PEEK_HELD_MAX, 1000);
	assert_int_equal(peek_release(peek, SL_DIR_IN, &packet), 0);
	assert_true(peek_is_guarded(peek, SL_DIR_IN));
	peek_ack(peek, SL_DIR_IN, PEEK_HELD_MAX + 3, 1000);
	assert_false(peek_is_guarded(peek, SL_DIR_IN));
	peek_free(peek);
}

static void everybody_has_to_pass_it(void **state)
{
	struct peek *peek = looking(true, 1);

	peek_look(peek, 1, OUT, 2);
	assert_int_equal(put(peek, 100, "ab", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "a");
	expect(peek, 1, 1000, 0, "ab");
	assert_int_equal(peek_pass(peek, 0, OUT, PEEK_ALL, 0, 1000), 0);
	assert_false(peek_looks(peek, 0));
	assert_int_equal(n_released(peek), 0);
	assert_int_equal(peek_pass(peek, 1, OUT, 100, 1, 1000), 0); /* 98 of them in advance */
	assert_int_equal(n_released(peek), 1);
	assert_int_equal(put(peek, 150, "in advance, in any order", false), PEEK_GO);
	assert_int_equal(put(peek, 199, "behind it", false), PEEK_HOLD);
	expect(peek, 1, 1000, 100, "e");
	peek_free(peek);
}

static void a_datagram_is_shown_at_once(void **state)
{
	struct peek *peek = looking(false, PEEK_ALL);
	struct peek_question question;

	assert_int_equal(put(peek, 1, "one", false), PEEK_HOLD);
	assert_int_equal(put(peek, 2, "two", false), PEEK_HOLD);
	assert_int_equal(put(peek, 3, "", false), PEEK_GO);
	question = expect(peek, 0, 1000, 0, "one");
	assert_true(question.is_clamped);
	assert_int_equal(peek_pass(peek, 0, OUT, 0, 100, 1000), 0); /* more */
	expect(peek, 0, 1000, 0, "onetwo");
	assert_int_equal(peek_pass(peek, 0, OUT, 3, 100, 1000), 0);
	assert_int_equal(n_released(peek), 1);
	expect(peek, 0, 1000, 3, "two");
	peek_free(peek);
}

static void paused(void **state)
{
	struct peek *stream = looking(true, 1), *datagrams = looking(false, 1);

	assert_int_equal(peek_pause(stream, 0, 1000), PEEK_E_INVALID); /* nothing was asked */
	assert_int_equal(put(stream, 100, "a", false), PEEK_HOLD);
	expect(stream, 0, 1000, 0, "a");
	assert_int_equal(peek_resume(stream, 0, 1000), PEEK_E_INVALID);
	assert_int_equal(peek_pause(stream, 0, 1000), 0);
	assert_int_equal(peek_pause(stream, 0, 1000), PEEK_E_INVALID);
	assert_int_equal(peek_pass(stream, 0, OUT, 1, 0, 1000), PEEK_E_INVALID);
	assert_int_equal(wait_for(stream, UINT64_MAX), PEEK_E_NOTHING); /* for ever */
	assert_int_equal(peek_resume(stream, 0, 9000000), 0);
	assert_int_equal(wait_for(stream, 9000000), PEEK_E_WAIT);
	assert_int_equal(peek_pass(stream, 0, OUT, 1, 0, 9000000), 0);
	assert_int_equal(n_released(stream), 1);

	assert_int_equal(put(datagrams, 1, "a", false), PEEK_HOLD);
	expect(datagrams, 0, 1000, 0, "a");
	assert_int_equal(peek_pause(datagrams, 0, 1000), 0);
	assert_int_equal(wait_for(datagrams, 1000 + PEEK_PAUSE_US - 1), PEEK_E_WAIT);
	assert_int_equal(wait_for(datagrams, 1000 + PEEK_PAUSE_US), PEEK_E_EXPIRED);
	peek_free(stream);
	peek_free(datagrams);
}

static void who_has_left_pauses_nothing(void **state)
{
	struct peek *peek = looking(true, 3);

	peek_look(peek, 1, OUT, 3);
	assert_int_equal(put(peek, 100, "abc", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0, "abc");
	expect(peek, 1, 1000, 0, "abc");
	peek_leave(peek, 0, 1000); /* its answer: the rest may go */
	assert_int_equal(peek_pause(peek, 0, 1000), PEEK_E_INVALID);
	assert_int_equal(peek_pass(peek, 1, OUT, 3, 0, 1000), 0);
	assert_int_equal(n_released(peek), 1);
	peek_free(peek);
}

static void resets(void **state)
{
	struct peek *peek = looking(true, 100);
	struct peek_segment reset = { .seq = 150, .is_reset = true };
	struct flow_packet other;

	assert_int_equal(put(peek, 100, "abc", false), PEEK_HOLD);
	assert_int_equal(peek_take(peek, OUT, &reset, 1000, &other), PEEK_GO); /* TCP judges it */
	reset.seq = 103;
	assert_int_equal(peek_take(peek, OUT, &reset, 1000, &other), PEEK_HOLD);
	assert_true(expect(peek, 0, 1000, 0, "abc").is_end);
	assert_int_equal(peek_pass(peek, 0, OUT, 3, 1, 1000), 0);
	assert_int_equal(n_released(peek), 2);
	peek_free(peek);
}

static void bounded(void **state)
{
	struct peek *peek = looking(true, PEEK_ALL);
	struct peek_segment segment = { .seq = 0, .bytes = (const uint8_t *)"x", .n = 1 };
	struct peek_question question;
	struct flow_packet other;

	for (unsigned int i = 0; i < PEEK_PACKETS_MAX; i++) { /* each second byte, not the first */
		segment.seq = 100 + 1 + 2 * i;
		segment.packet.id = i;
		assert_int_equal(peek_take(peek, OUT, &segment, 1000, &other), PEEK_HOLD);
	}
	segment.seq = 100 + 4000;
	assert_int_equal(peek_take(peek, OUT, &segment, 1000, &other), PEEK_DROP);
	segment.seq = 100; /* fills the gap */
	assert_int_equal(peek_take(peek, OUT, &segment, 1000, &other), PEEK_HOLD_INSTEAD);
	assert_int_equal(other.id, PEEK_PACKETS_MAX - 1);
	assert_int_equal(peek_next(peek, 0, OUT, 1000, &question), 0); /* no more can be held */
	assert_int_equal(question.n, 2);
	peek_free(peek);
}

static void a_successor_goes_on(void **state)
{
	struct peek *peek = looking(true, 4);

	peek_begin_at(peek, OUT, 0xfffffff0U, 0x100000010ULL);
	assert_int_equal(put(peek, 0xfffffff8U, "old", false), PEEK_GO);
	assert_int_equal(put(peek, 0, "news", false), PEEK_HOLD);
	expect(peek, 0, 1000, 0x100000010ULL, "news");
	peek_free(peek);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_life_ends_well),
		cmocka_unit_test(shown_when_there_is_enough),
		cmocka_unit_test(what_is_less_is_shown_after_a_while),
		cmocka_unit_test(the_rest_of_a_packet_is_shown_at_once),
		cmocka_unit_test(what_a_sender_waits_for_comes_again),
		cmocka_unit_test(a_copy_goes_when_it_comes_again),
		cmocka_unit_test(a_copy_is_cut_for_what_stays),
		cmocka_unit_test(a_window_is_held),
		cmocka_unit_test(no_more_than_a_window_is_held),
		cmocka_unit_test(a_flow_that_holds_nothing_is_small),
		cmocka_unit_test(two_copies_of_a_byte),
		cmocka_unit_test(kept_until_it_is_acknowledged),
		cmocka_unit_test(everybody_has_to_pass_it),
		cmocka_unit_test(a_datagram_is_shown_at_once),
		cmocka_unit_test(paused),
		cmocka_unit_test(who_has_left_pauses_nothing),
		cmocka_unit_test(resets),
		cmocka_unit_test(bounded),
		cmocka_unit_test(a_successor_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
