/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Records over a socket
 *
 * The thin shell around wire.h: one record per send(2) and recv(2), at most
 * one descriptor with it. Never blocks: a full channel is -EAGAIN, which is
 * back-pressure for the caller to handle.
 */

#include "wire/wire.h"

#define CHANNEL_BYTES (1 << 20) /* WIRE_TAIL_MAX must fit many times */

/** channel_pair() - a connected SOCK_SEQPACKET pair, close-on-exec; both owned by the caller */
int channel_pair(int *ret_a, int *ret_b);

/**
 * channel_limit() - what this end has sent and the other one has not read is limited
 * @bytes: CHANNEL_BYTES at first; the kernel adds its own records' size, and doubles it for that
 */
void channel_limit(int sock, int bytes);

/**
 * channel_send() - encode and send one record
 * @body:   the record's struct
 * @tail:   bytes behind the body, or NULL
 * @fd:     descriptor to send along, not consumed; -1: none
 *
 * Return: 0, -EAGAIN when the channel is full, -EPIPE when the peer is gone,
 *         another negative errno.
 */
int channel_send(int sock, const struct wire_channel *channel, uint16_t type, const void *body,
		 const void *tail, size_t n_tail, int fd);

/** channel_wait() - until something is there, or its end. Return: 0, or a negative errno */
int channel_wait(int sock);

/** channel_send_raw() - send bytes that were received before, unchanged */
int channel_send_raw(int sock, const uint8_t *bytes, size_t n_bytes, int fd);

/**
 * channel_recv() - receive and decode one record
 * @from:        the end that may send (see wire_decode())
 * @buffer:      at least WIRE_RECORD_MAX bytes; the message's tail points into it
 * @ret_message: out: on 0 only
 * @ret_bytes:   out: bytes received, on 0 only; may be NULL
 * @ret_fd:      out: descriptor that came along or -1, owned by the caller; on 0 only
 *
 * Return: 0, enum wire_error for a record that must be refused, -EAGAIN when
 *         nothing is there, -EPIPE at the end, another negative errno.
 */
int channel_recv(int sock, const struct wire_channel *channel, unsigned int from, uint8_t *buffer,
		 struct wire_message *ret_message, size_t *ret_bytes, int *ret_fd);
