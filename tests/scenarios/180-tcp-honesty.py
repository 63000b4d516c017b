#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""180 — a program cannot tell a connection that a proxy has from a direct one: what calls give, events, bytes, ends

   [ client ns: python ]──uplink──[ server ns: the other sides of lib/honest ]
        └ directly; sluice run --proxy relay, hello-proxy, relay and hello-proxy

   180-tcp-honesty.py BUILD [--way relay,hello,both | all] [--case end_then_reset]
"""
import socket
import subprocess
import threading
import time

from lib import honest, main
from lib.lab import CLIENT4, SERVER4

HOST4, HOST6 = "10.79.80.1", "fd00:79::80:1"
BLACK4, BLACK6 = "10.79.81.1", "fd00:79::81:1"
PORT, ECHO, DOOR, LATE, CLOSED = 3000, 7, 2901, 2902, 2903
WAYS = {"relay": ["relay"], "hello": ["hello"], "both": ["relay", "hello"]}
OPENS_S = 1.2
RESETS, RESETS_AT_ONCE, RESETS_LATE, RESETS_ROUNDS = 400, 20, 8, 3
RESET_TOO_EARLY = "connect ECONNRESET"
# address,port to connect to, and an address to be bound to before
ODD = [f"0.0.0.0,{CLOSED}", f"{CLIENT4},{CLOSED}", f"127.0.0.1,{CLOSED}", "255.255.255.255,80", "10.77.0.255,80", "224.0.0.1,80",
       "240.0.0.1,80", "ff02::1,80", f"::,{CLOSED}", f"::1,{CLOSED}", f"::ffff:{HOST4},{ECHO}", f"::ffff:{HOST4},{CLOSED}",
       f"{HOST4},0", f"{HOST4},{ECHO},127.0.0.1", f"{HOST4},{ECHO},{CLIENT4}", f"{HOST4},{ECHO},10.77.0.9",
       f"{SERVER4},{CLOSED},10.77.0.9"]


def _echo_one(s):
    with s:
        s.sendall(s.recv(9))


class Others:
    """the servers: a listener for each case, and what they said"""

    def __init__(self, lab):
        self._lab, self.said, self._threads = lab, {}, []
        self.ports = {name: PORT + i for i, name in enumerate(honest.CASES)}
        for name, port in self.ports.items():
            self._listen(port, self._serve, name)

    def _listen_only(self, port, backlog=4096):
        with self._lab.server:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)

    def _listen(self, port, serve, *words):
        threading.Thread(target=self._run, args=(self._listen_only(port), serve, *words), daemon=True).start()

    def _run(self, listener, serve, *words):
        while True:
            try:
                s = listener.accept()[0]
            except OSError:
                return
            self._threads.append(threading.Thread(target=serve, args=(s, *words), daemon=True))
            self._threads[-1].start()

    def _serve(self, s, name):
        with s:
            honest.play(name, "server", s, lambda *what: self.said.setdefault(name, []).extend(what))

    def resets(self, port):
        """each connection, as it is taken"""
        self._listen(port, honest.abort)

    def _overflows(self):
        names, values = [line.split() for line in self._lab.server.read_proc("netstat").splitlines()[:2]]
        return int(values[names.index("ListenOverflows")])

    def _open_later(self, listener, before):
        while self._overflows() == before:
            time.sleep(0.05)
        time.sleep(OPENS_S)
        self._run(listener, _echo_one)

    def full_line(self, port):
        """a listener whose line is full until OPENS_S after the first SYN that it does not answer. Return: it, and
        who fills it"""
        listener = self._listen_only(port, 0)
        with self._lab.server:
            first = socket.create_connection(("::1", port))
        threading.Thread(target=self._open_later, args=(listener, self._overflows()), daemon=True).start()
        return listener, first

    def take_said(self):
        for thread in self._threads:
            thread.join(honest.PATIENCE_S)
        said, self.said, self._threads = self.said, {}, []
        return said


def proxies(lab, way):
    paths = {"relay": "relay", "hello": lab.path("examples/hello-proxy")}
    return [word for name in WAYS[way] for word in ("--proxy", paths[name])]


def act(lab, way, *words):
    """what an act says, directly or by a way. What conntrack knows for 10 s of who was reset by the peer is led to the
    listeners of the instance before (0021)"""
    with lab.client:
        subprocess.run(["conntrack", "-F"], check=True, capture_output=True)
    command = lab.actor(*words)
    program = lab.run([], command, options=proxies(lab, way), within=120) if way else lab.plain(command, within=120)
    return program.json()


def check_ends(t, lab, others):
    names = [t.case] if t.case else list(honest.CASES)
    words = [f"{name}:{others.ports[name]}" for name in names]
    found = {}
    for way in (None, *t.ways):
        for host in (HOST4, HOST6) if t.way == "all" else (HOST6,):
            program = act(lab, way, "honest", host, *words)
            server = others.take_said()
            for name in names:
                found[way, host, name] = (whole(program[name], server.get(name)), program[name], server.get(name))
    wrong = {}
    for (way, host, name), said in found.items():
        if said[0] != found[None, host, name][0]:
            wrong.setdefault(name, [found[None, host, name][1:]]).append((way, host, said[1:]))
    for name, (wanted, *differs) in wrong.items():
        t.note(f"{name}: directly {wanted}")
        for one in differs:
            t.note(f"    {one}")
    t.equal(sorted(wrong), [], "cases that a proxy makes different")


def whole(program, server):
    """what is as long as the buffers between is only to arrive"""
    sides = [[what for what in said or [] if not isinstance(what, dict)] for said in (program, server)]
    parts = [[what for what in said or [] if isinstance(what, dict)] for said in (program, server)]
    return sides, parts[0] == parts[1]


def _list(said):
    return list(said.items()) if isinstance(said, dict) else said


def compare(t, lab, *words):
    wanted = _list(act(lab, None, *words))
    for way in t.ways:
        found = _list(act(lab, way, *words))
        t.equal([pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1]], [],
                f"{words} by {way}: found, directly")


def check_calls(t, lab):
    for host, black in ((HOST4, BLACK4), (HOST6, BLACK6)):
        compare(t, lab, "again", host, ECHO, CLOSED, black)
        compare(t, lab, "patience_of_the_kernel", black, 80)
        compare(t, lab, "same_port_again", host, ECHO, 21000, 5)
        compare(t, lab, "same_ports", ECHO, 22000, 20, *(f"{host[:-1]}{i}" for i in range(1, 5)))
    compare(t, lab, "odd_places", *ODD)


def reset_at_once(t, lab, way, host):
    """Return: what first_words found. A machine that does not run the program for 30 ms has it again, but not thrice"""
    for _ in range(RESETS_ROUNDS):
        found = act(lab, way, "first_words", host, LATE, RESETS, RESETS_AT_ONCE)
        t.note(f"{host}, {way or 'directly'}: {found}")
        if found.get(RESET_TOO_EARLY, 0) <= RESETS_LATE:
            break
    return found


def check_first_words(t, lab):
    """who is reset at once was connected all the same. Which connect(2) may tell of already, where the program runs
    again too late, and then rarely: on its way by two proxies it has the least time"""
    for host in (HOST4, HOST6):
        for way in (None, *dict.fromkeys((*t.ways, "both"))):
            found = reset_at_once(t, lab, way, host)
            late = found.pop(RESET_TOO_EARLY, 0)
            t.equal((set(found), late > RESETS_LATE), ({"[0, 'ECONNRESET']"}, False), f"{host} by {way}: reset at once, {late}")


def check_full_line(t, lab, others):
    """connect(2) waits for as long as the other side lets its SYN wait"""
    found = {}
    for host in (HOST4, HOST6):
        for way in (None, *t.ways):
            listener, first = others.full_line(DOOR)
            found[way] = act(lab, way, "slow_door", host, DOOR)
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            first.close()
        t.equal(found, dict.fromkeys(found, found[None]), f"{host}: a listener whose line is full")
        t.equal(found[None][-1], "echo", f"{host}: directly")


def prepare(lab):
    lab.tcp_echo(ECHO)
    lab.client.ip("address add 10.77.0.9/24 dev uplink")
    lab.server.ip("neighbour add 10.77.0.9 lladdr 02:00:00:00:00:01 dev wire nud permanent")
    lab.server.sysctl("ipv4/ip_forward", 1)
    lab.server.sysctl("ipv6/conf/all/forwarding", 1)
    for black in (BLACK4 + "/32", BLACK6 + "/128"):
        lab.server.ip(f"route add blackhole {black} table local")


def scenario(t):
    t.needs("conntrack", "examples/hello-proxy")
    t.ways = list(WAYS) if t.way == "all" else t.way.split(",")
    with t.lab() as lab:
        prepare(lab)
        others = Others(lab)
        others.resets(LATE)
        if not t.case:
            check_full_line(t, lab, others)
            check_first_words(t, lab)
            check_calls(t, lab)
        check_ends(t, lab, others)


if __name__ == "__main__":
    main(scenario, way="relay", case="")
