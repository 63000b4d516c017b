# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs with and without Sluice that do errands, one at a time, for real servers.

Each place has a lab with the servers of scenario 154, and one program (worker.py) that lives for
all turns and carries out what comes through a FIFO: so nobody pays for an instance's start.
"""

import contextlib
import json
import os
import random
import shlex
import subprocess
import sys

from lib.lab import Lab
from lib.real import NO_SETTINGS, RealServers
from lib.wait import wait_for

from . import unpace

AT4, AT6, ECHO = "10.79.54.1", "fd00:79::54:1", 7
NAME = "files.example.com"
WORKER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "worker.py")


class Place:
    """@options: of the test filter; None: no Sluice"""

    def __init__(self, build, n_bytes, options):
        self._ends = contextlib.ExitStack()
        with self._ends as ends:
            self.lab = lab = ends.enter_context(Lab(build))
            unpace(lab.client, lab.server)
            lab.client.sysctl("ipv4/tcp_fastopen", 0x5)  # data in the SYN, without a cookie
            lab.dns().add(NAME, "A", AT4)
            lab.http()
            certificate = lab.https()
            lab.tcp_echo(ECHO)
            lab.udp_echo(ECHO)
            self.files = ends.enter_context(RealServers(lab, AT4, certificate))
            self._make_files(n_bytes)
            orders = lab.new_file("orders")
            os.mkfifo(orders)
            settings = [f"{name}={value}" for name, value in NO_SETTINGS.items()]
            words = ["env", *settings, sys.executable, "-B", WORKER, orders, lab.new_file("here")]
            if options is None:
                self._worker = lab.start_plain(words)
            else:
                self._worker = lab.start([lab.test_filter(**options)], words, has_records=False, fail="closed")
            # both ends: opening waits for nobody
            self._fd = os.open(orders, os.O_RDWR | os.O_CLOEXEC)
            ends.callback(os.close, self._fd)
            self._n = 0
            self._ends = ends.pop_all()

    def _make_files(self, n_bytes):
        for name, n in (("small", 1), ("large", n_bytes)):
            with open(os.path.join(self.files.folder, name), "wb") as file:
                file.write(random.Random(n).randbytes(n))
            work = self.lab.new_file("work")
            git = ["git", "-c", "user.name=lab", "-c", "user.email=lab@example.com", "-c", "core.compression=0", "-C", work]
            for words in (["git", "init", "-q", work], ["cp", os.path.join(self.files.folder, name), work],
                          [*git, "add", "."], [*git, "commit", "-qm", name],
                          ["git", "clone", "-q", "--bare", work, os.path.join(self.files.folder, name + ".git")]):
                subprocess.run(words, check=True, env={**os.environ, **NO_SETTINGS}, stderr=subprocess.DEVNULL)

    def _do(self, **order):
        self._n += 1
        os.write(self._fd, (json.dumps(order) + "\n").encode())
        wait_for(lambda: self._worker.stdout.count("\n") == self._n or self._worker.popen.poll() is not None, 120,
                 f"an errand: {order}")
        answer = json.loads(self._worker.stdout.splitlines()[-1])
        if "error" in answer:
            raise RuntimeError(f"{order}: {answer['error']}")
        return answer

    def run(self, words):
        """Return: seconds of a line of shell"""
        return self._do(shell=words)["s"]

    def connect(self, way, address, n):
        """Return: the median of @n, ms"""
        return self._do(way=way, address=address, port=ECHO, n=n)["ms"]

    def fill(self, words, name):
        """a client's command line, for the file of that name"""
        ssh = (f"ssh -F none -i {shlex.quote(self.files.key)} -o StrictHostKeyChecking=no "
               "-o UserKnownHostsFile=/dev/null")
        size = os.path.getsize(os.path.join(self.files.folder, name))
        return words.format(at=AT4, at6=AT6, name=name, size=size, folder=self.files.folder, ssh=ssh)

    def stop(self):
        self._worker.end()

    def close(self):
        self._ends.close()


@contextlib.contextmanager
def places(build, n_bytes, kinds):
    """name → place, all of them set up. @kinds: name → options"""
    with contextlib.ExitStack() as ends:
        found = {}
        for name, options in kinds.items():
            found[name] = Place(build, n_bytes, options)
            ends.callback(found[name].close)
        try:
            yield found
        finally:  # all of them: each lab looks for processes that are left
            for place in found.values():
                place.stop()
