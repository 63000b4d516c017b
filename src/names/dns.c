/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: How an answer is read
 *
 * Names are unpacked into their wire form, lower case and without pointers,
 * and compared as bytes. A first walk over the answer section checks it. Then
 * the chain is followed: a walk for each CNAME, at most DNS_CHAIN_MAX, and a
 * last walk collects the addresses whose owner is on the chain.
 *
 * A pointer must lead to before the piece of the name it stands in. So every
 * jump goes backwards, and a loop cannot be written.
 */

#include <string.h>

#include "base/macros.h"
#include "names/dns.h"

#define HEADER_BYTES 12U
#define NAME_BYTES 255U /* wire form, root label included: RFC 1035 2.3.4 */
#define LABEL_MAX 63U

#define FLAG_QR 0x8000U
#define FLAG_TC 0x0200U
#define MASK_OPCODE 0x7800U
#define MASK_RCODE 0x000fU
#define CLASS_IN 1U

enum record_type {
	TYPE_A = 1,
	TYPE_CNAME = 5,
	TYPE_AAAA = 28,
	TYPE_SVCB = 64,
	TYPE_HTTPS = 65,
	TYPE_ANY = 255,
};

enum { HINT_IPV4 = 4, HINT_IPV6 = 6 }; /* SvcParamKeys: RFC 9460 14.3.2 */

/* the message and how far it was read; reading past the end is DNS_E_MALFORMED */
struct reader {
	const uint8_t *bytes;
	size_t n_bytes;
	size_t at;
};

struct name {
	size_t n;
	uint8_t bytes[NAME_BYTES];
};

struct record {
	struct name owner;
	uint16_t type;
	uint16_t class;
	uint32_t ttl_s;
	struct reader data; /* stands at the data; ends with it, starts with the message */
};

/* one name on the way from the question, with the smallest TTL up to it */
struct step {
	struct name name;
	uint32_t ttl_s;
};

struct message {
	struct reader answers; /* stands at the first record */
	uint16_t n_answers;
	uint16_t question_type;
	bool is_truncated;
	size_t n_steps;
	struct step steps[DNS_CHAIN_MAX + 1];
};

static int read_uint(struct reader *reader, size_t n, uint32_t *ret_value)
{
	uint32_t value = 0;

	if (reader->n_bytes - reader->at < n)
		return DNS_E_MALFORMED;
	while (n--)
		value = value << 8 | reader->bytes[reader->at++];
	*ret_value = value;
	return 0;
}

static int read_u16(struct reader *reader, uint16_t *ret_value)
{
	uint32_t value;
	int r = read_uint(reader, 2, &value);

	if (r == 0)
		*ret_value = (uint16_t)value;
	return r;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* @length was read already; copies the label behind it, the length included */
static int read_label(struct reader *reader, uint8_t length, struct name *name)
{
	/* the root label, one byte, must find room as well */
	if (length > LABEL_MAX || name->n + 1 + length > NAME_BYTES - (length ? 1 : 0))
		return DNS_E_MALFORMED;
	if (reader->n_bytes - reader->at < length)
		return DNS_E_MALFORMED;
	name->bytes[name->n++] = length;
	for (uint8_t i = 0; i < length; i++)
		name->bytes[name->n++] = lower(reader->bytes[reader->at++]);
	return 0;
}

static int read_name(struct reader *reader, struct name *ret_name)
{
	struct reader piece = *reader; /* where the name goes on, behind pointers */
	size_t piece_start = reader->at;
	bool has_jumped = false;
	uint32_t length, low;

	ret_name->n = 0;
	do {
		if (read_uint(&piece, 1, &length))
			return DNS_E_MALFORMED;
		if ((length & 0xc0) != 0xc0) {
			if (read_label(&piece, (uint8_t)length, ret_name))
				return DNS_E_MALFORMED;
			continue;
		}
		if (read_uint(&piece, 1, &low))
			return DNS_E_MALFORMED;
		if (!has_jumped)
			reader->at = piece.at;
		has_jumped = true;
		piece.at = (length & 0x3f) << 8 | low;
		if (piece.at >= piece_start || piece.at < HEADER_BYTES)
			return DNS_E_MALFORMED;
		piece_start = piece.at;
	} while (length != 0);
	if (!has_jumped)
		reader->at = piece.at;
	return 0;
}

static bool is_same(const struct name *a, const struct name *b)
{
	return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

static int read_record(struct reader *reader, struct record *ret_record)
{
	uint16_t n_data;

	if (read_name(reader, &ret_record->owner) || read_u16(reader, &ret_record->type) ||
	    read_u16(reader, &ret_record->class) || read_uint(reader, 4, &ret_record->ttl_s) ||
	    read_u16(reader, &n_data) || reader->n_bytes - reader->at < n_data)
		return DNS_E_MALFORMED;
	/* RFC 2181 8: a TTL with the highest bit set is zero */
	if (ret_record->ttl_s > INT32_MAX)
		ret_record->ttl_s = 0;
	ret_record->data = *reader;
	ret_record->data.n_bytes = reader->at + n_data;
	reader->at += n_data;
	return 0;
}

static bool is_hostname_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* @text takes up to four bytes: \DDD as in a master file, so that no byte looks like another */
static size_t byte_to_text(uint8_t c, char text[4])
{
	if (is_hostname_byte(c)) {
		text[0] = (char)c;
		return 1;
	}
	text[0] = '\\';
	text[1] = (char)('0' + c / 100);
	text[2] = (char)('0' + c / 10 % 10);
	text[3] = (char)('0' + c % 10);
	return 4;
}

static int name_to_text(const struct name *name, char text[DNS_TEXT_BYTES])
{
	const uint8_t *label = name->bytes;
	size_t n = 0;

	if (*label == 0)
		return DNS_E_NOT_ANSWER; /* the root is nobody's host name */
	for (; *label; label += 1 + *label) {
		for (size_t i = 0; i <= *label; i++) {
			char piece[4] = { '.' };
			size_t n_piece = i == 0 ? n > 0 : byte_to_text(label[i], piece);

			if (n + n_piece >= DNS_TEXT_BYTES)
				return DNS_E_NOT_ANSWER;
			memcpy(text + n, piece, n_piece);
			n += n_piece;
		}
	}
	text[n] = '\0';
	return 0;
}

static int read_question(struct reader *reader, struct message *message)
{
	uint16_t class;

	if (read_name(reader, &message->steps[0].name) ||
	    read_u16(reader, &message->question_type) || read_u16(reader, &class))
		return DNS_E_MALFORMED;
	message->steps[0].ttl_s = UINT32_MAX;
	message->n_steps = 1;
	return class == CLASS_IN ? 0 : DNS_E_NOT_ANSWER;
}

static int read_head(const uint8_t *bytes, size_t n_bytes, struct message *message)
{
	struct reader reader = { .bytes = bytes, .n_bytes = n_bytes };
	uint16_t id, flags, n_questions, n_authority, n_additional;
	int r;

	if (n_bytes > DNS_MESSAGE_MAX || read_u16(&reader, &id) || read_u16(&reader, &flags) ||
	    read_u16(&reader, &n_questions) || read_u16(&reader, &message->n_answers) ||
	    read_u16(&reader, &n_authority) || read_u16(&reader, &n_additional))
		return DNS_E_MALFORMED;
	if (!(flags & FLAG_QR) || (flags & MASK_OPCODE) || (flags & MASK_RCODE) || n_questions != 1)
		return DNS_E_NOT_ANSWER;
	r = read_question(&reader, message);
	if (r)
		return r;
	message->is_truncated = flags & FLAG_TC;
	message->answers = reader;
	return 0;
}

/* the first walk; a truncated message has as many answers as are whole */
static int check_answers(struct message *message)
{
	struct reader reader = message->answers;
	struct record record;

	for (uint16_t i = 0; i < message->n_answers; i++) {
		if (read_record(&reader, &record) == 0)
			continue;
		if (!message->is_truncated)
			return DNS_E_MALFORMED;
		message->n_answers = i;
	}
	return 0;
}

static const struct step *find_step(const struct message *message, const struct name *name)
{
	for (size_t i = 0; i < message->n_steps; i++)
		if (is_same(&message->steps[i].name, name))
			return &message->steps[i];
	return NULL;
}

/* Return: 0 with one step more, DNS_E_NOT_ANSWER at the end of the chain, DNS_E_MALFORMED */
static int follow_cname(struct message *message)
{
	const struct step *last = &message->steps[message->n_steps - 1];
	struct reader reader = message->answers;
	struct record record;
	struct step next;

	for (uint16_t i = 0; i < message->n_answers; i++) {
		if (read_record(&reader, &record))
			return DNS_E_MALFORMED;
		if (record.type != TYPE_CNAME || record.class != CLASS_IN ||
		    !is_same(&record.owner, &last->name))
			continue;
		if (read_name(&record.data, &next.name) || record.data.at != record.data.n_bytes)
			return DNS_E_MALFORMED;
		if (find_step(message, &next.name))
			return DNS_E_NOT_ANSWER; /* a loop of CNAMEs leads nowhere */
		next.ttl_s = MIN(last->ttl_s, record.ttl_s);
		message->steps[message->n_steps++] = next;
		return 0;
	}
	return DNS_E_NOT_ANSWER;
}

static void add_address(struct dns_answer *answer, const uint8_t *bytes, size_t n, uint32_t ttl_s)
{
	struct dns_address *entry;

	if (answer->n_addresses == DNS_ADDRESSES_MAX) {
		answer->is_cut = true;
		return;
	}
	entry = &answer->addresses[answer->n_addresses++];
	*entry = (struct dns_address){ .ttl_s = ttl_s };
	if (n == 4)
		entry->address[10] = entry->address[11] = 0xff;
	memcpy(entry->address + 16 - n, bytes, n);
}

/* SvcPriority, TargetName, then keys in rising order with values: RFC 9460 2.2 */
static int add_hints(struct dns_answer *answer, struct reader data, uint32_t ttl_s)
{
	struct name target;
	uint16_t priority, key, n_value;

	if (read_u16(&data, &priority) || read_name(&data, &target))
		return DNS_E_MALFORMED;
	if (priority == 0)
		return 0; /* an alias: it has no hints */
	while (data.at < data.n_bytes) {
		size_t n_address;

		if (read_u16(&data, &key) || read_u16(&data, &n_value) ||
		    data.n_bytes - data.at < n_value)
			return DNS_E_MALFORMED;
		n_address = key == HINT_IPV4 ? 4 : key == HINT_IPV6 ? 16 : 0;
		if (n_address && n_value % n_address)
			return DNS_E_MALFORMED;
		for (size_t i = 0; n_address && i < n_value; i += n_address)
			add_address(answer, data.bytes + data.at + i, n_address, ttl_s);
		data.at += n_value;
	}
	return 0;
}

static int add_record(struct dns_answer *answer, const struct record *record, uint32_t ttl_s)
{
	size_t n = record->data.n_bytes - record->data.at;

	switch (record->type) {
	case TYPE_A:
	case TYPE_AAAA:
		if (n != (record->type == TYPE_A ? 4 : 16))
			return DNS_E_MALFORMED;
		add_address(answer, record->data.bytes + record->data.at, n, ttl_s);
		return 0;
	case TYPE_SVCB:
	case TYPE_HTTPS:
		return add_hints(answer, record->data, ttl_s);
	default:
		return 0;
	}
}

static int collect_addresses(const struct message *message, struct dns_answer *answer)
{
	struct reader reader = message->answers;
	const struct step *step;
	struct record record;
	int r;

	for (uint16_t i = 0; i < message->n_answers; i++) {
		if (read_record(&reader, &record))
			return DNS_E_MALFORMED;
		/* an asker takes only the type it has asked for */
		if (record.class != CLASS_IN ||
		    (message->question_type != TYPE_ANY && record.type != message->question_type))
			continue;
		step = find_step(message, &record.owner);
		if (!step)
			continue;
		r = add_record(answer, &record, MIN(step->ttl_s, record.ttl_s));
		if (r)
			return r;
	}
	return 0;
}

int dns_read_answer(const uint8_t *bytes, size_t n_bytes, struct dns_answer *ret_answer)
{
	struct dns_answer answer;
	struct message message;
	int r;

	answer.n_addresses = 0;
	answer.is_cut = false;
	r = read_head(bytes, n_bytes, &message);
	if (r)
		return r;
	r = name_to_text(&message.steps[0].name, answer.name);
	if (r)
		return r;
	r = check_answers(&message);
	while (r == 0 && message.n_steps <= DNS_CHAIN_MAX)
		r = follow_cname(&message);
	if (r == DNS_E_MALFORMED || collect_addresses(&message, &answer))
		return DNS_E_MALFORMED;
	*ret_answer = answer;
	return 0;
}
