#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""148 — a filter looks at what flows carry, and nobody waits for bytes that do not come

   [ client ns: 100 bytes, and waits ]──uplink──│count│──[ server ns: echo :7, tcp udp ]
        └ test-filter looks at both directions, 0 to 2^31 - 1 bytes at once
          what it was shown = what was sent, in order; what is denied never leaves
"""
import json
import os
import random
import zlib

from lib import main, programs
from lib.lab import CLIENT4, MAC, SERVER4
from lib.rawpeer import AHEAD, DAMAGED, FIN, RST, URGENT, RawPeer
from lib.wait import wait_for

TO4, TO6 = "10.79.48.1", "fd00:79::48:1"
PAUSED4 = "10.79.48.2"
PEEKS = [0, 1, 64, 512, 4096, 64 << 10, 1 << 20, 16 << 20, (1 << 31) - 1]
RAW = "10.80.48.1"  # nobody's
MOST = 14000
SIZE = 60_000
SIZE_ONE = 6_000  # where each byte is a question
DENY_TEXT = "forbidden"


def seen(run):
    """direction → (bytes, crc, most), of the one flow; and what went wrong"""
    words = [line.split("seen ", 1)[1].split() for line in run.stderr.splitlines() if ": seen " in line]
    sides = {word[1]: (int(word[2]), word[3], int(word[5])) for word in words if word[1] in ("out", "in")}
    return sides, [line for line in run.stderr.splitlines() if "seen: offset" in line]


def check_exchange(t, lab, act, title, n, **options):
    run = lab.run([lab.test_filter(**options)], lab.actor(*act), fail="closed")
    result = run.json()
    sides, wrong = seen(run)
    most = MOST if int(options["peek_out"]) > MOST else 0
    t.check(result["is_equal"] and result["n"] == n, f"{title}: the exchange completes: {result}")
    t.equal(wrong, [], f"{title}: offsets")
    for side in ("out", "in"):
        t.equal(sides.get(side), (n, result["crc"], most), f"{title}: what was shown, {side}")
    return result


def check_sizes(t, lab):
    for peek in PEEKS:
        for address, size in ((TO4, SIZE_ONE if peek == 1 else SIZE), (TO6, 0)):
            result = check_exchange(t, lab, ("exchange", address, 7, size, peek), f"{peek} at once, to {address}",
                                    100 + size, peek_out=peek, peek_in=peek)
        t.note(f"peek {peek}: the first answer after {result['first_ms']} ms")


def check_pieces(t, lab):
    for peek in (1, 64, 4096):
        check_exchange(t, lab, ("exchange", TO4, 7, 700, 3, 1), f"segments of one byte, {peek} at once", 800,
                       peek_out=peek, peek_in=peek)
    check_exchange(t, lab, ("exchange", TO4, 7, SIZE), "more is wanted than the client says at first",
                   100 + SIZE, peek_out=10, peek_in=10, peek_more=50)
    for how in ("peek_allow", "peek_all"):
        run = lab.run([lab.test_filter(peek_out=4096, peek_in=4096, **{how: 1})],
                      lab.actor("exchange", TO4, 7, SIZE))
        t.check(run.json()["is_equal"], f"{how}: the rest goes on")


def check_denied(t, lab):
    for fail in ("open", "closed"):
        text = "hello, this is " + DENY_TEXT
        with lab.capture() as capture:
            run = lab.run([lab.test_filter(peek_out=4096, deny_when_seen=DENY_TEXT)],
                          lab.actor("say", TO4, 7, text), fail=fail)
            capture.stop()
        packets = capture.packets(lambda packet: packet.dst == TO4)
        t.equal(run.json()["told"], ["0", "0", "ECONNABORTED"], f"denied, fails {fail}: what the program is told")
        t.check(packets, "denied: there is a handshake")
        t.equal(sum(len(packet.payload) for packet in packets), 0, f"denied, fails {fail}: bytes on the wire")
    with lab.capture() as capture:
        run = lab.run([lab.test_filter(peek_out=64, deny_when_seen=DENY_TEXT)],
                      lab.actor("say", TO4, 7, "x" * 60 + DENY_TEXT, 2))
        capture.stop()
        packets = capture.packets(lambda packet: packet.dst == TO4)
    t.check(all(DENY_TEXT.encode() not in packet.payload for packet in packets), "the text never leaves")


def check_datagrams(t, lab):
    for peek in (0, 64, 4096, 1 << 20):
        for address in (TO4, TO6):
            run = lab.run([lab.test_filter(peek_out=peek, peek_in=peek)],
                          lab.actor("datagrams", address, 7, 20, 700), fail="closed")
            t.equal(run.json()["n_equal"], 20, f"datagrams to {address}, {peek} at once: {run.stdout}")
    with lab.capture() as capture:
        run = lab.run([lab.test_filter(peek_out=4096, deny_when_seen=DENY_TEXT)],
                      lab.actor("say_datagram", TO4, 7, DENY_TEXT))
        capture.stop()
        packets = capture.packets(lambda packet: packet.dst == TO4)
    t.equal(run.json()["told"], ["0", "ECONNREFUSED"], "a denied datagram: what the program is told")
    t.equal(len(packets), 0, "a denied datagram: packets on the wire")


def check_left(t, lab):
    """its socket is closed before it was looked at: it is looked at all the same, and no SYN carries data"""
    lab.client.sysctl("ipv4/tcp_fastopen", 0x5)
    for way, to, text, fails in (("datagram", TO4, DENY_TEXT, "open"), ("datagram", TO6, DENY_TEXT, "closed"),
                                 ("fast_open", TO4, DENY_TEXT, "open"), ("datagram", TO4, "welcome", "closed")):
        with lab.capture() as wire:
            run = lab.run([lab.test_filter(peek_out=4096, deny_when_seen=DENY_TEXT, delay_ms=300)],
                          programs.command("ends", "leave", way, to, 0, text), fail=fails)
        t.equal(run.popen.returncode, 0, f"{way} to {to}, and closed: {run.stderr}")
        t.equal(wire.count(lambda packet: packet.dst == to and text.encode() in packet.payload), int(text == "welcome"),
                f"{way} to {to}, and closed, fails {fails}: {text}")


def check_waits(t, lab):
    """what takes seconds, side by side"""
    say = lab.actor("say", TO4, 7, "hello")
    waits = [(title, told, lab.start([lab.test_filter(peek_out=4096, **options)], say, fail=fail))
             for title, told, fail, options in (
                 ("no answer, fails closed", "ECONNABORTED", "closed", {"never_answer": 1}),
                 ("no answer, fails open", "0", "open", {"never_answer": 1}),
                 ("more is wanted and never comes, fails open", "0", "open", {"peek_more": 1000}),
                 ("a pause longer than a deadline", "0", "closed", {"pause_ms": 6000}),
                 ("a new flow paused longer than a deadline", "0", "closed", {"pause_new_ms": 6000}))]
    with lab.capture() as capture:
        run = lab.start([lab.test_filter(peek_out=4096, pause_ms=60000)],
                        lab.actor("say_datagram", PAUSED4, 7, "hello", "60"))
        changed = run.wait_flow(30, event="changed", dst=PAUSED4)
        capture.stop()
        packets = capture.packets(lambda packet: packet.dst == PAUSED4)
    run.end()
    t.equal(len(packets), 0, "UDP that stays paused: packets on the wire")
    t.check("longer than UDP waits" in changed["reason"], f"and the record says why: {changed}")
    for title, told, waiting in waits:
        waiting.wait()
        t.equal(waiting.json()["told"], ["0", "0", told], title)


def check_paused_twice(t, lab):
    run = lab.run([lab.test_filter(peek_out=4096, pause_ms=500, pause_twice=1)],
                  lab.actor("say", TO4, 7, "hello"), fail="closed")
    t.equal(run.json()["told"], ["0", "0", "0"], "paused twice: the second one is ignored")
    t.check("pauses a flow" in run.stderr, "paused twice: and told")


def check_several(t, lab):
    filters = [lab.test_filter(peek_out=64, peek_in=64), lab.test_filter(peek_out=4096), lab.test_filter(deny_port=9)]
    run = lab.run(filters, lab.actor("exchange", TO4, 7, SIZE), fail="closed")
    t.check(run.json()["is_equal"], "three filters, of which two look")
    with lab.capture() as capture:
        run = lab.run([lab.test_filter(peek_out=4, peek_all=1), lab.test_filter(peek_out=64, deny_when_seen=DENY_TEXT)],
                      lab.actor("say", TO4, 7, DENY_TEXT))
        capture.stop()
        packets = capture.packets(lambda packet: packet.dst == TO4)
    t.equal(run.json()["told"], ["0", "0", "ECONNABORTED"], "one passes, one denies")
    t.equal(sum(len(packet.payload) for packet in packets), 0, "one passes, one denies: bytes on the wire")


def check_inbound(t, lab):
    """a connection that comes in: what it brings, and what is answered"""
    told = os.path.join(lab.folder, "told")  # until then: the end of an instance does not wait for filters
    script = " ".join(lab.actor("serve_echo", 4848)) + f"; while ! [ -e {told} ]; do sleep 0.1; done"
    run = lab.start([lab.test_filter(peek_out=512, peek_in=512)], ["sh", "-c", script], fail="closed")
    wait_for(lambda: "listening" in run.stderr, 10, "the program to listen")
    sent = random.Random(5).randbytes(SIZE)
    with lab.connect_in(4848, within=20) as s:
        s.settimeout(20)
        s.sendall(sent[:100])
        got = s.recv(100)
        s.sendall(sent[100:])
        s.shutdown(1)
        while some := s.recv(65536):
            got += some
    wait_for(lambda: len(seen(run)[0]) == 2, 10, "the filter to see both ends")
    open(told, "w").close()
    run.wait()
    sides, wrong = seen(run)
    t.check(got == sent, "an inbound connection: what comes back")
    t.equal(wrong, [], "an inbound connection: offsets")
    for side in ("in", "out"):
        t.equal(sides.get(side, (0, 0))[:2], (SIZE, f"{zlib.crc32(sent):08x}"), f"an inbound connection, {side}")


def check_names(t, lab):
    """answers of name servers are read, and shown as everything else"""
    lab.dns().add("shown.example", "A", TO4, ttl=60)
    act = lab.actor("talk_to", "shown.example", 7)
    run = lab.run([lab.test_filter(peek_out=4096, peek_in=4096)], act, fail="closed")
    t.equal(run.json()["told"], "0", f"a name is resolved and used: {run.stdout}")
    t.equal([record["host"] for record in run.flows(dport=7, event="new")], ["shown.example"], "the flow's name")
    run = lab.run([lab.test_filter(peek_in=4096, deny_when_seen="shown", peek_port=53)], act, fail="closed")
    t.check(run.json()["told"] != "0", f"an answer is denied by what it carries: {run.stdout}")


def cut(data, size):
    return [(at, data[at:at + size], 0) for at in range(0, len(data), size)]


def shapes():
    """title, the bytes, the segments in the order of their sending, how the client ends"""
    source = random.Random(48)
    data = source.randbytes(2500)
    end = [(len(data), b"", FIN)]
    shuffled = cut(data, 100) + end
    source.shuffle(shuffled)
    forged = [(at, bytes(len(part)), 0) for at, part, _ in cut(data[:1000], 300)]
    yield "in order", data, cut(data, 500) + end, "0"
    yield "reordered, the end not last", data, shuffled, "0"
    yield "each twice", data, cut(data, 300) + cut(data, 300) + end + end, "0"
    yield "cut anew when sent again", data, cut(data, 300) + cut(data, 700) + end, "0"
    yield "one byte each", data[:150], cut(data[:150], 1) + [(150, b"", FIN)], "0"
    yield "with another copy of what is held", data, cut(data[:1000], 250) + forged + cut(data, 250) + end, "0"
    yield "data and end in one", data, cut(data[:2000], 500) + [(2000, data[2000:], FIN)], "0"
    yield "only an end", b"", [(0, b"", FIN)], "0"
    yield "a reset behind it", data[:500], cut(data[:500], 250) + [(500, b"", RST)], "ECONNRESET"


def check_segments(t, lab):
    """what comes in as no kernel of ours would send it"""
    lab.client.ip(f"route add {RAW}/32 via {SERVER4} dev uplink")
    for number, (title, data, segments, told) in enumerate(shapes()):
        for peek in (1, 4096):
            peer = RawPeer(lab.server, "wire", MAC[CLIENT4], RAW, 4000 + number, segments)
            run = lab.run([lab.test_filter(peek_out=peek, peek_in=peek)], lab.actor("collect", RAW, 4000 + number),
                          fail="closed")
            peer.close()
            result = run.json()
            sides, wrong = seen(run)
            crc = f"{zlib.crc32(data):08x}"
            t.equal(result["told"], told, f"{title}, {peek}: how it ends, after {result['n']} bytes")
            if told == "0":
                t.equal((result["n"], result["crc"]), (len(data), crc), f"{title}, {peek}: what arrives")
            t.equal(wrong, [], f"{title}, {peek}: offsets")
            t.equal(sides.get("in", (0, 0))[:2], (len(data), crc), f"{title}, {peek}: what was shown")


def lies():
    """what the other side sends at first, then instead of it, and which of the two arrives"""
    innocent, other = b"innocent", b"forbids!"
    shown = [(0, innocent, AHEAD)]  # our TCP discards it, and has been seen
    yield shown, [(0, other, 0)], innocent
    yield shown, [(4, other[4:] + b"...", 0)], innocent
    yield shown, [(0, innocent[:3], FIN), (3, b"", FIN)], innocent
    yield shown, [(0, innocent, URGENT), (8, b"", URGENT)], innocent
    yield [(0, innocent, DAMAGED)], [(0, other, 0)], other


def tell_lies(t, lab, first_port, title, **options):
    peers, wanted = [], {}
    for port, (first, instead, arrives) in enumerate(lies(), first_port):
        data = arrives + b" and the rest"
        honest = [(0, data, 0), (len(data), b"", FIN)]
        wanted[str(port)] = (str(len(data)), f"{zlib.crc32(data):08x}")
        peers.append(RawPeer(lab.server, "wire", MAC[CLIENT4], RAW, port, first, instead=[instead, instead, honest]))
    run = lab.run([lab.test_filter(**options)], lab.actor("collect_all", RAW, *wanted), fail="closed")
    for peer in peers:
        peer.close()
    found = [(str(result["n"]), result["crc"]) for result in run.json()]
    t.equal(found, list(wanted.values()), f"{title}: what arrives")
    lines = [line.split("seen ", 1)[1].split() for line in run.stderr.splitlines() if ": seen " in line]
    return wanted, {line[0]: (line[2], line[3]) for line in lines if line[1] == "in"}, seen(run)[1]


def check_changes(t, lab):
    """what was shown and got lost behind us is sent again, changed: only what was shown arrives"""
    wanted, shown, wrong = tell_lies(t, lab, 6000, "changed", peek_in=3)
    t.equal((shown, wrong), (wanted, []), "changed: what was shown")
    tell_lies(t, lab, 6010, "changed when the rest was let go", peek_in=8, peek_all=1)


def check_let_go(t, lab):
    """a stream is out of user space once what was shown is acknowledged, though its other way is looked at"""
    lab.http(80)
    size = 8_000_000
    command = " ".join(lab.actor("download", TO4, 80, f"/bytes/{size}")) + "; cat /proc/net/netfilter/nfnetlink_queue"
    filters = [lab.test_filter(peek_in=64, peek_all=1), lab.test_filter(peek_out=64)]
    got, *queues = lab.run(filters, ["sh", "-c", command], fail="closed").stdout.splitlines()
    n_held = sum(int(line.split()[7]) for line in queues)
    t.equal(json.loads(got)["size"], size, "a download of which 64 bytes are looked at")
    t.check(n_held < 60, f"of a stream that was let go {n_held} packets were held")


def check_retransmission(t, lab):
    """the other side does not hear our first bytes for a while"""
    peer = RawPeer(lab.server, "wire", MAC[CLIENT4], RAW, 5000, [(0, b"here", 0), (4, b"", FIN)], ignores_s=0.7)
    run = lab.run([lab.test_filter(peek_out=64, peek_in=64)], lab.actor("collect", RAW, 5000), fail="closed")
    peer.close()
    sides, wrong = seen(run)
    t.check(peer.n_again > 1, "the client sends its bytes again")
    t.equal(sides.get("out", (0, 0))[:2], (2, f"{zlib.crc32(b'go'):08x}"), "sent again, shown once")
    t.equal((run.json()["n"], wrong), (4, []), "sent again: the rest arrives")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        for check in (check_sizes, check_pieces, check_denied, check_datagrams, check_left, check_waits,
                      check_paused_twice, check_several, check_inbound, check_segments, check_changes, check_let_go,
                      check_retransmission, check_names):
            check(t, lab)


if __name__ == "__main__":
    main(scenario)
