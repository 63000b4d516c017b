/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: One allocation of one program fails
 *
 * Linked, with alloc.c, to what sluice, sluice-keeper or sluice-names is made of. PROGRAM.memory
 * beside the program is a struct alloc_counts: which one fails, and what came of it, of
 * all processes of this program one after the other, and of what they fork until it
 * executes something. Without that file nothing fails.
 */

#include <pwd.h>
#include <stdio.h>

#include "base/macros.h"
#include "tests/unit/alloc.h"

static struct alloc_counts *counts;

/* glibc (2.36) crashes in it when it gets no memory */
struct passwd *__real_getpwnam(const char *name);
struct passwd *__wrap_getpwnam(const char *name);
struct passwd *__wrap_getpwnam(const char *name)
{
	struct passwd *entry;

	alloc_leave();
	entry = __real_getpwnam(name);
	alloc_enter();
	return entry;
}

static void __attribute__((constructor)) begin(void)
{
	char exe[512] = "", path[600];

	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0)
		return;
	snprintf(path, sizeof(path), "%s.memory", exe);
	counts = alloc_share(path);
	if (counts)
		alloc_enter();
}

static void __attribute__((destructor)) end(void)
{
	if (counts)
		counts->n_blocks = alloc_blocks();
}
