# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records, encoded once more by the tables alone: who shares a codec with what it tests
finds no fault in it."""
import ipaddress
import os
import sys

TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../..")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "python/sluice"))
import records  # noqa: E402  the tables, no code

BY_NAME = {record.name: record for record in records.RECORDS}
BY_TYPE = {record.type: record for record in records.RECORDS}


class Wrong(Exception):
    pass


def to_bytes(field, value):
    if field.kind == "str":
        return value.encode()[:field.bytes - 1].ljust(field.bytes, b"\0")
    if field.kind == "addr":
        one = ipaddress.ip_address(value or "::")
        return (bytes(10) + b"\xff\xff" if one.version == 4 else b"") + one.packed
    return int(value).to_bytes(field.bytes, "little")


def to_value(field, data):
    if field.kind == "str":
        text, _, rest = data.partition(b"\0")
        if rest.strip(b"\0") or text == data:
            raise Wrong(f"{field.name}: a string that does not end: {data}")
        return text.decode()
    if field.kind == "addr":
        six = ipaddress.IPv6Address(data)
        return str(six.ipv4_mapped or six)
    return int.from_bytes(data, "little")


def empty(field):
    return {"str": "", "addr": "::"}.get(field.kind, 0)


def header(record, size):
    return record.type.to_bytes(2, "little") + size.to_bytes(2, "little") + bytes(4)


def encode(name, values):
    record = BY_NAME[name]
    body = b"".join(to_bytes(field, values.pop(field.name, empty(field))) for field in record.fields)
    return header(record, len(body)) + body


def decode(data):
    """Return: name and fields"""
    record = BY_TYPE.get(int.from_bytes(data[:2], "little"))
    size = sum(field.bytes for field in record.fields) if record else -1
    if not record or record.origin != 1 or data[:8] != header(record, size) or len(data) != 8 + size:
        raise Wrong(f"not a record of a provider: {data[:32].hex()}")
    values, at = {}, 8
    for field in record.fields:
        values[field.name] = to_value(field, data[at:at + field.bytes])
        if field.limit and values[field.name] > field.limit:
            raise Wrong(f"{record.name}: {field.name} is above its limit: {values[field.name]}")
        at += field.bytes
    return record.name, values
