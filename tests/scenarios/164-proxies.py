#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""164 — a proxy has a flow as a socket, and connect(2) of the program tells the truth

   [ client ns: curl, python ]──uplink──│count│──[ server ns: HTTP, echo, routes that refuse ]
        └ sluice run --proxy test-proxy      takes, declines, holds, fails
"""
import time

from lib import main

HOSTS = ["10.79.64.1", "fd00:79::64:1"]
# what the server's router says of these networks: each is compared with what a direct connect gets
ROUTES = {"unreachable": ("10.79.65.0/24", "fd00:79::65:0/112"),
          "prohibit": ("10.79.66.0/24", "fd00:79::66:0/112"),
          "blackhole": ("10.79.67.0/24", "fd00:79::67:0/112")}
NOWHERE = ["203.0.113.1", "2001:db8:64::1"]  # no route leads there
LATER_S = 0.5  # a busy machine; a SYN that is sent again comes a second later
ERRORS = {"ECONNREFUSED": 111, "EHOSTUNREACH": 113, "ENETUNREACH": 101, "EACCES": 13, "EIO": 5}


def proxy(lab, name="test-proxy", **options):
    pairs = [f"{key}={value}" for key, values in options.items()
             for value in (values if isinstance(values, list) else [values])]
    return lab.path("tests/providers/" + name) + (":" + ",".join(pairs) if pairs else "")


def run(lab, provider, command, filters=(), **settings):
    return lab.run(list(filters), command, options=["--proxy", provider], **settings)


def prepare(lab):
    lab.http()
    lab.tcp_echo(7)
    lab.server.sysctl("ipv4/ip_forward", 1)
    lab.server.sysctl("ipv6/conf/all/forwarding", 1)
    for kind, networks in ROUTES.items():
        for network in networks:
            lab.server.ip(f"route add {kind} {network} table local")
    lab.client.sysctl("ipv4/tcp_syn_retries", 1)
    for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):  # each connect is to hear of its error at once
        lab.server.sysctl(name, 0)


def check_bytes(t, lab):
    for host in HOSTS:
        url = f"http://{'[' + host + ']' if ':' in host else host}/bytes/3000000"
        words = ["curl", "-q", "-sS", "-m", "20", url, "-o", "/dev/null", "-w",
                 "%{http_code} %{size_download} %{remote_ip} %{local_ip}"]
        direct, proxied = lab.plain(words).stdout, run(lab, proxy(lab), words)
        t.equal(proxied.stdout, direct, f"{host}: status, bytes and both addresses as of a direct connection")
        flow = proxied.wait_flow(dst=host, event="closed")
        t.equal((flow["via"], flow["provider"], flow["verdict"], flow["reason"]),
                ("test-proxy", "test-proxy", "allow", "forwarded"), f"{host}: the flow's record")
        t.check(flow["bytes_in"] > 3000000, f"{host}: what its socket counted")


def check_truth(t, lab):
    """the same errno as a direct connection, blocking and not, and not later"""
    ends = [f"{host},{port}" for host in HOSTS for port in (80, 81)]
    ends += [f"{network.replace('0/24', '1').replace('0/112', '1')},80" + (",slow" if kind == "blackhole" else "")
             for kind, pair in ROUTES.items() for network in pair]
    ends += [f"{host},80" for host in NOWHERE]
    command = lab.actor("connects", *ends)
    direct, proxied = lab.plain(command).json(), run(lab, proxy(lab), command).json()
    for i, (wanted, found) in enumerate(zip(direct, proxied, strict=True)):
        what = f"{ends[i // 2]}, {'blocking' if i % 2 == 0 else 'not blocking'}"
        t.equal([found[key] for key in ("error", "peer", "local")], [wanted[key] for key in ("error", "peer", "local")],
                what)
        t.check(found["took"] < wanted["took"] + LATER_S, f"{what}: {found['took']:.3f} s, direct {wanted['took']:.3f}")
        t.note(f"{what}: {found['error']} after {found['took'] * 1000:.0f} ms, direct {wanted['took'] * 1000:.0f}")


def check_said(t, lab):
    """a proxy that says an errno: what of it the protocol can say"""
    ports = {2 + i: name for i, name in enumerate(ERRORS)}
    fails = [ERRORS[name] * 1000 + port for port, name in ports.items()] + [110 * 1000 + 90]
    ends = [f"{host},{port}" for host in HOSTS for port in ports] + [f"{HOSTS[0]},90,slow"]
    ran = run(lab, proxy(lab, fail=fails), lab.actor("connects", *ends))
    told = iter(ran.json())
    for end in ends:
        host, port = end.split(",")[:2]
        wanted = {"EIO": "ECONNREFUSED"}.get(ports.get(int(port)), ports.get(int(port), "ETIMEDOUT"))
        if wanted == "EACCES" and ":" not in host:
            wanted = "EHOSTUNREACH"
        for how in ("blocking", "not blocking"):
            found = next(told)
            t.equal(found["error"], wanted, f"{end}, {how}")
            t.check((found["took"] > 2) == (wanted == "ETIMEDOUT"), f"{end}, {how}: after {found['took']:.3f} s")
    t.equal({flow["verdict"] for flow in ran.flows()}, {"drop"}, "records of flows that a proxy could not open")


def check_choice(t, lab):
    """declined: directly, or refused; rules: which flows come to the proxy at all"""
    for name, error, via in (("test-proxy", "0", None), ("app-proxy", "ECONNREFUSED", None)):
        ran = run(lab, proxy(lab, name, decline=7), lab.actor("connects", f"{HOSTS[0]},7", f"{HOSTS[0]},80"))
        t.equal([end["error"] for end in ran.json()], [error, error, "0", "0"], f"{name} declines port 7")
        t.equal(ran.wait_flow(dport=7)["via"], via, f"{name}: a declined flow")
        t.equal(ran.wait_flow(dport=80)["via"], name, f"{name}: one that it takes")
    ran = run(lab, proxy(lab, **{"not": "10.79.64.0/24"}), lab.actor("connects", f"{HOSTS[0]},7", f"{HOSTS[1]},7"))
    t.equal([ran.wait_flow(dst=host)["via"] for host in HOSTS], [None, "test-proxy"], "a network that is excluded")


def check_several(t, lab):
    """the first one that takes a flow has it, and the last one says what becomes of what nobody takes"""
    for declined, wanted in (({}, ["0"] * 4), ({"decline": 7}, ["ECONNREFUSED"] * 2 + ["0"] * 2)):
        ran = lab.run([], lab.actor("connects", f"{HOSTS[0]},7", f"{HOSTS[0]},80"),
                      options=["--proxy", proxy(lab, decline=7), "--proxy", proxy(lab, "app-proxy", **declined)])
        t.equal([end["error"] for end in ran.json()], wanted, f"two proxies, the second {declined}")
        t.equal([ran.wait_flow(dport=port, event="new", through=None)["via"] for port in (7, 80)],
                [None if declined else "app-proxy", "test-proxy"], "which has it")


def check_filters(t, lab):
    """they come first, whatever the order of the words; what they deny no proxy hears of"""
    ran = run(lab, proxy(lab), lab.actor("connects", f"{HOSTS[0]},7", f"{HOSTS[0]},80"),
              filters=[lab.test_filter(deny_port=7)])
    t.equal([end["error"] for end in ran.json()], ["ECONNREFUSED"] * 2 + ["0"] * 2, "a filter denies port 7")
    t.equal((ran.wait_flow(dport=7)["provider"], ran.wait_flow(dport=80, through=None)["via"]), ("test-filter", "test-proxy"),
            "who decided")


def check_looked_at(t, lab):
    """bytes of a flow that a proxy has are held and shown as those of any other"""
    for host in HOSTS:
        url = f"http://{'[' + host + ']' if ':' in host else host}/bytes/300000"
        words = ["curl", "-q", "-sS", "-m", "20", url, "-o", "/dev/null", "-w", "%{size_download} %{size_header} %{size_request}"]
        looked = run(lab, proxy(lab), words, filters=[lab.test_filter(peek_out=100, peek_in=100)])
        body, header, request = map(int, looked.stdout.split())
        t.equal(body, 300000, f"{host}: a filter looks at it")
        lines = [line.split("seen ", 1)[1].split() for line in looked.stderr.splitlines() if ": seen " in line]
        t.equal({(line[1], int(line[2])) for line in lines if line[0] == "80"}, {("out", request), ("in", body + header)},
                f"{host}: what it has seen")
        denied = run(lab, proxy(lab), words, filters=[lab.test_filter(peek_in=100, deny_when_seen="Content-Length")])
        t.equal(denied.stdout.split()[0], "0", f"{host}: denied by what came in, nothing of it arrives")


def check_gave_up(t, lab):
    """the program leaves while its SYN is held: the proxy is told, and nothing leaves"""
    with lab.capture() as wire:
        ran = run(lab, proxy(lab, hold=7), lab.actor("give_up", HOSTS[0], 7, 0.5))
        t.equal(ran.json(), {"error": "EINPROGRESS", "still": True}, "a flow that is taken and not opened")
        t.check("was cancelled" in ran.stderr, "the proxy hears that its program has left")
    t.equal(len(wire.packets(lambda packet: packet.dst == HOSTS[0])), 0, "packets that left")


def check_mark(t, lab):
    """who marks what he sends as the first packet of a proxy's flow loses nothing: it is declined, which is known"""
    with lab.capture() as wire:
        ran = run(lab, proxy(lab, decline=9), lab.actor("marked", HOSTS[0], 9, 5, 3))
    t.equal(ran.json()["told"], ["0"] * 3, "datagrams that are declined")
    t.equal(len(wire.packets(lambda packet: packet.dst == HOSTS[0])), 3, "they leave")


def check_stranger(t, lab):
    """a connection to our listener that no flow is of"""
    ran = lab.start([], ["sleep", "60"], options=["--proxy", proxy(lab)])
    ran.wait_pid("test-proxy")
    time.sleep(0.3)
    with lab.client:
        ports = [int(line.split()[1].split(":")[1], 16) for line in lab.client.read_proc("tcp").splitlines()[1:]
                 if line.split()[3] == "0A" and line.split()[1].startswith("0100007F")]
    t.equal(len(ports), 1, "listeners on the loopback of the client")
    found = lab.plain(lab.actor("half_download", "127.0.0.1", ports[0], 10))
    t.check("ConnectionResetError" in found.stderr or found.stdout.strip() == "0", f"it is reset: {found.report()}")
    ran.kill(15)
    ran.wait()


def scenario(t):
    t.needs("curl", "tests/providers/test-proxy")
    with t.lab() as lab:
        prepare(lab)
        check_bytes(t, lab)
        check_truth(t, lab)
        check_said(t, lab)
        check_choice(t, lab)
        check_several(t, lab)
        check_filters(t, lab)
        check_looked_at(t, lab)
        check_gave_up(t, lab)
        check_mark(t, lab)
        check_stranger(t, lab)


if __name__ == "__main__":
    main(scenario)
