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

int pins_read(const struct real *real, const char *name, void *ret_value, size_t n)
{
	_cleanup_close_ int fd = pins_open(real, "map", name);
	struct bpf_map_info info = { 0 };
	uint32_t n_info = sizeof(info), zero = 0;

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &n_info) < 0)
		return -errno;
	if (info.value_size != n)
		return -EPROTO;
	return bpf_map_lookup_elem(fd, &zero, ret_value) < 0 ? -errno : 0;
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
