#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""122 — a program that executes itself anew has a new command line

   python3 -c FIRST  (a socket is made)  ── execve of the same file ──▶  python3 -c SECOND  (a flow)
        └ same pid, same executable: only the command line tells the two apart
"""
import sys

from lib import machine, main

SECOND = "import socket; socket.create_connection(('10.79.22.1', 7)).close()  # SECOND"
FIRST = ("import os, socket, sys; socket.create_connection(('10.79.22.2', 7)).close(); "
         f"os.execv(sys.executable, [sys.executable, '-c', {SECOND!r}])  # FIRST")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        run = lab.run([lab.test_filter()], [sys.executable, "-c", FIRST])
        t.equal(run.popen.returncode, 0, f"exit status; {run.stderr}")
        before = run.wait_flow(dst="10.79.22.2", event="new")
        after = run.wait_flow(dst="10.79.22.1", event="new")
        t.equal(after["pid"], before["pid"], "the same process")
        t.equal(after["exe"], machine.true_path(sys.executable), "exe")
        t.check(before["command"].endswith("# FIRST"), f"before: {before['command']!r}")
        t.check("FIRST" not in after["command"] and after["command"].endswith("# SECOND"),
                f"after: {after['command']!r}")


if __name__ == "__main__":
    main(scenario)
