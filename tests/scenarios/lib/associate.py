# SPDX-License-Identifier: LGPL-2.1-or-later
"""UDP of the lab's SOCKS5 proxies (RFC 1928 7): well behaved, and not.

A proxy notes in `associations` each one that it had: `.sent` has to whom its datagrams were to go, as it
was named, `.control` is its connection. `twist` is what is wrong with it, a key of TWISTS.
"""

import ipaddress
import select
import socket
import struct

ALL = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
LIE = b"this is a lie"


def pack_address(host, port):
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return b"\x03" + bytes([len(host)]) + host.encode() + struct.pack("!H", port)
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed + struct.pack("!H", port)


def unpack_address(data):
    """(host, port), bytes of it"""
    if data[0] == 3:
        n = 2 + data[1]
        host = data[2:n].decode()
    else:
        n = 5 if data[0] == 1 else 17
        host = str(ipaddress.ip_address(data[1:n]))
    return (host, struct.unpack("!H", data[n:n + 2])[0]), n + 2


def _head(source):
    return bytes(3) + pack_address(*source)


# what comes before each right datagram, each of them a lie: by the peer that it is from
LIES = (
    lambda source: b"\x00\x01\x00" + pack_address(*source),  # reserved bytes are not 0
    lambda source: b"\x01\x00\x00" + pack_address(*source),
    lambda source: b"\x00\x00\x01" + pack_address(*source),  # fragments
    lambda source: b"\x00\x00\x80" + pack_address(*source),
    lambda source: _head((source[0], source[1] ^ 1)),        # nobody has sent to that port,
    lambda source: _head(("198.51.100.1", source[1])),       # or address
    lambda source: _head(("2001:db8::1", source[1])),
    lambda source: _head(("www.example.com", source[1] ^ 1)),
    lambda source: b"\x00\x00\x00\x02" + pack_address(*source)[1:],  # no type of address
)
# cut off in the middle of the head
SHORT = (b"", b"\x00", b"\x00\x00\x00", b"\x00\x00\x00\x01", b"\x00\x00\x00\x01\x0a\x00", b"\x00\x00\x00\x03",
         b"\x00\x00\x00\x03\xff" + LIE, b"\x00\x00\x00\x03\x00\x00\x35", b"\x00\x00\x00\x04" + LIE)


class Association:
    def __init__(self, handler):
        self._server, self.control = handler.server, handler.request
        address = self.control.getsockname()
        self._family = socket.AF_INET if address[0].startswith("::ffff:") else socket.AF_INET6
        self._here, self._there = (one[0].removeprefix("::ffff:") for one in (address, self.control.getpeername()))
        self.sent, self.client = [], None
        with handler.server.place:
            self.relay = self._bind(self._family, self._here)
            self._out = {family: self._bind(family, every) for family, every in ALL.items()}
            self._stranger = self._bind(self._family, self._here)

    @staticmethod
    def _bind(family, host):
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        s.bind((host, 0))
        return s

    def port(self, family):
        """what the far end sees"""
        return self._out[family].getsockname()[1]

    def bound(self):
        """BND.ADDR, BND.PORT"""
        twist, port = self._server.twist, self.relay.getsockname()[1]
        every = ALL[self._family]
        return pack_address(*{"zeros": (every, port), "no port": (self._here, 0), "loopback": ("127.0.0.1", port),
                              "its client": (self._there, port),
                              "a name": ("relay.example", port)}.get(twist, (self._here, port)))

    def _up(self):
        data, peer = self.relay.recvfrom(65536)
        if self.client is None:
            self.client = peer
        if peer != self.client or data[:3] != bytes(3):
            return
        (host, port), n = unpack_address(data[3:])
        self.sent.append((host, port))
        if self._server.twist == "deaf":
            return
        host = self._server.names.get(host, host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._out[family].sendto(data[3 + n:], (host, port))

    def _lie(self, source):
        for lie in LIES:
            self.relay.sendto(lie(source) + LIE, self.client)
        for lie in SHORT:
            self.relay.sendto(lie, self.client)
        self._stranger.sendto(_head(source) + LIE, self.client)

    def _down(self, s):
        data, peer = s.recvfrom(65536)
        if self._server.twist == "lies":
            self._lie(peer[:2])
        self.relay.sendto(_head(peer[:2]) + data, self.client)

    def serve(self):
        """until the client leaves"""
        ways = {self.relay.fileno(): self._up, self.control.fileno(): None,
                **{s.fileno(): lambda s=s: self._down(s) for s in self._out.values()}}
        poller = select.poll()
        for fd in ways:
            poller.register(fd, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if ways[fd] is None:
                    return
                try:
                    ways[fd]()
                except OSError:
                    pass  # too long, or nobody is there: it is lost
            if self._server.twist == "ends" and self.sent:
                return

    def close(self):
        for s in (self.relay, self._stranger, *self._out.values()):
            s.close()
