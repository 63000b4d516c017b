# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios and the programs that they govern alike do with sockets."""

import array
import ctypes
import socket
import struct

LIBC = ctypes.CDLL(None, use_errno=True)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def disconnect(s):
    LIBC.connect(s.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)


def shared_port(port):
    """a datagram socket on a port that another program may have as well"""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port))
    return s


def hand_over(channel, s):
    """whoever has the other end of `channel` gets the socket, by SCM_RIGHTS"""
    channel.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])


def take_over(channel):
    _, extra, _, _ = channel.recvmsg(1, 64)
    return socket.socket(fileno=array.array("i", extra[0][2])[0])


def checksum(data):
    """of IP, TCP, UDP and ICMP; data of an even length"""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
