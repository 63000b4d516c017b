/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static struct {
	const char *process;
	int level;
	bool journal;
} log_state = { .process = "sluice", .level = LOG_NOTICE };

void log_open(const char *process, int level)
{
	log_state.process = process;
	log_state.level = level;
	log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_linev(int level, const char *fmt, va_list args)
{
	char line[1024];
	int head, body;
	size_t n;

	if (level > log_state.level)
		return;
	head = log_state.journal ? snprintf(line, sizeof(line), "<%d>", level)
				 : snprintf(line, sizeof(line), "%s: ", log_state.process);
	n = (size_t)head;
	body = vsnprintf(line + n, sizeof(line) - n - 1, fmt, args);
	if (body < 0)
		return;
	n = MIN(n + (size_t)body, sizeof(line) - 2);
	line[n++] = '\n';
	/* one write per line, so that lines of several processes do not mix */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

void log_line(int level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_linev(level, fmt, args);
	va_end(args);
}
