/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: One flow explained
 *
 * `sluice why` and `sluice explain` get the same object (type Why of
 * control/io.sluice.Control.varlink) and show it on the same screen.
 */

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/client.h"

/** why_print() - for people, or as a line of JSON. Return: the exit status, by the verdict */
int why_print(struct json_object *why, bool is_json, bool has_happened);

/** struct program - an application as the kernel side sees it */
struct program {
	pid_t pid; /* 0: no process, only the file */
	char exe[512], command[256], cgroup[512];
	uint64_t exe_inode, exe_ctime_ns, cgroup_id;
	uint32_t netns; /* 0: that of the instance */
	uint32_t exe_device; /* the kernel's dev_t */
	uint32_t uid, gid;
	bool is_governed;
};

/**
 * program_of_pid(), program_of_exe(), program_of_unit() - read it
 * @governed: directory of the instance's cgroup
 *
 * A unit's program is that of its first process. A file would be run in the
 * instance's cgroup.
 *
 * Return: 0 or the exit status; @error says why.
 */
int program_of_pid(pid_t pid, const char *governed, struct program *ret_program,
		   struct client_error *error);
int program_of_exe(const char *path, uid_t uid, const char *governed, struct program *ret_program,
		   struct client_error *error);
int program_of_unit(const char *unit, const char *governed, struct program *ret_program,
		    struct client_error *error);
struct json_object *program_json(const struct program *program);

/** struct route - how packets to an address leave */
struct route {
	uint32_t ifindex; /* 0: there is no route */
	char src[46];
};

#define ROUTE_E_NONE 1

/**
 * route_find() - in the namespace of the caller
 * @ifindex: the interface that it is to leave by, 0: any
 *
 * Return: 0, ROUTE_E_NONE, or a negative errno.
 */
int route_find(const char *address, uint32_t ifindex, struct route *ret_route);
