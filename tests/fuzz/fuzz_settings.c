/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Settings of a proxy: as sluiced reads them, and as a user writes them
 *
 * The input is the file that the command line and sluiced share, and it is the lines of a file of
 * `--settings`. What is read is a rule that can be, of a part that there is.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/settings.h"
#include "record-target.h"
#include "wire/rule.h"

/* ---- what the lines are read with ---- */

int cli_error(int status, const char *fmt, ...)
{
	char text[4096];
	va_list args;

	va_start(args, fmt);
	require(vsnprintf(text, sizeof(text), fmt, args) >= 0);
	va_end(args);
	return status;
}

/* a program, whatever it is called, as nothing is looked for here */
int applications_find(const struct applications *applications, const char *name, unsigned int n,
		      struct wire_rule *ret_rule)
{
	*ret_rule = (struct wire_rule){ .exe = "/bin/true" };
	return n < 2 ? 0 : SETTINGS_E_OTHER;
}

static int take(void *data, char *key, char *value)
{
	struct settings *settings = data;

	if (!value || !strcmp(key, "Settings"))
		return -1;
	return settings_take(settings, NULL, key, value) == 0 ? 0 : -1;
}

static void read_lines(const uint8_t *data, size_t size)
{
	FILE *file = size ? fmemopen((void *)data, size, "r") : NULL;
	struct settings settings = { 0 };

	if (!file)
		return;
	(void)settings_read_lines(file, "settings", take, &settings);
	for (unsigned int i = 0; i < settings.n; i++)
		require(!wire_rule_problem(&settings.rules[i].rule));
	fclose(file);
	settings_close(&settings);
}

/* ---- what sluiced reads ---- */

static void read_file(int fd)
{
	struct wire_settings_head head;
	enum wire_settings_part part;
	struct wire_rule rule;

	if (wire_settings_open(fd, &head) < 0)
		return;
	require(head.generation > 0 && head.n <= WIRE_SETTINGS_MAX);
	require(wire_settings_is_current(fd, &head));
	for (unsigned int i = 0; i < head.n; i++) {
		if (wire_settings_read(fd, &head, i, &part, &rule) < 0)
			return;
		require(part < _WIRE_SETTINGS_N);
		(void)wire_rule_problem(&rule);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	read_file(fd);
	close(fd);
	read_lines(data, size);
	return 0;
}
