/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: The queue that holds packets
 *
 * One NFQUEUE for each network namespace. Its descriptor is also kept by sluice-keeper: as long as one
 * copy is open the kernel goes on holding; a successor of ours says
 * queue_requeue() and is given every held packet again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sluice-abi.h"

#define QUEUE_LENGTH_MAX 16384U /* packets held at once; more fall to the fail class */
#define QUEUE_PACKET_MAX 65535U
#define QUEUE_BATCH 8U			      /* packets read at once */
#define QUEUE_MESSAGE_BYTES ((size_t)2 << 16) /* a packet and what is said of it */
#define QUEUE_BUFFER_BYTES (QUEUE_BATCH * QUEUE_MESSAGE_BYTES)

enum queue_verdict {
	QUEUE_ACCEPT,
	QUEUE_DROP,
	QUEUE_AGAIN, /* it meets the rules of its hook once more */
};

/** struct queue_packet - valid until the next queue_read() */
struct queue_packet {
	uint64_t
		id; /* its place in plane.h's table of namespaces, and the kernel's number below it */
	uint64_t netns;
	uint32_t mark;
	uint32_t ifindex; /* out for outgoing, in for incoming */
	bool is_inbound;
	bool is_segmented;    /* GSO: the kernel will cut it into several packets */
	bool is_unchecked;    /* nobody has compared its checksum yet */
	bool is_cut;	      /* longer than what is copied of it */
	uint32_t length;      /* of all of it */
	const uint8_t *bytes; /* from the IP header; NULL: no packet that could be read */
	size_t n_bytes;
};

/** queue_prepare() - room for many packets, and none is an error that is lost. Return: 0 */
int queue_prepare(int fd);
/** queue_bind() - a free queue number of the socket's namespace. Return: 0 or a negative errno. */
int queue_bind(int fd, uint16_t *ret_num);

/**
 * queue_read() - packets that are there
 * @buffer: QUEUE_BUFFER_BYTES, which they point into
 *
 * Return: how many; fewer than QUEUE_BATCH: behind them the queue was empty. Or
 *         -EAGAIN: it was empty at once; or another negative errno.
 */
int queue_read(int fd, uint8_t *buffer, struct queue_packet ret_packets[QUEUE_BATCH]);

/** queue_answer() - let @id go on or drop it; its mark becomes @mark */
int queue_answer(int fd, uint16_t num, uint32_t id, enum queue_verdict verdict, uint32_t mark);

/** queue_replace() - let @id go on as another packet: @bytes, from the IP header, checksums and all */
int queue_replace(int fd, uint16_t num, uint32_t id, uint32_t mark, const uint8_t *bytes,
		  size_t n_bytes);

/* ---- the queue of packets: what packet filters are asked about ---- */

#define PACKETS_LENGTH_MAX SL_PACKET_PLACES /* in one namespace; more are the fail class's */
#define PACKETS_BATCH 64U		    /* read at once */
#define PACKETS_COPY_LEAST 128U
#define PACKETS_COPY_MAX 32000U	 /* bytes that are shown of one */
#define PACKETS_ABOUT_BYTES 512U /* what is said of one */

/** struct packet_answer - @id: of struct queue_packet */
struct packet_answer {
	uint64_t id;
	uint16_t crowd; /* whose place it had: sl_crowd_of() */
	enum queue_verdict verdict;
};

/** queue_bind_packets() - as queue_bind(), with a number that other instances are not likely to have */
int queue_bind_packets(int fd, const char *instance, uint16_t *ret_num);

/** queue_set_packets() - @n_copy: bytes of each; @is_closed: drop those for which there is no place;
 *  @is_live: packets come already, so that no answer is waited for */
int queue_set_packets(int fd, uint16_t num, uint32_t n_copy, bool is_closed, bool is_live);

/**
 * queue_read_packets() - as queue_read(), PACKETS_BATCH at most
 * @buffer: PACKETS_BATCH * (@n_copy + PACKETS_ABOUT_BYTES) bytes
 */
int queue_read_packets(int fd, uint32_t n_copy, uint8_t *buffer,
		       struct queue_packet ret_packets[PACKETS_BATCH]);

/** queue_answer_packets() - PACKETS_BATCH of one queue at most. Return: 0 or -errno: none of them */
int queue_answer_packets(int fd, uint16_t num, const struct packet_answer *answers, unsigned int n);

/** queue_requeue() - have every held packet delivered again, to us */
int queue_requeue(int fd, uint16_t num);
