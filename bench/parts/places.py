# SPDX-License-Identifier: LGPL-2.1-or-later
"""Places where the same load is measured, with and without Sluice.

Each has a lab of its own, so that what one does to its namespace costs no other anything,
and is set up once for all rounds: only one works at a time, for a fraction of a second, and
the machine has no time to change between it and the one it is compared with.

    none        nothing looks at the connections
    floor       bench/nfq-floor: the first packet of each goes to user space and comes back,
                and nothing else happens
    static      a filter's rule allows the program by its path: sluiced answers the first
                connection to a place by it, the kernel those that follow
    ruled       the rule is about local ports, which the kernel does not remember: sluiced
                answers each connection by it
    asked       a filter is asked about each connection
    named       a pass-all blocklist, which has the host of each connection's first bytes read
    remembered  a filter whose first answer covers all that follow
"""

import collections
import contextlib
import json
import os
import subprocess

from lib import machine
from lib.lab import Lab
from lib.wait import wait_for

from . import unpace
from .figures import Absent

ADDRESS, PORT, QUEUE = "10.77.0.2", 7777, 7
LIST_NAMES = 1000  # of the blocklist; none is ever asked for
# @processors: of client and server; None: the scheduler decides
Load = collections.namedtuple("Load", "title threads open processors", defaults=(None,))
FLOOR_TABLE = ("add table ip floor; add chain ip floor hold; "
               "add chain ip floor out { type filter hook output priority mangle; }; "
               "add rule ip floor out tcp flags & (syn | ack) == syn jump hold")
FLOOR_RULE = f"add rule ip floor hold queue num {QUEUE} bypass"


class Place:
    """@n: connections that were measured so far"""

    address = ADDRESS  # to which its client connects

    def __init__(self, build, seconds, load):
        self.n, self._n_measured = 0, 0
        self._ends = contextlib.ExitStack()
        with self._ends as ends:
            self.lab = ends.enter_context(Lab(build))
            unpace(self.lab.client, self.lab.server)
            pins = [["taskset", "-c", str(processor)] for processor in load.processors or ()] or [[], []]
            self._serve(ends, pins[1])
            self._orders = self.lab.new_file("orders")
            os.mkfifo(self._orders)
            self.prepare(ends)
            self._client = self.start([*pins[0], self.lab.path("bench/cps"), "connect", self.address, PORT, seconds,
                                       load.threads, load.open, self._orders])
            # both ends: opening waits for nobody
            self._fd = os.open(self._orders, os.O_RDWR | os.O_CLOEXEC)
            ends.callback(os.close, self._fd)
            wait_for(self._is_ready, 60 + load.open / 10, "the client")  # which opens them
            self._ends = ends.pop_all()

    def _serve(self, ends, pin):
        with self.lab.server:
            server = subprocess.Popen([*pin, "setpriv", "--pdeathsig", "KILL", self.lab.path("bench/cps"), "serve",
                                       str(PORT)])
        ends.callback(server.wait)
        ends.callback(server.kill)
        wait_for(lambda: f":{PORT:04X} " in self.lab.server.read_proc("tcp6"), 5, "the server")

    def _is_ready(self):
        if self._client.popen.poll() is not None:
            raise Absent("its client failed: " + self._client.stderr.strip())
        return "ready" in self._client.stderr

    def prepare(self, ends):
        """what stands between client and server"""

    def deciders(self):
        """pids of those who decide about the connections"""
        return []

    def said(self):
        """for people, after a failure: the last that who decides has said"""
        return ""

    def start(self, words):
        """Return: the client, running"""
        return self.lab.start_plain(words)

    def measure(self):
        self._n_measured += 1
        os.write(self._fd, b"\n")
        wait_for(self._has_answered, 60, "a measurement")
        result = json.loads(self._client.stdout.splitlines()[-1])
        self.n += result["n"]
        return result

    def _has_answered(self):
        return self._is_ready() and self._client.stdout.count("\n") == self._n_measured

    def stop(self):
        self._client.end()

    def close(self):
        self._ends.close()


class Floor(Place):
    def prepare(self, ends):
        words = [self.lab.path("bench/nfq-floor"), str(QUEUE)]
        with self.lab.client:
            subprocess.run(["nft", FLOOR_TABLE], check=True)
            if subprocess.run(["nft", FLOOR_RULE], stderr=subprocess.DEVNULL).returncode:
                words.append("compat")
            queue = subprocess.Popen(words, stdout=subprocess.PIPE)
        ends.callback(queue.wait)
        ends.callback(queue.kill)
        if not queue.stdout.readline():
            raise Absent("no rule sends packets to a queue")
        self._queue = queue

    def deciders(self):
        return [self._queue.pid]


class Governed(Place):
    """its client is COMMAND of `sluice run`, with one filter"""

    def filter(self):
        return self.lab.test_filter()

    def start(self, words):
        return self.lab.start([self.filter()], words, has_records=False)

    def processes(self):
        """name → pid"""
        found = {os.path.basename(exe): pid for pid, exe in machine.processes(self.lab.build).items()
                 if machine.descends(pid, self._client.pid)}
        return {name: found[name] for name in ("sluiced", "sluice-keeper", "sluice-names", "test-filter")}

    def deciders(self):
        return list(self.processes().values())


class Static(Governed):
    def filter(self):
        return self.lab.test_filter(rule="allow;exe=" + self.lab.path("bench/cps"))


class Ruled(Governed):
    def filter(self):
        return self.lab.test_filter(rule="allow;local-port=1-65535")


class Named(Governed):
    def filter(self):
        return "blocklist:list=" + self.lab.new_file("list", "".join(f"name{i}.invalid\n" for i in range(LIST_NAMES)))


class Remembered(Governed):
    def filter(self):
        return self.lab.test_filter(scope="address")


KINDS = {"none": Place, "floor": Floor, "static": Static, "ruled": Ruled, "asked": Governed, "named": Named,
         "remembered": Remembered}


@contextlib.contextmanager
def places(kinds, absent, *settings):
    """name → place, all of them set up. @kinds: name → class; @absent: name → reason, which gets
    those that cannot be"""
    with contextlib.ExitStack() as ends:
        found = {}
        for name, kind in kinds.items():
            try:
                found[name] = kind(*settings)
                ends.callback(found[name].close)
            except Absent as reason:
                absent[name] = str(reason)
        try:
            yield found
        finally:  # all of them: each lab looks for processes that are left
            for place in found.values():
                place.stop()
