# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a connection says of itself: each function here looks at one, and gives what it saw."""

import errno
import fcntl
import select
import socket
import struct
import time

PAUSE_S = 0.3
PATIENCE_S = 20
EVENTS = {select.EPOLLIN: "IN", select.EPOLLOUT: "OUT", select.EPOLLERR: "ERR", select.EPOLLHUP: "HUP",
          select.EPOLLRDHUP: "RDHUP", select.EPOLLPRI: "PRI"}
SIOCATMARK, SIOCOUTQ = 0x8905, 0x5411


def patient(s):
    """its calls block, and not for ever"""
    s.setblocking(True)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        s.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE_S, 0))


def abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def pause():
    time.sleep(PAUSE_S)


def told(call, *words):
    """errno name of a call, or what it gave"""
    try:
        return call(*words)
    except OSError as failed:
        return errno.errorcode[failed.errno]


def _number(s, request):
    return struct.unpack("i", fcntl.ioctl(s, request, bytes(4)))[0]


def unsent(s):
    return _number(s, SIOCOUTQ)


def at_mark(s):
    return _number(s, SIOCATMARK)


def error(s):
    number = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return errno.errorcode.get(number, "0")


def state(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def events(s):
    """what poll(2) says now"""
    poll = select.poll()
    poll.register(s, sum(EVENTS))
    now = poll.poll(0)
    return [name for bit, name in EVENTS.items() if now and now[0][1] & bit]


def drain(s):
    """[bytes, how they ended]"""
    n = 0
    while isinstance(part := told(s.recv, 1 << 16), bytes) and part:
        n += len(part)
    return [n, part if isinstance(part, str) else "end"]


def taken(n):
    """how many came of so many, or an errno name"""
    def look(s):
        got = told(s.recv, n, socket.MSG_WAITALL)
        return got if isinstance(got, str) else len(got)
    return look


def text(n, flags=0):
    """what one recv(2) gives"""
    def look(s):
        got = told(s.recv, n, flags)
        return got if isinstance(got, str) else got.decode()
    return look


def write(what, flags=0):
    """how many of these bytes one send(2) takes, or an errno name"""
    return lambda s: told(s.send, what, flags)


few, more = text(9), write(b"more")


def writes(s):
    """three, each told of before the next"""
    found = []
    for _ in range(3):
        found.append(more(s))
        pause()
    return found


def upload(s):
    """until it fails. Return: errno name"""
    while isinstance(found := told(s.send, bytes(1 << 16)), int):
        pass
    return found


def fill(s):
    """until nothing more is taken. Return: bytes"""
    s.setblocking(False)
    n, idle = 0, 0
    while idle < 5:
        part = told(s.send, bytes(1 << 16))
        n, idle = (n + part, 0) if isinstance(part, int) else (n, idle + 1)
        if idle:
            time.sleep(0.1)
    return n
