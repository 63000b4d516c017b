#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""176 — what other owners translate and mark: what a proxy has leaves by it alone, what it declines is not touched

   [ client ns: python ]──uplink──│capture│──[ server ns: echo ]
        ├ sluice run --proxy test-proxy, under both fail classes
        └ another owner's table      nat before ours, nat behind ours while ours is away and nobody puts it back, marks
"""
import itertools
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from lib import machine, main
from lib.foreign import TRANSLATING, table
from lib.wait import wait_for

HOSTS, FAILS = ("10.79.67.1", "fd00:79::67:1"), ("closed", "open")
ports = itertools.count(20001)  # below those that the kernel takes

PRELUDE = """
import errno, os, socket, sys, time
HOST, SPORT, CONNECTED, GO = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
FAMILY = socket.AF_INET6 if ":" in HOST else socket.AF_INET
s = socket.socket(FAMILY, socket.SOCK_DGRAM)
s.bind(("", SPORT))
s.settimeout(0.5)
if CONNECTED:
    s.connect((HOST, 7))
def echo():
    try:
        s.send(b"x") if CONNECTED else s.sendto(b"x", (HOST, 7))
        told = "echo" if s.recv(9) else "other"
    except TimeoutError:
        told = "nothing"
    except OSError as error:
        told = errno.errorcode[error.errno]
    print(told, flush=True)
"""
FOUR = "for _ in range(4):\n    echo()\n"
AROUND = "echo()\nwhile not os.path.exists(GO):\n    time.sleep(0.02)\n" + FOUR
NAT = table(TRANSLATING)
MARK = table("""
	chain output {
		type filter hook output priority 0;
		oifname "uplink" meta mark set 0x05000000
	}
""")


def in_client(lab, *words, **settings):
    with lab.client:
        return subprocess.run(words, check=True, text=True, **settings)


@contextmanager
def foreign(lab, text):
    in_client(lab, "nft", "-f", "-", input=text)
    try:
        yield
    finally:
        in_client(lab, "nft", "delete", "table", "inet", "foreign")


def start(lab, body, host, fail, is_connected, options="", filters=()):
    sport, go = next(ports), lab.new_file("go")
    words = [sys.executable, lab.new_file("py", PRELUDE + body), host, str(sport), str(is_connected), go]
    run = lab.start(list(filters), words, options=["--proxy", lab.path("tests/providers/test-proxy") + options], fail=fail)
    return run, sport, go


def left(wire, sport):
    return [packet[:6] for packet in wire.packets(lambda packet: packet.sport == sport)]


def cases():
    for fail, host, is_connected in itertools.product(FAILS, HOSTS, (0, 1)):
        yield fail, host, is_connected, f"fails {fail}, {host}, {'connected' if is_connected else 'not connected'}"


def check_before(t, lab):
    """who translates before us wins, and what is a proxy's goes nowhere: not the first datagram, and no later one"""
    for fail, host, is_connected, title in cases():
        with foreign(lab, NAT % -130), lab.capture() as wire:
            run, sport, _ = start(lab, FOUR, host, fail, is_connected)
            run.wait(20)
        t.check(set(run.stdout.split()) <= {"nothing", "EPERM"} and len(run.stdout.split()) == 4, f"{title}: {run.report()}")
        t.equal(left(wire, sport), [], f"nat before ours, {title}: what left")


@contextmanager
def asleep(*pids):
    """the first one first, which would replace the next"""
    try:
        for pid in pids:
            machine.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(pids):
            machine.kill(pid, signal.SIGCONT)


def check_away(t, lab):
    """our table and what conntrack knows are taken away, and nobody is there to put it back"""
    for fail, host, is_connected, title in cases():
        with foreign(lab, NAT % -100), lab.capture() as wire:
            run, sport, go = start(lab, AROUND, host, fail, is_connected)
            wait_for(lambda: run.stdout, 15, f"{title}: the first datagram: {run.report()}")
            with asleep(run.wait_pid("sluice-keeper"), run.wait_pid("sluiced")):
                in_client(lab, "nft", "delete", "table", "inet", f"sluice_r{run.pid}")
                in_client(lab, "conntrack", "-F", capture_output=True)
                open(go, "w").close()
                wait_for(lambda: len(run.stdout.split()) == 5, 15, f"{title}: all datagrams: {run.report()}")
            run.wait(20)
        t.equal(run.stdout.split()[0], "echo", f"{title}: the first datagram")
        t.equal(left(wire, sport), [], f"our rules away, {title}: what left")


TALK = """
with socket.create_connection((HOST, 7), 10) as tcp:
    tcp.sendall(b"x")
    print("echo" if tcp.recv(9) else "other", flush=True)
"""


def check_marked(t, lab):
    """another owner's mark is the one that we know a proxy's first packet by: what is declined leaves at once"""
    for fail, host, is_connected, title in cases():
        before = lab.counter("TcpExt.TCPSynRetrans")
        with foreign(lab, MARK):
            run, *_ = start(lab, FOUR + TALK, host, fail, is_connected, ":decline=7")
            run.wait(20)
        t.equal(run.stdout.split(), ["echo"] * 5, f"marked by another owner, {title}")
        t.equal(lab.counter("TcpExt.TCPSynRetrans"), before, f"marked by another owner, {title}: SYNs that were sent again")


LEAVE = "s.send(b'x') if CONNECTED else s.sendto(b'x', (HOST, 7))\ntime.sleep(0.2)\ns.close()\ntime.sleep(1)\n"


def check_gone(t, lab):
    """a filter looks at its only datagram while the socket is closed: nobody can tell any more that it is a proxy's"""
    for fail, host, is_connected, title in cases():
        with lab.capture() as wire:
            run, sport, _ = start(lab, LEAVE, host, fail, is_connected, filters=[lab.test_filter(peek_out=10, pause_ms=600)])
            flow = run.wait_flow(event="new", sport=sport)
            run.wait(20)
        t.equal((flow["verdict"], flow["via"]), ("allow", "test-proxy"), f"closed while looked at, {title}")
        t.equal(left(wire, sport), [], f"closed while looked at, {title}: what left")


def scenario(t):
    t.needs("conntrack", "nft", "tests/providers/test-proxy")
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for check in (check_before, check_away, check_gone, check_marked):
            if t.only in ("", check.__name__):
                began = time.monotonic()
                check(t, lab)
                t.note(f"{check.__name__}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main(scenario, only="")
