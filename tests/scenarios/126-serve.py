#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""126 — sluice serve: an instance for programs that are there already

   [ client ns: a cgroup with a sleeping program; flowgen in it ]──uplink──[ server ns: echo :7 ]
        └ configuration file, readiness, SIGTERM, kill -9 and a successor, panic;
          the cgroup and its programs are never touched
"""
import json
import os
import signal
import socket
import subprocess

from lib import machine, main
from lib.ns import Namespace
from lib.wait import SLOW, wait_for

SECOND = "10.77.26.1"  # of the client
DENIED, ALLOWED = "10.79.26.1", "10.79.26.2"
TRIES = 5
GOES_ON = {"tcp": "0", "udp": "0"}


class Governed:
    """a cgroup of this scenario's own with a program that must outlive everything"""

    def __init__(self, lab):
        with open("/proc/self/mounts") as mounts:
            root = next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")
        self.name = machine.cgroup_of(os.getpid()).rstrip("/") + f"/served-{os.getpid()}"
        self.path = root + self.name
        self._lab = lab

    def __enter__(self):
        os.mkdir(self.path)
        self.network = Namespace("served")  # the plane comes to wherever a governed program is
        with self.network:
            self.program = subprocess.Popen(["sleep", "1000"])
        self.add(self.program.pid)
        return self

    def add(self, pid):
        with open(self.path + "/cgroup.procs", "w") as file:
            file.write(str(pid))

    def __exit__(self, *_):
        self.program.kill()
        self.program.wait()
        self.network.close()
        wait_for(lambda: not self.pids(), 5, "the cgroup to be empty")
        os.rmdir(self.path)

    def pids(self):
        with open(self.path + "/cgroup.procs") as file:
            return [int(line) for line in file]

    def flow(self, address, proto="tcp"):
        """errno of a flow of a program inside"""
        words = " ".join(self._lab.flowgen(proto, address, 7, 1))
        program = self._lab.plain(["sh", "-c", f"echo $$ > {self.path}/cgroup.procs; exec {words}"])
        return list(json.loads(program.stdout)["errors"])[0]


def config_of(lab, governed, instance, fail="closed", start_ms=0, older="leave"):
    test_filter = lab.path("tests/providers/test-filter")
    return lab.new_file("conf", f"[Instance]\nId={instance}\nCgroup={governed.name}\nOlder={older}\n"
                                f"[Filter first]\nExec={test_filter}\nFail={fail}\n"
                                f"deny-address={DENIED}\ndeny-address=10.79.26.3\nstart-ms={start_ms}\n")


def serve(lab, config, is_ready=True, cgroup=None):
    """@cgroup: full path of a new one, for the program itself"""
    words = [lab.path("sluice"), "serve", "--config", config]
    if cgroup:
        os.mkdir(cgroup)
        words = ["sh", "-c", f"echo $$ > {cgroup}/cgroup.procs; exec {' '.join(words)}"]
    program = lab.start_plain(words)
    if is_ready:
        wait_for(lambda: "governs" in program.stderr or program.popen.poll() is not None, 40, "readiness")
        assert "governs" in program.stderr, program.report()
    return program


def check_judged(t, governed, title):
    for proto in ("tcp", "udp"):
        t.equal(governed.flow(DENIED, proto), "ECONNREFUSED", f"{title}: {proto}, denied")
        t.equal(governed.flow(ALLOWED, proto), "0", f"{title}: {proto}, allowed")


def check_untouched(t, governed, title):
    t.check(governed.program.poll() is None, f"{title}: the program goes on")
    t.check(governed.program.pid in governed.pids(), f"{title}: where it was")
    t.equal([name for name in os.listdir(governed.path) if name.startswith("sluice")], [],
            f"{title}: nothing of ours below the cgroup")


def check_overlap(t, lab, governed, instance):
    """no other instance above, at or below what is governed; beside it, one may be"""
    inner = governed.path + "/inner"
    os.mkdir(inner)
    try:
        for name in (governed.name, governed.name + "/inner", os.path.dirname(governed.name) or "/"):
            path = lab.new_file("conf", f"[Instance]\nId={instance}o\nCgroup={name}\n")
            other = lab.sluice("serve", "--config", path)
            t.equal(other.popen.returncode, 1, f"{name}: refused")
            # above, another scenario's may be met first
            t.check("instances do not nest" in other.stderr, f"told so: {other.stderr}")
        other = lab.plain(["sh", "-c", f"echo $$ > {inner}/cgroup.procs; "
                           f"exec {lab.path('sluice')} run --instance {instance}o -- true"], 20)
        t.equal(other.popen.returncode, 125, "sluice run inside: refused")
        t.check(f"instance {instance} governs {governed.path}," in other.stderr, f"told so: {other.stderr}")
        t.equal([n for n in os.listdir(inner) if "sluice" in n], [], "nothing made")
        t.check(not os.path.exists(f"/run/sluice/{instance}o"), "no folder made")
    finally:
        os.rmdir(inner)


def check_two_at_once(t, lab, governed):
    """of two that begin at one moment to govern one cgroup, one at most goes on"""
    for i in range(8):
        names = [f"both{os.getpid()}x{i}{c}" for c in "ab"]
        paths = [lab.new_file("conf", f"[Instance]\nId={name}\nCgroup={governed.name}\n") for name in names]
        both = [lab.start_plain([lab.path("sluice"), "serve", "--config", path]) for path in paths]
        wait_for(lambda: any(one.popen.poll() is not None for one in both), 15, "one of two to be refused")
        for one in both:
            t.check(one.popen.poll() is None or "instances do not nest" in one.stderr, f"told so: {one.stderr}")
            one.end()
        for name in names:
            t.check(not os.path.exists(f"/run/sluice/{name}"), f"{name} left nothing")


def check_ends(t, lab, governed, instance):
    program = serve(lab, config_of(lab, governed, instance))
    check_judged(t, governed, "served")
    other = lab.sluice("serve", "--config", config_of(lab, governed, instance))
    t.equal(other.popen.returncode, 1, "a second one of the name is refused")
    t.check("is there already" in other.stderr, f"and told so: {other.stderr}")
    check_judged(t, governed, "after the second one")
    check_overlap(t, lab, governed, instance)
    program.kill(signal.SIGTERM)
    t.equal(program.wait(15), 0, f"exit status after SIGTERM: {program.stderr}")
    check_untouched(t, governed, "SIGTERM")
    t.check(not os.path.exists(f"/run/sluice/{instance}"), "SIGTERM: the state is gone")
    t.equal(governed.flow(DENIED), "0", "nobody governs any more")
    lab.expect_nothing_left()


def check_older(t, lab, governed, instance, older, told):
    """connections that stand when it begins: of programs in the cgroup, off this machine, they go on, or end"""
    words = " ".join(lab.actor("standing", SECOND, 7, ALLOWED, "fd00:79::26:2", "::ffff:10.79.26.4"))
    inside = lab.start_plain(["sh", "-c", f"echo $$ > {governed.path}/cgroup.procs; exec {words}"], stdin=subprocess.PIPE)
    outside = lab.start_plain(["sh", "-c", f"exec {words}"], stdin=subprocess.PIPE)
    wait_for(lambda: "standing" in inside.stderr and "standing" in outside.stderr, 15, "what is older")
    program = serve(lab, config_of(lab, governed, instance, older=older))
    t.equal("6 older connections ended" in program.stderr, older == "end", f"{older}: told: {program.stderr}")
    for one, wanted in ((inside, told), (outside, GOES_ON)):
        one.popen.stdin.write(b"go\n")
        one.popen.stdin.flush()
        t.equal(one.wait(15), 0, "exit status")
        said = one.json()
        t.equal((said.pop("itself"), said.pop("own")), ("0", "0"), f"{older}: on this machine")
        t.equal({name.split()[0]: error for name, error in said.items()}, wanted, f"{older}: {said}")
        t.equal((len(said), len(set(said.values()))), (6, len(set(wanted.values()))), f"{older}: {said}")
    check_judged(t, governed, f"{older}: what comes")
    program.kill(signal.SIGTERM)
    t.equal(program.wait(15), 0, f"exit status: {program.stderr}")


def check_starting(t, lab, governed, instance):
    """what begins while a filter starts is neither let go nor refused: it waits, and is judged"""
    program = serve(lab, config_of(lab, governed, instance, fail="open", start_ms=int(2000 * SLOW)), is_ready=False)
    wait_for(lambda: lab.client.read_proc("netfilter/nfnetlink_queue"), 20, "the plane")
    t.check("governs" not in program.stderr, "the filter has not started")
    with lab.capture() as wire:
        check_judged(t, governed, "while it starts")
    t.equal(wire.packets(lambda packet: packet.dst == DENIED), [], "packets of what is denied")
    wait_for(lambda: "governs" in program.stderr, 20, "readiness")
    program.kill(signal.SIGTERM)
    t.equal(program.wait(15), 0, f"exit status: {program.stderr}")


def killed(lab, program):
    """sluice serve and its keeper are killed; the others die with the keeper"""
    keeper = machine.keeper_of(program.pid, lab.build)
    program.kill()
    machine.kill(keeper)
    program.wait(10)
    wait_for(lambda: not any(os.path.basename(exe).startswith("sluice") for pid, exe in
                             machine.processes(lab.build).items() if machine.is_alive(pid)), 15, "all to die")


def check_other_cgroup(t, lab, governed, instance):
    """a successor that would govern something else is refused, and changes nothing"""
    other = governed.path + "-other"
    os.mkdir(other)
    try:
        path = lab.new_file("conf", f"[Instance]\nId={instance}\nCgroup={governed.name}-other\n")
        failed = lab.sluice("serve", "--config", path)
        t.equal(failed.popen.returncode, 1, "a successor over another cgroup is refused")
        t.check(f"died while it governed {governed.path}:" in failed.stderr, f"and told so: {failed.stderr}")
        t.equal(governed.flow(ALLOWED), "ECONNREFUSED", "refused: the previous state stays in force")
    finally:
        os.rmdir(other)


def check_survives(t, lab, governed, instance):
    """fails closed while nobody is there; the next one takes over and ends it"""
    program = serve(lab, config_of(lab, governed, instance))
    check_judged(t, governed, "before kill -9")
    with lab.capture() as wire:
        killed(lab, program)
        t.equal(governed.flow(DENIED), "ECONNREFUSED", "nobody there: denied")
        t.equal(governed.flow(ALLOWED), "ECONNREFUSED", "nobody there: what is undecided is refused")
    t.equal(wire.packets(lambda packet: packet.dst.startswith("10.79.26.")), [], "packets on the uplink")
    check_untouched(t, governed, "kill -9")
    bad = lab.new_file("bad", f"[Instance]\nId={instance}\nCgroup={governed.name}\n"
                              f"[Filter f]\nExec={lab.path('tests/providers/test-filter')}\nno-such-option=1\n")
    failed = lab.sluice("serve", "--config", bad)
    t.equal(failed.popen.returncode, 1, f"a successor whose filter cannot start: {failed.stderr}")
    t.equal(governed.flow(DENIED), "ECONNREFUSED", "the previous state stays in force")
    check_other_cgroup(t, lab, governed, instance)
    program = serve(lab, config_of(lab, governed, instance), cgroup=governed.path + "-second")
    t.check("taken over" in program.stderr, f"it says so: {program.stderr}")
    check_judged(t, governed, "the successor")
    program.kill(signal.SIGTERM)
    t.equal(program.wait(15), 0, "exit status of the successor")
    os.rmdir(governed.path + "-second")
    check_untouched(t, governed, "the successor's end")
    lab.expect_nothing_left()


def check_stricter(t, lab, governed, instance):
    """one that fails closed takes over from one that failed open: what was denied stays so, and
    what nobody judges is refused from then on, also when its filter does not start"""
    program = serve(lab, config_of(lab, governed, instance, fail="open"))
    with lab.capture() as wire:
        words = " ".join(lab.actor("echoes", DENIED, 7, 1500))
        sender = lab.start_plain(["sh", "-c", f"echo $$ > {governed.path}/cgroup.procs; exec {words}"])
        wait_for(lambda: "begun" in sender.stderr, 15, "its first datagram to be judged")
        t.equal(governed.flow(DENIED), "ECONNREFUSED", "fails open, but is judged")
        killed(lab, program)
        t.equal(governed.flow(ALLOWED), "0", "nobody there: open")
        bad = lab.new_file("bad", f"[Instance]\nId={instance}\nCgroup={governed.name}\n"
                                  f"[Filter f]\nExec={lab.path('tests/providers/test-filter')}\nFail=closed\nno-such-option=1\n")
        failed = lab.sluice("serve", "--config", bad)
        t.equal(failed.popen.returncode, 1, f"a successor whose filter cannot start: {failed.stderr}")
        t.equal(governed.flow(ALLOWED), "ECONNREFUSED", "closed at once")
        program = serve(lab, config_of(lab, governed, instance))
        check_judged(t, governed, "the stricter successor")
        sender.wait(60)
    t.check("0" not in sender.json()["told"], f"what one denied socket was told: {sender.json()['told']}")
    t.equal(wire.packets(lambda packet: packet.dst == DENIED), [], "packets of it")
    program.kill(signal.SIGTERM)
    t.equal(program.wait(15), 0, "exit status of the stricter successor")
    lab.expect_nothing_left()


def tell_early(t, lab, governed, instance, number):
    """Return: a successor that was told to end, and has; it may have been faster"""
    program = serve(lab, config_of(lab, governed, instance))
    killed(lab, program)
    t.equal(governed.flow(ALLOWED), "ECONNREFUSED", "nobody there: it is in force")
    program = serve(lab, config_of(lab, governed, instance), is_ready=False)
    # before sluiced, which takes longer to start
    keeper = wait_for(lambda: machine.keeper_of(program.pid, lab.build), 15, "the keeper")
    machine.kill(keeper, signal.SIGSTOP)
    program.kill(number)
    machine.kill(keeper, signal.SIGCONT)
    t.equal(program.wait(20), 0, f"exit status of what was told early: {program.stderr}")
    return program


def check_told_early(t, lab, governed, instance, number):
    """a successor that is told to end while it starts removes all of the instance"""
    for _ in range(TRIES):
        program = tell_early(t, lab, governed, instance, number)
        if "governs" not in program.stderr:
            break
    t.check("governs" not in program.stderr, f"it had not started: {program.stderr}")
    t.check("Invalid" not in program.stderr, f"no complaint: {program.stderr}")
    check_untouched(t, governed, "told early")
    t.equal(governed.flow(DENIED), "0", "told early: nobody governs any more")
    lab.expect_nothing_left()


def n_files(program):
    return len(os.listdir(f"/proc/{program.pid}/fd"))


def check_not_ended(t, lab, governed, instance):
    """told to end, and its keeper is killed before it has done so: it does not say that all is well"""
    program = serve(lab, config_of(lab, governed, instance))
    keeper = machine.keeper_of(program.pid, lab.build)
    machine.kill(keeper, signal.SIGSTOP)
    n_open = n_files(program)
    program.kill(signal.SIGTERM)
    wait_for(lambda: n_files(program) < n_open, 15, "its end of the keeper's socket to be shut")
    machine.kill(keeper)
    t.equal(program.wait(20), 1, f"keeper killed at the end: exit status: {program.stderr}")
    t.check(f"`sluice panic --instance {instance}` removes what is left" in program.stderr, f"and told so: {program.stderr}")
    t.equal(governed.flow(ALLOWED), "ECONNREFUSED", "keeper killed at the end: it is in force")
    t.equal(lab.sluice("panic", "--instance", instance).popen.returncode, 0, "panic")
    t.equal(governed.flow(DENIED), "0", "panic has removed it")
    lab.expect_nothing_left()


def check_no_place(t, lab, governed, instance):
    """what cannot make its cgroup of providers leaves nothing"""
    own = governed.path + "-full"
    os.mkdir(own)
    try:
        with open(own + "/cgroup.max.descendants", "w") as file:
            file.write("0")
        words = f"{lab.path('sluice')} serve --config {config_of(lab, governed, instance)}"
        failed = lab.plain(["sh", "-c", f"echo $$ > {own}/cgroup.procs; exec {words}"], 20)
        t.equal(failed.popen.returncode, 1, "no cgroup for providers: exit status")
        t.check("cannot make" in failed.stderr, f"no cgroup for providers: told {failed.stderr}")
        t.check("Invalid argument" not in failed.stderr, f"the keeper does not complain: {failed.stderr}")
        t.check(not os.path.exists(f"/run/sluice/{instance}"), "no cgroup for providers: nothing is left")
    finally:
        os.rmdir(own)


def check_panic(t, lab, governed, instance):
    program = serve(lab, config_of(lab, governed, instance))
    t.equal(governed.flow(DENIED), "ECONNREFUSED", "before panic")
    killed(lab, program)
    panic = lab.sluice("panic", "--instance", instance)
    t.equal(panic.popen.returncode, 0, f"panic: {panic.stderr}")
    check_untouched(t, governed, "panic")
    t.equal(governed.flow(DENIED), "0", "after panic")
    lab.expect_nothing_left()
    program = serve(lab, config_of(lab, governed, instance))
    panic = lab.sluice("panic", "--instance", instance)
    t.equal(panic.popen.returncode, 0, f"panic on a living one: {panic.stdout} {panic.stderr}")
    t.equal(program.wait(10), 0, f"no failure, that would be restarted: {program.stderr}")
    t.check("removed by `sluice panic`" in program.stderr, f"and told so: {program.stderr}")
    check_untouched(t, governed, "panic on a living one")
    lab.expect_nothing_left()


def check_ready(t, lab, governed, instance):
    """a service manager is told, by sd_notify"""
    path = lab.new_file("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(20)
        program = lab.start_plain(["env", f"NOTIFY_SOCKET={path}", lab.path("sluice"), "serve", "--config",
                                   config_of(lab, governed, instance)])
        told = listener.recv(1000).decode()
        t.check("READY=1" in told and governed.name in told, f"told {told!r}")
        program.kill(signal.SIGTERM)
        t.check("STOPPING=1" in listener.recv(1000).decode(), "told that it stops")
    t.equal(program.wait(15), 0, "exit status")


BAD = (  # text, the line it is about, a word of the reason
    ("[Instance]\nCgroup=user.slice\n", 2, "Cgroup"),
    ("[Instance]\nCgroup=/no/such/cgroup\n", 2, "not there"),
    ("[Instance]\nId=UPPER\n", 2, "UPPER"),
    ("[Instance]\nColour=red\n", 2, "Colour"),
    ("[Instance]\nOlder=perhaps\n", 2, "perhaps"),
    ("[Instance]\nId=a\n\n[Filters]\nx=y\n", 4, "Filters"),
    ("[Filters]\n[Instance]\nCgroup=/no/such/cgroup\n", 1, "Filters"),
    ("[Filter]\n[Instance]\nCgroup=/no/such/cgroup\n", 1, "[Filter]"),
    ("[Filter no-such-filter]\n[Instance]\nCgroup=/no/such/cgroup\n", None, "no-such-filter"),
    ("[Filter blocklist]\n[Instance]\nCgroup=/no/such/cgroup\n", None, "needs list="),
    ("[Instance\nId=UPPER\n", 1, "ends with ]"),
    ("Id=a\n", 1, "in no section"),
    ("nonsense\n[Instance]\nId=UPPER\n", 3, "UPPER"),
    ("[Filter no-such-filter]\nFail=open\n", 2, "no-such-filter"),
    ("[Filter blocklist]\nFail=perhaps\n", 2, "perhaps"),
    ("[Filter blocklist]\nlist=/no/such/file\n", 2, "/no/such/file"),
    ("[Filter blocklist]\nlits=/etc/hosts\n", 2, "lits"),
    ("[Instance]\nnonsense\n", 2, "neither"),
    ("[Instance]\n\nCgroup=/" + 200 * "x" + "\n", 3, "longer than"),
    ("[Filter blocklist]\nFail=open\n", None, "list"),
)


def check_bad(t, lab):
    for text, line, word in BAD:
        path = lab.new_file("bad", text)
        program = lab.sluice("serve", "--config", path)
        t.equal(program.popen.returncode, 2, f"{text!r}: exit status")
        t.check(word in program.stderr, f"{text!r}: the reason: {program.stderr}")
        t.check((f"{path}:{line}" if line else path) in program.stderr, f"{text!r}: file and line: {program.stderr}")
    program = lab.sluice("serve", "--config", "/no/such/file")
    t.equal(program.popen.returncode, 2, "no such file: exit status")
    program = lab.plain([lab.path("sluice"), "serve", "--config=" + lab.folder])  # the lab would read another form
    t.equal(program.popen.returncode, 2, "a folder: exit status")
    t.check("Is a directory" in program.stderr, f"a folder: {program.stderr}")


def check_without_options(t, lab, governed, instance):
    """a filter's section needs no line"""
    def config(section):
        return lab.new_file("conf", f"[Instance]\nId={instance}\nCgroup={governed.name}\n[Filter {section}]\n")

    failed = lab.sluice("serve", "--config", config("no-such-filter"), within=10)
    t.equal(failed.popen.returncode, 2, "a filter that is not there, in an empty section")
    exe = lab.new_file("f")  # a section is a short line
    os.symlink(lab.path("tests/providers/test-filter"), exe)
    program = serve(lab, config(exe))
    t.equal([provider["state"] for provider in lab.status(instance)["providers"]], ["running"], "the filter of an empty section")
    program.kill(signal.SIGTERM)
    t.equal(program.wait(15), 0, "exit status")


def check_proxy(t, lab, governed, instance):
    """a section of a proxy, also before one of a filter, which comes first all the same"""
    with open(config_of(lab, governed, instance)) as file:
        head, filters = file.read().split("[Filter", 1)
    served = serve(lab, lab.new_file("conf", f"{head}[Proxy own]\nExec={lab.path('tests/providers/test-proxy')}\n"
                                             f"Fail=closed\nfail=113007\n[Filter{filters}"))
    t.equal(governed.flow(DENIED), "ECONNREFUSED", "what a filter denies no proxy hears of")
    t.equal(governed.flow(ALLOWED), "EHOSTUNREACH", "what it allows the proxy takes")
    served.kill(signal.SIGTERM)
    t.equal(served.wait(15), 0, "exit status")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        lab.client.ip(f"address add {SECOND}/32 dev uplink")
        instance = f"t{os.getpid()}"
        check_bad(t, lab)
        with Governed(lab) as governed:
            check_without_options(t, lab, governed, instance)
            check_proxy(t, lab, governed, instance)
            check_two_at_once(t, lab, governed)
            check_ends(t, lab, governed, instance)
            for older, told in (("leave", GOES_ON), ("end", {"tcp": "ECONNABORTED", "udp": "EDESTADDRREQ"})):
                check_older(t, lab, governed, instance, older, told)
            check_starting(t, lab, governed, instance)
            check_survives(t, lab, governed, instance)
            check_stricter(t, lab, governed, instance)
            for number in (signal.SIGTERM, signal.SIGHUP):
                check_told_early(t, lab, governed, instance, number)
            check_not_ended(t, lab, governed, instance)
            check_no_place(t, lab, governed, instance)
            check_panic(t, lab, governed, instance)
            check_ready(t, lab, governed, instance)


if __name__ == "__main__":
    main(scenario)
