/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: From a table to structs and descriptors
 *
 * A record is a list of fields, F(S, kind, name, arg, doc) with S the struct:
 *
 *	F(S, u8,  direction, 1,   "…")	number; arg is the largest value, 0: any
 *	F(S, str, exe,       256, "…")	string; arg is its bytes, the NUL included
 *	F(S, addr, dst,      0,   "…")	16 bytes; IPv4 is v4-mapped
 *
 * and a channel is a list of records,
 * R(NAME, struct, fields, type, from, tail, doc).
 */

#include "base/macros.h"
#include "wire/wire.h"

#define WIRE_C_u8(name, arg) uint8_t name
#define WIRE_C_u16(name, arg) uint16_t name
#define WIRE_C_u32(name, arg) uint32_t name
#define WIRE_C_u64(name, arg) uint64_t name
#define WIRE_C_addr(name, arg) uint8_t name[16]
#define WIRE_C_str(name, arg) char name[arg]
#define WIRE_STRUCT_FIELD(S, kind, name, arg, doc) WIRE_C_##kind(name, arg);

#define WIRE_KIND_u8 WIRE_U8
#define WIRE_KIND_u16 WIRE_U16
#define WIRE_KIND_u32 WIRE_U32
#define WIRE_KIND_u64 WIRE_U64
#define WIRE_KIND_addr WIRE_ADDR
#define WIRE_KIND_str WIRE_STR

#define WIRE_BYTES_u8(arg) 1
#define WIRE_BYTES_u16(arg) 2
#define WIRE_BYTES_u32(arg) 4
#define WIRE_BYTES_u64(arg) 8
#define WIRE_BYTES_addr(arg) 16
#define WIRE_BYTES_str(arg) (arg)

#define WIRE_LIMIT_u8(arg) (arg)
#define WIRE_LIMIT_u16(arg) (arg)
#define WIRE_LIMIT_u32(arg) (arg)
#define WIRE_LIMIT_u64(arg) (arg)
#define WIRE_LIMIT_addr(arg) 0
#define WIRE_LIMIT_str(arg) 0

/* one enum value and one struct per record */
#define WIRE_ENUM(NAME, strct, fields, code, from, tail, doc) WIRE_##NAME = (code),
#define WIRE_DECLARE(NAME, strct, fields, code, from, tail, doc)                                   \
	struct strct {                                                                             \
		fields(WIRE_STRUCT_FIELD, strct)                                                   \
	};

/* descriptors: an array of fields per record, then the array of records */
#define WIRE_DESCRIBE_FIELD(S, kind_, name_, arg, doc_)                                            \
	{ .name = #name_,                                                                          \
	  .doc = doc_,                                                                             \
	  .offset = offsetof(struct S, name_),                                                     \
	  .bytes = WIRE_BYTES_##kind_(arg),                                                        \
	  .kind = WIRE_KIND_##kind_,                                                               \
	  .limit = WIRE_LIMIT_##kind_(arg) },
#define WIRE_DESCRIBE_FIELDS(NAME, strct, fields, code, from, tail, doc)                           \
	static const struct wire_field strct##_fields[] = { fields(WIRE_DESCRIBE_FIELD, strct) };  \
	_Static_assert(sizeof(struct strct) <= WIRE_BODY_MAX, #strct);

#define WIRE_ADD_BYTES(S, kind, name, arg, doc) +WIRE_BYTES_##kind(arg)
#define WIRE_DESCRIBE_RECORD(NAME, strct, fields_, code, from_, tail, doc_)                        \
	{ .name = #NAME,                                                                           \
	  .doc = doc_,                                                                             \
	  .fields = strct##_fields,                                                                \
	  .n_fields = ARRAY_SIZE(strct##_fields),                                                  \
	  .type = code,                                                                            \
	  .body_bytes = 0 fields_(WIRE_ADD_BYTES, strct),                                          \
	  .struct_bytes = sizeof(struct strct),                                                    \
	  .from = from_,                                                                           \
	  .has_tail = tail },
