/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The story of a proxy, told while something fails
 *
 * It opens one flow, has another one waiting, declines a third and refuses a fourth; connections come
 * and end. Whatever fails, of each flow that it takes it hears in the end.
 */

#include "divert-lab.h"

struct divert_story {
	struct lab *lab;
	bool (*say)(struct lab *lab, uint16_t type, const void *body, const void *tail, size_t n);
	uint32_t pid; /* of the proxy that was asked; another one knows nothing of its flows */
	unsigned int n_waiting; /* taken flows of which it has not heard */
	unsigned int n_opened, n_sockets, n_cancels, n_ends;
	unsigned int no[4]; /* packets of the flows, in that order */
};

/** divert_story_lab() - with one proxy, which fails closed; nothing is started */
struct lab *divert_story_lab(void);
void divert_story_tell(struct divert_story *story);
/** divert_story_check() - it has an end: nothing waits, and nothing went out that must not */
void divert_story_check(struct divert_story *story);
