/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Stories in which something fails
 *
 * A story has most of what a daemon does in it. It is told again and again, and in each
 * telling something else fails.
 */

#include "running-lab.h"

/* by what the filters of the stories say to these: nothing, to the last */
extern const struct lab_packet allowed, denied, unanswered;

typedef void (*story_fn)(struct lab *lab, unsigned int nth);

/**
 * story_tell_each() - in the nth telling, the nth call of the kernel fails, until none does
 * @tell: begins with lab_start(), and says from where on calls are counted
 * @n_least: calls that the story makes at least
 */
void story_tell_each(story_fn tell, bool is_closed, unsigned int n_least);
