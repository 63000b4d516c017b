#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""125 — every refused datagram is told, and a remembered refusal is told as a fresh one

   [ client ns: python ]──uplink──│count│──[ server ns ]
        └ test-filter denies 10.79.25.0/24 and fd00:79::25:0/112
          thousands of sockets at once (the kernel's ICMP limit is 1000 a second)
          datagrams that are empty, large, cut by the kernel (GSO), pings, raw IP
"""
import subprocess

from lib import main

DENIED = ["10.79.25.0/24", "fd00:79::25:0/112"]
ENDS = ["10.79.25.1", "::ffff:10.79.25.1", "fd00:79::25:1"]
KINDS = ["plain", "empty", "large", "segmented", "errors", "ping"]
FIREWALLED = [("told", "plain", end, 7) for end in ENDS]
CROWD = 3000
BOUND_US = 50_000
REFUSED = ["0", "ECONNREFUSED"]  # of send, and of the call after it


def is_denied(packet):
    return packet.dst.startswith(("10.79.25.", "fd00:79::25:"))


def run_acts(lab, acts):
    script = "; ".join(" ".join(lab.actor(*act)) for act in acts)
    run = lab.run([lab.test_filter(deny_address=DENIED)],
                  ["sh", "-c", f"ulimit -n 8192; sysctl -qw net.ipv4.ping_group_range='0 0'; {script}"])
    return run.jsons()


def check_crowd(t, lab):
    acts = [("crowd", end, 7, CROWD) for end in ENDS]
    for (_, end, *_), result in zip(acts, run_acts(lab, acts), strict=True):
        t.note(f"{CROWD} sockets to {end} at once: p99 {result['p99_us']} us, slowest {result['max_us']} us"
               + ("" if result["max_us"] <= BOUND_US else f", above {BOUND_US} us"))
        t.equal(result["told"], {"ECONNREFUSED": CROWD}, f"what {CROWD} sockets to {end} are told")


def check_kinds(t, lab):
    acts = [("told", kind, end, 7) for kind in KINDS for end in ENDS
            if kind != "ping" or not end.startswith("::ffff:")]
    acts.append(("told", "raw", ENDS[0], 0))
    for act, result in zip(acts, run_acts(lab, acts), strict=True):
        t.equal(result["fresh"], REFUSED, f"{act}: fresh")
        t.equal(result["remembered"], REFUSED, f"{act}: remembered")


FIREWALL = ("add table inet wall; add chain inet wall out { type filter hook output priority 0; policy drop; };"
            "add rule inet wall out ct state established,related accept;"
            "add rule inet wall out oif lo accept; add rule inet wall out udp dport 7 accept;"
            "add rule inet wall out tcp dport 7 accept; add rule inet wall out icmpv6 type nd-neighbor-solicit accept")


def check_firewall(t, lab):
    """a host that drops by default at output still hears our refusals"""
    with lab.client:
        subprocess.run(["nft", FIREWALL], check=True)
    try:
        for act, result in zip(FIREWALLED, run_acts(lab, FIREWALLED), strict=True):
            t.equal((result["fresh"], result["remembered"]), (REFUSED, REFUSED), f"{act}: behind a firewall")
    finally:
        with lab.client:
            subprocess.run(["nft", "delete table inet wall"], check=True)


def scenario(t):
    with t.lab() as lab:
        with lab.capture() as wire:
            check_kinds(t, lab)
            check_crowd(t, lab)
            check_firewall(t, lab)
        left = wire.packets(is_denied)
        t.equal(len(left), 0, f"packets on the uplink, such as {left[:3]}")


if __name__ == "__main__":
    main(scenario)
