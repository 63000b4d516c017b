/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/**
 * confine_provider() - what seccomp cannot say: how much a provider may use, and of whom
 * @is_proxy: it has descriptors for many connections
 *
 * Limits are hard ones. No other process can be looked into through /proc, one
 * of the same user neither (Landlock, where the kernel has it), and no file can
 * be changed. A session of its own: no terminal, and where the kernel shares
 * the processors between sessions, one share however many threads.
 *
 * Return: 0 or a negative errno.
 */
int confine_provider(bool is_proxy);
