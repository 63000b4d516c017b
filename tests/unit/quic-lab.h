/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: QUIC Initial packets, made by hand
 */

#include "sniff-lab.h"

#define QUIC_V1 0x00000001U
#define QUIC_V2 0x6b3343cfU

/** what is zero is as clients do it */
struct lab_packet {
	uint32_t version;     /* 0: version 1 */
	const char *dcid;     /* hex, in the header; NULL: 8394c8f03e515708 */
	const char *key_dcid; /* hex, the source of the keys; NULL: that of the header */
	const char *token;    /* hex */
	uint64_t number;
	unsigned int n_number; /* bytes; 0: four */
	size_t n_datagram;     /* padded up to there; 0: 1200; 1: not padded */
	uint8_t flip;	       /* bits of the first byte, before protection */
};

/** put_packet() - an Initial behind what the datagram has; padding is in its frames */
void put_packet(struct buffer *datagram, const struct lab_packet *packet,
		const struct buffer *frames);

/** put_crypto() - a CRYPTO frame with @n bytes of @hello from @from on */
void put_crypto(struct buffer *frames, const struct buffer *hello, size_t from, size_t n);

/** put_long_packet() - one of another type, with content nobody reads */
void put_long_packet(struct buffer *datagram, uint32_t version, uint8_t type, size_t n_content);

/** struct quic_lab - what a test works with; the tests are one after the other, this is large */
struct quic_lab {
	struct sniff_quic quic;
	struct buffer hello;
	struct buffer frames;
	struct buffer datagram;
};
extern struct quic_lab lab;

/** lab_hello() - make lab.hello */
void lab_hello(const char *name, size_t n_padding);
/** lab_push() - lab.datagram, in a copy of its exact size */
struct sniff lab_push(void);
/** lab_push_frames() - lab.frames in a datagram of their own */
struct sniff lab_push_frames(const struct lab_packet *packet);
/** lab_push_piece() - a part of lab.hello in a datagram of its own */
struct sniff lab_push_piece(const struct lab_packet *packet, size_t from, size_t n);
void lab_expect_quic(struct sniff sniff, enum sniff_reason reason, const char *name);
