/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: gen-seeds - the first corpus of the record fuzzers, from the tables
 *
 *	gen-seeds DIR	writes DIR/fuzz_CHANNEL-records/NAME and DIR/fuzz_wire/CHANNEL-NAME
 *
 * Run it as `tests/fuzz/run --seeds` after a table has changed; commit the result.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "wire/wire.h"

static const struct wire_channel *const channels[] = {
	&wire_provider_channel,
	&wire_names_channel,
	&wire_keeper_channel,
	&wire_canary_channel,
};

struct output {
	const char *folder;
	char path[4096];
	uint8_t bytes[WIRE_RECORD_MAX + 16];
	size_t n;
};

static int write_seed(struct output *out, const char *target, const char *channel, const char *name)
{
	FILE *file;
	int r = 0;

	(void)snprintf(out->path, sizeof(out->path), "%s/%s", out->folder, target);
	if (mkdir(out->path, 0777) < 0 && errno != EEXIST)
		return -errno;
	(void)snprintf(out->path, sizeof(out->path), "%s/%s/%s-%s", out->folder, target, channel,
		       name);
	file = fopen(out->path, "w");
	if (!file)
		return -errno;
	if (fwrite(out->bytes, 1, out->n, file) != out->n)
		r = -EIO;
	if (fclose(file) != 0)
		r = -EIO;
	return r;
}

/* numbers at their limits, short strings: a place to start from */
static void fill(const struct wire_record *record, uint8_t *body)
{
	for (size_t i = 0; i < record->n_fields; i++) {
		const struct wire_field *field = &record->fields[i];
		uint8_t *dst = body + field->offset;

		if (field->kind == WIRE_STR)
			(void)snprintf((char *)dst, field->bytes, "%s", field->name);
		else if (field->kind == WIRE_ADDR)
			memcpy(dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
		else
			*dst = field->limit && field->limit < 255 ? (uint8_t)field->limit : 7;
	}
}

static int write_record(struct output *out, unsigned int c, unsigned int i)
{
	const struct wire_channel *channel = channels[c];
	const struct wire_record *record = &channel->records[i];
	uint8_t body[WIRE_BODY_MAX] = { 0 };
	char target[64];
	int r;

	fill(record, body);
	out->bytes[0] = record->from;
	r = wire_encode(channel, record->type, body, out->bytes + 1, WIRE_RECORD_MAX, &out->n);
	if (r)
		return -EINVAL;
	out->n++;
	if (record->has_tail) {
		memcpy(out->bytes + out->n, "tail", 4);
		out->n += 4;
	}
	(void)snprintf(target, sizeof(target), "fuzz_%s-records", channel->name);
	r = write_seed(out, target, channel->name, record->name);
	if (r)
		return r;
	out->n = 4U + record->struct_bytes;
	memcpy(out->bytes, (uint8_t[]){ (uint8_t)c, (uint8_t)i, 0, 16 }, 4);
	memcpy(out->bytes + 4, body, record->struct_bytes);
	return write_seed(out, "fuzz_wire", channel->name, record->name);
}

int main(int argc, char **argv)
{
	static struct output out;

	if (argc != 2) {
		fprintf(stderr, "usage: gen-seeds DIR\n");
		return 2;
	}
	out.folder = argv[1];
	for (unsigned int c = 0; c < ARRAY_SIZE(channels); c++)
		for (unsigned int i = 0; i < channels[c]->n_records; i++) {
			int r = write_record(&out, c, i);

			if (r) {
				fprintf(stderr, "gen-seeds: %s: %s\n", out.path, strerror(-r));
				return 1;
			}
		}
	return 0;
}
