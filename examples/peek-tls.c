/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shows the name that each TLS connection asks for in its first bytes, and drops one of them. */
#include <stdio.h>
#include <string.h>
#include <sluice/filter.h>

static size_t get(const struct sluice_data *d, size_t at, int n) /* 0 where nothing is */
{
	size_t value = 0;

	for (; n--; at++)
		value = value << 8 | (at < d->n ? d->bytes[at] : 0);
	return value;
}

static void on_data(struct sluice_filter *filter, const struct sluice_data *d, void *data)
{
	size_t at = 43, n = 5 + get(d, 3, 2); /* of the record */
	char name[256] = "";

	if (get(d, 0, 1) == 22 && d->n < n && n <= SLUICE_PEEK_MAX && !d->is_end) {
		sluice_filter_pass(filter, d->flow_id, d->direction, 0, n); /* not yet whole */
		return;
	}
	for (int i = 0; i < 3; i++) /* session, ciphers, compression: their size, then they */
		at += 1 + i % 2 + get(d, at, 1 + i % 2);
	for (at += 2; get(d, 0, 1) == 22 && at < d->n; at += 4 + get(d, at + 2, 2))
		if (get(d, at, 2) == 0 && at + 9 + (n = get(d, at + 7, 2)) <= d->n)
			snprintf(name, 256, "%.*s", (int)n, (const char *)d->bytes + at + 9);
	sluice_filter_log(filter, 5, "TLS name: \"%s\"", name);
	sluice_filter_answer(filter, d->flow_id, !strcasecmp(name, "blocked.example"), name);
}

static void on_flow(struct sluice_filter *filter, const struct sluice_flow *flow, void *data)
{
	struct sluice_peek peek = { sizeof(peek), .outbound = { true } };

	if (flow->protocol == 6) /* TCP */
		sluice_filter_answer_peek(filter, flow->id, &peek, "its name?");
	else
		sluice_filter_answer(filter, flow->id, SLUICE_ALLOW, "not TCP");
}

static const struct sluice_filter_ops ops = { sizeof(ops), "peek-tls", .new_flow = on_flow,
					      .flow_data = on_data };

int main(void)
{
	return sluice_filter_main(&ops, NULL);
}
