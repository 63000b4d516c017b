# SPDX-License-Identifier: LGPL-2.1-or-later
"""How connections end and what is told of it, as a program and its server see it: each case is both of them.

`CASES` has (program, server) by name. Each gets a connection and `say`, and says what it was told, in order;
the scenario (180) compares what both say of a direct connection with what they say of one that a proxy has.
What is certain only when the other side has had its time is said behind a pause.
"""

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import time

PAUSE_S = 0.3
PATIENCE_S = 20
WORD = b"0123456789"
EVENTS = {select.EPOLLIN: "IN", select.EPOLLOUT: "OUT", select.EPOLLERR: "ERR", select.EPOLLHUP: "HUP",
          select.EPOLLRDHUP: "RDHUP", select.EPOLLPRI: "PRI"}
CASES = {}
FORKING = ("all_that_was_written", "handed_on")  # not beside others: their descriptors would be in the child


def case(function):
    """it is asked "program" or "server" """
    name, _, side = function.__name__.partition("__")
    CASES.setdefault(name, {})[side] = function
    return function


def patient(s):
    """its calls block, and not for ever"""
    s.setblocking(True)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        s.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE_S, 0))


def told(call, *words):
    """errno name of a call, or what it gave"""
    try:
        return call(*words)
    except OSError as failed:
        return errno.errorcode[failed.errno]


def pause():
    time.sleep(PAUSE_S)


def drain(s):
    """[bytes, how they ended]"""
    n = 0
    while isinstance(part := told(s.recv, 1 << 16), bytes) and part:
        n += len(part)
    return [n, part if isinstance(part, str) else "end"]


def take(s, n):
    """Return: how many came of so many, or an errno name"""
    got = told(s.recv, n, socket.MSG_WAITALL)
    return got if isinstance(got, str) else len(got)


def text(s, n, flags=0):
    """what one recv(2) gives"""
    got = told(s.recv, n, flags)
    return got if isinstance(got, str) else got.decode()


def writes(s):
    """three, each told of before the next"""
    found = []
    for _ in range(3):
        found.append(told(s.send, b"more"))
        pause()
    return found


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


def abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def unsent(s):
    return struct.unpack("i", fcntl.ioctl(s, 0x5411, bytes(4)))[0]  # SIOCOUTQ


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


# ---- the end, and a reset right behind it ----

@case
def end_then_reset__program(s, say):
    s.send(WORD)
    time.sleep(2 * PAUSE_S)
    say(drain(s), error(s), told(s.send, b"more"), told(s.send, b"more"))


@case
def end_then_reset__server(s, say):
    pause()
    s.send(WORD * 100)
    s.shutdown(socket.SHUT_WR)
    s.close()  # with what nobody has read: a reset


@case
def end_then_reset_back__program(s, say):
    pause()
    s.send(WORD * 100)
    s.shutdown(socket.SHUT_WR)
    s.close()


@case
def end_then_reset_back__server(s, say):
    s.send(WORD)
    time.sleep(3 * PAUSE_S)
    say(drain(s), told(s.send, b"more"), told(s.send, b"more"))


@case
def large_end_then_reset__program(s, say):
    s.send(WORD)
    say(drain(s))


@case
def large_end_then_reset__server(s, say):
    time.sleep(PAUSE_S)
    s.sendall(WORD * 300000)
    s.shutdown(socket.SHUT_WR)
    while unsent(s):
        time.sleep(0.01)
    abort(s)


@case
def end_later_reset__program(s, say):
    time.sleep(PAUSE_S)
    say(drain(s), events(s), state(s))
    time.sleep(2 * PAUSE_S)
    say(events(s), state(s), text(s, 9), error(s), told(s.send, b"more"))


@case
def end_later_reset__server(s, say):
    s.send(WORD)
    s.shutdown(socket.SHUT_WR)
    time.sleep(2 * PAUSE_S)
    abort(s)


# ---- resets ----

@case
def unread_reset__program(s, say):
    s.send(WORD)
    time.sleep(2 * PAUSE_S)
    say(events(s), drain(s), events(s), state(s), text(s, 9), told(s.send, b"more"))


@case
def unread_reset__server(s, say):
    pause()
    s.send(WORD * 100)
    s.close()


@case
def unread_reset_back__program(s, say):
    pause()
    s.send(WORD * 100)
    s.close()


@case
def unread_reset_back__server(s, say):
    s.send(WORD)
    time.sleep(2 * PAUSE_S)
    say(events(s), drain(s), events(s), state(s), text(s, 9), told(s.send, b"more"))


@case
def abort_after_bytes__program(s, say):
    time.sleep(2 * PAUSE_S)
    say(events(s), error(s), drain(s), told(s.send, b"more"))


@case
def abort_after_bytes__server(s, say):
    s.send(WORD * 100)
    pause()  # or connect(2) could tell of it already
    abort(s)


@case
def abort_after_bytes_back__program(s, say):
    abort_after_bytes__server(s, say)


@case
def abort_after_bytes_back__server(s, say):
    abort_after_bytes__program(s, say)


@case
def reset_behind_half_close__program(s, say):
    s.shutdown(socket.SHUT_WR)
    time.sleep(2 * PAUSE_S)
    say(events(s), state(s), drain(s), error(s), told(s.send, b"more"))


@case
def reset_behind_half_close__server(s, say):
    say(drain(s))
    pause()
    abort(s)


@case
def reset_in_an_upload__program(s, say):
    while isinstance(found := told(s.send, bytes(1 << 16)), int):
        pass
    say(found, text(s, 9), told(s.send, b"more"))


@case
def reset_in_an_upload__server(s, say):
    take(s, 300000)
    abort(s)


@case
def close_in_an_upload__program(s, say):
    reset_in_an_upload__program(s, say)


@case
def close_in_an_upload__server(s, say):
    take(s, 300000)
    s.close()


@case
def reset_in_a_download__program(s, say):
    take(s, 300000)
    abort(s)


@case
def reset_in_a_download__server(s, say):
    reset_in_an_upload__program(s, say)


@case
def close_in_a_download__program(s, say):
    take(s, 300000)
    s.close()


@case
def close_in_a_download__server(s, say):
    reset_in_an_upload__program(s, say)


# ---- one side goes, and the other writes on ----

@case
def server_leaves__program(s, say):
    pause()
    say(events(s), state(s), writes(s), events(s), state(s), text(s, 9), error(s))


@case
def server_leaves__server(s, say):
    s.close()


@case
def server_leaves_with_a_word__program(s, say):
    pause()
    say(events(s), writes(s), drain(s), error(s))


@case
def server_leaves_with_a_word__server(s, say):
    s.send(WORD * 100)
    s.close()


@case
def server_shuts_both__program(s, say):
    pause()
    say(writes(s), text(s, 9), error(s))


@case
def server_shuts_both__server(s, say):
    s.shutdown(socket.SHUT_RDWR)
    time.sleep(5 * PAUSE_S)
    say(text(s, 9), error(s), told(s.send, b"more"))


@case
def server_shuts_reading__program(s, say):
    pause()
    say(writes(s), take(s, 10), error(s))


@case
def server_shuts_reading__server(s, say):
    s.shutdown(socket.SHUT_RD)
    time.sleep(5 * PAUSE_S)
    say(told(s.send, WORD), drain(s))


@case
def program_leaves__program(s, say):
    s.close()


@case
def program_leaves__server(s, say):
    server_leaves__program(s, say)


@case
def program_leaves_with_a_word__program(s, say):
    s.send(WORD * 100)
    s.close()


@case
def program_leaves_with_a_word__server(s, say):
    server_leaves_with_a_word__program(s, say)


@case
def program_shuts_both__program(s, say):
    server_shuts_both__server(s, say)


@case
def program_shuts_both__server(s, say):
    server_shuts_both__program(s, say)


@case
def program_shuts_reading__program(s, say):
    server_shuts_reading__server(s, say)


@case
def program_shuts_reading__server(s, say):
    server_shuts_reading__program(s, say)


@case
def half_then_leaves__program(s, say):
    s.shutdown(socket.SHUT_WR)
    time.sleep(2 * PAUSE_S)
    s.close()


@case
def half_then_leaves__server(s, say):
    say(drain(s), told(s.send, b"early"))
    time.sleep(3 * PAUSE_S)
    say(events(s), writes(s), error(s))


@case
def both_end_at_once__program(s, say):
    s.send(WORD)
    s.shutdown(socket.SHUT_WR)
    time.sleep(2 * PAUSE_S)
    say(events(s), drain(s), state(s), told(s.send, b"more"))


@case
def both_end_at_once__server(s, say):
    both_end_at_once__program(s, say)


# ---- bytes ----

@case
def all_that_was_written__program(s, say):
    """and then killed, with all that is between full"""
    taken, given = os.pipe()
    if (child := os.fork()) == 0:
        os.write(given, struct.pack("Q", fill(s)))
        signal.pause()
    s.close()
    n = struct.unpack("Q", os.read(taken, 8))[0]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    say({"all": [n, "end"]})


@case
def all_that_was_written__server(s, say):
    time.sleep(2)
    say({"all": drain(s)})


@case
def nothing_is_read_for_long__program(s, say):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    time.sleep(2)
    say(drain(s))


@case
def nothing_is_read_for_long__server(s, say):
    s.sendall(WORD * 100000)
    s.close()


@case
def upload_behind_its_end__program(s, say):
    say(drain(s))
    s.sendall(WORD * 1000000)
    s.close()


@case
def upload_behind_its_end__server(s, say):
    s.shutdown(socket.SHUT_WR)
    say(drain(s))


@case
def ways_to_read__program(s, say):
    say(take(s, 4), text(s, 4, socket.MSG_PEEK), take(s, 1996), text(s, 9, socket.MSG_PEEK | socket.MSG_DONTWAIT))


@case
def ways_to_read__server(s, say):
    for _ in range(4):
        s.send(WORD * 50)
        time.sleep(0.05)


@case
def ways_to_write__program(s, say):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    s.send(WORD)
    with open("/proc/self/exe", "rb") as file:
        say(s.sendfile(file, 0, 1 << 20))
    ends = os.pipe()
    os.write(ends[1], WORD)
    say(os.splice(ends[0], s.fileno(), 10))
    s.setsockopt(socket.SOL_SOCKET, 60, 1)  # SO_ZEROCOPY
    say(told(s.send, WORD * 1000, 0x4000000))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    s.close()


@case
def ways_to_write__server(s, say):
    say(drain(s))


@case
def urgent__program(s, say):
    s.send(b"before")
    s.send(b"!", socket.MSG_OOB)
    s.send(b"after")
    time.sleep(3 * PAUSE_S)
    say(events(s), text(s, 1, socket.MSG_OOB), take(s, 1), take(s, 1), drain(s))


@case
def urgent__server(s, say):
    time.sleep(2 * PAUSE_S)
    say(text(s, 1, socket.MSG_OOB), take(s, 6), take(s, 5))
    s.send(b"x")
    s.send(b"!", socket.MSG_OOB)
    s.send(b"y")
    time.sleep(2 * PAUSE_S)


@case
def urgent_inline__program(s, say):
    s.send(b"before")
    s.send(b"!", socket.MSG_OOB)
    s.send(b"after")
    time.sleep(2 * PAUSE_S)


@case
def urgent_inline__server(s, say):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    pause()
    say(events(s), text(s, 99))
    say(struct.unpack("i", fcntl.ioctl(s, 0x8905, bytes(4)))[0])  # SIOCATMARK
    say(text(s, 99))


# ---- who has the descriptor ----

@case
def handed_on__program(s, say):
    """to another process, by SCM_RIGHTS; this one closes, and the other one reads and writes, and is killed"""
    ours, theirs = socket.socketpair()
    if (child := os.fork()) == 0:
        s.close()
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        other = socket.socket(fileno=fds[0])
        other.send(WORD)
        theirs.send(struct.pack("i", take(other, 10)))
        other.shutdown(socket.SHUT_WR)
        theirs.send(struct.pack("i", take(other, 20)))
        signal.pause()
    socket.send_fds(ours, [b"s"], [s.fileno()])
    s.close()
    say(struct.unpack("i", ours.recv(4))[0], struct.unpack("i", ours.recv(4))[0])
    pause()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@case
def handed_on__server(s, say):
    say(take(s, 10))
    s.send(WORD)
    say(drain(s))
    s.send(WORD * 2)
    time.sleep(3 * PAUSE_S)
    say(writes(s), error(s))


@case
def names__program(s, say):
    say(s.getpeername()[1], error(s), state(s), told(s.connect, s.getpeername()), events(s))


@case
def names__server(s, say):
    say(drain(s))
