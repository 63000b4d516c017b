/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Relays between real sockets
 *
 *	ends[PROGRAM] ──127.0.0.1── relay ──127.0.0.1── ends[UPSTREAM]
 *
 * The test has both outer ends, and is the loop: it works the set whenever it waits for
 * something. What it sends is a pattern, by place in the stream, so that nothing can be lost,
 * twice there or in another order without being seen.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/relay-internal.h"

enum { PROGRAM = SLUICE_RELAY_PROGRAM, UPSTREAM = SLUICE_RELAY_UPSTREAM };

/** struct lab_relay - one relay, and what it has told */
struct lab_relay {
	int ends[2]; /* -1: closed */
	struct sluice_relay *relay;
	unsigned int n_done, n_read_ends[2];
	struct sluice_relay_end end;
	uint64_t n_sent[2], n_received[2]; /* by the end that has sent, or received */
	bool has_end[2];		   /* that end has received the other's */
	/* called inside read_end; NULL: nothing is */
	void (*at_end)(struct sluice_relay *relay);
};

struct lab {
	struct sluice_relays *relays;
	struct lab_relay one;
};

/** lab_set_up() - a set with one relay, for cmocka */
int lab_set_up(void **state);
int lab_tear_down(void **state);

/** lab_try() - one more relay of the set. Return: as sluice_relays_add() */
int lab_try(struct sluice_relays *relays, struct lab_relay *ret_relay);
/** lab_add() - it must be; lab_drop() closes the ends that are open */
void lab_add(struct sluice_relays *relays, struct lab_relay *ret_relay);
void lab_drop(struct lab_relay *relay);

/** lab_pair() - a TCP connection */
void lab_pair(int ret_fds[2]);

/** lab_work() - the set, until it has nothing to do */
void lab_work(struct sluice_relays *relays);
/** lab_wait() - for something, for 20 seconds at most. Return: false, when that was too long */
bool lab_wait(struct sluice_relays *relays, bool (*has_come)(const struct lab_relay *relay),
	      const struct lab_relay *relay);
/** lab_is_readable() - the set's descriptor, waiting so long for it */
bool lab_is_readable(const struct sluice_relays *relays, int timeout_ms);
bool lab_is_done(const struct lab_relay *relay);

/** lab_send() - as much of @n bytes as the end takes now. Return: how many */
size_t lab_send(struct lab_relay *relay, unsigned int from, size_t n);
/** lab_fill() - all that goes, until the whole way is full. Return: bytes */
size_t lab_fill(struct sluice_relays *relays, struct lab_relay *relay, unsigned int from);
/** lab_receive() - what is there for that end, and looks at each byte. Return: 0, or a negative errno */
int lab_receive(struct lab_relay *relay, unsigned int to);
/** lab_stream() - @n bytes, to the last one; then both have them */
void lab_stream(struct sluice_relays *relays, struct lab_relay *relay, unsigned int from, size_t n);

/** lab_end() - its end sends no more; or is closed, also by a reset */
void lab_end(struct lab_relay *relay, unsigned int side);
void lab_close(struct lab_relay *relay, unsigned int side);
void lab_reset(struct lab_relay *relay, unsigned int side);

/** lab_expect_end() - and all that the other has sent before it */
void lab_expect_end(struct sluice_relays *relays, struct lab_relay *relay, unsigned int to);
/** lab_expect_reset() - after what has come before. Return: how many bytes have */
uint64_t lab_expect_reset(struct sluice_relays *relays, struct lab_relay *relay, unsigned int to);
/** lab_expect_done() - once, in this way */
void lab_expect_done(struct sluice_relays *relays, struct lab_relay *relay,
		     enum sluice_relay_how how);
