#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""124 — the canary: a flow of Sluice's own is held and refused, and nobody else notices it

   [ client ns: sluice run -- sleep ]──uplink──│count│──[ server ns ]
        └ sluice-canary, in the governed cgroup: every 5 s, and at `sluice doctor`
          packets that never reach our rules: noticed
"""
import os
import subprocess

from lib import canary, machine, main
from lib.wait import wait_for

NOTICED_S = 20  # the interval, two canaries that wait for their errors, and a noisy machine
REFUSED = "refused in "


def canary_of(lab, instance):
    return lab.status(instance).get("canary", {})


def nft(lab, *words):
    with lab.client:
        return subprocess.run(["nft", *words], check=True, capture_output=True, text=True).stdout


def doctor(t, lab, instance, title):
    """Return: the checks by name; text and JSON say the same"""
    answer = lab.sluice("doctor", "--instance", instance, "--json")
    checks = {check["name"]: check for check in answer.json()["checks"]}
    t.check(answer.popen.returncode in (0, 1), f"{title}: exit status; {answer.stderr}")
    return checks, answer.popen.returncode


def check_well(t, lab, instance, title):
    checks, _ = doctor(t, lab, instance, title)
    for family in ("IPv4", "IPv6"):
        check = checks["canary " + family]
        t.equal(check["state"], "ok", f"{title}: {check}")
        t.equal(check["detail"].count(REFUSED), 2, f"{title}: TCP and UDP: {check['detail']}")
        t.note(f"{title}: {family}: {check['detail']}")
    text = lab.sluice("doctor", "--instance", instance).stdout
    t.check("canary IPv4" in text and REFUSED in text, f"{title}: the screen: {text[-400:]}")
    status = lab.status(instance)
    t.equal(status["canary"]["state"], "ok", f"{title}: status {status['canary']}")
    t.equal((status["flows_total"], status["flows_dropped"], status["flows_open"],
             status["flows_held"]), (0, 0, 0, 0), f"{title}: it is not counted")
    t.check("canary" in lab.sluice("status", "--instance", instance).stdout, f"{title}: status says it")
    for provider in status["providers"]:
        t.equal(provider["flows"], 0, f"{title}: the filter never sees it")
    t.equal(lab.sluice("flows", "--instance", instance, "--json").stdout, "", f"{title}: sluice flows")


def check_by_itself(t, lab, instance):
    """a later one than that of doctor, without being asked"""
    before = canary_of(lab, instance)["time"]  # of one second
    wait_for(lambda: canary_of(lab, instance)["time"] > before, NOTICED_S, "a canary by itself")
    t.equal(canary_of(lab, instance)["state"], "ok", "the canary by itself")


STRANGER = ("add table inet stranger; "
            "add chain inet stranger out { type filter hook output priority -300; policy drop; }")


def check_broken(t, lab, run, instance):
    """another's rules drop packets before ours see them: noticed without being asked, and by doctor"""
    n_lines = run.stderr.count("canary failed")
    nft(lab, STRANGER)
    try:
        wait_for(lambda: canary_of(lab, instance)["state"] == "failed", NOTICED_S, "a canary that fails")
        checks, status = doctor(t, lab, instance, "behind a stranger's rules")
        t.equal(status, 1, "exit status of doctor")
        for name in ("canary IPv4", "canary IPv6"):
            t.equal(checks[name]["state"], "missing", f"{checks[name]}")
            t.check(checks[name]["lost"], f"{name} says what is lost")
        for name in ("netdev egress", "tun"):  # nothing uses them yet
            t.check(checks[name]["lost"].startswith("nothing"), f"{name} speaks of what is not there: {checks[name]}")
    finally:
        nft(lab, "delete", "table", "inet", "stranger")
    wait_for(lambda: canary_of(lab, instance)["state"] == "ok", NOTICED_S, "the next canary is well")
    t.equal(run.stderr.count("canary failed") - n_lines, 1, f"said once: {run.stderr}")
    t.check("canary is well again" in run.stderr, f"and when it is well: {run.stderr}")


def governed(run):
    with open(f"/run/sluice/r{run.pid}/instance") as notes:
        return next(line.split("=", 1)[1].strip() for line in notes if line.startswith("cgroup="))


def check_frozen(t, lab, run, instance):
    """a canary that cannot run says so, and is no failure of the rules"""
    freezer = governed(run) + "/cgroup.freeze"
    with open(freezer, "w") as file:
        file.write("1")
    try:
        checks, status = doctor(t, lab, instance, "frozen")
        t.equal(checks["canary IPv4"]["state"], "warning", f"frozen: {checks['canary IPv4']}")
        t.note(f"frozen: {checks['canary IPv4']['detail']}")
    finally:
        with open(freezer, "w") as file:
            file.write("0")
    check_well(t, lab, instance, "thawed")


def check_successor(t, lab, run, instance):
    """sluiced killed while it holds the canary's packets: the next one knows whose they are"""
    held = {}

    def hold(pid):
        held["cgroup"] = machine.cgroup_of(pid)
        held["by"] = canary.hold_its_packets(lab, run, pid)
    with canary.caught(run, hold) as pid:
        first = held["by"]
        machine.kill(first)
        t.check(held["cgroup"].endswith("/sluice-canary"), "it is in a cgroup of its own")
        run.wait_pid("sluiced", other_than=first)
        wait_for(lambda: lab.n_held() == 0, 5, "the successor to answer what is held")
    wait_for(lambda: not machine.is_alive(pid), 5, "the old canary to end")
    wait_for(lambda: canary_of(lab, instance).get("state") == "ok", 10, "a canary of the successor")
    t.equal(lab.status(instance)["flows_total"], 0, "the successor: flows counted")


def with_filters(t, lab, filters, title):
    with lab.capture() as wire:
        run = lab.start(filters, ["sleep", "1000"])
        instance = f"r{run.pid}"
        wait_for(lambda: os.path.exists(f"/run/sluice/{instance}/control"), 15, "the control socket")
        wait_for(lambda: lab.status(instance).get("state") == "enforcing", 15, "the instance")
        check_well(t, lab, instance, title)
        check_by_itself(t, lab, instance)
        check_well(t, lab, instance, title)
    t.equal(wire.packets(), [], f"{title}: packets on the uplink")
    return run, instance


def end(t, lab, run, title):
    run.kill(15)
    run.wait(15)
    t.equal(run.flows(), [], f"{title}: flow records")
    lab.expect_nothing_left()


def scenario(t):
    with t.lab() as lab:
        run, instance = with_filters(t, lab, [lab.test_filter(deny_all=1)], "with a filter")
        check_frozen(t, lab, run, instance)
        with lab.capture() as wire:
            check_successor(t, lab, run, instance)
        t.equal(wire.packets(), [], "successors: packets on the uplink")
        end(t, lab, run, "with a filter")

        run, instance = with_filters(t, lab, [], "without a filter")
        check_broken(t, lab, run, instance)
        end(t, lab, run, "without a filter")


if __name__ == "__main__":
    main(scenario)
