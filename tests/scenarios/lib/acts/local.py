# SPDX-License-Identifier: LGPL-2.1-or-later
"""Conversations within the machine."""

import os
import socket
import sys
import time

from sockets import disconnect, family_of

from .calls import errno_of

SO_BINDTODEVICE = 25


def _ask(s, peer):
    s.sendto(b"x", peer)
    return s.recv(100)


def act_serve_datagrams(address, port, n):
    """so many datagrams go back"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.bind((address, int(port)))
        print("listening", file=sys.stderr, flush=True)
        for _ in range(int(n)):
            data, peer = s.recvfrom(100)
            s.sendto(data, peer)
    return {"n": int(n)}


def act_asked_first(address, port, peer):
    """waits to be spoken to by that port, and answers it twice; what its calls were told"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.bind((address, int(port)))
        print("listening", file=sys.stderr, flush=True)
        s.settimeout(20)
        s.recv(100)
        return {"told": [errno_of(lambda: _ask(s, (address, int(peer)))) for _ in range(2)]}


def act_connect_accepted(address, listens, port):
    """a socket that was accepted connects to another port; what it is told"""
    with socket.create_server((address, int(listens))) as listener, socket.create_connection((address, int(listens)), 5):
        s, _ = listener.accept()
        with s:
            disconnect(s)
            return {"told": errno_of(lambda: s.connect((address, int(port))))}


def act_turn_round(address, port):
    """a listener, which no bind(2) holds at its port, hears from that peer and then connects to it"""
    with socket.socket() as listener:
        listener.listen()
        print(f"listening on {listener.getsockname()[1]}", file=sys.stderr, flush=True)
        listener.settimeout(20)
        s, _ = listener.accept()
        with s:
            disconnect(listener)
            return {"told": errno_of(lambda: listener.connect((address, int(port))))}


def act_connect_again(port, *addresses):
    """one socket connects to all of them in turn"""
    with socket.socket() as s:
        s.settimeout(5)
        told = []
        for address in addresses:
            told.append(errno_of(lambda: s.connect((address, int(port)))))
            disconnect(s)
        return {"told": told}


def act_leave_loopback(address, port, device):
    """asks over loopback, then by another interface with the same socket"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        told = [errno_of(lambda: _ask(s, (address, int(port))))]
        s.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device.encode())
        s.settimeout(0.3)
        told.append(errno_of(lambda: _ask(s, (address, int(port))), late="ETIMEDOUT"))
        told.append(errno_of(lambda: _ask(s, (address, int(port))), late="ETIMEDOUT"))
    return {"told": told}


def act_talk_later(address, port, path):
    """a connection that is idle until the file has gone; what it is told when it speaks then"""
    with socket.create_connection((address, int(port)), 5) as s:
        os.unlink(path + ".go")
        s.settimeout(20)
        while os.path.exists(path):
            time.sleep(0.01)
        return {"told": errno_of(lambda: (s.sendall(b"x"), s.recv(100)))}
