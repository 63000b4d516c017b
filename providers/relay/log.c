/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"

void log_write(struct log *log, uint64_t id, uint64_t bytes_out, uint64_t bytes_in,
	       const char *ended, const char *by)
{
	char who[32] = "", line[256];
	int n;

	if (log->fd < 0)
		return;
	if (by)
		snprintf(who, sizeof(who), ",\"by\":\"%s\"", by);
	n = snprintf(line, sizeof(line),
		     "{\"id\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"bytes_in\":%" PRIu64
		     ",\"ended\":\"%s\"%s}\n",
		     id, bytes_out, bytes_in, ended, who);
	if (write(log->fd, line, (size_t)n) == n || log->has_failed)
		return;
	log->has_failed = true;
	sluice_proxy_log(log->proxy, LOG_WARNING, "its log cannot be written: %s", strerror(errno));
}
