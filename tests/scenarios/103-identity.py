#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""103 — each flow names the process that made it

   [ client ns: actor.py forks, threads, passes, execs, moves ]──uplink──[ server ns: echo :7 ]
        └ each case has a destination of its own; its flow record is compared
          with what the program says about itself
"""
import shutil
import sys

from lib import machine, main

CONTAINER = "c0ffee" * 10 + "beef"


def record_of(t, run, address):
    t.equal(run.popen.returncode, 0, f"{run.words[-3:]}: exit status; {run.stderr}")
    return run.wait_flow(dst=address, event="new")


def check_processes(t, lab, permissive):
    """forked, threads, SCM_RIGHTS, exec: pid, owner_pid, exe"""
    python = machine.true_path(sys.executable)
    for number, act in enumerate(("connect", "forked", "thread", "passed", "exec"), 1):
        address = f"10.79.3.{number}"
        run = lab.run([permissive], lab.actor(act, address, 7))
        record, said = record_of(t, run, address), run.json()
        t.equal(record["pid"], said["pid"], f"{act}: pid")
        t.equal(record["owner_pid"], said.get("owner_pid", said["pid"]), f"{act}: owner_pid")
        t.equal(record["exe"], python, f"{act}: exe")
        t.equal(record["uid"], 0, f"{act}: uid")


def check_gone(t, lab, permissive):
    """one datagram, and the process is gone long before the verdict"""
    copy = lab.new_file("short-lived-copy")
    shutil.copy(lab.path("tests/providers/flowgen"), copy)
    slow = lab.test_filter(delay_ms=300)
    run = lab.start([slow], ["sh", "-c", f"{copy} udp-once 10.79.3.20 7 1; exec sleep 1000"])
    record = run.wait_flow(within=20, dst="10.79.3.20", event="new")
    t.equal(record["exe"], machine.true_path(copy), "gone process: exe")
    t.equal(record["pid"], run.json()["pid"], "gone process: pid")
    t.check(record["command"] and "udp-once" in record["command"],
            f"gone process: command line {record['command']!r}")
    run.end()


FROM_MEMORY = """import os, sys
fd = os.memfd_create("one")
os.write(fd, open(sys.argv[1], "rb").read())
os.execve(fd, sys.argv[1:], os.environ)"""


def check_memory(t, lab, permissive):
    """a program that is in no folder has the path that /proc says"""
    run = lab.run([permissive], [sys.executable, "-c", FROM_MEMORY, *lab.flowgen("tcp", "10.79.3.21", 7, 1)])
    t.equal(record_of(t, run, "10.79.3.21")["exe"], "/memfd:one", "in memory: exe")


def check_users(t, lab, permissive):
    cases = [("setpriv", ["setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups"])]
    if shutil.which("runuser"):
        cases.append(("runuser", ["runuser", "-u", "nobody", "--"]))
    wanted = {"setpriv": 1234, "runuser": 65534}
    for number, (name, words) in enumerate(cases, 30):
        address = f"10.79.3.{number}"
        run = lab.run([permissive], [*words, *lab.flowgen("tcp", address, 7, 1)])
        record = record_of(t, run, address)
        t.equal(record["uid"], wanted[name], f"{name}: uid")
        t.equal(record["pid"], run.json()["pid"], f"{name}: pid")


def check_cgroups(t, lab, permissive):
    """unit and container come from the cgroup's name"""
    cases = [("system.slice/foo.service", "unit", "foo.service"),
             ("system.slice/docker-%s.scope" % CONTAINER, "container", CONTAINER),
             ("user.slice/user-1000.slice/user@1000.service/app.slice/app-x-1.scope", "unit",
              "app-x-1.scope")]
    for number, (path, field, value) in enumerate(cases, 40):
        address = f"10.79.3.{number}"
        run = lab.run([permissive], lab.actor("moved", path, address, 7))
        record = record_of(t, run, address)
        t.equal(record[field], value, f"{path}: {field}")
        t.check(record["cgroup"].endswith("/" + path), f"{path}: cgroup {record['cgroup']}")


def scenario(t):
    t.needs("tests/providers/flowgen")
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        permissive = lab.test_filter()
        check_processes(t, lab, permissive)
        check_gone(t, lab, permissive)
        check_memory(t, lab, permissive)
        check_users(t, lab, permissive)
        check_cgroups(t, lab, permissive)


if __name__ == "__main__":
    main(scenario)
