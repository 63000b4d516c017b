# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small authoritative DNS server: A, AAAA and CNAME over UDP and TCP.

    zone = Zone()
    zone.add("www.example", "CNAME", "edge.example", ttl=30)
    zone.add("edge.example", "A", "10.79.0.1", ttl=60)

Chains are followed in the answer. A name that is not there gets NXDOMAIN.
"""

import ipaddress
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "AAAA": 28}
NXDOMAIN, TRUNCATED = 3, 0x0200
LONGEST_CHAIN = 16


def pack_name(name):
    labels = [label for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(l)]) + l.encode() for l in labels) + b"\0"


def read_name(message, at):
    """an uncompressed name. Return: (name, offset behind it)"""
    labels = []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels).lower(), at + 1


class Zone:
    def __init__(self):
        self._lock = threading.Lock()
        self._records = {}
        self.truncated = set()  # names that are answered over TCP only
        self.forged = {}        # name: an address that a stranger's answer, which comes first, gives it
        self.queries = []       # (name, type number, "udp" or "tcp")

    def add(self, name, kind, data, ttl=300):
        with self._lock:
            self._records.setdefault(name.lower(), []).append((TYPES[kind], ttl, data))

    def replace(self, name, kind, data, ttl=300):
        with self._lock:
            self._records[name.lower()] = [(TYPES[kind], ttl, data)]

    def _lookup(self, name, kind):
        """Return: (is the name there, [(owner, type, ttl, data)])"""
        answers, known = [], False
        for _ in range(LONGEST_CHAIN):
            records = self._records.get(name)
            known = known or records is not None
            if not records:
                break
            answers += [(name, t, ttl, d) for t, ttl, d in records if t == kind]
            alias = [r for r in records if r[0] == TYPES["CNAME"]]
            if not alias or kind == TYPES["CNAME"]:
                break
            answers.append((name, *alias[0]))
            name = alias[0][2].lower()
        return known, answers

    def answer(self, query, transport):
        """the reply to one message, or a list of them, or None for what is no question"""
        if len(query) < 17 or query[2] & 0x80:
            return None
        name, at = read_name(query, 12)
        kind, = struct.unpack_from("!H", query, at)
        question = query[12:at + 4]
        with self._lock:
            self.queries.append((name, kind, transport))
            known, answers = self._lookup(name, kind)
        flags = 0x8580 | (0 if known else NXDOMAIN)
        if transport == "udp" and name in self.truncated:
            flags, answers = flags | TRUNCATED, []
        reply = _reply(query[:2], flags, question, answers)
        if transport != "udp" or name not in self.forged or kind != TYPES["A"]:
            return reply
        wrong_id = bytes([query[0] ^ 1, query[1]])
        return [_reply(wrong_id, flags, question, [(name, kind, 300, self.forged[name])]), reply]


def _reply(query_id, flags, question, answers):
    body = b"".join(_pack_record(*answer) for answer in answers)
    return query_id + struct.pack("!HHHHH", flags, 1, len(answers), 0, 0) + question + body


def _pack_record(owner, kind, ttl, data):
    if kind == TYPES["CNAME"]:
        raw = pack_name(data)
    else:
        raw = ipaddress.ip_address(data).packed
    return pack_name(owner) + struct.pack("!HHIH", kind, 1, ttl, len(raw)) + raw
