#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""170 — UDP by a SOCKS5 proxy: each datagram arrives, from the right peer, whatever the proxy does

   [ client ns: python, a QUIC client ]──uplink──[ server ns: proxies that work, refuse, lie, leave ── echo, QUIC ]
        └ sluice run --proxy socks:upstream=socks5h://…
"""
import os
import shlex
import socket
import struct
import subprocess

from lib import main, upstreams
from lib.real import QUIC, QUIC_SERVER, QuicServer
from lib.wait import wait_for

PROXY, PROXY6 = "10.77.0.2", "fd00:77::2"
HOST4, HOST6, NAME = "10.79.70.1", "fd00:79::70:1", "www.example.com"
PEERS = "10.79.71"
USER, URL_USER = "alice:se@c/r:t", "alice:se%40c%2Fr%3At"
PLAIN, SECRET, HTTP, PATIENT, TWISTED, DANTE_PORT = 1080, 1081, 1082, 1083, 1090, 4080
NOBODY = 9  # no proxy listens there
ECHO, AGAIN, CLOSED = 7, 8, 81
STUB = "127.0.0.53"
IDLE_S = 60
# bytes, how many at once: what the receive buffer of a socket takes
SIZES = ((20, 8), (1200, 8), (40000, 2))
LONGEST = 65507 - 10  # with the head of IPv4


def url(kind="socks5", port=PLAIN, user=None, host=PROXY):
    return f"{kind}://{user + '@' if user else ''}{host}:{port}"


def start(lab, urls, command, **options):
    words = [f"upstream={one}" for one in ([urls] if isinstance(urls, str) else urls)]
    words += [f"{key}={value}" for key, value in options.items()]
    return lab.start([], command, options=["--proxy", "socks:" + ",".join(words)])


def run(lab, urls, command, within=60, **options):
    program = start(lab, urls, command, **options)
    program.wait(within)
    return program


def prepare(lab):
    zone = lab.dns()
    zone.add(NAME, "A", HOST4)
    zone.add("alias.example", "A", HOST4)
    lab.udp_echo(ECHO)
    lab.udp_echo(AGAIN, again_s=IDLE_S)
    names = {NAME: HOST4}
    lab.proxies = {port: lab.proxy("socks5", port, user=user, names=names)
                   for port, user in ((PLAIN, None), (PATIENT, None), (SECRET, USER))}
    lab.proxies[HTTP] = lab.proxy("connect", HTTP)


def forget(lab, port=PLAIN):
    """Return: the proxy there, as if it was new"""
    proxy = lab.proxies[port]
    wait_for(lambda: len(proxy.ended) == len(proxy.associations), 30, "associations of before to end")
    del proxy.associations[:], proxy.ended[:], proxy.asked[:]
    return proxy


def begin_idle(lab):
    """Return: programs that wait"""
    acts = [shlex.join(lab.actor("after_idle", host, AGAIN, IDLE_S)) for host in (HOST4, HOST6)]
    return start(lab, url(port=PATIENT), ["sh", "-c", f"{acts[0]} & {acts[1]}; wait"])


def check_idle(t, lab, program):
    t.equal(program.wait(IDLE_S + 60), 0, f"idle: exit status {program.stderr}")
    t.equal(program.jsons(), [{"came": ["first", "first", "second"]}] * 2,
            "nothing for a minute, then a datagram from the other side, then one to it")
    t.equal(len(program.flows(event="new")), 2, "with the same flows")
    t.equal(sorted(one.sent for one in lab.proxies[PATIENT].associations), [[(HOST4, AGAIN)] * 2, [(HOST6, AGAIN)] * 2],
            "and associations")


def check_there_and_back(t, lab):
    for kind, port, user, host in (("socks5", PLAIN, None, HOST4), ("socks5h", PLAIN, None, HOST6),
                                   ("socks5h", SECRET, URL_USER, HOST4), ("socks5", SECRET, URL_USER, HOST6)):
        for size, n in SIZES:
            for is_connected in (1, 0):
                what = f"{kind}, {host}, {size} bytes, {'connected' if is_connected else 'not connected'}"
                proxy = forget(lab, port)
                ran = run(lab, url(kind, port, user), lab.actor("there_and_back", host, ECHO, n, size, is_connected))
                t.equal(ran.json(), {"burst": True, "order": True, "single": n, "peers": [host]}, what)
                t.equal([one.sent for one in proxy.associations], [[(host, ECHO)] * 2 * n], f"{what}: the proxy's part")
                flow = ran.wait_flow(event="closed", proto="udp")
                t.equal((flow["via"], flow["bytes_in"], flow["bytes_out"]), ("socks", 2 * n * size, 2 * n * size),
                        f"{what}: the flow's record")
                t.check("se@c" not in str(ran.flows()) + ran.stderr, "the password is shown to nobody")
    forget(lab)
    ran = run(lab, url(), lab.actor("there_and_back", HOST4, ECHO, 1, LONGEST, 1))
    t.equal(ran.json(), {"burst": True, "order": True, "single": 1, "peers": [HOST4]}, "as long as can be")
    forget(lab)
    ran = run(lab, url(host=f"[{PROXY6}]"), lab.actor("there_and_back", HOST4, ECHO, 2, 20, 1))
    t.equal(ran.json()["single"], 2, "IPv4 by a proxy at an address of IPv6")


def check_peers(t, lab):
    """one socket has one association, and its answers come from who was asked"""
    proxy = forget(lab)
    ran = run(lab, url(), lab.actor("many_peers", PEERS, ECHO, 100))
    t.equal(ran.json(), {"right": 100}, "one socket, 100 peers: answers from the right one")
    t.equal(len(ran.flows(event="new", via="socks")), 100, "each of them is a flow")
    t.equal([sorted(one.sent) for one in proxy.associations],
            [sorted((f"{PEERS}.{i}", ECHO) for i in range(1, 101))], "and all of them one association")
    proxy, hosts = forget(lab), [HOST4, HOST6, PEERS + ".1", HOST6, HOST4]
    ran = run(lab, url("socks5h"), lab.actor("each_peer", ECHO, *hosts))
    t.equal(ran.json(), {"came": [[host, host, ECHO] for host in hosts]}, "a socket of two families")
    t.equal([one.sent for one in proxy.associations], [[(host, ECHO) for host in hosts]], "one association as well")


def check_names(t, lab):
    for kind, named in (("socks5", HOST4), ("socks5h", NAME)):
        proxy = forget(lab)
        ran = run(lab, url(kind), lab.actor("by_name", NAME, ECHO, 3))
        t.equal(ran.json(), {"right": 3, "address": HOST4}, f"{kind}: by a name")
        t.equal([one.sent for one in proxy.associations if (HOST4, ECHO) in one.sent or (NAME, ECHO) in one.sent],
                [[(named, ECHO)] * 3], f"{kind}: what the proxy was told")
        t.check([(PROXY, 53)] in [one.sent[:1] for one in proxy.associations], f"{kind}: the name server was asked by it")


def check_names_of_one(t, lab):
    """the proxy of one application has the questions of that one, and no other's"""
    words = lab.actor("by_name", NAME, ECHO, 1)
    forget(lab)
    ran = lab.run([], ["sh", "-c", f"{shlex.join(words)}; curl -q -s -m 10 http://{NAME}:{CLOSED}/"],
                  options=["--proxy", f"socks:upstream={url()}", "--app", words[0]])
    vias = {program: {flow["via"] for flow in ran.flows(event="new", dport=53) if flow["exe"].endswith(program)}
            for program in (os.path.realpath(words[0]), "curl")}
    t.equal(list(vias.values()), [{"socks"}, {None}], f"who has the questions to name servers: {vias} {ran.stderr}")


def query(name):
    return (struct.pack("!6H", 77, 0x100, 1, 0, 0, 0) +
            b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + struct.pack("!B2H", 0, 1, 1))


def check_resolver(t, lab):
    """a resolver at 127.0.0.53, whose own questions go by the proxy, as the others of the socket that asks it"""
    words = lab.actor("resolver", STUB, PROXY, ECHO, HOST4, query(NAME).hex())
    proxy, direct = forget(lab), lab.plain(words)
    ran = run(lab, url(), words)
    t.check(socket.inet_aton(HOST4).hex() in direct.json()["came"][0][0], f"direct: {direct.report()}")
    t.equal(ran.json(), direct.json(), "answers of a resolver here and an echo elsewhere")
    t.equal(sorted(set(sum((one.sent for one in proxy.associations), []))), [(PROXY, 53), (HOST4, ECHO)],
            "nothing of this machine went to the proxy")
    zone = lab.local_dns()
    zone.add("local.example", "A", HOST4)
    resolver = lab.new_file("resolv.conf", f"nameserver {STUB}\n")
    ran = run(lab, url(), [lab.path("tests/providers/with-resolver"), resolver,
                           *lab.actor("by_name", "local.example", ECHO, 2)])
    t.equal(ran.json(), {"right": 2, "address": HOST4}, "the system's resolver at 127.0.0.53")


def check_calls(t, lab):
    """many datagrams by one call"""
    proxy, hosts = forget(lab), [f"{PEERS}.{i}" for i in range(1, 13)]
    words = [lab.path("tests/providers/calls"), "sendmmsg", str(ECHO), *hosts]
    ran = run(lab, url(), ["sh", "-c", f"{shlex.join(words)}; sleep 1"])
    t.equal(ran.stdout.split(), ["12", "12"], "sendmmsg: each call is told that all went")
    wait_for(lambda: proxy.ended, 30, "its association to end")
    t.equal([sorted(one.sent) for one in proxy.associations], [sorted([(host, ECHO) for host in hosts] * 2)],
            "sendmmsg: and they did")
    for host in (HOST4, HOST6):
        ran = run(lab, url(), lab.actor("echo", "segmented", host, ECHO))
        t.equal(ran.json(), {"is_equal": True}, f"segmented by the kernel (GSO), {host}")


def check_slow_way(t, lab):
    """the way to the proxy takes less than the program sends: it waits, in the buffers that there are"""
    with lab.client:
        subprocess.run("tc qdisc add dev uplink root tbf rate 2mbit burst 64k limit 10mb".split(), check=True)
    try:
        ran = run(lab, url(), lab.actor("paced", HOST4, ECHO, 12, 40000, 0.05))
    finally:
        with lab.client:
            subprocess.run("tc qdisc del dev uplink root".split(), check=True)
    t.equal(ran.json(), {"same": True}, "a way of 2 Mbit/s")


def check_ends(t, lab):
    """a socket that is closed has its association end, and nothing is left"""
    proxy = forget(lab)
    ran = start(lab, url(), lab.actor("sockets", HOST4, ECHO, 100, 8))
    pid = ran.wait_pid("socks")
    before = len(os.listdir(f"/proc/{pid}/fd"))
    wait_for(lambda: len(proxy.associations) == 100, 60, "100 associations")
    wait_for(lambda: len(proxy.ended) == 100, 30, "all of them to end")
    wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before + 4, 5, "descriptors to go")
    ran.wait()
    t.equal(ran.json(), {"right": 100}, "100 sockets, one after the other")


def check_refused(t, lab):
    """who cannot go by a proxy goes nowhere, and is told at once"""
    twisted = lab.proxy("socks5", TWISTED, twist="refuses")
    lab.proxies[TWISTED] = twisted
    wrong = "alice:wrong"
    for urls, told4, told6, reason in (
            (url("http", HTTP), "EHOSTUNREACH", "EACCES", "no upstream carries UDP"),
            (url(port=TWISTED), "EHOSTUNREACH", "EACCES", "carries no UDP for us"),
            (url(port=SECRET, user=wrong), "EHOSTUNREACH", "EACCES", "does not take this user"),
            (url(port=NOBODY), "ECONNREFUSED", "ECONNREFUSED", "is not reached")):
        for host, told in ((HOST4, told4), (HOST6, told6)):
            capture = lab.capture()
            with capture:
                ran = run(lab, urls, lab.actor("told_each_time", host, ECHO, 2))
            t.equal(ran.json()["told"], [told, told], f"{urls}, {host}")
            flow = ran.wait_flow(proto="udp")
            t.equal(flow["verdict"], "drop", f"{urls}: its record")
            t.check(reason in flow["reason"], f"{urls}: why: {flow['reason']}")
            t.equal(capture.count(lambda packet: packet.proto == "udp" and packet.dport == ECHO), 0, f"{urls}: nothing went past it")
    t.equal(run(lab, url("socks5", TWISTED), lab.actor("connects", f"{HOST4},{CLOSED}")).json()[0]["error"], "ECONNREFUSED",
            "TCP by a proxy that carries no UDP")


def check_direct(t, lab):
    """unless the user lets UDP go past the proxy"""
    ran = run(lab, url("http", HTTP), lab.actor("there_and_back", HOST4, ECHO, 4, 500, 1), udp="direct")
    t.equal(ran.json(), {"burst": True, "order": True, "single": 4, "peers": [HOST4]}, "udp=direct")
    t.equal(ran.wait_flow(event="closed", proto="udp").get("via"), None, "udp=direct: nobody has it")
    ran = run(lab, url("http", HTTP), ["true"], udp="perhaps")
    t.check(ran.popen.returncode and "is neither proxy nor direct" in ran.stderr, f"udp=perhaps: {ran.report()}")


def check_failover(t, lab):
    proxy = forget(lab)
    urls = (url("http", HTTP), url(port=NOBODY), url(port=TWISTED), url())
    ran = run(lab, urls, lab.actor("sockets", HOST4, ECHO, 5, 0))
    t.equal(ran.json(), {"right": 5}, "behind one of HTTP, one that is down and one that refuses")
    t.equal(len(proxy.associations), 5, "who had them")
    t.check(f":{NOBODY} is not reached" in ran.stderr and f":{TWISTED}" not in ran.stderr,
            f"what is told: {ran.stderr}")


def check_twisted(t, lab):
    """of a proxy that lies nothing comes but what is right; one that names no place is none"""
    port = TWISTED + 1
    proxy = lab.proxies[port] = lab.proxy("socks5", port, twist="lies")
    for kind in ("socks5", "socks5h"):
        for is_connected in (1, 0):
            ran = run(lab, url(kind, port), lab.actor("there_and_back", HOST4, ECHO, 4, 100, is_connected))
            t.equal(ran.json(), {"burst": True, "order": True, "single": 4, "peers": [HOST4]},
                    f"{kind}: 19 lies before each datagram")
    proxy.twist = "zeros"
    for host in (PROXY, f"[{PROXY6}]"):
        ran = run(lab, url(port=port, host=host), lab.actor("sockets", HOST4, ECHO, 2, 0))
        t.equal(ran.json(), {"right": 2}, f"it names 0.0.0.0 or ::, and is at {host}")
    for proxy.twist in ("no port", "loopback", "a name", "its client"):
        ran = run(lab, url(port=port), lab.actor("told_each_time", HOST4, ECHO, 1))
        t.equal(ran.json()["told"], ["ECONNREFUSED"], f"it names {proxy.twist}")
        t.check("names no place" in ran.wait_flow(proto="udp")["reason"], f"{proxy.twist}: why")
        ran = run(lab, (url(port=port), url()), lab.actor("sockets", HOST4, ECHO, 2, 0))
        t.equal(ran.json(), {"right": 2}, f"behind one that names {proxy.twist}")


def check_gone(t, lab):
    """the control connection ends: so does the association, and the next datagram has another one"""
    proxy = forget(lab)
    ran = start(lab, url(), lab.actor("told_each_time", HOST4, ECHO, 40, 0.1, 0.5))
    pid = ran.wait_pid("socks")
    wait_for(lambda: proxy.associations and len(proxy.associations[0].sent) > 3, 30, "a few datagrams")
    proxy.associations[0].control.shutdown(socket.SHUT_RDWR)
    ran.wait()
    told = ran.json()["told"]
    t.equal((told[0], told[-1]), ("0", "0"), f"before and afterwards: {told}")
    t.check("ETIMEDOUT" in told and len(proxy.associations) == 2, f"in between: {told}")
    t.equal(len(ran.flows(event="new")), 1, "it is the same flow")
    port = TWISTED + 2
    lab.proxies[port] = lab.proxy("socks5", port, twist="ends")
    ran = run(lab, (url(port=port), url()), lab.actor("told_each_time", HOST4, ECHO, 20, 0.1, 0.5))
    t.equal(ran.json()["told"][-1], "0", "one that always leaves, and another one")
    t.check("has ended its association" in ran.stderr, f"it is told: {ran.stderr}")
    t.equal(len(lab.proxies[port].associations), 1, "and it is not tried again")
    t.check(pid, "a provider")


def check_restart(t, lab):
    """the provider is killed: the program's socket goes on with the next one"""
    proxy = forget(lab)
    ran = start(lab, url(), lab.actor("told_each_time", HOST4, ECHO, 40, 0.1, 0.5))
    pid = ran.wait_pid("socks")
    wait_for(lambda: proxy.associations and len(proxy.associations[0].sent) > 3, 30, "a few datagrams")
    os.kill(pid, 9)
    ran.wait()
    told = ran.json()["told"]
    t.equal((told[0], told[-1]), ("0", "0"), f"before and after its death: {told}")
    t.equal(len(proxy.associations), 2, "its associations")


def check_dante(t, lab):
    """a server that many have"""
    missing = t.missing(*upstreams.DANTE_NEEDS)
    if missing:
        t.note(f"no dante-server: {missing[0]} is not there")
        return
    with upstreams.dante(lab, DANTE_PORT):
        for kind in ("socks5", "socks5h"):
            ran = run(lab, url(kind, DANTE_PORT), lab.actor("there_and_back", HOST4, ECHO, 8, 1200, 0))
            t.equal(ran.json(), {"burst": True, "order": True, "single": 8, "peers": [HOST4]}, f"dante, {kind}")
            ran = run(lab, url(kind, DANTE_PORT), lab.actor("by_name", NAME, ECHO, 3))
            t.equal(ran.json(), {"right": 3, "address": HOST4}, f"dante, {kind}: by a name")
            ran = run(lab, url(kind, DANTE_PORT), lab.actor("many_peers", PEERS, ECHO, 20))
            t.equal(ran.json(), {"right": 20}, f"dante, {kind}: one socket, 20 peers")


def quic(lab, host, title):
    """what a client gets, by checksum"""
    folder = lab.new_file(title)
    words = ["gtlsclient", "-q", "--exit-on-all-streams-close", f"--download={folder}", host, str(QUIC),
             f"https://{host}/data"]
    return ["sh", "-c", f"mkdir -p {folder} && {shlex.join(words)} && sha256sum < {folder}/data"]


def check_quic(t, lab):
    certificate = lab.https()
    with QuicServer(lab, HOST4, certificate):
        direct = lab.plain(quic(lab, HOST4, "direct"))
        t.check(direct.popen.returncode == 0 and len(direct.stdout) > 64, f"QUIC: direct: {direct.report()}")
        for kind, user in (("socks5", None), ("socks5h", None), ("socks5h", URL_USER)):
            for host in (HOST4, NAME):
                proxy = forget(lab, SECRET if user else PLAIN)
                ran = run(lab, url(kind, SECRET if user else PLAIN, user), quic(lab, host, "proxied"))
                t.equal((ran.popen.returncode, ran.stdout), (0, direct.stdout), f"QUIC by {kind} from {host}")
                named = NAME if host == NAME and kind == "socks5h" else HOST4
                n = sum((named, QUIC) in one.sent for one in proxy.associations)
                t.equal(n, 1, f"QUIC by {kind}: associations to {named}")


def scenario(t):
    t.needs("curl", "git", "gtlsclient", "openssl", "ssh-keygen", "tc", QUIC_SERVER, "providers/socks")
    with t.lab() as lab:
        prepare(lab)
        idle = begin_idle(lab)
        check_there_and_back(t, lab)
        check_peers(t, lab)
        check_names(t, lab)
        check_names_of_one(t, lab)
        check_resolver(t, lab)
        check_calls(t, lab)
        check_slow_way(t, lab)
        check_ends(t, lab)
        check_refused(t, lab)
        check_direct(t, lab)
        check_failover(t, lab)
        check_twisted(t, lab)
        check_gone(t, lab)
        check_restart(t, lab)
        check_dante(t, lab)
        check_quic(t, lab)
        check_idle(t, lab, idle)


if __name__ == "__main__":
    main(scenario)
