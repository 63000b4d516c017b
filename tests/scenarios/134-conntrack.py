#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""134 — connection tracking flushed, or full: nothing of ours depends on it

   [ client ns: a download, UDP echoes; conntrack in use, by a rule of somebody else ]──uplink──[ server ns ]
        └ test-filter denies one address; conntrack -F again and again; a table with two places
"""
import hashlib
import json
import subprocess

from lib import Skip, main
from lib.orders import GAP_MS
from lib.servers import PATTERN
from lib.still import Still
from lib.wait import wait_for

SIZE = 24 << 20
RULES = """table inet others {
    chain out { type filter hook output priority 0; ct state established,related counter accept; counter accept; }
    chain in { type filter hook input priority 0; ct state established counter accept; counter accept; }
}"""


def _flush(lab):
    with lab.client:
        return subprocess.run(["conntrack", "-F"], capture_output=True).returncode


def _n_entries(lab):
    with lab.client:
        return int(subprocess.run(["conntrack", "-C"], capture_output=True, text=True).stdout)


def _commands(lab, address):
    """a download next to datagrams of one socket, then a denied connect"""
    download = " ".join(lab.actor("download", address, 80, f"/slow/{SIZE}/65536/4"))
    echoes = " ".join(lab.actor("echoes", address, 7, 300, 20))
    denied = " ".join(lab.flowgen("tcp", "10.79.34.99", 7, 1))
    return ["sh", "-c", f"{download} & {echoes}; {denied}; wait"]


def _check(t, still, run, title, n_udp):
    said = {}
    for line in run.stdout.splitlines():
        said.update(json.loads(line))
    t.equal(said["sha256"], hashlib.sha256(PATTERN * (SIZE // len(PATTERN))).hexdigest(), f"{title}: digest")
    t.note(f"{title}: longest gap in the download: {said['longest_gap_ms']} ms")
    still.check(t, said["longest_gap_ms"], GAP_MS, f"{title}: the gap")
    t.equal(said["told"], {"0": n_udp}, f"{title}: datagrams")
    t.equal(said["errors"], {"ECONNREFUSED": 1}, f"{title}: a denied connect")
    judged = sorted(record["dst"] for record in run.flows(event="new"))
    t.equal(len(judged), 3, f"{title}: each flow is judged once: {judged}")


def _has_ended(run, within):
    try:
        return run.popen.wait(within) is not None
    except subprocess.TimeoutExpired:
        return False


def check_flushed(t, lab):
    still = Still()
    run = lab.start([lab.test_filter(deny_address="10.79.34.99")], _commands(lab, "10.79.34.1"))
    wait_for(lambda: "connected" in run.stderr, 15, "the download")
    t.check(_n_entries(lab) > 0, "connections are tracked")
    n = 0
    while not _has_ended(run, 0.01):
        t.equal(_flush(lab), 0, "conntrack -F")
        n += 1
    t.equal(run.wait(30), 0, "exit status")
    t.note(f"flushed {n} times")
    _check(t, still, run, "flushed", 300)


def check_full(t, lab):
    """flows that stand go on, and what is denied stays denied; new ones are the table's to lose"""
    try:
        lab.client.sysctl("netfilter/nf_conntrack_max", 2)
    except (OSError, subprocess.CalledProcessError) as error:
        t.note(f"not tried with a full table: net.netfilter.nf_conntrack_max of a namespace: {error}")
        return
    still = Still()
    run = lab.start([lab.test_filter(deny_address="10.79.34.99")], _commands(lab, "10.79.34.2"))
    t.equal(run.wait(30), 0, "exit status")
    _check(t, still, run, "full", 300)


def scenario(t):
    t.needs("conntrack", "nft")
    with t.lab() as lab:
        with lab.client:
            made = subprocess.run(["nft", "-f", "-"], input=RULES, text=True, capture_output=True)
        if made.returncode:
            raise Skip(f"no ct rule: {made.stderr.strip()}")
        lab.http()
        lab.tcp_echo(7)
        lab.udp_echo(7)
        check_flushed(t, lab)
        check_full(t, lab)


if __name__ == "__main__":
    main(scenario)
