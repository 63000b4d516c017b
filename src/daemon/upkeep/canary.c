/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: Running the canary
 *
 *	keeper_spawn() ─▶ K_CHILD ─▶ PROBE × 4 ─▶ SEND ─▶ (packets) ─▶ PROBED … ─▶ end()
 *
 * Its sockets are known by their cookies, which the kernel never gives out
 * twice, so no other process can be taken for it. The cookies are also noted
 * in sl_flows, where nothing else has the protocol 0: if we die while its packets
 * are held, the successor knows them too.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"

static const char *const state_names[] = {
	[CANARY_NEVER] = "never",
	[CANARY_OK] = "ok",
	[CANARY_UNTRIED] = "untried",
	[CANARY_FAILED] = "failed",
};
_Static_assert(ARRAY_SIZE(state_names) == _CANARY_STATE_N, "state_names");

const char *canary_state_name(enum canary_state state)
{
	return state_names[state];
}

void canary_init(struct daemon *daemon)
{
	daemon->canary.sock = -1;
	daemon->canary.next_us = daemon_now_us() + CANARY_FIRST_US;
}

static void disconnect(struct canary *canary)
{
	canary->source = sd_event_source_disable_unref(canary->source);
	canary->sock = close_fd(canary->sock); /* one that still runs ends at this */
}

void canary_close(struct daemon *daemon)
{
	disconnect(&daemon->canary);
}

/* ---- whose packet ---- */

static struct sl_flow_key note_of(const struct canary *canary, unsigned int i)
{
	return (struct sl_flow_key){ .cookie = canary->probes[i].cookie, .rport = (uint16_t)i };
}

static void note_cookies(struct daemon *daemon, bool is_there)
{
	struct sl_flow entry = { .verdict = SL_REJECT };

	for (unsigned int i = 0; i < _CANARY_PROBE_N; i++) {
		struct sl_flow_key key = note_of(&daemon->canary, i);

		if (key.cookie && is_there)
			(void)plane_set_flow(daemon->plane, &key, &entry);
		else if (key.cookie)
			(void)plane_forget_flow(daemon->plane, &key);
	}
}

bool canary_restore(struct daemon *daemon, const struct sl_flow_key *key,
		    const struct sl_flow *entry)
{
	if (key->proto) /* of a conversation */
		return false;
	if (key->rport < _CANARY_PROBE_N)
		daemon->canary.probes[key->rport].cookie = key->cookie;
	return true;
}

bool canary_takes(struct daemon *daemon, uint64_t cookie)
{
	for (size_t i = 0; cookie && i < _CANARY_PROBE_N; i++) {
		struct canary_probe *probe = &daemon->canary.probes[i];

		if (probe->cookie != cookie)
			continue;
		probe->is_seen = true;
		return true;
	}
	return false;
}

/* ---- what it proves ---- */

static bool is_refused(const struct canary_probe *probe)
{
	return probe->is_seen && probe->error == ECONNREFUSED;
}

static void describe_probe(const struct canary_probe *probe, char *text, size_t n)
{
	const char *error = probe->error ? strerror((int)probe->error) : "a connection";

	if (!probe->is_tried)
		snprintf(text, n, probe->is_disturbed ? "the link changed meanwhile" : "no route");
	else if (is_refused(probe))
		snprintf(text, n, "refused in %u.%02u ms", probe->took_us / 1000,
			 probe->took_us / 10 % 100);
	else if (probe->is_seen)
		snprintf(text, n, "held, but then it got: %s", error);
	else if (probe->error == ETIMEDOUT)
		snprintf(text, n, "not held in time");
	else
		snprintf(text, n, "not held, it got: %s", error);
}

enum canary_state canary_describe(const struct canary *canary, bool is_ipv6, char *text, size_t n)
{
	const struct canary_probe *tcp = &canary->last[is_ipv6 ? CANARY_TCP6 : CANARY_TCP4];
	const struct canary_probe *udp = &canary->last[is_ipv6 ? CANARY_UDP6 : CANARY_UDP4];
	char tcp_text[80], udp_text[80];

	if (!tcp->is_tried && !udp->is_tried) {
		snprintf(text, n, "%s",
			 tcp->is_disturbed || udp->is_disturbed ? "the link changed meanwhile"
								: "no route off this machine");
		return CANARY_UNTRIED;
	}
	describe_probe(tcp, tcp_text, sizeof(tcp_text));
	describe_probe(udp, udp_text, sizeof(udp_text));
	snprintf(text, n, "TCP %s · UDP %s", tcp_text, udp_text);
	return is_refused(tcp) && is_refused(udp) ? CANARY_OK : CANARY_FAILED;
}

uint32_t canary_took_us(const struct canary *canary)
{
	uint32_t took_us = 0;

	for (size_t i = 0; i < _CANARY_PROBE_N; i++)
		took_us = MAX(took_us, canary->last[i].took_us);
	return took_us;
}

static enum canary_state conclude(const struct canary *canary)
{
	char text[200];
	enum canary_state four, six;

	if (canary->why[0])
		return CANARY_UNTRIED;
	four = canary_describe(canary, false, text, sizeof(text));
	six = canary_describe(canary, true, text, sizeof(text));
	if (four == CANARY_FAILED || six == CANARY_FAILED)
		return CANARY_FAILED;
	return four == CANARY_OK || six == CANARY_OK ? CANARY_OK : CANARY_UNTRIED;
}

static void tell_failure(struct daemon *daemon)
{
	const struct canary *canary = &daemon->canary;
	char four[200], six[200];

	(void)canary_describe(canary, false, four, sizeof(four));
	(void)canary_describe(canary, true, six, sizeof(six));
	log_error("canary failed: flows may pass unjudged, or fail without a reason: IPv4: %s; "
		  "IPv6: %s; table inet sluice_%s %s; `sluice doctor` tries again",
		  four, six, daemon->instance.id,
		  canary->restored > 0	 ? "was changed and is back"
		  : canary->restored < 0 ? strerror(-canary->restored)
					 : "is in place");
}

static void tell_change(struct daemon *daemon, enum canary_state before)
{
	const struct canary *canary = &daemon->canary;

	if (canary->state == before)
		return;
	if (canary->state == CANARY_FAILED)
		tell_failure(daemon);
	else if (canary->state == CANARY_OK && before == CANARY_FAILED)
		log_notice("canary is well again: held and refused");
	else if (canary->why[0])
		log_warning("canary could not be tried: %s", canary->why);
}

/* what is told: one failure is confirmed by another, unless the rules were the reason */
static enum canary_state state_after(struct daemon *daemon, enum canary_state found)
{
	struct canary *canary = &daemon->canary;

	canary->restored = 0;
	canary->n_failed = found == CANARY_FAILED ? canary->n_failed + 1 : 0;
	if (found != CANARY_FAILED)
		return found;
	canary->restored = owners_look(daemon);
	/* did that help? */
	if (canary->restored > 0 || canary->n_failed == 1)
		canary->next_us = 0;
	return canary->restored || canary->n_failed > 1 ? found : canary->state;
}

/* what failed while the links changed counts as not tried, but not for ever */
static void excuse(struct canary *canary)
{
	bool is_excused = false;

	for (size_t i = 0; i < _CANARY_PROBE_N; i++) {
		struct canary_probe *probe = &canary->probes[i];

		probe->is_disturbed = probe->is_disturbed && probe->is_tried && !is_refused(probe);
		is_excused |= probe->is_disturbed;
	}
	canary->n_disturbed = is_excused ? canary->n_disturbed + 1 : 0;
	if (!is_excused || canary->n_disturbed > CANARY_DISTURBED_MAX)
		return;
	for (size_t i = 0; i < _CANARY_PROBE_N; i++)
		canary->probes[i].is_tried &= !canary->probes[i].is_disturbed;
	canary->next_us = daemon_now_us() + CANARY_FIRST_US;
}

/* ---- one run ---- */

static void begin(struct daemon *daemon)
{
	struct canary *canary = &daemon->canary;

	note_cookies(daemon, false);
	memset(canary->probes, 0, sizeof(canary->probes));
	canary->is_running = true;
	canary->is_wanted = false;
	canary->n_opened = canary->n_pending = 0;
	canary->sent_us = 0;
	canary->began_us = daemon_now_us();
	canary->next_us = canary->began_us + CANARY_INTERVAL_US;
	keeper_spawn(daemon, KEEPER_CANARY_SLOT, -1);
}

/* @why: it could not be run; NULL: every probe that was tried has ended */
static void end(struct daemon *daemon, const char *why)
{
	struct canary *canary = &daemon->canary;
	enum canary_state before = canary->state;
	struct timespec t;

	disconnect(canary);
	clock_gettime(CLOCK_REALTIME, &t);
	canary->ended_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
	canary->is_running = false;
	excuse(canary);
	memcpy(canary->last, canary->probes, sizeof(canary->last));
	text_copy(canary->why, sizeof(canary->why), why);
	canary->state = state_after(daemon, conclude(canary));
	tell_change(daemon, before);
	if (canary->is_wanted)
		begin(daemon);
	else
		control_checked(daemon->control);
}

static int take_probe(struct daemon *daemon, const struct wire_probe *record)
{
	struct canary *canary = &daemon->canary;
	struct canary_probe *probe = &canary->probes[record->probe];
	struct wire_send send = { 0 };

	if (record->probe != canary->n_opened) /* each once, in their order */
		return -EPROTO;
	canary->n_opened++;
	if (record->is_tried && record->cookie) {
		probe->is_tried = true;
		probe->cookie = record->cookie;
		canary->n_pending++;
	}
	if (canary->n_opened < _CANARY_PROBE_N)
		return 0;
	note_cookies(daemon, true);
	if (canary->n_pending == 0) {
		end(daemon, NULL);
		return 0;
	}
	canary->sent_us = daemon_now_us();
	return channel_send(canary->sock, &wire_canary_channel, WIRE_SEND, &send, NULL, 0, -1);
}

static int take_probed(struct daemon *daemon, const struct wire_probed *record)
{
	struct canary *canary = &daemon->canary;
	struct canary_probe *probe = &canary->probes[record->probe];

	if (!probe->is_tried || probe->is_done)
		return -EPROTO;
	probe->is_done = true;
	probe->is_disturbed = record->is_disturbed;
	probe->error = record->error;
	probe->took_us = record->took_us;
	if (--canary->n_pending == 0 && canary->n_opened == _CANARY_PROBE_N)
		end(daemon, NULL);
	return 0;
}

/* Return: 0 when nothing more is there, -EPIPE at its end, or another negative errno */
static int read_all(struct daemon *daemon)
{
	struct canary *canary = &daemon->canary;
	struct wire_message message;
	int r = 0, passed = -1;

	while (!r && canary->sock >= 0) {
		r = channel_recv(canary->sock, &wire_canary_channel, 1, daemon->record, &message,
				 NULL, &passed);
		if (r)
			break;
		close_fd(passed);
		r = message.record->type == WIRE_PROBE
			    ? take_probe(daemon, WIRE_BODY(&message, struct wire_probe))
			    : take_probed(daemon, WIRE_BODY(&message, struct wire_probed));
	}
	if (r > 0)
		r = -EPROTO;
	return r == -EAGAIN ? 0 : r;
}

static int on_canary(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct daemon *daemon = data;
	int r = read_all(daemon);

	if (r == -EPIPE)
		end(daemon, "sluice-canary ended too early");
	else if (r < 0) {
		keeper_kill(daemon, KEEPER_CANARY_SLOT);
		end(daemon, "sluice-canary broke the protocol");
	}
	return 0;
}

void canary_connected(struct daemon *daemon, int sock, int error)
{
	struct canary *canary = &daemon->canary;

	if (!canary->is_running || canary->sock >= 0) { /* too late */
		close_fd(sock);
		return;
	}
	canary->sock = sock;
	if (sock < 0) {
		end(daemon, strerror(error));
		canary->next_us = canary->began_us + CANARY_RETRY_US;
	} else if (sd_event_add_io(daemon->event, &canary->source, sock, EPOLLIN, on_canary,
				   daemon) < 0) {
		end(daemon, "it cannot be watched");
	}
}

void canary_exited(struct daemon *daemon, int status)
{
	struct canary *canary = &daemon->canary;
	char why[64];

	/* its last words may be unread yet; they end the run */
	(void)read_all(daemon);
	if (canary->sock < 0) /* that was an earlier one: K_CHILD comes first */
		return;
	if (!WIFEXITED(status)) {
		snprintf(why, sizeof(why), "sluice-canary was killed by signal %d",
			 WTERMSIG(status));
		end(daemon, why);
		return;
	}
	snprintf(why, sizeof(why), "sluice-canary ended with status %d", WEXITSTATUS(status));
	end(daemon, why);
	canary->next_us = canary->began_us + CANARY_RETRY_US;
}

void canary_tick(struct daemon *daemon, uint64_t now_us)
{
	struct canary *canary = &daemon->canary;

	if (canary->is_running && now_us - canary->began_us > CANARY_DEADLINE_US) {
		keeper_kill(daemon, KEEPER_CANARY_SLOT);
		end(daemon, "sluice-canary did not answer in time");
	}
	if (!canary->is_running && daemon->is_ready && now_us >= canary->next_us)
		begin(daemon);
}

void canary_postpone(struct daemon *daemon, uint64_t before_us, uint64_t us)
{
	struct canary *canary = &daemon->canary;

	if (!canary->is_running || canary->began_us > before_us)
		return;
	canary->began_us += us;
	if (!canary->sent_us || canary->sent_us > before_us)
		return;
	disconnect(canary);
	keeper_kill(daemon, KEEPER_CANARY_SLOT);
	canary->is_running = false;
	canary->next_us = canary->began_us + CANARY_FIRST_US; /* its packets are known until then */
}

void canary_check(struct daemon *daemon)
{
	if (daemon->canary.is_running)
		daemon->canary.is_wanted = true; /* what runs may have looked before the call */
	else
		begin(daemon);
}
