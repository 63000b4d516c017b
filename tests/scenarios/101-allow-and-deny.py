#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""101 — real clients reach allowed names and are refused blocked ones

   [ client ns: curl wget dig nc ]──uplink──[ server ns: DNS :53, HTTP :80, echo :7 ]
        └ sluice run --filter blocklist:list=…
             blocked.example and everything below it
"""
from lib import main

LIST = """# domains that scenarios block
blocked.example
0.0.0.0 hosts-form.example
"""


def fill(zone):
    for number, name in enumerate(("good.example", "blocked.example", "sub.blocked.example",
                                   "notblocked.example", "hosts-form.example"), 1):
        zone.add(name, "A", f"10.79.1.{number}")
        zone.add(name, "AAAA", f"fd00:79::1:{number}")


def clients(name):
    return (["curl", "-q", "-sS", "-m", "10", f"http://{name}/"],
            ["curl", "-q", "-sS", "-6", "-m", "10", f"http://{name}/"],
            ["wget", "-q", "-t", "1", "-T", "10", "-O", "-", f"http://{name}/"],
            ["sh", "-c", f"echo hello | nc -N -w 10 {name} 7 | grep hello"])


def scenario(t):
    t.needs("curl", "wget", "dig", "nc", "providers/blocklist")
    with t.lab() as lab:
        fill(lab.dns())
        lab.http()
        lab.tcp_echo(7)
        blocklist = "blocklist:list=" + lab.new_file("list", LIST)

        for name in ("good.example", "notblocked.example"):
            for command in clients(name):
                run = lab.run([blocklist], command)
                t.equal(run.popen.returncode, 0, f"{command}: exit status")
                t.check("hello" in run.stdout, f"{command}: got the page")
                t.equal(run.wait_flow(host=name, event="new")["verdict"], "allow", f"{command}: verdict")

        for name in ("blocked.example", "sub.blocked.example", "hosts-form.example"):
            for command in clients(name):
                with lab.capture() as wire:
                    run = lab.run([blocklist], command)
                t.check(run.popen.returncode != 0, f"{command}: must fail")
                t.equal(wire.count(lambda p: p.dst.startswith(("10.79.1.", "fd00:79::1:"))), 0,
                        f"{command}: packets that left")
                record = run.wait_flow(host=name, event="new")
                t.equal(record["verdict"], "drop", f"{command}: verdict")
                t.check(record["provider"] and record["reason"], f"{command}: who and why: {record}")

        run = lab.run([blocklist], ["dig", "+short", "blocked.example"])
        t.equal(run.stdout.strip(), "10.79.1.2", "dig: the answer itself is not touched")
        again(t, lab)


def again(t, lab):
    """of one socket, each connection is a conversation of its own, also to the same peer"""
    for filter_, told in ((lab.test_filter(), "0"), (lab.test_filter(deny_port=7), "ECONNREFUSED")):
        run = lab.run([filter_], lab.actor("connect_again", 7, *["10.79.1.1"] * 3))
        t.equal(run.json()["told"], [told] * 3, "one socket: connects")
        t.equal(len(run.flows(dst="10.79.1.1", dport=7, event="new")), 3, "one socket: each is judged")


if __name__ == "__main__":
    main(scenario)
