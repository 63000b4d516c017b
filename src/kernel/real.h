/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: The real plane, shared by install.c, repair.c and real.c alone */

#include "kernel/nft.h"
#include "kernel/plane-ops.h"

enum plane_map {
	MAP_SOCKS,
	MAP_PROCS,
	MAP_CGROUPS,
	MAP_HELD,
	MAP_FLOWS,
	MAP_RESOLVING,
	MAP_MEMORY,
	MAP_CONFIG,
	MAP_EVENTS,
	MAP_BINDS, /* this one and the next: the programs' alone, pinned for those of another build */
	MAP_LISTENER,
	_MAP_N,
};

struct ring_buffer;

struct real {
	struct plane plane;
	char instance[32];
	char cgroup[512];
	char bpffs[256];
	int maps[_MAP_N];
	struct nft_plan nft;
	bool is_stricter; /* closed only because a predecessor was, who is replaced */
	bool is_renewed;  /* its programs were another build's */
	uint32_t portid; /* of our last transaction */
	uint64_t digest; /* of the table after it; 0: unknown */
	struct ring_buffer *ring;
	plane_event_fn event_fn;
	void *event_data;
	unsigned int n_events; /* of this round */
};

/* install.c */

/** install_begin() - every descriptor is "none" */
void install_begin(struct real *real);
/** install_or_adopt() - @kept_fd is consumed; on failure nothing new is left in the kernel */
int install_or_adopt(struct real *real, int kept_fd, const char **ret_error);
void install_remove(struct real *real);
/** install_relax() - as plane_relax() */
int install_relax(struct real *real);
/** install_close() - descriptors only */
void install_close(struct real *real);

int install_pin(const struct real *real, const char *kind, const char *name, int fd);
int install_open_pin(const struct real *real, const char *kind, const char *name);

/* renew.c */

/** renew() - our programs in the place of another build's. Return: 0; -EPROTO: not over its maps */
int renew(struct real *real, const char **ret_error);
/** renew_stamp() - the programs in force are ours */
int renew_stamp(struct real *real);

/* repair.c */

/** repair_table() - the nft table put in place as a whole, and noted for repair() */
int repair_table(struct real *real);
/** repair_was_touched() - as plane_was_touched() */
bool repair_was_touched(struct real *real);
/** repair() - as plane_repair() */
int repair(struct real *real);
