#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""156 — packet filters that hang, die, lie, delay for ever; the queue full; sluiced killed

   [ client ns: a program that sends datagrams and counts answers ]──uplink──[ server ns: echo :7, :7007 ]
        └ packet-filter, stopped or killed: its fail class holds, for a deadline at most nobody moves,
          and every packet is in some count of `sluice status`
"""
import os
import signal

from lib import main
from lib.still import Still
from lib.wait import SLOW, wait_for

ADDRESS = "10.79.56.1"
DEADLINE_S = 1.0
AFTER_MS = 100  # it
STEADY = """
import json, os, socket, sys, time
address, port, until, patience_s = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((address, port))
n, answered, waits = 0, set(), []

def hear(words, within_s):
    # answers, until these words are among them
    s.settimeout(within_s)
    try:
        while not words <= answered:
            answered.add(s.recv(100))
    except OSError:
        pass

while not os.path.exists(until):
    n += 1
    word = b"%d" % n
    begun = time.monotonic()
    s.send(word)
    hear({word}, patience_s)
    if word in answered:
        waits.append(time.monotonic() - begun)
    if n == 1:
        print("begun", file=sys.stderr, flush=True)
    time.sleep(0.01)
hear({b"%d" % i for i in range(1, n + 1)}, 2)  # late, since the machine stood still, is not lost
print(json.dumps({"sent": n, "answered": len(answered), "longest": max(waits), "slow": sum(w > 0.5 for w in waits)}), flush=True)
time.sleep(600)  # what has become of its packets is asked of its instance
"""
FLOOD = """
import json, os, socket, sys, time
address, port, start, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
s, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
for each in (s, other):
    each.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE: what waits does not stop it
os.setuid(int(sys.argv[5]) if len(sys.argv) > 5 else 0)
s.connect((address, 7))
s.send(b"first")
s.recv(100)
if port != 7:
    s = other
    s.connect((address, port))
    s.send(b"the flow is judged, and this is delayed")
print("begun", file=sys.stderr, flush=True)
while not os.path.exists(start):
    time.sleep(0.01)
s.setblocking(False)
sent = int(port != 7)
for _ in range(count):
    try:
        s.send(b"x" * 32)
        sent += 1
    except OSError:
        pass
print(json.dumps({"sent": sent}), flush=True)
time.sleep(600)
"""


ONE = """
import os, socket, sys, time
address, port, start = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((address, 7))
s.send(b"first")
s.recv(100)
t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
t.connect((address, port))
t.settimeout(12)
print("other begun", file=sys.stderr, flush=True)
while not os.path.exists(start):
    time.sleep(0.01)
t.send(b"one")
try:
    print("answered", t.recv(100) == b"one", flush=True)
except (TimeoutError, OSError) as error:
    print("answered", error, flush=True)
time.sleep(600)
"""


def packet_filter(lab, *options):
    return lab.path("tests/providers/packet-filter") + ":" + ",".join(options or ("bytes=128",))


def status(lab, run):
    return lab.status(f"r{run.pid}")


def touch(path):
    with open(path, "w"):
        pass


def begin(lab, options, fail, script, *arguments):
    """a program in one of the instances; Return: it, and the file it waits for"""
    trigger = lab.new_file("trigger")
    arguments = [trigger if word is None else str(word) for word in arguments]
    run = lab.start([packet_filter(lab, *options)], ["python3", "-c", script, ADDRESS, *arguments], fail=fail)
    wait_for(lambda: "begun" in run.stderr, 15, "a first datagram")
    return run, trigger


def check_silent(t, lab, fail, what):
    """hung, or dying again and again: open passes, and waits for few deadlines; closed drops"""
    options = {"hung": ("hang-after=50",), "dying": ("die-after=50",), "lying": ("lie=1",)}[what]
    patience = 8 if fail == "open" else 1.5 * SLOW if what == "dying" else 0.2
    still = Still()
    run, trigger = begin(lab, options, fail, STEADY, 7, None, patience)
    if what == "lying":
        late = lambda: status(lab, run)["providers"][0]["packets"]["late"]
        wait_for(lambda: late() > 100, 20, "its lies are counted")
    else:
        wait_for(lambda: status(lab, run)["providers"][0]["restarts"] >= 2, 40, f"{what}: started again")
    touch(trigger)
    wait_for(lambda: run.stdout.strip(), 15, "the end")
    said, got = status(lab, run), run.json()
    run.end()
    print(f"# {what}, fails {fail}: {got}, {said['packets']}, {said['providers'][0]['packets']}")
    if what == "lying":
        t.equal(got["answered"], got["sent"], f"{what} {fail}: what it says of others does nothing")
        return
    failed = said["providers"][0]["packets"]["failed"]
    t.check(failed > 0 or what == "dying", f"{what} {fail}: counted as failed: {failed}")
    if what == "dying":  # what waits is asked of the next one; what comes between the two fails
        t.check(got["answered"] and (fail == "open" or got["sent"] - got["answered"] <= failed),
                f"dying {fail}: what is lost has failed: {got}, {failed}")
    if fail == "open":
        t.equal(got["answered"], got["sent"], f"{what} open: every datagram passed")
        still.check(t, got["longest"] * 1000, AFTER_MS, f"{what} open: the deadline", free_ms=2000 * DEADLINE_S * SLOW)
        t.check(got["slow"] <= 2 * (said["providers"][0]["restarts"] + 2), f"{what} open: few waited: {got['slow']}")
    elif what == "hung":
        t.check(0 < got["answered"] < got["sent"], f"{what} closed: some were dropped, not all: {got}")


def check_full(t, lab, fail):
    """stopped, and more packets than find a place: each is in a count"""
    n = 20000
    run, trigger = begin(lab, (), fail, FLOOD, 7, None, n)
    os.kill(run.wait_pid("packet-filter"), signal.SIGSTOP)
    before = status(lab, run)["packets"]
    with lab.capture() as wire:
        touch(trigger)
        wait_for(lambda: run.stdout.strip(), 20, "the flood")
        sent = run.json()["sent"]
        ours = lambda p: p.proto == "udp" and p.dst == ADDRESS and p.dport == 7
        if fail == "open":
            wire.wait_count(sent, ours, within=20)
        wait_for(lambda: status(lab, run)["packets"]["waiting"] == 0, 20, "nothing waits")
        n_left = wire.count(ours)
    said = status(lab, run)
    packets, mine = said["packets"], said["providers"][0]["packets"]
    print(f"# full, fails {fail}: sent {sent}, left {n_left}, {packets}, {mine}")
    t.check(packets["unread"] > 0, f"full {fail}: the queue was full: {packets}")
    t.equal(n_left, sent if fail == "open" else 0, f"full {fail}: what left")
    # answers of the echo are packets as well
    t.check(packets["read"] + packets["unread"] - before["read"] >= sent, f"full {fail}: all are counted: {packets}")
    run.end()


def check_delayed(t, lab, fail):
    """for ever: so many, and so long, and then the fail class"""
    n = 1500
    with lab.capture() as wire:
        run, trigger = begin(lab, ("delay-port=7007",), fail, FLOOD, 7007, None, n)
        ours = lambda p: p.proto == "udp" and p.dst == ADDRESS and p.dport == 7007
        run.wait_flow(event="new", dport=7007)
        touch(trigger)
        wait_for(lambda: run.stdout.strip(), 20, "the flood")
        sent = run.json()["sent"]
        def is_settled():
            said = status(lab, run)["packets"]
            return said["delayed"] and not said["waiting"] and said["delayed"]
        kept = wait_for(is_settled, 9, "some are delayed, the others decided")
        t.check(kept <= 1024, f"delayed {fail}: {kept} at once")
        early = wire.count(ours)
        wait_for(lambda: status(lab, run)["packets"]["delayed"] == 0, 20, "none for longer than 10 s")
        if fail == "open":
            wire.wait_count(sent, ours, within=20)
        late = wire.count(ours)
    packets = status(lab, run)["providers"][0]["packets"]
    print(f"# delayed, fails {fail}: sent {sent}, {early} at once, {late} in the end, {packets}")
    t.equal(packets["failed"], sent, f"delayed {fail}: each is counted")
    if fail == "open":
        t.check(0 < early < sent, f"delayed open: what found no place passed: {early}")
        t.equal(late, sent, "delayed open: all pass in the end")
    else:
        t.equal((early, late), (0, 0), "delayed closed: nothing passes")
    run.end()


def as_user(uid, words):
    return " ".join(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *map(str, words)])


def check_users(t, lab):
    """one delays more than there are places for; another user's datagram is delayed, and goes"""
    os.chmod(lab.folder, 0o777)
    scripts = [lab.new_file("py", text) for text in (FLOOD, ONE)]
    triggers = [lab.new_file("trigger") for _ in scripts]
    crowd = " ".join(map(str, ["/usr/bin/python3", scripts[0], ADDRESS, 7007, triggers[0], 1500, 1001]))
    other = as_user(1002, ["/usr/bin/python3", scripts[1], ADDRESS, 7007, triggers[1]])
    run = lab.start([packet_filter(lab, "delay-port=7007", "delay-ms=6000")], ["sh", "-c", f"{crowd} & exec {other}"],
                    fail="closed")
    wait_for(lambda: run.stderr.count("begun") == 2, 15, "both programs")
    touch(triggers[0])
    wait_for(lambda: '"sent"' in run.stdout, 20, "the flood")
    wait_for(lambda: status(lab, run)["packets"]["waiting"] == 0, 5, "the flood is read")
    touch(triggers[1])
    wait_for(lambda: "answered" in run.stdout, 20, "the other's answer, or none")
    t.check("answered True" in run.stdout, f"another user's datagram is delayed, not dropped: {run.stdout}")
    mine = status(lab, run)["providers"][0]["packets"]
    t.check(mine["failed"] > 0, f"the crowd's had no place: {mine}")
    run.end()


def check_successor(t, lab, fail):
    """sluiced is killed: the next one asks on"""
    run, trigger = begin(lab, (), fail, STEADY, 7, None, 8 if fail == "open" else 0.2)
    old = run.wait_pid("sluiced")
    os.kill(old, signal.SIGKILL)
    run.wait_pid("sluiced", other_than=old)
    def asked():
        said = status(lab, run)
        return said.get("generation") == 1 and said["providers"][0].get("packets", {}).get("asked", 0) > 20
    wait_for(asked, 20, "the successor asks")
    touch(trigger)
    wait_for(lambda: run.stdout.strip(), 15, "the end")
    got = run.json()
    run.end()
    print(f"# sluiced killed, fails {fail}: {got}")
    t.check(got["answered"] >= 10, f"successor {fail}: {got}")  # each is two packets


def check_killed_keeps_rules(t, lab):
    """rules are the filter's word, also while its process is stopped"""
    run, trigger = begin(lab, ("rule=allow;port=7", "rule=allow;local-port=7", "otherwise=ask"), "closed", STEADY, 7, None, 0.2)
    os.kill(run.wait_pid("packet-filter"), signal.SIGSTOP)
    wait_for(lambda: status(lab, run)["providers"][0]["restarts"] >= 1, 30, "started again")
    touch(trigger)
    wait_for(lambda: run.stdout.strip(), 15, "the end")
    got = run.json()
    run.end()
    t.equal(got["answered"], got["sent"], f"by rules: {got}")


def scenario(t):
    with t.lab() as lab:
        for port in (7, 7007):
            lab.udp_echo(port)
        for fail in ("open", "closed"):
            for what in ("hung", "dying", "lying"):
                check_silent(t, lab, fail, what)
            check_full(t, lab, fail)
            check_delayed(t, lab, fail)
            check_successor(t, lab, fail)
        check_users(t, lab)
        check_killed_keeps_rules(t, lab)


if __name__ == "__main__":
    main(scenario)
