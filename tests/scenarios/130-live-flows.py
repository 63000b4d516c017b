#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""130 — a verdict changes while its flow goes on

   [ client ns: actor.py in a blocked call, a download ]──uplink──[ server ns: echo :7, HTTP :80 ]
        └ test-filter drops what it allowed, allows what it dropped, judges all flows again
"""
import hashlib
import json
import os
import signal

from lib import main
from lib.lab import CLIENT4, CLIENT6
from lib.orders import GAP_MS
from lib.servers import PATTERN
from lib.still import Still
from lib.wait import SLOW, wait_for

ADDRESSES = ("10.79.30.1", "fd00:79::30:1", "::ffff:10.79.30.1")
SIZE = 24 << 20
# by then the conversation stands; a machine that was too slow for it gets more time
SOONS_MS = [int(ms * SLOW) for ms in (200, 1000, 3000)]
NEW_MS = 50  # 95 of 100 new flows
MANY = 20000


def run_cut(lab, *words):
    """an act whose flow is cut"""
    for soon_ms in SOONS_MS:
        run = lab.run([lab.test_filter(update_after_ms=soon_ms)], lab.actor("cut", *words))
        if "connected" in run.stderr:
            break
    return run


def check_cut(t, lab, kind, call, address):
    """what docs/errno.md says of a flow that is cut"""
    title = f"{kind} {call} {address}"
    run = run_cut(lab, kind, call, address, 7)
    said = run.json()
    t.equal(said["got"], 5, f"{title}: bytes before the cut")
    t.equal(said["told"], "ECONNREFUSED" if kind == "unconnected" else "ECONNABORTED", title)
    if kind == "tcp":
        t.equal(said["after"], ["EPIPE", "0"], f"{title}: send and recv after it")
    elif kind == "udp":
        t.equal(said["after"][0], "EDESTADDRREQ", f"{title}: send after it")
    else:
        t.equal(said["after"][0], "ECONNREFUSED", f"{title}: sendto after it")
    changed = run.wait_flow(event="changed")
    t.equal((changed["verdict"], changed["reason"]), ("drop", "changed"), f"{title}: record")
    closed = run.wait_flow(event="closed", id=changed["id"])
    t.check(closed["bytes_out"] >= 5 and closed["verdict"] == "drop", f"{title}: {closed}")


def check_nothing_leaves(t, lab):
    """the far end gets a reset of TCP, and after the cut no datagram more. The one that the cut
    meets on its way through the kernel, counted and not yet out, may be lost"""
    with lab.capture() as wire:
        run_cut(lab, "tcp", "read", "10.79.30.2", 7)
        wire.wait_count(1, lambda p: p.proto == "tcp" and p.dst == "10.79.30.2" and p.flags & 4)
        run = run_cut(lab, "unconnected", "sendto", "10.79.30.3", 7)
        closed = run.wait_flow(event="closed", dst="10.79.30.3")
        n = wire.count(lambda p: p.proto == "udp" and p.dst == "10.79.30.3" and p.sport == closed["sport"])
    n_counted = closed["bytes_out"] - len(b"first") + 1
    t.check(n_counted - 1 <= n <= n_counted, f"datagrams on the wire: {n}, those of before: {n_counted}")


def _talk(lab, address):
    """with a program that listens, until that ends it. Return: what came back, and how it ended"""
    got = b""
    try:
        with lab.connect_in(8080, address, 15) as s:
            s.sendall(b"hello")
            got = s.recv(100)
            return got, s.recv(100)
    except ConnectionResetError:
        return got, "reset"
    except ConnectionRefusedError:  # it ended with the connection before
        return got, "refused"


def check_inbound(t, lab, address):
    """the accepted socket is cut, its listener is not"""
    for soon_ms in SOONS_MS:
        run = lab.start([lab.test_filter(update_after_ms=soon_ms)], lab.actor("accept", 8080))
        wait_for(lambda: "listening" in run.stderr, 15, "the listener")
        talks = [_talk(lab, address) for _ in range(2)]
        status = run.wait(15)
        if all(got for got, _ in talks):
            break
    t.equal(talks, [(b"hello", "reset")] * 2, f"{address}: the far end")
    t.equal(status, 0, "exit status")
    t.equal(run.json()["told"], ["ECONNABORTED"] * 2, f"{address}: accepted sockets")


def check_released(t, lab):
    """a denial that is taken back: the next datagram is asked about again"""
    for soon_ms in SOONS_MS:
        run = lab.run([lab.test_filter(deny_all=1, allow_after_ms=soon_ms)], lab.actor("allowed", "10.79.30.4", 7))
        told = run.json()["told"]
        if "ECONNREFUSED" in told:
            break
    t.equal(told[-1], "0", f"allowed in the end: {told}")
    t.check("ECONNREFUSED" in told, f"denied before: {told}")
    t.equal([record["verdict"] for record in run.flows(event="new", dst="10.79.30.4")], ["drop", "allow"], "records")


def check_rejudge(t, lab, scope):
    """rules change: one socket is cut, the download next to it does not notice"""
    ready, still = lab.new_file("ready", ""), Still()
    download = " ".join(lab.actor("download", "10.79.30.5", 80, f"/slow/{SIZE}/65536/4"))
    held = " ".join(lab.actor("recv", "10.79.30.6", 7))
    trigger = " ".join(lab.flowgen("tcp", "10.79.30.7", 7007, 1))
    run = lab.start([lab.test_filter(scope=scope, deny_address="10.79.30.6", rejudge_port=7007),
                     lab.test_filter(scope=scope)],
                    ["sh", "-c", f"{held} & {download} & "
                                 f"while [ -e {ready} ]; do sleep 0.02; done; {trigger}; wait"])
    wait_for(lambda: run.stderr.count("connected") == 2, 15, "both connections")
    os.unlink(ready)
    t.equal(run.wait(30), 0, "exit status")
    said = {}
    for text in run.stdout.splitlines():
        said.update(json.loads(text))
    t.equal(said["told"], "ECONNABORTED", f"scope {scope}: the connection that the new rules deny")
    t.equal(said["sha256"], hashlib.sha256(PATTERN * (SIZE // len(PATTERN))).hexdigest(), "digest")
    t.note(f"scope {scope}: longest gap in the download: {said['longest_gap_ms']} ms")
    still.check(t, said["longest_gap_ms"], GAP_MS, "the gap in the download")
    t.equal([record["dst"] for record in run.flows(event="changed")], ["10.79.30.6"], "flows touched")


def check_successor(t, lab):
    """flows that a dead sluiced has judged, or the kernel by itself, are judged again like others"""
    one, two = lab.new_file("ready", ""), lab.new_file("ready", "")
    held = " ".join(lab.actor("recv", "10.79.30.9", 7))
    trigger = " ".join(lab.flowgen("tcp", "10.79.30.10", 7007, 1))
    pause = "while [ -e {} ]; do sleep 0.02; done"
    run = lab.start([lab.test_filter(deny_address="10.79.30.9", rejudge_port=7007, scope="address")],
                    ["sh", "-c", f"{held} & {pause.format(one)}; {held} & {pause.format(two)}; {trigger}; wait"])
    for n, ready in ((1, one), (2, two)):
        wait_for(lambda: run.stderr.count("connected") == n and len(run.flows(event="new")) == n, 15, f"connection {n}")
        if n == 1:
            os.unlink(ready)
    first = run.pids("test-filter")[0]
    os.kill(run.pids("sluiced")[0], signal.SIGKILL)
    run.wait_pid("test-filter", other_than=first)
    os.unlink(two)
    t.equal(run.wait(20), 0, "exit status")
    t.equal(run.stdout.count('"told": "ECONNABORTED"'), 2, f"cut by the successor: {run.stdout}")
    t.equal([record["interface"] for record in run.flows(event="changed")], ["uplink"] * 2, "their interface")


def check_many(t, lab):
    """20,000 flows are judged again; new ones are judged meanwhile"""
    done, still = lab.new_file("done"), Still()
    run = lab.start([lab.test_filter(deny_address="10.80.79.250", rejudge_port=7008)],
                    lab.actor("many", "10.80", MANY, "10.79.30.8", 7007, done))
    wait_for(lambda: "asked" in run.stderr, 60, "all flows")
    wait_for(lambda: run.flows(event="changed"), 30, "the last of them to be judged again")
    with open(done, "w"):
        pass
    t.equal(run.wait(30), 0, "exit status")
    said = run.json()
    t.note(f"{MANY} flows judged again; connects meanwhile: {said}")
    t.equal(len(run.flows(event="changed")), 1, "flows touched")
    still.check(t, said["p95_ms"], NEW_MS, "new flows waited for those of before")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.tcp_echo(7007)
        lab.udp_echo(7)
        lab.http()
        lab.client.ip("route add 10.80.0.0/16 via 10.77.0.2 dev uplink")
        lab.server.ip("route add local 10.80.0.0/16 dev lo")
        for address in ADDRESSES:
            for kind, call in (("tcp", "read"), ("tcp", "write"), ("tcp", "poll"), ("udp", "read"),
                               ("udp", "poll"), ("unconnected", "sendto")):
                check_cut(t, lab, kind, call, address)
        check_nothing_leaves(t, lab)
        check_inbound(t, lab, CLIENT4)
        check_inbound(t, lab, CLIENT6)
        check_released(t, lab)
        check_rejudge(t, lab, "flow")
        check_rejudge(t, lab, "address")
        check_successor(t, lab)
        check_many(t, lab)


if __name__ == "__main__":
    main(scenario)
