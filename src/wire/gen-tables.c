/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: gen-tables - what is written about the wire, printed from its tables
 *
 *	gen-tables --man	the records of every channel, in mdoc, for sluice-wire(7)
 *	gen-tables --dict	a libFuzzer dictionary: the header of every record
 *	gen-tables --python	the provider channel, for the Python binding
 */

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "wire/provider-records.h"
#include "wire/rule.h"
#include "wire/wire.h"

static const struct wire_channel *const channels[] = {
	&wire_provider_channel,
	&wire_names_channel,
	&wire_canary_channel,
	&wire_keeper_channel,
};

static const char *const kind_names[] = {
	[WIRE_U8] = "u8",   [WIRE_U16] = "u16",	  [WIRE_U32] = "u32",
	[WIRE_U64] = "u64", [WIRE_ADDR] = "addr", [WIRE_STR] = "str",
};

/* text in a macro line or at the start of a line: keep troff from reading it */
static void print_text(const char *text)
{
	static const struct {
		const char *from;
		const char *to;
	} words[] = {
		{ "…", "..." },
		{ "§", "section " },
		{ "\\", "\\e" },
		{ "\"", "\\(dq" },
	};
	size_t i;

	while (*text) {
		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (strncmp(text, words[i].from, strlen(words[i].from)) == 0)
				break;
		if (i < ARRAY_SIZE(words)) {
			fputs(words[i].to, stdout);
			text += strlen(words[i].from);
		} else {
			putchar(*text++);
		}
	}
}

static void print_man_field(const struct wire_field *field, unsigned int offset)
{
	printf(".It %u Ta %s", offset, kind_names[field->kind]);
	if (field->kind == WIRE_STR)
		printf(" %u", field->bytes);
	printf(" Ta Va %s Ta\n", field->name);
	print_text(field->doc);
	if (field->limit)
		printf(" (at most %u)", field->limit);
	putchar('\n');
}

static void print_man_record(const struct wire_channel *channel, const struct wire_record *record)
{
	unsigned int offset = WIRE_HEADER_BYTES;

	printf(".Ss %s\n", record->name);
	printf("Type %u, from %s, body of %u byte%s%s:\n", record->type,
	       channel->ends[record->from], record->body_bytes, record->body_bytes == 1 ? "" : "s",
	       record->has_tail ? ", then a tail" : "");
	print_text(record->doc);
	printf(".\n.Bl -column \"0000\" \"str 512\" \"interface_kind\" \"what it means\"\n");
	for (size_t i = 0; i < record->n_fields; i++) {
		print_man_field(&record->fields[i], offset);
		offset += record->fields[i].bytes;
	}
	printf(".El\n");
}

static void print_man(const struct wire_channel *channel)
{
	printf(".Sh THE %s CHANNEL\n", channel->name);
	printf("Records between %s (end 0) and %s (end 1).\n", channel->ends[0], channel->ends[1]);
	for (size_t i = 0; i < channel->n_records; i++)
		print_man_record(channel, &channel->records[i]);
}

static void print_dict(const struct wire_channel *channel)
{
	for (size_t i = 0; i < channel->n_records; i++) {
		const struct wire_record *record = &channel->records[i];

		printf("%s_%s=\"\\x%02x\\x%02x\\x%02x\\x%02x\\x00\\x00\\x00\\x00\"\n",
		       channel->name, record->name, record->type & 0xff, record->type >> 8,
		       record->body_bytes & 0xff, record->body_bytes >> 8);
	}
}

static void print_python_record(const struct wire_record *record)
{
	printf("    Record(\"%s\", %u, %u, %s, (  # %s\n", record->name, record->type, record->from,
	       record->has_tail ? "True" : "False", record->doc);
	for (size_t i = 0; i < record->n_fields; i++) {
		const struct wire_field *field = &record->fields[i];

		printf("        Field(\"%s\", \"%s\", %u, %u),  # %s\n", field->name,
		       kind_names[field->kind], field->bytes, field->limit, field->doc);
	}
	printf("    )),\n");
}

static void print_python(const struct wire_channel *channel)
{
	if (channel != &wire_provider_channel)
		return;
	printf("HEADER_BYTES = %u\nTAIL_MAX = %u\nRECORD_MAX = %u\nVERSION = %u\n\n",
	       WIRE_HEADER_BYTES, WIRE_TAIL_MAX, WIRE_RECORD_MAX, WIRE_PROVIDER_VERSION);
	printf("RULES_MAX = %u\n\n", WIRE_RULES_MAX);
	printf("# origin: 0 %s, 1 %s\nRECORDS = (\n", channel->ends[0], channel->ends[1]);
	for (size_t i = 0; i < channel->n_records; i++)
		print_python_record(&channel->records[i]);
	printf(")\n");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *option;
		void (*print)(const struct wire_channel *channel);
	} forms[] = { { "--man", print_man },
		      { "--dict", print_dict },
		      { "--python", print_python } };

	for (size_t f = 0; argc == 2 && f < ARRAY_SIZE(forms); f++) {
		if (strcmp(argv[1], forms[f].option) != 0)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(channels); i++)
			forms[f].print(channels[i]);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	fprintf(stderr, "usage: gen-tables --man | --dict | --python\n");
	return 2;
}
