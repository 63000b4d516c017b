# SPDX-License-Identifier: LGPL-2.1-or-later
"""Datagrams there and back: bursts, one by one, one socket and many peers."""

import os
import socket
import threading
import time

from sockets import family_of

from .calls import errno_of

SO_MARK = 36


def _receive(s, n):
    """what comes within a while, and from whom"""
    came, peers = [], set()
    try:
        while len(came) < n:
            data, peer = s.recvfrom(65536)
            came.append(data)
            peers.add(peer[0])
    except TimeoutError:
        pass
    return came, sorted(peers)


def numbered(address, port, n):
    """one each millisecond. Return: the numbers of those that come back, as they come"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.connect((address, int(port)))
        for i in range(int(n)):
            s.send(b"%d" % i)
            time.sleep(0.001)
        s.settimeout(0.3)
        return [int(data) for data in _receive(s, int(n))[0]]


def act_there_and_back(address, port, n, size, is_connected):
    """a burst of `n`, then as many one by one. Return: what came back as it was sent"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        to = (address, int(port))
        if int(is_connected):
            s.connect(to)
        def send(data):
            return s.send(data) if int(is_connected) else s.sendto(data, to)
        burst = [b"%08d" % i + b"x" * (int(size) - 8) for i in range(int(n))]
        for data in burst:
            send(data)
        came, peers = _receive(s, len(burst))
        single = 0
        for data in burst:
            send(data)
            single += _receive(s, 1)[0] == [data]
        return {"burst": sorted(came) == burst, "order": came == burst, "single": single, "peers": peers}


def act_many_peers(prefix, port, n):
    """one socket that is not connected to many peers. Return: answers from the one that was asked"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        right = 0
        for i in range(1, int(n) + 1):
            s.sendto(b"%d" % i, (f"{prefix}.{i}", int(port)))
        for _ in range(int(n)):
            data, peer = s.recvfrom(1000)
            right += peer == (f"{prefix}.{data.decode()}", int(port))
        return {"right": right}


def act_sockets(address, port, n, seconds):
    """sockets, one after the other, then a pause. Return: answers"""
    right = 0
    for _ in range(int(n)):
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.connect((address, int(port)))
            s.send(b"x")
            right += _receive(s, 1)[0] == [b"x"]
    time.sleep(float(seconds))
    return {"right": right}


def act_each_peer(port, *addresses):
    """one socket that is not connected, also of two families. Return: from whom answers came"""
    is_dual = any(":" in address for address in addresses)
    with socket.socket(socket.AF_INET6 if is_dual else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        came = []
        for address in addresses:
            s.sendto(address.encode(), (address if ":" in address or not is_dual else "::ffff:" + address, int(port)))
            data, peer = s.recvfrom(1000)
            came.append([data.decode(), peer[0].removeprefix("::ffff:"), peer[1]])
        return {"came": came}


def act_by_name(name, port, n):
    """to what the name has for an address"""
    address = socket.getaddrinfo(name, int(port), socket.AF_INET, socket.SOCK_DGRAM)[0][4]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect(address)
        right = 0
        for i in range(int(n)):
            s.send(b"%d" % i)
            right += s.recv(100) == b"%d" % i
        return {"right": right, "address": address[0]}


def _forward(here, server):
    """a resolver that knows nothing by itself"""
    while True:
        query, client = here.recvfrom(1000)
        with socket.socket(family_of(server), socket.SOCK_DGRAM) as there:
            there.settimeout(3)
            there.sendto(query, (server, 53))
            here.sendto(there.recv(1000), client)


def act_resolver(local, server, port, address, query):
    """one socket asks a resolver of the machine, which asks elsewhere, and an echo. Return: both answers"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        here.bind((local, 53))
        threading.Thread(target=_forward, args=(here, server), daemon=True).start()
        s.settimeout(5)
        came = []
        for data, peer in ((bytes.fromhex(query), (local, 53)), (b"echo", (address, int(port)))) * 2:
            s.sendto(data, peer)
            answer, source = s.recvfrom(1000)
            came.append([answer.hex(), source == peer])
        return {"came": came}


def act_after_idle(address, port, seconds):
    """asks, gets the same by itself after that time, and asks again"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.connect((address, int(port)))
        came = []
        for data, n in ((b"first", 2), (b"second", 1)):
            s.send(data)
            for i in range(n):
                s.settimeout(5 + i * float(seconds))
                came.append(s.recv(100).decode())
        return {"came": came}


def act_told_each_time(address, port, n, pause_s=0, seconds=3):
    """a connected socket asks again and again. Return: what its calls are told"""
    def ask(s):
        s.send(b"x")
        return s.recv(100)

    told = []
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(float(seconds))
        s.connect((address, int(port)))
        for _ in range(int(n)):
            told.append(errno_of(lambda: ask(s), late="ETIMEDOUT"))
            time.sleep(float(pause_s))
    return {"told": told}


def act_from_port(own_port, address, port, n, text):
    """from this local port, one by one. Return: answers that are what was sent"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.bind(("", int(own_port)))
        right = 0
        for i in range(int(n)):
            data = f"{text} {i}".encode()
            s.sendto(data, (address, int(port)))
            right += _receive(s, 1)[0] == [data]
        return {"right": right}


def act_marked(address, port, mark, n):
    """so many datagrams, each with a mark in the byte that is Sluice's; what each call is told"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, SO_MARK, int(mark) << 24)
        told = []
        for _ in range(int(n)):
            told.append(errno_of(lambda: s.sendto(b"x", (address, int(port)))))
            time.sleep(0.3)  # the verdict on the first one
    return {"told": told}


def act_at_once(address, port, n):
    """so many sockets, each with a datagram, then their answers. Return: right ones"""
    sockets = [socket.socket(family_of(address), socket.SOCK_DGRAM) for _ in range(int(n))]
    for i, s in enumerate(sockets):
        s.settimeout(5)
        s.connect((address, int(port)))
        s.send(b"%d" % i)
    return {"right": sum(_receive(s, 1)[0] == [b"%d" % i] for i, s in enumerate(sockets))}


def act_steady_datagrams(address, port, go):
    """one socket sends until @go is there and an answer comes to what is sent then"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        s.connect((address, int(port)))
        end = time.monotonic() + 20
        while time.monotonic() < end:
            is_last = os.path.exists(go)
            data = f"{time.monotonic()}".encode()
            try:
                s.send(data)
                while (answer := s.recv(1000)) != data:
                    pass
            except OSError:  # refused, or lost, while nobody is there for it
                continue
            if is_last:
                return {"comes": answer == data}
        return {"comes": False}


def act_paced(address, port, n, size, pause_s):
    """a datagram, and a pause, again and again. Return: how many came back, each once and as it was sent"""
    sent = [b"%08d" % i + b"x" * (int(size) - 8) for i in range(int(n))]
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((address, int(port)))
        for data in sent:
            s.send(data)
            time.sleep(float(pause_s))
        return {"same": sorted(_receive(s, len(sent))[0]) == sent}
