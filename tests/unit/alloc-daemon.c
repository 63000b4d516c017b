/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * DOC: Where sluiced begins and ends, for alloc.h
 *
 * Linked with -Wl,--wrap for each of these: what they allocate is counted, what the test
 * around them does is not. And what of json-c (0.16) is not sluiced's to answer for.
 */

#include <json-c/json.h>

#include "alloc.h"
#include "daemon/daemon.h"

#define WRAP(type, name, parameters, ...)                                                          \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		type r;                                                                            \
                                                                                                   \
		alloc_enter();                                                                     \
		r = __real_##name(__VA_ARGS__);                                                    \
		alloc_leave();                                                                     \
		return r;                                                                          \
	}

WRAP(struct daemon *, daemon_new, (const struct kernel *kernel, int sock), kernel, sock)
WRAP(int, daemon_start, (struct daemon * daemon, const char **error), daemon, error)
WRAP(int, daemon_run, (struct daemon * daemon), daemon)
WRAP(bool, daemon_tick, (struct daemon * daemon), daemon)
WRAP(int, sd_event_run, (sd_event * event, uint64_t us), event, us)

void __real_daemon_stop(struct daemon *daemon);
void __wrap_daemon_stop(struct daemon *daemon);
void __wrap_daemon_stop(struct daemon *daemon)
{
	alloc_enter();
	__real_daemon_stop(daemon);
	alloc_leave();
}

/*
 * json-c (0.16) takes the copy of a member's name for granted. sluiced dies of it, which is a
 * fault like any other (docs/fault-matrix.md): not to be told here.
 */
struct json_object *__real_json_tokener_parse_ex(struct json_tokener *tokener, const char *text,
						 int n);
struct json_object *__wrap_json_tokener_parse_ex(struct json_tokener *tokener, const char *text,
						 int n);
struct json_object *__wrap_json_tokener_parse_ex(struct json_tokener *tokener, const char *text,
						 int n)
{
	struct json_object *object;

	alloc_spare_names(true);
	object = __real_json_tokener_parse_ex(tokener, text, n);
	alloc_spare_names(false);
	return object;
}

/* json-c does not free the copy of a name when its table cannot grow */
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0"; /* a report is a failure */
}

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:json_object_object_add_ex\n";
}
