/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** DOC: Other owners of rules, in the kernel of unit tests */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "kernel/fake-world.h"

void fake_touch(struct fake *fake, uint64_t cookie, bool is_ours)
{
	struct fake_netns *netns = fake_netns_of(fake, cookie);

	netns->is_touched |= is_ours;
	netns->has_rules &= !is_ours;
	if (eventfd_write(netns->watch_fd, 1) < 0)
		abort();
}

bool fake_has_rules(struct fake *fake, uint64_t cookie)
{
	return fake_netns_of(fake, cookie)->has_rules;
}

bool fake_was_touched(struct plane *plane, struct netns *place)
{
	struct fake_netns *netns = fake_netns_of(fake_of(plane), place->cookie);
	bool was_touched = netns->is_touched;
	eventfd_t n;

	(void)eventfd_read(netns->watch_fd, &n);
	netns->is_touched = false;
	return fake_enter(fake_of(plane), FAKE_WAS_TOUCHED) < 0 || was_touched;
}

int fake_relax(struct plane *plane)
{
	return fake_enter(fake_of(plane), FAKE_RELAX);
}

int fake_peek(struct plane *plane)
{
	int r = fake_enter(fake_of(plane), FAKE_PEEK);

	fake_of(plane)->is_peeking |= r == 0;
	return r;
}

int fake_loopback(struct plane *plane, const struct sl_loopback *loopback)
{
	int r = fake_enter(fake_of(plane), FAKE_LOOPBACK);

	if (r == 0)
		plane->loopback = fake_of(plane)->loopback = *loopback;
	return r;
}

const struct sl_loopback *fake_judged_loopback(const struct fake *fake)
{
	return &fake->loopback;
}

bool fake_is_peeking(const struct fake *fake)
{
	return fake->is_peeking;
}

int fake_repair(struct plane *plane, struct netns *place)
{
	struct fake_netns *netns = fake_netns_of(fake_of(plane), place->cookie);
	int r = fake_enter(fake_of(plane), FAKE_REPAIR);

	if (r < 0 || netns->has_rules)
		return r;
	netns->has_rules = true;
	return 1;
}
