# SPDX-License-Identifier: LGPL-2.1-or-later
"""Upstream proxies of the lab, SOCKS5 and HTTP CONNECT: well behaved, and not.

Threads of the test; they listen in one namespace and connect from there. `asked` has what each
was asked for, as it was named: ("10.79.66.1", 80) or ("example.com", 80). UDP: associate.py.
"""

import base64
import contextlib
import errno
import ipaddress
import select
import socket
import socketserver
import ssl
import struct
import threading

from .associate import Association
from .servers import serve

TIMEOUT_S = 2  # of a destination that does not answer
FORBIDDEN_PORT = 25
ASSOCIATE = 3


def _readable(ends, timeout_s=None):
    """of `ends` those that can be read; select(2) takes no high descriptors"""
    poller = select.poll()
    for end in ends:
        poller.register(end, select.POLLIN)
    ready = {fd for fd, _ in poller.poll(timeout_s and timeout_s * 1000)}
    return [end for end in ends if end.fileno() in ready]


def _is_address(host):
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


class _Refused(Exception):
    """number: the errno; None: not allowed"""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def _pump(source, sink):
    """until the end, which goes on as one; a reset as one"""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno == errno.ECONNRESET:
            for end in (source, sink):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RD)  # who reads there hears of it


class _Proxy(socketserver.BaseRequestHandler):
    def read(self, n):
        data = b""
        while len(data) < n:
            part = self.request.recv(n - len(data))
            if not part:
                raise ConnectionError("the client has left")
            data += part
        return data

    def reach(self, host, port):
        """a connection to where it wants to go; raises _Refused"""
        self.server.asked.append((host, port))
        if port == FORBIDDEN_PORT:
            raise _Refused(None)
        if not _is_address(host) and host not in self.server.names:
            raise _Refused(errno.EHOSTUNREACH)
        try:
            with self.server.place:
                return socket.create_connection((self.server.names.get(host, host), port), TIMEOUT_S)
        except TimeoutError:
            raise _Refused(errno.ETIMEDOUT) from None
        except OSError as error:
            raise _Refused(error.errno) from None

    def carry(self, upstream):
        upstream.settimeout(None)
        back = threading.Thread(target=_pump, args=(upstream, self.request), daemon=True)
        back.start()
        _pump(self.request, upstream)
        back.join()
        upstream.close()

    def handle(self):
        try:
            self.serve()
        except (ConnectionError, ssl.SSLError):
            pass


class _Socks5(_Proxy):
    REPLIES = {None: 2, errno.ENETUNREACH: 3, errno.EHOSTUNREACH: 4, errno.ECONNREFUSED: 5, errno.ETIMEDOUT: 6}

    def is_welcome(self):
        methods = self.read(self.read(2)[1])
        if not self.server.user:
            self.request.sendall(b"\x05\x00" if 0 in methods else b"\x05\xff")
            return 0 in methods
        if 2 not in methods:
            self.request.sendall(b"\x05\xff")
            return False
        self.request.sendall(b"\x05\x02")
        user = self.read(self.read(2)[1])
        password = self.read(self.read(1)[0])
        is_right = f"{user.decode()}:{password.decode()}" == self.server.user
        self.request.sendall(b"\x01\x00" if is_right else b"\x01\x01")
        return is_right

    def read_request(self):
        """command, host, port"""
        _, command, _, kind = self.read(4)
        if kind == 3:
            host = self.read(self.read(1)[0]).decode()
        else:
            host = socket.inet_ntop(*((socket.AF_INET, self.read(4)) if kind == 1 else
                                      (socket.AF_INET6, self.read(16))))
        return command, host, struct.unpack("!H", self.read(2))[0]

    def associate(self):
        if self.server.twist == "refuses":
            self.request.sendall(b"\x05\x07\x00\x01" + bytes(6))
            return
        association = Association(self)
        self.server.associations.append(association)
        try:
            self.request.sendall(b"\x05\x00\x00" + association.bound())
            association.serve()
        finally:
            self.server.ended.append(association)
            association.close()

    def serve(self):
        if not self.is_welcome():
            return
        command, *destination = self.read_request()
        if command == ASSOCIATE:
            self.associate()
            return
        try:
            upstream = self.reach(*destination)
        except _Refused as refused:
            self.request.sendall(bytes([5, self.REPLIES.get(refused.number, 1), 0, 1]) + bytes(6))
            return
        self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
        self.carry(upstream)


class _Connect(_Proxy):
    STATUSES = {None: 403, errno.EHOSTUNREACH: 502, errno.ETIMEDOUT: 504}

    def answer(self, status):
        self.request.sendall(f"HTTP/1.1 {status} is the answer\r\nContent-Length: 0\r\n\r\n".encode())

    def serve(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        lines = head.decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        fields = dict(line.split(": ", 1) for line in lines[1:] if line)
        if method != "CONNECT" or fields["Host"] != target:
            self.answer(400)
            return
        if self.server.user and fields.get("Proxy-Authorization") != "Basic " + base64.b64encode(
                self.server.user.encode()).decode():
            self.answer(407)
            return
        host, port = target.rsplit(":", 1)
        try:
            upstream = self.reach(host.strip("[]"), int(port))
        except _Refused as refused:
            self.answer(self.STATUSES.get(refused.number, 503))
            return
        self.answer(200)
        self.carry(upstream)


class _SecureConnect(_Connect):
    """TLS in the thread of the connection; the pump of two directions needs a pair without it"""

    def handle(self):
        try:
            with self.server.context.wrap_socket(self.request, server_side=True) as secure:
                ours, self.request = socket.socketpair()
                threading.Thread(target=self._handle_plain, daemon=True).start()
                with ours:
                    self._pass(secure, ours)
        except OSError:
            pass

    def _handle_plain(self):
        with self.request:
            super().handle()

    @staticmethod
    def _pass(secure, plain):
        """one thread has both directions of TLS"""
        secure.setblocking(False)
        is_open = {secure: True, plain: True}
        while any(is_open.values()):
            ready = [end for end in is_open if is_open[end]]
            if not (is_open[secure] and secure.pending()):
                ready = _readable(ready)
            for end in ready:
                try:
                    data = end.recv(65536)
                except ssl.SSLWantReadError:
                    continue
                if data and end is secure:
                    plain.sendall(data)
                elif data:
                    secure.setblocking(True)
                    secure.sendall(data)
                    secure.setblocking(False)
                else:
                    is_open[end] = False
                    _SecureConnect._end(secure, plain if end is secure else None)

    @staticmethod
    def _end(secure, plain):
        """what is read no more is told to the other side"""
        if plain:
            plain.shutdown(socket.SHUT_WR)
            return
        try:
            secure.unwrap()
        except ssl.SSLWantReadError:
            pass  # it has said so, and hears more


class _Says(socketserver.BaseRequestHandler):
    """sends what it was given, whatever it hears, and waits for the client to leave"""

    def handle(self):
        self.server.n_served += 1
        try:
            if self.server.context:
                self.request = self.server.context.wrap_socket(self.request, server_side=True)
            for chunk in self.server.chunks:
                self.request.sendall(chunk)
                if self.server.pause_s and _readable([self.request], self.server.pause_s):
                    self.request.recv(65536)
            while not self.server.is_rude and self.request.recv(65536):
                pass
        except OSError:
            pass
        self.server.n_left += 1


def socks5(namespace, port, user=None, names=(), twist=None):
    """`user`: "NAME:PASSWORD"; `names`: what it resolves; `twist`: what is wrong with its UDP"""
    return serve(namespace, port, _Socks5, place=namespace, user=user, names=dict(names), asked=[], twist=twist,
                 associations=[], ended=[])


def connect(namespace, port, user=None, names=()):
    return serve(namespace, port, _Connect, place=namespace, user=user, names=dict(names), asked=[])


def _context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def secure_connect(namespace, port, certificate, user=None, names=()):
    """`certificate`: a file with it and its key"""
    return serve(namespace, port, _SecureConnect, place=namespace, user=user, names=dict(names), asked=[],
                 context=_context(certificate))


def says(namespace, port, chunks, pause_s=0, is_rude=False, context=None):
    """`is_rude`: it leaves when all is said"""
    return serve(namespace, port, _Says, chunks=chunks, pause_s=pause_s, is_rude=is_rude, n_served=0, n_left=0,
                 context=context)


def secure_says(namespace, port, certificate, chunks, pause_s=0, is_rude=False):
    """the same inside of TLS"""
    return says(namespace, port, chunks, pause_s, is_rude, _context(certificate))
