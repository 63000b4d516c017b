#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""127 — verdicts that reach beyond their flow are remembered, and never wrongly

   [ client ns: flowgen, python ]──uplink──[ server ns: DNS :53, echo :7 ]
        └ test-filter says in each reason how often it was asked
          by address, by name, denied, taken back, after kill -9 of sluiced;
          an address with a listed and an unlisted name is asked each time
"""
import json
import os
import signal

from lib import main
from lib.wait import wait_for

N = 40


def reasons(run, n, **wanted):
    """of the flows in their order, once `n` of them are recorded"""
    wait_for(lambda: run.n_records() and len(run.flows(event="new", **wanted)) >= n, 15, f"{n} records")
    return [record["reason"] for record in run.flows(event="new", **wanted)]


def check_address(t, lab, proto, address):
    """asked once; every flow is recorded and closed with its bytes"""
    run = lab.run([lab.test_filter(scope="address", count=1)], lab.flowgen(proto, address, 7, N))
    t.equal(json.loads(run.stdout)["errors"], {"0": N}, f"{proto} to {address}: allowed")
    got = reasons(run, N, dst=address.removeprefix("::ffff:"))
    t.equal(got, ["asked 1"] * N, f"{proto} to {address}: how often it was asked")
    closed = wait_for(lambda: (done := run.flows(event="closed", proto=proto)) and len(done) >= N and done,
                      5, "every flow is closed")
    if proto == "udp":
        t.equal({record["bytes_in"] for record in closed}, {closed[0]["bytes_out"]},
                f"{proto} to {address}: bytes of remembered flows")


def check_denied(t, lab, proto, address):
    """a remembered denial is the error that a fresh one is"""
    run = lab.run([lab.test_filter(scope="address", count=1, deny_all=1)],
                  lab.flowgen(proto, address, 7, N))
    t.equal(json.loads(run.stdout)["errors"], {"ECONNREFUSED": N}, f"{proto} to {address}: denied")
    t.equal(reasons(run, N, verdict="drop"), ["asked 1"] * N, f"{proto} to {address}: asked once")


def check_two_filters(t, lab):
    """one of the two reaches no further than the flow: that one is asked each time"""
    run = lab.run([lab.test_filter(scope="address", count=1), lab.test_filter(count=1)],
                  lab.flowgen("tcp", "10.79.27.1", 7, 5))
    t.equal(reasons(run, 5), [f"asked {i + 1}" for i in range(5)], "the second filter is asked each time")


def python(*lines):
    return ["/usr/bin/python3", "-c", "import socket\n" + "\n".join(lines)]


def connects(name, count=1):
    """`count` connects by a name; 1 for each that was refused"""
    return (f"for _ in range({count}):\n"
            f" try: s = socket.create_connection(('{name}', 7), 5); s.sendall(b'12345'); s.recv(9); s.close(); print(0)\n"
            f" except ConnectionRefusedError: print(1)")


def check_name(t, lab):
    run = lab.run([lab.test_filter(scope="name", count=1, deny_host="listed.example")],
                  python(connects("clean.example", 3), connects("clean2.example", 2),
                         connects("clean.example", 2)))
    t.equal(run.stdout.split(), ["0"] * 7, "two unlisted names of one address")
    got = reasons(run, 7, proto="tcp")
    closed = wait_for(lambda: (done := run.flows(event="closed", proto="tcp")) and len(done) == 7 and done, 5, "ends")
    t.equal({(record["bytes_in"], record["bytes_out"]) for record in closed}, {(5, 5)}, "bytes, remembered or not")
    # the address has a second name from the fourth flow on: asked once for it, then agreed
    t.equal(got[:3], [got[0]] * 3, "first name")
    t.check(got[3] != got[0], "the second name is asked about")
    t.equal(len(set(got)), 2, f"two questions for two names that agree: {got}")


def check_two_names(t, lab):
    """the case that must never be remembered"""
    both = [connects("clean.example"), connects("listed.example")] * 6
    run = lab.run([lab.test_filter(scope="name", count=1, deny_host="listed.example")], python(*both))
    t.equal(run.stdout.split(), ["0", "1"] * 6, "a listed and an unlisted name of one address")
    got = reasons(run, 12, proto="tcp")
    t.equal(len(set(got)), 12, f"each flow is asked about: {got}")


def check_taken_back(t, lab):
    """a filter whose rules change takes back what it said"""
    run = lab.run([lab.test_filter(scope="address", count=1, deny_address="10.79.27.2", forget_at=3)],
                  ["sh", "-c", "; ".join(" ".join(lab.flowgen("tcp", f"10.79.27.{i}", 7, 1))
                                         for i in (2, 1, 2, 3, 2, 2))])
    errors = [list(json.loads(line)["errors"])[0] for line in run.stdout.splitlines()]
    t.equal(errors, ["ECONNREFUSED", "0", "ECONNREFUSED", "0", "0", "0"], "denied until it was taken back")
    t.equal(reasons(run, 6), ["asked 1", "asked 2", "asked 1", "asked 3", "asked 4", "asked 4"],
            "asked anew after it")


def check_successor(t, lab):
    """what was remembered dies with sluiced and with its filter"""
    ready = lab.new_file("ready")
    flow = " ".join(lab.flowgen("tcp", "10.79.27.1", 7, 3))
    pause = f"touch {ready}; while [ -e {ready} ]; do sleep 0.02; done"
    run = lab.start([lab.test_filter(scope="address", count=1)], ["sh", "-c", f"{flow}; {pause}; {flow}"])
    wait_for(lambda: os.path.exists(ready), 15, "COMMAND to run")
    reasons(run, 3)
    first = run.pids("test-filter")[0]
    os.kill(run.pids("sluiced")[0], signal.SIGKILL)
    run.wait_pid("test-filter", other_than=first)
    os.unlink(ready)
    t.equal(run.wait(20), 0, "exit status")
    t.equal(reasons(run, 6), ["asked 1"] * 6, "a new filter process is asked once as well")
    t.equal([json.loads(line)["errors"] for line in run.stdout.splitlines()], [{"0": 3}] * 2, "allowed")


def scenario(t):
    with t.lab() as lab:
        zone = lab.dns()
        for name in ("clean.example", "clean2.example"):
            zone.add(name, "A", "10.79.27.9", ttl=60)
        zone.add("listed.example", "A", "10.79.27.9", ttl=60)
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for proto, address in (("tcp", "10.79.27.1"), ("tcp", "fd00:79::27:1"), ("tcp", "::ffff:10.79.27.1"),
                               ("udp", "10.79.27.1"), ("udp", "fd00:79::27:1")):
            check_address(t, lab, proto, address)
            check_denied(t, lab, proto, address)
        check_two_filters(t, lab)
        check_name(t, lab)
        check_two_names(t, lab)
        check_taken_back(t, lab)
        check_successor(t, lab)


if __name__ == "__main__":
    main(scenario)
