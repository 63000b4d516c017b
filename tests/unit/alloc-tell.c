/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"

void alloc_tell_each(alloc_tell_fn tell, void *data, bool is_always, unsigned int step,
		     unsigned int n_least, unsigned int n_most)
{
	unsigned int n = 0;

	for (unsigned int nth = 1; tell(nth, is_always, data); nth += step)
		assert_true(n++ < n_most);
	print_message("           %u tellings\n", n);
	assert_true(n > n_least);
}

_Noreturn void alloc_be(int (*main_fn)(void), int channel, int err, unsigned int *n_blocks)
{
	unsigned int n_before = alloc_blocks();
	int status;

	dup2(err, STDERR_FILENO);
	dup2(channel, 3);
	for (int number = 1; number < SIGRTMIN; number++)
		(void)signal(number, SIG_DFL); /* a crash is one, not cmocka's */
	alloc_enter();
	status = main_fn();
	alloc_leave();
	*n_blocks = alloc_blocks() - n_before;
	_exit(status);
}
