/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: libidn2, once a name needs it
 *
 * Few lists have a name that is not ASCII, and the library with its tables is a quarter
 * of what blocklist-compile takes beside the list. These stand for its functions.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <idn2.h>

#define LIBRARY "libidn2.so.0"

/* without it the list would lack names, and nobody knew */
static void find(const char *name, void *ret_function, size_t n)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* the same one each time */
	void *found = library ? dlsym(library, name) : NULL;

	if (!found) {
		fprintf(stderr, "it has internationalised names: %s\n", dlerror());
		exit(1);
	}
	memcpy(ret_function, &found, n);
}

int idn2_to_ascii_8z(const char *input, char **output, int flags)
{
	static int (*function)(const char *, char **, int);

	if (!function)
		find("idn2_to_ascii_8z", &function, sizeof(function));
	return function(input, output, flags);
}

void idn2_free(void *name)
{
	static void (*function)(void *);

	if (!function)
		find("idn2_free", &function, sizeof(function));
	function(name);
}
