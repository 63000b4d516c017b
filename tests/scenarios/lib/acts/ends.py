# SPDX-License-Identifier: LGPL-2.1-or-later
"""Connections whose program ends its side in every way, and how connect(2) fails."""

import concurrent.futures
import errno
import os
import select
import signal
import socket
import struct
import time

from sockets import family_of

from .calls import errno_of

TCP_FASTOPEN_CONNECT = 30
TCP_SYN_SENT, TCP_CLOSE = 2, 7


def _connect(address, port, is_blocking):
    """errno name of a connect, and how long it took"""
    began = time.monotonic()
    with socket.socket(family_of(address), socket.SOCK_STREAM) as s:
        s.setblocking(is_blocking)
        error = s.connect_ex((address, int(port)))
        while error == errno.EINPROGRESS:
            select.select([], [s], [], 60)
            error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            # the kernel wakes who waits before it has noted what an ICMP error means
            if error == 0 and s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (TCP_SYN_SENT, TCP_CLOSE):
                error = errno.EINPROGRESS
        try:
            peer = s.getpeername()[:2] if error == 0 else None
        except OSError:  # it was, and is reset
            peer = None
        local = s.getsockname()[0] if error == 0 else None
    return {"error": errno.errorcode.get(error, "0"), "took": time.monotonic() - began,
            "peer": peer, "local": local}


def act_connects(*ends):
    """each end is address,port, or address,port,slow: blocking and not; slow ones beside the others"""
    asked = [(*end.split(",")[:2], is_blocking) for end in ends for is_blocking in (True, False)]
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        later = {i: pool.submit(_connect, *words) for i, words in enumerate(asked) if ends[i // 2].endswith("slow")}
        return [later[i].result() if i in later else _connect(*words) for i, words in enumerate(asked)]


def _fast_open(way, address, port):
    """what the calls are told of a connection whose SYN has data, and how long that took"""
    began = time.monotonic()
    with socket.socket(family_of(address), socket.SOCK_STREAM) as s:
        if way == "connect":
            s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            told = [errno_of(lambda: s.connect((address, int(port))))]
            told.append(errno_of(lambda: s.send(b"early")))
        else:
            told = [errno_of(lambda: s.sendto(b"early", socket.MSG_FASTOPEN, (address, int(port))))]
        if told[-1] == "0":
            got = b""
            while len(got) < 5 and (part := s.recv(5 - len(got))):
                got += part
            told.append(got.decode())
    return {"told": told, "took": time.monotonic() - began}


def act_fast_opens(*ends):
    """each end is address,port; by sendto(MSG_FASTOPEN), and by connect with TCP_FASTOPEN_CONNECT"""
    return [_fast_open(way, *end.split(",")) for end in ends for way in ("sendto", "connect")]


def act_close_at_once(address, port, count):
    """connections that are closed as soon as connect(2) is back, blocking and not. Return: errno names"""
    told = []
    for i in range(int(count)):
        with socket.socket(family_of(address), socket.SOCK_STREAM) as s:
            s.setblocking(i % 2 == 0)
            told.append(errno.errorcode.get(s.connect_ex((address, int(port))), "0"))
    return told


def act_patience(address, port, seconds):
    """a program with a timer of its own: errno name of connect(2), whether poll(2) told anything in time, and when
    it was back"""
    began = time.monotonic()
    with socket.socket(family_of(address), socket.SOCK_STREAM) as s:
        s.setblocking(False)
        error = s.connect_ex((address, int(port)))
        poll = select.poll()
        poll.register(s, select.POLLOUT)
        events = poll.poll(float(seconds) * 1000)
    return {"error": errno.errorcode[error], "events": events, "took": time.monotonic() - began}


def act_give_up(address, port, seconds):
    """a connect that is left before it is answered. Return: is it still on its way then?"""
    s = socket.socket(family_of(address), socket.SOCK_STREAM)
    s.setblocking(False)
    error = s.connect_ex((address, int(port)))
    time.sleep(float(seconds))
    still = not select.select([], [s], [], 0)[1]
    s.close()
    return {"error": errno.errorcode[error], "still": still}


def _half(s):
    s.shutdown(socket.SHUT_WR)
    answer = b""
    while part := s.recv(100):
        answer += part
    s.close()
    if answer != b"half":
        raise AssertionError(f"after a half close: {answer!r}")


def _close(s):
    s.close()


def _abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def _duplicated(s):
    """closed twice: only the second close is one"""
    other = s.dup()
    s.close()
    time.sleep(0.05)
    other.close()


def _killed(s):
    """a child has it as well, and is killed with it"""
    child = os.fork()
    if child == 0:
        signal.pause()
    s.close()
    time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


WAYS = {"half": _half, "full": _close, "reset": _abort}
SLOW_WAYS = (_duplicated, _killed)


def act_ends(address, port, count):
    """`count` connections, ended in turn in each way. Return: what became of each, by its local port"""
    ended = {}
    names = list(WAYS)
    for i in range(int(count)):
        name = names[i % len(names)]
        s = socket.create_connection((address, int(port)), 20)
        sport = s.getsockname()[1]
        if name != "reset":
            s.sendall(b"x")
        is_slow = name == "full" and i % 50 < len(names)
        (SLOW_WAYS[i // 50 % 2] if is_slow else WAYS[name])(s)
        ended.setdefault(sport, []).append(name)
    return ended


def act_half_download(address, port, size):
    """a request, a half close, and a long answer: its bytes"""
    with socket.create_connection((address, int(port)), 20) as s:
        s.sendall(f"GET /bytes/{size} HTTP/1.0\r\n\r\n".encode())
        s.shutdown(socket.SHUT_WR)
        n = 0
        while part := s.recv(1 << 16):
            n += len(part)
    return n


def act_leave(address, port, count):
    """connections that are closed while the other side says nothing"""
    sockets = [socket.create_connection((address, int(port)), 20) for _ in range(int(count))]
    for s in sockets:
        s.close()
    return {"left": len(sockets)}


def act_until_end(address, port):
    """waits for what comes: errno name, "0" for an end without one"""
    with socket.create_connection((address, int(port)), 20) as s:
        s.settimeout(30)
        try:
            return {"end": "0" if s.recv(100) == b"" else "bytes"}
        except OSError as error:
            return {"end": errno.errorcode.get(error.errno, str(error))}


def act_abort(address, port, size):
    """bytes there and back, and a reset: errno name of the connect"""
    with socket.socket(family_of(address), socket.SOCK_STREAM) as s:
        if error := s.connect_ex((address, int(port))):
            return {"error": errno.errorcode[error]}
        s.sendall(bytes(int(size)))
        n = 0
        while n < int(size):
            n += len(s.recv(1 << 16))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return {"error": "0"}
