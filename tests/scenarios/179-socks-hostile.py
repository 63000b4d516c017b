#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""179 — upstream proxies that lie, hang, flood and leave: an error in time, and the provider lives

   [ client ns: python ]──uplink──[ server ns: proxies that say what they are told to, by TLS or without ]
        └ sluice run --proxy socks:upstream=socks5://…,timeout=1
"""
import os

from lib import main
from lib.socks import provider, run, start, url
from lib.wait import wait_for

HOST4, ECHO = "10.79.79.1", 7
HOSTILE, MUTE, PLAIN = 3080, 6080, 1080
TIMEOUT_S = 1
LATER_S = 1.5  # a busy machine

GOOD_HEAD = b"HTTP/1.1 200 OK\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
TLS_RECORD = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # the beginning of the largest hello that there is
# name, scheme, what the proxy says, pause between, does it leave then; "inside": of TLS, which is as it should be
HOSTILES = (
    ("garbage", "socks5", [os.urandom(64).replace(b"\x05", b"\x06")], 0, True),
    ("garbage", "http", [b"\xff" * 64], 0, True),
    ("another protocol", "socks5", [b"HTTP/1.1 400 Bad Request\r\n\r\n"], 0, False),
    ("another protocol", "http", [b"\x05\x00"], 0, False),
    ("no TLS", "https", [b"HTTP/1.1 200 OK\r\n\r\n"], 0, False),
    ("half an answer", "socks5", [b"\x05\x00", b"\x05\x00\x00\x01\x0a"], 0.2, True),
    ("half an answer", "http", [GOOD_HEAD], 0, True),
    ("nothing", "socks5", [], 0, False),
    ("nothing", "https", [], 0, False),
    ("a byte a second", "socks5", [bytes([byte]) for byte in b"\x05\x00\x05\x00\x00\x01" + bytes(6)], 1, False),
    ("a byte a second", "http", [bytes([byte]) for byte in GOOD_HEAD + b"\r\n"], 1, False),
    ("a huge head", "http", [GOOD_HEAD] + [b"A: " + b"x" * 60000 + b"\r\n"] * 50, 0, False),
    ("a head without end", "http", [GOOD_HEAD] + [b"A: b\r\n" * 1000] * 500, 0, False),
    ("nothing but beginnings", "http", [GO_ON * 1000] * 100, 0, False),
    ("a flood", "socks5", [b"\x05\x00"] + [b"\x05\x00\x00\x07" * 10000] * 100, 0, False),
    ("garbage", "https", [bytes(64)], 0, False),
    ("half a hello", "https", [TLS_RECORD], 0, True),
    ("a byte a second", "https", [bytes([byte]) for byte in TLS_RECORD], 1, False),
    ("a flood", "https", [TLS_RECORD] + [bytes(65536)] * 50, 0, False),
    ("garbage", "inside", [b"\xff" * 64], 0, False),
    ("half an answer", "inside", [GOOD_HEAD], 0, True),
    ("a byte a second", "inside", [bytes([byte]) for byte in GOOD_HEAD + b"\r\n"], 1, False),
    ("a huge head", "inside", [GOOD_HEAD] + [b"A: " + b"x" * 60000 + b"\r\n"] * 50, 0, False),
    ("a head without end", "inside", [GOOD_HEAD] + [b"A: b\r\n" * 1000] * 500, 0, False),
)
# what flow records say of them
WHY = {"garbage": "does not speak", "another protocol": "does not speak", "no TLS": "does not speak TLS",
       "half an answer": "the connection", "half a hello": "the connection", "nothing": "does not answer in time",
       "a byte a second": "does not answer in time", "a huge head": "more than 16 KB", "a head without end": "more than 16 KB",
       "nothing but beginnings": "more than 16 KB", "a flood": ""}


def hostile(lab, i):
    """Return: it, running, and its URL"""
    _, kind, chunks, pause_s, is_rude = HOSTILES[i]
    if kind == "inside":
        return (lab.proxy("secure_says", HOSTILE + i, lab.certificate, chunks, pause_s, is_rude), url("https", HOSTILE + i))
    return lab.proxy("says", HOSTILE + i, chunks, pause_s, is_rude), url(kind, HOSTILE + i)


def check_hostile(t, lab):
    """nobody waits longer than the handshake may take, and the provider lives"""
    for i, (name, kind, _, _, is_rude) in enumerate(HOSTILES):
        server, where = hostile(lab, i)
        go = lab.new_file("go")
        act = " ".join(lab.actor("connects", f"{HOST4},{ECHO},slow"))
        ran = start(lab, provider(lab, where, timeout=TIMEOUT_S),
                    ["sh", "-c", f"{act}; {act}; while [ ! -e {go} ]; do sleep 0.1; done"])
        pid = ran.wait_pid("socks")
        wait_for(lambda: ran.stdout.count("\n") == 2, 30, "all four to end")
        t.equal(ran.pids("socks"), [pid], f"{name}, {kind}: the provider lives")
        open(go, "w").close()
        t.equal(ran.wait(30), 0, f"{name}, {kind}: exit status")
        ends = [end for line in ran.jsons() for end in line]
        t.equal([end["error"] for end in ends], ["ECONNREFUSED"] * 4, f"{name}, {kind}")
        t.check(max(end["took"] for end in ends) < TIMEOUT_S + LATER_S, f"{name}, {kind}: {ends}")
        t.check(server.n_served >= 4, f"{name}, {kind}: it was asked")
        reasons = {flow["reason"] for flow in ran.flows(proto="tcp")}
        why = {WHY[name], "broke the connection off" if is_rude else WHY[name]}  # a reset overtakes what was said
        t.check(all(any(words in reason for words in why) for reason in reasons), f"{name}, {kind}: why: {reasons}")


def check_silent(t, lab):
    """asked for a flow, it says nothing, as one does whose destination gives no answer: the program's timer decides"""
    for i, (kind, server) in enumerate((("http", lab.proxy("says", MUTE, [])),
                                        ("https", lab.proxy("secure_says", MUTE + 1, lab.certificate, [])),
                                        ("socks5", lab.proxy("says", MUTE + 2, [b"\x05\x00"])))):
        found = run(lab, provider(lab, url(kind, MUTE + i), timeout=TIMEOUT_S),
                    lab.actor("connects", f"{HOST4},{ECHO},slow"))
        t.equal([end["error"] for end in found.json()], ["ETIMEDOUT"] * 2, f"{kind}: a proxy that says nothing")
        wait_for(lambda server=server: server.n_left == 2, 20, f"{kind}: the provider to leave its proxy")


def check_behind_hostile(t, lab):
    """a good one behind a bad one: it works"""
    for i, (name, kind, *_) in enumerate(HOSTILES):
        if kind == "inside" or name not in ("garbage", "half an answer", "nothing", "a huge head"):
            continue
        found = run(lab, provider(lab, url(kind, HOSTILE + i), url("socks5", PLAIN), timeout=1),
                    lab.actor("connects", f"{HOST4},{ECHO}"))
        t.equal([end["error"] for end in found.json()], ["0", "0"], f"behind {name}, {kind}")


def scenario(t):
    t.needs("openssl", "providers/socks")
    with t.lab() as lab:
        lab.tcp_echo(ECHO)
        lab.client.sysctl("ipv4/tcp_syn_retries", 1)
        lab.certificate = lab.make_proxy_certificate()
        lab.proxy("socks5", PLAIN)
        check_hostile(t, lab)
        check_silent(t, lab)
        check_behind_hostile(t, lab)


if __name__ == "__main__":
    main(scenario)
