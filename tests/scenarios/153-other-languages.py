#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""153 — filters in Python and in shell, and one that reads the name of a TLS connection

   [ client ns: curl, actor.py ]──uplink──[ server ns: DNS, HTTP, echo :7 ]
        ├ examples/hello-filter.py   the binding of the tree, under the provider's sandbox
        ├ sluice filter sh SCRIPT    a script for each flow: values, verdicts, hanging, failing
        └ examples/peek-tls          a hello of a client: shown, and cut when it names the wrong host
"""
import json
import os
import shutil
import signal
import ssl

from lib import machine, main
from lib.wait import wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
EVIL = "x $(touch PWNED) `touch PWNED`;touch PWNED|*?~'\""


def curl(name):
    return ["curl", "-q", "-sS", "-m", "20", f"http://{name}/"]


def by_script(lab, script, command, *options):
    """`sluice filter sh`, running"""
    records = lab.new_file("flows")
    program = lab.start_plain([lab.path("sluice"), "filter", "sh", script, "--flows", records, *options,
                               "--", *command])
    program.records = records
    return program


def reasons(program, **wanted):
    """of the flow records with these values"""
    with open(program.records) as file:
        records = [json.loads(line) for line in file]
    return [record["reason"] for record in records
            if all(record.get(key) == value for key, value in wanted.items())]


def check_python(t, lab):
    path = os.path.join(TOP, "examples/hello-filter.py")
    with open(path) as file:
        t.check(len(file.readlines()) <= 10, "the example has ten lines")
    for name, verdict in (("good.example", "allow"), ("blocked.example", "drop")):
        run = lab.run([path], curl(name))
        t.equal(run.wait_flow(host=name, event="new")["verdict"], verdict, f"Python: {name}")
        t.equal("hello" in run.stdout, verdict == "allow", f"Python: curl of {name}")
        wait_for(lambda: f"{name} 10.79.53." in run.stderr, 5, "what it prints")


def check_verdicts(t, lab):
    script = '''case "$protocol $port $host" in
        tcp*blocked.example) echo drop it is listed;;
        tcp*silent.example) echo silent;;
        *) echo allow;;
        esac'''
    for name, verdict, reason in (("good.example", "allow", "script"), ("blocked.example", "drop", "it is listed")):
        program = by_script(lab, script, curl(name))
        status = program.wait()
        t.equal(status == 0, verdict == "allow", f"shell: curl of {name}: {program.stderr}")
        t.equal(reasons(program, event="new", host=name, dport=80), [reason], f"shell: {name}: its reason")
    run = lab.run(["shell:script=" + lab.new_file("sh", script)], lab.flowgen("tcp", "10.79.53.1", 7, 20))
    t.equal(run.json()["errors"], {"0": 20}, "shell: a file, and more flows than run at once")


def check_values(t, lab):
    """a program with an evil name and evil arguments, and a script without quotes"""
    exe = os.path.join(lab.folder, EVIL)
    shutil.copy("/usr/bin/curl", exe)
    program = by_script(lab, 'echo "seen $exe $command" >&2; eval echo $command >&2; set -- $command $exe; echo allow $#',
                        [exe, *curl("good.example")[1:], "-A", EVIL])
    t.equal(program.wait(), 0, f"values: {program.stderr}")
    wait_for(lambda: "%24(touch" in program.stderr or "%24%28touch" in program.stderr, 5, "what the script says")
    t.equal(reasons(program, event="new", dport=80), ["2"], "values: each is one word")
    t.check("touch:" not in program.stderr and "not found" not in program.stderr, f"values: nothing was run: {program.stderr}")


FAILING = [("closed", "exit 3", "ended with status 3"), ("closed", "kill -9 0", "the script was killed"),
           ("closed", "echo perhaps", "neither allow"), ("open", "true", "it printed no verdict"),
           ("closed", "echo allow; echo drop", "more than a line"),
           ("open", "sleep 1000 & sleep 1000", "took longer than 4 seconds")]


def start_failing(lab):
    """each takes as long as a flow may wait: all at once"""
    act = lab.flowgen("tcp", "10.79.53.1", 7, 1, 1, 30000)
    return [by_script(lab, script, act, "--fail", fail) for fail, script, _ in FAILING]


def check_failing(t, programs):
    for (fail, script, text), program in zip(FAILING, programs):
        program.wait()
        t.equal(program.json()["errors"], {"0": 1} if fail == "open" else {"ECONNREFUSED": 1}, f"{script}: fails {fail}")
        t.check(text in program.stderr and "tcp 10.79.53.1 port 7" in program.stderr, f"{script}: told: {program.stderr}")


def check_refused(t, lab):
    program = lab.sluice("filter", "sh", "if then", "--", "true")
    t.equal(program.popen.returncode, 125, "a script with an error in it: the exit status")
    t.check("Syntax error" in program.stderr, f"a script with an error in it: {program.stderr}")
    for words, text in ((("--", "true"), "SCRIPT is missing"), (("", "--", "true"), "it is empty"),
                        (("echo allow", "--no-such", "--", "true"), "filter: unrecognized option")):
        program = lab.sluice("filter", "sh", *words)
        t.equal(program.popen.returncode, 125, f"{words}: the exit status")
        t.check(text in program.stderr, f"{words}: {program.stderr}")
    program = lab.sluice("filter", "perl", "x")
    t.equal(program.popen.returncode, 125, "another language: the exit status")
    t.check("usage: sluice filter sh" in program.stderr, "another language: the usage")
    t.equal(lab.sluice("filter", "--help").popen.returncode, 0, "--help")


def check_rights(t, lab):
    """what a script starts has its filter's rights, and ends with it"""
    script = 'echo "ids $(id -u), $(grep NoNewPrivs /proc/self/status)" >&2; echo x > /dev/shm/sluice-153; ' \
             'kill -0 $PPID; sleep 1000; echo allow'
    run = lab.start(["shell:script=" + lab.new_file("sh", script)], lab.flowgen("tcp", "10.79.53.1", 7, 1, 1, 60000))
    shell = run.wait_pid("shell")
    cgroup = machine.cgroup_of(shell)
    sleeping = wait_for(lambda: [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                                 if machine.exe_of(pid).endswith("sleep") and machine.cgroup_of(pid) == cgroup], 10, "its program")
    for pid in sleeping:
        status = machine.status_of(pid)
        t.equal((int(status["CapEff"], 16), status["Seccomp"], status["NoNewPrivs"]), (0, "2", "1"), "a script's program: rights")
        t.equal(status["Uid"], machine.status_of(shell)["Uid"], "a script's program: user")
        t.equal(machine.netns_of(pid), machine.netns_of(shell), "a script's program: network")
    os.kill(shell, signal.SIGKILL)
    wait_for(lambda: not any(machine.is_alive(pid) for pid in sleeping), 5, "the end of what the script started")
    run.kill(15)
    run.wait(15)
    t.check("annot create /dev/shm/sluice-153" in run.stderr and not os.path.exists("/dev/shm/sluice-153"), "it writes no file")
    t.check("kill:" in run.stderr, f"it signals nobody else: {run.stderr}")


def check_tls(t, lab):
    def hello(name):
        out = ssl.MemoryBIO()
        tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return out.read()

    for name, told in (("good.example", "0"), ("blocked.example", "ECONNABORTED")):
        with lab.capture() as capture:
            run = lab.run([lab.path("examples/peek-tls")], lab.actor("say_hex", "10.79.53.1", 7, hello(name).hex()))
            capture.stop()
            left = sum(len(packet.payload) for packet in capture.packets(lambda packet: packet.dst == "10.79.53.1"))
        t.equal(run.json()["told"][-1], told, f"TLS to {name}: {run.stderr}")
        t.equal(left > 0, told == "0", f"TLS to {name}: {left} bytes left")
        t.check(f'TLS name: "{name}"' in run.stderr, f"TLS to {name}: shown")


def scenario(t):
    t.needs("curl", "examples/peek-tls", "providers/shell")
    with t.lab() as lab:
        zone = lab.dns()
        zone.add("good.example", "A", "10.79.53.1")
        zone.add("blocked.example", "A", "10.79.53.2")
        lab.http()
        lab.tcp_echo(7)
        failing = start_failing(lab)
        for check in (check_python, check_verdicts, check_values, check_refused, check_rights, check_tls):
            check(t, lab)
        check_failing(t, failing)


if __name__ == "__main__":
    main(scenario)
