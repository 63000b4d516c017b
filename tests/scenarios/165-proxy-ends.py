#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""165 — how each side of a flow that a proxy has ends, and what becomes of it when the proxy dies

   [ client ns: python, curl ]──uplink──[ server ns: HTTP, echo ]
        └ sluice run --proxy test-proxy:ends=9     half, full, reset, duplicated, killed

   165-proxy-ends.py BUILD --clients 10000 --limit 2000
"""
import collections
import re
import subprocess
import time

from lib import machine, main
from lib.orders import Ordered
from lib.wait import wait_for

HOST4, HOST6 = "10.79.65.1", "fd00:79::65:1"
DOWNLOAD = 10_000_000
FIN_WAIT_2 = "05"
SPORT, PEERS = 20165, [f"{net}{i}" for i in range(1, 21) for net in ("10.79.66.", "fd00:79::66:")]


def start(lab, command, *options, **settings):
    name = lab.path("tests/providers/test-proxy") + (":" + ",".join(options) if options else "")
    return lab.start([], command, options=["--proxy", name], **settings)


def kinds(run):
    """what the proxy was told, by the program's port"""
    told = collections.defaultdict(list)
    for sport, kind in re.findall(r" (\d+):(half|full|reset)", run.stderr):
        told[sport].append(kind)
    return told


def check_kinds(t, lab):
    for host in (HOST4, HOST6):
        run = start(lab, lab.actor("ends", host, 9, t.clients), "ends=9")
        run.wait(60 + t.clients // 20)
        ended, told = run.json(), kinds(run)
        wrong = {sport: (ways, told[sport]) for sport, ways in ended.items() if sorted(ways) != sorted(told[sport])}
        t.equal(wrong, {}, f"{host}: ends that the proxy was told otherwise")
        t.equal(sum(map(len, ended.values())), t.clients, f"{host}: connections")


def check_half(t, lab):
    """a half close is one: the whole answer comes behind it"""
    for host in (HOST4, HOST6):
        run = start(lab, lab.actor("half_download", host, 80, DOWNLOAD))
        run.wait(60)
        t.check(int(run.stdout) > DOWNLOAD, f"{host}: bytes behind a half close: {run.report()}")


def in_state(namespace, state):
    return sum(line.split()[3] == state for name in ("tcp", "tcp6") for line in namespace.read_proc(name).splitlines()[1:])


def check_nothing_stays(t, lab):
    """full closes end upstream as well, also when the other side never says a word"""
    run = start(lab, ["sh", "-c", f"{' '.join(lab.actor('leave', HOST4, 7, 100))}; sleep 7"])
    run.wait(60)
    t.equal(in_state(lab.client, FIN_WAIT_2), 0, "sockets of the proxy in FIN_WAIT_2 after 7 s")


def check_same_port(t, lab):
    """of a connection that the other side has ended nothing is left where the next one from this port, to anybody, comes"""
    program = Ordered(lab, [], options=["--proxy", lab.path("tests/providers/test-proxy")])
    told, again = [], lab.counter("TcpExt.TCPSynRetrans")
    try:
        for peer in PEERS:
            told.append(program.ask("read", peer, 9, SPORT)["error"])
            with lab.client:  # else it gives the next one another port
                subprocess.run(["conntrack", "-F"], check=True, capture_output=True)
    finally:
        program.end()
    t.equal(collections.Counter(told), {"0": len(PEERS)}, "connections from one port, one after the other")
    t.equal(lab.counter("TcpExt.TCPSynRetrans") - again, 0, "SYNs that met what was left of the one before, and were sent again")


def check_port_of_a_reset(t, lab):
    """conntrack remembers for 10 s that another program was reset, whom nobody governs. The next one from its port is
    the proxy's all the same: its first SYN is taken for one of the connection before, and its second is not"""
    server = lab.resets(13)
    program, other = Ordered(lab, [], options=["--proxy", lab.path("tests/providers/test-proxy")]), Ordered(lab)
    try:
        t.equal(program.ask("tcp", HOST4, 7)["error"], "0", "conntrack works from now on")
        again = lab.counter("TcpExt.TCPSynRetrans")
        for peer in (HOST4, HOST6):
            server.n_resets = 1
            t.equal(other.ask("read", peer, 13, SPORT + 1)["error"], "ECONNRESET", f"another program, {peer}")
            t.equal(program.ask("read", peer, 13, SPORT + 1)["error"], "0", f"the next one from its port, {peer}")
        t.note(f"{lab.counter('TcpExt.TCPSynRetrans') - again} SYNs of 2 sent again")
    finally:
        other.end()
        program.end()


def check_killed(t, lab):
    """a proxy that dies: open flows are reset, new ones are served by the next"""
    script = lab.actor("until_end", HOST4, 7)
    run = start(lab, ["sh", "-c", f"{' '.join(script)}; {' '.join(lab.actor('connects', HOST4 + ',7'))}; sleep 3; "
                      f"{' '.join(lab.actor('connects', HOST4 + ',7'))}"], fail="closed")
    pid = run.wait_pid("test-proxy")
    run.wait_flow(event="new", via="test-proxy")
    time.sleep(0.2)
    began = time.monotonic()
    with open(f"/proc/{pid}/comm") as comm:
        t.equal(comm.read().strip(), "test-proxy", "whom we kill")
    machine.kill(pid)
    wait_for(lambda: run.stdout.count("\n") >= 1, 10, "the open connection to end")
    t.note(f"the open connection ended {time.monotonic() - began:.3f} s after the proxy")
    run.wait(60)
    results = run.jsons()
    t.equal(results[0], {"end": "ECONNRESET"}, "an open connection of a proxy that dies")
    for ends, what in ((results[1], "at once"), (results[2], "later")):
        t.equal({end["error"] for end in ends}, {"0"}, f"connections {what}, after its death")


def scenario(t):
    t.needs("conntrack", "curl", "tests/providers/test-proxy")
    with t.lab() as lab:
        lab.http()
        lab.tcp_echo(7)
        check_kinds(t, lab)
        check_half(t, lab)
        check_nothing_stays(t, lab)
        lab.acceptor(9)
        check_same_port(t, lab)
        check_port_of_a_reset(t, lab)
        check_killed(t, lab)


if __name__ == "__main__":
    main(scenario, clients=300)
