/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What an application is called
 *
 * By its path, by its name in $PATH, or by an id that a file (--app-map) has for it, so that what is
 * not installed can be meant too:
 *
 *	# comment
 *	org.example.browser = /home/me/build/browser
 *	org.example.browser = ./helper                  another program of it, beside this file
 *	org.example.mail = cgroup=/user.slice/mail      or the conditions of a rule
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/macros.h"
#include "cli/cli.h"
#include "cli/settings.h"

#define ID_MAX 127U

struct application {
	char id[ID_MAX + 1];
	struct wire_rule rule;
};

struct applications {
	struct application *all;
	unsigned int n;
};

struct applications *applications_free(struct applications *applications)
{
	if (applications)
		free(applications->all);
	free(applications);
	return NULL;
}

/* ---- programs ---- */

/* its flows are its interpreter's, so that it would be a name for none */
static bool is_script(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && files_is_script(fd);
}

/* as the kernel names it: without links */
static int take_program(const char *path, struct wire_rule *rule)
{
	char plain[PATH_MAX];
	struct stat st;

	if (!realpath(path, plain) || stat(plain, &st) < 0)
		return cli_error(-1, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || access(plain, X_OK) < 0)
		return cli_error(-1, "%s is no program", path);
	if (is_script(plain))
		return cli_error(-1,
				 "%s is a script: flows are those of the program that runs it, or "
				 "that it starts: name that one",
				 plain);
	if (strlen(plain) >= sizeof(rule->exe))
		return cli_error(-1, "%s: its path is longer than %zu bytes", plain,
				 sizeof(rule->exe) - 1);
	memcpy(rule->exe, plain, strlen(plain) + 1);
	return 0;
}

/* Return: false: no program of $PATH has this name */
static bool find_in_path(const char *name, char *path, size_t n)
{
	const char *folder = getenv("PATH");
	struct stat st;

	for (folder = folder ? folder : "/usr/bin:/bin"; *folder; folder += *folder == ':') {
		size_t n_folder = strcspn(folder, ":");

		snprintf(path, n, "%.*s/%s", (int)n_folder, folder, name);
		folder += n_folder;
		if (n_folder && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* ---- the file of ids ---- */

static bool is_id(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
			return false;
	return n > 0 && n <= ID_MAX;
}

/* a path is from the folder of the file */
static int read_program(const char *file, const char *text, struct wire_rule *rule)
{
	const char *slash = strrchr(file, '/');
	char path[PATH_MAX];

	if (text[0] == '/' || !slash)
		snprintf(path, sizeof(path), "%s", text);
	else
		snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - file), file, text);
	return take_program(path, rule);
}

static int add(struct applications *applications, const char *id, const struct wire_rule *rule)
{
	struct application *all =
		reallocarray(applications->all, applications->n + 1, sizeof(*applications->all));

	if (!all)
		return cli_error(-1, "%s", strerror(ENOMEM));
	applications->all = all;
	all[applications->n] = (struct application){ .rule = *rule };
	snprintf(all[applications->n++].id, sizeof(all->id), "%s", id);
	return 0;
}

struct reader {
	const char *path;
	struct applications *applications;
};

static int take_line(void *data, char *id, char *value)
{
	struct reader *reader = data;
	struct wire_rule rule = { 0 };
	int r;

	if (!value)
		return cli_error(-1, "\"%s\" is not of the form ID = PROGRAM", id);
	if (!is_id(id))
		return cli_error(-1,
				 "an id has 1 to %u characters of a-z, A-Z, 0-9, \".\", \"-\" "
				 "and \"_\", not \"%s\"",
				 ID_MAX, id);
	if (!*value)
		return cli_error(-1, "%s: no program is named", id);
	r = strchr(value, '=') ? settings_read_rule(value, &rule)
			       : read_program(reader->path, value, &rule);
	return r ? r : add(reader->applications, id, &rule);
}

int applications_read(const char *path, struct applications **ret_applications)
{
	struct reader reader = { path, calloc(1, sizeof(*reader.applications)) };
	FILE *file = fopen(path, "re");
	int r = -1;

	if (!file || !reader.applications)
		(void)cli_error(0, "cannot read %s: %s", path, strerror(file ? ENOMEM : errno));
	else
		r = settings_read_lines(file, path, take_line, &reader);
	if (file)
		fclose(file);
	if (r)
		applications_free(reader.applications);
	else
		*ret_applications = reader.applications;
	return r;
}

/* ---- names ---- */

static bool has_id(const struct applications *applications, const char *name, unsigned int n,
		   struct wire_rule *ret_rule)
{
	for (unsigned int i = 0; applications && i < applications->n; i++)
		if (!strcmp(applications->all[i].id, name) && n-- == 0) {
			*ret_rule = applications->all[i].rule;
			return true;
		}
	return false;
}

int applications_find(const struct applications *applications, const char *name, unsigned int n,
		      struct wire_rule *ret_rule)
{
	char path[PATH_MAX];

	*ret_rule = (struct wire_rule){ 0 };
	if (has_id(applications, name, n, ret_rule))
		return 0;
	if (n > 0)
		return SETTINGS_E_OTHER;
	if (strchr(name, '/'))
		return take_program(name, ret_rule);
	if (find_in_path(name, path, sizeof(path)))
		return take_program(path, ret_rule);
	return cli_error(-1, "no application is called \"%s\": it is no program of $PATH%s", name,
			 applications ? ", and no id of the application map"
				      : "; ids are those of --app-map, which comes first");
}
