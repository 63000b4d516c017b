/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cgroup2.h"
#include "base/files.h"
#include "base/log.h"
#include "keeper/keeper.h"

#define BASE_FOLDER "/run/sluice"
#define EMPTY_MS 10000U /* for killed processes to be gone */

/* Return: is it still there? */
static bool complain(const char *what, const char *path, int r)
{
	if (r >= 0 || r == -ENOENT)
		return false;
	log_warning("cannot %s %s: %s; `sluice panic` does", what, path, strerror(-r));
	return true;
}

void place_kill_governed(const struct keeper *keeper)
{
	if (!keeper->instance.is_kept)
		(void)complain("kill the processes of", keeper->instance.cgroup,
			       cgroup2_kill(keeper->instance.cgroup));
}

/* below the governed one, so that it is governed; a leaf of its own, so that it is in nobody's way */
void place_canary(const struct keeper *keeper, char *path, size_t n)
{
	snprintf(path, n, "%s/sluice-canary", keeper->instance.cgroup);
}

void place_remove(const struct keeper *keeper)
{
	const struct wire_k_instance *instance = &keeper->instance;
	bool is_left = false;
	unsigned int n_lists;
	char canary[600];

	place_canary(keeper, canary, sizeof(canary));
	is_left |= complain("remove", canary, cgroup2_remove(canary, EMPTY_MS));
	(void)cgroup2_kill(instance->providers_cgroup);
	is_left |= complain("remove", instance->providers_cgroup,
			    cgroup2_remove(instance->providers_cgroup, EMPTY_MS));
	place_kill_governed(keeper);
	if (!instance->is_kept)
		is_left |= complain("remove", instance->cgroup,
				    cgroup2_remove(instance->cgroup, EMPTY_MS));
	is_left |= complain("remove", instance->bpffs, files_remove_folder(instance->bpffs));
	(void)files_remove_lists(instance->state, &n_lists);
	if (!is_left) /* its notes tell `sluice panic` where the rest is */
		(void)complain("remove", instance->state, files_remove_folder(instance->state));
	(void)rmdir(BASE_FOLDER); /* stays while another instance lives */
}
