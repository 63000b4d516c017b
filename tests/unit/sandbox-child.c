/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox-child.h"

int sandbox_in_child(int (*run)(const void *data), const void *data)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run(data));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

int sandbox_try_enter(const struct sandbox_trial *trial)
{
	int r = trial->is_under_keeper ? sandbox_enter(SANDBOX_KEEPER) : 0;

	if (r == 0)
		r = sandbox_enter(trial->profile);
	if (r != 0)
		dprintf(STDERR_FILENO, "%s: cannot enter: %s\n", sandbox_name(trial->profile),
			strerror(-r));
	return r;
}
