/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Pins
 *
 * Under the instance's bpffs folder:
 *
 *	map_NAME, prog_NAME (the nft matches), link_NAME (cgroup attachments)
 *
 * and the maps `stamp` (renew.c) and `complete` (install.c), which are signs.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "kernel/real.h"

static void pin_path(const struct real *real, const char *kind, const char *name, char *path,
		     size_t n)
{
	snprintf(path, n, "%s/%s_%s", real->bpffs, kind, name);
}

int pins_put(const struct real *real, const char *kind, const char *name, int fd)
{
	char path[512];

	pin_path(real, kind, name, path, sizeof(path));
	(void)unlink(path);
	return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

int pins_open(const struct real *real, const char *kind, const char *name)
{
	char path[512];
	int fd;

	pin_path(real, kind, name, path, sizeof(path));
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

bool pins_has(const struct real *real, const char *kind, const char *name)
{
	char path[512];

	pin_path(real, kind, name, path, sizeof(path));
	return access(path, F_OK) == 0;
}

void pins_remove(const struct real *real, const char *kind, const char *name)
{
	char path[512];

	pin_path(real, kind, name, path, sizeof(path));
	(void)unlink(path);
}
