/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Inside a set of relays
 *
 *	relays.c      the set: what is polled, whose turn it is, timers
 *	relay.c       one relay: how it begins and ends
 *	relay-move.c  bytes, from one socket to the other: they are read
 *	relay-write.c and written
 *	relay-pool.c  buffers and pipes, which all relays of a set share
 *	relay-shape.c links that are slower than they are
 *
 * Events of sockets are edges: they are kept in struct relay_side until read(2) or write(2)
 * has EAGAIN. A relay with something to do stands in the set's queue, where each has a turn of
 * bounded length. What is left in the queue at the end of sluice_relays_process() is for the
 * next one: the timer, which is polled as the sockets are, has run out then.
 *
 *	OPEN ──both have ended──▶ closed
 *	  ├──release()──▶ RELEASED ──all is acknowledged──▶ closed
 *	  ├──────────────────┴─────a side failed──▶ BROKEN ──the other has what came before──▶ reset
 *	  └──reset()──▶ ABANDONED
 *
 * Whatever a relay comes to, ops->done is called in one place: relay_turn(), inside
 * sluice_relays_process().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include <sluice/relay.h>

#define RELAY_BUFFER_BYTES (16U * 1024) /* of one read(2) */
#define RELAY_BULK_BYTES (64U * 1024)	/* of full reads in a row: then through a pipe */
#define RELAY_TRICKLE_BYTES 4096U	/* fewer through a pipe: then by read(2) again */
#define RELAY_TURN_BYTES (512U * 1024)	/* of one way, then another relay has its turn */
#define RELAY_PROCESS_BYTES (4096U * 1024)
#define RELAY_PROCESS_TURNS 256U
#define RELAY_EVENTS 64
/* room for as many pages, each of which may be filled little. Four times as much is not faster, and
 * all that a user may have, without rights, is 64 MB */
#define RELAY_PIPE_BYTES (256 * 1024)
#define RELAY_PIPE_BYTES_LEAST 65536 /* fewer are not worth it */
#define RELAY_PIPES_FREE 16U	     /* that wait for bytes; others are closed */
#define RELAY_BUFFERS_FREE 16U
#define RELAY_READS (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET)
#define RELAY_NEVER UINT64_MAX
#define RELAY_AT_ONCE 1U /* the clock has been there for long */

/* each 5 ms, and more and more rarely, it is looked at whether the kernel has got rid of bytes */
#define RELAY_LOOK_US 5000U
#define RELAY_LOOK_MOST_US 250000U
#define RELAY_BROKEN_STALL_US 50000U	   /* a reset waits no longer for bytes that came before */
#define RELAY_RELEASED_STALL_US 240000000U /* the kernel, of a closed socket: 200 s or more */
#define RELAY_ASK_US 5000U		   /* most that follow do it sooner */
#define RELAY_LINGER_S 2		   /* in FIN_WAIT_2, after everybody has gone */
#define RELAY_RETRY_US 10000U		   /* without memory */

/* members newer than the ops a program was built with are unset for it */
#define RELAY_OPS_SET(ops, member)                                                                 \
	((ops) &&                                                                                  \
	 (ops)->size >= offsetof(struct sluice_relay_ops, member) + sizeof((ops)->member) &&       \
	 (ops)->member)

struct relay_buffer {
	struct relay_buffer *next;
	uint64_t due_us; /* in a set that is shaped: not before that */
	uint32_t at, n;	 /* bytes[at] to bytes[n - 1] wait; n 0: the end, which waits as bytes do */
	bool is_pooled;	 /* of RELAY_BUFFER_BYTES */
	bool is_urgent;	 /* one byte, MSG_OOB */
	uint8_t bytes[];
};

struct relay_pipe {
	struct relay_pipe *next;
	int in, out;
};

/** struct relay_pool - what no relay needs now */
struct relay_pool {
	struct relay_buffer *buffers;
	struct relay_pipe *pipes;
	unsigned int n_buffers, n_pipes;
};

/** struct relay_side - a connection */
struct relay_side {
	int fd;
	int error;		  /* negative errno; @is_broken */
	bool may_read, may_write; /* until EAGAIN */
	bool has_hung_up;	  /* the end has come: a short read(2) is not the last one */
	bool is_watched;	  /* EPOLLOUT as well */
	bool is_broken;		  /* reset, or failed: what came before can be read */
	bool is_urgent;		  /* there was urgent data: reads stop at it, splice(2) for ever */
	bool is_non_blocking;
	bool is_starved; /* it was not read for want of memory */
};

/** struct relay_way - bytes from one side to the other */
struct relay_way {
	struct relay_buffer *first, *last; /* that wait, oldest first. Not at the same time as: */
	struct relay_pipe *pipe;
	uint64_t bytes;	    /* that the other side has taken */
	uint32_t n_waiting; /* bytes, in both */
	uint32_t n_buffers;
	uint32_t n_bulk;   /* read in a row, many at once */
	bool has_read_end; /* nothing more is read */
	bool is_whole;	   /* because its end has come, which a reset behind it does not undo */
	bool has_ended;	   /* and the other side knows it */
	bool is_discarded; /* nobody wants these bytes */
};

struct relay_timer {
	uint64_t due_us; /* RELAY_NEVER: it is not in the heap */
	uint64_t served; /* of those that are due at once the least is first */
	uint32_t heap_at;
	uint32_t at; /* in its relay's @timers */
};

/* from BROKEN on its ends are resets */
enum relay_state { RELAY_OPEN, RELAY_RELEASED, RELAY_BROKEN, RELAY_ABANDONED, RELAY_GONE };

/** struct sluice_relay - ways[i] are the bytes of sides[i] */
struct sluice_relay {
	struct sluice_relays *set;
	const struct sluice_relay_ops *ops;
	void *data;
	struct relay_side sides[2];
	struct relay_way ways[2];
	enum relay_state state;
	enum sluice_relay_side broken; /* of RELAY_BROKEN: the first one */
	bool is_queued;		       /* or it is its turn */
	struct sluice_relay *next_queued;
	struct sluice_relay **before, *next; /* of all in the set */
	struct relay_timer timers[2];	     /* by the way of bytes; the first one for all else */
	/* the program has ended what it sends, and upstream does not follow: does the program read on?
	 * Return: false: it is asked again later. NULL: nobody is asked */
	bool (*ask_end)(struct sluice_relay *relay);
	uint64_t ask_us; /* then */
	/* it is looked at from time to time; 0: it is not */
	uint32_t look_us;
	uint64_t moved, moved_us; /* what was seen then, and since when */
};

/** struct relay_shape - a link, by the way of bytes */
struct relay_shape {
	uint64_t rate;
	uint32_t delay_us, jitter_us;
	uint64_t free_us[2]; /* when it has sent all that it was given */
	uint64_t random;
};

struct sluice_relays {
	int epoll, timer;
	bool has_epoll;	   /* else it is the caller's: relays_new_in() */
	uint64_t armed_us; /* the timer; 0: it is not */
	bool is_processing, ignores_sigpipe;
	struct sluice_relay *all;
	size_t n;
	struct sluice_relay *queue, **queue_end;
	struct relay_timer **heap; /* those with a due_us, the first one at 0; places for all */
	size_t n_heap, n_places;
	uint64_t n_served;
	uint64_t now_us; /* of this call; 0: nobody has asked */
	struct relay_pool pool;
	struct relay_shape shape;
};

/* what an event of epoll(7) is about: the set (its timer), or a relay, both aligned as all of malloc(3);
 * bit 0 says which side's, and bit 1 that it is ours, for who has other things in the same set */
#define RELAY_EVENT 2U
#define RELAY_EVENT_BITS 3U

static inline bool relays_is_event(const struct epoll_event *event)
{
	return event->data.u64 & RELAY_EVENT;
}

/* ---- relays.c ---- */

/** relays_new_in() - as sluice_relays_new(), but what is polled is polled by @epoll, the caller's: it
 *  gives events of relays_is_event() to relays_note(), between relays_begin() and relays_end(). */
int relays_new_in(int epoll, struct sluice_relays **ret_relays);
/** relays_begin(), relays_note(), relays_run(), relays_end() - what sluice_relays_process() consists of;
 *  relays_run() may be called more than once, and what is queued behind it is for the next time */
void relays_begin(struct sluice_relays *relays);
void relays_note(struct sluice_relays *relays, const struct epoll_event *event);
void relays_run(struct sluice_relays *relays);
void relays_end(struct sluice_relays *relays);

/** relays_queue() - it has something to do */
void relays_queue(struct sluice_relay *relay);
/** relays_wake_at() - a turn for its relay at that time, unless there is an earlier one */
void relays_wake_at(struct sluice_relays *relays, struct relay_timer *timer, uint64_t due_us);
/** relays_serve() - it had what they compete for: it goes behind the others */
void relays_serve(struct sluice_relays *relays, struct relay_timer *timer);
/** relays_now_us() - one time for all that is done in a call */
uint64_t relays_now_us(struct sluice_relays *relays);
/** relays_reserve() - places for one relay more. Return: 0, or -ENOMEM */
int relays_reserve(struct sluice_relays *relays);
/** relays_rearm() - the timer; not inside sluice_relays_process(), which does it itself */
void relays_rearm(struct sluice_relays *relays);
/** relays_remove() - it is in no list of the set any more */
void relays_remove(struct sluice_relay *relay);

/* ---- relay.c ---- */

/** relays_add_known() - as sluice_relays_add(), with a program's connection that the daemon has made, which
 *  is non-blocking, resets when it is closed, and does not delay; @is_polled: @upstream is in the set of
 *  epoll(7) already, as something else */
int relays_add_known(struct sluice_relays *relays, int program, int upstream, bool is_polled,
		     const struct sluice_relay_ops *ops, void *data,
		     struct sluice_relay **ret_relay);
/** relay_event() - of a side: what it is polled for, and its name */
struct epoll_event relay_event(const struct sluice_relay *relay, unsigned int side,
			       uint32_t events);

/** relay_note() - events of a side, for its turn */
void relay_note(struct sluice_relay *relay, unsigned int side, uint32_t events);
/** relay_turn() - do what can be done now. Return: bytes moved; @relay may be gone */
size_t relay_turn(struct sluice_relay *relay);
/** relay_break() - a side has failed. @error: a negative errno */
void relay_break(struct sluice_relay *relay, unsigned int side, int error);
/** relay_free() - both connections end with a reset unless they are closed; nothing calls back */
void relay_free(struct sluice_relay *relay);

/* ---- relay-move.c ---- */

/** relay_move() - one way of a relay, as far as it goes. Return: bytes moved */
size_t relay_move(struct sluice_relay *relay, unsigned int from);
/** relay_has_more() - has it stopped because its turn was over? */
bool relay_has_more(struct sluice_relay *relay, unsigned int from);

/* ---- relay-write.c ---- */

/** relay_flush() - what waits is written, as far as the other side takes it, and is due */
void relay_flush(struct sluice_relay *relay, unsigned int from);
/** relay_end_writing() - nothing waits any more: the other side is told of the end */
void relay_end_writing(struct sluice_relay *relay, unsigned int from);
/** relay_way_drop() - what waits is gone */
void relay_way_drop(struct sluice_relays *relays, struct relay_way *way);
/** relay_way_end() - and nothing more is moved */
void relay_way_end(struct sluice_relay *relay, unsigned int from);

/* ---- relay-pool.c ---- */

/** relay_pool_buffer() - one that is empty. Return: NULL: no memory */
struct relay_buffer *relay_pool_buffer(struct relay_pool *pool);
void relay_pool_give_buffer(struct relay_pool *pool, struct relay_buffer *buffer);
/** relay_pool_pipe() - one that is empty. Return: NULL: there is none to be had */
struct relay_pipe *relay_pool_pipe(struct relay_pool *pool);
/** relay_pool_give_pipe() - @is_empty: else it is closed, with what is in it */
void relay_pool_give_pipe(struct relay_pool *pool, struct relay_pipe *pipe, bool is_empty);
void relay_pool_deinit(struct relay_pool *pool);

/* ---- relay-shape.c ---- */

static inline bool relay_is_shaped(const struct relay_shape *shape)
{
	return shape->rate || shape->delay_us;
}

/** relay_shape_room() - how much of a way may be read now; 0: its relay has a turn when there is more */
size_t relay_shape_room(struct sluice_relay *relay, unsigned int from);
/** relay_shape_due() - when bytes that were read now, or the end (@n 0), reach the other side, unless
 * what is before them is later */
uint64_t relay_shape_due(struct sluice_relay *relay, unsigned int from, size_t n);
