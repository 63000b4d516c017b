/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Response policy zones
 *
 *	ads.example         CNAME .		this very name is blocked
 *	*.ads.example  60 IN CNAME *.		every name below it
 *	ok.ads.example      CNAME rpz-passthru.	an exception
 *	ads.example         A 0.0.0.0		an answer that leads nowhere
 *
 * Names are below the zone; those with a final dot lose the zone's, which $ORIGIN says.
 * SOA, NS and the like belong to every zone and are passed over.
 */

#include <string.h>
#include <strings.h>

#include "forms.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum type { TYPE_NONE, TYPE_CNAME, TYPE_ADDRESS, TYPE_OF_ZONE, TYPE_OTHER };

static const struct {
	const char *name;
	enum type type;
} types[] = {
	{ "CNAME", TYPE_CNAME }, { "A", TYPE_ADDRESS },	  { "AAAA", TYPE_ADDRESS },
	{ "SOA", TYPE_OF_ZONE }, { "NS", TYPE_OF_ZONE },  { "RRSIG", TYPE_OF_ZONE },
	{ "TXT", TYPE_OTHER },	 { "MX", TYPE_OTHER },	  { "SRV", TYPE_OTHER },
	{ "PTR", TYPE_OTHER },	 { "DNAME", TYPE_OTHER }, { "HTTPS", TYPE_OTHER },
	{ "SVCB", TYPE_OTHER },	 { "NAPTR", TYPE_OTHER }, { "CAA", TYPE_OTHER },
};

static const char *const triggers[] = { "rpz-ip", "rpz-nsip", "rpz-nsdname", "rpz-client-ip" };

static enum type type_of(const char *word, size_t n)
{
	for (size_t i = 0; i < N_ELEMENTS(types); i++)
		if (strlen(types[i].name) == n && strncasecmp(types[i].name, word, n) == 0)
			return types[i].type;
	return TYPE_NONE;
}

/* "3600", "1h", "IN": what may stand between owner and type */
static int is_between(const char *word, size_t n)
{
	size_t n_digits = strspn(word, "0123456789");

	if (n == 2 && strncasecmp(word, "IN", 2) == 0)
		return 1;
	return n_digits > 0 &&
	       (n_digits == n || (n_digits + 1 == n && strchr("smhdwSMHDW", word[n - 1])));
}

struct record {
	struct form_word owner; /* @owner.text NULL: that of the record before */
	enum type type;
	char *data;
};

/* looks only: words are not ended. Return: whether it is a record */
static int find_record(char *text, struct record *ret_record)
{
	struct record record = { .type = TYPE_NONE };
	int has_owner = !strchr(" \t", text[0]);

	for (size_t i = 0; i < 4U && *text; i++) {
		size_t n;

		text += strspn(text, " \t\r\v\f");
		n = strcspn(text, " \t\r\v\f");
		if (i == 0 && has_owner) {
			record.owner = (struct form_word){ text, n };
		} else {
			record.type = type_of(text, n);
			if (record.type == TYPE_NONE && !is_between(text, n))
				return 0;
		}
		text += n;
		if (record.type != TYPE_NONE) {
			record.data = text + strspn(text, " \t\r\v\f");
			*ret_record = record;
			return 1;
		}
	}
	return 0;
}

static int is_directive(const char *text)
{
	return text[0] == '$' && text[1] >= 'A' && text[1] <= 'Z';
}

int zone_is(const char *text)
{
	struct record record;

	return is_directive(text) || find_record((char *)(uintptr_t)text, &record);
}

static int read_directive(struct list_parser *parser, char *text)
{
	struct form_word name, value;

	if (!form_next_word(&text, &name) || !form_next_word(&text, &value))
		return LIST_E_SETTING;
	if (strcmp(name.text, "$ORIGIN") == 0 && value.length < sizeof(parser->origin)) {
		memcpy(parser->origin, value.text, value.length + 1);
		return 0;
	}
	return strcmp(name.text, "$TTL") == 0 ? 0 : LIST_E_SETTING;
}

/* Return: 1 for a block, 2 for an exception, 0 for something else */
static int action_of(const struct record *record, const char *target)
{
	if (record->type == TYPE_ADDRESS)
		return form_is_nowhere(target) == 1;
	if (record->type != TYPE_CNAME)
		return 0;
	if (strcmp(target, ".") == 0 || strcmp(target, "*.") == 0 ||
	    strcasecmp(target, "rpz-drop.") == 0)
		return 1;
	return strcasecmp(target, "rpz-passthru.") == 0 ? 2 : 0;
}

/* Return: 0, or LIST_E_ZONE when it is in another zone */
static int make_relative(const struct list_parser *parser, struct form_word *owner)
{
	size_t n = strlen(parser->origin);

	if (owner->text[owner->length - 1] != '.')
		return 0;
	if (n < 2 || owner->length <= n + 1 || owner->text[owner->length - n - 1] != '.' ||
	    strcasecmp(owner->text + owner->length - n, parser->origin) != 0)
		return LIST_E_ZONE;
	owner->length -= n + 1;
	owner->text[owner->length] = '\0';
	return 0;
}

static int is_trigger(const struct form_word *owner)
{
	for (size_t i = 0; i < N_ELEMENTS(triggers); i++) {
		size_t n = strlen(triggers[i]);

		if (owner->length > n && owner->text[owner->length - n - 1] == '.' &&
		    strcasecmp(owner->text + owner->length - n, triggers[i]) == 0)
			return 1;
	}
	return 0;
}

int zone_read(struct list_parser *parser, char *text)
{
	struct record record;
	struct form_word target;
	int action;

	if (is_directive(text))
		return read_directive(parser, text);
	(void)find_record(text, &record);
	if (record.type == TYPE_OF_ZONE)
		parser->is_in_parentheses = strchr(record.data, '(') && !strchr(record.data, ')');
	if (record.type == TYPE_OF_ZONE || !record.owner.text)
		return 0;
	record.owner.text[record.owner.length] = '\0';
	if (strcmp(record.owner.text, "@") == 0)
		return 0;
	if (!form_next_word(&record.data, &target))
		return LIST_E_WORDS;
	action = action_of(&record, target.text);
	if (!action)
		return record.type == TYPE_OTHER ? LIST_E_SETTING : LIST_E_ADDRESS;
	if (make_relative(parser, &record.owner) || is_trigger(&record.owner))
		return LIST_E_ZONE;
	return form_add_name(parser, record.owner.text,
			     TABLE_SELF | (action == 2 ? TABLE_ALLOW : 0));
}
