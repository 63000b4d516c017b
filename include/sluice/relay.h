/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SLUICE_RELAY_H
#define SLUICE_RELAY_H

/**
 * DOC: Relays: two TCP connections made one (since 0.1)
 *
 * A relay forwards between the program's connection and another one, upstream, so that
 * neither can tell it from a direct one:
 *
 *	one side ends what it sends	the other gets its end behind the last byte; what the
 *					other sends goes on
 *	one side is reset, or fails	the other gets what came before that, its end if there was
 *					one, and a reset
 *	both have ended			both are closed
 *	one does not read		the other is not read from either
 *
 * Bytes are read and written at first; a way that carries many goes through a pipe by
 * splice(2), where there are descriptors for one. Buffers and pipes belong to the set: a
 * relay has one while bytes wait in it, at most SLUICE_RELAY_WAITING_MAX each way
 * (SLUICE_RELAY_SHAPED_MAX in a set that is shaped), and none when it is idle. Urgent data (MSG_OOB)
 * is urgent, and in its place, on the other side as well; a connection that had some is read by
 * read(2) from then on.
 *
 * Threads: a set, with its relays, belongs to one thread at a time. The library makes no
 * thread and no signal handler, and has no loop: poll sluice_relays_get_fd() for reading and
 * call sluice_relays_process(). No call blocks. In a process that does not ignore SIGPIPE it
 * costs three system calls more for each splice(2) that none reaches it.
 *
 * Errors: every int is 0 or a negative errno.
 */

#include <sluice/filter.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_RELAY_WAITING_MAX (256 * 1024)	  /* bytes, of one way of a relay */
#define SLUICE_RELAY_SHAPED_MAX (4 * 1024 * 1024) /* the same in a set that is shaped */

struct sluice_relays; /* a set of relays, with one descriptor to poll */
struct sluice_relay;  /* two connections; from sluice_relays_add() until ops->done */

/** enum sluice_relay_side - whose connection; also the way of bytes: from whom */
enum sluice_relay_side { SLUICE_RELAY_PROGRAM, SLUICE_RELAY_UPSTREAM };

/** enum sluice_relay_how - how a relay has ended */
enum sluice_relay_how {
	SLUICE_RELAY_CLOSED,	/* both have ended what they sent */
	SLUICE_RELAY_RELEASED,	/* sluice_relay_release(): upstream has all that the program sent */
	SLUICE_RELAY_RESET,	/* a side was reset or has failed: @side, @error */
	SLUICE_RELAY_ABANDONED, /* sluice_relay_reset() */
	SLUICE_RELAY_STALLED,	/* released, and upstream has taken nothing for four minutes */
};

/**
 * struct sluice_relay_end - how a relay has ended; valid only inside the callback that gets it
 * @size:  bytes of this struct in the library in use; newer fields are appended
 * @bytes: from each side, that the other's socket has taken
 */
struct sluice_relay_end {
	size_t size;
	enum sluice_relay_how how;
	enum sluice_relay_side side; /* SLUICE_RELAY_RESET: whose connection it was */
	int error;		     /* SLUICE_RELAY_RESET: -ECONNRESET, -ETIMEDOUT … */
	uint64_t bytes[2];	     /* by enum sluice_relay_side */
};

/**
 * struct sluice_relay_ops - what a relay tells; unset members are skipped
 * @size: sizeof(struct sluice_relay_ops)
 *
 * Callbacks run inside sluice_relays_process(). They may call everything but
 * sluice_relays_process() and sluice_relays_free().
 */
struct sluice_relay_ops {
	size_t size;
	/* once, after both connections are closed; @relay is gone when it returns */
	void (*done)(struct sluice_relay *relay, const struct sluice_relay_end *end, void *data);
	/* read(2) of @side gave 0: it sends no more. Of the program: whether it still reads is
	 * what sluice_relay_release() is to be told */
	void (*read_end)(struct sluice_relay *relay, enum sluice_relay_side side, void *data);
};

/**
 * struct sluice_relay_shape - a slower link than there is
 * @size: sizeof(struct sluice_relay_shape)
 *
 * What is 0 is not shaped. The end of what a side sends, and a reset, take as long as
 * bytes do; bytes never overtake each other.
 */
struct sluice_relay_shape {
	size_t size;
	uint64_t rate;	    /* bytes a second each way, of all relays of the set together */
	uint32_t delay_us;  /* each way, at most a minute */
	uint32_t jitter_us; /* so much more or less, at random; at most @delay_us */
};

/**
 * sluice_relays_new() - a set without relays
 * @ret_relays: out: owned by the caller, on 0 only; sluice_relays_free() ends it
 *
 * Since 0.1. Return: 0, -ENOMEM, or -errno of epoll_create1(2), timerfd_create(2) or epoll_ctl(2).
 */
SLUICE_API int sluice_relays_new(struct sluice_relays **ret_relays);

/**
 * sluice_relays_free() - the set and its relays, whose connections end with a reset
 *
 * Nothing calls back. NULL is fine. Since 0.1. Return: NULL
 */
SLUICE_API struct sluice_relays *sluice_relays_free(struct sluice_relays *relays);

/** sluice_relays_get_fd() - the descriptor to poll for reading; it stays the library's. Since 0.1 */
SLUICE_API int sluice_relays_get_fd(const struct sluice_relays *relays);

/**
 * sluice_relays_process() - forward what is there and run callbacks
 *
 * Never blocks, and ends after a few megabytes, so that other descriptors live: then the
 * descriptor is still readable. Since 0.1. Return: 0, or -errno of epoll_wait(2).
 */
SLUICE_API int sluice_relays_process(struct sluice_relays *relays);

/** sluice_relays_count() - relays of the set. Since 0.1 */
SLUICE_API size_t sluice_relays_count(const struct sluice_relays *relays);

/**
 * sluice_relays_shape() - make a set's relays slower, from now on
 * @shape: copied; NULL: as fast as can be, for what is read from now on
 *
 * Since 0.1. Return: 0; -EINVAL for more jitter than delay, or a delay above a minute; -E2BIG for
 *         a newer struct than the library's with something in its new members.
 */
SLUICE_API int sluice_relays_shape(struct sluice_relays *relays,
				   const struct sluice_relay_shape *shape);

/**
 * sluice_relays_add() - connect two connections
 * @program:   a connected TCP socket: the program's end is the other one of it
 * @upstream:  a connected TCP socket
 * @ops:       not copied, must outlive the relay; may be NULL
 * @data:      given to every callback, never touched
 * @ret_relay: out, on 0 only: valid until ops->done; may be NULL
 *
 * Both descriptors are consumed, also on failure, when both are reset. They may become
 * non-blocking, and get TCP_NODELAY and SO_LINGER {1, 0}: if the process dies both are reset, and
 * neither side takes that for the end of what it reads.
 *
 * Since 0.1. Return: 0, -ENOMEM, or -errno of setsockopt(2) or epoll_ctl(2).
 */
SLUICE_API int sluice_relays_add(struct sluice_relays *relays, int program, int upstream,
				 const struct sluice_relay_ops *ops, void *data,
				 struct sluice_relay **ret_relay);

/**
 * sluice_relay_release() - the program has closed its last descriptor: nobody reads
 *
 * Upstream still gets all that the program has sent, and is closed then; what it sends is
 * thrown away until then and reset after that, as the kernel would in a direct connection. No
 * socket of it stays in FIN_WAIT_2 for longer than some seconds. ops->done follows. Called
 * again, or for a relay that ends, it does nothing. Since 0.1.
 */
SLUICE_API void sluice_relay_release(struct sluice_relay *relay);

/** sluice_relay_reset() - end both connections with a reset; ops->done follows. Since 0.1 */
SLUICE_API void sluice_relay_reset(struct sluice_relay *relay);

#ifdef __cplusplus
}
#endif
#endif
