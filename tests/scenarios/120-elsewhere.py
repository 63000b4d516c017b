#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""120 — a governed program in another network namespace: what cannot be judged is refused

   [ client ns: sluice run --fail closed ]        [ server ns: no rules of Sluice here ]
        └ COMMAND ── setns() ───────────────────────▶ ping, raw, UDP, TCP: all refused
"""
import json
import sys

from lib import main

MOVE_AND_SEND = """import ctypes, errno, json, os, socket, sys
ECHO = b"\\x08\\0\\0\\0\\0\\1\\0\\1governed"
fd = os.open(sys.argv[1], os.O_RDONLY)
assert ctypes.CDLL(None).setns(fd, 0x40000000) == 0
said = {}
for name, kind, proto, port in (("ping", socket.SOCK_DGRAM, socket.IPPROTO_ICMP, 0),
                                ("raw", socket.SOCK_RAW, 253, 0),
                                ("udp", socket.SOCK_DGRAM, 0, 7),
                                ("tcp", socket.SOCK_STREAM, 0, 7)):
    try:
        s = socket.socket(socket.AF_INET, kind, proto)
        s.settimeout(3)
        if name == "tcp":
            s.connect(("10.77.0.1", port))
        else:
            s.sendto(ECHO, ("10.77.0.1", port))
        said[name] = "sent"
    except OSError as error:
        said[name] = errno.errorcode.get(error.errno, str(error))
print(json.dumps(said))
"""
ALL = ("ping", "raw", "udp", "tcp")


def scenario(t):
    with t.lab() as lab:
        command = [sys.executable, "-c", MOVE_AND_SEND, lab.server.path]
        # the control: where nothing governs it, it sends; nobody listens for TCP there
        plain = lab.plain(command).json()
        t.equal([plain[name] for name in ALL], ["sent", "sent", "sent", "ECONNREFUSED"], "the control")
        for filter_text, title in ((lab.test_filter(deny_all=1), "deny-all"),
                                   (lab.test_filter(), "a filter that allows")):
            run = lab.run([filter_text], command, fail="closed")
            t.equal(run.popen.returncode, 0, f"{title}: exit status; {run.stderr}")
            t.equal(run.json(), dict.fromkeys(ALL, "EPERM"), f"{title}: what the program got")


if __name__ == "__main__":
    main(scenario)
