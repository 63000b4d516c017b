#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""166 — every connection goes by a SOCKS5 or HTTP proxy, and programs get what it says

   [ client ns: curl, python ]──uplink──[ server ns: proxies that work, refuse, die ── HTTP, echo ]
        └ sluice run --proxy socks:upstream=socks5h://…,upstream=https://…
"""
import os
import signal

from lib import main, upstreams
from lib.socks import PROXY, provider, run, start, url
from lib.wait import wait_for

HOST4, HOST6, NAME = "10.79.66.1", "fd00:79::66:1", "www.example.com"
USER, URL_USER = "alice:se@c/r:t", "alice:se%40c%2Fr%3At"
PLAIN, SECRET = 1080, 2080  # first ports of those for everybody, and of those that want a user
KINDS = ("socks5", "socks5h", "http", "https")
NOBODY = 9  # no proxy listens there
HTTP, ECHO, CLOSED, FORBIDDEN = 80, 7, 81, 25
UNREACHABLE, NO_NETWORK, SILENT = "10.79.67.1", "198.51.100.1", "10.77.0.99"
SLOW = 5080
DANTE_PORT = 4080


def prepare(lab):
    """Return: the proxies, by their ports"""
    zone = lab.dns()
    zone.add(NAME, "A", HOST4)
    lab.http(HTTP)
    lab.tcp_echo(ECHO)
    lab.server.sysctl("ipv4/ip_forward", 1)
    lab.server.ip(f"route add unreachable {UNREACHABLE}/32 table local")
    lab.client.ip(f"route add {NO_NETWORK}/32 via {PROXY}")
    for namespace, interface in ((lab.client, "uplink"), (lab.server, "wire")):
        namespace.ip(f"neighbour add {SILENT} lladdr 02:00:00:00:00:99 dev {interface} nud permanent")
    lab.client.sysctl("ipv4/tcp_syn_retries", 1)
    lab.certificate = lab.make_proxy_certificate()
    proxies, names = {}, {NAME: HOST4}
    for first, user in ((PLAIN, None), (SECRET, USER)):
        for i, kind in enumerate(("socks5", "socks5", "connect")):
            proxies[first + i] = lab.proxy(kind, first + i, user=user, names=names)
        proxies[first + 3] = lab.proxy("secure_connect", first + 3, lab.certificate, user=user, names=names)
    return proxies


def check_bytes(t, lab, proxies):
    """by each kind of proxy, with and without a user: the page of the direct run, asked for by the right name"""
    for first, user, hosts in ((PLAIN, None, (HOST4, f"[{HOST6}]", NAME)), (SECRET, URL_USER, (NAME,))):
        for i, kind in enumerate(KINDS):
            for host in hosts:
                words = ["curl", "-q", "-sS", "-m", "20", f"http://{host}/bytes/3000000", "-o", "/dev/null", "-w",
                         "%{http_code} %{size_download} %{remote_ip}"]
                del proxies[first + i].asked[:]
                what = f"{kind}{' with a user' if user else ''}, {host}"
                direct, proxied = lab.plain(words), run(lab, provider(lab, url(kind, first + i, user)), words)
                t.equal((proxied.popen.returncode, proxied.stdout), (0, direct.stdout), what)
                named = HOST4 if host == NAME and kind == "socks5" else host.strip("[]")
                t.equal(proxies[first + i].asked, [(named, HTTP)], f"{what}: what the proxy was asked for")
                flow = proxied.wait_flow(dport=HTTP, event="closed")
                t.equal((flow["via"], flow["verdict"]), ("socks", "allow"), f"{what}: the flow's record")
                t.check("se@c" not in str(proxied.flows()) + proxied.stderr, f"{what}: the password is shown to nobody")


def check_ends(t, lab):
    """a half close, and then a long answer"""
    for i, kind in enumerate(KINDS):
        found = run(lab, provider(lab, url(kind, PLAIN + i)), lab.actor("half_download", HOST4, HTTP, 10000000))
        t.check(found.stdout.strip().isdigit() and int(found.stdout) > 10000000, f"{kind}: half closed {found.report()}")


def check_truth(t, lab):
    """what a direct connect gives, or what docs of the provider say where the proxy does not say it"""
    ends = [f"{HOST4},{HTTP}", f"{HOST4},{CLOSED}", f"{HOST6},{CLOSED}", f"{UNREACHABLE},80"]
    direct = lab.plain(lab.actor("connects", *ends, f"{SILENT},80")).json()
    direct = [end["error"] for end in direct]
    t.equal(set(direct), {"0", "ECONNREFUSED", "EHOSTUNREACH", "ETIMEDOUT"}, "direct")
    for i, kind in enumerate(KINDS):
        is_patient = kind in ("socks5", "http")  # it takes six seconds
        asked = [*ends, f"{SILENT},80"] if is_patient else ends
        found = run(lab, provider(lab, url(kind, PLAIN + i)), lab.actor("connects", *asked))
        t.equal([end["error"] for end in found.json()], direct[:2 * len(asked)], kind)
        found = run(lab, provider(lab, url(kind, PLAIN + i)), lab.actor(
            "connects", f"{NO_NETWORK},80", f"{HOST6},{FORBIDDEN}", f"{HOST4},{FORBIDDEN}"))
        no_network = "ENETUNREACH" if kind.startswith("socks") else "ECONNREFUSED"  # 503 says no more
        t.equal([end["error"] for end in found.json()], [no_network] * 2 + ["EACCES"] * 2 + ["EHOSTUNREACH"] * 2,
                f"{kind}: no network, not allowed")
        t.check("allow" in found.wait_flow(dst=HOST6)["reason"], f"{kind}: why")


def check_user(t, lab):
    """not the right one: EACCES where IPv6 can say so, and words"""
    for i, kind in enumerate(KINDS):
        for user in ("alice:wrong", None):
            found = run(lab, provider(lab, url(kind, SECRET + i, user)),
                        lab.actor("connects", f"{HOST6},{ECHO}", f"{HOST4},{ECHO}"))
            t.equal([end["error"] for end in found.json()], ["EACCES"] * 2 + ["EHOSTUNREACH"] * 2,
                    f"{kind}, user {user}")
            reason = found.wait_flow(dst=HOST6)["reason"]
            t.check("user and" in reason and "wrong" not in reason, f"{kind}, user {user}: {reason}")


def check_failover(t, lab, proxies):
    command = lab.actor("connects", f"{HOST4},{ECHO}", f"{HOST6},{ECHO}")
    for i, kind in enumerate(KINDS):
        del proxies[PLAIN + i].asked[:]
        found = run(lab, provider(lab, url("socks5", NOBODY), url("http", NOBODY), url(kind, PLAIN + i)), command)
        t.equal([end["error"] for end in found.json()], ["0"] * 4, f"{kind} behind two that are down")
        t.equal(len(proxies[PLAIN + i].asked), 4, f"{kind}: flows that it had")
        t.check(f"socks5://{PROXY}:{NOBODY} is not reached" in found.stderr, "it is told")
    found = run(lab, provider(lab, url("socks5", NOBODY), url("http", NOBODY)), command)
    t.equal([end["error"] for end in found.json()], ["ECONNREFUSED"] * 4, "all are down")


def check_dante(t, lab):
    """a server that many have"""
    missing = t.missing(*upstreams.DANTE_NEEDS)
    if missing:
        t.note(f"no dante-server: {missing[0]} is not there")
        return
    words = ["curl", "-q", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"]
    ends = [f"{HOST4},{HTTP}", f"{HOST4},{CLOSED}", f"{UNREACHABLE},80", f"{HOST4},{FORBIDDEN}"]
    direct = [end["error"] for end in lab.plain(lab.actor("connects", *ends)).json()]
    with upstreams.dante(lab, DANTE_PORT, FORBIDDEN):
        for kind in ("socks5", "socks5h"):
            spec = provider(lab, url(kind, DANTE_PORT))
            for host in (HOST4, NAME):
                asked = [*words, f"http://{host}/bytes/3000000"]
                t.equal(run(lab, spec, asked).stdout, lab.plain(asked).stdout, f"dante, {kind}, {host}")
            found = [end["error"] for end in run(lab, spec, lab.actor("connects", *ends)).json()]
            t.equal(found, direct[:6] + ["EHOSTUNREACH"] * 2, f"dante, {kind}")


def check_gave_up(t, lab):
    """the program leaves while its proxy is thinking: so does the provider"""
    for i, kind in enumerate(("socks5", "https")):
        server = lab.proxy("says", SLOW + i, [])
        go = lab.new_file("go")
        act = " ".join(lab.actor("give_up", HOST4, ECHO, 0.5))
        ran = start(lab, provider(lab, url(kind, SLOW + i), timeout=600),
                    ["sh", "-c", f"{act}; while [ ! -e {go} ]; do sleep 0.1; done"])
        wait_for(lambda: ran.stdout.count("\n") == 1, 30, "the program to give up")
        t.equal(ran.json(), {"error": "EINPROGRESS", "still": True}, f"{kind}: it waited")
        wait_for(lambda: server.n_left == 1, 30, "the provider to leave its proxy")
        t.equal(server.n_served, 1, f"{kind}: connections to the proxy")
        open(go, "w").close()
        ran.wait(30)


def check_many(t, lab):
    """at once"""
    for i, kind in enumerate(KINDS):
        found = run(lab, provider(lab, url(kind, PLAIN + i)),
                    lab.flowgen("tcp", HOST4, ECHO, 200, 1, 20000, "parallel"))
        t.equal(found.json()["errors"], {"0": 200}, f"{kind}: 200 connections at once")


def check_restart(t, lab):
    """it is killed: the next one has the same upstreams and authorities"""
    go = lab.new_file("go")
    act = " ".join(lab.actor("connects", f"{HOST4},{ECHO}"))
    ran = start(lab, provider(lab, url("https", PLAIN + 3)),
                ["sh", "-c", f"{act}; while [ ! -e {go} ]; do sleep 0.1; done; {act}"])
    pid = ran.wait_pid("socks")
    wait_for(lambda: ran.stdout.count("\n") == 1, 30, "the first two to end")
    os.kill(pid, signal.SIGKILL)
    ran.wait_pid("socks", other_than=pid)
    open(go, "w").close()
    t.equal(ran.wait(30), 0, "exit status")
    t.equal([end["error"] for line in ran.jsons() for end in line], ["0"] * 4, "before and after its death")


def check_named(t, lab):
    """an upstream that is named"""
    lab.zone.add("proxy.example", "A", PROXY)
    found = lab.sluice("run", "--proxy", f"socks:upstream=socks5://proxy.example:{PLAIN}", "--",
                       *lab.actor("connects", f"{HOST4},{ECHO}"))
    t.equal([end["error"] for end in found.json()], ["0", "0"], f"by name: {found.report()}")


def check_all_have_room(t, lab):
    """of each upstream four addresses are tried: with as many as there may be, the last one is tried, too"""
    for i in range(5):
        lab.zone.add("dead.example", "A", f"127.0.0.{2 + i}")
    ports = [1] * 15 + [PLAIN]
    options = [f"upstream=socks5://{'dead.example' if port == 1 else PROXY}:{port}" for port in ports]
    found = run(lab, "socks:" + ",".join(options), lab.actor("connects", f"{HOST4},{ECHO}"))
    t.equal([end["error"] for end in found.json()], ["0", "0"], f"by the last one: {found.report()}")
    found = run(lab, "socks:" + ",".join([*options, options[0]]), ["true"])
    t.check(found.popen.returncode != 0 and "more than 16 upstreams" in found.stderr, f"one more: {found.report()}")


def check_words(t, lab):
    """what cannot start says why, and no password"""
    for options, words in (
            ("upstream=socks4://h:1", "\"socks4://\" is not known"),
            ("upstream=alice:secret@h:1080", "it has no scheme"),
            ("upstream=socks5://a:secret@h", "it has no port"),
            ("upstream=socks5://does-not-exist.example:1080", "cannot look up \"does-not-exist.example\""),
            (f"upstream=socks5://{PROXY}:1,timeout=0", "is no number of seconds"),
            (f"upstream=socks5://{PROXY}:1,timeout=601", "is no number of seconds"),
            (f"upstream=socks5://{'h' * (256 - len('socks5://:1'))}:1", "is longer than 255 bytes"),
            (f"upstream=socks5://{PROXY}:1,ca=/dev/null", "no upstream is https://"),
            (f"upstream=https://{PROXY}:1,ca=/dev/null", "has no certificate"),
            ("timeout=1", "needs upstream=")):
        found = run(lab, "socks:" + options, ["true"])
        t.check(found.popen.returncode != 0 and words in found.stderr, f"{options}: {found.report()}")
        t.check("secret" not in found.stderr, f"{options}: the password is shown: {found.stderr}")


def check_secure(t, lab):
    """a proxy whose certificate is not the one that was trusted"""
    other = lab.make_proxy_certificate()
    found = run(lab, f"socks:upstream={url('https', PLAIN + 3)},ca={other}.crt",
                lab.actor("connects", f"{HOST4},{ECHO}"))
    t.equal([end["error"] for end in found.json()], ["ECONNREFUSED"] * 2, "another authority")
    t.check("has no certificate that is good here" in found.wait_flow(dst=HOST4)["reason"], "why")


def scenario(t):
    t.needs("curl", "openssl", "providers/socks")
    with t.lab() as lab:
        proxies = prepare(lab)
        check_bytes(t, lab, proxies)
        check_ends(t, lab)
        check_truth(t, lab)
        check_user(t, lab)
        check_failover(t, lab, proxies)
        check_dante(t, lab)
        check_gave_up(t, lab)
        check_many(t, lab)
        check_restart(t, lab)
        check_named(t, lab)
        check_all_have_room(t, lab)
        check_words(t, lab)
        check_secure(t, lab)


if __name__ == "__main__":
    main(scenario)
