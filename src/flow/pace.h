/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The pace of ICMP errors
 *
 * A rejected UDP or ICMP flow gets its error by ICMP, and the kernel sends at
 * most icmp_msgs_per_sec (1000) of them, in bursts of icmp_msgs_burst (50),
 * per network namespace; one more is lost and the application would wait for
 * ever. So rejections are let go a little slower than that, and the
 * application gets its error a few milliseconds later instead of never.
 *
 * A bucket of tokens and a queue. Pure; times are microseconds.
 */

#include <stdbool.h>
#include <stdint.h>

#define PACE_BURST 20U	      /* of icmp_msgs_burst; the kernel counts up to 3 for one message */
#define PACE_INTERVAL_US 2000U /* 500 a second, of icmp_msgs_per_sec, for the same reason */
#define PACE_WAITING_MAX 4096U

struct paced {
	uint32_t packet_id, mark;
};

struct pace {
	uint64_t earned_us; /* tokens are counted from here */
	uint32_t first, n;
	struct paced waiting[PACE_WAITING_MAX];
};

/** pace_take() - may one go now? */
bool pace_take(struct pace *pace, uint64_t now_us);

/** pace_wait() - queue one that may not go now. Return: true, or false when the queue is full. */
bool pace_wait(struct pace *pace, uint32_t packet_id, uint32_t mark);

/** pace_next() - one that waited and may go now. Return: false when none may. */
bool pace_next(struct pace *pace, uint64_t now_us, struct paced *ret_paced);
