/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/** DOC: What is held of flows that filters look at; of test-netfilter */

#include <stdbool.h>

#include "base/macros.h"
#include "scene.h"

/** peek_check() - calls @check for each thing that is so, or is not */
typedef void (*peek_check_fn)(bool is_ok, const char *format, ...) _printf_(2, 3);
void peek_check(struct lab *lab, const struct lab_ends *ends, peek_check_fn check);
