/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: sluice filter sh 'SCRIPT'
 *
 * `sluice run` with the bundled filter shell, and the script on the command line
 * instead of in a file: it is passed as a file that has no name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/run.h"

static int usage(FILE *to, int status)
{
	fprintf(to,
		"usage: sluice filter sh 'SCRIPT' [OPTION of run]... [-- COMMAND [ARG...]]\n"
		"\n"
		"SCRIPT is run by sh for each flow of COMMAND (without one: of your shell), and\n"
		"prints allow, drop or silent, and after it why. It finds the flow in $host\n"
		"$address $port $protocol $direction $exe $command $uid and more: sluice(1).\n"
		"\n"
		"  sluice filter sh 'case \"$host\" in *.ads.example) echo drop;; *) echo allow;; esac'\n");
	return status;
}

/* Return: a descriptor to read the script from, or a negative errno */
static int hold_script(const char *script)
{
	_cleanup_close_ int fd = memfd_create("script", MFD_CLOEXEC);
	size_t n = strlen(script);
	ssize_t n_written;

	if (fd < 0)
		return -errno;
	n_written = write(fd, script, n);
	if (n_written < 0)
		return -errno;
	return (size_t)n_written == n ? TAKE_FD(fd) : -EIO;
}

int cmd_filter(int argc, char **argv)
{
	_cleanup_close_ int fd = -1;
	char spec[64];

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return usage(stdout, CLI_YES);
	if (argc < 3 || strcmp(argv[1], "sh") != 0)
		return usage(stderr, RUN_EXIT_SLUICE);
	/* forgotten, the word behind it would be run for each flow, and say nothing of it */
	if (argv[2][0] == '-') {
		(void)cli_error(0, "filter sh: SCRIPT is missing before \"%s\"", argv[2]);
		return usage(stderr, RUN_EXIT_SLUICE);
	}
	fd = hold_script(argv[2]);
	if (fd < 0)
		return cli_error(RUN_EXIT_SLUICE, "cannot hold the script: %s", strerror(-fd));
	snprintf(spec, sizeof(spec), "shell:script=/proc/self/fd/%d", fd);
	argv[2] = argv[0]; /* who complains of an option */
	return run_with(argc - 2, argv + 2, spec);
}
