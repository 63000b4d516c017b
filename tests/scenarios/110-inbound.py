#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""110 — flows that others begin: a governed listener's connections are judged too

   [ client ns: actor.py listens on :8080 TCP and UDP ]──uplink──[ server ns: connects, pings ]
        └ direction inbound, identity of the listener
"""
import re
import socket
import subprocess

from lib import main
from lib.lab import CLIENT4, CLIENT6, SERVER4
from lib.sockets import family_of
from lib.wait import wait_for

PORT, PEER_PORT = 8080, 5555


def start_listener(lab, filter_text):
    run = lab.start([filter_text], lab.actor("serve", PORT))
    wait_for(lambda: "listening" in run.stderr, 15, "the listener")
    return run


def ask_datagram(lab, address):
    with lab.server:
        s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    with s:
        s.settimeout(5)
        s.connect((address, PORT))
        s.send(b"datagram")
        return s.recv(100)


def check_allowed(t, lab, address):
    run = start_listener(lab, lab.test_filter())
    with lab.connect_in(PORT, address) as s:
        s.sendall(b"stream")
        t.equal(s.recv(100), b"stream", f"{address}: TCP answer")
    t.equal(ask_datagram(lab, address), b"datagram", f"{address}: UDP answer")
    t.equal(run.wait(15), 0, f"{address}: exit status")
    said = run.json()
    for proto in ("tcp", "udp"):
        record = run.wait_flow(proto=proto, direction="inbound", event="new")
        t.equal(record["pid"], said["pid"], f"{proto}: pid of the listener")
        t.equal(record["sport"], PORT, f"{proto}: local port")
        t.equal(record["src"], address, f"{proto}: local address")
        t.equal(record["interface"], "uplink", f"{proto}: interface")


def check_denied(t, lab):
    run = start_listener(lab, lab.test_filter(deny_local_port=PORT))
    try:
        lab.connect_in(PORT).close()
        t.check(False, "a denied inbound connection was accepted")
    except ConnectionRefusedError:
        pass
    t.equal(run.wait_flow(proto="tcp", direction="inbound", event="new")["verdict"], "drop",
            "verdict")
    run.kill(15)
    run.wait(15)


def check_ping(t, lab):
    """echo requests are answered by the kernel: no program's flow, never held"""
    run = start_listener(lab, lab.test_filter(deny_all=1))
    with lab.server:
        for address in (CLIENT4, CLIENT6):
            ping = subprocess.run(["ping", "-c", "1", "-W", "5", address], capture_output=True)
            t.equal(ping.returncode, 0, f"ping {address}")
    run.kill(15)
    run.wait(15)


def check_turned_round(t, lab):
    """a listener that connects to whom it has heard: that one is allowed to come in, and asked about anew"""
    with lab.server:
        back, peer = socket.socket(), socket.socket()
    for s in (back, peer):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((SERVER4, PEER_PORT))
    back.listen()
    run = lab.start([lab.test_filter(scope="flow")], lab.actor("turn_round", SERVER4, PEER_PORT))
    with back, peer:
        wait_for(lambda: "listening on" in run.stderr, 15, "the listener")
        peer.connect((CLIENT4, int(re.search(r"listening on (\d+)", run.stderr)[1])))
        t.equal(run.wait(15), 0, "exit status")
    t.equal(run.json()["told"], "0", "its own connection")
    for direction in ("inbound", "outbound"):
        t.equal(len(run.flows(direction=direction, dport=PEER_PORT, event="new")), 1, f"{direction}: judged")


def scenario(t):
    t.needs("ping")
    with t.lab() as lab:
        check_allowed(t, lab, CLIENT4)
        check_allowed(t, lab, CLIENT6)
        check_denied(t, lab)
        check_ping(t, lab)
        check_turned_round(t, lab)


if __name__ == "__main__":
    main(scenario)
