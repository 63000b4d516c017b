# SPDX-License-Identifier: LGPL-2.1-or-later
"""The other end of one TCP connection, made by hand: it sends its segments as a test wants.

Its address is nobody's, so that no kernel answers in its place.
"""

import socket
import struct
import threading
import time

FIN, SYN, RST, ACK, URGENT = 0x01, 0x02, 0x04, 0x10, 0x20
AHEAD, DAMAGED = 0x100, 0x200  # acknowledges what was never sent; has a wrong checksum
ETH_P_IP = 0x0800
FIRST = 0xfffffe00  # its sequence numbers go around soon
AGAIN_S = 0.2       # what is not acknowledged is sent again


def checksum(data):
    words = struct.unpack(f"!{len(data) // 2}H", data[:len(data) & ~1])
    total = sum(words) + (data[-1] << 8 if len(data) & 1 else 0)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packet(ends, seq, ack, flags, data=b""):
    """of IPv4; `ends`: address and port of the source, then of the destination"""
    source, sport, target, dport = ends
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, 5 << 4, flags & 0xff, 60000, 0,
                       1 if flags & URGENT else 0)
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(head) + len(data))
    head = head[:16] + struct.pack("!H", checksum(pseudo + head + data) ^ bool(flags & DAMAGED)) + head[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(head) + len(data), 0, 0x4000, 64, 6, 0, source, target)
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + head + data


def link(namespace, interface, mac):
    """Return: a socket for whole packets, and where it sends them"""
    with namespace:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    s.bind((interface, ETH_P_IP))
    s.settimeout(AGAIN_S)
    return s, (interface, ETH_P_IP, 0, 0, bytes.fromhex(mac.replace(":", "")))


class RawPeer:
    """`segments`: (offset, bytes, flags), sent once the client has said something; `instead`: one list
    after the other of what is sent again in their place"""

    def __init__(self, namespace, interface, mac, address, port, segments, ignores_s=0, instead=()):
        self._socket, self._to = link(namespace, interface, mac)
        self._address, self._port, self._segments = socket.inet_aton(address), port, segments
        self._instead = list(instead)
        self._client = None
        self._got, self._their_first, self._acked = b"", 0, 0
        self._ignores_until, self._ignores_s, self._is_ending = None, ignores_s, False
        self._has_begun = False
        self.n_again = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _send(self, offset, data, flags):
        source, port = self._client
        fin = getattr(self, "_has_their_fin", False)
        acked = self._their_first + len(self._got) + fin + (1000 if flags & AHEAD else 0)
        ends = (self._address, self._port, source, port)
        try:
            self._socket.sendto(packet(ends, FIRST + offset, acked, flags | ACK, data), self._to)
        except OSError:
            pass  # no room on the wire: it is sent again

    def _take(self, data):
        if len(data) < 40 or data[9] != 6 or data[16:20] != self._address:
            return
        at = (data[0] & 15) * 4
        sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", data, at)
        if dport != self._port:
            return
        self._client = (data[12:16], sport)
        payload = data[at + (offset >> 4) * 4:struct.unpack_from("!H", data, 2)[0]]
        if flags & SYN:
            self._their_first = (seq + 1) & 0xffffffff
            self._send(-1, b"", SYN)
            return
        self._acked = max(self._acked, (ack - FIRST + (1 << 31)) % (1 << 32) - (1 << 31))
        self._take_payload(seq, payload, flags)

    def _take_payload(self, seq, payload, flags):
        if payload and self._ignores_until is None:
            self._ignores_until = time.monotonic() + self._ignores_s
        if self._ignores_until and time.monotonic() < self._ignores_until:
            self.n_again += bool(payload)
            return
        place = (seq - self._their_first) & 0xffffffff
        if place == len(self._got):
            self._got += payload
            self._has_their_fin = bool(flags & FIN)
        if payload or flags & FIN:
            self._send(max(self._acked, 0), b"", 0)
        if self._got and not self._has_begun:
            self._has_begun = True
            for segment in self._segments:
                self._send(*segment)

    def _serve(self):
        while not self._is_ending:
            try:
                self._take(self._socket.recv(65536))
            except TimeoutError:
                self._send_again()
            except OSError:
                return

    def _send_again(self):
        if not self._has_begun:
            return
        if self._instead:
            self._segments = self._instead.pop(0)
        for offset, data, flags in sorted(self._segments, key=lambda segment: segment[0]):
            if offset + len(data) + bool(flags & FIN) > self._acked:
                self._send(offset, data, flags)

    def close(self):
        self._is_ending = True
        self._socket.close()
