#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""102 — ten thousand flows to be dropped: no packet of theirs leaves, one errno

   [ client ns: flowgen, python ]──uplink──│count│──[ server ns: echo :7 ]
        └ denied by address, by executable, by uid, by DNS name
          TCP, UDP, ICMP · IPv4, IPv6, v4-mapped
"""
import json
import shutil

from lib import machine, main
from lib.still import Still

TARGETS = ("10.79.", "fd00:79:")
BOUND_US = 50_000  # what the project promises
SYN = 0x02
PATIENCE_MS = 20_000  # who is told nothing fails, who is told late by a machine that stood still does not

BY_ADDRESS = [("tcp", "10.79.0.1", 7, 1500), ("tcp", "fd00:79::1", 7, 1000),
              ("tcp", "::ffff:10.79.0.1", 7, 1000), ("udp", "10.79.0.1", 7, 1000),
              ("udp", "fd00:79::1", 7, 1000), ("udp", "::ffff:10.79.0.1", 7, 500),
              ("icmp", "10.79.0.1", 0, 500), ("icmp", "fd00:79::1", 0, 500)]
BY_IDENTITY = [("tcp", "10.79.0.1", 7, 800), ("udp", "fd00:79::1", 7, 400),
               ("tcp", "::ffff:10.79.0.1", 7, 600), ("icmp", "10.79.0.1", 0, 200)]
N_BY_NAME = 1000


def script(flowgen, cases, prefix=""):
    """one shell command that makes all the flows; a line of JSON for each case"""
    lines = [f"{prefix} {flowgen} {kind} {address} {port} {count} {count} {PATIENCE_MS}"
             for kind, address, port, count in cases]
    return ["sh", "-c", "; ".join(lines)]


def to_targets(packet):
    return packet.dst.startswith(TARGETS)


def flow_of(packet):
    return packet.src, packet.sport, packet.dst, packet.dport


def is_late(packet, control):
    """the last word of a connection of the control; a denied one would begin with a SYN"""
    return packet.proto == "tcp" and not packet.flags & SYN and flow_of(packet) in control


def judge(t, still, title, results, n_wanted):
    """all refused, in the same way, fast enough"""
    n = sum(result["count"] for result in results)
    errors = {error for result in results for error in result["errors"]}
    slowest = max(result["max_us"] for result in results)
    usual = max(result["p99_us"] for result in results)
    t.note(f"{title}: {n} flows, errno {sorted(errors)}, p99 {usual} us, slowest {slowest} us"
           + ("" if slowest <= BOUND_US else f", above {BOUND_US} us"))
    t.equal(n, n_wanted, f"{title}: flows")
    t.equal(errors, {"ECONNREFUSED"}, f"{title}: what the applications got")
    still.check(t, slowest / 1000, BOUND_US / 1000, f"{title}: the slowest")


def dropped(t, lab, control, title, option, command, n_wanted):
    still = Still()
    with lab.capture() as wire:
        run = lab.run([lab.test_filter(**option)], command, within=100)
    t.equal(run.popen.returncode, 0, f"{title}: exit status")
    judge(t, still, title, run.jsons(), n_wanted)
    left = [packet for packet in wire.packets(to_targets) if not is_late(packet, control)]
    t.equal(len(left), 0, f"{title}: packets on the uplink, such as {left[:3]}")


def total(cases):
    return sum(count for *_, count in cases)


def scenario(t):
    t.needs("tests/providers/flowgen")
    with t.lab() as lab:
        zone = lab.dns()
        zone.add("blocked.example", "A", "10.79.9.1")
        zone.add("blocked.example", "AAAA", "fd00:79::9:1")
        lab.tcp_echo(7)
        lab.udp_echo(7)
        flowgen = lab.path("tests/providers/flowgen")
        copy = lab.new_file("denied-copy")
        shutil.copy(flowgen, copy)
        by_name = lab.actor("names", "blocked.example", 7, N_BY_NAME)

        # the control: without Sluice the very same flows are seen
        few = [(kind, address, port, 5) for kind, address, port, _ in BY_ADDRESS]
        with lab.capture() as wire:
            plain = lab.plain(script(flowgen, few))
            lab.plain(lab.actor("names", "blocked.example", 7, 8))
        control = {flow_of(packet) for packet in wire.packets(to_targets)}
        t.check(wire.count(to_targets) >= total(few) + 8, "the control's packets are on the uplink")
        for line in plain.stdout.splitlines():
            t.equal(json.loads(line)["errors"], {"0": 5}, "the control's flows work")

        dropped(t, lab, control, "by address", {"deny_address": ["10.79.0.0/16", "fd00:79::/64"]},
                script(flowgen, BY_ADDRESS), total(BY_ADDRESS))
        first, second = BY_IDENTITY[:2], BY_IDENTITY[2:]
        dropped(t, lab, control, "by executable", {"deny_exe": machine.true_path(copy)}, script(copy, first), total(first))
        dropped(t, lab, control, "by user", {"deny_uid": 1234},
                script(flowgen, second, "setpriv --reuid 1234 --clear-groups"), total(second))
        dropped(t, lab, control, "by name", {"deny_host": "blocked.example"}, by_name, N_BY_NAME)


if __name__ == "__main__":
    main(scenario)
