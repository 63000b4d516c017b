#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""107 — whoever parses holds nothing; whoever holds parses nothing

   symbols of sluiced:       no reader of DNS, TLS, HTTP or QUIC
   symbols of sluice-names:  no netlink, BPF, socket or process call
   symbols of libsluice:     no thread, no handler of signals
"""
import re
import subprocess

from lib import main

PARSER = re.compile(r"(^|_)(dns|tls|sni|http|quic|clienthello)(_|\d|$)")
# calls that give rights up (src/base/sandbox.c) are welcome; these act on the world
POWER = re.compile(r"^(bpf_|mnl_|nftnl_|nfq_|setns$|unshare$|socket$|connect$|bind$|listen$|"
                   r"sendto$|execv|fork$|vfork$|ptrace$|mount$|kill$)")
# sigaction(2) asks whether SIGPIPE is ignored; to set a handler is another call
LIBERTY = re.compile(r"^(pthread_create|thrd_create|clone|clone3|fork|vfork|signal|sigset|bsd_signal|__sysv_signal)$")


def symbols(path, *options):
    text = subprocess.run(["nm", "--format=posix", *options, path], check=True,
                          capture_output=True, text=True).stdout
    return [line.split() for line in text.splitlines()]


def scenario(t):
    t.needs("nm", "readelf", "sluice-names")
    code = [name for name, kind, *_ in symbols(f"{t.build}/sluiced", "--defined-only")
            if kind in "tTwW" and not name.startswith("__")]
    t.check(len(code) > 50, f"sluiced has its symbols, {len(code)} of them")
    parsers = [name for name in code if PARSER.search(name)]
    t.equal(parsers, [], "sluiced: parsers of application content")

    code = [name for name, kind, *_ in symbols(f"{t.build}/sluice-names", "--defined-only")]
    t.check([name for name in code if PARSER.search(name)],
            "the pattern finds the parser where it belongs, in sluice-names")
    used = [words[0].split("@")[0] for words in symbols(f"{t.build}/sluice-names", "--undefined-only")]
    powers = [name for name in used + code if POWER.search(name)]
    t.equal(powers, [], "sluice-names: calls that act on the world")

    needed = subprocess.run(["readelf", "-d", f"{t.build}/sluice-names"], check=True,
                            capture_output=True, text=True).stdout
    for library in ("libbpf", "libmnl", "libnftnl", "libsystemd", "libjson"):
        t.check(library not in needed, f"sluice-names: links {library}")

    used = [words[0].split("@")[0] for words in symbols(f"{t.build}/lib/libsluice.so", "--dynamic", "--undefined-only")]
    t.check("epoll_wait" in used, f"libsluice has its symbols, {len(used)} of them")
    t.equal([name for name in used if LIBERTY.search(name)], [], "libsluice: calls that make threads, or take signals")


if __name__ == "__main__":
    main(scenario)
