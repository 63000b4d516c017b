/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Other owners of the rules
 *
 * Another program may delete our nft table in a namespace, or change what is in it. The kernel
 * says so, and it is put back at once. One that does it again and again gets
 * OWNERS_BURST answers at once and then one every OWNERS_PAUSE_US: between them
 * the fail class holds in the kernel (bpf/egress.bpf.c).
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#define OWNERS_BURST 10U
#define OWNERS_PAUSE_US 50000U
#define OWNERS_LINE_US 1000000U /* one line of the log in this time */

struct owners {
	sd_event_source *source;
	unsigned int n_left;  /* looks that need not wait */
	uint64_t refilled_us; /* when n_left grew last */
	bool is_wanted;	      /* a look is due as soon as there is one left */
	bool is_fought;	      /* it was said that somebody does it again and again */
	uint64_t said_us;
	uint64_t n_unsaid;
	int error; /* of the last look: the rules may be gone; 0 or a negative errno */
};

struct daemon;
struct space;

int owners_watch(struct space *space);
void owners_close(struct space *space);
void owners_tick(struct daemon *daemon, uint64_t now_us);

/** owners_want() - the rules may not be as they should, in whichever namespace: they are looked at with
 *  the next ticks, and again until they are */
void owners_want(struct daemon *daemon);
/** owners_look() - now, whoever asks, in every namespace. Return: as plane_repair(), the worst */
int owners_look(struct daemon *daemon);
