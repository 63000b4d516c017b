#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""149 — each fault of the matrix while a filter looks at bytes: the cells "peeking"

   [ client ns: two flows that the filter allows, two that it denies, TCP and UDP ]──uplink──│count│──[ server ns ]
        └ test-filter is shown 64 bytes of each and pauses; then a part dies, hangs, stumbles or lies
          goes as the filter says, or as its class does; what is denied never leaves
"""
import os
import signal

from lib import faults, machine, main
from lib.wait import wait_for

TO4 = "10.79.49.1"
DENY_TEXT = "forbidden"
PAUSE_MS = 1200  # longer than it takes to bring any of it about
PROCESS = {"provider": "test-filter", "keeper": "sluice-keeper", "names": "sluice-names"}
TALKS = [("say", "hello"), ("say", DENY_TEXT), ("say_datagram", "hello"), ("say_datagram", DENY_TEXT)]


def bring_about(run, one):
    """Return: what ends it"""
    pid = run.wait_pid(PROCESS.get(one.part, one.part))
    if one.kind == "killed":
        if one.part == "keeper":  # or it would end COMMAND
            run.kill(signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
    elif one.kind == "hung":
        os.kill(pid, signal.SIGSTOP)
        if one.part == "keeper":
            return lambda: machine.kill(pid, signal.SIGCONT)
    elif one.kind == "slow":
        return faults.stumble(pid, 1.5, *((0.1, 0.05) if one.part == "names" else (0.3, 0.1))).join
    elif one.part == "keeper":
        faults.say_nonsense(pid, lambda fd: fd != 3)
    else:
        faults.say_nonsense(pid)
    return lambda: None


def wanted_of(one, fails):
    """of the four: what its last call was told"""
    if one.outcome == faults.JUDGED:
        return [("0",), ("ECONNABORTED", "ECONNRESET"), ("0",), ("ECONNREFUSED",)]
    if fails == "open":  # a datagram that was held ends with the queue
        return [("0",), ("0",)] + [("0",) if one.outcome == faults.CLASS else ("nothing",)] * 2
    return [("ECONNABORTED", "ECONNRESET")] * 2 + [("ECONNREFUSED", "nothing")] * 2


def check(t, lab, fails, one):
    """it happens while the filter has paused four flows: two that it allows, two that it denies"""
    title = f"{one.part} {one.kind} while a filter looks, fails {fails}"
    is_slow = (one.part, one.kind) == ("provider", "slow")
    patience_s = "3" if one.outcome == faults.NOBODY else "8"
    script = "& ".join(" ".join(lab.actor(act, TO4, 7, text, *([patience_s] if act == "say_datagram" else [])))
                       for act, text in TALKS)
    # without a keeper nobody judges: the filter must not have done so before
    how = {"never_answer": 1} if is_slow or one.outcome == faults.NOBODY else {"pause_ms": PAUSE_MS}
    go = lab.new_file("go", "")  # until then there is somebody for it to happen to
    with lab.capture() as capture:
        run = lab.start([lab.test_filter(peek_out=64, peek_in=64, deny_when_seen=DENY_TEXT, **how)],
                        ["sh", "-c", script + f"& wait; while [ -e {go} ]; do sleep 0.02; done"], fail=fails)
        wait_for(lambda: len(run.flows(event="new", state="peeking")) == len(TALKS), 30, "every flow to be looked at")
        ends = (lambda: None) if is_slow else bring_about(run, one)
        wait_for(lambda: run.stdout.count("\n") >= len(TALKS), 40, f"{title}: what became of all")
        os.unlink(go)
        ends()
        if one.outcome == faults.NOBODY:
            run.kill(signal.SIGKILL)
            run.wait()
            lab.end_governed(f"r{run.pid}")
        run.wait()
        capture.stop()
        packets = capture.packets(lambda packet: packet.dst == TO4)
    told = {(result["text"], len(result["told"])): result["told"][-1] for result in run.jsons()}
    for (act, text), wanted in zip(TALKS, wanted_of(one, fails), strict=True):
        found = told.get((text, 3 if act == "say" else 2))
        t.check(found in wanted, f"{title}: {act} {text}: {found}, wanted {wanted}")
    if one.outcome == faults.JUDGED or fails == "closed":
        t.equal([packet for packet in packets if DENY_TEXT.encode() in packet.payload], [], f"{title}: what leaves")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for fails in ("closed", "open"):
            for one in faults.FAULTS:
                check(t, lab, fails, one)


if __name__ == "__main__":
    main(scenario)
