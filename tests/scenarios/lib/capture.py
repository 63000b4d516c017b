# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts packets on the far side of the uplink: what really left the machine.

ARP, neighbour and router discovery and multicast listener reports are the
kernel's own and are not recorded.
"""

import ipaddress
import math
import socket
import struct
import threading
import time
from collections import namedtuple

from .wait import wait_for

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6
PACKET_OUTGOING = 4
DISCOVERY = {130, 131, 132, 133, 134, 135, 136, 137, 143}  # ICMPv6 types
SYN, ACK = 0x02, 0x10
LAST_S = 2  # of a stop() while packets still come

Packet = namedtuple("Packet", "proto src sport dst dport flags size payload", defaults=(b"",))


def _parse_transport(proto, src, dst, rest, size):
    name = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}.get(proto, str(proto))
    if proto == 58 and rest and rest[0] in DISCOVERY:
        return None
    if name in ("tcp", "udp") and len(rest) >= 8:
        sport, dport = struct.unpack_from("!HH", rest)
        flags = rest[13] if name == "tcp" and len(rest) > 13 else 0
        begin = (rest[12] >> 4) * 4 if name == "tcp" and len(rest) > 13 else 8
        return Packet(name, src, sport, dst, dport, flags, size, rest[begin:])
    return Packet(name, src, 0, dst, 0, rest[0] if rest else 0, size)


def parse(kind, data):
    """one packet from its network header on; None for what is not counted"""
    if kind == 0x0800 and len(data) >= 20:
        head = (data[0] & 15) * 4
        src, dst = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
        return _parse_transport(data[9], src, dst, data[head:], len(data))
    if kind == 0x86DD and len(data) >= 40:
        proto, rest = data[6], data[40:]
        if proto == 0 and len(rest) >= 8:  # hop by hop: listener reports have it
            proto, rest = rest[0], rest[8 * (1 + rest[1]):]
        src = str(ipaddress.IPv6Address(data[8:24]))
        dst = str(ipaddress.IPv6Address(data[24:40]))
        return _parse_transport(proto, src, dst, rest, len(data))
    return None


class Capture:
    """packets that came over the wire into `namespace` while the block runs"""

    def __init__(self, namespace, interface):
        with namespace:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                                         socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)  # SO_RCVBUFFORCE
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.settimeout(0.05)
        self._packets = []
        self._is_ending, self._last = False, math.inf
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self):
        while time.monotonic() < self._last:
            try:
                data, where = self._socket.recvfrom(65536)
            except TimeoutError:
                if self._is_ending:
                    return
                continue
            if where[2] == PACKET_OUTGOING:
                continue
            packet = parse(where[1], data)
            if packet:
                self._packets.append(packet)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """takes what has arrived and ends. Fails when the kernel lost some"""
        if self._is_ending:
            return
        self._is_ending, self._last = True, time.monotonic() + LAST_S
        self._thread.join()
        raw = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self._socket.close()
        lost = struct.unpack("=II", raw)[1]
        if lost:
            raise RuntimeError(f"the capture lost {lost} packets: its counts mean nothing")

    def packets(self, wanted=lambda packet: True):
        return [packet for packet in list(self._packets) if wanted(packet)]

    def count(self, wanted=lambda packet: True):
        return len(self.packets(wanted))

    def wait_count(self, number, wanted=lambda packet: True, within=5.0):
        wait_for(lambda: self.count(wanted) >= number, within,
                 f"{number} packets on the wire")


def is_syn(packet):
    return packet.proto == "tcp" and packet.flags & (SYN | ACK) == SYN
