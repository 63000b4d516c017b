#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""152 — lists: exchanged while flows are judged by them, shared, and counted

   [ client ns: actor visits five names, 200 connects a second ]──uplink──[ server ns: DNS, echo :7 ]
        └ blocklist:list=FILE ◀── rename(2) of another version, ten times; then versions that are
          no good; kill -9 of the filter and of sluiced in between
"""
import json
import os
import re
import signal
import stat

from lib import main
from lib.wait import Timeout, wait_for

HOSTS = ("always.example", "old.example", "free.example", "new.example", "ok.always.example")
ADDRESSES = {host: f"10.79.52.{i}" for i, host in enumerate(HOSTS, 1)}
ALWAYS, OLD, FREE, NEW, EXCEPTION = range(5)
FILLER = "".join(f"||n{i}.filler.example^\n" for i in range(20000))
COMMON = "||always.example^\n@@||ok.always.example^\n||x.example^$script\nold.example##.ad\n"
VERSIONS = (FILLER + COMMON + "old.example\n", COMMON + "0.0.0.0 new.example\n" + FILLER)
UPDATES = 10


def replace(path, text):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


class Visit:
    """an instance whose command visits the hosts until it is told to stop"""

    def __init__(self, lab, filters, **settings):
        self._lab, self._until = lab, lab.new_file("until")
        self.run = lab.start(filters, lab.actor("rounds", ",".join(HOSTS), 7, 200, self._until), **settings)
        self.instance = f"r{self.run.pid}"
        self.run.wait_flow(30, event="new", host=HOSTS[FREE])

    def lists(self):
        answer = self._lab.sluice("lists", "--instance", self.instance, "--json")
        return answer.json()["lists"] if answer.popen.returncode == 0 else []

    def wait_update(self, what, **wanted):
        def look():
            lists = self.lists()
            return lists and all(lists[0][key] == value for key, value in wanted.items())
        wait_for(look, 30, what)

    def end(self):
        with open(self._until, "w"):
            pass
        self.run.wait()
        return self.run.json()["rounds"]


def check_rounds(t, rounds, n_changes):
    """a flow sees the old list or the new one"""
    t.check(len(rounds) >= 100, f"{len(rounds)} rounds of connects")
    for host, wanted in ((ALWAYS, {"ECONNREFUSED"}), (FREE, {"0"}), (EXCEPTION, {"0"})):
        t.equal({result[host] for result in rounds}, wanted, f"{HOSTS[host]}, all the time")
    t.check({result[OLD] for result in rounds} | {result[NEW] for result in rounds} <= {"0", "ECONNREFUSED"},
            "old and new: allowed or refused")
    mixed = sum(result[OLD] == result[NEW] for result in rounds)
    t.check(mixed <= n_changes, f"{mixed} rounds met both versions, {n_changes} changes fell into one")
    seen = {result[OLD] for result in rounds}
    t.equal(seen, {"0", "ECONNREFUSED"}, "both versions were in force")


def check_hits(t, visit, path):
    """what `sluice lists` counts is what the flow records show"""
    counted = visit.lists()[0]
    shown = [record for record in visit.run.flows(event="new")
             if (record["reason"] or "").startswith(f"list {path} ")]
    t.check(shown and {"allow", "drop"} == {record["verdict"] for record in shown}, "denials and exceptions are hits")
    return counted["hits"], len(shown)


def check_updates(t, lab, path):
    replace(path, VERSIONS[0])
    with lab.capture() as wire:
        visit = Visit(lab, ["blocklist:list=" + path])
        for i in range(1, UPDATES + 1):
            replace(path, VERSIONS[i % 2])
            line = 3 if i % 2 else len(VERSIONS[0].splitlines())
            host = (HOSTS[OLD], HOSTS[NEW])[i % 2]
            before = visit.run.n_records()
            wait_for(lambda: visit.run.flows(event="new", host=host, verdict="drop")[-1:] and
                     visit.run.flows(event="new", host=host)[-1]["verdict"] == "drop" and
                     visit.run.n_records() > before + 20, 30, f"version {i}, by line {line}")
        first = check_hits(t, visit, path)
        second = check_hits(t, visit, path)
        t.check(first[0] <= second[1] and second[0] >= first[1],
                f"hits {first[0]}, then {second[0]}; flow records {first[1]}, then {second[1]}")
        entry = visit.lists()[0]
        rounds = visit.end()
    check_rounds(t, rounds, UPDATES)
    t.equal(wire.count(lambda p: p.dst == ADDRESSES[HOSTS[ALWAYS]]), 0, "packets to a listed host")
    t.equal((entry["filter"], entry["name"], entry["exceptions"]), ("blocklist", path, False), "which list")
    t.equal((entry["names"], entry["allowed"], entry["unusable"]), (20002, 1, 2), "what is in it")
    t.equal(entry["kinds"], {"modifier": 1, "cosmetic": 1}, "lines of no use, by kind")
    t.note(f"{len(rounds)} rounds, {entry['hits']} hits, {UPDATES} updates")


def kill(visit, name):
    pid = visit.run.wait_pid(name)
    os.kill(pid, signal.SIGKILL)
    visit.run.wait_pid(name, 20, other_than=pid)


def check_deaths(t, lab, path):
    """a filter that is started again judges by the newest version"""
    replace(path, VERSIONS[0])
    visit = Visit(lab, ["blocklist:list=" + path])
    replace(path, VERSIONS[1])
    visit.wait_update("the second version", names=20002, unusable=2)
    wait_for(lambda: visit.run.flows(event="new", host=HOSTS[NEW], verdict="drop"), 30, "the second version")
    kill(visit, "blocklist")
    n = len(visit.run.flows(event="new", host=HOSTS[NEW], verdict="drop"))
    wait_for(lambda: len(visit.run.flows(event="new", host=HOSTS[NEW], verdict="drop")) > n, 30, "judged again")
    t.equal({result[ALWAYS] for result in visit.end()}, {"ECONNREFUSED"}, "a listed host, whoever dies")

    visit = Visit(lab, ["blocklist:list=" + path])
    replace(path, "one.example\n")
    visit.wait_update("a version with one name", names=1)
    kill(visit, "sluiced")  # and with it the names that programs asked for
    visit.wait_update("the same version, told to the next sluiced", names=1)
    visit.end()


def check_change_while_dead(t, lab, path):
    """a flow that goes on is judged again by a version that came while its filter was dead"""
    replace(path, "other.example\n")
    run = lab.start(["blocklist:list=" + path], lab.actor("recv", HOSTS[FREE], 7))
    wait_for(lambda: "connected" in run.stderr, 15, "the connection")
    keeper, current = run.wait_pid("sluice-keeper"), f"/run/sluice/r{run.pid}/list-0.0/current"
    before = os.stat(current).st_ino
    os.kill(keeper, signal.SIGSTOP)  # which would start it again
    os.kill(run.wait_pid("blocklist"), signal.SIGKILL)
    replace(path, HOSTS[FREE] + "\n")
    wait_for(lambda: os.stat(current).st_ino != before, 30, "the new version")
    os.kill(keeper, signal.SIGCONT)
    t.equal(run.wait(30), 0, f"exit status; {run.stderr}")
    t.equal(run.json()["told"], "ECONNABORTED", "what the program is told of its connection")


def check_refused_versions(t, lab, path):
    replace(path, VERSIONS[1])
    visit = Visit(lab, ["blocklist:list=" + path])
    before = visit.lists()[0]["loaded"]
    replace(path, "# nothing\n")
    wait_for(lambda: "no name in it" in visit.run.stderr, 30, "a version without a name is told")
    os.unlink(path)
    os.mkdir(path)
    wait_for(lambda: f"{path}: the version before stays in force" in visit.run.stderr, 30, "a folder in its place is told")
    os.rmdir(path)
    n = visit.run.n_records()
    wait_for(lambda: visit.run.n_records() > n + 300, 60, "flows without the file")
    t.equal(visit.lists()[0]["loaded"], before, "the version in force")
    rounds = visit.end()
    t.equal({result[NEW] for result in rounds}, {"ECONNREFUSED"}, "the version before stays")
    t.check("the one before stays in force" in visit.run.stderr, visit.run.stderr)


def check_sharing(t, lab, folder):
    """two instances, one file; and a private list stays private"""
    path = os.path.join(folder, "list")
    replace(path, VERSIONS[0])
    os.chmod(path, 0o600)
    runs = []
    for _ in range(2):  # one after the other: at once, each would compile it
        runs.append(lab.start(["blocklist:list=" + path, "blocklist:list=" + path], ["sleep", "100"]))
        instance = f"r{runs[-1].pid}"
        wait_for(lambda: len(json.loads(lab.sluice("lists", "--instance", instance, "--json").stdout
                                        or '{"lists": []}')["lists"]) == 2, 30, "its lists")
    found = [f"/run/sluice/r{run.pid}/list-{i}.0/current" for run in runs for i in range(2)]
    t.equal(len({os.stat(name).st_ino for name in found}), 1, "one file for all")
    t.equal(stat.S_IMODE(os.stat(found[0]).st_mode), 0o444, "nobody writes it")
    for uid in (65534, 64320):
        answer = lab.plain(["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "cat", found[0]])
        t.check(answer.popen.returncode != 0 and not answer.stdout, f"user {uid} cannot read it")
    for run in runs:
        run.end()


def rights_of(pid):
    """what the kernel says of a process; None: it has ended"""
    try:
        with open(f"/proc/{pid}/status") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        return {key: fields[key].split()[0] for key in ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")} | \
            {"fds": sorted(os.listdir(f"/proc/{pid}/fd"))}
    except (OSError, KeyError):
        return None


def check_rights(t, lab, path):
    """who reads the text holds the text, and the place for the result"""
    replace(path, "one.example\n")
    run = lab.start(["blocklist:list=" + path], ["sleep", "1000"])
    run.wait_pid("blocklist")
    seen = []
    for i in range(20):  # until one is met at work
        replace(path, "".join(f"||n{j}.v{i}.example^\n" for j in range(200000)))
        try:
            pid = run.wait_pid("blocklist-compile", 5)
        except Timeout:  # it was done between two looks
            continue
        wait_for(lambda: (seen.append(rights_of(pid)) or not seen[-1] or
                          seen[-1]["Seccomp"] == "2" and seen[-1]["Uid"] != "0"), 30, "its end")
        if seen[-1]:
            break
    run.end()
    rights = seen and seen[-1] or {}
    t.check(rights.get("Uid") not in ("0", "64320", "64330", None), f"a user id of its own: {rights}")
    t.equal((rights["CapEff"], rights["CapBnd"]), ("0" * 16, "0" * 16), "capabilities")
    t.equal((rights["NoNewPrivs"], rights["Seccomp"]), ("1", "2"), "confined")
    t.check(set(rights["fds"]) <= {"0", "1", "2", "100"}, f"descriptors {rights['fds']}")


def check_allow(t, lab):
    """an option of its own for exceptions; a file that cannot be a list is refused at the start"""
    filters = ["blocklist:list=" + lab.new_file("l", "example\n") + ",allow=" + lab.new_file("a", "@@||free.example^\nother.example\n")]
    visit = Visit(lab, filters)
    wait_for(lambda: visit.run.n_records() > 20, 30, "flows")
    t.equal([entry["exceptions"] for entry in visit.lists()], [False, True], "which are exceptions")
    text = lab.sluice("lists", "--instance", visit.instance).stdout
    t.check("BLOCKED" in text and "HITS" in text and " ago" in text, text)
    t.check(re.search(r" 0 +2 +[\d,]+ +0 ", text), f"two exceptions, however they are written: {text}")
    rounds = visit.end()
    t.equal({(result[ALWAYS], result[FREE]) for result in rounds}, {("ECONNREFUSED", "0")}, "exceptions first")
    run = lab.run(["blocklist:list=" + lab.new_file("e", "<p>two words\n")], ["true"])
    t.equal(run.popen.returncode, 125, "a list without a name")
    t.check("no name in it, 1 unusable line" in run.stderr, run.stderr)
    run = lab.run(["blocklist:list=/dev/null"], ["true"])
    t.equal(run.popen.returncode, 125, "not a regular file")


def scenario(t):
    t.needs("providers/blocklist", "providers/blocklist-compile")
    with t.lab() as lab:
        zone = lab.dns()
        for host, address in ADDRESSES.items():
            zone.add(host, "A", address)
        lab.tcp_echo(7)
        folder = lab.new_file("private")
        os.mkdir(folder, 0o700)
        path = os.path.join(folder, "ads")
        check_updates(t, lab, path)
        check_refused_versions(t, lab, path)
        check_deaths(t, lab, path)
        check_change_while_dead(t, lab, path)
        check_sharing(t, lab, folder)
        check_rights(t, lab, path)
        check_allow(t, lab)


if __name__ == "__main__":
    main(scenario)
