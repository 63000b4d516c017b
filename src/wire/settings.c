/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "wire/settings.h"

#define RECORD_BYTES_MAX 2048U /* checked when one is written */

/* in the file: the part, and the record, whose size is always the same */
struct frame {
	uint8_t part;
	uint8_t record[RECORD_BYTES_MAX];
};

static size_t record_bytes(void)
{
	return WIRE_HEADER_BYTES + wire_find(&wire_provider_channel, WIRE_RULE)->body_bytes;
}

static off_t place_of(const struct wire_settings_head *head, unsigned int number)
{
	size_t n_frame = offsetof(struct frame, record) + record_bytes();

	return (off_t)(sizeof(*head) +
		       (head->generation % 2 * WIRE_SETTINGS_MAX + number) * n_frame);
}

int wire_settings_write(int fd, const struct wire_settings_head *head, unsigned int number,
			enum wire_settings_part part, const struct wire_rule *rule)
{
	struct frame frame = { .part = (uint8_t)part };
	ssize_t n_wanted;
	size_t n;

	if (number >= WIRE_SETTINGS_MAX || wire_encode(&wire_provider_channel, WIRE_RULE, rule,
						       frame.record, sizeof(frame.record), &n))
		return -EINVAL;
	n_wanted = (ssize_t)(offsetof(struct frame, record) + n);
	return pwrite(fd, &frame, (size_t)n_wanted, place_of(head, number)) == n_wanted ? 0 : -EIO;
}

int wire_settings_commit(int fd, const struct wire_settings_head *head)
{
	return pwrite(fd, head, sizeof(*head), 0) == sizeof(*head) ? 0 : -EIO;
}

int wire_settings_open(int fd, struct wire_settings_head *ret_head)
{
	struct wire_settings_head head;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || !head.generation ||
	    head.n > WIRE_SETTINGS_MAX)
		return -EBADMSG;
	*ret_head = head;
	return 0;
}

int wire_settings_read(int fd, const struct wire_settings_head *head, unsigned int number,
		       enum wire_settings_part *ret_part, struct wire_rule *ret_rule)
{
	size_t n_record = record_bytes();
	ssize_t n_wanted = (ssize_t)(offsetof(struct frame, record) + n_record);
	struct wire_message message;
	struct frame frame;

	if (n_wanted > (ssize_t)sizeof(frame) ||
	    pread(fd, &frame, (size_t)n_wanted, place_of(head, number)) != n_wanted ||
	    frame.part >= _WIRE_SETTINGS_N ||
	    wire_decode(&wire_provider_channel, WIRE_FROM_ANY, frame.record, n_record, &message) ||
	    message.record->type != WIRE_RULE)
		return -EBADMSG;
	*ret_part = frame.part;
	*ret_rule = *WIRE_BODY(&message, struct wire_rule);
	return 0;
}

bool wire_settings_is_current(int fd, const struct wire_settings_head *head)
{
	struct wire_settings_head now;

	return wire_settings_open(fd, &now) == 0 && now.generation == head->generation;
}

/* "DnsServers" is "dns_servers" */
static bool is_name(const char *name, const char *field)
{
	for (;; name++, field++) {
		name += strspn(name, "_-");
		field += strspn(field, "_");
		if (tolower((unsigned char)*name) != *field)
			return false;
		if (!*field)
			return true;
	}
}

const char *wire_settings_unsupported(const char *name)
{
#define UNSUPPORTED_NAME(field) #field,
	static const char *const fields[] = { WIRE_UNSUPPORTED_SETTINGS(UNSUPPORTED_NAME) };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (is_name(name, fields[i]))
			return fields[i];
	return NULL;
}
