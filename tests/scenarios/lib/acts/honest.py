# SPDX-License-Identifier: LGPL-2.1-or-later
"""The program's side of lib/honest, and connect(2) in ways that others do not have."""

import concurrent.futures
import errno
import select
import socket
import struct
import time

import honest
from sockets import disconnect, family_of

from .calls import errno_of


def _one(name, host, port):
    said = []
    with socket.create_connection((host, port), honest.PATIENCE_S) as s:
        honest.play(name, "program", s, lambda *what: said.extend(what))
    return said


def act_honest(host, *cases):
    """each case is NAME:PORT; all at once. Return: what the program said, by its name"""
    ports = dict(case.split(":") for case in cases)
    said = {name: _one(name, host, int(ports.pop(name))) for name in honest.FORKING if name in ports}
    with concurrent.futures.ThreadPoolExecutor(len(ports) or 1) as pool:
        later = {name: pool.submit(_one, name, host, int(port)) for name, port in ports.items()}
        return said | {name: one.result() for name, one in later.items()}


def act_first_words(host, port, count):
    """connections that the other side resets as it takes them: what connect(2) gave, and what comes then"""
    found = {}
    for i in range(int(count)):
        with socket.socket(family_of(host), socket.SOCK_STREAM) as s:
            honest.patient(s)
            error = errno_of(lambda: s.connect((host, int(port))))
            key = f"connect {error}" if error != "0" else f"{honest.drain(s)}"
        found[key] = found.get(key, 0) + 1
    return found


def _attempt(s, host, port, within_s=20):
    """a connect that does not block, and what poll(2) and SO_ERROR say of it; [] when nothing in time"""
    error = s.connect_ex((host, int(port)))
    poll = select.poll()
    poll.register(s, select.POLLOUT | select.POLLIN)
    got = poll.poll(within_s * 1000) if error in (0, errno.EINPROGRESS) else []
    return [errno.errorcode.get(error, "0"), honest.events(s) if got else [], honest.error(s)]


def _echo(s):
    honest.patient(s)
    return honest.told(lambda: s.send(b"echo") and s.recv(4).decode())


def act_again(host, port, closed, black):
    """one socket, connected again and again. Return: what each call was told"""
    said = []
    with socket.socket(family_of(host), socket.SOCK_STREAM) as s:
        s.setblocking(False)
        said += [_attempt(s, host, closed), honest.state(s), errno_of(s.getpeername)]
        said += [_attempt(s, host, port), _echo(s), errno_of(lambda: s.connect((host, int(port))))]
        disconnect(s)
        said += [honest.state(s), honest.events(s), errno_of(s.getpeername)]
        s.setblocking(False)
        said += [_attempt(s, host, port), _echo(s)]
        disconnect(s)
        s.setblocking(False)
        said += [_attempt(s, black, port, 0.3), errno_of(lambda: s.connect((black, int(port))))]
        disconnect(s)
        said += [honest.state(s), _attempt(s, host, port), _echo(s)]
        disconnect(s)
        s.setblocking(False)
        said += [_attempt(s, black, port, 0.3), errno_of(lambda: s.shutdown(socket.SHUT_RDWR)), honest.state(s)]
        said += [_attempt(s, host, port), _echo(s)]
    return said


def act_same_ports(port, first, count, *hosts):
    """`count` ports, each of them to all hosts at once: what each was told, and what came back of its own bytes"""
    sockets = []
    for host in hosts:
        for sport in range(int(first), int(first) + int(count)):
            s = socket.socket(family_of(host), socket.SOCK_STREAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("", sport))
            s.setblocking(False)
            sockets.append((s, s.connect_ex((host, int(port))), f"{host} {sport}".encode()))
    said = []
    for s, error, word in sockets:
        honest.patient(s)
        select.select([], [s], [], honest.PATIENCE_S)
        got = honest.told(lambda s=s, word=word: s.send(word) and s.recv(len(word), socket.MSG_WAITALL) == word)
        said.append([errno.errorcode.get(error, "0"), honest.error(s), got])
    for s, _, _ in sockets:
        s.close()
    return said


def _bound(host, port, sport, end):
    with socket.socket(family_of(host), socket.SOCK_STREAM) as s:
        honest.patient(s)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", sport))
        error = errno_of(lambda: s.connect((host, port)))
        got = _echo(s) if error == "0" else None
        if end == "reset":
            honest.abort(s)
        elif end == "server first" and error == "0":
            s.shutdown(socket.SHUT_WR)
            s.recv(1)
    honest.pause()  # the other side ends as well
    return [error, got]


def act_same_port_again(host, port, sport, count):
    """one port, to the same place again and again, ended in each way"""
    return {end: [_bound(host, int(port), int(sport) + i, end) for _ in range(int(count))]
            for i, end in enumerate(("reset", "full", "server first"))}


def act_odd_places(*places):
    """connect(2) to address,port, from an address if there is a third: errno names"""
    said = {}
    for place in places:
        host, port, *source = place.split(",")
        with socket.socket(family_of(source[0] if source else host), socket.SOCK_STREAM) as s:
            s.settimeout(5)
            began = time.monotonic()
            said[place] = errno_of(lambda s=s: s.bind((source[0], 0))) if source else "0"
            said[place] += " " + errno_of(lambda s=s, host=host, port=port: s.connect((host, int(port))))
            if said[place] == "0 0":
                said[place] += f" {s.getpeername()[0]} {s.getsockname()[0]} {_echo(s)}"
            said[place] += " later" if time.monotonic() - began > 0.9 else ""
    return said


def act_patience_of_the_kernel(black, port):
    """its own timers of a connect(2) that nobody answers: what it is told, and seconds"""
    said = {}
    for name, level, option, value in (("user timeout", socket.IPPROTO_TCP, 18, struct.pack("I", 500)),
                                       ("one SYN more", socket.IPPROTO_TCP, socket.TCP_SYNCNT, struct.pack("i", 1)),
                                       ("send timeout", socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300000))):
        with socket.socket(family_of(black), socket.SOCK_STREAM) as s:
            s.setsockopt(level, option, value)
            began = time.monotonic()
            first = errno_of(lambda s=s: s.connect((black, int(port))), "ETIMEDOUT")
            said[name] = [first, round(time.monotonic() - began), honest.events(s), honest.error(s)]
    return said


def act_slow_door(host, port):
    """a listener whose line is full: when is connect(2) told, and what"""
    with socket.socket(family_of(host), socket.SOCK_STREAM) as s:
        s.setblocking(False)
        return [_attempt(s, host, port, 0.7), honest.state(s), bool(select.select([], [s], [], 10)[1]), honest.error(s), _echo(s)]
