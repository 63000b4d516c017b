/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What a cgroup's path says
 *
 * Service managers and container engines name their cgroups in known ways;
 * from the path alone follow the systemd unit and the container.
 *
 * The unit is the deepest component that is a unit, so for a program of a
 * user's session the user manager's unit, not user@1000.service. Components
 * inside a container are not looked at: who owns a container chooses them. A
 * user chooses the units of the own user manager as well; where it matters
 * who a unit belongs to, the whole path must be looked at.
 *
 * Unit names are as systemctl shows them: with their \x2d escapes. Machine
 * names are as machinectl shows them: without.
 *
 * This module is pure.
 */

#define CGROUP_UNIT_BYTES 256	  /* systemd's limit, 255, and NUL */
#define CGROUP_CONTAINER_BYTES 72 /* as in wire_flow_new; ids have 64 */

struct cgroup_names {
	char unit[CGROUP_UNIT_BYTES];		/* empty: in no unit */
	char container[CGROUP_CONTAINER_BYTES]; /* empty: in no container */
};

/**
 * cgroup_read_path() - unit and container of a cgroup
 * @path:      below the cgroup root: "/user.slice/…"
 * @ret_names: out: always set; an id longer than 64 is cut to 64
 */
void cgroup_read_path(const char *path, struct cgroup_names *ret_names);
