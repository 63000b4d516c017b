/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What a user says of a proxy
 *
 * Which flows may come to it: rules (RULE of the provider channel) in three parts. A flow is for
 * the proxy if it is of one of the applications, is not excluded, and is included; a part without
 * a rule is no condition. They lie in a file without a name, whose descriptor comes with the first
 * SETTINGS of the keeper channel. The command line writes new ones beside those that count, and then
 * says in the head that they do. Who reads looks at the head before and afterwards: so they change as a
 * whole, also for a sluiced that begins just then.
 *
 * What proxies of other systems are told besides, and ours do nothing with, has a name here:
 * whoever says it is told that it is not supported, and nobody ignores it (4.13).
 */

#include <stdbool.h>

#include "wire/provider-records.h"

#define WIRE_SETTINGS_MAX 256U /* rules of one proxy: all are told to whoever asks, at once */

enum wire_settings_part {
	WIRE_SETTINGS_APPS,
	WIRE_SETTINGS_INCLUDED,
	WIRE_SETTINGS_EXCLUDED,
	_WIRE_SETTINGS_N,
};

/** struct wire_settings_head - of the file, which has two halves: the one of an even @generation, counted
 *  from 1 on, and the one of an odd one */
struct wire_settings_head {
	uint32_t generation, n;
};

/** wire_settings_write() - rule @number, from 0, of those of @head. Return: 0 or -errno */
int wire_settings_write(int fd, const struct wire_settings_head *head, unsigned int number,
			enum wire_settings_part part, const struct wire_rule *rule);
/** wire_settings_commit() - all of them are written: they count. Return: 0 or -errno */
int wire_settings_commit(int fd, const struct wire_settings_head *head);
/** wire_settings_open() - which count? Return: 0, -EBADMSG: none */
int wire_settings_open(int fd, struct wire_settings_head *ret_head);
/** wire_settings_read() - rule @number of them. Return: 0, -EBADMSG */
int wire_settings_read(int fd, const struct wire_settings_head *head, unsigned int number,
		       enum wire_settings_part *ret_part, struct wire_rule *ret_rule);

/** wire_settings_is_current() - @head counts still: what was read is of one generation */
bool wire_settings_is_current(int fd, const struct wire_settings_head *head);

/* members of struct sluice_proxy_settings */
/* clang-format off */
#define WIRE_UNSUPPORTED_SETTINGS(F) \
	F(tunnel_remote_address) \
	F(dns_protocol) F(dns_servers) F(dns_search_domains) F(dns_domain_name) \
	F(dns_match_domains) F(dns_match_domains_no_search) F(dns_server_name) F(dns_server_url) \
	F(proxy_auto_config) F(proxy_auto_config_url) F(proxy_auto_config_script) \
	F(http_proxy_enabled) F(http_proxy_server) F(https_proxy_enabled) F(https_proxy_server) \
	F(proxy_excludes_simple_names) F(proxy_exceptions) F(proxy_match_domains)
/* clang-format on */

/** wire_settings_unsupported() - @name: in any case, with or without _ and -. Return: the name of the
 *  field, a constant; NULL: there is none */
const char *wire_settings_unsupported(const char *name);
