/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/files.h"
#include "base/macros.h"
#include "cli/cli.h"

#define LINE_BYTES 1024

/* ---- the words ---- */

static int add(struct settings *settings, enum wire_settings_part part,
	       const struct wire_rule *rule)
{
	struct settings_rule *rules;

	if (settings->n == WIRE_SETTINGS_MAX)
		return cli_error(-1, "more than %u rules of one proxy", WIRE_SETTINGS_MAX);
	rules = reallocarray(settings->rules, settings->n + 1, sizeof(*rules));
	if (!rules)
		return cli_error(-1, "%s", strerror(ENOMEM));
	settings->rules = rules;
	rules[settings->n++] = (struct settings_rule){ part, *rule };
	return 0;
}

/* conditions; @rule has some already, of what an application is called */
static int read_rule(const char *value, struct wire_rule *rule)
{
	_cleanup_free_ char *text = strdup(value);

	return text ? settings_read_rule(text, rule) : cli_error(-1, "%s", strerror(ENOMEM));
}

static int take_rule(struct settings *settings, enum wire_settings_part part, const char *value)
{
	struct wire_rule rule = { 0 };

	return read_rule(value, &rule) ? -1 : add(settings, part, &rule);
}

/* what it is called, then conditions. Each program of it is a rule */
static int take_app(struct settings *settings, const struct applications *applications,
		    const char *value)
{
	_cleanup_free_ char *name = strndup(value, strcspn(value, ","));
	const char *rest = strchr(value, ',');
	struct wire_rule rule;
	int r;

	if (!name)
		return cli_error(-1, "%s", strerror(ENOMEM));
	if (strchr(name, '='))
		return take_rule(settings, WIRE_SETTINGS_APPS, value);
	for (unsigned int n = 0;; n++) {
		r = applications_find(applications, name, n, &rule);
		if (r == SETTINGS_E_OTHER)
			return 0;
		if (r || (rest && read_rule(rest + 1, &rule)) ||
		    add(settings, WIRE_SETTINGS_APPS, &rule))
			return -1;
	}
}

static const struct {
	const char *key;
	enum wire_settings_part part;
} keys[] = { { "App", WIRE_SETTINGS_APPS },
	     { "Include", WIRE_SETTINGS_INCLUDED },
	     { "Exclude", WIRE_SETTINGS_EXCLUDED } };

int settings_refuse(const char *key)
{
	const char *field = wire_settings_unsupported(key);

	return field ? cli_error(-1, "unsupported field %s: take it out: Sluice does not ignore it",
				 field)
		     : 0;
}

int settings_refuse_option(const char *word)
{
	_cleanup_free_ char *name = strndup(word, strcspn(word, "="));

	return name && !strncmp(name, "--", 2) ? settings_refuse(name) : 0;
}

/* of the command line, a configuration or a file alike */
static int take_key(struct settings *settings, const struct applications *applications,
		    const char *key, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].key, key))
			continue;
		return keys[i].part == WIRE_SETTINGS_APPS
			       ? take_app(settings, applications, value)
			       : take_rule(settings, keys[i].part, value);
	}
	return settings_refuse(key) ? -1 : SETTINGS_E_OTHER;
}

/* ---- the file ---- */

static char *trim(char *text)
{
	size_t n;

	text += strspn(text, " \t");
	n = strlen(text);
	while (n > 0 && strchr(" \t\r\n", text[n - 1]))
		text[--n] = '\0';
	return text;
}

static int read_line(char *line, int (*take)(void *data, char *key, char *value), void *data)
{
	char *key = trim(line), *value = strchr(key, '=');

	if (!*key || *key == '#')
		return 0;
	if (value)
		*value++ = '\0';
	return take(data, trim(key), value ? trim(value) : NULL);
}

int settings_read_lines(FILE *file, const char *path,
			int (*take)(void *data, char *key, char *value), void *data)
{
	char line[LINE_BYTES];
	unsigned int number = 0;
	int r = 0;

	while (!r && fgets(line, sizeof(line), file)) {
		number++;
		r = strchr(line, '\n') || feof(file)
			    ? read_line(line, take, data)
			    : cli_error(-1, "a line is longer than %d bytes, or is no text",
					LINE_BYTES - 2);
	}
	if (!r && ferror(file))
		return cli_error(-1, "cannot read %s: %s", path, strerror(errno));
	return r ? cli_error(-1, "%s:%u: correct this line", path, number) : 0;
}

struct reader {
	struct settings *settings;
	const struct applications *applications;
};

static int take_line(void *data, char *key, char *value)
{
	struct reader *reader = data;
	int r;

	if (!value)
		return cli_error(-1, "\"%s\" is not of the form App=, Include= or Exclude=", key);
	r = take_key(reader->settings, reader->applications, key, value);
	return r == SETTINGS_E_OTHER
		       ? cli_error(-1,
				   "there is no setting \"%s\"; there are App, Include, Exclude",
				   key)
		       : r;
}

/* behind those that are there. Return: 0; -1, and said why */
static int read_file(struct settings *settings, const struct applications *applications)
{
	int fd = files_open_regular(settings->path);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	struct reader reader = { settings, applications };
	int r;

	if (!file) {
		(void)cli_error(0, "cannot read %s: %s", settings->path,
				fd == -EINVAL ? "it is not a regular file"
				: fd < 0      ? strerror(-fd)
					      : strerror(errno));
		close_fd(fd);
		return -1;
	}
	r = fstat(fd, &settings->taken) < 0
		    ? cli_error(-1, "%s", strerror(errno))
		    : settings_read_lines(file, settings->path, take_line, &reader);
	fclose(file);
	return r;
}

static int take_file(struct settings *settings, const struct applications *applications,
		     const char *path)
{
	if (settings->path[0])
		return cli_error(-1, "Settings: one file of a proxy");
	if (!path[0] || strlen(path) >= sizeof(settings->path))
		return cli_error(-1, "Settings: \"%s\" is no path of 1 to %zu bytes", path,
				 sizeof(settings->path) - 1);
	memcpy(settings->path, path, strlen(path) + 1);
	return read_file(settings, applications);
}

int settings_take(struct settings *settings, const struct applications *applications,
		  const char *key, const char *value)
{
	int r;

	if (!strcmp(key, "Settings"))
		return take_file(settings, applications, value);
	r = take_key(settings, applications, key, value);
	if (r == 0 && settings->path[0])
		return cli_error(-1, "%s comes before Settings, which are looked at again", key);
	if (r == 0)
		settings->n_inline = settings->n;
	return r;
}

/* ---- changes ---- */

/* beside those in force, so that these stay when something is wrong */
static int read_again(const struct settings *settings, const struct applications *applications,
		      struct settings *ret_fresh)
{
	struct settings fresh = *settings;

	fresh.n = settings->n_inline;
	fresh.rules = NULL;
	if (fresh.n) {
		fresh.rules = reallocarray(NULL, fresh.n, sizeof(*fresh.rules));
		if (!fresh.rules)
			return cli_error(-1, "%s", strerror(ENOMEM));
		memcpy(fresh.rules, settings->rules, fresh.n * sizeof(*fresh.rules));
	}
	if (read_file(&fresh, applications)) {
		free(fresh.rules);
		return -1;
	}
	*ret_fresh = fresh;
	return 0;
}

/* one that is away for a moment is being replaced, and one that changes is being written */
bool settings_tick(struct settings *settings, const struct applications *applications,
		   const char *proxy)
{
	struct settings fresh;
	struct stat now;
	bool is_still;

	if (!settings->path[0] || stat(settings->path, &now) < 0)
		return false;
	is_still = files_is_same(&now, &settings->seen);
	settings->seen = now;
	if (!is_still || files_is_same(&now, &settings->taken))
		return false;
	settings->taken = now;
	if (read_again(settings, applications, &fresh)) {
		(void)cli_error(0, "proxy %s: the settings of before stay", proxy);
		return false;
	}
	free(settings->rules);
	*settings = fresh;
	return true;
}

int settings_write(struct settings *settings)
{
	const struct wire_settings_head head = { settings->generation + 1, settings->n };
	int r = 0;

	if (!settings->file)
		settings->file = memfd_create("sluice-settings", MFD_CLOEXEC) + 1;
	if (!settings->file)
		return -errno;
	for (unsigned int i = 0; i < settings->n && r == 0; i++)
		r = wire_settings_write(settings->file - 1, &head, i, settings->rules[i].part,
					&settings->rules[i].rule);
	if (r == 0)
		r = wire_settings_commit(settings->file - 1, &head);
	settings->generation = r == 0 ? head.generation : settings->generation;
	return r;
}

void settings_close(struct settings *settings)
{
	free(settings->rules);
	close_fd(settings->file - 1);
	*settings = (struct settings){ 0 };
}
