#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""177 — sluiced dies before each system call that a flow takes: nobody is refused what was allowed

   [ client ns: a program that connects, sends, is connected to ]──uplink──[ server ns: echo, connects ]
        └ at-call: kills sluiced before the 1st, 2nd, 3rd … call from the flow's beginning on, until there
          are no more; under a closed fail class, so that what is lost on the way is refused

A proxy's flow may end with a reset once it is open; no SYN is sent again.
"""
import errno
import itertools
from collections import Counter

from lib import at_call, main
from lib.orders import Ordered
from lib.wait import wait_for

HOST, PORT, OWN_PORT = "10.79.77.1", 7, 8077
RESET = "ECONNRESET"


def say(_, program):
    """Return: what connect(2), send(2) and recv(2) were told"""
    return tuple(program.ask("say", HOST, PORT)["told"])


def send(_, program):
    return 3 * (program.ask("udp", HOST, PORT)["error"],)


def be_told(lab, _):
    """who begins it is not governed"""
    try:
        with lab.connect_in(OWN_PORT) as s:
            s.sendall(b"hello")
            return ("0", "0", "0" if s.recv(100) else "end")
    except OSError as error:
        return 3 * (errno.errorcode.get(error.errno, "ETIMEDOUT"),)


ALL = ("0", "0", "0")


def is_served(told):
    return told == ALL


def is_served_or_reset(told):
    """what it gets before its reset nobody can say, and connect(2) may be late to look; none is refused"""
    return told == ALL or (RESET in told and "ECONNREFUSED" not in told and "ETIMEDOUT" not in told)


# title, options of test-filter, is there a proxy, flow, what it may get
KINDS = (
    ("TCP", {}, False, say, is_served),
    ("TCP that is looked at", {"peek_out": 1, "peek_in": 1}, False, say, is_served),
    ("TCP of a proxy", {}, True, say, is_served_or_reset),
    ("UDP", {}, False, send, is_served),
    ("TCP that comes in", {}, False, be_told, is_served),
    ("TCP that comes in and is looked at", {"peek_out": 1, "peek_in": 1}, False, be_told, is_served),
)


def is_ready(lab, program):
    providers = lab.status(f"r{program.run.pid}").get("providers", ())
    return providers and all(one["state"] == "running" for one in providers)


def check(t, lab, kind):
    title, settings, has_proxy, flow, may_get = kind
    options = ["--proxy", lab.path("tests/providers/test-proxy")] if has_proxy else []
    program = Ordered(lab, [lab.test_filter(deny_address="10.79.99.1", **settings)], options=options, fail="closed")
    program.order("serve", OWN_PORT)  # has no answer
    t.equal(program.ask("tcp", HOST, PORT)["error"], "0", f"{title}: the first flow")
    got, wrong, again = Counter(), {}, lab.counter("TcpExt.TCPSynRetrans")
    try:
        for nth in itertools.count(1):
            pid = program.run.wait_pid("sluiced")
            wait_for(lambda: is_ready(lab, program), 15, "a sluiced with nothing else to do")
            watch = at_call.AtCall(lab, pid, nth)
            told = flow(lab, program)
            has_died = watch.end()
            got[told] += 1
            if not may_get(told):
                wrong[nth] = told
            if not has_died:
                break
            program.run.wait_pid("sluiced", other_than=pid)
    finally:
        program.end()
    t.equal(wrong, {}, f"{title}: what a flow got when sluiced died before this of its calls")
    t.check(nth > 2, f"{title}: the flow takes {nth - 1} calls")
    t.equal(lab.counter("TcpExt.TCPSynRetrans"), again, f"{title}: SYNs that were lost, and sent again")
    t.note(f"{title}: died before each of {nth - 1} calls: {dict(got)}")


def scenario(t):
    t.needs(at_call.PROGRAM, "tests/providers/test-proxy")
    with t.lab() as lab:
        lab.tcp_echo(PORT)
        lab.udp_echo(PORT)
        for kind in KINDS:
            if t.only in ("", kind[0]):
                check(t, lab, kind)


if __name__ == "__main__":
    main(scenario, only="")
