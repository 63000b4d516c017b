#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""135 — a packet is judged in the name of its own socket, whatever its ends are

   [ client ns: python ]──uplink──│count│──[ server ns: echo :7 ]
        └ raw sockets that make TCP by hand, two programs on one port, sockets
          that are bound anew or serve both families, UDP-Lite, a listener twice
"""
import os
import shlex
import shutil
import signal
import socket
from functools import partial

from lib import machine, main, programs
from lib.lab import CLIENT4, CLIENT6, SERVER4, SERVER6
from lib.wait import wait_for

UDPLITE = 136
DENIED = "10.79.35.1"
HELD_MAX = 40000  # more than sl_held has places
act = partial(programs.command, "ends")


def check_raw(t, lab, fails):
    """one allowed packet opens nothing for the next destination"""
    with lab.capture() as wire:
        run = lab.run([lab.test_filter(deny_address=DENIED)], act("raw", CLIENT4, "10.79.1.1", DENIED), fail=fails)
    t.equal(wire.count(lambda packet: packet.dst == DENIED), 0, f"raw, {fails}: to the denied one")
    t.equal(run.wait_flow(dst=DENIED, event="new")["verdict"], "drop", f"raw, {fails}: its record")


def datagrams(receiver):
    receiver.settimeout(0.2)
    try:
        while True:
            yield receiver.recv(100)
    except TimeoutError:
        return


def check_shared(t, lab, fails):
    """the denied program sends as much as it likes: only what is the other one's arrives

    (how many of those is not certain: the kernel tells an error to either of two such sockets)"""
    copy, folder = lab.new_file("denied-python"), lab.new_file("marks")
    shutil.copy(os.path.realpath("/usr/bin/python3"), copy)
    os.mkdir(folder)
    words = [" ".join(act("shared", 1, folder, "10.79.35.2", python=copy)),
             " ".join(act("shared", 2, folder, "10.79.35.2"))]
    with lab.server:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver:
        receiver.bind(("0.0.0.0", 5353))
        run = lab.run([lab.test_filter(deny_exe=machine.true_path(copy))],
                      ["sh", "-c", f"{words[0]} & {words[1]}; wait"], fail=fails)
        t.equal(run.popen.returncode, 0, f"shared, {fails}: {run.stderr}")
        t.equal(set(datagrams(receiver)), {b"2"}, f"shared, {fails}: whose datagrams arrived")


def check_inbound(t, lab, kind):
    family = socket.AF_INET6 if kind == "dual" else socket.AF_INET
    proto = UDPLITE if kind == "lite" else 0
    run = lab.start([lab.test_filter(deny_address=[SERVER4, SERVER6])], act("receive", kind), fail="closed")
    wait_for(lambda: run.stdout.endswith("\n"), 15, f"{kind}: its port")
    port = int(run.stdout.split()[0])
    with lab.server, socket.socket(family, socket.SOCK_DGRAM, proto) as sender:
        for _ in range(3):
            sender.sendto(b"unjudged", (CLIENT6 if kind == "dual" else CLIENT4, port))
    run.wait(15)
    t.check("got" not in run.stdout, f"inbound, {kind}: {run.stdout}")
    t.equal(run.wait_flow(direction="inbound", event="new")["verdict"], "drop", f"inbound, {kind}: its record")


def check_lite(t, lab):
    """the ports of UDP-Lite are where those of UDP are"""
    with lab.capture() as wire:
        run = lab.run([lab.test_filter(deny_port=60)], act("lite", "10.79.1.1", 60), fail="closed")
    t.equal(run.wait_flow(dst="10.79.1.1", event="new")["dport"], 60, "UDP-Lite: its port")
    t.equal(wire.count(lambda packet: packet.dst == "10.79.1.1"), 0, "UDP-Lite: on the uplink")


def check_relisten(t, lab):
    """what a governed listener has left is nobody's: a program outside is not judged by it"""
    run = lab.start([lab.test_filter(deny_local_port=8081)], act("relisten", 8081))
    wait_for(lambda: "closed" in run.stdout, 15, "the listener to be closed")
    with lab.client:
        other = socket.create_server(("0.0.0.0", 8081))
    with other:
        lab.connect_in(8081).close()
    run.wait(10)
    t.equal(run.flows(), [], "no record of the program outside")


def stopped(run):
    """Return: what lets it go on"""
    pids = run.pids("sluice-keeper") + run.pids("sluiced")  # the keeper would replace it
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return lambda: [os.kill(pid, signal.SIGCONT) for pid in reversed(pids)]


def check_forgotten(t, lab, fails):
    """its socket is closed, and the kernel has forgotten whose packet it is (LRU), when it is read or
    when its answer comes: it does not leave, as the filter denies whatever it is asked"""
    for target, when in (("10.79.35.3", "read"), ("fd00:79::35:3", "answered")):
        late = {"delay_ms": 2000} if when == "answered" else {}
        with lab.capture() as wire:
            go = lab.new_file("go")
            run = lab.start([lab.test_filter(deny_all=1, **late)],
                            act("forgotten", go, target, target, HELD_MAX), fail=fails)
            wait_for(lambda: "ready" in run.stdout, 15, "the program")
            go_on = stopped(run) if when == "read" else list
            open(go, "w").close()
            wait_for(lambda: "flooded" in run.stdout, 60, "the others to be held")
            go_on()
            if when == "answered":
                t.equal(run.wait_flow(15, dst=target, dport=7)["verdict"], "drop", "forgotten: its record")
            os.unlink(go)
            run.wait()
        left = wire.count(lambda packet: packet.dst == target and b"forgotten" in packet.payload)
        t.equal(left, 0, f"forgotten when {when}, to {target}, fails {fails}: on the uplink")


def check_successor(t, lab, fails):
    """a denied program has sent and is gone, and nobody has read it; another one sends by its port"""
    copy, go, to = lab.new_file("denied-python"), lab.new_file("go"), "10.79.35.4"
    shutil.copy(os.path.realpath("/usr/bin/python3"), copy)
    first, second = (shlex.join(act("leave", "datagram", to, 5353, text, python=python))
                     for text, python in (("first", copy), ("second", "/usr/bin/python3")))
    with lab.capture() as wire:
        run = lab.start([lab.test_filter(deny_exe=machine.true_path(copy))],
                        ["sh", "-c", f"echo ready; while [ ! -e {go} ]; do sleep 0.05; done; {first}; {second}"],
                        fail=fails)
        wait_for(lambda: "ready" in run.stdout, 15, "the program")
        go_on = stopped(run)
        open(go, "w").close()
        wait_for(lambda: run.stdout.count("left") == 2, 30, "both to have sent")
        go_on()
        run.wait()
    t.equal(wire.count(lambda packet: packet.dst == to and b"first" in packet.payload), 0,
            f"of a denied program that is gone, fails {fails}: on the uplink")


def scenario(t):
    with t.lab() as lab:
        lab.udp_echo(7)
        lab.tcp_echo(7)
        for fails in ("closed", "open"):
            check_raw(t, lab, fails)
            check_shared(t, lab, fails)
            check_forgotten(t, lab, fails)
            check_successor(t, lab, fails)
        for kind in ("bound", "loopback", "rebound", "dual", "lite"):
            check_inbound(t, lab, kind)
        check_lite(t, lab)
        check_relisten(t, lab)


if __name__ == "__main__":
    main(scenario)
