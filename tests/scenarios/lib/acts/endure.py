# SPDX-License-Identifier: LGPL-2.1-or-later
"""Flows without an end of their number, while something dies again and again."""

import itertools
import os
import socket
import sys
import threading
import time

from sockets import family_of

from .calls import errno_of

WITHIN_S = 20
PAUSE_S = 0.005


def _begin(address, sport):
    s = socket.socket(family_of(address), socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.settimeout(WITHIN_S)
    s.bind(("", sport))
    return s


def _echo(s):
    s.sendall(b"x")
    if s.recv(9) != b"x":
        raise ConnectionAbortedError(0, "an end")


def _serve(rows, address, port, sport):
    """one flow: when it began, how long connect(2) and all of it took, what both said"""
    began = time.monotonic()
    with _begin(address, sport) as s:
        told = [errno_of(lambda: s.connect((address, port)))]
        connected = time.monotonic()
        told.append(errno_of(lambda: _echo(s)) if told[0] == "0" else "-")
    rows.append((began, connected - began, time.monotonic() - began, *told))


def _hold(rows, address, port, sport):
    """one flow that is open and quiet: whether it began, how it ended, and when"""
    with _begin(address, sport) as s:
        began = errno_of(lambda: (s.connect((address, port)), _echo(s)))
        rows.append([began, "-", time.monotonic()])
        if began == "0":
            print("open", file=sys.stderr, flush=True)
            s.settimeout(None)
            rows[-1][1:] = errno_of(lambda: s.recv(9)), time.monotonic()


def act_endure(path, n_threads, sports, port, *addresses):
    """flows to each address in turn from several threads, and one that stays open, until the file is there; `sports`:
    FIRST-LAST, from which they begin, that one always from the first"""
    n, flows, held = int(n_threads), [], []
    low, high = map(int, sports.split("-"))

    def repeat(act, rows, ports):
        ends = itertools.cycle(addresses)
        while not os.path.exists(path):
            act(rows, next(ends) if act == _serve else addresses[0], int(port), next(ports))
            time.sleep(PAUSE_S)

    threads = [threading.Thread(target=repeat, args=(_serve, flows, itertools.cycle(range(low + 1 + i, high, n))))
               for i in range(n)]
    threading.Thread(target=repeat, args=(_hold, held, itertools.repeat(low)), daemon=True).start()
    for thread in threads:
        thread.start()
    print("enduring", file=sys.stderr, flush=True)
    for thread in threads:
        thread.join()
    return {"flows": flows, "held": held}
