# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP/2, as much of it as one request needs (RFC 9113, RFC 7541)."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
GET, HTTPS = 0x82, 0x87  # of the static table, as :authority and :path are
AUTHORITY, PATH = 1, 4


def _frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def _field(name, value):
    """a literal that is not indexed; @value: below 127 bytes"""
    return bytes([name, len(value)]) + value.encode()


def _take(s, n):
    got = b""
    while len(got) < n:
        some = s.recv(n - len(got))
        if not some:
            raise ConnectionResetError("an end within a frame")
        got += some
    return got


def _frames(s):
    while True:
        head = _take(s, 9)
        kind, flags, _ = struct.unpack("!BBI", head[3:])
        yield kind, flags, _take(s, int.from_bytes(head[:3], "big"))


def get(s, authority, path):
    """Return: the body of an answer, which comes without padding"""
    request = bytes([GET, HTTPS]) + _field(AUTHORITY, authority) + _field(PATH, path)
    s.sendall(PREFACE + _frame(SETTINGS, 0, 0) + _frame(HEADERS, END_STREAM | END_HEADERS, 1, request))
    body = b""
    for kind, flags, payload in _frames(s):
        if kind == SETTINGS and not flags & ACK:
            s.sendall(_frame(SETTINGS, ACK, 0))
        body += payload if kind == DATA else b""
        if kind == GOAWAY or kind in (DATA, HEADERS) and flags & END_STREAM:
            return body
