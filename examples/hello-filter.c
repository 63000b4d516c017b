/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A first filter: denies one host, prints every flow. sluice-provider(7) explains it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sluice/filter.h>

static int on_option(struct sluice_filter *filter, const char *key, const char *value, int fd,
		     void *data)
{
	if (strcmp(key, "host") != 0)
		return sluice_filter_fail(filter, -EINVAL, "unknown option \"%s\": use host", key);
	snprintf(data, 256, "%s", value);
	return 0;
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	enum sluice_verdict verdict = strcmp(flow->host, data) == 0 ? SLUICE_DROP : SLUICE_ALLOW;
	char address[46];

	printf("%s (%u) %s [%s]:%u %s\n", flow->exe, flow->pid, flow->host,
	       sluice_address_to_text(flow->remote_address, address, sizeof(address)),
	       flow->remote_port, verdict == SLUICE_DROP ? "dropped" : "allowed");
	fflush(stdout);
	sluice_filter_answer(filter, flow->id, verdict, "hello-filter");
}

int main(void)
{
	char host[256] = "blocked.example";
	struct sluice_filter_ops ops = { .size = sizeof(ops),
					 .name = "hello-filter",
					 .option = on_option,
					 .new_flow = on_flow };

	return sluice_filter_main(&ops, host);
}
