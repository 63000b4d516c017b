#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""151 — the host a flow really wants is read from its first bytes

   [ client ns: fetches two names in turn ]──uplink──│count│──[ server ns: HTTP, HTTPS, QUIC, one address ]
        └ blocklist has one of them: 0 wrong either way
          denied: the handshake alone leaves, by QUIC not one packet

    151-host-of-bytes.py BUILD --rounds 10000 --limit 7200
"""
import os

from lib import main
from lib.lab import SERVER4

LISTED, FREE = "www.example.org", "example.com"
ONE, OTHER = "10.79.51.1", "10.79.51.2"  # of both names; of none
CORPUS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../names/corpus")
H2C, QUIC, GREETER, ECHO = 8080, 4433, 25, 7
RECORDED = (f"h2c:{CORPUS}/h2c:curl-00:curl-01", f"quic:{CORPUS}/quic:ngtcp2-00:ngtcp2-01")
WAYS = f"http:80,https:443,h2c:{H2C},quic:{QUIC}"
SOURCES = {"http", "tls", "h2c", "quic"}


def blocklist(lab, *names):
    return lab.path("providers/blocklist") + ":list=" + lab.new_file("list", "".join(name + "\n" for name in names))


def check_in_turn(t, lab):
    """each name is known from an answer as well: the address alone says nothing"""
    act = lab.actor("fetch", 3, LISTED, FREE, WAYS, *RECORDED)
    plain = lab.plain(act).json()
    t.equal(plain["n_wrong"], plain["n"] / 2, "without Sluice all of them are fetched")
    with lab.capture() as capture:
        run = lab.run([blocklist(lab, LISTED)], act)
        capture.stop()
        packets = capture.packets(lambda packet: packet.dst == ONE)
    result = run.json()
    denied = set(result["denied_ports"]) - {0}
    t.equal((result["n_wrong"], result["wrong"]), (0, []), "in turn, by each way")
    left = [packet for packet in packets if packet.sport in denied and packet.payload]
    t.equal(left, [], "bytes of what is denied")
    t.equal([packet for packet in packets if packet.sport in denied and packet.proto == "udp"], [], "datagrams of it")
    t.check(any(packet.sport in denied and packet.proto == "tcp" for packet in packets), "denied after its handshake")
    t.check(not any(LISTED.encode() in packet.payload for packet in packets), "its name on the wire")
    seen = {record["host_source"] for record in run.flows(dst=ONE)}
    t.check(SOURCES <= seen, f"sources in the flow records: {seen}")
    for record in run.flows(dst=ONE, event="changed"):
        t.equal(record["verdict"], "drop" if record["host"] == LISTED else "allow", f"verdict of {record}")
    t.note(f"{result['n']} fetches, the slowest {result['slowest_ms']} ms")


def check_rounds(t, lab):
    if t.rounds <= 3:
        return
    run = lab.run([blocklist(lab, LISTED)], lab.actor("fetch", t.rounds, LISTED, FREE, WAYS, *RECORDED),
                  within=t.rounds * 2, has_records=False)
    result = run.json()
    t.equal((result["n_wrong"], result["wrong"]), (0, []), f"{t.rounds} rounds")
    t.note(f"{result['n']} fetches, {result['n_wrong']} wrong, the slowest {result['slowest_ms']} ms")


def check_curl(t, lab):
    """one curl: both names, HTTP and HTTPS with HTTP/1.1 and with h2 offered, in turn"""
    urls = [f"{scheme}://{name}/{number}" for number in range(3) for scheme in ("http", "https") for name in (LISTED, FREE)]
    for version in ("--http1.1", "--http2"):
        words = ["curl", "-sk", version, "-m", "20", "-w", "%{url} %{http_code}\n", "-o", "/dev/null"]
        for url in urls:
            words += [url, "-o", "/dev/null"] if url != urls[-1] else [url]
        run = lab.run([blocklist(lab, LISTED)], words)
        found = dict(line.split() for line in run.stdout.splitlines())
        t.equal(found, {url: "000" if LISTED in url else "200" for url in urls}, f"curl {version}")


def check_quic_client(t, lab, certificate):
    """a real client of QUIC that has asked no name server: by its hello alone"""
    server = lab.start_server(["gtlsserver", "-q", ONE, "443", certificate, certificate + ".crt"])
    for name, wanted in ((FREE, True), (LISTED, False)):
        with lab.capture() as capture:
            run = lab.run([blocklist(lab, LISTED)],
                          ["timeout", "5", "gtlsclient", "-q", "--exit-on-all-streams-close", "--sni", name, ONE, "443",
                           f"https://{name}/"])
            capture.stop()
            n = capture.count(lambda packet: packet.proto == "udp" and packet.dst == ONE)
        record = run.wait_flow(dst=ONE, proto="udp", host=name)
        t.equal((record["host_source"], n > 0), ("quic", wanted), f"{name}: datagrams on the wire: {n}")
    server.end()


def check_no_dns(t, lab):
    """no answer was seen: the hello is all there is; cut into segments, into records; what is outer says so"""
    run = lab.run([blocklist(lab, LISTED)], ["curl", "-sk", "-m", "10", "--resolve", f"{LISTED}:443:{OTHER}",
                                             f"https://{LISTED}/"])
    t.check(run.popen.returncode != 0, "denied by its hello alone")
    t.equal(run.wait_flow(dst=OTHER, event="changed")["host"], LISTED, "its name")
    for size, pause, record in ((300, "0.1", 50), (500, "0", 7)):
        run = lab.run([blocklist(lab, LISTED)],
                      lab.actor("pieces", OTHER, ECHO, CORPUS + "/tls", "curl-00", size, pause, record))
        t.equal(run.json()["told"][0], "0", f"segments of {size}, records of {record}: the handshake")
        t.check(run.json()["told"][1] in ("ECONNABORTED", "ECONNRESET", "EPIPE"),
                f"segments of {size}, records of {record}: {run.json()}")
    run = lab.run([blocklist(lab, LISTED)], lab.actor("pieces", OTHER, ECHO, CORPUS + "/tls", "curl-00", 20))
    t.check(run.json()["told"][1] in ("0", "ECONNABORTED"), "more segments than a sender sends unacknowledged: it ends")
    for title, name in (("nss-14", "public.example"), ("nss-15", "front.example.net")):
        run = lab.run([blocklist(lab, LISTED)], lab.actor("pieces", OTHER, ECHO, CORPUS + "/tls", title, 10000))
        record = run.wait_flow(dst=OTHER, event="changed")
        t.equal((record["host"], record["host_source"], record["verdict"]), (name, "tls-outer", "allow"), title)


def check_first_words(t, lab):
    """who waits for the server's word is not kept waiting, nor is what no reader knows"""
    run = lab.run([blocklist(lab, LISTED)], lab.actor("greeted", OTHER, GREETER))
    result = run.json()
    t.equal((result["greeting"], result["answer"]), ("220 hello\r\n", "221 bye\r\n"), "a server that speaks first")
    t.note(f"greeted after {result['greeted_ms']} ms, all after {result['total_ms']} ms")
    run = lab.run([blocklist(lab, LISTED)], lab.actor("exchange", OTHER, ECHO, 20000))
    t.check(run.json()["is_equal"], "bytes of no protocol that is read")
    record = run.wait_flow(dst=OTHER, event="changed")
    t.equal((record["host"], record["host_source"], record["verdict"]), (None, "none", "allow"), "they name nobody")


def check_not_needed(t, lab):
    """of a filter that does not go by names nothing is read"""
    run = lab.run([lab.test_filter()], ["curl", "-sk", "-m", "10", f"https://{OTHER}/"])
    t.equal(run.popen.returncode, 0, "an address")
    t.equal(run.flows(dst=OTHER, state="peeking"), [], "looked at")


def check_rules(t, lab):
    """a static rule with a host has it read"""
    rules = lab.test_filter(rules_deny_host=LISTED)
    for name in (LISTED, FREE):
        run = lab.run([rules], ["curl", "-sk", "-m", "10", "--resolve", f"{name}:443:{OTHER}", f"https://{name}/"])
        t.equal(run.popen.returncode == 0, name == FREE, f"a rule for {LISTED}: {name}")


def scenario(t):
    t.needs("curl", "openssl")
    with t.lab() as lab:
        zone = lab.dns()
        for name in (LISTED, FREE):
            zone.add(name, "A", ONE)
        lab.http()
        certificate = lab.https()
        for port in (H2C, ECHO):
            lab.tcp_echo(port)
        lab.udp_echo(QUIC)
        lab.greeter(GREETER)
        for check in (check_in_turn, check_rounds, check_curl, check_no_dns, check_first_words, check_not_needed):
            check(t, lab)


if __name__ == "__main__":
    main(scenario, rounds=3)
