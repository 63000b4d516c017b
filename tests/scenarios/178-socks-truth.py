#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""178 — what connect(2) says through each kind of upstream proxy, beside what it says directly

   [ client ns: python ]──uplink──[ server ns: dante, tinyproxy, proxies of ours ── routes that refuse, a black hole ]
        └ sluice run --proxy socks:upstream=…

Prints how much later each answer comes than directly.
"""
import contextlib
import itertools
import statistics

from lib import main, upstreams
from lib.lab import SERVER4
from lib.socks import provider, url
from lib.wait import wait_for

AT4, AT6, NAME, UNKNOWN = "10.79.78.1", "fd00:79::78:1", "there.example.com", "gone.example.com"
ECHO, ENDS, CLOSED = 7, 9, 81
HOST4 = "10.79.79.1"
NETWORK4, NETWORK6 = "198.51.100.1", "2001:db8:78::1"
SILENT = "10.77.0.99"
TIMES = 8
# row → where to, and how often. Linux sends a peer five errors of routing, and then one a second; one that comes
# while connect(2) still sends is told a second later. "No host" of IPv6 is not there: such a route says "no network"
ROWS = {"accepts": (f"{AT4},{ECHO}", TIMES), "accepts, IPv6": (f"{AT6},{ECHO}", TIMES),
        "refuses": (f"{AT4},{CLOSED}", TIMES), "refuses, IPv6": (f"{AT6},{CLOSED}", TIMES),
        "no host": (f"{HOST4},80", 1), "no network": (f"{NETWORK4},80", 1), "no network, IPv6": (f"{NETWORK6},80", 1)}
DIRECT = {"accepts": "0", "refuses": "ECONNREFUSED", "no host": "EHOSTUNREACH", "no network": "ENETUNREACH"}
# what a proxy does not tell apart from a refusal: row → errno
NO_WORD = {"no network": "ECONNREFUSED"}            # 503
NO_WORDS = {**NO_WORD, "no host": "ECONNREFUSED"}   # 500 for everything
NEAR_MS = 50
LATER_S = 1.5  # a busy machine
PATIENCE_S = 0.7
NOBODY, SOCKS5, CONNECT, SECURE, DANTE, TINYPROXY, FORBIDDING = 9, 1080, 1081, 1082, 4080, 8888, 2080
KEPT_S = 1  # timeout= of the provider, which is no reason to give a destination up


class Way:
    """how flows go: --proxy's argument, and what is not said there"""

    def __init__(self, title, proxy, unsaid=()):
        self.title, self.proxy, self.unsaid = title, proxy, dict(unsaid)


def way_by(lab, title, kind, port, unsaid=()):
    return Way(title, provider(lab, url(kind, port), timeout=KEPT_S), unsaid)


def run(lab, way, command):
    return lab.run([], command, options=["--proxy", way.proxy])


def prepare(lab, ends):
    """Return: the ways"""
    for name, address in ((NAME, AT4), (UNKNOWN, AT4)):
        (lab.zone or lab.dns()).add(name, "A", address)
    lab.tcp_echo(ECHO)
    lab.server.sysctl("ipv4/ip_forward", 1)
    lab.server.sysctl("ipv6/conf/all/forwarding", 1)
    for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):  # each connect is to hear of its error at once
        lab.server.sysctl(name, 0)
    lab.server.ip(f"route add unreachable {HOST4}/32 table local")
    lab.client.ip(f"route add {NETWORK4}/32 via {SERVER4}")
    lab.client.ip(f"route add {NETWORK6}/128 via fd00:77::2")
    for namespace, interface in ((lab.client, "uplink"), (lab.server, "wire")):
        namespace.ip(f"neighbour add {SILENT} lladdr 02:00:00:00:00:99 dev {interface} nud permanent")
    for namespace in (lab.client, lab.server):
        namespace.sysctl("ipv4/tcp_fastopen", 5)  # data in the SYN, without a cookie
    lab.client.sysctl("ipv4/tcp_syn_retries", 1)
    lab.plain(["true"])  # makes resolv.conf
    lab.certificate = lab.make_proxy_certificate()
    lab.proxy("socks5", SOCKS5, names={NAME: AT4})
    lab.proxy("connect", CONNECT, names={NAME: AT4})
    lab.proxy("secure_connect", SECURE, lab.certificate, names={NAME: AT4})
    ends.enter_context(upstreams.dante(lab, DANTE))
    ends.enter_context(upstreams.tinyproxy(lab, TINYPROXY))
    return [way_by(lab, "socks5h", "socks5h", SOCKS5), way_by(lab, "http", "http", CONNECT, NO_WORD),
            way_by(lab, "https", "https", SECURE, NO_WORD), way_by(lab, "dante", "socks5", DANTE),
            way_by(lab, "tinyproxy", "http", TINYPROXY, NO_WORDS)]


def kind_of(row):
    return row.removesuffix(", IPv6")


def by_row(program):
    """row → errno names, row → seconds"""
    found = iter(program.json())
    parts = {row: list(itertools.islice(found, 2 * times)) for row, (_, times) in ROWS.items()}
    return ({row: {end["error"] for end in part} for row, part in parts.items()},
            {row: [end["took"] for end in part] for row, part in parts.items()})


def check_table(t, lab, ways):
    command = lab.actor("connects", *(end for end, times in ROWS.values() for _ in range(times)))
    errors, direct = by_row(lab.plain(command))
    t.equal(errors, {row: {DIRECT[kind_of(row)]} for row in ROWS}, "directly")
    for way in ways:
        ran = run(lab, way, command)
        found, took = by_row(ran)
        unsaid = {row: {way.unsaid[kind_of(row)]} for row in ROWS if kind_of(row) in way.unsaid}
        t.equal(found, {**errors, **unsaid}, f"{way.title}: errors")
        t.check(all(flow["via"] == "socks" for flow in ran.flows(verdict="allow")), f"{way.title}: by it")
        later, worst = {}, {}
        for row in ROWS:
            usual = statistics.median(direct[row])
            later[row], worst[row] = statistics.median(took[row]) - usual, max(took[row]) - usual
        t.check(max(worst.values()) < LATER_S, f"{way.title}: seconds later than directly: {worst}")
        n_late = sum(one - statistics.median(direct[row]) > NEAR_MS / 1000 for row in ROWS for one in took[row])
        t.note(f"{way.title}: ms later than directly, median and most: " + "; ".join(
            f"{row} {later[row] * 1000:.1f}, {worst[row] * 1000:.1f}" for row in ROWS) +
            f"; {n_late} of {sum(map(len, took.values()))} by more than {NEAR_MS}")


def check_black_hole(t, lab, ways):
    """the program's timer decides, the kernel's or its own, whatever the proxy's and the provider's are"""
    kernel, own = lab.actor("connects", f"{SILENT},80,slow"), lab.actor("patience", SILENT, 80, PATIENCE_S)
    direct, patient = lab.plain(kernel).json(), lab.plain(own).json()
    t.equal([end["error"] for end in direct], ["ETIMEDOUT"] * 2, "directly")
    t.equal((patient["error"], patient["events"]), ("EINPROGRESS", []), "directly, its own timer")
    for way in ways:
        found = run(lab, way, kernel).json()
        t.equal([end["error"] for end in found], ["ETIMEDOUT"] * 2, f"{way.title}: a black hole")
        late = [one["took"] - other["took"] for one, other in zip(found, direct)]
        t.check(all(abs(one) < LATER_S for one in late), f"{way.title}: a black hole, {late} s later")
        gave_up = run(lab, way, own).json()
        t.equal((gave_up["error"], gave_up["events"]), ("EINPROGRESS", []), f"{way.title}: its own timer")
        late.append(gave_up["took"] - patient["took"])
        t.note(f"{way.title}: a black hole, ms later than directly: " + ", ".join(f"{one * 1000:.1f}" for one in late))


def check_down(t, lab):
    """no proxy, and one that does not take us"""
    command = lab.actor("connects", f"{AT4},{ECHO}", f"{AT6},{ECHO}")
    lab.proxy("socks5", FORBIDDING, user="alice:secret")
    lab.proxy("connect", FORBIDDING + 1, user="alice:secret")
    for kind, port in (("socks5", FORBIDDING), ("http", FORBIDDING + 1)):
        for at, wanted in ((NOBODY, ["ECONNREFUSED"] * 4), (port, ["EHOSTUNREACH"] * 2 + ["EACCES"] * 2)):
            found = run(lab, way_by(lab, kind, kind, at), command).json()
            t.equal([end["error"] for end in found], wanted, f"{kind}, port {at}")
            t.check(max(end["took"] for end in found) < LATER_S, f"{kind}, port {at}: {found}")
            t.note(f"{kind}, {'down' if at == NOBODY else 'it does not take us'}: {wanted[0]} after "
                   + ", ".join(f"{end['took'] * 1000:.1f}" for end in found) + " ms")


def check_names(t, lab, ways):
    """that does not resolve: for the program, which asks as ever; for the proxy alone"""
    nobody = lab.actor("talk_to", "nobody.example.com", ECHO)
    direct = lab.plain(nobody).json()
    t.check("Name or service not known" in direct["told"], f"directly: {direct}")
    for way in ways:
        t.equal(run(lab, way, nobody).json(), direct, f"{way.title}: no such name")
        t.equal(run(lab, way, lab.actor("talk_to", NAME, ECHO)).json(), {"told": "0"}, f"{way.title}: a name")
        if way.title in ("socks5h", "http", "https"):
            found = run(lab, way, lab.actor("talk_to", UNKNOWN, ECHO)).json()
            t.check("No route to host" in found["told"], f"{way.title}: a name that the proxy does not know: {found}")


def check_fast_open(t, lab, ways):
    """data in the SYN: accepted, refused, no host"""
    rows = ("accepts", "accepts, IPv6", "refuses", "refuses, IPv6", "no host")
    command = lab.actor("fast_opens", *(ROWS[row][0] for row in rows))
    direct = lab.plain(command).json()
    told = [end["told"] for end in direct]
    t.equal(told[:2], [["0", "early"], ["0", "0", "early"]], "directly")
    t.equal(told[4:6], [["ECONNREFUSED"], ["0", "ECONNREFUSED"]], "directly, refused")
    for way in ways:
        found = run(lab, way, command).json()
        unsaid = "no host" in way.unsaid
        wanted = told[:-2] + [[end.replace("EHOSTUNREACH", "ECONNREFUSED") if unsaid else end for end in ends]
                              for ends in told[-2:]]
        t.equal([end["told"] for end in found], wanted, f"{way.title}: Fast Open")
        late = [one["took"] - other["took"] for one, other in zip(found, direct)]
        t.check(max(late) < LATER_S, f"{way.title}: Fast Open, seconds later: {late}")
        t.note(f"{way.title}: Fast Open, ms later than directly: " + ", ".join(f"{one * 1000:.1f}" for one in late))


def n_connected(lab, port):
    """connections of the client that stand, to this port of the proxies' machine"""
    lines = [line.split() for line in lab.client.read_proc("tcp").splitlines()[1:]]
    return sum(line[2].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


def check_close(t, lab, ways):
    """connect(2), and close(2) at once: nothing is left of it anywhere"""
    server = lab.ends(ENDS)
    command = lab.actor("close_at_once", AT4, ENDS, 40)
    direct = lab.plain(command).json()
    t.equal(direct, ["0", "EINPROGRESS"] * 20, "directly")
    wait_for(lambda: len(server.ended) >= 20, 10, "the direct ones to end")
    t.equal(set(server.ended), {(0, "end")}, "how the direct ones end")
    for way in ways:
        del server.ended[:]
        go = lab.new_file("go")
        ran = lab.start([], ["sh", "-c", f"{' '.join(command)}; while [ ! -e {go} ]; do sleep 0.1; done"],
                        options=["--proxy", way.proxy])
        wait_for(lambda: ran.stdout, 30, "all to be closed")
        t.equal(ran.json(), direct, f"{way.title}: what connect says")
        wait_for(lambda: len(server.ended) >= 20 and not server.n_open, 20, f"{way.title}: what stood to end")
        port = int(way.proxy.split(",")[0].rsplit(":", 1)[1])
        wait_for(lambda: not n_connected(lab, port), 20, f"{way.title}: no connection to the proxy to be left")
        t.check(len(server.ended) <= 40, f"{way.title}: connections of the proxy: {len(server.ended)}")
        t.equal({end for end in server.ended if end[0]}, set(), f"{way.title}: bytes that nobody sent")
        open(go, "w").close()
        ran.wait(30)


def scenario(t):
    t.needs("openssl", "providers/socks", upstreams.TINYPROXY, *upstreams.DANTE_NEEDS)
    with t.lab() as lab, contextlib.ExitStack() as ends:
        ways = prepare(lab, ends)
        check_table(t, lab, ways)
        check_black_hole(t, lab, ways)
        check_down(t, lab)
        check_names(t, lab, ways)
        check_fast_open(t, lab, ways)
        check_close(t, lab, ways)


if __name__ == "__main__":
    main(scenario)
