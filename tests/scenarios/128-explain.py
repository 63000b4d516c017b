#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""128 — `sluice explain` says before what then happens, `sluice why` says why it did

   [ client ns: three programs that connect as told ]──uplink──[ server ns: DNS :53, echo :7 :8 ]
        │  python as root, python as another user, a copy of python in a unit
        └ test-filter, one or two, with random lists, static rules and scopes:
          explain a flow, let it happen, compare; ask why it did
          filters that are dead, mute; programs, files, units; flows nobody knows

300 pairs; `128-explain.py BUILD --policies 200 --limit 1500` are 10,000. --seed N repeats them.
"""
import json
import os
import random
import shutil
import socket
import sys
import time

from lib import machine, main
from lib.wait import SLOW, wait_for

FLOWS = 50  # of each policy
UID = 4242
NAMES = {"one.example": "10.79.28.1", "two.example": "10.79.28.2", "also-two.example": "10.79.28.2",
         "three.example": "10.79.28.3"}
SURE = ("one.example", "three.example")  # the one name of an address
HOSTS = [*NAMES, "10.79.28.1", "10.79.28.2", "10.79.28.4", "fd00:79::28:1"]


class Actors:
    """programs under one `sluice run`, by their short names"""

    n = 0

    def __init__(self, lab, filters, **settings):
        Actors.n += 1
        self.lab, self.instance = lab, f"explain{os.getpid()}n{Actors.n}"
        copy = os.path.join(lab.folder, "other-python")
        if not os.path.exists(copy):
            shutil.copy(os.path.realpath(sys.executable), copy)
        self.copy = copy
        self.paths = {name: lab.new_file(f"{name}.sock") for name in ("root", "user", "other")}
        acts = [lab.actor("connect_as_told", self.paths["root"]), lab.actor("connect_as_told", self.paths["user"], UID),
                [copy, *lab.actor("connect_as_told", self.paths["other"], 0, "other.service")[1:]]]
        self.run = lab.start(filters, ["sh", "-c", " & ".join(" ".join(act) for act in acts) + " & wait"],
                             options=["--instance", self.instance], **settings)
        self.sockets = {name: wait_for(lambda: self._connect(path), 15, name)
                        for name, path in self.paths.items()}
        self.pids = {name: self._peer(sock) for name, (sock, _) in self.sockets.items()}

    def _connect(self, path):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            return None
        return sock, sock.makefile("rw")

    def _peer(self, sock):
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(data[:4], sys.byteorder)

    def connect(self, name, proto, host, port, named=""):
        lines = self.sockets[name][1]
        lines.write(f"{proto} {host} {port} {named}\n")
        lines.flush()
        return lines.readline().strip()

    def sluice(self, *words, status=None, t=None):
        """`sluice … --json`, from the place of the programs; Return: the object"""
        return self.take(self.begin(*words), status, t)

    def begin(self, *words):
        return self.lab.start_plain([self.lab.path("sluice"), *words, "--instance", self.instance, "--json"])

    def take(self, program, status, t):
        code = program.wait(30)
        if status is not None:
            t.equal(code, status, f"exit status of {program.words} ({program.stderr})")
        return json.loads(program.stdout) if program.stdout else None

    def end(self):
        for sock, lines in self.sockets.values():
            lines.close()
            sock.close()
        for pid in self.pids.values():
            machine.kill(pid)
        self.run.wait(20)


def to(host, port, proto="tcp"):
    return f"[{host}]:{port}/{proto}" if ":" in host else f"{host}:{port}/{proto}"


def random_filter(lab, dice, copy):
    rules = {"deny_address": ["10.79.28.2", "10.79.28.4/32", "fd00:79::28:1"], "deny_port": [8],
             "deny_uid": [UID], "deny_exe": [copy], "deny_host": ["one.example", "two.example"]}
    chosen = {key: dice.choice(values) for key, values in rules.items() if dice.random() < 0.3}
    if dice.random() < 0.6:
        chosen["rule"] = ["allow;port=53"] + [random_rule(dice, copy) for _ in range(dice.randint(1, 5))]
        chosen["otherwise"] = dice.choice(["ask", "ask", "ask", "allow", "drop"])
    return lab.test_filter(scope=dice.choice(["flow", "address", "name"]), **chosen)


def random_rule(dice, copy):
    """no local port: what hangs on it is not known before (docs/decisions/0013)"""
    conditions = {"address": ["10.79.28.1", "10.79.28.2/31", "10.79.28.0/24", "fd00:79::/32"], "uid": [UID, 0],
                  "host": list(NAMES), "domain": ["example", "two.example"], "exe": [copy], "port": ["7", "8-9"],
                  "protocol": ["tcp", "udp"], "direction": ["out", "in"]}
    chosen = [f"{key}={dice.choice(values)}" for key, values in conditions.items() if dice.random() < 0.25]
    if any(word.startswith("host=") for word in chosen):  # it has one of the two
        chosen = [word for word in chosen if not word.startswith("domain=")]
    return ";".join([dice.choice(["allow", "allow", "ask", "drop"]), *chosen, "reason=static"])


def records(actors, pid, proto, port):
    if not actors.run.n_records():
        return []
    return actors.run.flows(event="new", pid=pid, proto=proto, dport=port)


def check_pair(t, lab, actors, dice, seen):
    name, host, port = dice.choice(["root", "user", "other"]), dice.choice(HOSTS), dice.choice([7, 8])
    proto, pid = dice.choice(["tcp", "tcp", "udp"]), actors.pids[name]
    before = len(records(actors, pid, proto, port))
    said = actors.sluice("explain", "--pid", pid, "--to", to(host, port, proto), "--names", "")
    error = actors.connect(name, proto, host, port)
    text = f"{name} {to(host, port, proto)}: explained {said['verdict']} by {said['by']} " \
           f"{said['provider']} ({said['reason']}), got {error}"
    seen[said["by"], said["verdict"]] = seen.get((said["by"], said["verdict"]), 0) + 1
    t.equal(said["flow"]["pid"], pid, "pid")
    if error == "unresolved":  # its name server was refused as well
        t.equal(said["verdict"], "drop", text)
        return
    record = wait_for(lambda: (found := records(actors, pid, proto, port)) and len(found) > before and found,
                      5, f"record of {text}")[before]
    is_read = record["state"] == "peeking"  # its first bytes, of which there are none, or they name nobody
    if is_read:
        record = wait_for(lambda: actors.run.flows(id=record["id"])[1:], 5, f"what came of {text}")[0]
    is_told = said["verdict"] == "drop" and (proto == "udp" or not is_read)
    t.equal(error, "ECONNREFUSED" if is_told else "0", text)
    if record["state"] == "peeking":  # closed before anybody had answered
        return
    t.equal(said["verdict"], record["verdict"], f"verdict of {text}")
    if said["flow"]["host"] not in SURE:  # first bytes may have been waited for, and another filter was first
        return
    for key in ("provider", "reason"):
        t.equal(said[key], record[key], f"{key} of {text}")
    for key in ("dst", "src", "host", "exe", "command", "unit", "cgroup", "uid", "interface", "interface_kind"):
        t.equal(said["flow"][key], record[key], f"{key} of the flow of {text}")
    why = actors.sluice("why", record["id"])
    for key in ("verdict", "provider", "reason", "by"):
        t.equal(why[key], said[key], f"why: {key} of {text}")
    t.equal([f["how"] for f in why["filters"] if f["decides"]], [f["how"] for f in said["filters"] if f["decides"]],
            f"how of {text}")


def check_random(t, lab):
    dice, seen, n = random.Random(t.seed), {}, 0
    copy = os.path.join(lab.folder, "other-python")
    for i in range(t.policies):
        filters = [random_filter(lab, dice, copy) for _ in range(1 + i % 2)]
        actors = Actors(lab, filters)
        for _ in range(FLOWS):
            check_pair(t, lab, actors, dice, seen)
            n += 1
        actors.end()
    for wanted in (("filter", "allow"), ("filter", "drop"), ("memory", "allow"), ("memory", "drop"),
                   ("rule", "allow"), ("rule", "drop")):
        t.check(seen.get(wanted), f"{wanted} never happened: {seen}")
    t.note(f"{n} pairs, seed {t.seed}: {seen}")


def check_programs(t, lab):
    """by process, by file, by unit; not governed; on loopback; nobody there"""
    actors = Actors(lab, [lab.test_filter(deny_uid=UID), lab.test_filter(deny_port=8)])
    python = os.path.realpath(sys.executable)
    said = actors.sluice("explain", "--exe", python, "--to", "10.79.28.1:8", status=1, t=t)
    t.equal((said["by"], said["reason"], said["flow"]["exe"], said["flow"]["uid"]), ("filter", "test", python, 0), "--exe")
    t.equal([f["verdict"] for f in said["filters"]], ["allow", "drop"], "each filter's own answer")
    t.equal([f["decides"] for f in said["filters"]], [False, True], "who decides")
    said = actors.sluice("explain", "--exe", python, "--uid", UID, "--to", "10.79.28.1:8", status=1, t=t)
    t.equal([f["verdict"] for f in said["filters"]], ["drop", "drop"], "all matches, also after the first")
    t.equal([f["decides"] for f in said["filters"]], [True, False], "the first decides")
    said = actors.sluice("explain", "--unit", "other.service", "--to", "10.79.28.1:7", status=0, t=t)
    t.equal((said["flow"]["pid"], said["flow"]["unit"]), (actors.pids["other"], "other.service"), "--unit")
    said = actors.sluice("explain", "--pid", os.getpid(), "--to", "10.79.28.1:8", status=0, t=t)
    t.equal(said["by"], "not-governed", "a program of no instance")
    said = actors.sluice("explain", "--pid", actors.pids["user"], "--to", "127.0.0.1:8", status=0, t=t)
    t.equal(said["by"], "loopback", "within the machine")
    said = actors.sluice("explain", "--pid", actors.pids["root"], "--to", "three.example:7", status=0, t=t)
    t.equal((said["flow"]["dst"], said["host_assumed"]), ("10.79.28.3", True), "a name that was not asked for")
    actors.connect("root", "tcp", "three.example", 7)
    said = actors.sluice("explain", "--pid", actors.pids["root"], "--to", "three.example:7", status=0, t=t)
    t.equal(said["host_assumed"], False, "a name that was asked for")
    number = next(int(line.split()[1], 16) for line in lab.client.read_proc("if_inet6").splitlines() if line.endswith("uplink"))
    for zone in ("uplink", number):
        said = actors.sluice("explain", "--exe", python, "--to", f"[fe80::2%{zone}]:8", status=1, t=t)
        t.equal((said["flow"]["dst"], said["flow"]["interface"]), ("fe80::2", "uplink"), f"an address in the zone {zone}")
    actors.sluice("explain", "--exe", python, "--to", "[fe80::2%nosuch]:8", status=5, t=t)
    said = actors.sluice("explain", "--exe", python, "--to", "10.79.7169:8", status=1, t=t)
    t.equal((said["flow"]["dst"], said["flow"]["host"]), ("10.79.28.1", None), "an address in another form is no name")
    for words in (["--pid", 4194303], ["--exe", "/nonexistent"], ["--unit", "nonexistent.service"]):
        actors.sluice("explain", *words, "--to", "10.79.28.1:7", status=5, t=t)
    actors.sluice("explain", "--pid", actors.pids["root"], "--to", "nowhere.example:7", status=5, t=t)
    for words in (["--pid", 1], ["--to", "10.79.28.1:7"], ["--pid", 1, "--to", "10.79.28.1"],
                  ["--pid", 1, "--to", "fd00::1:7:7/udp"], ["--pid", "x", "--to", "10.79.28.1:7"]):
        actors.sluice("explain", *words, status=2, t=t)
    text = lab.plain([lab.path("sluice"), "explain", "--pid", actors.pids["user"],
                      "--to", "one.example:8/udp", "--instance", actors.instance])
    t.check(text.stdout.startswith("Denied."), text.report())
    actors.end()


def check_forms(t, lab):
    """forms of an address that lead elsewhere than they look, with rules that go by interface and address"""
    rules = ["drop;interface=uplink;port=8", "drop;address=127.0.0.1/32;port=8", "drop;address=::1/128;port=8"]
    lab.server.ip("address add fe80::77/64 dev wire nodad")
    actors = Actors(lab, [lab.test_filter(rule=rules, otherwise="allow")])
    for host, dst in (("::ffff:10.79.28.1", "10.79.28.1"), ("fe80::77%uplink", "fe80::77"), ("0.0.0.0", "127.0.0.1"),
                      ("::", "::1"), ("::ffff:0.0.0.0", "127.0.0.1"), ("::ffff:127.0.0.1", "127.0.0.1")):
        said = actors.sluice("explain", "--pid", actors.pids["root"], "--to", to(host, 8), status=1, t=t)
        t.equal((said["by"], said["flow"]["dst"]), ("rule", dst), f"{host}: who decides, and where it goes")
        t.equal(actors.connect("root", "tcp", host, 8), "ECONNREFUSED", f"{host}: what happens")
        record = wait_for(lambda: actors.run.flows(event="new", dst=dst), 5, f"record of {host}")[-1]
        t.equal((record["reason"], record["interface"]), (said["reason"], said["flow"]["interface"]), f"{host}: as it was")
    actors.sluice("explain", "--pid", actors.pids["root"], "--to", to("fe80::77%nowhere", 8), status=5, t=t)
    actors.end()


def check_why(t, lab):
    actors = Actors(lab, [lab.test_filter(scope="address"), lab.test_filter(deny_port=8)])
    t.equal(actors.connect("root", "tcp", "10.79.28.1", 8), "ECONNREFUSED", "denied")
    why = actors.sluice("why", "--last", status=1, t=t)
    t.equal([(f["how"], f["verdict"], f["scope"]) for f in why["filters"]],
            [("answered", "allow", "address"), ("answered", "drop", "flow")], "who was asked")
    t.equal((why["by"], why["filters"][1]["decides"]), ("filter", True), "who decided")
    t.equal(why["kernel"]["table"], f"inet sluice_{why['instance']}", "its table")
    for port in [7] * 3:
        t.equal(actors.connect("user", "tcp", "one.example", port), "0", "allowed")
    wait_for(lambda: len(records(actors, actors.pids["user"], "tcp", 7)) == 3, 5, "three records")
    why = actors.sluice("why", "--last", status=0, t=t)
    t.equal((why["flow"]["host"], why["flow"]["pid"]), ("one.example", actors.pids["user"]), "the last")
    t.equal([f["how"] for f in why["filters"]], ["remembered", "answered"], "asked and remembered")
    why = actors.sluice("why", "--last", "--denied", status=1, t=t)
    t.equal(why["flow"]["dport"], 8, "the last that was denied")
    wait_for(lambda: actors.run.flows(event="closed", id=records(actors, actors.pids["user"], "tcp", 7)[0]["id"]),
             5, "the end of the first")
    why = actors.sluice("why", records(actors, actors.pids["user"], "tcp", 7)[0]["id"], status=0, t=t)
    t.equal(why["flow"]["event"], "closed", "one that has ended")
    actors.sluice("why", 12345, status=5, t=t)
    for words in ([], ["--last", 5], ["x"], ["--denied"], ["5", "6"]):
        actors.sluice("why", *words, status=2, t=t)
    actors.end()


READ = [*NAMES, "sub.one.example", "four.example"]  # what first bytes name


def read_filter(lab, dice):
    """one that goes by names, by lists or by rules"""
    listed = [name for name in READ if dice.random() < 0.4] or [dice.choice(READ)]
    if dice.random() < 0.5:
        return lab.path("providers/blocklist") + ":list=" + lab.new_file("list", "".join(f"{name}\n" for name in listed))
    return lab.test_filter(scope=dice.choice(["flow", "address", "name"]),
                           rule=["allow;port=53", *(f"{dice.choice(['drop', 'drop', 'allow'])};host={name}" for name in listed),
                                 *([f"drop;{dice.choice(['domain=one.example', 'port=8', f'uid={UID}'])}"] if dice.random() < 0.5 else [])],
                           otherwise=dice.choice(["ask", "allow"]))


def check_read(t, lab, actors, dice, seen):
    """of an address without a name, or of several: what its first bytes name is judged"""
    name, host, port, says = dice.choice(["root", "user", "other"]), dice.choice(HOSTS), dice.choice([7, 8]), dice.choice(READ)
    is_four = host.startswith("10.79.28.4")
    if is_four:
        unnamed = actors.sluice("explain", "--pid", actors.pids[name], "--to", to(host, port))
    said = actors.sluice("explain", "--pid", actors.pids[name], "--to", to(host, port), "--names", says)
    before = len(records(actors, actors.pids[name], "tcp", port))
    error = actors.connect(name, "tcp", host, port, says)
    text = f"{name} {to(host, port)} says {says}: explained {said['verdict']} by {said['by']} {said['provider']} " \
           f"({said['reason']}), {said['host_reading']}, got {error}"
    if error == "unresolved":
        t.equal(said["verdict"], "drop", text)
        return
    t.equal(error == "0", said["verdict"] == "allow", text)
    record = wait_for(lambda: (found := records(actors, actors.pids[name], "tcp", port)) and len(found) > before and found,
                      5, f"record of {text}")[before]
    if host not in NAMES:  # the program may have asked for the name meanwhile
        t.equal(record["state"] == "peeking", said["host_reading"] == "would", text)
    if record["state"] == "peeking":
        record = wait_for(lambda: actors.run.flows(id=record["id"])[1:], 5, f"what came of {text}")[0]
    t.equal((record["verdict"], record["reason"]), (said["verdict"], said["reason"]), text)
    seen[said["host_reading"], said["verdict"]] = seen.get((said["host_reading"], said["verdict"]), 0) + 1
    if said["host_reading"] != "would" or host in NAMES:
        return
    t.equal(said["flow"]["host"], says, "the name")
    t.check(any(f["reads_host"] for f in said["filters"]), f"who asks for it: {said['filters']}")
    why = actors.sluice("why", record["id"])
    t.equal((why["host_reading"], why["verdict"], why["reason"]), ("read", said["verdict"], said["reason"]), f"why: {text}")
    if is_four:
        t.equal((unnamed["host_reading"], unnamed["flow"]["host"]), ("would", None), "nobody says what they name")
        t.check(all(f["lists"] for f in unnamed["filters"] if f["filter"] == "blocklist" and f["reads_host"]), "its lists")


def check_first_bytes(t, lab):
    dice, seen, n = random.Random(t.seed), {}, 0
    for _ in range(t.policies):
        actors = Actors(lab, [read_filter(lab, dice)])
        for _ in range(FLOWS // 2):
            check_read(t, lab, actors, dice, seen)
            n += 1
        actors.end()
    for wanted in (("would", "allow"), ("would", "drop"), (None, "allow"), (None, "drop")):
        t.check(seen.get(wanted), f"{wanted} never happened: {seen}")
    t.note(f"{n} flows that say a name, seed {t.seed}: {seen}")


DEAD = {"closed": (1, "drop", "ECONNREFUSED"), "open": (0, "allow", "0")}


def check_fail_class(t, lab):
    """filters that die of each question, until they are given up, and one that never answers"""
    dead = {fail: Actors(lab, [lab.test_filter(crash_after=1)], fail=fail) for fail in DEAD}
    mute = Actors(lab, [lab.test_filter(mute=1), lab.test_filter(deny_port=8)])
    began = time.monotonic()
    late = mute.begin("explain", "--pid", mute.pids["root"], "--to", "10.79.28.1:8")
    reasons = {}
    for _ in range(4):
        asked = {fail: actors.begin("explain", "--pid", actors.pids["root"], "--to", "10.79.28.1:7")
                 for fail, actors in dead.items()}
        if late:
            check_late(t, mute, mute.take(late, 1, t), time.monotonic() - began)
            late = None
        for fail, program in asked.items():
            said = dead[fail].take(program, DEAD[fail][0], t)
            t.equal((said["by"], said["verdict"]), ("fail-class", DEAD[fail][1]), "by the fail class")
            reasons[fail] = said["reason"]
        if all("does not run" in reason for reason in reasons.values()):
            break
    for fail, actors in dead.items():
        t.equal(reasons[fail], f"test-filter does not run: fails {fail}", "the fail class is named")
        t.equal(actors.connect("root", "tcp", "10.79.28.1", 7), DEAD[fail][2], "what happens")
        why = actors.sluice("why", "--last", status=DEAD[fail][0], t=t)
        t.equal((why["by"], why["reason"]), ("fail-class", reasons[fail]), "why")
        actors.end()
    mute.end()


def check_late(t, actors, said, took):
    """explained within the deadline of a flow; then it happens"""
    t.check(4.5 < took < 15 * SLOW, f"within its deadline: {took} s")
    t.equal((said["by"], said["reason"]), ("fail-class", "test-filter did not answer in time: fails closed"), "late")
    t.equal([(f["how"], f["verdict"]) for f in said["filters"]], [("late", "drop"), ("answered", "drop")], "the other answers")
    t.equal(actors.connect("root", "tcp", "10.79.28.1", 8), "ECONNREFUSED", "what happens")
    why = actors.sluice("why", "--last", "--denied", status=1, t=t)
    t.equal((why["by"], why["reason"]), (said["by"], said["reason"]), "why")
    t.equal([f["how"] for f in why["filters"]], ["late", "not-asked"], "who was asked")


def scenario(t):
    with t.lab() as lab:
        os.chmod(lab.folder, 0o755)
        zone = lab.dns()
        for name, address in NAMES.items():
            zone.add(name, "A", address, ttl=60)
        for port in (7, 8):
            lab.tcp_echo(port)
            lab.udp_echo(port)
        check_why(t, lab)
        check_programs(t, lab)
        check_forms(t, lab)
        check_fail_class(t, lab)
        check_random(t, lab)
        check_first_bytes(t, lab)


if __name__ == "__main__":
    main(scenario, policies=6, seed=128)
