/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
};

static const struct verb verbs[] = {
	{ "status", cmd_status, "what an instance does now (the default)" },
	{ "run", cmd_run, "run a command in an instance of its own" },
	{ "filter", cmd_filter, "run a command, and let a shell script judge its connections" },
	{ "serve", cmd_serve, "govern programs that are there already, until told to end" },
	{ "flows", cmd_flows, "connections, with their program, name and verdict" },
	{ "rules", cmd_rules, "static rules by which flows are judged, in their order" },
	{ "lists", cmd_lists, "lists by which filters judge: names, hits, lines of no use" },
	{ "why", cmd_why, "what became of a flow: who decided, and the next step" },
	{ "explain", cmd_explain, "what would become of a flow that has not happened" },
	{ "doctor", cmd_doctor, "what this kernel offers, and what is lost without it" },
	{ "panic", cmd_panic, "remove an instance from the machine, also a dead one" },
};

static void print_help(FILE *to)
{
	fprintf(to, "usage: sluice [VERB [OPTION]…]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(to, "  %-8s %s\n", verbs[i].name, verbs[i].help);
	fprintf(to,
		"\n"
		"  sluice VERB --help   options of a verb; sluice(1) has the rest\n"
		"  sluice --version\n"
		"\n"
		"All but run, filter and serve take --json, and all but serve --instance ID.\n"
		"Exit status: 0 yes, 1 no, 2 usage, 3 daemon unreachable, 4 not permitted,\n"
		"5 not found; run and filter return the command's, or 125 to 127 like env(1).\n");
}

/* Those that the caller has closed: what is opened next would be taken for them, by us and by what
 * we start, which puts its own descriptors there */
static void open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close_fd(fd);
}

static int run_verb(int argc, char **argv)
{
	static char *const default_argv[] = { "status", NULL };
	const char *name = argc > 1 ? argv[1] : "status";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_help(stdout);
		return CLI_YES;
	}
	if (strcmp(name, "--version") == 0) {
		printf("sluice %s\n", SLUICE_VERSION);
		return CLI_YES;
	}
	if (argc < 2)
		return cmd_status(1, (char **)default_argv);
	/* `sluice --json` is `sluice status --json` */
	if (name[0] == '-')
		return cmd_status(argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	fprintf(stderr, "sluice: no verb \"%s\"\n", name);
	print_help(stderr);
	return CLI_USAGE;
}

/* half an answer is none, and a script must not take it for one */
static int end_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return cli_error(status ? status : CLI_NO, "the output cannot be written");
}

int main(int argc, char **argv)
{
	open_standard();
	/* `sluice flows --follow | head` ends like any other filter */
	(void)signal(SIGPIPE, SIG_DFL);
	return end_output(run_verb(argc, argv));
}
