/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluice, and one of its allocations fails
 *
 *	REPORT=FILE NTH=N sluice ARGUMENT...
 *
 * N 0: none fails. FILE gets the lines of inject.c: "memory ALLOCATIONS" and, if it came to
 * that, "failed memory N 12". What it starts has all the memory that it wants.
 */

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/alloc.h"

int sluice_main(int argc, char **argv); /* main() of cli, by that name */

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

static void report(const char *path, unsigned long nth)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return;
	if (alloc_has_failed())
		fprintf(file, "failed memory %lu %d\n", nth, ENOMEM);
	fprintf(file, "memory %u\n", alloc_count());
	(void)fclose(file);
}

int main(int argc, char **argv)
{
	const char *path = getenv("REPORT"), *nth = getenv("NTH");
	unsigned long n = nth ? strtoul(nth, NULL, 10) : 0;
	int status;

	if (!path) {
		fprintf(stderr, "usage: REPORT=FILE NTH=N sluice ARGUMENT...\n");
		return 2;
	}
	alloc_fail((unsigned int)n, false);
	alloc_enter();
	status = sluice_main(argc, argv);
	alloc_leave();
	report(path, n);
	return status;
}
