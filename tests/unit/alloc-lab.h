/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A daemon that runs while memory runs out, and goes on when there is memory again
 *
 * Linked with -Wl,--wrap=sd_event_run: what its loop allocates is counted (alloc.h).
 */

#include "alloc.h"
#include "daemon-lab.h"

/** alloc_say() - filter 0 says it. Return: false: it has been cut off, and will be started again */
bool alloc_say(struct lab *lab, uint16_t type, const void *body, const void *tail, size_t n);
/** alloc_bring_back() - memory is there again, and so are daemon and filter; it begins by @begin */
void alloc_bring_back(struct lab *lab, void (*begin)(struct lab *lab));
