# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a filter is asked about. What each word means is said in sluice_filter(3)."""
import enum
import ipaddress

PEEK_MAX = 14000
BYTES_MAX = (1 << 64) - 1

INTERFACE_KINDS = ("other", "loopback", "ethernet", "wifi", "cellular", "tunnel", "bridge", "virtual")


class Direction(enum.IntEnum):
    OUTBOUND, INBOUND = range(2)


class HostSource(enum.IntEnum):
    NONE, DNS, TLS, TLS_OUTER, HTTP, H2C, QUIC, QUIC_OUTER = range(8)


class HostReading(enum.IntEnum):
    """what came of reading a flow's first bytes for its host"""
    UNREAD, READABLE, READ, REFUSED, UNREADABLE = range(5)


class Verdict(enum.IntEnum):
    ALLOW, DROP, DROP_SILENT = range(3)


class Scope(enum.IntEnum):
    """how far a verdict reaches; more than THIS_FLOW is a promise"""
    THIS_FLOW, THIS_ADDRESS, THIS_NAME = range(3)


class Watch(enum.IntEnum):
    """how often a filter wants reports of a flow: EVENTS when it is judged and when it ends; the
    others do that, too, and tell statistics every 5 seconds, every second, every half second"""
    NONE, EVENTS, LOW, MEDIUM, HIGH = range(5)


class ReportEvent(enum.IntEnum):
    """why a report comes"""
    NEW, DATA, CLOSED, STATISTICS = range(4)


def known(kind, number):
    """one of @kind, or the number of one that a newer daemon has"""
    return kind(number) if number in kind.__members__.values() else number


def address(data):
    """IPv4Address or IPv6Address of 16 bytes"""
    six = ipaddress.IPv6Address(data)
    return six.ipv4_mapped or six


class _Judged:
    """answers about the flow that this is, or is of"""

    def allow(self, reason="", scope=Scope.THIS_FLOW):
        self._filter.answer(self._id, Verdict.ALLOW, scope, reason)

    def drop(self, reason="", scope=Scope.THIS_FLOW):
        self._filter.answer(self._id, Verdict.DROP, scope, reason)

    def drop_silent(self, reason="", scope=Scope.THIS_FLOW):
        self._filter.answer(self._id, Verdict.DROP_SILENT, scope, reason)

    def pause(self):
        self._filter.pause(self._id)

    def resume(self):
        self._filter.resume(self._id)

    def need_rules(self, reason=""):
        """not before the rules have changed: it is asked about again then"""
        self._filter.need_rules(self._id, reason)

    def watch(self, rate):
        """reports of it come to report(), from now on"""
        self._filter.watch(self._id, rate)


class _Described:
    """what is known of a new flow"""

    def __init__(self, session, record, behalf=None):
        self._filter, self._id = session, record["id"]
        self.id = record["id"]
        self.direction = Direction(record["direction"])
        self.protocol = record["protocol"]  # socket.IPPROTO_TCP …
        self.local_address, self.remote_address = address(record["src"]), address(record["dst"])
        self.local_port, self.remote_port = record["sport"], record["dport"]
        self.host_source = known(HostSource, record["host_source"])
        self.host_reading = known(HostReading, record["host_reading"])
        self.interface_kind = dict(enumerate(INTERFACE_KINDS)).get(record["interface_kind"], "other")
        self.socket = record["cookie"]  # the same in all flows of one socket
        self.is_cut, self.is_again = bool(record["is_cut"]), bool(record["again"])
        self.is_bound = bool(record["bound"])
        for name in ("host", "pid", "owner_pid", "uid", "gid", "owner_uid", "exe", "exe_inode",
                     "exe_device", "command", "cgroup", "unit", "container", "ifindex", "interface"):
            setattr(self, name, record[name])
        behalf = behalf or {"through": "", "origin_exe": ""}
        self.through, self.on_behalf_of = behalf["through"], behalf.get("behalf", 0)
        self.origin_pid, self.origin_uid = behalf.get("origin_pid", 0), behalf.get("origin_uid", 0)
        self.origin_exe = behalf["origin_exe"]


class ProxiedFlow(_Described):
    """a new flow that a Proxy may take"""

    def open(self, error=0, reason=""):
        """the other side is reached: the program's connection comes to flow_opened(); or is not: connect(2)
        of the program gives @error"""
        self._filter.open_flow(self._id, error, reason)

    def upstream(self, connection):
        """this socket, which is not connected yet, is for it: see Proxy.upstream()"""
        self._filter.upstream(self._id, connection)


class Flow(_Described, _Judged):
    """a new flow: judge it once, with allow(), drop(), drop_silent(), peek(), read_name() or need_rules(), now
    or later"""

    def peek(self, outbound=None, inbound=None, reason=""):
        """not before seeing what it carries: bytes to be shown at once, 0: as they come,
        None: this direction passes freely"""
        self._filter.peek(self._id, outbound, inbound, reason)

    def read_name(self, reason=""):
        """of one that is READABLE: not before knowing which host it wants; it comes once more"""
        self._filter.read_name(self._id, reason)

    def update(self, verdict, reason=""):
        """another verdict, of a flow that goes on"""
        self._filter.update(self._id, verdict, reason)


class Data(_Judged):
    """bytes of a flow, which are held: answer once, with pass_bytes(), allow() or drop()"""

    def __init__(self, session, record, tail):
        self._filter, self._id = session, record["id"]
        self.flow_id = record["id"]
        self.direction = Direction(record["direction"])  # of the bytes, not of the flow
        self.offset = record["offset"]
        self.bytes = tail
        self.is_end = bool(record["end"])
        self.most = record["most"]

    def pass_bytes(self, count=BYTES_MAX, peek=0):
        """so many of them go, counted from the first one here; then show @peek more at once"""
        self._filter.pass_bytes(self._id, self.direction, count, peek)


class Report:
    """what became of a flow, and what it has carried from the beginning"""

    def __init__(self, record):
        self.flow_id = record["id"]
        self.event = ReportEvent(record["event"])
        self.verdict = Verdict(record["verdict"])  # of all filters together
        self.is_looked_at = bool(record["looked_at"])
        self.bytes_in, self.bytes_out = record["bytes_in"], record["bytes_out"]
        self.age_us = record["age"]
        self.n_lost = record["lost"]  # reports that were due to this filter and lost, so far
