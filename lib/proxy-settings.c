/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "lib/proxy-internal.h"
#include "wire/settings.h"

#define FIRST_SIZE                                                                                 \
	(offsetof(struct sluice_proxy_settings, n_excluded) + sizeof(size_t)) /* of 0.1 */

static const struct {
	const char *name;
	size_t at, n;
} unsupported[] = {
#define UNSUPPORTED_PLACE(field)                                                                   \
	{ #field, offsetof(struct sluice_proxy_settings, field),                                   \
	  sizeof(((struct sluice_proxy_settings *)0)->field) },
	WIRE_UNSUPPORTED_SETTINGS(UNSUPPORTED_PLACE)
};

static bool is_set(const struct sluice_proxy_settings *settings, size_t at, size_t n)
{
	const uint8_t *bytes = (const uint8_t *)settings;

	for (; n && at < settings->size; at++, n--)
		if (bytes[at])
			return true;
	return false;
}

/* Return: its name; NULL: nothing is set */
static const char *find_unsupported(const struct sluice_proxy_settings *settings)
{
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (is_set(settings, unsupported[i].at, unsupported[i].n))
			return unsupported[i].name;
	if (is_set(settings, sizeof(*settings), SIZE_MAX))
		return "of a later version";
	return NULL;
}

int sluice_proxy_settings(struct sluice_proxy *proxy, const struct sluice_proxy_settings *settings)
{
	const char *field;

	if (settings->size < FIRST_SIZE)
		return sluice_proxy_fail(proxy, -EINVAL, "settings of no version that is known");
	field = find_unsupported(settings);
	if (field)
		return sluice_proxy_fail(proxy, -EOPNOTSUPP, "unsupported field %s", field);
	return sluice_proxy_rules(proxy, settings->included, settings->n_included,
				  settings->excluded, settings->n_excluded);
}
