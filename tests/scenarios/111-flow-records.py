#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""111 — flow records are complete, and their byte counts are the application's

   [ client ns: curl downloads, uploads; UDP, ping ]──uplink──[ server ns: HTTP :80, echo :7 ]
        └ sluice run --flows FILE
"""
import re

from lib import machine, main

FIELDS = ("time event id pid owner_pid uid exe command unit container cgroup proto direction src "
          "sport dst dport host host_source interface interface_kind provider verdict reason "
          "bytes_in bytes_out decision_us").split()
SIZE = 3_000_000
SIZES = "%{size_request} %{size_upload} %{size_header} %{size_download}\n"


def check_shape(t, record):
    t.check(set(FIELDS) <= set(record), f"fields missing: {set(FIELDS) - set(record)}")
    t.check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", record["time"]),
            f"time {record['time']!r}")
    for field in ("id", "pid", "uid", "sport", "dport", "decision_us"):
        t.check(isinstance(record[field], int), f"{field} is a number: {record[field]!r}")
    t.check(record["decision_us"] >= 0, f"decision_us {record['decision_us']}")


def check_curl(t, lab, title, words):
    """curl's own count of its bytes is the oracle"""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", SIZES, *words]
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
    t.check(new["command"].startswith("curl -sS"), f"{title}: command {new['command']!r}")
    t.equal((new["interface"], new["direction"], new["dst"]), ("uplink", "outbound", "10.79.11.1"),
            f"{title}: where it goes")
    t.equal(closed["bytes_out"], request + upload, f"{title}: bytes_out")
    t.equal(closed["bytes_in"], header + download, f"{title}: bytes_in")
    lookup = run.wait_flow(event="closed", proto="udp", dport=53)
    t.check(lookup["bytes_out"] > 12 and lookup["bytes_in"] > lookup["bytes_out"],
            f"{title}: the DNS lookup, {lookup['bytes_out']} out and {lookup['bytes_in']} in")


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


def scenario(t):
    t.needs("curl", "ping")
    with t.lab() as lab:
        lab.dns().add("www.example", "A", "10.79.11.1")
        lab.http()
        lab.udp_echo(7)
        body = lab.new_file("body", "x" * SIZE)
        check_curl(t, lab, "download", [f"http://www.example/bytes/{SIZE}"])
        check_curl(t, lab, "upload", ["--data-binary", "@" + body, "-H", "Expect:", "http://www.example/"])
        check_datagrams(t, lab)


if __name__ == "__main__":
    main(scenario)
