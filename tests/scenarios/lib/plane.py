# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an instance has in the kernel, and on the machine: counted before and after."""

import json
import os
import subprocess

MAPS = ("sl_socks", "sl_flows", "sl_held", "sl_binds", "sl_peeks")
SPARE = 16  # descriptors and entries that come and go: the canary's, the questions of a test
HELD_SPARE = 64  # a sluiced that is killed leaves so many in sl_held, which has its oldest forgotten when it is full


def _folder(run):
    """of its pins, seen from the mount namespace of its keeper"""
    with open(f"/run/sluice/r{run.pid}/instance") as notes:
        return next(line.strip()[len("bpffs="):] for line in notes if line.startswith("bpffs="))


def entries(run):
    """map → how many entries it has"""
    keeper, folder = f"/proc/{run.wait_pid('sluice-keeper')}", _folder(run)
    enter = ["nsenter", f"--mount={keeper}/ns/mnt", f"--root={keeper}/root", "bpftool", "--json", "map", "dump", "pinned"]
    return {name: len(json.loads(subprocess.run([*enter, f"{folder}/map_{name}"], capture_output=True, check=True).stdout))
            for name in MAPS}


def spare(name, n_killed):
    """how many more there may be of this, after so many deaths of sluiced"""
    return SPARE + (HELD_SPARE * n_killed if name == "sl_held" else 0)


def descriptors(run, *names):
    """process → how many it has open"""
    return {name: len(os.listdir(f"/proc/{run.wait_pid(name)}/fd")) for name in names}


def listeners(namespace):
    """ports of listeners on loopback, which nobody but Sluice has in a lab"""
    lines = [line.split() for name in ("tcp", "tcp6") for line in namespace.read_proc(name).splitlines()[1:]]
    return {int(line[1].rsplit(":", 1)[1], 16) for line in lines
            if line[3] == "0A" and (line[1].startswith("0100007F") or line[1].startswith("0" * 24 + "01000000"))}


def translated(namespace, ports):
    """entries of conntrack that lead to one of `ports`"""
    with namespace:
        lines = subprocess.run(["conntrack", "-L", "-p", "tcp"], capture_output=True, text=True).stdout.splitlines()
        lines += subprocess.run(["conntrack", "-L", "-p", "tcp", "-f", "ipv6"], capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if any(word == f"sport={port}" for word in line.split() for port in ports)]


class KernelLog:
    """what the kernel says from now on that is no report of a trap in somebody's program"""

    WORDS = ("WARNING", "BUG", "Oops", "refcount", "rcu:", "Call Trace", "unregister_netdevice", "bucket table overflow",
             "table full", "soft lockup", "hung task")

    def __init__(self):
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)

    def lines(self):
        """those with one of WORDS"""
        found = []
        while True:
            try:
                text = os.read(self._fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return found
            except BrokenPipeError:
                continue  # some were overwritten
            if any(word in text for word in self.WORDS):
                found.append(text.split(";", 1)[1].splitlines()[0])
