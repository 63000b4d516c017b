/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/** link_watch_open() - from now on. Return: a descriptor of the caller's, or a negative errno */
int link_watch_open(void);

/**
 * link_watch_has_changed() - did a link or an address of this network namespace change?
 * @fd: of link_watch_open(); a negative one never sees anything
 */
bool link_watch_has_changed(int fd);
