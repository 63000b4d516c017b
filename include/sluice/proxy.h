/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SLUICE_PROXY_H
#define SLUICE_PROXY_H

/**
 * DOC: Proxy providers (since 0.1)
 *
 * A proxy is asked about new TCP connections that governed programs begin, and about flows of
 * UDP if it says so. One that it takes is its own: the program's SYN stays held until
 * sluice_proxy_open() says that the other side is reached, so that connect(2) tells the truth;
 * then the proxy has the program's connection as a socket like any other. What it declines
 * goes directly to its destination, and no process is on its path (SLUICE_PROXY_TRANSPARENT),
 * or is refused (SLUICE_PROXY_APP).
 *
 *	new_flow ──▶ sluice_proxy_open(0) ──▶ flow_opened: a connected descriptor
 *	         └─▶ sluice_proxy_open(-ECONNREFUSED): so connect(2) fails
 *
 * or, when the flow is to be connected with another socket and nothing more:
 *
 *	new_flow ──▶ sluice_proxy_forward(): all of this
 *
 * Filters are asked first, then proxies in the order of the command line; the first one
 * that takes a flow has it. What that one connects to is a flow of its own, which goes the same
 * way: filters, then the proxies behind it (sluice_proxy_upstream()). Inbound flows are not shown to
 * proxies.
 *
 * A flow of UDP is one socket of a program and one peer, which the program has sent to: the
 * same calls, and the same wait, of ten seconds at most. Its descriptor is a connected UDP
 * socket: what is read of it the program has sent, and what is written comes from the peer to
 * the program. Datagrams that were on their way before it was there come to flow_datagram. It
 * ends with flow_ended. In another network namespace than that of the instance its first datagrams
 * may be in another order.
 *
 * Flows are answered on loopback. Where the program's network namespace has none of their
 * family, and of a socket that is bound to an interface, they meet the proxy's fail class.
 *
 * Threads, loops, errors: as in <sluice/filter.h>. All that is here is since 0.1.
 */

#include <sluice/filter.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sluice_proxy; /* one proxy session with the daemon */

/** enum sluice_proxy_kind - what becomes of a flow that is declined */
enum sluice_proxy_kind {
	SLUICE_PROXY_TRANSPARENT, /* it goes directly to its destination */
	SLUICE_PROXY_APP,	  /* it is refused: ECONNREFUSED */
};

enum sluice_proxy_choice { SLUICE_PROXY_DECLINE, SLUICE_PROXY_TAKE };

/** enum sluice_proxy_end - how the program has ended its side of a connection */
enum sluice_proxy_end {
	SLUICE_PROXY_HALF, /* shutdown(2): it reads on */
	SLUICE_PROXY_FULL, /* its last descriptor is closed: nobody reads; UDP: or it is idle. What
			    * it had sent is there to be read, up to 0, or ECONNRESET if it was closed
			    * by a reset */
};

/**
 * struct sluice_proxy_ops - what a proxy does; unset members are skipped, new_flow must be set
 * @size: sizeof(struct sluice_proxy_ops)
 *
 * Callbacks run inside sluice_proxy_process() and sluice_proxy_wait(), and must call neither of these,
 * nor sluice_proxy_free().
 */
struct sluice_proxy_ops {
	size_t size;
	const char *name; /* for people and logs; at most 31 bytes */
	enum sluice_proxy_kind kind;
	/* as those of struct sluice_filter_ops; sluice_proxy_fail() says why in words */
	int (*option)(struct sluice_proxy *proxy, const char *key, const char *value, int fd,
		      void *data);
	int (*start)(struct sluice_proxy *proxy, void *data);
	/* does it take @flow? If so it calls sluice_proxy_open() or sluice_proxy_forward(), now
	 * or later: its SYN is held until then, for as long as the program waits */
	enum sluice_proxy_choice (*new_flow)(struct sluice_proxy *proxy,
					     const struct sluice_flow *flow, void *data);
	/* the program's connection stands: @fd is the proxy's, non-blocking, and ends with
	 * sluice_proxy_close() */
	void (*flow_opened)(struct sluice_proxy *proxy, uint64_t flow_id, int fd, void *data);
	/* the program has given up, or the daemon; the flow is over, and @fd never comes */
	void (*flow_cancelled)(struct sluice_proxy *proxy, uint64_t flow_id, void *data);
	/* its side of an opened flow has ended: SLUICE_PROXY_HALF only in answer to
	 * sluice_proxy_ask_end(), SLUICE_PROXY_FULL unasked, once */
	void (*flow_ended)(struct sluice_proxy *proxy, uint64_t flow_id, enum sluice_proxy_end end,
			   void *data);
	/* UDP: a datagram of the program that came before the descriptor, or past it; valid only
	 * inside the callback */
	void (*flow_datagram)(struct sluice_proxy *proxy, uint64_t flow_id, const void *bytes,
			      size_t n, void *data);
	bool takes_udp; /* flows of UDP come to new_flow as well */
	/* the session ends; open connections may go on until the process is killed, a second
	 * later */
	void (*stop)(struct sluice_proxy *proxy, void *data);
	/* as that of struct sluice_filter_ops: the rules that were given last are in force, or not,
	 * and then those of before are. @number counts the excluded ones first */
	void (*rules_done)(struct sluice_proxy *proxy, int error, uint32_t number, void *data);
};

/**
 * sluice_proxy_new() - begin a session on the provider channel, descriptor 3
 * @ops:       not copied, must outlive the proxy
 * @data:      given to every callback, never touched
 * @ret_proxy: out: owned by the caller, on 0 only; sluice_proxy_free() ends it
 *
 * Return: as sluice_filter_new(), and -errno of epoll_create1(2) or epoll_ctl(2).
 */
SLUICE_API int sluice_proxy_new(const struct sluice_proxy_ops *ops, void *data,
				struct sluice_proxy **ret_proxy);

/** sluice_proxy_free() - close the session, and what it forwards; NULL is fine. Return: NULL */
SLUICE_API struct sluice_proxy *sluice_proxy_free(struct sluice_proxy *proxy);

/** sluice_proxy_get_fd() - the descriptor to poll for reading; it stays the library's */
SLUICE_API int sluice_proxy_get_fd(const struct sluice_proxy *proxy);

/** sluice_proxy_process() - do what is due, and run callbacks; never blocks. Return: as
 *  sluice_proxy_wait() */
SLUICE_API int sluice_proxy_process(struct sluice_proxy *proxy);

/**
 * sluice_proxy_wait() - as sluice_proxy_process(), after waiting until something is due
 * @timeout_ms: at most so long; -1: for ever. A signal ends it, too
 *
 * For who has nothing else to poll: it takes half the system calls, and where flows follow each other
 * closely it looks again for up to 0.2 ms before it sleeps, if nobody else wants the processor.
 * Return: as sluice_filter_process(), or -errno of epoll_wait(2) or epoll_ctl(2): free the proxy, and
 * exit with an error.
 */
SLUICE_API int sluice_proxy_wait(struct sluice_proxy *proxy, int timeout_ms);

/**
 * sluice_proxy_open() - a flow that was taken: the other side is reached, or is not
 * @error: 0, or a negative errno, which connect(2) of the program gives, where the protocol can
 *         say it: -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH, -EACCES or -EPERM (EACCES;
 *         IPv4: EHOSTUNREACH).
 *         -ETIMEDOUT: the SYN gets no answer, and the program's own timer decides.
 *         Any other: ECONNREFUSED.
 * @reason: for people, shown in flow records; at most 127 bytes; may be NULL
 *
 * With 0 ops->flow_opened or ops->flow_cancelled follows. Without an answer the SYN is held
 * for as long as the program waits. Called for a flow that is not waiting it is ignored, and counted
 * against the proxy.
 *
 * Return: as sluice_filter_answer(); -EINVAL also for an @error above 0.
 */
SLUICE_API int sluice_proxy_open(struct sluice_proxy *proxy, uint64_t flow_id, int error,
				 const char *reason);

/**
 * sluice_proxy_forward() - connect a flow that was taken with another socket
 * @upstream: a TCP socket, non-blocking, connected or connecting: getsockopt(SO_ERROR) is what the
 *            program's connect(2) gives, but one that is reset as soon as it is connected was
 *            connected, and the program is reset; for a flow of UDP a connected UDP socket.
 *            Consumed, also on failure.
 *
 * Bytes, half closes, full closes and resets of either side become the other's (<sluice/relay.h>).
 * Of its callbacks flow_cancelled may follow; and when both sides have ended, so that the library
 * knows nothing of it any more, flow_ended and flow_datagram, which are then to be ignored.
 *
 * Return: as sluice_filter_answer(), but never -ENOBUFS: what the channel has no place for is said
 *         later; -EALREADY: it is forwarded, and stays so; -ENOMEM, -errno of getsockopt(2),
 *         timerfd_create(2) or epoll_ctl(2): the flow is refused, and nothing is left to do.
 */
SLUICE_API int sluice_proxy_forward(struct sluice_proxy *proxy, uint64_t flow_id, int upstream);

/**
 * sluice_proxy_upstream() - a socket, before connect(2), or of UDP before it sends: it is for this flow
 * @fd: a TCP or UDP socket of the proxy; it stays the caller's
 *
 * What a proxy connects to is a flow, too, where the instance has filters, or other proxies: filters
 * judge it, and then the proxies that come later may have it, never the same one or one before
 * it. They are told that it is on behalf of @flow_id, and whose that was. Without this call,
 * also of other connections of the proxy, it is judged as the proxy's own. Its errors are those of
 * connect(2): ECONNREFUSED, if it is denied. Elsewhere this call does nothing.
 *
 * While the daemon does not read, so that it cannot be said at once, it may come too late. For a
 * flow that this proxy was not asked about, or that is over, it is ignored, and counted against the proxy.
 *
 * Return: as sluice_filter_answer(), or -errno of getsockopt(2).
 */
SLUICE_API int sluice_proxy_upstream(struct sluice_proxy *proxy, uint64_t flow_id, int fd);

/**
 * sluice_proxy_ask_end() - read(2) of an opened flow gave 0: is it a half close or a full one?
 *
 * ops->flow_ended answers. Of a socket that several processes have, or that was duplicated,
 * the last descriptor counts. Return: as sluice_filter_answer().
 */
SLUICE_API int sluice_proxy_ask_end(struct sluice_proxy *proxy, uint64_t flow_id);

/**
 * sluice_proxy_close() - end a descriptor of ops->flow_opened
 * @error: 0: as close(2) does; -ECONNRESET: the program gets a reset
 *
 * Closed in another way, also by the end of the process, it is a reset, so that a program never
 * takes a proxy that died for the end of what it reads.
 */
SLUICE_API void sluice_proxy_close(int fd, int error);

/**
 * sluice_proxy_rules() - which flows come to new_flow
 * @excluded: looked at first: these are not this proxy's, and go on as if it was not there
 * @included: these are; what neither has is not
 *
 * The size of the first rule is that of all of them; action and reason are ignored. They take the
 * place of those of before, as a whole, for flows to come; open ones stay where they are, in the
 * proxy or beside it. What is refused changes nothing. Without any call every outbound flow
 * comes, but none of loopback, which takes an included rule with such an address.
 *
 * Return: as sluice_filter_rule() and sluice_filter_rules_commit().
 */
SLUICE_API int sluice_proxy_rules(struct sluice_proxy *proxy, const struct sluice_rule *included,
				  size_t n_included, const struct sluice_rule *excluded,
				  size_t n_excluded);

/**
 * struct sluice_proxy_settings - what a proxy is told elsewhere, as a whole
 * @size: sizeof(struct sluice_proxy_settings)
 *
 * Lists of strings end with NULL. Nothing is ignored: members behind n_excluded are not supported by
 * this version, for either kind of proxy, and a call that sets one is refused.
 */
struct sluice_proxy_settings {
	size_t size;
	const struct sluice_rule *included; /* as for sluice_proxy_rules() */
	size_t n_included;
	const struct sluice_rule *excluded;
	size_t n_excluded;
	/* not supported: */
	const char *tunnel_remote_address;
	const char *dns_protocol;
	const char *const *dns_servers;
	const char *const *dns_search_domains;
	const char *dns_domain_name;
	const char *const *dns_match_domains;
	bool dns_match_domains_no_search;
	const char *dns_server_name;
	const char *dns_server_url;
	bool proxy_auto_config;
	const char *proxy_auto_config_url;
	const char *proxy_auto_config_script;
	bool http_proxy_enabled;
	const char *http_proxy_server;
	bool https_proxy_enabled;
	const char *https_proxy_server;
	bool proxy_excludes_simple_names;
	const char *const *proxy_exceptions;
	const char *const *proxy_match_domains;
};

/**
 * sluice_proxy_settings() - sluice_proxy_rules(), and a refusal of all that is not supported
 *
 * What is refused changes nothing: the rules of before stay.
 *
 * Return: as sluice_proxy_rules(); -EOPNOTSUPP: sluice_proxy_error() says "unsupported field NAME";
 *         -EINVAL: @size is too small.
 */
SLUICE_API int sluice_proxy_settings(struct sluice_proxy *proxy,
				     const struct sluice_proxy_settings *settings);

/** sluice_proxy_fail() - as sluice_filter_fail() */
SLUICE_API int sluice_proxy_fail(struct sluice_proxy *proxy, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** sluice_proxy_log() - as sluice_filter_log() */
SLUICE_API void sluice_proxy_log(struct sluice_proxy *proxy, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** sluice_proxy_error() - as sluice_filter_error() */
SLUICE_API const char *sluice_proxy_error(const struct sluice_proxy *proxy);

/** sluice_proxy_main() - as sluice_filter_main() */
SLUICE_API int sluice_proxy_main(const struct sluice_proxy_ops *ops, void *data);

#ifdef __cplusplus
}
#endif
#endif
