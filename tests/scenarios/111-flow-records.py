#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""111 — flow records are complete, and their byte counts are the application's

   [ client ns: curl downloads, uploads; UDP, ping ]──uplink──[ server ns: HTTP :80, echo :7 ]
        └ sluice run --flows FILE
"""
import json
import os
import re
import signal
import sys

from lib import machine, main
from lib.wait import wait_for

FIELDS = ("time event id pid owner_pid uid exe command unit container cgroup proto direction src "
          "sport dst dport host host_source interface interface_kind provider verdict reason "
          "bytes_in bytes_out decision_us").split()
SIZE = 3_000_000
SIZES = "%{size_request} %{size_upload} %{size_header} %{size_download}\n"

N_BURST = 20
BURST = """import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", file=sys.stderr, flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
for i in range(%d):
    s.sendto(b"x" * 100, ("10.79.11.4", 9))
while os.path.exists(sys.argv[1]):
    time.sleep(0.01)
time.sleep(0.2)
""" % N_BURST


def check_shape(t, record):
    t.check(set(FIELDS) <= set(record), f"fields missing: {set(FIELDS) - set(record)}")
    t.check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", record["time"]),
            f"time {record['time']!r}")
    for field in ("id", "pid", "uid", "sport", "dport", "decision_us"):
        t.check(isinstance(record[field], int), f"{field} is a number: {record[field]!r}")
    t.check(record["decision_us"] >= 0, f"decision_us {record['decision_us']}")


def check_curl(t, lab, title, words):
    """curl's own count of its bytes is the oracle"""
    command = ["curl", "-q", "-sS", "-o", "/dev/null", "-w", SIZES, *words]
    run = lab.run([lab.test_filter()], command)
    t.equal(run.popen.returncode, 0, f"{title}: exit status; {run.stderr}")
    request, upload, header, download = map(int, run.stdout.split())
    new = run.wait_flow(event="new", proto="tcp", dport=80)
    closed = run.wait_flow(event="closed", id=new["id"])
    for record in (new, closed):
        check_shape(t, record)
    t.equal(new["verdict"], "allow", f"{title}: verdict")
    t.equal((new["host"], new["host_source"]), ("www.example", "dns"), f"{title}: host")
    t.equal(new["exe"], machine.true_path("/usr/bin/curl"), f"{title}: exe")
    t.check(new["command"].startswith("curl -q -sS"), f"{title}: command {new['command']!r}")
    t.equal((new["interface"], new["direction"], new["dst"]), ("uplink", "outbound", "10.79.11.1"),
            f"{title}: where it goes")
    t.equal(closed["bytes_out"], request + upload, f"{title}: bytes_out")
    t.equal(closed["bytes_in"], header + download, f"{title}: bytes_in")
    lookup = run.wait_flow(event="closed", proto="udp", dport=53)
    t.check(lookup["bytes_out"] > 12 and lookup["bytes_in"] > lookup["bytes_out"],
            f"{title}: the DNS lookup, {lookup['bytes_out']} out and {lookup['bytes_in']} in")


def check_burst(t, lab):
    """datagrams that were queued before the verdict and are read after it: one flow"""
    go = lab.new_file("go")
    run = lab.start([], [sys.executable, "-c", BURST, go])
    wait_for(lambda: "ready" in run.stderr, 15, "the instance")
    daemon = run.wait_pid("sluiced")
    os.kill(daemon, signal.SIGSTOP)
    open(go, "w").close()
    wait_for(lambda: lab.n_held() >= N_BURST, 15, f"{N_BURST} packets held")
    machine.kill(daemon, signal.SIGCONT)  # it has a successor if this took a second
    os.unlink(go)
    t.equal(run.wait(), 0, "burst: exit status")
    closed = run.wait_flow(event="closed", dst="10.79.11.4")
    t.equal([record["id"] for record in run.flows(event="new", dst="10.79.11.4")], [closed["id"]],
            "burst: flows")
    t.equal(closed["bytes_out"], N_BURST * 100, "burst: bytes_out")


def check_datagrams(t, lab):
    run = lab.run([lab.test_filter()], lab.flowgen("udp", "10.79.11.2", 7, 1))
    new = run.wait_flow(event="new", proto="udp", dport=7)
    check_shape(t, new)
    closed = run.wait_flow(event="closed", id=new["id"])
    t.equal((closed["bytes_out"], closed["bytes_in"]), (1, 1), "udp: bytes out and in")
    run = lab.run([lab.test_filter()], ["ping", "-c", "1", "-W", "5", "10.79.11.3"])
    t.equal(run.popen.returncode, 0, "ping: exit status")
    new = run.wait_flow(event="new", dst="10.79.11.3")
    check_shape(t, new)
    t.equal(new["proto"], "icmp", "ping: protocol")


def check_cut(t, lab):
    """what sluiced was writing when it was killed is no record, and costs none; somebody else's text stays"""
    path, go = lab.new_file("flows", "no line feed"), lab.new_file("go")
    connect = " ".join(lab.flowgen("tcp", "10.79.11.1", 7, 1))
    run = lab.start([], ["sh", "-c", f"{connect}; while [ ! -e {go} ]; do sleep 0.05; done; {connect}"],
                    options=["--flows", path], has_records=False)

    def lines():
        with open(path) as file:
            return file.read().split("\n")
    wait_for(lambda: len(lines()) > 2, 15, "a record")
    first = run.wait_pid("sluiced")
    os.kill(first, signal.SIGSTOP)
    with open(path, "a") as file:
        file.write('{"time":"2026-11-22T')
    os.kill(first, signal.SIGKILL)
    run.wait_pid("sluiced", other_than=first)
    open(go, "w").close()
    t.equal(run.wait(), 0, "killed: exit status")
    text, *records, rest = lines()
    t.equal((text, rest), ("no line feed", ""), "killed: what is no record")
    t.equal(sum(json.loads(record)["event"] == "new" for record in records), 2, "killed: records of flows")


def scenario(t):
    t.needs("curl", "ping")
    with t.lab() as lab:
        lab.dns().add("www.example", "A", "10.79.11.1")
        lab.http()
        lab.udp_echo(7)
        lab.tcp_echo(7)
        body = lab.new_file("body", "x" * SIZE)
        check_curl(t, lab, "download", [f"http://www.example/bytes/{SIZE}"])
        check_curl(t, lab, "upload", ["--data-binary", "@" + body, "-H", "Expect:", "http://www.example/"])
        check_datagrams(t, lab)
        check_burst(t, lab)
        check_cut(t, lab)


if __name__ == "__main__":
    main(scenario)
