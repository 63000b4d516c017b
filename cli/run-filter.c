/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ini.h>

#include "base/files.h"
#include "base/macros.h"
#include "cli/cli.h"
#include "cli/run.h"

static int take_line(void *data, const char *section, const char *name, const char *value)
{
	struct run_manifest *manifest = data;

	if (!strcmp(section, "Extension") && !strcmp(name, "Executable"))
		snprintf(manifest->exe, sizeof(manifest->exe), "%s", value);
	if (!strcmp(section, "Extension") && !strcmp(name, "Processes"))
		manifest->has_processes = !strcmp(value, "yes");
	if (!strcmp(section, "Extension") && !strcmp(name, "Kind"))
		manifest->is_proxy = !strcmp(value, "proxy");
	if (!strcmp(section, "Extension") && !strcmp(name, "Compiler"))
		snprintf(manifest->compiler, sizeof(manifest->compiler), "%s", value);
	if (!strcmp(section, "Options") && manifest->n_options < RUN_OPTIONS_MAX) {
		unsigned int i = manifest->n_options++;

		snprintf(manifest->options[i].key, sizeof(manifest->options[i].key), "%s", name);
		manifest->options[i].is_file = strstr(value, "file") != NULL;
		manifest->options[i].is_required = strstr(value, "required") != NULL;
		manifest->options[i].is_compiled = strstr(value, "compiled") != NULL;
		manifest->options[i].is_written = strstr(value, "written") != NULL;
		manifest->options[i].is_repeatable = strstr(value, "repeatable") != NULL;
	}
	return 1;
}

/* what it is called in messages, and its option begins with */
static const char *kind_of(const struct run_filter *filter)
{
	return filter->is_proxy ? "proxy" : "filter";
}

int run_sibling(const char *name, const char *installed, char *path, size_t n)
{
	int r = files_sibling(name, path, n);

	if (r < 0)
		return r;
	if (access(path, F_OK) == 0)
		return 0;
	snprintf(path, n, "%s/%s", installed, name);
	return access(path, F_OK) == 0 ? 0 : -errno;
}

/* an executable named in a manifest is beside it, unless its path is absolute */
static void place_exe(const char *manifest_path, const char *exe, char *path, size_t n)
{
	const char *slash = strrchr(manifest_path, '/');

	if (exe[0] == '/')
		snprintf(path, n, "%s", exe);
	else
		snprintf(path, n, "%.*s/%s", (int)(slash - manifest_path), manifest_path, exe);
}

static int find_by_name(struct run_filter *filter, struct run_manifest *manifest)
{
	char name[64], beside[96], path[512];

	snprintf(name, sizeof(name), "%s.manifest", filter->name);
	snprintf(beside, sizeof(beside), "providers/%s", name);
	if (run_sibling(beside, MANIFESTDIR, path, sizeof(path)) < 0) {
		snprintf(path, sizeof(path), "%s/%s", MANIFESTDIR, name);
		if (access(path, F_OK) < 0) {
			fprintf(stderr,
				"sluice: no %s is named \"%s\" (looked for %s); "
				"a %s of your own is named by its path, ./%s\n",
				kind_of(filter), filter->name, path, kind_of(filter), filter->name);
			return -1;
		}
	}
	if (ini_parse(path, take_line, manifest) != 0 || !manifest->exe[0]) {
		fprintf(stderr, "sluice: %s: not a manifest of an extension\n", path);
		return -1;
	}
	if (manifest->is_proxy != filter->is_proxy)
		return cli_error(-1, "%s is a %s: --%s %s", filter->name,
				 manifest->is_proxy ? "proxy" : "filter",
				 manifest->is_proxy ? "proxy" : "filter", filter->name);
	place_exe(path, manifest->exe, filter->exe, sizeof(filter->exe));
	if (manifest->compiler[0])
		place_exe(path, manifest->compiler, filter->compiler, sizeof(filter->compiler));
	return 0;
}

static int find_by_path(const char *word, struct run_filter *filter, struct run_manifest *manifest)
{
	char path[PATH_MAX], beside[PATH_MAX + 16];
	const char *slash;
	struct stat st;

	if (!realpath(word, path) || stat(path, &st) < 0)
		return cli_error(-1, "%s %s: %s", kind_of(filter), word, strerror(errno));
	if (strlen(path) >= sizeof(filter->exe))
		return cli_error(-1, "%s %s: its path is longer than %zu bytes", kind_of(filter),
				 word, sizeof(filter->exe) - 1);
	if (!S_ISREG(st.st_mode))
		return cli_error(-1, "%s %s is no program: it is not a regular file",
				 kind_of(filter), path);
	if (access(path, X_OK) < 0)
		return cli_error(-1, "%s %s is not executable: %s", kind_of(filter), path,
				 strerror(errno));
	snprintf(filter->exe, sizeof(filter->exe), "%s", path);
	slash = strrchr(path, '/');
	snprintf(filter->name, sizeof(filter->name), "%s", slash + 1);
	snprintf(beside, sizeof(beside), "%s.manifest", path);
	if (access(beside, F_OK) == 0)
		(void)ini_parse(beside, take_line, manifest);
	if (manifest->compiler[0])
		place_exe(beside, manifest->compiler, filter->compiler, sizeof(filter->compiler));
	return 0;
}

static int known_option(const struct run_manifest *manifest, const char *key)
{
	for (unsigned int i = 0; i < manifest->n_options; i++)
		if (!strcmp(manifest->options[i].key, key))
			return (int)i;
	return -1;
}

static int check_option(const struct run_filter *filter, const struct run_manifest *manifest,
			const char *key)
{
	if (manifest->n_options == 0 || known_option(manifest, key) >= 0)
		return 0;
	fprintf(stderr, "sluice: %s %s has no option \"%s\"; it has:", kind_of(filter),
		filter->name, key);
	for (unsigned int i = 0; i < manifest->n_options; i++)
		fprintf(stderr, " %s", manifest->options[i].key);
	fprintf(stderr, "\n");
	return -1;
}

/* what is compiled is read again when it changes. Return: a descriptor, or a negative errno */
static int open_file(const struct run_option *option, const char *path)
{
	int fd;

	if (option->is_compiled)
		return files_open_regular(path);
	fd = option->is_written ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640)
				: open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_option(const struct run_filter *filter, struct run_option *option, const char *path)
{
	int fd;

	if (!path[0])
		return cli_error(-1, "%s %s: %s= names no file", kind_of(filter), filter->name,
				 option->key);
	fd = open_file(option, path);
	if (fd >= 0) {
		option->fd = fd;
		return 0;
	}
	fprintf(stderr, "sluice: %s %s: cannot open %s: %s\n", kind_of(filter), filter->name, path,
		fd == -EINVAL ? "it is not a regular file" : strerror(-fd));
	return -1;
}

int run_filter_add(struct run_filter *filter, const struct run_manifest *manifest, char *text)
{
	struct run_option *option = &filter->options[filter->n_options];
	char *equals = strchr(text, '=');
	int known;

	if (!equals || equals == text || (size_t)(equals - text) >= sizeof(option->key)) {
		fprintf(stderr, "sluice: %s %s: \"%s\" is not of the form key=value\n",
			kind_of(filter), filter->name, text);
		return -1;
	}
	*equals++ = '\0';
	if (check_option(filter, manifest, text))
		return -1;
	if (filter->n_options == RUN_OPTIONS_MAX)
		return cli_error(-1, "%s %s: more than %u options", kind_of(filter), filter->name,
				 RUN_OPTIONS_MAX);
	if (strlen(equals) >= sizeof(option->value))
		return cli_error(-1, "%s %s: the value of %s is longer than %zu bytes",
				 kind_of(filter), filter->name, text, sizeof(option->value) - 1);
	snprintf(option->key, sizeof(option->key), "%s", text);
	snprintf(option->value, sizeof(option->value), "%s", equals);
	option->fd = -1;
	compiled_init(&option->compiled);
	known = known_option(manifest, text);
	if (known >= 0 && manifest->options[known].is_file) {
		option->is_written = manifest->options[known].is_written;
		option->is_compiled = manifest->options[known].is_compiled && filter->compiler[0];
		if (open_option(filter, option, equals))
			return -1;
	}
	filter->n_options++;
	return 0;
}

static unsigned int count_option(const struct run_filter *filter, const char *key)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < filter->n_options; i++)
		n += !strcmp(filter->options[i].key, key);
	return n;
}

int run_filter_check(const struct run_filter *filter, const struct run_manifest *manifest)
{
	for (unsigned int i = 0; i < manifest->n_options; i++) {
		const char *key = manifest->options[i].key;
		unsigned int n = count_option(filter, key);

		if (manifest->options[i].is_required && n == 0) {
			fprintf(stderr, "sluice: %s %s needs %s=…: --%s %s:%s=%s\n", kind_of(filter),
				filter->name, key, kind_of(filter), filter->name, key,
				manifest->options[i].is_file ? "FILE" : "VALUE");
			return -1;
		}
		if (!manifest->options[i].is_repeatable && n > 1) {
			fprintf(stderr, "sluice: %s %s: option %s is given %u times\n",
				kind_of(filter), filter->name, key, n);
			return -1;
		}
	}
	return 0;
}

int run_filter_find(const char *word, bool is_proxy, struct run_filter *ret_filter,
		    struct run_manifest *ret_manifest)
{
	int r;

	*ret_filter = (struct run_filter){ .is_proxy = is_proxy };
	*ret_manifest = (struct run_manifest){ 0 };
	snprintf(ret_filter->name, sizeof(ret_filter->name), "%s", word);
	r = strchr(word, '/') ? find_by_path(word, ret_filter, ret_manifest)
			      : find_by_name(ret_filter, ret_manifest);
	ret_filter->has_processes = ret_manifest->has_processes;
	return r;
}

/* an option's name and "=" */
static bool begins_option(const struct run_manifest *manifest, const char *word)
{
	size_t n = strcspn(word, "=");

	for (unsigned int i = 0; i < manifest->n_options; i++)
		if (word[n] && strlen(manifest->options[i].key) == n &&
		    !strncmp(manifest->options[i].key, word, n))
			return true;
	return word[n] && manifest->n_options == 0;
}

/* with an "@" to come it may be of a password that has a comma: it is not shown */
static int check_secret(const struct run_filter *filter, const struct run_manifest *manifest,
			const char *word, const char *rest)
{
	if (begins_option(manifest, word) || (!strchr(word, '@') && !(rest && strchr(rest, '@'))))
		return 0;
	return cli_error(-1,
			 "%s %s: what stands behind a comma is none of its options: in a user or "
			 "password write a comma as %%2C",
			 kind_of(filter), filter->name);
}

int run_filter_parse(const char *spec, bool is_proxy, struct run_filter *ret_filter)
{
	_cleanup_free_ char *text = strdup(spec);
	struct run_manifest manifest;
	char *options, *rest = NULL, *word;
	int r;

	if (!text)
		return cli_error(-1, "cannot read --%s %s: %s", is_proxy ? "proxy" : "filter", spec,
				 strerror(ENOMEM));
	options = strchr(text, ':');
	if (options)
		*options++ = '\0';
	r = run_filter_find(text, is_proxy, ret_filter, &manifest);
	for (word = options ? strtok_r(options, ",", &rest) : NULL; word && !r;
	     word = strtok_r(NULL, ",", &rest)) {
		r = check_secret(ret_filter, &manifest, word, rest);
		r = r ? r : run_filter_add(ret_filter, &manifest, word);
	}
	return r ? r : run_filter_check(ret_filter, &manifest);
}

void run_filter_close(struct run_filter *filter)
{
	settings_close(&filter->settings);
	for (unsigned int i = 0; i < filter->n_options; i++) {
		filter->options[i].fd = close_fd(filter->options[i].fd);
		compiled_end(&filter->options[i].compiled);
	}
}
