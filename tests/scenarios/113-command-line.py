#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""113 — sluice status, flows, doctor and panic on a living and on a dead instance

   sluice status/flows/doctor ──▶ /run/sluice/ID/control ──▶ sluiced
   sluice panic                    works with every process of the instance dead
"""
import json
import os
import signal
import subprocess

from lib import machine, main
from lib.wait import wait_for


def start(lab):
    """an instance with one open, one closed and one dropped flow; Return: (run, its id)"""
    dropped = " ".join(lab.flowgen("tcp", "10.79.13.2", 7, 1))
    allowed = " ".join(lab.flowgen("tcp", "10.79.13.1", 7, 1))
    run = lab.start([lab.test_filter(deny_address="10.79.13.2")],
                    ["sh", "-c", f"{allowed}; {dropped}; exec nc 10.79.13.3 7 </dev/zero >/dev/null"])
    run.wait_flow(within=15, dst="10.79.13.3", event="new")
    run.wait_flow(dst="10.79.13.1", event="closed")
    return run, f"r{run.pid}"


def check_status(t, lab, run, instance):
    answer = lab.sluice("status", "--instance", instance, "--json")
    t.equal(answer.popen.returncode, 0, f"status: exit status; {answer.stderr}")
    status = answer.json()
    status = status.get("status", status)
    t.equal(status["instance"], instance, "status: instance")
    t.equal(status["pid"], run.wait_pid("sluiced"), "status: pid of sluiced")
    t.equal((status["flows_total"], status["flows_dropped"]), (3, 1), "status: flows")
    t.equal(status["flows_open"], 1, "status: open flows")
    provider = status["providers"][0]
    t.equal((provider["name"], provider["state"]), ("test-filter", "running"), "status: provider")
    t.equal(provider["pid"], run.wait_pid("test-filter"), "status: pid of the provider")


def check_flows(t, lab, instance):
    answer = lab.sluice("flows", "--instance", instance, "--json")
    t.equal(answer.popen.returncode, 0, f"flows: exit status; {answer.stderr}")
    records = answer.jsons()
    t.equal([record["dst"] for record in records], ["10.79.13.3"], "flows: the open one")
    table = lab.sluice("flows", "--instance", instance).stdout
    t.check("10.79.13.3" in table and "nc" in table, f"flows: the table {table!r}")


def check_doctor(t, lab, instance):
    answer = lab.sluice("doctor", "--instance", instance, "--json")
    t.check(answer.popen.returncode in (0, 1), f"doctor: exit status; {answer.stderr}")
    checks = answer.json()["checks"]
    t.check(len(checks) >= 5, f"doctor: {len(checks)} checks")
    for check in checks:
        t.check(check["name"] and check["state"] in ("ok", "missing", "warning") and check["detail"],
                f"doctor: {check}")
    states = {check["name"]: check["state"] for check in checks}
    t.equal([states[name] for name in ("conntrack", "nat redirect")], ["ok"] * 2, "doctor: what proxies need, which 164 has run")
    t.note("doctor: " + ", ".join(f"{check['name']} {check['state']}" for check in checks))


def check_full_file(t, lab, instance):
    """a file of flow records that may not grow: an error, and the network goes on"""
    path = lab.new_file("full")
    flow = " ".join(lab.flowgen("tcp", "10.79.13.4", 7, 40))
    run = lab.plain(["sh", "-c", f"ulimit -f 8; exec {lab.path('sluice')} run --flows {path} -- {flow}"], 30)
    t.equal(run.popen.returncode, 0, f"a full file of records: {run.stderr}")
    t.equal(json.loads(run.stdout)["errors"], {"0": 40}, "every flow passes")
    t.check("flow records: File too large" in run.stderr, f"the reason: {run.stderr}")
    t.equal(oct(os.stat(path).st_mode & 0o777), "0o640", "what programs did is not for everybody")
    for verb in ("status --json", "flows", "flows --json", "lists", "doctor", "--help", "--version"):
        words = verb if verb[0] == "-" or verb == "doctor" else f"{verb} --instance {instance}"
        command = lab.plain(["sh", "-c", f"exec {lab.path('sluice')} {words} > /dev/full"])
        t.equal(command.popen.returncode, 1, f"{verb}, and no room for its output: {command.stderr}")
        t.check("output cannot be written" in command.stderr, f"{verb}: told: {command.stderr}")


def check_absent(t, lab):
    for words in (("status", "--instance", "nobody"), ("flows", "--instance", "nobody")):
        answer = lab.sluice(*words)
        t.equal(answer.popen.returncode, 5, f"{words}: exit status")
        t.check("nobody" in answer.stderr, f"{words}: {answer.stderr!r}")
    t.equal(lab.sluice("no-such-verb").popen.returncode, 2, "an unknown verb: exit status")


def check_panic(t, lab, run, instance):
    """everybody killed with -9: what enforces stays in the kernel until panic"""
    command = run.wait_flow(dst="10.79.13.3", event="new")["pid"]
    governed = machine.cgroup_root() + machine.cgroup_of(command)
    keeper, daemon = run.wait_pid("sluice-keeper"), run.wait_pid("sluiced")
    # both at once: each of the two would clean up after the other
    for number in (signal.SIGSTOP, signal.SIGKILL):
        run.kill(number)
        machine.kill(keeper, number)
    run.wait()
    wait_for(lambda: not machine.is_alive(daemon), 5, "sluiced to end with its keeper")
    t.check(os.path.isdir(governed), "the governed cgroup is still there")
    answer = lab.sluice("panic", "--instance", instance)
    t.check("sluice_" + instance in answer.stdout, f"panic says what it removed: {answer.stdout!r}")
    # the program is not ours to kill: it goes on, free, and its cgroup stays with it
    t.check(machine.is_alive(command), "the governed program lives")
    t.equal(answer.popen.returncode, 1, f"panic: something is left, and it says so; {answer.stdout}")
    t.check(governed in answer.stdout, f"panic names the cgroup: {answer.stdout!r}")
    os.kill(command, signal.SIGKILL)
    wait_for(lambda: not machine.is_alive(command), 5, "the governed program to end")
    answer = lab.sluice("panic", "--instance", instance)
    t.equal(answer.popen.returncode, 0, f"panic again: {answer.stdout} {answer.stderr}")
    t.check(not os.path.isdir(governed), f"panic again removes the empty cgroup {governed}")
    lab.expect_nothing_left()


def check_panic_early(t, lab):
    """an instance that died before it could write down what it has made"""
    name = f"early{os.getpid()}"
    folder = f"/run/sluice/{name}"
    for is_mounted in (True, False):
        os.makedirs(folder + "/bpf")
        if is_mounted:
            subprocess.run(["mount", "-t", "bpf", "bpf", folder + "/bpf"], check=True)
        answer = lab.sluice("panic", "--instance", name)
        t.equal(answer.popen.returncode, 0, f"panic without notes: {answer.stdout} {answer.stderr}")
        t.check(not os.path.exists(folder), f"{folder} is gone")


def check_panic_unnoted(t, lab):
    """notes and folder are gone, cgroups are not: they are found by their name"""
    name = f"lost{os.getpid()}"
    outer = f"{machine.cgroup_root()}/outer-{name}"
    ours = [f"{outer}/sluice-{name}{suffix}" for suffix in ("", ".providers")]
    others = [f"{outer}/sluice-{name}{suffix}" for suffix in ("x", "x.providers")]
    try:
        for path in (outer, *ours, *others):
            os.mkdir(path)
        answer = lab.sluice("panic", "--instance", name)
        t.equal(answer.popen.returncode, 0, f"panic without a folder: {answer.stdout} {answer.stderr}")
        for path in ours:
            t.check(path + "\n" in answer.stdout and not os.path.exists(path), f"{path}: {answer.stdout}")
        t.check(all(os.path.isdir(path) for path in others), "those of others stay")
    finally:
        for path in (*ours, *others, outer):
            if os.path.isdir(path):
                os.rmdir(path)


LEAVES = """
import os, signal, sys
from lib import machine, main
def scenario(t):
    with t.lab() as lab:
        run = lab.start([lab.test_filter()], ["sleep", "1000"], options=["--instance", "{name}"])
        run.wait_pid("test-filter")
        keeper = run.wait_pid("sluice-keeper")
        for number in (signal.SIGSTOP, signal.SIGKILL):
            run.kill(number)
            machine.kill(keeper, number)
        run.wait()
        print("left", flush=True)
        {then}
        t.check({is_waiting}, "which fails")
        while True:
            signal.pause()
main(scenario)
"""


def check_stopped_scenarios(t, lab):
    """whatever ends a scenario, it puts away what its instances left"""
    for n, (is_waiting, number, then) in enumerate((
            (True, signal.SIGTERM, "pass"), (True, None, "signal.alarm(1)"), (False, None, "pass"),
            (False, None, "os.unlink('/run/sluice/{name}/instance')"))):
        name = f"stop{os.getpid()}x{n}"
        text = LEAVES.format(name=name, is_waiting=is_waiting, then=then.format(name=name))
        program = lab.start_plain(["env", f"PYTHONPATH={os.path.dirname(os.path.realpath(__file__))}", "python3",
                                   lab.new_file("py", text), t.build])
        wait_for(lambda: "left" in program.stdout or program.popen.poll() is not None, 60, "the inner scenario")
        if number:
            t.check(machine.traces_of(name), f"the inner scenario leaves something: {program.report()}")
            program.kill(number)
        t.check(program.wait(100) not in (0, 77), f"the inner scenario fails: {program.report()}")
        t.check("\nleft\n" in "\n" + program.stdout, f"the inner scenario got there: {program.report()}")
        t.equal(machine.traces_of(name), set(), f"left, signal {number}, {then}")


def check_wrong_filters(t, lab):
    """nothing is started, and what is wrong is told by its name"""
    for word, text in ((lab.folder, f"{lab.folder} is no program"), ("/", "/ is no program"),
                       ("blocklist:list=", "list= names no file"), ("shell:script=", "script= names no file"),
                       ("blocklist:list=/" + 300 * "x", "the value of list is longer than 255 bytes"),
                       (lab.test_filter(deny_port=["1"] * 65), "more than 64 options")):
        program = lab.run([word], ["true"])
        t.equal(program.popen.returncode, 125, f"{word[:80]}: exit status")
        t.check(text in program.stderr and "restarting" not in program.stderr, f"{word[:80]}: told: {program.stderr}")
    program = lab.sluice("run", "--flows", "", "--", "true")
    t.equal((program.popen.returncode, program.stderr), (125, "sluice: no file is named for flow records\n"), "--flows of nothing")


def scenario(t):
    t.needs("nc")
    with t.lab() as lab:
        lab.tcp_echo(7)
        run, instance = start(lab)
        check_status(t, lab, run, instance)
        check_flows(t, lab, instance)
        check_doctor(t, lab, instance)
        check_absent(t, lab)
        check_full_file(t, lab, instance)
        check_wrong_filters(t, lab)
        check_panic_early(t, lab)
        check_panic_unnoted(t, lab)
        check_stopped_scenarios(t, lab)
        governed = machine.cgroup_root() + run.wait_flow(dst="10.79.13.3", event="new")["cgroup"]
        try:
            check_panic(t, lab, run, instance)
        finally:  # what a failure leaves must not stay on the machine
            if os.path.isdir(governed):
                with open(governed + "/cgroup.kill", "w") as file:
                    file.write("1")
                wait_for(lambda: not open(governed + "/cgroup.procs").read(), 5, "an empty cgroup")
                os.rmdir(governed)


if __name__ == "__main__":
    main(scenario)
