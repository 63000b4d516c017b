#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""158 — a filter needs rules before it can judge: the flow is held until its owner has brought them

   [ client ns: talks ]──uplink──│count│──[ server ns: echo :7 tcp udp ]
        └ watcher: "I need rules" ◀── a file, written later: allow, or drop; or never
          nothing leaves meanwhile; processes die meanwhile; after ten seconds the fail class
"""
import os
import signal

from lib import main
from lib.wait import wait_for

TO4, TO6 = "10.79.58.1", "fd00:79::58:1"
WAITS = "flows wait for its rules: the rules of the scenario"
DENIED = {"allow": "0", "drop": "ECONNREFUSED"}


def watcher(lab, rules, **options):
    pairs = {"rules": rules, "need_port": 7, **options}
    return lab.path("tests/providers/watcher") + ":" + ",".join(
        f"{key.replace('_', '-')}={value}" for key, value in pairs.items())


def write(path, text):
    """as the owner of the filter does: the same file"""
    with open(path, "w") as file:
        file.write(text)


def started(lab, act, fail="closed", **options):
    """a run whose flow waits for the rules of `run.rules`"""
    rules = lab.new_file("rules", "")
    run = lab.start([watcher(lab, rules, **options)], act, fail=fail)
    run.rules = rules
    wait_for(lambda: WAITS in run.stderr, 20, "the filter's owner to be told")
    return run


def check_brought(t, lab, verdict, kind, address):
    act = {"tcp": lab.actor("linger", "tcp", address, 7, 1000, 0), "udp": lab.actor("say_datagram", address, 7, "hello", 30)}
    title = f"{kind} {address}: {verdict}"
    with lab.capture() as wire:
        run = started(lab, act[kind])
        status = lab.status(f"r{run.pid}")
        t.equal(status["providers"][0]["needs_rules"], 1, f"{title}: status")
        t.equal(wire.count(lambda p: p.dst == address), 0, f"{title}: packets that left before the rules were there")
        write(run.rules, verdict)
        status = run.wait(30)
        if verdict == "drop":
            t.equal(wire.count(lambda p: p.dst == address), 0, f"{title}: packets that left")
    if kind == "tcp":
        t.equal(status == 0, verdict == "allow", f"{title}: exit status")
        t.check(verdict == "allow" or "Connection refused" in run.stderr, f"{title}: {run.stderr}")
    else:
        t.equal(run.json()["told"], ["0", DENIED[verdict]], title)
    flow = run.wait_flow(event="new", dst=address)
    t.equal((flow["verdict"], flow["reason"]), (verdict, verdict), f"{title}: record")


def check_bytes(t, lab, verdict):
    """the connection is made; what was seen of it is held"""
    with lab.capture() as wire:
        run = started(lab, lab.actor("linger", "tcp", TO4, 7, 1000, 0), need_bytes=1, peek=10)
        t.equal(sum(len(p.payload) for p in wire.packets(lambda p: p.dst == TO4)), 0, f"bytes, {verdict}: bytes that left")
        write(run.rules, verdict)
        t.equal(run.wait(30) == 0, verdict == "allow", f"bytes, {verdict}: exit status")
        if verdict == "drop":
            t.equal(sum(len(p.payload) for p in wire.packets(lambda p: p.dst == TO4)), 0, "bytes, drop: bytes that left")
            t.check("ConnectionAbortedError" in run.stderr, f"bytes, drop: {run.stderr}")


def check_none_come(t, lab, fail):
    """both kinds at once, so that the scenario waits once"""
    rules = lab.new_file("rules", "")
    udp = " ".join(lab.actor("say_datagram", TO4, 7, "hello", 30))
    tcp = " ".join(lab.actor("linger", "tcp", TO6, 7, 1000, 0))
    run = lab.run([watcher(lab, rules)], ["sh", "-c", f"{udp} & {tcp} & wait"], fail=fail)
    for address in (TO4, TO6):
        flow = run.wait_flow(event="new", dst=address)
        t.equal((flow["verdict"], flow["reason"]),
                ("drop" if fail == "closed" else "allow", f"the rules that it needs did not come in time: fails {fail}"),
                f"no rules come, {address}")
        t.check(9_900_000 <= flow["decision_us"], f"no rules come, {address}: decided after {flow['decision_us']} us")
        t.note(f"no rules come, fails {fail}, {address}: decided after {flow['decision_us'] / 1e6:.2f} s")


def check_twice(t, lab):
    """to say so again without a change gets no other answer; the filter is told"""
    run = started(lab, lab.actor("linger", "tcp", TO4, 7, 1000, 0), need_twice=1)
    wait_for(lambda: "it waits for rules, and they have not changed since" in run.stderr, 10, "the filter to be told")
    write(run.rules, "allow")
    t.equal(run.wait(20), 0, "twice: it goes on when the rules are there")


def check_process_dies(t, lab, name):
    """the filter's next process, or sluiced's, asks and is asked anew"""
    run = started(lab, lab.actor("linger", "tcp", TO4, 7, 1000, 0))
    first = run.wait_pid("watcher")
    n = run.stderr.count(WAITS)
    os.kill(run.pids(name)[0], signal.SIGKILL)
    run.wait_pid("watcher", other_than=first)
    wait_for(lambda: run.stderr.count(WAITS) > n, 20, f"{name} dies: the flow to be asked about by the next one")
    write(run.rules, "allow")
    t.equal(run.wait(30), 0, f"{name} dies while a flow waits: {run.stderr}")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for verdict in ("allow", "drop"):
            for kind, address in (("tcp", TO4), ("tcp", TO6), ("udp", TO4), ("udp", TO6)):
                check_brought(t, lab, verdict, kind, address)
            check_bytes(t, lab, verdict)
        check_twice(t, lab)
        check_process_dies(t, lab, "watcher")
        check_process_dies(t, lab, "sluiced")
        for fail in ("closed", "open"):
            check_none_come(t, lab, fail)


if __name__ == "__main__":
    main(scenario)
