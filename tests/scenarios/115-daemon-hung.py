#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""115 — a sluiced that hangs is replaced, and what was held meanwhile is judged

   [ client ns: flowgen ]──uplink──│count SYN│──[ server ns: echo :7 ]
        └ kill -STOP of sluiced; its heartbeat stays out; the keeper starts another
"""
import os
import signal

from lib import main
from lib.capture import is_syn
from lib.still import Still
from lib.wait import wait_for

SILENCE_MS = 1000  # of which there is nothing to be saved
AFTER_MS = 300     # a successor judges


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        go, still = lab.new_file("go"), Still()
        flows = " ".join(lab.flowgen("tcp", "10.79.15.1", 7, 20, 20, 20000, "parallel"))
        with lab.capture() as wire:
            run = lab.start([lab.test_filter(deny_address="10.79.15.20")],
                            ["sh", "-c", f"touch {go}.not; while [ ! -e {go} ]; do sleep 0.02; done;"
                                         f" {flows}; while [ -e {go} ]; do sleep 0.02; done"])
            wait_for(lambda: os.path.exists(go + ".not"), 15, "the instance")
            first = run.wait_pid("sluiced")
            os.kill(first, signal.SIGSTOP)
            open(go, "w").close()
            second = run.wait_pid("sluiced", other_than=first)
            t.check(second != first, "a successor runs")
            os.unlink(go)
            t.equal(run.wait(30), 0, "exit status")
        result = run.json()
        t.note(f"20 flows of a hung sluiced: {result['max_us'] // 1000} ms at most")
        t.equal(result["errors"], {"0": 19, "ECONNREFUSED": 1}, "what the application got")
        still.check(t, result["max_us"] / 1000, AFTER_MS, "flows of a hung sluiced", free_ms=SILENCE_MS)
        t.equal(wire.count(lambda p: p.dst == "10.79.15.20"), 0, "packets of the denied flow")
        t.equal(len({p.dst for p in wire.packets(is_syn)}), 19, "flows on the wire")


if __name__ == "__main__":
    main(scenario)
