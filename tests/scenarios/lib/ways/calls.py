# SPDX-License-Identifier: LGPL-2.1-or-later
"""One socket and one destination: calls and options that few programs use."""

import os
import socket
import struct
import time

from sockets import disconnect, family_of, hand_over, take_over

from .common import MPTCP, MSG_FASTOPEN, PORT, SO_BINDTODEVICE, SOURCE4, UPLINK, udp

TCP_FASTOPEN_CONNECT, TCP_REPAIR, MSG_ZEROCOPY = 30, 19, 0x4000000
IP_TRANSPARENT, IP_OPTIONS = 19, 4
IPV6_RTHDR, IPV6_DSTOPTS, IPV6_FLOWINFO_SEND = 57, 59, 33
SO_MARK, SO_ZEROCOPY, SOL_UDP, UDP_CORK = 36, 60, 17, 1


# TCP whose first packet may carry data

def fastopen(target):
    s = socket.socket(family_of(target))
    s.settimeout(20)
    s.sendto(b"early", MSG_FASTOPEN, (target, PORT))
    time.sleep(0.2)
    s.send(b"late")


def fastopen_connect(target):
    s = socket.socket(family_of(target))
    s.settimeout(20)
    s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    s.connect((target, PORT))
    print("connected", flush=True)
    s.send(b"early")
    time.sleep(0.2)
    s.send(b"late")


def mptcp_fastopen(target):
    s = socket.socket(family_of(target), socket.SOCK_STREAM, MPTCP)
    s.settimeout(20)
    s.sendto(b"early", MSG_FASTOPEN, (target, PORT))
    time.sleep(0.2)
    s.send(b"late")


def repaired(target):
    """a connection that the kernel is told to have already"""
    s = socket.socket(family_of(target))
    s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    s.bind((("::" if ":" in target else "0.0.0.0"), 0))
    s.connect((target, PORT))
    s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)
    s.send(b"x")


def mptcp(target):
    socket.socket(family_of(target), socket.SOCK_STREAM, MPTCP).connect((target, PORT))


def simultaneous(target):
    """connects from a port where the peer's own SYN may come in meanwhile"""
    s = socket.socket(family_of(target))
    s.bind(("", 4321))
    s.connect((target, PORT))
    s.send(b"x")


# datagrams by other calls

def sendfile(target):
    s = udp(target)
    s.connect((target, PORT))
    with open(__file__, "rb") as file:
        os.sendfile(s.fileno(), file.fileno(), 0, 5)
    s.send(b"x")  # the kernel may have kept the other bytes for more to come


def splice(target):
    s, (reader, writer) = udp(target), os.pipe()
    s.connect((target, PORT))
    os.write(writer, b"spliced")
    os.splice(reader, s.fileno(), 7)


def zerocopy(target):
    udp(target, (socket.SOL_SOCKET, SO_ZEROCOPY, 1)).sendto(b"x" * 1000, MSG_ZEROCOPY, (target, PORT))


def corked(target):
    """what is collected goes when the socket is closed or opened again"""
    s = udp(target, (SOL_UDP, UDP_CORK, 1))
    s.sendto(b"x", (target, PORT))
    s.setsockopt(SOL_UDP, UDP_CORK, 0)


def passed(target):
    """a socket made and connected here is used by another user's process"""
    ours, theirs = socket.socketpair()
    s = udp(target)
    s.connect((target, PORT))
    child = os.fork()
    if not child:
        s.close()
        os.setuid(65534)
        got = take_over(theirs)
        got.send(b"x")
        disconnect(got)
        got.sendto(b"x", (target, PORT))
        os._exit(0)
    hand_over(ours, s)
    os.waitpid(child, 0)


# options of sockets

def marked(target):
    for mark in (*range(9), 0xff):
        s = udp(target, (socket.SOL_SOCKET, SO_MARK, struct.pack("I", mark << 24)))
        s.sendto(b"x", (target, PORT))


def on_device(target):
    udp(target, (socket.SOL_SOCKET, SO_BINDTODEVICE, UPLINK.encode())).sendto(b"x", (target, PORT))


def over_loopback(target):
    """out by an interface that is not held, in the hope that it is forwarded"""
    s = udp(target, (socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo"))
    s.sendto(b"x", (target, PORT))


def transparent(target):
    s = udp(target, (0, IP_TRANSPARENT, 1))
    s.bind(("192.0.2.77", 4444))
    s.sendto(b"x", (target, PORT))


def broadcast(target):
    s = udp(target, (socket.SOL_SOCKET, socket.SO_BROADCAST, 1),
             (socket.SOL_SOCKET, SO_BINDTODEVICE, UPLINK.encode()))
    s.sendto(b"x", (target, PORT))


def multicast(target):
    if ":" in target:
        s = udp(target)
        s.sendto(b"x", (target, PORT, 0, socket.if_nametoindex(UPLINK)))
        return
    s = udp(target, (0, socket.IP_MULTICAST_IF, socket.inet_aton(SOURCE4)))
    s.sendto(b"x", (target, PORT))


def flow_label(target):
    s = udp(target, (socket.IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1))
    s.sendto(b"x", (target, PORT, 0x12345, 0))


def extensions(target):
    """more bytes of options than most look through"""
    options = struct.pack("!BB", 0, 31) + bytes([1, 252]) + bytes(252)
    udp(target, (socket.IPPROTO_IPV6, IPV6_DSTOPTS, options)).sendto(b"x", (target, PORT))


# source routes: the packet's own destination is the first station

def _station4(hop, target):
    return struct.pack("!BBBB", 1, 131, 11, 4) + socket.inet_aton(hop) + socket.inet_aton(target)


def _station6(hop):
    """segment routing: the last segment, and the one that comes first"""
    return struct.pack("!BBBBBBH", 0, 4, 4, 1, 1, 0, 0) + bytes(16) + socket.inet_pton(socket.AF_INET6, hop)


def _set_route(s, hop, target):
    if ":" in hop:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RTHDR, _station6(hop))
    else:
        s.setsockopt(0, IP_OPTIONS, _station4(hop, target))


def routed(hop, target):
    s = udp(hop)
    _set_route(s, hop, target)
    s.sendto(b"x", (target, PORT))


def rerouted(allowed, hop):
    """an allowed TCP connection whose data is then to go elsewhere"""
    if ":" in hop:  # for this one nobody needs a right
        os.setuid(65534)
    s = socket.create_connection((allowed, PORT))
    s.send(b"x")
    s.recv(1)
    _set_route(s, hop, allowed)
    print("routed", flush=True)
    for i in range(6):
        if ":" not in hop:
            s.setsockopt(0, socket.IP_TOS, 8 * (i % 2))  # so that the route is looked for anew
        s.send(b"to somebody else")
        time.sleep(0.1)
    disconnect(s)  # nothing is to be sent when the instance has ended
