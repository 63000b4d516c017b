#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""130 — a verdict changes while its flow goes on

   [ client ns: actor.py in a blocked call, a download ]──uplink──[ server ns: echo :7, HTTP :80 ]
        └ test-filter drops what it allowed, allows what it dropped, judges all flows again
"""
from lib import main
from lib.wait import wait_for

ADDRESSES = ("10.79.30.1", "fd00:79::30:1", "::ffff:10.79.30.1")


def check_cut(t, lab, kind, call, address):
    run = lab.run([lab.test_filter(update_after_ms=200)], lab.actor("cut", kind, call, address, 7))
    t.note(f"{kind} {call} {address}: {run.json()}")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for address in ADDRESSES:
            for call in ("read", "write", "poll"):
                check_cut(t, lab, "tcp", call, address)
            for call in ("read", "poll", "sendto"):
                check_cut(t, lab, "udp", call, address)
            check_cut(t, lab, "unconnected", "sendto", address)


if __name__ == "__main__":
    main(scenario)
