# SPDX-License-Identifier: LGPL-2.1-or-later
"""Carries out errands, one a line: see errands.py."""

import json
import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import time


def _blocking(s, peer):
    s.connect(peer)


def _wait(s):
    poll = select.poll()
    poll.register(s, select.POLLOUT)
    poll.poll(20000)
    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _non_blocking(s, peer):
    s.setblocking(False)
    s.connect_ex(peer)
    _wait(s)


def _fast_open(s, peer):
    s.sendto(b"x", socket.MSG_FASTOPEN, peer)
    _wait(s)


def _connected(s, peer):
    s.connect(peer)
    s.send(b"x")
    s.recv(10)


def _unconnected(s, peer):
    s.sendto(b"x", peer)
    s.recvfrom(10)


WAYS = {"blocking": (_blocking, socket.SOCK_STREAM), "non-blocking": (_non_blocking, socket.SOCK_STREAM),
        "Fast Open": (_fast_open, socket.SOCK_STREAM), "UDP, connected": (_connected, socket.SOCK_DGRAM),
        "UDP, unconnected": (_unconnected, socket.SOCK_DGRAM)}


def _took_ms(way, address, port):
    call, kind = WAYS[way]
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as s:
        s.settimeout(20)
        begin = time.perf_counter()
        call(s, (address, port))
        return (time.perf_counter() - begin) * 1000


def _shell(words, folder):
    """in an empty folder"""
    os.mkdir(folder)
    try:
        begin = time.perf_counter()
        done = subprocess.run(["sh", "-c", words], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        took = time.perf_counter() - begin
    finally:
        shutil.rmtree(folder)
    return {"error": done.stderr[-500:] or "failed"} if done.returncode else {"s": took}


def main(orders, folder):
    with open(orders) as lines:
        for line in lines:
            order = json.loads(line)
            if "shell" in order:
                answer = _shell(order["shell"], folder)
            else:
                try:
                    answer = {"ms": statistics.median(_took_ms(order["way"], order["address"], order["port"])
                                                      for _ in range(order["n"]))}
                except OSError as error:
                    answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
