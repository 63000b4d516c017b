/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Ending the connections of a cgroup (NETLINK_SOCK_DIAG)
 *
 * TCP, and UDP that is connected, of the network namespace of a socket. A socket is of the
 * cgroup in which it was made. What stays on this machine is left alone, by whichever of its
 * addresses: nobody judges it.
 */

#include <stdbool.h>
#include <stdint.h>

/** diag_wanted_fn - is a socket of this cgroup, by its id, to be ended? */
typedef bool (*diag_wanted_fn)(uint64_t cgroup, const void *data);

/**
 * diag_end_all() - as the other side would end them, but that a blocked call gets ECONNABORTED
 * @routes:  a NETLINK_ROUTE socket of the same namespace as @sock
 * @n_ended: is counted up
 *
 * Return: 0, or a negative errno: some may go on. -EOPNOTSUPP: this kernel cannot.
 */
int diag_end_all(int sock, int routes, diag_wanted_fn is_wanted, const void *data,
		 unsigned int *n_ended);
