# SPDX-License-Identifier: LGPL-2.1-or-later
"""What cases consist of: a step gets a connection and `say`. A case is the steps of a program, and those of its server."""

import socket
import time
from typing import NamedTuple

from . import look

WORD = b"0123456789"


class Case(NamedTuple):
    program: tuple
    server: tuple


def by_each(name, other, it):
    """two cases: the server does it and the program is the other side, and the other way round"""
    return {f"{name}_by_the_server": Case(other, it), f"{name}_by_the_program": Case(it, other)}


def tell(*looks):
    """say what these functions of look.py see, in this order"""
    return lambda s, say: say(*(at(s) for at in looks))


def send(what):
    return lambda s, say: s.sendall(what)


def send_urgent(s, say):
    s.send(b"!", socket.MSG_OOB)


def wait(n_pauses):
    return lambda s, say: time.sleep(n_pauses * look.PAUSE_S)


def take(n):
    return lambda s, say: look.taken(n)(s)


def shut(how):
    return lambda s, say: s.shutdown(how)


def close(s, say):
    """a reset, where it has not read all"""
    s.close()


def abort(s, say):
    look.abort(s)


def option(level, number, value):
    return lambda s, say: s.setsockopt(level, number, value)


def wait_acknowledged(s, say):
    while look.unsent(s):
        time.sleep(0.01)


end = shut(socket.SHUT_WR)
