# SPDX-License-Identifier: LGPL-2.1-or-later
"""One call, and what it was told: the name of its errno, "0" when it worked."""

import errno
import socket

from sockets import family_of


def errno_of(call, late="nothing"):
    """errno name of a call, "0" when it worked, `late` when it was not told in time"""
    try:
        call()
    except TimeoutError:
        return late
    except OSError as error:
        return errno.errorcode.get(error.errno, error.strerror)
    return "0"


def place(address, port):
    """as the calls take it; Python forgets the interface of "fe80::1%eth0" else"""
    return socket.getaddrinfo(address, int(port))[0][4] if "%" in address else (address, int(port))


def connect(address, port, within=None, sport=0):
    """errno name of a TCP connect, "0" when it worked; `sport`: from that port"""
    with socket.socket(family_of(address), socket.SOCK_STREAM) as s:
        s.settimeout(within)
        if sport:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("", sport))
        return errno_of(lambda: s.connect(place(address, port)), late="ETIMEDOUT")


def ask(address, port, within=5):
    """errno name of a connected datagram's answer"""
    def flow():
        s.connect((address, int(port)))
        s.send(b"x")
        s.recv(100)
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(within)
        return errno_of(flow, late="ETIMEDOUT")


def ask_unconnected(address, port):
    """errno name of an addressed datagram's answer; a refusal is not told to the first one"""
    def flow():
        s.sendto(b"x", (address, int(port)))
        s.recv(100)
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        return errno_of(flow, late="ETIMEDOUT")


def flow_to(proto, host, port, within=5):
    """errno name of a flow, "tcp" or "udp", to an address or, asking for it first, a name"""
    address = host if ":" in host else socket.getaddrinfo(host, int(port), socket.AF_INET)[0][4][0]
    return connect(address, port) if proto == "tcp" else ask(address, port, within)
