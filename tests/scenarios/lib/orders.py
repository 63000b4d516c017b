# SPDX-License-Identifier: LGPL-2.1-or-later
"""A governed program that does what the test tells it, one line at a time.

    program = Ordered(lab, [filter], fail="closed")
    flow = program.order("tcp", "10.79.0.1", 7)
    program.answer(flow)      {"error": "0", "took_ms": 3.1}
"""

import json
import os

from .still import NOISE
from .wait import wait_for

DECIDED = ("receive", "echo")
SERVER = "10.79.30.1"
GAP_MS = 200  # what the project promises to decided flows


class Ordered:
    def __init__(self, lab, filters=None, **settings):
        """without filters it is a plain program"""
        self._path = lab.new_file("orders")
        os.mkfifo(self._path)
        self._n = 0
        words = lab.actor("obey", self._path)
        self.run = lab.start_plain(words) if filters is None else lab.start(filters, words, **settings)
        # both ends: opening waits for nobody, and the program reads no end
        self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def order(self, *words):
        """Return: what answer() wants to know"""
        self._n += 1
        os.write(self._fd, (" ".join(str(word) for word in (self._n, *words)) + "\n").encode())
        return self._n

    def answers(self):
        lines = self.run.stdout.splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return {answer["id"]: answer for answer in found}

    def answer(self, number, within=15):
        return wait_for(lambda: self.answers().get(number), within, f"the answer to order {number}")

    def ask(self, *words):
        return self.answer(self.order(*words))

    def end(self):
        self.run.end()
        os.close(self._fd)


class Decided:
    """a download and a datagram echo of `program` that run all the time, and the same two of
    a program that nobody governs: what stands still there as well is the machine's doing"""

    def __init__(self, lab, program):
        self._control = Ordered(lab)
        self._programs = (program, self._control)
        for one in self._programs:
            one.ask("receive", SERVER, 80, "/slow/99999999999/16384/10")
            one.ask("echo", SERVER, 7)
        for one in self._programs:
            wait_for(lambda: all(one.ask("gaps")[name]["n"] for name in DECIDED), 15, "the decided flows to run")

    def gaps(self):
        """the longest ones since the last call: of the program, of the control"""
        return [one.ask("gaps") for one in self._programs]

    def check(self, t, title):
        """fails when one of them ended, got other bytes, or stood still. Return: the figures"""
        ours, control = self.gaps()
        for name in DECIDED:
            gap, noise = ours[name]["gap_ms"], control[name]["gap_ms"]
            t.equal(ours[name]["error"], None, f"{title}: {name}")
            t.check(gap <= NOISE * GAP_MS + 2 * noise, f"{title}: {name} stood still for {gap} ms, elsewhere {noise} ms")
        parts = (f"{name} {ours[name]['gap_ms']} ms (control {control[name]['gap_ms']})" for name in DECIDED)
        return "gaps: " + ", ".join(parts)

    def end(self):
        self._control.end()


def check_load(t, load, wire, allowed, denied, also=()):
    """what `unload` said of the connects, and that nothing of the denied ones left; some may have met @also"""
    t.note(f"connects: {load['errors']}, the slowest after {load['slowest_ms']} ms")
    t.equal(load["left"], 0, "connects without an end")
    for end, wanted in ((allowed, "0"), (denied, "ECONNREFUSED")):
        got = load["errors"][end]
        t.equal(set(got) - {*also}, {wanted}, f"what connects to {end} got")
        t.check(got[wanted] > sum(got.values()) * 0.8, f"most connects to {end} got {wanted}: {got}")
    t.equal(wire.count(lambda p: p.dst == denied), 0, "packets of denied connects")
