# SPDX-License-Identifier: LGPL-2.1-or-later
"""One call, and what it was told: the name of its errno, "0" when it worked."""

import errno
import socket

from sockets import family_of


def connect(address, port):
    """errno name of a TCP connect, "0" when it worked"""
    with socket.socket(family_of(address), socket.SOCK_STREAM) as s:
        try:
            s.connect((address, int(port)))
        except OSError as error:
            return errno.errorcode[error.errno]
    return "0"


def ask(address, port, within=5):
    """errno name of a connected datagram's answer"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(within)
        try:
            s.connect((address, int(port)))
            s.send(b"x")
            s.recv(100)
        except TimeoutError:
            return "ETIMEDOUT"
        except OSError as error:
            return errno.errorcode[error.errno]
    return "0"


def ask_unconnected(address, port):
    """errno name of an addressed datagram's answer; a refusal is not told to the first one"""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        try:
            s.sendto(b"x", (address, int(port)))
            s.recv(100)
        except TimeoutError:
            return "ETIMEDOUT"
        except OSError as error:
            return errno.errorcode[error.errno]
    return "0"


def flow_to(proto, host, port, within=5):
    """errno name of a flow, "tcp" or "udp", to an address or, asking for it first, a name"""
    address = host if ":" in host else socket.getaddrinfo(host, int(port), socket.AF_INET)[0][4][0]
    return connect(address, port) if proto == "tcp" else ask(address, port, within)


def errno_of(call):
    """errno name of a call, "0" when it worked"""
    try:
        call()
    except TimeoutError:
        return "nothing"
    except OSError as error:
        return errno.errorcode[error.errno]
    return "0"
