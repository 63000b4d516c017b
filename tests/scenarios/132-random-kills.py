#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""132 — kill -9 again and again under load: nothing that is denied passes, what runs is whole

   [ client ns: 200 connects/s, half of them denied; a download; a datagram echo ]──uplink──│count│──[ server ns ]
        └ sluiced, the filter and sluice-names are killed in a random order, at random moments

30 kills; `132-random-kills.py BUILD --cycles 1000 --limit 1500` is the long one.
--seed N repeats an order.
"""
import os
import random
import signal
import time

from lib import main
from lib.orders import Decided, Ordered, check_load

VICTIMS = ("sluiced", "test-filter", "sluice-names")
ALLOWED, DENIED = "10.79.33.1", "10.79.34.1"
PER_S = 200
PATIENCE_S = 200  # longer than TCP has


def victims(chance):
    """as often each: one that dies too often in a row would be given up"""
    while True:
        yield from chance.sample(VICTIMS, len(VICTIMS))


def kill_one(run, name, pause_s):
    """Return: whether it was there to be killed"""
    pid = run.wait_pid(name)
    time.sleep(pause_s)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False  # the filter ends with its sluiced, a moment later
    run.wait_pid(name, other_than=pid)
    return True


def kill_them(t, run, chance):
    n = dict.fromkeys(VICTIMS, 0)
    for name in victims(chance):
        if sum(n.values()) == t.cycles:
            break
        n[name] += kill_one(run, name, chance.uniform(0, 0.2))
    t.note(f"killed: {n}")


def scenario(t):
    seed = t.seed or random.randrange(1, 1 << 31)
    t.note(f"{t.cycles} kills, seed {seed}")
    with t.lab() as lab:
        lab.http()
        lab.tcp_echo(7)
        lab.udp_echo(7)
        with lab.capture() as wire:
            program = Ordered(lab, [lab.test_filter(deny_address=DENIED)], fail="closed")
            decided = None
            try:
                decided = Decided(lab, program)
                program.ask("load", PER_S, PATIENCE_S, 7, ALLOWED, DENIED)
                decided.gaps()
                began = time.monotonic()
                kill_them(t, program.run, random.Random(seed))
                took = time.monotonic() - began
                load = program.answer(program.order("unload"), within=30)
                t.note(f"{took:.0f} s; {decided.check(t, 'under kills')}")
            finally:  # a download that goes on would keep the capture from ending
                if decided:
                    decided.end()
                program.end()
        check_load(t, load, wire, ALLOWED, DENIED)
        n = sum(sum(errors.values()) for errors in load["errors"].values())
        t.check(n >= took * PER_S / 2, f"{n} connects in {took:.0f} s are no load")


if __name__ == "__main__":
    main(scenario, cycles=30, seed=0)
