# SPDX-License-Identifier: LGPL-2.1-or-later
"""Upstream proxies that people have, in the server namespace: dante-server, tinyproxy.

Both see the lab's resolver, and connect from the server's own addresses. Those of proxies.py are ours.
"""

import contextlib
import os
import subprocess

from . import machine
from .lab import SERVER4, SERVER6
from .real import LIBWRAP, is_listening
from .wait import wait_for

DANTE = os.path.join(machine.unpacked("dante-server"), "usr/sbin/danted")
DANTE_NEEDS = (DANTE, LIBWRAP)
DANTE_CONFIG = """
logoutput: stderr
internal: {at} port = {port}
external: {at}
external: {at6}
socksmethod: none
clientmethod: none
client pass {{ from: 0/0 to: 0/0 }}
{block}
socks pass {{ from: 0/0 to: 0/0 }}
"""
DANTE_BLOCK = "socks block {{ from: 0/0 to: 0/0 port = {port} }}"
TINYPROXY = os.path.join(machine.unpacked("tinyproxy-bin"), "usr/bin/tinyproxy")
TINYPROXY_CONFIG = """
Port {port}
Listen {at}
Timeout 600
MaxClients 200
LogLevel Connect
"""


@contextlib.contextmanager
def _proxy(lab, port, words, **environment):
    log = lab.new_file("log")
    resolver = os.path.join(lab.folder, "resolv.conf")
    words = ["setpriv", "--pdeathsig", "KILL", lab.path("tests/providers/with-resolver"), resolver, *words]
    with lab.server, open(log, "w") as file:
        server = subprocess.Popen(words, stdout=file, stderr=file, env={**os.environ, **environment},
                                  start_new_session=True)
    try:
        wait_for(lambda: is_listening(lab.server, port), 20, f"{words[5]}: " + open(log).read())
        yield
    finally:
        server.terminate()
        server.wait()


def dante(lab, port, forbidden=None):
    """@forbidden: a port that it connects nobody with"""
    block = DANTE_BLOCK.format(port=forbidden) if forbidden else ""
    config = DANTE_CONFIG.format(at=SERVER4, at6=SERVER6, port=port, block=block)
    return _proxy(lab, port, [DANTE, "-f", lab.new_file("conf", config), "-p", lab.new_file("pid")],
                  LD_LIBRARY_PATH=LIBWRAP)


def tinyproxy(lab, port):
    config = TINYPROXY_CONFIG.format(at=SERVER4, port=port)
    return _proxy(lab, port, [TINYPROXY, "-d", "-c", lab.new_file("conf", config)])
