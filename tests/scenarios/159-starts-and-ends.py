#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""159 — filters that start and stop slowly, or never, and filters that are replaced

   [ client ns: flowgen ]──uplink──[ server ns: echo :7 ]
        └ test-filter takes its time to start and to stop, or all of it; is killed and stopped
          again and again; every start and every end is told once, within its time, and
          nobody is left behind, dead or alive: the test itself would be its parent
"""
import ctypes
import json
import os
import signal
import time

from lib import machine, main
from lib.wait import SLOW, wait_for

PR_SET_CHILD_SUBREAPER = 36
KILLS, HANGS = 5, 1  # a filter that dies nine times in a row is given up


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def zombies(pid):
    found = []
    for child in children(pid):
        try:
            if machine.status_of(child)["State"][0] == "Z":
                found.append(machine.status_of(child)["Name"])
        except OSError:
            pass
    return found


def check_nobody(t, title):
    t.equal(zombies(os.getpid()), [], f"{title}: left to whoever is there")


def check_stop(t, lab):
    """it has the time it needs, up to a second; what does not stop is named, and ended"""
    run = lab.run([lab.test_filter(stop_ms=300)], ["sh", "-c", "exit 3"])
    t.equal(run.popen.returncode, 3, "its own time: exit status")
    t.equal(run.stderr.count("stopped in its own time"), 1, f"it came to its end, once: {run.stderr}")
    check_nobody(t, "its own time")
    began = time.monotonic()
    run = lab.run([lab.test_filter(stop_ms=100000), lab.test_filter(stop_ms=100)], ["true"])
    t.note(f"a filter that never stops: all over in {time.monotonic() - began:.1f} s")
    t.equal(run.popen.returncode, 0, "never stops: exit status")
    t.equal(run.stderr.count("has not stopped within 1000 ms: it is killed"), 1, f"never stops: told once: {run.stderr}")
    t.equal(run.stderr.count("stopped in its own time"), 1, f"the one beside it: {run.stderr}")
    check_nobody(t, "never stops")


def check_start(t, lab):
    """COMMAND does not run before all filters have started; one that hangs is told as such"""
    run = lab.run([lab.test_filter(start_ms=800, deny_all=1)], lab.flowgen("tcp", "10.79.59.1", 7, 1))
    t.equal(run.json()["errors"], {"ECONNREFUSED": 1}, "slow start: the first flow is judged")
    began = time.monotonic()
    run = lab.run([lab.test_filter(start_ms=100000)], ["echo", "ran"], fail="open")
    t.note(f"a filter that never starts: the error after {time.monotonic() - began:.1f} s")
    t.equal((run.popen.returncode, run.stdout), (125, ""), "never starts: COMMAND did not run")
    t.equal(run.stderr.count("sluice: filter test-filter"), 1, f"never starts: told once: {run.stderr}")
    t.check("it hung" in run.stderr and "times in a row" not in run.stderr, f"never starts: told why: {run.stderr}")
    check_nobody(t, "never starts")


def replace(t, run, keeper, number):
    """one filter process goes, the next one comes. Return: seconds until it judges"""
    old = run.wait_pid("test-filter")
    began = time.monotonic()
    os.kill(old, number)
    run.wait_pid("test-filter", other_than=old)
    wait_for(lambda: not os.path.exists(f"/proc/{old}"), 10 * SLOW, "the old one to be reaped")
    t.equal(zombies(keeper), [], "zombies")
    return time.monotonic() - began


def check_replaced(t, lab):
    """crashes, and one that hangs and so takes no signal but the last; flows are judged after each"""
    ready, done = lab.new_file("ready", ""), lab.new_file("done", "")
    flow = " ".join(lab.flowgen("tcp", "10.79.59.2", 7, 1, 1, int(10000 * SLOW)))
    run = lab.start([lab.test_filter(deny_address="10.79.59.3", stop_ms=100000)],
                    ["sh", "-c", f"while [ -e {ready} ]; do if [ ! -e {done} ]; then {flow}; : > {done}; fi; sleep 0.02; done"], fail="closed")
    keeper = wait_for(lambda: run.pids("sluice-keeper"), 15, "the keeper")[0]
    longest = 0
    for number in [signal.SIGKILL] * KILLS + [signal.SIGSTOP] * HANGS:
        longest = max(longest, replace(t, run, keeper, number))
        os.unlink(done)
        wait_for(lambda: os.path.exists(done), 15 * SLOW, "a flow after it")
    os.kill(run.wait_pid("test-filter"), signal.SIGSTOP)  # and so it is at the end
    os.unlink(ready)
    t.equal(run.wait(30), 0, "exit status")
    t.note(f"the longest of {KILLS + HANGS} replacements: {longest:.2f} s")
    t.equal([json.loads(line)["errors"] for line in run.stdout.splitlines()], [{"0": 1}] * (KILLS + HANGS), "flows")
    check_nobody(t, "replaced")


def check_descendants(t, lab):
    """what a filter has started is reaped as well"""
    run = lab.sluice("filter", "sh", "sleep 1000 & echo allow", "--", *lab.flowgen("tcp", "10.79.59.4", 7, 3))
    t.equal(run.popen.returncode, 0, f"exit status; {run.stderr}")
    check_nobody(t, "programs of a filter")


def scenario(t):
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with t.lab() as lab:
        lab.tcp_echo(7)
        check_stop(t, lab)
        check_start(t, lab)
        check_replaced(t, lab)
        check_descendants(t, lab)


if __name__ == "__main__":
    main(scenario)
