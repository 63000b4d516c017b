# SPDX-License-Identifier: LGPL-2.1-or-later
"""What connections carry, by each way to read and to write, and from whichever process."""

import os
import signal
import socket
import struct
import time

from .look import at_mark, drain, error, events, fill, pause, state, taken, text, told, write, writes
from .steps import WORD, Case, close, end, option, send, send_urgent, tell, wait

SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
PEEK, NOW = socket.MSG_PEEK, socket.MSG_DONTWAIT
LONG_S = 2
AROUND_URGENT = (send(b"before"), send_urgent, send(b"after"))


def wait_long(s, say):
    time.sleep(LONG_S)


def _end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def write_all_that_goes(s, say):
    """and then it is killed, with all that is between full"""
    written, given = os.pipe()
    if (child := os.fork()) == 0:
        os.write(given, struct.pack("Q", fill(s)))
        signal.pause()
    s.close()
    n = struct.unpack("Q", os.read(written, 8))[0]
    _end(child)
    say({"all": [n, "end"]})


def tell_all(s, say):
    say({"all": drain(s)})


def send_file(s):
    with open("/proc/self/exe", "rb") as file:
        return s.sendfile(file, 0, 1 << 20)


def splice_word(s):
    ends = os.pipe()
    os.write(ends[1], WORD)
    return os.splice(ends[0], s.fileno(), 10)


def hand_on(s, say):
    """to another process, by SCM_RIGHTS; this one closes, and the other one reads and writes, and is killed"""
    ours, theirs = socket.socketpair()
    if (child := os.fork()) == 0:
        s.close()
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        other = socket.socket(fileno=fds[0])
        other.send(WORD)
        theirs.send(struct.pack("i", taken(10)(other)))
        other.shutdown(socket.SHUT_WR)
        theirs.send(struct.pack("i", taken(20)(other)))
        signal.pause()
    socket.send_fds(ours, [b"s"], [s.fileno()])
    s.close()
    say(struct.unpack("i", ours.recv(4))[0], struct.unpack("i", ours.recv(4))[0])
    pause()
    _end(child)


def peer_port(s):
    return s.getpeername()[1]


def connect_again(s):
    return told(s.connect, s.getpeername())


BYTES = {
    "all_that_was_written": Case((write_all_that_goes,), (wait_long, tell_all)),
    "nothing_is_read_for_long": Case((option(socket.SOL_SOCKET, socket.SO_RCVBUF, 1), wait_long, tell(drain)),
                                     (send(WORD * 100000), close)),
    "upload_behind_its_end": Case((tell(drain), send(WORD * 1000000), close), (end, tell(drain))),
    "ways_to_read": Case((tell(taken(4), text(4, PEEK), taken(1996), text(9, PEEK | NOW)),),
                         4 * (send(WORD * 50), wait(1 / 6))),
    "ways_to_write": Case((option(socket.IPPROTO_TCP, socket.TCP_CORK, 1), send(WORD), tell(send_file, splice_word),
                           option(socket.SOL_SOCKET, SO_ZEROCOPY, 1), tell(write(WORD * 1000, MSG_ZEROCOPY)),
                           option(socket.IPPROTO_TCP, socket.TCP_CORK, 0),
                           option(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5)), close), (tell(drain),)),
    "urgent": Case((*AROUND_URGENT, wait(3), tell(events, text(1, socket.MSG_OOB), taken(1), taken(1), drain)),
                   (wait(2), tell(text(1, socket.MSG_OOB), taken(6), taken(5)),
                    send(b"x"), send_urgent, send(b"y"), wait(2))),
    "urgent_inline": Case((*AROUND_URGENT, wait(2)),
                          (option(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1), wait(1),
                           tell(events, text(99), at_mark, text(99)))),
}

DESCRIPTORS = {
    "handed_on": Case((hand_on,), (tell(taken(10)), send(WORD), tell(drain), send(WORD * 2), wait(3), tell(writes, error))),
    "names": Case((tell(peer_port, error, state, connect_again, events),), (tell(drain),)),
}

CASES = BYTES | DESCRIPTORS
FORKING = ("all_that_was_written", "handed_on")
