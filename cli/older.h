/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Connections that are older than an instance
 *
 * They go on, and nobody judges them; or they are ended once the instance is in force, so that
 * what their programs do next is judged. What was begun and judged in that very moment is ended
 * with them: better than to miss one.
 */

/** older_end() - those of sockets that were made in @cgroup and below. Says what came of it */
void older_end(const char *cgroup);
