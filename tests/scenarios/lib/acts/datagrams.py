# SPDX-License-Identifier: LGPL-2.1-or-later
"""Datagrams there and back: bursts, one by one, one socket and many peers."""

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
