/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Folders of the cgroup v2 hierarchy
 *
 * A path is the full path of a cgroup's directory. Nothing is logged: whoever
 * calls knows whether a failure matters.
 */

/** cgroup2_enter() - move the calling process. Return: 0 or -errno */
int cgroup2_enter(const char *path);

/** cgroup2_kill() - every process in it and below it. Return: 0 or -errno */
int cgroup2_kill(const char *path);

/**
 * cgroup2_remove() - the cgroup and those below it, depth first
 * @timeout_ms: how long to wait for processes that were killed and take a moment to go
 *
 * Return: 0, -ENOENT if it is not there, -EBUSY while it has processes, or
 *         another negative errno.
 */
int cgroup2_remove(const char *path, unsigned int timeout_ms);
