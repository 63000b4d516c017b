/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Every network namespace of this machine
 *
 * For what is left when nobody remembers where it was put: those that a thread is
 * in, and those that have a name (ip-netns(8), Docker). One that only open sockets
 * keep alive cannot be found; it goes with them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct network {
	int fd; /* owned */
	uint32_t inode;
};

struct networks {
	struct network *all; /* the first is the one that we are in */
	size_t n, n_room;
	int error; /* of one that could not be opened or entered; 0: none */
};

/** networks_open() - those that are there now. Return: 0 or a negative errno: not even our own */
int networks_open(struct networks *networks);
void networks_close(struct networks *networks);

/** networks_visit() - call @fn in each of them, and come back */
typedef void (*network_fn)(const struct network *network, void *data);
void networks_visit(struct networks *networks, network_fn fn, void *data);

/** networks_delete_table() - in the one that we are in. Return: 1 it was there, 0 not, or -errno */
int networks_delete_table(const char *table);

#define _cleanup_networks_ __attribute__((cleanup(networks_close)))
