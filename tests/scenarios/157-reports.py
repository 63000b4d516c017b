#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""157 — a filter watches flows: what was decided, how much they have carried, their end

   [ client ns: talks, then only stays ]──uplink──[ server ns: echo :7 tcp udp, HTTP :80 ]
        └ watcher asks for reports at each rate, of three flows, of 20,000, and reads slowly
          last statistics = report of the end = flow record = what the program has counted
"""
import re

from lib import main
from lib.lab import CLIENT4, CLIENT6
from lib.still import Still
from lib.wait import wait_for

TO4, TO6 = "10.79.57.1", "fd00:79::57:1"
TRIGGER = "10.79.57.8"
INTERVALS_US = {2: 5_000_000, 3: 1_000_000, 4: 500_000}
LATE_S = 2.5  # all statistics together, on a machine that is busy or stands still
SIZE = 300_000
MANY, MANY_SLOW = 20_000, 2000
NEW_MS = 50  # 95 of 100 new flows
NAP_MS = 700  # it is taken for hung after two seconds


def reports(program, kind=r"\w+"):
    """(event, id, verdict, looked at, in, out, age) each"""
    pattern = rf"report ({kind}) (\d+) verdict (\d) looked (\d) in (\d+) out (\d+) age (\d+)"
    return [(one[0], *map(int, one[1:])) for one in re.findall(pattern, program.stderr)]


def sums(program):
    """the last one that it said"""
    words = re.findall(r"sum ((?:\w+ \d+ ?)+)", program.stderr)
    if not words:
        return {}
    words = words[-1].split()
    return dict(zip(words[::2], map(int, words[1::2])))


def watcher(lab, **options):
    return lab.path("tests/providers/watcher") + ":" + ",".join(
        f"{key.replace('_', '-')}={value}" for key, value in options.items())


class Stays:
    """a run that goes on when its command has ended, until what filters say of that is here"""

    def __init__(self, lab, filters, act):
        self._done = lab.new_file("done")
        self.run = lab.start(filters, ["sh", "-c", " ".join(act) + f"; while [ ! -e {self._done} ]; do sleep 0.05; done"])

    def wait_reports(self, n, kind, within=30):
        wait_for(lambda: len(reports(self.run, kind)) >= n, within, f"{n} reports: {kind}")

    def end(self):
        """Return: the run, which has ended"""
        with open(self._done, "w"):
            pass
        self.run.wait(30)
        return self.run


def check_flow(t, title, run, flow, rate, counted):
    """@flow: its last record"""
    told = [one for one in reports(run) if one[1] == flow["id"]]
    t.equal([one[0] for one in told if one[0] != "statistics"], ["new", "closed"], f"{title}: events")
    t.equal((told[0][0], told[-1][0]), ("new", "closed"), f"{title}: order")
    ages = [0] + [one[6] for one in told if one[0] == "statistics"]
    gaps = [later - age for age, later in zip(ages, ages[1:])]
    t.check(len(gaps) >= 2, f"{title}: statistics: {told}")
    t.check(min(gaps) >= INTERVALS_US[rate], f"{title}: more often than asked: {gaps}")
    t.note(f"{title}: longest interval {max(gaps) // 1000} ms")
    sent, got = [one[5] for one in told[1:]], [one[4] for one in told[1:]]
    t.check(sent == sorted(sent) and got == sorted(got), f"{title}: counts grow: {told}")
    t.equal(told[-2][4:6], told[-1][4:6], f"{title}: the last statistics are the counts of its end")
    t.equal((told[-1][4], told[-1][5]), (flow["bytes_in"], flow["bytes_out"]), f"{title}: flow record")
    if counted:
        t.equal((told[-1][4], told[-1][5]), (counted["in"], counted["out"]), f"{title}: what the program has counted")


def check_rates(t, lab):
    begun = []
    for rate, kind, address in ((4, "tcp", TO4), (4, "tcp", TO6), (4, "udp", TO4), (4, "udp", TO6), (4, "http", TO4),
                                (3, "tcp", TO4), (2, "udp", TO4)):
        hold_s = 2 * INTERVALS_US[rate] / 1e6 + LATE_S
        begun.append((rate, kind, address, Stays(lab, [watcher(lab, rate=rate, print=1)],
                      lab.actor("linger", kind, address, 80 if kind == "http" else 7, SIZE, hold_s))))
    for rate, kind, address, stays in begun:  # side by side: most of it is waiting
        stays.wait_reports(1, "closed")
        run = stays.end()
        title = f"rate {rate}, {kind} {address}"
        check_flow(t, title, run, run.wait_flow(event="closed", dst=address), rate, run.json())


def check_inbound(t, lab, address):
    """the accepted socket counts, not the listener"""
    stays = Stays(lab, [watcher(lab, rate=4, print=1)], lab.actor("accept", 8080))
    run = stays.run
    wait_for(lambda: "listening" in run.stderr, 15, "the listener")
    for _ in range(2):
        with lab.connect_in(8080, address) as s:
            s.sendall(b"hello")
            t.equal(s.recv(100), b"hello", f"{address}: echo")
            n = len(reports(run, "statistics"))
            wait_for(lambda: len(reports(run, "statistics")) >= n + 2, 15, "statistics of an accepted connection")
    stays.wait_reports(2, "closed")
    stays.end()
    for flow in run.flows(event="closed", direction="in"):
        check_flow(t, f"inbound {address}", run, flow, 4, {"in": 5, "out": 5})


def check_events_alone(t, lab):
    """rate 1: no statistics; of one that was looked at, what came of that; of none that nobody watches"""
    stays = Stays(lab, [watcher(lab, rate=1, print=1, peek=10)], lab.actor("linger", "tcp", TO4, 7, 1000, 1.2))
    stays.wait_reports(1, "closed")
    told = [(one[0], one[3]) for one in reports(stays.end())]
    t.equal(told, [("new", 1), ("data", 0), ("closed", 0)], "looked at: events")
    stays = Stays(lab, [watcher(lab, rate=1, print=1), lab.test_filter(deny_all=1)], lab.flowgen("tcp", TO4, 7, 1))
    stays.wait_reports(1, "new")
    t.equal([(one[0], one[2]) for one in reports(stays.end())], [("new", 1)], "denied by another filter: that is all")
    run = lab.run([watcher(lab, rate=0, print=1)], lab.actor("linger", "tcp", TO4, 7, 1000, 1.2))
    t.equal(reports(run), [], "nobody asks")


def cpu_s(pid):
    """that it has used"""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def check_many(t, lab):
    """reports of 20,000 flows every half second, while new ones are judged as before"""
    done, still = lab.new_file("done"), Still()
    run = lab.start([watcher(lab, rate=4, sum_port=7007)], lab.actor("many", "10.80", MANY, TRIGGER, 7007, done),
                    has_records=False)
    wait_for(lambda: "asked" in run.stderr, 120, "all flows")
    sluiced = run.pids("sluiced")
    before_s, before = cpu_s(sluiced[0]), sums(run).get("statistics", 0)
    wait_for(lambda: sums(run).get("statistics", 0) >= before + 4 * MANY, 90, "four rounds of statistics")
    used_s, after = cpu_s(sluiced[0]) - before_s, sums(run)
    with open(done, "w"):
        pass
    t.equal(run.wait(60), 0, "exit status")
    n = after["statistics"] - before
    t.note(f"{MANY} flows: {n} statistics cost sluiced {used_s:.2f} s with connects, {used_s / n * 1e6:.1f} us each")
    t.note(f"{MANY} flows: {after}; connects meanwhile: {run.json()}")
    t.equal(run.stderr.count("did not answer"), 0, "sluiced was not taken for hung")
    t.check(after["shortest"] >= INTERVALS_US[4], f"more often than asked: {after}")
    t.equal(after["less"], 0, "counts grow")
    still.check(t, run.json()["p95_ms"], NEW_MS, "new flows waited for reports")


def check_slow(t, lab):
    """a filter that reads too slowly loses statistics, and no end"""
    done, read = lab.new_file("done"), lab.new_file("read")
    many = " ".join(lab.actor("many", "10.80", MANY_SLOW, TRIGGER, 7007, done))
    again = " ".join(lab.flowgen("tcp", TRIGGER, 7007, 1))
    run = lab.start([watcher(lab, rate=4, sum_port=7007, nap_ms=NAP_MS)],
                    ["sh", "-c", f"{many} >&2; while [ ! -e {read} ]; do {again} >&2; sleep 0.1; done"])
    wait_for(lambda: "asked" in run.stderr, 60, "all flows")
    wait_for(lambda: sums(run).get("lost", 0) >= MANY_SLOW, 60, "reports that are lost")
    with open(done, "w"):
        pass
    wait_for(lambda: sums(run).get("closed", 0) >= MANY_SLOW, 60, "the end of each flow")
    with open(read, "w"):
        pass
    t.equal(run.wait(30), 0, "exit status")
    t.note(f"reads slowly: {sums(run)}")
    t.equal(sums(run)["less"], 0, "reads slowly: counts grow")
    t.equal(run.stderr.count("hung"), 0, "it was not taken for hung")


def scenario(t):
    with t.lab() as lab:
        for port in (7, 7007, 7008):
            lab.tcp_echo(port)
        lab.udp_echo(7)
        lab.http()
        lab.client.ip("route add 10.80.0.0/16 via 10.77.0.2 dev uplink")
        lab.server.ip("route add local 10.80.0.0/16 dev lo")
        check_rates(t, lab)
        check_inbound(t, lab, CLIENT4)
        check_inbound(t, lab, CLIENT6)
        check_events_alone(t, lab)
        check_slow(t, lab)
        check_many(t, lab)


if __name__ == "__main__":
    main(scenario)
