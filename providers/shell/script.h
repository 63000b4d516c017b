/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: One run of the script
 *
 *	shell ──fork──▶ runner ──fork──▶ sh -c SCRIPT ──▶ whatever it starts
 *	                   └ leads a process group of its own: all of these
 *
 * The sandbox lets a process signal nobody but itself and its own group. So the
 * runner is what ends a script: when the script has ended, or after
 * SCRIPT_SECONDS, or when the filter dies, it kills its group, itself included,
 * so that nothing stays behind that holds a place among the user's processes, but
 * for what has made a group of its own, as timeout(1) does: that goes with the
 * instance. Before, it writes the script's wait status into a pipe; if it comes to an
 * end without, the script was killed.
 */

#include <stdbool.h>
#include <stddef.h>

#define SCRIPT_SECONDS 4U /* a flow is decided without us after 5 */

struct script {
	int out;  /* what it prints */
	int done; /* its wait status, and then the end */
};

/**
 * script_start() - run it, without waiting
 * @words:      the command line
 * @env:        its whole environment
 * @is_checked: what it says on its standard error goes to @out as well
 *
 * Return: 0 or a negative errno.
 */
int script_start(const char *const words[], char *const env[], bool is_checked,
		 struct script *ret_script);

/**
 * script_end() - when script->done can be read: what came of it; closes both descriptors
 * @text:   out: the first @n bytes, less one, of what it printed, and a zero byte
 * @ret_n:  without that zero byte
 *
 * Return: its wait status, or -1: it was killed.
 */
int script_end(struct script *script, char *text, size_t n, size_t *ret_n);

/** script_start_self() - once, before any other: ended runners are nobody's to wait for */
void script_start_self(void);
