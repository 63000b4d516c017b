#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""144 — a user who opens very many flows does not change what another one has

   user 1001: flowgen, udp-once to --flows places, allowed and denied ──┐
   user 1002: a TCP stream, a UDP conversation, a denial, and an       ├─ one instance
              answer that is remembered; then again, and 500 connects ──┘
   strangers: 4000 connects to the control socket while `sluice status` asks
"""
import os
import re
import socket
import time

from lib import main
from lib.wait import wait_for

DENIED, ALLOWED = "10.79.44.1", "10.79.44.2"
FLOODED = "10.79.128.0"  # and as many addresses above it as flows go round
CROWD, OTHER = 1001, 1002
N_TIMED = 500
KEPT = """
import json, os, socket, sys, time
def told(s):
    try:
        s.send(b"x"); s.recv(9); return "0"
    except OSError as error:
        return os.strerror(error.errno)
def pair(kind, address):
    s = socket.socket(socket.AF_INET, kind); s.settimeout(20)
    s.connect((address, 7)); return s
def pause(path):
    open(path, "w").close()
    while os.path.exists(path): time.sleep(0.02)
stream, datagrams, denied = pair(1, "{allowed}"), pair(2, "{allowed}"), pair(2, "{denied}")
for path in sys.argv[1:]:
    print(json.dumps([told(stream), told(datagrams), told(denied)]), flush=True)
    pause(path)
"""


def as_user(uid, words):
    return " ".join(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *map(str, words)])


def timed(lab):
    return as_user(OTHER, lab.flowgen("tcp", ALLOWED, 7, N_TIMED))


def status_us(lab, instance):
    began = time.monotonic()
    answer = lab.sluice("status", "--instance", instance)
    return answer, int((time.monotonic() - began) * 1e6)


def check_strangers(t, lab, instance):
    """none of them may call, and root need not wait for them"""
    path = f"/run/sluice/{instance}/control"
    knock = ("import os, socket\nos.setuid(65534)\nn = 0\nfor i in range(4000):\n s = socket.socket(socket.AF_UNIX)\n"
             f" s.connect('{path}')\n n += i % 400 or b'NotPermitted' in s.recv(200)\nprint(n > 0)")
    _, alone_us = status_us(lab, instance)
    crowd = lab.start_plain(["/usr/bin/python3", "-c", knock])
    answer, us = status_us(lab, instance)
    t.equal(answer.popen.returncode, 0, "status among strangers")
    t.note(f"sluice status: alone {alone_us / 1000:.0f} ms, among strangers {us / 1000:.0f} ms")
    t.equal(crowd.wait(60), 0, "strangers are answered")


def scenario(t):
    with t.lab() as lab:
        lab.tcp_echo(7)
        lab.udp_echo(7)
        places = [lab.new_file("place") for _ in range(3)]
        script = lab.new_file("py", KEPT.replace("{allowed}", ALLOWED).replace("{denied}", DENIED))
        done = lab.new_file("done")
        os.chmod(lab.folder, 0o777)
        kept = as_user(OTHER, ["/usr/bin/python3", script, *places[:2]])
        # half of the places are denied; the stride is as wide as the lab's network allows
        flood = as_user(CROWD, lab.flowgen("udp-once", FLOODED, 7, t.flows, 32768))
        crowd_tcp = as_user(CROWD, lab.flowgen("tcp", DENIED, 7, t.flows // 20))
        command = (f"{kept} & while [ ! -e {places[0]} ]; do sleep 0.02; done; {timed(lab)}; {timed(lab)};"
                   f"{flood} & {crowd_tcp} & sleep 0.2; {timed(lab)}; wait %2; wait %3; rm {places[0]};"
                   f"while [ ! -e {places[1]} ]; do sleep 0.02; done;"
                   f"touch {done}; while [ -e {done} ]; do sleep 0.02; done; rm {places[1]}; wait")
        run = lab.start([lab.test_filter(deny_address=[DENIED, "10.79.192.0/18"], count=1)],
                        ["bash", "-c", command], fail="closed", has_records=False,
                        options=["--instance", "crowd144"])
        wait_for(lambda: os.path.exists(done), t.flows // 1000 + 60, "all flows")
        status = lab.sluice("status", "--instance", "crowd144", "--json").json()
        check_strangers(t, lab, "crowd144")
        os.unlink(done)
        t.equal(run.wait(30), 0, "exit status")
        lines = run.jsons()
        said = [line for line in lines if isinstance(line, list)]
        t.equal(said, [["0", "0", "Connection refused"]] * 2,
                "the other user's stream, conversation and denial, before and after")
        alone, warm, beside = [line for line in lines if isinstance(line, dict) and line["count"] == N_TIMED]
        for line in (alone, warm, beside):
            t.equal(line["errors"], {"0": N_TIMED}, "the other user's connects")
        t.note(f"{t.flows} flows of one user: {status['flows_total']} judged, another's connect p99 "
               f"{warm['p99_us']} us, meanwhile {beside['p99_us']} us; p50 {warm['p50_us']} and {beside['p50_us']} us")
        told = sum(line["count"] for line in lines if isinstance(line, dict)) - 3 * N_TIMED
        t.check(told >= t.flows, f"{told} flows were made")


if __name__ == "__main__":
    main(scenario, flows=100000)
