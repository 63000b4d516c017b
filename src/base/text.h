/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <string.h>

/** text_copy() - @from into @size bytes, cut if it is longer; NULL: the empty text */
static inline void text_copy(char *to, size_t size, const char *from)
{
	if (!memccpy(to, from ? from : "", '\0', size))
		to[size - 1] = '\0';
}
