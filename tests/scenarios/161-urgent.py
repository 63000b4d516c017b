#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""161 — on a busy machine sluiced runs before other programs, and never for long without a pause

   [ client ns: flowgen, and programs that keep every processor busy ]──uplink──[ server ns: echo :7 ]
        └ sluiced says that it waits, and its keeper has it run before others; and `busy`, which
          runs before others and never pauses
"""
import json
import os
import signal

from lib import Skip, machine, main
from lib.wait import wait_for

ALLOWED, DENIED = "10.79.61.1", "10.79.61.2"
URGENT = os.SCHED_RR | os.SCHED_RESET_ON_FORK
BESIDE = 3  # programs, for each processor


def policy_of(pid):
    return os.sched_getscheduler(pid)


def put_before_others(pid):
    os.sched_setscheduler(pid, URGENT, os.sched_param(1))


def need_real_time(lab):
    """a cgroup of version 1, or a container, may give none"""
    program = lab.start_plain(["sleep", "1000"])
    try:
        put_before_others(program.pid)
    except PermissionError as error:
        raise Skip(f"no program may be real-time here: {error}") from None
    finally:
        program.kill(signal.SIGKILL)
        program.wait()


def check_waiting(t, lab):
    flow = {end: " ".join(lab.flowgen("tcp", end, 7, 20)) for end in (ALLOWED, DENIED)}
    ready = lab.new_file("ready")
    run = lab.start([lab.test_filter(deny_address=DENIED)],
                    ["sh", "-c", f"{flow[ALLOWED]}; touch {ready}; while [ -e {ready} ]; do sleep 0.05; done; "
                                 f"{flow[ALLOWED]}; {flow[DENIED]}"], fail="closed")
    wait_for(lambda: os.path.exists(ready), 20, "the first flows")
    daemon = run.wait_pid("sluiced")
    crowd = [lab.start_plain(["python3", "-c", "while True: pass"]) for _ in range(BESIDE * os.cpu_count())]
    wait_for(lambda: policy_of(daemon) == URGENT, 30, "sluiced to run before others")
    os.unlink(ready)
    t.equal(run.wait(60), 0, f"exit status; {run.stderr}")
    for program in crowd:
        program.kill(signal.SIGKILL)
        program.wait()
    got = [json.loads(line)["errors"] for line in run.stdout.splitlines()]
    t.equal(got, [{"0": 20}, {"0": 20}, {"ECONNREFUSED": 20}], "flows")


def check_others(t, lab):
    """only sluiced is ever urgent"""
    run = lab.start([lab.test_filter()], ["sleep", "1000"])
    for name in ("sluiced", "sluice-keeper", "sluice-names", "test-filter"):
        run.wait_pid(name)
    put_before_others(run.wait_pid("sluiced"))
    for name in ("sluice-keeper", "sluice-names", "test-filter"):
        t.equal(policy_of(run.wait_pid(name)), os.SCHED_OTHER, f"{name}: policy")
    status = machine.status_of(run.wait_pid("sluiced"))
    t.equal(int(status["SigBlk"], 16), 0, "sluiced: no signal is kept from it")
    t.check(int(status["SigCgt"], 16) & 1 << signal.SIGXCPU - 1, "sluiced: it takes SIGXCPU")
    limits = open(f"/proc/{run.wait_pid('sluiced')}/limits").read()
    line = next(line for line in limits.splitlines() if line.startswith("Max realtime timeout"))
    t.equal(line.split()[3], "50000", f"sluiced: {line}")
    run.kill(signal.SIGTERM)
    run.wait(20)


def check_busy(t, lab):
    """each time that it was put before others"""
    program = lab.start_plain([lab.path("tests/unit/busy")])
    wait_for(lambda: "ready" in program.stdout, 10, "busy")
    for n in (1, 2, 3):
        put_before_others(program.pid)
        wait_for(lambda: program.stdout.count("as others") == n, 20, f"the end of its privilege, {n}")
    t.check(machine.is_alive(program.pid), "it goes on")
    t.equal(program.stdout.split("\n")[1:3], ["urgent", "as others"], "what it noticed")
    program.kill(signal.SIGKILL)
    program.wait()


def scenario(t):
    with t.lab() as lab:
        need_real_time(lab)
        lab.tcp_echo(7)
        check_waiting(t, lab)
        check_others(t, lab)
        check_busy(t, lab)


if __name__ == "__main__":
    main(scenario)
