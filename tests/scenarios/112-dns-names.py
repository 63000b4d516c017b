#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""112 — names come from the DNS answers that the application itself got

   [ client ns: dig, curl, python ]──uplink──[ server ns: DNS :53 UDP+TCP, HTTP :80 ]
        └ CNAME chains, truncated answers over TCP, TTL, an address with two names;
   an answer that nobody asked for gives no name
"""
from lib import main

FLOW = "import socket,sys,time\n"
CONNECT = "socket.create_connection(('{address}', 80), 5).close()\n"


def python(lab, *lines):
    return ["/usr/bin/python3", "-c", FLOW + "".join(lines)]


def host_of(t, run, address, number=0):
    t.equal(run.popen.returncode, 0, f"exit status; {run.stderr}")
    run.wait_flow(dst=address, event="new", proto="tcp")
    return run.flows(dst=address, event="new", proto="tcp")[number]


def check_dig(t, lab, permissive):
    for words in (["dig", "+short", "chain.example"], ["dig", "+tcp", "+short", "chain.example"]):
        run = lab.run([permissive], words)
        t.equal(run.stdout.split(), ["middle.example.", "end.example.", "10.79.12.1"], f"{words}")


def check_chain(t, lab):
    """the name asked for counts, not the ones on the way"""
    run = lab.run([lab.test_filter(deny_host="chain.example")],
                  ["curl", "-q", "-sS", "-m", "10", "http://chain.example/"])
    t.check(run.popen.returncode != 0, "a denied alias must fail")
    record = run.wait_flow(dst="10.79.12.1", event="new")
    t.equal((record["host"], record["host_source"], record["verdict"]),
            ("chain.example", "dns", "drop"), "alias")


def check_truncated(t, lab, permissive):
    """the UDP answer is cut, the resolver asks again over TCP"""
    run = lab.run([permissive], ["curl", "-q", "-sS", "-m", "10", "http://big.example/"])
    record = host_of(t, run, "10.79.12.2")
    t.equal(record["host"], "big.example", "name from an answer over TCP")
    t.check(("big.example", 1, "tcp") in lab.zone.queries, "the question came over TCP")


def check_expiry(t, lab, permissive):
    """after its TTL, and two seconds of grace, an answer no longer names the address"""
    connect = CONNECT.format(address="10.79.12.3")
    run = lab.run([permissive], python(lab, "socket.gethostbyname('short.example')\n", connect,
                                       "time.sleep(4)\n", connect))
    t.equal(host_of(t, run, "10.79.12.3", 0)["host"], "short.example", "within the TTL")
    second = host_of(t, run, "10.79.12.3", 1)
    t.check(not second["host"] and second["host_source"] == "none",
            f"three seconds after a TTL of 1: {second['host']!r}")


def check_two_names(t, lab):
    """one address, two names: the newest answer names the flow"""
    lookup = "socket.gethostbyname('{name}')\n"
    connect = CONNECT.format(address="10.79.12.4")
    run = lab.run([lab.test_filter()], python(lab, lookup.format(name="one.example"), connect,
                                              lookup.format(name="two.example"), connect))
    t.equal(host_of(t, run, "10.79.12.4", 0)["host"], "one.example", "first flow")
    t.equal(host_of(t, run, "10.79.12.4", 1)["host"], "two.example", "second flow")


def check_forged(t, lab, permissive):
    """a stranger's answer comes first, from the right end but without the question's id"""
    run = lab.run([permissive], python(lab, "print(socket.gethostbyname('true.example'))\n",
                                       CONNECT.format(address="10.79.12.6"),
                                       CONNECT.format(address="10.79.12.7")))
    t.equal(run.stdout.split(), ["10.79.12.6"], "what the resolver believes")
    t.equal(host_of(t, run, "10.79.12.6")["host"], "true.example", "the true answer names its address")
    t.check(not host_of(t, run, "10.79.12.7")["host"], "the forged answer names nothing")


def check_unknown(t, lab, permissive):
    run = lab.run([permissive], python(lab, CONNECT.format(address="10.79.12.5")))
    record = host_of(t, run, "10.79.12.5")
    t.check(not record["host"] and record["host_source"] == "none", "an address never asked for")


def scenario(t):
    t.needs("dig", "curl")
    with t.lab() as lab:
        zone = lab.dns()
        zone.add("chain.example", "CNAME", "middle.example", ttl=60)
        zone.add("middle.example", "CNAME", "end.example", ttl=60)
        zone.add("end.example", "A", "10.79.12.1", ttl=60)
        zone.add("big.example", "A", "10.79.12.2")
        zone.truncated.add("big.example")
        zone.add("short.example", "A", "10.79.12.3", ttl=1)
        zone.add("one.example", "A", "10.79.12.4")
        zone.add("two.example", "A", "10.79.12.4")
        zone.add("true.example", "A", "10.79.12.6")
        zone.forged["true.example"] = "10.79.12.7"
        lab.http()
        permissive = lab.test_filter()
        check_dig(t, lab, permissive)
        check_chain(t, lab)
        check_truncated(t, lab, permissive)
        check_expiry(t, lab, permissive)
        check_two_names(t, lab)
        check_forged(t, lab, permissive)
        check_unknown(t, lab, permissive)


if __name__ == "__main__":
    main(scenario)
