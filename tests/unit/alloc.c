/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

static struct {
	unsigned int depth, n_left, n;
	bool is_always, has_failed, are_names_spared;
} script;

void alloc_fail(unsigned int nth, bool is_always)
{
	script.n_left = nth;
	script.is_always = is_always;
	script.has_failed = false;
	script.n = 0;
	script.depth = 0; /* a test that failed did not leave */
}

void alloc_forgive(void)
{
	script.n_left = 0;
}

bool alloc_has_failed(void)
{
	return script.has_failed;
}

unsigned int alloc_count(void)
{
	return script.n;
}

void alloc_spare_names(bool is_spared)
{
	script.are_names_spared = is_spared;
}

void alloc_enter(void)
{
	script.depth++;
}

void alloc_leave(void)
{
	script.depth--;
}

void __sanitizer_print_stack_trace(void) __attribute__((weak));

/* SLUICE_ALLOC_TRACE: where, for who looks for a reason */
static bool refuse(void)
{
	script.n += script.depth > 0;
	if (!script.depth || !script.n_left)
		return false;
	if (script.n_left > 1) {
		script.n_left--;
		return false;
	}
	script.n_left = script.is_always;
	script.has_failed = true;
	if (__sanitizer_print_stack_trace && getenv("SLUICE_ALLOC_TRACE"))
		__sanitizer_print_stack_trace();
	errno = ENOMEM;
	return true;
}

/*
 * The allocators behind: AddressSanitizer's, which has these names for who stands before it as
 * we do, or else glibc's.
 */
#define BEHIND(type, name, arguments)                                                              \
	type __interceptor_##name arguments __attribute__((weak));                                 \
	type __libc_##name arguments

BEHIND(void *, malloc, (size_t n));
BEHIND(void *, calloc, (size_t n, size_t size));
BEHIND(void *, realloc, (void *old, size_t n));
BEHIND(void *, memalign, (size_t alignment, size_t n));

#define CALL(name, ...)                                                                            \
	(__interceptor_##name ? __interceptor_##name(__VA_ARGS__) : __libc_##name(__VA_ARGS__))

void *malloc(size_t n)
{
	return refuse() ? NULL : CALL(malloc, n);
}

void *calloc(size_t n, size_t size)
{
	return refuse() ? NULL : CALL(calloc, n, size);
}

void *realloc(void *old, size_t n)
{
	return refuse() ? NULL : CALL(realloc, old, n);
}

void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

void *memalign(size_t alignment, size_t n)
{
	return refuse() ? NULL : CALL(memalign, alignment, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
	return memalign(alignment, n);
}

int posix_memalign(void **ret, size_t alignment, size_t n)
{
	void *p = memalign(alignment, n);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

/* the sanitizer's own do not come by here */
char *strndup(const char *text, size_t n_max)
{
	size_t n = strnlen(text, n_max);
	char *copy = script.are_names_spared ? CALL(malloc, n + 1) : malloc(n + 1);

	if (!copy)
		return NULL;
	copy[n] = '\0';
	return memcpy(copy, text, n);
}

char *strdup(const char *text)
{
	return strndup(text, strlen(text));
}
