/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: The :authority of the first request of HTTP/2 without TLS
 *
 * Frames are walked up to the first HEADERS and its CONTINUATIONs. Their block
 * is given to nghttp2's inflater once all of it is there. The inflater gets
 * its memory from a fixed arena on our stack: the function stays pure, and a
 * block that wants more than any real one is too large.
 */

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/macros.h"
#include "names/sniff-read.h"

#define FRAME_MAX 16384U /* until the server allows more: RFC 9113 4.2 */
#define TABLE_MAX 65536U /* a client that waits for SETTINGS may have been allowed more than 4096 */
#define ARENA_BYTES 262144U /* that table, and the fields of a block of SNIFF_TCP_MAX */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum frame_flag { FLAG_ACK = 0x1, FLAG_END_HEADERS = 0x4, FLAG_PADDED = 0x8, FLAG_PRIORITY = 0x20 };

struct frame {
	uint8_t type;
	uint8_t flags;
	uint32_t stream;
	struct cursor payload;
};

/* what was read of the fields */
struct fields {
	bool has_authority, has_host, is_past_pseudo;
	int authority_result, host_result;
	char authority[SNIFF_NAME_BYTES];
	char host[SNIFF_NAME_BYTES];
};

/* memory that is handed out from the bottom up; each piece knows its size */
struct arena {
	size_t used;
	uint8_t bytes[ARENA_BYTES] __attribute__((aligned(16)));
};

#define PIECE_HEADER 16U

static void *arena_malloc(size_t n, void *user_data)
{
	struct arena *arena = user_data;
	uint8_t *piece = arena->bytes + arena->used;

	if (n > ARENA_BYTES || ARENA_BYTES - arena->used < PIECE_HEADER + ((n + 15) & ~(size_t)15))
		return NULL;
	memcpy(piece, &n, sizeof(n));
	arena->used += PIECE_HEADER + ((n + 15) & ~(size_t)15);
	return piece + PIECE_HEADER;
}

/* all of it goes when the block was read */
static void arena_free(void *piece, void *user_data)
{
}

static void *arena_calloc(size_t n, size_t size, void *user_data)
{
	void *piece;

	if (size && n > ARENA_BYTES / size)
		return NULL;
	piece = arena_malloc(n * size, user_data);
	return piece ? memset(piece, 0, n * size) : NULL;
}

static void *arena_realloc(void *old, size_t n, void *user_data)
{
	void *piece = arena_malloc(n, user_data);
	size_t n_old = 0;

	if (old)
		memcpy(&n_old, (uint8_t *)old - PIECE_HEADER, sizeof(n_old));
	if (piece && old)
		memcpy(piece, old, MIN(n, n_old));
	return piece;
}

/* at most one of each, names in lower case, :authority before what is no pseudo-header */
static int on_field(struct fields *fields, const nghttp2_nv *nv)
{
	bool is_pseudo = nv->namelen > 0 && nv->name[0] == ':';
	bool *has = NULL;

	for (size_t i = 0; i < nv->namelen; i++)
		if (nv->name[i] >= 'A' && nv->name[i] <= 'Z')
			return SNIFF_E_MESSAGE;
	if (is_pseudo && fields->is_past_pseudo)
		return SNIFF_E_MESSAGE;
	fields->is_past_pseudo = !is_pseudo;
	if (nv->namelen == 10 && memcmp(nv->name, ":authority", 10) == 0) {
		has = &fields->has_authority;
		fields->authority_result =
			authority_read(nv->value, nv->valuelen, NULL, fields->authority);
	} else if (nv->namelen == 4 && memcmp(nv->name, "host", 4) == 0) {
		has = &fields->has_host;
		fields->host_result = authority_read(nv->value, nv->valuelen, NULL, fields->host);
	}
	if (has && *has)
		return SNIFF_E_TWO_NAMES;
	if (has)
		*has = true;
	return 0;
}

/* Host counts when there is no :authority, and may not contradict it: RFC 9113 8.3.1 */
static int judge(const struct fields *fields, struct sniff *sniff)
{
	int r = fields->has_authority ? fields->authority_result : fields->host_result;

	if (!fields->has_authority && !fields->has_host)
		return SNIFF_E_NO_NAME;
	if (fields->has_authority && fields->has_host &&
	    (fields->authority_result != fields->host_result ||
	     (r == 0 && strcmp(fields->authority, fields->host) != 0)))
		return SNIFF_E_TWO_NAMES;
	memcpy(sniff->name, fields->has_authority ? fields->authority : fields->host,
	       sizeof(sniff->name));
	return r;
}

static int inflate(nghttp2_hd_inflater *inflater, struct cursor block, bool is_last,
		   struct fields *fields)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0, r;
		ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, block.at,
						   cursor_left(&block), is_last);

		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? SNIFF_E_TOO_LARGE : SNIFF_E_COMPRESSED;
		block.at += n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			r = on_field(fields, &nv);
			if (r)
				return r;
		}
		if ((flags & NGHTTP2_HD_INFLATE_FINAL) || (n == 0 && !cursor_left(&block)))
			return 0;
	}
}

/* a whole frame. Return: 0 with @at behind it, SNIFF_E_MORE or SNIFF_E_FRAMING */
static int read_frame(struct cursor *at, struct frame *ret_frame)
{
	struct cursor after = *at;
	uint64_t n, type, flags, stream;
	struct frame frame;

	if (!cursor_uint(&after, 3, &n) || !cursor_uint(&after, 1, &type) ||
	    !cursor_uint(&after, 1, &flags) || !cursor_uint(&after, 4, &stream))
		return SNIFF_E_MORE;
	if (n > FRAME_MAX)
		return SNIFF_E_FRAMING;
	frame = (struct frame){ (uint8_t)type, (uint8_t)flags, (uint32_t)stream & 0x7fffffffU };
	if (!cursor_take(&after, n, &frame.payload))
		return SNIFF_E_MORE;
	*ret_frame = frame;
	*at = after;
	return 0;
}

/* the fragment of a HEADERS frame, without padding and priority: RFC 9113 6.2 */
static int strip_headers(struct frame *frame)
{
	struct cursor *payload = &frame->payload;
	uint64_t n_padding = 0, priority;

	if ((frame->flags & FLAG_PADDED) && !cursor_uint(payload, 1, &n_padding))
		return SNIFF_E_FRAMING;
	if ((frame->flags & FLAG_PRIORITY) && !cursor_uint(payload, 5, &priority))
		return SNIFF_E_FRAMING;
	if (n_padding > cursor_left(payload))
		return SNIFF_E_FRAMING;
	payload->end -= n_padding;
	return 0;
}

/* @at: behind HEADERS. A CONTINUATION of the same stream must follow until one ends the block */
static int check_block(struct cursor at, const struct frame *headers)
{
	struct frame frame = *headers;

	while (!(frame.flags & FLAG_END_HEADERS)) {
		int r = read_frame(&at, &frame);

		if (r)
			return r;
		if (frame.type != NGHTTP2_CONTINUATION || frame.stream != headers->stream)
			return SNIFF_E_FRAMING;
	}
	return 0;
}

static int read_block(struct cursor at, struct frame frame, struct sniff *sniff)
{
	struct arena arena;
	nghttp2_mem mem = { &arena, arena_malloc, arena_free, arena_calloc, arena_realloc };
	struct fields fields = { 0 };
	nghttp2_hd_inflater *inflater;
	int r;

	arena.used = 0;
	if (nghttp2_hd_inflate_new2(&inflater, &mem) ||
	    nghttp2_hd_inflate_change_table_size(inflater, TABLE_MAX))
		return SNIFF_E_TOO_LARGE;
	for (;;) {
		bool is_last = frame.flags & FLAG_END_HEADERS;

		r = inflate(inflater, frame.payload, is_last, &fields);
		if (r || is_last)
			break;
		r = read_frame(&at, &frame);
		if (r)
			break;
	}
	nghttp2_hd_inflate_del(inflater);
	return r ? r : judge(&fields, sniff);
}

static int read_headers(struct cursor at, struct frame *frame, struct sniff *sniff)
{
	int r;

	if (frame->stream % 2 == 0 || strip_headers(frame))
		return SNIFF_E_FRAMING;
	r = check_block(at, frame);
	return r ? r : read_block(at, *frame, sniff);
}

/* those that a client may send before its first request; unknown ones are ignored */
static bool is_allowed_before(const struct frame *frame)
{
	return frame->type > NGHTTP2_CONTINUATION || frame->type == NGHTTP2_SETTINGS ||
	       frame->type == NGHTTP2_WINDOW_UPDATE || frame->type == NGHTTP2_PRIORITY ||
	       frame->type == NGHTTP2_PING || frame->type == NGHTTP2_GOAWAY;
}

static bool is_first_settings(const struct frame *frame)
{
	return frame->type == NGHTTP2_SETTINGS && frame->stream == 0 &&
	       !(frame->flags & FLAG_ACK) && cursor_left(&frame->payload) % 6 == 0;
}

int h2c_read(const uint8_t *bytes, size_t n_bytes, struct sniff *sniff)
{
	struct cursor at = { bytes, bytes + n_bytes };
	size_t n_preface = MIN(n_bytes, sizeof(preface) - 1);
	struct frame frame;
	bool is_first = true;
	int r;

	if (memcmp(bytes, preface, n_preface) != 0)
		return SNIFF_E_UNKNOWN;
	if (n_preface < sizeof(preface) - 1)
		return SNIFF_E_MORE;
	at.at += n_preface;
	for (;; is_first = false) {
		r = read_frame(&at, &frame);
		if (r)
			return r;
		if (is_first && !is_first_settings(&frame))
			return SNIFF_E_FRAMING;
		if (frame.type == NGHTTP2_HEADERS)
			return read_headers(at, &frame, sniff);
		if (!is_allowed_before(&frame))
			return SNIFF_E_FRAMING;
	}
}
