#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""169 — what becomes of flows that proxies have when something breaks: nothing hangs, nothing leaks

   [ client ns: python ]──uplink──│capture│──[ server ns: HTTP, echo ]
        └ sluice run --proxy …       who dies or hangs: proxy, sluiced, keeper, sluice run
          under both fail classes    who lies: hostile-proxy
                                     what is taken away: our rules, conntrack, descriptors, loopback
   A program's connection begins at a port that is known: a packet from it on the wire is a leak.
"""
import itertools
import json
import os
import signal
import subprocess
import sys
import time

from lib import machine, main, plane
from lib.foreign import TRANSLATING, table
from lib.wait import wait_for

HOST4, HOST6 = "10.79.67.1", "fd00:79::67:1"
HOSTS, FAILS = (HOST4, HOST6), ("closed", "open")
DOWNLOAD = 50_000_000
BROKEN_S = 5.0  # a noisy machine is not a broken Sluice; this is
HUNG_S = 10.0   # a hung process is replaced after 2 s, sluiced after 1 s
ports = itertools.count(20001)  # below those that the kernel takes
ENDS = {"ECONNRESET", "ECONNABORTED"}
REFUSED = {"closed": "ECONNREFUSED", "open": "0"}


def start(lab, command, provider="test-proxy", fail="closed"):
    return lab.start([], command, options=["--proxy", lab.path("tests/providers/" + provider)], fail=fail)


def leaked(t, wire, sport, title):
    packets = wire.packets(lambda packet: packet.proto == "tcp" and packet.sport == sport)
    t.equal([packet[:6] for packet in packets], [], f"{title}: packets of it on the wire")


def ended(run, within=40):
    """its answer; one that hangs has none"""
    run.wait(within)
    return run.jsons()


# ---- somebody dies, or hangs ----

PARTS = {"proxy": "test-proxy", "sluiced": "sluiced", "keeper": "sluice-keeper"}


def break_part(t, lab, who, how, fail, host):
    """with an open flow, and while others begin"""
    title, sport, done = f"{who}, signal {how}, fails {fail}, {host}", next(ports), lab.new_file("done")
    script = " & ".join(" ".join(words) for words in (lab.actor("wait_on", host, 7, sport, 30),
                                                       lab.actor("reach_until", done, host, 7))) + " & wait"
    with lab.capture() as wire:
        run = start(lab, ["sh", "-c", script], fail=fail)
        wait_for(lambda: run.stderr.count("connected") == 2, 15, f"{title}: connections")
        run.wait_flow(event="new", via="test-proxy")
        victim = run.pid if who == "sluice run" else run.wait_pid(PARTS[who])
        began = time.monotonic()
        machine.kill(victim, how)
        if who in ("keeper", "sluice run"):
            run.wait(20)
            if who == "keeper":  # nobody removes what is in force
                lab.end_governed(f"r{run.pid}")
            else:
                wait_for(lambda: not machine.processes_in(lab.client.inode), 20, f"{title}: all to end")
        else:
            wait_for(lambda: '"end"' in run.stdout, HUNG_S, f"{title}: the open flow to end")
            took = time.monotonic() - began
            time.sleep(0.5)
            open(done, "w").close()
            told = ended(run)
            t.equal(told[0]["end"], "ECONNRESET", f"{title}: the open flow")
            if who == "sluiced" and how == signal.SIGKILL:  # a connection that it has just accepted is reset with it
                t.check(told[1]["ends"].pop("ECONNRESET", 0) <= 1, f"{title}: others: {told[1]}")
            t.equal(set(told[1]["ends"]), {"0"}, f"{title}: others")
            limit = HUNG_S if how == signal.SIGSTOP else BROKEN_S
            t.check(took < limit and told[1]["longest"] < limit, f"{title}: {took:.3f} s, {told[1]}")
            t.note(f"{title}: open flow reset after {took * 1000:.0f} ms, slowest connect "
                   f"{told[1]['longest'] * 1000:.0f} ms")
    leaked(t, wire, sport, title)


def check_parts(t, lab):
    for fail, who in itertools.product(FAILS, ("proxy", "sluiced")):
        for how in (signal.SIGKILL, signal.SIGSTOP):
            break_part(t, lab, who, how, fail, HOST6 if fail == "open" else HOST4)
    for fail, who in itertools.product(FAILS, ("keeper", "sluice run")):
        break_part(t, lab, who, signal.SIGKILL, fail, HOST4)


def check_waiting(t, lab):
    """a proxy dies, or hangs, with a flow that it was asked about, or has taken: the next one is asked"""
    for attempt, how in itertools.product(("silent", "holds"), (signal.SIGKILL, signal.SIGSTOP)):
        title = f"{attempt}, signal {how}"
        run = start(lab, lab.actor("reach", HOST4, 7, 0, 30), f"hostile-proxy:attempt={attempt}")
        pid = run.wait_pid("hostile-proxy")
        wait_for(lambda: lab.n_held() > 0, 10, f"{title}: a SYN to be held")
        machine.kill(pid, how)
        t.equal(ended(run)[0]["end"], "0", f"{title}: a held flow")


def check_no_proxy(t, lab):
    """it answers too late, or dies of each flow: the fail class"""
    for attempt, fail in itertools.product(("late", "dies"), FAILS):
        with lab.capture() as wire:
            run = start(lab, lab.actor("reach", HOST4, 7, 0, 60), f"hostile-proxy:attempt={attempt}", fail)
            told = ended(run, 70)[0]
        t.equal(told["end"], REFUSED[fail], f"{attempt}, fails {fail}")
        n = wire.count(lambda packet: packet.dst == HOST4)
        t.check((n == 0) == (fail == "closed"), f"{attempt}, fails {fail}: {n} packets on the wire")
        t.note(f"{attempt}, fails {fail}: after {told['took']:.1f} s")


# ---- it lies ----

LIES = {"open-untaken": "ECONNRESET", "others-ids": "0", "extreme-ids": "0", "take-twice": "ECONNREFUSED", "open-twice": "ECONNRESET",
        "open-again": "ECONNREFUSED", "verdict-after-take": "ECONNREFUSED", "strange-errno": "ECONNREFUSED",
        "others-upstreams": "0", "odd-errors": "ECONNREFUSED", "gives-descriptors": "ECONNREFUSED"}
# its session ends, and the next process has what was taken; what was opened is reset
LEAVES = {"closes-session": "0", "shuts-session": "0", "says-nothing": "0", "opens-and-dies": "ECONNRESET", "reads-no-more": "0"}
BREAKS = ("errno-limit", "filter-update", "own-socket", "take-flood", "ask-flood", "upstream-flood")
FEW = 100  # descriptors of a sluiced with little to do; gives-descriptors gives it 136 with each flow


def lie(t, lab, attempt, wanted):
    end = lab.new_file("end")
    words = " ".join(lab.actor("connects", f"{HOST4},7", f"{HOST6},7"))
    run = start(lab, ["sh", "-c", f"{words}; while [ ! -e {end} ]; do sleep 0.02; done"],
                f"hostile-proxy:attempt={attempt}")
    pids = [run.wait_pid(name) for name in ("sluiced", "sluice-keeper")]
    wait_for(lambda: run.stdout.count("\n") == 1, 30, f"{attempt}: its flows: {run.report()}")
    t.equal([run.wait_pid(name) for name in ("sluiced", "sluice-keeper")], pids, f"{attempt}: the others live")
    n = plane.descriptors(run, "sluiced")["sluiced"]
    t.check(n < FEW, f"{attempt}: sluiced has {n} descriptors")
    open(end, "w").close()
    run.wait(20)
    found = {one["error"] for one in run.json()}  # one that is reset may have been connected before
    t.check(found and found <= ({wanted, "0"} if wanted == "ECONNRESET" else {wanted}), f"{attempt}: flows: {found}")
    return run


def check_lies(t, lab):
    for attempt, wanted in LIES.items():
        run = lie(t, lab, attempt, wanted)
        t.check("broke the protocol" not in run.stderr, f"{attempt}: {run.stderr}")
    for attempt, wanted in LEAVES.items():
        lie(t, lab, attempt, wanted)
    for attempt in BREAKS:
        run = lie(t, lab, attempt, "ECONNRESET" if attempt == "ask-flood" else "0")
        t.equal(run.stderr.count("broke the protocol"), 1, f"{attempt}: {run.stderr}")


# ---- something is taken away ----

def flush(lab):
    with lab.client:
        subprocess.run(["nft", "flush", "ruleset"], check=True)


def forget(lab):
    with lab.client:
        subprocess.run(["conntrack", "-F"], check=True, capture_output=True)


ACTS = {"take": (80, (DOWNLOAD,)), "give": (9, ()), "wait_on": (7, (3,))}


def take_away(t, lab, act, what, fail, host):
    title, sport = f"{act}, {what.__name__}, fails {fail}, {host}", next(ports)
    port, more = ACTS[act]
    end = lab.new_file("end")
    words = " ".join(lab.actor(act, host, port, sport, *more))
    again = " ".join(lab.actor("connects", f"{host},7"))
    with lab.capture() as wire:
        run = start(lab, ["sh", "-c", f"{words}; while [ ! -e {end} ]; do sleep 0.02; done; {again}"], fail=fail)
        wait_for(lambda: "connected" in run.stderr, 15, f"{title}: the connection")
        for _ in range(3):
            what(lab)
            time.sleep(0.1)
        if act == "give":
            time.sleep(0.5)
            machine.kill(run.wait_pid("test-proxy"))
        wait_for(lambda: run.stdout, 40, f"{title}: the connection to end: {run.report()}")
        open(end, "w").close()
        told, found = ended(run)
    t.equal({one["error"] for one in found}, {"0"}, f"{title}: connections afterwards")
    wanted = {"nothing"} if act == "wait_on" else ENDS | {"0"}  # of one that is quiet nothing breaks
    t.check(told["end"] in wanted and (told["end"] != "0" or told["whole"]), f"{title}: {told}")
    leaked(t, wire, sport, title)
    return told["end"]


def check_taken_away(t, lab):
    ends = {}
    for act, what, (fail, host) in itertools.product(ACTS, (flush, forget), zip(FAILS, HOSTS)):
        end = take_away(t, lab, act, what, fail, host)
        ends[act, what.__name__, end] = ends.get((act, what.__name__, end), 0) + 1
    t.note(", ".join(f"{' '.join(key)}: {n}" for key, n in ends.items()))


def check_ended(t, lab):
    """a program is killed with bytes on their way, and Sluice ends: they are not sent again without it"""
    for fail, host in itertools.product(FAILS, HOSTS):
        title, sport = f"ended, fails {fail}, {host}", next(ports)
        with lab.capture() as wire:
            run = start(lab, lab.actor("give", host, 9, sport), fail=fail)
            wait_for(lambda: "connected" in run.stderr, 15, f"{title}: the connection")
            time.sleep(0.5)  # until nobody takes more
            run.kill(signal.SIGTERM)
            run.wait(20)
            time.sleep(1.5)  # more than TCP waits before it sends again
        leaked(t, wire, sport, title)


# ---- descriptors ----

FILES, AT_ONCE = 40, 60


def check_descriptors(t, lab):
    """a proxy that has none left loses what is new, keeps what it has, and goes on when there are some again"""
    run = start(lab, lab.actor("hold_many", HOST4, 7, AT_ONCE), f"test-proxy:files={FILES}")
    pid = run.wait_pid("test-proxy")
    told = ended(run)[0]
    t.equal("broke" in run.stderr or "restarting" in run.stderr, False, f"test-proxy {pid} lives on: {run.stderr}")
    t.check(0 < told["all"]["0"] < AT_ONCE and sum(told["all"].values()) == AT_ONCE, f"at once: {told}")
    t.check(set(told["all"]) <= {"0", "ECONNREFUSED", "ECONNRESET"}, f"at once: {told}")
    t.equal(told["those"], {"0": told["all"]["0"]}, "what it had goes on")
    t.equal(told["then"], {"0": 10}, "when they are closed")
    t.note(f"{AT_ONCE} connections, {FILES} descriptors: {told['all']}")


LIMIT = """
import os, resource, sys
pid, uid, gid, most = map(int, sys.argv[1:])
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
resource.prlimit(pid, resource.RLIMIT_NOFILE, (most or before[1], before[1]))
"""


def limit_files(pid, most):
    """soft; 0: as many as may be. Who has its user may say so"""
    status = machine.status_of(pid)
    words = [pid, status["Uid"].split()[0], status["Gid"].split()[0], most]
    subprocess.run([sys.executable, "-c", LIMIT, *map(str, words)], check=True)


def spent(pid):
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(") ", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def check_no_accept(t, lab):
    """sluiced has no descriptor left: connections wait until it has, and it does not spin"""
    go = lab.new_file("go")
    talk = " ".join(lab.actor("talk_on", HOST4, 7, 0, 0, 30))
    run = start(lab, ["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done; {talk}"])
    run.wait_pid("test-proxy")
    pid = run.wait_pid("sluiced")
    wait_for(lambda: lab.status(f"r{run.pid}"), 10, "sluiced to answer")
    limit_files(pid, next(i for i in itertools.count() if not os.path.lexists(f"/proc/{pid}/fd/{i}")))
    open(go, "w").close()
    wait_for(lambda: "cannot take what comes for a proxy" in run.stderr, 10, f"accept(2) to fail: {run.report()}")
    before = spent(pid)
    time.sleep(2)
    seconds = spent(pid) - before
    t.equal(run.stdout, "", "the connection waits")
    limit_files(pid, 0)
    t.equal(ended(run)[0]["end"], "0", "the connection, when there are descriptors again")
    t.equal(run.stderr.count("cannot take what comes for a proxy"), 1, "lines that say so")
    t.check(seconds < 1, f"{seconds:.2f} s of processor in 2 s without a descriptor")
    t.note(f"sluiced without a descriptor: {seconds:.2f} s of processor in 2 s")


# ---- the place ----

PRELUDE = """
import errno, os, select, socket, subprocess, sys, time
HOST, SPORT = sys.argv[1], int(sys.argv[2])
IPV6 = ":" in HOST
def make(sport=SPORT, source="", proto=0):
    s = socket.socket(socket.AF_INET6 if IPV6 else socket.AF_INET, socket.SOCK_STREAM, proto)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((source, sport))
    s.settimeout(3)
    return s
def say(call):
    try:
        print(call(), flush=True)
    except TimeoutError:
        print("nothing", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
def talk(s, to=(HOST, 7)):
    s.connect(to)
    s.sendall(b"hello")
    return "echo" if s.recv(10) == b"hello" else "other"
"""


class Place:
    def __init__(self, t, lab):
        self.t, self.lab = t, lab

    def run(self, title, body, wanted, fail="closed", hosts=HOSTS, before=(), leaks=False, provider="test-proxy"):
        """`wanted`: what it prints. Return: the last run"""
        for host in hosts:
            sport = next(ports)
            script = self.lab.new_file("py", PRELUDE + body)
            with self.lab.capture() as wire:
                run = start(self.lab, [*before, sys.executable, script, host, str(sport)], provider, fail)
                run.wait(40)
            what = f"{title}, fails {fail}, {host}"
            self.t.equal(run.stdout.split(), wanted, f"{what}: {run.stderr[-500:]}")
            if not leaks:
                leaked(self.t, wire, sport, what)
        return run

    def nft(self, text):
        with self.lab.client:
            subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def check_programs(t, lab):
    """what programs do with their sockets"""
    place = Place(t, lab)
    many = range(20, 30)
    for i in many:
        lab.client.ip(f"address add 10.77.0.{i}/24 dev uplink")
        lab.client.ip(f"address add fd00:77::{i:x}/64 dev uplink nodad")
    place.run("many addresses", f"for i in range({many.start}, {many.stop}):\n"
              "    say(lambda: talk(make(source=f'fd00:77::{i:x}' if IPV6 else f'10.77.0.{i}')))\n", ["echo"] * len(many))
    place.run("a port, many destinations", "ss = [make() for _ in range(8)]\nfor i, s in enumerate(ss):\n"
              "    s.setblocking(False)\n    s.connect_ex((HOST[:-1] + str(i + 1), 7))\n"
              "for s in ss:\n    select.select([], [s], [], 5)\n    s.settimeout(5)\n"
              "    say(lambda: s.sendall(b'x') or s.recv(9).decode())\n", ["x"] * 8)
    place.run("Fast Open", "for _ in range(3):\n    s = make(0)\n    s.setblocking(True)\n"
              "    say(lambda: s.sendto(b'x', socket.MSG_FASTOPEN, (HOST, 7)) and s.recv(9).decode())\n", ["x"] * 3)
    place.run("MPTCP", "say(lambda: talk(make(proto=262)))\n", ["echo"])
    place.run("left at once", "for i in range(50):\n    s = make(0)\n    s.setblocking(False)\n"
              "    s.connect_ex((HOST, 7))\n    s.close()\nsay(lambda: talk(make()))\n", ["echo"])
    place.run("our listener", "own = [int(line.split()[1].split(':')[1], 16) for line in open('/proc/net/tcp' + '6' * IPV6)"
              " if line.split()[3] == '0A']\nsay(lambda: talk(make(), ('::1' if IPV6 else '127.0.0.1', own[0])))\n",
              ["ECONNRESET"])
    for i in many:
        lab.client.ip(f"address del 10.77.0.{i}/24 dev uplink")
        lab.client.ip(f"address del fd00:77::{i:x}/64 dev uplink")


NAT = table(TRANSLATING, """
	chain postrouting {
		type nat hook postrouting priority 100;
		oif uplink masquerade
	}
""")
FIREWALL = table("""
	chain output {
		type filter hook output priority 0; policy drop;
		oif lo accept
		%s
		ct state established,related accept
		tcp dport 7 accept
		ip6 nexthdr 58 accept
	}
	chain input {
		type filter hook input priority 0; policy drop;
		iif lo accept
		ct state established,related accept
		ip6 nexthdr 58 accept
	}
""")
TALK = "say(lambda: talk(make()))\n"
REDIRECTS = ("say(lambda: subprocess.run(['nft', 'list', 'ruleset'], capture_output=True, text=True, check=True)"
             ".stdout.count('redirect to'))\n")  # one for each listener
UP = "subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n"


def doctor_says(lab, name):
    return next(check for check in json.loads(lab.sluice("doctor", "--json").stdout)["checks"] if check["name"] == name)


def check_tables(t, lab):
    """rules of others. Who translates before us wins, and what we would have diverted goes nowhere"""
    place = Place(t, lab)
    for text, fail, wanted in ((NAT % -100, "closed", "echo"), (NAT % -130, "closed", "nothing"),
                               (NAT % -130, "open", "nothing"), (FIREWALL % "ct status dnat accept", "closed", "echo"),
                               (FIREWALL % "", "closed", "nothing")):
        place.nft(text)
        t.equal(doctor_says(lab, "nat of others")["state"], "warning" if text == NAT % -130 else "ok", "sluice doctor")
        t.equal(doctor_says(lab, "drop of others")["state"], "warning" if text == FIREWALL % "" else "ok", f"sluice doctor: {text}")
        place.run(f"foreign rules {text.split(';')[0][-30:]}", TALK, [wanted], fail)
        place.nft("delete table inet foreign")


def check_loopback(t, lab):
    """proxies answer on loopback: where there is none, and for who cannot be reached there, the fail class"""
    place = Place(t, lab)
    for name in ("all", "lo", "uplink"):
        lab.client.sysctl(f"ipv4/conf/{name}/rp_filter", 1)
    lab.client.sysctl("ipv4/conf/all/route_localnet", 0)
    place.run("rp_filter", REDIRECTS + TALK, ["4", "echo"])
    own = ["127.0.0.1/8", "::1/128"]
    for address in own:
        lab.client.ip(f"address del {address} dev lo")
    for fail in FAILS:
        place.run("no loopback", REDIRECTS + TALK, ["0", "ECONNREFUSED" if fail == "closed" else "echo"], fail, leaks=fail == "open")
    place.run("loopback comes later", "say(lambda: talk(make(0)))\nsubprocess.run(['ip', 'address', 'add', "
              "'::1/128' if IPV6 else '127.0.0.1/8', 'dev', 'lo'], check=True)\ntime.sleep(0.2)\n" + TALK,
              ["ECONNREFUSED", "echo"])
    for fail in FAILS:
        run = place.run("bound to an interface",
                        "s = make()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'uplink')\nsay(lambda: talk(s))\n",
                        ["ECONNREFUSED" if fail == "closed" else "echo"], fail, leaks=fail == "open")
        reason = run.wait_flow(event="new", dport=7)["reason"]
        t.check("its socket is bound to an interface" in reason, f"fails {fail}: what the record says: {reason}")
    place.run("loopback, by a rule", "import threading\nown = socket.create_server(('::1' if IPV6 else '127.0.0.1', 0), "
              "family=socket.AF_INET6 if IPV6 else socket.AF_INET)\n"
              "def serve():\n    s = own.accept()[0]\n    s.sendall(s.recv(9))\n"
              "threading.Thread(target=serve, daemon=True).start()\nsay(lambda: talk(make(), own.getsockname()))\n",
              ["echo"], hosts=[HOST4], provider="test-proxy:to=127.0.0.0/8")
    lab.client.sysctl("ipv6/conf/all/disable_ipv6", 1)
    place.run("without IPv6", TALK, ["echo"], hosts=[HOST4])
    lab.client.sysctl("ipv6/conf/all/disable_ipv6", 0)


def scenario(t):
    t.needs("conntrack", "nft", "tests/providers/test-proxy", "tests/providers/hostile-proxy")
    with t.lab() as lab:
        lab.http()
        lab.tcp_echo(7)
        lab.deaf(9)
        for check in CHECKS:
            if t.only in ("", check.__name__):
                began = time.monotonic()
                check(t, lab)
                t.note(f"{check.__name__}: {time.monotonic() - began:.1f} s")


CHECKS = (check_parts, check_waiting, check_no_proxy, check_lies, check_taken_away, check_ended, check_descriptors,
          check_no_accept, check_programs, check_tables, check_loopback)

if __name__ == "__main__":
    main(scenario, only="")
