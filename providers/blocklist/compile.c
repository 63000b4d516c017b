/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: blocklist-compile - a list's text on descriptor 0, the compiled list on 1
 *
 * Text is foreign, and so it is read here: one process for one list, started by
 * `sluice run` or `sluice serve` with the rights of a provider, which are none but
 * these two descriptors. The provider only looks at the result.
 *
 * Exit status: 0, or 1 and the reason on stderr.
 */

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder.h"

/* the result is a file: pwrite(2) is not among a provider's calls */
static int put(const void *bytes, size_t n, uint64_t offset, void *data)
{
	const char *at = bytes;

	if (lseek(STDOUT_FILENO, (off_t)offset, SEEK_SET) < 0)
		return errno == ESPIPE ? -EBADF : -errno;
	while (n > 0) {
		ssize_t done = write(STDOUT_FILENO, at, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			at += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int stamp_of(int fd, struct table_stamp *ret_stamp)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_stamp = (struct table_stamp){
		.device = st.st_dev,
		.inode = st.st_ino,
		.n_bytes = (uint64_t)st.st_size,
		.modified_ns = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec,
		.changed_ns = st.st_ctim.tv_sec * 1000000000LL + st.st_ctim.tv_nsec,
	};
	return 0;
}

int main(void)
{
	const struct builder_sink sink = { .put = put };
	struct builder builder = { 0 };
	struct list_report report;
	struct table_stamp stamp;
	int r;

	/* a block that is free is memory of others: the file grows by as much meanwhile */
	(void)mallopt(M_MMAP_THRESHOLD, BUILDER_BLOCK_BYTES);
	(void)mallopt(M_TOP_PAD, 0);
	r = stamp_of(STDIN_FILENO, &stamp); /* before: a change while it is read shows */
	if (!r)
		r = list_read(&builder, STDIN_FILENO, &report);
	if (!r)
		r = builder_finish(&builder, &stamp, &report, &sink);
	builder_deinit(&builder);
	if (r == -ESPIPE)
		fprintf(stderr, "not a regular file, but it is read again when it changes: save it "
				"to a file and give that\n");
	else if (r)
		fprintf(stderr, "%s\n", strerror(-r));
	return r != 0;
}
