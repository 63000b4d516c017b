# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sockets that are to send past a filter: what all ways need."""

import socket

from sockets import family_of

PORT = 7
SOURCE4, UPLINK = "10.77.0.1", "uplink"
MPTCP, MSG_FASTOPEN, SO_BINDTODEVICE = 262, 0x20000000, 25


def udp(address, *options):
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    for option in options:
        s.setsockopt(*option)
    return s
