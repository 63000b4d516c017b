# SPDX-License-Identifier: LGPL-2.1-or-later
"""The records of the provider channel, from the tables of src/wire: do not edit below.

    tests/abi/wire-man BUILD/src/wire/gen-tables python/sluice/records.py --update
"""
from collections import namedtuple

Field = namedtuple("Field", "name kind bytes limit")  # limit: the largest number; 0: any
Record = namedtuple("Record", "name type origin has_tail fields")

# BEGIN TABLES
HEADER_BYTES = 8
TAIL_MAX = 32768
RECORD_MAX = 36872
VERSION = 1

RULES_MAX = 65536

# origin: 0 sluiced, 1 provider
RECORDS = (
    Record("HELLO", 1, 1, False, (  # first record of a provider
        Field("version", "u32", 4, 0),  # protocol version the provider speaks
        Field("kind", "u8", 1, 3),  # 1: filter, 2: transparent proxy, 3: proxy of applications
        Field("name", "str", 32, 0),  # name for people and logs
    )),
    Record("WELCOME", 2, 0, False, (  # answer to HELLO
        Field("version", "u32", 4, 0),  # protocol version in force
        Field("session", "u64", 8, 0),  # names this run of the provider
        Field("instance", "str", 32, 0),  # the instance that governs
    )),
    Record("OPTION", 3, 0, False, (  # one option of the configuration
        Field("key", "str", 32, 0),  # name of the option
        Field("value", "str", 256, 0),  # its text; a file option carries the open file as descriptor
    )),
    Record("START", 4, 0, False, (  # all options are there: start
        Field("reason", "u8", 1, 2),  # 0 enabled, 1 restarted after it died, 2 restarted after it hung
    )),
    Record("READY", 5, 1, False, (  # started, or why not
        Field("error", "u32", 4, 4095),  # 0, or the errno that kept it from starting
        Field("data", "u8", 1, 1),  # 1: it may answer FLOW_PEEK
        Field("closed", "u8", 1, 1),  # 1: it wants FLOW_CLOSED
        Field("packets", "u8", 1, 1),  # 1: it filters packets
        Field("copy", "u32", 4, 32000),  # so many bytes of each packet it wants to see; 0: 128
        Field("text", "str", 256, 0),  # what it says about its start, for people
        Field("datagrams", "u8", 1, 1),  # 1: a proxy that takes UDP as well
    )),
    Record("PING", 6, 0, False, (  # are you there
        Field("token", "u64", 8, 0),  # to be returned
    )),
    Record("PONG", 7, 1, False, (  # yes
        Field("token", "u64", 8, 0),  # of the PING
    )),
    Record("STOP", 8, 0, False, (  # end; held flows are no longer yours
        Field("reason", "u8", 1, 3),  # 0 disabled, 1 instance ends, 2 replaced, 3 protocol error
    )),
    Record("STOPPED", 9, 1, False, (  # ended
        Field("error", "u32", 4, 4095),  # 0, or what went wrong while stopping
    )),
    Record("LOG", 10, 1, False, (  # a line for people
        Field("level", "u8", 1, 7),  # syslog priority
        Field("text", "str", 512, 0),  # one line, shown by status and in the log
    )),
    Record("LIST", 11, 1, False, (  # a list by which it judges, or its new version
        Field("number", "u16", 2, 255),  # of the list, from 0
        Field("exceptions", "u8", 1, 1),  # 1: its names are allowed
        Field("names", "u32", 4, 0),  # names that it blocks
        Field("allowed", "u32", 4, 0),  # names that it takes out of what is blocked
        Field("unusable", "u32", 4, 0),  # lines of no use; by kind:
        Field("character", "u32", 4, 0),  # a character that no host name has
        Field("idn", "u32", 4, 0),  # neither ASCII nor a name in UTF-8
        Field("label", "u32", 4, 0),  # an empty label
        Field("too_long", "u32", 4, 0),  # a label, a name, a line
        Field("words", "u32", 4, 0),  # of no known form
        Field("no_name", "u32", 4, 0),  # an address alone
        Field("address", "u32", 4, 0),  # an answer that leads somewhere
        Field("cosmetic", "u32", 4, 0),  # AdBlock: what a page shows
        Field("url", "u32", 4, 0),  # AdBlock: more than a host
        Field("regex", "u32", 4, 0),  # AdBlock: regular expressions
        Field("modifier", "u32", 4, 0),  # AdBlock: some requests only
        Field("wildcard", "u32", 4, 0),  # does not end in a label
        Field("setting", "u32", 4, 0),  # dnsmasq, RPZ: no block
        Field("zone", "u32", 4, 0),  # RPZ: no name of the zone
        Field("changed", "u64", 8, 0),  # when its file was, seconds of time(2); 0: not known
        Field("loaded", "u64", 8, 0),  # when it came into force
        Field("name", "str", 256, 0),  # for people, such as its path
        Field("reason", "str", 64, 0),  # how the reasons of its hits begin, before a blank
    )),
    Record("FLOW_NEW", 16, 0, False, (  # judge this flow
        Field("id", "u64", 8, 0),  # the flow, for ever unique in this instance
        Field("cookie", "u64", 8, 0),  # socket cookie
        Field("exe_inode", "u64", 8, 0),  # inode of the executable
        Field("exe_device", "u32", 4, 0),  # its device, as in the kernel's dev_t
        Field("pid", "u32", 4, 0),  # process that uses the socket
        Field("owner_pid", "u32", 4, 0),  # process that created the socket; 0: unknown
        Field("uid", "u32", 4, 0),  # user id of the user of the socket
        Field("gid", "u32", 4, 0),  # its group id
        Field("owner_uid", "u32", 4, 0),  # user id of the creator
        Field("ifindex", "u32", 4, 0),  # egress (inbound: ingress) interface; 0: unknown
        Field("direction", "u8", 1, 1),  # 0 outbound, 1 inbound
        Field("protocol", "u8", 1, 0),  # IP protocol number
        Field("host_source", "u8", 1, 7),  # 0 none, 1 dns, 2 tls, 3 tls-outer, 4 http, 5 h2c, 6 quic, 7 quic-outer
        Field("interface_kind", "u8", 1, 7),  # 0 other, 1 loopback, 2 ethernet, 3 wifi, 4 cellular, 5 tunnel, 6 bridge, 7 virtual
        Field("is_cut", "u8", 1, 1),  # 1: exe or command is longer than its field
        Field("sport", "u16", 2, 0),  # local port; ICMP: identifier
        Field("dport", "u16", 2, 0),  # remote port
        Field("src", "addr", 16, 0),  # local address
        Field("dst", "addr", 16, 0),  # remote address
        Field("interface", "str", 16, 0),  # name of the interface
        Field("unit", "str", 128, 0),  # systemd unit, from the cgroup
        Field("container", "str", 72, 0),  # container id or machine name, from the cgroup
        Field("host", "str", 256, 0),  # name of the remote side; host_source says who says so
        Field("exe", "str", 512, 0),  # path of the executable
        Field("command", "str", 256, 0),  # command line, arguments joined by spaces
        Field("cgroup", "str", 512, 0),  # cgroup, below the cgroup root
        Field("again", "u8", 1, 1),  # 1: judged before; its verdict stays until the answer
        Field("host_reading", "u8", 1, 4),  # first bytes: 0 not read, 1 FLOW_NAME has them read for the host, 2 read, 3 read and refused, 4 they could not be read
        Field("bound", "u8", 1, 1),  # 1: its socket is bound to that interface; outbound
    )),
    Record("FLOW_VERDICT", 17, 1, False, (  # the judgement
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEW
        Field("verdict", "u8", 1, 2),  # 0 allow, 1 drop with an error, 2 drop silently
        Field("scope", "u8", 1, 2),  # 0 this flow, 1 this application and address and port, 2 this application and name
        Field("reason", "str", 128, 0),  # why, for people: list and line, rule …
    )),
    Record("FLOW_CLOSED", 18, 0, False, (  # an allowed flow ended
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEW
        Field("bytes_in", "u64", 8, 0),  # payload bytes received by the socket
        Field("bytes_out", "u64", 8, 0),  # payload bytes sent by the socket
    )),
    Record("FLOW_FORGET", 19, 1, False, (  # its rules changed: forget verdicts that reach beyond a flow
        Field("again", "u8", 1, 1),  # 1: and ask again about the flows that are open
    )),
    Record("FLOW_UPDATE", 20, 1, False, (  # another verdict for a flow
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEW
        Field("verdict", "u8", 1, 2),  # 0 allow, 1 drop with an error, 2 drop silently
        Field("reason", "str", 128, 0),  # why, for people
    )),
    Record("RULES_BEGIN", 21, 1, False, (  # a set of static rules follows
        Field("set", "u64", 8, 0),  # number of the set, for RULES_DONE
    )),
    Record("RULE", 22, 1, False, (  # one rule; the first that matches a flow decides
        Field("action", "u8", 1, 3),  # 0 ask the provider, 1 allow, 2 drop with an error, 3 drop silently
        Field("direction", "u8", 1, 2),  # 0 any, 1 outbound, 2 inbound
        Field("protocol", "u8", 1, 0),  # IP protocol number; 0: any
        Field("family", "u8", 1, 6),  # of the remote address: 0 any, 4, 6
        Field("bits", "u8", 1, 128),  # leading bits of `remote` that count, of all 128; 0: none
        Field("host_kind", "u8", 1, 2),  # 0 any host, 1 this name, 2 this name and all below it
        Field("has_uid", "u8", 1, 1),  # 1: flows of this user only
        Field("uid", "u32", 4, 0),  # user id of the user of the socket
        Field("rport", "u16", 2, 0),  # first remote port; 0: any, ICMP too
        Field("rport_last", "u16", 2, 0),  # last one; 0: the first alone
        Field("lport", "u16", 2, 0),  # first local port; 0: any, ICMP too
        Field("lport_last", "u16", 2, 0),  # last one; 0: the first alone
        Field("remote", "addr", 16, 0),  # remote address; the bits behind the first `bits` are 0
        Field("lfamily", "u8", 1, 6),  # of the local address: 0 any, 4, 6
        Field("lbits", "u8", 1, 128),  # leading bits of `local` that count, of all 128; 0: none
        Field("local", "addr", 16, 0),  # local address; the bits behind the first `lbits` are 0
        Field("host", "str", 256, 0),  # name, without a dot at its end
        Field("exe", "str", 512, 0),  # path of the executable; empty: any
        Field("interface", "str", 16, 0),  # name of the interface of FLOW_NEW; empty: any
        Field("cgroup", "str", 256, 0),  # this cgroup and all below it, without a slash at its end; empty: any
        Field("reason", "str", 128, 0),  # why, for people
    )),
    Record("RULES_COMMIT", 23, 1, False, (  # the set is complete: put it in force
        Field("otherwise", "u8", 1, 3),  # what becomes of a flow that no rule matches; as action
    )),
    Record("RULES_DONE", 24, 0, False, (  # the set is in force, or why not
        Field("set", "u64", 8, 0),  # number of the set
        Field("error", "u32", 4, 4095),  # 0, or the errno that kept it from being in force
        Field("rule", "u32", 4, 0),  # the rule that is wrong, counted from 1; 0: none is
        Field("text", "str", 256, 0),  # what is wrong, for people
    )),
    Record("FLOW_PEEK", 25, 1, False, (  # the judgement: not before seeing what the flow carries
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEW
        Field("outbound", "u8", 1, 1),  # 1: show what leaves this machine, and hold it
        Field("inbound", "u8", 1, 1),  # 1: the same for what comes in
        Field("peek_out", "u64", 8, 0),  # bytes to show at once; all ones: as many as can be
        Field("peek_in", "u64", 8, 0),  # the same for what comes in
        Field("reason", "str", 128, 0),  # why, for people
    )),
    Record("FLOW_DATA", 26, 0, True, (  # judge these bytes
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEW
        Field("direction", "u8", 1, 1),  # 0 outbound, 1 inbound
        Field("end", "u8", 1, 1),  # 1: nothing follows these bytes in this direction
        Field("most", "u32", 4, 0),  # 0; or more was to be shown at once than this, which is the most
        Field("offset", "u64", 8, 0),  # of the first byte, from the beginning of the direction
    )),
    Record("FLOW_PASS", 27, 1, False, (  # the judgement on them
        Field("id", "u64", 8, 0),  # the flow of FLOW_DATA
        Field("direction", "u8", 1, 1),  # of FLOW_DATA
        Field("pass", "u64", 8, 0),  # bytes from its offset on that go; all ones: all that ever come
        Field("peek", "u64", 8, 0),  # bytes behind these to show next; all ones: as many as can be
    )),
    Record("FLOW_PAUSE", 28, 1, False, (  # the judgement takes longer; or not any more
        Field("id", "u64", 8, 0),  # the flow that the provider is asked about
        Field("pause", "u8", 1, 1),  # 1: the answer comes later; 0: it comes now
    )),
    Record("FLOW_NAME", 29, 1, False, (  # the judgement: not before its first bytes were read for the host
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEW
        Field("reason", "str", 128, 0),  # why, for people
    )),
    Record("FLOW_WATCH", 40, 1, False, (  # report on this flow
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEW
        Field("rate", "u8", 1, 4),  # of reports: 0 none any more, 1 what is decided and the end, or also: 2 every 5 s, 3 every second, 4 every half second
    )),
    Record("FLOW_REPORT", 41, 0, True, (  # what became of a flow, and how much it has carried
        Field("id", "u64", 8, 0),  # the flow of FLOW_WATCH
        Field("event", "u8", 1, 3),  # 0 judged, 1 judged by its bytes or anew, 2 ended, 3 statistics
        Field("verdict", "u8", 1, 2),  # of all filters: 0 allow, 1 drop with an error, 2 drop silently
        Field("looked_at", "u8", 1, 1),  # 1: it goes on, and a filter looks at what it carries
        Field("bytes_in", "u64", 8, 0),  # payload bytes received by the socket, from the beginning
        Field("bytes_out", "u64", 8, 0),  # payload bytes sent by the socket, from the beginning
        Field("age", "u64", 8, 0),  # microseconds since its first packet
        Field("lost", "u64", 8, 0),  # reports that were due to this filter and lost, so far
    )),
    Record("FLOW_NEED_RULES", 42, 1, False, (  # the judgement: not before the rules have changed
        Field("id", "u64", 8, 0),  # the flow that the provider is asked about
        Field("reason", "str", 128, 0),  # which, for people
    )),
    Record("FLOW_REFUSED", 43, 0, False, (  # FLOW_NEED_RULES was no answer: the question is still open
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEED_RULES
        Field("error", "u32", 4, 4095),  # errno
        Field("text", "str", 128, 0),  # why, for people
    )),
    Record("FLOW_TAKE", 48, 1, False, (  # the judgement of a proxy: it takes the flow
        Field("id", "u64", 8, 0),  # the flow of FLOW_NEW
    )),
    Record("FLOW_OPENED", 49, 1, False, (  # the other side of that flow is reached, or why not
        Field("id", "u64", 8, 0),  # the flow of FLOW_TAKE, or of FLOW_NEW: it is taken, then
        Field("error", "u32", 4, 4095),  # 0, or the errno for connect(2) of the program
        Field("reason", "str", 128, 0),  # why, for people
        Field("quiet", "u8", 1, 1),  # 1: of TCP, FLOW_END comes only after FLOW_ASK_END
    )),
    Record("FLOW_SOCKET", 50, 0, False, (  # the connection of that flow
        Field("id", "u64", 8, 0),  # the flow of FLOW_OPENED; the connection comes along
    )),
    Record("FLOW_CANCEL", 51, 0, False, (  # there is none
        Field("id", "u64", 8, 0),  # the flow of FLOW_TAKE: it is over
    )),
    Record("FLOW_ASK_END", 52, 1, False, (  # the program has ended its side: how?
        Field("id", "u64", 8, 0),  # the flow of FLOW_SOCKET
    )),
    Record("FLOW_DATAGRAM", 54, 0, True, (  # a datagram of that flow, which came before its socket was there
        Field("id", "u64", 8, 0),  # the flow of FLOW_OPENED
        Field("offset", "u32", 4, 65535),  # of the first byte of the tail in the datagram
        Field("total", "u32", 4, 65535),  # bytes of the datagram; the rest of them follows at once
    )),
    Record("FLOW_END", 53, 0, False, (  # so
        Field("id", "u64", 8, 0),  # the flow of FLOW_SOCKET
        Field("full", "u8", 1, 1),  # 1: the program has no descriptor of it any more; 0: it reads on
    )),
    Record("PACKETS", 30, 0, True, (  # judge these packets
        Field("n", "u32", 4, 64),  # packets in the tail
    )),
    Record("PACKET_VERDICT", 31, 1, False, (  # the judgement on packets
        Field("first", "u64", 8, 0),  # number of the first packet
        Field("n", "u32", 4, 0),  # of so many numbers
        Field("verdict", "u8", 1, 2),  # 0 allow, 1 drop, 2 delay
    )),
    Record("PACKET_RULES", 32, 1, True, (  # static rules for packets
        Field("n", "u32", 4, 512),  # rules in the tail
        Field("otherwise", "u8", 1, 2),  # what becomes of a packet that no rule matches: 0 ask, 1 allow, 2 drop
    )),
)
# END TABLES
