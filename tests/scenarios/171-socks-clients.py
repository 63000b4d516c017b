#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""171 — programs that know of no proxy go by one: what they get and how they end is as without it

   [ client ns: curl, git, ssh, a browser, … ]──uplink──[ server ns: dante, tinyproxy, proxies of ours ── servers ]
        └ sluice run --proxy socks:upstream=…       no packet of TCP goes anywhere but to the proxy
"""
import contextlib
import os
import shlex
import subprocess

from lib import main, page, programs, upstreams
from lib.lab import CLIENT4, CLIENT6, SERVER4
from lib.real import IPERF3, N_DATA, NO_SETTINGS, SSHD, MoreServers
from lib.socks import provider, url

AT4, AT6, NAME = "10.79.71.1", "fd00:79::71:1", "files.example.com"
HTTP, PLAIN, TLS, CLOSED, DNS = 80, 8000, 443, 81, 53
DANTE, TINYPROXY, SECURE = 1080, 8888, 8443
LIMIT_S = 60
STATUS = {"ssh, up": "7"}  # of those that work, where it is not 0
NEEDS = ("curl", "dig", "git", "iperf3", "musl-gcc", "nc", "openssl", "ssh", "wget", SSHD, upstreams.TINYPROXY,
         *upstreams.DANTE_NEEDS)
BROWSER = "chromium-headless-shell"
# executables of those that are told apart in flow records
PROGRAMS = ("curl", "wget", "git-remote-http", "ssh", "static-fetch", "dig", "iperf3", "nc.openbsd")
USER, URL_USER = "alice:se@c/r:t", "alice:se%40c%2Fr%3At"
SSH = "ssh -q -F none -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
SOURCE = os.path.join(os.path.dirname(programs.FOLDER), "../providers/static-fetch.c")
N_IPERF = 4 << 20  # bytes; it may send more before it ends
IPERF_TELLS = ("import json, sys; told = json.load(open('got')); made = told['start']['connected']; "
               "print([(c['local_host'], c['remote_host'], c['remote_port']) for c in made], "
               f"told['end'][sys.argv[1]]['bytes'] >= {N_IPERF})")


def kept(words):
    """its output as a checksum, without the head of HTTP, and its own exit status"""
    return f"{words} > got; status=$?; tail -c {N_DATA} got | sha256sum; exit $status"


def good(files, fetch):
    ssh, data = SSH.format(key=files.key), f"{files.folder}/data"
    iperf = f"iperf3 -J -c {AT4} -p {IPERF3} -n {N_IPERF}"
    telling = f"python3 -c {shlex.quote(IPERF_TELLS)}"
    return [
        ("curl", kept(f"curl -q -s http://{NAME}/data")),
        ("curl over IPv6", kept(f"curl -q -s 'http://[{AT6}]/data'")),
        ("curl, TLS", kept(f"curl -q -sk https://{NAME}/bytes/{N_DATA}")),
        ("curl, up", kept(f"curl -q -s --data-binary @{data} http://{NAME}:{PLAIN}/")),
        ("curl, connections of its own", "curl -q -s -w '%{num_connects} %{remote_ip} %{local_ip}' "
                                         f"--no-keepalive http://{NAME}/data -o /dev/null"),
        ("wget", kept(f"wget --no-config -q -O - http://{NAME}/data")),
        ("wget over IPv6", kept(f"wget --no-config -q -O - 'http://[{AT6}]/data'")),
        ("git over http", f"git clone -q http://{NAME}/git/repository.git got && git -C got fsck && "
                          "git -C got rev-parse HEAD && cat got/file-* | sha256sum"),
        ("git over ssh", f"GIT_SSH_COMMAND='{ssh}' git clone -q root@{NAME}:{files.folder}/repository.git got && "
                         "git -C got rev-parse HEAD && cat got/file-* | sha256sum"),
        ("ssh, up", kept(f"{ssh} root@{NAME} 'cat; exit 7' < {data}")),
        ("ssh, down", kept(f"{ssh} root@{AT4} cat {data}")),
        ("static", kept(f"{fetch} {AT4} {HTTP} /data")),
        ("static, by a name", kept(f"{fetch} {NAME} {HTTP} /data")),
        ("static over IPv6", kept(f"{fetch} {AT6} {HTTP} /data")),
        ("dig", f"dig -r +tcp +short {NAME} @{AT4}"),
        ("iperf3", f"{iperf} > got && {telling} sum_sent"),
        ("iperf3, down", f"{iperf} -R > got && {telling} sum_received"),
        ("nc", kept(f"printf 'GET /data HTTP/1.0\\r\\n\\r\\n' | nc {AT4} {HTTP}")),
        ("nc -z", f"nc -z {AT4} {HTTP}"),
    ]


def bad(files, fetch):
    """the same when it cannot work"""
    ssh = SSH.format(key=files.key)
    return [
        ("curl, refused", f"curl -q -s http://{NAME}:{CLOSED}/"),
        ("curl, no such name", "curl -q -s http://nobody.example.com/"),
        ("curl, no such page", f"curl -q -sf http://{NAME}/nothing"),
        ("wget, refused", f"wget --no-config -q --tries=1 http://{NAME}:{CLOSED}/"),
        ("wget, no such page", f"wget --no-config -q http://{NAME}/nothing"),
        ("git over http, refused", f"git clone -q http://{NAME}:{CLOSED}/git/repository.git got"),
        ("git over http, no such repository", f"git clone -q http://{NAME}/git/nothing.git got"),
        ("ssh, refused", f"{ssh} -p {CLOSED} root@{NAME} true"),
        ("ssh, another key", f"{ssh.replace(files.key, '/none')} -o BatchMode=yes root@{NAME} true"),
        ("static, refused", f"{fetch} {AT4} {CLOSED} /"),
        ("static, no such name", f"{fetch} nobody.example.com {HTTP} /"),
        ("dig, refused", f"dig -r +tcp +tries=1 -p {CLOSED} {NAME} @{AT4} > got"),
        ("iperf3, refused", f"iperf3 -c {AT4} -p {CLOSED} > got"),
        ("nc, refused", f"nc {AT4} {CLOSED} < /dev/null"),
    ]


def browser(at):
    """the page as it is at the end, or the error"""
    words = [BROWSER, "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]
    return (f'{shlex.join(words)} --user-data-dir="$PWD/profile" {at} 2> errors; status=$?; '
            'grep -o "net::ERR_[A-Z_]*" errors; exit $status')


def browsed():
    return [("browser", browser(f"http://{NAME}/index.html")),
            ("browser, refused", browser(f"http://{NAME}:{CLOSED}/index.html"))]


def script_of(lab, title, chosen):
    """one after the other; each prints its name, its exit status and what it says"""
    folder = lab.new_file(title)
    lines = [f"mkdir -p {folder}/{n} && cd {folder}/{n} && said=$(timeout {LIMIT_S} sh -c {shlex.quote(words)}); "
             f'echo {shlex.quote(name)}: $? "$(echo "$said" | tr "\\n" " ")"' for n, (name, words) in enumerate(chosen)]
    settings = [f"{name}={value}" for name, value in NO_SETTINGS.items()]
    return ["env", *settings, "bash", lab.new_file("sh", "\n".join(lines) + "\n")]


def told(program):
    return dict(line.split(": ", 1) for line in program.stdout.splitlines() if ": " in line)


def check_plain(t, chosen, failing, wanted, plain):
    """without Sluice the one half works, and the other half fails"""
    status = {name: wanted.get(name, "none").split()[0] for name, _ in chosen + failing}
    t.equal({name: status[name] for name, _ in chosen if status[name] != STATUS.get(name, "0")}, {},
            f"without Sluice\n{plain.stderr[-2000:]}")
    t.equal([name for name, _ in failing if status[name] in ("0", "none", "124")], [], "what cannot work, without Sluice")


def check_way(t, lab, upstream, script, wanted, programs_seen):
    """what each program got is what it got without a proxy, and it got it by the proxy"""
    with lab.capture() as wire:
        run = lab.run([], script, within=300, fail="closed", options=["--proxy", provider(lab, upstream)])
    found = told(run)
    t.equal({name: found.get(name) for name in wanted if found.get(name) != wanted[name]}, {},
            f"{upstream}: what is not as without a proxy\n{run.stderr[-2000:]}")
    begun = run.flows(event="new", proto="tcp")
    t.equal({flow["provider"] for flow in begun}, {"socks"}, f"{upstream}: who has decided")
    t.equal({flow["via"] for flow in begun if flow["verdict"] == "allow"}, {"socks"}, f"{upstream}: where they went")
    seen = {os.path.basename(flow["exe"]) for flow in begun if flow["via"]}
    t.equal([name for name in programs_seen if name not in seen], [], f"{upstream}: programs whose flows went by it")
    strays = wire.packets(lambda packet: packet.proto == "tcp" and packet.src in (CLIENT4, CLIENT6) and
                          packet.dst != SERVER4)
    t.equal(strays, [], f"{upstream}: packets that went past it")
    n_refused = sum(flow["verdict"] == "drop" for flow in begun)
    t.note(f"{upstream.replace(URL_USER + '@', '')}: {len(begun)} flows, {n_refused} of them refused")


def make_static(t, lab):
    """a program that no library can be put in front of"""
    folder = lab.new_file("programs")
    os.mkdir(folder)
    path = os.path.join(folder, "static-fetch")
    subprocess.run(["musl-gcc", "-static", "-O2", "-o", path, SOURCE], check=True)
    with open(path, "rb") as file:
        t.check(b"ld-musl" not in file.read(), "it has no dynamic linker")
    return path


def prepare(lab, ends):
    """Return: upstreams, the servers' files, lines of the page"""
    lab.dns().add(NAME, "A", AT4)
    files = ends.enter_context(MoreServers(lab, AT4))
    lab.site(HTTP, files.folder)
    lab.http(PLAIN)
    lab.https(TLS)
    lab.plain(["true"])  # makes resolv.conf
    lab.certificate = lab.make_proxy_certificate()
    lab.proxy("secure_connect", SECURE, lab.certificate, user=USER, names={NAME: AT4})
    ends.enter_context(upstreams.dante(lab, DANTE))
    ends.enter_context(upstreams.tinyproxy(lab, TINYPROXY))
    ways = [url("socks5", DANTE), url("socks5h", DANTE), url("http", TINYPROXY), url("https", SECURE, URL_USER)]
    return ways, files, page.make(files.folder)


def scenario(t):
    t.needs(*NEEDS)
    with t.lab() as lab, contextlib.ExitStack() as ends:
        ways, files, lines = prepare(lab, ends)
        fetch = make_static(t, lab)
        chosen, failing = good(files, fetch), bad(files, fetch)
        has_browser = not t.missing(BROWSER)
        if has_browser:
            chosen, failing = chosen + browsed()[:1], failing + browsed()[1:]
        plain = lab.plain(script_of(lab, "plain", chosen + failing), within=200)
        wanted = told(plain)
        check_plain(t, chosen, failing, wanted, plain)
        t.equal([line for line in lines if has_browser and line not in wanted["browser"]], [], "parts of the page")
        for n, upstream in enumerate(ways):
            check_way(t, lab, upstream, script_of(lab, f"proxied-{n}", chosen + failing), wanted,
                      PROGRAMS + (BROWSER,) * has_browser)
    t.needs(BROWSER)  # all others have been looked at


if __name__ == "__main__":
    main(scenario)
