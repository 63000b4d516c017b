#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""142 — a provider that attacks: nothing succeeds, and the others do not notice

   [ client ns: flowgen ]──uplink──[ server ns: echo :7 ]
        └ hostile × 14, one attempt each, then test-filter, which denies 10.79.42.1
   breaks: it breaks the protocol, is ended, and said to be
   hangs:  it is silent, is ended
   lies:   about flows of others, twice, too late, further than it was asked
   rules:  sets without an end, without a beginning, too many, too large, too slow
   takes:  descriptors, memory, threads, the log, the terminal
   escape: calls, sockets, other processes, files; beside a second instance
           whose provider runs under the same user
"""
import json
import os
import re
import signal
import time

from lib import machine, main
from lib.wait import wait_for

DENIED, ALLOWED = "10.79.42.1", "10.79.42.2"
BREAKS = ["one-byte", "cut-record", "unknown-type", "wrong-size", "long-tail",
          "wrong-direction", "closes-for-us", "stops-us", "hello-twice", "ready-twice",
          "verdict-limit", "scope-limit", "update-limit", "random-bytes", "huge-record",
          "unended-string", "reserved-bits", "verdict-flood", "duplicate-flood", "update-flood",
          "forget-flood", "log-flood", "pong-flood"]
HANGS = ["zero-length", "never-reads", "closes-channel", "half-closes", "spins", "forged-pongs"]
LIES = ["sequential-ids", "update-ids", "extreme-ids", "verdict-twice", "update-allow",
        "address-scope", "name-scope", "promise-and-forget", "leak-descriptors"]
TAKES = ["terminal-text", "prints-a-lot", "print-thread", "slow-reader", "fd-bomb", "memory-bomb",
         "thread-bomb", "spin-and-answer"]
BREAKS_RULES = ["rule-of-no-set", "commit-of-no-set", "endless-set", "begin-flood", "set-flood"]
LIES_RULES = ["half-a-set", "alike-rules", "large-set"]
BOMBS = ("descriptor bomb", "memory bomb", "thread bomb")
N_ESCAPES = 120  # at least; one for each call, and some for each process that is found


def hostile(lab, attempt, **options):
    words = [f"attempt={attempt}"] + [f"{key}={value}" for key, value in options.items()]
    return lab.path("tests/providers/hostile") + ":" + ",".join(words)


def good(lab):
    """late enough that lies told meanwhile meet a flow that is held"""
    return lab.test_filter(deny_address=DENIED, delay_ms=20)


def flows(lab, n):
    return [" ".join(lab.flowgen(proto, address, 7, n)) for proto in ("tcp", "udp")
            for address in (DENIED, ALLOWED)]


def check_flows(t, title, lines, n):
    wanted = [{"ECONNREFUSED": n}, {"0": n}] * 2
    t.equal([json.loads(line)["errors"] for line in lines], wanted, f"{title}: TCP and UDP, denied and allowed")


def n_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def check_group(t, lab, attempts, n=2, n_late=0):
    """an instance with one filter for each; Return: it, its flows done and itself still there.
    @n_late: that many flows before meet the fail class, or a filter in time"""
    title = f"{attempts[0]} … {attempts[-1]}"
    done = lab.new_file("done")
    ready = lab.new_file("ready")
    late = " ".join(lab.flowgen("tcp", ALLOWED, 7, n_late)) + "; " if n_late else ""
    command = (f"touch {ready}; while [ -e {ready} ]; do sleep 0.02; done; " + late + "; ".join(flows(lab, n)) +
               f"; touch {done}; while [ -e {done} ]; do sleep 0.02; done")
    run = lab.start([hostile(lab, attempt) for attempt in attempts] + [good(lab)], ["sh", "-c", command],
                    fail="closed")
    wait_for(lambda: os.path.exists(ready), 30, f"{title}: COMMAND to run")
    before = [run.wait_pid(name) for name in ("sluiced", "sluice-keeper")], run.pids("test-filter")
    n_fds = n_descriptors(before[0][0])
    os.unlink(ready)
    wait_for(lambda: os.path.exists(done), 60, f"{title}: flows")
    lines = run.stdout.splitlines()
    if n_late:
        told = json.loads(lines.pop(0))["errors"]
        t.check(set(told) <= {"0", "ECONNREFUSED"}, f"{title}: late flows: {told}")
    check_flows(t, title, lines, n)
    after = [run.wait_pid(name) for name in ("sluiced", "sluice-keeper")], run.pids("test-filter")
    t.equal(after, before, f"{title}: sluiced, sluice-keeper and the good filter are those of before")
    t.check(n_descriptors(before[0][0]) <= n_fds + 2, f"{title}: descriptors stay in sluiced")
    t.equal([record for record in run.flows(event="new", verdict="allow") if record["dst"] == DENIED], [],
            f"{title}: no denied flow is recorded as allowed")
    os.unlink(done)
    t.equal(run.wait(30), 0, f"{title}: exit status")
    t.equal(re.findall(r"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]", run.stderr), [], f"{title}: what a terminal obeys")
    return run


def check_breaks(t, lab):
    half = len(BREAKS) // 2
    for attempts in (BREAKS[:half], BREAKS[half:]):
        run = check_group(t, lab, attempts)
        t.equal(run.stderr.count("broke the protocol"), len(attempts),
                f"notices that a filter broke the protocol: {run.stderr}")


def check_hangs(t, lab):
    run = check_group(t, lab, HANGS, n_late=len(HANGS))
    t.equal(run.stderr.count("it hung"), len(HANGS), f"notices that a filter hung: {run.stderr}")


def check_lies(t, lab):
    check_group(t, lab, LIES, n=6)


def check_rules(t, lab):
    """each alone, since it may take most of a flow's time"""
    for attempt in BREAKS_RULES:
        run = check_group(t, lab, [attempt])
        t.equal(run.stderr.count("broke the protocol"), 1, f"{attempt}: notices: {run.stderr}")
    run = check_group(t, lab, LIES_RULES)
    t.check("too many rules like it" in run.stderr, f"who gives rules that are slow is told: {run.stderr}")


def check_takes(t, lab):
    run = check_group(t, lab, TAKES)
    lines = run.stderr.splitlines()
    # nothing that a provider prints looks like a line of sluiced
    t.equal([line for line in lines if re.match(r"(sluiced: )?forged|forged|print", line)], [], "forged lines")
    for what in BOMBS:
        refused = re.search(rf"attempt {what}: (\w+) at (\d+)", run.stderr)
        t.check(refused, f"{what} was tried")
        if what != "memory bomb" or not machine.is_sanitized(lab.build):
            t.equal(refused.group(1), "refused", f"{what} at {refused.group(2)}")
    t.check("lines were dropped" in run.stderr, "who prints too much is cut short, and it is said")


def check_escape(t, lab):
    """beside another instance, whose provider has the same user id"""
    secret, records = lab.new_file("list", "secret\n"), lab.new_file("records", "")
    for path in (secret, records):
        os.chmod(path, 0o600)
    twin = lab.start([lab.test_filter()], ["sleep", "1000"])
    twins = twin.wait_pid("test-filter"), twin.wait_pid("sluiced"), twin.wait_pid("sluice-keeper")
    names = {"flows": records, "list": secret, "state": "/run/sluice/esc142"}
    run = lab.run([hostile(lab, "escape", **names), good(lab)], ["sh", "-c", "; ".join(flows(lab, 1))],
                  fail="closed", has_records=False, options=["--flows", records, "--instance", "esc142"])
    check_flows(t, "escape", run.stdout.splitlines(), 1)
    told = re.findall(r"attempt (.*)", run.stderr)
    t.check(told, run.report())
    summary = told.pop()
    t.equal(told, [], "what was not refused")
    t.check(int(re.search(r"(\d+) refused", summary).group(1)) >= N_ESCAPES, summary)
    t.note("escape: " + summary)
    t.check(all(machine.is_alive(pid) for pid in twins), "the other instance lives")
    for pid in twins:
        with open(f"/proc/{pid}/stat") as file:
            t.check(file.read().split(") ")[1][0] != "T", f"{pid} is not stopped")
    twin.kill(signal.SIGTERM)
    twin.wait(15)


def scenario(t):
    t.needs("tests/providers/hostile")
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for check in (check_breaks, check_hangs, check_lies, check_rules, check_takes, check_escape):
            began = time.monotonic()
            check(t, lab)
            t.note(f"{check.__name__}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main(scenario)
