# SPDX-License-Identifier: LGPL-2.1-or-later
"""Static rules: struct sluice_rule of sluice_filter(3) as a Python object."""
import enum
import errno
import socket

from . import wire
from .errors import BadRule
from .records import RULES_MAX

_V4 = bytes(10) + b"\xff\xff"
_NAME_MAX = 253


class RuleDirection(enum.IntEnum):
    BOTH, OUTBOUND, INBOUND = range(3)


class RuleAction(enum.IntEnum):
    ASK, ALLOW, DROP, DROP_SILENT = range(4)


class Rule:
    """which flows, and what becomes of them; what is not given is no condition

    Ports are a number, or a pair of the first and the last one.
    """

    def __init__(self, action, *, direction=RuleDirection.BOTH, protocol=0, uid=None, remote_port=0,
                 local_port=0, remote_address=None, host=None, domain=None, exe=None, reason="",
                 interface=None, local_address=None, cgroup=None):
        self.action, self.direction, self.protocol, self.uid = action, direction, protocol, uid
        self.remote_port, self.local_port = remote_port, local_port
        self.remote_address, self.host, self.domain = remote_address, host, domain
        self.exe, self.reason, self.interface, self.local_address = exe, reason, interface, local_address
        self.cgroup = cgroup

    def encode(self):
        """its record; ValueError says what is wrong"""
        fields = {"action": _within(RuleAction, self.action, "the action"),
                  "direction": _within(RuleDirection, self.direction, "the direction"),
                  "protocol": self.protocol, "has_uid": self.uid is not None, "uid": self.uid or 0,
                  "exe": _exe(self.exe), "interface": _interface(self.interface),
                  "cgroup": _cgroup(self.cgroup), "reason": self.reason}
        for name, ports in (("rport", self.remote_port), ("lport", self.local_port)):
            fields[name], fields[name + "_last"] = _ports(ports)
        if self.remote_address is not None:
            fields["remote"], fields["bits"], fields["family"] = _network(str(self.remote_address))
        if self.local_address is not None:
            fields["local"], fields["lbits"], fields["lfamily"] = _network(str(self.local_address))
        fields["host"], fields["host_kind"] = _host(self.host, self.domain)
        return wire.encode("RULE", **fields)


def _within(kind, value, what):
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{what} is out of range") from None


def _ports(ports):
    first, last = ports if isinstance(ports, (tuple, list)) else (ports, 0)
    if not all(0 <= port < 1 << 16 for port in (first, last)):
        raise ValueError("a port is out of range")
    if last and not first:
        raise ValueError("a range of ports begins at 1")
    if last and last < first:
        raise ValueError("a range of ports ends before it begins")
    return first, last


def _bits(text, most):
    if not 1 <= len(text) <= 3 or not all(c in "0123456789" for c in text):
        raise ValueError("the address has no proper prefix length")
    if int(text) > most:
        raise ValueError("the prefix is longer than the address")
    return int(text)


def _network(text):
    """Return: address of 16 bytes, bits of these that count, family"""
    host, slash, prefix = text.partition("/")
    is_v4 = ":" not in host
    try:
        # ipaddress would take zones as well
        data = (_V4 if is_v4 else b"") + socket.inet_pton(socket.AF_INET if is_v4 else socket.AF_INET6, host)
    except (OSError, ValueError):
        raise ValueError("not an address") from None
    offset = 96 if is_v4 else 0
    bits = offset + _bits(prefix, 128 - offset) if slash else 128
    if int.from_bytes(data, "big") & ((1 << 128 - bits) - 1):
        raise ValueError("the address has bits behind its prefix")
    # ::ffff:192.0.2.0/120 is IPv4 as well
    return data, bits, 4 if bits >= 96 and data.startswith(_V4) else 6


def _host(host, domain):
    if host is not None and domain is not None:
        raise ValueError("a host and a domain: one of the two")
    text = host if host is not None else domain
    if text is None:
        return "", 0
    if len(text) > 255:
        raise ValueError("the host is longer than a name can be")
    if len(text) > 1 and text.endswith("."):  # as in zone files: the same name
        text = text[:-1]
    if not text:
        raise ValueError("the host is empty")
    if len(text) > _NAME_MAX:
        raise ValueError("the host is longer than a name can be")
    if text.startswith(".") or text.endswith(".") or ".." in text:
        raise ValueError("the host has a part that is empty")
    if not all("!" <= c <= "~" for c in text):
        raise ValueError("the host is not ASCII: write international names in punycode")
    if "*" in text:
        raise ValueError("the host has a *: a domain is a name and all below it")
    if not all(c.isalnum() or c in "-_.\\" for c in text):
        raise ValueError("the host has a character that no name has")
    _check_labels(text)
    return text, 1 if host is not None else 2


def _check_labels(host):
    """a rule that no flow can meet is none, and was meant to be one"""
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        pass
    else:
        raise ValueError("the host is an address, which is no name")
    # other bytes are \DDD in names of flows, four for one
    if any(len(label) > 63 and "\\" not in label for label in host.split(".")):
        raise ValueError("the host has a part of more than 63 bytes")


def _exe(path):
    if not path:
        return ""
    if len(path.encode("utf-8", "surrogateescape")) > 511:
        raise ValueError("the path of the program is longer than 511 bytes")
    if not path.startswith("/"):
        raise ValueError("the path of the program does not begin with /")
    return path


def _interface(name):
    if len((name or "").encode("utf-8", "surrogateescape")) > 15:
        raise ValueError("the name of the interface is longer than 15 bytes")
    return name or ""


def _cgroup(path):
    path = path or ""
    if len(path.encode("utf-8", "surrogateescape")) > 255:
        raise ValueError("the cgroup is longer than 255 bytes")
    if len(path) > 1 and path.endswith("/"):
        path = path[:-1]
    if path and not path.startswith("/"):
        raise ValueError("the cgroup does not begin with /")
    if len(path) > 1 and path.endswith("/"):
        raise ValueError("the cgroup ends with /")
    return path


def encode_all(rules):
    """the records of a set; BadRule names the rule that is wrong"""
    records = []
    for number, rule in enumerate(rules, 1):
        if number > RULES_MAX:
            raise BadRule(f"rule {number}: more than {RULES_MAX} rules", errno.E2BIG)
        try:
            records.append(rule.encode())
        except ValueError as problem:
            raise BadRule(f"rule {number}: {problem}") from None
    return records
