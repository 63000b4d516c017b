/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: What providers print
 *
 * Their standard output and error is a pipe to us: with the user's terminal, or
 * a file, or the input of another program, they could read what is typed and
 * write what is obeyed. It is read at every tick, a little: a provider that
 * prints faster waits in its write(2), and nobody else does.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"

#define LINES_MAX 100U /* of one provider in a second; more are dropped */
#define BYTES_A_TICK 8192U
#define LAST_BYTES 65536U /* all that a pipe holds */

int output_open(struct output *output)
{
	int ends[2];

	output->pipe = close_fd(output->pipe);
	output->n_line = 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK); /* the other end waits */
	output->pipe = ends[0];
	return ends[1];
}

static void say_lost(struct filter *filter)
{
	if (filter->output.n_lost)
		log_line(LOG_NOTICE, "%s: %u lines were dropped", filter->name,
			 filter->output.n_lost);
	filter->output.n_lost = 0;
}

/* what was dropped in the one before is said, though nothing more may ever be printed */
static void begin_second(struct filter *filter)
{
	uint64_t second = daemon_now_us() / 1000000;

	if (second == filter->output.second)
		return;
	filter->output.second = second;
	filter->output.n_said = 0;
	say_lost(filter);
}

void output_say(struct filter *filter, int level, const char *text)
{
	struct output *output = &filter->output;
	char line[512];

	begin_second(filter);
	if (output->n_said++ >= LINES_MAX) {
		output->n_lost++;
		return;
	}
	log_clean(line, sizeof(line), text);
	log_line(level, "%s: %s", filter->name, line);
}

static void end_line(struct filter *filter)
{
	struct output *output = &filter->output;

	output->line[output->n_line] = '\0';
	output->n_line = 0;
	if (output->line[0])
		output_say(filter, LOG_NOTICE, output->line);
}

static void take(struct filter *filter, const char *bytes, size_t n)
{
	struct output *output = &filter->output;

	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n' || output->n_line + 1 == sizeof(output->line))
			end_line(filter);
		if (bytes[i] != '\n' && bytes[i])
			output->line[output->n_line++] = bytes[i];
	}
}

static void read_up_to(struct filter *filter, size_t n_max)
{
	char bytes[4096];
	ssize_t n;

	for (size_t n_read = 0; filter->output.pipe >= 0 && n_read < n_max; n_read += (size_t)n) {
		n = read(filter->output.pipe, bytes, sizeof(bytes));
		if (n < 0)
			return;
		if (n == 0) {
			filter->output.pipe = close_fd(filter->output.pipe);
			return;
		}
		take(filter, bytes, (size_t)n);
	}
}

void output_read(struct filter *filter)
{
	read_up_to(filter, BYTES_A_TICK);
	begin_second(filter);
}

void output_close(struct filter *filter)
{
	read_up_to(filter, LAST_BYTES);
	if (filter->output.n_line)
		end_line(filter);
	say_lost(filter);
	filter->output.pipe = close_fd(filter->output.pipe);
}
