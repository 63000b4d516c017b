#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""154 — what programs do works as without Sluice: under a filter that allows, one that sees all, a proxy

   [ client ns: curl, ssh, git, rsync, smbclient, … ]──uplink──[ server ns: their servers ]
        └ each client tells what it got, by checksum: the same four times
"""
import shlex

from lib import main
from lib.lab import SERVER4, SERVER6
from lib.real import H2, N_DATA, NO_SETTINGS, QUIC, QUIC_SERVER, SMBD, RealServers

AT4, AT6, HTTP, ECHO = "10.79.54.1", "fd00:79::54:1", 80, 7
NAME = "files.example.com"
LIMIT_S = 60
NEEDS = ("curl", "dig", "dropbear", "git", "gtlsclient", "nghttpd", "openssl", "rsync", "smbclient",
         "ssh", SMBD, QUIC_SERVER)
SSH = "ssh -F none -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"


def clients(lab, files):
    """(name, words of a shell that tell what it got, in a folder of its own)"""
    ssh = SSH.format(key=files.key)
    data = f"{files.folder}/data"
    ways = [(f"{way} over IPv{6 if ':' in to else 4}", shlex.join(lab.actor("echo", way, to, ECHO)))
            for to in (AT4, AT6)
            for way in ("blocking", "non_blocking", "fast_open", "connected", "unconnected", "segmented")]
    calls = [(f"io_uring {call}", shlex.join([lab.path("tests/providers/calls"), call, AT4, str(ECHO)]))
             for call in ("connect", "send", "sendmsg", "sendzc")]
    return ways + calls + [
        ("sendmmsg", f"{lab.path('tests/providers/calls')} sendmmsg {ECHO} {AT4} 10.79.54.2"),
        ("HTTP/1.1", f"curl -q -sf --http1.1 http://{AT4}/bytes/{N_DATA} | sha256sum"),
        ("HTTP/1.1 over IPv6", f"curl -q -sf --http1.1 'http://[{AT6}]/bytes/{N_DATA}' | sha256sum"),
        ("HTTP/1.1, TLS", f"curl -q -skf --http1.1 https://{AT4}/bytes/{N_DATA} | sha256sum"),
        ("HTTP/2", f"curl -q -skf --http2 -w '%{{http_version}} ' -o got https://{AT4}:{H2}/data && sha256sum got"),
        ("HTTP/2 from a name", f"curl -q -skf --http2 -o got https://{NAME}:{H2}/data && sha256sum got"),
        ("QUIC", f"gtlsclient -q --exit-on-all-streams-close --download=. {AT4} {QUIC} https://{AT4}/data "
                 "&& sha256sum data"),
        ("its own DNS", f"dig -r +short +tries=1 {NAME} @{SERVER4}; dig -r +tcp +short {NAME} @{SERVER6}"),
        ("SMB", f"smbclient -N //{AT4}/files -s /dev/null -c 'get data; put data up-$$; get up-$$ back; del up-$$' "
                "&& sha256sum data back"),
        ("ssh, up", f"{ssh} root@{AT4} sha256sum < {data}"),
        ("ssh, down", f"{ssh} root@{AT4} cat {data} | sha256sum"),
        ("git", f"git clone -q git://{AT4}/repository.git got && git -C got rev-parse HEAD && cat got/file-* | sha256sum"),
        ("git over ssh", f"GIT_SSH_COMMAND='{ssh}' git clone -q root@{AT4}:{files.folder}/repository.git got && "
                         "git -C got rev-parse HEAD"),
        ("rsync", f"rsync -q rsync://{AT4}/files/data . && rsync -q data rsync://{AT4}/files/up-$$ && "
                  f"rsync -q --remove-source-files rsync://{AT4}/files/up-$$ back && sha256sum data back"),
        ("rsync over ssh", f"rsync -q -e '{ssh}' root@{AT4}:{data} . && sha256sum data"),
    ]


def script_of(lab, title, chosen):
    """runs one after the other; each prints a line"""
    folder = lab.new_file(title)
    lines = [f"mkdir -p {folder}/{n} && cd {folder}/{n} && echo {shlex.quote(name)}: "
             f"$(timeout {LIMIT_S} sh -c {shlex.quote(words)} || echo failed)" for n, (name, words) in enumerate(chosen)]
    settings = [f"{name}={value}" for name, value in NO_SETTINGS.items()]
    return ["env", *settings, "sh", lab.new_file("sh", "\n".join(lines) + "\n")]


def ways_of(lab):
    """(title, filters, proxies)"""
    return (("pass-all", [lab.test_filter()], []),
            ("peek-everything", [lab.test_filter(peek_out="max", peek_in="max")], []),
            ("proxied", [], [lab.path("tests/providers/test-proxy")]))


def told(program):
    return dict(line.split(": ", 1) for line in program.stdout.splitlines() if ": " in line)


def scenario(t):
    t.needs(*NEEDS)
    with t.lab() as lab:
        lab.client.sysctl("ipv4/tcp_fastopen", 0x5)  # data in the SYN, without a cookie
        lab.dns().add(NAME, "A", AT4)
        lab.http()
        certificate = lab.https()
        lab.tcp_echo(ECHO)
        lab.udp_echo(ECHO)
        with RealServers(lab, AT4, certificate) as files:
            chosen = clients(lab, files)
            plain = lab.plain(script_of(lab, "plain", chosen), within=200)
            wanted = told(plain)
            t.equal([name for name, _ in chosen if "failed" in wanted.get(name, "failed")], [],
                    f"without Sluice\n{plain.stderr[-2000:]}")
            for title, filters, proxies in ways_of(lab):
                options = [word for name in proxies for word in ("--proxy", name)]
                run = lab.run(filters, script_of(lab, title, chosen), within=200, fail="closed", options=options)
                found = told(run)
                t.equal({name: found.get(name) for name in wanted if found.get(name) != wanted[name]}, {},
                        f"{title}: what is not as without Sluice\n{run.stderr[-2000:]}")


if __name__ == "__main__":
    main(scenario)
