/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Memory that runs out
 *
 * Linked into a test, alloc.c stands before malloc() and its kin for everything in the
 * process, the libraries included. It counts what is asked for between alloc_enter() and
 * alloc_leave(), which is what the tested code does and the test around it does not, and
 * refuses what it was told to.
 */

#include <stdbool.h>

/** alloc_fail() - from now on the @nth allocation (from 1) fails; @is_always: and all behind it */
void alloc_fail(unsigned int nth, bool is_always);
/** alloc_forgive() - from now on there is memory again */
void alloc_forgive(void);
/** alloc_has_failed() - has any since alloc_fail()? */
bool alloc_has_failed(void);
/** alloc_count() - how many there were since then */
unsigned int alloc_count(void);

/** alloc_spare_names() - strdup() does not fail meanwhile */
void alloc_spare_names(bool is_spared);

void alloc_enter(void);
void alloc_leave(void);
