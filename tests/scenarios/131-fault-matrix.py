#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""131 — the fault matrix: whatever dies, hangs, is slow or lies, the fail class holds

   [ client ns: a program that gets orders ]──uplink──│count│──[ server ns: DNS, HTTP, echo ]
        ├ a download and a datagram echo run all the time: they are decided, and must not notice
        └ at each fault: flows that the filter allows and denies, TCP and UDP, are held, or begin
          × fails open, fails closed

docs/fault-matrix.md has a row a cell; its table is lib/faults.py's, as this test's is.
Times are figures: a cell fails only at several times what it promises.
"""
import itertools
import os
import signal

from lib import faults, machine, main
from lib.orders import Decided, Ordered
from lib.still import Still
from lib.wait import wait_for

DELAY_MS = 250    # of the filter: long enough for a fault while it is asked
NORMAL_MS = 500   # from the restart to flows that are judged as ever
ERROR_MS = 50     # closed: the application has its error so long after the deadline
PASS_MS = 100     # open: it passes
ALLOWED, DENIED = "10.79.31", "10.79.32"
DEATHS = 9        # SESSION_DEATHS_MAX and one more
PROCESS = {"provider": "test-filter", "keeper": "sluice-keeper", "names": "sluice-names"}


class Cells:
    """the cells of one fail class in one instance"""

    hosts = itertools.count(1)  # of all: what left the machine is counted by its address

    def __init__(self, t, lab, fails, **options):
        self.t, self.lab, self.fails, self.still = t, lab, fails, Still()
        self.program = Ordered(lab, [lab.test_filter(deny_address=DENIED + ".0/24", **options)], fail=fails)
        self.run = self.program.run
        try:
            self.decided = Decided(lab, self.program)
        except BaseException:
            self.program.end()
            raise

    def pid(self, part):
        return self.run.wait_pid(PROCESS.get(part, part))

    def begin(self):
        """four flows that nobody has judged"""
        host = next(self.hosts)
        ends = (f"{ALLOWED}.{host}", f"{DENIED}.{host}")
        return {(proto, end): self.program.order(proto, end, 7) for proto in ("tcp", "udp") for end in ends}

    def begin_by_name(self):
        """the same four, each behind a question for a name that was not asked before"""
        host, flows = next(self.hosts), {}
        for proto, net in itertools.product(("tcp", "udp"), (ALLOWED, DENIED)):
            name, end = f"{proto}{host}.{net.replace('.', '-')}.example", f"{net}.{host}"
            self.lab.zone.add(name, "A", end, ttl=60)
            flows[proto, end] = self.program.order(proto, name, 7)
        return flows

    def hold(self):
        flows = self.begin()
        wait_for(lambda: self.lab.n_held() >= len(flows), 5, "every flow held")
        return flows

    def check(self, title, flows, wire, outcome, limit_ms, errors=("ECONNREFUSED",)):
        """what the application got of each, and what left the machine"""
        passes = [(proto, end) for proto, end in flows
                  if (end.startswith(ALLOWED) if outcome == faults.JUDGED else self.fails == "open")]
        slowest = 0
        for flow, number in flows.items():
            answer = self.program.answer(number, within=20)
            slowest = max(slowest, answer["took_ms"])
            wanted = ("0",) if flow in passes else errors
            self.t.check(answer["error"] in wanted, f"{title}: {flow}: {answer}, wanted {wanted}")
        left = {end for _, end in flows} - {end for _, end in passes}
        self.t.equal(wire.count(lambda p: p.dst in left), 0, f"{title}: packets of what was not to pass")
        self.still.check(self.t, slowest, limit_ms[1], title, free_ms=limit_ms[0])
        return slowest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """also after a failure: a download that goes on would keep the capture from ending"""
        self.decided.end()
        self.program.end()


def do(cells, one, pid):
    """Return: what is to be waited for"""
    if one.kind == "killed":
        os.kill(pid, signal.SIGKILL)
    elif one.kind == "hung":
        os.kill(pid, signal.SIGSTOP)
    elif one.kind == "slow":
        return faults.stumble(pid, 1.5, *((0.1, 0.05) if one.part == "names" else (0.3, 0.1)))
    elif one.part == "keeper":  # its channel to sluiced, not that to `sluice run`
        faults.say_nonsense(pid, lambda fd: fd != 3)
    else:
        faults.say_nonsense(pid)
    return None


def check_fault(cells, wire, part, kind):
    one, t = faults.fault(part, kind), cells.t
    title = f"{part} {kind}, fails {cells.fails}"
    cells.decided.gaps()
    pid = cells.pid(part)
    replaced = cells.run.wait_pid(one.replaced) if one.replaced else None
    if part == "names":
        thread = do(cells, one, pid)
        flows = cells.begin_by_name()
    else:
        flows = cells.hold()
        thread = do(cells, one, pid)
    asked_ms = DELAY_MS * (2 if part == "names" else 1)  # the question for the name is a flow as well
    slowest = cells.check(title, flows, wire, one.outcome, (one.limit_ms + asked_ms, NORMAL_MS))
    if thread:
        thread.join()
    if one.replaced:
        cells.run.wait_pid(one.replaced, other_than=replaced)
    normal = cells.check(title + ", afterwards", cells.begin(), wire, faults.JUDGED, (DELAY_MS, NORMAL_MS))
    text = cells.decided.check(t, title)
    if part == "keeper" and kind == "hung":
        os.kill(pid, signal.SIGCONT)
    t.note(f"{title}: judged after {slowest:.0f} ms, of which the filter {asked_ms}; the next after {normal:.0f} ms; {text}")


def check_keeper_killed(cells, wire):
    """the end of the instance; `sluice run` is kept from ending COMMAND with it"""
    one, t = faults.fault("keeper", "killed"), cells.t
    title, daemon = f"keeper killed, fails {cells.fails}", cells.pid("sluiced")
    try:
        flows = cells.hold()
        cells.decided.gaps()
        cells.run.kill(signal.SIGSTOP)
        os.kill(cells.pid("keeper"), signal.SIGKILL)
        wait_for(lambda: not machine.is_alive(daemon), 5, "sluiced to end with its keeper")
        fresh = cells.check(title, cells.begin(), wire, one.outcome, (0, PASS_MS), ("ECONNREFUSED", "EPERM"))
        held = cells.check(title + ", held", {flow: n for flow, n in flows.items() if flow[0] == "tcp"}, wire,
                           one.outcome, (DELAY_MS + 1000, PASS_MS))
        lost = {end for proto, end in flows if proto == "udp"}
        t.equal(wire.count(lambda p: p.proto == "udp" and p.dst in lost), 0, f"{title}: datagrams that were held")
        text = cells.decided.check(t, title)
        t.note(f"{title}: {fresh:.0f} ms, TCP that was held {held:.0f} ms; {text}")
    finally:
        end_without_keeper(cells)


def end_without_keeper(cells):
    cells.run.kill(signal.SIGKILL)
    cells.run.wait()
    cells.lab.end_governed(f"r{cells.run.pid}")
    cells.lab.expect_nothing_left()


def check_slow_provider(cells, wire):
    t, one, title = cells.t, faults.fault("provider", "slow"), f"provider slow, fails {cells.fails}"
    slowest = cells.check(title, cells.begin(), wire, one.outcome,
                          (one.limit_ms, ERROR_MS if cells.fails == "closed" else PASS_MS))
    t.note(f"{title}: {slowest:.0f} ms; {cells.decided.check(t, title)}")


def check_lying_provider(cells, wire):
    """forged and second answers; a bad record is one of the faults of check_fault()"""
    t, title = cells.t, f"provider lying, fails {cells.fails}"
    slowest = cells.check(title, cells.begin(), wire, faults.JUDGED, (0, NORMAL_MS))
    t.note(f"{title}: judged after {slowest:.0f} ms; {cells.decided.check(t, title)}")


def check_given_up(cells, wire):
    """it dies again and again: nobody waits for it any more, and a person is told what to do"""
    t, title, pid = cells.t, f"provider given up, fails {cells.fails}", None
    for _ in range(DEATHS):
        pid = cells.run.wait_pid(PROCESS["provider"], other_than=pid)
        machine.kill(pid)

    def status():
        answer = cells.lab.sluice("status", "--instance", f"r{cells.run.pid}").stdout
        return "given up" in answer and answer
    text = wait_for(status, 10, "sluice status to say that it was given up")
    t.check(" failed " in text, f"{title}: its state: {text}")
    step = f"given up, every flow fails {cells.fails}: put the filter right, then start the instance again"
    for source in (text, cells.run.stderr):
        t.check(step in source, f"{title}: the next step: {source}")
    slowest = cells.check(title, cells.begin(), wire, faults.CLASS, (0, PASS_MS))
    t.note(f"{title}: {slowest:.0f} ms; {cells.decided.check(t, title)}")


def check_class(t, lab, wire, fails):
    with Cells(t, lab, fails, delay_ms=DELAY_MS) as cells:
        for one in faults.FAULTS:
            if (one.part, one.kind) not in (("provider", "slow"), ("keeper", "killed")):
                check_fault(cells, wire, one.part, one.kind)
        check_keeper_killed(cells, wire)
    with Cells(t, lab, fails, lie=1) as cells:
        check_lying_provider(cells, wire)
        check_given_up(cells, wire)
    slow_ms = faults.fault("provider", "slow").limit_ms + 1000
    with Cells(t, lab, fails, delay_ms=slow_ms, delay_from=3) as cells:  # from the third flow on
        check_slow_provider(cells, wire)


def check_document(t):
    path = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../docs/fault-matrix.md")
    with open(path) as file:
        t.check(faults.table() in file.read(), "docs/fault-matrix.md has another table than lib/faults.py prints")
    t.equal({(one.part, one.kind) for one in faults.FAULTS},
            {(part, kind) for part in faults.PARTS for kind in faults.KINDS}, "faults of the matrix")
    t.note(f"{len(list(faults.rows()))} cells")


def scenario(t):
    check_document(t)
    with t.lab() as lab:
        lab.dns()
        lab.http()
        lab.tcp_echo(7)
        lab.udp_echo(7)
        with lab.capture() as wire:
            for fails in ("closed", "open"):
                check_class(t, lab, wire, fails)


if __name__ == "__main__":
    main(scenario)
