/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/plane-ops.h"

int plane_destroy(struct plane *plane, const struct plane_end *end)
{
	int place = plane_find_netns(plane, end->tuple.netns);

	return place < 0 ? place : plane->ops->destroy(plane, &plane->places[place], end);
}

/* those of one namespace in one go: that is where most of them are. Return: how many begin @ends */
static unsigned int n_of_one(const struct plane_end *ends, unsigned int n)
{
	unsigned int end = 1;

	while (end < n && ends[end].tuple.netns == ends[0].tuple.netns)
		end++;
	return end;
}

void plane_count(struct plane *plane, const struct plane_end *ends, unsigned int n,
		 struct plane_count *ret_counts)
{
	for (unsigned int i = 0, n_here; i < n; i += n_here) {
		int place = plane_find_netns(plane, ends[i].tuple.netns);

		n_here = n_of_one(ends + i, n - i);
		if (place >= 0)
			plane->ops->count(plane, &plane->places[place], ends + i, n_here,
					  ret_counts + i);
		for (unsigned int j = i; place < 0 && j < i + n_here; j++)
			ret_counts[j] = (struct plane_count){ .error = place };
	}
}

void plane_end_rests(struct plane *plane, const struct plane_end *ends, unsigned int n)
{
	for (unsigned int i = 0, n_here; i < n; i += n_here) {
		int place = plane_find_netns(plane, ends[i].tuple.netns);

		n_here = n_of_one(ends + i, n - i);
		if (place >= 0)
			plane->ops->end_rests(plane, &plane->places[place], ends + i, n_here);
	}
}
