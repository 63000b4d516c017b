/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: A line of JSON for each flow that was opened and has ended */

#include <stdbool.h>
#include <stdint.h>

#include <sluice/proxy.h>

struct log {
	struct sluice_proxy *proxy; /* is told once, if it cannot be written */
	int fd;			    /* -1: none */
	bool has_failed;
};

/** log_write() - @by: who has reset it; NULL: nobody */
void log_write(struct log *log, uint64_t id, uint64_t bytes_out, uint64_t bytes_in,
	       const char *ended, const char *by);
