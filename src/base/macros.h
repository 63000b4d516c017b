/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Ownership in local variables
 *
 * A local that owns something says so (`_cleanup_close_ int fd = -1`) and is
 * always initialised. What leaves the function says TAKE_FD() or TAKE_PTR().
 */

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *taken_ = &(fd);                                                               \
		int value_ = *taken_;                                                              \
		*taken_ = -1;                                                                      \
		value_;                                                                            \
	})

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *taken_ = &(p);                                                      \
		__typeof__(p) value_ = *taken_;                                                    \
		*taken_ = NULL;                                                                    \
		value_;                                                                            \
	})

static inline int close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
	return -1;
}

static inline void cleanup_close(int *fd)
{
	*fd = close_fd(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_free_ _cleanup_(cleanup_free)
