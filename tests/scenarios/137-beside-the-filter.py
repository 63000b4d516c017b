#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""137 — sockets of the kernel's own, shared ports, and what writes behind IP

   [ client ns: slips.py ]──uplink──│count│──[ server ns: echo :7, MPTCP :70 ]
        └ MPTCP opens a second connection by itself; two programs have one port;
          packet sockets, AF_XDP and a tun interface write where no hook looks
"""
import os
import shutil
import socket
import threading
from functools import partial

from lib import machine, main, programs

MPTCP, PEER, SECOND = 262, "10.79.1.1", "10.79.37.1"
PACKETS = ["packet_raw", "packet_dgram", "packet_bypass", "packet_ring"]
slip = partial(programs.command, "slips")


def serve_mptcp(lab, port):
    with lab.server:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen()

    def echo(connection):
        try:
            while data := connection.recv(100):
                connection.send(data)
        except OSError:
            pass

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()
    threading.Thread(target=answer, daemon=True).start()
    return listener


def check_subflows(t, lab):
    lab.server.ip(f"address add {SECOND}/32 dev lo")
    lab.server.ip(f"mptcp endpoint add {SECOND} dev lo signal")
    lab.client.ip("mptcp limits set subflow 4 add_addr_accepted 4")

    def begun(wire):
        """of connections that begin: the one before may still be ending"""
        return wire.packets(lambda packet: packet.dst == SECOND and packet.sport not in ended)

    ended = set()
    with serve_mptcp(lab, 70):
        with lab.capture() as wire:
            lab.plain(slip("subflows", PEER, 70))
        ended = {packet.sport for packet in begun(wire)}
        t.check(ended, "MPTCP opens a second connection without Sluice")
        for fails in ("closed", "open"):
            with lab.capture() as wire:
                run = lab.run([lab.test_filter(deny_address=SECOND)], slip("subflows", PEER, 70), fail=fails)
            t.equal(begun(wire), [], f"fails {fails}: packets of the second connection")
            pid = int(run.stdout.split()[1])
            first, second = run.wait_flow(dst=PEER, event="new"), run.wait_flow(dst=SECOND, event="new")
            for field in ("pid", "owner_pid", "uid", "exe", "cgroup"):
                t.equal(second[field], first[field], f"fails {fails}: {field} of the second connection")
            t.equal((first["pid"], second["verdict"]), (pid, "drop"), f"fails {fails}: whose it is, its verdict")


def check_replies(t, lab):
    """an answer is the one's that asked, whoever has the port as well by then"""
    copy = lab.new_file("denied-python")
    shutil.copy(os.path.realpath("/usr/bin/python3"), copy)
    for fails in ("closed", "open"):
        folder = lab.new_file("marks")
        os.mkdir(folder)
        words = [" ".join(slip("ask_on_shared", PEER, folder)), " ".join(slip("have_shared", folder, python=copy))]
        run = lab.run([lab.test_filter(deny_exe=machine.true_path(copy))],
                      ["sh", "-c", f"{words[1]} >/dev/null & {words[0]}; wait"], fail=fails)
        t.equal(run.stdout.split(), ["first", "second", "0"], f"fails {fails}: what was answered")


def sends(lab, name, target, **settings):
    """what the act was told, and whether anything left"""
    with lab.capture() as wire:
        program = lab.run([lab.test_filter(deny_all=1)], slip(name, target), **settings) if settings else \
            lab.plain(slip(name, target))
    return program.stdout.strip(), wire.count(lambda packet: packet.dst == target) > 0


def check_packets(t, lab):
    """governed where the kernel takes BPF at socket(2); elsewhere that is said, by `sluice doctor` too"""
    doctor = lab.sluice("doctor", "--json", within=120).json()
    probe = next(one for one in doctor["checks"] if one["name"] == "packet sockets")
    t.note(f"packet sockets: {probe['state']}: {probe['detail']}")
    for i, name in enumerate(PACKETS):
        t.equal(sends(lab, name, f"10.79.37.{10 + i}"), ("0", True), f"{name} without Sluice")
        told = sends(lab, name, f"10.79.37.{20 + i}", fail="closed")
        if probe["state"] == "ok":
            t.equal(told, ("EPERM", False), f"{name}, closed")
        t.note(f"{name}: closed {told}, open {sends(lab, name, f'10.79.37.{30 + i}', fail='open')}")
    t.equal(sends(lab, "xdp", PEER)[0], "0", "AF_XDP without Sluice")
    if probe["state"] == "ok":
        t.equal(sends(lab, "xdp", PEER, fail="closed")[0], "EPERM", "AF_XDP, closed")


def check_sctp(t, lab):
    told, has_left = sends(lab, "accepted", "10.79.37.50")
    if told == "EPROTONOSUPPORT":
        t.note("SCTP is not in this kernel")
        return
    t.check(has_left, f"an accepted SCTP socket connects without Sluice: {told}")
    t.equal(sends(lab, "accepted", "10.79.37.51", fail="closed")[1], False, "an accepted SCTP socket, closed")
    t.note(f"an accepted SCTP socket, open: {sends(lab, 'accepted', '10.79.37.52', fail='open')}")


def check_tun(t, lab):
    """not governed, and said so: see bpf/README.md"""
    lab.client.sysctl("ipv4/ip_forward", 1)
    lab.client.sysctl("ipv6/conf/all/forwarding", 1)
    for target in ("10.79.37.60", "fd00:79::37:61"):
        t.equal(sends(lab, "over_loopback", target, fail="closed")[1], False, f"over loopback, to {target}")
    t.note(f"tun without Sluice: {sends(lab, 'tun', '10.79.37.40')}")
    t.note(f"tun, closed: {sends(lab, 'tun', '10.79.37.41', fail='closed')}")


def scenario(t):
    with t.lab() as lab:
        lab.udp_echo(7)
        check_replies(t, lab)
        check_subflows(t, lab)
        check_packets(t, lab)
        check_sctp(t, lab)
        check_tun(t, lab)


if __name__ == "__main__":
    main(scenario)
