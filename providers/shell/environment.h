/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A flow as environment variables
 *
 * Names, paths and command lines come from elsewhere: a program is called as its
 * user likes. A script that forgets its quotes must not run what is in them, so
 * that every byte which could mean something to a shell comes as %XX: nothing but
 * letters, digits and . _ : / @ + , = - is as it was, and no value begins with -.
 */

#include <sluice/filter.h>

/** environment_new() - Return: "name=value" each, and NULL; or NULL without memory */
char **environment_new(const struct sluice_flow *flow);

/** environment_free() - NULL is fine */
void environment_free(char **environment);
