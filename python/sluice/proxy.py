# SPDX-License-Identifier: LGPL-2.1-or-later
"""A proxy's session with the daemon: libsluice's proxy.c, in Python, without its relays."""
import copy
import enum
import errno
import os
import socket
import struct

from .errors import Unsupported
from .filter import Filter
from .flow import ProxiedFlow
from .rules import RuleAction

SO_COOKIE = 57  # socket has no name for it

# of struct sluice_proxy_settings: nobody ignores them
UNSUPPORTED = ("tunnel_remote_address", "dns_protocol", "dns_servers", "dns_search_domains", "dns_domain_name",
               "dns_match_domains", "dns_match_domains_no_search", "dns_server_name", "dns_server_url", "proxy_auto_config",
               "proxy_auto_config_url", "proxy_auto_config_script", "http_proxy_enabled", "http_proxy_server",
               "https_proxy_enabled", "https_proxy_server", "proxy_excludes_simple_names", "proxy_exceptions",
               "proxy_match_domains")


class ProxyEnd(enum.IntEnum):
    """how the program has ended its side of a connection"""
    HALF, FULL = range(2)


class Proxy(Filter):
    """A proxy. Derive from it, and define new_flow() at least:

        option(key, value, file)   as of a Filter
        start()
        new_flow(flow)             does it take this ProxiedFlow? True: open_flow() is called now or later
        flow_opened(flow_id, connection)   the program's connection stands: a socket that does not block, the
                                   proxy's, to be ended with close_flow()
        flow_cancelled(flow_id)    the program has given up, or the daemon
        flow_ended(flow_id, end)   ProxyEnd.HALF in answer to ask_end(), ProxyEnd.FULL unasked, once
        flow_datagram(flow_id, data)   UDP: one that came before the connection, or past it
        rules_done(error, number)  outcome of set_flows(): errno or 0, the rule that is wrong or 0
        stop()
    """
    is_app = False     # what it declines is refused; else it goes directly to its destination
    takes_udp = False  # flows of UDP come to new_flow() as well
    _word = "proxy"

    def flow_opened(self, flow_id, connection):
        close_flow(connection, errno.ECONNRESET)

    def flow_cancelled(self, flow_id):
        pass

    def flow_ended(self, flow_id, end):
        pass

    def flow_datagram(self, flow_id, data):
        pass

    # what it says

    def open_flow(self, flow_id, error=0, reason=""):
        """a flow that was taken: the other side is reached; or not: the errno for connect(2) of the program"""
        self._check(error >= 0, "an errno is positive")
        self._say("FLOW_OPENED", id=flow_id, error=min(error, 4095), reason=reason)
        self._is_taken |= flow_id == self._asked

    def upstream(self, flow_id, connection):
        """a socket, before connect(), or of UDP before it sends: it is for this flow. Where what a proxy connects to
        is a flow as well, filters and later proxies are told on whose behalf it is; elsewhere nothing is said"""
        if self._wants_upstreams:
            cookie, = struct.unpack("=Q", connection.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))
            self._say("FLOW_UPSTREAM", id=flow_id, cookie=cookie)

    def ask_end(self, flow_id):
        """the connection was read to its end: is it a half close or a full one? flow_ended() answers"""
        self._say("FLOW_ASK_END", id=flow_id)

    def set_flows(self, included, excluded=(), **fields):
        """which flows come to new_flow(): sequences of Rule, whose actions do not matter. They take the place of
        those of before, as a whole, for flows to come. No field of UNSUPPORTED is ignored: Unsupported"""
        for name in fields:
            if name not in UNSUPPORTED:
                raise TypeError(f"set_flows() has no field {name}")
            self.error_text = f"unsupported field {name}"
            raise Unsupported(self.error_text)
        self.set_rules([*_with(excluded, RuleAction.ALLOW), *_with(included, RuleAction.ASK)], RuleAction.ALLOW)

    # the session

    def open(self):
        self._kind = 3 if self.is_app else 2
        self._asked, self._is_taken = 0, False
        self._part, self._part_of = b"", 0
        super().open()

    def _wants(self):
        return {"datagrams": self.takes_udp}

    def _take_flow_new(self, fields, _):
        self._asked, self._is_taken = fields["id"], False
        takes = self.new_flow(ProxiedFlow(self, fields, self._take_behalf(fields["id"])))
        if self._is_taken:
            pass  # it has been opened already
        elif takes:
            self._say("FLOW_TAKE", id=fields["id"])
        else:
            self._say("FLOW_VERDICT", id=fields["id"], verdict=int(self.is_app), reason="declined")
        self._asked = 0

    def _take_flow_socket(self, fields, file):
        if not file:
            self.flow_cancelled(fields["id"])
            return
        with file:
            connection = socket.socket(fileno=os.dup(file.fileno()))
        connection.setblocking(False)
        self.flow_opened(fields["id"], connection)

    def _take_flow_cancel(self, fields, _):
        self.flow_cancelled(fields["id"])

    def _take_flow_end(self, fields, _):
        self.flow_ended(fields["id"], ProxyEnd(fields["full"]))

    def _take_flow_datagram(self, fields, tail):
        if not self.takes_udp or fields["offset"] + len(tail) > fields["total"]:
            self._fail("FLOW_DATAGRAM", "nobody has asked for it")
        if fields["offset"] == 0:
            self._part, self._part_of = b"", fields["id"]
        elif fields["id"] != self._part_of or fields["offset"] != len(self._part):
            return  # the beginning was lost
        self._part += tail
        if len(self._part) == fields["total"]:
            self.flow_datagram(fields["id"], self._part)


def _with(rules, action):
    """the same rules, but for what they do"""
    for rule in map(copy.copy, rules):
        rule.action = action
        yield rule


def close_flow(connection, error=0):
    """ends a connection of flow_opened(): 0 as close(2) does, ECONNRESET with a reset. Closed in another way it is a
    reset, also by the end of the process"""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", error != 0, 0))
    except OSError:
        pass
    connection.close()
