#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""163 — a machine on which nothing happens is not woken for it (R19)

   [ client ns: waits, then connects once ]──uplink──[ server ns: echo :7 ]
        └ test filter, which never answers: while the flow is held sluiced looks at its deadline
"""
import os
import time

from lib import main
from lib.wait import wait_for

SECONDS = 3


def n_wakes(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))


def count(pid):
    before = n_wakes(pid)
    time.sleep(SECONDS)
    return n_wakes(pid) - before


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        begun, go = lab.new_file("begun"), lab.new_file("go")
        connect = " ".join(lab.flowgen("tcp", "10.79.63.1", 7, 1))
        run = lab.start([lab.test_filter(mute=1)], ["sh", "-c", f"touch {begun}; until [ -e {go} ]; do sleep 0.1; done; {connect}"],
                        has_records=False)
        wait_for(lambda: os.path.exists(begun), 20, "the command")
        pid = run.wait_pid("sluiced")
        time.sleep(1)
        idle = count(pid)
        with open(go, "w"):
            pass
        wait_for(lambda: lab.status(f"r{run.pid}")["flows_held"], 10, "the flow to be held")
        held = count(pid)
        t.check(idle * 1.3 < held, f"idle {idle}, with a held flow {held} wakes in {SECONDS} s")
        run.kill(15)
        run.wait(20)


if __name__ == "__main__":
    main(scenario)
