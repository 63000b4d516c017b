/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A world around a peek
 *
 * A sender, a network that repeats, delays, cuts and forges, a receiver, which when it is our
 * own side discards what it has not acknowledged, and up to three filters, all driven by the bytes of a test: whatever they are, the
 * world checks after every step what a plain reference says of it, and that in the
 * end everything arrives that no filter keeps. It aborts on a mistake.
 */

#include <stddef.h>
#include <stdint.h>

struct peek_outcome {
	unsigned int n_packets, n_questions, n_ends;
	size_t n_delivered;
};

/** peek_world_run() - one flow, from its beginning to its end */
struct peek_outcome peek_world_run(const uint8_t *bytes, size_t n_bytes);
