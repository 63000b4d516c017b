# SPDX-License-Identifier: LGPL-2.1-or-later
"""Places where a program's connection ends at a relay, which has another one to the server.

Nothing leads it there: the program connects to the relay itself, on loopback, and the relay to
the same port of the server, over the wire. So what is measured is what a relay costs, and not
what it costs to come to one. One process, one thread each.

    none        no relay: the program connects to the server
    relay       bench/forward: libsluice's relays, <sluice/relay.h>
    haproxy     Debian's haproxy in TCP mode with option splice-auto; not installed, tools/unpack
                --peers has put it aside
"""

import glob
import json
import os
import subprocess

from lib import machine
from lib.wait import Timeout, wait_for

from .figures import Absent
from .places import ADDRESS, PORT, Place

HERE = "127.0.0.1"
N_PORTS = 5  # of `cps serve`: the last four are of connections that stay open
PULSE_MS, WARM_MS = 150, 500
PACKAGES = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
HAPROXY = """global
    maxconn 5000
    nbthread 1
defaults
    mode tcp
    option splice-auto
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen relay
    bind {here}:{first}-{last}
    server server {address}
"""


class Streams:
    """connections that stream when they are told to. @pid: of the relay, or None"""

    def __init__(self, place, n):
        self._place = place
        self._orders, self._answers = (place.lab.new_file("fifo") for _ in range(2))
        for path in (self._orders, self._answers):
            os.mkfifo(path)
        words = f'exec {place.lab.path("bench/streams")} {place.address} {PORT} {n} <{self._orders} >{self._answers}'
        self._run = place.lab.start_plain(["sh", "-c", words])
        self._said, self._heard = open(self._orders, "w"), open(self._answers)
        self.measure(WARM_MS)

    def measure(self, ms=PULSE_MS):
        """Return: gbit_s, and cpu_s_gb of the relay"""
        before = self._place.cpu_s()
        self._said.write(f"{ms}\n")
        self._said.flush()
        line = self._heard.readline()
        if not line:
            raise RuntimeError("streams: " + self._run.stderr)
        result = json.loads(line)
        result["cpu_s_gb"] = (self._place.cpu_s() - before) / result["bytes"] * 1e9
        return result

    def close(self):
        self._said.close()
        self._heard.close()
        self._run.wait(20)


class Plain(Place):
    """nothing between program and server; @pid: of what is, elsewhere. With cpu_us of it for a connection"""

    pid = None

    def cpu_s(self):
        if not self.pid:
            return 0.0
        with open(f"/proc/{self.pid}/schedstat") as file:
            return int(file.read().split()[0]) * 1e-9

    def measure(self):
        before = self.cpu_s()
        result = super().measure()
        return {**result, "cpu_us": (self.cpu_s() - before) / result["n"] * 1e6}

    def resident(self):
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) * 1024

    def watch(self, ends, words, **settings):
        """starts a relay in the client namespace, and waits until it listens"""
        with self.lab.client:
            process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, **settings)
        ends.callback(process.wait)
        ends.callback(process.kill)
        self.pid = process.pid
        try:
            wait_for(lambda: f":{PORT + N_PORTS - 1:04X} " in self.lab.client.read_proc("tcp"), 5, "the relay")
        except Timeout:
            raise Absent(f"{words[0]} does not listen") from None
        self.empty = self.resident()


class Relay(Plain):
    address = HERE

    def prepare(self, ends):
        self.watch(ends, [self.lab.path("bench/forward"), HERE, PORT, N_PORTS, ADDRESS])


class Haproxy(Plain):
    address = HERE

    def prepare(self, ends):
        folders = [os.path.realpath(machine.unpacked(name)) for name in PACKAGES]
        if not all(os.path.isdir(folder) for folder in folders):
            raise Absent("Debian's package haproxy is not unpacked, see tools/unpack --peers")
        settings = self.lab.new_file("cfg", HAPROXY.format(here=HERE, first=PORT, last=PORT + N_PORTS - 1,
                                                           address=ADDRESS))
        libraries = [path for folder in folders[1:] for path in glob.glob(folder + "/usr/lib/*-linux-gnu*")]
        self.watch(ends, [folders[0] + "/usr/sbin/haproxy", "-db", "-q", "-f", settings],
                   env={**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)})


KINDS = {"none": Plain, "relay": Relay, "haproxy": Haproxy}
