/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "cli/cli.h"

#define INSTANCE_MAX 31U
#define NEW_INSTANCE_MAX 23U

int cli_error(int status, const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "sluice: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

bool cli_is_instance(const char *id)
{
	size_t n = strlen(id);

	if (n == 0 || n > INSTANCE_MAX || id[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)id[i]) && !strchr("._-", id[i]))
			return false;
	return true;
}

bool cli_is_new_instance(const char *id)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789");

	return id[n] == '\0' && n > 0 && n <= NEW_INSTANCE_MAX;
}

static void print_usage(FILE *to, const char *verb, const struct cli_option *options, size_t n)
{
	fprintf(to, "usage: sluice %s", verb);
	for (size_t i = 0; i < n; i++)
		fprintf(to, options[i].value ? " [--%s %s]" : " [--%s]", options[i].name,
			options[i].argument);
	fputc('\n', to);
	for (size_t i = 0; i < n; i++)
		fprintf(to, "  --%-8s %-10s %s\n", options[i].name,
			options[i].value ? options[i].argument : "", options[i].help);
}

static const struct cli_option *find_option(const struct cli_option *options, size_t n,
					    const char *text, size_t n_text)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(options[i].name) == n_text &&
		    strncmp(options[i].name, text, n_text) == 0)
			return &options[i];
	return NULL;
}

/* Return: arguments taken, 0: this is not one of ours */
static int take_option(int n_left, char **argv, const struct cli_option *options, size_t n)
{
	const struct cli_option *option;
	const char *text = argv[0] + 2, *value;
	size_t n_text;

	if (strncmp(argv[0], "--", 2) != 0)
		return 0;
	n_text = strcspn(text, "=");
	value = text[n_text] == '=' ? text + n_text + 1 : NULL;
	option = find_option(options, n, text, n_text);
	if (!option || (value && !option->value))
		return 0;
	if (!option->value) {
		*option->is_set = true;
		return 1;
	}
	if (!value && n_left < 2)
		return 0;
	*option->value = value ? value : argv[1];
	return value ? 1 : 2;
}

int cli_parse(int argc, char **argv, const struct cli_option *options, size_t n_options)
{
	const char *verb = argv[0][0] == '-' || strchr(argv[0], '/') ? "status" : argv[0];
	int taken;

	for (int i = 1; i < argc; i += taken) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_usage(stdout, verb, options, n_options);
			return CLI_YES;
		}
		taken = take_option(argc - i, argv + i, options, n_options);
		if (taken == 0) {
			(void)cli_error(CLI_USAGE, "%s: \"%s\" is unknown or lacks its value", verb,
					argv[i]);
			print_usage(stderr, verb, options, n_options);
			return CLI_USAGE;
		}
	}
	for (size_t i = 0; i < n_options; i++)
		if (strcmp(options[i].name, "instance") == 0 && *options[i].value &&
		    !cli_is_instance(*options[i].value))
			return cli_error(CLI_USAGE, "\"%s\" is not the name of an instance",
					 *options[i].value);
	return -1;
}
