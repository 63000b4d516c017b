/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: sluice-names
 *
 * Reads what servers answered to the governed applications, and which host their
 * first bytes name, so that sluiced need not. The bytes are hostile; therefore this process has descriptor 3 and
 * nothing else: no network, no file, no capability, twenty-one system calls. It
 * keeps nothing but unfinished TCP streams of name servers and the last QUIC client,
 * and never logs content.
 *
 * sluiced sends LOOK and FORGET, and gets NAME… and one DONE, or one HOST, for each LOOK.
 * When sluiced is slow in taking answers this process waits; sluiced never
 * waits for it, so the two cannot block each other.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "names/dns.h"
#include "names/sniff.h"
#include "names/stream.h"
#include "wire/channel.h"
#include "wire/names-records.h"

#define CHANNEL_FD 3

_Static_assert(STREAM_SEGMENT_MAX == WIRE_TAIL_MAX, "a LOOK is a segment");

enum done_status { DONE_READ, DONE_MORE, DONE_NOT_ANSWER, DONE_MALFORMED };

struct names_process {
	struct stream_table streams;
	struct sniff_quic quic; /* the last client that datagrams were of */
	struct wire_message message;
	uint8_t buffer[WIRE_RECORD_MAX];
};

static int wait_for(short events)
{
	struct pollfd pollfd = { .fd = CHANNEL_FD, .events = events };

	while (poll(&pollfd, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int send_record(uint16_t type, const void *body)
{
	for (;;) {
		int r = channel_send(CHANNEL_FD, &wire_names_channel, type, body, NULL, 0, -1);

		if (r != -EAGAIN)
			return r;
		r = wait_for(POLLOUT);
		if (r < 0)
			return r;
	}
}

static int send_names(uint64_t token, const struct dns_answer *answer)
{
	struct wire_name name = { .token = token };

	_Static_assert(sizeof(answer->name) <= sizeof(name.name), "a name fits");
	memcpy(name.name, answer->name, strlen(answer->name));
	for (size_t i = 0; i < answer->n_addresses; i++) {
		int r;

		memcpy(name.address, answer->addresses[i].address, sizeof(name.address));
		name.ttl_s = answer->addresses[i].ttl_s;
		r = send_record(WIRE_NAME, &name);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Return: 0 with @ret_status set, or a negative errno */
static int look_at_message(uint64_t token, const uint8_t *bytes, size_t n_bytes,
			   enum done_status *ret_status)
{
	struct dns_answer answer;
	int r = dns_read_answer(bytes, n_bytes, &answer);

	if (r) {
		*ret_status = r == DNS_E_MALFORMED ? DONE_MALFORMED : DONE_NOT_ANSWER;
		return 0;
	}
	*ret_status = DONE_READ;
	return send_names(token, &answer);
}

/* one segment may end several messages: the status is that of the last one, or "more" */
static int look_at_stream(struct names_process *process, const struct wire_look *look,
			  enum done_status *ret_status)
{
	const struct wire_message *message = &process->message;
	enum done_status status = DONE_MORE;
	const uint8_t *bytes;
	size_t n_bytes;
	int r;

	r = stream_push(&process->streams, look->stream, look->seq, message->tail, message->n_tail);
	while (r == 0) {
		r = stream_take(&process->streams, look->stream, &bytes, &n_bytes);
		if (r)
			break;
		r = look_at_message(look->token, bytes, n_bytes, &status);
	}
	if (r < 0)
		return r;
	*ret_status = r == STREAM_E_BROKEN ? DONE_MALFORMED : status;
	return 0;
}

/* by protocol and is_outer; values of FLOW_NEW's host_source */
static const uint8_t sources[][2] = {
	[SNIFF_UNKNOWN] = { 0, 0 }, [SNIFF_TLS] = { 2, 3 },  [SNIFF_HTTP1] = { 4, 4 },
	[SNIFF_H2C] = { 5, 5 },	    [SNIFF_QUIC] = { 6, 7 },
};

static int send_host(uint64_t token, const struct sniff *sniff)
{
	struct wire_host host = { .token = token,
				  .needs = sniff->needs,
				  .answer = (uint8_t)sniff->answer };

	_Static_assert(SNIFF_NAME == (int)HOST_NAMED && SNIFF_NONE == (int)HOST_NONE &&
			       SNIFF_MORE == (int)HOST_MORE && SNIFF_BROKEN == (int)HOST_REFUSED,
		       "answers of HOST");
	_Static_assert(sizeof(sniff->name) <= sizeof(host.name), "a name fits");
	if (sniff->answer == SNIFF_NAME) {
		host.source = sources[sniff->protocol][sniff->is_outer];
		memcpy(host.name, sniff->name, strlen(sniff->name));
	}
	return send_record(WIRE_HOST, &host);
}

static int look_at_client(struct names_process *process, const struct wire_look *look)
{
	const struct wire_message *message = &process->message;
	struct sniff sniff;

	if (look->kind == LOOK_CONNECTION) {
		sniff_tcp(message->tail, message->n_tail, &sniff);
	} else {
		if (look->seq == 0)
			sniff_quic_start(&process->quic);
		sniff_quic_push(&process->quic, message->tail, message->n_tail, &sniff);
	}
	return send_host(look->token, &sniff);
}

static int on_look(struct names_process *process)
{
	const struct wire_look *look = WIRE_BODY(&process->message, struct wire_look);
	enum done_status status = DONE_NOT_ANSWER;
	struct wire_done done;
	int r;

	if (look->kind != LOOK_DNS)
		return look_at_client(process, look);
	if (look->stream)
		r = look_at_stream(process, look, &status);
	else
		r = look_at_message(look->token, process->message.tail, process->message.n_tail,
				    &status);
	if (r < 0)
		return r;
	done = (struct wire_done){ .token = look->token, .status = (uint8_t)status };
	return send_record(WIRE_DONE, &done);
}

static int on_forget(struct names_process *process)
{
	stream_forget(&process->streams, WIRE_BODY(&process->message, struct wire_forget)->stream);
	return 0;
}

static const struct {
	uint16_t type;
	int (*run)(struct names_process *process);
} handlers[] = {
	{ WIRE_LOOK, on_look },
	{ WIRE_FORGET, on_forget },
};

static int dispatch(struct names_process *process)
{
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		if (handlers[i].type == process->message.record->type)
			return handlers[i].run(process);
	return -EPROTO;
}

/* Return: 0 at the end of the channel, or a negative errno */
static int serve(struct names_process *process)
{
	for (;;) {
		int fd = -1;
		int r = channel_recv(CHANNEL_FD, &wire_names_channel, 0, process->buffer,
				     &process->message, NULL, &fd);

		close_fd(fd); /* none belongs here */
		if (r == 0)
			r = dispatch(process);
		else if (r == -EAGAIN)
			r = wait_for(POLLIN);
		else if (r > 0)
			r = -EPROTO;
		if (r < 0)
			return r == -EPIPE ? 0 : r;
	}
}

int main(void)
{
	static struct names_process process; /* large: see stream.h */
	int r;

	log_open("sluice-names", LOG_NOTICE);
	r = sandbox_enter(SANDBOX_NAMES);
	if (r < 0) {
		log_error("cannot give up rights: %s", strerror(-r));
		return 1;
	}
	r = serve(&process);
	if (r < 0) {
		log_error("channel to sluiced: %s", strerror(-r));
		return 1;
	}
	return 0;
}
