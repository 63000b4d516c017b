#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""160 — loopback is allowed, unless a static rule names it (docs/decisions/0019)

   [ client ns: programs ──lo── echo :7 :8, which are not governed, and a governed server
        │ ]──uplink──[ server ns: echo :7007 ]
        └ test-filter denies what it is asked about, and its rules name loopback, or do not:
          allow, drop, silent, ask; TCP, UDP, ICMP; both families; replaced while flows live;
          its process killed until it is given up; what `sluice explain` says before
"""
import json
import os
import signal
import socket
import subprocess

from lib import machine, main
from lib.lab import CLIENT4
from lib.rooms import HOST4, Room
from lib.wait import SLOW, wait_for

DENIED, ALLOWED = {"ECONNREFUSED": 1}, {"0": 1}
FREE = "on loopback, where no rule forbids it"
V4, V6 = "127.0.0.1", "::1"


def flow(lab, proto, address, port=7, count=1, timeout_ms=3000):
    return " ".join(lab.flowgen(proto, address, port, count, 1, int(timeout_ms * SLOW)))


def errors(run):
    return [line["errors"] for line in run.jsons() if "errors" in line]


def flows(lab, filters, *lines, **settings):
    run = lab.run(filters, ["sh", "-c", "; ".join(lines)], **settings)
    return errors(run), run


def told(run, **wanted):
    """what flow records say of loopback"""
    return [(record["dst"], record["verdict"], record["reason"]) for record in run.flows(event="new", **wanted)
            if record["dst"].startswith("127.") or record["dst"] == V6]


def rules_of(lab, filters):
    """the chains of loopback in the rules, while these filters are in force"""
    run = lab.run(filters, ["nft", "-j", "list", "ruleset"])
    rules = [item["rule"] for item in json.loads(run.stdout)["nftables"] if "rule" in item]
    return len(rules), [rule["chain"] for rule in rules].count("in_loopback")


def check_nobody_names(t, lab):
    """an address of every network, no address, wider networks, hosts: none of them names it"""
    wide = ["drop;address=0.0.0.0/0", "drop;address=::/0", "drop;address=126.0.0.0/7", "drop;address=::/127",
            "drop;port=7", "drop;domain=localhost"]
    got, run = flows(lab, [lab.test_filter(rule=wide, otherwise="drop", deny_all=1)],
                     *(flow(lab, proto, address) for proto in ("tcp", "udp") for address in (V4, "127.0.0.53", V6)),
                     flow(lab, "icmp", V4, 0), flow(lab, "tcp", CLIENT4), flow(lab, "tcp", "10.79.59.1", 7007), fail="closed")
    t.equal(got, [ALLOWED] * 8 + [DENIED], "rules that do not name loopback")
    t.equal(told(run), [], "nobody judged it")
    plain = rules_of(lab, [lab.test_filter(deny_all=1)])
    t.equal(plain[1], 0, "without rules no packet of loopback is looked at more than before")
    for rule in (*wide, f"allow;address={V4}", f"drop;direction=in;address={V4}"):
        t.equal(rules_of(lab, [lab.test_filter(rule=rule)]), plain, f"{rule}: the same rules in the kernel")
    named = rules_of(lab, [lab.test_filter(rule=f"drop;address={V4}")])
    t.check(named[0] > plain[0] and named[1], "and other ones where one names it")


def check_actions(t, lab, proto):
    """the first rule that names it decides, whatever stands before; the rest of loopback is allowed"""
    rules = ["drop;port=7", f"drop;address={V4};port=7;reason=named", f"silent;address=127.0.1.0/24;protocol={proto}",
             "ask;address=127.0.0.9", f"allow;address={V6};port=8", f"drop;address={V6}"]
    where = [(V4, 7), (V4, 8), ("127.0.1.5", 7), ("127.0.0.9", 7), ("127.0.0.2", 7), ("127.9.9.9", 7), (V6, 8), (V6, 7)]
    lines = [flow(lab, proto, address, port, timeout_ms=300 if address == "127.0.1.5" else 3000) for address, port in where]
    got, run = flows(lab, [lab.test_filter(rule=rules, otherwise="drop", deny_all=1, count=1), lab.test_filter(rule="drop;port=7")],
                     *lines)
    t.equal(got, [DENIED, ALLOWED, {"ETIMEDOUT": 1}, DENIED, ALLOWED, ALLOWED, ALLOWED, DENIED], f"{proto}: verdicts")
    t.equal(told(run), [(V4, "drop", "rule 2: named"), (V4, "allow", FREE), ("127.0.1.5", "drop", "rule 3"),
                        ("127.0.0.9", "drop", "asked 1"), ("127.0.0.2", "allow", FREE), (V6, "allow", FREE), (V6, "drop", "rule 6")],
            f"{proto}: who decided; 127.9.9.9 is beyond what rules name")


def check_icmp(t, lab):
    """denied as everywhere (docs/errno.md)"""
    got, _ = flows(lab, [lab.test_filter(rule=[f"drop;address={V4}", f"drop;address={V6}"])], flow(lab, "icmp", V4, 0, timeout_ms=500),
                   flow(lab, "icmp", V6, 0, timeout_ms=500), flow(lab, "icmp", "127.0.0.2", 0))
    away, _ = flows(lab, [lab.test_filter(deny_all=1)], flow(lab, "icmp", "10.79.59.1", 0, timeout_ms=500))
    t.equal(got, [*away, *away, ALLOWED], "echo requests")


def words(command):
    return " ".join(str(word) for word in command)


def once(path, command):
    """the command, when the test has removed this file"""
    return f"while [ -e {path} ]; do sleep 0.02; done; {command}"


def check_both_governed(t, lab):
    """a conversation is judged where it begins: what answers is the other end's, of TCP and of UDP"""
    rules = ["allow;address=127.0.0.0/8;port=7070", "drop;address=127.0.0.0/8", f"allow;address={V6};port=7070", f"drop;address={V6}"]
    for address in (V4, V6):
        for server, client in ((lab.actor("serve_echo", 7070), lab.actor("exchange", address, 7070, 1000)),
                               (lab.actor("serve_datagrams", address, 7070, 3), lab.actor("datagrams", address, 7070, 3, 50))):
            ready = lab.new_file("ready", "")
            run = lab.start([lab.test_filter(rule=rules, deny_all=1)],
                            ["sh", "-c", f"{words(server)} & " + once(ready, f"{words(client)}; {flow(lab, 'udp', address, 8)}; wait")],
                            fail="closed")
            wait_for(lambda: "listening" in run.stderr, 15, "the server")
            os.unlink(ready)
            t.equal(run.wait(20), 0, "exit status")
            said = {key: value for line in run.jsons() for key, value in line.items()}
            t.check(said.get("is_equal") or said.get("n_equal") == 3, f"{address}: a governed server answers: {said}")
            t.equal(errors(run), [DENIED], f"{address}: another port")


def check_asked_first(t, lab):
    """who is spoken to may answer; who speaks first is judged"""
    run = lab.start([lab.test_filter(rule=f"drop;address={V4}")], lab.actor("asked_first", V4, 7071, 7072))
    wait_for(lambda: "listening" in run.stderr, 15, "the program")
    with lab.client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((V4, 7072))
        s.settimeout(10)
        s.sendto(b"hello", (V4, 7071))
        for _ in range(2):
            s.sendto(*s.recvfrom(100))
    run.wait(20)
    t.equal(run.json()["told"], ["0", "0"], "answers")
    t.equal(told(run), [], "nobody judged them")
    run = lab.run([lab.test_filter(rule=f"drop;address={V4};port=8")], lab.actor("connect_accepted", V4, 7073, 8))
    t.equal(run.json()["told"], "ECONNREFUSED", "a socket that was accepted, and connects itself")


def check_no_address(t, lab):
    """connect(2) to no address is to loopback, and a conversation of its own each time"""
    ways = [V4, "0.0.0.0"] * 3
    run = lab.run([lab.test_filter(rule=f"ask;address={V4};port=7")], lab.actor("connect_again", 7, *ways))
    t.equal(run.json()["told"], ["0"] * len(ways), "connects")
    t.equal([dst for dst, _, _ in told(run)], [V4] * len(ways), "each is judged")


def check_other_interface(t, lab):
    """what is allowed on loopback is not allowed for a socket that leaves it: 127.0.0.1 by the uplink"""
    command, seen = lab.actor("leave_loopback", V4, 7, "uplink"), []
    for filters in (None, [lab.test_filter(rule="drop;address=127.0.0.0/8;port=9", otherwise="drop")]):
        with lab.capture() as wire:
            run = lab.run(filters, command) if filters else lab.plain(command)
            wire.stop()
        seen.append(len(wire.packets(lambda packet: packet.dst == V4)))
        t.equal(run.json()["told"][0], "0", "over loopback")
    t.check(seen[0], f"it leaves without Sluice: {seen}")
    t.equal(seen[1], 0, "the default of loopback is not for the uplink")


def check_names(t, lab):
    """a name server on loopback, named by nobody, or by a rule: its answers give names"""
    lab.local_zone.add("www.bad.example", "A", "10.79.59.9")
    resolver = lab.new_file("resolv.conf", "nameserver 127.0.0.53\n")
    program = "import socket\ntry: socket.create_connection(('www.bad.example', 7007), 5); print(0)\nexcept ConnectionRefusedError: print(1)"
    for rules, judged in (([], []), ([f"drop;address={V4}"], []), (["drop;address=127.0.0.0/8;port=9"], [("127.0.0.53", "allow", FREE)]),
                          (["ask;address=127.0.0.53", "drop;port=53"], [("127.0.0.53", "allow", None)])):
        run = lab.run([lab.test_filter(rule=[*rules, "drop;host=www.bad.example"])],
                      [lab.path("tests/providers/with-resolver"), resolver, "/usr/bin/python3", "-c", program])
        t.equal(run.stdout.split(), ["1"], f"{rules}: denied by its name; {run.stderr}")
        t.equal(sorted(set(told(run, proto="udp"))), judged, f"{rules}: who judged the name server")


def check_shown(t, lab):
    """a filter that is asked about loopback may look at what flows carry, in both directions"""
    for address in (V4, V6):
        rule = [f"ask;address={V4}", f"ask;address={V6}"]
        for act in (("exchange", address, 7, 60000), ("datagrams", address, 7, 5, 700)):
            run = lab.run([lab.test_filter(rule=rule, peek_out=4096, peek_in=4096)], lab.actor(*act), fail="closed")
            result = run.json()
            t.check(result.get("is_equal") or result.get("n_equal") == 5, f"{act}: {result}")
            shown = {line.split()[-5]: int(line.split()[-4]) for line in run.stderr.splitlines() if ": seen " in line}
            n = result.get("n", 5 * 700)
            if act[0] == "exchange":
                t.equal({side: count for side, count in shown.items() if side in ("in", "out")}, {"out": n, "in": n}, f"{act}: what was shown")
        run = lab.run([lab.test_filter(rule=rule, peek_in=4096, deny_when_seen="forbidden")], lab.actor("say_datagram", address, 7, "forbidden", 1))
        t.check(run.json()["told"][1] != "0", f"{address}: an answer that is denied does not arrive: {run.json()}")


def check_firewall(t, lab):
    """what a firewall sets: to be asked about both families of loopback, and all that goes out"""
    rules = ["ask;address=127.0.0.0/8", f"ask;address={V6}", "ask;direction=out"]
    denied = [V4, "10.79.60.1"]
    got, run = flows(lab, [lab.test_filter(rule=rules, otherwise="allow", deny_address=denied, count=1)],
                     *[flow(lab, "tcp", address, port) for address, port in
                       ((V4, 7), (V6, 7), ("10.79.60.1", 7007), ("10.79.60.2", 7007))])
    t.equal(got, [DENIED, ALLOWED, DENIED, ALLOWED], "asked about each")
    t.equal(told(run), [(V4, "drop", "asked 1"), (V6, "allow", "asked 2")], "on loopback")


def check_replaced(t, lab):
    """rules change while programs live: a rule that names loopback comes, another one, and none"""
    ready = [lab.new_file("ready", "") for _ in range(2)]
    held = words(lab.actor("recv", V4, 7))
    run = lab.start([lab.test_filter(rule=f"ask;address={V4};port=7", next_rule=["drop;address=127.0.0.0/8;port=7", "ask;port=7007"],
                                     replace_port=7007)],
                    ["sh", "-c", f"{held} & " + once(ready[0], f"{flow(lab, 'tcp', '10.79.59.1', 7007)}; wait; "
                                                               f"{flow(lab, 'tcp', V4)}; {flow(lab, 'udp', '127.0.0.2')}; {flow(lab, 'tcp', V4, 8)}")])
    wait_for(lambda: "connected" in run.stderr, 15, "the connection")
    os.unlink(ready[0])
    run.wait(30)
    t.equal([line.get("told") or line["errors"] for line in run.jsons()], [ALLOWED, "ECONNABORTED", DENIED, DENIED, ALLOWED],
            "an open connection is cut, new ones are refused")
    run = lab.run([lab.test_filter(rule=["drop;address=127.0.0.0/8", "ask;port=7007"], next_rule=["ask;port=7007"], replace_port=7007)],
                  ["sh", "-c", "; ".join([flow(lab, "udp", V4), flow(lab, "tcp", V4), flow(lab, "tcp", "10.79.59.1", 7007), flow(lab, "udp", V4),
                                          flow(lab, "tcp", V4), "nft -j list chain inet $(nft list tables | sed -n 's/^table inet //p') in_loopback"])])
    lines = run.stdout.splitlines()
    t.equal([json.loads(line)["errors"] for line in lines[:5]], [DENIED, DENIED, ALLOWED, ALLOWED, ALLOWED], "the last rule of loopback has gone")
    t.equal(lines[5].count('"rule"'), 0, "and with it what the kernel looks at")


def check_older(t, lab):
    """a connection that stood before anybody named loopback is judged at what it sends next"""
    ready = lab.new_file("ready", "")
    open(ready + ".go", "w").close()
    run = lab.start([lab.test_filter(next_rule=f"drop;address={V4}", replace_port=7007)],
                    ["sh", "-c", f"{words(lab.actor('talk_later', V4, 7, ready))} & {once(ready + '.go', 'true')}; "
                                 f"{flow(lab, 'tcp', '10.79.59.1', 7007)}; rm {ready}; wait"])
    run.wait(30)
    t.equal([line.get("told") or line["errors"] for line in run.jsons()], [ALLOWED, "ECONNRESET"], "an older connection")


def check_without_process(t, lab, fail):
    """its process killed until it is given up: rules hold, what was to be asked fails as it should"""
    ready = lab.new_file("ready", "")
    rules = [f"drop;address={V4};port=8", f"ask;address={V4}"]
    each = "; ".join(flow(lab, proto, V4, port, timeout_ms=20000) for proto in ("tcp", "udp") for port in (7, 8))
    run = lab.start([lab.test_filter(rule=rules)], ["sh", "-c", f"{each}; echo '{{}}'; " + once(ready, f"{each}; {flow(lab, 'udp', '127.0.0.53')}")],
                    fail=fail)
    wait_for(lambda: "{}" in run.stdout, 30, "flows while it runs")
    last = None
    while "given up" not in run.stderr:
        pids = [pid for pid in run.pids("test-filter") if pid != last]
        if pids:
            last = pids[0]
            machine.kill(last)
        else:
            wait_for(lambda: "given up" in run.stderr or [pid for pid in run.pids("test-filter") if pid != last], 20, "its successor")
    os.unlink(ready)
    t.equal(run.wait(60), 0, "exit status")
    asked = ALLOWED if fail == "open" else DENIED
    t.equal(errors(run), [ALLOWED, DENIED] * 2 + [asked, DENIED] * 2 + [ALLOWED], f"fails {fail}")


def check_daemon_killed(t, lab, fail):
    """sluiced killed with a flow held: its successor judges it, and knows what loopback is judged"""
    run = lab.start([lab.test_filter(rule=[f"ask;address={V4}", f"drop;address={V6}"], delay_ms=1500)],
                    ["sh", "-c", f"{flow(lab, 'tcp', V4, timeout_ms=30000)}; {flow(lab, 'udp', V6)}; {flow(lab, 'udp', '127.0.0.2')}"], fail=fail)
    first = run.wait_pid("sluiced")
    wait_for(lambda: lab.n_held() >= 1, 10, "a packet held")
    os.kill(first, signal.SIGKILL)
    t.equal(run.wait(60), 0, "exit status")
    t.equal(errors(run), [ALLOWED, DENIED, ALLOWED], f"a successor, {fail}")


def check_refusing_namespace(t, lab):
    """a network namespace whose table is somebody else's keeps rules of loopback out of no other"""
    go, up = lab.new_file("go", ""), lab.new_file("up")
    with Room("refuses") as refuses, Room("obeys") as obeys:
        obeys.serve_inside(9999)
        use = [words(room.enter([flow(lab, "udp", HOST4, timeout_ms=200)])) for room in (refuses, obeys)]
        named = words(obeys.enter([flow(lab, "tcp", V4, 9999)]))
        run = lab.start([lab.test_filter(rule="ask;port=7007", next_rule=f"drop;address={V4};port=9999", replace_port=7007)],
                        ["sh", "-c", f"while [ -e {go} ]; do {use[0]}; {use[1]}; touch {up}; sleep 0.1; done >/dev/null; "
                                     f"{flow(lab, 'tcp', '10.79.60.3', 7007)}; for i in $(seq 20); do sleep 0.1; {named}; done"])
        table = wait_for(lambda: obeys.tables() and refuses.tables(), 20, "the plane in both")[0].split()[-1]
        with refuses.guest:
            owner = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, text=True)
        owner.stdin.write(f"delete table inet {table}; add table inet {table} {{ flags owner; }}\n")
        owner.stdin.flush()
        wait_for(lambda: "chain" not in refuses.nft("list", "table", "inet", table), 10, "its table to be another's")
        os.unlink(go)
        t.equal(run.wait(60), 0, f"exit status; {run.stderr}")
        owner.kill()
        owner.wait()
    t.equal(errors(run)[0], ALLOWED, "rules are replaced")
    t.equal(errors(run)[-1], DENIED, "what they name in a namespace behind it")


def check_explain(t, lab):
    """what `sluice explain` says is what happens then"""
    instance = f"loopback{os.getpid()}"
    rules = ["drop;port=7", "drop;address=127.0.0.8/29;port=7;reason=some", f"ask;address={V6}", "allow;address=127.0.0.7"]
    where = [(V4, 7), ("127.0.0.9", 7), ("127.0.0.9", 8), ("127.0.0.7", 7), (V6, 7), (V6, 8), (CLIENT4, 7)]
    ask = [words([lab.path("sluice"), "explain", "--json", "--pid", "$$", "--to", f"{f'[{a}]' if ':' in a else a}:{port}/{proto}",
                  "--instance", instance]) + "; " + flow(lab, proto, a, port) for a, port in where for proto in ("tcp", "udp")]
    run = lab.run([lab.test_filter(rule=rules, deny_port=8), lab.test_filter(deny_all=1)], ["sh", "-c", "; ".join(ask)],
                  options=["--instance", instance])
    decoder, rest, said = json.JSONDecoder(), run.stdout.strip(), []
    while rest:
        one, end = decoder.raw_decode(rest)
        said.append(one)
        rest = rest[end:].lstrip()
    t.equal(len(said), 2 * len(ask), f"answers and flows: {run.stderr}")
    records = {(record["dst"], record["dport"], record["proto"]): record for record in run.flows(event="new")}
    for explained, happened in zip(said[::2], said[1::2]):
        dst = explained["flow"]
        record = records.get((dst["dst"], dst["dport"], dst["proto"]))
        t.equal(DENIED if explained["verdict"] == "drop" else ALLOWED, happened["errors"], f"{dst['dst']}:{dst['dport']} {dst['proto']}")
        t.equal((explained["by"] == "loopback", explained["reason"]), (not record, record["reason"] if record else "stays on this machine"),
                f"{dst['dst']}:{dst['dport']} {dst['proto']}: who decides")


def scenario(t):
    with t.lab() as lab:
        lab.client.ip("route add default via 10.77.0.2 dev uplink")
        for port in (7, 8):
            lab.tcp_echo(port, lab.client)
            lab.udp_echo(port, lab.client)
        lab.tcp_echo(7007)
        lab.local_dns()
        check_nobody_names(t, lab)
        for proto in ("tcp", "udp"):
            check_actions(t, lab, proto)
        check_icmp(t, lab)
        check_both_governed(t, lab)
        check_asked_first(t, lab)
        check_no_address(t, lab)
        check_other_interface(t, lab)
        check_names(t, lab)
        check_shown(t, lab)
        check_firewall(t, lab)
        check_replaced(t, lab)
        check_older(t, lab)
        for fail in ("open", "closed"):
            check_without_process(t, lab, fail)
            check_daemon_killed(t, lab, fail)
        check_refusing_namespace(t, lab)
        check_explain(t, lab)


if __name__ == "__main__":
    main(scenario)
