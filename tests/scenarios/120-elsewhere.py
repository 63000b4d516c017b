#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""120 — a network namespace that the plane cannot be brought to: the fail class holds there

   [ client ns: sluice run --fail closed ]        [ server ns: no rules of Sluice yet ]
        └ COMMAND ── setns() ───────────────────────▶ ping, raw, UDP, TCP: all refused
          while sluice-keeper, which has to enter it, is stopped; judged as soon as it goes on
"""
import json
import os
import signal
import sys

from lib import main
from lib.wait import wait_for

MOVE_AND_SEND = """import ctypes, errno, json, os, socket, sys, time
ECHO = b"\\x08\\0\\0\\0\\0\\1\\0\\1governed"
fd = os.open(sys.argv[1], os.O_RDONLY)
assert ctypes.CDLL(None).setns(fd, 0x40000000) == 0
while len(sys.argv) > 2 and not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
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
print(json.dumps(said), flush=True)
while len(sys.argv) > 2:
    s = socket.socket()
    try:
        s.connect(("10.77.0.1", 7))
    except PermissionError:
        time.sleep(0.01)
        continue
    except OSError as error:
        print(errno.errorcode[error.errno])
    break
"""
ALL = ("ping", "raw", "udp", "tcp")


def scenario(t):
    with t.lab() as lab:
        command = [sys.executable, "-c", MOVE_AND_SEND, lab.server.path]
        # the control: where nothing governs it, it sends; nobody listens for TCP there
        plain = lab.plain(command).json()
        t.equal([plain[name] for name in ALL], ["sent", "sent", "sent", "ECONNREFUSED"], "the control")
        for filter_text, title, verdict in ((lab.test_filter(deny_all=1), "deny-all", "drop"),
                                            (lab.test_filter(), "a filter that allows", "allow")):
            go = lab.new_file("go")
            run = lab.start([filter_text], [*command, go], fail="closed")
            keeper = run.wait_pid("sluice-keeper")
            run.wait_pid("test-filter")
            wait_for(lambda: lab.status(f"r{run.pid}")["state"] == "enforcing", 10, "the instance")
            os.kill(keeper, signal.SIGSTOP)
            open(go, "w").close()
            wait_for(lambda: run.stdout, 20, "what the program got")
            t.equal(json.loads(run.stdout), dict.fromkeys(ALL, "EPERM"), f"{title}: what the program got")
            failed = wait_for(lambda: [one for one in lab.status(f"r{run.pid}")["namespaces"]
                                       if one["state"] == "failed"], 10, "status to say so")
            t.check(failed[0]["message"], f"{title}: and why: {failed}")
            t.equal(run.flows(netns=lab.server.inode), [], f"{title}: flows there")
            os.kill(keeper, signal.SIGCONT)
            t.equal(run.wait(30), 0, f"{title}: exit status; {run.stderr}")
            record = run.wait_flow(netns=lab.server.inode, proto="tcp", event="new")
            t.equal(record["verdict"], verdict, f"{title}: judged at last")


if __name__ == "__main__":
    main(scenario)
