/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Provider channel, version 1: sluiced (end 0) and a provider (end 1), on fd 3
 *
 *	provider                          sluiced
 *	   ── HELLO ───────────────────────▶
 *	   ◀─ WELCOME, OPTION…, START ──────
 *	   ── READY ───────────────────────▶    (or READY with an errno: not started)
 *	   ◀─ FLOW_NEW ─────────────────────
 *	   ── FLOW_VERDICT ────────────────▶    exactly one for each FLOW_NEW; or
 *	   ── FLOW_PEEK ───────────────────▶    in its place
 *	   ◀─ FLOW_DATA ────────────────────    then, again and again, what the flow carries
 *	   ── FLOW_PASS or FLOW_VERDICT ───▶    exactly one for each FLOW_DATA
 *	   ── FLOW_PAUSE ──────────────────▶    before an answer that takes long
 *	   ── FLOW_NEED_RULES ─────────────▶    in the place of a verdict: asked again with other rules
 *	   ◀─ FLOW_REFUSED ─────────────────    that was no answer
 *	   ◀─ FLOW_CLOSED ──────────────────    only for flows it allowed, and if it wants them
 *	   ── FLOW_WATCH ──────────────────▶    with a verdict: it wants reports of this flow
 *	   ◀─ FLOW_REPORT ──────────────────    of such flows
 *	   ── FLOW_UPDATE ─────────────────▶    the filter has changed its mind about a flow
 *	   ── FLOW_FORGET ─────────────────▶    at any time after READY
 *	   ── RULES_BEGIN, RULE…,
 *	      RULES_COMMIT ────────────────▶    at any time after START, also before READY
 *	   ◀─ RULES_DONE ───────────────────    one for each RULES_COMMIT
 *	   ◀─ PACKETS ──────────────────────    of one that filters packets
 *	   ── PACKET_VERDICT ──────────────▶    for each of them, alone or with others
 *	   ── PACKET_RULES ────────────────▶    at any time after START, also before READY
 *	   ── FLOW_TAKE ───────────────────▶    of a proxy, in the place of a verdict
 *	   ── FLOW_OPENED ─────────────────▶    its other side is reached, or is not
 *	   ◀─ FLOW_SOCKET ──────────────────    the connection with the program; or
 *	   ◀─ FLOW_CANCEL ──────────────────    there will be none
 *	   ── FLOW_ASK_END ────────────────▶    it has read the end
 *	   ◀─ FLOW_END ─────────────────────    of which kind that is; a full one also unasked
 *	   ── LIST ────────────────────────▶    for people
 *	   ◀─ PING ─────────  PONG ────────▶    a provider that does not answer is hung
 *	   ◀─ STOP ──────────  STOPPED ────▶
 *
 * For each flow the provider that got FLOW_NEW may answer until the flow's
 * deadline; after it sluiced has answered by the fail class, and a late or
 * second FLOW_VERDICT is counted and ignored. A FLOW_NEW may be hypothetical
 * (`sluice explain`): nothing tells it from others, so that its answer is the
 * one a real flow would get. What a verdict's scope means is
 * said in sluice_filter(3); an answer that reaches beyond its flow is remembered
 * until FLOW_FORGET or the end of the session.
 *
 * FLOW_FORGET with `again` makes sluiced ask again about each flow of before, one
 * FLOW_NEW with `again` each, a few at a time. Without an answer within 5 s the
 * flow keeps its verdict. FLOW_UPDATE and these answers are for flows that go on:
 * one that is allowed no more is cut, one that is denied no more is forgotten, so
 * that its next packet is a new flow.
 *
 * FLOW_PEEK lets the flow begin and holds what it carries (flow/peek.h): a filter that
 * looks at a direction gets its bytes in order, FLOW_DATA by FLOW_DATA, one open at a
 * time in each direction; nothing of them goes before it, and every other filter that
 * looks, has said so. FLOW_VERDICT is final for the flow, in both directions. FLOW_PAUSE
 * takes the deadline from what is open. Only a provider that said so in READY may use it.
 *
 * FLOW_NEED_RULES holds a flow, or the bytes that were shown, until FLOW_FORGET or another set
 * of rules in force, which ask again; for 10 s at most, then the fail class decides. A
 * second one before that is refused. FLOW_WATCH is for a flow that the provider was told of,
 * before its verdict or later. FLOW_REPORT is never sent more often than was asked for. Its tail
 * has more of them, whole and without tails. One that the channel has no place for is lost
 * and counted, the last one of a flow is kept.
 *
 * PACKETS shows packets, one behind the other in its tail, as wire/packets.h has them, to a
 * provider that said in READY that it filters packets. Their numbers count up; not every number
 * is told. PACKET_VERDICT is for all of a range of numbers: one that was told for each. `delay`
 * keeps a packet, and wants another PACKET_VERDICT. PACKET_RULES has rules in its tail, also as
 * in wire/packets.h, which take the place of those of before, as a whole.
 *
 * A proxy is asked as a filter is, behind all of them. Its FLOW_VERDICT allows a flow that it
 * declines, or denies it. FLOW_TAKE has no deadline behind it: what waits is the program. With
 * FLOW_OPENED without an error its SYN goes on, to a listener of sluiced, and FLOW_SOCKET has the
 * descriptor, whose close is a reset (SO_LINGER). Of UDP it is connected with the program, and
 * what came before it was there comes as FLOW_DATAGRAM, in front of it and behind it. FLOW_CANCEL comes instead if the program has
 * given up, also before FLOW_OPENED. FLOW_END says once that the program has closed its last
 * descriptor; in answer to FLOW_ASK_END it may also say that it has not. Of a flow that was opened
 * quietly it says nothing before it was asked once: then it is as of any other.
 *
 * LIST, at any time after START, tells of a list for `sluice lists`; sluiced counts
 * the flows that were decided for a reason which begins as it says.
 *
 * RULES_BEGIN … RULES_COMMIT is a set of rules by which sluiced answers in the
 * filter's place (policy/rules.h). A set is in force as a whole or not at all: one
 * bad rule, and the set of before stays; RULES_DONE names the rule. A RULES_BEGIN
 * without the RULES_COMMIT of the set before it throws that one away. A set that is
 * given before READY is in force with READY; a provider that is started again and
 * gives none before its READY has none from then on.
 */

#include "wire/table.h"

#define WIRE_PROVIDER_VERSION 1U

/* kinds of HELLO */
enum { HELLO_FILTER = 1, HELLO_PROXY, HELLO_APP_PROXY };

/* clang-format off */
#define WIRE_FIELDS_HELLO(F, S) \
	F(S, u32,  version,    0,   "protocol version the provider speaks") \
	F(S, u8,   kind,       3,   "1: filter, 2: transparent proxy, 3: proxy of applications") \
	F(S, str,  name,       32,  "name for people and logs")

#define WIRE_FIELDS_WELCOME(F, S) \
	F(S, u32,  version,    0,   "protocol version in force") \
	F(S, u64,  session,    0,   "names this run of the provider") \
	F(S, str,  instance,   32,  "the instance that governs")

#define WIRE_FIELDS_OPTION(F, S) \
	F(S, str,  key,        32,  "name of the option") \
	F(S, str,  value,      256, "its text; a file option carries the open file as descriptor")

#define WIRE_FIELDS_START(F, S) \
	F(S, u8,   reason,     2,   "0 enabled, 1 restarted after it died, 2 restarted after it hung")

#define WIRE_FIELDS_READY(F, S) \
	F(S, u32,  error,      4095, "0, or the errno that kept it from starting") \
	F(S, u8,   data,       1,   "1: it may answer FLOW_PEEK") \
	F(S, u8,   closed,     1,   "1: it wants FLOW_CLOSED") \
	F(S, u8,   packets,    1,   "1: it filters packets") \
	F(S, u32,  copy,       32000, "so many bytes of each packet it wants to see; 0: 128") \
	F(S, str,  text,       256, "what it says about its start, for people") \
	F(S, u8,   datagrams,  1,   "1: a proxy that takes UDP as well")

#define WIRE_FIELDS_FLOW_NEW(F, S) \
	F(S, u64,  id,         0,   "the flow, for ever unique in this instance") \
	F(S, u64,  cookie,     0,   "socket cookie") \
	F(S, u64,  exe_inode,  0,   "inode of the executable") \
	F(S, u32,  exe_device, 0,   "its device, as in the kernel's dev_t") \
	F(S, u32,  pid,        0,   "process that uses the socket") \
	F(S, u32,  owner_pid,  0,   "process that created the socket; 0: unknown") \
	F(S, u32,  uid,        0,   "user id of the user of the socket") \
	F(S, u32,  gid,        0,   "its group id") \
	F(S, u32,  owner_uid,  0,   "user id of the creator") \
	F(S, u32,  ifindex,    0,   "egress (inbound: ingress) interface; 0: unknown") \
	F(S, u8,   direction,  1,   "0 outbound, 1 inbound") \
	F(S, u8,   protocol,   0,   "IP protocol number") \
	F(S, u8,   host_source, 7,  "0 none, 1 dns, 2 tls, 3 tls-outer, 4 http, 5 h2c, 6 quic, 7 quic-outer") \
	F(S, u8,   interface_kind, 7, "0 other, 1 loopback, 2 ethernet, 3 wifi, 4 cellular, 5 tunnel, 6 bridge, 7 virtual") \
	F(S, u8,   is_cut,     1,   "1: exe or command is longer than its field") \
	F(S, u16,  sport,      0,   "local port; ICMP: identifier") \
	F(S, u16,  dport,      0,   "remote port") \
	F(S, addr, src,        0,   "local address") \
	F(S, addr, dst,        0,   "remote address") \
	F(S, str,  interface,  16,  "name of the interface") \
	F(S, str,  unit,       128, "systemd unit, from the cgroup") \
	F(S, str,  container,  72,  "container id or machine name, from the cgroup") \
	F(S, str,  host,       256, "name of the remote side; host_source says who says so") \
	F(S, str,  exe,        512, "path of the executable") \
	F(S, str,  command,    256, "command line, arguments joined by spaces") \
	F(S, str,  cgroup,     512, "cgroup, below the cgroup root") \
	F(S, u8,   again,      1,   "1: judged before; its verdict stays until the answer") \
	F(S, u8,   host_reading, 4, "first bytes: 0 not read, 1 FLOW_NAME has them read for the host, 2 read, 3 read and refused, 4 they could not be read") \
	F(S, u8,   bound,      1,   "1: its socket is bound to that interface; outbound")

#define WIRE_FIELDS_FLOW_NAME(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEW") \
	F(S, str,  reason,     128, "why, for people")

#define WIRE_FIELDS_FLOW_VERDICT(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEW") \
	F(S, u8,   verdict,    2,   "0 allow, 1 drop with an error, 2 drop silently") \
	F(S, u8,   scope,      2,   "0 this flow, 1 this application and address and port, 2 this application and name") \
	F(S, str,  reason,     128, "why, for people: list and line, rule …")

#define WIRE_FIELDS_FLOW_CLOSED(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEW") \
	F(S, u64,  bytes_in,   0,   "payload bytes received by the socket") \
	F(S, u64,  bytes_out,  0,   "payload bytes sent by the socket")

#define WIRE_FIELDS_FLOW_FORGET(F, S) \
	F(S, u8,   again,      1,   "1: and ask again about the flows that are open")

#define WIRE_FIELDS_FLOW_UPDATE(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEW") \
	F(S, u8,   verdict,    2,   "0 allow, 1 drop with an error, 2 drop silently") \
	F(S, str,  reason,     128, "why, for people")

#define WIRE_FIELDS_FLOW_PEEK(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEW") \
	F(S, u8,   outbound,   1,   "1: show what leaves this machine, and hold it") \
	F(S, u8,   inbound,    1,   "1: the same for what comes in") \
	F(S, u64,  peek_out,   0,   "bytes to show at once; all ones: as many as can be") \
	F(S, u64,  peek_in,    0,   "the same for what comes in") \
	F(S, str,  reason,     128, "why, for people")

#define WIRE_FIELDS_FLOW_DATA(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEW") \
	F(S, u8,   direction,  1,   "0 outbound, 1 inbound") \
	F(S, u8,   end,        1,   "1: nothing follows these bytes in this direction") \
	F(S, u32,  most,       0,   "0; or more was to be shown at once than this, which is the most") \
	F(S, u64,  offset,     0,   "of the first byte, from the beginning of the direction")

#define WIRE_FIELDS_FLOW_PASS(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_DATA") \
	F(S, u8,   direction,  1,   "of FLOW_DATA") \
	F(S, u64,  pass,       0,   "bytes from its offset on that go; all ones: all that ever come") \
	F(S, u64,  peek,       0,   "bytes behind these to show next; all ones: as many as can be")

#define WIRE_FIELDS_FLOW_PAUSE(F, S) \
	F(S, u64,  id,         0,   "the flow that the provider is asked about") \
	F(S, u8,   pause,      1,   "1: the answer comes later; 0: it comes now")

#define WIRE_FIELDS_FLOW_WATCH(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEW") \
	F(S, u8,   rate,       4,   "of reports: 0 none any more, 1 what is decided and the end, or also: 2 every 5 s, 3 every second, 4 every half second")

#define WIRE_FIELDS_FLOW_REPORT(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_WATCH") \
	F(S, u8,   event,      3,   "0 judged, 1 judged by its bytes or anew, 2 ended, 3 statistics") \
	F(S, u8,   verdict,    2,   "of all filters: 0 allow, 1 drop with an error, 2 drop silently") \
	F(S, u8,   looked_at,  1,   "1: it goes on, and a filter looks at what it carries") \
	F(S, u64,  bytes_in,   0,   "payload bytes received by the socket, from the beginning") \
	F(S, u64,  bytes_out,  0,   "payload bytes sent by the socket, from the beginning") \
	F(S, u64,  age,        0,   "microseconds since its first packet") \
	F(S, u64,  lost,       0,   "reports that were due to this filter and lost, so far")

#define WIRE_FIELDS_FLOW_NEED_RULES(F, S) \
	F(S, u64,  id,         0,   "the flow that the provider is asked about") \
	F(S, str,  reason,     128, "which, for people")

#define WIRE_FIELDS_FLOW_REFUSED(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEED_RULES") \
	F(S, u32,  error,      4095, "errno") \
	F(S, str,  text,       128, "why, for people")

#define WIRE_FIELDS_FLOW_TAKE(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_NEW")

#define WIRE_FIELDS_FLOW_OPENED(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_TAKE, or of FLOW_NEW: it is taken, then") \
	F(S, u32,  error,      4095, "0, or the errno for connect(2) of the program") \
	F(S, str,  reason,     128, "why, for people") \
	F(S, u8,   quiet,      1,   "1: of TCP, FLOW_END comes only after FLOW_ASK_END")

#define WIRE_FIELDS_FLOW_SOCKET(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_OPENED; the connection comes along")

#define WIRE_FIELDS_FLOW_CANCEL(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_TAKE: it is over")

#define WIRE_FIELDS_FLOW_DATAGRAM(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_OPENED") \
	F(S, u32,  offset,     65535, "of the first byte of the tail in the datagram") \
	F(S, u32,  total,      65535, "bytes of the datagram; the rest of them follows at once")

#define WIRE_FIELDS_FLOW_ASK_END(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_SOCKET")

#define WIRE_FIELDS_FLOW_END(F, S) \
	F(S, u64,  id,         0,   "the flow of FLOW_SOCKET") \
	F(S, u8,   full,       1,   "1: the program has no descriptor of it any more; 0: it reads on")

#define WIRE_FIELDS_PACKETS(F, S) \
	F(S, u32,  n,          64,  "packets in the tail")

#define WIRE_FIELDS_PACKET_VERDICT(F, S) \
	F(S, u64,  first,      0,   "number of the first packet") \
	F(S, u32,  n,          0,   "of so many numbers") \
	F(S, u8,   verdict,    2,   "0 allow, 1 drop, 2 delay")

#define WIRE_FIELDS_PACKET_RULES(F, S) \
	F(S, u32,  n,          512, "rules in the tail") \
	F(S, u8,   otherwise,  2,   "what becomes of a packet that no rule matches: 0 ask, 1 allow, 2 drop")

#define WIRE_FIELDS_RULES_BEGIN(F, S) \
	F(S, u64,  set,        0,   "number of the set, for RULES_DONE")

#define WIRE_FIELDS_RULE(F, S) \
	F(S, u8,   action,     3,   "0 ask the provider, 1 allow, 2 drop with an error, 3 drop silently") \
	F(S, u8,   direction,  2,   "0 any, 1 outbound, 2 inbound") \
	F(S, u8,   protocol,   0,   "IP protocol number; 0: any") \
	F(S, u8,   family,     6,   "of the remote address: 0 any, 4, 6") \
	F(S, u8,   bits,       128, "leading bits of `remote` that count, of all 128; 0: none") \
	F(S, u8,   host_kind,  2,   "0 any host, 1 this name, 2 this name and all below it") \
	F(S, u8,   has_uid,    1,   "1: flows of this user only") \
	F(S, u32,  uid,        0,   "user id of the user of the socket") \
	F(S, u16,  rport,      0,   "first remote port; 0: any, ICMP too") \
	F(S, u16,  rport_last, 0,   "last one; 0: the first alone") \
	F(S, u16,  lport,      0,   "first local port; 0: any, ICMP too") \
	F(S, u16,  lport_last, 0,   "last one; 0: the first alone") \
	F(S, addr, remote,     0,   "remote address; the bits behind the first `bits` are 0") \
	F(S, u8,   lfamily,    6,   "of the local address: 0 any, 4, 6") \
	F(S, u8,   lbits,      128, "leading bits of `local` that count, of all 128; 0: none") \
	F(S, addr, local,      0,   "local address; the bits behind the first `lbits` are 0") \
	F(S, str,  host,       256, "name, without a dot at its end") \
	F(S, str,  exe,        512, "path of the executable; empty: any") \
	F(S, str,  interface,  16,  "name of the interface of FLOW_NEW; empty: any") \
	F(S, str,  cgroup,     256, "this cgroup and all below it, without a slash at its end; empty: any") \
	F(S, str,  reason,     128, "why, for people")

#define WIRE_FIELDS_RULES_COMMIT(F, S) \
	F(S, u8,   otherwise,  3,   "what becomes of a flow that no rule matches; as action")

#define WIRE_FIELDS_RULES_DONE(F, S) \
	F(S, u64,  set,        0,   "number of the set") \
	F(S, u32,  error,      4095, "0, or the errno that kept it from being in force") \
	F(S, u32,  rule,       0,   "the rule that is wrong, counted from 1; 0: none is") \
	F(S, str,  text,       256, "what is wrong, for people")

#define WIRE_FIELDS_LOG(F, S) \
	F(S, u8,   level,      7,   "syslog priority") \
	F(S, str,  text,       512, "one line, shown by status and in the log")

#define WIRE_FIELDS_LIST(F, S) \
	F(S, u16,  number,     255, "of the list, from 0") \
	F(S, u8,   exceptions, 1,   "1: its names are allowed") \
	F(S, u32,  names,      0,   "names that it blocks") \
	F(S, u32,  allowed,    0,   "names that it takes out of what is blocked") \
	F(S, u32,  unusable,   0,   "lines of no use; by kind:") \
	F(S, u32,  character,  0,   "a character that no host name has") \
	F(S, u32,  idn,        0,   "neither ASCII nor a name in UTF-8") \
	F(S, u32,  label,      0,   "an empty label") \
	F(S, u32,  too_long,   0,   "a label, a name, a line") \
	F(S, u32,  words,      0,   "of no known form") \
	F(S, u32,  no_name,    0,   "an address alone") \
	F(S, u32,  address,    0,   "an answer that leads somewhere") \
	F(S, u32,  cosmetic,   0,   "AdBlock: what a page shows") \
	F(S, u32,  url,        0,   "AdBlock: more than a host") \
	F(S, u32,  regex,      0,   "AdBlock: regular expressions") \
	F(S, u32,  modifier,   0,   "AdBlock: some requests only") \
	F(S, u32,  wildcard,   0,   "does not end in a label") \
	F(S, u32,  setting,    0,   "dnsmasq, RPZ: no block") \
	F(S, u32,  zone,       0,   "RPZ: no name of the zone") \
	F(S, u64,  changed,    0,   "when its file was, seconds of time(2); 0: not known") \
	F(S, u64,  loaded,     0,   "when it came into force") \
	F(S, str,  name,       256, "for people, such as its path") \
	F(S, str,  reason,     64,  "how the reasons of its hits begin, before a blank")

#define WIRE_FIELDS_PING(F, S) \
	F(S, u64,  token,      0,   "to be returned")

#define WIRE_FIELDS_PONG(F, S) \
	F(S, u64,  token,      0,   "of the PING")

#define WIRE_FIELDS_STOP(F, S) \
	F(S, u8,   reason,     3,   "0 disabled, 1 instance ends, 2 replaced, 3 protocol error")

#define WIRE_FIELDS_STOPPED(F, S) \
	F(S, u32,  error,      4095, "0, or what went wrong while stopping")

#define WIRE_PROVIDER_TABLE(R) \
	R(HELLO,        wire_hello,        WIRE_FIELDS_HELLO,        1,  1, 0, "first record of a provider") \
	R(WELCOME,      wire_welcome,      WIRE_FIELDS_WELCOME,      2,  0, 0, "answer to HELLO") \
	R(OPTION,       wire_option,       WIRE_FIELDS_OPTION,       3,  0, 0, "one option of the configuration") \
	R(START,        wire_start,        WIRE_FIELDS_START,        4,  0, 0, "all options are there: start") \
	R(READY,        wire_ready,        WIRE_FIELDS_READY,        5,  1, 0, "started, or why not") \
	R(PING,         wire_ping,         WIRE_FIELDS_PING,         6,  0, 0, "are you there") \
	R(PONG,         wire_pong,         WIRE_FIELDS_PONG,         7,  1, 0, "yes") \
	R(STOP,         wire_stop,         WIRE_FIELDS_STOP,         8,  0, 0, "end; held flows are no longer yours") \
	R(STOPPED,      wire_stopped,      WIRE_FIELDS_STOPPED,      9,  1, 0, "ended") \
	R(LOG,          wire_log,          WIRE_FIELDS_LOG,          10, 1, 0, "a line for people") \
	R(LIST,         wire_list,         WIRE_FIELDS_LIST,         11, 1, 0, "a list by which it judges, or its new version") \
	R(FLOW_NEW,     wire_flow_new,     WIRE_FIELDS_FLOW_NEW,     16, 0, 0, "judge this flow") \
	R(FLOW_VERDICT, wire_flow_verdict, WIRE_FIELDS_FLOW_VERDICT, 17, 1, 0, "the judgement") \
	R(FLOW_CLOSED,  wire_flow_closed,  WIRE_FIELDS_FLOW_CLOSED,  18, 0, 0, "an allowed flow ended") \
	R(FLOW_FORGET,  wire_flow_forget,  WIRE_FIELDS_FLOW_FORGET,       19, 1, 0, "its rules changed: forget verdicts that reach beyond a flow") \
	R(FLOW_UPDATE,  wire_flow_update,  WIRE_FIELDS_FLOW_UPDATE,  20, 1, 0, "another verdict for a flow") \
	R(RULES_BEGIN,  wire_rules_begin,  WIRE_FIELDS_RULES_BEGIN,  21, 1, 0, "a set of static rules follows") \
	R(RULE,         wire_rule,         WIRE_FIELDS_RULE,         22, 1, 0, "one rule; the first that matches a flow decides") \
	R(RULES_COMMIT, wire_rules_commit, WIRE_FIELDS_RULES_COMMIT, 23, 1, 0, "the set is complete: put it in force") \
	R(RULES_DONE,   wire_rules_done,   WIRE_FIELDS_RULES_DONE,   24, 0, 0, "the set is in force, or why not") \
	R(FLOW_PEEK,    wire_flow_peek,    WIRE_FIELDS_FLOW_PEEK,    25, 1, 0, "the judgement: not before seeing what the flow carries") \
	R(FLOW_DATA,    wire_flow_data,    WIRE_FIELDS_FLOW_DATA,    26, 0, 1, "judge these bytes") \
	R(FLOW_PASS,    wire_flow_pass,    WIRE_FIELDS_FLOW_PASS,    27, 1, 0, "the judgement on them") \
	R(FLOW_PAUSE,   wire_flow_pause,   WIRE_FIELDS_FLOW_PAUSE,   28, 1, 0, "the judgement takes longer; or not any more") \
	R(FLOW_NAME,    wire_flow_name,    WIRE_FIELDS_FLOW_NAME,    29, 1, 0, "the judgement: not before its first bytes were read for the host") \
	R(FLOW_WATCH,   wire_flow_watch,   WIRE_FIELDS_FLOW_WATCH,   40, 1, 0, "report on this flow") \
	R(FLOW_REPORT,  wire_flow_report,  WIRE_FIELDS_FLOW_REPORT,  41, 0, 1, "what became of a flow, and how much it has carried") \
	R(FLOW_NEED_RULES, wire_flow_need_rules, WIRE_FIELDS_FLOW_NEED_RULES, 42, 1, 0, "the judgement: not before the rules have changed") \
	R(FLOW_REFUSED, wire_flow_refused, WIRE_FIELDS_FLOW_REFUSED, 43, 0, 0, "FLOW_NEED_RULES was no answer: the question is still open") \
	R(FLOW_TAKE,    wire_flow_take,    WIRE_FIELDS_FLOW_TAKE,    48, 1, 0, "the judgement of a proxy: it takes the flow") \
	R(FLOW_OPENED,  wire_flow_opened,  WIRE_FIELDS_FLOW_OPENED,  49, 1, 0, "the other side of that flow is reached, or why not") \
	R(FLOW_SOCKET,  wire_flow_socket,  WIRE_FIELDS_FLOW_SOCKET,  50, 0, 0, "the connection of that flow") \
	R(FLOW_CANCEL,  wire_flow_cancel,  WIRE_FIELDS_FLOW_CANCEL,  51, 0, 0, "there is none") \
	R(FLOW_ASK_END, wire_flow_ask_end, WIRE_FIELDS_FLOW_ASK_END, 52, 1, 0, "the program has ended its side: how?") \
	R(FLOW_DATAGRAM, wire_flow_datagram, WIRE_FIELDS_FLOW_DATAGRAM, 54, 0, 1, "a datagram of that flow, which came before its socket was there") \
	R(FLOW_END,     wire_flow_end,     WIRE_FIELDS_FLOW_END,     53, 0, 0, "so") \
	R(PACKETS,      wire_packets,      WIRE_FIELDS_PACKETS,      30, 0, 1, "judge these packets") \
	R(PACKET_VERDICT, wire_packet_verdict, WIRE_FIELDS_PACKET_VERDICT, 31, 1, 0, "the judgement on packets") \
	R(PACKET_RULES, wire_packet_rules, WIRE_FIELDS_PACKET_RULES, 32, 1, 1, "static rules for packets")
/* clang-format on */

enum wire_provider_type { WIRE_PROVIDER_TABLE(WIRE_ENUM) };
WIRE_PROVIDER_TABLE(WIRE_DECLARE)
