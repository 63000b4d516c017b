# SPDX-License-Identifier: LGPL-2.1-or-later
"""One socket that has two destinations or two users, and sockets that have one port."""

import errno
import os
import socket
import threading
import time

from sockets import disconnect, family_of, shared_port

from .common import MPTCP, MSG_FASTOPEN, PORT, udp

SHARED = 5353


# two conversations of one socket

def rebound(allowed, target):
    """connected to the one, then to the other"""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(family_of(target), kind)
        s.connect((allowed, PORT))
        s.send(b"x")
        s.recv(1)
        disconnect(s)
        try:
            s.connect((target, PORT))
            s.send(b"x")
        except OSError as error:
            print(errno.errorcode[error.errno], flush=True)


def overtaken(allowed, target):
    """connects to the one, does not wait for the verdict, and connects to the other"""
    for _ in range(20):
        s = socket.socket(family_of(target))
        s.setblocking(False)
        s.connect_ex((allowed, PORT))
        disconnect(s)
        s.connect_ex((target, PORT))
        time.sleep(0.02)


def early(allowed, target):
    """connected to the one; then the other, with data in the SYN"""
    s = socket.create_connection((allowed, PORT))
    s.settimeout(20)
    s.send(b"x")
    s.recv(1)
    disconnect(s)
    s.sendto(b"early", MSG_FASTOPEN, (target, PORT))


def contested(allowed, target):
    """threads that connect one socket to the one and to the other, and send"""
    s = socket.socket(family_of(target))
    s.setblocking(False)

    def connect(where):
        for _ in range(50):
            s.connect_ex((where, PORT))
            try:
                s.send(b"x")
            except OSError:
                pass
            disconnect(s)
    workers = [threading.Thread(target=connect, args=[where]) for where in (allowed, target, allowed)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def threads(allowed, target):
    """one socket, connected to the one, and a thread that sends to the other"""
    s, ends = udp(target), time.monotonic() + 1
    s.connect((allowed, PORT))

    def send(*where):
        while time.monotonic() < ends:
            try:
                s.sendto(b"x", *where)
            except OSError:
                pass
    workers = [threading.Thread(target=send, args=args) for args in ([(target, PORT)], [(allowed, PORT)])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def again(allowed, target):
    """a connected socket that was allowed is handed on, and addressed"""
    s = udp(target)
    s.connect((allowed, PORT))
    s.send(b"x")
    s.recv(1)
    if not os.fork():
        os.setuid(65534)
        for _ in range(3):
            try:
                s.sendto(b"x", (target, PORT))
            except OSError as error:
                print(errno.errorcode[error.errno], flush=True)
        os._exit(0)
    os.wait()


def accepted(target):
    """SCTP: a socket that was accepted from oneself is used again; no hook saw it made"""
    listener, s = (socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) for _ in range(2))
    listener.bind(("127.0.0.1", 9000))
    listener.listen()
    s.connect(("127.0.0.1", 9000))
    child, _ = listener.accept()
    s.close()
    child.settimeout(2)
    child.recv(1)
    child.connect((target, PORT))


# two sockets, and what the kernel does for one

def subflows(allowed, port):
    """MPTCP, to a server that names another address of its own"""
    s = socket.socket(family_of(allowed), socket.SOCK_STREAM, MPTCP)
    s.connect((allowed, int(port)))
    s.send(b"x")
    s.recv(1)
    print("connected", os.getpid(), flush=True)
    time.sleep(1)
    s.send(b"y")


def ask_on_shared(peer, folder):
    """asks before and after somebody else has the same port"""
    s = shared_port(SHARED)
    s.settimeout(2)
    s.connect((peer, PORT))
    for name in ("first", "second"):
        s.send(b"x")
        s.recv(1)
        print(name, flush=True)
        if name == "first":
            open(folder + "/asked", "w").close()
            while not os.path.exists(folder + "/bound"):
                time.sleep(0.02)


def have_shared(folder):
    while not os.path.exists(folder + "/asked"):
        time.sleep(0.02)
    s = shared_port(SHARED)
    open(folder + "/bound", "w").close()
    time.sleep(2)
    s.close()
