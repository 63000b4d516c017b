/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <string.h>

#include "base/macros.h"
#include "wire/wire.h"

static const char *const error_names[] = {
	[_WIRE_E_SUCCESS] = "fine",
	[WIRE_E_SHORT] = "shorter than its type needs",
	[WIRE_E_TYPE] = "type unknown or not for this direction",
	[WIRE_E_SIZE] = "body size differs from this version's",
	[WIRE_E_TAIL] = "unexpected or oversized tail",
	[WIRE_E_STRING] = "string not ended",
	[WIRE_E_RANGE] = "number above its limit",
	[WIRE_E_SPACE] = "buffer too small",
};
_Static_assert(ARRAY_SIZE(error_names) == _WIRE_E_N, "error_names");

const char *wire_strerror(int error)
{
	if (error < 0 || error >= _WIRE_E_N)
		return "unknown error";
	return error_names[error];
}

static uint64_t load_le(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

static void store_le(uint8_t *p, size_t n, uint64_t v)
{
	for (size_t i = 0; i < n; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint64_t load_native(const uint8_t *p, uint8_t kind)
{
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch ((enum wire_kind)kind) {
	case WIRE_U8:
		return *p;
	case WIRE_U16:
		memcpy(&u16, p, sizeof(u16));
		return u16;
	case WIRE_U32:
		memcpy(&u32, p, sizeof(u32));
		return u32;
	case WIRE_U64:
		memcpy(&u64, p, sizeof(u64));
		return u64;
	case WIRE_ADDR:
	case WIRE_STR:
		break;
	}
	return 0;
}

static void store_native(uint8_t *p, uint8_t kind, uint64_t v)
{
	uint16_t u16 = (uint16_t)v;
	uint32_t u32 = (uint32_t)v;

	switch ((enum wire_kind)kind) {
	case WIRE_U8:
		*p = (uint8_t)v;
		break;
	case WIRE_U16:
		memcpy(p, &u16, sizeof(u16));
		break;
	case WIRE_U32:
		memcpy(p, &u32, sizeof(u32));
		break;
	case WIRE_U64:
		memcpy(p, &v, sizeof(v));
		break;
	case WIRE_ADDR:
	case WIRE_STR:
		break;
	}
}

const struct wire_record *wire_find(const struct wire_channel *channel, uint16_t type)
{
	for (size_t i = 0; i < channel->n_records; i++)
		if (channel->records[i].type == type)
			return &channel->records[i];
	return NULL;
}

static int decode_string(const uint8_t *src, size_t n, uint8_t *dst)
{
	size_t len = strnlen((const char *)src, n);

	if (len == n)
		return WIRE_E_STRING;
	/* each byte behind it is like the one before, and the first is 0 */
	if (memcmp(src + len, src + len + 1, n - len - 1) != 0)
		return WIRE_E_STRING;
	memcpy(dst, src, n);
	return 0;
}

static int decode_field(const struct wire_field *field, const uint8_t *src, uint8_t *body)
{
	uint8_t *dst = body + field->offset;
	uint64_t v;

	if (field->kind == WIRE_STR)
		return decode_string(src, field->bytes, dst);
	if (field->kind == WIRE_ADDR) {
		memcpy(dst, src, field->bytes);
		return 0;
	}
	v = load_le(src, field->bytes);
	if (field->limit && v > field->limit)
		return WIRE_E_RANGE;
	store_native(dst, field->kind, v);
	return 0;
}

static int check_shape(const struct wire_record *record, unsigned int from, size_t body_bytes,
		       size_t n_bytes)
{
	size_t end;

	if (!record || (from != WIRE_FROM_ANY && record->from != from))
		return WIRE_E_TYPE;
	if (body_bytes != record->body_bytes)
		return WIRE_E_SIZE;
	end = WIRE_HEADER_BYTES + body_bytes;
	if (n_bytes < end)
		return WIRE_E_SHORT;
	if (n_bytes > end + (record->has_tail ? WIRE_TAIL_MAX : 0))
		return WIRE_E_TAIL;
	return 0;
}

int wire_decode(const struct wire_channel *channel, unsigned int from, const uint8_t *bytes,
		size_t n_bytes, struct wire_message *ret_message)
{
	const struct wire_record *record;
	struct wire_message message;
	const uint8_t *src;
	int r;

	if (n_bytes < WIRE_HEADER_BYTES)
		return WIRE_E_SHORT;
	record = wire_find(channel, (uint16_t)load_le(bytes, 2));
	r = check_shape(record, from, load_le(bytes + 2, 2), n_bytes);
	if (r)
		return r;
	if (load_le(bytes + 4, 4) != 0)
		return WIRE_E_RANGE;

	memset(message.body.bytes, 0, record->struct_bytes);
	src = bytes + WIRE_HEADER_BYTES;
	for (size_t i = 0; i < record->n_fields; i++) {
		r = decode_field(&record->fields[i], src, message.body.bytes);
		if (r)
			return r;
		src += record->fields[i].bytes;
	}
	ret_message->record = record;
	ret_message->tail = src;
	ret_message->n_tail = (size_t)(bytes + n_bytes - src);
	memcpy(ret_message->body.bytes, message.body.bytes, record->struct_bytes);
	return 0;
}

static int encode_field(const struct wire_field *field, const uint8_t *body, uint8_t *dst)
{
	const uint8_t *src = body + field->offset;
	uint64_t v;
	size_t len;

	if (field->kind == WIRE_STR) {
		len = strnlen((const char *)src, field->bytes - 1U);
		memcpy(dst, src, len);
		memset(dst + len, 0, field->bytes - len);
		return 0;
	}
	if (field->kind == WIRE_ADDR) {
		memcpy(dst, src, field->bytes);
		return 0;
	}
	v = load_native(src, field->kind);
	if (field->limit && v > field->limit)
		return WIRE_E_RANGE;
	store_le(dst, field->bytes, v);
	return 0;
}

int wire_encode(const struct wire_channel *channel, uint16_t type, const void *body,
		uint8_t *buffer, size_t n_buffer, size_t *ret_bytes)
{
	const struct wire_record *record = wire_find(channel, type);
	uint8_t *dst = buffer + WIRE_HEADER_BYTES;
	int r;

	if (!record)
		return WIRE_E_TYPE;
	if (n_buffer < WIRE_HEADER_BYTES + record->body_bytes)
		return WIRE_E_SPACE;

	store_le(buffer, 2, record->type);
	store_le(buffer + 2, 2, record->body_bytes);
	store_le(buffer + 4, 4, 0);
	for (size_t i = 0; i < record->n_fields; i++) {
		r = encode_field(&record->fields[i], body, dst);
		if (r)
			return r;
		dst += record->fields[i].bytes;
	}
	*ret_bytes = (size_t)(dst - buffer);
	return 0;
}
