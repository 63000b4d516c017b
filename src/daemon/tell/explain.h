/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "daemon/daemon.h"

/** struct explanation - a question and what filters have said so far */
struct explanation {
	struct explanation *next;
	unsigned int token; /* of the caller */
	bool is_governed;
	uint64_t deadline_us;
	struct flow flow;
	char said[FLOW_HOST_BYTES]; /* the host that its first bytes would name; empty: not known */
	enum flow_host host_source; /* of @host */
	struct flow_side side;	    /* of the flow */
	char host[FLOW_HOST_BYTES], reason[FLOW_REASON_BYTES]; /* of the flow */
	struct identity identity;			       /* its strings are owned */
	struct why why;
};

/** explanation_free() - NULL is fine. Return: NULL */
struct explanation *explanation_free(struct explanation *explanation);

/** explain_read() - fill a new one. Return: 0, -EINVAL, -ENOMEM */
int explain_read(struct daemon *daemon, struct json_object *program, struct json_object *target,
		 struct explanation *explanation);
/** explain_read_who() - of which application? Return: 0 or -EINVAL */
int explain_read_who(struct daemon *daemon, struct json_object *program, struct sl_who *ret_who);
/** explain_read_netns() - cookie of its network namespace; without one said, of ours */
uint64_t explain_read_netns(struct daemon *daemon, struct json_object *program);
