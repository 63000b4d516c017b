/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The Initial packets of a QUIC client
 *
 * Their keys come from the destination connection ID of the first one. It
 * stays the source of the keys when the server has answered and the ID in the
 * packets is another one; but after a Retry the client begins again with keys
 * from the ID the server gave it. So a packet is tried with the keys we have
 * and then with those of its own ID; when these fit, whatever was collected
 * before is of no interest to the server any more, nor to us. With a version
 * the client was told to take it is the same.
 *
 * A packet that cannot be read is dropped by the server, and so it is here:
 * it can neither name a host nor break a flow. Only when there is nothing else,
 * in the first datagram of a flow, it is the answer. What can be read and must
 * not be sent is BROKEN: servers need not agree about it.
 */

#include <string.h>

#include "base/macros.h"
#include "names/quic-keys.h"
#include "names/sniff-read.h"

#define PACKETS_MAX 64U		  /* of a datagram; 65535 bytes are 54 datagrams of 1200 */
#define DATAGRAM_MIN 1200U	  /* with an Initial of a client: RFC 9000 14.1 */
#define DCID_MIN 8U		  /* of a client's choice: RFC 9000 7.2 */
#define NUMBER_BYTES_MAX 4U	  /* of a packet */
#define NUMBER_LIMIT (1ULL << 62) /* RFC 9000 12.3 */

#define BIT_LONG 0x80U
#define BIT_FIXED 0x40U
#define MASK_FIRST 0x0fU    /* the bits of a long header that are protected */
#define MASK_RESERVED 0x0cU /* of them */
#define MASK_NUMBER 0x03U

/* counted from the version's type_initial */
enum packet_type { PACKET_INITIAL, PACKET_0RTT, PACKET_HANDSHAKE, PACKET_RETRY };

struct packet {
	const struct quic_version *version;
	const uint8_t *bytes;
	enum packet_type type;
	struct cursor dcid;
	bool has_token;
	struct cursor protected; /* packet number and payload */
};

/* an opened packet: header and payload one after the other, as in the datagram */
struct opened {
	uint8_t first;
	size_t n_header;
	size_t n_payload;
	uint8_t bytes[SNIFF_UDP_MAX];
};

static bool read_token(struct cursor *cursor, struct packet *packet)
{
	struct cursor token;
	uint64_t n;

	if (packet->type != PACKET_INITIAL)
		return true;
	if (!cursor_varint(cursor, &n) || !cursor_take(cursor, n, &token))
		return false;
	packet->has_token = n > 0;
	return true;
}

/* Return: 0 with @at behind it, or what the bytes are when a flow begins with them */
static int next_packet(struct cursor *at, struct packet *ret_packet)
{
	struct packet packet = { .bytes = at->at };
	struct cursor after = *at, scid;
	uint64_t first, number, n;

	if (!cursor_uint(&after, 1, &first) || !(first & BIT_LONG) ||
	    !cursor_uint(&after, 4, &number))
		return SNIFF_E_UNKNOWN;
	packet.version = quic_version_find((uint32_t)number);
	if (!packet.version)
		return SNIFF_E_VERSION;
	packet.type = (enum packet_type)((first >> 4) - packet.version->type_initial) & 3;
	if (!cursor_vector(&after, 1, &packet.dcid) || !cursor_vector(&after, 1, &scid) ||
	    cursor_left(&packet.dcid) > SNIFF_CID_MAX || cursor_left(&scid) > SNIFF_CID_MAX ||
	    packet.type == PACKET_RETRY || !read_token(&after, &packet) ||
	    !cursor_varint(&after, &n) || !cursor_take(&after, n, &packet.protected))
		return SNIFF_E_FRAMING;
	*ret_packet = packet;
	*at = after;
	return 0;
}

/* RFC 9000 A.3 */
static uint64_t full_number(uint64_t next, uint64_t truncated, size_t n_bytes)
{
	uint64_t window = 1ULL << 8 * n_bytes;
	uint64_t number = (next & ~(window - 1)) | truncated;

	if (number + window / 2 <= next && number < NUMBER_LIMIT - window)
		return number + window;
	if (number > next + window / 2 && number >= window)
		return number - window;
	return number;
}

static bool open_with(const struct packet *packet, const uint8_t *dcid, size_t n_dcid,
		      uint64_t *next_number, struct opened *opened)
{
	const uint8_t *protected = packet->protected.at;
	size_t n_protected = cursor_left(&packet->protected), n_number;
	uint8_t mask[5], *number_bytes;
	uint64_t number = 0;
	struct quic_keys keys;

	quic_client_keys(packet->version, dcid, n_dcid, &keys);
	quic_header_mask(&keys, protected + NUMBER_BYTES_MAX, mask);
	opened->first = packet->bytes[0] ^ (mask[0] & MASK_FIRST);
	n_number = (opened->first & MASK_NUMBER) + 1;
	opened->n_header = (size_t)(protected - packet->bytes) + n_number;
	memcpy(opened->bytes, packet->bytes, opened->n_header);
	opened->bytes[0] = opened->first;
	number_bytes = opened->bytes + opened->n_header - n_number;
	for (size_t i = 0; i < n_number; i++) {
		number_bytes[i] ^= mask[1 + i];
		number = number << 8 | number_bytes[i];
	}
	number = full_number(*next_number, number, n_number);
	opened->n_payload = n_protected - n_number - QUIC_TAG_BYTES;
	if (!quic_open(&keys, number, opened->bytes, opened->n_header, protected + n_number,
		       n_protected - n_number, opened->bytes + opened->n_header))
		return false;
	*next_number = MAX(*next_number, number + 1);
	return true;
}

/* a client that begins, or begins again */
static void begin(struct sniff_quic *quic, const struct cursor *dcid, uint64_t next_number)
{
	quic->is_readable = true;
	quic->n_dcid = (uint8_t)cursor_left(dcid);
	memcpy(quic->dcid, dcid->at, quic->n_dcid);
	quic->next_number = next_number;
	quic->n_prefix = 0;
	memset(quic->is_known, 0, sizeof(quic->is_known));
}

static bool open_packet(struct sniff_quic *quic, const struct packet *packet, struct opened *opened)
{
	size_t n_dcid = cursor_left(&packet->dcid);
	uint64_t next_number = 0;

	if (cursor_left(&packet->protected) < NUMBER_BYTES_MAX + QUIC_SAMPLE_BYTES)
		return false;
	if (quic->is_readable &&
	    open_with(packet, quic->dcid, quic->n_dcid, &quic->next_number, opened))
		return true;
	if ((n_dcid < DCID_MIN && !packet->has_token) ||
	    !open_with(packet, packet->dcid.at, n_dcid, &next_number, opened))
		return false;
	begin(quic, &packet->dcid, next_number);
	return true;
}

static int read_initial(struct sniff_quic *quic, const struct packet *packet, size_t n_datagram,
			struct sniff *sniff)
{
	struct opened opened;

	if (!open_packet(quic, packet, &opened))
		return SNIFF_E_UNREADABLE;
	/* without the fixed bit only who was here before, and was told: RFC 9287 3.1 */
	if (n_datagram < DATAGRAM_MIN || (opened.first & MASK_RESERVED) ||
	    (!(opened.first & BIT_FIXED) && !packet->has_token))
		return SNIFF_E_FRAMING;
	return quic_read_frames(quic, opened.bytes + opened.n_header, opened.n_payload, sniff);
}

int quic_read(struct sniff_quic *quic, const uint8_t *datagram, size_t n_bytes, struct sniff *sniff)
{
	struct cursor at = { datagram, datagram + MIN(n_bytes, SNIFF_UDP_MAX) };
	struct packet packet;
	size_t n_packets = 0;

	while (cursor_left(&at) || n_packets == 0) {
		bool is_all = n_packets == 0 && !quic->is_readable;
		int r = next_packet(&at, &packet);

		if (r)
			return is_all ? r : SNIFF_E_MORE;
		if (++n_packets > PACKETS_MAX)
			return SNIFF_E_FRAMING;
		if (packet.type != PACKET_INITIAL)
			continue;
		r = read_initial(quic, &packet, n_bytes, sniff);
		if (r != SNIFF_E_MORE && (r != SNIFF_E_UNREADABLE || is_all))
			return r;
	}
	return SNIFF_E_MORE;
}
