#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""116 — several filters: each must allow, the first that drops decides

   [ client ns: flowgen ]──uplink──[ server ns: echo :7 ]
        └ test-filter denies 10.79.16.1, then test-filter denies 10.79.16.2,
          in the order of the command line
          and one is killed: the flow waits for it
"""
import json
import os
import signal

from lib import main
from lib.wait import wait_for


def result_of(text):
    return json.loads(text)["errors"]


def check_order(t, lab):
    commands = "; ".join(" ".join(lab.flowgen("tcp", f"10.79.16.{i}", 7, 1)) for i in (1, 2, 3))
    run = lab.run([lab.test_filter(deny_address="10.79.16.1"), lab.test_filter(deny_address="10.79.16.2")],
                  ["sh", "-c", commands])
    errors = [result_of(line) for line in run.stdout.splitlines()]
    t.equal(errors, [{"ECONNREFUSED": 1}, {"ECONNREFUSED": 1}, {"0": 1}], "three flows")
    for address, verdict in (("10.79.16.1", "drop"), ("10.79.16.2", "drop"), ("10.79.16.3", "allow")):
        t.equal(run.wait_flow(dst=address, event="new")["verdict"], verdict, address)


def check_first(t, lab):
    """who comes first on the command line sees flows first; what it drops nobody behind it sees"""
    one, two = lab.test_filter(deny_address="10.79.16.5", count=1), lab.test_filter(deny_address="10.79.16.0/28", count=1)
    for filters, asked in (((one, two), ["asked 1", "asked 1"]), ((two, one), ["asked 1", "asked 2"])):
        run = lab.run(filters, ["sh", "-c", "; ".join(" ".join(lab.flowgen("tcp", f"10.79.16.{i}", 7, 1)) for i in (5, 6))])
        records = [run.wait_flow(dst=f"10.79.16.{i}", event="new") for i in (5, 6)]
        t.equal([record["reason"] for record in records], asked, f"{filters}: who was asked how often")


def check_waits(t, lab):
    """the second filter dies; a new flow is held until it is back, and then judged"""
    ready = lab.new_file("ready")
    flow = " ".join(lab.flowgen("tcp", "10.79.16.4", 7, 1))
    run = lab.start([lab.test_filter(), lab.test_filter(deny_address="10.79.16.4")],
                    ["sh", "-c", f"touch {ready}; while [ -e {ready} ]; do sleep 0.02; done; {flow}"])
    wait_for(lambda: os.path.exists(ready), 15, "COMMAND to run")
    second = run.pids("test-filter")[-1]
    os.kill(second, signal.SIGKILL)
    os.unlink(ready)
    t.equal(run.wait(20), 0, "exit status")
    t.equal(result_of(run.stdout), {"ECONNREFUSED": 1}, "judged by a filter that was dead a moment ago")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        check_order(t, lab)
        check_first(t, lab)
        check_waits(t, lab)


if __name__ == "__main__":
    main(scenario)
