# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs do with UDP besides asking and waiting for the answer."""

import ctypes
import socket
import struct
import time

from sockets import family_of

from .calls import errno_of

IP_PKTINFO = 8
LATE_S = 3


def _socket(address):
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    s.settimeout(LATE_S)
    return s


def _came(s, n=1):
    try:
        return [s.recvfrom(65536)[0].decode() for _ in range(n)]
    except OSError as error:
        return [type(error).__name__]


def act_and_gone(address, port, n, text):
    """sends so many and is gone"""
    with _socket(address) as s:
        for i in range(int(n)):
            s.sendto(f"{text} {i}".encode(), (address, int(port)))
    return {}


def act_lengths(address, port, *lengths):
    """one by one. Return: those that came back as they were"""
    with _socket(address) as s:
        s.connect((address, int(port)))
        right = []
        for length in map(int, lengths):
            data = bytes(i % 251 for i in range(length))
            s.send(data)
            try:
                right.append(s.recv(65536) == data)
            except OSError as error:
                right.append(type(error).__name__)
        return {"right": right}


def act_turns(port, *addresses):
    """one socket is connected with one after the other, and with nobody in between, which takes its local port away"""
    with _socket(addresses[0]) as s:
        came = []
        for i, address in enumerate(addresses):
            s.connect((address, int(port)))
            s.send(b"%d" % i)
            data, peer = s.recvfrom(100)
            came.append([data.decode(), peer[0]])
            ctypes.CDLL(None).connect(s.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)
        return {"came": came}


def act_after_refusal(address, closed, port, n):
    """to a port where nobody is, then to one where somebody is, from one socket. Return: what came"""
    with _socket(address) as s:
        for _ in range(int(n)):
            s.sendto(b"nobody", (address, int(closed)))
            time.sleep(0.05)
        s.sendto(b"somebody", (address, int(port)))
        return {"came": _came(s)}


def act_ends_of(address, port, *sources):
    """one socket sends from one of its machine's addresses after the other. Return: what came to which"""
    with _socket(address) as s:
        s.settimeout(1)
        s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        s.bind(("", 4999))
        came = []
        for i, source in enumerate(sources):
            for attempt in range(3):  # the first one after a change may be lost
                data = b"%d %d" % (i, attempt)
                info = struct.pack("I4s4s", 0, socket.inet_aton(source), bytes(4))
                s.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (address, int(port)))
                try:
                    answer, extra, _, peer = s.recvmsg(100, 100)
                except OSError:
                    continue
                came.append([source, answer == data, socket.inet_ntoa(extra[0][2][8:12]), peer[0]])
                break
        return {"came": came}


def act_to_all(address, port, own_port, n):
    """to a group, or all of a network; what comes, by itself or as an answer, and from whom"""
    with _socket(address) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.bind(("", int(own_port)))
        if address.startswith("224.") or address.startswith("239."):
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(address) + socket.inet_aton("10.77.0.1"))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        came = []
        for i in range(int(n)):
            sent = errno_of(lambda: s.sendto(b"%d" % i, (address, int(port))))
            try:
                data, peer = s.recvfrom(100)
                came.append([sent, data.decode(), *peer[:2]])
            except OSError as error:
                came.append([sent, type(error).__name__])
        return {"came": came}


def act_same_port(own_port, port, rounds, *addresses):
    """a socket after the other has this local port, each with another peer"""
    right = 0
    for i in range(int(rounds)):
        address = addresses[i % len(addresses)]
        with _socket(address) as s:
            s.bind(("", int(own_port)))
            data = f"{i} {address}".encode()
            s.sendto(data, (address, int(port)))
            try:
                right += s.recvfrom(100) == (data, (address, int(port)))
            except OSError:
                pass
    return {"right": right}


def act_shared_port(own_port, address, port, rounds):
    """two sockets with one local port (SO_REUSEPORT), both connected with one peer, then two"""
    pair = [_socket(address) for _ in range(2)]
    for s in pair:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("", int(own_port)))
    pair[0].connect((address, int(port)))
    pair[1].connect((address, int(port) + 1))
    right = [0, 0]
    for i in range(int(rounds)):
        for j, s in enumerate(pair):
            s.send(b"%d %d" % (i, j))
            right[j] += _came(s) == [f"{i} {j}"]
    return {"right": right}


def act_rate(address, port, n, per_second):
    """Return: how many came back"""
    with _socket(address) as s:
        s.connect((address, int(port)))
        s.setblocking(False)
        s.send(b"first")
        time.sleep(0.5)
        came, begin = set(), time.monotonic()

        def take():
            try:
                while True:
                    came.add(s.recv(2000)[:8])
            except BlockingIOError:
                pass
        for i in range(int(n)):
            while time.monotonic() < begin + i / float(per_second):
                time.sleep(0.0005)
            s.send(b"%08d" % i + bytes(500))
            take()
        time.sleep(0.5)
        take()
        return {"n": len(came - {b"first"})}
