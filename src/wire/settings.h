/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: What a user says of a proxy
 *
 * Which flows may come to it: rules (RULE of the provider channel) in three parts. A flow is for
 * the proxy if it is of one of the applications, is not excluded, and is included; a part without
 * a rule is no condition. They lie in a file, one after the other, whose descriptor comes with
 * SETTINGS of the keeper channel, so that they change as a whole.
 *
 * What proxies of other systems are told besides, and ours do nothing with, has a name here:
 * whoever says it is told that it is not supported, and nobody ignores it (4.13).
 */

#include "wire/provider-records.h"

#define WIRE_SETTINGS_MAX 256U /* rules of one proxy: all are told to whoever asks, at once */

enum wire_settings_part {
	WIRE_SETTINGS_APPS,
	WIRE_SETTINGS_INCLUDED,
	WIRE_SETTINGS_EXCLUDED,
	_WIRE_SETTINGS_N,
};

/** wire_settings_write() - one more rule at the end of @fd. Return: 0 or -errno */
int wire_settings_write(int fd, enum wire_settings_part part, const struct wire_rule *rule);
/** wire_settings_read() - rule @number, from 0. Return: 0, -ENODATA behind the last one, -EBADMSG,
 *  or another negative errno */
int wire_settings_read(int fd, unsigned int number, enum wire_settings_part *ret_part,
		       struct wire_rule *ret_rule);

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
