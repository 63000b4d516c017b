#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""167 — relay, the bundled proxy: as if it were not there, or as if the link was slower

   [ client ns: curl, python ]──uplink──[ server ns: HTTP, echo ]
        └ sluice run --proxy relay:rate=…,delay=…,jitter=…,log=FILE
"""
import json

from lib import main

HOST4, HOST6 = "10.79.67.1", "fd00:79::67:1"
HOSTS = (HOST4, HOST6)
DELAY_MS = 150
RATE = 400_000  # bytes a second

# option → words of the refusal
WRONG = {"rate=0": 'rate: "0" is no number of bytes a second', "rate=5x": 'rate: "5x" is no number',
         "rate=-1": 'rate: "-1" is no number', "rate=": 'rate: "" is no number', "rate=9999G": 'rate: "9999G" is no number',
         "delay=0": 'delay: "0" is no number of ms from 1 to 60000', "delay=60001": 'delay: "60001" is no number',
         "delay=5k": 'delay: "5k" is no number', "jitter=5": "jitter: 5 ms are more than the delay of 0 ms",
         "delay=5,jitter=6": "jitter: 6 ms are more than the delay of 5 ms", "speed=5": 'has no option "speed"',
         "log=": "log= names no file", "log=/nowhere/log": "cannot open /nowhere/log"}


def run(lab, command, *options, **settings):
    return lab.run([], command, options=["--proxy", "relay" + (":" + ",".join(options) if options else "")], **settings)


def download(host, size):
    url = f"http://{'[' + host + ']' if ':' in host else host}/bytes/{size}"
    return ["curl", "-q", "-sS", "-m", "60", url, "-o", "/dev/null", "-w",
            "%{http_code} %{size_download} %{remote_ip} %{local_ip}"]


def check_plain(t, lab):
    for host in HOSTS:
        direct, relayed = lab.plain(download(host, 3000000)).stdout, run(lab, download(host, 3000000))
        t.equal(relayed.stdout, direct, f"{host}: status, bytes and addresses as of a direct connection")
        t.equal(relayed.wait_flow(dst=host, event="closed")["via"], "relay", f"{host}: who has had it")


def check_slow(t, lab):
    """nothing is earlier than the link allows; a rate is not only of one flow"""
    ends = [f"{host},{port}" for host in HOSTS for port in (7, 81)]
    for host, slow in zip(ends * 2, run(lab, lab.actor("connects", *ends), f"delay={DELAY_MS}").json()):
        t.check(slow["took"] >= 2 * DELAY_MS / 1000, f"{host}: connected after {slow['took']} s")
    told = run(lab, lab.actor("connects", *ends), f"delay={DELAY_MS}").json()
    t.equal([end["error"] for end in told], ["0", "0", "ECONNREFUSED", "ECONNREFUSED"] * 2, "errors over a slow link")
    for host in HOSTS:
        two = "& ".join(" ".join(lab.actor("half_download", host, 80, RATE)) + " " for _ in range(2))
        slow = run(lab, ["bash", "-c", f"time ({two}& wait)"], f"rate={RATE // 1000}k", "delay=20", "jitter=10")
        sizes = [int(line) for line in slow.stdout.split()]
        t.check(len(sizes) == 2 and min(sizes) > RATE, f"{host}: all of two answers: {slow.report()}")
        took = seconds(slow.stderr)
        t.note(f"{host}: {sum(sizes)} bytes at {RATE} a second took {took} s")
        t.check(took >= sum(sizes) / RATE, f"{host}: not faster than the link: {took} s")


def seconds(text):
    """of bash's time"""
    minutes, rest = next(line for line in text.splitlines() if line.startswith("real")).split()[1].split("m")
    return int(minutes) * 60 + float(rest.rstrip("s"))


def check_log(t, lab):
    for slow in ([], ["delay=10"]):
        path = lab.new_file("log")
        ran = run(lab, ["sh", "-c", f"{' '.join(lab.actor('half_download', HOST4, 80, 1000))} && "
                        f"{' '.join(lab.actor('abort', HOST6, 7, 500))} && "
                        f"{' '.join(lab.actor('abort', HOST6, 81, 500))}; sleep 1"], f"log={path}", *slow)
        with open(path) as file:
            lines = [json.loads(line) for line in file]
        flows = [ran.wait_flow(event="closed", dst=host, dport=port) for host, port in ((HOST4, 80), (HOST6, 7))]
        t.equal([line["id"] for line in lines], [flow["id"] for flow in flows],
                f"{slow}: a line for each flow that was opened")
        t.equal([(line["bytes_out"], line["bytes_in"]) for line in lines],
                [(flow["bytes_out"], flow["bytes_in"]) for flow in flows], f"{slow}: bytes")
        t.equal([(line["ended"], line.get("by")) for line in lines], [("closed", None), ("reset", "program")],
                f"{slow}: how they ended")


def check_left(t, lab):
    """closed while the other side says nothing; and a program that leaves before it is connected"""
    path = lab.new_file("log")
    ran = run(lab, ["sh", "-c", f"{' '.join(lab.actor('leave', HOST4, 7, 20))}; "
                    f"{' '.join(lab.actor('give_up', HOST4, 7, 0.1))}; {' '.join(lab.actor('connects', HOST4 + ',7'))}; "
                    "sleep 3"], f"log={path}", f"delay={DELAY_MS}")
    _, gave_up, ends = ran.jsons()
    t.equal(gave_up, {"error": "EINPROGRESS", "still": True}, "it leaves before it is connected")
    t.equal([end["error"] for end in ends], ["0", "0"], "flows after that")
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    t.equal(len(lines), 22, "lines: none of the one that was not opened")
    t.check({line["ended"] for line in lines} <= {"closed", "released"}, f"ends: {lines}")


def check_wrong(t, lab):
    for options, words in WRONG.items():
        ran = run(lab, ["true"], options)
        t.check(ran.popen.returncode == 125 and words in ran.stderr, f"{options}: {ran.report()}")


def scenario(t):
    t.needs("curl", "providers/relay")
    with t.lab() as lab:
        lab.http()
        lab.tcp_echo(7)
        check_plain(t, lab)
        check_slow(t, lab)
        check_log(t, lab)
        check_left(t, lab)
        check_wrong(t, lab)


if __name__ == "__main__":
    main(scenario)
