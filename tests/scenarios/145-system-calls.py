#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""145 — every system call of start, first flow, reload and stop fails once, and every
allocation of sluice run, sluice-keeper and sluice-names

   inject ─▶ sluice run ─┬─ sluice-keeper ─┬─ sluiced          the Nth call of one of them
     │                   │                 ├─ sluice-names     comes back with an error
     │                   │                 └─ test-filter × 2
     │ counts each one's └─ bash: a flow that stays, one that makes the filter judge
     ▼                            again, and two that are denied
   REPORT                        ───▶ wire ─▶ capture: no packet of a denied one

As many are run here as there is time for, in an order that --seed gives; --all 1 --limit 9000
runs each (--parts 3 --part 0: a third of them; --only "sluiced 17, sluice 4": these). A sanitized build leaves out the calls
that its runtime cannot do without.
"""
import errno
import itertools
import os
import random
import re
import shutil
import struct
import subprocess
import time

from lib import machine, main
from lib.wait import SLOW, Timeout, wait_for

VICTIMS = ("sluice", "sluice-keeper", "sluiced", "sluice-names", "test-filter")
SHORT = ("sluice", "sluice-keeper", "sluice-names")  # of memory: tests/faults/memory.c
COUNTS = struct.Struct("5I")  # struct alloc_counts of tests/unit/alloc.h
WITHIN_S = 30     # of `make check`
CALM = 3000       # calls of a `sluice run` that waits instead of asking again and again
LIMIT_S = 60      # one telling: beyond it hangs
DENIED, AGAIN, OPEN = 9, 8, 7
STORY = f"""exec 3<>/dev/tcp/10.79.45.1/{OPEN}
dig @10.79.45.1 +tries=1 +time=1 +short a.example +tcp a.example
unshare -n -- bash -c "
for i in {{1..50}}; do (: <>/dev/udp/10.79.45.1/{OPEN}) 2>&1 | grep -q permitted || break; sleep 0.02; done"
$0 tcp 10.79.45.1 {AGAIN} 1 1 6000
$0 tcp 10.79.45.1 {DENIED} 1 1 6000
$0 udp-once 10.79.45.1 {DENIED} 1 1 6000
"""
# a sluiced that is told all again, and has its children started again: what others do then
SUCCESSOR = f"""keeper=$(pgrep -x sluice-keeper -P $PPID) && pkill -9 -x sluiced -P $keeper
$0 tcp 10.79.45.1 {DENIED} 1 1 6000
dig @10.79.45.1 +tries=1 +time=1 +short a.example
"""
WITH_SUCCESSOR = ("sluice-keeper", "sluice-names")  # victims; longer for the others would be for nothing
CRASHES = re.compile(r"signal (4|6|7|8|11)\b|Sanitizer|runtime error|Assertion")
PANIC = "sluice panic"


def is_sanitized(lab):
    with open(lab.path("sluiced"), "rb") as file:
        return b"libasan" in file.read()


class Telling:
    _numbers = itertools.count(1)

    def __init__(self, t, lab, wire, short, victim=None, nth=0, has_successor=False):
        self._t, self._lab, self._wire = t, lab, wire
        self.title = f"{victim} {nth}"
        self._report = lab.new_file("report")
        self._is_memory = victim == "memory" or victim in short.victims
        if self._is_memory:
            short.prepare(victim, nth)
            words = [short.sluice]
        else:
            words = [lab.path("tests/faults/inject"), *(["--sanitized"] if is_sanitized(lab) else []), self._report,
                     *([victim, nth] if victim else []), "--", lab.path("sluice")]
        always = lab.test_filter(deny_port=DENIED)  # the other one forgets with its process
        self.instance = f"t{os.getpid()}x{next(self._numbers)}"
        has_successor |= bool(victim) and victim.startswith(WITH_SUCCESSOR)
        story = STORY + (SUCCESSOR if has_successor else "") + "true"
        words += ["run", "--instance", self.instance, "--filter", always,
                  "--filter", lab.test_filter(deny_port=DENIED, rejudge_port=AGAIN), "--fail", "closed", "--", "bash",
                  "-c", story, lab.path("tests/providers/flowgen")]
        self._denied = wire.count(self._is_denied)
        began = time.monotonic()
        self.program = lab.start_plain(words)
        try:
            self.status = self.program.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self.title}, {self.what()}: hangs") from None
        self.took_s = time.monotonic() - began
        if self._is_memory:
            self.counts, self.has_failed, self.blocks = short.counts()
            return
        self.blocks = {}
        with open(self._report, "a+") as file:  # of one that crashed there is none
            file.seek(0)
            lines = [line.split() for line in file]
        self.counts = {words[0]: int(words[1]) for words in lines if len(words) == 2}
        self.has_failed = any(words[0] == "failed" for words in lines)

    @staticmethod
    def _is_denied(packet):
        return packet.dport == DENIED

    def what(self):
        """the call that failed"""
        if self._is_memory:
            return "an allocation"
        try:
            with open(self._report) as file:
                words = file.readline().split()
        except OSError:
            return "?"
        if words[:1] != ["failed"]:
            return "no call failed"
        return f"call {words[2]} {errno.errorcode[int(words[3])]}"

    def check(self, usual=None):
        t, text = self._t, self.program.stderr
        title = f"{self.title}, {self.what()}, status {self.status}: {text[-600:]}"
        t.check(self.status >= 0 and self.status not in (132, 134, 135, 136, 139), f"crash: {title}")
        t.check(not CRASHES.search(text), f"crash: {title}")
        t.equal(self._wire.count(self._is_denied) - self._denied, 0, f"denied packets on the wire: {title}")
        for victim, n in self.blocks.items():
            t.check(not usual or n <= usual.blocks[victim], f"{victim} leaks, {n} blocks: {title}")
        if self.status == 125:
            t.check(re.search(r"sluice[a-z-]*: .{15}", text), f"refuses to start without a reason: {title}")
        try:
            # it may say that something is left: then nobody takes it away
            self._lab.expect_nothing_left(5 if PANIC in text else 15, instance=self.instance)
        except Timeout as left:
            self._lab.sluice("panic", "--instance", self.instance)
            if PANIC not in text:  # it did not say that something may be left, and what to do
                raise Timeout(f"{left}: {title}") from None
            self._lab.expect_nothing_left(instance=self.instance)


class Short:
    """our programs, some of them with memory that can be short: in folder"""

    def __init__(self, lab):
        self._folder = copy_programs(lab)
        self.victims = [f"{name}-memory" for name in SHORT]
        self.sluice = f"{self._folder}/sluice"
        for name in SHORT:
            shutil.copy(lab.path(f"tests/faults/{name}"), self._folder)

    def prepare(self, victim, nth):
        """the nth allocation of VICTIM fails, which is one of ours, or "memory": all count"""
        for name, each in zip(SHORT, self.victims):
            path = f"{self._folder}/{name}.memory"
            if os.path.exists(path):
                os.unlink(path)
            if victim in ("memory", each):
                with open(path, "wb") as file:
                    os.chmod(path, 0o666)  # sluice-names is another user
                    file.write(COUNTS.pack(nth, 0, 0, 0, 0))

    def counts(self):
        """Return: how many allocations of each, did one fail, blocks that each had left at its end"""
        counts, blocks, has_failed = {}, {}, False
        for name, each in zip(SHORT, self.victims):
            path = f"{self._folder}/{name}.memory"
            if os.path.exists(path):
                with open(path, "rb") as file:
                    _nth, _is_always, counts[each], failed, blocks[each] = COUNTS.unpack(file.read())
                has_failed |= bool(failed)
        return counts, has_failed, blocks


KEEPER = """#!/usr/bin/python3
import os, signal, socket, sys
sluice = socket.socket(fileno=3)
sluice.setblocking(True)
for _ in range({n_read}):
    sluice.recv(65536)
{end}
"""
STATE, STOP = 6, 20  # records of the keeper's channels
SLUICED = f"""#!/usr/bin/python3
import os, socket, struct, sys, time
keeper = socket.socket(fileno=3)
keeper.setblocking(True)
with open(sys.argv[0] + ".starts", "a") as file:
    file.write("started ")
keeper.send(struct.pack("<HHII512x", {STATE}, 516, 0, 0))
while struct.unpack_from("<H", keeper.recv(65536))[0] != {STOP}:
    pass
keeper.close()
time.sleep(0.5)  # what it has still to do
"""


def copy_programs(lab):
    """Return: a folder with them"""
    folder = lab.new_file("bin")
    os.mkdir(folder)
    for program in machine.OURS:
        shutil.copy(lab.path(program), folder)
    return folder


def fake(lab, name, text):
    """this in the place of one of our programs. Return: the sluice beside it"""
    folder = copy_programs(lab)
    with open(f"{folder}/{name}", "w") as file:
        file.write(text)
    os.chmod(f"{folder}/{name}", 0o755)
    return f"{folder}/sluice"


def check_dead_keepers(t, lab):
    """a keeper that ends early: who started it puts away what it made, or says who does"""
    for n, (n_read, end, can_be_put_away) in enumerate((
            (0, "sys.exit(125)", True), (1, "sys.exit(125)", True), (2, "sys.exit(125)", True),
            (2, "sys.exit(127)", True), (2, "sys.exit(1)", False),
            (2, "os.kill(os.getpid(), signal.SIGKILL)", False))):
        name = f"t{os.getpid()}k{n}"
        sluice = fake(lab, "sluice-keeper", KEEPER.format(n_read=n_read, end=end))
        run = lab.plain([sluice, "run", "--instance", name, "--", "true"])
        title = f"a keeper that reads {n_read} records, then {end}: {run.stderr}"
        t.equal(run.popen.returncode, 125, title)
        t.check("sluice-keeper" in run.stderr, title)
        t.equal(f"{PANIC} --instance {name}" in run.stderr, not can_be_put_away, title)
        if not can_be_put_away:
            t.equal(lab.sluice("panic", "--instance", name).popen.returncode, 0, f"panic: {title}")
        t.equal(machine.traces_of(name), set(), title)


def check_slow_end(t, lab):
    """a sluiced that is slow to exit when all is done needs no other one to clean up"""
    sluice = fake(lab, "sluiced", SLUICED)
    starts = sluice + "d.starts"
    with open(starts, "w"):
        os.chmod(starts, 0o666)
    run = lab.plain([sluice, "run", "--", "true"])
    with open(starts) as file:
        t.equal((run.popen.returncode, file.read()), (0, "started "), f"sluiced is slow to exit: {run.stderr}")


def check_no_overlap(t, lab, short):
    """what is governed is refused to another instance, also when memory is short for finding out"""
    name, nth, has_failed = f"t{os.getpid()}other", 0, True
    other = lab.start([], ["sleep", "1000"], options=["--instance", name], has_records=False)
    governed = machine.cgroup_of(wait_for(lambda: [pid for pid, exe in machine.processes_in(lab.client.inode).items() if exe.endswith("/sleep")], 10, "the other instance")[0])
    config = lab.new_file("conf", f"[Instance]\nId={name}x\nCgroup={governed}\n")
    while has_failed:
        nth += 1
        short.prepare("sluice-memory", nth)
        program = lab.plain([short.sluice, "serve", "--config", config], 10)
        _, has_failed, _ = short.counts()
        t.check(program.popen.returncode > 0, f"allocation {nth} of {nth}: refused: {program.report()}")
        t.check(re.search("memory|govern", program.stderr), f"it says why: {program.report()}")
        t.equal(machine.traces_of(name + "x"), set(), f"allocation {nth}: left")
    t.check(nth > 5, f"{nth} allocations")
    other.end()


def choose(victims, counts, seed):
    """each call of each victim, in an order that any beginning of is a sample"""
    places = [(victim, nth + 1) for victim in victims for nth in range(counts.get(victim, 0))]
    random.Random(seed).shuffle(places)
    return places


def scenario(t):
    t.needs("tests/faults/inject", "bash", "dig", "unshare", "pgrep")
    failures, slowest, n = [], (0, ""), 0
    with t.lab() as lab:
        for port in (OPEN, AGAIN, DENIED):
            lab.tcp_echo(port)
        lab.udp_echo(DENIED)
        lab.dns().add("a.example", "A", "10.79.45.1")
        with lab.capture() as wire:
            short = Short(lab)
            plain = Telling(t, lab, wire, short)
            twice = Telling(t, lab, wire, short, has_successor=True)
            rich = Telling(t, lab, wire, short, "memory", has_successor=True)
            for one in (plain, twice, rich):
                one.check()
                t.equal(one.status, 0, f"without a fault: {one.program.stderr}")
            counts = plain.counts | {name: twice.counts[name] for name in WITH_SUCCESSOR} | rich.counts
            t.check(counts["sluice"] < CALM, f"sluice run waits without end: {counts}")
            check_no_overlap(t, lab, short)
            check_dead_keepers(t, lab)
            check_slow_end(t, lab)
            seed = t.seed or int(time.time()) % 100000
            victims = [*VICTIMS, *short.victims]
            places = choose(victims, counts, seed)[t.part::t.parts]
            if t.only:
                places = [(victim, int(nth)) for victim, nth in re.findall(r"([a-z-]+) (\d+)", t.only)]
            t.note(f"seed {seed}; {len(places)} calls: " + ", ".join(f"{v} {counts.get(v, 0)}" for v in victims))
            ends = time.monotonic() + WITHIN_S * SLOW
            for victim, nth in places:
                if not t.all and time.monotonic() > ends:
                    break
                try:
                    one = Telling(t, lab, wire, short, victim, nth)
                    n += one.has_failed
                    slowest = max(slowest, (one.took_s, f"{one.title}, {one.what()}"))
                    one.check(rich)
                except AssertionError as failure:
                    print(f"FAILED {failure}", flush=True)
                    failures.append(f"{victim} {nth}")
                lab.programs.pop().end()
                if f"{victim} {nth}" in failures:
                    lab.put_away()  # the next one begins as this one did
    t.note(f"{n} calls failed; without: {plain.took_s:.2f} s, the slowest {slowest[0]:.1f} s: {slowest[1]}")
    t.equal(failures, [], "tellings")


if __name__ == "__main__":
    main(scenario, all=0, seed=0, only="", part=0, parts=1)
