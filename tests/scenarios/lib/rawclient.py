# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TCP client made by hand, which may begin its connection as often as it likes.

Its address is nobody's, so that no kernel answers in its place.
"""

import socket
import struct
import time

from .rawpeer import ACK, FIN, RST, SYN, link, packet

PORT = 40000


class RawClient:
    def __init__(self, lab, mac, address, target, port, own_port=PORT):
        self._socket, self._to = link(lab.server, "wire", mac)
        self._ends = (socket.inet_aton(address), own_port, socket.inet_aton(target), port)
        self._seq, self._ack = 0, 0  # where we are, what the other side says next
        self.got, self.is_ended = b"", False

    def _send(self, seq, flags, data=b"", ack=None):
        self._socket.sendto(packet(self._ends, seq, self._ack if ack is None else ack, flags, data), self._to)

    def _receive(self):
        """the next segment of the connection, (seq, ack, flags, payload), or None after a while"""
        ours, port, theirs, sport = self._ends
        until = time.monotonic() + self._socket.gettimeout()
        while time.monotonic() < until:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                break
            if data[9] != 6 or data[12:16] != theirs or data[16:20] != ours:
                continue
            at, size = (data[0] & 15) * 4, struct.unpack_from("!H", data, 2)[0]
            source, target, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", data, at)
            if (source, target) == (sport, port):
                return seq, ack, flags, data[at + (offset >> 4) * 4:size]
        return None

    def begin(self, first, within=20):
        """a SYN, until it is answered; what answers another one is reset, as TCP does"""
        until = time.monotonic() + within
        self._send(first, SYN, ack=0)
        while time.monotonic() < until:
            segment = self._receive()
            if not segment:
                self._send(first, SYN, ack=0)
                continue
            seq, ack, flags, _ = segment
            if flags & SYN and ack == (first + 1) & 0xffffffff:
                self._seq, self._ack = first + 1, (seq + 1) & 0xffffffff
                return True
            if flags & ACK and not flags & RST:
                self._send(ack, RST, ack=0)
        return False

    def say_syn(self, first):
        self._send(first, SYN, ack=0)

    def say(self, offset, data, flags=ACK):
        """out of turn: from where we are"""
        self._send(self._seq + offset, flags, data)

    def exchange(self, data, has_ack=True, is_last=True, within=20):
        """Return: did as many bytes come back, and the end?"""
        until, wanted = time.monotonic() + within, len(self.got) + len(data)
        fin = FIN if is_last else 0
        if has_ack:
            self._send(self._seq, ACK)
        self._send(self._seq, ACK | fin, data)
        while time.monotonic() < until and (len(self.got) < wanted or (is_last and not self.is_ended)):
            segment = self._receive()
            if not segment:
                self._send(self._seq, ACK | fin, data)
                continue
            seq, _, flags, payload = segment
            if flags & RST:
                return False
            if seq == self._ack and (payload or flags & FIN):
                self.got += payload
                self._ack = (seq + len(payload) + bool(flags & FIN)) & 0xffffffff
                self.is_ended |= bool(flags & FIN)
                self._send(self._seq + len(data) + is_last, ACK)
        self._seq += len(data) + is_last
        return len(self.got) == wanted

    def close(self):
        self._socket.close()
