#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""118 — a listener is governed however it came to listen

   [ client ns: listens on :9000 … :9004, deny-all ]──uplink──[ server ns: connects ]
        └ one of several sockets of the port is closed, MPTCP, a socket that tried
          to connect before: no connection gets in
"""
import signal
import sys

from lib import main
from lib.wait import wait_for

CASES = ((9000, "a plain listener"), (9001, "the newest of two with SO_REUSEPORT is closed"),
         (9002, "its IPv6-only twin is closed"), (9003, "MPTCP"),
         (9004, "a failed connect came before"))

LISTEN = """import errno, socket, sys, time

def listener(port, family=socket.AF_INET, proto=0):
    s = socket.socket(family, socket.SOCK_STREAM, proto)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", port))
    s.listen(5)
    return s

keep = [listener(9000), listener(9001), listener(9002)]
listener(9001).close()
listener(9002, socket.AF_INET6).close()
try:
    keep.append(listener(9003, proto=socket.IPPROTO_MPTCP))
except OSError as error:
    print("no MPTCP:", error, file=sys.stderr)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 9004))
s.connect_ex(("127.0.0.1", 1))
try:
    s.bind(("", 9004))
except OSError as error:
    assert error.errno == errno.EINVAL, error
s.listen(5)
print("listening", file=sys.stderr, flush=True)
time.sleep(60)
"""


def start_listeners(lab, filter_text):
    run = lab.start([filter_text], [sys.executable, "-c", LISTEN], fail="closed")
    wait_for(lambda: "listening" in run.stderr, 15, "the listeners")
    return run


def outcome(lab, port):
    try:
        lab.connect_in(port, within=20).close()
    except OSError as error:
        return type(error).__name__
    return "connected"


def scenario(t):
    with t.lab() as lab:
        for filter_text, wanted in ((lab.test_filter(), "connected"),
                                    (lab.test_filter(deny_all=1), "ConnectionRefusedError")):
            run = start_listeners(lab, filter_text)
            has_mptcp = "no MPTCP" not in run.stderr
            for port, title in CASES:
                if port == 9003 and not has_mptcp:
                    t.note("this kernel has no MPTCP: not tried")
                    continue
                t.equal(outcome(lab, port), wanted, title)
                record = run.wait_flow(sport=port, direction="inbound", event="new")
                t.equal(record["verdict"], "allow" if wanted == "connected" else "drop",
                        f"{title}: verdict")
            run.kill(signal.SIGTERM)
            run.wait(15)


if __name__ == "__main__":
    main(scenario)
