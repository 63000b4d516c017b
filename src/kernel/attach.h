/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Which programs an instance attaches, and to what
 *
 * To the governed cgroup. And to that of proxies, if somebody comes before or behind one of them, so that
 * their own connections are flows as well. real.h has what needs a plane.
 */

#include <stdbool.h>

struct bpf_program;

/** attach_is_used() - with that fail class: an open one has nothing to hold back, but what is a proxy's */
bool attach_is_used(const char *program, bool is_closed, bool has_proxies);
/** attach_is_optional() - not every kernel takes it; `sluice doctor` tells */
bool attach_is_optional(const char *program);
/** attach_choose() - before loading: @family only where it is used, and the kernel takes it */
void attach_choose(struct bpf_program *family, bool is_closed);
