# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that does what it is told, one line at a time: see orders.py."""

import errno
import json
import os
import select
import socket
import threading
import time

from sockets import family_of

from .calls import errno_of, flow_to
from .carry import say
from .datagrams import numbered


class _Stream:
    """a flow that runs all the time: the longest time without anything from it"""

    def __init__(self, work, *words):
        self._last, self._longest, self.error, self.n = time.monotonic(), 0.0, None, 0
        threading.Thread(target=self._run, args=(work, *words), daemon=True).start()

    def _run(self, work, *words):
        try:
            work(self._beat, *words)
        except Exception as error:
            self.error = repr(error)

    def _beat(self):
        now = time.monotonic()
        self._longest, self._last, self.n = max(self._longest, now - self._last), now, self.n + 1

    def gap_ms(self):
        """the longest one since the last call"""
        longest, self._longest = max(self._longest, time.monotonic() - self._last), 0.0
        return int(longest * 1000)


def _receive(beat, address, port, path):
    """a download of which each byte is known: see servers.PATTERN"""
    s = socket.create_connection((address, int(port)))
    s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    got, pattern = b"", bytes(range(256)) * 257
    while b"\r\n\r\n" not in got:
        got += s.recv(1)
    at = 0
    while data := s.recv(65536):
        if data != pattern[at % 256:at % 256 + len(data)]:
            raise ValueError(f"other bytes than were sent, after {at}")
        at += len(data)
        beat()
    raise ValueError(f"ended after {at} bytes")


def _echo(beat, address, port):
    """a datagram each 10 ms; each that comes back counts"""
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    s.connect((address, int(port)))
    s.settimeout(0.01)
    while True:
        s.send(b"x")
        try:
            s.recv(100)
            beat()
        except TimeoutError:
            continue
        time.sleep(0.01)


def _serve(port):
    """sends back what comes first, of each connection"""
    with socket.create_server(("", int(port))) as listener:
        while True:
            with listener.accept()[0] as s:
                s.sendall(s.recv(100))


def _read_from(address, port, sport):
    """from that port, until the other side has ended"""
    with socket.socket(family_of(address)) as s:
        s.settimeout(10)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", int(sport)))
        s.connect((address, int(port)))
        while s.recv(100):
            pass


class _Load:
    """connects at a steady rate, to each end in turn; a new socket each, for @patience_s at most"""

    def __init__(self, per_s, patience_s, port, *ends):
        self._wait, self._patience_s, self._port, self._ends = 1 / float(per_s), float(patience_s), int(port), ends
        self._poll, self._open = select.epoll(), {}
        self._errors, self._slowest, self._is_ending = {end: {} for end in ends}, 0.0, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _begin(self, end):
        s = socket.socket(family_of(end), socket.SOCK_STREAM)
        s.setblocking(False)
        s.connect_ex((end, self._port))
        self._open[s.fileno()] = (s, end, time.monotonic())
        self._poll.register(s.fileno(), select.EPOLLOUT)

    def _end(self, fd, error=None):
        s, end, began = self._open.pop(fd)
        error = error or errno.errorcode.get(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "0")
        self._errors[end][error] = self._errors[end].get(error, 0) + 1
        self._slowest = max(self._slowest, time.monotonic() - began)
        self._poll.unregister(fd)
        s.close()

    def _give_up(self):
        """the kernel sends a SYN that was lost again after 1, 2, 4 … 64 s"""
        longest = time.monotonic() - self._patience_s
        while self._open and (oldest := next(iter(self._open.items())))[1][2] < longest:
            self._end(oldest[0], "ETIMEDOUT")

    def _run(self):
        n, due = 0, time.monotonic()
        while self._open or not self._is_ending:
            while due <= time.monotonic() and not self._is_ending:
                self._begin(self._ends[n % len(self._ends)])
                n, due = n + 1, due + self._wait
            for fd, _ in self._poll.poll(max(0.001, due - time.monotonic())):
                self._end(fd)
            self._give_up()

    def stop(self):
        """the last ones are waited for"""
        self._is_ending = True
        self._thread.join(20)
        return {"errors": self._errors, "left": len(self._open), "slowest_ms": int(self._slowest * 1000)}


def _obey(streams, number, kind, *words):
    began = time.monotonic()
    if kind in ("receive", "echo"):
        streams[kind] = _Stream({"receive": _receive, "echo": _echo}[kind], *words)
        answer = {}
    elif kind == "load":
        streams[kind], answer = _Load(*words), {}
    elif kind == "unload":
        answer = streams.pop("load").stop()
    elif kind == "serve":
        _serve(*words)
    elif kind == "say":
        answer = {"told": say(*words, b"hello")}
    elif kind == "read":
        answer = {"error": errno_of(lambda: _read_from(*words))}
    elif kind == "numbered":
        answer = {"came": numbered(*words)}
    elif kind == "gaps":
        answer = {name: {"gap_ms": s.gap_ms(), "error": s.error, "n": s.n} for name, s in streams.items() if isinstance(s, _Stream)}
    else:
        answer = {"error": flow_to(kind, *words, 9), "took_ms": (time.monotonic() - began) * 1000,
                  "ended": time.monotonic()}
    os.write(1, (json.dumps({"id": int(number), **answer}) + "\n").encode())  # whole, among threads


def act_obey(path):
    """orders, one a line of a FIFO, each carried out at once: see orders.py"""
    streams = {}
    with open(path) as orders:
        for line in orders:
            threading.Thread(target=_obey, args=(streams, *line.split()), daemon=True).start()
    return {"id": 0}
