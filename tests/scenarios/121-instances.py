#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""121 — an instance's name is taken once: a second one of that name is refused

   cgroup A: sluice run --instance ID --filter deny-all    stays in force
   cgroup B: sluice run --instance ID --filter permissive  refused, changes nothing
"""
import contextlib
import os

from lib import machine, main
from lib.wait import wait_for


@contextlib.contextmanager
def another_cgroup():
    """what is started meanwhile is in a cgroup of its own"""
    home = machine.cgroup_root() + machine.cgroup_of("self")
    other = f"{home.rstrip('/')}/other-t{os.getpid()}"

    def enter(folder):
        with open(folder + "/cgroup.procs", "w") as file:
            file.write("0")

    os.mkdir(other)
    try:
        enter(other)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.rmdir(other)


def expect_refused(t, lab, instance, title):
    run = lab.run([lab.test_filter()], ["true"], 20, options=["--instance", instance])
    t.equal(run.popen.returncode, 125, f"{title}: exit status; {run.stderr}")
    t.check(instance in run.stderr, f"{title}: the message names it: {run.stderr!r}")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        instance = f"t{os.getpid()}"
        go = lab.new_file("go")
        flow = " ".join(lab.flowgen("tcp", "10.79.21.1", 7, 1, 1, 20000))
        first = lab.start([lab.test_filter(deny_all=1)],
                          ["sh", "-c", f"touch {go}.not; while [ ! -e {go} ]; do sleep 0.02; done;"
                                       f" {flow}"],
                          fail="closed", options=["--instance", instance])
        wait_for(lambda: os.path.exists(go + ".not"), 15, "the first instance")
        daemon = first.wait_pid("sluiced")
        expect_refused(t, lab, instance, "from the same cgroup")
        with another_cgroup():
            expect_refused(t, lab, instance, "from another cgroup")
        t.check(machine.is_alive(daemon), "the first one's sluiced runs on")
        with lab.capture() as wire:
            open(go, "w").close()
            t.equal(first.wait(20), 0, f"the first one: exit status; {first.stderr}")
        t.equal(first.json()["errors"], {"ECONNREFUSED": 1}, "the first one still denies")
        t.equal(wire.count(lambda p: p.dst == "10.79.21.1"), 0, "packets on the uplink")


if __name__ == "__main__":
    main(scenario)
