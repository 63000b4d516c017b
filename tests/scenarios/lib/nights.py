# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a suspend does to processes and to the network, which no kernel of a test machine does by itself."""

import os
import signal
from contextlib import contextmanager, suppress

from . import machine
from .lab import CLIENT4, CLIENT6, MAC, SERVER4, SERVER6, WIDE4, WIDE6
from .wait import wait_for

NIGHTS_S = (0.02, 0.02, 0.05, 0.1, 0.3)
NO_ALARM = ("was silent", "restarting it", "replacing it", "canary failed", "could not be tried", "removed or changed")
DAEMONS = ("sluice-keeper", "sluiced", "sluice-names")


class Stopped:
    """one process, by signals"""

    def __init__(self, pid):
        self.pid = pid

    def stop(self):
        os.kill(self.pid, signal.SIGSTOP)

    def go(self):
        os.kill(self.pid, signal.SIGCONT)


class Frozen:
    """a cgroup, by its freezer"""

    def __init__(self, path):
        self._path = path

    def _write(self, value):
        with open(self._path + "/cgroup.freeze", "w") as file:
            file.write(value)

    def _is_frozen(self):
        with open(self._path + "/cgroup.events") as file:
            return "frozen 1" in file.read()

    def stop(self):
        self._write("1")
        wait_for(self._is_frozen, 5, f"{self._path} to be frozen")

    def go(self):
        self._write("0")


def cgroup_path(pid):
    return machine.cgroup_root() + machine.cgroup_of(pid)


def command_of(lab, run):
    """the program that is governed"""
    return next(pid for pid in machine.processes_in(lab.client.inode)
                if machine.parent_of(pid) == run.pid and not machine.exe_of(pid).startswith(lab.build))


def parts(lab, run, provider="test-filter"):
    """all of the instance: its processes, and the cgroups of its provider and of the program"""
    cgroups = (run.wait_pid(provider), command_of(lab, run))
    return [*(Stopped(run.wait_pid(name)) for name in DAEMONS), *(Frozen(cgroup_path(pid)) for pid in cgroups)]


def pull_out(lab):
    """what a suspend does to an uplink"""
    lab.client.ip(f"address del {CLIENT4}/24 dev uplink")
    lab.client.ip(f"address del {CLIENT6}/64 dev uplink")
    lab.client.ip("link set uplink down")


def _has_carrier(namespace, interface):
    return namespace.ask_ip(f"link show dev {interface}")[0]["operstate"] == "UP"


def _is_local(lab, address):
    return address in {route["dst"] for route in lab.client.ask_ip("-6 route show table local dev uplink")}


def plug_in(lab):
    """as whoever configures networks does it: what lets programs send is there when answers come back.
    Two things happen behind the back of ip(8). A carrier that has come is noticed by work of the kernel's,
    and until then that end drops what it is to send; and an address of IPv6 is given its route to this
    machine by such work, and until then what is sent to it is dropped. Both lose the answer to a SYN that
    is sent meanwhile, whoever sends it, and TCP sends it again after a second"""
    lab.client.ip("link set uplink up")
    for namespace, interface in ((lab.client, "uplink"), (lab.server, "wire")):
        wait_for(lambda: _has_carrier(namespace, interface), 5, f"{interface} to have a carrier")
    lab.client.ip(f"address add {CLIENT4}/24 dev uplink")
    lab.client.ip(f"address add {CLIENT6}/64 dev uplink nodad")
    wait_for(lambda: _is_local(lab, CLIENT6), 5, f"{CLIENT6} to be an address of the uplink")
    for peer in (SERVER4, SERVER6):
        lab.client.ip(f"neighbour replace {peer} lladdr {MAC[peer]} dev uplink nud permanent")
    for wide, gateway in ((WIDE4, SERVER4), (WIDE6, SERVER6)):
        lab.client.ip(f"route replace {wide} via {gateway} dev uplink")


@contextmanager
def awake_at_the_end(everything):
    """what is frozen would not even end"""
    try:
        yield
    finally:
        for part in everything:
            with suppress(OSError):
                part.go()
