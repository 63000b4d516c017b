#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""108 — `sluice run`: exit statuses, descendants, and its own violent end

   sluice run ──┬── sluice-keeper ── sluiced, provider
                └── COMMAND ── children        (new child cgroup of the caller's)
"""
import json
import os
import signal

from lib import machine, main
from lib.wait import wait_for

SLEEPER = "import os,sys,time; open(sys.argv[1],'w').write(str(os.getpid())); time.sleep(1000)"


def check_statuses(t, lab, permissive):
    for command, wanted in ((["true"], 0), (["false"], 1), (["sh", "-c", "exit 42"], 42),
                            (["/nonexistent/program"], 127), ([lab.folder], 126),
                            (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM)):
        run = lab.run([permissive], command)
        t.equal(run.popen.returncode, wanted, f"{command}: exit status; {run.stderr}")
    run = lab.run(["no-such-provider"], ["true"])
    t.equal(run.popen.returncode, 125, "a filter that is not there: exit status")
    t.check("no-such-provider" in run.stderr, f"the message names it: {run.stderr!r}")
    run = lab.run([lab.test_filter(no_such_option=1)], ["true"])
    t.equal(run.popen.returncode, 125, f"an option that is refused: exit status; {run.stderr}")


def read_pid(path):
    return wait_for(lambda: os.path.exists(path) and open(path).read(), 10, f"{path} to be written")


def check_descendants(t, lab):
    """COMMAND ends, its child does not: it stays governed, the instance stays"""
    path = lab.new_file("pid")
    later = " ".join(lab.flowgen("tcp", "10.79.8.1", 7, 1))
    run = lab.start([lab.test_filter(deny_address="10.79.8.1")],
                    ["sh", "-c", f"(while [ ! -e {path}.go ]; do sleep 0.05; done; {later} >{path}.out)"
                                 f" & echo $! >{path}; exit 7"])
    child = int(read_pid(path))
    t.check(machine.is_alive(child), "the child runs on")
    open(path + ".go", "w").close()
    t.equal(run.wait(20), 7, "exit status: COMMAND's, after its descendants have ended")
    t.check("ECONNREFUSED" in open(path + ".out").read(), "the child was still governed")


def check_closed(t, lab):
    """standard descriptors that the caller has closed are nobody's channel"""
    flows = "; ".join(" ".join(lab.flowgen("tcp", address, 7, 1)) for address in ("10.79.8.1", "10.79.8.2"))
    for closed in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"):
        path = lab.new_file("out", "")
        run = f"{lab.path('sluice')} run --filter {lab.test_filter(deny_address='10.79.8.1')} -- sh -c '({flows}) >{path}'"
        program = lab.plain(["sh", "-c", f"{run} {closed}"], 30)
        t.equal(program.popen.returncode, 0, f"{closed}: exit status: {program.stderr}")
        t.equal([list(json.loads(line)["errors"]) for line in open(path)], [["ECONNREFUSED"], ["0"]], f"{closed}: judged")


def open_files(pid):
    """what its descriptors lead to"""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass  # closed meanwhile


def check_inherited(t, lab):
    """COMMAND has what the caller had open, and nobody of ours has"""
    path, end = lab.new_file("inherited", ""), lab.new_file("end")
    command = f"readlink /proc/self/fd/7; while [ ! -e {end} ]; do sleep 0.05; done"
    run = f"exec {lab.path('sluice')} run --filter {lab.test_filter()} -- sh -c '{command}'"
    program = lab.start_plain(["sh", "-c", f"exec 7<{path}; {run}"])
    wait_for(lambda: program.stdout, 15, "COMMAND to run")
    t.equal(program.stdout.strip(), path, "COMMAND's descriptor")
    keeper = machine.keeper_of(program.pid, lab.build)
    for pid in [keeper, *(pid for pid in machine.processes(lab.build) if machine.descends(pid, keeper))]:
        t.check(path not in open_files(pid), f"{machine.exe_of(pid)} has the caller's descriptor")
    open(end, "w").close()
    t.equal(program.wait(20), 0, "exit status")


def check_signals(t, lab):
    """SIGINT and SIGTERM reach COMMAND; everything is removed"""
    for number in (signal.SIGTERM, signal.SIGINT):
        path = lab.new_file("pid")
        run = lab.start([lab.test_filter()], ["/usr/bin/python3", "-c", SLEEPER, path])
        read_pid(path)
        run.kill(number)
        status = run.wait(15)
        t.check(status in (128 + number, -number, 1, 130), f"after {number.name}: exit status {status}")
        lab.expect_nothing_left()


def check_signals_later(t, lab):
    """COMMAND has ended, its child has not: a signal ends the child and the instance"""
    for number in (signal.SIGTERM, signal.SIGINT):
        path = lab.new_file("pid")
        command = f"setsid sleep 60 & echo $! >{path}; echo $$ >{path}.command; exit 0"
        run = lab.start([lab.test_filter()], ["sh", "-c", command])
        child, command = int(read_pid(path)), int(read_pid(path + ".command"))
        wait_for(lambda: not machine.is_alive(command), 10, "COMMAND to end")
        t.check(machine.is_alive(child), "the child runs on")
        run.kill(number)
        wait_for(lambda: run.popen.poll() is not None, 8, f"sluice run to end after {number.name}")
        t.check(not machine.is_alive(child), f"after {number.name}: the child has ended")
        lab.expect_nothing_left()


def check_panicked(t, lab):
    """`sluice panic` has removed it: nobody is told to do so again"""
    path = lab.new_file("pid")
    run = lab.start([lab.test_filter()], ["/usr/bin/python3", "-c", SLEEPER, path])
    read_pid(path)
    panic = lab.sluice("panic", "--instance", f"r{run.pid}")
    t.equal(panic.popen.returncode, 0, f"panic: {panic.stdout} {panic.stderr}")
    t.equal(run.wait(15), 125, "after panic: exit status")
    t.check("ending COMMAND" in run.stderr and "sluice panic" not in run.stderr, f"after panic: told {run.stderr}")
    lab.expect_nothing_left()


def check_killed(t, lab):
    """kill -9 of `sluice run`: the keeper ends the cgroup and removes everything"""
    path = lab.new_file("pid")
    run = lab.start([lab.test_filter()], ["/usr/bin/python3", "-c", SLEEPER, path])
    child = int(read_pid(path))
    governed = machine.cgroup_of(child)
    t.check(governed not in ("", "/"), f"COMMAND is in a cgroup of its own: {governed}")
    t.check(machine.netns_of(child) == lab.client.inode, "COMMAND is in the caller's network")
    run.kill(signal.SIGKILL)
    run.wait()
    wait_for(lambda: not machine.is_alive(child), 5, "COMMAND to be ended")
    wait_for(lambda: not os.path.exists(machine.cgroup_root() + governed), 5, "its cgroup to be gone")
    lab.expect_nothing_left()


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        check_statuses(t, lab, lab.test_filter())
        check_descendants(t, lab)
        check_closed(t, lab)
        check_inherited(t, lab)
        check_signals(t, lab)
        check_signals_later(t, lab)
        check_panicked(t, lab)
        check_killed(t, lab)


if __name__ == "__main__":
    main(scenario)
