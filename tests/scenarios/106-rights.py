#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""106 — every process has exactly the rights of the table in docs/ARCHITECTURE.md

   sluice run ── sluice-keeper ─┬─ sluiced         own uid, NET_ADMIN + BPF
                                ├─ sluice-names    own uid, nothing, no network
                                ├─ test-filter     own uid, nothing, no network
                                └─ sluice-canary   own uid, nothing; governed, as programs are
"""
import os

from lib import canary, machine, main

CAPS = {"chown": 0, "dac_override": 1, "kill": 5, "setgid": 6, "setuid": 7, "setpcap": 8,
        "net_admin": 12, "sys_ptrace": 19, "sys_admin": 21, "sys_nice": 23, "perfmon": 38, "bpf": 39}
DAEMON = ("net_admin", "bpf")
KEEPER = tuple(CAPS)


def mask(*names):
    return sum(1 << CAPS[name] for name in names)


def caps_of(status, name="CapEff"):
    return int(status[name], 16)


def is_inside(cgroup, governed):
    return (cgroup + "/").startswith(governed + "/")


def check_bare(t, status, title):
    """of a process that parses foreign bytes or runs foreign code"""
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        t.equal(caps_of(status, name), 0, f"{title}: {name}")
    t.equal(status["NoNewPrivs"], "1", f"{title}: NoNewPrivs")
    t.equal(status["Seccomp"], "2", f"{title}: Seccomp")
    t.check("0" not in status["Uid"].split(), f"{title}: uids {status['Uid']}")
    t.check("0" not in status["Gid"].split(), f"{title}: gids {status['Gid']}")
    t.equal(status.get("Groups", "").split(), [], f"{title}: supplementary groups")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        probe = " ".join(lab.flowgen("tcp", "10.79.6.1", 7, 1))
        run = lab.start([lab.test_filter(probe=1)], ["sh", "-c", f"{probe}; exec sleep 1000"])
        record = run.wait_flow(within=15, dst="10.79.6.1", event="new")
        governed = record["cgroup"]

        daemon = run.wait_pid("sluiced")
        status = machine.status_of(daemon)
        for name in ("CapEff", "CapPrm"):
            t.equal(caps_of(status, name), mask(*DAEMON), f"sluiced: {name}")
        t.equal(status["NoNewPrivs"], "1", "sluiced: NoNewPrivs")
        t.equal(status["Seccomp"], "2", "sluiced: Seccomp")
        t.check("0" not in status["Uid"].split(), f"sluiced: uids {status['Uid']}")
        t.check(not is_inside(machine.cgroup_of(daemon), governed), "sluiced: outside the governed cgroup")

        keeper = run.wait_pid("sluice-keeper")
        status = machine.status_of(keeper)
        for name in ("CapEff", "CapPrm"):
            t.equal(caps_of(status, name), mask(*KEEPER), f"sluice-keeper: {name}")
        t.equal(status["Seccomp"], "2", "sluice-keeper: Seccomp")

        names, provider = run.wait_pid("sluice-names"), run.wait_pid("test-filter")
        for title, pid in (("sluice-names", names), ("provider", provider)):
            check_bare(t, machine.status_of(pid), title)
            t.check(not is_inside(machine.cgroup_of(pid), governed),
                    f"{title}: is outside the governed cgroup")
            t.check(machine.netns_of(pid) not in (lab.client.inode, machine.netns_of(os.getpid())),
                    f"{title}: has an empty network of its own")
        uids = {machine.status_of(pid)["Uid"].split()[0] for pid in (daemon, names, provider)}
        seen = {}

        def look(pid):
            seen.update(status=machine.status_of(pid), cgroup=machine.cgroup_of(pid), netns=machine.netns_of(pid))
        with canary.caught(run, look):
            pass
        check_bare(t, seen["status"], "sluice-canary")
        t.equal(seen["cgroup"], governed + "/sluice-canary", "sluice-canary: is below the programs")
        t.equal(seen["netns"], lab.client.inode, "sluice-canary: and in their network")
        uids.add(seen["status"]["Uid"].split()[0])
        t.equal(len(uids), 4, "different uids of sluiced, sluice-names, provider and sluice-canary")

        # the provider tried; its reason says with which errno it failed
        t.note("provider: " + record["reason"])
        for part in record["reason"].split():
            what, number = part.split("=")
            t.check(number != "0", f"provider: {what} must fail")
        run.kill(15)
        run.wait(15)


if __name__ == "__main__":
    main(scenario)
