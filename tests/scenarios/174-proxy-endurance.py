#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""174 — proxies that die under load, again and again: the next flow is served at once, nothing hangs, nothing leaks

   [ client ns: connect and echo without an end, and a flow that stays open ]──uplink──│capture│──[ server ns: echo ]
        └ sluice run --proxy test-proxy      kill -9 of the proxy and of sluiced, by turns
          under both fail classes

`174-proxy-endurance.py BUILD --only check_kills --cycles 100 --limit 600` is the long one. --seed N repeats it.
"""
import random
import statistics
import time
from collections import Counter

from lib import machine, main
from lib.still import Still
from lib.wait import wait_for

HOSTS = ("10.79.74.1", "fd00:79::74:1")
FAILS = ("closed", "open")
N_THREADS = 6
# ports below those that the kernel gives a proxy: a packet of these on the wire is a leak. What is reset stays in
# conntrack for 10 s, with the listener of its instance: each has its own
SPORTS = {"closed": (10000, 19999), "open": (20000, 29999)}
SERVED_MS = 200  # what the project promises
RESET = "ECONNRESET"


def start(lab, command, provider="test-proxy", fail="closed", filters=()):
    return lab.start(list(filters), command, options=["--proxy", lab.path("tests/providers/" + provider)], fail=fail)


def say(t, title, took):
    """@took: seconds"""
    ms = sorted(one * 1000 for one in took)
    t.note(f"{title}: {len(ms)}, median {statistics.median(ms):.1f} ms, p95 {ms[len(ms) * 95 // 100]:.1f}, worst {ms[-1]:.1f}")


# ---- kills ----

VICTIMS = ("test-proxy", "sluiced")  # by turns: a new sluiced has no deaths of proxies to remember


def kill_by_turns(t, run, chance):
    """Return: who died, and when"""
    deaths = []
    for _ in range(t.cycles):
        for name in VICTIMS:
            pid = run.wait_pid(name)
            wait_for(lambda: run.stderr.count("open") > len(deaths), 20, f"a flow to stay open: {len(deaths)}")
            time.sleep(chance.uniform(0, 0.2))
            deaths.append((name, time.monotonic()))
            machine.kill(pid)
            run.wait_pid(name, other_than=pid)
            run.wait_pid("test-proxy")
    wait_for(lambda: run.stderr.count("open") > len(deaths), 20, "the last one to stay open")
    return deaths


def gaps_of(told, deaths, victim):
    """for each death: until a flow was served again, the slowest flow of those that waited, until the open one
    was reset"""
    served = sorted(began + took for began, _, took, _, echo in told["flows"] if echo == "0")
    for name, died in deaths:
        if name == victim:
            waited = [took for began, _, took, *_ in told["flows"] if began < died + 0.1 and began + took > died]
            reset = [when - died for _, end, when in told["held"] if end == RESET and when > died]
            yield next(at for at in served if at > died) - died, max(waited), min(reset)


def check_kills_in(t, lab, fail, chance):
    done, still, (low, high) = lab.new_file("done"), Still(), SPORTS[fail]
    with lab.capture() as wire:
        run = start(lab, lab.actor("endure", done, N_THREADS, f"{low}-{high}", 7, *HOSTS), fail=fail)
        wait_for(lambda: "enduring" in run.stderr and run.n_records() > 100, 15, "flows")
        again = lab.counter("TcpExt.TCPSynRetrans")
        deaths = kill_by_turns(t, run, chance)
        again = lab.counter("TcpExt.TCPSynRetrans") - again
        open(done, "w").close()
        run.wait()
    told = run.json()
    ends = Counter(tuple(row[3:]) for row in told["flows"])
    t.check(set(ends) <= {("0", "0"), ("0", RESET), (RESET, "-")}, f"fails {fail}: what flows got: {ends}")
    t.equal([row[:2] for row in told["held"]], len(deaths) * [["0", RESET]] + [["0", "-"]],
            f"fails {fail}: open flows, each from the same port")
    t.equal(again, 0, f"fails {fail}: SYNs that were lost, and sent again")
    t.equal(wire.count(lambda p: p.proto == "tcp" and low <= p.sport <= high), 0, f"fails {fail}: packets of programs on the wire")
    for victim in VICTIMS:
        columns = zip(*gaps_of(told, deaths, victim))
        titles = ("the next flow is served", "slowest flow that waited", "the open flow is reset")
        for title, column in zip(titles, columns, strict=True):
            say(t, f"{victim} killed, fails {fail}: {title}", column)
            still.check(t, max(column) * 1000, SERVED_MS, f"{victim} killed, fails {fail}: {title}")
    t.note(f"fails {fail}: {ends[('0', '0')]} flows served, {sum(ends.values()) - ends[('0', '0')]} reset in their middle")


def check_kills(t, lab):
    seed = t.seed or random.randrange(1, 1 << 31)
    t.note(f"seed {seed}")
    for fail in FAILS:
        check_kills_in(t, lab, fail, random.Random(seed))


CHECKS = (check_kills,)


def scenario(t):
    t.needs("conntrack", "tests/providers/test-proxy", "tests/providers/hostile-proxy")
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for check in CHECKS:
            if t.only in ("", check.__name__):
                began = time.monotonic()
                check(t, lab)
                t.note(f"{check.__name__}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main(scenario, only="", cycles=4, seed=0)
