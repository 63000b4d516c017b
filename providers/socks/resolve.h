/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "endpoints.h"

#define RESOLVE_ERROR_BYTES 256U

/**
 * resolve() - the addresses of a proxy become endpoints; a name is looked up, which takes its time
 * @error: out, on failure: what is wrong, and what to do
 *
 * Return: 0, -EINVAL for a name that has no address, -E2BIG.
 */
int resolve(struct endpoints *endpoints, const struct upstream *upstream,
	    char error[RESOLVE_ERROR_BYTES]);
