# SPDX-License-Identifier: LGPL-2.1-or-later
"""Places where a program's connection ends at a relay, which has another one to the server.

    none        no relay: the program connects to the server
    relay       bench/forward: libsluice's relays, <sluice/relay.h>. Nothing leads the program to
                it: it connects to the relay itself, on loopback, and the relay to the same port
                of the server, over the wire. So what is measured is what a relay costs, and not
                what it costs to come to one
    proxy       all of it: the program connects to the server, governed, with the bundled proxy
                relay: each SYN is held until the relay has connected. Its processes count together
    declined    a transparent proxy was asked, and does not want the flow

What others have is in relaypeers.py.
"""

import contextlib
import glob
import json
import os
import subprocess
import sys

from lib import machine, servers
from lib.wait import Timeout, wait_for

from . import halves
from .figures import Absent
from .places import ADDRESS, PORT, Place

HERE = "127.0.0.1"
N_SERVED = 5  # ports of `cps serve`: the last four are of connections that stay open
HALVES = PORT + N_SERVED
LAST = HALVES + 1
PULSE_MS, WARM_MS = 150, 500
OURS = "sluiced", "sluice-keeper", "sluice-names", "relay", "socks", "test-proxy"


class Cpu:
    """that is used from now on by processes, @find gives their pids; without that of those which end meanwhile"""

    def __init__(self, find):
        self._find = find
        self._before = self._used()

    def _used(self):
        """thread → s"""
        used = {}
        for pid in self._find():
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with contextlib.suppress(OSError), open(path) as file:  # it has ended
                    used[path] = int(file.read().split()[0]) * 1e-9
        return used

    def spent_s(self):
        return sum(s - self._before.get(thread, 0) for thread, s in self._used().items())


class Streams:
    """connections that stream when they are told to"""

    def __init__(self, place, n):
        self._place = place
        self._orders, self._answers = (place.lab.new_file("fifo") for _ in range(2))
        for path in (self._orders, self._answers):
            os.mkfifo(path)
        words = f'exec {place.lab.path("bench/streams")} {place.address} {PORT} {n} <{self._orders} >{self._answers}'
        self._run = place.start(["sh", "-c", words])
        self._said, self._heard = open(self._orders, "w"), open(self._answers)
        self.measure(WARM_MS)

    def measure(self, ms=PULSE_MS):
        """Return: gbit_s, and cpu_s_gb of the relay"""
        cpu = Cpu(lambda: self._place.pids_of(self._run))
        self._said.write(f"{ms}\n")
        self._said.flush()
        line = self._heard.readline()
        if not line:
            raise RuntimeError("streams: " + self._run.stderr)
        result = json.loads(line)
        result["cpu_s_gb"] = cpu.spent_s() / result["bytes"] * 1e9
        return result

    def close(self):
        self._said.close()
        self._heard.close()
        self._run.wait(20)


class Plain(Place):
    """nothing between program and server; @pids: of what is, elsewhere. With cpu_us of it for a connection"""

    pids = ()

    def pids_of(self, run):
        """of the relay that a program has which was started"""
        return self.pids

    def measure(self):
        cpu = Cpu(lambda: self.pids_of(self._client))
        result = super().measure()
        return {**result, "cpu_us": cpu.spent_s() / result["n"] * 1e6}

    def resident(self):
        """what processes share is counted once"""
        total = 0
        for pid in self.pids_of(self._client):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/smaps_rollup") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
        return total

    def ends(self):
        """a value of halves.NAMES: which ones of the half closes leave the other half alive"""
        heard = []
        with contextlib.ExitStack() as ends:
            for port, handler in ((HALVES, halves.BehindClients), (HALVES + 1, halves.BehindServers)):
                server = servers.serve(self.lab.server, port, handler, heard=heard)
                ends.callback(server.server_close)
                ends.callback(server.shutdown)
            run = self.start([sys.executable, "-B", halves.__file__, self.address, HALVES])
            run.wait(60)
            behind_clients, behind_servers = run.json() if run.stdout else (False, False)
        return halves.NAMES[behind_clients, behind_servers and heard == [True]]

    def watch(self, ends, namespace, words, port, **settings):
        """starts a process, and waits until it listens. Return: its pid"""
        words = ["setpriv", "--pdeathsig", "KILL", *map(str, words)]
        with namespace:
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, **settings)
        ends.callback(process.wait)
        ends.callback(process.terminate)
        try:
            wait_for(lambda: any(f":{port:04X} 0" in namespace.read_proc(name) for name in ("tcp", "tcp6")), 5,
                     "the relay")
        except Timeout:
            raise Absent(f"{words[-1]} does not listen") from None
        return process.pid


class Relay(Plain):
    address = HERE

    def prepare(self, ends):
        words = [self.lab.path("bench/forward"), HERE, PORT, LAST - PORT + 1, ADDRESS]
        self.pids = [self.watch(ends, self.lab.client, words, LAST)]


class Proxy(Plain):
    """@NAME: of the provider"""

    NAME = "relay"

    def options(self):
        return ["--proxy", self.NAME]

    def start(self, words):
        return self.lab.start([], words, options=self.options(), has_records=False)

    def pids_of(self, run):
        found = {pid: os.path.basename(exe) for pid, exe in machine.processes(self.lab.build).items()
                 if machine.descends(pid, run.pid)}
        return [pid for pid, name in found.items() if name in OURS]


def declining(lab):
    """--proxy's argument"""
    return lab.path("tests/providers/test-proxy:") + ",".join(f"decline={port}" for port in range(PORT, LAST + 1))


class Declined(Proxy):
    def options(self):
        return ["--proxy", declining(self.lab)]


KINDS = {"none": Plain, "relay": Relay, "proxy": Proxy, "declined": Declined}
