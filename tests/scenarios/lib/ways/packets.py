# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packets written by hand, to IP and behind it."""

import fcntl
import mmap
import os
import socket
import struct
import time

from sockets import checksum

from .common import PORT, SOURCE4, UPLINK

SOL_PACKET, PACKET_TX_RING, PACKET_QDISC_BYPASS = 263, 13, 20
ETH_P_IP = 0x0800
GATEWAY_MAC = bytes.fromhex("020000000002")


def _udp4(target, source=SOURCE4, first=0x45):
    """a datagram from its IP header on"""
    head = struct.pack("!BBHHHBBH4s4s", first, 0, 29, 1, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return head + struct.pack("!HHHH", 4444, PORT, 9, 0) + b"x"


def _udp6(target, source):
    return (struct.pack("!IHBB", 6 << 28, 9, 17, 64) + socket.inet_pton(socket.AF_INET6, source) +
            socket.inet_pton(socket.AF_INET6, target) + struct.pack("!HHHH", 4444, PORT, 9, 0) + b"x")


# to IP

def ping(target):
    if ":" in target:
        s, head = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6), b"\x80\0\0\0\0\0\0\1"
    else:
        s, head = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), b"\x08\0\0\0\0\0\0\1"
    s.sendto(head, (target, 0))


def protocols(target):
    """IP in IP, GRE, SCTP, OSPF, one that nobody knows"""
    for proto in (4, 47, 132, 89, 253):
        payload = _udp4(target) if proto == 4 else struct.pack("!HHII", 4444, PORT, 0, 0)
        socket.socket(socket.AF_INET, socket.SOCK_RAW, proto).sendto(payload, (target, 0))


def forged(target):
    """with a source that is not ours"""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(_udp4(target, "192.0.2.78"), (target, 0))


def misnamed(target):
    """IPv4 as the kernel routes it, IPv6 by its first byte, with a destination of IPv6 that is allowed"""
    packet = bytearray(_udp4(target) + bytes(20))
    packet[0] = 0x65
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(bytes(packet), (target, 0))


def forged6(target):
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(_udp6(target, "fd00:79::bad"), (target, 0))


def fragments(target):
    """the second of two, by hand, and a first one that is too short for ports"""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for offset in (0x2000, 0x0001):
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 24, 7, offset, 64, 17, 0,
                           socket.inet_aton(SOURCE4), socket.inet_aton(target))
        s.sendto(head + b"abcd", (target, 0))


# behind IP

def _packet(kind):
    s = socket.socket(socket.AF_PACKET, kind, socket.htons(ETH_P_IP))
    s.bind((UPLINK, ETH_P_IP))
    return s


def _frame(target):
    return GATEWAY_MAC + bytes.fromhex("020000000001") + struct.pack("!H", ETH_P_IP) + _udp4(target)


def packet_raw(target):
    _packet(socket.SOCK_RAW).send(_frame(target))


def packet_dgram(target):
    _packet(socket.SOCK_DGRAM).sendto(_udp4(target), (UPLINK, ETH_P_IP, 0, 0, GATEWAY_MAC))


def packet_bypass(target):
    s = _packet(socket.SOCK_RAW)
    s.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    s.send(_frame(target))


def packet_ring(target):
    """the packet is written into memory that the kernel sends from"""
    s, frame = _packet(socket.SOCK_RAW), _frame(target)
    s.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("IIII", 4096, 1, 2048, 2))
    ring = mmap.mmap(s.fileno(), 4096)
    ring[32:32 + len(frame)] = frame  # behind struct tpacket_hdr
    ring[8:12] = struct.pack("I", len(frame))
    ring[0:8] = struct.pack("L", 1)  # TP_STATUS_SEND_REQUEST
    s.send(b"")


def xdp(target):
    """whether the socket can be had: what it sends nobody sees"""
    socket.socket(44, socket.SOCK_RAW)


def tun(target):
    """a packet that comes in over an interface of the program's own, to be forwarded"""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"own", 0x1001))  # TUNSETIFF: TUN, NO_PI
    os.system("ip link set own up")
    os.write(fd, _udp4(target, "192.0.2.79"))
    time.sleep(0.1)
