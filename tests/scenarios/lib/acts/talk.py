# SPDX-License-Identifier: LGPL-2.1-or-later
"""A conversation that goes on, and what each of its calls was told."""

import errno
import hashlib
import json
import os
import select
import socket
import sys
import time

from sockets import family_of

from .calls import connect, errno_of

IP_RECVERR, IPV6_RECVERR, UDP_SEGMENT, SOL_UDP = 11, 25, 103, 17
ECHO = {socket.AF_INET: b"\x08\0\0\0\0\0\0\1", socket.AF_INET6: b"\x80\0\0\0\0\0\0\1"}


def act_serve(port):
    """answers one TCP connection and one datagram on `port`, then ends"""
    stream = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    datagram = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagram.bind(("::", int(port)))
    print("listening", file=sys.stderr, flush=True)
    connection, _ = stream.accept()
    got = connection.recv(100)
    connection.sendall(got)
    connection.close()
    data, peer = datagram.recvfrom(100)
    datagram.sendto(data, peer)
    return {"pid": os.getpid()}


def act_accept(port):
    """two connections, one after the other: an echo, then a read until something happens"""
    listener = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    print("listening", file=sys.stderr, flush=True)
    told = []
    for _ in range(2):
        s, _ = listener.accept()
        with s:
            s.settimeout(5)
            s.sendall(s.recv(100))
            told.append(errno_of(lambda: s.recv(100)))
    return {"told": told}


def act_recv(address, port):
    """a TCP conversation that is read until its end, a line when it stands"""
    with socket.create_connection((address, int(port)), 5) as s:
        s.sendall(b"first")
        s.recv(100)
        print("connected", file=sys.stderr, flush=True)
        return {"told": errno_of(lambda: s.recv(100))}


def act_download(address, port, path):
    """Return: size, digest, and the longest time without a byte"""
    s = socket.create_connection((address, int(port)))
    s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    print("connected", file=sys.stderr, flush=True)
    head, digest, size, longest = b"", hashlib.sha256(), 0, 0.0
    while b"\r\n\r\n" not in head:
        head += s.recv(1)
    last = time.monotonic()
    while data := s.recv(65536):
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        digest.update(data)
        size += len(data)
    return {"size": size, "sha256": digest.hexdigest(), "longest_gap_ms": int(longest * 1000)}


def act_echoes(address, port, count, within="2"):
    """`count` datagrams of one connected socket, each is answered. Return: what they were told"""
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    s.settimeout(float(within))
    s.connect((address, int(port)))
    told = {}
    for _ in range(int(count)):
        sent = errno_of(lambda: s.send(b"x"))
        result = errno_of(lambda: s.recv(100)) if sent == "0" else sent
        if not told:
            print("begun", file=sys.stderr, flush=True)
        told[result] = told.get(result, 0) + 1
        time.sleep(0.004)
    return {"told": told}


def act_told(kind, address, port):
    """two datagrams of one connected socket. Return: what send and the call after it said, of each"""
    family, payload = family_of(address), {"empty": b"", "large": b"x" * 20000}.get(kind, b"x" * 3000)
    if kind == "raw":
        s = socket.socket(family, socket.SOCK_RAW, 253)
    elif kind == "ping":
        proto = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        s, payload = socket.socket(family, socket.SOCK_DGRAM, proto), ECHO[family]
    else:
        s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if kind == "errors":
        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    if kind == "segmented":
        s.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
    s.connect((address, int(port)))
    steps = [(errno_of(lambda: s.send(payload)), errno_of(lambda: s.recv(100))) for _ in range(2)]
    return {"fresh": steps[0], "remembered": steps[1]}


def _fill(s):
    while True:
        s.send(b"x" * 65536)


def _keep_sending(s, peer):
    while True:
        s.sendto(b"x", peer)
        time.sleep(0.005)


def _poll(s):
    poll = select.poll()
    poll.register(s, select.POLLIN)
    poll.poll(5000)
    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def act_cut(kind, call, address, port):
    """a conversation, then a call that blocks. Return: what it said, and the calls after it"""
    s = socket.socket(family_of(address), socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(10)
    peer = (address, int(port))
    if kind == "unconnected":
        s.sendto(b"first", peer)
    else:
        s.connect(peer)
        s.send(b"first")
    got = s.recv(100)
    print("connected", file=sys.stderr, flush=True)
    s.setblocking(True)
    calls = {"read": lambda: s.recv(100), "write": lambda: _fill(s), "poll": lambda: _poll(s),
             "sendto": lambda: _keep_sending(s, peer)}
    told = errno_of(calls[call])
    s.settimeout(2)
    after = [errno_of(lambda: s.sendto(b"x", peer) if kind == "unconnected" else s.send(b"x"))]
    after.append("skipped" if call == "sendto" else errno_of(lambda: s.recv(100)))
    return {"got": len(got), "told": told, "after": after}


def act_standing(second, port, *addresses):
    """talks by TCP and by connected UDP to each address, and to itself, also from one address of the
    machine to its `second` one; at a line of its input it uses each of them again"""
    own = [socket.create_server((address, 0)) for address in ("127.0.0.1", second)]
    talks = {"itself": socket.create_connection(own[0].getsockname())}
    for address in addresses:
        for proto, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            talks[proto, address] = s = socket.socket(family_of(address), kind)
            s.settimeout(5)
            s.connect((address, int(port)))
            s.send(b"first")
            s.recv(100)
    first = talks["tcp", addresses[0]].getsockname()[0]
    talks["own"] = socket.create_connection(own[1].getsockname(), source_address=(first, 0))
    print("standing", file=sys.stderr, flush=True)
    sys.stdin.readline()
    return {name if isinstance(name, str) else " ".join(name): errno_of(lambda s=s: s.send(b"second"))
            for name, s in talks.items()}


def act_older(address, denied, port):
    """opens a TCP conversation and UDP sockets, connected or not, at the first line of its input;
    at the second it uses them on, and connects anew to `denied`"""
    peer = (address, int(port))
    print("waiting", file=sys.stderr, flush=True)
    sys.stdin.readline()
    stream = socket.socket(family_of(address), socket.SOCK_STREAM)
    connected = socket.socket(family_of(address), socket.SOCK_DGRAM)
    loose = socket.socket(family_of(address), socket.SOCK_DGRAM)
    for s in (stream, connected, loose):
        s.settimeout(2)

    def use():
        stream.send(b"stream")
        told = {"stream": errno_of(lambda: stream.recv(100))}
        connected.send(b"datagram")
        told["connected"] = errno_of(lambda: connected.recv(100))
        told["loose"] = errno_of(lambda: loose.sendto(b"datagram", peer))
        if told["loose"] == "0":
            told["loose"] = errno_of(lambda: loose.recv(100))
        return told

    try:
        stream.connect(peer)
        connected.connect(peer)
        before = use()
    except OSError as error:
        before = errno.errorcode[error.errno]
    print(json.dumps(before), file=sys.stderr, flush=True)
    sys.stdin.readline()
    return {"before": before, "after": use(), "new": connect(denied, port)}


def act_allowed(address, port):
    """an unconnected socket that sends until it is answered. Return: what it was told before"""
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    s.settimeout(0.05)
    told = []
    while len(told) < 1000 and "0" not in told:
        told.append(errno_of(lambda: s.sendto(b"x", (address, int(port)))))
        if told[-1] == "0":
            told[-1] = errno_of(lambda: s.recv(100))
        else:
            time.sleep(0.02)
    return {"told": told}
