#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""184 — what is sent while sluiced decides comes in order: none overtakes those that wait for the verdict

   [ client ns: a program that sends a datagram each millisecond ]──uplink──[ server ns: echo ]
        └ at-call: has sluiced stand still before the 1st, 2nd, 3rd … call from the flow's beginning on, until
          there are no more: between the verdict and the packets that it lets go, among others
"""
import itertools

from lib import at_call, main
from lib.orders import Ordered

HOST, PORT = "10.79.84.1", 7
N = 24
WAIT_MS = 8  # so that no more are held than a flow may have


def send(program):
    return program.ask("numbered", HOST, PORT, N)["came"]


# title, is there a proxy
KINDS = (
    ("a filter's", False),
    ("a proxy's", True),
)


def check(t, lab, kind):
    title, has_proxy = kind
    options = ["--proxy", lab.path("providers/relay")] if has_proxy else []
    program = Ordered(lab, [lab.test_filter(deny_address="10.79.99.1")], options=options)
    wrong, few = {}, {}
    try:
        t.equal(send(program), list(range(N)), f"{title}: the first flow")
        pid = program.run.wait_pid("sluiced")
        for nth in itertools.count(1):
            watch = at_call.AtCall(lab, pid, nth, WAIT_MS)
            came = send(program)
            has_waited = watch.end()
            if came != sorted(came):
                wrong[nth] = came
            if len(came) < N // 2:
                few[nth] = came
            if not has_waited:
                break
    finally:
        program.end()
    t.equal(wrong, {}, f"{title}: what came out of order when sluiced stood still before this of its calls")
    t.equal(few, {}, f"{title}: what was lost")
    t.check(nth > 2, f"{title}: the flow takes {nth - 1} calls")
    t.note(f"{title}: stood still before each of {nth - 1} calls")


def scenario(t):
    t.needs(at_call.PROGRAM, "providers/relay")
    with t.lab() as lab:
        lab.udp_echo(PORT)
        for kind in KINDS:
            if t.only in ("", kind[0]):
                check(t, lab, kind)


if __name__ == "__main__":
    main(scenario, only="")
