# SPDX-License-Identifier: LGPL-2.1-or-later
"""More network namespaces for governed programs: containers, all with the same addresses.

    guest of a room                          host of the room
    programs, by enter()                     servers (threads of the test)
      10.90.0.1, fd00:90::1  door ──── wire  10.90.0.2, fd00:90::2
"""

import subprocess

from . import servers
from .capture import Capture
from .ns import Namespace

GUEST4, GUEST6 = "10.90.0.1", "fd00:90::1"
HOST4, HOST6 = "10.90.0.2", "fd00:90::2"


class Room:
    def __init__(self, name):
        self.name = name
        self.guest, self.host = Namespace(name), Namespace(name + "-host")
        self._servers = []
        self.guest.ip(f"link add door type veth peer name wire netns {self.host.path}")
        for namespace, interface, four, six in ((self.guest, "door", GUEST4, GUEST6),
                                                (self.host, "wire", HOST4, HOST6)):
            namespace.sysctl(f"ipv6/conf/{interface}/accept_dad", 0)
            namespace.ip(f"address add {four}/24 dev {interface}")
            namespace.ip(f"address add {six}/64 dev {interface} nodad")
            namespace.ip(f"link set {interface} up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self.guest.close()
        self.host.close()

    def serve(self, *ports):
        """echoes, TCP and UDP"""
        for port in ports:
            self._servers.append(servers.tcp_echo(self.host, port))
            self._servers.append(servers.UdpServer(self.host, port, lambda data: data))

    def serve_inside(self, port):
        """an echo of the guest's own, TCP"""
        self._servers.append(servers.tcp_echo(self.guest, port))

    def dns(self, zone):
        self._servers += servers.dns_servers(self.host, zone)

    def capture(self):
        return Capture(self.host, "wire")

    def enter(self, command):
        """the command line that runs a command inside"""
        return ["nsenter", "--net=" + self.guest.path, *[str(word) for word in command]]

    def n_held(self):
        """packets in its queues"""
        try:
            lines = self.guest.read_proc("netfilter/nfnetlink_queue").splitlines()
        except FileNotFoundError:
            return 0
        return sum(int(line.split()[2]) for line in lines)

    def nft(self, *words):
        """what nft(8) prints inside"""
        with self.guest:
            return subprocess.run(["nft", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  text=True, check=False).stdout

    def tables(self):
        return [line for line in self.nft("list", "tables").splitlines() if "sluice" in line]
