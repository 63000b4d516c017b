# SPDX-License-Identifier: LGPL-2.1-or-later
"""Datagrams there and back: bursts, one by one, one socket and many peers."""

import os
import socket
import time

from sockets import family_of


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
