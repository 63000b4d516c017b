#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""150 — a filter looks at connections that come in however their handshake went

   [ client ns: echo, one listener or several on a port ]──uplink──[ server ns: clients, also one made by hand ]
        └ test-filter sees 512 bytes at once of both directions: what is shown = what is exchanged
          · whichever of several listeners (SO_REUSEPORT) has the connection, or comes in the midst of it
          · a client begins anew, on the same port: it goes on, and the old handshake shows nothing
"""
import random
import time
import zlib

from lib import main
from lib.lab import CLIENT4, MAC, SERVER4
from lib.rawclient import PORT, RawClient
from lib.wait import wait_for

RAW = "10.80.50.1"  # nobody's
TEXT = "forbidden"
N_LISTENERS, N_CONNECTIONS = 4, 12
FIRST, SECOND, AHEAD = 1000, 900_000_000, 20


def start(lab, act, **options):
    run = lab.start([lab.test_filter(peek_out=512, **options)], lab.actor(*act), fail="closed")
    wait_for(lambda: "listening" in run.stderr, 10, "the program to listen")
    return run


def seen(run, direction):
    """(bytes, crc) of each flow whose end was shown"""
    words = [line.split("seen ", 1)[1].split() for line in run.stderr.splitlines() if ": seen " in line]
    return [(int(word[2]), word[3]) for word in words if word[1] == direction]


def check_seen(t, run, sent, title):
    for direction in ("in", "out"):
        wait_for(lambda side=direction: len(seen(run, side)) >= len(sent), 10, f"{title}: the end, {direction}")
        t.equal(sorted(seen(run, direction)), sorted((len(data), f"{zlib.crc32(data):08x}") for data in sent),
                f"{title}: what was shown, {direction}")
    t.equal([line for line in run.stderr.splitlines() if "seen: offset" in line], [], f"{title}: offsets")


def talk(lab, port, data):
    with lab.connect_in(port, within=20) as s:
        s.settimeout(20)
        s.sendall(data)
        s.shutdown(1)
        got = b""
        while some := s.recv(65536):
            got += some
    return got


def check_sharing(t, lab):
    """which listener has a connection is for the kernel to choose"""
    source = random.Random(50)
    sent = [source.randbytes(700) for _ in range(N_CONNECTIONS)]
    run = start(lab, ("serve_sharing", 5050, N_LISTENERS, N_CONNECTIONS), peek_in=512)
    got = [talk(lab, 5050, data) for data in sent]
    run.wait()
    t.check(got == sent, "listeners that share a port: what comes back")
    check_seen(t, run, sent, "listeners that share a port")
    closed = run.flows(sport=5050, event="closed")
    t.equal([(record["bytes_in"], record["bytes_out"]) for record in closed], [(700, 700)] * N_CONNECTIONS,
            "listeners that share a port: each flow ends")


def check_sharing_denied(t, lab):
    run = start(lab, ("serve_sharing", 5051, N_LISTENERS, N_CONNECTIONS), deny_when_seen=TEXT)
    got = []
    for _ in range(N_CONNECTIONS):
        try:
            got.append(talk(lab, 5051, TEXT.encode()))
        except ConnectionError:
            got.append(b"")
        if run.popen.poll() is not None:  # told so, the program has ended
            break
    run.end()
    t.equal(set(got), {b""}, "listeners that share a port: what is denied never leaves")


def client(lab, port, **options):
    return RawClient(lab, MAC[CLIENT4], RAW, CLIENT4, port, **options)


def check_newer(t, lab):
    """others come to listen between a SYN and the end of its handshake"""
    source = random.Random(51)
    sent = [source.randbytes(300) for _ in range(1 + N_LISTENERS)]
    run = start(lab, ("serve_sharing", 5052, N_LISTENERS, 1, N_LISTENERS), peek_in=512)
    peers = [client(lab, 5052, own_port=PORT + i) for i in range(N_LISTENERS)]
    for peer in peers:
        t.check(peer.begin(FIRST), "a handshake begins")
    t.check(talk(lab, 5052, sent[0]) == sent[0], "another one is whole before it ends")
    wait_for(lambda: "sharing" in run.stderr, 10, "newer listeners")
    for peer, data in zip(peers, sent[1:], strict=True):
        t.check(peer.exchange(data) and peer.got == data, "newer listeners: the exchange completes")
        peer.close()
    run.wait()
    check_seen(t, run, sent, "newer listeners")


def check_anew(t, lab):
    """the client forgets its first handshake, and begins another one"""
    data = random.Random(52).randbytes(1200)
    for title, defers, second in (("far from the first", "", SECOND), ("in the window of the first", "", FIRST + 100),
                                  ("with bytes at once", "5", SECOND)):
        run = start(lab, ("serve_echo", 5053, defers), peek_in=512)
        peer = client(lab, 5053)
        t.check(peer.begin(FIRST), f"{title}: the first handshake begins")
        t.check(peer.begin(second), f"{title}: the second one is answered")
        t.check(peer.exchange(data, has_ack=not defers) and peer.got == data, f"{title}: the exchange completes")
        peer.close()
        run.end()
        check_seen(t, run, [data], title)


def check_forged(t, lab):
    """a SYN that TCP does not take moves nothing"""
    data = random.Random(53).randbytes(500)
    for title, when in (("before its end", 0), ("in the midst", 300)):
        run = start(lab, ("serve_echo", 5054), peek_in=512)
        peer = client(lab, 5054)
        t.check(peer.begin(FIRST), f"a forged SYN {title}: the handshake begins")
        if when:
            t.check(peer.exchange(data[:when], is_last=False), f"a forged SYN {title}: the exchange begins")
        peer.say_syn(FIRST + when - AHEAD)
        t.check(peer.exchange(data[when:]) and peer.got == data, f"a forged SYN {title}: the exchange completes")
        peer.close()
        run.wait()
        check_seen(t, run, [data], f"a forged SYN {title}")


def check_lies(t, lab):
    """what TCP does not read is shown before what it reads: either it was not, or nothing arrives"""
    data = b"x" * AHEAD + TEXT.encode()
    for seconds in (0, 0.3):  # until it is shown
        run = start(lab, ("serve_echo", 5055), peek_in=512, deny_when_seen=TEXT)
        peer = client(lab, 5055)
        t.check(peer.begin(FIRST), "lies: the handshake begins")
        peer.say_syn(FIRST - AHEAD)
        peer.say(-AHEAD, bytes(AHEAD))
        time.sleep(seconds)
        peer.exchange(data, within=3)
        peer.close()
        t.equal(peer.got, b"", f"lies, after {seconds} s: what comes back")
        run.end()


def scenario(t):
    with t.lab() as lab:
        lab.client.ip(f"route add {RAW}/32 via {SERVER4} dev uplink")
        for check in (check_sharing, check_sharing_denied, check_newer, check_anew, check_forged,
                      check_lies):
            check(t, lab)


if __name__ == "__main__":
    main(scenario)
