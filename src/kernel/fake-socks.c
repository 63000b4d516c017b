/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "kernel/fake-world.h"

int fake_destroy(struct plane *plane, struct netns *netns, const struct plane_end *end)
{
	int r = fake_enter(fake_of(plane), FAKE_DESTROY);

	if (r == 0)
		fake_put(fake_of(plane), FAKE_ENDED, &end->tuple, end);
	return r;
}

int fake_hold_again(struct plane *plane, uint64_t cookie)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_HOLD_AGAIN);
	const struct sl_sock *found = fake_get(fake, FAKE_SOCKS, &cookie);
	struct sl_sock sock;

	if (r < 0)
		return r;
	if (!found)
		return -ENOENT;
	sock = *found;
	sock.flags &= ~(uint32_t)SL_SOCK_ALLOWED;
	fake_put(fake, FAKE_SOCKS, &cookie, &sock);
	return 0;
}

/* one call, as it is one question to the kernel */
void fake_count(struct plane *plane, struct netns *netns, const struct plane_end *ends,
		unsigned int n, struct plane_count *ret_counts)
{
	struct fake *fake = fake_of(plane);
	int r = fake_enter(fake, FAKE_COUNT);

	for (unsigned int i = 0; i < n; i++) {
		const struct plane_count *found = fake_get(fake, FAKE_COUNTS, &ends[i].tuple);

		if (r == 0 && found)
			ret_counts[i] = *found;
		else
			ret_counts[i] = (struct plane_count){ .error = r ? r : -ENOENT };
	}
}

void fake_end_rests(struct plane *plane, struct netns *netns, const struct plane_end *ends,
		    unsigned int n)
{
	struct fake *fake = fake_of(plane);

	int r = fake_enter(fake, FAKE_END_RESTS);

	for (unsigned int i = 0; r == 0 && i < n; i++)
		fake_put(fake, FAKE_ENDED, &ends[i].tuple, &ends[i]);
}
