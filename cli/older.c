/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fts.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "cli/cli.h"
#include "cli/networks.h"
#include "cli/older.h"
#include "kernel/diag-end.h"
#include "kernel/netlink.h"

struct older {
	uint64_t *groups; /* owned; ids of cgroups, which are inode numbers */
	size_t n_groups, n_room;
	unsigned int n_ended;
	int error;
};

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool is_in(uint64_t cgroup, const void *data)
{
	const struct older *older = data;

	return bsearch(&cgroup, older->groups, older->n_groups, sizeof(*older->groups), compare);
}

static int add_group(struct older *older, uint64_t id)
{
	size_t n = older->n_room ? 2 * older->n_room : 64;
	uint64_t *larger;

	if (older->n_groups == older->n_room) {
		larger = realloc(older->groups, n * sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		older->groups = larger;
		older->n_room = n;
	}
	older->groups[older->n_groups++] = id;
	return 0;
}

/* one that is removed meanwhile is none any more */
static int read_groups(struct older *older, const char *cgroup)
{
	char path[600];
	char *const paths[] = { path, NULL };
	FTSENT *entry;
	FTS *tree;
	int r = 0;

	snprintf(path, sizeof(path), "%s", cgroup);
	tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!tree)
		return -errno;
	while (r == 0 && (entry = fts_read(tree)))
		if (entry->fts_info == FTS_D)
			r = add_group(older, entry->fts_statp->st_ino);
	if (older->n_groups)
		qsort(older->groups, older->n_groups, sizeof(*older->groups), compare);
	fts_close(tree);
	return r;
}

static void end_here(const struct network *network, void *data)
{
	struct older *older = data;
	_cleanup_close_ int sock = netlink_open(NETLINK_SOCK_DIAG);
	_cleanup_close_ int routes = netlink_open(NETLINK_ROUTE);
	int r = sock < 0 ? sock : routes < 0 ? routes : 0;

	if (r == 0)
		r = diag_end_all(sock, routes, is_in, older, &older->n_ended);
	if (r < 0 && !older->error)
		older->error = r;
}

void older_end(const char *cgroup)
{
	_cleanup_networks_ struct networks networks = { .error = 0 };
	struct older older = { .error = 0 };

	older.error = read_groups(&older, cgroup);
	if (!older.error)
		older.error = networks_open(&networks);
	if (!older.error)
		networks_visit(&networks, end_here, &older);
	if (!older.error)
		older.error = networks.error;
	free(older.groups);
	fprintf(stderr, "sluice: %u older connections ended\n", older.n_ended);
	if (older.error)
		(void)cli_error(0, "Older=end: some may go on unjudged: %s",
				strerror(-older.error));
}
