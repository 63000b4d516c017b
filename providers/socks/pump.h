/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A flow whose proxy is spoken to by TLS: bytes between a program and the link
 *
 * Half closes stay half, as far as TLS can say it: close_notify and FIN. A reset of one side is
 * one on the other; and so is the end of a link without close_notify, which anybody on the way
 * could have made. Nothing is read from one side before the other has taken it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "link.h"

struct pump {
	struct link *link;
	int program;
	bool is_up_read, is_up_done; /* to the proxy: the program has ended; and is told so */
	bool is_down_done;	     /* to the program */
	bool is_unread;		     /* nobody reads what comes for the program */
	uint32_t n_down, at_down;
	uint8_t down[TLS_READ_MAX];
};

enum pump_state {
	PUMP_GOES_ON,
	PUMP_OVER,	   /* both sides have ended */
	PUMP_LINK_LOST,	   /* the program is to get a reset */
	PUMP_PROGRAM_LOST, /* the proxy is */
};

/** pump_new() - neither is consumed. Return: free(3) ends it; NULL: no memory */
struct pump *pump_new(struct link *link, int program);

/** pump_turn() - do what is possible; never blocks */
enum pump_state pump_turn(struct pump *pump);

/** pump_unread() - the program has closed its socket: what it has sent goes on, no more comes back */
void pump_unread(struct pump *pump);

/** pump_program_events(), pump_link_events() - what to poll them for: POLLIN, POLLOUT; 0: not at all */
short pump_program_events(const struct pump *pump);
short pump_link_events(const struct pump *pump);
