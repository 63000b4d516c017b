#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs with sockets that have somebody else's ends, or change their own, one function each.

    ends.py ACT [ARGUMENT…]
"""

import os
import socket
import struct
import sys
import time

from sockets import checksum, disconnect, shared_port

UDPLITE = 136
PAUSE_S = 0.02
FEW = 50  # datagrams that fit into the buffer of a socket


def _try(call):
    try:
        call()
    except OSError as error:
        print(error, flush=True)


def _syn(source, target, port):
    head = struct.pack("!HHIIBBHHH", 4444, port, 1, 0, 5 << 4, 2, 1000, 0, 0)
    whole = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, 20) + head
    return head[:16] + struct.pack("!H", checksum(whole)) + head[18:]


def raw(source, *targets):
    """SYNs by hand, to each target in turn, from one raw socket"""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    for target in targets:
        for _ in range(3):
            _try(lambda: s.sendto(_syn(source, target, 7), (target, 0)))
            time.sleep(0.1)


def shared(role, folder, target):
    """two programs, one local port and one peer: 1 sends, then 2, then 1 again and again"""
    def mark(name):
        open(os.path.join(folder, name), "w").close()

    def wait(name):
        while not os.path.exists(os.path.join(folder, name)):
            time.sleep(PAUSE_S)

    def send(count):
        for _ in range(count):
            _try(lambda: s.send(role.encode()))
            time.sleep(PAUSE_S)

    s = shared_port(5353)
    s.connect((target, 5353))
    if role == "1":
        send(5)
        mark("1")
        wait("2")
        send(20)
        mark("done")
    else:
        wait("1")
        send(10)
        mark("2")
        wait("done")


def _receiver(kind):
    if kind == "bound":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("0.0.0.0", 0))
    elif kind == "lite":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE)
        s.bind(("0.0.0.0", 9090))
    elif kind == "loopback":  # bound by its first datagram, which no rule for the uplink sees
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(b"x", ("127.0.0.1", 9))
    elif kind == "rebound":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("10.79.1.1", 7))
        s.send(b"x")
        s.recv(10)
        disconnect(s)
        s.bind(("0.0.0.0", 0))
    else:  # dual: of IPv6, and what it sent was IPv4
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.sendto(b"x", ("::ffff:10.79.1.1", 7))
        s.recv(10)
    return s


def receive(kind):
    """prints its port, then what comes"""
    s = _receiver(kind)
    print(s.getsockname()[1], flush=True)
    s.settimeout(1)
    _try(lambda: print("got", s.recv(100)))


def lite(target, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE)
    for _ in range(3):
        _try(lambda: s.sendto(b"lite", (target, int(port))))
        time.sleep(0.1)


def relisten(port):
    """listens twice with one socket, closes it, and stays"""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", int(port)))
    s.listen()
    s.shutdown(socket.SHUT_RDWR)
    s.listen()
    s.close()
    print("closed", flush=True)
    time.sleep(3)


def forgotten(go, target, flooded, n):
    """while @go is there: sends one datagram and closes its socket, has as many others held, stays"""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    print("ready", flush=True)
    while not os.path.exists(go):
        time.sleep(PAUSE_S)
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.sendto(b"forgotten", (target, 7))
    for port in range(1024, 1024 + int(n), FEW):  # what is held fills the buffer of its socket
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            for i in range(FEW):
                try:
                    s.sendto(b"other", (flooded, port + i))
                except OSError:  # the queue is full
                    pass
    print("flooded", flush=True)
    while os.path.exists(go):
        time.sleep(PAUSE_S)


def leave(way, target, port, text):
    """sends one datagram, or a SYN that carries data, from a port of its own if it is not 0; closes
    its socket, and stays"""
    kind = socket.SOCK_STREAM if way == "fast_open" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, kind) as s:
        s.setblocking(False)
        s.bind(("", int(port)))
        _try(lambda: s.sendto(text.encode(), socket.MSG_FASTOPEN if way == "fast_open" else 0, (target, 7)))
    print("left", flush=True)
    time.sleep(1)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
