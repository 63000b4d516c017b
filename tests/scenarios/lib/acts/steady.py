# SPDX-License-Identifier: LGPL-2.1-or-later
"""Connections from a port that is known, so that each packet of theirs is known on the wire."""

import errno
import os
import socket
import sys
import time

from sockets import family_of

PART = 1 << 16
PAUSE_S = 0.002  # after each part: 50 MB take more than a second


def _from(address, port, sport, within):
    s = socket.socket(family_of(address), socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", int(sport)))
    s.settimeout(within)
    s.connect((address, int(port)))
    return s


def _end(call):
    """how a call ended, in words: an errno, or "0" """
    try:
        call()
    except TimeoutError:
        return "nothing"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "0"


def act_take(address, port, sport, size, within="20"):
    """a download at a steady pace. Return: its bytes, and how it ended"""
    got = 0

    def run():
        nonlocal got
        with _from(address, port, sport, float(within)) as s:
            s.sendall(f"GET /bytes/{size} HTTP/1.0\r\n\r\n".encode())
            while part := s.recv(PART):
                if not got:
                    print("connected", file=sys.stderr, flush=True)
                got += len(part)
                time.sleep(PAUSE_S)
    return {"end": _end(run), "got": got, "whole": got > int(size)}


def act_give(address, port, sport, within="20"):
    """sends without an end, to somebody who does not read for long. Return: how it ended"""
    def run():
        with _from(address, port, sport, float(within)) as s:
            print("connected", file=sys.stderr, flush=True)
            while True:
                s.sendall(b"x" * PART)
    return {"end": _end(run)}


def act_talk_on(address, port, sport, pause, within="20"):
    """an echo, then quiet for `pause` seconds, an echo again and the end. Return: how it ended"""
    def run():
        with _from(address, port, sport, float(within)) as s:
            s.sendall(b"first")
            s.recv(100)
            print("connected", file=sys.stderr, flush=True)
            time.sleep(float(pause))
            s.sendall(b"second")
            s.recv(100)
    return {"end": _end(run)}


def act_wait_on(address, port, sport, within="20"):
    """an echo, then what comes until the end. Return: how it ended"""
    def run():
        with _from(address, port, sport, float(within)) as s:
            s.sendall(b"first")
            s.recv(100)
            print("connected", file=sys.stderr, flush=True)
            while s.recv(100):
                pass
    return {"end": _end(run)}


def act_reach(address, port, sport, within="20"):
    """one connect. Return: its errno, and how long it took"""
    began = time.monotonic()
    end = _end(lambda: _from(address, port, sport, float(within)).close())
    return {"end": end, "took": time.monotonic() - began}


def act_reach_until(path, address, port, pause="0.05"):
    """connects, one after the other, until the file is there. Return: the errors, and the longest connect"""
    ends, longest = {}, 0.0
    print("connected", file=sys.stderr, flush=True)
    while not os.path.exists(path):
        told = act_reach(address, port, 0)
        ends[told["end"]] = ends.get(told["end"], 0) + 1
        longest = max(longest, told["took"])
        time.sleep(float(pause))
    return {"ends": ends, "longest": longest}


def _echo(s):
    s.sendall(b"x")
    if s.recv(9) != b"x":
        raise ConnectionResetError(errno.ECONNRESET, "an end")


def _count(ends):
    return {end: ends.count(end) for end in ends}


def act_hold_many(address, port, count):
    """`count` connections at one time, each is used; those that work once more, and ten when they are closed"""
    open_ones, ends = [], []

    def begin():
        open_ones.append(_from(address, port, 0, 10))
        _echo(open_ones[-1])

    for _ in range(int(count)):
        n = len(open_ones)
        ends.append(_end(begin))
        if ends[-1] != "0" and len(open_ones) > n:
            open_ones.pop().close()
    those = [_end(lambda s=s: _echo(s)) for s in open_ones]
    for s in open_ones:
        s.close()
    time.sleep(1)
    open_ones.clear()
    then = [_end(begin) for _ in range(10)]
    return {"all": _count(ends), "those": _count(those), "then": _count(then)}


def _wait_for_file(path, within=40):
    end = time.monotonic() + within
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise TimeoutError(path)
        time.sleep(0.01)


def act_stay(folder, address, port, n):
    """a connection more for each file FOLDER/go-0, go-1 …; all of them talk each time, and FOLDER/done-0 …
    says so. Return: how each call ended"""
    stays, said = [], []

    def talk(s):
        s.sendall(b"still here")
        if s.recv(100) != b"still here":
            raise OSError(errno.EPROTO, "another echo")

    for i in range(int(n)):
        _wait_for_file(f"{folder}/go-{i}")
        s = socket.socket(family_of(address), socket.SOCK_STREAM)
        s.settimeout(15)
        said.append([_end(lambda: s.connect((address, int(port))))])
        stays.append(s)
        said[-1] += [_end(lambda: talk(s)) for s in stays]
        with open(f"{folder}/done-{i}.new", "w"):
            os.rename(f"{folder}/done-{i}.new", f"{folder}/done-{i}")
    return said
