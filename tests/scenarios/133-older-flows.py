#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""133 — a cgroup that lived before Sluice: what stands goes on, what begins is judged

   [ client ns: actor.py, in the cgroup before the programs are on it ]──uplink──[ server ns: echo :7 ]
        └ then test-filter denies everything
"""
import json
import os
import signal
import subprocess
import time

from lib import main, machine
from lib.wait import wait_for

TRIES = 20


def _tell(program):
    program.popen.stdin.write(b"go\n")
    program.popen.stdin.flush()


def _enter(run, pid):
    """as soon as `sluice run` has made its cgroup, and before it goes on"""
    folder = f"{machine.cgroup_root()}{machine.cgroup_of(os.getpid())}/sluice-r{run.pid}"
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        try:
            with open(folder + "/cgroup.procs", "w") as file:
                os.kill(run.pid, signal.SIGSTOP)
                file.write(str(pid))
            return
        except FileNotFoundError:
            pass


def start_in_time(t, lab, address, denied):
    """an instance with a member older than its programs; the race for it may be lost"""
    for _ in range(TRIES):
        older = lab.start_plain(lab.actor("older", address, denied, 7), stdin=subprocess.PIPE)
        ready = lab.new_file("ready", "")
        wait_for(lambda: "waiting" in older.stderr, 15, "the member")
        run = lab.start([lab.test_filter(deny_all=1)],
                        ["sh", "-c", f"touch {ready}.up; while [ -e {ready} ]; do sleep 0.02; done"])
        try:
            _enter(run, older.pid)
            _tell(older)
            said = json.loads(wait_for(lambda: older.stderr.splitlines()[1:], 10, "the first use")[0])
        finally:
            os.kill(run.pid, signal.SIGCONT)
        if said == {"stream": "0", "connected": "0", "loose": "0"}:
            wait_for(lambda: os.path.exists(ready + ".up"), 15, "COMMAND to run")
            return older, run, ready
        _tell(older)
        older.wait(15)
        os.unlink(ready)
        run.wait(15)
    t.check(False, "the instance was always faster")
    return None


def check(t, lab, address, denied):
    older, run, ready = start_in_time(t, lab, address, denied)
    t.equal(run.flows(), [], f"{address}: sockets of before are nobody's flows")
    _tell(older)
    t.equal(older.wait(15), 0, f"{address}: exit status")
    said = older.json()
    t.equal(said["new"], "ECONNREFUSED", f"{address}: a new connection is judged")
    t.equal(said["after"]["stream"], "0", f"{address}: the TCP connection of before goes on")
    t.equal(said["after"]["connected"], "0", f"{address}: the connected UDP socket of before goes on")
    t.note(f"{address}: an unconnected one: {said['after']['loose']}")
    os.unlink(ready)
    t.equal(run.wait(15), 0, "exit status of the run")
    record = run.wait_flow(dst=denied, event="new")
    t.equal((record["verdict"], record["pid"]), ("drop", older.pid), f"{address}: its record")
    t.equal([record["dst"] for record in run.flows(proto="tcp")], [denied], f"{address}: TCP records")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        check(t, lab, "10.79.33.1", "10.79.33.2")
        check(t, lab, "fd00:79::33:1", "fd00:79::33:2")


if __name__ == "__main__":
    main(scenario)
