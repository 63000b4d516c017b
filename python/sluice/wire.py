# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bytes and records: what sluice-wire(7) says of a single record, both ways.

Pure: no descriptor, no clock. A decoded record is (Record, dict of its fields,
tail). Decoding refuses what src/wire/wire.c refuses, for the same reasons.
"""
import struct

from .records import HEADER_BYTES, RECORDS, TAIL_MAX

BY_NAME = {record.name: record for record in RECORDS}
BY_TYPE = {record.type: record for record in RECORDS}

_HEADER = struct.Struct("<HHI")
_FORMATS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}
_BODIES = {record.type: struct.Struct("<" + "".join(_FORMATS.get(field.kind, f"{field.bytes}s")
                                                    for field in record.fields))
           for record in RECORDS}


def size_of(name):
    """bytes of a record without its tail"""
    return HEADER_BYTES + _BODIES[BY_NAME[name].type].size


class Malformed(ValueError):
    """a record that must be refused; its text says why"""


def _read(field, value):
    if field.kind == "str":
        text, nul, rest = value.partition(b"\0")
        if not nul or rest.strip(b"\0"):
            raise Malformed("string not ended")
        return text.decode("utf-8", "surrogateescape")
    if field.limit and value > field.limit:
        raise Malformed("number above its limit")
    return value


def decode(origin, data):
    """@origin: the end it came from, 0 sluiced or 1 the provider"""
    if len(data) < HEADER_BYTES:
        raise Malformed("shorter than its type needs")
    number, size, reserved = _HEADER.unpack_from(data)
    record = BY_TYPE.get(number)
    if not record or record.origin != origin:
        raise Malformed("type unknown or not for this direction")
    body = _BODIES[number]
    if size != body.size:
        raise Malformed("body size differs from this version's")
    if len(data) < HEADER_BYTES + size:
        raise Malformed("shorter than its type needs")
    tail = data[HEADER_BYTES + size:]
    if len(tail) > (TAIL_MAX if record.has_tail else 0):
        raise Malformed("unexpected or oversized tail")
    if reserved:
        raise Malformed("number above its limit")
    values = body.unpack_from(data, HEADER_BYTES)
    return record, {field.name: _read(field, value)
                    for field, value in zip(record.fields, values)}, tail


def cut(text, most):
    """@text in at most @most bytes, up to a NUL if it has one"""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
    return data.partition(b"\0")[0][:most]


def _write(field, value):
    if field.kind == "str":
        return cut(value, field.bytes - 1)
    if field.kind == "addr":
        return bytes(value)
    most = field.limit or (1 << 8 * field.bytes) - 1
    if not 0 <= value <= most:
        raise ValueError(f"{field.name} is {value}: 0 to {most} can be")
    return value


def encode(name, /, **values):
    """a record without a tail; strings are cut to their field, fields that are not given are 0"""
    record = BY_NAME[name]
    empty = {"str": b"", "addr": bytes(16)}
    fields = [_write(field, values.pop(field.name, empty.get(field.kind, 0)))
              for field in record.fields]
    if values:
        raise TypeError(f"{name} has no {', '.join(values)}")
    body = _BODIES[record.type]
    return _HEADER.pack(record.type, body.size, 0) + body.pack(*fields)
