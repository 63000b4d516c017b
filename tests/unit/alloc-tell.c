/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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
