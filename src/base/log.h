/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Log
 *
 * One line per event, to stderr, with the syslog priority prefix "<N>" when
 * stderr is the journal (JOURNAL_STREAM is set). Only processes log; modules
 * of the core return errors and let the process say them once.
 *
 * A reader who does not read stops nobody: a line that would have to wait is
 * lost, and the next one says how many were.
 */

#include <stdarg.h>
#include <syslog.h>

#include "base/macros.h"

/** log_open() - name this process in its log lines; @level is the last priority shown */
void log_open(const char *process, int level);

void log_line(int level, const char *fmt, ...) _printf_(2, 3);
void log_linev(int level, const char *fmt, va_list args) _printf_(2, 0);

/**
 * log_clean() - foreign text, as it may be shown to people: one line, nothing a terminal obeys
 * @n: bytes of @to; what does not fit is cut
 */
void log_clean(char *to, size_t n, const char *from);

#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
