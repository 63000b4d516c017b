#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""175 — flows of UDP that a proxy has, of programs in network namespaces of their own

   [ room "one": python ]   [ room "two": python ]    [ client ns: proxy ]──uplink──[ server ns: UDP echo ]
        └──────────── sluice run --proxy test-proxy ──────────┘

The rooms have the same addresses, and no way to the server: what comes back went by the proxy.
"""
import os
import signal

from lib import main
from lib.rooms import HOST4, HOST6, Room
from lib.wait import wait_for

ECHO = 7
SERVER4, SERVER6 = "10.79.75.1", "fd00:79::75:1"
# so many bytes, so many at once: what the receive buffer of a socket takes
CASES = [(host, size, n, is_connected) for host in (SERVER4, SERVER6) for size, n in ((20, 8), (40000, 2))
         for is_connected in (1, 0)]
MANY = 300  # more than the keeper is asked for at once
PORT = 4711


def shell(*commands):
    """one after the other; those of one @command that is a list: at the same time"""
    def line(command):
        return " ".join(command) if isinstance(command[0], str) else " & ".join(map(line, command)) + " & wait"
    return ["sh", "-c", "; ".join(map(line, commands))]


def seen(room):
    """the first socket of a network namespace brings Sluice into it"""
    return room.enter(["sh", "-c", "'until nft list tables | grep -q sluice_; do "
                       f"python3 -c \"import socket; socket.socket(2, 2).close()\"; sleep 0.05; done'"])


def start(lab, commands, **settings):
    return lab.start([], shell(*commands), options=["--proxy", lab.path("tests/providers/test-proxy")], **settings)


def n_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def check_there_and_back(t, lab, room):
    acts = [room.enter(lab.actor("there_and_back", host, ECHO, n, size, is_connected))
            for host, size, n, is_connected in CASES]
    run = start(lab, [seen(room), *acts])
    t.equal(run.wait(60), 0, f"exit status {run.report()}")
    for (host, size, n, is_connected), found in zip(CASES, run.jsons()):
        found.pop("order")  # what comes while the socket is made may overtake, as any datagram
        t.equal(found, {"burst": True, "single": n, "peers": [host]},
                f"{host}, {size} bytes, {'connected' if is_connected else 'not connected'}")
    flows = [flow for flow in run.flows(event="closed", proto="udp") if flow["dport"] == ECHO]
    t.equal({flow["via"] for flow in flows}, {"test-proxy"}, "whose flows they were")
    t.equal([flow["bytes_in"] for flow in flows], [2 * n * size for _, size, n, _ in CASES], "bytes of the records")


def check_peers(t, lab, room):
    run = start(lab, [seen(room), room.enter(lab.actor("many_peers", "10.79.75", ECHO, 100))])
    run.wait(60)
    t.equal(run.json(), {"right": 100}, "one socket, 100 peers: answers from the right one")


def check_same_ends(t, lab, rooms):
    """in three namespaces at once, from the same local port to the same peer"""
    acts = [room.enter(lab.actor("from_port", PORT, SERVER4, ECHO, 200, room.name)) for room in rooms]
    run = start(lab, [seen(rooms[0]), seen(rooms[1]), [*acts, lab.actor("from_port", PORT, SERVER4, ECHO, 200, "home")]])
    run.wait(60)
    t.equal([found["right"] for found in run.jsons()], [200] * 3, "each gets the answers to what it has sent")


def check_gone(t, lab, room, server):
    """what a program has sent arrives, when it is gone before the flow is open"""
    before = server.n_received
    run = start(lab, [seen(room), room.enter(lab.actor("and_gone", SERVER4, ECHO, 3, "last")), ["sleep", "1"]])
    run.wait(60)
    t.equal(server.n_received - before, 3, f"datagrams of who is gone: {run.report()}")


def check_many(t, lab, room):
    """at once; afterwards the proxy has no descriptor of them any more"""
    run = start(lab, [seen(room), room.enter(lab.actor("at_once", SERVER4, ECHO, MANY)), ["sleep", "6"]])
    pid = run.wait_pid("test-proxy")
    before = n_descriptors(pid)
    wait_for(lambda: run.stdout.count("\n") == 1, 30, "answers")
    t.equal(run.json(), {"right": MANY}, f"{MANY} sockets at once")
    wait_for(lambda: n_descriptors(pid) <= before + 4, 5, f"descriptors of ended flows to go: {n_descriptors(pid)}")
    run.wait(60)


def check_killed(t, lab, room):
    """the proxy, and sluiced: the socket lives on, and its next datagrams go by their successors"""
    go = lab.new_file("go")
    act = lab.actor("steady_datagrams", SERVER4, ECHO, go)
    for name, commands in (("test-proxy", [seen(room), room.enter(act)]), ("sluiced", [seen(room), room.enter(act)]),
                           ("sluiced", [act])):
        run = start(lab, commands, fail="closed")
        pid = run.wait_pid(name)
        run.wait_flow(event="new", via="test-proxy")
        os.kill(pid, signal.SIGKILL)
        run.wait_pid(name, other_than=pid)
        open(go, "w").close()
        run.wait(60)
        os.unlink(go)
        t.equal(run.json(), {"comes": True}, f"{'in a room' if len(commands) > 1 else 'at home'}: behind {name}'s death answers come again")


def scenario(t):
    t.needs("tests/providers/test-proxy")
    with t.lab() as lab, Room("one") as one, Room("two") as two:
        server = lab.udp_echo(ECHO)
        for room in (one, two):
            room.guest.ip(f"route add 10.79.0.0/16 via {HOST4}")
            room.guest.ip(f"route add fd00:79::/64 via {HOST6}")
        check_there_and_back(t, lab, one)
        check_peers(t, lab, one)
        check_same_ends(t, lab, (one, two))
        check_gone(t, lab, one, server)
        check_many(t, lab, one)
        check_killed(t, lab, two)


if __name__ == "__main__":
    main(scenario)
