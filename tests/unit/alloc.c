/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc.h"
#include "base/macros.h"

static struct alloc_counts own, *counts = &own;

static struct {
	unsigned int depth, n_blocks;
	bool are_names_spared;
} process;

struct alloc_counts *alloc_share(const char *path)
{
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	int flags = MAP_SHARED | (path ? 0 : MAP_ANONYMOUS);
	void *shared = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, flags, fd, 0);

	close_fd(fd);
	if (shared == MAP_FAILED)
		return NULL;
	counts = shared;
	return counts;
}

void alloc_fail(unsigned int nth, bool is_always)
{
	*counts = (struct alloc_counts){ .nth = nth, .is_always = is_always };
	process.depth = 0; /* a test that failed did not leave */
}

void alloc_forgive(void)
{
	counts->nth = 0;
}

bool alloc_has_failed(void)
{
	return counts->has_failed;
}

unsigned int alloc_count(void)
{
	return counts->n;
}

unsigned int alloc_blocks(void)
{
	return process.n_blocks;
}

void alloc_spare_names(bool is_spared)
{
	process.are_names_spared = is_spared;
}

void alloc_enter(void)
{
	process.depth++;
}

void alloc_leave(void)
{
	process.depth--;
}

void __sanitizer_print_stack_trace(void) __attribute__((weak));

/* SLUICE_ALLOC_TRACE: where, for who looks for a reason */
bool alloc_is_refused(void)
{
	uint32_t nth, n;

	if (!process.depth) /* the sanitizer's own, before its time: nothing else may be looked at */
		return false;
	nth = counts->nth;
	n = __atomic_add_fetch(&counts->n, 1, __ATOMIC_RELAXED);
	if (!nth || n < nth || (n > nth && !counts->is_always))
		return false;
	counts->has_failed = true;
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
BEHIND(void, free, (void *old));

#define CALL(name, ...)                                                                            \
	(__interceptor_##name ? __interceptor_##name(__VA_ARGS__) : __libc_##name(__VA_ARGS__))

static void *made(void *block)
{
	process.n_blocks += block != NULL;
	return block;
}

void *malloc(size_t n)
{
	return alloc_is_refused() ? NULL : made(CALL(malloc, n));
}

void *calloc(size_t n, size_t size)
{
	return alloc_is_refused() ? NULL : made(CALL(calloc, n, size));
}

void free(void *old)
{
	process.n_blocks -= old != NULL;
	CALL(free, old);
}

void *realloc(void *old, size_t n)
{
	void *block;

	if (alloc_is_refused())
		return NULL;
	block = CALL(realloc, old, n);
	if (!old)
		return made(block);
	process.n_blocks -= !block && !n; /* it was freed */
	return block;
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
	return alloc_is_refused() ? NULL : made(CALL(memalign, alignment, n));
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
	char *copy = process.are_names_spared ? made(CALL(malloc, n + 1)) : malloc(n + 1);

	if (!copy)
		return NULL;
	copy[n] = '\0';
	return memcpy(copy, text, n);
}

char *strdup(const char *text)
{
	return strndup(text, strlen(text));
}
