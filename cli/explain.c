/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/why.h"

/**
 * DOC: What would become of a flow
 *
 * The daemon asks the filters; who the program is and how its packets would
 * leave is found here, with the rights of the caller: in /proc, and in the
 * network namespace of the program. A name is taken to be where the program
 * believes it is; one that it has not resolved is resolved here, as it would
 * have to do first.
 */

#define EXPLAIN_TIMEOUT_MS 8000 /* a flow's deadline is 5 s */

struct target {
	char host[256];	 /* as given, in lower case; empty: an address was given */
	char names[256]; /* what first bytes are taken to name; empty: nobody */
	bool has_names;
	char address[INET6_ADDRSTRLEN];
	char zone
		[IF_NAMESIZE]; /* of the address: an interface, or its number; empty: none was given */
	uint16_t port;
	bool is_udp;
};

struct request {
	const char *pid, *exe, *unit, *uid, *to, *names, *instance;
	bool is_json;
};

static int read_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value < min || value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

/* "/udp", "/tcp" or nothing; cuts it off */
static int cut_proto(char *text, bool *ret_is_udp)
{
	char *slash = strchr(text, '/');

	*ret_is_udp = slash && strcmp(slash, "/udp") == 0;
	if (slash && !*ret_is_udp && strcmp(slash, "/tcp") != 0)
		return -EINVAL;
	if (slash)
		*slash = '\0';
	return 0;
}

/* as names are compared. Return: 0; -EINVAL: longer than any name */
static int read_host(const char *text, char ret_host[256])
{
	size_t n = strlen(text);

	if (n > 255)
		return -EINVAL;
	for (size_t i = 0; i <= n; i++)
		ret_host[i] = (char)tolower((unsigned char)text[i]);
	if (n && ret_host[n - 1] == '.')
		ret_host[n - 1] = '\0';
	return 0;
}

/* as connect(2) takes them: to no address is to this machine */
static bool read_four(const struct in_addr *four, struct target *target)
{
	const struct in_addr loopback = { htonl(INADDR_LOOPBACK) };

	return inet_ntop(AF_INET, four->s_addr ? four : &loopback, target->address,
			 sizeof(target->address));
}

/* IPv4 within IPv6 is sent as IPv4 */
static bool read_six(const struct in6_addr *six, struct target *target)
{
	struct in_addr four;

	memcpy(&four, &six->s6_addr[12], sizeof(four));
	if (IN6_IS_ADDR_V4MAPPED(six))
		return read_four(&four, target);
	return inet_ntop(AF_INET6, IN6_IS_ADDR_UNSPECIFIED(six) ? &in6addr_loopback : six,
			 target->address, sizeof(target->address));
}

/* "fe80::1%eth0": the same address on another link is another place */
static bool read_zoned(const char *text, const char *zone, struct target *target)
{
	char copy[INET6_ADDRSTRLEN] = "";
	struct in6_addr six;

	if ((size_t)(zone - text) >= sizeof(copy) || !zone[1] || strlen(zone + 1) >= IF_NAMESIZE)
		return false;
	memcpy(copy, text, (size_t)(zone - text));
	if (inet_pton(AF_INET6, copy, &six) != 1 ||
	    (!IN6_IS_ADDR_LINKLOCAL(&six) && !IN6_IS_ADDR_MC_LINKLOCAL(&six)))
		return false;
	snprintf(target->zone, sizeof(target->zone), "%s", zone + 1);
	return read_six(&six, target);
}

/* as programs take them: also 127.1, which no name server is asked for. Return: is it one? */
static bool read_address(const char *text, struct target *target)
{
	const char *zone = strchr(text, '%');
	struct in_addr four;
	struct in6_addr six;

	if (zone)
		return read_zoned(text, zone, target);
	if (inet_aton(text, &four))
		return read_four(&four, target);
	return inet_pton(AF_INET6, text, &six) == 1 && read_six(&six, target);
}

/* of a flow's host: other scripts are in their ASCII form in it */
static bool is_name(const char *host)
{
	return !host[strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.\\")];
}

static int check_names(const struct target *target)
{
	const char *wrong = !is_name(target->host)    ? target->host
			    : !is_name(target->names) ? target->names
						      : NULL;

	return wrong ? cli_error(CLI_USAGE,
				 "explain: \"%s\" is no name as DNS has it: one of another script "
				 "is written xn--…",
				 wrong)
		     : 0;
}

/* HOST:PORT[/udp]; an IPv6 address in brackets */
static int read_target(const char *text, struct target *ret_target)
{
	struct target target = { 0 };
	char copy[300], *host = copy, *colon;
	unsigned long port;
	size_t n;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy) ||
	    cut_proto(copy, &target.is_udp) < 0)
		return -EINVAL;
	colon = strrchr(copy, ':');
	if (!colon || read_number(colon + 1, 1, UINT16_MAX, &port) < 0)
		return -EINVAL;
	*colon = '\0';
	n = strlen(host);
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		host++;
	} else if (strchr(host, ':')) {
		return -EINVAL;
	}
	if (!read_address(host, &target) && read_host(host, target.host) < 0)
		return -EINVAL;
	target.port = (uint16_t)port;
	*ret_target = target;
	return target.host[0] || target.address[0] ? 0 : -EINVAL;
}

static int find_program(const struct request *request, const char *governed,
			struct program *ret_program, struct client_error *error)
{
	unsigned long pid = 0, uid = getuid();

	if (request->pid) {
		if (read_number(request->pid, 1, INT32_MAX, &pid) < 0)
			return cli_error(CLI_USAGE, "explain: \"%s\" is not a process id",
					 request->pid);
		return program_of_pid((pid_t)pid, governed, ret_program, error);
	}
	if (request->unit)
		return program_of_unit(request->unit, governed, ret_program, error);
	if (request->uid && read_number(request->uid, 0, UINT32_MAX - 1, &uid) < 0)
		return cli_error(CLI_USAGE, "explain: \"%s\" is not a user id", request->uid);
	return program_of_exe(request->exe, (uid_t)uid, governed, ret_program, error);
}

/* routes and name servers are those of the program; without a process, of the instance */
static void enter_network(pid_t pid)
{
	_cleanup_close_ int fd = -1;
	struct stat own, theirs;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &theirs) < 0 || stat("/proc/self/ns/net", &own) < 0 ||
	    own.st_ino == theirs.st_ino)
		return;
	if (setns(fd, CLONE_NEWNET) < 0)
		(void)cli_error(0,
				"cannot enter the network of process %d (%s): routes are "
				"those of this one",
				(int)pid, strerror(errno));
}

static int call(struct client *client, const char *method, struct json_object *parameters,
		struct json_object **ret_reply, struct client_error *error)
{
	int r = client_send(client, method, parameters, false, error);

	return r ? r : client_receive(client, EXPLAIN_TIMEOUT_MS, ret_reply, NULL, error);
}

/* where the program believes the name to be. Return: 0, also when it does not know */
static int ask_names(struct client *client, const struct program *program, struct target *target,
		     struct client_error *error)
{
	struct json_object *parameters = cli_json_new(), *list;
	_cleanup_json_ struct json_object *reply = NULL;
	int r;

	cli_json_add(parameters, "program", program_json(program));
	cli_json_add(parameters, "host", json_object_new_string(target->host));
	r = call(client, "ListAddresses", parameters, &reply, error);
	if (r)
		return r;
	list = json_object_object_get(reply, "addresses");
	if (json_object_is_type(list, json_type_array) && json_object_array_length(list) > 0)
		(void)read_address(json_object_get_string(json_object_array_get_idx(list, 0)),
				   target);
	return 0;
}

static int resolve(struct target *target)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	char address[INET6_ADDRSTRLEN + IF_NAMESIZE];
	struct addrinfo *found;
	int r = getaddrinfo(target->host, NULL, &hints, &found);

	if (r)
		return cli_error(
			CLI_NOT_FOUND,
			"%s has no address (%s), and the program has not resolved it: give "
			"an address",
			target->host, gai_strerror(r));
	r = getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL, 0,
			NI_NUMERICHOST);
	freeaddrinfo(found);
	if (r || !read_address(address, target))
		return cli_error(CLI_NOT_FOUND, "%s: %s", target->host,
				 r ? gai_strerror(r) : address);
	return 0;
}

static struct json_object *target_json(const struct target *target, const struct route *route)
{
	struct json_object *json = cli_json_new();

	cli_json_add(json, "address", json_object_new_string(target->address));
	cli_json_add(json, "port", json_object_new_int(target->port));
	cli_json_add(json, "proto", json_object_new_string(target->is_udp ? "udp" : "tcp"));
	cli_json_add(json, "host", json_object_new_string(target->host));
	if (target->has_names)
		cli_json_add(json, "names", json_object_new_string(target->names));
	cli_json_add(json, "src", json_object_new_string(route->src));
	cli_json_add(json, "ifindex", json_object_new_int64(route->ifindex));
	return json;
}

static int find_route(const struct target *target, struct route *route)
{
	unsigned long ifindex = target->zone[0] ? if_nametoindex(target->zone) : 0;
	int r;

	if (target->zone[0] && !ifindex && read_number(target->zone, 1, INT32_MAX, &ifindex) < 0)
		return cli_error(CLI_NOT_FOUND, "the program has no interface %s", target->zone);
	r = route_find(target->address, (uint32_t)ifindex, route);
	if (r < 0)
		return cli_error(CLI_NO, "cannot ask for the route to %s: %s", target->address,
				 strerror(-r));
	if (r == ROUTE_E_NONE)
		(void)cli_error(0,
				"there is no route to %s: the program would meet that error first",
				target->address);
	return 0;
}

/* Return: 0 or the exit status; what was said already leaves @error empty */
static int explain(struct client *client, const struct request *request, struct target *target,
		   struct json_object **ret_reply, struct client_error *error)
{
	_cleanup_json_ struct json_object *reply = NULL;
	struct json_object *status, *parameters;
	struct route route = { 0 };
	struct program program;
	int r;

	r = client_call(client, "GetStatus", &reply, error);
	if (r)
		return r;
	status = json_object_object_get(reply, "status");
	r = find_program(request, json_object_get_string(json_object_object_get(status, "cgroup")),
			 &program, error);
	if (r)
		return r;
	enter_network(program.pid ? program.pid
				  : json_object_get_int(json_object_object_get(status, "pid")));
	if (target->host[0])
		r = ask_names(client, &program, target, error);
	if (!r && !target->address[0])
		r = resolve(target);
	if (!r)
		r = find_route(target, &route);
	if (r)
		return r;
	parameters = cli_json_new();
	cli_json_add(parameters, "program", program_json(&program));
	cli_json_add(parameters, "target", target_json(target, &route));
	return call(client, "Explain", parameters, ret_reply, error);
}

int cmd_explain(int argc, char **argv)
{
	struct request request = { 0 };
	const struct cli_option options[] = {
		{ "pid", NULL, &request.pid, "P", "of this process" },
		{ "exe", NULL, &request.exe, "PATH", "or of this program file" },
		{ "unit", NULL, &request.unit, "U", "or of the first process of this unit" },
		{ "uid", NULL, &request.uid, "N", "with --exe: run by this user" },
		{ "to", NULL, &request.to, "HOST:PORT", "where to; /udp at the end for UDP" },
		{ "names", NULL, &request.names, "HOST",
		  "taken for the host that first bytes name, where they are read" },
		{ "instance", NULL, &request.instance, "ID", "which instance, if several run" },
		{ "json", &request.is_json, NULL, NULL, "one JSON object" },
	};
	_cleanup_client_ struct client client = CLIENT_CLOSED;
	_cleanup_json_ struct json_object *reply = NULL;
	struct client_error error = { 0 };
	struct target target;
	int r;

	r = cli_parse(argc, argv, options, ARRAY_SIZE(options));
	if (r >= 0)
		return r;
	if (!request.pid + !request.exe + !request.unit != 2 || !request.to)
		return cli_error(CLI_USAGE,
				 "explain: give one of --pid, --exe and --unit, and --to "
				 "HOST:PORT");
	if (read_target(request.to, &target) < 0)
		return cli_error(
			CLI_USAGE,
			"explain: \"%s\" is not HOST:PORT, [ADDRESS]:PORT or HOST:PORT/udp",
			request.to);
	if (request.names && read_host(request.names, target.names) < 0)
		return cli_error(CLI_USAGE, "explain: \"%s\" is no name", request.names);
	target.has_names = request.names;
	r = check_names(&target);
	if (r)
		return r;
	r = client_open(SLUICE_RUN_FOLDER, request.instance, &client, &error);
	if (!r)
		r = explain(&client, &request, &target, &reply, &error);
	if (r)
		return error.status ? cli_error(r, "%s", error.text) : r;
	return why_print(json_object_object_get(reply, "why"), request.is_json, false);
}
