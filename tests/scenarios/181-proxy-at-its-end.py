#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""181 — a thousand connections of a proxy die with it or with sluiced; what a proxy or the kernel runs out of is told

   [ client ns: python ]──uplink──[ server ns: echo ]
        └ sluice run --proxy …       killed with 1,000 open connections, by turns
                                     local ports that were reset, or none left, a first proxy that reads no more
"""
import itertools
import sys
import time
from collections import Counter

from lib import machine, main, plane
from lib.wait import wait_for

HOST = "10.79.81.1"
USUAL_PORTS = "32768 60999"
NAMES = ("sluiced", "sluice-keeper", "test-proxy")

MANY = """
import collections, errno, json, os, resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, 2 * resource.getrlimit(resource.RLIMIT_NOFILE)[1:])
HOST, N, ROUNDS, END = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def end_of(call):
    try:
        return "0" if call() else "end"
    except TimeoutError:
        return "nothing"
    except OSError as error:
        return errno.errorcode[error.errno]
def talk(s):
    s.sendall(b"x")
    return s.recv(1)
def opened():
    # one that begins as somebody dies may be reset, and is begun again; none is refused
    while True:
        try:
            s = socket.create_connection((HOST, 7), 20)
            talk(s)
            return s
        except ConnectionResetError:
            continue
while not os.path.exists(END + ".begin"):
    time.sleep(0.02)
for _ in range(ROUNDS):
    open_ones = [opened() for _ in range(N)]
    print("open", file=sys.stderr, flush=True)
    began = time.monotonic()
    ends = collections.Counter(end_of(lambda: s.recv(1)) for s in open_ones)
    print(json.dumps({"ends": ends, "took": time.monotonic() - began}), flush=True)
    for s in open_ones:
        s.close()
print(json.dumps({"ends": {end_of(opened): 1}}), flush=True)
print("over", file=sys.stderr, flush=True)
while not os.path.exists(END):
    time.sleep(0.05)
"""


def proxy(lab, name="test-proxy"):
    return ["--proxy", lab.path("tests/providers/" + name)]


def counts(run, names):
    return plane.entries(run) | plane.descriptors(run, *names)


def check_thousand(t, lab):
    """each is reset, with whoever it dies; the next thousand is served, and nothing is left of those"""
    log, victims, end = plane.KernelLog(), ("sluiced", "test-proxy") * t.rounds, lab.new_file("end")
    run = lab.start([], [sys.executable, lab.new_file("py", MANY), HOST, str(t.n), str(len(victims)), end],
                    options=proxy(lab), fail="closed")
    for name in NAMES:
        run.wait_pid(name)
    lab.status(f"r{run.pid}")
    for name in ("time_wait", "close"):  # 120 and 10 s else
        lab.client.sysctl(f"netfilter/nf_conntrack_tcp_timeout_{name}", 1)
    ports = plane.listeners(lab.client)
    before = counts(run, NAMES)
    open(f"{end}.begin", "w").close()
    for i, name in enumerate(victims):
        wait_for(lambda: run.stderr.count("open\n") > i, 60, f"{t.n} connections, round {i}")
        pid = run.wait_pid(name)
        machine.kill(pid)
        run.wait_pid(name, other_than=pid)
    wait_for(lambda: "over\n" in run.stderr, 60, f"all rounds: {run.report()}")
    time.sleep(5)
    after, left = counts(run, NAMES), plane.translated(lab.client, ports)
    open(end, "w").close()
    run.wait()
    told = run.jsons()
    for name, one in zip(victims, told):
        t.equal(one["ends"], {"ECONNRESET": t.n}, f"{name} dies with {t.n} open connections")
        t.note(f"{name}: all reset after {one['took']:.2f} s")
    t.equal(told[-1]["ends"], {"0": 1}, "one afterwards")
    t.note(f"before {before}, after {after}")
    for name, n in before.items():
        t.check(after[name] <= n + plane.spare(name, t.rounds), f"{name}: {n} before, {after[name]} afterwards")
    t.equal(left, [], "entries of conntrack that lead to a listener, 5 s afterwards")
    t.equal(log.lines(), [], "what the kernel says")


AGAIN = """
import errno, json, os, socket, sys, time
HOST, LOW, HIGH, NEXT, END = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
def told(call):
    try:
        return "0" if call() else "end"
    except OSError as error:
        return errno.errorcode.get(error.errno, "ETIMEDOUT")
def bound(port):
    s = socket.socket()
    s.settimeout(20)
    s.bind(("", port))
    return s
def opened(s):
    s.connect((HOST, 7))
    s.sendall(b"x")
    assert s.recv(1) == b"x"
    return s
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.02)
wait_for(END + ".begin")
open_ones = [opened(s) for s in [bound(port) for port in range(LOW, HIGH)]]
print("open", file=sys.stderr, flush=True)
print(json.dumps([told(lambda: s.recv(1)) for s in open_ones]), flush=True)
for s in open_ones:
    s.close()
print("closed", file=sys.stderr, flush=True)
wait_for(END)
print(json.dumps([told(lambda: opened(bound(port))) for port in range(NEXT, NEXT + 5)]), flush=True)
"""


def again(t, lab, victim, low, n, sport, left=USUAL_PORTS):
    """@left: ports that a proxy may get, once the listeners have theirs"""
    end, title = lab.new_file("end"), f"{victim} dies"
    run = lab.start([], [sys.executable, lab.new_file("py", AGAIN), HOST, str(low), str(low + n), str(sport), end],
                    options=proxy(lab), fail="closed")
    wait_for(lambda: plane.listeners(lab.client), 15, "listeners, which have ports of the usual range")
    lab.client.sysctl("ipv4/ip_local_port_range", left)
    open(f"{end}.begin", "w").close()
    wait_for(lambda: "open\n" in run.stderr, 20, f"{title}: {n} connections")
    pid = run.wait_pid(victim)
    machine.kill(pid)
    run.wait_pid(victim, other_than=pid)
    wait_for(lambda: "closed\n" in run.stderr, 20, f"{title}: {n} resets")
    wait_for(lambda: [one["state"] for one in lab.status(f"r{run.pid}").get("providers", ())] == ["running"], 10, "the next proxy")
    open(end, "w").close()
    run.wait(60)
    first, then = run.jsons()
    t.equal(first, ["ECONNRESET"] * n, f"{title}: what was open")
    t.equal(then, ["0"] * 5, f"{title}: what begins then, {[flow['reason'] for flow in run.flows(verdict='drop')]}")


def check_ports_again(t, lab):
    """a program's ports that were reset are the only ones that are left for a proxy: what it connects is not led to us"""
    try:
        for i, victim in enumerate(("test-proxy", "sluiced")):
            low = 30000 + 100 * i
            again(t, lab, victim, low, 10, 20001 + 100 * i, f"{low} {low + 19}")
    finally:
        lab.client.sysctl("ipv4/ip_local_port_range", USUAL_PORTS)


def check_next_instance(t, lab):
    """a program's ports that were reset: the next instance has other listeners, and the program comes to those"""
    for i in range(2):
        again(t, lab, "test-proxy", 30200, 10, 20201 + 100 * i)


CONNECT = """
import errno, socket, sys, time
for i in range(int(sys.argv[2])):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", int(sys.argv[3]) + i))  # its own port is none of those that a proxy gets
    s.settimeout(30)
    began = time.monotonic()
    try:
        s.connect((sys.argv[1], 7))
        told = "0"
    except TimeoutError:
        told = "nothing"
    except OSError as error:
        told = errno.errorcode[error.errno]
    print(told, round(time.monotonic() - began, 1), flush=True)
    globals().setdefault("kept", []).append(s)
"""


sports = itertools.count(21000, 100)


def connects(lab, n, options, prepare):
    """Return: its run, what each connect(2) was told"""
    go = lab.new_file("go")
    words = f"{sys.executable} {lab.new_file('py', CONNECT)} {HOST} {n} {next(sports)}"
    run = lab.start([], ["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.05; done; exec {words}"], options=options, fail="closed")
    wait_for(lambda: plane.listeners(lab.client), 15, "listeners")
    prepare(run)
    open(go, "w").close()
    run.wait(60)
    return run, [line.split()[0] for line in run.stdout.splitlines()]


def check_ports(t, lab):
    """no local port is left for what the proxy connects to: the program is told, and why; the others are served"""
    try:
        run, told = connects(lab, 20, ["--proxy", "relay"], lambda _: lab.client.sysctl("ipv4/ip_local_port_range", "31000 31009"))
    finally:
        lab.client.sysctl("ipv4/ip_local_port_range", USUAL_PORTS)
    t.equal(Counter(told), {"0": 10, "ECONNREFUSED": 10}, "20 flows, 10 ports")
    t.equal(Counter(flow["reason"] for flow in run.flows(verdict="drop")), {"Cannot assign requested address": 10}, "why")


def check_first_hangs(t, lab):
    """two proxies, the first takes a flow and reads no more: it is replaced, and the flow is served"""
    options = ["--proxy", lab.path("tests/providers/hostile-proxy") + ":attempt=reads-no-more", *proxy(lab)]
    run, told = connects(lab, 3, options, lambda run: run.wait_pid("hostile-proxy"))
    t.equal(told, ["0"] * 3, f"{run.report()}")
    t.note(run.stdout.strip().replace("\n", ", "))


def scenario(t):
    t.needs("conntrack", "tests/providers/test-proxy", "tests/providers/hostile-proxy")
    with t.lab() as lab:
        lab.tcp_echo(7)
        for check in (check_ports_again, check_next_instance, check_thousand, check_ports, check_first_hangs):
            if t.only in ("", check.__name__):
                began = time.monotonic()
                check(t, lab)
                t.note(f"{check.__name__}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main(scenario, only="", n=1000, rounds=1)
