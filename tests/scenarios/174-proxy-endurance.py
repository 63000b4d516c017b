#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""174 — proxies that die under load, again and again: the next flow is served at once, nothing hangs, nothing leaks

   [ client ns: connect and echo without an end, and a flow that stays open ]──uplink──│capture│──[ server ns: echo ]
        └ sluice run --proxy test-proxy      kill -9 of the proxy and of sluiced, by turns
          under both fail classes

Long ones: `174-proxy-endurance.py BUILD --only check_kills --cycles 100 --limit 600`, `--only check_flood --flows
1000000 --limit 3000`, `--only check_nights --nights 1000 --limit 3000`. --seed N repeats one. --whole 1: faults of
which the same comes under both fail classes, under the open one as well.
"""
import itertools
import os
import random
import signal
import statistics
import subprocess
import time
from collections import Counter

from lib import machine, main, nights, plane, proxy_faults
from lib.orders import Ordered
from lib.still import Still
from lib.wait import wait_for

HOSTS = ("10.79.74.1", "fd00:79::74:1")
FAILS = ("closed", "open")
N_THREADS = 6
# below those that the kernel gives a proxy: a packet of these on the wire is a leak. The second instance, which has
# other listeners, begins at the same ones
SPORTS = 10000, 29999
SERVED_MS = 200  # what the project promises
RESET = "ECONNRESET"


def start(lab, command, provider="test-proxy", fail="closed", filters=()):
    return lab.start(list(filters), command, options=["--proxy", lab.path("tests/providers/" + provider)], fail=fail)


def say(t, title, took):
    """@took: seconds"""
    ms = sorted(one * 1000 for one in took)
    t.note(f"{title}: {len(ms)}, median {statistics.median(ms):.1f} ms, p95 {ms[len(ms) * 95 // 100]:.1f}, worst {ms[-1]:.1f}")


# ---- kills ----

VICTIMS = ("test-proxy", "sluiced")  # by turns: a new sluiced has no deaths of proxies to remember


def kill_by_turns(t, run, chance):
    """Return: who died, and when"""
    deaths = []
    for _ in range(t.cycles):
        for name in VICTIMS:
            wait_for(lambda: run.stderr.count("open") > len(deaths), 20, f"a flow to stay open: {len(deaths)}")
            pid = run.wait_pid(name)  # before that it may be one that ends with sluiced
            time.sleep(chance.uniform(0, 0.2))
            deaths.append((name, time.monotonic()))
            machine.kill(pid)
            run.wait_pid(name, other_than=pid)
            run.wait_pid("test-proxy")
    wait_for(lambda: run.stderr.count("open") > len(deaths), 20, "the last one to stay open")
    return deaths


def gaps_of(told, deaths, victim):
    """for each death: until a flow was served again, the slowest flow of those that waited, until the open one
    was reset"""
    served = sorted(began + took for began, _, took, _, echo in told["flows"] if echo == "0")
    for name, died in deaths:
        if name == victim:
            waited = [took for began, _, took, *_ in told["flows"] if began < died + 0.1 and began + took > died]
            reset = [when - died for _, end, when in told["held"] if end == RESET and when > died]
            yield next(at for at in served if at > died) - died, max(waited), min(reset)


def check_kills_in(t, lab, fail, chance):
    done, still, (low, high) = lab.new_file("done"), Still(), SPORTS
    with lab.capture() as wire:
        run = start(lab, lab.actor("endure", done, N_THREADS, f"{low}-{high}", 7, *HOSTS), fail=fail)
        wait_for(lambda: "enduring" in run.stderr and run.n_records() > 100, 15, "flows")
        again = lab.counter("TcpExt.TCPSynRetrans")
        deaths = kill_by_turns(t, run, chance)
        again = lab.counter("TcpExt.TCPSynRetrans") - again
        open(done, "w").close()
        run.wait()
    told = run.json()
    ends = Counter(tuple(row[3:]) for row in told["flows"])
    t.check(set(ends) <= {("0", "0"), ("0", RESET), (RESET, "-")}, f"fails {fail}: what flows got: {ends}; {Counter(flow['reason'] for flow in run.flows(verdict='drop'))}")
    t.equal([row[:2] for row in told["held"]], len(deaths) * [["0", RESET]] + [["0", "-"]],
            f"fails {fail}: open flows, each from the same port")
    t.equal(again, 0, f"fails {fail}: SYNs that were lost, and sent again")
    t.equal(wire.count(lambda p: p.proto == "tcp" and low <= p.sport <= high), 0, f"fails {fail}: packets of programs on the wire")
    for victim in VICTIMS:
        columns = zip(*gaps_of(told, deaths, victim))
        titles = ("the next flow is served", "slowest flow that waited", "the open flow is reset")
        for title, column in zip(titles, columns, strict=True):
            say(t, f"{victim} killed, fails {fail}: {title}", column)
            still.check(t, max(column) * 1000, SERVED_MS, f"{victim} killed, fails {fail}: {title}")
    t.note(f"fails {fail}: {ends[('0', '0')]} flows served, {sum(ends.values()) - ends[('0', '0')]} reset in their middle")


def check_kills(t, lab):
    seed = t.seed or random.randrange(1, 1 << 31)
    t.note(f"seed {seed}")
    for fail in FAILS:
        check_kills_in(t, lab, fail, random.Random(seed))


# ---- a proxy and a filter together, and very many flows ----

N_FLOODS = 4
FLOOD = ("10.79.80.1", "10.79.81.1", "fd00:79::80:1", "fd00:79::81:1")  # with as many addresses behind each:
STRIDE = 200
FLIPPED = "10.79.81.0/24"  # the proxy's and not, by turns


def begin_flood(t, lab):
    """@t.flows flows, and the plain program that asks what is there when they are over"""
    floods = [" ".join(lab.flowgen("tcp", end, 9, t.flows // N_FLOODS, STRIDE, 20000)) for end in FLOOD]
    go, end = lab.new_file("go"), lab.new_file("end")
    script = (f"while [ ! -e {go} ]; do sleep 0.02; done; {' & '.join(floods)} & wait; echo over >&2; "
              f"while [ ! -e {end} ]; do sleep 0.02; done")
    run = start(lab, ["sh", "-c", script], f"test-proxy:flip={FLIPPED}", filters=[lab.test_filter(deny_address="10.79.99.1")])
    return run, go, end


def kill_at_random(t, run, chance):
    """proxy, filter, sluiced in any order until all flows are over. Return: how often each"""
    n = Counter()
    while "over" not in run.stderr:
        names = ["test-proxy", "test-filter", "sluiced"]
        for name in chance.sample(names, len(names)):
            pid = run.wait_pid(name)
            time.sleep(chance.uniform(0.1, 1))
            machine.kill(pid)
            run.wait_pid(name, other_than=pid)
            n[name] += 1
    return n


def check_flood(t, lab):
    seed, log = t.seed or random.randrange(1, 1 << 31), plane.KernelLog()
    t.note(f"{t.flows} flows, seed {seed}")
    lab.acceptor(9)
    run, go, end = begin_flood(t, lab)
    for name in ("test-proxy", "test-filter", "sluiced"):
        run.wait_pid(name)
    lab.status(f"r{run.pid}")
    for name, seconds in (("time_wait", 1), ("close", 1)):  # 120 and 10 s else
        lab.client.sysctl(f"netfilter/nf_conntrack_tcp_timeout_{name}", seconds)
    lab.client.sysctl("ipv4/tcp_max_tw_buckets", 1 << 20)
    ports, began, again = plane.listeners(lab.client), time.monotonic(), lab.counter("TcpExt.TCPSynRetrans")
    before = plane.entries(run), plane.descriptors(run, "sluiced", "sluice-keeper", "test-proxy", "test-filter")
    open(go, "w").close()
    killed = kill_at_random(t, run, random.Random(seed))
    took, again = time.monotonic() - began, lab.counter("TcpExt.TCPSynRetrans") - again
    time.sleep(5)
    after = plane.entries(run), plane.descriptors(run, "sluiced", "sluice-keeper", "test-proxy", "test-filter")
    left = plane.translated(lab.client, ports)
    t.equal(plane.listeners(lab.client), ports, "the ports of the listeners")
    open(end, "w").close()
    run.wait()
    ends = sum((Counter(told["errors"]) for told in run.jsons()), Counter())
    t.note(f"{took:.0f} s; {dict(ends)}; slowest {max(told['max_us'] for told in run.jsons()) / 1000:.0f} ms; SYNs sent again: {again}; killed: {dict(killed)}")
    t.note(f"entries before {before[0]}, after {after[0]}; descriptors before {before[1]}, after {after[1]}")
    t.equal(sum(ends.values()), t.flows // N_FLOODS * N_FLOODS, "flows")
    t.check(set(ends) <= {"0", RESET, "EPIPE"}, f"what they got: {ends}; {Counter(flow['reason'] for flow in run.flows(verdict='drop'))}")
    t.check(ends["0"] > sum(ends.values()) * 0.9, f"most are served: {ends}")
    for old, new in zip(before, after, strict=True):
        for name in old:
            spare = plane.spare(name, killed["sluiced"])
            t.check(new[name] <= old[name] + spare, f"{name}: {old[name]} before, {new[name]} afterwards")
    t.equal(left, [], "entries of conntrack that lead to a listener, 5 s afterwards")
    t.equal(log.lines(), [], "what the kernel says")


# ---- conntrack is full ----

N_WHILE_FULL = 20


def n_tracked(lab):
    with lab.client:
        return int(subprocess.run(["conntrack", "-C"], capture_output=True, text=True, check=True).stdout)


def check_full_table(t, lab):
    """as many conversations as there may be, which nobody answers: new flows are served, the open one goes on"""
    with open("/proc/sys/net/netfilter/nf_conntrack_max") as file:
        most = int(file.read())
    if most > t.most:
        t.note(f"{most} entries: too many for this run")
        return
    log = plane.KernelLog()
    program = Ordered(lab, [], options=["--proxy", lab.path("tests/providers/test-proxy")], fail="closed")
    try:
        program.ask("receive", HOSTS[0], 80, "/slow/99999999999/16384/10")
        wait_for(lambda: program.ask("gaps")["receive"]["n"], 15, "the open flow")
        lab.plain(lab.flowgen("udp-once", "10.79.128.1", 9, most + most // 10, 32000))
        full = n_tracked(lab)
        t.check(full > most * 0.95, f"{full} of {most} entries")
        told = [program.ask("tcp", HOSTS[i % 2], 7) for i in range(N_WHILE_FULL)]
        gap = program.ask("gaps")["receive"]
        t.check(n_tracked(lab) > most * 0.9, "it is full until the end")
    finally:
        program.end()
    t.equal(Counter(one["error"] for one in told), {"0": N_WHILE_FULL}, "flows while it is full")
    t.equal(gap["error"], None, "the open flow")
    say(t, f"{full} of {most} entries: connects", [one["took_ms"] / 1000 for one in told])
    t.equal([line for line in log.lines() if "table full" not in line], [], "what the kernel says besides")
    with lab.client:
        subprocess.run(["conntrack", "-F"], check=True, capture_output=True)


# ---- nights ----

WAKE_MS = 1000  # what the project promises to the first flow after a wake; TCP sends its SYN again after as long


def one_night(lab, program, control, everything, chance):
    """Return: how a flow of each family ended, and how long after everything runs; then those of @control, which nobody
    governs: what the link alone costs"""
    for part in chance.sample(everything, len(everything)):
        part.stop()
    nights.pull_out(lab)
    flows = [program.order("tcp", end, 7) for end in HOSTS]
    time.sleep(chance.choice(nights.NIGHTS_S))
    nights.plug_in(lab)
    beside = [control.order("tcp", end, 7) for end in HOSTS]
    for part in chance.sample(everything, len(everything)):
        part.go()
    began = time.monotonic()
    answers = [program.answer(number) for number in flows]
    answers += [control.answer(number) for number in beside]
    return [(answer["error"], max(0, answer["ended"] - began)) for answer in answers]


def all_nights(t, lab, program, control, everything, chance):
    """Return: what one_night() says of each; those in which a SYN was sent again, of whomever, though the machine did
    not stand still"""
    still, told, again = Still(), [], {}
    with nights.awake_at_the_end(everything):
        for night in range(t.nights):
            before = lab.counter("TcpExt.TCPSynRetrans")
            told.append(one_night(lab, program, control, everything, chance))
            n, stood_ms = lab.counter("TcpExt.TCPSynRetrans") - before, still.stood_ms()
            if n:
                t.note(f"night {night}: {n} SYNs sent again, the machine stood still for {stood_ms:.0f} ms: {told[-1]}")
            if n and stood_ms < WAKE_MS / 2:
                again[night] = n
    return told, again


def say_nights(t, told):
    took, beside = ([max(took for _, took in night[side]) for night in told] for side in (slice(2), slice(2, 4)))
    say(t, "the first flows after a wake", took)
    say(t, "those of a program that nobody governs", beside)
    late = Counter((ours > WAKE_MS / 1000, other > WAKE_MS / 1000) for ours, other in zip(took, beside, strict=True))
    t.note(f"later than {WAKE_MS} ms: {late[True, True]} with the other program, {late[True, False]} alone, "
           f"{late[False, True]} the other alone")


def check_nights(t, lab):
    """all is stopped and frozen, the uplink goes and comes, all wakes: the next flow is handled before TCP would send
    its SYN again (4.07)"""
    seed = t.seed or random.randrange(1, 1 << 31)
    t.note(f"{t.nights} nights, seed {seed}")
    program = Ordered(lab, [], options=["--proxy", lab.path("tests/providers/test-proxy")], fail="closed")
    control = Ordered(lab)
    try:
        t.equal(program.ask("tcp", HOSTS[0], 7)["error"], "0", "the first day")
        everything = nights.parts(lab, program.run, "test-proxy")
        pids = {name: program.run.wait_pid(name) for name in (*nights.DAEMONS, "test-proxy")}
        told, again = all_nights(t, lab, program, control, everything, random.Random(seed))
        t.equal({name: program.run.wait_pid(name) for name in pids}, pids, "all live on")
    finally:
        control.end()
        program.end()
    say_nights(t, told)
    t.equal(Counter(error for night in told for error, _ in night), {"0": 4 * t.nights}, "what they got")
    t.equal(again, {}, "nights in which a SYN was not answered within a second, and how many")
    t.equal(Counter(flow["via"] for flow in program.run.flows(event="new", proto="tcp")), {"test-proxy": 2 * t.nights + 1},
            "the proxy has each of them")
    t.equal([line for line in program.run.stderr.splitlines() if any(word in line for word in nights.NO_ALARM)], [],
            "what was taken for a fault")


# ---- every state, every fault ----

BLACK = "10.79.75"  # its network answers nothing until the fault is there
sports = itertools.count(30001, 10)  # behind those of SPORTS, and below those that the kernel gives away
STATES = proxy_faults.STATES


def begin_states(lab, fail):
    """Return: the run, its folder, its first port; a flow is in each state, and the proxy is stopped"""
    folder, sport = lab.new_file("states"), next(sports)
    os.mkdir(folder)
    lab.server.ip(f"route add blackhole {BLACK}.0/24 table local")
    run = start(lab, lab.actor("states", folder, sport, HOSTS[0], f"{BLACK}.1"), fail=fail)
    wait_for(lambda: run.stderr.count("ready ") == len(STATES) - 2, 20, "flows in each state")
    wait_for(lambda: lab.n_held() > 0, 10, "a SYN to be held")
    pid = run.wait_pid("test-proxy")
    machine.kill(pid, signal.SIGSTOP)
    open(os.path.join(folder, "begin"), "w").close()
    wait_for(lambda: lab.n_held() >= 3, 10, "flows that it is asked about")
    return run, folder, sport, pid


def told_of(run):
    return {one["state"]: one for one in run.jsons() if "told" in one}


def end_states(t, lab, run, one, folder, go):
    """Return: what each flow was told, when all is used on"""
    if one.part == "instance":
        run.wait(20)
        return {}
    waiting = {"asked", "opening", "UDP, asked"}
    wait_for(lambda: waiting <= set(told_of(run)), 30, f"{waiting}: {run.report()}")
    go.set()
    open(os.path.join(folder, "use"), "w").close()
    wait_for(lambda: len(told_of(run)) == len(STATES), 30, f"every flow: {run.report()}")
    found = told_of(run)
    if one.part == "keeper":
        run.kill(signal.SIGKILL)
        run.wait()
        lab.end_governed(f"r{run.pid}")
    run.wait(20)
    return found


def check_cell(t, lab, one, fail, halves):
    title = f"{one.part} {one.kind}, fails {fail}"
    halves.go.clear()
    with lab.capture() as wire:
        run, folder, sport, pid = begin_states(lab, fail)
        began = time.monotonic()
        thread = proxy_faults.bring_about(lab, run, one, pid)
        lab.server.ip(f"route del blackhole {BLACK}.0/24 table local")
        found = end_states(t, lab, run, one, folder, halves.go)
        if thread:
            thread.join()
    wrong = {}
    for state, outcome in zip(STATES, one.states, strict=True):
        told = found[state]["told"] if state in found else None
        if told not in proxy_faults.told(outcome, fail):
            wrong[state] = f"{told}, wanted {outcome}"
    left = [packet[:6] for packet in wire.packets(lambda p: sport <= p.sport < sport + len(STATES))]
    told = ", ".join(f"{state}: {one['told']} {max(0, one['at'] - began):.2f} s" for state, one in found.items())
    t.note(f"{title}: {told}")
    return {f"{title}: {state}": text for state, text in wrong.items()} | (
        {f"{title}: left": left} if left and proxy_faults.CLASS not in one.states else {})


def check_matrix(t, lab):
    """under a closed fail class all, under an open one those that it decides"""
    halves, wrong = lab.halves(11), {}
    for fail, one in itertools.product(FAILS, proxy_faults.FAULTS):
        is_due = fail == "closed" or t.whole or proxy_faults.CLASS in one.states
        if is_due and t.fault in ("", f"{one.part} {one.kind}"):
            wrong |= check_cell(t, lab, one, fail, halves)
    t.equal(wrong, {}, "cells")


def check_document(t, lab):
    with open(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../docs/fault-matrix.md")) as file:
        t.check(proxy_faults.table() in file.read(), "docs/fault-matrix.md has another table than lib/proxy_faults.py prints")


# ---- what is declined ----

MEGABYTES = 20


def n_read(lab, run):
    return lab.status(f"r{run.pid}")["packets_read"]


def check_declined_by(t, lab, provider, command, marker):
    """after the decision no packet of it passes user space, by the counter of `sluice status`"""
    end = lab.new_file("end")
    run = start(lab, ["sh", "-c", f"{' '.join(command)}; echo over >&2; while [ ! -e {end} ]; do sleep 0.02; done"], provider)
    wait_for(lambda: marker in run.stderr, 15, f"{provider}: the flow")
    first = n_read(lab, run)
    t.check("over" not in run.stderr, f"{provider}: it goes on")
    wait_for(lambda: "over" in run.stderr, 30, f"{provider}: its end")
    last = n_read(lab, run)
    shown = lab.sluice("status", "--instance", f"r{run.pid}").stdout
    open(end, "w").close()
    run.wait()
    t.check(0 < first == last, f"{provider}: packets that came to sluiced: {first} at its beginning, {last} at its end")
    t.check(f"; {last} packets were held" in shown, f"{provider}: `sluice status`: {shown}")
    t.equal({flow["via"] for flow in run.flows()}, {None}, f"{provider}: it is nobody's")
    t.note(f"{provider}: {last} packets came to sluiced: {run.stdout.strip()}")


def check_declined(t, lab):
    for provider in ("test-proxy:decline=80,decline=7", "test-proxy:not=10.79.74.0/24"):
        check_declined_by(t, lab, provider, lab.actor("take", HOSTS[0], 80, 0, MEGABYTES << 20), "connected")
        check_declined_by(t, lab, provider, lab.actor("echoes", HOSTS[0], 7, 300), "begun")


CHECKS = (check_document, check_kills, check_flood, check_full_table, check_nights, check_declined, check_matrix)


def scenario(t):
    t.needs("conntrack", "tests/providers/test-proxy", "tests/providers/hostile-proxy")
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        lab.http()
        for check in CHECKS:
            if t.only in ("", check.__name__):
                began = time.monotonic()
                check(t, lab)
                t.note(f"{check.__name__}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main(scenario, only="", cycles=4, seed=0, flows=8000, nights=10, fault="", whole=0, most=1 << 19)
