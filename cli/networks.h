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
#include <stdint.h>

/** networks_visit() - enter each, call @fn in it, and come back. Return: 0 or a negative errno: one
 *  could not be entered, or we could not come back */
typedef void (*network_fn)(uint32_t inode, void *data);
int networks_visit(network_fn fn, void *data);

/** networks_own() - inode number of the one that we are in; 0: not known */
uint32_t networks_own(void);

/** networks_delete_table() - in the one that we are in. Return: 1 it was there, 0 not, or -errno */
int networks_delete_table(const char *table);
