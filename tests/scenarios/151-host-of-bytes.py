#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""151 — the host a flow really wants is read from its first bytes

   [ client ns: fetches two names in turn ]──uplink──│count│──[ server ns: HTTP, HTTPS, h2, QUIC, one address ]
        └ blocklist has one of them: 0 wrong either way
          denied: the handshake alone leaves, by QUIC not one packet

    151-host-of-bytes.py BUILD --rounds 10000 --limit 7200
"""
import contextlib
import os
import signal
import subprocess

from lib import main
from lib.real import QUIC_SERVER, wait_for_udp
from lib.wait import wait_for

LISTED, FREE = "www.example.org", "example.com"
ONE, OTHER = "10.79.51.1", "10.79.51.2"  # of both names; of none
CORPUS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../names/corpus")
H2, H2C, QUIC, GREETER, ECHO = 8443, 8080, 4433, 25, 7
RECORDED = (f"h2c:{CORPUS}/h2c:curl-00:curl-01", f"quic:{CORPUS}/quic:ngtcp2-00:ngtcp2-01")
WAYS = f"http:80,https:443,h2:{H2},h2c:{H2C},quic:{QUIC}"
TRIES = 5
THREE = "ngtcp2-29", "api-7.cdn.example.net"  # Initials in its hello
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
    denied = {tuple(ports) for ports in result["denied"]}
    t.equal((result["n_wrong"], result["wrong"]), (0, []), "in turn, by each way")
    of_denied = [packet for packet in packets if (packet.sport, packet.dport) in denied]
    t.equal([packet for packet in of_denied if packet.payload], [], "bytes of what is denied")
    t.equal({packet.proto for packet in of_denied}, {"tcp"}, "handshakes of it, and no datagram")
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
    """one curl: both names, HTTP and HTTPS with HTTP/1.1, with h2 offered, and with h2, in turn"""
    urls = [(f"{scheme}://{name}/{number}", name, "1") for number in range(2) for scheme in ("http", "https")
            for name in (LISTED, FREE)]
    urls += [(f"https://{name}:{H2}/{name}", name, "2") for name in (LISTED, FREE, LISTED, FREE)]
    for version in ("--http1.1", "--http2"):
        asked = [url for url in urls if url[2] == "1" or version == "--http2"]
        words = ["curl", "-q", "-sk", version, "-m", "20", "-w", "%{url} %{http_code} %{http_version}\n"]
        for url, _, _ in asked:
            words += ["-o", "/dev/null", url]
        run = lab.run([blocklist(lab, LISTED)], words)
        t.equal(run.stdout.splitlines(), [f"{url} 000 0" if name == LISTED else f"{url} 200 {spoken}"
                                          for url, name, spoken in asked], f"curl {version}")


@contextlib.contextmanager
def serving(lab, *words):
    with lab.server:
        server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def serving_h2(lab, certificate):
    """a file for each name, so that it is seen what was asked for"""
    folder = lab.new_file("h2")
    os.mkdir(folder)
    for name in (LISTED, FREE):
        with open(os.path.join(folder, name), "w") as file:
            file.write(f"hello from {name}\n")
    with serving(lab, "nghttpd", "-d", folder, str(H2), certificate, certificate + ".crt"):
        wait_for(lambda: f":{H2:04X} " in lab.server.read_proc("tcp"), 20, "the server for h2")
        yield


def check_quic_client(t, lab, certificate):
    """a real client and a real server"""
    missing = t.missing("gtlsclient", QUIC_SERVER)
    if missing:
        t.note(f"no QUIC client: {missing[0]} is not there")
        return
    get = "timeout 5 gtlsclient -q --exit-on-all-streams-close {0} 443 https://{0}/; "
    with serving(lab, QUIC_SERVER, "-q", ONE, "443", certificate, certificate + ".crt") as server:
        wait_for_udp(server.pid, 443)
        with lab.capture() as capture:
            run = lab.run([blocklist(lab, LISTED)],
                          ["sh", "-c", "".join(get.format(name) for name in (LISTED, FREE, LISTED))])
            capture.stop()
    records = [record for record in run.flows(event="changed", proto="udp", dport=443)]
    t.equal([(record["host"], record["host_source"], record["verdict"]) for record in records],
            [(FREE, "quic", "allow"), (LISTED, "quic", "drop")], "a QUIC client")
    t.equal({packet.sport for packet in capture.packets(lambda packet: packet.proto == "udp" and packet.dport == 443)},
            {records[0]["sport"]}, "whose datagrams leave")


def check_reader_hangs(t, lab):
    """sluice-names hangs in the middle: another one reads it"""
    go = lab.new_file("go", "")
    fetch = " ".join(lab.actor("fetch", 10, LISTED, FREE, "http:80"))
    run = lab.start([blocklist(lab, LISTED)], ["sh", "-c", f"while [ -e {go} ]; do {fetch}; done; {fetch}"])
    pid = run.wait_pid("sluice-names")
    run.wait_flow(within=20, event="changed", dst=ONE)
    os.kill(pid, signal.SIGSTOP)
    run.wait_pid("sluice-names", other_than=pid)
    os.unlink(go)
    t.equal(run.wait(60), 0, "exit status")
    for result in run.jsons():
        t.equal((result["n_wrong"], result["wrong"]), (0, []), "no flow is without its name")
    t.note(f"sluice-names hung: the slowest took {max(result['slowest_ms'] for result in run.jsons())} ms")


def check_no_dns(t, lab):
    """no answer was seen: the hello is all there is; cut into segments, into records; what is outer says so"""
    run = lab.run([blocklist(lab, LISTED)], ["curl", "-q", "-sk", "-m", "10", "--resolve", f"{LISTED}:443:{OTHER}",
                                             f"https://{LISTED}/"])
    t.check(run.popen.returncode != 0, "denied by its hello alone")
    t.equal(run.wait_flow(dst=OTHER, event="changed")["host"], LISTED, "its name")
    for size, pause, record in ((300, "0.1", 50),):
        run = lab.run([blocklist(lab, LISTED)],
                      lab.actor("pieces", OTHER, ECHO, CORPUS + "/tls", "curl-00", size, pause, record))
        t.equal(run.json()["told"][0], "0", f"segments of {size}, records of {record}: the handshake")
        t.check(run.json()["told"][1] in ("ECONNABORTED", "ECONNRESET", "EPIPE"),
                f"segments of {size}, records of {record}: {run.json()}")
    for title, name in (("nss-14", "public.example"),):
        run = lab.run([blocklist(lab, LISTED)], lab.actor("pieces", OTHER, ECHO, CORPUS + "/tls", title, 10000))
        record = run.wait_flow(dst=OTHER, event="changed")
        t.equal((record["host"], record["host_source"], record["verdict"]), (name, "tls-outer", "allow"), title)


def said_in_pieces(lab, words, file):
    """Return: what the program was told, the flow's record, bytes of it that left"""
    with lab.capture() as capture:
        run = lab.run([blocklist(lab, LISTED)], lab.actor("pieces", OTHER, ECHO, f"{CORPUS}/{file}", *words))
        capture.stop()
        left = sum(len(packet.payload) for packet in capture.packets(lambda packet: packet.dst == OTHER))
    return run.json()["told"], run.wait_flow(dst=OTHER, event="changed"), left


def check_pieces(t, lab):
    """more pieces than TCP has under way unacknowledged, or in a queue of this machine (TSQ): it is read.
    A machine that stops the program for a fifth of a second in the middle lets TCP take them for lost:
    then it is judged without, and that is said"""
    for limit in ("1048576", "3000"):
        lab.client.sysctl("ipv4/tcp_limit_output_bytes", limit)
        for file, title, size, pause, (name, source) in (
                ("tls", "curl-00", 1, 0, (LISTED, "tls")), ("tls", "curl-00", 20, 0, (LISTED, "tls")),
                ("http1", "curl-00", 1, 0, (LISTED, "http")), ("tls", "openssl-07", 20, 0, ("1.2.3.example", "tls")),
                ("tls", "openssl-07", 1000, 0.05, ("1.2.3.example", "tls")),
                ("tls", "python-14", 20000, 0, (None, "none"))):
            for _ in range(TRIES):
                told, record, left = said_in_pieces(lab, (title, size, pause), file)
                found = record["host"], record["host_source"]
                t.check(found in ((name, source), (None, "none")), f"{title} in pieces of {size}: {record}")
                is_listed = found[0] == LISTED
                t.equal((record["verdict"], told[0]), ("drop" if is_listed else "allow", "0"), f"{title} of {size}")
                t.check(left == 0 if is_listed else told[1] == "0", f"{title} of {size}: {told}, {left} bytes left")
                if found == (name, source):
                    break
            t.equal(found, (name, source), f"{file} {title} in pieces of {size}, {limit} bytes in the machine")


def check_initials(t, lab):
    """a hello in three Initial packets, of a program that asks no name server"""
    run = lab.run([blocklist(lab, THREE[1])], lab.actor("fetch", 1, OTHER, ONE, f"quic:{QUIC}",
                                                        f"quic:{CORPUS}/quic:{THREE[0]}:ngtcp2-01"))
    t.equal(run.json()["wrong"], [], "three Initials")
    record = run.wait_flow(dst=OTHER, event="changed")
    t.equal((record["host"], record["host_source"], record["verdict"]), (THREE[1], "quic", "drop"), "three Initials")


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
    run = lab.run([lab.test_filter()], ["curl", "-q", "-sk", "-m", "10", f"https://{OTHER}/"])
    t.equal(run.popen.returncode, 0, "an address")
    t.equal(run.flows(dst=OTHER, state="peeking"), [], "looked at")


def scenario(t):
    t.needs("curl", "nghttpd", "openssl")
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
        with serving_h2(lab, certificate):
            for check in (check_in_turn, check_rounds, check_curl):
                check(t, lab)
        for check in (check_no_dns, check_pieces, check_initials, check_first_words, check_not_needed,
                      check_reader_hangs):
            check(t, lab)
        check_quic_client(t, lab, certificate)


if __name__ == "__main__":
    main(scenario, rounds=3)
