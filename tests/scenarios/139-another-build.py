#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""139 — a sluiced of another build takes over: its programs, the same verdicts, and no gap

   [ client ns: a program that gets orders, and one that sends to a denied end all the time ]──│count│──[ server ]
        ├ the stamp of the plane names other programs, then sluiced is killed: it replaces them
        ├ the stamp names maps that it cannot read: it does not start, what is in force stays
        └ nothing is in force any more, and the configuration is larger than its own: it begins anew

The stamp is what a successor of another build would find: that build is not needed for it.
"""
import json
import os
import signal
import subprocess

from lib import machine, main
from lib.orders import Ordered
from lib.wait import wait_for

ALLOWED, DENIED, STEADY = "10.79.39.1", "10.79.39.2", "10.79.39.3"
PROGRAMS, ABI = slice(0, 8), slice(8, 12)
IS_CLOSED = 24  # in the configuration


class Plane:
    """the pins of a run, seen from the mount namespace of its sluiced"""

    def __init__(self, run):
        self._run = run
        with open(f"/run/sluice/r{run.pid}/instance") as notes:
            self._folder = next(line.strip()[len("bpffs="):] for line in notes if line.startswith("bpffs="))

    def _tool(self, *words):
        keeper = f"/proc/{self._run.wait_pid('sluice-keeper')}"
        done = subprocess.run(["nsenter", f"--mount={keeper}/ns/mnt", f"--root={keeper}/root", "bpftool", "--json", *words],
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout or "null")

    def attached(self):
        """id of the program behind a link, and of one that the rules match by"""
        link = self._tool("link", "show", "pinned", f"{self._folder}/link_sl_connect4")
        match = self._tool("prog", "show", "pinned", f"{self._folder}/prog_sl_out_held")
        return link["prog_id"], match["id"]

    def maps(self):
        return [self._tool("map", "show", "pinned", f"{self._folder}/map_{name}")["id"]
                for name in ("sl_flows", "sl_socks", "sl_binds")]

    def _value(self, path):
        return [int(byte, 16) for byte in self._tool("map", "dump", "pinned", path)[0]["value"]]

    def config(self):
        return self._value(f"{self._folder}/map_sl_config")

    def doctor(self, part):
        path = f"{self._folder}/map_stamp"
        value = self._value(path)
        value[part] = [byte ^ 0x55 for byte in value[part]]
        self._tool("map", "update", "pinned", path, "key", "0", "0", "0", "0", "value", *map(str, value))


    def _seen(self, pin):
        return f"/proc/{self._run.wait_pid('sluice-keeper')}/root{self._folder}/{pin}"

    def lose(self, pin):
        os.unlink(self._seen(pin))

    def enlarge_config(self):
        """as of a build whose configuration has more in it: twice a page of ones"""
        path = f"{self._folder}/map_sl_config"
        self.lose("map_sl_config")
        self._tool("map", "create", path, "type", "array", "key", "4", "value", "8192", "entries", "1", "name", "sl_config")
        self._tool("map", "update", "pinned", path, "key", "0", "0", "0", "0", "value", *["255"] * 8192)
        os.chown(self._seen("map_sl_config"), os.stat(self._seen("map_stamp")).st_uid, -1)


def kill(run):
    pid = run.wait_pid("sluiced")
    os.kill(pid, signal.SIGKILL)
    return pid


def check_judged(t, program, title):
    for end, wanted in ((ALLOWED, "0"), (DENIED, "ECONNREFUSED")):
        for proto in ("tcp", "udp"):
            t.equal(program.ask(proto, end, 7)["error"], wanted, f"{title}: {proto} to {end}")


def check_replaced(t, program, plane):
    before, maps = plane.attached(), plane.maps()
    kill(program.run)
    check_judged(t, program, "a successor of the same build")
    t.equal(plane.attached(), before, "its own programs stay")
    plane.doctor(PROGRAMS)
    kill(program.run)
    check_judged(t, program, "a successor of another build")
    after = plane.attached()
    t.check(not set(after) & set(before), f"programs were {before}, are {after}")
    t.equal(plane.maps(), maps, "the maps stay")
    t.equal(program.ask("gaps")["receive"]["error"], None, "a download that runs all the time")


def check_refused(t, program, plane):
    run = program.run
    before = plane.attached()
    plane.doctor(ABI)
    kill(run)
    wait_for(lambda: "whose maps cannot be read" in run.stderr, 10, "the reason")
    t.equal(plane.attached(), before, "what is in force stays")
    t.equal(program.ask("tcp", DENIED, 7)["error"], "ECONNREFUSED", "denied")
    t.equal(program.ask("tcp", ALLOWED, 7)["error"], "ECONNREFUSED", "nobody judges, fails closed")


def check_other_config(t, lab, fail):
    """what a build with another configuration has left, and what holds nobody any more: its fail class
    cannot be read, and nothing else of it is of use"""
    program = Ordered(lab, [lab.test_filter(deny_address=DENIED)], fail=fail)
    try:
        check_judged(t, program, f"fails {fail}: at first")
        plane = Plane(program.run)
        before = plane.attached()
        plane.lose("link_sl_connect4")
        plane.enlarge_config()
        kill(program.run)
        check_judged(t, program, f"fails {fail}: a successor that cannot read the configuration")
        t.check(not set(plane.attached()) & set(before), f"fails {fail}: its own programs")
        t.equal(lab.status(f"r{program.run.pid}")["generation"], 1, f"fails {fail}: by the first successor")
        t.equal(plane.config()[IS_CLOSED], fail == "closed", f"fails {fail}: its fail class is in force")
    finally:
        program.end()
        lab.sluice("panic", "--instance", f"r{program.run.pid}")


def scenario(t):
    t.needs("bpftool", "nsenter")
    with t.lab() as lab:
        lab.http()
        lab.tcp_echo(7)
        lab.udp_echo(7)
        with lab.capture() as wire:
            program = Ordered(lab, [lab.test_filter(deny_address=[DENIED, STEADY])], fail="closed")
            try:
                program.ask("receive", "10.79.30.1", 80, "/slow/99999999999/16384/10")
                program.ask("echo", STEADY, 7)
                plane = Plane(program.run)
                check_judged(t, program, "at first")
                check_replaced(t, program, plane)
                check_refused(t, program, plane)
            finally:
                program.end()
                lab.sluice("panic", "--instance", f"r{program.run.pid}")
        t.equal(wire.count(lambda p: p.dst in (DENIED, STEADY)), 0, "packets of what is denied")
        for fail in ("open", "closed"):
            check_other_config(t, lab, fail)


if __name__ == "__main__":
    main(scenario)
