#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""168 — flows of UDP that a proxy has: each datagram arrives, from the right peer, and ends are told

   [ client ns: python ]──uplink──[ server ns: UDP echo ]
        └ sluice run --proxy test-proxy
"""
import os
import shlex

from lib import main
from lib.wait import wait_for

HOST4, HOST6 = "10.79.68.1", "fd00:79::68:1"
# so many bytes, so many at once: what the receive buffer of a socket takes
SIZES = [(20, 8), (1200, 8), (40000, 2)]
CASES = [(host, *size, is_connected) for host in (HOST4, HOST6) for size in SIZES for is_connected in (1, 0)]


def proxy(lab, name="test-proxy", **options):
    words = ",".join(f"{key}={value}" for key, value in options.items())
    return {"options": ["--proxy", lab.path("tests/providers/" + name) + (":" + words if words else "")]}


def check_there_and_back(t, lab):
    for host, size, n, is_connected in CASES:
        run = lab.run([], lab.actor("there_and_back", host, 7, n, size, is_connected), **proxy(lab))
        what = f"{host}, {size} bytes, {'connected' if is_connected else 'not connected'}"
        t.equal(run.json(), {"burst": True, "order": True, "single": n, "peers": [host]}, what)
        flow = run.wait_flow(event="closed", proto="udp")
        t.equal((flow["via"], flow["bytes_in"], flow["bytes_out"]), ("test-proxy", 2 * n * size, 2 * n * size),
                f"{what}: the flow's record")


def check_peers(t, lab):
    run = lab.run([], lab.actor("many_peers", "10.79.69", 7, 100), **proxy(lab))
    t.equal(run.json(), {"right": 100}, "one socket, 100 peers: answers from the right one")
    t.equal(len(run.flows(event="new", via="test-proxy")), 100, "each of them is a flow")


def check_own_end(t, lab):
    """a flow has the address and the port that its socket has, bound or not"""
    for host, bound in ((HOST4, "10.77.0.1"), (HOST6, "fd00:77::1")):
        for words in ("", f"s.bind(({bound!r}, 0)); "):
            family = "AF_INET6" if ":" in host else "AF_INET"
            run = lab.run([], ["python3", "-c", f"import socket, json; s = socket.socket(socket.{family}, socket.SOCK_DGRAM); {words}"
                               f"s.settimeout(10); s.sendto(b'x', ({host!r}, 7)); s.recv(9); print(json.dumps(s.getsockname()[1]))"],
                          **proxy(lab))
            flow = run.wait_flow(proto="udp", dport=7)
            t.equal((flow["via"], flow["src"], flow["sport"]), ("test-proxy", bound, run.json()), f"{host}, {words or 'not bound'}")


def n_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def check_ends(t, lab):
    """a socket that is closed ends its flow, and the proxy's descriptors of it"""
    run = lab.start([], lab.actor("sockets", HOST4, 7, 200, 8), **proxy(lab))
    pid = run.wait_pid("test-proxy")
    before = n_descriptors(pid)
    wait_for(lambda: len(run.flows(event="closed")) >= 200, 30, "200 flows to end")
    wait_for(lambda: n_descriptors(pid) <= before + 4, 5, f"descriptors of ended flows to go: {n_descriptors(pid)}")
    run.wait()
    t.equal(run.json(), {"right": 200}, "200 sockets, one after the other")


def check_refused(t, lab):
    run = lab.run([], lab.flowgen("udp", HOST4, 7, 1), **proxy(lab, fail=111 * 1000 + 7))
    t.equal(run.wait_flow(proto="udp")["verdict"], "drop", "a flow that the proxy could not open")
    t.check('"ECONNREFUSED"' in run.stdout or '"111"' in run.stdout or "REFUSED" in run.stdout, f"it is told: {run.report()}")


def check_looked_at(t, lab):
    run = lab.run([lab.test_filter(peek_out=10, peek_in=10)], lab.actor("there_and_back", HOST4, 7, 4, 500, 1), **proxy(lab))
    t.equal(run.json(), {"burst": True, "order": True, "single": 4, "peers": [HOST4]}, "a filter looks at it")
    for direction in ("out", "in"):
        denied = lab.run([lab.test_filter(**{f"peek_{direction}": 10}, deny_when_seen="00000000")],
                         lab.actor("there_and_back", HOST4, 7, 1, 500, 1), **proxy(lab))
        t.check(denied.popen.returncode != 0 or not denied.json()["burst"], f"denied by what goes {direction}")
        t.equal(denied.wait_flow(event="changed")["verdict"], "drop", f"its record: {direction}")


def check_ipv6_alone(t, lab):
    """a network whose loopback has lost 127.0.0.1: what comes back over IPv6 is counted, and looked at, as ever"""
    lab.client.ip("address del 127.0.0.1/8 dev lo")
    run = lab.run([], lab.actor("there_and_back", HOST6, 7, 4, 500, 1), **proxy(lab))
    flow = run.wait_flow(event="closed", proto="udp")
    t.equal((flow["via"], flow["bytes_in"], flow["bytes_out"]), ("test-proxy", 4000, 4000), "IPv6 alone: the flow's record")
    denied = lab.run([lab.test_filter(peek_in=10, deny_when_seen="00000000")],
                     lab.actor("there_and_back", HOST6, 7, 1, 500, 1), **proxy(lab))
    t.equal(denied.wait_flow(event="changed")["verdict"], "drop", "IPv6 alone: denied by what comes in")
    lab.client.ip("address add 127.0.0.1/8 dev lo")


def check_two(t, lab):
    """each of two instances in one network has its first packet, whichever of them came first. Neither ends before the
    other is through: the kernel empties all queues of a network when a table with hooks goes"""
    words = f"{shlex.join(lab.actor('told_each_time', HOST4, 7, 1))}; {shlex.join(lab.actor('connects', f'{HOST4},7'))}"
    go = lab.new_file("go")
    both = f"until [ -e {go}.0.through ] && [ -e {go}.1.through ]; do sleep 0.1; done"
    two = [lab.start([], ["sh", "-c", f"touch {go}.{i}; until [ -e {go} ]; do sleep 0.1; done; {words}; "
                          f"touch {go}.{i}.through; {both}"], **proxy(lab)) for i in range(2)]
    wait_for(lambda: all(os.path.exists(f"{go}.{i}") for i in range(2)), 30, "both to stand")
    before = lab.counter("Tcp.RetransSegs")
    open(go, "w").close()
    for run in two:
        run.wait()
        told, connects = run.jsons()
        t.equal((told["told"], [one["error"] for one in connects]), (["0"], ["0", "0"]), "UDP and TCP beside another proxy")
    t.equal(lab.counter("Tcp.RetransSegs") - before, 0, "segments sent again")


def scenario(t):
    t.needs("tests/providers/test-proxy")
    with t.lab() as lab:
        lab.udp_echo(7)
        lab.tcp_echo(7)
        check_there_and_back(t, lab)
        check_peers(t, lab)
        check_own_end(t, lab)
        check_ends(t, lab)
        check_two(t, lab)
        check_refused(t, lab)
        check_looked_at(t, lab)
        check_ipv6_alone(t, lab)


if __name__ == "__main__":
    main(scenario)
