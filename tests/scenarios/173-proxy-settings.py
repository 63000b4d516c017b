#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""173 — what a user says of a proxy: applications, included and excluded flows, changed while flows live

   [ client ns: two copies of flowgen, curl ]──uplink──[ server ns: echo :7 :909, HTTP :80, DNS :53 ]
        └ sluice run --proxy test-proxy --app … --include … --exclude … --settings FILE
"""
import json
import os
import re
import shlex
import shutil

from lib import machine, main
from lib.capture import Capture
from lib.lab import WIDE4, WIDE6
from lib.wait import wait_for

HOSTS = ["10.79.73.1", "fd00:79::73:1"]
OTHER, OTHER6 = "10.79.73.2", "fd00:79::73:2"
DENIED = "ECONNREFUSED"
PYTHON = "/usr/bin/python3"


class Place:
    """of this scenario: two programs that are not installed, and what they are asked to do"""

    def __init__(self, lab):
        self.lab = lab
        self.instance = f"set{os.getpid()}"
        self.programs = []
        for name in ("meant", "other"):
            self.programs.append(os.path.join(lab.folder, name))
            shutil.copy(lab.path("tests/providers/flowgen"), self.programs[-1])
        self.prefix = lab.seen_path("")  # the programs' root, from that of who looks

    def flow(self, program, address=HOSTS[0], port=7, proto="tcp", timeout_ms=3000):
        words = [str(word) for word in (proto, address, port, 1, 1, timeout_ms)]
        return " ".join([self.programs[program], *words])

    def run(self, lines, options=(), proxy="test-proxy", filters=(), fail=None, **proxy_options):
        """Return: what each line's flow got, who had it, and the run"""
        spec = self.lab.path("tests/providers/" + proxy)
        spec += "".join((",:"[i == 0]) + f"{key.replace('_', '-')}={value}"
                        for i, (key, value) in enumerate(proxy_options.items()))
        ran = self.lab.run(filters, ["sh", "-c", "; ".join(lines)], fail=fail,
                           options=["--instance", self.instance, "--proxy", spec, *options])
        got = [list(json.loads(line)["errors"])[0] for line in ran.stdout.splitlines() if line.startswith("{")]
        def flows():  # beside a filter the proxy's own are flows as well
            return [flow for flow in ran.flows(event="new") if not flow.get("through")]

        wait_for(lambda: len(flows()) >= len(lines), 5, "a record of each flow") if got else None
        return got, [flow["via"] for flow in sorted(flows(), key=lambda flow: flow["id"])][:len(got)], ran


def check_apps(t, place):
    """flows of one application alone, whatever its address, protocol and name"""
    lines = [place.flow(program, host, proto=proto) for host in HOSTS for proto in ("tcp", "udp") for program in (0, 1)]
    for option in (["--app", place.programs[0]], ["--app", "exe=" + place.prefix + place.programs[0]],
                   ["--app", "/usr/../bin/true", "--app", place.programs[0] + ",uid=0"]):
        got, via, ran = place.run(lines, option)
        t.equal(got, ["0"] * len(lines), f"{option}: all arrive {ran.stderr}")
        t.equal(via, ["test-proxy", None] * (len(lines) // 2), f"{option}: who has them")
    os.symlink(place.programs[0], place.programs[0] + "-link")
    t.equal(place.run(lines[:2], ["--app", place.programs[0] + "-link"])[1], ["test-proxy", None], "a link to it")
    got, via, _ = place.run([place.flow(0), f"curl -q -s -o /dev/null -w '{{\"errors\": {{\"%{{http_code}}\": 1}}}}\\n' http://{HOSTS[0]}/"],
                            ["--app", "curl"])
    t.equal((got, via), (["0", "200"], [None, "test-proxy"]), "a program of $PATH")


def check_kinds(t, place):
    """what a proxy of applications declines is refused; what is of other programs is none of its"""
    lines = [place.flow(0), place.flow(1), place.flow(0, port=909)]
    for proxy, declined in (("app-proxy", DENIED), ("test-proxy", "0")):
        got, via, _ = place.run(lines, ["--app", place.programs[0]], proxy, decline=909)
        t.equal((got, via), (["0", "0", declined], [proxy, None, None]), f"{proxy} declines port 909")


def check_down(t, place):
    """one that does not answer: its applications are cut off where it fails closed, and nobody else"""
    lines = [place.flow(1), place.flow(0, timeout_ms=15000), place.flow(1)]
    for fail, wanted in (("closed", DENIED), ("open", "0")):
        got, via, _ = place.run(lines, ["--app", place.programs[0]], "hostile-proxy", fail=fail, attempt="silent")
        t.equal((got, via), (["0", wanted, "0"], [None] * 3), f"it is silent, and fails {fail}")


def check_map(t, place):
    """ids for programs that are not installed (4.18a): by path, from the file on, several, by conditions"""
    lab = place.lab
    ids = lab.new_file("map", f"# a comment\n\norg.example.one={place.programs[0]}\norg.example.two = ./other\n"
                              f"org.example.both = meant\n  org.example.both = ./other\norg.example.user=uid=0,remote_port=7\n"
                              "org.example.nobody = uid=4294967294\n")
    lines = [place.flow(0), place.flow(1)]
    for name, wanted in (("one", [True, False]), ("two", [False, True]), ("both", [True, True]), ("user", [True, True]),
                         ("nobody", [False, False]), ("both,uid=0", [True, True]), ("both,uid=1", [False, False])):
        got, via, ran = place.run(lines, ["--app-map", ids, "--app", "org.example." + name], "app-proxy")
        t.equal((got, [one is not None for one in via]), (["0", "0"], wanted), f"{name} {ran.stderr}")


BAD_MAPS = {"org.example.one": ":1: ", "\n\n= /bin/true": ":3: ", "a=": ":1: ", "a=/nowhere/at/all": "/nowhere/at/all: No such file",
            "a = /etc/passwd": "no program", "a=/etc": "no program", "a b=/bin/true": "an id has", "é=/bin/true": "an id has",
            "a" * 128 + "=/bin/true": "an id has", "a=/bin/true\n" + "#" * 1100: ":2: ", "a=uid=nobody-at-all": "no such user",
            "a=colour=red": "no condition", "a=uid=1,": "WORD=VALUE", "a=exe=bin": "does not begin with /",
            "a=host=b,domain=c": "one of the two", "a=remote=10.0.0.1/8": "bits behind", "a=cgroup=x": "does not begin with /"}


def refused(lab, options):
    """of `sluice run`, before anything is started. Return: what it says"""
    ran = lab.run([], ["true"], options=options)
    return ran.stderr if ran.popen.returncode == 125 else f"it was not refused: {ran.report()}"


def check_bad_maps(t, place):
    lab, proxy = place.lab, place.lab.path("tests/providers/test-proxy")
    for text, wanted in BAD_MAPS.items():
        path = lab.new_file("map", text)
        said = refused(lab, ["--app-map", path, "--proxy", proxy, "--app", "a"])
        t.check(wanted in said and re.search(re.escape(path) + r":\d+: correct this line", said),
                f"{text[:40]!r}: {said}")
    path = lab.new_file("map", "a=/bin/true\n")
    for options, wanted in ((["--app-map", "/nowhere"], "cannot read /nowhere"), (["--app-map", "/"], "directory"),
                            (["--app-map", path, "--app-map", path], "one application map only"),
                            (["--app-map", path, "--proxy", proxy, "--app", "b"], "no application is called \"b\""),
                            (["--proxy", proxy, "--app", "a"], "--app-map, which comes first"),
                            (["--app", "a"], "--app comes behind the --proxy"), (["--exclude", "uid=0"], "--exclude comes behind"),
                            (["--filter", lab.test_filter(), "--settings", path], "--settings comes behind")):
        said = refused(lab, options)
        t.check(wanted in said, f"{options}: {said}")


def check_rules(t, place):
    """each condition; what is excluded is looked at first"""
    lab = place.lab
    cgroup = place.run([place.flow(0)])[2].wait_flow()["cgroup"]
    lines = [place.flow(0), place.flow(1), place.flow(0, HOSTS[1]), place.flow(0, OTHER, 909), place.flow(0, proto="udp"),
             "setpriv --reuid 4242 " + place.flow(0)]
    everything, exe = "111111", place.prefix + place.programs[0]
    for options, wanted in ((["--include", f"remote={HOSTS[0]}"], "110011"), (["--exclude", "remote=10.79.73.0/24"], "001000"),
                            (["--include", "remote_port=1-99"], "111011"), (["--exclude", "protocol=udp"], "111101"),
                            (["--include", f"exe={exe},protocol=tcp"], "101101"), (["--include", "uid=4242"], "000001"),
                            (["--include", "interface=uplink"], everything), (["--include", "interface=uplin"], "000000"),
                            (["--include", "cgroup=" + cgroup], everything), (["--exclude", "cgroup=" + os.path.dirname(cgroup)], "000000"),
                            (["--include", "cgroup=" + cgroup + "x"], "000000"), (["--include", "local=10.0.0.0/8"], "110111"),
                            (["--include", "remote=10.0.0.0/8", "--exclude", "remote_port=909"], "110011"),
                            (["--include", "remote_port=909", "--include", "uid=4242", "--exclude", "exe=/nowhere"], "000101"),
                            (["--app", place.programs[0], "--exclude", "uid=4242,direction=outbound"], "101110"),
                            (["--exclude", f"exe={exe}"], "010000"), (["--app", "cgroup=" + cgroup], everything), ([], everything)):
        got, via, ran = place.run(lines, options)
        t.equal((set(got), "".join(str(int(one is not None)) for one in via)), ({"0"}, wanted), f"{options} {ran.stderr}")
    got, via, _ = place.run(lines[:4], ["--include", "remote_port=1-99"], to="10.79.73.0/24", filters=[lab.test_filter()])
    t.equal(via, ["test-proxy", "test-proxy", None, None], "with rules of the proxy: a flow is meant by both")


def check_names(t, place):
    """a domain: names as this program has learnt them"""
    lab = place.lab
    zone = lab.dns()
    zone.add("a.meant.example", "A", HOSTS[0])
    zone.add("b.example", "A", OTHER)
    flows = "\n".join(f"import socket; socket.create_connection(({name!r}, 7), 5).close()" for name in ("a.meant.example", "b.example"))
    ran = lab.run([], [PYTHON, "-c", flows],
                  options=["--proxy", lab.path("tests/providers/test-proxy"), "--include", "domain=Meant.example"])
    t.equal([ran.wait_flow(dst=host, dport=7)["via"] for host in (HOSTS[0], OTHER)], ["test-proxy", None], f"by domain {ran.stderr}")
    ran = lab.run([], [PYTHON, "-c", flows],
                  options=["--proxy", lab.path("tests/providers/app-proxy") + ":decline=7", "--app", PYTHON + ",host=b.example"])
    t.check("ConnectionRefusedError" in ran.stderr, f"refused: {ran.stderr}")
    t.equal([ran.wait_flow(dst=host, dport=7)["verdict"] for host in (HOSTS[0], OTHER)], ["allow", "drop"], "an application and a name")


# ---- changes ----

class Stays:
    """a program with connections that stay, one more each step"""

    def __init__(self, place, n, options, **proxy_options):
        self.place, self.folder, self.n_done = place, place.lab.new_file("stays"), 0
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o777)
        spec = place.lab.path("tests/providers/test-proxy")
        spec += "".join((",:"[i == 0]) + f"{key.replace('_', '-')}={value}" for i, (key, value) in enumerate(proxy_options.items()))
        self.ran = place.lab.start([], place.lab.actor("stay", self.folder, HOSTS[0], 7, n),
                                   options=["--instance", place.instance, "--proxy", spec, *options])

    def step(self):
        open(f"{self.folder}/go-{self.n_done}", "w").close()
        wait_for(lambda: os.path.exists(f"{self.folder}/done-{self.n_done}") or self.ran.popen.poll() is not None, 20, "a step")
        self.n_done += 1

    def chosen(self, n=0):
        """what is in force"""
        told = self.place.lab.sluice("rules", "--json", "--instance", self.place.instance).stdout
        return told and json.loads(told)["filters"][n]["chosen"]

    def vias(self):
        self.ran.wait()
        flows = sorted(self.ran.flows(event="new", dport=7), key=lambda flow: flow["id"])
        return [flow["via"] and 1 for flow in flows]


def write(path, text):
    """as editors do it"""
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


def check_live(t, place):
    """the file of settings changes: what is open stays where it is, and flows to come meet the new ones"""
    path = place.lab.new_file("settings", f"# first\nExclude = remote={HOSTS[0]}\n")
    stays = Stays(place, 6, ["--exclude", "remote_port=9", "--settings", path])
    stays.ran.wait_pid("test-proxy")
    texts = [None, f"Include=remote={HOSTS[0]},remote_port=7\n", "Include=remote_port=7\nExclude=remote=10.79.73.1/24\n",
             None, f"App={place.programs[0]}\n", "# nothing\n"]
    numbers = [(0, 2, "ask"), (0, 2, "allow"), (0, 2, "allow"), (0, 2, "allow"), (1, 1, "ask"), (0, 1, "ask")]
    for i, (text, wanted) in enumerate(zip(texts, numbers)):
        if text:
            write(path, text)
        if i == 2:
            wait_for(lambda: "settings of before stay" in stays.ran.stderr, 20, "a change to be refused")
            t.check(f"{path}:2: correct this line" in stays.ran.stderr, f"with its line: {stays.ran.stderr}")
        if i == 3:
            os.unlink(path)

        def is_in_force():
            now = stays.chosen()
            return now and (len(now["apps"]["rules"]), len(now["flows"]["rules"]), now["flows"]["otherwise"]) == wanted
        wait_for(is_in_force, 20, f"settings {i} to be in force")
        stays.step()
    t.equal(stays.vias(), [None, 1, 1, 1, None, 1], "who has each connection")
    t.equal(stays.ran.json(), [["0"] * (2 + i) for i in range(6)], "each of them goes on")


def check_live_by_proxy(t, place):
    """the proxy changes its own rules; wrong ones, and what is not supported, change nothing"""
    stays = Stays(place, 2, [], switch=7, next_not="10.79.73.0/24", bad=8)
    stays.step()
    wait_for(lambda: "rules done: 0 0" in stays.ran.stderr, 10, "the rules to be in force")
    stays.step()
    t.equal((stays.vias(), stays.ran.json()), ([1, None], [["0"] * 2, ["0"] * 3]), "a flow that is open, and one to come")
    got, via, ran = place.run([place.flow(0, port=909), place.flow(0), place.flow(0, HOSTS[1])], bad=909, to="10.0.0.0/8")
    t.check("bad rules: rule 1: not an address" in ran.stderr and "bad settings: unsupported field dns_servers" in ran.stderr,
            f"told so: {ran.stderr}")
    t.equal((got, via), (["0"] * 3, ["test-proxy", "test-proxy", None]), "the rules of before stay")


def check_successor(t, place):
    """a sluiced that takes over is told the settings of now, not those of the beginning"""
    path = place.lab.new_file("settings", f"Exclude=remote={HOSTS[0]}\n")
    stays = Stays(place, 2, ["--settings", path])
    stays.ran.wait_pid("test-proxy")
    stays.step()
    write(path, f"Include=remote={OTHER}\n")
    wait_for(lambda: (now := stays.chosen()) and now["flows"]["otherwise"] == "allow", 20, "the change")
    before = stays.ran.wait_pid("sluiced")
    machine.kill(before)
    wait_for(lambda: stays.ran.pids("sluiced") not in ([], [before]), 20, "its successor")
    wait_for(lambda: (now := stays.chosen()) and now["flows"]["otherwise"] == "allow", 20, "its settings")
    stays.step()
    t.equal(stays.vias(), [None, None], "both go directly")
    t.equal(stays.ran.json(), [["0"] * 2, ["0"] * 3], "and go on")


def check_served(t, place):
    """`sluice serve`: the same words in [Proxy NAME], with a map and a file that changes"""
    lab = place.lab
    with open("/proc/self/mounts") as mounts:
        root = next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")
    name = machine.cgroup_of(os.getpid()).rstrip("/") + f"/settings-{os.getpid()}"
    os.mkdir(root + name)
    try:
        ids, path = lab.new_file("map", "org.example.one = ./meant\n"), lab.new_file("settings", f"Exclude = remote={OTHER}\n")
        records = lab.new_file("flows")
        config = lab.new_file("conf", f"[Instance]\nId={place.instance}\nCgroup={name}\nFlows={records}\nAppMap={ids}\n"
                                      f"[Proxy test]\nExec={lab.path('tests/providers/app-proxy')}\nFail=closed\n"
                                      f"App=org.example.one\nInclude=remote_port=1-99\nSettings={path}\ndecline=9\n")
        program = lab.start_plain([lab.path("sluice"), "serve", "--config", config])
        wait_for(lambda: "governs" in program.stderr or program.popen.poll() is not None, 40, "readiness")

        def vias(n):
            lines = [place.flow(0), place.flow(1), place.flow(0, OTHER), place.flow(0, port=909)]
            lab.plain(["sh", "-c", f"echo $$ > {root}{name}/cgroup.procs; " + "; ".join(lines)])

            def found():
                with open(records) as file:
                    flows = [json.loads(line) for line in file if line.endswith("\n")]
                return [flow for flow in flows if flow["event"] == "new"]
            flows = wait_for(lambda: len(found()) >= 4 * n and found(), 10, f"records {program.stderr}")
            return "".join(str(int(flow["via"] is not None)) for flow in sorted(flows, key=lambda flow: flow["id"])[-4:])
        t.equal(vias(1), "1000", f"who has each flow {program.stderr}")
        write(path, "# all\n")
        wait_for(lambda: "are in force" in program.stderr, 20, "a change to be read")
        wait_for(lambda: json.loads(lab.sluice("rules", "--json", "--instance", place.instance).stdout)
                 ["filters"][0]["chosen"]["flows"]["rules"][0]["action"] == "ask", 20, "the change")
        t.equal(vias(2), "1010", "after the change")
        shown = lab.sluice("rules", "--instance", place.instance).stdout
        t.check(re.search(r"1 may come +program \S*meant\n.*passes by +every other application\n.*1 may come +remote ports 1-99\n"
                          r".*passes by +every other flow\n.*ask +every flow", shown), f"`sluice rules`: {shown}")
        program.end()
    finally:
        os.rmdir(root + name)


def check_python(t, place):
    """the example in Python: a proxy that answers by itself what its rules include, beside a filter, too"""
    lab = place.lab
    top = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../..")
    url = f"http://{HOSTS[0]}/"
    for filters, options, wanted in (([], [], ["403", "not from here"]), ([], ["--exclude", "remote=10.0.0.0/8"], ["200"]),
                                     ([lab.test_filter()], [], ["403", "not from here"])):
        ran = lab.run(filters, ["curl", "-q", "-s", "-m", "10", "-w", "%{http_code}\n", url],
                      options=["--proxy", os.path.join(top, "examples/hello-proxy.py"), *options])
        t.equal(sorted(ran.stdout.splitlines())[:1 + ("403" in wanted)], wanted, f"hello-proxy.py, {options} {ran.stderr}")
        t.equal(ran.wait_flow(dport=80)["via"], "hello-proxy.py" if "403" in wanted else None, "who has it")


# ---- what is not supported (4.13) ----

def unsupported_fields(t):
    """the members of struct sluice_proxy_settings that are not supported, from the header"""
    header = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../include/sluice/proxy.h")
    with open(header) as file:
        body = re.search(r"struct sluice_proxy_settings \{(.*?)\n\};", file.read(), re.S)[1]
    fields = re.findall(r"(\w+);", body.split("/* not supported: */")[1])
    t.check(len(fields) > 15 and "dns_search_domains" in fields, f"fields of the header: {fields}")
    return fields


def check_unsupported(t, place):
    """every field, in every way to say it, of every kind of provider: refused by its name, never ignored"""
    lab = place.lab
    proxies = {"Proxy": ("proxy", "tests/providers/test-proxy"), "Filter": ("filter", "tests/providers/test-filter")}
    for field in unsupported_fields(t):
        wanted = f"unsupported field {field}"
        key = "".join(word.capitalize() for word in field.split("_"))
        for section, (kind, exe) in proxies.items():
            config = lab.new_file("conf", f"[Instance]\nId={place.instance}\n[{section} one]\nExec={lab.path(exe)}\n{key}=x\n")
            said = lab.sluice("serve", "--config", config)
            t.check(said.popen.returncode == 2 and wanted in said.stderr and f"{config}:5: correct this line" in said.stderr,
                    f"serve, {section}, {key}: {said.report()}")
            said = refused(lab, ["--" + kind, lab.path(exe), f"--{field.replace('_', '-')}", "x"])
            t.check(wanted in said, f"--{kind} … --{field}: {said}")
        said = refused(lab, ["--proxy", lab.path("tests/providers/test-proxy"), "--settings", lab.new_file("settings", f"# x\n{key}=x\n")])
        t.check(wanted in said and ":2: correct this line" in said, f"a file of settings: {said}")


BAD_RULES = {"": "not of the form", "uid": "not of the form", "uid=": "no such user", "colour=red": "there are exe cgroup", "remote=x": "not an address",
             "remote=10.0.0.1/33": "prefix", "remote_port=0": "begin at 1", "remote_port=9-1": "ends before", "remote_port=1-": "number",
             "remote_port=65536": "number", "local_port=-1": "number", "protocol=icmp": "tcp and udp", "direction=inbound": "not shown to proxies",
             "interface=a123456789012345": "too long", "host=": "empty", "domain=*.example": "has a *", "exe=bin/x": "begin with /",
             "remote=10.0.0.1,": "not of the form", "host=a,domain=b": "one of the two"}


def check_bound(t, place):
    """a program that has bound its socket to an interface: filters know, and a proxy fails as it is told to"""
    lab = place.lab
    for host in HOSTS:
        url = f"http://{'[' + host + ']' if ':' in host else host}/"
        for words, wanted in ((["--interface", "uplink"], "000"), ([], "200")):
            curl = ["curl", "-q", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", *words, url]
            t.equal(lab.plain(curl).stdout, "200", f"{host}: plain, {words}")
            t.equal(lab.run([lab.test_filter(deny_bound=1)], curl).stdout, wanted, f"{host}: a filter denies bound ones, {words}")
            ran = lab.run([], curl, options=["--proxy", lab.path("tests/providers/test-proxy")])
            t.equal((ran.stdout, ran.wait_flow(dport=80)["via"]), (wanted, None if words else "test-proxy"), f"{host}: a proxy, {words}")


def check_device(t, place):
    """a proxy that carries what it has by another interface: by that alone, and what is not its own by none of it"""
    lab, others = place.lab, (OTHER, OTHER6)
    lab.client.ip("link add side type veth peer name far netns " + lab.server.path)
    for netns, name, last in ((lab.client, "side", 2), (lab.server, "far", 1)):
        netns.ip(f"address add 10.78.73.{last}/24 dev {name}")
        netns.ip(f"address add fd00:78:73::{last}/64 dev {name} nodad")
        netns.ip(f"link set {name} up")
    for wide, gateway in ((WIDE4, "10.78.73.1"), (WIDE6, "fd00:78:73::1")):
        lab.client.ip(f"route add {wide} via {gateway} dev side metric 9999")
    destinations = [*HOSTS, *others]
    lines = [place.flow(program, host, proto=proto) for host in destinations for proto in ("tcp", "udp") for program in (0, 1)]
    for options in ([], [word for host in others for word in ("--include", f"remote={host}")]):
        with Capture(lab.server, "far") as side, lab.capture() as wire:
            got, via, ran = place.run(lines, ["--app", place.programs[0], *options], device="side")
        t.equal(set(got), {"0"}, f"all arrive {ran.stderr}")
        flows = [flow for flow in ran.flows(event="new") if flow["via"]]
        n = len(flows)
        t.check(n == (4 if options else 8) and {flow["interface"] for flow in flows} == {"uplink"}, f"it has them: {flows}")
        for dst in destinations:
            n_by = [len({(packet.proto, packet.sport) for packet in seen.packets(lambda packet: packet.dst == dst and packet.sport)})
                    for seen in (side, wire)]
            t.equal(n_by, [2, 2] if dst in others or not options else [0, 4], f"{options}: flows to {dst} by the side, and by the uplink")


def check_port(t, place):
    """one local port and one peer, of sockets that are the proxy's and of others, by turns"""
    lab = place.lab
    for host in HOSTS:
        act = shlex.join(lab.actor("from_port", 21073, host, 7, 2, "x"))
        lines = [act, "setpriv --reuid 4242 " + act] * 3
        ran = lab.run([], ["sh", "-c", "; ".join(lines)], options=["--proxy", lab.path("tests/providers/test-proxy"), "--include", "uid=4242"])
        wanted = [{"right": 2}] * len(lines)
        t.equal([json.loads(line) for line in ran.stdout.splitlines()], wanted, f"{host}: each has its answers {ran.stderr}")
        flows = sorted(ran.flows(event="new"), key=lambda flow: flow["id"])
        t.equal([flow["via"] for flow in flows], [None, "test-proxy"] * 3, f"{host}: whose they are")


def check_bad_rules(t, place):
    lab, proxy = place.lab, place.lab.path("tests/providers/test-proxy")
    for text, wanted in BAD_RULES.items():
        said = refused(lab, ["--proxy", proxy, "--exclude", text])
        t.check(wanted in said, f"--exclude {text!r}: {said}")
    path = lab.new_file("settings", "Exclude=uid=0\n")
    for text, wanted in (("Colour=red", "there is no setting \"Colour\""), ("uid=0", "there is no setting"), ("App", "not of the form"),
                         ("Include=uid=0\n" * 257, "more than 256 rules"), ("Settings=x", "there is no setting"), ("#" * 1100, "longer")):
        said = refused(lab, ["--proxy", proxy, "--settings", lab.new_file("settings", text)])
        t.check(wanted in said and "correct this line" in said, f"{text[:30]!r}: {said}")
    for options, wanted in ((["--settings", path, "--settings", path], "one file"), (["--settings", path, "--app", "sh"], "comes before Settings"),
                            (["--settings", "/dev/null"], "not a regular file"), (["--settings", ""], "no path")):
        said = refused(lab, ["--proxy", proxy, *options])
        t.check(wanted in said, f"{options}: {said}")


def scenario(t):
    t.needs("curl", "setpriv", "tests/providers/test-proxy")
    with t.lab() as lab:
        lab.http()
        for port in (7, 909):
            lab.tcp_echo(port)
        lab.udp_echo(7)
        place = Place(lab)
        check_apps(t, place)
        check_kinds(t, place)
        check_down(t, place)
        check_map(t, place)
        check_bad_maps(t, place)
        check_rules(t, place)
        check_live(t, place)
        check_live_by_proxy(t, place)
        check_successor(t, place)
        check_served(t, place)
        check_python(t, place)
        check_bound(t, place)
        check_device(t, place)
        check_port(t, place)
        check_unsupported(t, place)
        check_bad_rules(t, place)
        check_names(t, place)


if __name__ == "__main__":
    main(scenario)
