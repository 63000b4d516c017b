# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests that name a host in their first bytes."""

import base64
import socket
import ssl
import sys
import time

from sockets import family_of

from . import h2
from .calls import errno_of

WITHIN_S = 10


def corpus(file, title):
    """the datagrams, or the one flight, of a line of tests/names/corpus"""
    with open(file) as lines:
        line = next(line for line in lines if line.startswith(title + " "))
    return [base64.b64decode(part) for part in line.split()[4].split(",")]


def _connect(name, port):
    s = socket.create_connection((name, port), WITHIN_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def _get(s, name):
    s.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    got = b""
    while some := s.recv(65536):
        got += some
    return f"hello from {name}".encode() in got


def _http(name, port, _):
    with _connect(name, port) as s:
        yield s.getsockname()[1]
        yield _get(s, name)


def _secure(s, name, *protocols):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    return context.wrap_socket(s, server_hostname=name)


def _https(name, port, _):
    with _connect(name, port) as s:
        yield s.getsockname()[1]
        with _secure(s, name) as secure:
            yield _get(secure, name)


def _h2(name, port, _):
    """a server of files, one for each name"""
    with _connect(name, port) as s:
        yield s.getsockname()[1]
        with _secure(s, name, "h2") as secure:
            is_h2 = secure.selected_alpn_protocol() == "h2"
            yield is_h2 and h2.get(secure, name, "/" + name) == f"hello from {name}\n".encode()


def _said(name, port, what):
    """recorded bytes to an echo server"""
    sent = b"".join(corpus(*what[name]))
    with _connect(name, port) as s:
        yield s.getsockname()[1]
        s.sendall(sent)
        got = b""
        while len(got) < len(sent) and (some := s.recv(65536)):
            got += some
        yield got == sent


def _said_datagrams(name, port, what):
    address = socket.getaddrinfo(name, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(address[0], socket.SOCK_DGRAM) as s:
        s.settimeout(WITHIN_S)
        s.connect(address[4])
        yield s.getsockname()[1]
        sent = corpus(*what[name])
        for datagram in sent:
            s.send(datagram)
        yield all(s.recv(65536) == datagram for datagram in sent)


WAYS = {"http": _http, "https": _https, "h2": _h2, "h2c": _said, "quic": _said_datagrams}


def _try(way, name, port, what):
    """Return: (local port, ok or what went wrong)"""
    steps, local = WAYS[way](name, port, what), 0
    try:
        local = next(steps)
        return local, "ok" if next(steps) else "other bytes"
    except OSError as error:
        return local, errno_of(lambda: (_ for _ in ()).throw(error))


def act_fetch(rounds, listed, free, ways, *titles):
    """@ways: WAY:PORT,…; @titles: WAY:FILE:TITLE of the listed and the free name, for recorded
    ones. Each round fetches the one and the other, by each way"""
    what, n, ports, wrong = {}, 0, {listed: set(), free: set()}, []
    for title in titles:
        way, file, *words = title.split(":")
        what[way] = {name: (file, word) for name, word in zip((listed, free), words)}
    slowest = 0
    for _ in range(int(rounds)):
        for way, port in (pair.split(":") for pair in ways.split(",")):
            for name in (listed, free):
                begun = time.monotonic()
                local, told = _try(way, name, int(port), what.get(way))
                slowest = max(slowest, time.monotonic() - begun)
                n += 1
                ports[name].add((local, int(port)))
                if (told == "ok") != (name == free):
                    wrong.append([way, name, told])
    return {"n": n, "wrong": wrong[:20], "n_wrong": len(wrong), "slowest_ms": round(slowest * 1000),
            "denied": sorted(ports[listed] - ports[free])}  # local and remote ports; one may be used twice


def act_pieces(address, port, file, title, size, pause_s="0", record="0"):
    """a recorded hello to an echo server in segments of @size; @record: the same in records"""
    hello = corpus(file, title)[0]
    if int(record):
        body, step = hello[5:], int(record)
        hello = b"".join(hello[:3] + len(part).to_bytes(2, "big") + part
                         for part in (body[at:at + step] for at in range(0, len(body), step)))
    with socket.socket(family_of(address)) as s:
        s.settimeout(WITHIN_S)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        told = [errno_of(lambda: s.connect((address, int(port))))]
        for at in range(0, len(hello), int(size)):
            try:
                s.sendall(hello[at:at + int(size)])
            except OSError:
                break
            time.sleep(float(pause_s))
        told.append(errno_of(lambda: s.recv(100) or (_ for _ in ()).throw(OSError(0, "end"))))
    return {"told": told}


def act_greeted(address, port, word="QUIT"):
    """a server that speaks first: its greeting, then a word, then its answer"""
    begun = time.monotonic()
    with socket.create_connection((address, int(port)), WITHIN_S) as s:
        greeting = s.recv(100).decode()
        greeted_s = time.monotonic() - begun
        print("greeted", file=sys.stderr, flush=True)
        s.sendall(word.encode() + b"\r\n")
        answer = s.recv(100).decode()
    return {"greeting": greeting, "answer": answer, "greeted_ms": round(greeted_s * 1000),
            "total_ms": round((time.monotonic() - begun) * 1000)}
