#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""129 — other owners of nftables: flush, reload, foreign tables; the rules come back, nothing leaves

   [ client ns: 10 loops of connects and datagrams ]──uplink──│count│──[ server ns: echo :7 :9 ]
        └ nft flush ruleset, our table deleted or changed, firewalld-like and
          Docker-like tables loaded and reloaded, conntrack -F
          sluiced killed right after a flush: the fail class (closed) holds
"""
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from lib import main
from lib.capture import is_syn
from lib.wait import wait_for

BROKEN_S = 15.0  # a noisy machine is not a broken Sluice; this is
TIMES = 20
PAUSE_S = 0.06
ALLOWED, DENIED = 7, 9
TRANSLATED = "10.79.5.1"  # Docker-like rules send it to 10.79.0.1
NETLINK_NETFILTER, SOL_NETLINK, ADD_MEMBERSHIP, NFNLGRP_NFTABLES = 12, 270, 1, 7
NEWTABLE, DELTABLE = 10 << 8 | 0, 10 << 8 | 2

FIREWALL = """
table inet firewalld {
	chain out {
		type filter hook output priority 10; policy drop;
		oif lo accept
		ct state established,related accept
		tcp dport { 7, 9 } accept
		udp dport { 7, 9 } accept
	}
	chain in {
		type filter hook input priority 10; policy drop;
		iif lo accept
		ct state established,related accept
		ip6 nexthdr 58 accept
	}
}
"""
DOCKER = """
table ip nat {
	chain DOCKER {
		ip daddr 10.79.5.1 dnat to 10.79.0.1
	}
	chain OUTPUT {
		type nat hook output priority -100; policy accept;
		jump DOCKER
	}
	chain POSTROUTING {
		type nat hook postrouting priority 100; policy accept;
		oif uplink masquerade
	}
}
table ip filter {
	chain FORWARD {
		type filter hook forward priority 0; policy drop;
	}
}
"""
FOREIGN = (("inet", "firewalld"), ("ip", "nat"), ("ip", "filter"))


class Gaps(threading.Thread):
    """how long the table was away, by the kernel's announcements"""

    def __init__(self, namespace, table):
        super().__init__(daemon=True)
        with namespace:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        self._socket.bind((0, 0))
        self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        self._socket.settimeout(0.1)
        self._name = table.encode() + b"\0"
        self._gone = None
        self.is_ending = False
        self.seconds = []
        self.start()

    def run(self):
        while True:
            try:
                data = self._socket.recv(1 << 20)
            except TimeoutError:
                if self.is_ending:  # and all that was announced has been read
                    break
                continue
            now = time.monotonic()
            while len(data) >= 16:
                size, kind = struct.unpack_from("=IH", data)
                self._take(kind, data[20:size], now)
                data = data[(size + 3) & ~3:]
        self._socket.close()

    def _take(self, kind, attributes, now):
        if attributes[4:4 + len(self._name)] != self._name:
            return
        if kind == DELTABLE:
            self._gone = now
        elif kind == NEWTABLE and self._gone is not None:
            self.seconds.append(now - self._gone)
            self._gone = None

    def stop(self):
        self.is_ending = True
        self.join()


class Place:
    """a governed program under load, and the hands of other owners"""

    def __init__(self, t, lab):
        self.t, self.lab = t, lab
        self.end = lab.new_file("end")
        targets = [f"{kind},{address},{port}" for port in (ALLOWED, DENIED)
                   for kind, address in (("tcp", "10.79.0.1"), ("tcp", "fd00:79::1"),
                                         ("udp", "10.79.0.1"), ("udp", "fd00:79::1"),
                                         ("sendto", "10.79.0.1"))]
        self.run = lab.start([lab.test_filter(deny_port=DENIED)],
                             lab.actor("steady", self.end, *targets), fail="closed")
        self.instance = f"r{self.run.pid}"
        self.table = "sluice_" + self.instance
        wait_for(lambda: "steady" in self.run.stderr, 15, "the load")

    def nft(self, *words, text=None):
        with self.lab.client:
            done = subprocess.run(["nft", *(words or ("-f", "-"))], input=text, check=True,
                                  capture_output=True, text=True)
        return done.stdout

    def status(self):
        return self.lab.status(self.instance)

    def is_whole(self):
        try:
            return self.nft("list", "table", "inet", self.table) == self.wanted
        except subprocess.CalledProcessError:
            return False

    def again_and_again(self, title, *words, text=None):
        """TIMES times: the other owner acts, and our table is as before"""
        for i in range(TIMES):
            self.nft(*words, text=text)
            wait_for(self.is_whole, BROKEN_S, f"{title}, number {i}: our table as it was")
            time.sleep(PAUSE_S)

    def foreign(self):
        return [self.nft("-a", "list", "table", *table) for table in FOREIGN]


def figures(t, title, seconds):
    ms = sorted(second * 1000 for second in seconds)
    if ms:
        t.note(f"{title}: away {len(ms)} times, median {ms[len(ms) // 2]:.1f} ms, longest {ms[-1]:.1f} ms")


def take_away(t, place):
    place.wanted = place.nft("list", "table", "inet", place.table)
    gaps = Gaps(place.lab.client, place.table)
    place.again_and_again("flush ruleset", "flush", "ruleset")
    place.again_and_again("our table deleted", "delete", "table", "inet", place.table)
    gaps.stop()
    t.check(len(gaps.seconds) >= 2 * TIMES, f"only {len(gaps.seconds)} gaps were seen")
    figures(t, "taken away", gaps.seconds)
    for title, words in (
            ("rules flushed", f"flush table inet {place.table}"),
            ("a chain's rules flushed", f"flush chain inet {place.table} out"),
            ("a rule of theirs", f"insert rule inet {place.table} out accept"),
            ("a chain of theirs", f"add chain inet {place.table} foe {{ type filter hook output "
                                  "priority -200; policy drop; }"),
            ("another policy", f"chain inet {place.table} in {{ policy drop; }}"),
            ("put to sleep", f"table inet {place.table} {{ flags dormant; }}")):
        place.nft(*words.split())
        wait_for(place.is_whole, BROKEN_S, f"{title}: our table as it was")
        time.sleep(2 * PAUSE_S)
    wait_for(lambda: place.status()["rules_restored"] >= 2 * TIMES + 6, 5, "all to be counted")
    t.note(f"rules_restored {place.status()['rules_restored']}")
    t.check("it is back" in place.run.stderr, f"it is said: {place.run.stderr[-500:]}")


def reload_theirs(t, place):
    """their rules are what they loaded, byte for byte, whatever becomes of ours"""
    for text in (FIREWALL, DOCKER):
        place.nft(text=text)
    loaded = place.foreign()
    for _ in range(TIMES // 4):
        place.nft("delete", "table", "inet", place.table)
        wait_for(place.is_whole, BROKEN_S, "our table beside theirs")
        time.sleep(PAUSE_S)
    t.equal(place.foreign(), loaded, "the rules of others, with their handles")
    reload = "".join(f"delete table {family} {name}\n" for family, name in FOREIGN) + FIREWALL + DOCKER
    before = place.status()["rules_restored"]
    place.again_and_again("their reload", text=reload)
    t.equal(place.status()["rules_restored"], before, "ours was left alone, so we did")
    for _ in range(TIMES // 4):  # as a firewall's reload that begins with a flush
        place.nft(text="flush ruleset\n" + FIREWALL + DOCKER)
        wait_for(place.is_whole, BROKEN_S, "our table after a whole reload")
        time.sleep(PAUSE_S)


def behind_dnat(t, place):
    """what another owner sends elsewhere behind our chains is judged by what the program asked for"""
    lab, end = place.lab, place.lab.new_file("end")
    targets = [f"{kind},{TRANSLATED},{port}" for port in (ALLOWED, DENIED)
               for kind in ("tcp", "udp", "sendto")]
    run = lab.start([lab.test_filter(deny_port=DENIED)], lab.actor("steady", end, *targets), fail="closed")
    wait_for(lambda: "steady" in run.stderr, 15, "the load behind DNAT")
    time.sleep(1)
    open(end, "w").close()
    t.equal(run.wait(20), 0, "behind DNAT: exit status")
    told = run.json()["told"]
    for target, errors in told.items():
        wanted = "0" if target.endswith(f",{ALLOWED}") else None
        if wanted:
            t.equal(set(errors), {wanted}, f"behind DNAT: {target}")
        else:
            t.check("0" not in errors, f"behind DNAT: {target} got {errors}")


def kill_after_flush(t, place):
    """closed holds without rules and without sluiced; the successor puts them back"""
    keeper, first = place.run.wait_pid("sluice-keeper"), place.run.wait_pid("sluiced")
    os.kill(keeper, signal.SIGSTOP)  # it would replace what is silent for a second
    os.kill(first, signal.SIGSTOP)  # so that it cannot be faster than the kill
    place.nft("flush", "ruleset")
    t.check(not place.is_whole(), "the rules are gone")
    time.sleep(0.05)  # what was on its way
    with place.lab.capture() as wire:
        time.sleep(0.3)
    # sent again, since conntrack -F made a firewall drop the answer: judged long before
    judged = {record["sport"] for record in place.run.flows(event="new", verdict="allow")[-500:]}
    sent = wire.packets(lambda packet: is_syn(packet) or packet.proto == "udp")
    t.note(f"{len(sent)} packets that begin a flow, without rules and without sluiced; all are of judged ones")
    new = [packet for packet in sent if packet.sport not in judged]
    t.equal(new, [], "packets that nobody has judged, without rules and without sluiced")
    os.kill(first, signal.SIGKILL)
    os.kill(keeper, signal.SIGCONT)
    place.run.wait_pid("sluiced", other_than=first)
    wait_for(place.is_whole, 15, "the successor puts the rules back")
    wait_for(lambda: place.status()["rules_restored"] >= 1, 5, "the successor to count it")


def judge(t, result):
    """no denied flow worked, and nothing that is allowed was refused as if denied"""
    told = result["told"]
    n = sum(sum(errors.values()) for errors in told.values())
    t.note(f"{n} flows in {result['took_s']:.1f} s, {n / result['took_s']:.0f} a second: {told}")
    for target, errors in told.items():
        if target.endswith(f",{DENIED}"):
            t.check("0" not in errors, f"denied, but it worked: {target} {errors}")
        else:
            wrong = set(errors) - {"0", "EPERM", "ETIMEDOUT"}
            t.check(not wrong, f"allowed, but refused: {target} {errors}")
            t.check(errors.get("0", 0) > 0, f"allowed, and never worked: {target} {errors}")


def hold_and_change(t, lab):
    """what is held stays held when our hooks do; a flush drops it, TCP sends it again"""
    for title, words, is_kept in (("a rule added to our table", "add rule inet {} out accept", True),
                                  ("our table deleted", "delete table inet {}", False)):
        run = lab.start([lab.test_filter(delay_ms=1600)],
                        lab.flowgen("tcp", "10.79.4.1", ALLOWED, 50, 50, 30000, "parallel"), fail="closed")
        wait_for(lambda: lab.n_held() >= 50, 10, "50 packets held")
        before = lab.counter("Tcp.RetransSegs")
        with lab.client:
            subprocess.run(["nft", *words.format(f"sluice_r{run.pid}").split()], check=True)
        t.equal(run.wait(40), 0, f"{title}: exit status")
        t.equal(run.json()["errors"], {"0": 50}, f"{title}: all connected")
        again = lab.counter("Tcp.RetransSegs") - before
        t.note(f"{title} while 50 are held: slowest {run.json()['max_us'] // 1000} ms, "
               f"{again} segments sent again")
        if is_kept:
            t.equal(again, 0, f"{title}: segments sent again")


def scenario(t):
    t.needs("tests/providers/flowgen")
    with t.lab() as lab:
        for port in (ALLOWED, DENIED):
            lab.tcp_echo(port)
            lab.udp_echo(port)
        with lab.capture() as wire:
            place = Place(t, lab)
            take_away(t, place)
            reload_theirs(t, place)
            behind_dnat(t, place)
            if shutil.which("conntrack"):
                for _ in range(TIMES):
                    with lab.client:
                        subprocess.run(["conntrack", "-F"], capture_output=True, check=True)
                    time.sleep(PAUSE_S)
            kill_after_flush(t, place)
            time.sleep(1.5)  # allowed flows work again
            open(place.end, "w").close()
            t.equal(place.run.wait(30), 0, "exit status")
        judge(t, place.run.json())
        left = wire.packets(lambda packet: packet.dport == DENIED)
        t.equal(len(left), 0, f"denied packets on the uplink, such as {left[:3]}")
        with lab.client:
            subprocess.run(["nft", "flush", "ruleset"], check=True)
        hold_and_change(t, lab)


if __name__ == "__main__":
    main(scenario)
