/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Looking at the first bytes of a flow
 *
 * Filters may want to see what a flow carries before it goes on. Each of them
 * has, for each direction, an offset up to which it lets bytes go (`passed`) and
 * one up to which it wants to see them before it is asked again (`wanted`). Both
 * only grow. A packet goes when every filter that looks has passed its last
 * byte; packets go whole.
 *
 *	packet ─▶ peek_take() ─▶ go on, drop, or hold
 *	held   ─▶ peek_next() ─▶ a question to a filter ─▶ peek_asked()
 *	answer ─▶ peek_pass() ─▶ peek_release() ─▶ packets that go on
 *
 * TCP: bytes are shown in their order whatever that of the packets. Of two
 * copies of a byte the first one is shown and sent: a packet that repeats what is
 * held is dropped, and so is one that contradicts it. What was passed before may
 * be repeated; what comes in, only as it was (peek-keep.c). UDP: a question is about one
 * datagram, or about more when the answer to that was to see more.
 *
 * Nobody waits for bytes that do not come: what is there is shown when it is as
 * much as was wanted, when it is the rest of a packet that goes whole, when nothing was
 * added for PEEK_IDLE_US, when no more can be held, and at the end. A filter wants
 * PEEK_BYTES_MAX at most: that is what a sender has in flight before its first
 * acknowledgement (10 segments, RFC 6928).
 *
 * What a sender's window has beyond PEEK_HELD_MAX is lost, and sent again late: nothing behind
 * it arrives, which would tell the sender. So a window of up to half a megabyte is held, where GRO
 * has joined what comes in; without it PEEK_PACKETS_MAX of 1448 bytes are 370 KB. More would be the
 * share of other flows of the same user (daemon/look/peeking.h).
 *
 * Pure: no descriptor, no clock. Memory grows with what is held (peek_size()), and is bounded:
 * PEEK_PACKETS_MAX packets and PEEK_HELD_MAX bytes of each direction, PEEK_GAP_MAX more for
 * what comes next in order; and PEEK_PACKETS_MAX and PEEK_HELD_MAX of what has gone and is kept.
 */

#include "flow/flow.h"

#define PEEK_BYTES_MAX 14000U
#define PEEK_SHOWN_MAX 32768U /* in one question */
#define PEEK_PACKETS_MAX 256U
#define PEEK_HELD_MAX (512U << 10)
#define PEEK_GAP_MAX (PEEK_BYTES_MAX + 65536U) /* what is wanted, and the packet with its end */
#define PEEK_IDLE_US 30000U		       /* which a tick notices: shown within 50 ms */
#define PEEK_PAUSE_US 10000000U		       /* UDP is not paused for longer */
#define PEEK_ALL UINT64_MAX		       /* pass, wanted: whatever comes */
#define PEEK_DIRS 2

struct peek_packet {
	struct flow_packet packet;
	struct peek_packet *next; /* of those that are kept: going needs no memory */
	uint64_t from, to;	  /* offsets of its payload in the stream */
	uint64_t since_us;	  /* it is held */
	bool is_end;		  /* nothing follows it */
	bool is_copy;		  /* the packet was dropped, and comes again: peek_drop_waiting() */
	uint8_t bytes[];
};

/** struct peek_view - one filter and one direction */
struct peek_view {
	bool is_looking;
	bool is_asked;
	bool is_clamped; /* it wanted more than PEEK_BYTES_MAX */
	bool shows_end;	 /* the question that is open, or was last, told of the end */
	bool has_ended;	 /* it has let the end go */
	uint64_t passed, wanted;
	uint64_t seen;	   /* it has been shown everything before this offset */
	uint64_t since_us; /* of the open question; or that it wants more, and nothing came; or 0 */
};

struct peek_stream {
	struct peek_packet **packets; /* by `from` */
	unsigned int n, n_copies, n_room;
	size_t n_bytes;
	bool has_base, has_end;
	uint32_t base;		  /* TCP: sequence number of offset 0 */
	uint64_t known;		  /* every byte before it has been here */
	uint64_t gone;		  /* no packet beyond it was let go */
	uint64_t end;		  /* offset at which the end is */
	uint64_t news_us;	  /* when `known` grew last */
	bool keeps;		  /* TCP that comes in: peek-keep.c */
	struct peek_packet *kept; /* they have gone, and may be lost behind us */
	unsigned int n_kept;
	size_t n_kept_bytes;
	uint64_t shown; /* of what is before it some filter has seen bytes */
	uint64_t acked; /* the receiver has everything before it */
	struct peek_view views[FLOW_FILTERS_MAX];
};

struct peek {
	bool is_stream;	 /* TCP; else datagrams */
	uint16_t paused; /* filters, a bit each */
	uint64_t paused_us[FLOW_FILTERS_MAX];
	struct peek_stream streams[PEEK_DIRS]; /* enum sl_dir */
};

/** struct peek_segment - a packet of the flow; IP and the rest of its header are read elsewhere */
struct peek_segment {
	struct flow_packet packet;
	uint32_t seq; /* TCP: of the first byte of payload */
	bool is_fin, is_reset;
	bool must_not_stay; /* there is no place to hold it */
	bool must_not_grow; /* no memory either, but for what takes the place of a copy */
	const uint8_t *bytes;
	size_t n;
};

enum peek_fate {
	PEEK_GO,
	PEEK_DROP,
	PEEK_LIE, /* to be dropped: it contradicts what was here before, or ends before it */
	PEEK_HOLD,
	PEEK_HOLD_INSTEAD, /* and another one, which was held, is to be dropped */
};

enum peek_error {
	_PEEK_E_SUCCESS,
	PEEK_E_NOTHING, /* to be done */
	PEEK_E_WAIT,	/* not before a certain time */
	PEEK_E_LATE,	/* the filter has not answered in time, or asks for more and none comes */
	PEEK_E_EXPIRED, /* UDP was paused for too long */
	PEEK_E_INVALID, /* an answer to no question; paused twice; more asked for at the end */
};

/** struct peek_question - what a filter is to be shown */
struct peek_question {
	uint64_t offset;
	size_t n;
	bool is_end; /* nothing follows */
	bool is_clamped;
	uint64_t due_us; /* of PEEK_E_WAIT */
};

/** peek_new() - nobody looks yet. Return: NULL without memory */
struct peek *peek_new(bool is_stream);
/** peek_free() - what is held must have been taken out: peek_drop(). NULL is fine. Return: NULL */
struct peek *peek_free(struct peek *peek);
/** peek_size() - memory that it takes, without the packets */
size_t peek_size(const struct peek *peek);

/** peek_look() - @filter sees this direction: it is asked when there are @wanted bytes; 0: any */
void peek_look(struct peek *peek, unsigned int filter, enum sl_dir dir, uint64_t wanted);
/** peek_look_anew() - before peek_look() of a filter that looks already: nothing may go between */
void peek_look_anew(struct peek *peek, unsigned int filter);
/** peek_leave() - @filter is out: it lets everything go */
void peek_leave(struct peek *peek, unsigned int filter, uint64_t now_us);
/** peek_looks() - does this filter look at anything? */
bool peek_looks(const struct peek *peek, unsigned int filter);
/** peek_is_shown() - does any filter look at this direction? */
bool peek_is_shown(const struct peek *peek, enum sl_dir dir);

/** peek_is_untouched() - nothing of this direction was shown to anybody, or let go */
bool peek_is_untouched(const struct peek *peek, enum sl_dir dir);
/** peek_begin_at() - TCP: sequence number of the first byte; else it is the first that comes.
 *  Nothing is held. @passed: so many bytes had gone before a predecessor's end */
void peek_begin_at(struct peek *peek, enum sl_dir dir, uint32_t seq, uint64_t passed);

/**
 * peek_go_back() - after peek_begin_at(), of a predecessor: what it let go and nobody has
 *                  acknowledged before @seq is shown anew, as nobody knows what it was
 * @has_more: it let go more than it has counted
 */
void peek_go_back(struct peek *peek, enum sl_dir dir, uint32_t seq, bool has_more);

/**
 * peek_take() - a packet of the flow has come
 * @ret_other: out: PEEK_HOLD_INSTEAD: the packet that is to be dropped
 *
 * Return: what becomes of it; the bytes of one that is held are copied.
 */
enum peek_fate peek_take(struct peek *peek, enum sl_dir dir, const struct peek_segment *segment,
			 uint64_t now_us, struct flow_packet *ret_other);

/** peek_release() - a held packet that may go on now; until PEEK_E_NOTHING */
int peek_release(struct peek *peek, enum sl_dir dir, struct flow_packet *ret_packet);
/**
 * peek_drop_stranded() - a packet behind a gap that nobody has filled for FLOW_DEADLINE_US
 *
 * Its sender repeats it. Return: 0; PEEK_E_WAIT: not before @ret_due_us; PEEK_E_NOTHING
 */
int peek_drop_stranded(struct peek *peek, enum sl_dir dir, uint64_t now_us,
		       struct flow_packet *ret_packet, uint64_t *ret_due_us);
/** peek_ack() - the receiver has everything before this sequence number */
void peek_ack(struct peek *peek, enum sl_dir dir, uint32_t seq, uint64_t now_us);
/** peek_is_acked() - does peek_ack() change nothing any more? */
bool peek_is_acked(const struct peek *peek, enum sl_dir dir);
/** peek_drop() - a held packet, whatever it is; until PEEK_E_NOTHING */
int peek_drop(struct peek *peek, enum sl_dir dir, struct flow_packet *ret_packet);

/**
 * peek_next() - what is next for this filter and direction?
 *
 * Return: 0: this question is to be put; or one of enum peek_error, PEEK_E_INVALID excepted.
 */
int peek_next(const struct peek *peek, unsigned int filter, enum sl_dir dir, uint64_t now_us,
	      struct peek_question *ret_question);
/** peek_copy() - the bytes of a question */
void peek_copy(const struct peek *peek, enum sl_dir dir, const struct peek_question *question,
	       uint8_t *to);
/** peek_asked() - the question was put */
void peek_asked(struct peek *peek, unsigned int filter, enum sl_dir dir,
		const struct peek_question *question, uint64_t now_us);

/**
 * peek_pass() - the answer: @pass bytes go, counted from the offset of the question, and the next
 *               question is due when @wanted more are there
 *
 * Return: 0 or PEEK_E_INVALID.
 */
int peek_pass(struct peek *peek, unsigned int filter, enum sl_dir dir, uint64_t pass,
	      uint64_t wanted, uint64_t now_us);
/** peek_has_question() - is one open, in any direction? */
bool peek_has_question(const struct peek *peek, unsigned int filter);
/** peek_ask_anew() - the filter's process is another one: what it was asked is asked again */
void peek_ask_anew(struct peek *peek, unsigned int filter);

/** peek_pause() - the open question waits, and nothing goes. Return: 0 or PEEK_E_INVALID. */
int peek_pause(struct peek *peek, unsigned int filter, uint64_t now_us);
/** peek_resume() - it is to be answered now. Return: 0 or PEEK_E_INVALID. */
int peek_resume(struct peek *peek, unsigned int filter, uint64_t now_us);

/** peek_is_guarded() - is anything that was shown still to be acknowledged, or to come again? */
bool peek_is_guarded(const struct peek *peek, enum sl_dir dir);
/** peek_passed() - every byte before it may go; PEEK_ALL: nobody looks at this direction */
uint64_t peek_passed(const struct peek *peek, enum sl_dir dir);
/** peek_postpone() - as flow_table_postpone() */
void peek_postpone(struct peek *peek, uint64_t before_us, uint64_t us);

/* peek-copy.c */

/**
 * peek_is_awaited() - do filters wait for bytes, and may their sender wait for what is held?
 *
 * Our own TCP sends a few packets at most while none of them has left the machine (TSQ).
 * Return: 0; PEEK_E_WAIT: not before @ret_due_us; PEEK_E_NOTHING
 */
int peek_is_awaited(const struct peek *peek, enum sl_dir dir, uint64_t now_us,
		    uint64_t *ret_due_us);
/** peek_drop_waiting() - a packet that it waits for: it goes on, and repeats it. Its bytes stay held,
 *  and so does what repeats it; until PEEK_E_NOTHING */
int peek_drop_waiting(struct peek *peek, enum sl_dir dir, struct flow_packet *ret_packet);

/* among themselves */

/** peek_grow() - more of it is known in order, or less is needed: look what is held behind it */
void peek_grow(struct peek *peek, enum sl_dir dir, uint64_t now_us);

/* peek-stream.c: packets in their order, of which the above alone knows */

/** peek_stream_put() - hold a packet; @passed: peek_passed(). Return: as peek_take(), never PEEK_GO */
enum peek_fate peek_stream_put(struct peek_stream *stream, const struct peek_segment *segment,
			       uint64_t from, uint64_t passed, uint64_t now_us,
			       struct flow_packet *ret_other);
/** peek_stream_take() - the packet at @i is not held any more, and the caller's */
struct peek_packet *peek_stream_take(struct peek_stream *stream, unsigned int i);
/** peek_stream_out() - the packet at @i is not held any more */
void peek_stream_out(struct peek_stream *stream, unsigned int i, struct flow_packet *ret_packet);
/** peek_stream_grow() - `known` again. Return: has it grown? */
bool peek_stream_grow(struct peek_stream *stream, uint64_t passed);
/** peek_stream_holds_any() - is any byte from @from to @to held? */
bool peek_stream_holds_any(const struct peek_stream *stream, uint64_t from, uint64_t to);
/** peek_stream_copy() - @n bytes from @from on, all of which are held */
void peek_stream_copy(const struct peek_stream *stream, uint64_t from, size_t n, uint8_t *to);
/** peek_stream_is_full() - can nothing more be held? */
bool peek_stream_is_full(const struct peek_stream *stream);
/** peek_stream_lies() - does it contradict what is held or kept? */
bool peek_stream_lies(const struct peek_stream *stream, const struct peek_segment *segment,
		      uint64_t from);

/* peek-copy.c */

/** peek_copy_end() - the first packet that is none. Return: its place, or n */
unsigned int peek_copy_end(const struct peek_stream *stream);
/** peek_copy_is_cut() - would a copy come again without its beginning? */
bool peek_copy_is_cut(const struct peek_stream *stream, uint64_t from);
/** peek_copy_gives_way() - is there one that goes when this much has come again? */
bool peek_copy_gives_way(const struct peek_stream *stream, uint64_t from, uint64_t to);
/** peek_copy_replace() - this much has come again */
void peek_copy_replace(struct peek_stream *stream, uint64_t from, uint64_t to);

/* peek-keep.c */

/** peek_may_keep() - is there room for this packet, which is to go, if it is to be kept? */
bool peek_may_keep(const struct peek_stream *stream, const struct peek_packet *packet);
/** peek_keep() - it goes: kept, or freed */
void peek_keep(struct peek_stream *stream, struct peek_packet *packet);
/** peek_keep_free() - nobody asks any more */
void peek_keep_free(struct peek_stream *stream);
/** peek_keep_grow() - of a predecessor: what was acknowledged since need not be shown */
void peek_keep_grow(struct peek_stream *stream);
