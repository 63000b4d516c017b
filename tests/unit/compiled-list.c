/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiled-list.h"

struct list_report compiled_parse(struct builder *builder, const char *text, size_t n, size_t piece)
{
	struct list_parser *parser = malloc(sizeof(*parser));
	struct list_report report;

	assert_non_null(parser);
	list_parser_init(parser, builder);
	for (size_t i = 0; i < n; i += piece)
		assert_int_equal(list_parser_feed(parser, text + i, piece < n - i ? piece : n - i),
				 0);
	assert_int_equal(list_parser_end(parser), 0);
	report = parser->report;
	free(parser);
	return report;
}

static int write_at(const void *bytes, size_t n, uint64_t offset, void *data)
{
	struct compiled *compiled = data;

	if (offset + n > compiled->n) {
		compiled->bytes = realloc(compiled->bytes, offset + n);
		assert_non_null(compiled->bytes);
		compiled->n = offset + n;
	}
	memcpy(compiled->bytes + offset, bytes, n);
	return 0;
}

void compiled_finish(struct builder *builder, const struct list_report *report,
		     struct compiled *ret_compiled)
{
	struct table_stamp stamp = { .modified_ns = 1700000000000000000 };
	struct builder_sink sink = { write_at, ret_compiled };

	*ret_compiled = (struct compiled){ 0 };
	assert_int_equal(builder_finish(builder, &stamp, report, &sink), 0);
	builder_deinit(builder);
	/* just as large as it is: what is read behind it is seen by the sanitizer */
	assert_int_equal(table_check(ret_compiled->bytes, ret_compiled->n, &ret_compiled->table),
			 1);
}

struct list_report compiled_text(const char *text, struct compiled *ret_compiled)
{
	struct builder builder = { 0 };
	struct list_report report = compiled_parse(&builder, text, strlen(text), 7);

	compiled_finish(&builder, &report, ret_compiled);
	return report;
}

void compiled_free(struct compiled *compiled)
{
	free(compiled->bytes);
	*compiled = (struct compiled){ 0 };
}

unsigned int compiled_find(const struct compiled *compiled, const char *host, struct table_hit *hit)
{
	struct name_query query;
	struct table_hit found;

	name_query(&query, host);
	if (!table_find(&compiled->table, &query, &found))
		return 0;
	if (hit)
		*hit = found;
	return table_rank(found.flags);
}

void compiled_replace(const char *path, const char *text)
{
	struct compiled compiled;
	char made[80], current[80];
	int fd;

	compiled_text(text, &compiled);
	snprintf(made, sizeof(made), "%s/new", path);
	snprintf(current, sizeof(current), "%s/current", path);
	fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, compiled.bytes, compiled.n), compiled.n);
	assert_int_equal(close(fd), 0);
	assert_int_equal(rename(made, current), 0);
	compiled_free(&compiled);
}

int compiled_folder(const char *text, char path[64])
{
	int fd;

	snprintf(path, 64, "/tmp/sluice-list-XXXXXX");
	assert_non_null(mkdtemp(path));
	compiled_replace(path, text);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

void compiled_remove(const char *path)
{
	char current[80];

	snprintf(current, sizeof(current), "%s/current", path);
	(void)unlink(current);
	assert_int_equal(rmdir(path), 0);
}
