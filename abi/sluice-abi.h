/* SPDX-License-Identifier: LGPL-2.1-or-later OR BSD-2-Clause */
#pragma once

/**
 * DOC: What the kernel side and the daemon share
 *
 * Maps, keys and events of bpf/, fixed width, no holes, the same on both
 * sides. Addresses are always 16 bytes: IPv4 is written v4-mapped
 * (::ffff:a.b.c.d), so that policy sees one form. Ports are host order.
 * Times are nanoseconds of CLOCK_BOOTTIME unless a name says otherwise.
 */

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/*
 * Counts up when what a map holds gets another meaning, or a program comes or goes: a sluiced
 * then does not take over what a predecessor with another number left in force.
 */
#define SL_ABI 18

#define SL_PATH_BYTES 512 /* packed path, leaf first, components end in NUL */
#define SL_NAME_BYTES 256 /* longest single component, NAME_MAX + 1 */
#define SL_ARGS_BYTES 256 /* first bytes of the command line, NUL-separated */
#define SL_PATH_DEPTH 24  /* components looked at before a path counts as cut */

/** struct sl_who - one process at one moment; (pid, start_ns, exec_id) names its image for ever */
struct sl_who {
	__u64 start_ns; /* start of the thread group leader; 0: nobody known */
	__u64 exe_ino;
	__u64 exe_ctime_ns; /* an inode is used again, and its file may be written anew */
	__u64 exe_path; /* struct sl_digest: a file has several paths. 0: not known as a whole */
	__u64 cgroup_id;
	__u32 exe_dev;
	__u32 pid;
	__u32 uid;
	__u32 gid;
	__u32 exec_id; /* counts the execve(2)s of the process */
	__u32 pad;
};
_Static_assert(sizeof(struct sl_who) == 64, "sl_who");

/** struct sl_app - an application: one program file by one path, run by one user in one cgroup, in
 * one network */
struct sl_app {
	__u64 exe_ino;
	__u64 exe_ctime_ns;
	__u64 exe_path;
	__u64 cgroup_id;
	__u64 netns; /* the kernel's cookie of the namespace: the same address is another place there */
	__u32 exe_dev;
	__u32 uid;
};
_Static_assert(sizeof(struct sl_app) == 48, "sl_app");

static inline struct sl_app sl_app_of(const struct sl_who *who, __u64 netns)
{
	struct sl_app app = { .exe_ino = who->exe_ino,
			      .exe_ctime_ns = who->exe_ctime_ns,
			      .exe_path = who->exe_path,
			      .cgroup_id = who->cgroup_id,
			      .netns = netns,
			      .exe_dev = who->exe_dev,
			      .uid = who->uid };

	return app;
}

enum sl_sock_flags {
	SL_SOCK_ALLOWED = 1 << 0,  /* TCP: its one flow is allowed, stop looking */
	SL_SOCK_PASSIVE = 1 << 1,  /* accepted from a governed listener */
	SL_SOCK_NO_OWNER = 1 << 2, /* created before the instance: owner unknown */
	SL_SOCK_JUDGED = 1 << 3,   /* had a packet held: its end is an event */
	SL_SOCK_GONE = 1 << 4,	   /* TCP: no descriptor is left, the protocol goes on */
	SL_SOCK_UNSEEN = 1 << 5,   /* a datagram without a verdict met sendmsg, and no rule yet */
	SL_SOCK_STREAM = 1 << 6,   /* its TCP is the kernel's: one peer. A raw socket has any */
	SL_SOCK_USED = 1 << 7,	   /* TCP: has connected or listened: sl_flows may know its peers */
	SL_SOCK_DIVERTED = 1 << 8, /* TCP: its flow is a proxy's: see SL_FLOW_DIVERTED */
	SL_SOCK_QUIET = 1 << 10,   /* see SL_FLOW_QUIET */
	SL_SOCK_BOUND = 1 << 9,	   /* to an interface, as its last held packet was sent */
	SL_SOCK_LED = 1 << 11,	   /* not TCP: the flow of its last addressed sendmsg is a proxy's */
	SL_SOCK_TO_ALL = 1 << 12,  /* IPv4: its last held packet was a broadcast */
};

/** struct sl_sock - map sl_socks: socket cookie → who made it, who uses it */
struct sl_sock {
	/* first what is looked at for each packet */
	__u32 flags;	  /* enum sl_sock_flags */
	__u16 bound_port; /* entry in sl_binds to drop at release; 0: none */
	__u8 bound_proto;
	__u8 pad;
	__u64 netns;	/* cookie of the network namespace that it is in for ever */
	__u64 listener; /* accepted: of which listener it was judged to be; else 0 */
	__u8 bound_addr[16];
	struct sl_who owner; /* created it: socket(2) */
	struct sl_who user;  /* last connect(2) or addressed sendmsg(2) */
};
_Static_assert(sizeof(struct sl_sock) == 168, "sl_sock");

/** struct sl_proc_key - map sl_procs: one image of one process */
struct sl_proc_key {
	__u64 start_ns;
	__u64 exe_ino;
	__u32 pid;
	__u32 exe_dev;
	__u32 exec_id;
	__u32 pad;
};
_Static_assert(sizeof(struct sl_proc_key) == 32, "sl_proc_key");

struct sl_path {
	__u16 len;   /* bytes used in @buf */
	__u8 is_cut; /* deeper or longer than the limits above */
	__u8 pad;
	char buf[SL_PATH_BYTES + SL_NAME_BYTES];
};

/* a round of SipHash (Aumasson, Bernstein: SipHash, 2012); here 1 for each word, 3 at the end */
static inline void sl_sip_round(__u64 v[4])
{
	v[0] += v[1];
	v[1] = (v[1] << 13 | v[1] >> 51) ^ v[0];
	v[0] = v[0] << 32 | v[0] >> 32;
	v[2] += v[3];
	v[3] = (v[3] << 16 | v[3] >> 48) ^ v[2];
	v[0] += v[3];
	v[3] = (v[3] << 21 | v[3] >> 43) ^ v[0];
	v[2] += v[1];
	v[1] = (v[1] << 17 | v[1] >> 47) ^ v[2];
	v[2] = v[2] << 32 | v[2] >> 32;
}

/**
 * struct sl_digest - of a path: one number for it, which nobody can aim at without the secret
 *
 *	sl_digest_begin() ─▶ sl_digest_word() for each i ─▶ sl_digest_end()
 */
struct sl_digest {
	__u64 v[4];
	const struct sl_path *path;
};

#define SL_DIGEST_WORDS ((SL_PATH_BYTES + SL_NAME_BYTES) / sizeof(__u64))

static inline struct sl_digest sl_digest_begin(const struct sl_path *path, const __u64 secret[2])
{
	struct sl_digest digest = {
		.v = { secret[0] ^ 0x736f6d6570736575ULL, secret[1] ^ 0x646f72616e646f6dULL,
		       secret[0] ^ 0x6c7967656e657261ULL, secret[1] ^ 0x7465646279746573ULL },
		.path = path,
	};

	return digest;
}

/* Return: 1 behind the end of the path, 0 before */
static inline long sl_digest_word(__u32 i, struct sl_digest *digest)
{
	const struct sl_path *path = digest->path;
	__u32 halves[2], n;
	__u64 word;

	if (i >= SL_DIGEST_WORDS || i * 8 >= path->len)
		return 1;
	n = path->len - i * 8;
	__builtin_memcpy(halves, path->buf + i * 8, sizeof(halves));
	word = (__u64)halves[1] << 32 | halves[0];
	if (n < 8) /* what is behind the path is of one before */
		word &= (1ULL << 8 * n) - 1;
	digest->v[3] ^= word;
	sl_sip_round(digest->v);
	digest->v[0] ^= word;
	return 0;
}

/* Return: 0 for a path that is cut: two may begin alike */
static inline __u64 sl_digest_end(struct sl_digest *digest)
{
	__u64 *v = digest->v, word = digest->path->len, all;

	if (digest->path->is_cut)
		return 0;
	v[3] ^= word;
	sl_sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sl_sip_round(v);
	all = v[0] ^ v[1] ^ v[2] ^ v[3];
	return all ? all : 1;
}

/** struct sl_proc - executable path and command line, read by the kernel side itself */
struct sl_proc {
	__u64 exe_ctime_ns; /* when this image was met first: a link to it changes it, and nothing else */
	__u64 exe_path; /* digest of @exe */
	struct sl_path exe;
	__u16 args_len;
	__u16 pad;
	char comm[16];
	char args[SL_ARGS_BYTES];
};

enum sl_dir { SL_DIR_OUT, SL_DIR_IN };

/**
 * enum sl_lo - is it on loopback?
 *
 * That is: over the interface lo, with an address of loopback at the other end. A socket may be bound
 * to another interface, and its packets to 127.0.0.1 leave by that one: they are of another
 * conversation, which nobody has allowed for what is on loopback.
 */
enum sl_lo {
	SL_LO_NOT,
	SL_LO_IS,
	SL_LO_CAME, /* sl_ends alone: the other end began it, which nobody judges at this one */
};

/** struct sl_tuple - a packet's ends, seen from this machine */
struct sl_tuple {
	__u64 netns; /* cookie; two containers may have the same addresses */
	__u8 laddr[16];
	__u8 raddr[16];
	__u16 lport; /* ICMP: identifier */
	__u16 rport; /* ICMP: 0 */
	__u8 proto;
	__u8 lo; /* enum sl_lo */
	__u8 pad[2];
};
_Static_assert(sizeof(struct sl_tuple) == 48, "sl_tuple");

#define SL_HELD_NS 10000000000ULL /* no packet is unread for longer: sluiced is replaced before */

/**
 * struct sl_held - map sl_held: which socket a queued packet belongs to
 *
 * A copy of the socket's record: the socket may be gone before it is judged.
 */
struct sl_held {
	__u64 cookie;	 /* inbound TCP: the listener's */
	__u32 dir;	 /* enum sl_dir */
	__u32 is_shared; /* two sockets have these ends at one time: nobody knows whose packet it is */
	__u64 since_ns;
	struct sl_sock sock;
};

/** struct sl_flow_key - one conversation of one socket */
struct sl_flow_key {
	__u64 cookie; /* inbound TCP: the listener's */
	__u8 raddr[16];
	__u16 rport; /* ICMP: 0 */
	__u8 proto;
	__u8 lo; /* enum sl_lo */
	__u8 pad[4];
};
_Static_assert(sizeof(struct sl_flow_key) == 32, "sl_flow_key");

enum sl_verdict {
	SL_UNDECIDED, /* held: ask the daemon */
	SL_ALLOW,
	SL_REJECT, /* the application gets an error, see docs/errno.md */
	SL_SILENT, /* dropped like a black hole */
	SL_PEEK,   /* it goes on, and what carries bytes is held: see struct sl_flow */
};

static inline int sl_is_denial(__u32 verdict)
{
	return verdict == SL_REJECT || verdict == SL_SILENT;
}

enum sl_peek_flags {
	SL_PEEK_OUT = 1 << SL_DIR_OUT, /* what leaves is held */
	SL_PEEK_IN = 1 << SL_DIR_IN,   /* what comes in is */
	SL_PEEK_BASE_OUT = 1 << 2,     /* base[] is known */
	SL_PEEK_BASE_IN = 1 << 3,
	SL_PEEK_GUARD = 1 << 4, /* nobody looks at it, but what was shown must not change */
};

enum sl_flow_flags {
	SL_FLOW_DIVERTED = 1 << 0, /* TCP: to the listener of this namespace, on loopback */
	SL_FLOW_QUIET = 1 << 1, /* and its proxy asks what an end is, if it wants to know */
	SL_FLOW_BEHIND = 1 << 2, /* not TCP, of what leaves: see struct sl_order */
};

/** struct sl_flow - map sl_flows: the verdict and what it carried (UDP, ICMP) */
struct sl_flow {
	__u64 id;
	__u64 bytes_in;
	__u64 bytes_out;
	__u64 last_ns;
	struct sl_tuple tuple;
	__u8 verdict; /* enum sl_verdict */
	__u8 dir;     /* enum sl_dir */
	__u16 flags;  /* enum sl_flow_flags */
	__u32 ifindex; /* by which it began; 0: not known */
	/* of SL_PEEK; the daemon writes what it is going to let go, and then lets it go */
	__u64 passed[2]; /* enum sl_dir: so many bytes; not TCP: SL_DIR_OUT only */
	__u64 left;	 /* not TCP: bytes that have left, counted behind netfilter */
	union {
		__u32 base[2]; /* TCP: sequence number of the first byte */
		__u64 behind;  /* of SL_FLOW_BEHIND: until sluiced has read so many; 0: BPF sees to it */
	};
	__u32 peek;	 /* enum sl_peek_flags */
	__u32 shown;	 /* TCP that comes in: sequence number behind what was shown */
};
_Static_assert(sizeof(struct sl_flow) == 128, "sl_flow");

#define SL_ORDERS 1024 /* entries of sl_order, a power of two */

/**
 * struct sl_order - map sl_order: of a network namespace, datagrams that were held, and how many of them sluiced has read
 *
 * A verdict is written before the packets that waited for it are let go: what is sent meanwhile would
 * overtake them, and so would what follows a datagram that was sent just before. BPF counts what it holds,
 * sluiced counts a verdict as well; when it has found the queue empty it writes down how far the count had
 * come, and who waits for no more passes by. What gets lost on the way does no harm.
 */
struct sl_order {
	__u64 n_held;
	__u64 n_read; /* sluiced maps it */
};

/* cookies are numbers that follow one another; two with one entry may have a datagram overtake another */
static inline __u32 sl_order_of(__u64 netns)
{
	return (__u32)netns % SL_ORDERS;
}

#define SL_PEEK_BEGUN (1ULL << 32)

/**
 * struct sl_peek - map sl_peeks: ends of a TCP connection that filters look at → whose it is
 *
 * The daemon makes it, the kernel side writes what its TCP says: nothing of that may get lost, so it
 * is not in struct sl_flow, which the daemon writes.
 */
struct sl_peek {
	__u64 cookie; /* of its key in sl_flows */
	__u32 acked;  /* sequence number: the socket has everything before it */
	__u32 has_acked;
	__u64 begin; /* SL_PEEK_BEGUN | the sequence number it reads first; 0: no connection yet */
};
_Static_assert(sizeof(struct sl_peek) == 24, "sl_peek");

/** struct sl_memory_key - map sl_memory: one application to one address, port and protocol */
struct sl_memory_key {
	struct sl_app app;
	__u8 raddr[16];
	__u16 rport; /* ICMP: 0 */
	__u8 proto;
	__u8 pad[5];
};
_Static_assert(sizeof(struct sl_memory_key) == 72, "sl_memory_key");

#define SL_MEMORY_MAX 65536 /* entries of sl_memory */

/** struct sl_memory - asking the filters again would allow it; flow/memory.h */
struct sl_memory {
	__u64 expiry_ns;  /* CLOCK_BOOTTIME */
	__u32 generation; /* of struct sl_config when it was put */
	__u32 pad;
};

#define SL_QUERY_IDS 16 /* questions of one socket to one server that may be open */

/** struct sl_query - map sl_resolving: who asked a name server, and what only the two know */
struct sl_query {
	__u64 cookie;
	__u16 ids[SL_QUERY_IDS]; /* UDP: of the latest queries, a ring */
	__u32 n_ids;		 /* ever written */
	__u32 pad;
};
_Static_assert(sizeof(struct sl_query) == 48, "sl_query");

/** struct sl_bind_key - map sl_binds: governed listeners and bound UDP sockets */
struct sl_bind_key {
	__u64 netns;
	__u8 addr[16]; /* ::ffff:0.0.0.0: any of IPv4; ::: any, dual-stack */
	__u16 port;
	__u8 proto;
	__u8 pad[5];
};
_Static_assert(sizeof(struct sl_bind_key) == 32, "sl_bind_key");

struct sl_bind {
	__u64 cookie; /* the newest of them */
	__u32 refs;   /* SO_REUSEPORT */
	__u32 pad;
};

/* between the order of the network and the machine's */
static inline __u32 sl_swap(__u32 word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap32(word);
#else
	return word;
#endif
}

/**
 * struct sl_loopback - what of loopback is judged: the smallest networks that hold all that rules name
 *
 * All zeroes: nothing. IPv6 has one address.
 */
struct sl_loopback {
	__u32 network, mask; /* of IPv4, host order; @mask 0: none */
	__u32 has_ipv6;
	__u32 pad;
};
_Static_assert(sizeof(struct sl_loopback) == 16, "sl_loopback");

static inline int sl_is_mapped4(const __u8 addr[16])
{
	__u32 w[3];

	__builtin_memcpy(w, addr, sizeof(w));
	return !w[0] && !w[1] && w[2] == sl_swap(0xffff);
}

/* of IPv4, host order */
static inline __u32 sl_word4(const __u8 addr[16])
{
	__u32 w;

	__builtin_memcpy(&w, addr + 12, sizeof(w));
	return sl_swap(w);
}

static inline int sl_is_loopback(const __u8 addr[16])
{
	__u32 w[4];

	if (sl_is_mapped4(addr))
		return addr[12] == 127;
	__builtin_memcpy(w, addr, sizeof(w));
	return !w[0] && !w[1] && !w[2] && w[3] == sl_swap(1);
}

/* @addr is one of loopback */
static inline int sl_loopback_has(const struct sl_loopback *judged, const __u8 addr[16])
{
	if (!sl_is_mapped4(addr))
		return judged->has_ipv6;
	return judged->mask && (sl_word4(addr) & judged->mask) == judged->network;
}

/** struct sl_config - map sl_config: written by the daemon, one element */
struct sl_config {
	__u64 cgroup_id;   /* the governed one, for sl_census */
	__u64 secret[2];   /* of struct sl_digest, made with the plane */
	__u32 is_closed;   /* fail class: 1 refuses what nobody can judge */
	__u32 n_elsewhere; /* connects in namespaces without a plane, judged by the fail class */
	__u32 generation;  /* entries of sl_memory with another one are out of date */
	__u32 canary_uid;  /* no user among others, for sl_out_crowd */
	__u32 is_peeking;  /* sl_in_peeked is in the rules */
	__u32 has_peeks;   /* sl_peeks was not always empty */
	__u32 packets;	   /* enum sl_packets: sl_packet_out and sl_packet_in are */
	__u32 pad;
	struct sl_loopback loopback;
	__u64 proxies_id; /* cgroup of providers, when proxies are governed as well; else 0 */
};

#define SL_CROWDS 1024	 /* entries of sl_crowds, a power of two */
#define SL_CROWD_MAX 512 /* packets of one user that may be unread while others send too */
#define SL_CROWD_FEW                                                                               \
	64 /* the same, of one who has used up its allowance: the others wait for them */
#define SL_CROWD_COST_NS 1000000ULL /* each uses up as much of it; it is SL_CROWD_MAX of them */
#define SL_CROWD_NS                                                                                \
	1000000000ULL /* for so long a count holds, and a user counts as one who sends */

/**
 * struct sl_crowd - map sl_crowds: packets of a user that are in the queue and were not read yet
 *
 * Counted up by BPF and down by sluiced, which maps it. A packet that gets lost on
 * the way leaves a count behind, so counting begins anew after SL_CROWD_NS.
 */
struct sl_crowd {
	__u64 since_ns;
	__u64 paid_ns; /* its allowance is used up while this is in the future */
	__u32 n;
	__u32 pad;
};
_Static_assert(sizeof(struct sl_crowd) == 24, "sl_crowd");

/** struct sl_senders - map sl_senders: the two users who sent last, each when */
struct sl_senders {
	__u32 last, other; /* entries of sl_crowds */
	__u64 last_ns, other_ns;
};

/* the entry of a user; those who share one share the count */
static inline __u32 sl_crowd_of(__u32 uid)
{
	return uid * 0x9e3779b1U >> 22;
}
_Static_assert(SL_CROWDS == 1 << (32 - 22), "sl_crowd_of");

#define SL_NETNS_MAX 4096 /* entries of sl_netns */

enum sl_netns_state {
	SL_NETNS_SEEN = 1, /* BPF has met a governed socket in it, and told */
	SL_NETNS_IN_FORCE, /* its packets meet our rules, whose queue somebody reads */
	SL_NETNS_FAILED,   /* it could not be entered, or refused the rules */
};

/** struct sl_netns - map sl_netns: cookie of a network namespace → what of the plane is in it */
struct sl_netns {
	__u64 digest;	 /* of the nft table as we left it, for a successor; 0: unknown */
	__u32 state;	 /* enum sl_netns_state */
	__u32 inode;	 /* as people know it: /proc/PID/ns/net */
	__u32 queue_num; /* for a successor that is handed the queue's descriptor */
	__u32 pad;
};
_Static_assert(sizeof(struct sl_netns) == 24, "sl_netns");

/** struct sl_census - what sl_census writes for each network that a governed process uses */
struct sl_census {
	__u64 netns;
	__u32 inode;
	__u32 pid; /* of the thread: each may be in another one */
};

enum sl_event_kind {
	SL_EV_TCP_CLOSED = 1, /* the protocol is done; byte counts are final */
	SL_EV_RELEASED,	      /* not TCP: the last descriptor went, all its flows end */
	SL_EV_REMEMBERED,     /* struct sl_remembered: sl_memory has allowed a new conversation */
	SL_EV_NETNS,	      /* struct sl_seen: a governed socket where no plane is */
	SL_EV_ABANDONED,      /* TCP that is diverted: its last descriptor is closed */
};

/** struct sl_event - ring sl_events, of judged sockets; only SL_EV_NETNS and SL_EV_ABANDONED wake
 *  the reader */
struct sl_event {
	__u64 cookie; /* accepted sockets: the listener's */
	__u64 bytes_in;
	__u64 bytes_out;
	__u8 raddr[16]; /* TCP only, with rport */
	__u16 rport;
	__u16 kind;
	__u16 is_forgotten; /* TCP: its entry in sl_flows is gone already */
	__u16 peer_rests;   /* TCP: the peer has closed before, and is in TIME_WAIT */
};
_Static_assert(sizeof(struct sl_event) == 48, "sl_event");

/** struct sl_seen - an event: the plane is wanted in a network namespace */
struct sl_seen {
	struct sl_event event;
	__u64 netns;
	__u32 pid; /* of the thread that used the socket */
	__u32 pad;
};
_Static_assert(sizeof(struct sl_seen) == 64, "sl_seen");

/** struct sl_remembered - an event with what a held packet would have told */
struct sl_remembered {
	struct sl_event event;
	struct sl_tuple tuple;
	struct sl_held held;
	__u32 ifindex; /* by which it leaves; 0: unknown */
	__u32 pad;
};
_Static_assert(sizeof(struct sl_remembered) == 296, "sl_remembered");

/* ---- packet filters: bpf/packet.bpf.c ---- */

/** enum sl_packets - is there a packet filter, and does any of them fail closed? */
enum sl_packets { SL_PACKETS_NONE, SL_PACKETS_OPEN, SL_PACKETS_CLOSED };

#define SL_PACKET_RULES_MAX 1024 /* of all packet filters, evaluated in the kernel */

enum sl_packet_action { SL_PACKET_ASK, SL_PACKET_ALLOW, SL_PACKET_DROP };

/** struct sl_packet_rule - of one packet filter; the first of its rules that matches decides */
struct sl_packet_rule {
	__u8 remote[16];
	char interface[16];	 /* zeroes behind its end; empty: any */
	__u16 rport, rport_last; /* 0: any */
	__u16 lport, lport_last;
	__u8 action; /* enum sl_packet_action */
	__u8 dir;    /* 0: any, else 1 + enum sl_dir */
	__u8 proto;  /* 0: any */
	__u8 family; /* 0: any, 4, 6 */
	__u8 bits;   /* of @remote that count */
	__u8 filter; /* whose it is */
	__u8 pad[2];
};
_Static_assert(sizeof(struct sl_packet_rule) == 48, "sl_packet_rule");

/** enum sl_packet_set_bits - what the rules of a set need, looked at before they are */
enum sl_packet_set_bits {
	SL_PACKET_SET_DROPS = 1 << 0,	   /* one of them drops, or what none matches is dropped */
	SL_PACKET_SET_INTERFACES = 1 << 1, /* one names an interface */
};

/** struct sl_packet_set - map sl_packet_sets, two elements: the rules of all packet filters. The
 * one with the larger generation is in force, the other is where the next one is written */
struct sl_packet_set {
	__u32 generation; /* 0: it is being written */
	__u32 n_rules;
	__u32 filters; /* a bit for each packet filter, here and below */
	__u32 asks;    /* what becomes of a packet that none of its rules matches: it is asked, */
	__u32 drops;   /* or it drops it; else it allows it */
	__u32 bits;    /* enum sl_packet_set_bits */
	struct sl_packet_rule rules[SL_PACKET_RULES_MAX];
};

/** struct sl_packet - map sl_packets: ends of a packet → whose it is, what the rules say of it */
struct sl_packet {
	__u64 cookie; /* of its socket */
	__u64 owner;  /* of its flow's key: an accepted socket's listener */
	__u32 pid, uid;
	__u32 generation[2]; /* enum sl_dir: of the set that @action is of */
	__u8 action[2];	     /* enum sl_packet_action */
	__u8 pad[6];
	char interface[2][16]; /* by its name, as rules are; empty: that set names none */
};
_Static_assert(sizeof(struct sl_packet) == 72, "sl_packet");

#define SL_PACKET_PLACES 4096		/* packets that may wait for packet filters at a time */
#define SL_CROWD_NOBODY (SL_CROWDS - 1) /* of packets whose socket is not known */

/**
 * struct sl_packet_places - map sl_packet_places: packets that wait, and of them each user's
 *
 * Counted up by BPF and down by sluiced, which maps it, and counts anew when the queue is
 * empty: what gets lost on the way leaves a count behind.
 */
struct sl_packet_places {
	__u32 n;
	__u32 of[SL_CROWDS]; /* by sl_crowd_of() */
};

/* a user may have as many as are free: alone half of them, and however many users flood, another
 * one finds a place */
static inline int sl_has_place(__u32 of_user, __u32 n, __u32 n_max)
{
	return of_user + n < n_max;
}

enum sl_packet_count { SL_PACKET_ASKED, SL_PACKET_DENIED, _SL_PACKET_COUNT_N };

/** struct sl_packet_fold - the verdict of all packet filters, while their rules are looked at */
struct sl_packet_fold {
	__u32 decided, asks; /* a bit for each filter */
	__u32 is_dropped;
};

static inline int sl_is_icmp(__u8 proto)
{
	return proto == 1 || proto == 58;
}

static inline int sl_port_in(__u16 port, __u16 first, __u16 last)
{
	return !first || (port >= first && port <= (last ? last : first));
}

/* bits of a word of an address that count, as they are in memory */
static inline __u32 sl_mask_of(__u32 bits)
{
	return sl_swap(bits >= 32 ? 0xffffffffU : ~(0xffffffffU >> bits));
}

static inline int sl_packet_in_network(const struct sl_packet_rule *rule, const __u8 addr[16])
{
	__u32 is[4], want[4], differs = 0, left = rule->bits;
	int is_ipv4;

	__builtin_memcpy(is, addr, 16);
	__builtin_memcpy(want, rule->remote, 16);
	for (__u32 i = 0; i < 4; i++) {
		differs |= (is[i] ^ want[i]) & sl_mask_of(left);
		left -= left < 32 ? left : 32;
	}
	is_ipv4 = !is[0] && !is[1] && is[2] == ~sl_mask_of(16);
	return !differs && (!rule->family || (rule->family == 4) == is_ipv4);
}

static inline int sl_packet_matches(const struct sl_packet_rule *rule, const struct sl_tuple *tuple,
				    const char interface[16], __u32 dir)
{
	__u64 is[2], want[2];

	if ((rule->dir && rule->dir != dir + 1) || (rule->proto && rule->proto != tuple->proto))
		return 0;
	if ((rule->rport || rule->lport) && sl_is_icmp(tuple->proto))
		return 0;
	if (!sl_port_in(tuple->rport, rule->rport, rule->rport_last) ||
	    !sl_port_in(tuple->lport, rule->lport, rule->lport_last))
		return 0;
	__builtin_memcpy(is, interface, 16);
	__builtin_memcpy(want, rule->interface, 16);
	if (rule->interface[0] && (is[0] != want[0] || is[1] != want[1]))
		return 0;
	return sl_packet_in_network(rule, tuple->raddr);
}

static inline void sl_packet_apply(const struct sl_packet_rule *rule, struct sl_packet_fold *fold)
{
	__u32 bit = 1U << (rule->filter & 15);

	if (fold->decided & bit)
		return;
	fold->decided |= bit;
	if (rule->action == SL_PACKET_ASK)
		fold->asks |= bit;
	fold->is_dropped |= rule->action == SL_PACKET_DROP;
}

/* every filter has to allow it; one that drops is enough, whatever the others would say */
static inline enum sl_packet_action sl_packet_conclude(const struct sl_packet_set *set,
						       struct sl_packet_fold *fold)
{
	__u32 rest = set->filters & ~fold->decided;

	fold->asks |= rest & set->asks;
	fold->is_dropped |= !!(rest & set->drops);
	if (fold->is_dropped)
		return SL_PACKET_DROP;
	return fold->asks ? SL_PACKET_ASK : SL_PACKET_ALLOW;
}

/**
 * enum sl_mark - values of our field of the packet mark
 *
 * Set and read only between our own chains of one hook, and by sl_egress; the field is zero
 * when a packet that was held leaves. It proves nothing: an application may
 * set it, so whoever reads it asks a program about the socket as well.
 */
enum sl_mark {
	SL_MARK_NONE,
	SL_MARK_HELD,	/* undecided: to the queue, and to the fail class if nobody reads it */
	SL_MARK_NAMES,	/* carries an answer of a name server */
	SL_MARK_REJECT, /* decided: the gate chain rejects it */
	SL_MARK_AGAIN,	/* filters look at its flow: it meets the rules once more */
	SL_MARK_DIVERT, /* decided: the first packet of a flow that is a proxy's */
	SL_MARK_NO_NET, /* decided, and rejected as SL_MARK_REJECT, with another error: */
	SL_MARK_NO_HOST,
	SL_MARK_NO_RIGHT,
};

/*
 * Zones of conntrack for what is sent by UDP, while proxies may take it. A proxy that asks the same peer may
 * get a local port that a program had, or another proxy: to conntrack it is to be another flow. Governed programs have
 * one zone, each proxy that is governed another one, by the last bits of its user id, which
 * follow one another. One that is not governed is in no zone.
 */
#define SL_ZONE 0x5c1c
#define SL_ZONE_PROXIES 0x5c20
#define SL_ZONE_UIDS 0xfU

static inline __u16 sl_zone_of_proxy(__u32 uid)
{
	return (__u16)(SL_ZONE_PROXIES | (uid & SL_ZONE_UIDS));
}

#define SL_MARK_MASK 0xff000000U
#define SL_MARK_SHIFT 24
