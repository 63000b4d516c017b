/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/macros.h"
#include "control/varlink.h"

#define ACCEPT_BATCH 16U	 /* at once: strangers that wait must not keep others waiting */
#define ACCEPT_WINDOW_US 100000U /* at most ACCEPT_BURST batches in it: a flood costs little */
#define ACCEPT_BURST 100U
#define BACKLOG 256 /* strangers beyond it wait in their own connect(2) */

struct varlink_listener {
	struct varlink_server *server;
	sd_event_source *source;
	int fd;
	char *path;
	dev_t dev;
	ino_t ino;
};

struct varlink_listener *varlink_listener_free(struct varlink_listener *listener)
{
	struct stat st;

	if (!listener)
		return NULL;
	sd_event_source_disable_unref(listener->source);
	close_fd(listener->fd);
	/* a successor may have put its own socket there */
	if (listener->path && stat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		(void)unlink(listener->path);
	free(listener->path);
	free(listener);
	return NULL;
}

static void cleanup_listener(struct varlink_listener **listener)
{
	varlink_listener_free(*listener);
}

static bool may_call(const struct varlink_server *server, int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return false;
	return peer.uid == 0 || peer.uid == varlink_get_config(server)->owner;
}

/* says so without reading a byte, and keeps no slot */
static void refuse(const struct varlink_server *server, int fd, const char *error)
{
	char text[192];
	int n;

	n = snprintf(text, sizeof(text), "{\"error\":\"%s.%s\",\"parameters\":{}}",
		     varlink_get_config(server)->interface, error);
	(void)!send(fd, text, (size_t)n + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Return: false when nobody waits */
static bool accept_one(struct varlink_server *server, int listen_fd)
{
	_cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR;
	if (!may_call(server, fd)) {
		refuse(server, fd, "NotPermitted");
		return true;
	}
	if (!varlink_server_make_place(server)) {
		refuse(server, fd, "Busy");
		return true;
	}
	r = varlink_server_adopt(server, TAKE_FD(fd));
	if (r < 0)
		log_warning("control: connection refused: %s", strerror(-r));
	return true;
}

static int on_connection(sd_event_source *source, int listen_fd, uint32_t events, void *data)
{
	const struct varlink_listener *listener = data;

	for (unsigned int i = 0; i < ACCEPT_BATCH && accept_one(listener->server, listen_fd); i++)
		;
	return 0;
}

/* listen(2) comes last: nobody can connect before the mode is right */
static int open_listener(const char *path, int *ret_fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	size_t n = strlen(path);

	if (n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	if (chmod(path, 0666) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int varlink_listen(struct varlink_server *server, const char *path,
		   struct varlink_listener **ret_listener)
{
	_cleanup_(cleanup_listener) struct varlink_listener *listener = NULL;
	struct stat st;
	int r;

	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->server = server;
	listener->fd = -1;
	r = open_listener(path, &listener->fd);
	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return -errno;
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	listener->path = strdup(path);
	if (!listener->path)
		return -ENOMEM;
	r = sd_event_add_io(varlink_get_event(server), &listener->source, listener->fd, EPOLLIN,
			    on_connection, listener);
	if (r < 0)
		return r;
	r = sd_event_source_set_ratelimit(listener->source, ACCEPT_WINDOW_US, ACCEPT_BURST);
	if (r < 0)
		return r;
	*ret_listener = TAKE_PTR(listener);
	return 0;
}
