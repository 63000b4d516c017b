/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Other owners of rules, in the kernel of unit tests */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "kernel/fake-world.h"

void fake_touch(struct fake *fake, bool is_ours)
{
	fake->is_touched |= is_ours;
	fake->has_rules &= !is_ours;
	if (eventfd_write(fake->watch_fd, 1) < 0)
		abort();
}

bool fake_has_rules(const struct fake *fake)
{
	return fake->has_rules;
}

bool fake_was_touched(struct plane *plane)
{
	struct fake *fake = fake_of(plane);
	bool was_touched = fake->is_touched;
	eventfd_t n;

	(void)eventfd_read(fake->watch_fd, &n);
	fake->is_touched = false;
	return fake_enter(fake, FAKE_WAS_TOUCHED) < 0 || was_touched;
}

int fake_relax(struct plane *plane)
{
	return fake_enter(fake_of(plane), FAKE_RELAX);
}

int fake_repair(struct plane *plane)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_REPAIR);

	if (r < 0 || fake->has_rules)
		return r;
	fake->has_rules = true;
	return 1;
}
