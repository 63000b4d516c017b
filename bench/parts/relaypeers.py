# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other people's relays in the place of ours, as Debian packages them; not installed, tools/unpack
--peers has put them aside. One process each, with one thread where that can be chosen.

    haproxy         in TCP mode with option splice-auto; the program connects to it itself, as to
                    bench/forward
    haproxy-nat     the same, and nft leads to it: programs know of nothing, as with `proxy`
    haproxy-copy    as haproxy-nat, without splice(2)
    v2ray           nft leads to it; dokodemo-door to freedom
    redsocks        nft leads to it; its upstream is dante, beside the server
    socks           our provider of that name, with the same upstream
    dante           alone: the program speaks SOCKS itself (bench/dial.h)

Who is led to runs as another user than the programs, whose connections alone are led. CPU and memory
are those of redsocks and socks alone; how fast they are is also how fast dante is.
"""

import json
import os
import subprocess

from . import packages
from .places import ADDRESS, PORT
from .relays import HERE, LAST, Plain, Proxy

NAT_PORT, SOCKS_PORT = 12345, 1080
NOBODY = 65534
AS_NOBODY = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
SPLICE = "option splice-auto"
HAPROXY_LIBRARIES = "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"
TABLE = (f"add table ip peer; add chain ip peer out {{ type nat hook output priority -100; }}; "
         f"add rule ip peer out ip daddr {ADDRESS} tcp dport {PORT}-{LAST} meta skuid != {NOBODY} "
         f"redirect to :{NAT_PORT}")
HAPROXY = """global
    maxconn 5000
    nbthread 1
defaults
    mode tcp
    {option}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen relay
    bind {bind}
    server server {server}
"""
REDSOCKS = f"""base {{ log_info = off; log = stderr; daemon = off; redirector = iptables;
    redsocks_conn_max = 5000; }}
redsocks {{ local_ip = {HERE}; local_port = {NAT_PORT}; ip = {ADDRESS}; port = {SOCKS_PORT}; type = socks5;
    listenq = 4096; }}
"""
V2RAY = {
    "log": {"loglevel": "none"},
    "inbounds": [{"listen": HERE, "port": NAT_PORT, "protocol": "dokodemo-door",
                  "settings": {"network": "tcp", "followRedirect": True}}],
    "outbounds": [{"protocol": "freedom"}]}
DANTE = f"""
logoutput: stderr
internal: {ADDRESS} port = {SOCKS_PORT}
external: {ADDRESS}
socksmethod: none
clientmethod: none
client pass {{ from: 0/0 to: 0/0 }}
socks pass {{ from: 0/0 to: 0/0 }}
"""


def family(top):
    """pids of a process and of what it has started"""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parents.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(pid))
        except OSError:
            pass  # it has ended
    found = [top]
    for pid in found:  # which grows meanwhile
        found += parents.get(pid, [])
    return found


def start_dante(place, ends):
    """beside the server. Return: pid of its first process"""
    words = [packages.folder("dante-server") + "/usr/sbin/danted", "-f", place.lab.new_file("conf", DANTE), "-p",
             place.lab.new_file("pid")]
    return place.watch(ends, place.lab.server, words, SOCKS_PORT, stderr=subprocess.DEVNULL, cwd=place.lab.folder,
                       env={**os.environ, "LD_LIBRARY_PATH": packages.library_path("libwrap0"),
                            "TMPDIR": place.lab.folder})


def haproxy(place, option, bind, server):
    """Return: its command line, and its environment"""
    path = place.lab.new_file("cfg", HAPROXY.format(option=option, bind=bind, server=server))
    return ([packages.folder("haproxy") + "/usr/sbin/haproxy", "-db", "-q", "-f", path],
            packages.library_path(*HAPROXY_LIBRARIES))


class Haproxy(Plain):
    address = HERE

    def prepare(self, ends):
        words, libraries = haproxy(self, SPLICE, f"{HERE}:{PORT}-{LAST}", ADDRESS)
        self.pids = [self.watch(ends, self.lab.client, words, LAST, env={**os.environ, "LD_LIBRARY_PATH": libraries})]


class Led(Plain):
    """nft leads to it what goes to the server"""

    def command(self, ends):
        """Return: its words, and its libraries' folders"""
        raise NotImplementedError

    def prepare(self, ends):
        words, libraries = self.command(ends)
        words = [*AS_NOBODY, *words]
        self.pids = [self.watch(ends, self.lab.client, words, NAT_PORT, stderr=subprocess.DEVNULL,
                                env={**os.environ, "LD_LIBRARY_PATH": libraries})]
        with self.lab.client:
            subprocess.run(["nft", TABLE], check=True)


class HaproxyNat(Led):
    OPTION = SPLICE

    def command(self, ends):
        """0.0.0.0: it asks the kernel where to"""
        return haproxy(self, self.OPTION, f"{HERE}:{NAT_PORT}", "0.0.0.0")


class HaproxyCopy(HaproxyNat):
    OPTION = ""


class V2ray(Led):
    def command(self, ends):
        path = self.lab.new_file("json", json.dumps(V2RAY))
        return [packages.folder("v2ray") + "/usr/bin/v2ray", "-config", path], ""


class Redsocks(Led):
    def command(self, ends):
        start_dante(self, ends)
        path = self.lab.new_file("conf", REDSOCKS)
        return ([packages.folder("redsocks") + "/usr/sbin/redsocks", "-c", path],
                packages.library_path("libevent-core-2.1-7"))


class Socks(Proxy):
    NAME = f"socks:upstream=socks5://{ADDRESS}:{SOCKS_PORT}"

    def prepare(self, ends):
        start_dante(self, ends)


class Dante(Plain):
    def prepare(self, ends):
        self._top = start_dante(self, ends)

    def start(self, words):
        return super().start(["env", f"SOCKS={ADDRESS}:{SOCKS_PORT}", *words])

    def pids_of(self, run):
        return family(self._top)


KINDS = {"haproxy": Haproxy, "haproxy-nat": HaproxyNat, "haproxy-copy": HaproxyCopy, "v2ray": V2ray,
         "redsocks": Redsocks, "socks": Socks, "dante": Dante}
NOT_HAD = {name: "Debian 12 has no package of it" for name in
           ("hev-socks5-tunnel", "hev-socks5-tproxy", "badvpn-tun2socks")} | {
    "mitmproxy": "25 more packages would have to be installed"}
