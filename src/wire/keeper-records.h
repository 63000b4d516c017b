/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Keeper channels: sluice-keeper (end 0) and `sluice run` or sluiced (end 1)
 *
 * `sluice run` describes the instance with INSTANCE, FILTER, OPTION…, SETTINGS, COMMIT.
 * The keeper keeps the records and repeats them to every sluiced it starts,
 * then gives back what it holds for it (KEPT) and says GO. SETTINGS may come
 * again while the instance runs: what the file says has changed.
 *
 * The end of its channel is the end of the instance: everything is put away,
 * but what governs a cgroup that is kept (`sluice serve`) stays in force in the
 * kernel, until END says otherwise or the next one of its name takes it over.
 *
 * A sluiced that hears STOP takes everything out of the kernel. One whose channel
 * ends without it leaves what is in force: its keeper was killed.
 *
 * sluiced asks the keeper for what needs rights it has not: KEEP, SPAWN, KILL, and
 * ENTER, whose answers are netlink sockets of another network namespace, one in each
 * ENTERED. It must look for itself that they are of the namespace it meant: a pid may
 * be somebody else's by then.
 * It beats BEAT every KEEPER_BEAT_MS; silence means it hangs and is replaced.
 */

#include "wire/table.h"

#define KEEPER_BEAT_MS 200U	   /* how often sluiced shows that it lives */
#define KEEPER_SILENCE_MS 1000U	   /* then it is taken to hang */
#define KEEPER_CANARY_SLOT 17U	   /* of SPAWN and KILL: behind those of 16 filters */
#define KEEPER_SUCCESSOR_MS 5000U  /* held packets wait that long for a new sluiced */
#define KEEPER_EXIT_NOT_BEGUN 125  /* status of one that started no sluiced: the place is its maker's */

#define KEEPER_NETNS_MAX 1024U	   /* namespaces whose descriptors are kept */
/* slots of KEEP: two of each, the first its queue; behind these the four listeners of proxies, of the
 * first namespaces alone: more would not fit into the channel of a new sluiced */
#define KEEPER_LISTENERS_AT (2U * KEEPER_NETNS_MAX)
#define KEEPER_LISTENING_MAX 64U
#define KEEPER_KEPT_MAX (KEEPER_LISTENERS_AT + 4U * KEEPER_LISTENING_MAX)
/* of ENTER: queue, rules, watch: netfilter; sock_diag; route; packets: netfilter; TCP of IPv4, IPv6;
 * UDP */
#define KEEPER_NETNS_SOCKETS 10U

/* clang-format off */
#define WIRE_FIELDS_K_INSTANCE(F, S) \
	F(S, str,  id,         32,  "name of the instance") \
	F(S, str,  cgroup,     512, "governed cgroup, full path of its directory") \
	F(S, str,  state,      256, "state folder, owned by the daemon's uid") \
	F(S, str,  bpffs,      256, "folder for pins, owned by the daemon's uid") \
	F(S, u32,  daemon_uid, 0,   "user id of sluiced") \
	F(S, u32,  names_uid,  0,   "user id of sluice-names") \
	F(S, u32,  canary_uid, 0,   "user id of sluice-canary") \
	F(S, u32,  provider_uid, 0, "user id of the first provider; the next ones count up") \
	F(S, u8,   log_level,  7,   "last syslog priority shown") \
	F(S, u8,   is_kept,    1,   "1: the cgroup was there before and stays") \
	F(S, str,  providers_cgroup, 544, "cgroup of the providers, full path")

#define WIRE_FIELDS_K_FILTER(F, S) \
	F(S, u32,  index,      15,  "which provider, from 0") \
	F(S, u8,   is_closed,  1,   "fail class: 1 refuses what it cannot judge") \
	F(S, u8,   processes,  1,   "1: it may start programs, with the rights that it has") \
	F(S, u8,   proxy,      1,   "1: it is a proxy: it has the network, and comes behind the filters") \
	F(S, str,  name,       32,  "name for people") \
	F(S, str,  exe,        256, "executable of the provider")

#define WIRE_FIELDS_K_OPTION(F, S) \
	F(S, u32,  index,      15,  "which provider") \
	F(S, str,  key,        32,  "name of the option") \
	F(S, str,  value,      256, "its text; a file option carries the open file")

#define WIRE_FIELDS_K_SETTINGS(F, S) \
	F(S, u32,  index,      15,  "which proxy; the first one brings the file of its rules: wire/settings.h")

#define WIRE_FIELDS_K_FLOWS(F, S) \
	F(S, u8,   unused,     1,   "0; the descriptor is where flow records are appended")

#define WIRE_FIELDS_K_COMMIT(F, S) \
	F(S, u8,   unused,     1,   "0")

#define WIRE_FIELDS_K_STATE(F, S) \
	F(S, u32,  error,      4095, "0: the instance is in force; else why it is not") \
	F(S, str,  text,       512, "for people: the thing, the reason, the next step")

#define WIRE_FIELDS_K_KEPT(F, S) \
	F(S, u32,  slot,       2303, "which descriptor of KEEP")

#define WIRE_FIELDS_K_GO(F, S) \
	F(S, u32,  generation, 0,   "0 for the first sluiced, counts its successors")

#define WIRE_FIELDS_K_ENTERED(F, S) \
	F(S, u64,  token,      0,   "of the ENTER that this answers") \
	F(S, u32,  socket,     9,   "which of its ten sockets comes along") \
	F(S, u32,  inode,      0,   "of the namespace") \
	F(S, u32,  error,      4095, "0, or why it could not be entered: then there is one answer")

#define WIRE_FIELDS_K_CHILD(F, S) \
	F(S, u32,  slot,       31,  "which child: 0 names, 1+index a provider, 17 the canary") \
	F(S, u32,  pid,        0,   "its pid; the descriptor is our end of its channel") \
	F(S, u32,  error,      4095, "0, or why it could not be started")

#define WIRE_FIELDS_K_EXITED(F, S) \
	F(S, u32,  slot,       31,  "which child") \
	F(S, u32,  pid,        0,   "its pid") \
	F(S, u32,  status,     0,   "wait status")

#define WIRE_FIELDS_K_STOP(F, S) \
	F(S, u8,   unused,     1,   "0")

#define WIRE_FIELDS_K_KEEP(F, S) \
	F(S, u32,  slot,       2303, "where to keep the descriptor that comes along; none: let it go")

#define WIRE_FIELDS_K_ENTER(F, S) \
	F(S, u64,  token,      0,   "comes back in the answers") \
	F(S, u32,  pid,        0,   "of a thread in the namespace; 0: a socket of it comes along")

#define WIRE_FIELDS_K_SPAWN(F, S) \
	F(S, u32,  slot,       31,  "which child: 0 names, 1+index a provider, 17 the canary; a descriptor that comes along gets what it prints")

#define WIRE_FIELDS_K_KILL(F, S) \
	F(S, u32,  slot,       31,  "which child to kill with SIGKILL")

#define WIRE_FIELDS_K_END(F, S) \
	F(S, u8,   unused,     1,   "0")

#define WIRE_FIELDS_K_BEAT(F, S) \
	F(S, u32,  n_held,     0,   "flows held now, for messages") \
	F(S, u8,   is_late,    1,   "1: it waits for a processor, and is to run before other programs")

#define WIRE_KEEPER_TABLE(R) \
	R(K_INSTANCE, wire_k_instance, WIRE_FIELDS_K_INSTANCE, 1,  1, 0, "what to govern") \
	R(K_FILTER,   wire_k_filter,   WIRE_FIELDS_K_FILTER,   2,  1, 0, "a filter of the instance") \
	R(K_OPTION,   wire_k_option,   WIRE_FIELDS_K_OPTION,   3,  1, 0, "an option of a filter") \
	R(K_FLOWS,    wire_k_flows,    WIRE_FIELDS_K_FLOWS,    4,  1, 0, "where to append flow records") \
	R(K_COMMIT,   wire_k_commit,   WIRE_FIELDS_K_COMMIT,   5,  1, 0, "the description is complete") \
	R(K_STATE,    wire_k_state,    WIRE_FIELDS_K_STATE,    6,  1, 0, "sluiced: in force, or failed") \
	R(K_KEEP,     wire_k_keep,     WIRE_FIELDS_K_KEEP,     7,  1, 0, "sluiced: keep this descriptor") \
	R(K_SPAWN,    wire_k_spawn,    WIRE_FIELDS_K_SPAWN,    8,  1, 0, "sluiced: start this child") \
	R(K_KILL,     wire_k_kill,     WIRE_FIELDS_K_KILL,     9,  1, 0, "sluiced: kill this child") \
	R(K_BEAT,     wire_k_beat,     WIRE_FIELDS_K_BEAT,     10, 1, 0, "sluiced: alive") \
	R(K_END,      wire_k_end,      WIRE_FIELDS_K_END,      11, 1, 0, "a kept instance: put everything away") \
	R(K_ENTER,    wire_k_enter,    WIRE_FIELDS_K_ENTER,    12, 1, 0, "sluiced: open sockets in a namespace") \
	R(K_SETTINGS, wire_k_settings, WIRE_FIELDS_K_SETTINGS, 13, 1, 0, "flows that may come to a proxy; also later") \
	R(K_KEPT,     wire_k_kept,     WIRE_FIELDS_K_KEPT,     16, 0, 0, "a kept descriptor comes back") \
	R(K_GO,       wire_k_go,       WIRE_FIELDS_K_GO,       17, 0, 0, "all is said: begin") \
	R(K_CHILD,    wire_k_child,    WIRE_FIELDS_K_CHILD,    18, 0, 0, "answer to SPAWN") \
	R(K_STOP,     wire_k_stop,     WIRE_FIELDS_K_STOP,     20, 0, 0, "put away what is in force, and end") \
	R(K_EXITED,   wire_k_exited,   WIRE_FIELDS_K_EXITED,   19, 0, 0, "a child ended") \
	R(K_ENTERED,  wire_k_entered,  WIRE_FIELDS_K_ENTERED,  21, 0, 0, "answer to ENTER")
/* clang-format on */

enum wire_keeper_type { WIRE_KEEPER_TABLE(WIRE_ENUM) };
WIRE_KEEPER_TABLE(WIRE_DECLARE)
