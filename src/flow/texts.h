/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: Texts that many flows share
 *
 * Tens of thousands of flows go to a few hundred hosts, for a few dozen reasons.
 * Each text is here once, for as long as somebody uses it: a flow has two
 * pointers instead of 384 bytes.
 *
 * Pure: no descriptor, no clock. A text is allocated when it is first used.
 */

#include <stdint.h>

struct texts;

/** texts_new() - @seed: random: who chooses the texts does not choose their bucket. Return: 0 or
 *  -ENOMEM */
int texts_new(uint64_t seed, struct texts **ret_texts);

/** texts_free() - each text has been put; NULL is fine. Return: NULL */
struct texts *texts_free(struct texts *texts);

/**
 * texts_set() - *@at, NULL or from here, becomes @text, which is copied; the one before is put
 *
 * Return: 0; -ENOMEM: *@at is as before.
 */
int texts_set(struct texts *texts, const char **at, const char *text);

/** texts_say() - the same; without memory it becomes a text that says so */
void texts_say(struct texts *texts, const char **at, const char *text);

/** texts_put() - *@at, NULL or from here, is not used any more, and becomes the empty text */
void texts_put(struct texts *texts, const char **at);

/** texts_none() - the empty text, which need not be put */
const char *texts_none(void);
