#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""117 — what a closed socket has left behind in the queue stays governed

   [ client ns: sends or connects, closes, goes on ]──uplink──│count│──[ server ns: echo :7 ]
        └ its packets are still held: then denied, or sluiced is killed, or allowed
          a packet without a socket must not slip past the rules
"""
import json
import os
import signal
import sys

from lib import main
from lib.wait import wait_for

N = 600
N_TCP = 20
HELD_UDP = 50

CONNECT_AND_CLOSE = """import socket, sys, time
for i in range(1, 6):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex((f"10.79.17.{i}", 7))
    time.sleep(0.02)
    s.close()
print("all closed", file=sys.stderr, flush=True)
time.sleep(60)
"""


def to_targets(packet):
    return packet.dst.startswith("10.79.")


def check_rejected(t, lab):
    """a datagram each from a socket that is gone when the verdict comes"""
    once = " ".join(lab.flowgen("udp-once", "10.79.0.1", 7, N, N, 1000))
    with lab.capture() as wire:
        lab.plain(["sh", "-c", once])
    t.check(wire.count(to_targets) >= N, "the control's datagrams are on the uplink")
    with lab.capture() as wire:
        run = lab.run([lab.test_filter(deny_all=1)], ["sh", "-c", f"{once}; sleep 1"], fail="closed")
    t.equal(run.popen.returncode, 0, "rejected: exit status")
    left = wire.packets(to_targets)
    t.equal(len(left), 0, f"rejected: packets on the uplink, such as {left[:3]}")


def check_killed(t, lab):
    """kill -9 of sluiced while nothing is decided: the kernel lets nothing go"""
    udp = " ".join(lab.flowgen("udp-once", "10.79.0.1", 7, HELD_UDP, HELD_UDP, 1000))
    tcp = " ".join(lab.flowgen("tcp", "10.79.1.1", 7, N_TCP, N_TCP, 100, "parallel"))
    go = lab.new_file("go")
    with lab.capture() as wire:
        run = lab.start([lab.test_filter(mute=1)],
                        ["sh", "-c", f"{udp}; {tcp}; echo closed >&2; while [ ! -e {go} ]; do sleep 0.1; done; sleep 1.5"], fail="closed")
        first = run.wait_pid("sluiced")
        wait_for(lambda: lab.n_held() >= HELD_UDP + N_TCP and "closed" in run.stderr, 10,
                 "all packets to be held, all sockets closed")
        t.equal(wire.count(to_targets), 0, "killed: packets on the uplink before")
        os.kill(first, signal.SIGKILL)
        run.wait_pid("sluiced", other_than=first)
        open(go, "w").close()
        run.wait(20)
    left = wire.packets(to_targets)
    t.equal(len(left), 0, f"killed: packets on the uplink, such as {left[:3]}")


def check_allowed_late(t, lab):
    """a connection given up while held is over: it must not count as open for ever"""
    run = lab.start([lab.test_filter(delay_ms=400)], [sys.executable, "-c", CONNECT_AND_CLOSE])
    wait_for(lambda: len(run.flows(event="closed")) == 5, 10, "five closed records")
    t.equal(len(run.flows(event="new")), 5, "late: new records")
    answer = lab.sluice("status", "--instance", f"r{run.pid}", "--json")
    status = json.loads(answer.stdout)
    t.equal(status.get("status", status)["flows_open"], 0, "late: open flows, says sluice status")
    run.kill(signal.SIGTERM)
    run.wait(10)


def scenario(t):
    t.needs("tests/providers/flowgen")
    with t.lab() as lab:
        lab.tcp_echo(7)
        check_rejected(t, lab)
        check_killed(t, lab)
        check_allowed_late(t, lab)


if __name__ == "__main__":
    main(scenario)
