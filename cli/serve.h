/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The configuration of `sluice serve`
 *
 *	[Instance]
 *	Id=system               name of the instance
 *	Cgroup=/                what it governs, below the cgroup v2 mount
 *	Flows=/var/log/flows    optional: flow records are appended there
 *	Older=leave             or end: connections that are there already
 *
 *	[Filter blocklist]      one section a filter, in the order they are asked
 *	Exec=/path              optional: instead of the provider of that name
 *	Fail=open               or closed
 *	list=/etc/sluice/list   the filter's own options, as in `sluice run --filter`
 */

#include "cli/instance.h"

#define SERVE_CONFIG "/etc/sluice/sluice.conf"

/**
 * serve_read_config() - read @path into @instance
 *
 * Says on stderr what is wrong, with file and line. Files of options are open
 * afterwards; instance_end() closes them.
 *
 * Return: 0 or -1.
 */
int serve_read_config(const char *path, struct instance *instance);
