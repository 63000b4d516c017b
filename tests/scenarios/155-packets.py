#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""155 — packet filters: each packet of governed programs is shown, allowed, dropped, delayed

   [ client ns: flowgen, ping, actor.py ]──uplink──[ server ns: echo :7, :7007, HTTP :80 ]
        ├ packet-filter says what it was shown, and does what it is told
        ├ its static rules: the kernel decides, nobody is asked
        └ examples/hello-packet drops a port
"""
import json
import os
import re

from lib import main, programs
from lib.lab import CLIENT4, SERVER4, SERVER6
from lib.rooms import HOST4, Room
from lib.wait import SLOW, wait_for

SHOWN = re.compile(r"packet (in|out) proto=(\d+) (\d+)>(\d+) (\S+)/(\d+) n=(\d+) length=(\d+) flow=(\d+) pid=(\d+) uid=(\d+) cookie=(\d)")
ADDRESSES = ("10.79.55.1", "fd00:79::55:1")
TCP, UDP = 6, 17


def packet_filter(lab, *options):
    return lab.path("tests/providers/packet-filter") + ":" + ",".join(options or ("bytes=128",))


def flow(lab, proto, address, port=7, count=1, timeout_ms=3000):
    return " ".join(lab.flowgen(proto, address, port, count, 1, int(timeout_ms * SLOW)))


def errors(run):
    return [json.loads(line)["errors"] for line in run.stdout.splitlines() if line.startswith("{")]


def shown(run):
    keys = ("way", "proto", "source", "destination", "interface", "ifindex", "n", "length", "flow", "pid", "uid", "cookie")
    return [dict(zip(keys, (match[0], *map(int, match[1:4]), match[4], *map(int, match[5:]))))
            for match in SHOWN.findall(run.stderr)]


def status(lab, run):
    """of its instance"""
    return lab.status(f"r{run.pid}")


def check_shown(t, lab):
    """every packet of both directions, with what is known of it; not those of others, nor loopback's"""
    for address in ADDRESSES:
        for proto, number in (("tcp", TCP), ("udp", UDP)):
            lab.plain(lab.flowgen(proto, address, 7, 1, 1, 3000))
            run = lab.run([packet_filter(lab, "show=1")], lab.flowgen(proto, address, 7, 1, 1, int(3000 * SLOW)))
            t.equal(run.json()["errors"], {"0": 1}, f"{proto} {address}")
            packets = [packet for packet in shown(run) if packet["proto"] == number]
            out = [packet for packet in packets if packet["way"] == "out" and packet["destination"] == 7]
            come = [packet for packet in packets if packet["way"] == "in" and packet["source"] == 7]
            t.check(len(out) >= (2 if proto == "tcp" else 1) and come and len(out) + len(come) == len(packets),
                    f"{proto} {address}: both directions: {packets}")
            record = run.wait_flow(event="new", dst=address)
            t.equal({(packet["interface"], packet["flow"], packet["uid"], packet["cookie"]) for packet in packets},
                    {("uplink", record["id"], 0, 1)}, f"{proto} {address}: interface, flow, user, socket")
            t.equal(len({packet["pid"] for packet in packets}), 1, f"{proto} {address}: one process")
            t.equal(packets[0]["pid"], record["pid"], f"{proto} {address}: which")
            t.check(all(packet["n"] == min(packet["length"], 128) for packet in packets), f"{proto} {address}: bytes")


def check_flow(t, lab):
    """the flow that it is of is told, also of one that the kernel let go alone, and behind the flow's end"""
    for address in ADDRESSES:
        for proto in ("tcp", "udp"):
            run = lab.run([packet_filter(lab, "show=1", "remember=1")], flow(lab, proto, address, count=5).split())
            t.equal(errors(run), [{"0": 5}], f"{proto} {address}")
            ids = {record["sport"]: record["id"] for record in run.flows(event="new", dst=address)}
            t.equal(len(ids), 5, f"{proto} {address}: flows")
            told = [(packet["flow"], packet["source" if packet["way"] == "out" else "destination"]) for packet in shown(run)]
            t.equal([(ids[port], port) for _, port in told], told, f"{proto} {address}: flow of each packet")


def check_others(t, lab):
    """who is not governed is not shown, and loopback is not"""
    run = lab.start([packet_filter(lab, "show=1", "drop-port=7")], ["sh", "-c", f"{flow(lab, 'tcp', '127.0.0.1', 9)}; sleep 60"])
    wait_for(lambda: errors(run), 10, "loopback")
    plain = lab.plain(lab.flowgen("tcp", ADDRESSES[0], 7, 3, 1, 3000))
    t.equal(plain.json()["errors"], {"0": 3}, "a program that is not governed")
    t.equal(shown(run), [], "what is shown")
    run.end()


def check_wide(t, lab):
    """as many bytes as it asks for, and of a large one the length"""
    lab.http(80)
    run = lab.run([packet_filter(lab, "show=1", "bytes=1500")], ["curl", "-sS", "-m", "20", f"http://{ADDRESSES[0]}/"])
    t.check("hello" in run.stdout, "curl")
    packets = shown(run)
    t.check(any(packet["n"] > 128 for packet in packets), f"more than 128 bytes: {packets}")


def check_dropped(t, lab):
    """nothing of what is dropped leaves; what comes in does not arrive"""
    for address in ADDRESSES:
        for proto in ("tcp", "udp"):
            with lab.capture() as wire:
                run = lab.run([packet_filter(lab, "drop-port=7007")], ["sh", "-c", "; ".join((
                    flow(lab, proto, address, 7007, timeout_ms=700), flow(lab, proto, address, 7)))])
                n = wire.count(lambda p: p.proto == proto and p.dst == address and p.dport == 7007)
            t.equal(errors(run), [{"ETIMEDOUT": 1}, {"0": 1}], f"{proto} {address}")
            t.equal(n, 0, f"{proto} {address}: packets that left")
    ping = ["ping", "-c", "1", "-W", "1"]
    for address, number in zip(ADDRESSES, (1, 58)):
        for options, code in ((f"drop-protocol={number}", 1), ("show=1", 0)):
            run = lab.run([packet_filter(lab, options)], [*ping, address])
            t.equal(run.wait(), code, f"ping {address} {options}")
        echoes = [packet["way"] for packet in shown(run) if packet["proto"] == number]
        t.equal(sorted(echoes), ["in", "out"], f"ping {address}: shown")


def check_left(t, lab):
    """its socket is closed while its flow is judged: the packet is shown all the same"""
    for address in ADDRESSES:
        for options, wanted in (("drop-port=7", 0), ("show=1", 1)):
            with lab.capture() as wire:
                run = lab.run([lab.test_filter(delay_ms=300), packet_filter(lab, options)],
                              programs.command("ends", "leave", "datagram", address, 0, "left"), fail="closed")
                n = wire.count(lambda p: p.proto == "udp" and p.dst == address)
            t.equal((run.wait(), n), (0, wanted), f"{address}, and closed, {options}: on the uplink")
        t.equal([packet["flow"] for packet in shown(run) if packet["proto"] == UDP],
                [run.wait_flow(event="new", dst=address)["id"]], f"{address}, and closed: its flow")


def check_inbound(t, lab, address):
    """a listener: the connection is made when its packets are let in, and not otherwise"""
    run = lab.start([packet_filter(lab, "drop-from=8081", "show=1")],
                    ["sh", "-c", " & ".join(" ".join(lab.actor("accept", port)) for port in (8080, 8081))])
    wait_for(lambda: run.stderr.count("listening") == 2, 15, "the listeners")
    for _ in range(2):
        with lab.connect_in(8080, address) as s:
            s.sendall(b"hello")
            t.equal(s.recv(100), b"hello", f"{address}: let in")
    try:
        lab.connect_in(8081, address, 0.7).close()
        got = "connected"
    except TimeoutError:
        got = "timeout"
    t.equal(got, "timeout", f"{address}: not let in")
    ways = {packet["way"] for packet in shown(run) if 8080 in (packet["source"], packet["destination"])}
    t.equal(ways, {"in", "out"}, f"{address}: a listener's packets, both ways")
    t.check(all(packet["pid"] and packet["cookie"] for packet in shown(run)), f"{address}: whose")
    run.end()


def check_after_flows(t, lab):
    """a flow that is refused is refused before any packet of it is shown"""
    for proto in ("tcp", "udp"):
        run = lab.run([packet_filter(lab, "flows=drop", "show=1")], ["sh", "-c", "; ".join((
            flow(lab, proto, ADDRESSES[0], 7007), flow(lab, proto, ADDRESSES[0], 7)))])
        t.equal(errors(run), [{"ECONNREFUSED": 1}, {"0": 1}], f"{proto}: the flow")
        t.check(shown(run) and not [p for p in shown(run) if 7007 in (p["source"], p["destination"]) or p["proto"] == 1],
                f"{proto}: {shown(run)}")


def check_two(t, lab):
    """of two filters each has to allow a packet, and each is asked"""
    for filters in (("drop-port=7007", "show=1"), ("show=1", "drop-port=7007")):
        run = lab.run([packet_filter(lab, options) for options in filters], ["sh", "-c", "; ".join((
            flow(lab, "udp", ADDRESSES[0], 7007, timeout_ms=500), flow(lab, "udp", ADDRESSES[0], 7)))])
        t.equal(errors(run), [{"ETIMEDOUT": 1}, {"0": 1}], f"{filters}")
        t.check({packet["destination"] for packet in shown(run)} >= {7, 7007}, f"{filters}: both were asked")


def check_delayed(t, lab):
    """it arrives, later; or it does not, if that is what is said at last"""
    for options, told in (((), {"0": 1}), (("release=drop",), {"ETIMEDOUT": 1})):
        run = lab.run([packet_filter(lab, "delay-port=7007", "delay-ms=300", *options)],
                      ["sh", "-c", "; ".join((flow(lab, "udp", ADDRESSES[0], 7007, timeout_ms=2500), flow(lab, "udp", ADDRESSES[0], 7)))])
        t.equal(errors(run), [told, {"0": 1}], f"delayed {options}")
        latency = json.loads(run.stdout.splitlines()[0])
        t.check(told != {"0": 1} or latency["max_us"] >= 300000, f"delayed {options}: {latency}")


def check_rules(t, lab):
    """in the kernel: nobody is asked where they decide"""
    near, far = "10.79.55.1", "10.79.155.1"
    rules = ("rule=drop;address=10.79.155.0/24;protocol=6", "rule=drop;port=7007;direction=out", "rule=allow;address=10.79.0.0/16",
             "rule=drop;interface=other0", "rule=allow;interface=uplink;protocol=58", "otherwise=ask")
    run = lab.start([packet_filter(lab, "show=1", *rules)], ["sh", "-c", "; ".join((
        flow(lab, "tcp", near), flow(lab, "tcp", far, timeout_ms=500), flow(lab, "udp", far),
        flow(lab, "udp", near, 7007, timeout_ms=500), flow(lab, "tcp", "fd00:79::55:1"), "ping -c1 -W2 fd00:79::55:1 >&2", "sleep 60"))])
    wait_for(lambda: len(errors(run)) == 5 and "1 received" in run.stderr, 20, "all flows")
    t.equal(errors(run), [{"0": 1}, {"ETIMEDOUT": 1}, {"0": 1}, {"ETIMEDOUT": 1}, {"0": 1}], "what rules say")
    wait_for(lambda: status(lab, run)["packets"]["read"] == len(shown(run)) > 0, 10, "all that was shown is printed")
    said, packets = status(lab, run), shown(run)
    t.equal({packet["proto"] for packet in packets}, {TCP}, f"asked about the rest: {packets}")
    t.equal(said["providers"][0]["packets"]["rules"], 5, "rules")
    t.check(said["packets"]["dropped_by_rules"] >= 2, f"dropped by rules: {said['packets']}")
    t.equal(said["packets"]["read"], len(packets), "read by sluiced")
    run.end()
    for otherwise, told in (("allow", {"0": 1}), ("drop", {"ETIMEDOUT": 1})):
        run = lab.run([packet_filter(lab, "show=1", f"otherwise={otherwise}")], lab.flowgen("udp", near, 7, 1, 1, int(700 * SLOW)))
        t.equal(run.json()["errors"], told, f"otherwise {otherwise}")
        t.equal(shown(run), [], f"otherwise {otherwise}: nobody is asked")
    run = lab.run([packet_filter(lab, "rule=drop;port=7007"), packet_filter(lab, "show=1", "otherwise=ask")],
                  ["sh", "-c", "; ".join((flow(lab, "udp", near, 7007, timeout_ms=700), flow(lab, "udp", near)))])
    t.equal(errors(run), [{"ETIMEDOUT": 1}, {"0": 1}], "one drops by rules, the other is asked")
    t.equal({packet["destination"] for packet in shown(run) if packet["way"] == "out"}, {7}, "about the rest")


def check_told(t, lab):
    """what a rule drops: the flow's first datagram was held, and is lost; the next ones are EPERM"""
    say = ("import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('10.79.55.1', 7007)); s.send(b'1')\n"
           "for _ in range(500):\n time.sleep(0.01)\n try: s.send(b'2')\n except OSError as e: print(e.errno); break")
    run = lab.run([packet_filter(lab, "rule=drop;port=7007")], ["python3", "-c", say])
    t.equal(run.stdout.strip(), "1", "EPERM")


def check_example(t, lab):
    run = lab.run([lab.path("examples/hello-packet") + ":port=7007"], ["sh", "-c", "; ".join((
        flow(lab, "tcp", ADDRESSES[1], 7007, timeout_ms=500), flow(lab, "tcp", ADDRESSES[1], 7)))])
    t.equal(errors(run), [{"ETIMEDOUT": 1}, {"0": 1}], "examples/hello-packet")


def check_elsewhere(t, lab):
    """in another network namespace as well"""
    with Room("one") as room:
        room.serve(7, 7007)
        again = f"for i in $(seq 20); do {flow(lab, 'udp', HOST4, timeout_ms=1500)}; sleep 0.05; done"
        run = lab.run([packet_filter(lab, "show=1", "drop-port=7007")],
                      room.enter(["sh", "-c", f"{again}; {flow(lab, 'udp', HOST4, 7007, timeout_ms=700)}"]), fail="open")
        t.equal(errors(run)[-2:], [{"0": 1}, {"ETIMEDOUT": 1}], "in a room")
        t.equal({packet["interface"] for packet in shown(run)}, {"door"}, "its interface")


def check_renamed(t, lab):
    """a rule is about the name that an interface has, not about the one that it had"""
    say = ("import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3); s.connect(('%s', 7))\n"
           "while True:\n try: s.send(b'1'); s.recv(9); print('answered', flush=True)\n"
           " except OSError as e: print(e.errno, flush=True)\n time.sleep(0.05)") % HOST4
    with Room("one") as room:
        room.serve(7)
        run = lab.start([packet_filter(lab, "rule=drop;interface=other0")], room.enter(["python3", "-c", say]), fail="open")
        def said(word):
            n = len(run.stdout.splitlines())
            wait_for(lambda: word in run.stdout.splitlines()[n:], 10, word)
        def rename(before, after):
            for words in (f"link set {before} down", f"link set {before} name {after}", f"link set {after} up"):
                room.guest.ip(words)
        said("answered")
        rename("door", "other0")
        said("1")  # EPERM
        rename("other0", "door")
        said("answered")
        run.end()


def check_shared_port(t, lab):
    """of a program that is not governed, and has its conversation on a port that a governed one has"""
    bind = "import socket, sys, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)\n" \
           "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.bind(('', 6006))\n"
    talk = "s.connect(('%s', %d)); s.send(b'1'); print(s.recv(9) == b'1', flush=True)\n"
    ours = bind + "s.sendto(b'1', ('%s', 7007)); print(s.recv(9) == b'1', flush=True); time.sleep(60)" % ADDRESSES[0]
    run = lab.start([packet_filter(lab, "drop-port=7")], ["python3", "-c", ours])
    wait_for(lambda: "True" in run.stdout, 10, "the governed one")
    t.equal(lab.plain(["python3", "-c", bind + talk % (ADDRESSES[0], 7)]).stdout.strip(), "True", "a program that is not governed")
    run.end()


def check_forged(t, lab):
    """what looks like an error that sluiced has made is a packet as any other"""
    ours, theirs = (f"socket.inet_aton('{address}')" for address in (CLIENT4, SERVER4))
    forge = ("import socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"
             "s.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)\n"
             f"head = lambda proto, n: struct.pack('!BBHHHBBH', 0x45, 0, n, 1, 0, 64, proto, 0) + {ours} + {theirs}\n"
             "error = struct.pack('!BBHI', 3, 3, 0, 0) + head(17, 28) + bytes(8)\n"
             f"s.sendto(head(1, 20 + len(error)) + error, ('{SERVER4}', 0))")
    with lab.capture() as wire:
        run = lab.run([packet_filter(lab, "show=1", "drop-protocol=1")], ["python3", "-c", forge])
        n = wire.count(lambda p: p.proto == "icmp" and p.dst == SERVER4)
    t.equal([packet["way"] for packet in shown(run) if packet["proto"] == 1], ["out"], f"shown: {run.stderr}")
    t.equal(n, 0, "and dropped")


def check_nothing_for_others(t, lab):
    """an instance without a packet filter has no chain for it, and one with one has"""
    for filters, there in (([], False), ([packet_filter(lab)], True)):
        run = lab.start(filters, ["sh", "-c", f"{flow(lab, 'udp', ADDRESSES[0])}; sleep 60"])
        wait_for(lambda: errors(run), 10, "a flow")
        rules = lab.plain(["nft", "list", "ruleset"]).stdout
        t.equal("packet_out" in rules, there, f"chains for packets with {filters}")
        run.end()


def check_rules_shown(t, lab):
    """`sluice rules`: of packets behind those of flows"""
    rules = ("rule=drop;address=10.79.155.0/24;protocol=6;direction=out", "rule=allow;interface=uplink;local-port=7", "otherwise=ask")
    instance = f"shown{os.getpid()}"
    show = " ".join([lab.path("sluice"), "rules", "--instance", instance])
    run = lab.run([packet_filter(lab, *rules)], ["sh", "-c", f"{show} --json; {show}"], options=["--instance", instance])
    packets = json.loads(run.stdout.splitlines()[0])["filters"][0]["packets"]
    t.equal([{key: value for key, value in rule.items() if value is not None} for rule in packets["rules"]],
            [{"number": 1, "action": "drop", "direction": "outbound", "protocol": 6, "remote": "10.79.155.0/24"},
             {"number": 2, "action": "allow", "direction": "any", "local_port": 7, "local_port_last": 7, "interface": "uplink"}], "rules")
    t.equal(packets["otherwise"], "ask", "otherwise")
    for text in ("packets, outbound, tcp, remote 10.79.155.0/24", "packets, local port 7, interface uplink", "ask         every other packet"):
        t.check(text in run.stdout, f"{text!r} in {run.stdout}")


def scenario(t):
    with t.lab() as lab:
        for port in (7, 7007):
            lab.tcp_echo(port)
            lab.udp_echo(port)
        check_shown(t, lab)
        check_flow(t, lab)
        check_others(t, lab)
        check_wide(t, lab)
        check_dropped(t, lab)
        check_left(t, lab)
        for address in (CLIENT4, "fd00:77::1"):
            check_inbound(t, lab, address)
        check_after_flows(t, lab)
        check_two(t, lab)
        check_delayed(t, lab)
        check_rules(t, lab)
        check_rules_shown(t, lab)
        check_told(t, lab)
        check_example(t, lab)
        check_elsewhere(t, lab)
        check_renamed(t, lab)
        check_shared_port(t, lab)
        check_forged(t, lab)
        check_nothing_for_others(t, lab)


if __name__ == "__main__":
    main(scenario)
