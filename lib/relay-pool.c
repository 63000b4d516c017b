/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Buffers and pipes that no relay needs now
 *
 * What was given back last is taken first: it is in the processor's cache, and what is
 * never needed is never touched. More than a few are not kept.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macros.h"
#include "lib/relay-internal.h"

struct relay_buffer *relay_pool_buffer(struct relay_pool *pool)
{
	struct relay_buffer *buffer = pool->buffers;

	if (buffer) {
		pool->buffers = buffer->next;
		pool->n_buffers--;
	} else {
		buffer = malloc(sizeof(*buffer) + RELAY_BUFFER_BYTES);
		if (!buffer)
			return NULL;
	}
	*buffer = (struct relay_buffer){ .is_pooled = true };
	return buffer;
}

void relay_pool_give_buffer(struct relay_pool *pool, struct relay_buffer *buffer)
{
	if (!buffer->is_pooled || pool->n_buffers == RELAY_BUFFERS_FREE) {
		free(buffer);
		return;
	}
	buffer->next = pool->buffers;
	pool->buffers = buffer;
	pool->n_buffers++;
}

static struct relay_pipe *pipe_free(struct relay_pipe *pipe)
{
	close(pipe->in);
	close(pipe->out);
	free(pipe);
	return NULL;
}

/* Over what a user may have in pipes the kernel gives ones that are of no use, and enlarges none */
static bool is_large_enough(int fd)
{
	return fcntl(fd, F_SETPIPE_SZ, RELAY_PIPE_BYTES) >= 0 ||
	       fcntl(fd, F_GETPIPE_SZ) >= RELAY_PIPE_BYTES_LEAST;
}

static struct relay_pipe *pipe_new(void)
{
	struct relay_pipe *pipe = malloc(sizeof(*pipe));
	int fds[2];

	if (!pipe)
		return NULL;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(pipe);
		return NULL;
	}
	*pipe = (struct relay_pipe){ .out = fds[0], .in = fds[1] };
	return is_large_enough(pipe->in) ? pipe : pipe_free(pipe);
}

struct relay_pipe *relay_pool_pipe(struct relay_pool *pool)
{
	struct relay_pipe *pipe = pool->pipes;

	if (!pipe)
		return pipe_new();
	pool->pipes = pipe->next;
	pool->n_pipes--;
	return pipe;
}

void relay_pool_give_pipe(struct relay_pool *pool, struct relay_pipe *pipe, bool is_empty)
{
	if (!is_empty || pool->n_pipes == RELAY_PIPES_FREE) {
		pipe_free(pipe);
		return;
	}
	pipe->next = pool->pipes;
	pool->pipes = pipe;
	pool->n_pipes++;
}

void relay_pool_deinit(struct relay_pool *pool)
{
	while (pool->buffers) {
		struct relay_buffer *buffer = pool->buffers;

		pool->buffers = buffer->next;
		free(buffer);
	}
	while (pool->pipes) {
		struct relay_pipe *pipe = pool->pipes;

		pool->pipes = pipe->next;
		pipe_free(pipe);
	}
	pool->n_buffers = pool->n_pipes = 0;
}
