/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "flow/peek.h"
#include "tests/unit/peek-world.h"

#define STREAM_MAX 60000U
#define DATAGRAMS_MAX 48U
#define ROUNDS_MAX 4000U
#define FILTERS 3U
#define COMES_IN 0x40 /* of the first byte */

#define CHECK(expression)                                                                          \
	do {                                                                                       \
		if (!(expression)) {                                                               \
			fprintf(stderr, "peek-world.c:%d: %s\n", __LINE__, #expression);           \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/** struct sent - what the kernel was handed, by its id */
struct sent {
	uint64_t from, to;
	uint64_t forged; /* the byte of it that is not the sender's; PEEK_ALL: none is */
	bool is_fin, is_held;
};

/* the plain reference of a view */
struct mind {
	bool is_looking, is_asked, has_ended, shows_end, wants_more;
	uint64_t passed, shown; /* end of the open question */
};

struct world {
	const uint8_t *bytes;
	size_t n_bytes, at;
	struct peek *peek;
	bool is_stream;
	enum sl_dir dir;
	uint32_t base;
	uint64_t size, now_us;
	struct sent *sent;
	unsigned int n_sent, n_room;
	struct mind minds[FILTERS];
	unsigned int n_filters;
	uint8_t *arrived, *shown; /* of each byte: has the receiver got it, a filter seen it? */
	uint8_t *delivered;	  /* what it got */
	uint64_t acked, told;	  /* and has said so */
	bool has_fin_arrived;
	uint64_t cuts[DATAGRAMS_MAX + 1]; /* UDP: where datagrams begin */
	unsigned int n_datagrams, next_datagram;
	struct peek_outcome outcome;
};

static unsigned int next(struct world *world)
{
	return world->at < world->n_bytes ? world->bytes[world->at++] : 0;
}

static unsigned int next2(struct world *world)
{
	unsigned int high = next(world);

	return high << 8 | next(world);
}

/* what the sender says at an offset */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8) * 7 + (offset >> 16));
}

static uint64_t may_go(const struct world *world)
{
	uint64_t passed = PEEK_ALL;

	for (unsigned int i = 0; i < world->n_filters; i++)
		if (world->minds[i].is_looking)
			passed = MIN(passed, world->minds[i].passed);
	return passed;
}

static bool may_end(const struct world *world)
{
	for (unsigned int i = 0; i < world->n_filters; i++)
		if (world->minds[i].is_looking && !world->minds[i].has_ended)
			return false;
	return true;
}

/* ---- the receiver ---- */

/* behind us it takes what it likes, the last copy too, until it has said that it is there */
static bool is_discarded(struct world *world, const struct sent *sent)
{
	if (world->dir == SL_DIR_OUT || !world->is_stream)
		return false;
	if (sent->is_fin && sent->to < world->acked)
		return true;
	if (sent->is_fin && sent->to < world->size) { /* the program would take it for the end */
		for (uint64_t i = sent->to; i < world->size; i++)
			CHECK(!world->shown[i]);
		return true;
	}
	return (next(world) & 3) == 3;
}

static void take(struct world *world, const struct sent *sent)
{
	for (uint64_t i = sent->from; i < sent->to; i++) {
		if (i >= world->acked)
			world->delivered[i] =
				(uint8_t)(byte_at(i) ^ (i == sent->forged ? 0x55 : 0));
		world->arrived[i] = 1;
	}
	for (; world->acked < world->size && world->arrived[world->acked]; world->acked++)
		if (world->dir == SL_DIR_IN && world->shown[world->acked])
			CHECK(world->delivered[world->acked] == byte_at(world->acked));
}

static void arrives(struct world *world, const struct sent *sent)
{
	CHECK(sent->to <= may_go(world) || sent->to == sent->from);
	if (is_discarded(world, sent))
		return;
	if (sent->is_fin)
		CHECK(may_end(world));
	/* of two copies the receiver takes the first: that must be the one that was shown */
	if (sent->forged != PEEK_ALL && may_go(world) != PEEK_ALL && world->dir == SL_DIR_OUT)
		CHECK(world->arrived[sent->forged] || !world->shown[sent->forged]);
	take(world, sent);
	world->has_fin_arrived |= sent->is_fin;
	world->outcome.n_delivered += (size_t)(sent->to - sent->from);
}

static void acknowledge(struct world *world)
{
	if (!world->is_stream || world->told == world->acked)
		return;
	world->told = world->acked;
	peek_ack(world->peek, world->dir, world->base + (uint32_t)world->told, world->now_us);
}

static void taken_out(struct world *world, const struct flow_packet *packet, bool goes)
{
	struct sent *sent = &world->sent[packet->id];

	CHECK(packet->id < world->n_sent);
	CHECK(sent->is_held);
	sent->is_held = false;
	if (goes)
		arrives(world, sent);
}

static void release(struct world *world)
{
	struct flow_packet packet;

	while (peek_release(world->peek, world->dir, &packet) == 0) {
		CHECK(!world->peek->paused || !peek_is_shown(world->peek, world->dir));
		taken_out(world, &packet, true);
	}
	CHECK(world->peek->streams[world->dir].n <= PEEK_PACKETS_MAX);
	CHECK(world->peek->streams[world->dir].n_bytes <= PEEK_HELD_MAX + PEEK_GAP_MAX);
	CHECK(world->peek->streams[world->dir].n_kept <= PEEK_PACKETS_MAX);
}

/* ---- the sender and the network ---- */

static enum peek_fate send(struct world *world, uint64_t from, uint64_t to, bool is_fin,
			   unsigned int forge)
{
	_cleanup_free_ uint8_t *bytes = malloc(to - from + 1);
	struct peek_segment segment = { .seq = world->base + (uint32_t)from,
					.is_fin = is_fin,
					.n = (size_t)(to - from),
					.packet.id = world->n_sent };
	enum peek_fate fate;
	struct flow_packet other;
	struct sent *sent;

	if (world->n_sent == world->n_room) {
		world->n_room = world->n_room ? 2 * world->n_room : 256;
		world->sent = realloc(world->sent, world->n_room * sizeof(*world->sent));
	}
	CHECK(bytes && world->sent);
	for (uint64_t i = from; i < to; i++)
		bytes[i - from] = byte_at(i);
	segment.bytes = bytes;
	sent = &world->sent[world->n_sent++];
	*sent = (struct sent){ .from = from, .to = to, .is_fin = is_fin, .forged = PEEK_ALL };
	if (forge && to > from) {
		sent->forged = from + forge % (to - from);
		bytes[sent->forged - from] ^= 0x55;
	}
	world->outcome.n_packets++;
	fate = peek_take(world->peek, world->dir, &segment, world->now_us, &other);
	sent->is_held = fate == PEEK_HOLD || fate == PEEK_HOLD_INSTEAD;
	if (fate == PEEK_HOLD_INSTEAD)
		taken_out(world, &other, false);
	if (fate == PEEK_GO)
		arrives(world, sent);
	return fate;
}

/* a forged copy may only be of what was sent: else nobody could tell which is the right one */
static uint64_t known(const struct world *world)
{
	return MIN(world->peek->streams[world->dir].known, world->size);
}

static void transmit(struct world *world)
{
	uint64_t from = world->acked, to, ahead = next(world);
	unsigned int how = next(world), size = next2(world);

	if (how & 1) /* out of order */
		from = MIN(world->size, from + ahead * (how & 2 ? 16 : 1));
	if (how & 4)
		from -= MIN(from, ahead); /* what was acknowledged already */
	size = how & 8 ? 1 : how & 16 ? size % 1500 : size;
	to = MIN(world->size, from + size);
	if (how & 128 && world->dir == SL_DIR_IN && to < known(world))
		send(world, from, to, true, 0); /* it has said more before */
	else if (how & 32 && to <= known(world) && to > from)
		send(world, from, to, false, 1 + next(world));
	else
		send(world, from, to, to == world->size && how & 64, 0);
}

/* as TCP does after a while: from the first byte that was not acknowledged */
static void retransmit(struct world *world)
{
	uint64_t at = world->acked, end = MIN(world->size, at + 14480);

	for (; at < end; at += 1448)
		send(world, at, MIN(at + 1448, end), false, 0);
	if (end == world->size && !world->has_fin_arrived)
		send(world, end, end, true, 0);
}

static void send_datagram(struct world *world)
{
	unsigned int i = world->next_datagram;

	if (i == world->n_datagrams)
		return;
	/* one that was dropped has no offset: the application sends it again */
	if (send(world, world->cuts[i], world->cuts[i + 1], false, 0) != PEEK_DROP)
		world->next_datagram++;
}

/* ---- the filters ---- */

static void check_question(struct world *world, const struct peek_question *question,
			   const struct mind *mind)
{
	_cleanup_free_ uint8_t *shown = malloc(question->n + 1);

	CHECK(shown);
	CHECK(mind->is_looking && !mind->is_asked);
	CHECK(question->n <= PEEK_SHOWN_MAX);
	CHECK(question->offset == MIN(mind->passed, world->size));
	CHECK(question->n > 0 || question->is_end);
	CHECK(question->offset + question->n <= world->size);
	CHECK(!question->is_end || question->offset + question->n == world->size);
	peek_copy(world->peek, world->dir, question, shown);
	for (size_t i = 0; i < question->n; i++) {
		CHECK(shown[i] == byte_at(question->offset + i));
		world->shown[question->offset + i] = 1;
	}
}

static void ask(struct world *world, unsigned int filter)
{
	struct mind *mind = &world->minds[filter];
	struct peek_question question;

	int r = peek_next(world->peek, filter, world->dir, world->now_us, &question);

	if (r == PEEK_E_LATE) { /* as its fail class, which is open here */
		peek_leave(world->peek, filter, world->now_us);
		*mind = (struct mind){ 0 };
	}
	if (r)
		return;
	check_question(world, &question, mind);
	CHECK(!mind->wants_more || question.is_end || question.offset + question.n >= mind->shown);
	peek_asked(world->peek, filter, world->dir, &question, world->now_us);
	mind->is_asked = true;
	mind->shows_end = question.is_end;
	mind->shown = question.offset + question.n;
	world->outcome.n_questions++;
	world->outcome.n_ends += question.is_end;
}

static void answer(struct world *world, unsigned int filter, bool is_kind)
{
	struct mind *mind = &world->minds[filter];
	uint64_t n = mind->shown - MIN(mind->passed, mind->shown), pass, wanted = next2(world);
	unsigned int how = is_kind ? 0 : next(world);

	if (!mind->is_asked || world->peek->paused & 1U << filter)
		return;
	pass = how & 1 ? n / 2 : how & 2 ? 0 : how & 4 ? n + wanted : n;
	if (how == 255)
		pass = PEEK_ALL;
	if (pass == 0 && n > 0) {
		if (mind->shows_end) {
			CHECK(peek_pass(world->peek, filter, world->dir, 0, wanted,
					world->now_us) == PEEK_E_INVALID);
			pass = n;
		}
		wanted += n;
	}
	CHECK(peek_pass(world->peek, filter, world->dir, pass, wanted, world->now_us) == 0);
	mind->is_asked = false;
	mind->is_looking = pass != PEEK_ALL;
	mind->wants_more = pass == 0 && n > 0;
	mind->passed += pass == PEEK_ALL ? 0 : pass;
	mind->has_ended = mind->shows_end && mind->passed >= world->size;
}

static void pause_or_resume(struct world *world, unsigned int filter)
{
	bool is_paused = world->peek->paused & 1U << filter;

	if (is_paused)
		CHECK(peek_pause(world->peek, filter, world->now_us) == PEEK_E_INVALID);
	else
		CHECK(peek_resume(world->peek, filter, world->now_us) == PEEK_E_INVALID);
	if (is_paused)
		CHECK(peek_resume(world->peek, filter, world->now_us) == 0);
	else
		CHECK((peek_pause(world->peek, filter, world->now_us) == 0) ==
		      world->minds[filter].is_asked);
}

/* whose sender may wait until they have left: they are lost to it */
static void drop_waiting(struct world *world)
{
	struct flow_packet packet;
	uint64_t due_us;

	if (world->dir == SL_DIR_IN ||
	    peek_is_awaited(world->peek, world->dir, world->now_us, &due_us))
		return;
	while (peek_drop_waiting(world->peek, world->dir, &packet) == 0)
		taken_out(world, &packet, false);
}

static void step(struct world *world)
{
	unsigned int what = next(world), filter = what / 16 % world->n_filters;

	switch (what % 8) {
	case 0:
	case 1:
	case 2:
		if (world->is_stream)
			transmit(world);
		else
			send_datagram(world);
		break;
	case 3:
		ask(world, filter);
		break;
	case 4:
		answer(world, filter, false);
		break;
	case 5:
		world->now_us += 1000 * next(world);
		acknowledge(world);
		drop_waiting(world);
		break;
	case 6:
		pause_or_resume(world, filter);
		break;
	case 7:
		peek_ask_anew(world->peek, filter);
		world->minds[filter].is_asked = world->minds[filter].wants_more = false;
		break;
	}
	release(world);
}

/* ---- a life ---- */

static void begin(struct world *world)
{
	unsigned int kind = next(world);
	uint64_t at = 0;

	world->dir = kind & COMES_IN ? SL_DIR_IN : SL_DIR_OUT;
	world->is_stream = kind & 3;
	world->base = (uint32_t)next(world) << 24 | 0xffffff;
	world->size = 1 + next2(world) % STREAM_MAX;
	world->now_us = 1000000;
	world->n_filters = 1 + next(world) % FILTERS;
	world->peek = peek_new(world->is_stream);
	world->arrived = calloc(1, world->size);
	world->shown = calloc(1, world->size);
	world->delivered = calloc(1, world->size);
	CHECK(world->peek && world->arrived && world->shown && world->delivered);
	if (world->is_stream)
		peek_begin_at(world->peek, world->dir, world->base, 0);
	for (unsigned int i = 0; i < world->n_filters; i++) {
		unsigned int wanted = next2(world);

		peek_look(world->peek, i, world->dir, wanted == 0xffff ? PEEK_ALL : wanted);
		world->minds[i].is_looking = true;
	}
	while (!world->is_stream && at < world->size && world->n_datagrams < DATAGRAMS_MAX) {
		at += 1 + next2(world) % 1500;
		at = MIN(world->size, at);
		world->cuts[++world->n_datagrams] = at;
	}
	if (!world->is_stream)
		world->size = at;
}

static bool is_over(const struct world *world)
{
	return world->acked == world->size && (!world->is_stream || world->has_fin_arrived);
}

static void say_stuck(const struct world *world)
{
	const struct peek_stream *stream = &world->peek->streams[world->dir];

	fprintf(stderr, "stuck at %lu of %lu: known %lu, gone %lu, end %d %lu, held", world->acked,
		world->size, stream->known, stream->gone, stream->has_end, stream->end);
	for (unsigned int i = 0; i < stream->n; i++)
		fprintf(stderr, " %lu-%lu", stream->packets[i]->from, stream->packets[i]->to);
	for (unsigned int i = 0; i < world->n_filters; i++)
		fprintf(stderr,
			"\nfilter %u: looking %d asked %d passed %lu wanted %lu seen %lu ended %d",
			i, stream->views[i].is_looking, stream->views[i].is_asked,
			stream->views[i].passed, stream->views[i].wanted, stream->views[i].seen,
			stream->views[i].has_ended);
	fputc('\n', stderr);
}

/* from here on nobody holds anything back for long */
static void finish(struct world *world)
{
	for (unsigned int i = 0; i < world->n_filters; i++)
		if (world->peek->paused & 1U << i)
			CHECK(peek_resume(world->peek, i, world->now_us) == 0);
	for (unsigned int round = 0; round < ROUNDS_MAX && !is_over(world); round++) {
		if (world->is_stream)
			retransmit(world);
		else
			send_datagram(world);
		world->now_us += PEEK_IDLE_US;
		acknowledge(world);
		for (unsigned int i = 0; i < world->n_filters; i++) {
			ask(world, i);
			answer(world, i, true);
		}
		drop_waiting(world);
		release(world);
	}
	if (!is_over(world))
		say_stuck(world);
	CHECK(is_over(world));
	acknowledge(world);
	CHECK(!peek_is_guarded(world->peek, world->dir));
	CHECK(world->peek->streams[world->dir].n_kept == 0);
	CHECK(world->peek->streams[world->dir].n_copies == 0);
}

struct peek_outcome peek_world_run(const uint8_t *bytes, size_t n_bytes)
{
	struct world world = { .bytes = bytes, .n_bytes = n_bytes };
	struct flow_packet packet;

	begin(&world);
	while (world.at < n_bytes)
		step(&world);
	finish(&world);
	while (peek_drop(world.peek, world.dir, &packet) == 0)
		taken_out(&world, &packet, false);
	for (unsigned int i = 0; i < world.n_sent; i++)
		CHECK(!world.sent[i].is_held);
	peek_free(world.peek);
	free(world.sent);
	free(world.arrived);
	free(world.shown);
	free(world.delivered);
	return world.outcome;
}
