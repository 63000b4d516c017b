#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""136 — other ways to send: io_uring, Fast Open, MPTCP, options, packets by hand

   [ client ns: slips.py, calls ]──uplink──│count│──[ server ns: echo :7 ]
        └ each way has a destination of its own. It arrives without Sluice; nothing of it
          when it is denied, nor when nobody has judged it (and the fail class is closed)
"""
import shlex
from functools import partial

from lib import main, programs
from lib.wait import SLOW

LIMIT_S = int(45 * SLOW)
WITHIN_S = 100  # all of them
ALLOWED4, ALLOWED6 = "10.79.1.1", "fd00:79::1:1"
BOTH = ["fastopen", "fastopen_connect", "mptcp", "mptcp_fastopen", "repaired", "sendfile", "splice", "zerocopy", "corked", "passed",
        "marked", "on_device", "ping"]
ONLY4 = ["transparent", "protocols", "forged", "misnamed", "fragments", "simultaneous"]
ONLY6 = ["flow_label", "extensions", "forged6"]
CALLS = ["connect", "send", "sendmsg", "sendzc", "sq-connect", "sq-sendmsg"]
TO_MANY = [("multicast", "239.36.0.1"), ("multicast", "ff02::36"), ("broadcast", "10.77.0.255"),
           ("broadcast", "255.255.255.255")]
TWO = ["rebound", "early", "overtaken", "contested", "threads", "again", "rerouted"]
slip = partial(programs.command, "slips")


def ways(lab, net):
    """(title, destination of what leaves, command line). Each round has a net of its own: the last
    packets of the one before may still come"""
    found, n = [], 0

    def add(title, make, six=False):
        nonlocal n
        n += 1
        target = f"fd00:79::{net}:{n:x}" if six else f"10.79.{net}.{n}"
        found.append((title, target, make(target)))

    for name in BOTH + ONLY4:
        add(name, lambda to, name=name: slip(name, to))
    for name in BOTH + ONLY6:
        add(name + " over IPv6", lambda to, name=name: slip(name, to), six=True)
    for name in CALLS:
        add("io_uring " + name, lambda to, name=name: [lab.path("tests/providers/calls"), name, to, "7"])
    add("routed", lambda hop: slip("routed", hop, f"10.79.{net}.250"))
    add("routed over IPv6", lambda hop: slip("routed", hop, f"fd00:79::{net}:fa"), six=True)
    return found + [(f"{name} {target}", target, slip(name, target)) for name, target in TO_MANY]


def two_ways(net):
    """the same, where one of two destinations is allowed"""
    found = []
    for i, name in enumerate(TWO):
        four, six = f"10.79.{net}.{200 + i}", f"fd00:79::{net}:{200 + i:x}"
        found.append((name, four, slip(name, ALLOWED4, four)))
        found.append((name + " over IPv6", six, slip(name, ALLOWED6, six)))
    return found


def at_once(chosen):
    """all of them in one shell; each says what it was told"""
    return ["sh", "-c", " ".join(f'echo "{title}: $(timeout {LIMIT_S} {shlex.join(words)} 2>&1 | paste -sd\' \')" &'
                                 for title, _, words in chosen) + " wait"]


def arrived(wire, chosen):
    return {title for title, target, _ in chosen if wire.count(lambda packet: packet.dst == target)}


def check(t, lab, chosen, title, filters, **settings):
    with lab.capture() as wire:
        run = lab.run(filters, at_once(chosen), within=WITHIN_S, **settings)
    t.equal(run.popen.returncode, 0, f"{title}: exit status: {run.stderr}")
    t.equal(arrived(wire, chosen), set(), f"{title}: what left, of\n{run.stdout}")
    told = dict(line.split(": ", 1) for line in run.stdout.splitlines())
    t.equal({name for name, *_ in chosen if not told.get(name)}, set(), f"{title}: what did not come to an end")
    return told


def check_control(t, lab, chosen):
    with lab.capture() as wire:
        program = lab.plain(at_once(chosen), within=WITHIN_S)
    missing = {line.split(": ")[0] for line in program.stdout.splitlines() if line.endswith("ENOTSUP")}
    t.equal({title for title, *_ in chosen} - arrived(wire, chosen) - missing, set(),
            f"what does not work without Sluice, of\n{program.stdout}")


def check_sendmmsg(t, lab):
    """in one call: an allowed one, a denied one, an allowed one. Known, the denial ends the call"""
    targets = ["10.79.1.1", "10.79.36.240", "10.79.1.2"]
    words = shlex.join([lab.path("tests/providers/calls"), "sendmmsg", "7", *targets])
    with lab.capture() as wire:
        run = lab.run([lab.test_filter(deny_address="10.79.36.0/24")], ["sh", "-c", words], fail="closed")
    left = [wire.count(lambda packet: packet.dst == target and packet.proto == "udp") for target in targets]
    t.equal((left, run.stdout.split()), ([2, 0, 1], ["3", "1"]), "sendmmsg: what left, and what it said")


def scenario(t):
    with t.lab() as lab:
        lab.client.sysctl("ipv4/tcp_fastopen", 0x5)  # data in the SYN, without a cookie
        lab.tcp_echo(7)
        lab.udp_echo(7)
        check_control(t, lab, ways(lab, 40) + two_ways(40))
        for net, fails in ((41, "closed"), (42, "open")):
            told = check(t, lab, ways(lab, net), f"denied, fails {fails}", [lab.test_filter(deny_all=1)], fail=fails)
            denied = [f"10.79.{net}.0/24", f"fd00:79::{net}:0/112"]
            check(t, lab, two_ways(net), f"one of two denied, fails {fails}",
                  [lab.test_filter(deny_address=denied)], fail=fails)
        for title in sorted(told):
            t.note(f"{title}: {told[title]}")
        check(t, lab, ways(lab, 43), "unjudged", [lab.test_filter(mute=1)], fail="closed")
        check_sendmmsg(t, lab)


if __name__ == "__main__":
    main(scenario)
