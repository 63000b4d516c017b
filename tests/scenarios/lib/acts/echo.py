# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each way to talk to an echo server that programs have: what is sent comes back the same."""

import random
import select
import socket

from sockets import family_of

UDP_SEGMENT, SOL_UDP = 103, 17
DATA = random.Random(154).randbytes(200_000)  # more than buffers and peeks
PART = 1200  # of datagrams
PARTS = [DATA[i:i + PART] for i in range(0, 40 * PART, PART)]


def _receive(s, n):
    got = b""
    while len(got) < n and (part := s.recv(65536)):
        got += part
    return got


def _exchange(s, data=DATA):
    """a piece at a time: neither end waits for the other's buffer"""
    return all(_receive(s, len(part)) == part for i in range(0, len(data), 10_000)
               if (part := data[i:i + 10_000]) and s.sendall(part) is None)


def _blocking(s, peer):
    s.connect(peer)
    return _exchange(s)


def _non_blocking(s, peer):
    s.setblocking(False)
    s.connect_ex(peer)
    poll = select.poll()
    poll.register(s, select.POLLOUT)
    poll.poll(20000)
    if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return False
    s.settimeout(20)
    return _exchange(s)


def _fast_open(s, peer):
    s.sendto(DATA[:1000], socket.MSG_FASTOPEN, peer)
    return _receive(s, 1000) == DATA[:1000] and _exchange(s)


def _connected(s, peer):
    s.connect(peer)
    return all(s.send(part) == len(part) and s.recv(65536) == part for part in PARTS)


def _unconnected(s, peer):
    return all(s.sendto(part, peer) == len(part) and s.recvfrom(65536)[0] == part for part in PARTS)


def _segmented(s, peer):
    """one call, several datagrams (UDP GSO)"""
    s.setsockopt(SOL_UDP, UDP_SEGMENT, PART)
    s.connect(peer)
    return all(s.send(b"".join(PARTS[i:i + 4])) and sorted(s.recv(65536) for _ in range(4)) == sorted(PARTS[i:i + 4])
               for i in range(0, len(PARTS), 4))


WAYS = {"blocking": (_blocking, socket.SOCK_STREAM), "non_blocking": (_non_blocking, socket.SOCK_STREAM),
        "fast_open": (_fast_open, socket.SOCK_STREAM), "connected": (_connected, socket.SOCK_DGRAM),
        "unconnected": (_unconnected, socket.SOCK_DGRAM), "segmented": (_segmented, socket.SOCK_DGRAM)}


def act_echo(way, address, port):
    call, kind = WAYS[way]
    with socket.socket(family_of(address), kind) as s:
        s.settimeout(20)
        return {"is_equal": call(s, (address, int(port)))}
