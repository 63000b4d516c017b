/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A child that enters a profile
 *
 * There is no way out of one: each trial is a process of its own.
 */

#include <stdbool.h>

#include "base/sandbox.h"

struct sandbox_trial {
	enum sandbox_profile profile;
	bool is_under_keeper;
};

/** sandbox_in_child() - @run gets @data, in a child; 0 is success. Return: its wait status */
int sandbox_in_child(int (*run)(const void *data), const void *data);

/** sandbox_try_enter() - says why not, when it fails. Return: as sandbox_enter() */
int sandbox_try_enter(const struct sandbox_trial *trial);
