#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""172 — what a proxy connects to is a flow of its own, on behalf of a program's: filters, then later proxies

   [ client ns: python ]──uplink──│capture│──[ server ns: HTTP, echo, routes that refuse ]
        └ sluice run --filter F --proxy A --proxy B      F is asked of the program's flow, of A's and of B's;
             program → A → B → network                   B of A's; A of no proxy's
"""
import collections
import importlib
import json
import os
import re
import signal
import subprocess
import time

from lib import machine, main
from lib.wait import wait_for

serving = importlib.import_module("126-serve")

HOST4, HOST6 = "10.79.72.1", "fd00:79::72:1"
HOSTS = (HOST4, HOST6)
ROUTES = {"unreachable": ("10.79.73.0/24", "fd00:79::73:0/112"),
          "prohibit": ("10.79.74.0/24", "fd00:79::74:0/112"),
          "blackhole": ("10.79.75.0/24", "fd00:79::75:0/112")}
LATER_S = 0.5  # a busy machine; a SYN that is sent again comes a second later
DOWNLOAD = 3_000_000
A, B = "test-proxy", "relay"


def proxy(lab, name, **options):
    where = lab.path("tests/providers/" + name) if name.endswith("-proxy") else name
    return where + (":" + ",".join(f"{key}={value}" for key, value in options.items()) if options else "")


def chain(lab, *proxies):
    return {"options": [word for each in proxies or (proxy(lab, A), B) for word in ("--proxy", each)]}


def prepare(lab):
    lab.http()
    lab.tcp_echo(7)
    lab.udp_echo(7)
    for kind, networks in ROUTES.items():
        for network in networks:
            lab.server.ip(f"route add {kind} {network} table local")
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        lab.server.sysctl(name, 1)
    for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
        lab.server.sysctl(name, 0)


# ---- who is asked, and what of ----

def check_order(t, lab):
    run = lab.run([lab.test_filter(tell=1)], lab.actor("connects", *(f"{host},7" for host in HOSTS)), **chain(lab))
    t.equal({end["error"] for end in run.json()}, {"0"}, "through a filter and two proxies")
    program = run.wait_flow(through=None)
    for host in HOSTS:
        flows = run.flows(event="new", dst=host)
        of = {through: [flow for flow in flows if flow["through"] == through] for through in (None, A, f"{A}, {B}")}
        t.equal({through: len(found) for through, found in of.items()}, {None: 2, A: 2, f"{A}, {B}": 2},
                f"{host}: flows of two connections, and which proxies they have come through")
        t.equal(len(flows), 6, f"{host}: and no other")
        for through, before, via in ((None, None, A), (A, None, B), (f"{A}, {B}", A, None)):
            t.equal({flow["via"] for flow in of[through]}, {via}, f"{host}, through {through}: which proxy has it")
            if through is None:
                t.equal({flow["on_behalf_of"] for flow in of[through]}, {None}, f"{host}: a program's")
                continue
            t.equal([flow["on_behalf_of"] for flow in of[through]], [flow["id"] for flow in of[before]],
                    f"{host}, through {through}: on behalf of")
            t.equal({(flow["origin_exe"], flow["origin_pid"], flow["origin_uid"]) for flow in of[through]},
                    {(program["exe"], program["pid"], program["uid"])}, f"{host}, through {through}: who began")
            t.check(all(flow["uid"] != program["uid"] and flow["exe"].endswith("/" + through.split(", ")[-1])
                        for flow in of[through]), f"{host}, through {through}: it is the proxy's own")
        name = program["exe"].rsplit("/", 1)[1]
        t.equal({flow["reason"] for flow in of[f"{A}, {B}"]},
                {f"{A}, {B}/{flow['on_behalf_of']}/{program['pid']}/{program['uid']}/{name}/" for flow in of[f"{A}, {B}"]},
                f"{host}: what the filter is told")


def check_alone(t, lab):
    """one proxy and nobody else: nobody is asked, and nothing is paid"""
    run = lab.run([], lab.actor("connects", f"{HOST4},7"), **chain(lab, proxy(lab, A)))
    t.equal([(flow["via"], flow["through"]) for flow in run.flows(event="new")], [(A, None)] * 2, "one proxy alone")


def check_name(t, lab):
    """it has the name of the flow that it is on behalf of: filters that allow by names alone do"""
    lab.dns().add("shop.example", "A", HOST4)
    run = lab.run([lab.test_filter(tell=1)], ["curl", "-q", "-sS", "-m", "20", "http://shop.example/bytes/100"], **chain(lab))
    found = {(flow["through"], flow["host"], flow["host_source"]) for flow in run.flows(event="new", dport=80)}
    t.equal(found, {(through, "shop.example", "dns") for through in (None, A, f"{A}, {B}")}, "names of the three flows")
    t.equal({flow["reason"].split("/")[-1] for flow in run.flows(event="new", through=f"{A}, {B}", dport=80)},
            {"shop.example"}, "what the filter is told")


def check_name_of_others(t, lab):
    """answers for other programs pass by the proxies: a flow without a name does not get one by that"""
    one = f"getent ahostsv4 shop.example > got && {' '.join(lab.actor('connects', f'{HOST4},7'))}"
    run = lab.run([lab.test_filter(deny_host="shop.example")], ["sh", "-c", f"cd {lab.folder}; {one}"], **chain(lab))
    t.equal([end["error"] for end in run.json()], ["0", "0"], f"the filter denies a name that it has not {run.report()}")
    found = {(flow["through"], flow["host"]) for flow in run.flows(event="new", dport=7)}
    t.equal(found, {(through, None) for through in (None, A, f"{A}, {B}")}, "names of the three flows")


def check_denied(t, lab):
    """whoever's flow a filter denies: the program has its error, at once, and nothing leaves"""
    python = lab.run([], lab.actor("connects", f"{HOST4},7")).wait_flow()["exe"]
    for title, wanted in ((f"{A}'s", {"deny_exe": lab.path("tests/providers/" + A)}),
                          (f"{B}'s", {"deny_exe": lab.path("providers/" + B)}),
                          (f"what has come through {A}", {"deny_through": A}),
                          ("what is on behalf of python", {"deny_origin": python})):
        with lab.capture() as wire:
            run = lab.run([lab.test_filter(**wanted)], lab.actor("connects", *(f"{host},7" for host in HOSTS)), **chain(lab))
        for end in run.json():
            t.equal(end["error"], "ECONNREFUSED", f"a filter denies {title}")
            t.check(end["took"] < LATER_S, f"a filter denies {title}: {end['took']:.3f} s")
        t.equal(wire.count(lambda packet: packet.dst in HOSTS), 0, f"a filter denies {title}: packets that left")


def check_mute(t, lab):
    """a proxy that does not say on whose behalf is judged as itself, and the next one may have it"""
    mute = chain(lab, proxy(lab, A, mute=1), B)
    for wanted, error in (({}, "0"), ({"deny_exe": lab.path("tests/providers/" + A)}, "ECONNREFUSED")):
        with lab.capture() as wire:
            run = lab.run([lab.test_filter(**wanted)], lab.actor("connects", f"{HOST4},7"), **mute)
        t.equal({end["error"] for end in run.json()}, {error}, f"a proxy that says nothing, {wanted}")
        found = {(flow["on_behalf_of"], flow["origin_exe"]) for flow in run.flows(event="new", through=A)}
        t.equal(found, {(None, None)}, "on behalf of nobody")
        n = wire.count(lambda packet: packet.dst == HOST4)
        t.check((n == 0) == bool(wanted), f"a proxy that says nothing, {wanted}: {n} packets that left")


def check_lies(t, lab):
    """what a proxy says of flows that are not its own changes nothing; one that floods is replaced"""
    for attempt, n_broken in (("others-upstreams", 0), ("upstream-flood", 1)):
        run = lab.run([lab.test_filter()], lab.actor("connects", *(f"{host},7" for host in HOSTS)),
                      **chain(lab, proxy(lab, "hostile-proxy", attempt=attempt), B))
        t.equal({end["error"] for end in run.json()}, {"0"}, f"{attempt}: it declines, and the next one takes them")
        t.equal(run.stderr.count("broke the protocol"), n_broken, f"{attempt}: {run.stderr}")
        t.equal({flow["through"] for flow in run.flows(event="new")}, {None, B}, f"{attempt}: through whom")


def check_in_time(t, lab):
    """what a proxy says of a socket is read before that one's first packet, also when very much goes on"""
    run = lab.run([lab.test_filter()], lab.flowgen("tcp", HOST4, 7, 400, 1, 20000, "parallel"), **chain(lab))
    by = collections.Counter((flow["through"], flow["on_behalf_of"] is None, flow["verdict"])
                             for flow in run.flows(event="new", dport=7))
    t.equal(by, {(None, True, "allow"): 400, (A, False, "allow"): 400, (f"{A}, {B}", False, "allow"): 400},
            "400 connections at once")


# ---- the truth, through two ----

def check_truth(t, lab):
    """the same errno as of a direct connection, blocking and not, and not later"""
    ends = [f"{host},{port}" for host in HOSTS for port in (80, 81)]
    ends += [f"{network.replace('0/24', '1').replace('0/112', '1')},80" + (",slow" if kind == "blackhole" else "")
             for kind, pair in ROUTES.items() for network in pair]
    command = lab.actor("connects", *ends)
    lab.client.sysctl("ipv4/tcp_syn_retries", 1)
    direct, proxied = lab.plain(command).json(), lab.run([lab.test_filter()], command, **chain(lab)).json()
    lab.client.sysctl("ipv4/tcp_syn_retries", 6)
    for i, (wanted, found) in enumerate(zip(direct, proxied, strict=True)):
        what = f"{ends[i // 2]}, {'blocking' if i % 2 == 0 else 'not blocking'}"
        t.equal([found[key] for key in ("error", "peer", "local")], [wanted[key] for key in ("error", "peer", "local")], what)
        t.check(found["took"] < wanted["took"] + LATER_S, f"{what}: {found['took']:.3f} s, direct {wanted['took']:.3f}")
        t.note(f"{what}: {found['error']} after {found['took'] * 1000:.0f} ms, direct {wanted['took'] * 1000:.0f}")


def check_ends(t, lab):
    """a reset stays one, and a half close; a full one is a half one first, until the first proxy knows of it"""
    for host in HOSTS:
        run = lab.run([lab.test_filter()], lab.actor("ends", host, 9, 60), **chain(lab, B, proxy(lab, A, ends=9)))
        wanted = collections.Counter(way for ways in run.json().values() for way in ways)
        found = collections.Counter(re.findall(r" \d+:(half|full|reset)", run.stderr))
        t.equal((found["reset"], found["half"] + found["full"]), (wanted["reset"], wanted["half"] + wanted["full"]),
                f"{host}: ends that the second proxy is told")
        t.check(found["half"] >= wanted["half"], f"{host}: half closes, {found}")
        run = lab.run([lab.test_filter()], lab.actor("half_download", host, 80, DOWNLOAD), **chain(lab))
        t.check(int(run.stdout) > DOWNLOAD, f"{host}: bytes behind a half close: {run.report()}")


def half_closed(lab):
    return {line.split()[1] for name in ("tcp", "tcp6") for line in lab.client.read_proc(name).splitlines()[1:]
            if line.split()[3] == "05"}


def check_nothing_stays(t, lab):
    """full closes end upstream as well, through both, also when the other side never says a word"""
    before = half_closed(lab)
    run = lab.run([lab.test_filter()], ["sh", "-c", f"{' '.join(lab.actor('leave', HOST4, 7, 100))}; sleep 7"], **chain(lab))
    t.equal(len(run.flows(event="closed", dport=7)), 300, "flows that have ended")
    t.equal(half_closed(lab) - before, set(), "sockets of proxies in FIN_WAIT_2 after 7 s")


def check_gave_up(t, lab):
    """the program leaves while what the first proxy connects to is held: everybody hears of it"""
    with lab.capture() as wire:
        run = lab.run([lab.test_filter()], lab.actor("give_up", HOST4, 7, 0.5), **chain(lab, B, proxy(lab, A, hold=7)))
        t.equal(run.json(), {"error": "EINPROGRESS", "still": True}, "the second proxy never opens it")
        t.check("was cancelled" in run.stderr, f"and hears that its program has left: {run.report()}")
    t.equal(wire.count(lambda packet: packet.dst == HOST4), 0, "packets that left")


def send_burst(lab, host, n, size):
    """What is sent while the verdict is written may overtake what waits for it in the queue: then once more"""
    for _ in range(2):
        run = lab.run([lab.test_filter()], lab.actor("there_and_back", host, 7, n, size, 1), **chain(lab))
        if run.json()["order"]:
            break
    return run


def check_datagrams(t, lab):
    for host in HOSTS:
        for size, n in ((20, 8), (1200, 8)):
            run = send_burst(lab, host, n, size)
            t.equal(run.json(), {"burst": True, "order": True, "single": n, "peers": [host]}, f"{host}: UDP, {size} bytes")
            found = {(flow["through"], flow["via"], flow["on_behalf_of"] is None)
                     for flow in run.flows(event="closed", proto="udp")}
            t.equal(found, {(None, A, True), (A, B, False), (f"{A}, {B}", None, False)}, f"{host}: flows of UDP")
    run = lab.run([lab.test_filter()], lab.actor("many_peers", "10.79.76", 7, 100), **chain(lab))
    t.equal(run.json(), {"right": 100}, "one socket, 100 peers: answers from the right one")
    run = lab.run([lab.test_filter()], lab.actor("sockets", HOST4, 7, 300, 0), **chain(lab))
    t.equal(run.json(), {"right": 300}, "300 sockets, one after the other: no port of one is taken for another's")


def check_looked_at(t, lab):
    """a filter that looks at everything sees it three times, and what it denies does not arrive"""
    words = ["curl", "-q", "-sS", "-m", "20", f"http://{HOST4}/bytes/300000", "-o", "/dev/null", "-w", "%{size_download}"]
    run = lab.run([lab.test_filter(peek_out=100, peek_in=100)], words, **chain(lab))
    t.equal(run.stdout, "300000", "a filter looks at it")
    run = lab.run([lab.test_filter(peek_in=100, deny_when_seen="Content-Length")], words, **chain(lab))
    t.equal(run.stdout, "0", "denied by what came in, nothing of it arrives")


# ---- faults ----

def check_slow_filter(t, lab):
    """a filter that does not judge what the first proxy connects to: the fail class, and the program hears of it"""
    for fail, wanted in (("closed", "ECONNREFUSED"), ("open", "0")):
        with lab.capture() as wire:
            run = lab.run([lab.test_filter(delay_ms=60000, delay_from=2)], lab.actor("reach", HOST4, 7, 0, 30), fail=fail,
                          **chain(lab))
        t.equal(run.json()["end"], wanted, f"a slow filter, fails {fail}")
        n = wire.count(lambda packet: packet.dst == HOST4)
        t.check((n == 0) == (fail == "closed"), f"a slow filter, fails {fail}: {n} packets that left")


def check_dying_filter(t, lab):
    """it dies of what a proxy connects to: the next one is asked, and the program waits for that"""
    for fail in ("closed", "open"):
        run = lab.run([lab.test_filter(crash_after=2)], lab.actor("reach", HOST4, 7, 0, 30), fail=fail, **chain(lab))
        t.equal(run.json()["end"], "0", f"a filter that dies of the second flow, fails {fail}")
        t.check("restarting it" in run.stderr, f"it has died: {run.report()}")


def check_killed(t, lab):
    """of the two proxies either one dies: an open flow is reset, others are served by the next process"""
    for name in (A, B):
        done = lab.new_file("done")
        script = " & ".join(" ".join(words) for words in (lab.actor("wait_on", HOST4, 7, 0, 30),
                                                           lab.actor("reach_until", done, HOST4, 7))) + " & wait"
        run = lab.start([lab.test_filter()], ["sh", "-c", script], **chain(lab))
        wait_for(lambda: run.stderr.count("connected") == 2, 15, f"{name}: connections")
        run.wait_flow(event="new", via=A)
        began = time.monotonic()
        machine.kill(run.wait_pid(name), signal.SIGKILL)
        wait_for(lambda: '"end"' in run.stdout, 10, f"{name} is killed: the open flow to end")
        t.note(f"{name} is killed: the open flow ended {(time.monotonic() - began) * 1000:.0f} ms later")
        time.sleep(0.5)
        open(done, "w").close()
        run.wait(40)
        told = run.jsons()
        t.equal(told[0]["end"], "ECONNRESET", f"{name} is killed: the open flow")
        # one that had just been connected is reset with it, before its program has looked
        t.check(told[1]["ends"].pop("ECONNRESET", 0) <= 1, f"{name} is killed: others: {told[1]}")
        t.equal(set(told[1]["ends"]), {"0"}, f"{name} is killed: others")


def check_sluiced(t, lab):
    """its successor has the sockets of the new proxies, too"""
    done = lab.new_file("done")
    run = lab.start([lab.test_filter()], lab.actor("reach_until", done, HOST4, 7), **chain(lab))
    wait_for(lambda: run.flows(event="new", through=f"{A}, {B}"), 15, "a flow through both")
    older = run.wait_pid("sluiced")
    machine.kill(older, signal.SIGKILL)
    run.wait_pid("sluiced", other_than=older)
    n = len(run.flows(event="new", through=f"{A}, {B}"))
    wait_for(lambda: len(run.flows(event="new", through=f"{A}, {B}")) >= n + 5, 20, "flows through both, of the successor")
    open(done, "w").close()
    run.wait(40)
    t.equal(set(run.json()["ends"]), {"0"}, "connections meanwhile")


def n_attached(instance):
    """programs of BPF on the cgroup of its providers"""
    with open(f"/run/sluice/{instance}/instance") as notes:
        cgroup = next(line.strip().split("=", 1)[1] for line in notes if line.startswith("providers_cgroup="))
    shown = subprocess.run(["bpftool", "-j", "cgroup", "show", cgroup], check=True, capture_output=True, text=True)
    return len(json.loads(shown.stdout.strip() or "[]"))


def check_taken_over(t, lab):
    """the next one of its name governs its proxies where somebody comes before them, and nowhere else"""
    instance, own = f"b{os.getpid()}", lab.path("tests/providers/" + A)
    section = f"[Proxy own]\nExec={own}\nFail=open\n"
    judged = f"[Filter first]\nExec={lab.path('tests/providers/test-filter')}\nFail=open\ndeny-exe={own}\n"
    with serving.Governed(lab) as governed:
        for sections, error in ((section, "0"), (judged + section, "ECONNREFUSED"), (section, "0")):
            config = lab.new_file("conf", f"[Instance]\nId={instance}\nCgroup={governed.name}\n{sections}")
            program = serving.serve(lab, config)
            title = "a filter and a proxy" if sections != section else "a proxy alone"
            t.equal(governed.flow(HOST4), error, title)
            t.equal(n_attached(instance), 0 if sections == section else 10, f"{title}: programs on the proxies' cgroup")
            if error != "0":
                t.equal(governed.flow(HOST4), error, f"{title}, again")
            serving.killed(lab, program)
        program = serving.serve(lab, config)
        program.kill(signal.SIGTERM)
        t.equal(program.wait(15), 0, "the end")


def scenario(t):
    t.needs("curl", "bpftool", "tests/providers/test-proxy")
    with t.lab() as lab:
        prepare(lab)
        check_order(t, lab)
        check_alone(t, lab)
        check_name(t, lab)
        check_name_of_others(t, lab)
        check_denied(t, lab)
        check_mute(t, lab)
        check_lies(t, lab)
        check_in_time(t, lab)
        check_truth(t, lab)
        check_ends(t, lab)
        check_nothing_stays(t, lab)
        check_gave_up(t, lab)
        check_datagrams(t, lab)
        check_looked_at(t, lab)
        check_slow_filter(t, lab)
        check_dying_filter(t, lab)
        check_killed(t, lab)
        check_sluiced(t, lab)
        check_taken_over(t, lab)


if __name__ == "__main__":
    main(scenario)
