#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""138 — everything stands still, the uplink goes and comes, everything wakes: flows are judged at once

   [ client ns: 200 connects/s, half of them denied, frozen with its cgroup ]──uplink──│count│──[ server ns ]
        └ keeper, sluiced, filters, sluice-names: stopped and frozen, in another order each time;
          the uplink is taken down, its addresses are removed, and added again; all wake, in another order

No kernel of a test machine suspends, so this does what a suspend does to processes and to
the network. That the clock jumps meanwhile is the unit test daemon-wake.

15 cycles; `138-suspend.py BUILD --cycles 1000 --patience 10 --limit 3000` is the long one: a connect
whose SYN met no link again and again would wait for minutes. --seed N repeats it.
"""
import os
import random
import signal
import time
from contextlib import contextmanager, suppress

from lib import machine, main
from lib.lab import CLIENT4, CLIENT6, MAC, SERVER4, SERVER6, WIDE4, WIDE6
from lib.orders import Ordered, check_load
from lib.still import Still
from lib.wait import wait_for

ALLOWED, DENIED = "10.79.38.1", "10.79.38.2"
PER_S = 200
NO_LINK = ("ENETUNREACH", "ETIMEDOUT")  # what an impatient connect may meet while the uplink is away
FOR_EVER_S = 200  # longer than TCP has patience
JUDGED_MS = 1000  # what the project promises to the first flow after a wake
NIGHTS_S = (0.02, 0.02, 0.05, 0.1, 0.3)
LONG_S = (1.5, 2.5)  # silent for 1 s, sluiced would be hung; for 2 s, a filter
LONG_ONE_IN = 8
DAEMONS = ("sluice-keeper", "sluiced", "sluice-names")
NO_ALARM = ("was silent", "restarting it", "replacing it", "canary failed", "could not be tried", "removed or changed")


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
    """all of the instance: its processes, and the cgroups of its filter and of the program"""
    cgroups = (run.wait_pid(provider), command_of(lab, run))
    return [*(Stopped(run.wait_pid(name)) for name in DAEMONS), *(Frozen(cgroup_path(pid)) for pid in cgroups)]


def pull_out(lab):
    """what a suspend does to an uplink"""
    lab.client.ip(f"address del {CLIENT4}/24 dev uplink")
    lab.client.ip(f"address del {CLIENT6}/64 dev uplink")
    lab.client.ip("link set uplink down")


def plug_in(lab):
    lab.client.ip("link set uplink up")
    lab.client.ip(f"address add {CLIENT4}/24 dev uplink")
    lab.client.ip(f"address add {CLIENT6}/64 dev uplink nodad")
    for peer in (SERVER4, SERVER6):
        lab.client.ip(f"neighbour replace {peer} lladdr {MAC[peer]} dev uplink nud permanent")
    for wide, gateway in ((WIDE4, SERVER4), (WIDE6, SERVER6)):
        lab.client.ip(f"route replace {wide} via {gateway} dev uplink")


def one_cycle(lab, program, everything, chance, night_s):
    """Return: ms from the moment everything runs to the end of an allowed flow and of a denied one"""
    for part in chance.sample(everything, len(everything)):
        part.stop()
    pull_out(lab)
    flows = [(program.order("tcp", end, 7), wanted) for end, wanted in ((ALLOWED, "0"), (DENIED, "ECONNREFUSED"))]
    time.sleep(night_s)
    plug_in(lab)
    for part in chance.sample(everything, len(everything)):
        part.go()
    began = time.monotonic()
    took = []
    for number, wanted in flows:
        answer = program.answer(number)
        if answer["error"] != wanted:
            raise AssertionError(f"after a wake: {answer}, wanted {wanted}")
        took.append(max(0, answer["ended"] - began) * 1000)
    return took


def say(t, title, took):
    took = sorted(took)
    at = {name: took[min(len(took) - 1, int(len(took) * part))] for name, part in
          (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("worst", 1))}
    t.note(f"{title}: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in at.items()))


@contextmanager
def awake_at_the_end(everything):
    """what is frozen would not even end"""
    try:
        yield
    finally:
        for part in everything:
            with suppress(OSError):
                part.go()


def cycles(t, lab, program, chance):
    """Return: how many flows were late"""
    run, took, still = program.run, [], Still()
    program.ask("load", PER_S, t.patience, 7, ALLOWED, DENIED)
    everything = parts(lab, run)
    pids = {run.wait_pid(name): name for name in (*DAEMONS, "test-filter")}
    with awake_at_the_end(everything):
        for i in range(t.cycles):
            night_s = chance.choice(LONG_S if i % LONG_ONE_IN == 1 else NIGHTS_S)
            took.append(one_cycle(lab, program, everything, chance, night_s))
            ended = [name for pid, name in pids.items() if not machine.is_alive(pid)]
            t.equal(ended, [], f"cycle {i}, {night_s} s: who did not live on")
    say(t, "the next allowed flow", [allowed for allowed, _ in took])
    say(t, "the next denied flow", [denied for _, denied in took])
    worst = max(max(both) for both in took)
    still.check(t, worst, JUDGED_MS, "the first flow after a wake")
    return sum(max(both) > JUDGED_MS for both in took)


def check_proxy(t, lab, chance):
    """the same with a proxy: it has the first flow after each wake, too (4.07)"""
    program = Ordered(lab, [], fail="closed", options=["--proxy", lab.path("tests/providers/test-proxy")])
    try:
        t.equal(program.ask("tcp", ALLOWED, 7)["error"], "0", "a proxied flow")
        everything = parts(lab, program.run, "test-proxy")
        n, late_ms = 1 + max(4, t.cycles // 3), []
        with awake_at_the_end(everything):
            for i in range(1, n):
                for part in chance.sample(everything, len(everything)):
                    part.stop()
                pull_out(lab)
                flow = program.order("tcp", ALLOWED, 7)
                time.sleep(LONG_S[0] if i == 1 else chance.choice(NIGHTS_S))
                plug_in(lab)
                for part in chance.sample(everything, len(everything)):
                    part.go()
                began = time.monotonic()
                answer = program.answer(flow)
                t.equal(answer["error"], "0", f"after wake {i}")
                late_ms.append(max(0, answer["ended"] - began) * 1000)
        say(t, "the next proxied flow", late_ms)
        t.equal([flow["via"] for flow in program.run.flows(event="new", dst=ALLOWED)], ["test-proxy"] * n, "who has each")
        alarms = [line for line in program.run.stderr.splitlines() if any(word in line for word in NO_ALARM)]
        t.equal(alarms, [], "what was taken for a fault")
    finally:
        program.end()


def scenario(t):
    seed = t.seed or random.randrange(1, 1 << 31)
    t.note(f"{t.cycles} cycles, seed {seed}")
    with t.lab() as lab:
        lab.tcp_echo(7)
        with lab.capture() as wire:
            program = Ordered(lab, [lab.test_filter(deny_address=DENIED, delay_ms=5)], fail="closed")
            try:
                began = time.monotonic()
                n_late = cycles(t, lab, program, random.Random(seed))
                load = program.answer(program.order("unload"), within=30)
                t.note(f"{time.monotonic() - began:.0f} s; {n_late} later than {JUDGED_MS} ms")
                alarms = [line for line in program.run.stderr.splitlines() if any(word in line for word in NO_ALARM)]
                t.equal(alarms, [], "what was taken for a fault")
            finally:
                program.end()
        check_load(t, load, wire, ALLOWED, DENIED, also=NO_LINK if t.patience < FOR_EVER_S else ())
        check_proxy(t, lab, random.Random(seed))


if __name__ == "__main__":
    main(scenario, cycles=15, seed=0, patience=FOR_EVER_S)
