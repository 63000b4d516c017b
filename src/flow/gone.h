/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Connections that were over before their first packet was read
 *
 * A program may connect and be gone while its SYN waits in the queue: the kernel tells of the end
 * once, and there is no flow yet that it could be the end of. As many are known as there are likely
 * to be packets between the one and the other; the newest of those in one place is.
 */

#include <stdbool.h>

#include "abi/sluice-abi.h"

#define GONE_N 4096U /* a power of two */

struct gone {
	struct sl_flow_key keys[GONE_N]; /* cookie 0: none */
};

/** gone_note() - the kernel tells the end of it, and its socket never has another one */
void gone_note(struct gone *gone, const struct sl_flow_key *key);

/** gone_has() - was this one told? By which interface it goes does not matter */
bool gone_has(const struct gone *gone, const struct sl_flow_key *key);
