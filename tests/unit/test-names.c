/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Which name an address has to whom, how long, and how much one user may fill. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "flow/names.h"

#define S 1000000ULL /* a second */
#define PID 10U

static const struct sl_app browser = { .exe_ino = 1, .cgroup_id = 2, .exe_dev = 3, .uid = 1000 };
static const uint8_t here[16] = { [15] = 1 };

static unsigned int n_changed;
static uint8_t changed_address[16];

static void on_changed(const struct sl_app *app, const uint8_t address[16], void *data)
{
	n_changed++;
	memcpy(changed_address, address, sizeof(changed_address));
}

static int set_up(void **state)
{
	struct names_cache *cache;

	n_changed = 0;

	if (names_cache_new(0x5eed, on_changed, NULL, &cache))
		return -1;
	*state = cache;
	return 0;
}

static int tear_down(void **state)
{
	names_cache_free(*state);
	return 0;
}

static void assert_name(struct names_cache *cache, const struct sl_app *app, uint32_t pid,
			uint64_t now_us, const char *wanted)
{
	const char *name = NULL;
	int r = names_find(cache, app, pid, here, now_us, &name);

	assert_int_equal(r, wanted ? 0 : NAMES_E_NONE);
	if (wanted)
		assert_string_equal(name, wanted);
	else
		assert_null(name);
}

static void test_expiry(void **state)
{
	assert_name(*state, &browser, PID, 0, NULL);
	names_add(*state, &browser, PID, here, "a.example", 10, 5 * S);
	assert_name(*state, &browser, PID, (15 + NAMES_GRACE_S) * S - 1, "a.example");
	assert_name(*state, &browser, PID, (15 + NAMES_GRACE_S) * S, NULL);
	assert_int_equal(names_count(*state), 0);
}

/* TTL 0 is used at once; a TTL of 100 years is not believed */
static void test_ttl_limits(void **state)
{
	names_add(*state, &browser, PID, here, "a.example", 0, 0);
	assert_name(*state, &browser, PID, NAMES_GRACE_S * S - 1, "a.example");
	names_add(*state, &browser, PID, here, "a.example", UINT32_MAX, 0);
	assert_name(*state, &browser, PID, NAMES_TTL_MAX_S * S, "a.example");
	assert_name(*state, &browser, PID, (NAMES_TTL_MAX_S + NAMES_GRACE_S) * S, NULL);
}

static void test_again(void **state)
{
	names_add(*state, &browser, PID, here, "a.example", 100, 0);
	names_add(*state, &browser, PID, here, "a.example", 1, 1 * S);
	assert_int_equal(names_count(*state), 1);
	assert_name(*state, &browser, PID, 90 * S, "a.example");
}

static void test_newest(void **state)
{
	names_add(*state, &browser, PID, here, "a.example", 100, 0);
	names_add(*state, &browser, PID, here, "b.example", 50, 1);
	assert_name(*state, &browser, PID, 2, "b.example");
	assert_name(*state, &browser, PID, 60 * S, "a.example");
	names_add(*state, &browser, PID, here, "b.example", 50, 61 * S);
	names_add(*state, &browser, PID, here, "a.example", 50, 62 * S);
	assert_name(*state, &browser, PID, 63 * S, "a.example");
}

/* what the process itself asked for comes before what its siblings asked for later */
static void test_process_first(void **state)
{
	names_add(*state, &browser, PID, here, "mine.example", 100, 0);
	names_add(*state, &browser, PID + 1, here, "other.example", 100, 1);
	names_add(*state, &browser, PID + 2, here, "third.example", 100, 2);
	assert_name(*state, &browser, PID, 3, "mine.example");
	assert_name(*state, &browser, PID + 1, 3, "other.example");
	assert_name(*state, &browser, PID + 9, 3, "third.example");
}

static void test_applications_apart(void **state)
{
	struct sl_app others[] = { browser, browser, browser, browser };
	uint8_t there[16] = { [15] = 2 };
	const char *name;

	others[0].uid++;
	others[1].exe_ino++;
	others[2].exe_dev++;
	others[3].cgroup_id++;
	names_add(*state, &browser, PID, here, "a.example", 100, 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_name(*state, &others[i], PID, 1, NULL);
	assert_int_equal(names_find(*state, &browser, PID, there, 1, &name), NAMES_E_NONE);
	assert_name(*state, &browser, PID, 1, "a.example");
}

static void test_all(void **state)
{
	struct names_name names[3];

	names_add(*state, &browser, PID, here, "a.example", 100, 0);
	names_add(*state, &browser, PID + 1, here, "a.example", 100, 0);
	names_add(*state, &browser, PID, here, "b.example", 10, 0);
	assert_int_equal(names_all(*state, &browser, here, 1, names, ARRAY_SIZE(names)), 2);
	assert_string_not_equal(names[0].name, names[1].name);
	assert_true(names_all(*state, &browser, here, 1, names, 1) > 1);
	assert_int_equal(names_all(*state, &browser, here, 20 * S, names, 3), 1);
	assert_string_equal(names[0].name, "a.example");
}

static void test_changed(void **state)
{
	static const uint8_t there[16] = { [15] = 2 };

	names_add(*state, &browser, PID, here, "a.example", 10, 0);
	assert_int_equal(n_changed, 1);
	names_add(*state, &browser, PID, here, "a.example", 20, 1);
	names_add(*state, &browser, PID + 1, here, "a.example", 20, 1);
	assert_int_equal(n_changed, 1);
	names_add(*state, &browser, PID, here, "b.example", 10, 2);
	assert_int_equal(n_changed, 2);
	names_add(*state, &browser, PID, there, "a.example", 10, 2);
	assert_int_equal(n_changed, 3);
	assert_memory_equal(changed_address, there, sizeof(there));
	/* expired ones go without a word, whoever relies on them knows the time */
	assert_name(*state, &browser, PID, 100 * S, NULL);
	assert_int_equal(n_changed, 3);
}

/* a name that is pushed out before its time is a change of its own address */
static void test_changed_by_eviction(void **state)
{
	char name[32];

	for (uint32_t i = 0; i < NAMES_PER_ADDRESS_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		names_add(*state, &browser, PID, here, name, 100, 0);
	}
	assert_int_equal(n_changed, NAMES_PER_ADDRESS_MAX);
	names_add(*state, &browser, PID, here, "one-more.example", 100, 0);
	assert_int_equal(n_changed, NAMES_PER_ADDRESS_MAX + 2);
}

/* all of one application, and whoever remembers something by them is told */
static void test_forgotten(void **state)
{
	struct names_cache *cache = *state;
	const struct sl_app other = { .exe_ino = 9 };
	const uint8_t there[16] = { [15] = 2 };
	const char *name;

	names_forget(cache, &browser);
	assert_int_equal(n_changed, 0);
	names_add(cache, &browser, PID, here, "a.example", 60, 0);
	names_add(cache, &browser, PID, there, "b.example", 60, 0);
	names_add(cache, &other, PID, here, "a.example", 60, 0);
	n_changed = 0;
	names_forget(cache, &browser);
	assert_int_equal(n_changed, 2);
	assert_int_equal(names_count(cache), 1);
	assert_int_equal(names_find(cache, &browser, PID, here, S, &name), NAMES_E_NONE);
	assert_int_equal(names_find(cache, &other, PID, here, S, &name), 0);
}

static void test_bad_names(void **state)
{
	char longest[NAMES_TEXT_BYTES + 1] = { 0 };

	names_add(*state, &browser, PID, here, "", 100, 0);
	memset(longest, 'a', NAMES_TEXT_BYTES);
	names_add(*state, &browser, PID, here, longest, 100, 0);
	assert_int_equal(names_count(*state), 0);
	longest[NAMES_TEXT_BYTES - 1] = '\0';
	names_add(*state, &browser, PID, here, longest, 100, 0);
	assert_name(*state, &browser, PID, 1, longest);
}

/* at the limit of one address the oldest goes: of the same name, if there is one */
static void test_address_limit(void **state)
{
	struct names_name names[2 * NAMES_PER_ADDRESS_MAX];
	char name[32];

	names_add(*state, &browser, 1, here, "rare.example", 100, 0);
	for (uint32_t pid = 2; pid < 3 * NAMES_PER_ADDRESS_MAX; pid++)
		names_add(*state, &browser, pid, here, "often.example", 100, pid);
	assert_int_equal(names_count(*state), NAMES_PER_ADDRESS_MAX);
	assert_int_equal(names_all(*state, &browser, here, S, names, ARRAY_SIZE(names)), 2);
	for (uint32_t i = 0; i < 3 * NAMES_PER_ADDRESS_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		names_add(*state, &browser, 1, here, name, 100, S);
	}
	assert_int_equal(names_count(*state), NAMES_PER_ADDRESS_MAX);
	assert_int_equal(names_all(*state, &browser, here, S, names, ARRAY_SIZE(names)),
			 NAMES_PER_ADDRESS_MAX);
	assert_name(*state, &browser, 1, S, name);
}

static void add_many(struct names_cache *cache, uint32_t uid, uint32_t first, uint32_t n)
{
	struct sl_app app = { .exe_ino = 1, .uid = uid };

	for (uint32_t i = first; i < first + n; i++) {
		uint8_t address[16] = { 0 };

		memcpy(address, &i, sizeof(i));
		names_add(cache, &app, PID, address, "many.example", 1000, 0);
	}
}

static void test_user_quota(void **state)
{
	names_add(*state, &browser, PID, here, "a.example", 1000, 0);
	add_many(*state, 2000, 0, 2 * NAMES_ENTRIES_MAX);
	assert_int_equal(names_count(*state), (NAMES_ENTRIES_MAX / 2) + 1);
	assert_name(*state, &browser, PID, 1, "a.example");
}

/* three greedy users fill it; who was used last survives */
static void test_eviction(void **state)
{
	struct sl_app app = { .exe_ino = 1, .uid = 2 };
	const char *name;

	add_many(*state, 1, 0, (NAMES_ENTRIES_MAX / 2));
	add_many(*state, 2, 0, (NAMES_ENTRIES_MAX / 2));
	assert_int_equal(names_count(*state), NAMES_ENTRIES_MAX);
	app.uid = 1;
	assert_int_equal(names_find(*state, &app, PID, (uint8_t[16]){ 0 }, 1, &name), 0);
	add_many(*state, 3, 0, (NAMES_ENTRIES_MAX / 2) - 1);
	assert_int_equal(names_count(*state), NAMES_ENTRIES_MAX);
	assert_int_equal(names_find(*state, &app, PID, (uint8_t[16]){ 0 }, 1, &name), 0);
	assert_int_equal(names_find(*state, &app, PID, (uint8_t[16]){ 1 }, 1, &name), NAMES_E_NONE);
	add_many(*state, 4, 0, 10);
	assert_int_equal(names_count(*state), NAMES_ENTRIES_MAX);
}

/* many users, each with one entry that soon expires: users come and go with their entries */
static void test_many_users(void **state)
{
	for (uint32_t uid = 0; uid < 3 * NAMES_ENTRIES_MAX; uid++) {
		struct sl_app app = { .exe_ino = 1, .uid = uid };

		names_add(*state, &app, PID, here, "a.example", 0, uid * S);
		assert_name(*state, &app, PID, uid * S, "a.example");
	}
	/* a walk has dropped those it met, so the cache need not be full */
	assert_in_range(names_count(*state), NAMES_ENTRIES_MAX / 2, NAMES_ENTRIES_MAX);
}

/* the other way round: the newest first, each once, and nothing that is over */
static void test_addresses(void **state)
{
	struct sl_app other = { .exe_ino = 99, .uid = 1 };
	uint8_t found[4][16], second[16] = { 2 }, third[16] = { 3 };

	names_add(*state, &browser, 1, here, "a.example", 100, 0);
	names_add(*state, &browser, 1, second, "a.example", 10, 0);
	names_add(*state, &browser, 2, here, "a.example", 100, 0);
	names_add(*state, &browser, 1, third, "b.example", 100, 0);
	names_add(*state, &other, 1, third, "a.example", 100, 0);
	assert_int_equal(names_addresses(*state, &browser, "a.example", S, found, 4), 2);
	assert_memory_equal(found[0], here, 16);
	assert_memory_equal(found[1], second, 16);
	assert_int_equal(names_addresses(*state, &browser, "a.example", S, found, 1), 1);
	assert_int_equal(names_addresses(*state, &browser, "a.example", 50 * S, found, 4), 1);
	assert_int_equal(names_addresses(*state, &browser, "c.example", S, found, 4), 0);
	assert_int_equal(names_addresses(*state, &browser, "", S, found, 4), 0);
}

/* an entry whose place was given back is not found there */
static void test_addresses_after_eviction(void **state)
{
	uint8_t found[1][16];

	names_add(*state, &browser, PID, here, "a.example", 1000, 0);
	add_many(*state, 1, 0, NAMES_ENTRIES_MAX / 2);
	add_many(*state, 2, 0, NAMES_ENTRIES_MAX / 2);
	assert_int_equal(names_addresses(*state, &browser, "a.example", S, found, 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_expiry),	  TEST(test_ttl_limits),
		TEST(test_again),	  TEST(test_newest),
		TEST(test_process_first), TEST(test_applications_apart),
		TEST(test_all),		  TEST(test_bad_names),
		TEST(test_address_limit), TEST(test_user_quota),
		TEST(test_eviction),	  TEST(test_many_users),
		TEST(test_changed),	  TEST(test_changed_by_eviction),
		TEST(test_addresses),	  TEST(test_addresses_after_eviction),
		TEST(test_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
