/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "cli/notes.h"

#define PANIC_MARK "panic"

static int take_note(struct instance_notes *notes, const char *name, const char *value)
{
	const struct {
		const char *name;
		char *text;
		size_t n;
	} texts[] = {
		{ "cgroup", notes->cgroup, sizeof(notes->cgroup) },
		{ "providers_cgroup", notes->providers_cgroup, sizeof(notes->providers_cgroup) },
		{ "bpffs", notes->bpffs, sizeof(notes->bpffs) },
		{ "table", notes->table, sizeof(notes->table) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strcmp(texts[i].name, name) == 0 &&
		    (size_t)snprintf(texts[i].text, texts[i].n, "%s", value) >= texts[i].n)
			return -ENAMETOOLONG;
	if (strcmp(name, "bpffs_mounted") == 0)
		notes->is_bpffs_mounted = strcmp(value, "1") == 0;
	if (strcmp(name, "cgroup_kept") == 0)
		notes->is_kept = strcmp(value, "1") == 0;
	if (strcmp(name, "keeper_pid") == 0)
		notes->keeper_pid = (pid_t)strtol(value, NULL, 10);
	return 0;
}

/* "[Instance]" or name=value */
static int take_line(struct instance_notes *notes, char *line)
{
	char *value;

	line[strcspn(line, "\n")] = '\0';
	if (line[0] == '[' || !line[0])
		return 0;
	value = strchr(line, '=');
	if (!value)
		return -EINVAL;
	*value++ = '\0';
	return take_note(notes, line, value);
}

int notes_read(const char *folder, struct instance_notes *notes)
{
	_cleanup_free_ char *line = NULL;
	char path[320];
	size_t n = 0;
	FILE *file;
	int r = 0;

	snprintf(path, sizeof(path), "%s/instance", folder);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (!r && (errno = 0, getline(&line, &n, file)) >= 0)
		r = take_line(notes, line);
	if (!r && !feof(file))
		r = errno ? -errno : -EIO;
	fclose(file);
	return r;
}

static void name_file(const char *folder, const char *name, char *path, size_t n)
{
	snprintf(path, n, "%s/%s", folder, name);
}

void notes_mark_panic(const char *folder)
{
	char path[320];

	name_file(folder, PANIC_MARK, path, sizeof(path));
	/* the folder is sluiced's, which may have put anything there */
	close_fd(open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
}

bool notes_has_panicked(const char *folder)
{
	char mark[320], notes[320];

	name_file(folder, PANIC_MARK, mark, sizeof(mark));
	name_file(folder, "instance", notes, sizeof(notes));
	return access(mark, F_OK) == 0 || (access(notes, F_OK) < 0 && errno == ENOENT);
}

void notes_forget_panic(const char *folder)
{
	char path[320];

	name_file(folder, PANIC_MARK, path, sizeof(path));
	(void)unlink(path);
}

void notes_remove(const char *folder)
{
	char path[320];

	name_file(folder, "instance", path, sizeof(path));
	(void)unlink(path);
}

int notes_write(const char *folder, const char *id, const struct instance_notes *notes)
{
	char path[320], new[336];
	FILE *file;

	snprintf(path, sizeof(path), "%s/instance", folder);
	snprintf(new, sizeof(new), "%s.new", path);
	file = fopen(new, "we");
	if (!file)
		return -errno;
	fprintf(file,
		"[Instance]\nid=%s\ncgroup=%s\ncgroup_kept=%d\nproviders_cgroup=%s\nbpffs=%s\n"
		"bpffs_mounted=%d\ntable=%s\nkeeper_pid=%d\n",
		id, notes->cgroup, notes->is_kept, notes->providers_cgroup, notes->bpffs,
		notes->is_bpffs_mounted, notes->table, notes->keeper_pid);
	if (fclose(file) != 0)
		return -errno;
	return rename(new, path) < 0 ? -errno : 0;
}
