#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""182 — who says something of a proxy that cannot hold is told so, and no password is shown

   [ client ns: true ]
        └ sluice run --proxy socks:upstream=socks5://USER:PASSWORD@… --app …     nothing is started
"""
import json
import os

from lib import main
from lib.lab import SERVER4

COMMA = "in a user or password write a comma as %2C"
AT4, SILENT, ECHO, PORT = "10.79.82.1", "10.79.82.2", 7, 1080
SECRETS = ("sesame", "open")


def refused(t, lab, *options):
    """Return: what is said"""
    ran = lab.run([], ["true"], options=options)
    t.equal(ran.popen.returncode, 125, f"{options}: {ran.report()}")
    return ran.stderr


def check_comma(t, lab):
    """a password with a comma, which begins another option"""
    at = f"@{SERVER4}:1080"
    for password in ("x,sesame", "sesame,x", "sesame,open,x", "x,sesame=open", "x,,sesame"):
        said = refused(t, lab, "--proxy", f"socks:upstream=socks5://alice:{password}{at},timeout=5")
        t.check(COMMA in said, f"{password}: the next step: {said}")
        t.equal([secret for secret in SECRETS if secret in said], [], f"{password}: what is shown of it: {said}")
    said = refused(t, lab, "--proxy", f"socks:upstream=socks5://alice:open{at},timeuot=5")
    t.check('has no option "timeuot"; it has:' in said, f"an option behind it is named: {said}")
    long = "alice:" + "sesame" * 50
    said = refused(t, lab, "--proxy", f"socks:upstream=socks5://{long}{at}")
    t.check("the value of upstream is longer than 255 bytes" in said and "sesame" not in said, f"a long one: {said}")


def check_script(t, lab):
    """no flow is a script's: who names it would have them all go past the proxy"""
    folder = lab.new_file("programs")
    os.mkdir(folder)
    script = os.path.join(folder, "fetch")
    with open(script, "w") as file:
        file.write("#!/usr/bin/env python3\n")
    os.chmod(script, 0o755)
    os.symlink(script, script + "-link")
    ids = lab.new_file("map", f"org.example.fetch = {script}\n")
    settings = lab.new_file("settings", f"App = {script}\n")
    for options in (["--app", script], ["--app", script + "-link"], ["--app", script + ",uid=0"], ["--settings", settings]):
        said = refused(t, lab, "--proxy", "relay", *options)
        t.check(f"{script} is a script: flows are those of the program that runs it" in said, f"{options}: {said}")
    said = refused(t, lab, "--app-map", ids)
    t.check(f"{script} is a script" in said and f"{ids}:1: correct this line" in said, f"in a map: {said}")


def check_rules(t, lab):
    """one whose conditions do not go together, or whose value says too much, is shown as it was written"""
    for rule, why in (("remote=10.0.0.1/8", "bits behind"), ("remote_port=90-80", "ends before it begins"),
                      ("domain=.example", "a part that is empty"), ("uid=0,host=*.example", "a domain is a name")):
        said = refused(t, lab, "--proxy", "relay", "--exclude", rule)
        t.check(f"sluice: {rule}: " in said and why in said, f"{rule}: {said}")


def check_name(t, lab):
    """one of two upstreams whose name has no address: the other one has the flows, also in front of it"""
    lab.dns()
    lab.tcp_echo(ECHO)
    lab.proxy("socks5", PORT)
    unknown, known = f"upstream=socks5://gone.example.com:{PORT}", f"upstream=socks5://{SERVER4}:{PORT}"
    for options in (f"{unknown},{known}", f"{known},{unknown}"):
        flows = lab.new_file("flows")
        ran = lab.sluice("run", "--flows", flows, "--proxy", "socks:" + options, "--",
                         *lab.actor("connects", f"{AT4},{ECHO}"))
        t.equal(ran.popen.returncode, 0, f"{options}: {ran.report()}")
        t.equal([end["error"] for end in ran.json()], ["0", "0"], f"{options}: by the other one")
        t.check('upstream: cannot look up "gone.example.com"' in ran.stderr, f"{options}: it is told: {ran.stderr}")
        with open(flows) as file:
            had = [json.loads(line) for line in file]
        t.equal({flow["via"] for flow in had if flow["dport"] == ECHO}, {"socks"}, f"{options}: who has them")
    ran = lab.sluice("run", "--proxy", f"socks:{unknown},{unknown}", "--", "true")
    t.equal(ran.popen.returncode, 125, f"none is known: {ran.report()}")
    t.check('sluice: proxy socks: upstream: cannot look up "gone.example.com"' in ran.stderr, f"none is known: {ran.stderr}")


def check_silent_name_server(t, lab):
    """it is told, and in time: who takes longer to start is killed, and says nothing"""
    lab.server.ip(f"route add blackhole {SILENT}/32 table local")
    resolver = lab.new_file("resolv.conf", f"nameserver {SILENT}\nnameserver {SILENT}\nsearch a.example b.example\n")
    for others, status in (("", 125), (f",upstream=socks5://{SERVER4}:{PORT}", 0)):
        spec = f"socks:upstream=socks5://proxy.example.com:{PORT}{others}"
        words = [lab.path("tests/providers/with-resolver"), resolver, lab.path("sluice"), "run", "--proxy", spec, "--",
                 *lab.actor("connects", f"{AT4},{ECHO}")]
        ran = lab.plain(words)
        t.equal(ran.popen.returncode, status, f"{others}: {ran.report()}")
        t.check('upstream: cannot look up "proxy.example.com": ' in ran.stderr and "killed" not in ran.stderr,
                f"{others}: why: {ran.stderr}")


def scenario(t):
    t.needs("providers/socks")
    with t.lab() as lab:
        check_comma(t, lab)
        check_script(t, lab)
        check_rules(t, lab)
        check_name(t, lab)
        check_silent_name_server(t, lab)


if __name__ == "__main__":
    main(scenario)
