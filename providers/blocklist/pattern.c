/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "name.h"
#include "pattern.h"

const char *pattern_end(const char *text)
{
	const char *star = strrchr(text, '*');
	const char *dot = star ? strchr(star, '.') : NULL;

	return dot && dot[1] ? dot + 1 : NULL;
}

int pattern_check(const char *text, size_t n)
{
	static const char known[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.*";

	if (n == 0 || n > NAME_LENGTH_MAX)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!text[i] || !strchr(known, text[i]))
			return 0;
	return 1;
}

/* the shortest string for a '*' first; one more character for the last '*' where that fails */
static int matches_whole(const char *text, size_t n, const char *host)
{
	size_t i = 0, star = n;
	const char *retry = NULL;

	while (*host) {
		if (i < n && text[i] == '*') {
			star = i++;
			retry = host;
		} else if (i < n && text[i] == *host) {
			i++;
			host++;
		} else if (star < n) {
			i = star + 1;
			host = ++retry;
		} else {
			return 0;
		}
	}
	while (i < n && text[i] == '*')
		i++;
	return i == n;
}

int pattern_matches(const char *text, size_t n, const char *host, unsigned int is_below)
{
	while (!matches_whole(text, n, host)) {
		const char *dot = is_below ? strchr(host, '.') : NULL;

		if (!dot)
			return 0;
		host = dot + 1;
	}
	return 1;
}
