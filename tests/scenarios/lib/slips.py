#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways to send something past a filter, one function each.

    slips.py ACT ARGUMENT…

An act sends to ADDRESS, port 7, by its own way; the name of an error, if there is one, is
printed.
"""

import array
import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct
import sys
import threading
import time

PORT = 7
TCP_FASTOPEN_CONNECT, MPTCP, MSG_FASTOPEN, MSG_ZEROCOPY = 30, 262, 0x20000000, 0x4000000
TCP_REPAIR = 19
IP_TRANSPARENT, IP_HDRINCL, IP_OPTIONS, IPV6_HDRINCL = 19, 3, 4, 36
IPV6_RTHDR, IPV6_DSTOPTS, IPV6_FLOWINFO, IPV6_FLOWINFO_SEND = 57, 59, 11, 33
SO_MARK, SO_BINDTODEVICE, SO_ZEROCOPY = 36, 25, 60
SOL_PACKET, PACKET_TX_RING, PACKET_QDISC_BYPASS, SOL_UDP, UDP_CORK = 263, 13, 20, 17, 1
ETH_P_IP = 0x0800
SOURCE4, GATEWAY_MAC, UPLINK = "10.77.0.1", bytes.fromhex("020000000002"), "uplink"
LIBC = ctypes.CDLL(None, use_errno=True)


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _udp(address, *options):
    s = socket.socket(_family(address), socket.SOCK_DGRAM)
    for option in options:
        s.setsockopt(*option)
    return s


def _disconnect(s):
    LIBC.connect(s.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)


def _sum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def _udp4(target, source=SOURCE4, first=0x45):
    """a datagram from its IP header on"""
    head = struct.pack("!BBHHHBBH4s4s", first, 0, 29, 1, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    head = head[:10] + struct.pack("!H", _sum(head)) + head[12:]
    return head + struct.pack("!HHHH", 4444, PORT, 9, 0) + b"x"


def _udp6(target, source):
    return (struct.pack("!IHBB", 6 << 28, 9, 17, 64) + socket.inet_pton(socket.AF_INET6, source) +
            socket.inet_pton(socket.AF_INET6, target) + struct.pack("!HHHH", 4444, PORT, 9, 0) + b"x")


# TCP whose first packet may carry data

def fastopen(target):
    s = socket.socket(_family(target))
    s.settimeout(20)
    s.sendto(b"early", MSG_FASTOPEN, (target, PORT))
    time.sleep(0.2)
    s.send(b"late")


def fastopen_connect(target):
    s = socket.socket(_family(target))
    s.settimeout(20)
    s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    s.connect((target, PORT))
    print("connected", flush=True)
    s.send(b"early")
    time.sleep(0.2)
    s.send(b"late")


def mptcp_fastopen(target):
    s = socket.socket(_family(target), socket.SOCK_STREAM, MPTCP)
    s.settimeout(20)
    s.sendto(b"early", MSG_FASTOPEN, (target, PORT))
    time.sleep(0.2)
    s.send(b"late")


def repaired(target):
    """a connection that the kernel is told to have already"""
    s = socket.socket(_family(target))
    s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    s.bind((("::" if ":" in target else "0.0.0.0"), 0))
    s.connect((target, PORT))
    s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)
    s.send(b"x")


def mptcp(target):
    socket.socket(_family(target), socket.SOCK_STREAM, MPTCP).connect((target, PORT))


def simultaneous(target):
    """connects from a port where the peer's own SYN may come in meanwhile"""
    s = socket.socket(_family(target))
    s.bind(("", 4321))
    s.connect((target, PORT))
    s.send(b"x")


# datagrams by other calls

def sendfile(target):
    s = _udp(target)
    s.connect((target, PORT))
    with open(__file__, "rb") as file:
        os.sendfile(s.fileno(), file.fileno(), 0, 5)
    s.send(b"x")  # the kernel may have kept the other bytes for more to come


def splice(target):
    s, (reader, writer) = _udp(target), os.pipe()
    s.connect((target, PORT))
    os.write(writer, b"spliced")
    os.splice(reader, s.fileno(), 7)


def zerocopy(target):
    _udp(target, (socket.SOL_SOCKET, SO_ZEROCOPY, 1)).sendto(b"x" * 1000, MSG_ZEROCOPY, (target, PORT))


def corked(target):
    """what is collected goes when the socket is closed or opened again"""
    s = _udp(target, (SOL_UDP, UDP_CORK, 1))
    s.sendto(b"x", (target, PORT))
    s.setsockopt(SOL_UDP, UDP_CORK, 0)


def passed(target):
    """a socket made and connected here is used by another user's process"""
    ours, theirs = socket.socketpair()
    s = _udp(target)
    s.connect((target, PORT))
    child = os.fork()
    if not child:
        s.close()
        os.setuid(65534)
        _, extra, _, _ = theirs.recvmsg(1, 64)
        got = socket.socket(fileno=array.array("i", extra[0][2])[0])
        got.send(b"x")
        _disconnect(got)
        got.sendto(b"x", (target, PORT))
        os._exit(0)
    ours.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
    os.waitpid(child, 0)


# options of sockets

def marked(target):
    for mark in (0, 1, 2, 3, 4, 0xff):
        s = _udp(target, (socket.SOL_SOCKET, SO_MARK, struct.pack("I", mark << 24)))
        s.sendto(b"x", (target, PORT))


def on_device(target):
    _udp(target, (socket.SOL_SOCKET, SO_BINDTODEVICE, UPLINK.encode())).sendto(b"x", (target, PORT))


def transparent(target):
    s = _udp(target, (0, IP_TRANSPARENT, 1))
    s.bind(("192.0.2.77", 4444))
    s.sendto(b"x", (target, PORT))


def broadcast(target):
    s = _udp(target, (socket.SOL_SOCKET, socket.SO_BROADCAST, 1),
             (socket.SOL_SOCKET, SO_BINDTODEVICE, UPLINK.encode()))
    s.sendto(b"x", (target, PORT))


def multicast(target):
    if ":" in target:
        s = _udp(target)
        s.sendto(b"x", (target, PORT, 0, socket.if_nametoindex(UPLINK)))
        return
    s = _udp(target, (0, socket.IP_MULTICAST_IF, socket.inet_aton(SOURCE4)))
    s.sendto(b"x", (target, PORT))


def flow_label(target):
    s = _udp(target, (socket.IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1))
    s.sendto(b"x", (target, PORT, 0x12345, 0))


def extensions(target):
    """more bytes of options than most look through"""
    options = struct.pack("!BB", 0, 31) + bytes([1, 252]) + bytes(252)
    _udp(target, (socket.IPPROTO_IPV6, IPV6_DSTOPTS, options)).sendto(b"x", (target, PORT))


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
    s = _udp(hop)
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
    _disconnect(s)  # nothing is to be sent when the instance has ended


# packets by hand

def ping(target):
    if ":" in target:
        s, head = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6), b"\x80\0\0\0\0\0\0\1"
    else:
        s, head = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), b"\x08\0\0\0\0\0\0\1"
    s.sendto(head, (target, 0))


def protocols(target):
    """IP in IP, GRE, SCTP, OSPF, one that nobody knows"""
    for proto in (4, 47, 132, 89, 253):
        payload = _udp4(target) if proto == 4 else struct.pack("!HHII", 4444, PORT, 0, 0)
        socket.socket(socket.AF_INET, socket.SOCK_RAW, proto).sendto(payload, (target, 0))


def forged(target):
    """with a source that is not ours"""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(_udp4(target, "192.0.2.78"), (target, 0))


def misnamed(target):
    """IPv4 as the kernel routes it, IPv6 by its first byte, with a destination of IPv6 that is allowed"""
    packet = bytearray(_udp4(target) + bytes(20))
    packet[0] = 0x65
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(bytes(packet), (target, 0))


def forged6(target):
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(_udp6(target, "fd00:79::bad"), (target, 0))


def fragments(target):
    """the second of two, by hand, and a first one that is too short for ports"""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for offset in (0x2000, 0x0001):
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 24, 7, offset, 64, 17, 0,
                           socket.inet_aton(SOURCE4), socket.inet_aton(target))
        s.sendto(head + b"abcd", (target, 0))


# behind IP

def _packet(kind):
    s = socket.socket(socket.AF_PACKET, kind, socket.htons(ETH_P_IP))
    s.bind((UPLINK, ETH_P_IP))
    return s


def _frame(target):
    return GATEWAY_MAC + bytes.fromhex("020000000001") + struct.pack("!H", ETH_P_IP) + _udp4(target)


def packet_raw(target):
    _packet(socket.SOCK_RAW).send(_frame(target))


def packet_dgram(target):
    _packet(socket.SOCK_DGRAM).sendto(_udp4(target), (UPLINK, ETH_P_IP, 0, 0, GATEWAY_MAC))


def packet_bypass(target):
    s = _packet(socket.SOCK_RAW)
    s.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    s.send(_frame(target))


def packet_ring(target):
    """the packet is written into memory that the kernel sends from"""
    s, frame = _packet(socket.SOCK_RAW), _frame(target)
    s.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("IIII", 4096, 1, 2048, 2))
    ring = mmap.mmap(s.fileno(), 4096)
    ring[32:32 + len(frame)] = frame  # behind struct tpacket_hdr
    ring[8:12] = struct.pack("I", len(frame))
    ring[0:8] = struct.pack("L", 1)  # TP_STATUS_SEND_REQUEST
    s.send(b"")


def xdp(target):
    """whether the socket can be had: what it sends nobody sees"""
    socket.socket(44, socket.SOCK_RAW)


def tun(target):
    """a packet that comes in over an interface of the program's own, to be forwarded"""
    import fcntl
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"own", 0x1001))  # TUNSETIFF: TUN, NO_PI
    os.system("ip link set own up")
    os.write(fd, _udp4(target, "192.0.2.79"))
    time.sleep(0.1)


# several conversations of one socket

def rebound(allowed, target):
    """connected to the one, then to the other"""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(_family(target), kind)
        s.connect((allowed, PORT))
        s.send(b"x")
        s.recv(1)
        _disconnect(s)
        try:
            s.connect((target, PORT))
            s.send(b"x")
        except OSError as error:
            print(errno.errorcode[error.errno], flush=True)


def overtaken(allowed, target):
    """connects to the one, does not wait for the verdict, and connects to the other"""
    for _ in range(20):
        s = socket.socket(_family(target))
        s.setblocking(False)
        s.connect_ex((allowed, PORT))
        _disconnect(s)
        s.connect_ex((target, PORT))
        time.sleep(0.02)


def early(allowed, target):
    """connected to the one; then the other, with data in the SYN"""
    s = socket.create_connection((allowed, PORT))
    s.settimeout(20)
    s.send(b"x")
    s.recv(1)
    _disconnect(s)
    s.sendto(b"early", MSG_FASTOPEN, (target, PORT))


def contested(allowed, target):
    """threads that connect one socket to the one and to the other, and send"""
    s = socket.socket(_family(target))
    s.setblocking(False)

    def connect(where):
        for _ in range(50):
            s.connect_ex((where, PORT))
            try:
                s.send(b"x")
            except OSError:
                pass
            _disconnect(s)
    workers = [threading.Thread(target=connect, args=[where]) for where in (allowed, target, allowed)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def threads(allowed, target):
    """one socket, connected to the one, and a thread that sends to the other"""
    s, ends = _udp(target), time.monotonic() + 1
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
    s = _udp(target)
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


def over_loopback(target):
    """out by an interface that is not held, in the hope that it is forwarded"""
    s = _udp(target, (socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo"))
    s.sendto(b"x", (target, PORT))


# several sockets, and what the kernel does for one

def subflows(allowed, port):
    """MPTCP, to a server that names another address of its own"""
    s = socket.socket(_family(allowed), socket.SOCK_STREAM, MPTCP)
    s.connect((allowed, int(port)))
    s.send(b"x")
    s.recv(1)
    print("connected", os.getpid(), flush=True)
    time.sleep(1)
    s.send(b"y")


def _shared_port():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", 5353))
    return s


def ask_on_shared(peer, folder):
    """asks before and after somebody else has the same port"""
    s = _shared_port()
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
    s = _shared_port()
    open(folder + "/bound", "w").close()
    time.sleep(2)
    s.close()


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
        print("0")
    except OSError as error:
        print(errno.errorcode.get(error.errno, error))
