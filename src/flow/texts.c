/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "flow/texts.h"

#define N_BUCKETS 4096U

struct text {
	struct text *next;
	size_t n_users;
	char bytes[];
};

struct texts {
	uint64_t seed;
	struct text *buckets[N_BUCKETS];
};

/* nobody's: neither counted nor freed */
static const char none[] = "";
static const char lost[] = "no memory for the reason";

const char *texts_none(void)
{
	return none;
}

int texts_new(uint64_t seed, struct texts **ret_texts)
{
	struct texts *texts = calloc(1, sizeof(*texts));

	if (!texts)
		return -ENOMEM;
	texts->seed = seed;
	*ret_texts = texts;
	return 0;
}

struct texts *texts_free(struct texts *texts)
{
	free(texts);
	return NULL;
}

static struct text **bucket_of(struct texts *texts, const char *bytes, size_t n)
{
	return &texts->buckets[hash_bytes(texts->seed, bytes, n) % N_BUCKETS];
}

static const char *use(struct texts *texts, const char *bytes)
{
	size_t n = strlen(bytes);
	struct text **bucket = bucket_of(texts, bytes, n), *text = *bucket;

	while (text && strcmp(text->bytes, bytes) != 0)
		text = text->next;
	if (!text) {
		text = malloc(sizeof(*text) + n + 1);
		if (!text)
			return NULL;
		text->n_users = 0;
		memcpy(text->bytes, bytes, n + 1);
		text->next = *bucket;
		*bucket = text;
	}
	text->n_users++;
	return text->bytes;
}

void texts_put(struct texts *texts, const char **at)
{
	const char *bytes = *at;
	struct text **place;

	*at = none;
	if (!bytes || bytes == none || bytes == lost)
		return;
	place = bucket_of(texts, bytes, strlen(bytes));
	while ((*place)->bytes != bytes)
		place = &(*place)->next;
	if (--(*place)->n_users == 0) {
		struct text *text = *place;

		*place = text->next;
		free(text);
	}
}

int texts_set(struct texts *texts, const char **at, const char *text)
{
	const char *fresh = text && text[0] ? use(texts, text) : none;

	if (!fresh)
		return -ENOMEM;
	texts_put(texts, at);
	*at = fresh;
	return 0;
}

void texts_say(struct texts *texts, const char **at, const char *text)
{
	if (texts_set(texts, at, text) == 0)
		return;
	texts_put(texts, at);
	*at = lost;
}
