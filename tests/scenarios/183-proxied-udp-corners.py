#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""183 — what programs do with UDP besides asking and waiting is what it is without a proxy

   [ client ns: python, two addresses ]──uplink──[ server ns: echo, one that answers groups, SOCKS5 ]
        └ sluice run --proxy relay | relay:delay=5 | socks | test-proxy
"""
import shlex
import socket
import threading

from lib import main
from lib.lab import CLIENT4, SERVER4
from lib.wait import wait_for

HOST4, HOST6, OTHER4 = "10.79.86.1", "fd00:79::86:1", "10.79.86.2"
CLIENT4_TOO = "10.77.0.9"
ECHO, SINK, CLOSED = 7, 9999, 81
GROUP, ALL, ALL_HERE = "224.0.0.251", "255.255.255.255", "10.77.0.255"
SOCKS_PORT = 1080


def proxies(t, lab):
    others = ["relay", f"socks:upstream=socks5://{SERVER4}:{SOCKS_PORT}", lab.path("tests/providers/test-proxy")]
    return ["relay:delay=5", *(others if t.all else [])]


def with_proxy(lab, proxy, words):
    return lab.run([], words, options=["--proxy", proxy])


class Sink:
    """what comes, and is not answered"""

    def __init__(self, namespace):
        with namespace:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("", SINK))
        self.came = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        while True:
            try:
                self.came.append(self._socket.recv(100).decode())
            except OSError:
                return

    def shutdown(self):
        self._socket.close()

    def server_close(self):
        pass


class Answerer:
    """hears a port, of a group and of broadcasts as well, and answers from an address of its own"""

    def __init__(self, namespace, port, group=None):
        with namespace:
            self._hears, self._says = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._hears.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._hears.bind(("", port))
        self._says.bind((SERVER4, port + 1))
        if group:
            self._hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                   socket.inet_aton(group) + socket.inet_aton(SERVER4))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, peer = self._hears.recvfrom(2000)
                self._says.sendto(data, peer)
            except OSError:
                return

    def shutdown(self):
        for s in (self._hears, self._says):
            s.close()

    def server_close(self):
        pass


def check_gone(t, lab, sink, proxy):
    """a program that sends and ends at once (logger, statsd): all arrives, and each once"""
    for n in (1, 8):
        del sink.came[:]
        act = lab.actor("and_gone", HOST4, SINK, n, proxy[:5])
        run = with_proxy(lab, proxy, ["sh", "-c", f"{shlex.join(act)}; sleep 1"])
        wanted = [f"{proxy[:5]} {i}" for i in range(n)]
        wait_for(lambda: sorted(sink.came) == wanted, 10, f"{proxy}: {n} of who is gone to come: {sink.came} {run.report()}")
        wait_for(lambda: run.flows(event="closed", via=run.flows(event="new")[0]["via"]), 10, "the end of the flow")


# what each program does, and is to be as without a proxy
ACTS = {
    "lengths": ("lengths", HOST4, ECHO, 0, 1, 0, 1472, 1473, 9000, 65000, 0),
    "lengths, IPv6": ("lengths", HOST6, ECHO, 0, 1, 0, 1452, 1453, 9000, 65000, 0),
    "connected, not connected, connected with others": ("turns", ECHO, HOST4, OTHER4, HOST4, HOST4, OTHER4),
    "to who is not there, then to who is": ("after_refusal", HOST4, CLOSED, ECHO, 3),
    "from another address of its machine": ("ends_of", HOST4, ECHO, CLIENT4, CLIENT4_TOO, CLIENT4),
    "a group": ("to_all", GROUP, 5353, 5353, 2),
    "a broadcast": ("to_all", ALL, 67, 68, 2),
    "a broadcast of a network": ("to_all", ALL_HERE, 67, 68, 2),
    "a port used again at once": ("same_port", 5000, ECHO, 100, HOST4, OTHER4),
    "a shared port": ("shared_port", 5001, HOST4, ECHO, 10),
    "200 a second": ("rate", HOST4, ECHO, 1000, 200),
}

# and what is not, as sluice_proxy(3) says: directly, by a proxy
CAVEATS = {
    "the other side refuses": (("lengths", HOST4, CLOSED, 5), {"right": ["ConnectionRefusedError"]}, {"right": ["TimeoutError"]}),
    "an answer from another port": (("to_all", SERVER4, 5353, 5355, 1), {"came": [["0", "0", SERVER4, 5354]]},
                                    {"came": [["0", "TimeoutError"]]}),
}


def check_caveats(t, lab, proxy):
    for title, (act, directly, proxied) in CAVEATS.items():
        words = lab.actor(*act)
        t.equal(lab.plain(words).json(), directly, f"{title}, directly")
        t.equal(with_proxy(lab, proxy, words).json(), proxied, f"{proxy}: {title}")


def check_acts(t, lab, proxy):
    for title, act in ACTS.items():
        words = lab.actor(*act)
        run = with_proxy(lab, proxy, words)
        t.equal(run.stdout and run.json(), lab.plain(words).json(), f"{proxy}: {title}: {run.stderr[-300:]}")


def scenario(t):
    t.needs("tests/providers/test-proxy", "providers/relay", "providers/socks")
    with t.lab() as lab:
        lab.udp_echo(ECHO)
        lab.udp_echo(ECHO + 1)
        lab.proxy("socks5", SOCKS_PORT)
        lab.client.ip(f"address add {CLIENT4_TOO}/24 dev uplink")
        for network in ("224.0.0.0/4", f"{ALL}/32"):
            lab.client.ip(f"route add {network} dev uplink")
        sink = lab.serve(Sink(lab.server))
        lab.serve(Answerer(lab.server, 5353, GROUP))
        lab.serve(Answerer(lab.server, 67))
        for proxy in proxies(t, lab):
            check_gone(t, lab, sink, proxy)
            check_acts(t, lab, proxy)
            check_caveats(t, lab, proxy)


if __name__ == "__main__":
    main(scenario, all=0)
