/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A connection to a proxy, with TLS or without
 *
 * All calls return at once. link_needs_sending() says that the socket should be polled for
 * writing, also when nobody has anything to write.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tls.h"

struct link {
	int fd;		 /* -1: none */
	struct tls *tls; /* NULL: none */
};

/** link_begin() - the socket is connected: what must be before the first byte. Return: 0, -EAGAIN,
 *  -EPROTO: tls_error() says why; another -errno is the socket's */
int link_begin(struct link *link);

/** link_peek() - what is to be read next. Return: bytes, 0 at the end, -EAGAIN, -errno */
ssize_t link_peek(struct link *link, void *bytes, size_t n);

/** link_take() - the next @n bytes, which link_peek() has given. Return: 0, -errno */
int link_take(struct link *link, size_t n);

/** link_read() - Return: as link_peek() */
ssize_t link_read(struct link *link, void *bytes, size_t n);

/** link_write() - Return: bytes that are written, -EAGAIN, -errno */
ssize_t link_write(struct link *link, const void *bytes, size_t n);

/** link_flush() - send what TLS has. Return: 0, -EAGAIN when some is left, -errno */
int link_flush(struct link *link);

bool link_needs_sending(struct link *link);

/** link_acknowledge() - at once what has come, for a proxy that sends its next words only then (Nagle) */
void link_acknowledge(const struct link *link);

/** link_end() - nothing more is written; what is there must be flushed */
int link_end(struct link *link);

/** link_close() - @is_reset: the peer gets a reset. It is none afterwards; a second time does
 *  nothing */
void link_close(struct link *link, bool is_reset);
