#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""104 — kill -9 of sluiced with 100 flows held: the successor judges them all

   [ client ns: flowgen, 100 connects at once ]──uplink──│count SYN│──[ server ns: echo :7 ]
        └ test-filter delay-ms=2500: all are in the queue when sluiced dies
          the keeper keeps the queue, the next sluiced re-queues what is held
"""
import signal
import os

from lib import main
from lib.capture import is_syn
from lib.wait import wait_for

N = 100


def scenario(t):
    t.needs("tests/providers/flowgen")
    with t.lab() as lab:
        lab.tcp_echo(7)
        with lab.capture() as wire:
            run = lab.start([lab.test_filter(delay_ms=2500)],
                            lab.flowgen("tcp", "10.79.4.1", 7, N, N, 30000, "parallel"))
            first = run.wait_pid("sluiced")
            wait_for(lambda: lab.n_held() >= N, 10, f"{N} packets held")
            t.equal(wire.count(is_syn), 0, "SYNs on the wire while held")
            os.kill(first, signal.SIGKILL)
            second = run.wait_pid("sluiced", other_than=first)
            t.check(second != first, "a successor runs")
            t.equal(run.wait(40), 0, "exit status")
        result = run.json()
        t.note(f"{N} held flows connected after {result['max_us'] // 1000} ms at most")
        t.equal(result["errors"], {"0": N}, "what the application got")
        syns = wire.packets(is_syn)
        t.equal(len(syns), N, "SYNs on the wire")
        t.equal(len({packet.dst for packet in syns}), N, "connections they belong to")
        t.equal(lab.counter("Tcp.RetransSegs"), 0, "segments sent again")
        ids = {record["id"] for record in run.flows(event="new", verdict="allow")}
        t.equal(len(ids), N, "flow records, each with its own id")


if __name__ == "__main__":
    main(scenario)
