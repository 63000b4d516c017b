# SPDX-License-Identifier: LGPL-2.1-or-later
"""Conversations of which a filter is shown what they carry."""

import concurrent.futures
import errno
import random
import select
import socket
import sys
import time
import zlib

from sockets import family_of

from .calls import errno_of

TCP_CLOSE = 7  # enum in the kernel's tcp_states.h
FIRST = 100  # bytes, after which a client waits for an answer


def _read(s, n):
    got = b""
    while len(got) < n and (some := s.recv(n - len(got))):
        got += some
    return got


def _read_all(s):
    got = b""
    while some := s.recv(65536):
        got += some
    return got


def act_exchange(address, port, size, seed="1", piece="0"):
    """100 bytes, and their echo; then `size` bytes in pieces, and theirs; then the end"""
    sent = random.Random(int(seed)).randbytes(FIRST + int(size))
    begun = time.monotonic()
    with socket.create_connection((address, int(port)), 20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(sent[:FIRST])
        got = _read(s, FIRST)
        first_s = time.monotonic() - begun
        step = int(piece) or max(1, int(size))
        s.settimeout(20)
        for at in range(FIRST, len(sent), step):
            s.sendall(sent[at:at + step])
            if not int(piece):
                break
        s.shutdown(socket.SHUT_WR)
        got += _read_all(s)
    return {"is_equal": got == sent, "n": len(got), "crc": f"{zlib.crc32(sent):08x}",
            "first_ms": round(first_s * 1000), "total_ms": round((time.monotonic() - begun) * 1000)}


def say(address, port, data):
    """what its calls were told"""
    with socket.socket(family_of(address)) as s:
        s.settimeout(15)
        told = [errno_of(lambda: s.connect((address, int(port))))]
        told.append(errno_of(lambda: s.sendall(data)))
        told.append(errno_of(lambda: s.recv(100) or (_ for _ in ()).throw(OSError(0, "end"))))
    return told


def act_say(address, port, text, times="1"):
    """says it, and what its calls were told"""
    return {"text": text, "told": say(address, port, text.encode() * int(times))}


def act_say_hex(address, port, text):
    """the same with any bytes"""
    return {"told": say(address, port, bytes.fromhex(text))}


def act_datagrams(address, port, n, size, seed="1"):
    """datagrams to an echo server, one after the other; Return: which came back as they were"""
    source = random.Random(int(seed))
    n_equal, slowest = 0, 0
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((address, int(port)))
        for _ in range(int(n)):
            sent = source.randbytes(int(size))
            begun = time.monotonic()
            told = errno_of(lambda data=sent: s.send(data))
            try:
                n_equal += s.recv(65536) == sent
            except OSError as error:
                return {"n_equal": n_equal, "told": [told, str(error)]}
            slowest = max(slowest, time.monotonic() - begun)
    return {"n_equal": n_equal, "slowest_ms": round(slowest * 1000), "told": []}


def act_say_datagram(address, port, text, within="5"):
    """one datagram, and what its calls were told"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(float(within))
        s.connect((address, int(port)))
        told = [errno_of(lambda: s.send(text.encode()))]
        told.append(errno_of(lambda: s.recv(100)))
    return {"text": text, "told": told}


def _wait_end(s, within=20):
    """the other side has our end: who ends before it was shown to filters takes them along"""
    until = time.monotonic() + within
    while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_CLOSE and time.monotonic() < until:
        time.sleep(0.01)


def _echo(s):
    n = 0
    with s:
        while some := s.recv(65536):
            s.sendall(some)
            n += len(some)
        s.shutdown(socket.SHUT_WR)
        _wait_end(s)
    return n


def act_serve_echo(port, defers=""):
    """one TCP connection, whose bytes go back"""
    with socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        if defers:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, int(defers))
        print("listening", file=sys.stderr, flush=True)
        s, _ = listener.accept()
    return {"n": _echo(s)}


class _Sharing:
    """listeners that share a port, each of which may get a connection"""

    def __init__(self, port):
        self._port, self._by_fd, self._poll = port, {}, select.poll()

    def add(self):
        s = socket.create_server(("", self._port), reuse_port=True)
        self._by_fd[s.fileno()] = s
        self._poll.register(s, select.POLLIN)

    def accept(self):
        return self._by_fd[self._poll.poll()[0][0]].accept()[0]


def act_serve_sharing(port, n_listeners, n_connections, n_more="0"):
    """the same, one connection after the other; then as many listeners come, and connections"""
    listeners, n = _Sharing(int(port)), 0
    for _ in range(int(n_listeners)):
        listeners.add()
    print("listening", file=sys.stderr, flush=True)
    for _ in range(int(n_connections)):
        n += _echo(listeners.accept())
    for _ in range(int(n_more)):
        listeners.add()
    print("sharing", file=sys.stderr, flush=True)
    for _ in range(int(n_more)):
        n += _echo(listeners.accept())
    return {"n": n}


def act_collect(address, port):
    """says one word and reads to the end, or whatever else ends it"""
    got, told = b"", "0"
    with socket.create_connection((address, int(port)), 20) as s:
        s.sendall(b"go")
        try:
            while some := s.recv(65536):
                got += some
        except OSError as error:
            told = errno.errorcode.get(error.errno, "nothing")
    return {"n": len(got), "crc": f"{zlib.crc32(got):08x}", "told": told}


def act_collect_all(address, *ports):
    """the same from several ports at one time"""
    with concurrent.futures.ThreadPoolExecutor(len(ports)) as pool:
        return list(pool.map(lambda port: act_collect(address, port), ports))


def act_talk_to(name, port):
    """asks for the name, connects, says a word and hears it"""
    try:
        with socket.create_connection((name, int(port)), 10) as s:
            s.sendall(b"hello")
            return {"told": "0" if s.recv(100) == b"hello" else "end"}
    except OSError as error:
        return {"told": str(error)}


def act_linger(kind, address, port, size, hold_s):
    """`size` bytes to an echo server and back, or a page of a server that closes; then it only
    stays for a while. Return: payload bytes, out and in"""
    size = int(size)
    with socket.socket(family_of(address), socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as s:
        s.settimeout(20)
        s.connect((address, int(port)))
        if kind == "http":
            request = b"GET / HTTP/1.0\r\n\r\n"
            s.sendall(request)
            n_out, n_in = len(request), len(_read_all(s))
        else:
            step = 1000 if kind == "udp" else 50_000
            n_out = n_in = 0
            while n_out < size:
                s.sendall(b"x" * min(step, size - n_out))
                n_out += min(step, size - n_out)
                n_in += len(s.recv(step) if kind == "udp" else _read(s, n_out - n_in))
        time.sleep(float(hold_s))
    return {"out": n_out, "in": n_in}
