/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: busy - works without a pause, as sluiced never should (base/urgent.h)
 *
 * Prints a line each time that it begins, or ceases, to run before other programs. Ends
 * when it is killed.
 */

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/urgent.h"

int main(void)
{
	bool was_urgent = false;
	int r = urgent_yield();

	if (r < 0) {
		fprintf(stderr, "busy: %s\n", strerror(-r));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		bool is_urgent = (sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) == SCHED_RR;

		if (is_urgent != was_urgent) {
			puts(is_urgent ? "urgent" : "as others");
			fflush(stdout);
		}
		was_urgent = is_urgent;
	}
}
