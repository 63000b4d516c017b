# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers of the lab: threads of the test whose sockets are in a namespace.

Each listens on IPv4 and IPv6 at once and answers from the address it was
asked at, because the server namespace owns whole networks.
"""

import http.server
import socket
import socketserver
import ssl
import struct
import threading

IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_FREEBIND = 49, 50, 78
PATTERN = bytes(range(256)) * 256  # 64 KiB: what /bytes/N repeats


class _Tcp6(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 4096

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request, client_address):
        pass  # clients that go away are what many scenarios are about


class _Tls6(_Tcp6):
    """shakes hands in the thread of the connection"""

    def finish_request(self, request, client_address):
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)


def serve(namespace, port, handler, kind=_Tcp6, **attributes):
    with namespace:
        server = kind(("::", port), handler)
    for name, value in attributes.items():
        setattr(server, name, value)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class _Deaf(socketserver.BaseRequestHandler):
    """takes a connection, and reads nothing of it"""

    def handle(self):
        threading.Event().wait(30)


class _Halves(socketserver.BaseRequestHandler):
    """"o": the client ends its side, and is told "bye" when `go` is set; "i": this side ends at once, and the
    client's is read on"""

    def handle(self):
        which = self.request.recv(1)
        if which == b"o":
            self.request.sendall(b"o")
            while self.request.recv(100):
                pass
            self.server.go.wait(30)
            self.request.sendall(b"bye")
            return
        self.request.shutdown(socket.SHUT_WR)
        while self.request.recv(100):
            pass


class _Ends(socketserver.BaseRequestHandler):
    """reads to the end, and notes what there was"""

    def handle(self):
        with self.server.lock:
            self.server.n_open += 1
        n, end = 0, "end"
        try:
            while data := self.request.recv(65536):
                n += len(data)
        except ConnectionResetError:
            end = "reset"
        with self.server.lock:
            self.server.n_open -= 1
            self.server.ended.append((n, end))


class _Resets(socketserver.BaseRequestHandler):
    """so many connections are reset, and the others end"""

    def handle(self):
        if self.server.n_resets:
            self.server.n_resets -= 1
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
            self.request.close()


class _Greeter(socketserver.BaseRequestHandler):
    """speaks first, then answers a line"""

    def handle(self):
        self.request.sendall(b"220 hello\r\n")
        if self.request.recv(1000):
            self.request.sendall(b"221 bye\r\n")


class _Http(http.server.BaseHTTPRequestHandler):
    """/bytes/N: N bytes · /slow/N/CHUNK/MS: the same with pauses · else: the Host"""

    protocol_version = "HTTP/1.0"

    def _begin(self, size):
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _send(self, size, chunk, pause_s):
        sent = 0
        while sent < size:
            part = PATTERN[:min(chunk, size - sent, len(PATTERN))]
            self.wfile.write(part)
            sent += len(part)
            if pause_s:
                self.server.pause.wait(pause_s)

    def do_GET(self):
        words = self.path.strip("/").split("/")
        if words[0] == "bytes":
            self._begin(int(words[1]))
            self._send(int(words[1]), len(PATTERN), 0)
        elif words[0] == "slow":
            self._begin(int(words[1]))
            self._send(int(words[1]), int(words[2]), int(words[3]) / 1000)
        else:
            text = f"hello from {self.headers.get('Host', 'nobody')}\n".encode()
            self._begin(len(text))
            self.wfile.write(text)

    do_HEAD = do_GET

    def do_POST(self):
        left = int(self.headers.get("Content-Length", 0))
        got = 0
        while got < left:
            got += len(self.rfile.read(min(65536, left - got)))
        text = f"{got}\n".encode()
        self._begin(len(text))
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class _DnsStream(socketserver.StreamRequestHandler):
    def handle(self):
        while len(head := self.rfile.read(2)) == 2:
            reply = self.server.zone.answer(self.rfile.read(struct.unpack("!H", head)[0]), "tcp")
            if reply is None:
                return
            self.wfile.write(struct.pack("!H", len(reply)) + reply)


class UdpServer:
    """answers each datagram with `reply(data)`; None: no answer, a list: several. Once more after `again_s`"""

    def __init__(self, namespace, port, reply, again_s=None):
        with namespace:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        # most addresses of the server namespace are only a local route
        self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        self._socket.bind(("::", port))
        self._reply, self._again_s = reply, again_s
        self.n_received = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, extra, _, peer = self._socket.recvmsg(65536, 256)
            except OSError:
                return
            self.n_received += 1
            reply = self._reply(data)
            if reply is None:
                continue
            # answer from where it was asked, by whatever route leads back
            where = [(level, kind, info[:16] + bytes(4)) for level, kind, info in extra
                     if kind == IPV6_PKTINFO]
            replies = reply if isinstance(reply, list) else [reply]
            self._send(replies, where, peer)
            if self._again_s:
                later = threading.Timer(self._again_s, self._send, (replies, where, peer))
                later.daemon = True
                later.start()

    def _send(self, replies, where, peer):
        for one in replies:
            try:
                self._socket.sendmsg([one], where, 0, peer)
            except OSError:
                pass

    def shutdown(self):
        self._socket.close()

    server_close = shutdown


def tcp_echo(namespace, port):
    return serve(namespace, port, _Echo)


def http_server(namespace, port):
    return serve(namespace, port, _Http, pause=threading.Event())


def https_server(namespace, port, certificate):
    """@certificate: a file with the key as well"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return serve(namespace, port, _Http, _Tls6, pause=threading.Event(), context=context)


def acceptor(namespace, port):
    """takes each connection and ends it; no thread for each, and so many at once"""
    with namespace:
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)

    def run():
        while True:
            try:
                listener.accept()[0].close()
            except OSError:
                return
    threading.Thread(target=run, daemon=True).start()
    return listener


def deaf(namespace, port):
    return serve(namespace, port, _Deaf)


def halves(namespace, port):
    return serve(namespace, port, _Halves, go=threading.Event())


def ends(namespace, port):
    """`ended`: (bytes, "end" or "reset") of each connection; `n_open`: how many there are"""
    return serve(namespace, port, _Ends, lock=threading.Lock(), n_open=0, ended=[])


def resets(namespace, port):
    """`n_resets`: of how many to come"""
    return serve(namespace, port, _Resets, n_resets=0)


def greeter(namespace, port):
    return serve(namespace, port, _Greeter)


def dns_servers(namespace, zone, port=53):
    udp = UdpServer(namespace, port, lambda data: zone.answer(data, "udp"))
    return [udp, serve(namespace, port, _DnsStream, zone=zone)]
