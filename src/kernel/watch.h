/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Other owners of nftables
 *
 * `nft flush ruleset`, which a reload of many firewalls begins with, takes our
 * table away too. The kernel announces every change of its rules, so it is
 * known at once. What it announces is not read further than whose table it is
 * and who did it: what is left of ours is looked at afterwards (nft_read_state()).
 */

#include <stdbool.h>
#include <stdint.h>

#define WATCH_NOBODY 0U /* the kernel's port number: no transaction of a program has it */

/** watch_prepare() - can be read from now on when rules of the socket's namespace have changed.
 *  Return: 0 or a negative errno. */
int watch_prepare(int fd);

/**
 * watch_read() - take what was announced; never blocks
 * @portid: of our own transactions, which do not count
 *
 * Return: did somebody else touch @table? Also true when announcements were lost.
 */
bool watch_read(int fd, const char *table, uint32_t portid);
