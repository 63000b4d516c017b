# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many flows: how often they were told what, and how long they took."""

import errno
import os
import select
import socket
import sys
import threading
import time

from sockets import family_of

from .calls import ask, ask_unconnected, connect


def act_names(name, port, count):
    """resolves `name`, then `count` flows to it: TCP and UDP, over both families"""
    ends = {info[4][0] for info in socket.getaddrinfo(name, int(port))}
    makers = [(make, end) for make in (connect, ask) for end in sorted(ends)]
    errors, took = {}, []
    for i in range(int(count)):
        make, end = makers[i % len(makers)]
        began = time.monotonic()
        error = make(end, port)
        took.append(int((time.monotonic() - began) * 1e6))
        errors[error] = errors.get(error, 0) + 1
    took.sort()
    return {"errors": errors, "count": len(took), "p99_us": took[len(took) * 99 // 100],
            "max_us": took[-1]}


def act_crowd(address, port, count):
    """`count` connected sockets send at once. Return: what each was told, and the slowest"""
    poll, told, began = select.poll(), {}, {}
    sockets = {}
    for _ in range(int(count)):
        s = socket.socket(family_of(address), socket.SOCK_DGRAM)
        s.connect((address, int(port)))
        sockets[s.fileno()] = s
        poll.register(s, select.POLLIN)
    for fd, s in sockets.items():
        began[fd] = time.monotonic()
        s.send(b"x")
    took = []
    while sockets:
        ready = poll.poll(20000)
        if not ready:
            told["nothing"] = len(sockets)
            break
        for fd, _ in ready:
            error = sockets[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            took.append(int((time.monotonic() - began[fd]) * 1e6))
            name = errno.errorcode.get(error, "0")
            told[name] = told.get(name, 0) + 1
            poll.unregister(fd)
            sockets.pop(fd).close()
    took.sort()
    return {"told": told, "count": len(took), "p99_us": took[len(took) * 99 // 100], "max_us": took[-1]}


def act_steady(end, *targets):
    """flows to `targets` (tcp|udp|sendto,ADDRESS,PORT) until the file `end` is there.
    Return: how often each target got which errno, and how long all took"""
    makers = {"tcp": connect, "udp": ask, "sendto": ask_unconnected}
    told, began = {target: {} for target in targets}, time.monotonic()

    def repeat(target):
        kind, address, port = target.split(",")
        while not os.path.exists(end):
            error = makers[kind](address, port)
            told[target][error] = told[target].get(error, 0) + 1
            time.sleep(0.02)

    threads = [threading.Thread(target=repeat, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    print("steady", file=sys.stderr, flush=True)
    for thread in threads:
        thread.join()
    return {"told": told, "took_s": time.monotonic() - began}


def _timed_connect(address, port):
    began = time.monotonic()
    error = connect(address, port)
    if error != "0":
        raise OSError(error)
    return round((time.monotonic() - began) * 1e3, 2)


def act_many(network, count, trigger, port, path):
    """one UDP socket with `count` peers, each answers once; `trigger`: a TCP connect, on which a
    filter judges all again; then connects are timed until `path` is there"""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    s.settimeout(5)
    n = answered = 0
    while answered < int(count):
        while n < int(count) and n - answered < 64:
            s.sendto(b"x", (f"{network}.{n // 250}.{n % 250 + 1}", 7))
            n += 1
        s.recvfrom(100)
        answered += 1
    before = [_timed_connect(trigger, port) for _ in range(50)]
    connect(trigger, int(port) + 1)
    print("asked", file=sys.stderr, flush=True)
    during = []
    while not os.path.exists(path):
        during.append(_timed_connect(trigger, port))
        time.sleep(0.002)
    during.sort()
    return {"answered": answered, "before_max_ms": max(before), "n_during": len(during),
            "median_ms": during[len(during) // 2], "p95_ms": during[len(during) * 95 // 100],
            "max_ms": during[-1]}


def act_rounds(hosts, port, per_second, until):
    """connects to the first address of each of `hosts`, in turn, until the file `until` is there.
    Return: for each round what each host gave"""
    ends = [socket.getaddrinfo(host, int(port), socket.AF_INET)[0][4][0] for host in hosts.split(",")]
    rounds, due = [], time.monotonic()
    while not os.path.exists(until):
        rounds.append([connect(end, port) for end in ends])
        due = max(due + len(ends) / float(per_second), time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))
    return {"rounds": rounds}
