#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""147 — static rules of a filter: sluiced answers by them, its process is not asked

   [ client ns: flowgen, actor.py ]──uplink──[ server ns: DNS :53, echo :7, :7007, HTTP :80 ]
        └ test-filter denies what it is asked about, and its rules say otherwise:
          allow, drop, silent, ask; names; inbound; 50,000 rules; bad ones;
          replaced while flows live; with its process stopped, and killed too often
"""
import json
import os
import shutil

from lib import machine, main
from lib.capture import Capture
from lib.lab import CLIENT4
from lib.wait import SLOW, wait_for

DENIED = {"ECONNREFUSED": 1}
ALLOWED = {"0": 1}


def flow(lab, proto, address, port=7, count=1, timeout_ms=3000):
    return " ".join(lab.flowgen(proto, address, port, count, 1, int(timeout_ms * SLOW)))


def flows(lab, filters, *lines, **settings):
    """what each flowgen got, one after the other, and the run"""
    run = lab.run(filters, ["sh", "-c", "; ".join(lines)], **settings)
    return [json.loads(line)["errors"] for line in run.stdout.splitlines()], run


def reason(run, address):
    return run.wait_flow(event="new", dst=address)["reason"]


def check_actions(t, lab, proto):
    """the first rule that matches; the process denies the rest"""
    rules = ["drop;address=10.79.47.2", "allow;address=10.79.47.0/29;reason=near", f"silent;address=10.79.47.8/29;protocol={proto}",
             "ask;address=10.79.47.16", "allow;address=10.79.47.16", "allow;address=fd00:79::47:0/120;port=1-7"]
    got, run = flows(lab, [lab.test_filter(rule=rules, deny_all=1, count=1)],
                     flow(lab, proto, "10.79.47.1"), flow(lab, proto, "10.79.47.2"), flow(lab, proto, "10.79.47.9", timeout_ms=300),
                     flow(lab, proto, "10.79.47.16"), flow(lab, proto, "10.79.47.32"), flow(lab, proto, "fd00:79::47:1"))
    t.equal(got, [ALLOWED, DENIED, {"ETIMEDOUT": 1}, DENIED, DENIED, ALLOWED], f"{proto}: verdicts")
    t.equal([reason(run, address) for address in ("10.79.47.1", "10.79.47.2", "10.79.47.9", "10.79.47.16", "10.79.47.32", "fd00:79::47:1")],
            ["rule 2: near", "rule 1", "rule 3", "asked 1", "asked 2", "rule 6"], f"{proto}: who decided")


def check_cgroup(t, lab):
    """a cgroup, and those below it, but none that only begins alike"""
    options = ["--instance", f"cg{os.getpid()}"]
    where = lab.run([lab.test_filter()], ["sh", "-c", flow(lab, "tcp", "10.79.47.1")], options=options).wait_flow(event="new")["cgroup"]
    for top, wanted in ((where, DENIED), (where + "/", DENIED), (os.path.dirname(where) or "/", DENIED), ("/", DENIED),
                        (where[:-1], ALLOWED), (where + "/below", ALLOWED)):
        got, run = flows(lab, [lab.test_filter(rule="drop;cgroup=" + top)], flow(lab, "tcp", "10.79.47.1"), options=options)
        t.equal((got, reason(run, "10.79.47.1") == "rule 1"), ([wanted], wanted is DENIED), f"cgroup {where}, rule of {top}")


def check_otherwise(t, lab):
    """no rule matches: the set says what then; the second of two filters has its say"""
    got, run = flows(lab, [lab.test_filter(otherwise="allow", deny_all=1), lab.test_filter(rule="drop;port=7007")],
                     flow(lab, "tcp", "10.79.47.1"), flow(lab, "tcp", "10.79.47.2", 7007))
    t.equal(got, [ALLOWED, DENIED], "two filters")
    t.equal(reason(run, "10.79.47.2"), "rule 1", "the second filter's rule")


def check_remembered(t, lab):
    """what hangs on no local port the kernel may decide; the rest comes to sluiced each time"""
    for rule in ("allow;address=10.79.47.0/24", "allow;exe=" + lab.seen_path(lab.path("tests/providers/flowgen")),
                 "allow;local-port=1024-65535"):
        command = flow(lab, "tcp", "10.79.47.1", count=40) + "; cat /proc/net/netfilter/nfnetlink_queue"
        run = lab.run([lab.test_filter(rule=rule, deny_all=1)], ["sh", "-c", command], fail="closed")
        got, *queues = run.stdout.splitlines()
        t.equal(json.loads(got)["errors"], {"0": 40}, f"{rule}: allowed")
        wait_for(lambda: len(run.flows(event="new", dst="10.79.47.1")) >= 40, 5, "40 records")
        t.equal({record["reason"] for record in run.flows(event="new", dst="10.79.47.1")}, {"rule 1"}, f"{rule}: reasons")
        n_held = sum(int(line.split()[7]) for line in queues)  # the number of the last packet
        t.equal(n_held < 40, "local-port" not in rule, f"{rule}: the kernel decided some: {n_held} were held")


def check_interface(t, lab):
    """the interface is known before anything leaves by it: what is denied there is not sent"""
    for words in ("link add other type veth peer name far", "link set far up", "link set other up", "route add 10.79.48.0/24 dev other",
                  "neigh add 10.79.48.1 lladdr 02:00:00:00:00:01 dev other nud permanent"):
        lab.client.ip(words)
    words = [flow(lab, proto, f"10.79.{n}.1", timeout_ms=300) for proto in ("tcp", "udp") for n in (47, 48)]
    rules = ["drop;interface=othe", "drop;interface=other", "allow;interface=uplink"]
    with Capture(lab.client, "far") as wire:
        lab.plain(["sh", "-c", "; ".join(words)], 20)
        wire.wait_count(2, lambda packet: packet.dst == "10.79.48.1")
    with Capture(lab.client, "far") as wire:
        got, run = flows(lab, [lab.test_filter(rule=rules, deny_all=1)], *words)
    t.equal(got, [ALLOWED, DENIED] * 2, "by interface")
    t.equal(wire.packets(lambda packet: packet.dst == "10.79.48.1"), [], "packets that left by the one that is denied")
    seen = [(record["interface"], record["interface_kind"], record["reason"]) for record in run.flows(event="new")]
    t.equal(seen, [("uplink", "virtual", "rule 3"), ("other", "virtual", "rule 2")] * 2, "its name, its kind, the rule")
    lab.client.ip("link del other")


def check_two_paths(t, lab):
    """one file, one rule for one of its paths: what the kernel remembers of it is not the other one's"""
    paths = [os.path.join(lab.folder, name) for name in ("listed", "other", "longer-name-of-the-same")]
    shutil.copy(lab.path("tests/providers/flowgen"), paths[0])
    for path in paths[1:]:
        os.link(paths[0], path)
    words = [" ".join([path, *lab.flowgen("tcp", "10.79.47.1", 7, 20, 1, int(3000 * SLOW))[1:]]) for path in paths]
    got, run = flows(lab, [lab.test_filter(rule="allow;exe=" + lab.seen_path(paths[0]), deny_all=1)], *words, *words)
    t.equal(got, [{"0": 20}, {"ECONNREFUSED": 20}, {"ECONNREFUSED": 20}] * 2, "a program by three paths")
    t.check({record["exe"] for record in run.flows(event="new")} == {lab.seen_path(path) for path in paths}, "whose flows")


def python(*names):
    lines = ["import socket"] + [
        f"try: socket.create_connection(('{name}', 7), 5).close(); print(0)\nexcept ConnectionRefusedError: print(1)" for name in names]
    return ["/usr/bin/python3", "-c", "\n".join(lines)]


def check_names(t, lab):
    """of an address with two names that differ the first bytes are read (151); where they name
    nobody, as here, where there are none, it is the process's to judge"""
    lab.zone.add("www.good.example", "A", "10.79.47.1", ttl=60)
    lab.zone.add("www.bad.example", "A", "10.79.47.2", ttl=60)
    lab.zone.add("two.good.example", "A", "10.79.47.3", ttl=60)
    lab.zone.add("two.bad.example", "A", "10.79.47.3", ttl=60)
    rules = ["allow;port=53", "drop;host=www.bad.example", "drop;domain=bad.example", "allow;domain=GOOD.example"]
    run = lab.run([lab.test_filter(rule=rules, deny_all=1, count=1)],
                  python("www.good.example", "www.bad.example", "two.good.example", "two.bad.example", "www.good.example"))
    t.equal(run.stdout.split(), ["0", "1", "0", "0", "0"], "by name")
    changed = run.wait_flow(event="changed")
    t.equal((changed["dst"], changed["verdict"]), ("10.79.47.3", "drop"), "what was read, and asked about")
    reasons = [record["reason"] for record in run.flows(event="new", proto="tcp") if record["sport"] != changed["sport"]]
    t.equal(reasons, ["rule 4", "rule 2", "rule 4", "rule 4"], "who decided")


def check_inbound(t, lab):
    run = lab.start([lab.test_filter(rule=["drop;local-address=192.0.2.0/24", f"allow;direction=in;local-port=8080;local-address={CLIENT4}"], deny_all=1)], lab.actor("accept", 8080))
    wait_for(lambda: "listening" in run.stderr, 15, "the listener")
    for _ in range(2):
        with lab.connect_in(8080, CLIENT4) as s:
            s.sendall(b"hello")
            t.equal(s.recv(100), b"hello", "inbound")
    t.equal(run.wait(15), 0, "exit status")
    t.equal({record["reason"] for record in run.flows(event="new", direction="inbound")}, {"rule 2"}, "inbound")


def check_many(t, lab, n=50000 // int(SLOW)):
    """the last of many rules is found; `sluice status` counts them"""
    instance, place = f"rules{os.getpid()}", n - 17
    last = f"10.200.{place >> 8}.{place & 255}"
    status = "; ".join(" ".join([lab.path("sluice"), verb, "--instance", instance, "--json"]) for verb in ("status", "rules"))
    run = lab.run([lab.test_filter(fill_rules=n, rule="allow;address=10.79.47.0/24", deny_all=1)],
                  ["sh", "-c", f"{flow(lab, 'tcp', '10.79.47.1', count=100)}; {flow(lab, 'tcp', last)}; {status}"],
                  options=["--instance", instance])
    said = [json.loads(line) for line in run.stdout.splitlines()[:2]]
    t.equal([one["errors"] for one in said], [{"0": 100}, DENIED], f"{n} rules")
    t.equal([reason(run, "10.79.47.1"), reason(run, last)], [f"rule {n + 1}", f"rule {place + 1}"], "rules found")
    told, rules = (json.loads(line) for line in run.stdout.splitlines()[2:])
    t.equal(told["providers"][0]["rules"], n + 1, "status")
    rules = rules["filters"][0]["rules"]
    t.equal([rule["number"] for rule in rules], list(range(1, n + 2)), "all rules are shown, in their order")
    t.equal((rules[place]["remote"], rules[n]["remote"]), (last, "10.79.47.0/24"), "the rules that decided")


def check_shown(t, lab):
    """`sluice rules` says what the filters have said (RULE-6); what is no condition is null"""
    rules = {"drop;address=10.79.47.0/29;protocol=tcp;port=1-7;reason=near": {"action": "drop", "remote": "10.79.47.0/29", "protocol": 6,
                                                                               "remote_port": 1, "remote_port_last": 7, "reason": "near"},
             "allow;local-address=fd00:77::1;local-port=53": {"action": "allow", "local": "fd00:77::1", "local_port": 53, "local_port_last": 53},
             "silent;host=one.example": {"action": "drop-silent", "host": "one.example"},
             "ask;domain=Ads.Example;interface=uplink": {"action": "ask", "domain": "ads.example", "interface": "uplink"},
             "drop;exe=/bin/a;uid=7": {"action": "drop", "exe": "/bin/a", "uid": 7}}
    instance = f"shown{os.getpid()}"
    show = " ".join([lab.path("sluice"), "rules", "--instance", instance])
    run = lab.run([lab.test_filter(rule=list(rules), otherwise="drop"), lab.test_filter()], ["sh", "-c", f"{show} --json; {show}"],
                  options=["--instance", instance])
    first, second = json.loads(run.stdout.splitlines()[0])["filters"]
    t.equal([{key: value for key, value in rule.items() if value is not None and key not in ("number", "direction")}
             for rule in first["rules"]], list(rules.values()), "as they were given")
    t.equal((first["otherwise"], second["otherwise"], second["rules"]), ("drop", "ask", []), "every other flow")
    for text in ("1 drop        tcp, remote 10.79.47.0/29, remote ports 1-7", "drop        every other flow", "ask         every flow"):
        t.check(text in run.stdout, f"{text!r} in {run.stdout}")


def check_bad(t, lab):
    """a bad rule: no start, with its number and reason"""
    run = lab.run([lab.test_filter(rule=["allow;port=7", "drop;address=10.0.0.0/99"])], ["true"])
    t.check(run.wait() != 0, "it did not start")
    t.check("rule 2: the prefix is longer than the address" in run.stderr, run.stderr)


def check_bad_later(t, lab):
    """one that comes later changes nothing: those of before stay"""
    got, run = flows(lab, [lab.test_filter(rule="allow;address=10.79.47.1", next_rule="drop;address=10.79.47.1/24",
                                           replace_port=7007, deny_all=1)],
                     flow(lab, "tcp", "10.79.47.1"), flow(lab, "tcp", "10.79.47.2", 7007), flow(lab, "tcp", "10.79.47.1"))
    t.equal(got, [ALLOWED, DENIED, ALLOWED], "the rules of before")
    t.check("rule 1: the address has bits behind its prefix" in run.stderr, run.stderr)


def check_replaced(t, lab):
    """rules change while flows live: one is cut, others do not notice; new flows meet the new rules"""
    ready = lab.new_file("ready", "")
    cut, kept = (" ".join(lab.actor("recv", f"10.79.47.{i}", 7)) for i in (1, 2))
    run = lab.start([lab.test_filter(rule="allow;address=10.79.47.0/24;port=7", deny_all=1, count=1, replace_port=7007,
                                     next_rule=["drop;address=10.79.47.1;reason=later", "allow;address=10.79.47.2;port=7"])],
                    ["sh", "-c", f"{cut} & {kept} & while [ -e {ready} ]; do sleep 0.02; done; {flow(lab, 'tcp', '10.79.47.3', 7007)}; "
                                 f"wait %1; {flow(lab, 'tcp', '10.79.47.1')}; {flow(lab, 'tcp', '10.79.47.2')}; "
                                 f"{flow(lab, 'tcp', '10.79.47.4')}; wait"])
    wait_for(lambda: run.stderr.count("connected") == 2, 15, "both connections")
    os.unlink(ready)
    run.wait(30)
    lines = run.jsons()
    t.equal([line.get("told") for line in lines if "told" in line], ["ECONNABORTED", "nothing"], "the flow that is denied now, and the one next to it")
    t.equal([line["errors"] for line in lines if "errors" in line], [DENIED, DENIED, ALLOWED, DENIED], "new flows")
    changed = run.flows(event="changed")
    t.equal([(record["dst"], record["reason"]) for record in changed], [("10.79.47.1", "rule 1: later")], "flows touched")


def check_without_process(t, lab, fail):
    """its process stopped, then killed until it is given up: rules hold, the rest fails as it should"""
    ready, done = lab.new_file("ready"), lab.new_file("done")
    wait = f"touch {ready}; while [ -e {ready} ]; do sleep 0.02; done"
    ruled = f"{flow(lab, 'tcp', '10.79.47.1')}; {flow(lab, 'tcp', '10.79.47.2')}"
    run = lab.start([lab.test_filter(rule=["allow;address=10.79.47.1", "drop;address=10.79.47.2"], hang_after=1)],
                    ["sh", "-c", f"{flow(lab, 'tcp', '10.79.47.3', timeout_ms=1)}; {ruled}; {wait}; {ruled}; "
                                 f"{flow(lab, 'tcp', '10.79.47.3', timeout_ms=20000)}; touch {done}"], fail=fail)
    wait_for(lambda: os.path.exists(ready), 20, "flows while it hangs")
    last, n = None, 0
    while n < 12 and "given up" not in run.stderr:
        pids = [pid for pid in run.pids("test-filter") if pid != last]
        if pids:
            last, n = pids[0], n + 1
            machine.kill(last)
        else:
            wait_for(lambda: "given up" in run.stderr or [pid for pid in run.pids("test-filter") if pid != last], 20, "its successor")
    os.unlink(ready)
    t.equal(run.wait(30), 0, "exit status")
    got = [json.loads(line)["errors"] for line in run.stdout.splitlines()][1:]
    t.equal(got, [ALLOWED, DENIED, ALLOWED, DENIED, ALLOWED if fail == "open" else DENIED], f"fails {fail}")
    t.check("given up" in run.stderr, "it was given up")


def scenario(t):
    with t.lab() as lab:
        lab.dns()
        lab.tcp_echo(7)
        lab.tcp_echo(7007)
        lab.udp_echo(7)
        lab.client.ip("route add 10.200.0.0/14 via 10.77.0.2 dev uplink")
        for proto in ("tcp", "udp"):
            check_actions(t, lab, proto)
        check_otherwise(t, lab)
        check_remembered(t, lab)
        check_interface(t, lab)
        check_cgroup(t, lab)
        check_two_paths(t, lab)
        check_names(t, lab)
        check_inbound(t, lab)
        check_many(t, lab)
        check_shown(t, lab)
        check_bad(t, lab)
        check_bad_later(t, lab)
        check_replaced(t, lab)
        for fail in ("open", "closed"):
            check_without_process(t, lab, fail)


if __name__ == "__main__":
    main(scenario)
