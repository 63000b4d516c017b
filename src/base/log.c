/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static struct {
	const char *process;
	int level;
	bool journal;
	unsigned int n_lost;
} log_state = { .process = "sluice", .level = LOG_NOTICE };

void log_open(const char *process, int level)
{
	log_state.process = process;
	log_state.level = level;
	log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

static bool can_write(void)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&pfd, 1, 0) == 1;
}

void log_linev(int level, const char *fmt, va_list args)
{
	char line[1024];
	int head, body;
	size_t n;

	if (level > log_state.level)
		return;
	if (!can_write()) {
		log_state.n_lost++;
		return;
	}
	head = log_state.journal ? snprintf(line, sizeof(line), "<%d>", level)
				 : snprintf(line, sizeof(line), "%s: ", log_state.process);
	n = (size_t)head;
	if (log_state.n_lost)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "(%u lines lost) ",
				      log_state.n_lost);
	log_state.n_lost = 0;
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

void log_clean(char *to, size_t n, const char *from)
{
	size_t i = 0;

	for (; from[i] && i + 1 < n; i++) {
		unsigned char c = (unsigned char)from[i];
		bool is_c1 = i > 0 && (unsigned char)from[i - 1] == 0xc2 && c >= 0x80 && c < 0xa0;

		to[i] = c < 0x20 || c == 0x7f || is_c1 ? '?' : (char)c;
	}
	to[i] = '\0';
}
