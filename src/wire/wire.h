/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Fixed records over SOCK_SEQPACKET
 *
 * Every channel between two of our processes carries records: an 8-byte
 * header, a fixed body, and for a few records a tail of bytes.
 *
 *	0       2       4               8
 *	| type  | size  | reserved = 0  | body … | tail …
 *
 * All numbers are little-endian, fields follow each other without padding.
 * `size` is the size of the body, so that a reader can tell a record of a
 * newer peer from a cut one. At most one descriptor travels with a record.
 *
 * A channel is one table (provider-records.h, names-records.h,
 * canary-records.h, keeper-records.h). The table makes the C structs, the codec and its checks,
 * the fuzz dictionary and the table in sluice-wire(7). Decoding refuses: an
 * unknown type, a wrong size, a tail where none belongs, a string without end
 * or with bytes behind its end, a number above its field's limit.
 *
 * This module is pure: no descriptor, no clock, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_HEADER_BYTES 8U
#define WIRE_TAIL_MAX 32768U	/* a chunk of payload; SO_SNDBUF must hold several */
#define WIRE_BODY_MAX 4096U	/* no record is larger; checked by a test */
#define WIRE_RECORD_MAX (WIRE_HEADER_BYTES + WIRE_BODY_MAX + WIRE_TAIL_MAX)
#define WIRE_FROM_ANY 2U /* decode: the record may have been relayed */

enum wire_kind { WIRE_U8, WIRE_U16, WIRE_U32, WIRE_U64, WIRE_ADDR, WIRE_STR };

/** enum wire_error - why a record was refused; positive, the caller drops the peer or the record */
enum wire_error {
	_WIRE_E_SUCCESS,
	WIRE_E_SHORT,	/* fewer bytes than the header or the body need */
	WIRE_E_TYPE,	/* type unknown on this channel, or not for this direction */
	WIRE_E_SIZE,	/* body size differs from the table's */
	WIRE_E_TAIL,	/* tail where the record has none, or longer than WIRE_TAIL_MAX */
	WIRE_E_STRING,	/* string not ended, or bytes behind its end */
	WIRE_E_RANGE,	/* number above the field's limit */
	WIRE_E_SPACE,	/* encode: the buffer is too small */
	_WIRE_E_N,
};

struct wire_field {
	const char *name;
	const char *doc;
	uint16_t offset; /* in the C struct */
	uint16_t bytes;	 /* on the wire */
	uint8_t kind;	 /* enum wire_kind */
	uint32_t limit;	 /* largest number accepted; 0: no limit */
};

struct wire_record {
	const char *name;
	const char *doc;
	const struct wire_field *fields;
	uint16_t n_fields;
	uint16_t type;
	uint16_t body_bytes;   /* on the wire */
	uint16_t struct_bytes; /* in memory */
	uint8_t from;	       /* 0 or 1: which end of the channel may send it */
	uint8_t has_tail;
};

/** struct wire_channel - one table; @ends names the two ends for messages and man pages */
struct wire_channel {
	const char *name;
	const char *ends[2];
	const struct wire_record *records;
	size_t n_records;
};

/** struct wire_message - a decoded record; @tail points into the received bytes */
struct wire_message {
	const struct wire_record *record;
	const uint8_t *tail;
	size_t n_tail;
	union {
		uint8_t bytes[WIRE_BODY_MAX];
		max_align_t align;
	} body; /* the record's C struct: read it with WIRE_BODY() */
};

#define WIRE_BODY(message, type) ((const type *)(const void *)(message)->body.bytes)

extern const struct wire_channel wire_provider_channel; /* ends: 0 daemon, 1 provider */
extern const struct wire_channel wire_names_channel;	/* ends: 0 daemon, 1 names */
extern const struct wire_channel wire_canary_channel;	/* ends: 0 daemon, 1 canary */
extern const struct wire_channel wire_keeper_channel;	/* ends: 0 keeper, 1 daemon or run */

const struct wire_record *wire_find(const struct wire_channel *channel, uint16_t type);

/**
 * wire_decode() - check and read one record
 * @from:        the end it came from: a record of the other end is WIRE_E_TYPE
 * @ret_message: out: written on 0 only; its tail points into @bytes
 *
 * Return: 0 or enum wire_error.
 */
int wire_decode(const struct wire_channel *channel, unsigned int from, const uint8_t *bytes,
		size_t n_bytes, struct wire_message *ret_message);

/**
 * wire_encode() - write one record, without its tail
 * @body:      the record's C struct; strings are cut to their field and always ended
 * @ret_bytes: out: bytes written, header included; set on 0 only
 *
 * Return: 0, WIRE_E_TYPE, WIRE_E_RANGE or WIRE_E_SPACE.
 */
int wire_encode(const struct wire_channel *channel, uint16_t type, const void *body,
		uint8_t *buffer, size_t n_buffer, size_t *ret_bytes);

/** wire_strerror() - a phrase for a message to a person; never NULL */
const char *wire_strerror(int error);
