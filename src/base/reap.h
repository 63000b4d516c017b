/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Children, and whoever they leave behind
 *
 * Of a process that reaps all that it has started, and what that has started: the first
 * process of a container often reaps nobody.
 */

#include <stddef.h>
#include <sys/types.h>

/**
 * reap_open() - from now on orphans of our descendants are our children, and no signal reaches us
 *
 * Return: a descriptor that can be read when a child has ended, or a negative errno.
 */
int reap_open(void);

/**
 * reap_all() - kill these children, and reap all that there are
 * @pids: 0 or less: there is none
 * @ms:   so long, at most
 *
 * Return: 0, or -ETIMEDOUT: one is still there.
 */
int reap_all(const pid_t *pids, size_t n, unsigned int ms);
