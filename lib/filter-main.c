/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/spin.h"
#include "lib/filter-internal.h"

static void cleanup_filter(struct sluice_filter **filter)
{
	*filter = sluice_filter_free(*filter);
}

int filter_main_new_failed(const char *name, const char *kind, int r)
{
	name = name && *name ? name : kind;

	if (r == -ENOTCONN)
		fprintf(stderr,
			"%s: not started by Sluice: run it with `sluice run --%s %s -- COMMAND`\n",
			name, kind, program_invocation_name);
	else
		fprintf(stderr, "%s: cannot begin a session: %s\n", name, strerror(-r));
	return 1;
}

static int wait_for_channel(struct sluice_filter *filter, struct spin *spin)
{
	struct pollfd pollfd = { .fd = sluice_filter_get_fd(filter),
				 .events = sluice_filter_get_events(filter) };

	if (spin_poll(spin, &pollfd, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int filter_main_end(const struct sluice_filter *filter, int r)
{
	/* the daemon has the words of a refusal and shows them; once is enough */
	if (filter->refused)
		return 1;
	if (r == -ESHUTDOWN)
		return 0;
	fprintf(stderr, "%s: %s\n", filter->ops->name, sluice_filter_error(filter));
	return 1;
}

int sluice_filter_main(const struct sluice_filter_ops *ops, void *data)
{
	_cleanup_(cleanup_filter) struct sluice_filter *filter = NULL;
	struct spin spin = { 0 };
	int r;

	r = sluice_filter_new(ops, data, &filter);
	if (r)
		return filter_main_new_failed(ops ? ops->name : NULL, "filter", r);
	while (r == 0) {
		r = wait_for_channel(filter, &spin);
		if (r == 0)
			r = sluice_filter_process(filter);
	}
	return filter_main_end(filter, r);
}
