#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""140 — one instance governs programs in several network namespaces, with equal addresses

   [ client ns: sluice run … ]─┬─ COMMAND in room one ── 10.90.0.1 ─── 10.90.0.2 echo :7 :9
                               └─ COMMAND in room two ── 10.90.0.1 ─── 10.90.0.2 echo :7 :9
        └ first sight, fail class until then; the same ends held in both; kill -9 of
          sluiced; sluice panic; `sluice serve` taken over from another namespace
"""
import importlib
import json
import os
import shutil
import signal

from lib import machine, main
from lib.capture import is_syn
from lib.rooms import HOST4, HOST6, Room
from lib.wait import wait_for

N = 40
FIRST = 20000  # port, below those that the kernel gives out
FORBIDDEN, FREE = 9, 7


def visit(lab, room, fail):
    return room.enter(lab.actor("visit", room.name, HOST4, HOST6, FREE, FORBIDDEN, fail))


def shell(*commands):
    """all at once, to the end of the last"""
    return ["sh", "-c", " ".join(f"{' '.join(command)} &" for command in commands) + " wait"]


def check_judged(t, lab, rooms, fail):
    with rooms[0].capture() as one, rooms[1].capture() as two:
        run = lab.run([lab.test_filter(deny_port=FORBIDDEN)], shell(*[visit(lab, room, fail) for room in rooms]),
                      fail=fail)
    t.equal(run.popen.returncode, 0, f"{fail}: exit status; {run.stderr}")
    said = {line["room"]: line for line in map(json.loads, run.stdout.splitlines())}
    for room, wire in zip(rooms, (one, two)):
        mine = said[room.name]
        t.note(f"{fail}, {room.name}: in force {mine.pop('first_ms'):.1f} ms after the first socket")
        allowed = {"EPERM", "0"} if fail == "closed" else {"ECONNREFUSED", "0"}
        t.check(set(mine.pop("first")) <= allowed, f"{fail}, {room.name}: before, the fail class alone: {said}")
        mine.pop("room")
        for key, code in mine.items():
            wanted = "0" if key.endswith(f" {FREE}") else "ECONNREFUSED"
            t.equal(code, wanted, f"{fail}, {room.name}: {key}")
        if fail == "closed":
            t.equal(wire.count(lambda p: p.dport == FORBIDDEN), 0, f"{room.name}: denied packets on its wire")
        for port, verdict in ((FREE, "allow"), (FORBIDDEN, "drop")):
            for proto in "tcp", "udp":
                t.check(run.flows(netns=room.guest.inode, dport=port, proto=proto, verdict=verdict),
                        f"{fail}, {room.name}: a record of {proto} to {port} with its namespace")
        t.equal({f["interface"] for f in run.flows(netns=room.guest.inode)}, {"door"}, "its interface")
        t.equal(room.tables(), [], f"{fail}, {room.name}: tables after the end")


def start_holding(lab, rooms, filter_text, **settings):
    folder = lab.new_file("held")
    os.mkdir(folder)
    run = lab.start([filter_text], shell(*[room.enter(lab.actor("hold", room.name, HOST4, FIRST, N, folder))
                                           for room in rooms]), **settings)
    wait_for(lambda: all(os.path.exists(f"{folder}/ready-{room.name}") for room in rooms), 30,
             f"all rooms governed; {run.stderr}")
    return run, folder


def hold(rooms, folder):
    open(folder + "/go", "w").close()
    wait_for(lambda: all(room.n_held() >= N for room in rooms), 20, f"{N} packets held in each room")


def check_successor(t, lab, rooms):
    """the same 5-tuples are held in both when sluiced is killed"""
    run, folder = start_holding(lab, rooms, lab.test_filter(delay_ms=2500))
    first = run.wait_pid("sluiced")
    with rooms[0].capture() as one, rooms[1].capture() as two:
        hold(rooms, folder)
        t.equal([wire.count(is_syn) for wire in (one, two)], [0, 0], "SYNs on the wires while held")
        os.kill(first, signal.SIGKILL)
        run.wait_pid("sluiced", other_than=first)
        t.equal(run.wait(60), 0, f"exit status; {run.stderr}")
    said = {line["room"]: line["said"] for line in map(json.loads, run.stdout.splitlines())}
    t.equal(said, {room.name: {"0": N} for room in rooms}, "what the programs got")
    for room, wire in zip(rooms, (one, two)):
        syns = wire.packets(is_syn)
        t.equal((len(syns), len({packet.sport for packet in syns})), (N, N), f"{room.name}: SYNs on its wire")
        flows = run.flows(event="new", netns=room.guest.inode)
        t.equal(len({f["id"] for f in flows if FIRST <= f["sport"] < FIRST + N}), N, f"{room.name}: flows")
    t.equal([room.tables() for room in rooms], [[], []], "tables after the end of a successor")


def check_panic(t, lab, rooms, is_dead):
    instance = f"n{os.getpid()}"
    run, _ = start_holding(lab, rooms, lab.test_filter(), fail="closed", options=["--instance", instance])
    t.check(all(room.tables() for room in rooms), "tables in both rooms")
    listed = {one["netns"]: one["state"] for one in lab.status(instance)["namespaces"]}
    t.equal(listed, dict.fromkeys([lab.client.inode, *[room.guest.inode for room in rooms]], "enforcing"),
            "namespaces of status")
    if is_dead:
        run.kill(signal.SIGSTOP)  # it would end the programs
        for name in ("sluice-keeper", "sluiced"):
            for pid in run.pids(name):
                machine.kill(pid)
    panic = lab.sluice("panic", "--instance", instance, "--json")
    tables = [thing for thing in panic.json()["removed"] if thing["kind"] == "table"]
    t.equal(len(tables), 3, f"tables that panic removed: {panic.stdout} {panic.stderr}")
    t.equal([room.tables() for room in rooms], [[], []], "tables after panic")
    if is_dead:
        run.kill(signal.SIGCONT)
    run.kill(signal.SIGKILL)
    run.wait(20)
    for room in rooms:
        for pid in machine.processes_in(room.guest.inode):
            machine.kill(pid)
    lab.sluice("panic", "--instance", instance)
    lab.expect_nothing_left()


def check_takeover(t, lab, rooms):
    """the successor is in another namespace than its predecessor, and its programs in a third"""
    serving = importlib.import_module("126-serve")
    instance = f"s{os.getpid()}"
    with serving.Governed(lab) as governed:
        config = serving.config_of(lab, governed, instance)
        program = serving.serve(lab, config)
        inside = lab.start_plain(["sh", "-c", f"echo $$ > {governed.path}/cgroup.procs; exec "
                                  + " ".join(rooms[0].enter(["sleep", "1000"]))])
        wait_for(lambda: rooms[0].guest.inode in [one["netns"] for one in lab.status(instance)["namespaces"]]
                 or poke(lab, governed, rooms[0]), 20, "the plane in the first room")
        other = lab.start_plain(["sleep", "1000"])  # not governed, in the client's network
        governed.program.kill()  # the last one in a third network
        governed.program.wait()
        serving.killed(lab, program)
        t.check(rooms[0].tables(), "nobody there: the table stays")
        path = shutil.which("nsenter")
        program = lab.start_plain([path, "--net=" + rooms[1].guest.path, lab.path("sluice"), "serve",
                                   "--config", config])
        wait_for(lambda: "governs" in program.stderr or program.popen.poll() is not None, 20, "readiness")
        t.check("taken over" in program.stderr, f"it says so: {program.stderr}")
        wait_for(lambda: sorted(one["netns"] for one in lab.status(instance)["namespaces"])
                 == sorted(room.guest.inode for room in rooms), 20, "the namespaces of the successor")
        wait_for(lambda: instance not in lab.plain(["nft", "list", "tables"]).stdout, 10,
                 "the first one's table to go from its network")
        t.check(all(room.tables() for room in rooms), "tables where they are needed")
        program.kill(signal.SIGTERM)
        t.equal(program.wait(20), 0, f"exit status; {program.stderr}")
        t.equal([room.tables() for room in rooms], [[], []], "tables after the end")
        inside.end()
        other.end()
    lab.expect_nothing_left()


def poke(lab, governed, room):
    """a governed program uses a socket in the room"""
    words = " ".join(room.enter(["nc", "-z", "-w", "1", HOST4, "7"]))
    lab.plain(["sh", "-c", f"echo $$ > {governed.path}/cgroup.procs; exec {words}"])


def scenario(t):
    t.needs("nsenter", "nc")
    with t.lab() as lab, Room("one") as one, Room("two") as two:
        rooms = (one, two)
        for room in rooms:
            room.serve(FREE, FORBIDDEN)
        check_judged(t, lab, rooms, "closed")
        check_judged(t, lab, rooms, "open")
        check_successor(t, lab, rooms)
        check_panic(t, lab, rooms, is_dead=False)
        check_panic(t, lab, rooms, is_dead=True)
        check_takeover(t, lab, rooms)


if __name__ == "__main__":
    main(scenario)
