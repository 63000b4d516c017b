/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <ini.h>

#include "cli/cli.h"
#include "cli/serve.h"

/* sections of providers: what begins them, and what they are of */
static const struct {
	const char *word;
	bool is_proxy;
} provider_sections[] = { { "Filter ", false }, { "Proxy ", true } };

#define LINE_MAX_BYTES 198 /* inih cuts longer ones in two */

struct reader {
	struct instance *instance;
	char section[128]; /* that is being read */
	bool has_keys;	   /* it, so far */
	const char *name;  /* it is a provider's, and this its name; else NULL */
	bool is_proxy;
	struct run_manifest manifest;
	bool is_found; /* the filter: after Exec, or without one at its first other line or its end */
	bool has_failed;
	int failed_line; /* 0: it is the section as a whole */

	FILE *file;
	int error; /* of the file */
	int n_lines;
	bool is_too_long; /* the last line */
};

static struct run_filter *current(struct reader *reader)
{
	return &reader->instance->filters[reader->instance->n_filters - 1];
}

/* ---- [Instance] ---- */

static int take_id(struct instance *instance, const char *value)
{
	if (!cli_is_new_instance(value))
		return cli_error(-1,
				 "Id: an instance id has 1 to 23 characters of a-z and 0-9, "
				 "not \"%s\"",
				 value);
	snprintf(instance->record.id, sizeof(instance->record.id), "%s", value);
	return 0;
}

static int take_cgroup(struct instance *instance, const char *value)
{
	char root[256], path[600], plain[PATH_MAX];
	struct stat st;
	int r;

	if (value[0] != '/' || strstr(value, "/../") || strstr(value, "/.."))
		return cli_error(-1,
				 "Cgroup: \"%s\" is not a path from the root of the cgroup v2 "
				 "hierarchy, such as /user.slice",
				 value);
	r = run_cgroup_root(root, sizeof(root));
	if (r < 0 && r != -ENOENT)
		return cli_error(-1, "Cgroup: cannot look for cgroups: %s", strerror(-r));
	if (r < 0)
		return cli_error(-1, "Cgroup: no cgroup v2 hierarchy is mounted: mount one with "
				     "`mount -t cgroup2 none /sys/fs/cgroup`");
	snprintf(path, sizeof(path), "%s%s", root, value[1] ? value : "");
	/* one way to write it: it is compared with that of other instances */
	r = realpath(path, plain) ? 0 : -errno;
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return cli_error(-1, "Cgroup: cannot look at %s: %s", path, strerror(-r));
	if (r < 0 || stat(plain, &st) < 0 || !S_ISDIR(st.st_mode))
		return cli_error(-1, "Cgroup: %s is not there: make it before, or name its parent",
				 path);
	if ((size_t)snprintf(instance->record.cgroup, sizeof(instance->record.cgroup), "%s",
			     plain) >= sizeof(instance->record.cgroup))
		return cli_error(-1, "Cgroup: %s is too long", value);
	return 0;
}

static int take_flows(struct instance *instance, const char *value)
{
	return instance_open_flows(instance, value);
}

static int take_older(struct instance *instance, const char *value)
{
	instance->ends_older = !strcmp(value, "end");
	if (instance->ends_older || !strcmp(value, "leave"))
		return 0;
	return cli_error(-1, "Older: \"leave\" or \"end\", not \"%s\"", value);
}

static const struct {
	const char *key;
	int (*take)(struct instance *instance, const char *value);
} instance_keys[] = {
	{ "Id", take_id },
	{ "Cgroup", take_cgroup },
	{ "Flows", take_flows },
	{ "Older", take_older },
	{ "AppMap", instance_read_applications },
};

static int take_instance(struct reader *reader, const char *key, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(instance_keys); i++)
		if (!strcmp(instance_keys[i].key, key))
			return instance_keys[i].take(reader->instance, value);
	return cli_error(-1, "[Instance] has no \"%s\"; it has Id, Cgroup, Flows, Older, AppMap", key);
}

/* ---- [Filter NAME] ---- */

static int find(struct reader *reader, const char *word)
{
	struct run_filter *filter = current(reader);

	reader->is_found = true;
	if (run_filter_find(word, reader->is_proxy, filter, &reader->manifest))
		return -1;
	snprintf(filter->name, sizeof(filter->name), "%s", reader->name);
	return 0;
}

static int begin_filter(struct reader *reader)
{
	struct instance *instance = reader->instance;

	if (instance->n_filters == RUN_FILTERS_MAX)
		return cli_error(-1, "[%s]: at most %u filters and proxies", reader->section,
				 RUN_FILTERS_MAX);
	instance->filters[instance->n_filters++] = (struct run_filter){ 0 };
	reader->is_found = false;
	return 0;
}

/* a filter without options has a section without lines */
static int end_filter(struct reader *reader)
{
	if (!reader->name)
		return 0;
	if (!reader->is_found && find(reader, reader->name))
		return -1;
	return run_filter_check(current(reader), &reader->manifest);
}

static int take_fail(struct run_filter *filter, const char *value)
{
	filter->is_closed = !strcmp(value, "closed");
	if (filter->is_closed || !strcmp(value, "open"))
		return 0;
	return cli_error(-1, "Fail: \"open\" or \"closed\", not \"%s\"", value);
}

/* a filter has none; what is not supported is not supported by any kind */
static int take_setting(struct reader *reader, const char *key, const char *value)
{
	if (reader->is_proxy)
		return settings_take(&current(reader)->settings, reader->instance->applications,
				     key, value);
	return settings_refuse(key) ? -1 : SETTINGS_E_OTHER;
}

static int take_filter(struct reader *reader, const char *key, const char *value)
{
	char text[320];
	int r;

	if (!strcmp(key, "Exec")) {
		if (!reader->is_found)
			return find(reader, value);
		return cli_error(-1, "[%s]: Exec comes first and once", reader->section);
	}
	if (!reader->is_found && find(reader, reader->name))
		return -1;
	if (!strcmp(key, "Fail"))
		return take_fail(current(reader), value);
	r = take_setting(reader, key, value);
	if (r != SETTINGS_E_OTHER)
		return r;
	if ((size_t)snprintf(text, sizeof(text), "%s=%s", key, value) >= sizeof(text))
		return cli_error(-1, "[%s]: %s is too long", reader->section, key);
	return run_filter_add(current(reader), &reader->manifest, text);
}

/* ---- the file ---- */

static bool is_provider(struct reader *reader)
{
	reader->name = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(provider_sections) && !reader->name; i++) {
		size_t n = strlen(provider_sections[i].word);

		if (strncmp(reader->section, provider_sections[i].word, n) || !reader->section[n])
			continue;
		reader->name = reader->section + n;
		reader->is_proxy = provider_sections[i].is_proxy;
	}
	return reader->name != NULL;
}

static int begin_section(struct reader *reader, const char *name, size_t n_name)
{
	if (end_filter(reader)) {
		reader->failed_line = 0;
		return -1;
	}
	snprintf(reader->section, sizeof(reader->section), "%.*s", (int)n_name, name);
	reader->has_keys = false;
	if (is_provider(reader))
		return begin_filter(reader);
	if (!strcmp(reader->section, "Instance"))
		return 0;
	return cli_error(-1, "there is no section [%s]; there are [Instance], [Filter NAME] and [Proxy NAME]",
			 reader->section);
}

/* inih tells of a section with its first key: one without any would not be there. Indented behind a
 * key it is inih's to read as more of that key's value */
static int look_for_section(struct reader *reader, const char *line)
{
	const char *start = line + strspn(line, " \t"), *end;

	if (reader->n_lines == 1 && !strncmp(line, "\xef\xbb\xbf", 3))
		start = line + 3;
	if (*start != '[' || (start > line && reader->has_keys))
		return 0;
	end = strchr(start, ']');
	if (!end)
		return cli_error(-1, "a section ends with ], as in [Instance]");
	return begin_section(reader, start + 1, (size_t)(end - start - 1));
}

static int take_line(void *data, const char *section, const char *key, const char *value)
{
	struct reader *reader = data;
	int r;

	(void)section; /* which inih cuts when it is long */
	if (reader->has_failed)
		return 0;
	reader->has_keys = true;
	reader->failed_line = reader->n_lines;
	if (!reader->section[0])
		r = cli_error(-1,
			      "\"%s\" is in no section: [Instance], [Filter NAME] or [Proxy NAME] "
			      "comes first",
			      key);
	else
		r = reader->name ? take_filter(reader, key, value)
				      : take_instance(reader, key, value);
	reader->has_failed = r != 0;
	return r == 0;
}

/* as fgets(), but that a line which does not fit, or begins what cannot be, is the end */
static char *read_line(char *text, int n, void *data)
{
	struct reader *reader = data;
	char *line;

	if (reader->has_failed)
		return NULL;
	line = fgets(text, MIN(n, LINE_MAX_BYTES + 2), reader->file);
	reader->error = ferror(reader->file) ? errno : 0;
	if (!line)
		return NULL;
	reader->n_lines++;
	reader->is_too_long = strlen(line) > LINE_MAX_BYTES && !strchr(line, '\n');
	if (reader->is_too_long)
		return NULL;
	reader->failed_line = reader->n_lines;
	reader->has_failed = look_for_section(reader, line) != 0;
	return reader->has_failed ? NULL : line;
}

/* behind the reason. @line: of inih, the first that it could not read */
static int complain(const struct reader *reader, const char *path, int line)
{
	if (reader->has_failed && reader->failed_line)
		return cli_error(-1, "%s:%d: correct this line; nothing was started", path,
				 reader->failed_line);
	if (reader->has_failed)
		return cli_error(-1, "%s: correct [%s]; nothing was started", path,
				 reader->section);
	if (reader->is_too_long)
		return cli_error(-1, "%s:%d: longer than %d bytes", path, reader->n_lines,
				 LINE_MAX_BYTES);
	return cli_error(-1, "%s:%d: neither a section nor key=value", path, line);
}

int serve_read_config(const char *path, struct instance *instance)
{
	struct reader reader = { .instance = instance, .file = fopen(path, "re") };
	int line;

	if (!reader.file)
		return cli_error(-1, "cannot read %s: %s", path, strerror(errno));
	line = ini_parse_stream(read_line, &reader, take_line, &reader);
	fclose(reader.file);
	if (line < 0 || reader.error) /* what is missing may be a filter */
		return cli_error(-1, "cannot read %s: %s", path,
				 strerror(line < 0 ? ENOMEM : reader.error));
	if (!line && !reader.has_failed && !reader.is_too_long && end_filter(&reader)) {
		reader.has_failed = true;
		reader.failed_line = 0;
	}
	if (line || reader.has_failed || reader.is_too_long)
		return complain(&reader, path, line);
	if (!instance->record.cgroup[0] && take_cgroup(instance, "/"))
		return -1;
	return 0;
}
