/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Results that instances share
 *
 * Beside "current" a result has a name that says of which file, as it was then, and of which
 * compiler it is. Who needs the same one links it.
 */

#include <stdbool.h>
#include <sys/stat.h>

/**
 * stamp_link() - "current" in @folder becomes a result of another instance
 * @source: the file that would be compiled
 *
 * Return: was there one?
 */
bool stamp_link(const struct stat *source, const char *compiler, int folder);

/** stamp_write() - others may link "current" in @folder; the names of before go */
void stamp_write(const struct stat *source, const char *compiler, int folder);
