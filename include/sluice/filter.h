/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SLUICE_FILTER_H
#define SLUICE_FILTER_H

/**
 * DOC: Content filter providers (since 0.1)
 *
 * A filter is asked about every new flow of the programs its instance governs
 * and answers with a verdict. The flow's first packet is held meanwhile:
 * nothing of it has left the machine.
 *
 * Threads: a struct sluice_filter belongs to one thread at a time. The
 * library makes no thread, no signal handler, no global, and has no loop:
 * sluice_filter_main() is a loop for programs that need nothing else; any
 * other loop polls sluice_filter_get_fd() for reading and calls
 * sluice_filter_process().
 *
 * Errors: every int is 0 or a negative errno. sluice_filter_error() says the
 * last failure of a handle in words.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_API __attribute__((visibility("default")))

struct sluice_filter; /* one filter session with the daemon */
struct sluice_packet; /* <sluice/packet.h> */

enum sluice_direction { SLUICE_OUTBOUND, SLUICE_INBOUND };

/** enum sluice_host_source - where a flow's host name was learnt; never guessed */
enum sluice_host_source {
	SLUICE_HOST_NONE,
	SLUICE_HOST_DNS, /* an answer that this application got for the address */
	/* the flow's own first bytes: what the client says that it wants */
	SLUICE_HOST_TLS,
	SLUICE_HOST_TLS_OUTER, /* there may be an encrypted hello inside, for another host */
	SLUICE_HOST_HTTP,
	SLUICE_HOST_H2C,
	SLUICE_HOST_QUIC,
	SLUICE_HOST_QUIC_OUTER,
};

/** enum sluice_host_reading - what came of reading a flow's first bytes for its host */
enum sluice_host_reading {
	SLUICE_UNREAD,	   /* nobody has; they are not to be had, or dns is sure */
	SLUICE_READABLE,   /* host is empty or not sure: see sluice_filter_answer_name() */
	SLUICE_READ,	   /* host is what they say; else they name none */
	SLUICE_REFUSED,	   /* servers would differ about the name in them */
	SLUICE_UNREADABLE, /* cut off, too large, or not read in time */
};

/** enum sluice_verdict - what becomes of a flow; errors an application gets: sluice-errno table */
enum sluice_verdict {
	SLUICE_ALLOW,	    /* goes on at kernel speed; nobody looks at it again */
	SLUICE_DROP,	    /* the application gets ECONNREFUSED at once */
	SLUICE_DROP_SILENT, /* like a black hole: the application's own timer decides */
};

/** enum sluice_packet_verdict - what becomes of a packet: <sluice/packet.h> */
enum sluice_packet_verdict {
	SLUICE_PACKET_ALLOW,
	SLUICE_PACKET_DROP,  /* nobody is told */
	SLUICE_PACKET_DELAY, /* it is kept, until sluice_filter_packet_release() */
};

/**
 * enum sluice_scope - how far a verdict reaches
 *
 * What reaches beyond the flow is a promise: asked again about a flow that is
 * covered, the filter would say the same. The daemon then need not ask: such a
 * flow goes on at kernel speed, or is refused at once. A promise ends with
 * sluice_filter_forget() and with the session. It is kept per application,
 * which is one program file by one path, run by one user in one cgroup:
 * a verdict that hangs on the process, its command line, the interface or the
 * local address is for this flow only. Inbound flows are always asked, and so are
 * those to addresses of IPv6 that mean something on one link only (fe80::, ff02::).
 */
enum sluice_scope {
	SLUICE_THIS_FLOW,    /* no further: the next one is asked again */
	SLUICE_THIS_ADDRESS, /* this application to this address, port and protocol: under any
			      * name if the flow had one, without a name if it had none */
	SLUICE_THIS_NAME,    /* this application to this name, whatever its address, port and
			      * protocol. The kernel sees addresses: a flow is asked all the
			      * same while the application knows the address by another name
			      * that has not the same verdict. Without a name: this flow */
};

/**
 * struct sluice_flow - a new flow; valid only inside the callback that gets it
 * @size: bytes of this struct in the library in use; newer fields are appended
 *
 * Strings are never NULL: what is unknown is empty. Addresses are 16 bytes in
 * network order, IPv4 as ::ffff:a.b.c.d; ports are in host order.
 */
struct sluice_flow {
	size_t size;
	uint64_t id;		  /* never used twice within an instance */
	enum sluice_direction direction;
	uint8_t protocol;	  /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP … */
	uint8_t local_address[16];
	uint8_t remote_address[16];
	uint16_t local_port;	  /* ICMP: the identifier */
	uint16_t remote_port;	  /* ICMP: 0 */
	const char *host;	  /* name of the remote side, as host_source says */
	enum sluice_host_source host_source;
	uint32_t pid;		  /* process that connects or sends */
	uint32_t owner_pid;	  /* process that created the socket; 0: unknown */
	uint32_t uid, gid;	  /* of the process that connects or sends */
	uint32_t owner_uid;
	const char *exe;	  /* path of its executable, in the mounts that it sees: who may
				   * make mount namespaces chooses it */
	uint64_t exe_inode;
	uint32_t exe_device;
	const char *command;	  /* its command line, arguments joined by spaces */
	bool is_cut;		  /* exe or command was too long and is cut */
	const char *cgroup;	  /* below the cgroup root, "/user.slice/…" */
	const char *unit;	  /* systemd unit, from the cgroup */
	const char *container;	  /* container id or machine name, from the cgroup */
	uint32_t ifindex;	  /* interface it would leave (or came in) by */
	const char *interface;
	const char *interface_kind; /* "ethernet", "wifi", "tunnel" …; "other" if unknown */
	bool is_again;		    /* it was asked about before: it is open, see
				     * sluice_filter_rejudge(), its first bytes were read, or it
				     * has waited for rules */
	enum sluice_host_reading host_reading;
	bool is_bound; /* outbound: the program has bound its socket to this interface */
	uint64_t socket; /* the same in all flows of one socket, as UDP has many; never another's;
			  * 0: unknown */
};

/* the largest peek: what a sender has in flight before its first acknowledgement */
#define SLUICE_PEEK_MAX 14000
#define SLUICE_BYTES_MAX                                                                           \
	UINT64_MAX /* of a pass: all that ever comes; of a peek: as much as can be */

/**
 * struct sluice_peek - what a filter wants to see of a flow before it goes on
 * @size: sizeof(struct sluice_peek)
 *
 * Outbound is what leaves this machine, whoever has opened the flow. A direction
 * that is not filtered passes freely. @bytes: to be shown at once, if there are so
 * many; 0: as they come. What is larger than SLUICE_PEEK_MAX is taken as that.
 */
struct sluice_peek {
	size_t size;
	struct sluice_peek_direction {
		bool is_filtered;
		uint64_t bytes;
	} outbound, inbound;
};

/**
 * struct sluice_data - bytes of a flow, which are held; valid only inside the callback
 * @size: bytes of this struct in the library in use; newer fields are appended
 */
struct sluice_data {
	size_t size;
	uint64_t flow_id;
	enum sluice_direction direction; /* of the bytes, not of the flow */
	uint64_t offset; /* of the first one, from the beginning of that direction */
	const uint8_t *bytes;
	size_t n;
	bool is_end; /* nothing follows them in this direction; n may be 0 */
	uint32_t
		most; /* 0; or the peek was larger than SLUICE_PEEK_MAX, and this is what it became */
};

/**
 * enum sluice_watch - how often a filter wants reports of a flow
 *
 * Two reports of statistics of a flow are never closer than this, and may be further apart
 * on a busy machine; they carry what was counted from the beginning, so that one that is
 * late or lost takes no bytes with it.
 */
enum sluice_watch {
	SLUICE_WATCH_NONE,   /* no more */
	SLUICE_WATCH_EVENTS, /* when it is judged, and when it ends; the following do that, too: */
	SLUICE_WATCH_LOW,    /* statistics every 5 seconds */
	SLUICE_WATCH_MEDIUM, /* every second */
	SLUICE_WATCH_HIGH,   /* every half second */
};

/** enum sluice_report_event - why a report comes */
enum sluice_report_event {
	SLUICE_REPORT_NEW,	  /* every filter that must has judged it: it goes on, or not */
	SLUICE_REPORT_DATA,	  /* judged by what it carried, or another verdict was given */
	SLUICE_REPORT_CLOSED,	  /* it ended, and the counts are final; no other report follows */
	SLUICE_REPORT_STATISTICS, /* its time has come */
};

/**
 * struct sluice_report - what became of a flow; valid only inside the callback
 * @size:	  bytes of this struct in the library in use; newer fields are appended
 * @verdict:	  of all filters together, not this one's alone
 * @is_looked_at: it goes on, and a filter looks at what it carries: SLUICE_REPORT_DATA follows
 * @bytes_in:	  payload from the beginning; of TCP what its socket counted, without repetitions:
 *		  what came in order, and what was sent
 * @age_us:	  microseconds since its first packet
 * @n_lost:	  reports that were due to this filter and lost so far, of all flows: mostly
 *		  because it did not read
 */
struct sluice_report {
	size_t size;
	uint64_t flow_id;
	enum sluice_report_event event;
	enum sluice_verdict verdict;
	bool is_looked_at;
	uint64_t bytes_in, bytes_out;
	uint64_t age_us;
	uint64_t n_lost;
};

/** enum sluice_rule_direction - which flows a rule is about */
enum sluice_rule_direction { SLUICE_RULE_BOTH, SLUICE_RULE_OUTBOUND, SLUICE_RULE_INBOUND };

/** enum sluice_rule_action - what becomes of a flow that a rule matches */
enum sluice_rule_action {
	SLUICE_RULE_ASK, /* it comes to new_flow, as it would without rules */
	SLUICE_RULE_ALLOW,
	SLUICE_RULE_DROP,
	SLUICE_RULE_DROP_SILENT,
};

/**
 * struct sluice_rule - a static rule: which flows, and what becomes of them
 * @size: sizeof(struct sluice_rule)
 *
 * A rule matches a flow that meets every condition. What is 0 or NULL is no
 * condition, so a rule of zeros matches every flow and asks. Outbound flows over
 * loopback are matched only by rules whose remote_address lies within 127.0.0.0/8 or is
 * ::1; where none matches they are allowed. Inbound ones are matched by no rule.
 */
struct sluice_rule {
	size_t size;
	enum sluice_rule_action action;
	enum sluice_rule_direction direction;
	uint8_t protocol; /* IPPROTO_TCP … */
	bool has_uid;	  /* @uid is a condition */
	/* ports, in host order: the first and the last; last 0: only the first. A rule with a port
	 * matches no ICMP, which has none */
	uint16_t remote_port, remote_port_last;
	uint16_t local_port, local_port_last;
	uint32_t uid;		    /* as in struct sluice_flow */
	const char *remote_address; /* "192.0.2.7", "192.0.2.0/24", "2001:db8::/32" */
	/* a name of struct sluice_flow, ASCII, whatever its case. A flow without a known name is
	 * not matched; for one with several see sluice_filter_rule() */
	const char *host;   /* exactly this name; or: */
	const char *domain; /* this name and every name below it */
	const char *exe;    /* path of the executable, at most 511 bytes */
	const char *reason; /* for people; at most 127 bytes */
	/* name of the interface of struct sluice_flow, at most 15 bytes; with several network
	 * namespaces, of whichever the flow is in. It and the local address are those of the
	 * flow's first packet: what is allowed goes on, also when its route, or the program,
	 * takes later packets elsewhere. No rule keeps a program to an interface by this */
	const char *interface;
	const char *local_address; /* as remote_address, of this machine */
	const char *cgroup; /* of struct sluice_flow: this one and all below it, at most 255 bytes */
};

/**
 * enum sluice_unusable - why a line of a list is of no use
 *
 * Names, sentences and examples: THE BUNDLED FILTER blocklist in sluice-provider(7).
 */
enum sluice_unusable {
	SLUICE_UNUSABLE_CHARACTER,
	SLUICE_UNUSABLE_IDN,
	SLUICE_UNUSABLE_LABEL,
	SLUICE_UNUSABLE_LONG,
	SLUICE_UNUSABLE_WORDS,
	SLUICE_UNUSABLE_NO_NAME,
	SLUICE_UNUSABLE_ADDRESS,
	SLUICE_UNUSABLE_COSMETIC,
	SLUICE_UNUSABLE_URL,
	SLUICE_UNUSABLE_REGEX,
	SLUICE_UNUSABLE_MODIFIER,
	SLUICE_UNUSABLE_WILDCARD,
	SLUICE_UNUSABLE_SETTING,
	SLUICE_UNUSABLE_ZONE,
	_SLUICE_UNUSABLE_N,
};

/**
 * struct sluice_list - a list by which the filter judges, for `sluice lists`
 * @size:   sizeof(struct sluice_list)
 * @number: of the list, from 0; one that was told before is replaced
 * @reason: at most 63 bytes. A flow whose reason begins with it and a blank is one of the
 *          list's hits, which the daemon counts: also the flows that it answers from memory
 */
struct sluice_list {
	size_t size;
	uint16_t number; /* at most 255 */
	bool is_exceptions; /* its names are allowed */
	const char *name; /* for people, such as its path; at most 255 bytes, cut if longer */
	const char *reason;
	uint64_t n_names, n_exceptions; /* that it has */
	uint64_t n_unusable;		/* lines */
	uint64_t unusable[_SLUICE_UNUSABLE_N];
	uint64_t changed_s; /* when its file was changed, as time(2); 0: not known */
	uint64_t loaded_s;  /* when it came into force */
};

/**
 * struct sluice_filter_ops - what a filter does; unset members are skipped, new_flow or packet
 *                            must be set
 * @size: sizeof(struct sluice_filter_ops)
 *
 * Callbacks run inside sluice_filter_process() and must not call
 * sluice_filter_free().
 */
struct sluice_filter_ops {
	size_t size;
	const char *name; /* for people and logs; at most 31 bytes */
	/* one option of the configuration; @fd: open file of a file option, else -1;
	 * it is the library's and is closed after the callback: dup(2) it to keep it.
	 * A negative errno refuses the configuration, and so does an option given to
	 * a filter without this member. sluice_filter_fail() says why in words. */
	int (*option)(struct sluice_filter *filter, const char *key, const char *value, int fd,
		      void *data);
	/* all options are there. A negative errno says that the filter cannot start;
	 * sluice_filter_fail() says why in words. */
	int (*start)(struct sluice_filter *filter, void *data);
	/* judge @flow: call sluice_filter_answer() now or later, once */
	void (*new_flow)(struct sluice_filter *filter, const struct sluice_flow *flow, void *data);
	/* a flow that is or was allowed ended; payload bytes as the socket counted them */
	void (*flow_closed)(struct sluice_filter *filter, uint64_t flow_id, uint64_t bytes_in,
			    uint64_t bytes_out, void *data);
	/* the session ends; no answer is taken any more. A second later the process is killed */
	void (*stop)(struct sluice_filter *filter, void *data);
	/* the rules that were committed last are in force: @error is 0. Or they are not, and those of
	 * before are: -EINVAL when rule @number, counted from 1, is wrong (0: none is), -EOVERFLOW
	 * when too many are like it, -E2BIG, -EFBIG, -ENOMEM. sluice_filter_error() says it in words. */
	void (*rules_done)(struct sluice_filter *filter, int error, uint32_t number, void *data);
	/* bytes of a flow for which sluice_filter_answer_peek() was called: call
	 * sluice_filter_pass() or sluice_filter_answer() now or later, once */
	void (*flow_data)(struct sluice_filter *filter, const struct sluice_data *bytes,
			  void *data);
	/* of a flow for which sluice_filter_watch() was called. Nobody waits for it to return, but
	 * the questions behind it do */
	void (*report)(struct sluice_filter *filter, const struct sluice_report *report,
		       void *data);
	/* sluice_filter_answer_need_rules() was no answer, and what was asked is still open: @error
	 * is -EALREADY when the flow waits for rules and they have not changed since, -EINVAL when
	 * nobody has asked about it. sluice_filter_error() says it in words. */
	void (*refused)(struct sluice_filter *filter, uint64_t flow_id, int error, void *data);
	/* a packet, at once: <sluice/packet.h> */
	enum sluice_packet_verdict (*packet)(struct sluice_filter *filter,
					     const struct sluice_packet *packet, void *data);
	uint32_t packet_bytes; /* so many of each it wants to see; 0: SLUICE_PACKET_BYTES */
};

/**
 * sluice_filter_new() - begin a session on the provider channel, descriptor 3
 * @ops:        not copied, must outlive the filter
 * @data:       given to every callback, never touched
 * @ret_filter: out: owned by the caller, on 0 only; sluice_filter_free() ends it
 *
 * Return: 0; -ENOTCONN when descriptor 3 is not a provider channel (the
 *         program was not started by Sluice); -ENOMEM; -EINVAL for bad @ops.
 */
SLUICE_API int sluice_filter_new(const struct sluice_filter_ops *ops, void *data,
				 struct sluice_filter **ret_filter);

/** sluice_filter_free() - close the session; NULL is fine. Return: NULL */
SLUICE_API struct sluice_filter *sluice_filter_free(struct sluice_filter *filter);

/** sluice_filter_get_fd() - the descriptor to poll; it stays the library's */
SLUICE_API int sluice_filter_get_fd(const struct sluice_filter *filter);

/** sluice_filter_get_events() - what to poll it for, as in poll(2) */
SLUICE_API short sluice_filter_get_events(const struct sluice_filter *filter);

/**
 * sluice_filter_process() - read what is there and run callbacks; never blocks
 *
 * Return: 0; -ESHUTDOWN after an orderly stop: free the filter and exit 0;
 *         -EPIPE when the daemon went away; -EPROTO when it broke the protocol.
 */
SLUICE_API int sluice_filter_process(struct sluice_filter *filter);

/**
 * sluice_filter_answer() - judge a flow
 * @reason: why, for people, shown in flow records; at most 127 bytes; may be NULL
 *
 * The answer is queued when the channel is full and sent by a later
 * sluice_filter_process(). An answer for an unknown flow, a second or a late
 * one is ignored by the daemon and counted against the provider.
 *
 * Return: 0, -EINVAL for a verdict out of range or before the filter has
 *         started, -ENOBUFS when 4096 answers are queued already: poll and
 *         process before answering more, -ESHUTDOWN after a stop.
 */
SLUICE_API int sluice_filter_answer(struct sluice_filter *filter, uint64_t flow_id,
				    enum sluice_verdict verdict, const char *reason);

/**
 * sluice_filter_answer_for() - judge a flow and those like it
 * @scope: how far the verdict reaches; read enum sluice_scope: it is a promise
 *
 * As sluice_filter_answer(), which answers for this flow only.
 */
SLUICE_API int sluice_filter_answer_for(struct sluice_filter *filter, uint64_t flow_id,
					enum sluice_verdict verdict, enum sluice_scope scope,
					const char *reason);

/**
 * sluice_filter_answer_peek() - not before seeing what the flow carries
 * @peek:   which directions, and how much at once
 * @reason: as for sluice_filter_answer()
 *
 * In the place of sluice_filter_answer() inside or after new_flow. The flow begins: a
 * TCP connection is made; what it carries is held, and shown to ops->flow_data in
 * order, as soon as there is as much as was asked for, or the rest of a packet whose
 * beginning was passed (packets go whole), or when nothing more came for 30 to 50 ms, or
 * no more can be held, or at the end of the direction. Each such call wants one answer:
 * sluice_filter_pass(), or sluice_filter_answer(), which is final for the whole flow.
 * A drop cuts it as sluice_filter_update() does. Without an answer within 5 seconds the
 * filter's fail class decides.
 *
 * Since 0.1. Return: as sluice_filter_answer(); -EINVAL also when no direction is
 *         filtered, or without ops->flow_data.
 */
SLUICE_API int sluice_filter_answer_peek(struct sluice_filter *filter, uint64_t flow_id,
					 const struct sluice_peek *peek, const char *reason);

/**
 * sluice_filter_answer_name() - not before knowing which host it wants
 * @reason: as for sluice_filter_answer()
 *
 * In the place of sluice_filter_answer() for a flow whose host_reading is SLUICE_READABLE:
 * no name is known, or several lead to its address. The flow begins: a TCP connection is
 * made, what comes in passes, what leaves is held until sluice-names has read which host
 * it names (TLS, HTTP/1, HTTP/2 without TLS, QUIC). Then it comes to new_flow once more,
 * with is_again set, the host if there is one, and what came of the reading; in the
 * place of a verdict the filter may then ask for its bytes. What comes in has passed: who
 * asks for that has the flow fall to its fail class. A program that sends nothing waits for
 * nothing; one that begins and does not go on is held for a second.
 *
 * It is taken of every flow that comes with SLUICE_READABLE, also with is_again. For another
 * one it is no answer. Since 0.1. Return: as sluice_filter_answer().
 */
SLUICE_API int sluice_filter_answer_name(struct sluice_filter *filter, uint64_t flow_id,
					 const char *reason);

/**
 * sluice_filter_pass() - these bytes go
 * @direction: as in struct sluice_data
 * @pass:      how many, counted from the first one that was shown; more than were
 *             shown: in advance; SLUICE_BYTES_MAX: all that ever come in this direction,
 *             which is shown no more
 * @peek:      how many behind them to show next; 0: as they come
 *
 * With @pass 0 and a larger @peek than what was shown everything stays held and is shown
 * again with more: within 5 seconds, or the fail class decides, because no more may ever
 * come. Packets go whole: one goes with its last byte.
 *
 * Since 0.1. Return: as sluice_filter_answer().
 */
SLUICE_API int sluice_filter_pass(struct sluice_filter *filter, uint64_t flow_id,
				  enum sluice_direction direction, uint64_t pass, uint64_t peek);

/**
 * sluice_filter_pause() - the answer takes longer
 *
 * For a flow about which new_flow or flow_data has asked and was not answered. It has no
 * deadline from now on, nothing more of it is shown, and what is filtered does not move,
 * until sluice_filter_resume(). TCP waits as long as its two ends do (minutes); UDP is
 * dropped after 10 seconds. To pause what is paused, or what nobody has asked about, is
 * an error that the daemon ignores and counts against the provider.
 *
 * Since 0.1. Return: as sluice_filter_answer().
 */
SLUICE_API int sluice_filter_pause(struct sluice_filter *filter, uint64_t flow_id);

/**
 * sluice_filter_resume() - the answer comes now: call what answers the open question next
 *
 * Of what is not paused: an error as for sluice_filter_pause().
 *
 * Since 0.1. Return: as sluice_filter_answer().
 */
SLUICE_API int sluice_filter_resume(struct sluice_filter *filter, uint64_t flow_id);

/**
 * sluice_filter_answer_need_rules() - not before the rules are there
 * @reason: which, for whoever has them to bring: `sluice status` shows it
 *
 * In the place of sluice_filter_answer() inside or after new_flow or flow_data, when what the
 * filter has to judge by is not there yet: a list that is being compiled, an answer of another
 * thread of its own. The flow stays held, nothing more of it is shown, and sluiced's log
 * tells that flows wait. When the rules have changed it is asked about again, new_flow with
 * is_again set or flow_data with the same bytes and what has come since: after
 * sluice_filter_forget() or sluice_filter_rejudge(), which say so; when another set of static
 * rules is in force and does not decide it; or when another process of the filter has started.
 * sluice_filter_update() decides it without that.
 *
 * TCP and UDP alike wait for 10 seconds at most, all attempts together; then the filter's
 * fail class decides. To call it again for a flow that waits, without a change, is
 * refused: ops->refused. So it is for a flow that nobody has asked about. One that goes on
 * and is judged again keeps its verdict.
 *
 * Since 0.1. Return: as sluice_filter_answer().
 */
SLUICE_API int sluice_filter_answer_need_rules(struct sluice_filter *filter, uint64_t flow_id,
					       const char *reason);

/**
 * sluice_filter_watch() - report on this flow
 * @flow_id: of a flow that this filter was told of by new_flow
 *
 * Called before the answer, the first report is that of the verdict; later, while the flow
 * goes on, the next one is. Called again it changes the rate. Reports cost a flow nothing that
 * nobody watches; those that are decided by a promise or a rule do not come to new_flow,
 * and cannot be watched. A flow that is gone is ignored.
 *
 * Nobody waits for a filter that does not read: its statistics are lost and counted. The last
 * report of a flow is kept for it, while not more than 32,768 wait.
 *
 * Since 0.1. Return: as sluice_filter_answer(); -EINVAL also without ops->report.
 */
SLUICE_API int sluice_filter_watch(struct sluice_filter *filter, uint64_t flow_id,
				   enum sluice_watch rate);

/**
 * sluice_filter_forget() - the rules have changed: no promise of this filter holds any more
 *
 * Call it after the new rules are in use and before the next answer. Flows
 * that are open are not judged again: sluice_filter_rejudge() does that. Those that wait
 * for rules are asked about.
 *
 * Return: 0, -EINVAL before the filter has started, -ENOBUFS when 4096 answers
 *         are queued already: poll, process and call it again, -ESHUTDOWN
 *         after a stop.
 */
SLUICE_API int sluice_filter_forget(struct sluice_filter *filter);

/**
 * sluice_filter_rejudge() - sluice_filter_forget(), and judge the open flows again
 *
 * Every flow that this filter has judged, or that was decided by a promise of
 * it, comes to new_flow once more, with the id that it has and is_again set, a
 * few at a time. It goes on meanwhile; without an answer within 5 seconds it
 * keeps its verdict. Only flows whose answer is another one are touched, as by
 * sluice_filter_update(). Called again, it begins anew.
 *
 * Return: as sluice_filter_forget().
 */
SLUICE_API int sluice_filter_rejudge(struct sluice_filter *filter);

/**
 * sluice_filter_update() - another verdict for a flow that goes on
 * @flow_id: of a flow that this filter was told of by new_flow
 * @reason:  as for sluice_filter_answer()
 *
 * A drop of an allowed flow cuts it: TCP, and UDP while it is connected, get
 * ECONNABORTED (sluice-errno table), and nothing of it leaves any more. Allowing
 * a denied flow forgets the denial, unless another filter denies it as well: its
 * next packet is a new flow. An update that contradicts a promise of this filter
 * which covers the flow takes all of its promises back. An update is never too
 * late as an answer is, and one for a flow that has ended is ignored.
 *
 * Return: as sluice_filter_answer().
 */
SLUICE_API int sluice_filter_update(struct sluice_filter *filter, uint64_t flow_id,
				    enum sluice_verdict verdict, const char *reason);

/**
 * sluice_filter_rules_begin() - begin a set of static rules
 *
 * For a flow that a rule decides the daemon answers in the filter's place: it
 * does not come to new_flow, nor does its end come to flow_closed. Rules are the
 * filter's word: they hold also while its process is hung or dead and being
 * started again, when flows that no rule decides fall to the fail class.
 *
 *	sluice_filter_rules_begin(filter);
 *	sluice_filter_rule(filter, &(struct sluice_rule){ .size = sizeof(struct sluice_rule),
 *							  .action = SLUICE_RULE_DROP,
 *							  .domain = "ads.example" });
 *	sluice_filter_rules_commit(filter, SLUICE_RULE_ASK);
 *
 * A set that was begun and not committed is thrown away. What is in force stays
 * in force until the commit.
 *
 * Since 0.1. Return: 0; -ESHUTDOWN after a stop.
 */
SLUICE_API int sluice_filter_rules_begin(struct sluice_filter *filter);

/**
 * sluice_filter_rule() - one more rule of the set
 * @rule: copied, with its strings
 *
 * The first rule that matches decides. An application may know an address by
 * several names: rules decide a flow there only if they say the same under each
 * of them; else, or if no name is known and a rule asks for one, its first bytes are
 * read, as by sluice_filter_answer_name(), and the rules asked again. If the program of a
 * flow, or its interface, is not known and a rule asks for it, the flow comes to new_flow.
 *
 * Since 0.1. Return: 0; -EINVAL for a rule that cannot be, or without a
 *         sluice_filter_rules_begin(); -E2BIG for more than 65536 rules, or for a
 *         newer struct than the library's with something in its new members;
 *         -ENOMEM; -ESHUTDOWN after a stop. After a failure the set cannot be
 *         committed; sluice_filter_error() says which rule and why, and so does the
 *         daemon to whoever starts the filter if this ends a start callback.
 */
SLUICE_API int sluice_filter_rule(struct sluice_filter *filter, const struct sluice_rule *rule);

/**
 * sluice_filter_rules_commit() - replace the rules in force by this set, as a whole
 * @otherwise: what becomes of a flow that no rule matches; loopback is allowed
 *
 * In the start callback: no flow is judged before the set is in force. Later it is
 * sent by sluice_filter_process() as the channel takes it; ops->rules_done tells the
 * outcome, of the set that was committed last. With another set in force every
 * promise of this filter is void and its open flows are judged again, as by
 * sluice_filter_rejudge(): by the rules, and those that no rule decides come to
 * new_flow. A set that is equal to the one in force changes nothing. An empty set
 * with SLUICE_RULE_ASK removes all rules; so does a start callback that commits
 * none. The first set that a daemon gets from a filter judges only what comes.
 *
 * Since 0.1. Return: 0; -EINVAL for @otherwise out of range or without a
 *         sluice_filter_rules_begin(); the failure of sluice_filter_rule() if one of
 *         the set failed, which is thrown away then; -ESHUTDOWN after a stop.
 */
SLUICE_API int sluice_filter_rules_commit(struct sluice_filter *filter,
					  enum sluice_rule_action otherwise);

/**
 * sluice_filter_list() - tell of a list, or of its new version
 *
 * Since 0.1. Return: 0; -EINVAL for a list that cannot be; -EAGAIN when the channel is
 *         full: call it again later; -ESHUTDOWN after a stop.
 */
SLUICE_API int sluice_filter_list(struct sluice_filter *filter, const struct sluice_list *list);

/**
 * sluice_filter_fail() - say why an option or start callback is about to refuse
 * @error: the negative errno the callback returns
 * @fmt:   for people: the thing, the reason, the next step; at most 255 bytes
 *
 * The text reaches whoever started the filter, together with the callback's
 * return value. Return: @error, so that a callback ends in one statement.
 */
SLUICE_API int sluice_filter_fail(struct sluice_filter *filter, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** sluice_filter_log() - a line for people; level as in syslog(3); lost when the channel is full */
SLUICE_API void sluice_filter_log(struct sluice_filter *filter, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** sluice_filter_error() - the last failure in words; valid until the next call; never NULL */
SLUICE_API const char *sluice_filter_error(const struct sluice_filter *filter);

/**
 * sluice_filter_main() - new, poll and process until the end, free
 *
 * Return: an exit status: 0 after an orderly stop, 1 after a failure, which
 *         has been printed on stderr; a refused start is told to the daemon,
 *         which shows it, and not printed again.
 */
SLUICE_API int sluice_filter_main(const struct sluice_filter_ops *ops, void *data);

/** sluice_address_to_text() - numeric form, IPv4 without its prefix; @n >= 46. Return: @text */
SLUICE_API const char *sluice_address_to_text(const uint8_t address[16], char *text, size_t n);

#ifdef __cplusplus
}
#endif
#endif
