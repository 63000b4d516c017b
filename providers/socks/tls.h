/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: TLS to a proxy: bytes in, bytes out, no descriptor
 *
 *	from the peer ──▶ tls_input() ──▶ tls_peek(), tls_read()
 *	to the peer ◀── tls_output() ◀── tls_write(), tls_end()
 *
 * The peer's certificate is checked against the system's authorities, or those of a file
 * alone, and against the host of the proxy's URL. TLS 1.2 and 1.3. An end is one only if the
 * peer has said so (close_notify): who cuts the connection cannot make what was read look whole.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TLS_ERROR_BYTES 128U
#define TLS_READ_MAX 16384U /* the most that one call gives, and the least that makes no pieces */

struct tls_trust; /* whose word counts */
struct tls;	  /* one connection, the client's side */

/**
 * tls_trust_new() - @ca: an open file of certificates in PEM, not consumed; -1: the system's
 * @ret_trust: out: owned by the caller, on 0 only; tls_trust_free() ends it
 * @error: out, on failure: what is wrong, in words
 *
 * Return: 0, -EINVAL for a file that has none, -ENOMEM, or -errno of pread(2).
 */
int tls_trust_new(int ca, struct tls_trust **ret_trust, char error[TLS_ERROR_BYTES]);

/** tls_trust_free() - connections of it may go on; NULL is fine */
void tls_trust_free(struct tls_trust *trust);

/** tls_new() - @host: name or numeric address. Return: the caller's, tls_free() ends it; NULL:
 *  no memory */
struct tls *tls_new(struct tls_trust *trust, const char *host);

void tls_free(struct tls *tls);

/** tls_input() - what has come from the peer; no more is wanted while tls_peek() gives something.
 *  Return: 0 or -ENOMEM */
int tls_input(struct tls *tls, const void *bytes, size_t n);

/** tls_output() - what is to be sent to the peer. Return: valid until the next call of any other */
const uint8_t *tls_output(struct tls *tls, size_t *ret_n);

/** tls_sent() - the first @n of it are */
void tls_sent(struct tls *tls, size_t n);

/** tls_handshake() - Return: 0 when it is done, -EAGAIN, -EPROTO: tls_error() says why */
int tls_handshake(struct tls *tls);

/** tls_peek() - what is to be read next, and stays. Return: as tls_read() */
ssize_t tls_peek(struct tls *tls, void *bytes, size_t n);

/** tls_read() - Return: bytes; 0: the peer has ended; -EAGAIN, -EPROTO */
ssize_t tls_read(struct tls *tls, void *bytes, size_t n);

/** tls_write() - all of it, into memory: call it when tls_output() has nothing. Return: 0, -EPROTO */
int tls_write(struct tls *tls, const void *bytes, size_t n);

/** tls_end() - nothing more is written; close_notify */
void tls_end(struct tls *tls);

/** tls_error() - why it was -EPROTO, for people: "has no certificate that is good here: …" */
const char *tls_error(const struct tls *tls);
