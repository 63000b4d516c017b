/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Runs a program that sees another resolv.conf
 *
 *	with-resolver FILE COMMAND [ARG…]
 *
 * In a mount namespace of its own, so the machine's file is not touched. What
 * unshare(1) does is not enough: inside a chroot "/" is no mount point, its
 * propagation cannot be changed from there, and a bind mount would spread to
 * everybody. Joining the new namespace again moves us to its true root; from
 * there everything is made private, and then we go back to the chroot.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define FAILED 125 /* as env(1) */

static int fail(const char *what)
{
	fprintf(stderr, "with-resolver: %s: %s\n", what, strerror(errno));
	return -1;
}

/* a mount namespace from which nothing spreads; root and working directory are kept */
static int go_private(void)
{
	int root, here, own;

	if (unshare(CLONE_NEWNS) < 0)
		return fail("a mount namespace");
	/* opened now: before, they would have been those of the old namespace */
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (root < 0 || here < 0 || own < 0 || setns(own, CLONE_NEWNS) < 0)
		return fail("the root of the mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail("making mounts private");
	if (fchdir(root) < 0 || chroot(".") < 0 || fchdir(here) < 0)
		return fail("the way back");
	close(own);
	close(root);
	close(here);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs("usage: with-resolver FILE COMMAND [ARG…]\n", stderr);
		return FAILED;
	}
	if (go_private() < 0)
		return FAILED;
	if (mount(argv[1], "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0) {
		fail("/etc/resolv.conf");
		return FAILED;
	}
	execvp(argv[2], argv + 2);
	fail(argv[2]);
	return errno == ENOENT ? 127 : 126;
}
