#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""141 — what works in the instance's own network works in the others it governs

   [ client ns: sluice run … ]── COMMAND in room one ── 10.90.0.1 ─── 10.90.0.2 DNS, echo :7
        └ names from answers; inbound to listeners; rules that are flushed come back;
          answers that are remembered, there alone, and for the file that asked
"""
import json
import os
import shutil
import socket
import sys

from lib import machine, main
from lib.dns import Zone
from lib.rooms import GUEST4, GUEST6, HOST4, Room
from lib.wait import wait_for

PLAIN, LISTED = "plain.example", "listed.example"
OPEN_PORT, SHUT_PORT = 9000, 9001

WAIT = """
def governed():
    while True:
        try:
            socket.create_connection((HOST, 7), 10).close()
            return
        except PermissionError:
            time.sleep(0.002)
"""

NAMES = """import json, socket, sys, time
HOST, *names = sys.argv[1:]
""" + WAIT + """
governed()
said = {}
for name in names:
    try:
        socket.create_connection((name, 7), 10).close()
        said[name] = "0"
    except OSError as error:
        said[name] = type(error).__name__
print(json.dumps(said))
"""

LISTEN = """import socket, sys, time
HOST, ready, *ports = sys.argv[1:]
""" + WAIT + """
governed()
keep = []
for port in map(int, ports):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("", port))
    s.listen(5)
    u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    u.bind(("", port))
    keep += [s, u]
open(ready, "w").close()
time.sleep(1000)
"""


def script(lab, room, text, *words):
    return room.enter([sys.executable, lab.new_file("py", text), HOST4, *words])


def check_names(t, lab, room):
    resolver = lab.new_file("resolv.conf", f"nameserver {HOST4}\noptions timeout:2 attempts:2\n")
    command = [lab.path("tests/providers/with-resolver"), resolver,
               *script(lab, room, NAMES, PLAIN, LISTED)]
    run = lab.run([lab.test_filter(deny_host=LISTED)], command, fail="closed")
    t.equal(run.json(), {PLAIN: "0", LISTED: "ConnectionRefusedError"}, f"names: {run.stderr}")
    for name, verdict in ((PLAIN, "allow"), (LISTED, "drop")):
        record = run.wait_flow(host=name, event="new", proto="tcp")
        t.equal((record["verdict"], record["netns"]), (verdict, room.guest.inode), f"{name}: its record")


def connect_in(room, address, port):
    with room.host:
        try:
            socket.create_connection((address, port), 10).close()
        except OSError as error:
            return type(error).__name__
    return "0"


def check_inbound(t, lab, room):
    ready = lab.new_file("ready")
    run = lab.start([lab.test_filter(deny_local_port=SHUT_PORT)],
                    script(lab, room, LISTEN, ready, OPEN_PORT, SHUT_PORT), fail="closed")
    wait_for(lambda: os.path.exists(ready), 20, "listeners")
    for address in GUEST4, GUEST6:
        t.equal(connect_in(room, address, OPEN_PORT), "0", f"inbound, {address}: allowed")
        t.equal(connect_in(room, address, SHUT_PORT), "ConnectionRefusedError", f"inbound, {address}: denied")
    record = run.wait_flow(direction="inbound", sport=SHUT_PORT, event="new")
    t.equal((record["netns"], record["verdict"]), (room.guest.inode, "drop"), "the record of an inbound flow")
    check_explained(t, lab, run, room)
    check_flushed(t, run, room)
    run.kill(15)
    run.wait(15)


def check_explained(t, lab, run, room):
    """of a program there: routes and interface, and what is remembered, are those of its network"""
    pid = next(iter(machine.processes_in(room.guest.inode)))
    explain = lab.plain([lab.path("sluice"), "explain", "--instance", f"r{run.pid}", "--pid", pid,
                         "--to", f"{HOST4}:7", "--json"])
    why = explain.json()
    t.equal((why["verdict"], why["flow"]["netns"], why["flow"]["interface"]),
            ("allow", room.guest.inode, "door"), f"explained; {explain.stderr}")


def check_flushed(t, run, room):
    """another program of the room takes the rules away"""
    wanted = room.nft("list", "ruleset")
    t.check("sluice_" in wanted, "the rules are there")
    for _ in range(3):
        room.nft("flush", "ruleset")
        wait_for(lambda: room.nft("list", "ruleset") == wanted, 10, "the rules to come back as they were")
    t.equal(connect_in(room, GUEST4, SHUT_PORT), "ConnectionRefusedError", "denied as before")
    t.equal(connect_in(room, GUEST4, OPEN_PORT), "0", "allowed as before")
    t.check(run.popen.poll() is None, "the program goes on")


def check_remembered(t, lab, one, two):
    """the same program and address elsewhere, or another file in its place, is asked anew"""
    program = lab.new_file("flowgen")
    shutil.copy(lab.path("tests/providers/flowgen"), program)
    seen = lab.seen_path(program)
    flow = [program, "tcp", HOST4, "7", "2"]
    governed = {room: script(lab, room, NAMES) for room in (one, two)}
    steps = [*governed.values(), one.enter(flow), two.enter(flow), one.enter(flow),
             ["sh", "-c", f"'cat {program} > {program}.2; cat {program}.2 > {program}'"], one.enter(flow)]
    run = lab.run([lab.test_filter(scope="address", count=1)],
                  ["sh", "-c", "; ".join(" ".join(step) for step in steps)])
    t.equal([json.loads(line)["errors"] for line in run.stdout.splitlines() if "errors" in line],
            [{"0": 2}] * 4, f"allowed; {run.stderr}")
    flows = wait_for(lambda: (f := run.flows(event="new", exe=seen)) and len(f) >= 8 and f, 5, "eight records")
    asked = [record["reason"] for record in sorted(flows, key=lambda record: record["id"])]
    for i in range(0, 8, 2):
        t.equal(asked[i], asked[i + 1], f"the second flow is remembered: {asked}")
    t.check(asked[2] != asked[0], f"the same program in another network is asked about: {asked}")
    t.equal(asked[4], asked[0], f"and in the first one it is remembered still: {asked}")
    t.check(asked[6] not in asked[:6], f"a file that was written anew is another program: {asked}")


def scenario(t):
    t.needs("nsenter", "nft")
    with t.lab() as lab, Room("one") as one, Room("two") as two:
        zone = Zone()
        for name, address in ((PLAIN, "10.90.0.3"), (LISTED, "10.90.0.4")):
            zone.add(name, "A", address)
            one.host.ip(f"address add {address}/24 dev wire")
        one.dns(zone)
        for room in (one, two):
            room.serve(7)
        check_names(t, lab, one)
        check_inbound(t, lab, one)
        check_remembered(t, lab, one, two)


if __name__ == "__main__":
    main(scenario)
