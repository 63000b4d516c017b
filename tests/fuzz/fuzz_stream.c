/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Reassembly, against a model that is too simple to be wrong
 *
 * The input is a list of segments: stream, offset (two bytes, signed, from the
 * stream's origin), length, bytes. The model is an array of bytes that are
 * there or not; the first to write a byte wins. Messages must come out of both
 * alike, unless the stream says that it is broken.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "names/dns.h"
#include "names/stream.h"

#define STREAMS 4U
#define ORIGIN 32768
#define MODEL_BYTES (65536 + 256)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct model {
	bool is_used;
	bool is_broken;
	bool has_given;
	int at; /* where the next message begins */
	uint8_t there[MODEL_BYTES];
	uint8_t bytes[MODEL_BYTES];
};

static void require(int condition)
{
	if (!condition)
		abort();
}

static void model_push(struct model *model, int from, const uint8_t *bytes, int n)
{
	if (!model->is_used || (!model->has_given && from < model->at))
		model->at = from;
	model->is_used = true;
	for (int i = 0; i < n; i++) {
		if (from + i < model->at || model->there[from + i])
			continue;
		model->there[from + i] = 1;
		model->bytes[from + i] = bytes[i];
	}
}

/* Return: its length, or -1 */
static int model_take(struct model *model, const uint8_t **ret_bytes)
{
	int at = model->at, n;

	if (at + 2 > MODEL_BYTES || !model->there[at] || !model->there[at + 1])
		return -1;
	n = model->bytes[at] << 8 | model->bytes[at + 1];
	if (at + 2 + n > MODEL_BYTES || (n && memchr(model->there + at + 2, 0, (size_t)n)))
		return -1;
	*ret_bytes = model->bytes + at + 2;
	model->at = at + 2 + n;
	model->has_given = true;
	return n;
}

static void take_all(struct stream_table *table, uint64_t id, struct model *model)
{
	const uint8_t *bytes = NULL, *expected = NULL;
	struct dns_answer answer;
	size_t n = 0;
	int r, wanted;

	do {
		r = stream_take(table, id, &bytes, &n);
		wanted = model_take(model, &expected);
		require(r == (wanted < 0 ? STREAM_E_MORE : 0));
		if (r)
			return;
		require(n == (size_t)wanted && memcmp(bytes, expected, n) == 0);
		(void)dns_read_answer(bytes, n, &answer);
	} while (true);
}

static void push(struct stream_table *table, uint64_t id, struct model *model, int offset,
		 const uint8_t *data, size_t n)
{
	/* negative offsets are numbers from before the wrap */
	uint32_t seq = (uint32_t)offset + (uint32_t)id * 5U;
	uint8_t *exact = malloc(n ? n : 1);
	int r;

	require(exact != NULL);
	memcpy(exact, data, n);
	r = stream_push(table, id, seq, exact, n);
	free(exact);
	require(r == 0 || r == STREAM_E_BROKEN);
	if (r)
		model->is_broken = true;
	require(!model->is_broken || r);
	if (r)
		return;
	if (n || !model->is_used)
		model_push(model, ORIGIN + offset, data, (int)n);
	take_all(table, id, model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stream_table table;
	static struct model models[STREAMS];

	for (size_t i = 0; i < STREAMS; i++) {
		struct model *model = &models[i];

		stream_forget(&table, i + 1);
		memset(model->there, 0, sizeof(model->there));
		model->is_used = model->is_broken = model->has_given = false;
		model->at = 0;
	}
	while (size >= 4) {
		size_t i = data[0] % STREAMS, n = data[3];
		int offset = (int16_t)(uint16_t)(data[1] << 8 | data[2]);

		data += 4;
		size -= 4;
		n = n < size ? n : size;
		push(&table, i + 1, &models[i], offset, data, n);
		data += n;
		size -= n;
	}
	return 0;
}
