/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The server_name of a TLS ClientHello
 *
 * The handshake message may be cut into records of any size, which need not
 * be those of TCP. It is put together on the stack once all of it is there.
 * It is checked from end to end before its name is believed: what servers
 * would refuse, or could read otherwise, is BROKEN.
 *
 * QUIC carries the same message without records: client_hello_read().
 */

#include <string.h>

#include "base/macros.h"
#include "names/sniff-read.h"

#define RECORD_HEADER 5U
#define RECORD_MAX 16384U /* RFC 8446 5.1 */
#define MESSAGE_HEADER 4U

enum { CONTENT_HANDSHAKE = 22, MAJOR_VERSION = 3, CLIENT_HELLO = 1 };
enum { NAME_TYPE_HOST = 0 };
enum { ECH_OUTER = 0, ECH_INNER = 1 };

enum extension_type {
	EXTENSION_SERVER_NAME = 0,
	EXTENSION_ECH = 0xfe0d, /* RFC 9849 */
};

/* a walk over records: how much of the message was met */
struct message {
	uint32_t n;
	uint32_t n_wanted; /* its header, then all of it */
	uint8_t bytes[SNIFF_HELLO_MAX];
};

/* a list of one host name; RFC 6066 3 knows no other type and forbids two of one */
static int read_server_name(struct cursor data, struct sniff *sniff)
{
	struct cursor list, name;
	uint64_t type;

	if (!cursor_vector(&data, 2, &list) || cursor_left(&data) ||
	    !cursor_uint(&list, 1, &type) || !cursor_vector(&list, 2, &name) ||
	    type != NAME_TYPE_HOST)
		return SNIFF_E_MESSAGE;
	if (cursor_left(&list))
		return SNIFF_E_TWO_NAMES;
	return host_read(name.at, cursor_left(&name), sniff->name);
}

/* an inner hello travels in the open behind the server that has decrypted it: its name is true */
static int read_ech(struct cursor data, struct sniff *sniff)
{
	uint64_t type;

	if (!cursor_uint(&data, 1, &type) || type > ECH_INNER)
		return SNIFF_E_MESSAGE;
	sniff->is_outer = type == ECH_OUTER;
	return 0;
}

static int read_extensions(struct cursor extensions, struct sniff *sniff)
{
	int found = SNIFF_E_NO_NAME;
	bool has_name = false, has_ech = false;

	while (cursor_left(&extensions)) {
		struct cursor data;
		uint64_t type;

		if (!cursor_uint(&extensions, 2, &type) || !cursor_vector(&extensions, 2, &data))
			return SNIFF_E_MESSAGE;
		if ((type == EXTENSION_SERVER_NAME && has_name) ||
		    (type == EXTENSION_ECH && has_ech))
			return SNIFF_E_TWO_NAMES;
		if (type == EXTENSION_SERVER_NAME) {
			has_name = true;
			found = read_server_name(data, sniff);
		} else if (type == EXTENSION_ECH) {
			has_ech = true;
			if (read_ech(data, sniff))
				return SNIFF_E_MESSAGE;
		}
	}
	return found;
}

int client_hello_read(const uint8_t *body, size_t n_body, struct sniff *sniff)
{
	struct cursor cursor = { body, body + n_body };
	struct cursor random, session, ciphers, compressions, extensions;
	uint64_t version;

	if (!cursor_uint(&cursor, 2, &version) || !cursor_take(&cursor, 32, &random) ||
	    !cursor_vector(&cursor, 1, &session) || !cursor_vector(&cursor, 2, &ciphers) ||
	    !cursor_vector(&cursor, 1, &compressions))
		return SNIFF_E_MESSAGE;
	if (version >> 8 != MAJOR_VERSION || cursor_left(&session) > 32 ||
	    cursor_left(&ciphers) < 2 || cursor_left(&ciphers) % 2 || !cursor_left(&compressions))
		return SNIFF_E_MESSAGE;
	if (!cursor_left(&cursor))
		return SNIFF_E_NO_NAME; /* from before there were extensions */
	if (!cursor_vector(&cursor, 2, &extensions) || cursor_left(&cursor))
		return SNIFF_E_MESSAGE;
	return read_extensions(extensions, sniff);
}

/* what a record holds of the message; the header of the message is judged as soon as it is there */
static int add_fragment(struct message *message, const uint8_t *bytes, size_t n)
{
	while (n && message->n < message->n_wanted) {
		size_t n_piece = MIN(n, message->n_wanted - message->n);

		memcpy(message->bytes + message->n, bytes, n_piece);
		message->n += (uint32_t)n_piece;
		bytes += n_piece;
		n -= n_piece;
		if (message->bytes[0] != CLIENT_HELLO)
			return SNIFF_E_MESSAGE;
		if (message->n != MESSAGE_HEADER || message->n_wanted != MESSAGE_HEADER)
			continue;
		message->n_wanted += (uint32_t)message->bytes[1] << 16 |
				     (uint32_t)message->bytes[2] << 8 | message->bytes[3];
		if (message->n_wanted > SNIFF_HELLO_MAX)
			return SNIFF_E_TOO_LARGE;
	}
	return 0;
}

/* @at: a record begins there. Return: 0 with @ret_end behind it, as far as that is known */
static int read_record(const uint8_t *bytes, size_t n_bytes, size_t at, struct message *message,
		       size_t *ret_end)
{
	size_t n_record;

	if (bytes[at] != CONTENT_HANDSHAKE || (n_bytes - at > 1 && bytes[at + 1] != MAJOR_VERSION))
		return SNIFF_E_FRAMING;
	*ret_end = n_bytes;
	if (n_bytes - at < RECORD_HEADER)
		return 0;
	n_record = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
	if (n_record == 0 || n_record > RECORD_MAX)
		return SNIFF_E_FRAMING;
	*ret_end = at + RECORD_HEADER + n_record;
	return add_fragment(message, bytes + at + RECORD_HEADER,
			    MIN(n_record, n_bytes - at - RECORD_HEADER));
}

int tls_read(const uint8_t *bytes, size_t n_bytes, struct sniff *sniff)
{
	struct message message;
	size_t at = 0;
	int r;

	if (bytes[0] != CONTENT_HANDSHAKE || (n_bytes > 1 && bytes[1] != MAJOR_VERSION))
		return SNIFF_E_UNKNOWN;
	message.n = 0;
	message.n_wanted = MESSAGE_HEADER;
	while (at < n_bytes && message.n < message.n_wanted) {
		r = read_record(bytes, n_bytes, at, &message, &at);
		if (r)
			return r;
	}
	if (message.n == message.n_wanted)
		return client_hello_read(message.bytes + MESSAGE_HEADER, message.n - MESSAGE_HEADER,
					 sniff);
	/* each byte of a header may be a wrong one; those of the message are not judged one by one */
	if (at > n_bytes && message.n_wanted > MESSAGE_HEADER)
		sniff->needs =
			(uint32_t)(n_bytes + MIN(at - n_bytes, message.n_wanted - message.n));
	return SNIFF_E_MORE;
}
