/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sluice/filter.h>

#define N_WORDS 16

/** struct order - what a flow, or its bytes, tell the puppet to do */
struct order {
	struct sluice_filter *filter;
	uint64_t id;
	char *words[N_WORDS]; /* the ones that are not there are "" */
	char *rest[N_WORDS];  /* from that word to the end */
};

/** puppet_rules() - rules OTHERWISE RULE | RULE …, each KEY=VALUE… */
int puppet_rules(const struct order *order);
