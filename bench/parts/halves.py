# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is sent behind a half close, by the client and by the server: does it arrive?

    client's    the client has said all, and ended its side; then the server sends 1 MiB
    server's    the server has said all, and ended its side; then the client sends 1 MiB

Who answers waits first, as somebody does who has to think: some relays give the other side a
second. Run as a program, with ADDRESS PORT, it is the client of both, whose ports are PORT and
the one behind it. With SOCKS=ADDRESS:PORT it goes by that server, as in bench/dial.h.
"""

import hashlib
import json
import os
import socket
import socketserver
import struct
import sys
import time

SIZE = 1 << 20
THINK_S, PATIENCE_S = 1.5, 8
PIECE = hashlib.sha256(b"halves").digest() * (SIZE // 32)
NAMES = {(True, True): "both", (True, False): "client's", (False, True): "server's", (False, False): "neither"}


def receive(s):
    """all until its end; None: it ended otherwise"""
    s.settimeout(PATIENCE_S)
    parts = []
    try:
        while part := s.recv(1 << 16):
            parts.append(part)
    except OSError:
        return None
    return b"".join(parts)


def send_late(s):
    time.sleep(THINK_S)
    try:
        s.sendall(PIECE)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side tells what came


class BehindClients(socketserver.BaseRequestHandler):
    def handle(self):
        if receive(self.request) == b"question":
            send_late(self.request)


class BehindServers(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(1)
        self.request.sendall(b"answer")
        self.request.shutdown(socket.SHUT_WR)
        self.server.heard.append(receive(self.request) == PIECE)


def dial(address, port):
    server = os.environ.get("SOCKS")
    if not server:
        return socket.create_connection((address, port), PATIENCE_S)
    host, its_port = server.split(":")
    s = socket.create_connection((host, int(its_port)), PATIENCE_S)
    for words, n in ((b"\5\1\0", 2), (b"\5\1\0\1" + socket.inet_aton(address) + struct.pack("!H", port), 10)):
        s.sendall(words)
        if s.recv(n, socket.MSG_WAITALL)[1]:
            raise ConnectionRefusedError
    return s


def ask_clients(address, port):
    with dial(address, port) as s:
        s.sendall(b"question")
        s.shutdown(socket.SHUT_WR)
        return receive(s) == PIECE


def ask_servers(address, port):
    """Return: has it ended as it should? That what it sent came, the server knows"""
    with dial(address, port) as s:
        s.sendall(b"q")
        is_ended = receive(s) == b"answer"
        send_late(s)
        return is_ended and receive(s) == b""


def main(address, port):
    print(json.dumps([ask_clients(address, int(port)), ask_servers(address, int(port) + 1)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
